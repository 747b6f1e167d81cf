"""Loops: the pieces of C that the writers share; none of them loops over one, or multiplies by one."""

from __future__ import annotations

import math
import textwrap

from nanonet.core.arrays import Shape

LINE = 100  # columns of a line of the file

Axis = tuple[str, int]
"""An index as an expression in C, and the length of its axis."""


def loop(name: str, count: int, lines: list[str]) -> list[str]:
    """Return a loop over statements; of one turn, the statements, in which :func:`index` writes no name.

    Examples
    --------
    >>> loop("i", 3, ["y[i] = 0.0f;"]), loop("i", 1, ["y[0] = 0.0f;"])
    (['for (int i = 0; i < 3; i++) y[i] = 0.0f;'], ['y[0] = 0.0f;'])
    """
    return lines if count == 1 else under(f"for (int {name} = 0; {name} < {count}; {name}++)", lines)


def loops(axes: list[Axis], lines: list[str]) -> list[str]:
    """Return a loop within a loop for each axis, the first outside."""
    for name, count in reversed(axes):
        lines = loop(name, count, lines)
    return lines


def under(head: str, lines: list[str]) -> list[str]:
    """Return statements under the head of a loop or a condition."""
    if len(lines) == 1 and len(head) + len(lines[0]) < LINE:
        return [f"{head} {lines[0]}"]
    return [f"{head} {{", *("    " + line for line in lines), "}"]


def text(lines: list[str]) -> str:
    """Return statements as text, in a block of their own if they declare a name."""
    declares = any(line.startswith(("float ", "int ", "const ")) for line in lines)
    return "\n".join(under("", lines)).strip() if declares else "\n".join(lines)


def index(*axes: Axis) -> str:
    """Return the place of an entry in C order.

    Examples
    --------
    >>> index(("n", 2), ("i", 3), ("j", 4)), index(("n", 2), ("i", 1)), index(("n", 1))
    ('(n * 3 + i) * 4 + j', 'n', '0')
    """
    place = ""
    for name, length in axes:
        if name == "0":
            place = place and times(place, length)
        elif length != 1:
            place = f"{times(place, length)} + {name}" if place else name
    return place or "0"


def times(factor: str, count: int) -> str:
    """Return a product of an expression and a whole number."""
    if count == 1:
        return factor
    return f"({factor}) * {count}" if " " in factor else f"{factor} * {count}"


def per_channel(place: str, shape: Shape) -> str:
    """Return the channel of an entry of an array whose first axis has the channels."""
    size = math.prod(shape[1:])
    if shape[0] == 1:
        return "0"
    return place if size == 1 else f"({place}) / {size}" if " " in place else f"{place} / {size}"


def plus(first: int, place: str) -> str:
    """Return the sum of a whole number and a place.

    Examples
    --------
    >>> plus(0, "j"), plus(8, "j"), plus(8, "0")
    ('j', '8 + j', '8')
    """
    if place == "0":
        return str(first)
    return f"{first} + {place}" if first else place


def folded(code: str) -> str:
    """Return code with its long lines wrapped.

    Examples
    --------
    >>> print(folded("    y = " + "first + " * 11 + "last;"))
        y = first + first + first + first + first + first + first + first + first + first + first +
            last;
    """
    return "\n".join(_fold(line) for line in code.split("\n"))


def _fold(line: str) -> str:
    if len(line) <= LINE:
        return line
    words = line.lstrip()
    start = line[: len(line) - len(words)]
    return textwrap.fill(
        words,
        LINE,
        initial_indent=start,
        subsequent_indent=start + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
