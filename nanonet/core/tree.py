"""Tree: all layers and states of a model, by name, and their building as views of one vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.core.objects import set_attribute
from nanonet.core.parameter import Buffer, Parameter, Random, State
from nanonet.core.vector import Memory, Vector, home_of

DEEPEST = 256
"""The maximum nesting depth of layers: every pass recurses at least once per level."""


class Tree:
    """All layers and states below a root, by name, in the order they were set.

    Raises
    ------
    ValueError
        If a layer or a state is used in two places, two have the same name, or layers are nested too deeply.
    """

    def __init__(self, root: Layer) -> None:
        self.root = root
        self.parts: dict[str, State | Layer] = {"": root}
        self.spans: dict[str, tuple[int, int]] = {}  # where each parameter, and those of each layer, lie in the vector
        self.parents: dict[int, Layer] = {}  # the layer that owns each part, by the part's id
        self.size = 0  # the total number of parameter entries
        self._seen: dict[int, str] = {id(root): "the model"}
        self._visit(root)
        self.layers = {path: part for path, part in self.parts.items() if isinstance(part, Layer)}
        self.parameters = {path: part for path, part in self.parts.items() if isinstance(part, Parameter)}
        self.buffers = {path: part for path, part in self.parts.items() if isinstance(part, Buffer)}
        self.randoms = {path: part for path, part in self.parts.items() if isinstance(part, Random)}
        self.states: dict[str, Parameter | Buffer] = {**self.parameters, **self.buffers}  # which files hold

    def _visit(self, root: Layer) -> None:
        """Visit all parts, depth first, without recursion."""
        open_layers = [("", root, 0, root.owned_parts())]
        while open_layers:
            path, layer, start, parts = open_layers[-1]
            name, part = next(parts, ("", None))
            if part is None:
                self.spans[path] = (start, self.size)
                open_layers.pop()
                continue
            inner = f"{path}.{name}" if path else name
            self._refuse_repeated(part, inner)
            self.parents[id(part)] = layer
            if isinstance(part, Layer):
                if len(open_layers) > DEEPEST:
                    raise ValueError(f"{self._root}: layers are nested more than {DEEPEST} deep, at {inner:.60}...")
                open_layers.append((inner, part, self.size, part.owned_parts()))
            else:
                self._take(part, inner, f"{type(layer).__name__}.{name}")

    def _take(self, state: State, path: str, label: str) -> None:
        if state.label == type(state).__name__:  # it was set bypassing the layer's __setattr__
            state.label = label
        if isinstance(state, Parameter):
            self.spans[path] = (self.size, self.size + state.size)
            self.size += state.size

    def _refuse_repeated(self, part: State | Layer, path: str) -> None:
        if (first := self._seen.setdefault(id(part), path)) != path:
            raise ValueError(
                f"{self._root}: the same {_kind(part)}, {part!r}, is used at {first} and at {path}; "
                f"for an independent copy write copy.deepcopy({_kind(part)})"
            )
        if self.parts.setdefault(path, part) is not part:
            raise ValueError(f"{self._root}: two parts have the name {path}")

    @property
    def _root(self) -> str:
        return type(self.root).__name__

    def refuse_foreign(self) -> None:
        """Raise ValueError if a part belongs to a model that is not entirely in this tree."""
        inside = {id(None), *map(id, self.layers.values())}
        for path, part in self.parts.items():
            home = home_of(part)
            if home is not None and id(home.owner()) not in inside:
                raise ValueError(
                    f"{self._root}: {_kind(part)} {path}, {part!r}, belongs to another model; add that model as a "
                    f"whole, or a copy with the same numbers: copy.deepcopy({_kind(part)}), copy.deepcopy(model[:4])"
                )


def _kind(part: State | Layer) -> str:
    return "layer" if isinstance(part, Layer) else type(part).__name__.lower()


def build(tree: Tree, dtype: np.dtype[Any], rng: np.random.Generator) -> None:
    """Initialize every part of the tree, with the parameters as views of one new vector.

    Parts that already have values keep them, cast to dtype; the rest is drawn from rng in the tree's order. Nothing is
    changed until all values are known, so a failing initializer leaves the layers unchanged.
    """
    memory = Memory(tree.size, dtype)
    for path, parameter in tree.parameters.items():
        if not memory.is_sketch:
            _draw_into(memory.value[slice(*tree.spans[path])], parameter, path, rng)
    buffers = [(buffer, buffer.first_numbers(dtype, rng)) for buffer in tree.buffers.values()]
    unbuilt = [random for random in tree.randoms.values() if not random.is_built]
    spawned = iter(rng.spawn(len(unbuilt)) if unbuilt else [])

    homes = _settle_layers(tree, memory)
    for path, parameter in tree.parameters.items():
        parameter.move_to(memory, tree.spans[path][0], homes[id(parameter)])
    for buffer, value in buffers:
        buffer.settle(value, homes[id(buffer)])
    for random in tree.randoms.values():
        random.settle(random.generator if random.is_built else next(spawned), homes[id(random)])


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
