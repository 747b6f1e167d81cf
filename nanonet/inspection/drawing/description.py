"""Description: the title of a figure and what it shows in words, for those who cannot see it."""

from __future__ import annotations

from nanonet.inspection.drawing.columns import Column
from nanonet.inspection.record import Record
from nanonet.inspection.rounding import printed


def title_of(columns: list[Column]) -> str:
    """Return the title of the figure."""
    names = " - ".join(str(column.count) if column.rows else column.heading[0] for column in columns)
    return f"A net of {names} units with the numbers of one pass"


def description_of(trace: Record, columns: list[Column]) -> str:
    """Return what the figure shows, in words."""
    parts = [
        f"{column.heading[0]}: {symbol} = {', '.join(printed(numbers[j]) for j in column.shown)}"
        for column in columns
        for symbol, numbers in column.rows.items()
    ]
    parts += [
        f"{column.heading[0]}: {group.symbol}, images from {printed(group.scale.low)} to {printed(group.scale.high)}"
        for column in columns
        if column.pictures
        for group in column.maps.groups
    ]
    for column in columns:
        parts += [f"{columns[number].heading[0]} leads to {column.heading[0]}" for number in column.wires]
    if trace.value is not None:
        parts.append(f"E = {printed(trace.value)}")
    return "; ".join(parts)
