"""Imports: the picture of which module of nanonet imports which, made from the code.

A folder such as layers stands for all of its files. Modules stand in rows so that each imports only what is below it,
and otherwise as near to those that import it as they can be. An import is drawn only where it does not follow from
others: what sequential imports by way of layer has no line of its own. An import within a function, which may look
upwards, is dashed.

``python docs/imports.py FILE.svg`` draws it alone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import nanonet
from nanonet.inspection.drawing.figure import Box, Figure, Line, Shape, Words, text_width

PACKAGE = Path(nanonet.__file__).parent
SIZE, HEIGHT, ROW, GAP, BEND = 11.0, 22.0, 62.0, 12.0, 8.0  # of letters, boxes, rows, the room between boxes, a bend
SWEEPS = 24

Edge = tuple[str, str]


class Modules:
    """The modules of the package, and what each imports."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.names = sorted({name for name, _ in _sources(package)})
        self.always: dict[str, set[str]] = {name: set() for name in self.names}
        self.within: dict[str, set[str]] = {name: set() for name in self.names}
        for name, tree in _sources(package):
            for imported, in_function in _imports(tree, package.name):
                if imported != name and imported in self.always:
                    (self.within if in_function else self.always)[name].add(imported)
        self.below = cache(self._below)

    def _below(self, name: str) -> frozenset[str]:
        """Return everything that is imported with a module."""
        return frozenset(self.always[name]).union(*(self.below(other) for other in self.always[name]))

    def shown(self) -> list[Edge]:
        """Return the imports that do not follow from others."""
        return [
            (name, other)
            for name in self.names
            for other in sorted(self.always[name])
            if not any(other in self.below(third) for third in self.always[name])
        ]

    def rows(self) -> list[list[str]]:
        """Return the modules row by row, from the bottom."""

        @cache
        def lowest(name: str) -> int:
            return 1 + max((lowest(other) for other in self.always[name]), default=-1)

        users = {name: [other for other in self.names if name in self.always[other]] for name in self.names}
        for name in (name for name in self.names if not users[name]):
            users[name] = [
                other for other in self.names if name in self.within[other] and other not in self.below(name)
            ]

        @cache
        def place(name: str) -> int:
            return max(lowest(name), min((place(user) for user in users[name]), default=0) - 1)

        rows: list[list[str]] = [[] for _ in range(1 + max(map(place, self.names)))]
        for name in self.names:
            rows[place(name)].append(name)
        return rows


def _sources(package: Path) -> Iterator[tuple[str, ast.Module]]:
    """Yield each file with the name of its module; the files of a folder all have the folder's."""
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.name != "__init__.py" or len(inside.parts) > 1:
            yield inside.parts[0].removesuffix(".py"), ast.parse(path.read_text(encoding="utf-8"))


def _imports(node: ast.AST, package: str, in_function: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield what is imported, and whether within a function; what only the type checker reads is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.ImportFrom) and child.module and child.module.startswith(f"{package}."):
            yield child.module.split(".")[1], in_function
        yield from _imports(child, package, in_function or isinstance(child, ast.FunctionDef))


# ---- where everything stands


class Layout:
    """Rows of boxes, and of the bends of lines that pass between them, in an order with few crossings."""

    def __init__(self, rows: list[list[str]], edges: list[Edge]) -> None:
        self.rows: list[list[str]] = [list(row) for row in rows]
        level = {name: i for i, row in enumerate(rows) for name in row}
        self.paths: list[list[str]] = []
        for top, bottom in edges:
            bends = [f"{top}>{bottom}@{i}" for i in range(level[top] - 1, level[bottom], -1)]
            for i, bend in zip(range(level[top] - 1, level[bottom], -1), bends, strict=True):
                self.rows[i].append(bend)
            self.paths.append([top, *bends, bottom])
        self.neighbours: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for row in self.rows for name in row}
        for path in self.paths:
            for upper, lower in pairwise(path):
                self.neighbours[upper][1].append(lower)
                self.neighbours[lower][0].append(upper)
        self.x: dict[str, float] = {}
        self._order()
        self._spread()

    def width(self, name: str) -> float:
        """Return the room that a box, or a bend, takes."""
        return BEND if "@" in name else text_width(name, SIZE) + 14

    def _order(self) -> None:
        """Sort each row by the mean place of its neighbours, upwards and downwards in turn; keep the best."""
        best, fewest = self.rows, self._crossings()
        for sweep in range(SWEEPS):
            side = sweep % 2
            rows = list(self.rows) if side else list(reversed(self.rows))
            for fixed, moved in pairwise(rows):
                place = {name: i / max(len(fixed) - 1, 1) for i, name in enumerate(fixed)}
                own = {name: i / max(len(moved) - 1, 1) for i, name in enumerate(moved)}
                near = {name: [place[n] for n in self.neighbours[name][side] if n in place] for name in moved}
                moved.sort(key=lambda name: sum(near[name]) / len(near[name]) if near[name] else own[name])
            if (crossings := self._crossings()) < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _crossings(self) -> int:
        count = 0
        for lower, upper in pairwise(self.rows):
            place = {name: i for i, name in enumerate(lower)}
            ends = [[place[n] for n in self.neighbours[name][1]] for name in upper]
            flat = [(i, end) for i, group in enumerate(ends) for end in group]
            count += sum(i < j and a > b for i, a in flat for j, b in flat)
        return count

    def _spread(self) -> None:
        """Set each row around the middle, then draw everything towards its neighbours, never over one beside it."""
        for row in self.rows:
            x = -sum(self.width(name) + GAP for name in row) / 2
            for name in row:
                self.x[name] = x + (self.width(name) + GAP) / 2
                x += self.width(name) + GAP
        for sweep in range(2 * SWEEPS):
            for row in self.rows if sweep % 2 else reversed(self.rows):
                wanted = {}
                for name in row:
                    ends = [self.x[n] for side in self.neighbours[name] for n in side]
                    wanted[name] = sum(ends) / len(ends) if ends else self.x[name]
                self._settle(row, wanted)

    def _settle(self, row: list[str], wanted: dict[str, float]) -> None:
        """Put a row as near to where it wants to be as can be; those that would overlap move as one."""
        offsets, groups = [0.0], list[tuple[float, int]]()
        for left, right in pairwise(row):
            offsets.append(offsets[-1] + (self.width(left) + self.width(right)) / 2 + GAP)
        for name, offset in zip(row, offsets, strict=True):
            start, size = wanted[name] - offset, 1
            while groups and groups[-1][0] > start:
                before, count = groups.pop()
                start, size = (before * count + start * size) / (count + size), count + size
            groups.append((start, size))
        starts = [start for start, size in groups for _ in range(size)]
        self.x |= {name: start + offset for name, start, offset in zip(row, starts, offsets, strict=True)}


# ---- the picture


def draw(package: Path = PACKAGE) -> Figure:
    """Return the picture."""
    modules = Modules(package)
    rows, edges = modules.rows(), modules.shown()
    layout = Layout(rows, edges)
    left = min(x - layout.width(name) / 2 for name, x in layout.x.items()) - 12
    right = max(x + layout.width(name) / 2 for name, x in layout.x.items()) + 12
    level = {name: i for i, row in enumerate(layout.rows) for name in row}

    def middle(name: str) -> tuple[float, float]:
        return layout.x[name] - left, 20 + HEIGHT / 2 + ROW * (len(rows) - 1 - level[name])

    shapes: list[Shape] = []
    for path in layout.paths:
        shapes += [Line(*middle(upper), *middle(lower), "muted") for upper, lower in pairwise(path)]
    for name in modules.names:
        for other in sorted(modules.within[name]):
            shapes.append(Line(*middle(name), *middle(other), "minus", 1.0, dashed=True))
    for name in modules.names:
        x, y = middle(name)
        width = layout.width(name)
        shapes.append(Box(x - width / 2, y - HEIGHT / 2, width, HEIGHT, "ink", "unit", 4))
        shapes.append(Words(x, y + 0.36 * SIZE, name, SIZE, "middle"))
    height = 40 + HEIGHT + ROW * (len(rows) - 1)
    told = "; ".join(f"{name} imports {', '.join(sorted(modules.always[name])) or 'none'}" for name in modules.names)
    return Figure(right - left, height, shapes, "The modules of nanonet, and which imports which", told)


if __name__ == "__main__":
    draw().save(sys.argv[1])
