"""Building: initialize all parts of a tree, with the parameters as views of one vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.holding import set_attribute
from nanonet.core.parameter import Parameter
from nanonet.core.tree import Tree
from nanonet.core.vector import Memory, Vector, home_of


def build(tree: Tree, dtype: np.dtype[Any], rng: np.random.Generator) -> None:
    """Initialize every part of the tree, with the parameters as views of one new vector.

    Parts that already have values keep them, cast to dtype; the rest is drawn from rng in the tree's order. Nothing is
    changed until all values are known, so a failing initializer leaves the layers unchanged.
    """
    memory = Memory(tree.size, dtype)
    start = 0
    places: list[tuple[Parameter, int]] = []
    for path, parameter in tree.parameters.items():
        if not memory.is_sketch:
            _draw_into(memory.value[start : start + parameter.size], parameter, path, rng)
        places.append((parameter, start))
        start += parameter.size
    buffers = [(buffer, buffer.first_numbers(dtype, rng)) for buffer in tree.buffers.values()]
    unbuilt = [random for random in tree.randoms.values() if not random.is_built]
    generators = rng.spawn(len(unbuilt)) if unbuilt else []

    homes = _settle_layers(tree, memory)
    for parameter, start in places:
        parameter.move_to(memory, start, homes[id(parameter)])
    for buffer, value in buffers:
        buffer.settle(value, homes[id(buffer)])
    for random, generator in zip(unbuilt, generators, strict=True):
        random.settle(generator, homes[id(random)])
    for random in tree.randoms.values():
        random.settle(random.generator, homes[id(random)])


def _settle_layers(tree: Tree, memory: Memory) -> dict[int, Vector]:
    """Assign each layer its slice of memory; return the slice of the owning layer for each part, by id."""
    for path, layer in tree.layers.items():
        if (home := home_of(layer)) is None:
            set_attribute(layer, "_home", Vector(layer, memory, *tree.spans[path]))
        else:
            home.move_to(memory, *tree.spans[path])
    for layer in tree.layers.values():
        if layer is not tree.root:
            home_of(layer).set_parent(tree.parents[id(layer)])
    return {part: home_of(parent) for part, parent in tree.parents.items()}


def _draw_into(place: np.ndarray[Any, Any], parameter: Parameter, path: str, rng: np.random.Generator) -> None:
    with np.errstate(over="ignore"):
        parameter.laid(place)[...] = parameter.first_numbers(rng)
    if not np.isfinite(place).all() and not (parameter.is_built and not np.isfinite(parameter.value).all()):
        whose = "it has" if parameter.is_built else "its initializer gave"
        raise ValueError(f"{path}, {parameter.label}: {whose} numbers that are not finite in {place.dtype}")
