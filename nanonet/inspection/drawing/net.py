"""Drawing: a trace as a figure of the whole net, with its units, weights, sums and error signals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.objects import called
from nanonet.inspection.drawing.columns import Column, Dense, columns_of
from nanonet.inspection.drawing.figure import BOLD, Box, Circle, Figure, Mark, Stroke, Words, text_width
from nanonet.inspection.drawing.matrix import Matrix
from nanonet.inspection.drawing.measures import LEADING, TEXT, fitted, index, radius, row_width
from nanonet.inspection.drawing.placing import Bounds, overlap, spots
from nanonet.inspection.record import Record
from nanonet.inspection.rounding import printed

RADIUS = 46.0  # minimum radius of a unit
WIDE, TIGHT = 32.0, 12.0  # between two units whose edges have numbers, and between two others
ONE = 15.0  # radius of the constant unit 1, whose weights are the biases
DOTS = 46.0  # height of the note on omitted units
LABELLED = 4  # maximum number of units per layer for labels on edges
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
        self.has_gradients = trace.has_gradients
        self.lines: list[Mark] = []
        self.units: list[Mark] = []
        self.labels: list[Mark] = []
        self.taken: list[Bounds] = []  # boxes that are occupied
        self.radius = max(RADIUS, *(radius(column) for column in columns))
        heights = [self._height(i) for i in range(len(columns))]
        above = [height / 2 + self._has_bias(i) * (2 * ONE + self._space(i)) for i, height in enumerate(heights)]
        self.top = MARGIN + 16 * max(len(column.heading) for column in columns) + 14
        self.middle = self.top + max(above)
        self.bottom = self.middle + max(heights) / 2

    # ---- contents

    def _link(self, i: int) -> Dense | str | None:
        return self.columns[i].link if 0 < i < len(self.columns) else None

    def _has_bias(self, i: int) -> bool:
        """Tell whether column i has the constant unit 1."""
        link = self._link(i + 1)
        return isinstance(link, Dense) and link.bias is not None and bool(self.columns[i].rows)

    def _edges_labelled(self, i: int) -> bool:
        """Tell whether the edges from column i - 1 to column i are labelled."""
        return max(self.columns[i - 1].count, self.columns[i].count) <= LABELLED

    def _labelled(self, i: int) -> bool:
        """Tell whether an edge at column i is labelled."""
        links = [j for j in (i, i + 1) if isinstance(self._link(j), Dense)]
        return any(self._edges_labelled(j) for j in links)

    def _space(self, i: int) -> float:
        """Return the distance between two units of column i."""
        return WIDE if self._labelled(i) else TIGHT

    def _height(self, i: int) -> float:
        """Return the height of column i, without the unit 1 above it."""
        column = self.columns[i]
        if not column.rows:
            return 80.0
        shown = len(column.shown)
        left_out = DOTS if shown < column.count else 0.0
        return shown * 2 * self.radius + (shown - 1) * self._space(i) + left_out

    # ---- the whole

    def figure(self) -> Figure:
        """Lay out everything and return the figure."""
        x = MARGIN + self._half(0)
        self.places, self.centres = [self._column(0, x)], [x]
        for i in range(1, len(self.columns)):
            x = self._linked(i, x)
            self.centres.append(x)
        right = x + self._half(len(self.columns) - 1)
        if self.trace.target is not None:
            right = self._targets(x, right)
        bottom = self._legend(self._matrices(), right)
        width = max(right, self.reach, *(box[2] for box in self.taken)) + MARGIN
        shapes = [*self.lines, *self.units, *self.labels]
        return Figure(width, bottom + MARGIN / 2, shapes, self._title(), self._description())

    def _title(self) -> str:
        names = " - ".join(str(column.count) if column.rows else column.heading[0] for column in self.columns)
        return f"A net of {names} units with the numbers of one pass"

    def _description(self) -> str:
        parts = [
            f"{column.heading[0]}: {symbol} = {', '.join(printed(numbers[j]) for j in column.shown)}"
            for column in self.columns
            for symbol, numbers in column.rows.items()
        ]
        if self.trace.value is not None:
            parts.append(f"E = {printed(self.trace.value)}")
        return "; ".join(parts)

    # ---- columns

    def _half(self, i: int) -> float:
        column = self.columns[i]
        if column.rows:
            return self.radius
        widest = max(text_width(line, TEXT) for line in column.heading)
        return max(RADIUS, min(BLOCK, widest) / 2 + 12)

    def _column(self, i: int, x: float) -> dict[int, float]:
        """Draw column i at x; return the y coordinate of each shown unit, with key -1 for the unit 1."""
        column, middle = self.columns[i], self.middle
        self._heading(i, x)
        if not column.rows:
            half = self._half(i)
            self.units.append(Box(x - half, middle - 40, 2 * half, 80, "ink", "unit", 8))
            for k, text in enumerate(column.heading):
                line = fitted(text, BLOCK, TEXT)
                self._write(Words(x, middle + 4 + 16 * (k - (len(column.heading) - 1) / 2), line, TEXT, "middle"))
            self.taken.append((x - half, middle - 40, x + half, middle + 40))
            return {}
        y, space, places = middle - self._height(i) / 2, self._space(i), dict[int, float]()
        if self._has_bias(i):
            places[-1] = y - space - ONE
            self.units.append(Circle(x, places[-1], ONE, "muted", "paper"))
            self._write(Words(x, places[-1] + 4, "1", TEXT, "middle", "muted"), taken=False)
            self.taken.append((x - ONE, places[-1] - ONE, x + ONE, places[-1] + ONE))
        for before, j in pairwise([-1, *column.shown]):
            if j != before + 1:
                self._write(Words(x, y + 10 - space / 2, "⋮", 18, "middle", "muted"))
                self._write(Words(x, y + 28 - space / 2, f"{j - before - 1} more units", SMALL, "middle", "muted"))
                y += DOTS
            places[j] = y + self.radius
            self._unit(column, j, x, places[j])
            y += 2 * self.radius + space
        return places

    def _heading(self, i: int, x: float) -> None:
        column = self.columns[i]
        if not column.rows:
            return
        width = (2 * self.radius + GAP - 16) / BOLD if len(self.columns) > 1 else 400
        for k, line in enumerate(column.heading):
            last = k == len(column.heading) - 1
            place = self.top - 20 - 16 * (len(column.heading) - 1 - k)
            size, colour = (SMALL, "muted") if last else (HEAD if k == 0 else TEXT, "ink")
            self._write(Words(x, place, fitted(line, width, size), size, "middle", colour, bold=i > 0 and not last))

    def _unit(self, column: Column, j: int, x: float, y: float) -> None:
        """Draw a circle with one line per number."""
        self.units.append(Circle(x, y, self.radius))
        self.taken.append((x - self.radius, y - self.radius, x + self.radius, y + self.radius))
        rows = [(index(symbol, j), printed(numbers[j])) for symbol, numbers in column.rows.items()]
        left = x - max(row_width(*row) for row in rows) / 2
        for k, (name, number) in enumerate(rows):
            base = y + 4 + LEADING * (k - (len(rows) - 1) / 2)
            colour = "back" if name.startswith("g") else "ink"
            self._write(Words(left, base, name, TEXT + 1, colour=colour, italic=True), taken=False)
            place = left + text_width(name, TEXT + 1) + 5
            self._write(Words(place, base, number, TEXT, colour=colour), taken=False)

    # ---- links

    def _linked(self, i: int, x: float) -> float:
        """Draw column i to the right of column i - 1, which is at x, and the links between; return its x coordinate."""
        link = self.columns[i].link
        if not isinstance(link, Dense) or not self.columns[i - 1].rows:
            right = x + self._half(i - 1) + GAP / (1 if link == "straight" else 2) + self._half(i)
            self.places.append(self._column(i, right))
            self._plain(i, x, right)
            return right
        if not self._edges_labelled(i):
            gap = max(GAP, self._matrix_width(link, i) + 24)
            right = x + 2 * self.radius + gap
            self.places.append(self._column(i, right))
            self._coloured(i, link, x, right)
            return right
        kept = len(self.units), len(self.labels), len(self.taken), len(self.lines)
        gap = GAP
        while True:  # widened until no labels overlap
            right = x + 2 * self.radius + gap
            self.places.append(self._column(i, right))
            if self._labels(i, link, x, right, crossed=gap > WIDEST):
                return right
            self.places.pop()
            del self.units[kept[0] :], self.labels[kept[1] :], self.taken[kept[2] :], self.lines[kept[3] :]
            gap += 25

    def _plain(self, i: int, left: float, right: float) -> None:
        """Draw lines from unit to unit, or an arrow to or from a block."""
        before, after = self.places[i - 1], self.places[i]
        start, end = left + self._half(i - 1), right - self._half(i)
        if self.columns[i].link == "straight" and before and after:
            for j in self.columns[i].shown:
                self.lines.append(Stroke(start, before[j], end, after[j], "muted", 1.5))
            return
        self.lines.append(Stroke(start + 4, self.middle, end - 8, self.middle, "muted", 3))
        for side in (-6, 6):
            self.lines.append(Stroke(end - 16, self.middle + side, end - 6, self.middle, "muted", 3))

    def _edges(self, i: int, link: Dense) -> Iterator[tuple[int, int, float, float | None]]:
        """Yield (from, to, weight, gradient) of every shown edge; from is -1 for a bias."""
        for j in (j for j in self.places[i] if j >= 0):
            for k in self.places[i - 1]:
                if k >= 0:
                    yield k, j, float(link.weight[j, k]), None if link.grad is None else float(link.grad[j, k])
                elif link.bias is not None:
                    yield k, j, float(link.bias[j]), None if link.bias_grad is None else float(link.bias_grad[j])

    def _ends(self, i: int, k: int, j: int, left: float, right: float) -> Bounds:
        return left, self.places[i - 1][k], right, self.places[i][j]

    def _edge(self, i: int, k: int, j: int, left: float, right: float, weight: float, width: float) -> None:
        colour = "muted" if weight == 0 or weight != weight else "plus" if weight > 0 else "minus"
        self.lines.append(Stroke(*self._ends(i, k, j, left, right), colour, width, dashed=weight < 0))

    def _coloured(self, i: int, link: Dense, left: float, right: float) -> None:
        """Draw every edge, styled by the sign and size of its weight."""
        sizes = [abs(weight) for *_, weight, _ in self._edges(i, link)]
        largest = max((size for size in sizes if np.isfinite(size)), default=0.0) or 1.0
        for k, j, weight, _ in self._edges(i, link):
            share = 0.0 if np.isnan(weight) else min(abs(weight) / largest, 1.0)
            self._edge(i, k, j, left, right, weight, 0.4 + 3 * share)

    def _labels(self, i: int, link: Dense, left: float, right: float, *, crossed: bool) -> bool:
        """Draw every edge with its label, not overlapping other labels nor, unless crossed is True, other edges.

        Return False if there is not enough space.
        """
        edges = list(self._edges(i, link))
        ends = {(k, j): self._ends(i, k, j, left, right) for k, j, *_ in edges}
        options = []
        for k, j, weight, grad in edges:
            texts = [printed(weight)] + ([printed(grad)] if grad is not None else [])
            places = [place for place in spots(ends, (k, j), texts, SMALL) if crossed or place[0] == 0]
            options.append((k, j, weight, texts, places))
        placed: list[Bounds] = []
        for k, j, weight, texts, places in sorted(options, key=lambda option: len(option[-1])):
            free = (box for _, box in places if not any(overlap(box, other) for other in [*placed, *self.taken]))
            box = next(free, None)
            if box is None:
                return False
            placed.append(box)
            self._edge(i, k, j, left, right, weight, 1.2)
            self.labels.append(Box(box[0], box[1], box[2] - box[0], box[3] - box[1]))
            for line, text in enumerate(texts):
                base = box[1] + 10 + 12 * line
                colour = "ink" if line == 0 else "back"
                self._write(Words((box[0] + box[2]) / 2, base, text, SMALL, "middle", colour), taken=False)
        self.taken += placed
        return True

    # ---- target and loss

    def _targets(self, x: float, right: float) -> float:
        """Draw the targets and the loss; return the right edge."""
        target, places = np.asarray(self.trace.target)[0], self.places[-1]
        lines = [f"E = {printed(self.trace.value)}", fitted(called(self.trace.loss), 220, HEAD)]
        outputs = [(right, y) for y in places.values()] or [(right, self.middle)]
        ends = []
        if target.shape == (self.columns[-1].count,) and places:
            ends = [(self._target(j, target[j], right, y + BELOW), y + BELOW) for j, y in places.items()]
        else:
            lines.insert(0, f"t = {printed(target[()])}" if target.ndim == 0 else f"t of shape {target.shape}")
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

    def _matrix_width(self, link: Dense, i: int) -> float:
        """Return the width of the wider of the two rows of matrices."""
        lines = [[link.weight, link.bias], [link.grad, link.bias_grad]]
        matrices = [[self._matrix(i, "", array) for array in line if array is not None] for line in lines]
        return max(sum(matrix.width + BETWEEN for matrix in line) for line in matrices)

    def _matrix(self, i: int, name: str, array: npt.NDArray[Any]) -> Matrix:
        """Return the matrix of a weight, a bias or a gradient between columns i - 1 and i."""
        below = self.columns[i - 1].shown if array.ndim == 2 else [0]
        return Matrix(name, array.reshape(len(array), -1), self.columns[i].shown, below)

    def _matrices(self) -> float:
        """Draw W and dE/dW below every link without labels; return the bottom edge."""
        lowest = self.bottom
        for i in range(1, len(self.columns)):
            link = self.columns[i].link
            if isinstance(link, Dense) and self.columns[i - 1].rows and not self._edges_labelled(i):
                lowest = max(lowest, self._pair(i, link))
        return lowest

    def _pair(self, i: int, link: Dense) -> float:
        """Draw W and b, and below them their gradients; return the bottom edge."""
        centre, y = (self.centres[i - 1] + self.centres[i]) / 2, self.bottom + 34
        shape = " × ".join(map(str, link.weight.shape))
        for named, colour in (
            ({f"{link.name}.weight ({shape})": link.weight, f"{link.name}.bias": link.bias}, "ink"),
            ({"∂E/∂weight": link.grad, "∂E/∂bias": link.bias_grad}, "back"),
        ):
            matrices = [self._matrix(i, name, array) for name, array in named.items() if array is not None]
            x = centre - (sum(matrix.width for matrix in matrices) + BETWEEN * (len(matrices) - 1)) / 2
            for matrix in matrices:
                lines, words = matrix.shapes(x, y, colour)
                self.lines += lines
                for word in words:
                    self._write(word)
                x += matrix.width + BETWEEN
            y += max((matrix.height + 40 for matrix in matrices), default=0)
        return y - 30

    # ---- legend and words

    def _legend(self, y: float, right: float) -> float:
        """Draw the legend, in lines no longer than the figure; return the bottom edge."""
        y += 36
        x, self.reach = MARGIN, right
        for symbol, text, colour in self._signs():
            mark = 30 if colour in ("plus", "minus") else text_width(symbol, TEXT + 1) + 6 if symbol else 0
            width = mark + text_width(text, TEXT)
            if x > MARGIN and x + width > max(right, 520):
                x, y = MARGIN, y + 20
            if colour in ("plus", "minus"):
                self.lines.append(Stroke(x, y - 4, x + 24, y - 4, colour, 2, dashed=colour == "minus"))
            elif symbol:
                self._write(Words(x, y, symbol, TEXT + 1, colour=colour, italic=True))
            self._write(Words(x + mark, y, text, TEXT, colour=colour if colour == "back" else "muted"))
            self.reach = max(self.reach, x + width)
            x += width + 22
        return y

    def _signs(self) -> Iterator[tuple[str, str, str]]:
        """Yield (symbol, meaning, colour) of everything in the figure."""
        symbols = {symbol for column in self.columns for symbol in column.rows}
        meanings = {"x": "input", "a": "sum that goes into a unit", "y": "what comes out", "g": "error signal ∂E/∂a"}
        for symbol in meanings:
            if symbol in symbols:
                yield symbol, meanings[symbol], "back" if symbol == "g" else "ink"
        if self.has_gradients:
            yield "t", "target", "ink"
            yield "E", "loss", "ink"
        links = [
            i for i in range(1, len(self.columns)) if isinstance(self._link(i), Dense) and self.columns[i - 1].rows
        ]
        if any(self._edges_labelled(i) for i in links):
            yield "w", "weight of an edge", "ink"
            if self.has_gradients:
                yield "", "∂E/∂w below it", "back"
        if any(self._has_bias(i) for i in range(len(self.columns))):
            yield "1", "gives the biases", "ink"
        drawn = {line.colour for line in self.lines if isinstance(line, Stroke)}
        for colour, meaning in (("plus", "weight above 0"), ("minus", "weight below 0")):
            if colour in drawn:
                yield "", meaning, colour

    def _write(self, words: Words, taken: bool = True) -> None:
        self.labels.append(words)
        if taken:
            self.taken.append(words.box)
