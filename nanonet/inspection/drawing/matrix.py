"""Matrix: a bracketed matrix as part of a figure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy.typing as npt

from nanonet.inspection.drawing.figure import Mark, Stroke, Words, text_width
from nanonet.inspection.rounding import printed

SIZE, NAME, LEADING, SPACE, BRACKET = 9.0, 11.0, 14.0, 8.0, 4.0


class Matrix:
    """Some rows and columns of an array, with dots for omitted ones.

    Attributes
    ----------
    width, height : float
        In pixels, without the name above it.
    """

    def __init__(self, name: str, array: npt.NDArray[Any], rows: list[int], columns: list[int]) -> None:
        self.name = name
        self._cells = [
            ["⋮" if j is None else "…" if k is None else printed(array[j, k], 3) for k in _dotted(columns)]
            for j in _dotted(rows)
        ]
        self._widths = [max(text_width(text, SIZE) for text in column) for column in zip(*self._cells, strict=True)]
        self._inner = sum(self._widths) + SPACE * (len(self._widths) - 1) + 12
        self.width = max(self._inner, text_width(name, NAME))
        self.height = LEADING * len(self._cells) + 4

    def shapes(self, x: float, y: float, colour: str) -> tuple[list[Mark], list[Words]]:
        """Return the brackets and the words, given the upper left corner."""
        brackets: list[Mark] = []
        x += (self.width - self._inner) / 2
        for edge, inward in ((x, BRACKET), (x + self._inner, -BRACKET)):
            brackets.append(Stroke(edge, y, edge, y + self.height, colour))
            brackets += [Stroke(edge, end, edge + inward, end, colour) for end in (y, y + self.height)]
        title = Words(x + self._inner / 2, y - 6, self.name, NAME, "middle", colour, italic=True)
        return brackets, [title, *self._numbers(x, y, colour)]

    def _numbers(self, x: float, y: float, colour: str) -> Iterator[Words]:
        for row, texts in enumerate(self._cells):
            right = x + 6
            for text, width in zip(texts, self._widths, strict=True):
                right += width
                place, anchor = (right - width / 2, "middle") if text in ("⋮", "…") else (right, "end")
                yield Words(place, y + 13 + LEADING * row, text, SIZE, anchor, colour)
                right += SPACE


def _dotted(shown: list[int]) -> list[int | None]:
    """Return the shown indices, with None for gaps."""
    dotted: list[int | None] = []
    for before, j in pairwise([-1, *shown]):
        dotted += [None, j] if j != before + 1 else [j]
    return dotted
