"""The table of a trace: every number of a pass in rows of text, in order of computation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy.typing as npt

from nanonet.core.errors import shape_text
from nanonet.core.objects import called
from nanonet.inspection.html import table
from nanonet.inspection.record import LayerTrace, Record
from nanonet.inspection.rounding import written

WIDEST, LONGEST = 8, 8  # columns and rows of an array that are shown in full; of a larger one the first and last
FIRST, LAST = 4, 2
FIGURE_SPACE = "\u2007"  # as wide as a digit, and not collapsed in HTML


class Entry(NamedTuple):
    """One entry of the table: a layer, which has no numbers, or a named array."""

    layer: str
    label: str
    shape: str = ""
    numbers: list[list[str]] | None = None


def entries(trace: Record) -> Iterator[Entry]:
    """Yield the entries of the table, from x to the target."""
    yield _batch("x", trace.x)
    if trace.grad_x is not None:
        yield _batch("dE/dx", trace.grad_x)
    for layer in trace.values():
        yield Entry(layer.name, one_line(called(layer.layer)))
        yield from _numbers(layer)
    if trace.target is not None:
        yield _batch("t", trace.target)


def _numbers(layer: LayerTrace) -> Iterator[Entry]:
    for name, value in layer.parameters.items():
        yield Entry("", name, str(value.shape), _cells(value))
        if name in layer.gradients:
            yield Entry("", f"dE/d{name}", str(value.shape), _cells(layer.gradients[name]))
    yield _batch(layer.symbol, layer.output)
    if layer.grad_output is not None:
        yield _batch("g = dE/da" if layer.symbol == "a" else "dE/dy", layer.grad_output)


def _batch(label: str, array: npt.NDArray[Any]) -> Entry:
    return Entry("", label, shape_text(array.shape[1:]), _cells(array))


def title(trace: Record) -> list[str]:
    """Return the lines above the table."""
    count = len(trace.x)
    described = f"{type(trace.model).__name__}: {count} sample{'s' * (count != 1)}, {trace.model.dtype}"
    if trace.value is None:
        return [f"Trace of {described}; no target, so no gradients"]
    lines = [f"Trace of {described}, E = {written(trace.value)} ({one_line(called(trace.loss))})"]
    if count > 1:
        row = ", one row each" if trace.x.ndim == 2 else ""
        lines.append(f"E is the mean over the {count} samples{row}; gradients are those of E.")
    return lines


def trace_table(trace: Record) -> str:
    """Return a title, and one line per row of numbers."""
    shown = list(entries(trace))
    layer = max(len(entry.layer) for entry in shown)
    label = max(len(entry.label) for entry in shown if entry.numbers is not None)
    shape = max(len(entry.shape) for entry in shown)
    lines = [*title(trace), ""]
    for entry in shown:
        if entry.numbers is None:
            lines.append(f"{entry.layer:{layer}}   {entry.label}")
            continue
        for i, row in enumerate(_aligned(entry.numbers)):
            label_text, shape_text_ = (entry.label, entry.shape) if i == 0 else ("", "")
            lines.append(f"{'':{layer}}   {label_text:{label}}  {shape_text_:{shape}}  {row}".rstrip())
    return "\n".join(lines)


def trace_html(trace: Record) -> str:
    """Return the table for a notebook."""
    rows = []
    for entry in entries(trace):
        numbers = [""] if entry.numbers is None else _aligned(entry.numbers)
        for i, row in enumerate(numbers):
            aligned = row.replace(" ", FIGURE_SPACE)
            shape = entry.shape.replace(" ", "\u00a0")
            rows.append([entry.layer, entry.label, shape, aligned] if i == 0 else ["", "", "", aligned])
    return table(" ".join(title(trace)), ["", "", "shape", "numbers"], rows)


# ---- arrays as rows of text


def _cells(array: npt.NDArray[Any]) -> list[list[str]]:
    """Return an array as rows of text; of a large one the first and last, and how many are omitted."""
    width = array.shape[-1] if array.ndim > 1 else array.size
    rows = array.reshape(array.size // width if width else 1, width)
    picked = _picked(len(rows), LONGEST)
    cells: list[list[str]] = []
    for before, i in pairwise([-1, *picked]):
        if i != before + 1:
            cells.append([f"... {i - before - 1} more rows ..."])
        cells.append(_row(rows[i]))
    return cells


def _row(numbers: npt.NDArray[Any]) -> list[str]:
    cells = []
    for before, k in pairwise([-1, *_picked(len(numbers), WIDEST)]):
        if k != before + 1:
            cells.append(f"... {k - before - 1} more ...")
        number = numbers[k]
        cells.append(str(number) if numbers.dtype.kind in "iu" else written(float(number)))
    return cells


def one_line(text: str, most: int = 60) -> str:
    """Return text on one line, truncated if long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _picked(count: int, most: int) -> list[int]:
    """Return the indices that are shown."""
    return list(range(count)) if count <= most else [*range(FIRST), *range(count - LAST, count)]


def _aligned(cells: list[list[str]]) -> list[str]:
    """Return each row as one string, with columns aligned at the decimal point."""
    full = [row for row in cells if not (len(row) == 1 and row[0].startswith("..."))]
    columns = list(zip(*full, strict=True)) if full else []
    heads = [max(len(_head(cell)) for cell in column) for column in columns]
    tails = [max(len(cell) - len(_head(cell)) for cell in column) for column in columns]
    lines = []
    for row in cells:
        if len(row) != len(columns):
            lines.append(" ".join(row))
            continue
        parts = [
            " " * (head - len(_head(cell))) + cell + " " * (tail - len(cell) + len(_head(cell)))
            for cell, head, tail in zip(row, heads, tails, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return lines


def _head(cell: str) -> str:
    """Return the part of a number before its decimal point."""
    return cell.partition(".")[0] if not cell.startswith("...") else ""
