"""Drawing: a trace as a figure of the whole net, with its units, weights, sums and error signals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from nanonet.checking.view import named_parts
from nanonet.core.arrays import Array
from nanonet.core.objects import called
from nanonet.inspection.drawing.columns import PART, Column, columns_of
from nanonet.inspection.drawing.description import description_of, title_of
from nanonet.inspection.drawing.figure import BOLD, Box, Circle, Figure, Mark, Stroke, Words, text_width
from nanonet.inspection.drawing.matrix import Matrix
from nanonet.inspection.drawing.measures import (
    LEADING,
    TEXT,
    Bounds,
    edges_of,
    fitted,
    index,
    overlap,
    radius,
    row_width,
    spots,
)
from nanonet.inspection.record import LayerTrace, Record
from nanonet.inspection.rounding import printed
from nanonet.inspection.shortening import with_gaps

RADIUS = 46.0  # minimum radius of a unit
ONE = 15.0  # radius of the constant unit 1, whose weights are the biases
DOTS = 46.0  # height of the note on omitted units
WIRE = 14.0  # distance between two arrows below the columns
BETWEEN = 26.0  # distance between two matrices
BELOW = 26.0  # distance of a target below the line from its output to the loss
BLOCK = 260.0  # maximum width of a line in a block
GAP, WIDEST = 150.0, 450.0  # between two columns, at least, and at most if labels need more space
MARGIN = 28.0  # at the border
SMALL, HEAD = 10.0, 12.0  # sizes of letters


def draw(trace: Record) -> Figure:
    """Return the figure of a trace of one sample."""
    return _Plan(trace, columns_of(trace)).figure()


class _Plan:
    """The layout: columns from left to right, matrices below, then the legend."""

    def __init__(self, trace: Record, columns: list[Column]) -> None:
        self.trace, self.columns = trace, columns
        self.lines: list[Stroke] = []
        self.units: list[Mark] = []
        self.labels: list[Mark] = []
        self.taken: list[Bounds] = []  # boxes that are occupied
        self.radius = max(RADIUS, *(radius(column) for column in columns))
        heights = [self._height(column) for column in columns]
        ones = [column.has_one * (2 * ONE + column.space) for column in columns]
        self.top = MARGIN + 16 * max(len(column.heading) for column in columns) + 14
        self.middle = self.top + max(height / 2 + one for height, one in zip(heights, ones, strict=True))
        self.bottom = self.middle + max(heights) / 2

    def _height(self, column: Column) -> float:
        """Return the height of a column, without the unit 1 above it."""
        if column.pictures:
            return column.maps.height
        if not column.rows:
            return 80.0
        shown = len(column.shown)
        left_out = DOTS if shown < column.count else 0.0
        return shown * 2 * self.radius + (shown - 1) * column.space + left_out

    def _half(self, column: Column) -> float:
        """Return half the width of a column."""
        if column.rows:
            return self.radius
        if column.pictures:
            widest = max(text_width(line, HEAD) * BOLD for line in column.heading)
            return max(column.maps.width, min(BLOCK, widest)) / 2 + 6
        widest = max(text_width(line, TEXT) for line in column.heading)
        return max(RADIUS, min(BLOCK, widest) / 2 + 12)

    # ---- the whole

    def figure(self) -> Figure:
        """Lay out everything and return the figure."""
        first, last = self.columns[0], self.columns[-1]
        self._column(first, MARGIN + self._half(first))
        for before, column in pairwise(self.columns):
            self._linked(before, column)
        self._wires()
        right = last.centre + self._half(last)
        if self.trace.target is not None:
            right = self._targets(last, right)
        bottom = self._legend(self._matrices(), right)
        width = max(right, self.reach, *(box[2] for box in self.taken)) + MARGIN
        shapes = [*self.lines, *self.units, *self.labels]
        words = title_of(self.columns), description_of(self.trace, self.columns)
        return Figure(width, bottom + MARGIN / 2, shapes, *words)

    # ---- columns

    def _column(self, column: Column, x: float) -> None:
        """Draw a column at x."""
        column.centre, column.places = x, {}
        if column.pictures:
            self._pictures(column, x)
            return
        if not column.rows:
            self._block(column, x)
            return
        self._heading(column, x)
        y, space = self.middle - self._height(column) / 2, column.space
        if column.has_one:
            column.places[-1] = y - space - ONE
            self._circle(x, column.places[-1], ONE, "muted", "paper")
            self._write(Words(x, column.places[-1] + 4, "1", TEXT, "middle", "muted"), taken=False)
        for omitted, j in with_gaps(column.shown):
            if omitted:
                self._write(Words(x, y + 10 - space / 2, "⋮", 18, "middle", "muted"))
                self._write(Words(x, y + 28 - space / 2, f"{omitted} more units", SMALL, "middle", "muted"))
                y += DOTS
            column.places[j] = y + self.radius
            self._unit(column, j)
            y += 2 * self.radius + space

    def _block(self, column: Column, x: float) -> None:
        half, top = self._half(column), self.middle - 40
        self.units.append(Box(x - half, top, 2 * half, 80, "ink", "unit", 8))
        for k, text in enumerate(column.heading):
            place = self.middle + 4 + 16 * (k - (len(column.heading) - 1) / 2)
            self._write(Words(x, place, fitted(text, BLOCK, TEXT), TEXT, "middle"))
        self.taken.append((x - half, top, x + half, self.middle + 40))

    def _pictures(self, column: Column, x: float) -> None:
        self._heading(column, x)
        maps, top = column.maps, self.middle - column.maps.height / 2
        marks, words = maps.shapes(x, top)
        self.units += marks
        for word in words:
            self._write(word)
        self.taken.append((x - maps.width / 2, top, x + maps.width / 2, top + maps.height))

    def _heading(self, column: Column, x: float) -> None:
        width = (2 * self.radius + GAP - 16) / BOLD if len(self.columns) > 1 else 400
        width = 2 * self._half(column) / BOLD if column.pictures else width
        for k, line in enumerate(column.heading):
            last = k == len(column.heading) - 1
            place = self.top - 20 - 16 * (len(column.heading) - 1 - k)
            part = line.startswith(PART)
            size, colour = (SMALL, "muted") if last or part else (HEAD if k == 0 else TEXT, "ink")
            bold = column is not self.columns[0] and not last and not part
            self._write(Words(x, place, fitted(line, width, size), size, "middle", colour, bold=bold))

    def _unit(self, column: Column, j: int) -> None:
        """Draw a circle with one line per number."""
        x, y = column.centre, column.places[j]
        self._circle(x, y, self.radius)
        rows = [(index(symbol, j), printed(numbers[j])) for symbol, numbers in column.rows.items()]
        left = x - max(row_width(*row) for row in rows) / 2
        for k, (name, number) in enumerate(rows):
            base = y + 4 + LEADING * (k - (len(rows) - 1) / 2)
            colour = "back" if name.startswith("g") else "ink"
            self._write(Words(left, base, name, TEXT + 1, colour=colour, italic=True), taken=False)
            place = left + text_width(name, TEXT + 1) + 5
            self._write(Words(place, base, number, TEXT, colour=colour), taken=False)

    def _circle(self, x: float, y: float, size: float, *style: str) -> None:
        self.units.append(Circle(x, y, size, *style))
        self.taken.append((x - size, y - size, x + size, y + size))

    # ---- links

    def _linked(self, before: Column, column: Column) -> None:
        """Draw a column to the right of the one before, and the links between them."""
        link, beside = column.link, before.centre + 2 * self.radius
        if not isinstance(link, LayerTrace):
            gap = {"straight": GAP, "none": GAP / 4}.get(link, GAP / 2)
            self._column(column, before.centre + self._half(before) + gap + self._half(column))
            self._plain(before, column)
        elif not column.labelled:
            widths = [sum(matrix.inner + BETWEEN for matrix in line) for line in self._pair(before, column, link)]
            self._column(column, beside + max(GAP, max(widths) + 24))
            self._coloured(before, column)
        else:
            marks: tuple[list[Any], ...] = self.units, self.labels, self.taken, self.lines
            kept = [len(drawn) for drawn in marks]
            gap = GAP
            self._column(column, beside + gap)
            while not self._labelled(before, column, crossed=gap > WIDEST):
                for drawn, count in zip(marks, kept, strict=True):
                    del drawn[count:]
                gap += 25
                self._column(column, beside + gap)

    def _plain(self, before: Column, column: Column) -> None:
        """Draw lines from unit to unit, or an arrow to or from a block."""
        start, end = before.centre + self._half(before), column.centre - self._half(column)
        if column.link == "straight":
            for j in column.shown:
                self.lines.append(Stroke(start, before.places[j], end, column.places[j], "muted", 1.5))
            return
        if column.link == "bundle":
            self.lines.append(Stroke(start + 4, self.middle, end - 8, self.middle, "muted", 3))
            for side in (-6, 6):
                self.lines.append(Stroke(end - 16, self.middle + side, end - 6, self.middle, "muted", 3))

    def _wires(self) -> None:
        """Draw the arrows between columns that are no neighbours, each below all columns and at its own height."""
        if any(column.wires for column in self.columns):
            self.bottom += WIRE
        for column in self.columns:
            for number in column.wires:
                before = self.columns[number]
                self.bottom += WIRE
                start, end = before.centre + 8, column.centre - 8
                top, tip = (self.middle + self._height(each) / 2 + 6 for each in (before, column))
                corners = [(start, top), (start, self.bottom), (end, self.bottom), (end, tip)]
                for one, other in pairwise(corners):
                    self.lines.append(Stroke(*one, *other, "muted", 2))
                for side in (-5, 5):
                    self.lines.append(Stroke(end + side, tip + 8, end, tip, "muted", 2))

    def _edge(self, ends: Bounds, weight: float, width: float) -> None:
        colour = "muted" if weight == 0 or weight != weight else "plus" if weight > 0 else "minus"
        self.lines.append(Stroke(*ends, colour, width, dashed=weight < 0))

    def _coloured(self, before: Column, column: Column) -> None:
        """Draw every edge, styled by the sign and size of its weight."""
        edges = [(ends, numbers[0]) for _, ends, numbers in edges_of(before, column)]
        sizes = [abs(weight) for _, weight in edges]
        largest = max((size for size in sizes if np.isfinite(size)), default=0.0) or 1.0
        for ends, weight in edges:
            share = 0.0 if np.isnan(weight) else min(abs(weight) / largest, 1.0)
            self._edge(ends, weight, 0.4 + 3 * share)

    def _labelled(self, before: Column, column: Column, *, crossed: bool) -> bool:
        """Draw every edge with its label, not overlapping other labels nor, unless crossed is True, other edges.

        Return False if there is not enough space.
        """
        edges = list(edges_of(before, column))
        ends = {key: line for key, line, _ in edges}
        options = []
        for key, line, numbers in edges:
            texts = [printed(number) for number in numbers]
            places = [box for crossings, box in spots(ends, key, texts, SMALL) if crossed or crossings == 0]
            options.append((places, line, numbers[0], texts))
        placed: list[Bounds] = []
        for places, line, weight, texts in sorted(options, key=lambda option: len(option[0])):
            free = (box for box in places if not any(overlap(box, other) for other in [*placed, *self.taken]))
            box = next(free, None)
            if box is None:
                return False
            placed.append(box)
            self._edge(line, weight, 1.2)
            left, top, right, bottom = box
            self.labels.append(Box(left, top, right - left, bottom - top))
            for text, base, colour in zip(texts, (top + 10, top + 22), ("ink", "back"), strict=False):
                self._write(Words((left + right) / 2, base, text, SMALL, "middle", colour), taken=False)
        self.taken += placed
        return True

    # ---- target and loss

    def _targets(self, last: Column, right: float) -> float:
        """Draw the targets and the loss; return the right edge."""
        targets, places = {name: t[0] for name, t in named_parts("t", self.trace.target).items()}, last.places
        lines = [f"E = {printed(self.trace.value)}", fitted(called(self.trace.loss), 220, HEAD)]
        outputs = [(right, y) for y in places.values()] or [(right, self.middle)]
        ends = []
        if places and "t" in targets and targets["t"].shape == (last.count,):
            ends = [(self._target(j, targets["t"][j], right, y + BELOW), y + BELOW) for j, y in places.items()]
        else:
            lines = [*(_target_text(name, t) for name, t in targets.items()), *lines]
        loss = max([right, *(end for end, _ in ends)]) + 64
        width = max(text_width(line, HEAD) * BOLD for line in lines) + 24
        bend = loss - 50  # beyond the targets, so that no line runs behind one
        for end, y in outputs + ends:
            self.lines.append(Stroke(end, y, bend, y, "muted", 1))
            self.lines.append(Stroke(bend, y, loss, self.middle, "muted", 1))
        top = self.middle - 10 * len(lines) - 8
        self.units.append(Box(loss, top, width, 20 * len(lines) + 16, "ink", "unit", 4))
        for line, text in enumerate(lines):
            bold = text.startswith("E = ")
            self._write(Words(loss + width / 2, top + 22 + 20 * line, text, HEAD, "middle", bold=bold))
        return loss + width

    def _target(self, j: int, target: Any, right: float, y: float) -> float:
        """Draw the target of an output, below its line to the loss; return the right edge."""
        name, number, place = index("t", j), printed(target), right + 26
        width = row_width(name, number) + 16
        self.units.append(Box(place, y - 13, width, 26, "ink", "paper", 4))
        self._write(Words(place + 8, y + 4, name, TEXT + 1, italic=True))
        self._write(Words(place + width - 8, y + 4, number, TEXT, "end"))
        return place + width

    # ---- matrices

    def _pair(self, before: Column, column: Column, link: LayerTrace) -> list[list[Matrix]]:
        """Return the matrices of the weight and bias between two columns, and those of their gradients."""
        weight = " × ".join(map(str, link.parameters["weight"].shape))
        names = {"weight": f"{link.name}.weight ({weight})", "bias": f"{link.name}.bias"}
        grads = {"weight": "∂E/∂weight", "bias": "∂E/∂bias"}
        return [
            [
                Matrix(name, a.reshape(len(a), -1), column.shown, before.shown if a.ndim == 2 else [0])
                for name, a in ((name, arrays[own]) for own, name in named.items() if own in arrays)
            ]
            for named, arrays in ((names, link.parameters), (grads, link.gradients))
        ]

    def _matrices(self) -> float:
        """Draw W and b, and below them their gradients, below every link without labels; return the bottom edge."""
        lowest = self.bottom
        for before, column in pairwise(self.columns):
            if not isinstance(column.link, LayerTrace) or column.labelled:
                continue
            centre, y = (before.centre + column.centre) / 2, self.bottom + 34
            for matrices, colour in zip(self._pair(before, column, column.link), ("ink", "back"), strict=True):
                x = centre - (sum(matrix.width for matrix in matrices) + BETWEEN * (len(matrices) - 1)) / 2
                for matrix in matrices:
                    lines, words = matrix.shapes(x, y, colour)
                    self.lines += lines
                    for word in words:
                        self._write(word)
                    x += matrix.width + BETWEEN
                y += max((matrix.height + 40 for matrix in matrices), default=0)
            lowest = max(lowest, y - 30)
        return lowest

    # ---- legend and words

    def _legend(self, y: float, right: float) -> float:
        """Draw the legend, in lines no longer than the figure; return the bottom edge."""
        y += 36
        x, self.reach = MARGIN, right
        for symbol, text, colour in self._signs():
            signed = colour in ("plus", "minus")
            mark = 30 if signed else text_width(symbol, TEXT + 1) + 6 if symbol else 0
            width = mark + text_width(text, TEXT)
            if x > MARGIN and x + width > max(right, 520):
                x, y = MARGIN, y + 20
            if signed:
                self.lines.append(Stroke(x, y - 4, x + 24, y - 4, colour, 2, dashed=colour == "minus"))
            elif symbol:
                self._write(Words(x, y, symbol, TEXT + 1, colour=colour, italic=True))
            self._write(Words(x + mark, y, text, TEXT, colour=colour if colour == "back" else "muted"))
            self.reach = max(self.reach, x + width)
            x += width + 22
        return y

    def _signs(self) -> Iterator[tuple[str, str, str]]:
        """Yield (symbol, meaning, colour) of everything in the figure."""
        symbols = {symbol for column in self.columns for symbol in (*column.rows, *column.pictures)}
        meanings = {"x": "input", "W": "kernel", "a": "sum that goes into a unit", "y": "what comes out"}
        meanings["g"] = "error signal ∂E/∂a"
        for symbol in meanings:
            if symbol in symbols:
                yield symbol, meanings[symbol], "back" if symbol == "g" else "ink"
        if self.trace.has_gradients:
            yield "t", "target", "ink"
            yield "E", "loss", "ink"
        if any(column.labelled for column in self.columns):
            yield "w", "weight of an edge", "ink"
            if self.trace.has_gradients:
                yield "", "∂E/∂w below it", "back"
        if any(column.has_one for column in self.columns):
            yield "1", "gives the biases", "ink"
        signed = {group.scale.low < 0 for column in self.columns if column.pictures for group in column.maps.groups}
        if False in signed:
            yield "", "pixels from black, the least number, to white", "ink"
        if True in signed:
            yield "", "pixels with a sign: blue above 0, orange below", "ink"
        drawn = {line.colour for line in self.lines}
        for colour, meaning in (("plus", "weight above 0"), ("minus", "weight below 0")):
            if colour in drawn:
                yield "", meaning, colour

    def _write(self, words: Words, taken: bool = True) -> None:
        self.labels.append(words)
        if taken:
            self.taken.append(words.box)


def _target_text(name: str, target: Array) -> str:
    return f"{name} = {printed(target[()])}" if target.ndim == 0 else f"{name} of shape {target.shape}"
