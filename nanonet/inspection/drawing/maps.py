"""Maps: the pictures of a column: feature maps and kernels, a row for each channel, on one scale for each symbol."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nanonet.inspection.drawing.draws import Pictures
from nanonet.inspection.drawing.figure import Box, Mark, Picture, Words, text_width
from nanonet.inspection.drawing.picture import Scale, scale_of
from nanonet.inspection.rounding import printed
from nanonet.inspection.shortening import with_gaps

ROWS = 8, 6, 2  # how many channels are shown in full; else how many at the start and the end
BESIDE = 4  # pictures of one symbol in a row
PIXEL, LEAST, LARGEST, LONGEST = 6, 30.0, 64.0, 200.0  # per pixel; sides of an image; length of a strip
CAPTION, NOTE = 40.0, 22.0  # heights of what stands above the pictures, and in place of those that are omitted
GAP, APART, LETTERS = 6.0, 12.0, 9.0  # between pictures, between symbols; size of letters


class Group:
    """The pictures of one symbol, all on one scale."""

    def __init__(self, symbol: str, pictures: npt.NDArray[np.floating]) -> None:
        self.symbol, self.pictures = symbol, pictures
        self.scale: Scale = scale_of(pictures)
        height, width = pictures.shape[2:]
        if len(pictures) == pictures.shape[1] == 1 and min(height, width) < max(height, width) / 2:
            self.size = _side(width, LONGEST), _side(height, LONGEST)  # a strip, whose axes are no lengths
        else:
            longer = _side(max(height, width), LARGEST)
            self.size = tuple(max(longer * side / max(height, width), PIXEL) for side in (width, height))
        self.beside = min(pictures.shape[1], BESIDE)
        self.omitted = pictures.shape[1] - self.beside
        self.captions = [printed(self.scale.low, 3), f"to {printed(self.scale.high, 3)}"]
        if self.omitted:
            self.captions.append(f"{self.omitted} more")
        self.inner = self.beside * self.size[0] + (self.beside - 1) * GAP / 2
        self.width = max([self.inner, *(text_width(text, LETTERS) for text in (symbol, *self.captions))])

    def row(self, j: int, x: float, middle: float) -> list[Mark]:
        """Return the pictures of one row, each in a frame, given the left edge and the height of their centre."""
        width, height = self.size
        x, y = x + (self.width - self.inner) / 2, middle - height / 2
        marks: list[Mark] = []
        for image in self.pictures[j, : self.beside]:
            marks.append(Box(x - 1, y - 1, width + 2, height + 2, None, "muted"))
            marks.append(Picture(x, y, width, height, self.scale.pixels(image), self.scale.palette))
            x += width + GAP / 2
        return marks

    def caption(self, x: float, y: float, colour: str) -> list[Words]:
        """Return the symbol, and its smallest and largest number."""
        centre = x + self.width / 2
        head = Words(centre, y, self.symbol, 12.0, "middle", colour, italic=True)
        return [head] + [
            Words(centre, y + 12 + 10 * k, text, LETTERS, "middle", "muted") for k, text in enumerate(self.captions)
        ]


class Maps:
    """All pictures of a column.

    Attributes
    ----------
    width, height : float
        In pixels, with the captions above them.
    groups : list of Group
    """

    def __init__(self, pictures: Pictures, shown: list[int]) -> None:
        self.groups = [Group(symbol, array) for symbol, array in pictures.items()]
        self.count, self.shown = len(next(iter(pictures.values()))), shown
        self.label = max(text_width(str(j), LETTERS) for j in shown) + GAP if self.count > 1 else 0.0
        self.pitch: float = max(group.size[1] for group in self.groups) + GAP
        self.caption = CAPTION + 10 * any(group.omitted for group in self.groups)
        self.width: float = self.label + sum(group.width + APART for group in self.groups) - APART
        self.height: float = self.caption + self.pitch * len(shown) + NOTE * (len(shown) < self.count)

    def shapes(self, centre: float, top: float) -> tuple[list[Mark], list[Words]]:
        """Return the pictures with their frames, and the words."""
        marks: list[Mark] = []
        words: list[Words] = []
        left = centre - self.width / 2
        x = left + self.label
        for group in self.groups:
            words += group.caption(x, top + 10, "back" if group.symbol == "g" else "ink")
            x += group.width + APART
        y = top + self.caption
        for omitted, j in with_gaps(self.shown):
            if omitted:
                words.append(Words(centre, y + 14, f"⋮ {omitted} more channels", LETTERS, "middle", "muted"))
                y += NOTE
            middle, x = y + self.pitch / 2, left + self.label
            if self.label:
                words.append(Words(x - GAP, middle + 3, str(j), LETTERS, "end", "muted"))
            for group in self.groups:
                marks += group.row(j, x, middle)
                x += group.width + APART
            y += self.pitch
        return marks, words


def _side(pixels: int, most: float) -> float:
    return min(max(pixels * PIXEL, LEAST), most)
