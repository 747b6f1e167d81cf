"""Measures: the size of a unit and of its lines of text, in pixels."""

from __future__ import annotations

import numpy as np

from nanonet.inspection.drawing.columns import Column
from nanonet.inspection.drawing.figure import text_width
from nanonet.inspection.rounding import printed

TEXT = 11.0  # size of most letters
LEADING = 17.0  # from line to line in a unit


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
