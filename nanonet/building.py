"""Tree: what stands below a model, found by walking its parts, and how all of it gets its numbers in one vector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nanonet.errors import ContractError
from nanonet.holding import set_attribute
from nanonet.layer import Layer
from nanonet.state import Buffer, Parameter, Random, State
from nanonet.vector import Memory, Vector

CHANGED = (
    "when the model was built: a list, tuple or dict of layers was changed since; build anew, "
    "Sequential(...), after such a change"
)
DEEPEST = 256
"""Levels of layers within each other that a model may have: every pass calls itself once or more for each level."""


class Tree:
    """All layers and states below a root, by name, in the order in which they were set.

    Raises
    ------
    ValueError
        If a layer or a state stands in two places, two have one name, or layers are nested too deeply.
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
        self._visit(root)

    @property
    def size(self) -> int:
        """The number of entries of all parameters."""
        return self._size

    def states(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield what a file holds: parameters and buffers, by name."""
        yield from self.parameters.items()
        yield from self.buffers.items()

    def _visit(self, root: Layer) -> None:
        """Walk all parts, layer by layer, without recursion."""
        self.layers[""] = root
        open_layers = [("", root, 0, root.owned_parts())]
        while open_layers:
            path, layer, start, parts = open_layers[-1]
            name, part = next(parts, ("", None))
            if part is None:
                self.spans[path] = (start, self._size)
                open_layers.pop()
                continue
            inner = f"{path}.{name}" if path else name
            self._enter(part, inner)
            self.parents[id(part)] = layer
            if isinstance(part, Layer):
                if len(open_layers) > DEEPEST:
                    raise ValueError(f"{self._root}: layers are nested more than {DEEPEST} deep, at {inner:.60}...")
                self.layers[inner] = part
                open_layers.append((inner, part, self._size, part.owned_parts()))
            else:
                self._take(part, inner, f"{type(layer).__name__}.{name}")

    def _take(self, state: State, path: str, label: str) -> None:
        if state.label == type(state).__name__:  # it was set past the layer's own __setattr__
            state.label = label
        match state:
            case Parameter():
                self.parameters[path] = state
                self._size += state.size
            case Buffer():
                self.buffers[path] = state
            case Random():
                self.randoms[path] = state

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

    def refuse_changed(self) -> None:
        """Raise ContractError if what the model consists of is no longer what it was built of."""
        home = self.root._home
        place = home.offset if home is not None else 0
        for path, state in (*self.parameters.items(), *self.buffers.items(), *self.randoms.items()):
            if not state.is_built or (isinstance(state, Parameter) and state.offset != place):
                raise ContractError(f"{self._root}: {path} is not where it was {CHANGED}")
            place += state.size if isinstance(state, Parameter) else 0
        if home is not None and place != home.offset + home.size:
            raise ContractError(f"{self._root}: {home.offset + home.size - place} parameters are gone {CHANGED}")


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


def _settle_layers(tree: Tree, memory: Memory) -> dict[int, Vector]:
    """Give each layer its part of memory; return, for each part of a layer, by id, that layer's."""
    for path, layer in tree.layers.items():
        if layer._home is None:
            set_attribute(layer, "_home", Vector(layer, memory, *tree.spans[path]))
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
