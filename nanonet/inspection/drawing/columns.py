"""Columns: the columns of a net's figure, units with numbers or blocks, and the links between them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.chain import Chain
from nanonet.core.errors import shape_text
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.inspection.record import LayerTrace, Record, is_plain

MOST = 8  # units of a layer that are shown in full; of a wider one the first and last
FIRST, LAST = 3, 2


@dataclass
class Dense:
    """A weight from every unit to every unit of the next column."""

    name: str
    weight: Array
    grad: Array | None
    bias: Array | None
    bias_grad: Array | None


@dataclass
class Column:
    """Units, each with a few numbers, or a block, which has none; ``link`` is its connection to the previous column.

    Attributes
    ----------
    heading : list of str
        Lines above the column.
    rows : dict of array
        By symbol, one number per unit; empty for a block.
    link : Dense, "straight" (unit to unit) or "bundle"
    """

    heading: list[str]
    rows: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    link: Dense | str = "bundle"

    @property
    def count(self) -> int:
        """The number of units."""
        return len(next(iter(self.rows.values()), ()))

    @property
    def shown(self) -> list[int]:
        """The indices of the units that are shown."""
        n = self.count
        return list(range(n)) if n <= MOST else [*range(FIRST), *range(n - LAST, n)]


def columns_of(trace: Record) -> list[Column]:
    """Return the columns of a trace of one sample, from x to the prediction."""
    columns = [_units(["input", shape_text(trace.x.shape[1:])], {"x": trace.x})]
    if not is_plain(trace.model, Chain, "forward"):  # its layers may not form a chain
        return columns + _block(["model", called(trace.model)], trace.x, trace.prediction)
    for layer in trace.leaves("", "forward"):
        columns += _next(columns[-1], layer)
    return columns


def _next(before: Column, layer: LayerTrace) -> list[Column]:
    """Return the columns that a layer adds; an activation is merged into the units whose sums it takes."""
    heading = [f"{layer.name}  {_called(layer.layer)}"]
    shape = shape_text(layer.output.shape[1:])
    if layer.is_dense and layer.input.ndim == 2:
        return [_units([*heading, shape], {"a": layer.output, "g": layer.grad_output}, _dense(layer))]
    if layer.is_elementwise and "a" in before.rows and "y" not in before.rows:
        before.rows = {"a": before.rows["a"], "y": layer.output[0]} | before.rows
        before.heading.insert(-1, heading[0])
        return []
    if layer.is_elementwise and layer.output.ndim == 2:
        return [_units([*heading, shape], {"y": layer.output, "g": layer.grad_input}, "straight")]
    return _block(heading, layer.input, layer.output)


def _block(heading: list[str], x: npt.NDArray[Any], y: Array) -> list[Column]:
    """Return a block with its shapes, followed by the units of its output if that is two-dimensional."""
    shape = shape_text(y.shape[1:])
    block = Column([*heading, f"{shape_text(x.shape[1:])} to {shape}"])
    return [block, _units([f"y of {heading[0].split()[0]}", shape], {"y": y})] if y.ndim == 2 else [block]


def _called(layer: Layer) -> str:
    """Return a layer's call without its array arguments, whose numbers are in the figure."""
    text = called(layer)
    return re.sub(r"(, )?\w+=\.\.\.", "", text)


def _dense(layer: LayerTrace) -> Dense:
    weight, bias = layer.parameters["weight"], layer.parameters.get("bias")
    return Dense(layer.name, weight, layer.gradients.get("weight"), bias, layer.gradients.get("bias"))


def _units(heading: list[str], rows: dict[str, Any], link: Dense | str = "bundle") -> Column:
    """Return a column of units, or a block if there is more than one feature axis."""
    if any(array is not None and array.ndim != 2 for array in rows.values()):
        return Column(heading, link=link)
    return Column(heading, {symbol: np.asarray(a)[0] for symbol, a in rows.items() if a is not None}, link)
