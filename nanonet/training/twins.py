"""Twin: a model's layers once more, with gradients, buffers and generators of their own, for one part of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.checking.view import View
from nanonet.core.arrays import Array, read_only
from nanonet.core.chain import Chain
from nanonet.core.objects import attributes, set_attribute
from nanonet.core.parameter import Buffer, Random
from nanonet.core.tree import Tree
from nanonet.core.vector import Memory, Vector


class Twin:
    """Layers that read a model's parameters, and write nothing that the model has.

    Parameters
    ----------
    model : Chain
    grad : array
        Shape (size,): where the gradients go.

    Attributes
    ----------
    model : Chain
        The twin of the model, with a vector of its own.
    buffers : list of Buffer
        Its buffers, in the order of the model's tree.
    """

    def __init__(self, model: Chain, grad: Array) -> None:
        self.model, self.grad = View(model, live=False).root, grad
        tree, start = Tree(self.model), 0
        for parameter in tree.parameters.values():
            if parameter.trainable:
                set_attribute(parameter, "_grad", parameter.laid(grad[start : start + parameter.size]))
            start += parameter.size
        memory = Memory(0, model.dtype)
        memory.value, memory.grad = read_only(model.vector.value), grad
        set_attribute(self.model, "_home", Vector(self.model, memory, 0, start))
        self.buffers, self._randoms = list(tree.buffers.values()), list(tree.randoms.values())

    def follow(self, buffers: list[Buffer], seeds: list[tuple[Random, int]], number: int) -> None:
        """Take over the numbers of the model's buffers, and new generators for the part of this number."""
        for own, buffer in zip(self.buffers, buffers, strict=True):
            own.value[...] = buffer.value
        for twin, (random, seed) in zip(self._randoms, seeds, strict=True):
            bits = type(random.generator.bit_generator)
            set_attribute(twin, "_generator", np.random.Generator(bits(np.random.SeedSequence((seed, number)))))


class Seen:
    """The attributes of all layers of a model as they were, by which it is seen that one was set since."""

    def __init__(self, tree: Tree) -> None:
        self._kept: list[tuple[Any, dict[str, Any]]] = [
            (layer, dict(attributes(layer))) for layer in tree.layers.values()
        ]

    def is_current(self) -> bool:
        """Return whether every attribute is still the same object."""
        for layer, kept in self._kept:
            for name, value in attributes(layer):
                if kept.get(name, kept) is not value:
                    return False
        return True
