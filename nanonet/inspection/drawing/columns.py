"""Columns: the columns of a net's figure, units with numbers or blocks, and the links between them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Arrays, shape_of
from nanonet.core.chain import Chain
from nanonet.core.errors import shape_text
from nanonet.core.objects import called
from nanonet.inspection.record import LayerTrace, Record, is_plain
from nanonet.inspection.shortening import picked

LABELLED = 4  # maximum number of units per layer for labels on edges
WIDE, TIGHT = 32.0, 12.0  # between two units whose edges have labels, and between two others


@dataclass
class Column:
    """Units, each with a few numbers, or a block, which has none; ``link`` is its connection to the previous column.

    Attributes
    ----------
    heading : list of str
        Lines above the column.
    rows : dict of array
        By symbol, one number per unit; empty for a block.
    link : LayerTrace, "straight" or "bundle"
        A weight from every unit to every unit: those of a dense layer; a line from unit to unit; or an arrow.
    labelled : bool
        Whether the weights of its link are written on the edges.
    space : float
        Between two units.
    has_one : bool
        Whether it has the constant unit 1, whose weights are the biases of the next column.
    centre : float
        Its x coordinate in the figure.
    places : dict of float
        The y coordinate of each unit that is shown, with key -1 for the unit 1.
    """

    heading: list[str]
    rows: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    link: LayerTrace | str = "bundle"
    labelled: bool = False
    space: float = TIGHT
    has_one: bool = False
    centre: float = 0.0
    places: dict[int, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of units."""
        return len(next(iter(self.rows.values()), ()))

    @property
    def shown(self) -> list[int]:
        """The indices of the units that are shown."""
        return picked(self.count, 8, 3, 2)


def columns_of(trace: Record) -> list[Column]:
    """Return the columns of a trace of one sample, from x to the prediction."""
    columns = [_units(["input", shape_text(shape_of(trace.x))], {"x": trace.x})]
    if not is_plain(trace.model, Chain, "forward"):  # its layers may not form a chain
        return columns + _block(["model", called(trace.model)], trace.x, trace.prediction)
    for layer in trace.leaves("", "forward"):
        columns += _next(columns[-1], layer)
    for before, column in pairwise(columns):
        if isinstance(column.link, LayerTrace):
            column.labelled = max(before.count, column.count) <= LABELLED
            if column.labelled:
                before.space = column.space = WIDE
            before.has_one = "bias" in column.link.parameters
    return columns


def _next(before: Column, layer: LayerTrace) -> list[Column]:
    """Return the columns that a layer adds; an activation is merged into the units whose sums it takes."""
    call = re.sub(r"(, )?\w+=\.\.\.", "", called(layer.layer))  # without arrays, whose numbers are in the figure
    heading = [f"{layer.name}  {call}"]
    shape = shape_text(shape_of(layer.output))
    if layer.is_dense and layer.input.ndim == 2:
        return [_units([*heading, shape], {"a": layer.output, "g": layer.grad_output}, layer)]
    if layer.is_elementwise and "a" in before.rows and "y" not in before.rows:
        before.rows = {"a": before.rows["a"], "y": layer.output[0]} | before.rows
        before.heading.insert(-1, heading[0])
        return []
    if layer.is_elementwise and not isinstance(layer.output, tuple) and layer.output.ndim == 2:
        return [_units([*heading, shape], {"y": layer.output, "g": layer.grad_input}, "straight")]
    return _block(heading, layer.input, layer.output)


def _block(heading: list[str], x: Arrays, y: Arrays) -> list[Column]:
    """Return a block with its shapes, followed by the units of its output if that is one two-dimensional array."""
    shape = shape_text(shape_of(y))
    block = Column([*heading, f"{shape_text(shape_of(x))} to {shape}"])
    units = _units([f"y of {heading[0].split()[0]}", shape], {"y": y})
    return [block, units] if units.rows else [block]


def _units(heading: list[str], rows: dict[str, Any], link: LayerTrace | str = "bundle") -> Column:
    """Return a column of units, or a block if there is more than one feature axis."""
    if any(isinstance(array, tuple) or array.ndim != 2 for array in rows.values() if array is not None):
        return Column(heading, link=link)
    return Column(heading, {symbol: np.asarray(a)[0] for symbol, a in rows.items() if a is not None}, link)
