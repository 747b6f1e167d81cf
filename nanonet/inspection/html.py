"""Notebook representations: a table and a sparkline, as static HTML in the notebook's own colours."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

Row = Sequence[object] | str
TABLE = '<table style="border-collapse: collapse; margin: 0.5em 0; white-space: nowrap">'
CAPTION = '<caption style="caption-side: top; text-align: left; color: inherit">'
PADDING = "padding: 0.2em 0.6em"


def table(title: str, head: Sequence[object], rows: Iterable[Row], *, right: Collection[int] = ()) -> str:
    """Return an HTML table with escaped text.

    Parameters
    ----------
    title : str
        The caption.
    head : sequence
        One cell per column.
    rows : iterable
        Each is a sequence of cells, one per column, or a string, a note that spans all columns.
    right : collection of int
        Right-aligned columns, such as numbers; the others are left-aligned.

    Raises
    ------
    ValueError
        If a row and the head differ in the number of cells.

    Examples
    --------
    >>> print(table("y < 1", ["epoch"], [[9]], right=[0]))
    <table style="border-collapse: collapse; margin: 0.5em 0; white-space: nowrap">
    <caption style="caption-side: top; text-align: left; color: inherit">y &lt; 1</caption>
    <thead>
    <tr><th style="text-align: right; padding: 0.2em 0.6em">epoch</th></tr>
    </thead>
    <tbody>
    <tr><td style="text-align: right; padding: 0.2em 0.6em">9</td></tr>
    </tbody>
    </table>
    """
    sides = ["right" if i in right else "left" for i in range(len(head))]
    top = [TABLE, f"{CAPTION}{_escaped(title)}</caption>", "<thead>", _line("th", head, sides), "</thead>"]
    return "\n".join([*top, "<tbody>", *(_row(row, sides) for row in rows), "</tbody>", "</table>"])


def _row(row: Row, sides: Sequence[str]) -> str:
    if isinstance(row, str):
        return f'<tr><td colspan="{len(sides)}" style="text-align: center; {PADDING}">{_escaped(row)}</td></tr>'
    if len(row) != len(sides):
        raise ValueError(f"table: expected {len(sides)} cells a row, as in its head, got {len(row)}: {row!r:.60}")
    return _line("td", row, sides)


def _line(tag: str, cells: Sequence[object], sides: Sequence[str]) -> str:
    written = (
        f'<{tag} style="text-align: {side}; {PADDING}">{_escaped(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(written)}</tr>"


def shortened(rows: Sequence[Row], noun: str, *, ends: int) -> list[Row]:
    """Return the first and last rows with a note of how many are omitted between; all rows if they are few.

    Examples
    --------
    >>> shortened([[1], [2], [3], [4], [5], [6], [7]], "epochs", ends=2)
    [[1], [2], '... 3 more epochs ...', [6], [7]]
    >>> shortened([[1], [2], [3], [4], [5]], "epochs", ends=2)  # replacing one row by a note would save nothing
    [[1], [2], [3], [4], [5]]
    """
    between = len(rows) - 2 * ends
    return list(rows) if between < 2 else [*rows[:ends], f"... {between} more {noun} ...", *rows[-ends:]]


def sparkline(title: str, values: Sequence[float], *, width: int = 240, height: int = 40) -> str:
    """Return a curve of the values as inline SVG, or nothing if fewer than two of them are finite.

    It has the colour of the surrounding text. NaN and infinity leave a gap; a long curve is sampled once per pixel.

    Examples
    --------
    >>> print(sparkline("loss", [4.0, 1.0, 0.0], width=12, height=6))
    <svg role="img" width="12" height="6" viewBox="0 0 12 6" style="display: block">
    <title>loss</title>
    <path d="M1 1L6 4L11 5" fill="none" stroke="currentColor" stroke-linejoin="round"/>
    </svg>
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    places = min(len(values), width)
    path, pen = "", "M"
    for place in range(places):
        value = values[round(place * (len(values) - 1) / (places - 1))]
        if math.isfinite(value):
            x, y = 1 + (width - 2) * place / (places - 1), height - 1 - (height - 2) * (value - low) / span
            path, pen = f"{path}{pen}{x:.4g} {y:.4g}", "L"
        else:
            pen = "M"
    box = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" style="display: block"'
    curve = f'<path d="{path}" fill="none" stroke="currentColor" stroke-linejoin="round"/>'
    return f'<svg role="img" {box}>\n<title>{_escaped(title)}</title>\n{curve}\n</svg>'


def _escaped(text: object) -> str:
    from html import escape  # loads a table of all entities, which importing nanonet need not do

    return escape(str(text))
