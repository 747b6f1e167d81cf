"""Docstrings in the reference: their formulas, plain text in help(), are typeset; code and examples stay."""

from __future__ import annotations

import re

from formulas import typeset, whole
from sphinx.application import Sphinx


def displayed(lines: list[str]) -> list[str] | None:
    """Return lines of formulas, several of which may stand in one line, as a block of TeX, or None for other lines."""
    rows = [[whole(cell) for cell in re.split(r" {3,}", line.strip())] for line in lines]
    if any(cell is None for row in rows for cell in row):
        return None
    aligned = [" & ".join(str(cell).replace(r"\leftarrow", r"&\leftarrow", 1) for cell in row) for row in rows]
    return [".. math::", "", r"   \begin{alignedat}{9}", *(rf"   {row} \\" for row in aligned), r"   \end{alignedat}"]


def typeset_lines(lines: list[str]) -> list[str]:
    """Return a docstring, already in reStructuredText, with its formulas typeset; code and examples stay."""
    result: list[str] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        if not line.strip() or line.lstrip().startswith(("..", ">>>")):
            indent = len(line) - len(line.lstrip())
            result.append(line)
            place += 1
            while line.strip() and place < len(lines) and lines[place].strip():  # an example goes on to an empty line
                result.append(lines[place])
                place += 1
            if line.lstrip().startswith(".. code"):
                place = _beyond_block(lines, place, indent, result)
            continue
        end = place
        while end < len(lines) and lines[end].strip() and not lines[end].lstrip().startswith(">>>"):
            end += 1
        paragraph = lines[place:end]
        place = end
        if paragraph[-1].rstrip().endswith("::"):
            block: list[str] = []
            indent = len(paragraph[-1]) - len(paragraph[-1].lstrip())
            place = _beyond_block(lines, place, indent, block)
            shown = displayed([each for each in block if each.strip()])
            if shown is not None:
                paragraph[-1] = paragraph[-1].rstrip()[:-1]
                block = ["", *(" " * indent + each for each in shown), ""]
            result += [*typeset("\n".join(paragraph)).split("\n"), *block]
        else:
            result += typeset("\n".join(paragraph)).split("\n")
    return result


def _beyond_block(lines: list[str], place: int, indent: int, into: list[str]) -> int:
    """Copy the lines that are indented more, and return where they end."""
    while place < len(lines) and (not lines[place].strip() or len(lines[place]) - len(lines[place].lstrip()) > indent):
        into.append(lines[place])
        place += 1
    return place


def typeset_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Typeset the formulas of a docstring that autodoc shows."""
    lines[:] = typeset_lines(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above; after napoleon has made reStructuredText."""
    app.connect("autodoc-process-docstring", typeset_docstring, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
