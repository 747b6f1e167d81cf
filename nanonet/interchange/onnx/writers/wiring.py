"""Wiring: the writers of layers that consist of layers, which are chains, branches, or what the user's wire says."""

from __future__ import annotations

from typing import Any, NamedTuple

from nanonet.core.arrays import Patterns
from nanonet.core.chain import Chain
from nanonet.core.errors import ContractError
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.draft import Draft
from nanonet.interchange.onnx.registration import writes
from nanonet.layers.branches import Add, Concatenate, Fork, Parallel
from nanonet.layers.composite import Composite, Shapes
from nanonet.layers.reparametrised import Reparametrised
from nanonet.layers.residual import Residual


@writes(Chain)
def _chain(draft: Draft, chain: Any, x: Any, shape: Patterns) -> Any:
    for i, layer in enumerate(chain.layers):
        x = draft.write(layer, x, shape, str(i))
        shape = draft.shape_after(layer, shape)
    return x


@writes(Residual)
def _residual(draft: Draft, layer: Any, x: str, shape: Patterns) -> str:
    return draft.add("Add", x, draft.write(layer.inner, x, shape, "inner"))


@writes(Reparametrised)
def _reparametrised(draft: Draft, layer: Any, x: Any, shape: Patterns) -> Any:
    return draft.write(layer.plain(), x, shape, "inner")


@writes(Fork)
def _fork(draft: Draft, layer: Any, x: Any, shape: Patterns) -> tuple[str, ...]:
    return tuple(draft.write(branch, x, shape, f"branches.{i}") for i, branch in enumerate(layer.branches))


@writes(Parallel)
def _parallel(draft: Draft, layer: Any, x: tuple[str, ...], shape: Patterns) -> tuple[str, ...]:
    parts = enumerate(zip(layer.branches, x, shape, strict=True))
    return tuple(draft.write(branch, part, its, f"branches.{i}") for i, (branch, part, its) in parts)


@writes(Concatenate)
def _concatenate(draft: Draft, layer: Any, x: tuple[str, ...], shape: Patterns) -> str:
    return draft.add("Concat", *x, axis=layer.axis)


@writes(Add)
def _add(draft: Draft, layer: Any, x: tuple[str, ...], shape: Patterns) -> str:
    return _sum(draft, x)


def _sum(draft: Draft, names: tuple[str, ...]) -> str:
    return draft.add("Add" if len(names) == 2 else "Sum", *names)


@writes(Composite)
def _composite(draft: Draft, layer: Any, x: Any, shape: Patterns) -> Any:
    """Run wire with names."""
    entered = tuple(map(_Named, x, shape)) if isinstance(x, tuple) else _Named(x, shape)
    found = layer.wire(_Names(draft, layer), entered)
    return _names_of(found)


class _Named(NamedTuple):
    """A value of the graph with its shape."""

    name: str
    shape: Any


def _names_of(values: Any) -> Any:
    """Return the name of a value, or the names of a tuple of values."""
    if isinstance(values, tuple) and not isinstance(values, _Named):
        return tuple(map(_names_of, values))
    if not isinstance(values, _Named):
        raise ContractError(f"export: wire may only pass values on, got {type(values).__name__}")
    return values.name


def _shapes_of(values: Any) -> Any:
    """Return the shape of a value, or the shapes of a tuple of values."""
    return values.shape if isinstance(values, _Named) else tuple(value.shape for value in values)


class _Names:
    """The wiring with names: adds the parts and operators to a draft."""

    def __init__(self, draft: Draft, layer: Layer) -> None:
        self.draft, self.shapes = draft, Shapes(type(layer).__name__)
        self.paths = {id(part): name for name, part in layer.owned_parts()}

    def __call__(self, layer: Layer, value: Any) -> Any:
        """Add a layer."""
        x, shape = _names_of(value), _shapes_of(value)
        name = self.paths.get(id(layer), f"{type(layer).__name__}.{len(self.draft.nodes)}")
        found, out = self.draft.write(layer, x, shape, name), self.draft.shape_after(layer, shape)
        return tuple(map(_Named, found, out)) if isinstance(found, tuple) else _Named(found, out)

    def add(self, *values: _Named) -> _Named:
        """Add a sum."""
        return _Named(_sum(self.draft, _names_of(values)), self.shapes.add(*_shapes_of(values)))

    def multiply(self, *values: _Named) -> _Named:
        """Add products."""
        name, *others = _names_of(values)
        for other in others:
            name = self.draft.add("Mul", name, other)
        return _Named(name, self.shapes.multiply(*_shapes_of(values)))

    def concatenate(self, *values: _Named, axis: int = -1) -> _Named:
        """Add a Concat."""
        shape = self.shapes.concatenate(*_shapes_of(values), axis=axis)
        return _Named(self.draft.add("Concat", *_names_of(values), axis=axis), shape)

    def split(self, value: _Named, *sizes: int, axis: int = -1) -> tuple[_Named, ...]:
        """Add a Split."""
        shapes = self.shapes.split(value.shape, *sizes, axis=axis)
        wanted = self.draft.integers(*sizes)
        return tuple(map(_Named, self.draft.add_several(len(sizes), "Split", value.name, wanted, axis=axis), shapes))
