"""Columns: the columns of a net's figure, units with numbers, pictures or blocks, and the links between them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Arrays, shape_of
from nanonet.core.chain import Chain
from nanonet.core.errors import shape_text
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.inspection.drawing.draws import Pictures, maps_of, pictures_of, stated_pictures
from nanonet.inspection.drawing.maps import ROWS, Maps
from nanonet.inspection.record import LayerTrace, Record, is_plain
from nanonet.inspection.shortening import picked
from nanonet.inspection.table import one_line
from nanonet.inspection.wiring import Step, Wiring, X
from nanonet.layers.activations import Activation
from nanonet.layers.composite import Composite

LABELLED = 4  # maximum number of units per layer for labels on edges
PARTS, PART = 12, "·"  # maximum number of parts of a layer that are shown, and what the lines of a list begin with
WIDE, TIGHT = 32.0, 12.0  # between two units whose edges have labels, and between two others


@dataclass
class Column:
    """Units, each with a few numbers, or pictures, or a block, which has neither; ``link`` leads to it from the last.

    Attributes
    ----------
    heading : list of str
        Lines above the column.
    rows : dict of array
        By symbol, one number per unit; empty for a block.
    pictures : dict of array
        By symbol, the pictures in each row.
    link : LayerTrace, "straight", "bundle" or "none"
        A weight from every unit to every unit: those of a dense layer; a line from unit to unit; an arrow; or nothing.
    wires : list of int
        Further columns, by number, from which arrows lead to it.
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
    pictures: Pictures = field(default_factory=dict)
    wires: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of units, or of rows of pictures."""
        return len(next(iter((self.rows or self.pictures).values()), ()))

    @property
    def shown(self) -> list[int]:
        """The indices of those that are shown."""
        return picked(self.count, *ROWS) if self.pictures else picked(self.count, 8, 3, 2)

    @cached_property
    def maps(self) -> Maps:
        """The layout of its pictures."""
        return Maps(self.pictures, self.shown)


def columns_of(trace: Record) -> list[Column]:
    """Return the columns of a trace of one sample, from x to the prediction."""
    columns = [_output(["input", shape_text(shape_of(trace.x))], {"x": trace.x})]
    if not is_plain(trace.model, Chain, "forward"):  # its layers may not form a chain
        whole = LayerTrace("model", trace.model, trace.x, trace.prediction)
        return columns + _block(["model", called(trace.model)], whole, {})
    for layer in trace.leaves("", "forward"):
        _follow(trace, columns, layer, [len(columns) - 1])
    for before, column in pairwise(columns):
        if isinstance(column.link, LayerTrace):
            column.labelled = max(before.count, column.count) <= LABELLED
            if column.labelled:
                before.space = column.space = WIDE
            before.has_one = "bias" in column.link.parameters
    return columns


def _follow(trace: Record, columns: list[Column], layer: LayerTrace, sources: list[int], alone: bool = True) -> None:
    """Add the columns of a layer that takes the outputs of some columns; alone: no other layer takes these.

    Of a chain and of a Composite they are those of the parts.
    """
    if is_plain(layer.layer, Chain, "forward") and "#" not in layer.name:
        for part in trace.leaves(layer.name, "forward"):
            _follow(trace, columns, part, sources, alone)
            sources, alone = [len(columns) - 1], True
        return
    steps, last = _steps(trace, layer), len(columns) - 1
    if not steps:
        before = columns[last] if sources == [last] else Column([])
        columns += _joined(_next(before, layer, alone), sources, last)
        return
    outputs: dict[int, list[int]] = {X: sources}  # the columns of each value
    uses = Counter(source for step in steps for source in step.sources)
    for number, step in enumerate(steps):
        taken = list(dict.fromkeys(column for source in step.sources for column in outputs[source]))
        if step.record is None:
            found = _value(steps, number, layer)
            shape = [] if found is None else [shape_text(shape_of(found))]
            columns += _joined([_output([step.name, *shape], {"y": found})], taken, len(columns) - 1)
        else:
            _follow(trace, columns, step.record, taken, all(uses[source] == 1 for source in step.sources))
        outputs[number] = [len(columns) - 1]


def _value(steps: list[Step], number: int, whole: LayerTrace) -> Arrays:
    """Return the value of an operation, from what takes it; None for several, or if that takes other values too."""
    if steps[number].name.startswith("split"):
        return None
    takes = (step.record.input for step in steps if step.record is not None and step.sources == [number])
    return whole.output if number == len(steps) - 1 else next(takes, None)


def _joined(added: list[Column], sources: list[int], last: int) -> list[Column]:
    """Return columns of which the first takes the outputs of others, and is linked to the last only if that is one."""
    if added and sources != [last]:
        added[0].link, added[0].wires = ("bundle" if last in sources else "none"), [i for i in sources if i != last]
    return added


def _steps(trace: Record, layer: LayerTrace) -> list[Step]:
    """Return the calls that a layer consists of; none if they are not shown."""
    once = "#" not in layer.name and f"{layer.name}#2" not in trace
    if not once or not is_plain(layer.layer, Composite, "forward"):
        return []
    steps = Wiring(trace, layer).steps
    return steps if len(steps) <= PARTS else []


def _next(before: Column, layer: LayerTrace, alone: bool) -> list[Column]:
    """Return the columns that a layer adds; an activation is merged into the units whose sums it takes alone."""
    call = re.sub(r"(, )?\w+=\.\.\.", "", called(layer.layer))  # without arrays, whose numbers are in the figure
    heading = [f"{layer.name}  {call}"]
    shape = shape_text(shape_of(layer.output))
    stated = stated_pictures(layer)
    if layer.is_dense and layer.input.ndim == 2 and not stated and before.rows:
        return [_units([*heading, shape], {"a": layer.output, "g": layer.grad_output}, layer)]
    if layer.is_elementwise and "a" in before.rows and "y" not in before.rows and alone:
        before.rows = {"a": before.rows["a"], "y": layer.output[0]} | before.rows
        before.heading.insert(-1, heading[0])
        return []
    if layer.is_elementwise and not isinstance(layer.output, tuple) and layer.output.ndim == 2:
        link = "straight" if before.rows else "bundle"
        return [_units([*heading, shape], {"y": layer.output, "g": layer.grad_input}, link)]
    output = maps_of(layer.output)
    if output is not None and alone and _is_merged(before, layer, output):
        g = {symbol: before.pictures.pop(symbol) for symbol in ("g",) if symbol in before.pictures}
        before.pictures |= {"y": output} | g
        before.heading.insert(-1, heading[0])
        return []
    pictures = pictures_of(layer, stated)
    if pictures:
        return [Column([*heading, *_parts(layer), shape], pictures=pictures)]
    return _block([*heading, *_parts(layer)], layer, stated)


def _is_merged(before: Column, layer: LayerTrace, output: npt.NDArray[Any]) -> bool:
    """Tell whether a layer is an activation of the feature maps before it."""
    first = "a" in before.pictures and "y" not in before.pictures
    return first and isinstance(layer.layer, Activation) and output.shape == before.pictures["a"].shape


def _parts(layer: LayerTrace) -> list[str]:
    """Return the parts of a layer that is made of layers, one a line, if they are few."""
    parts = [(name, part) for name, part in layer.layer.owned_parts() if isinstance(part, Layer)]
    return [f"{PART} {name}: {one_line(called(part), 40)}" for name, part in parts] if len(parts) <= PARTS else []


def _block(heading: list[str], layer: LayerTrace, pictures: Pictures) -> list[Column]:
    """Return a block with its shapes, followed by the units of its output if that is one two-dimensional array."""
    shape, symbol = shape_text(shape_of(layer.output)), layer.symbol
    block = Column([*heading, f"{shape_text(shape_of(layer.input))} to {shape}"], pictures=pictures)
    rows = {symbol: layer.output} | ({"g": layer.grad_output} if symbol == "a" else {})
    units = _units([f"{symbol} of {heading[0].split()[0]}", shape], rows)
    return [block, units] if units.rows else [block]


def _output(heading: list[str], rows: dict[str, Any]) -> Column:
    """Return a column of units or of pictures, or a block."""
    pictures = {symbol: found for symbol, array in rows.items() if (found := maps_of(array)) is not None}
    return Column(heading, pictures=pictures) if pictures else _units(heading, rows)


def _units(heading: list[str], rows: dict[str, Any], link: LayerTrace | str = "bundle") -> Column:
    """Return a column of units, or a block if there is more than one feature axis."""
    if any(isinstance(array, tuple) or array.ndim != 2 for array in rows.values() if array is not None):
        return Column(heading, link=link)
    return Column(heading, {symbol: np.asarray(a)[0] for symbol, a in rows.items() if a is not None}, link)
