"""The summary of a model as a text or HTML table: input shapes, output shapes, and parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nanonet.core.arrays import Pattern, Shape
from nanonet.core.chain import Chain
from nanonet.core.errors import shape_text
from nanonet.core.layer import Layer
from nanonet.core.objects import listed
from nanonet.core.tree import Tree
from nanonet.inspection.html import shortened, table

Row = tuple[Layer, Pattern | None, Pattern | None]
HEAD = ("", "layer", "input", "output", "parameters", "numbers")


def summary_table(model: Chain, input_shape: Shape | None) -> str:
    """Return a title, a header and one line per layer."""
    rows = dict(_rows(model, "", input_shape))
    lines = [HEAD, *(_cells(name, *row) for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([*map(str.ljust, cells[:-1], widths), cells[-1].rjust(widths[-1])]) for cells in lines]
    return "\n".join([_title(model, rows), *text])


def summary_html(model: Chain) -> str:
    """Return the same as an HTML table, without the middle of a long chain."""
    rows = dict(_rows(model, "", None))
    cells = [_cells(name, *row) for name, row in rows.items()]
    return table(_title(model, rows), HEAD, shortened(cells, "layers", ends=20), right=[len(HEAD) - 1])


def _rows(chain: Chain, path: str, shape: Pattern | None) -> Iterator[tuple[str, Row]]:
    """Yield each layer of a chain, including nested chains, by name, with its input and output shapes."""
    for i, layer, known, out in chain.shapes(shape):
        if isinstance(layer, Chain):
            yield from _rows(layer, f"{path}{i}.", known)
        else:
            yield f"{path}{i}", (layer, known, out)


def _title(model: Chain, rows: Mapping[str, Row]) -> str:
    total, frozen = Tree(model).size, sum(_count(layer, trainable=False) for layer, _, _ in rows.values())
    title = f"{type(model).__name__}: {_counted(len(rows), 'layer')}, {_counted(total, 'parameter')}, {model.dtype}"
    return title + (f", {frozen} of them frozen" if frozen else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _cells(name: str, layer: Layer, before: Pattern | None, after: Pattern | None) -> tuple[str, ...]:
    parameters = Tree(layer).parameters
    owned = [f"{key} {p.shape}{'' if p.trainable else ' frozen'}" for key, p in parameters.items()]
    numbers = sum(p.size for p in parameters.values())
    label = " ".join(repr(layer).split())
    return (name, label[:60], _shape(before), _shape(after), listed(owned, 4) or "-", str(numbers))


def _count(layer: Layer, *, trainable: bool) -> int:
    return sum(p.size for p in Tree(layer).parameters.values() if p.trainable is trainable)


def _shape(shape: Pattern | None) -> str:
    return "?" if shape is None else shape_text(shape)
