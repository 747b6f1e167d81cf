"""The table of a trace: every number of a pass in rows of text, in order of computation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from nanonet.checking.view import named_parts
from nanonet.core.arrays import Arrays, batch_size_of, parts_of
from nanonet.core.errors import shape_text
from nanonet.core.objects import called
from nanonet.inspection.html import table
from nanonet.inspection.record import Record
from nanonet.inspection.rounding import written
from nanonet.inspection.shortening import picked, with_gaps

SHOWN = (8, 4, 2)  # how many rows or columns of an array are shown in full; else how many at the start and the end
FIGURE_SPACE = "\u2007"  # as wide as a digit, and not collapsed in HTML


Cells = tuple[str, str, str, str]  # layer, label, shape and numbers


def _rows(trace: Record) -> Iterator[Cells]:
    """Yield the rows of the table, from x to the target."""
    yield from _batch("x", trace.x)
    if trace.grad_x is not None:
        yield from _batch("dE/dx", trace.grad_x)
    for layer in trace.values():
        yield layer.name, one_line(called(layer.layer)), "", ""
        for name, value in layer.parameters.items():
            yield from _array(name, str(value.shape), value)
            if name in layer.gradients:
                yield from _array(f"dE/d{name}", str(value.shape), layer.gradients[name])
        yield from _batch(layer.symbol, layer.output)
        if layer.grad_output is not None:
            yield from _batch("g = dE/da" if layer.symbol == "a" else "dE/dy", layer.grad_output)
    if trace.target is not None:
        yield from _batch("t", trace.target)


def _batch(label: str, arrays: Arrays) -> Iterator[Cells]:
    for name, array in named_parts(label, arrays).items():
        yield from _array(name, shape_text(array.shape[1:]), array)


def _array(label: str, shape: str, array: npt.NDArray[Any]) -> Iterator[Cells]:
    """Yield an array row by row, the first with its label and shape."""
    for i, numbers in enumerate(_aligned(_cells(array))):
        yield ("", label, shape, numbers) if i == 0 else ("", "", "", numbers)


def title(trace: Record) -> list[str]:
    """Return the lines above the table."""
    count = batch_size_of(trace.x)
    described = f"{type(trace.model).__name__}: {count} sample{'s' * (count != 1)}, {trace.model.dtype}"
    if trace.value is None:
        return [f"Trace of {described}; no target, so no gradients"]
    lines = [f"Trace of {described}, E = {written(trace.value)} ({one_line(called(trace.loss))})"]
    if count > 1:
        row = ", one row each" if all(x.ndim == 2 for x in parts_of(trace.x)) else ""
        lines.append(f"E is the mean over the {count} samples{row}; gradients are those of E.")
    return lines


def trace_table(trace: Record) -> str:
    """Return a title, and one line per row of numbers."""
    rows = list(_rows(trace))
    layer = max(len(row[0]) for row in rows)
    label = max(len(row[1]) for row in rows if not row[0])
    shape = max(len(row[2]) for row in rows)
    lines = [f"{name:{layer}}   {own:{label}}  {size:{shape}}  {numbers}".rstrip() for name, own, size, numbers in rows]
    return "\n".join([*title(trace), "", *lines])


def trace_html(trace: Record) -> str:
    """Return the table for a notebook."""
    rows = [
        [layer, label, shape.replace(" ", "\u00a0"), numbers.replace(" ", FIGURE_SPACE)]
        for layer, label, shape, numbers in _rows(trace)
    ]
    return table(" ".join(title(trace)), ["", "", "shape", "numbers"], rows)


# ---- arrays as rows of text


def _cells(array: npt.NDArray[Any]) -> list[list[str]]:
    """Return an array as rows of text; of a large one the first and last, and how many are omitted."""
    width = array.shape[-1] if array.ndim > 1 else array.size
    rows = array.reshape(array.size // width if width else 1, width)
    cells: list[list[str]] = []
    for omitted, i in with_gaps(picked(len(rows), *SHOWN)):
        if omitted:
            cells.append([f"... {omitted} more rows ..."])
        cells.append(_row(rows[i]))
    return cells


def _row(numbers: npt.NDArray[Any]) -> list[str]:
    cells = []
    for omitted, k in with_gaps(picked(len(numbers), *SHOWN)):
        if omitted:
            cells.append(f"... {omitted} more ...")
        number = numbers[k]
        cells.append(str(number) if numbers.dtype.kind in "iu" else written(float(number)))
    return cells


def one_line(text: str, most: int = 60) -> str:
    """Return text on one line, truncated if long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _aligned(cells: list[list[str]]) -> list[str]:
    """Return each row as one string, with columns aligned at the decimal point."""
    full = [row for row in cells if not (len(row) == 1 and row[0].startswith("..."))]
    columns = list(zip(*full, strict=True)) if full else []
    heads = [max(len(_head(cell)) for cell in column) for column in columns]
    tails = [max(len(cell) - len(_head(cell)) for cell in column) for column in columns]
    lines = []
    for row in cells:
        if len(row) == len(columns):
            padded = zip(row, heads, tails, strict=True)
            row = [f"{'':{head - len(_head(cell))}}{cell:{len(_head(cell)) + tail}}" for cell, head, tail in padded]
        lines.append("  ".join(row).rstrip())
    return lines


def _head(cell: str) -> str:
    """Return the part of a number before its decimal point."""
    return cell.partition(".")[0] if not cell.startswith("...") else ""
