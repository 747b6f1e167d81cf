"""The summary of a model as a text or HTML table: input shapes, output shapes, and parameters."""

from __future__ import annotations

from collections.abc import Iterator

from nanonet.core.arrays import Pattern, Shape
from nanonet.core.chain import Chain
from nanonet.core.errors import shape_text
from nanonet.core.objects import listed
from nanonet.core.tree import Tree
from nanonet.inspection.html import shortened, table

HEAD = ("", "layer", "input", "output", "parameters", "numbers")


def summary_table(model: Chain, input_shape: Shape | None) -> str:
    """Return a title, a header and one line per layer."""
    rows = list(_rows(model, "", input_shape))
    lines = [HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([*map(str.ljust, cells[:-1], widths), cells[-1].rjust(widths[-1])]) for cells in lines]
    return "\n".join([_title(model, len(rows)), *text])


def summary_html(model: Chain) -> str:
    """Return the same as an HTML table, without the middle of a long chain."""
    rows = list(_rows(model, "", None))
    return table(_title(model, len(rows)), HEAD, shortened(rows, "layers", ends=20), right=[len(HEAD) - 1])


def _rows(chain: Chain, path: str, shape: Pattern | None) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each layer of a chain, including nested chains."""
    for i, layer, before, after in chain.shapes(shape):
        name = f"{path}{i}"
        if isinstance(layer, Chain):
            yield from _rows(layer, f"{name}.", before)
            continue
        parameters = Tree(layer).parameters
        owned = [f"{key} {p.shape}{'' if p.trainable else ' frozen'}" for key, p in parameters.items()]
        numbers = sum(p.size for p in parameters.values())
        label = " ".join(repr(layer).split())
        yield name, label[:60], _shape(before), _shape(after), listed(owned, 4) or "-", str(numbers)


def _title(model: Chain, layers: int) -> str:
    tree = Tree(model)
    frozen = sum(p.size for p in tree.parameters.values() if not p.trainable)
    title = f"{type(model).__name__}: {_counted(layers, 'layer')}, {_counted(tree.size, 'parameter')}, {model.dtype}"
    return title + (f", {frozen} of them frozen" if frozen else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _shape(shape: Pattern | None) -> str:
    return "?" if shape is None else shape_text(shape)
