"""Measures: the size of a unit and of its lines of text, and places for labels on edges, in pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.inspection.drawing.columns import Column
from nanonet.inspection.drawing.figure import text_width
from nanonet.inspection.record import LayerTrace
from nanonet.inspection.rounding import printed

TEXT = 11.0  # size of most letters
LEADING = 17.0  # from line to line in a unit

Bounds = tuple[float, float, float, float]  # left, top, right and bottom; or the two ends of a line


def row_width(name: str, number: str) -> float:
    """Return the width of a name and its number."""
    return text_width(name, TEXT + 1) + 5 + text_width(number, TEXT)


def radius(column: Column) -> float:
    """Return the radius of a circle that holds every line of every unit of a column."""
    rows = ((index(symbol, j), printed(a[j])) for symbol, a in column.rows.items() for j in column.shown)
    widest = max((row_width(*row) for row in rows), default=0.0)
    return float(np.hypot(widest / 2 + 2, LEADING * (len(column.rows) - 1) / 2 + 7))


def index(symbol: str, j: int) -> str:
    """Return the name of a number of unit j, as in code."""
    return f"{symbol}[{j}]"


def fitted(text: str, width: float, size: float) -> str:
    """Return text, truncated to the width."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def spots(
    ends: dict[tuple[int, int], Bounds], edge: tuple[int, int], texts: list[str], size: float
) -> list[tuple[int, Bounds]]:
    """Return possible boxes for a label along its edge, each with the number of edges crossing it; best first."""
    half = np.array([max(text_width(text, size) for text in texts) / 2 + 2, 6.0 * len(texts) + 2])
    x1, y1, x2, y2 = ends[edge]
    share = np.linspace(0.12, 0.88, 39)
    centre = np.stack([x1 + share * (x2 - x1), y1 + share * (y2 - y1)], axis=1)
    low, high = centre - half, centre + half
    others = np.array([line for key, line in ends.items() if key != edge]).reshape(-1, 4)
    crossed = _crossings(others, low - 2, high + 2)
    order = np.lexsort((np.abs(share - 0.33), crossed))
    return [(int(crossed[i]), (*low[i].tolist(), *high[i].tolist())) for i in order]


def _crossings(lines: Array, low: Array, high: Array) -> npt.NDArray[np.intp]:
    """Return, for each box, the number of left-to-right lines that cross it."""
    x1, y1, x2, y2 = lines.T
    slope = (y2 - y1) / (x2 - x1)
    at_left = y1 + slope * (low[:, :1] - x1)
    at_right = y1 + slope * (high[:, :1] - x1)
    through = (np.minimum(at_left, at_right) < high[:, 1:]) & (np.maximum(at_left, at_right) > low[:, 1:])
    count: npt.NDArray[np.intp] = through.sum(axis=1)
    return count


def overlap(one: Bounds, other: Bounds) -> bool:
    """Tell whether two boxes overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def edges_of(before: Column, column: Column) -> Iterator[tuple[tuple[int, int], Bounds, list[float]]]:
    """Yield (from, to) of every shown edge, from -1 for a bias; its ends; its weight and, if known, the gradient."""
    assert isinstance(column.link, LayerTrace)
    held = [arrays for arrays in (column.link.parameters, column.link.gradients) if arrays]
    both = [np.column_stack([arrays[own] for own in ("weight", "bias") if own in arrays]) for arrays in held]
    for j in column.shown:
        for k, y in before.places.items():
            ends = before.centre, y, column.centre, column.places[j]
            yield (k, j), ends, [float(array[j, k]) for array in both]  # the bias is the last column
