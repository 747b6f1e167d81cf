"""Matrix: a bracketed matrix as part of a figure."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from nanonet.inspection.drawing.figure import Stroke, Words, text_width
from nanonet.inspection.rounding import printed
from nanonet.inspection.shortening import with_gaps

SIZE, NAME, LEADING, SPACE, BRACKET = 9.0, 11.0, 14.0, 8.0, 4.0


class Matrix:
    """Some rows and columns of an array, with dots for omitted ones.

    Attributes
    ----------
    width, height : float
        In pixels, without the name above it.
    inner : float
        The width without the name.
    """

    def __init__(self, name: str, array: npt.NDArray[Any], rows: list[int], columns: list[int]) -> None:
        self.name = name
        self._cells: list[list[str]] = []
        for above, j in with_gaps(rows):
            cells = [text for left, k in with_gaps(columns) for text in ["…"] * (left > 0) + [printed(array[j, k], 3)]]
            self._cells += [["⋮"] * len(cells)] * (above > 0) + [cells]
        self._widths = [max(text_width(text, SIZE) for text in column) for column in zip(*self._cells, strict=True)]
        self.inner = sum(self._widths) + SPACE * (len(self._widths) - 1) + 12
        self.width = max(self.inner, text_width(name, NAME))
        self.height = LEADING * len(self._cells) + 4

    def shapes(self, x: float, y: float, colour: str) -> tuple[list[Stroke], list[Words]]:
        """Return the brackets and the words, given the upper left corner."""
        brackets: list[Stroke] = []
        x += (self.width - self.inner) / 2
        for edge, inward in ((x, BRACKET), (x + self.inner, -BRACKET)):
            brackets.append(Stroke(edge, y, edge, y + self.height, colour))
            brackets += [Stroke(edge, end, edge + inward, end, colour) for end in (y, y + self.height)]
        words = [Words(x + self.inner / 2, y - 6, self.name, NAME, "middle", colour, italic=True)]
        for row, texts in enumerate(self._cells):
            right = x + 6
            for text, width in zip(texts, self._widths, strict=True):
                right += width
                place, anchor = (right - width / 2, "middle") if text in ("⋮", "…") else (right, "end")
                words.append(Words(place, y + 13 + LEADING * row, text, SIZE, anchor, colour))
                right += SPACE
        return brackets, words
