"""Tree: what stands below a model, found by walking its parts, and how all of it gets its numbers in one vector."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nanonet.layer import Layer
from nanonet.state import Buffer, Parameter, Random, State
from nanonet.vector import Memory, Vector

models: weakref.WeakValueDictionary[int, Layer] = weakref.WeakValueDictionary()
"""Every model that was built and is alive, outermost ones and those within, by id."""

watchers: list[Callable[[Layer], None]] = []
"""Called with each model that is built; ``strict`` looks at new models through it."""


class Tree:
    """All layers and states below a root, by name, in the order in which they were set.

    Raises
    ------
    ValueError
        If a layer or a state stands in two places, or two have one name.
    """

    def __init__(self, root: Layer) -> None:
        self.root = root
        self.layers: dict[str, Layer] = {}
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, Buffer] = {}
        self.randoms: dict[str, Random] = {}
        self.spans: dict[str, tuple[int, int]] = {}  # where each layer's parameters lie in the vector
        self.parents: dict[int, Layer] = {}  # the layer that owns each part, by the part's id
        self._size = 0
        self._seen: dict[int, str] = {id(root): "the model"}
        self._visit(root, "")

    @property
    def size(self) -> int:
        """The number of entries of all parameters."""
        return self._size

    def states(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield what a file holds: parameters and buffers, by name."""
        yield from self.parameters.items()
        yield from self.buffers.items()

    def _visit(self, layer: Layer, path: str) -> None:
        start = self._size
        self.layers[path] = layer
        for name, part in layer.parts():
            inner = f"{path}.{name}" if path else name
            self._enter(part, inner)
            self.parents[id(part)] = layer
            match part:
                case Layer():
                    self._visit(part, inner)
                case Parameter():
                    self.parameters[inner] = part
                    self._size += part.size
                case Buffer():
                    self.buffers[inner] = part
                case Random():
                    self.randoms[inner] = part
        self.spans[path] = (start, self._size)

    def _enter(self, part: State | Layer, path: str) -> None:
        first = self._seen.setdefault(id(part), path)
        kind = "layer" if isinstance(part, Layer) else type(part).__name__.lower()
        if first != path:
            raise ValueError(
                f"{self._root}: the same {kind}, {part!r}, stands at {first} and at {path}; "
                f"for a second one of its own write copy.deepcopy({kind})"
            )
        if path in self.layers or path in self.parameters or path in self.buffers or path in self.randoms:
            raise ValueError(f"{self._root}: two parts have the name {path}")

    @property
    def _root(self) -> str:
        return type(self.root).__name__

    def refuse_foreign(self) -> None:
        """Raise ValueError if a part belongs to a model that is not in this tree as a whole."""
        inside = {id(layer) for layer in self.layers.values()}

        def check(path: str, part: State | Layer, owner: object) -> None:
            if owner is not None and id(owner) not in inside:
                kind = "layer" if isinstance(part, Layer) else type(part).__name__.lower()
                raise ValueError(
                    f"{self._root}: {kind} {path}, {part!r}, belongs to another model; put that model in as a whole, "
                    f"or write copy.deepcopy({kind}) for one that starts from the same numbers"
                )

        for path, layer in self.layers.items():
            if layer._home is not None:
                check(path, layer, layer._home.owner())
        for states in (self.parameters, self.buffers, self.randoms):
            for path, state in states.items():
                if state.home is not None:
                    check(path, state, state.home.owner())


class Snapshot:
    """The buffers and generators of a model at one moment, to be put back."""

    def __init__(self, tree: Tree) -> None:
        self._buffers = [(buffer, buffer.value.copy()) for buffer in tree.buffers.values()]
        self._states = [(bits, bits.state) for bits in (r.generator.bit_generator for r in tree.randoms.values())]

    def restore(self) -> None:
        """Put the numbers and the generators back."""
        for buffer, value in self._buffers:
            buffer.value = value
        for bits, state in self._states:
            bits.state = state


def build(tree: Tree, dtype: np.dtype[Any], rng: np.random.Generator) -> None:
    """Give every part of the tree its numbers, its parameters as views of one new vector.

    What has numbers keeps them, cast to dtype; the rest is drawn from rng in the tree's order. Nothing is changed
    before all numbers are there, so that an initializer that fails spoils no layer.
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
    models[id(tree.root)] = tree.root
    for watch in watchers:
        watch(tree.root)


def _settle_layers(tree: Tree, memory: Memory) -> dict[int, Vector]:
    """Give each layer its part of memory; return, for each part of a layer, by id, that layer's."""
    for path, layer in tree.layers.items():
        if layer._home is None:
            layer._home = Vector(layer, memory, *tree.spans[path])
        else:
            layer._home.move_to(memory, *tree.spans[path])
    homes = {}
    for part, parent in tree.parents.items():
        assert parent._home is not None
        homes[part] = parent._home
    for layer in tree.layers.values():
        if layer is not tree.root and layer._home is not None:
            layer._home.stand_in(tree.parents[id(layer)])
    return homes


def _draw_into(place: np.ndarray[Any, Any], parameter: Parameter, path: str, rng: np.random.Generator) -> None:
    with np.errstate(over="ignore"):
        parameter.laid(place)[...] = parameter.first_numbers(rng)
    if not np.isfinite(place).all() and not (parameter.is_built and not np.isfinite(parameter.value).all()):
        whose = "it has" if parameter.is_built else "its initializer gave"
        raise ValueError(f"{path}, {parameter.label}: {whose} numbers that are not finite in {place.dtype}")
