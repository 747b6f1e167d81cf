"""Record: every number of one pass through a model, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Arrays, each, parts_of, shape_of
from nanonet.core.chain import Chain
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.tree import Tree
from nanonet.inspection.by_class import ByClass
from nanonet.inspection.shortening import listed
from nanonet.layers.activations import Activation
from nanonet.layers.linear import Linear
from nanonet.losses.loss import Loss

SUMS: ByClass[Callable[..., Any]] = ByClass("explains", "forward")
"""The layers besides Linear whose output is a sum, written a, so that dE/da is an error signal g."""


def is_plain(layer: Layer, kind: type[Any], *methods: str) -> bool:
    """Tell whether a layer is of a kind, and overrides none of these methods."""
    return isinstance(layer, kind) and all(getattr(type(layer), name) is getattr(kind, name) for name in methods)


@dataclass(eq=False)
class LayerTrace:
    """The numbers of one layer in one pass.

    Attributes
    ----------
    name : str
        "0", "1", ...; a nested layer is named like its parameters, "1.inner.0".
    layer : Layer
        The layer, in the copy of the model that the pass ran on.
    input, output : array, or tuple of arrays
        x and y, shape (batch, ...); a tuple for several inputs or outputs.
    grad_output, grad_input : array, tuple of arrays or None
        dE/dy and dE/dx, of the same shapes; None without a backward pass, and for integers.
    parameters, gradients : dict of array
        Its own parameters by name, and their gradients; the latter empty without a backward pass.
    """

    name: str
    layer: Layer
    input: Arrays
    output: Arrays = field(default_factory=lambda: np.empty(0))
    grad_output: Arrays = None
    grad_input: Arrays = None
    parameters: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)

    @property
    def symbol(self) -> str:
        """The symbol of its output, "a", the sums of a Linear or a convolution, or "y"."""
        return "a" if self.is_dense or SUMS.of(self.layer) is not None else "y"

    @property
    def is_dense(self) -> bool:
        """Whether its output is x Wᵀ + b, as that of a Linear, or of a subclass that does not override forward."""
        return is_plain(self.layer, Linear, "forward")

    @property
    def is_elementwise(self) -> bool:
        """Whether it is an elementwise Activation."""
        return is_plain(self.layer, Activation, "forward") and bool(shape_of(self.output) == shape_of(self.input))

    def __repr__(self) -> str:
        shapes = " and ".join(str(part.shape) for part in parts_of(self.output))
        return f"LayerTrace({self.name}: {' '.join(repr(self.layer).split())}, output {shapes})"


class Record(Mapping[str, LayerTrace]):
    """The numbers of all layers, by index or name; :class:`Trace` displays them."""

    def __init__(
        self,
        model: Chain,
        x: Arrays,
        target: Arrays,
        loss: Loss | None,
        value: float | None,
        whole: LayerTrace,
        layers: Mapping[str, LayerTrace],
    ) -> None:
        self.model, self.x, self.target, self.loss, self.value = model, x, target, loss, value
        self.prediction, self.grad_x = whole.output, whole.grad_input
        self._layers = dict(layers)

    # ---- access to layers

    def __getitem__(self, key: int | np.integer[Any] | str) -> LayerTrace:
        name = key
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            if not -len(self.model) <= key < len(self.model):
                raise IndexError(f"trace: there is no layer {key}; the model has {len(self.model)}")
            name = str(int(key) % len(self.model))
        if not isinstance(name, str):
            raise TypeError(f'trace: expected a layer\'s number or name, such as 0 or "0", got {key!r:.60}')
        if name not in self._layers:
            raise KeyError(f"trace: there is no layer {key!r}{nearest(name, self._layers)}")
        return self._layers[name]

    def __contains__(self, key: object) -> bool:
        return key in self._layers or (isinstance(key, int) and str(key) in self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def leaves(self, root: str, *methods: str) -> list[LayerTrace]:
        """Return the layers of a chain in order; chains within it that override none of the methods are expanded."""
        found: list[str] = []
        for name, layer in Tree(self.model).layers.items():
            hidden = found and is_within(name, found[-1])
            if is_within(name, root) and not hidden and not is_plain(layer, Chain, *methods):
                found.append(name)
        return [self[name] for name in found if name in self]

    @property
    def has_gradients(self) -> bool:
        """Whether there was a backward pass."""
        return self.value is not None


def is_within(name: str, outer: str) -> bool:
    """Tell whether a name is that of a layer, or of a part of it."""
    return outer in ("", name) or name.startswith(f"{outer}.")


def nearest(name: str, names: Mapping[str, Any]) -> str:
    """Return a hint with the closest name, or with the existing names."""
    import difflib  # only for an error

    close = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {listed(list(map(repr, names)), 8)}" if names else "; there is none"


class Recorder:
    """Records the inputs and outputs of one layer."""

    def __init__(self, name: str, layer: Layer, twin: Layer, found: list[LayerTrace]) -> None:
        self.name, self.layer, self.found = name, layer, found
        self.entered = 0
        self.calls: list[tuple[Any, LayerTrace]] = []  # each with its cache
        self.original = {method: getattr(twin, method) for method in ("forward", "backward", "backward_parameters")}
        vars(twin).update({method: getattr(self, method) for method in self.original})

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Array, Any]:
        """Call forward, and record its input and output."""
        self.entered += 1
        name = self.name if self.entered == 1 else f"{self.name}#{self.entered}"
        record = LayerTrace(name, self.layer, each(np.array, x))
        self.found.append(record)
        y, cache = self.original["forward"](x, training=training)
        record.output = each(np.array, y)
        self.calls.append((cache, record))
        return y, cache

    def backward(self, grad: Arrays, cache: Any) -> Array:
        """Call backward, and record both gradients with the matching call."""
        record, before = self._record(cache), each(np.array, grad)
        dx: Array = self.original["backward"](grad, cache)
        if record is None:
            return dx
        record.grad_output = before
        given = parts_of(record.input)
        if len(parts_of(dx)) != len(given) or any(
            part is not None and np.shape(part) != x.shape for part, x in zip(parts_of(dx), given, strict=True)
        ):
            who = f"layer {self.name}, {called(self.layer)}" if self.name else called(self.layer)
            wanted, got = (" and ".join(str(np.shape(part)) for part in parts) for parts in (given, parts_of(dx)))
            raise ValueError(f"{who}: backward must return dE/dx of the shape of x, {wanted}, got {got}")
        record.grad_input = None if dx is None else each(np.array, dx)
        return dx

    def backward_parameters(self, grad: Arrays, cache: Any) -> None:
        """Call backward_parameters, and record its input."""
        record, before = self._record(cache), each(np.array, grad)
        self.original["backward_parameters"](grad, cache)
        if record is not None:
            record.grad_output = before

    def _record(self, cache: Any) -> LayerTrace | None:
        """Return the last call with this cache whose backward has not run yet.

        None if there was no call: forward was bypassed, as in ``self.inner.function(x)``.
        """
        open_calls = [record for kept, record in self.calls if kept is cache and record.grad_output is None]
        if open_calls:
            return open_calls[-1]
        return self.calls[-1][1] if self.calls else None
