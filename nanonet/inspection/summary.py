"""The summary of a model as a text or HTML table: input shapes, output shapes, and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nanonet.checking.view import View
from nanonet.core.arrays import Pattern, Patterns, Shape
from nanonet.core.chain import Chain
from nanonet.core.errors import shape_text
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.core.tree import Tree
from nanonet.inspection.html import shortened, table
from nanonet.inspection.shortening import listed

HEAD = ("", "layer", "input", "output", "parameters", "numbers")
SHORT = 16  # maximum number of calls within a layer that have rows of their own


class Summary(str):
    """The text of a summary, which a notebook shows as a table, and a prompt as its lines.

    Attributes
    ----------
    heading : str
        The line above the table.
    cells : list of tuple of str
        One tuple per row, without the header.
    """

    heading: str
    cells: list[tuple[str, ...]]

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return the same as an HTML table, without the middle of a long chain."""
        return table(self.heading, HEAD, shortened(self.cells, "layers", ends=20), right=[len(HEAD) - 1])


def summary_of(model: Chain, input_shape: Shape | None = None) -> Summary:
    """Return a title, a header and one line per layer."""
    rows = _rows_of(model, input_shape)
    heading, cells = _heading(model, rows), [row.cells for row in rows]
    widths = [max(map(len, column)) for column in zip(HEAD, *cells, strict=True)]
    lines = ["  ".join([*map(str.ljust, row[:-1], widths), row[-1].rjust(widths[-1])]) for row in (HEAD, *cells)]
    summary = Summary("\n".join([heading, *lines]))
    summary.heading, summary.cells = heading, cells
    return summary


# ---- rows


@dataclass
class _Row:
    """One layer; for a layer that is made of others, whose rows follow, only what it owns itself."""

    name: str
    layer: Layer
    input: Patterns | None
    output: Patterns | None = None
    parts: bool = False
    again: bool = False  # whether it has a row already

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of the columns."""
        parameters = self._own() if self.parts else {} if self.again else Tree(self.layer).parameters
        owned = [f"{key} {p.shape}{'' if p.trainable else ' frozen'}" for key, p in parameters.items()]
        numbers = sum(p.size for p in parameters.values())
        shapes = (_shape(self.input), _shape(self.output))
        return self.name, called(self.layer)[:60], *shapes, listed(owned, 4) or "-", str(numbers)

    def _own(self) -> dict[str, Parameter]:
        return {name: part for name, part in self.layer.owned_parts() if isinstance(part, Parameter)}


def _rows_of(model: Chain, input_shape: Shape | None) -> list[_Row]:
    """Return the row of each layer, on a view whose layers tell when their output shape is asked for."""
    view, asked = View(model, live=True), list[_Row]()
    for path, twin in view.twins.items():
        if path:
            vars(twin)["output_shape"] = _watched(path, twin, asked)
    return list(_rows(view.root, "", input_shape, asked))


def _watched(path: str, twin: Layer, asked: list[_Row]) -> Callable[[Patterns], Any]:
    original = twin.output_shape

    def output_shape(input_shape: Patterns) -> Any:
        row = _Row(path, twin, input_shape)
        asked.append(row)
        row.output = original(input_shape)
        return row.output

    return output_shape


def _rows(chain: Chain, path: str, shape: Patterns | None, asked: list[_Row]) -> Iterator[_Row]:
    """Yield the row of each layer of a chain, those of nested chains and those of the parts that a layer asked."""
    asked.clear()
    for i, layer, before, after in chain.shapes(shape):
        name = f"{path}{i}"
        inner = [row for row in asked if row.name != name]
        if isinstance(layer, Chain):
            yield from _rows(layer, f"{name}.", before, asked)
        else:
            parts = _parts(layer, inner)
            yield _Row(name, layer, before, after, bool(parts))
            yield from parts
        asked.clear()


def _parts(layer: Layer, inner: list[_Row]) -> list[_Row]:
    """Return the rows of a layer's parts, if they are few and hold all of its parameters."""
    seen: dict[str, int] = {}
    for row in inner:
        count = seen[row.name] = seen.get(row.name, 0) + 1
        row.parts = any(other.name.startswith(f"{row.name}.") for other in inner)
        row.again = count > 1
        row.name += f"#{count}" * row.again
    held = {id(part) for row in inner if not row.again for part in Tree(row.layer).parameters.values()}
    own = {id(part) for _, part in layer.owned_parts()}
    complete = all(id(part) in held | own for part in Tree(layer).parameters.values())
    return inner if complete and len(inner) <= SHORT else []


# ---- texts


def _heading(model: Chain, rows: list[_Row]) -> str:
    tree = Tree(model)
    frozen = sum(p.size for p in tree.parameters.values() if not p.trainable)
    layers = sum(not row.parts and not row.again for row in rows)
    heading = f"{type(model).__name__}: {_counted(layers, 'layer')}, {_counted(tree.size, 'parameter')}, {model.dtype}"
    return heading + (f", {frozen} of them frozen" if frozen else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _shape(shape: Pattern | None) -> str:
    return "?" if shape is None else shape_text(shape)
