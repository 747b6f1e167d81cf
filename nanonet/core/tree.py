"""Tree: all layers and states of a model, by name, found by walking its parts."""

from __future__ import annotations

from collections.abc import Iterator

from nanonet.core.layer import Layer
from nanonet.core.parameter import Buffer, Parameter, Random, State
from nanonet.core.vector import home_of

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
        """The total number of parameter entries."""
        return self._size

    def states(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield the parameters and buffers, which files hold, by name."""
        yield from self.parameters.items()
        yield from self.buffers.items()

    def _visit(self, root: Layer) -> None:
        """Visit all parts, depth first, without recursion."""
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
        if state.label == type(state).__name__:  # it was set bypassing the layer's __setattr__
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
                f"{self._root}: the same {kind}, {part!r}, is used at {first} and at {path}; "
                f"for an independent copy write copy.deepcopy({kind})"
            )
        if path in self.layers or path in self.parameters or path in self.buffers or path in self.randoms:
            raise ValueError(f"{self._root}: two parts have the name {path}")

    @property
    def _root(self) -> str:
        return type(self.root).__name__

    def refuse_foreign(self) -> None:
        """Raise ValueError if a part belongs to a model that is not entirely in this tree."""
        inside = {id(layer) for layer in self.layers.values()}

        def check(path: str, part: State | Layer, owner: object) -> None:
            if owner is not None and id(owner) not in inside:
                kind = "layer" if isinstance(part, Layer) else type(part).__name__.lower()
                raise ValueError(
                    f"{self._root}: {kind} {path}, {part!r}, belongs to another model; add that model as a whole, "
                    f"or write copy.deepcopy({kind}) for a copy with the same numbers"
                )

        for path, layer in self.layers.items():
            if (home := home_of(layer)) is not None:
                check(path, layer, home.owner())
        for states in (self.parameters, self.buffers, self.randoms):
            for path, state in states.items():
                if state.home is not None:
                    check(path, state, state.home.owner())
