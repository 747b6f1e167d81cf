"""Moves: the operators that only move entries of a value, or take some of them."""

from __future__ import annotations

from typing import Any

from nanonet.core.arrays import Numbers
from nanonet.interchange.onnx.described.arrangement import View, known
from nanonet.interchange.onnx.graph import Node
from nanonet.interchange.onnx.lengths import Unproven, sliced


def _moved(name: str) -> Any:
    def apply(node: Node, output: str, view: Any, *more: Any) -> View:
        if not isinstance(view, View) or any(isinstance(each, View) for each in more):
            raise Unproven(f"{node}: an order that is computed")
        result: View = MOVES[name](node, output, view, *more)
        return result

    return apply


def _along(node: Node, given: tuple[Any, ...]) -> list[int] | None:
    return given[0].reshape(-1).tolist() if given else node.attributes.get("axes")


def _gathered(node: Node, output: str, view: View, index: Numbers) -> View:
    if index.size != 1:
        raise Unproven("several of the features")
    axis = node.attributes["axis"] % len(view.dims)
    one = view.cut(axis, int(index.reshape(())) % known(view.shape[axis]), 1)
    return one.squeezed([axis]) if index.ndim == 0 else one


def _sliced(node: Node, output: str, view: View, *given: Any) -> View:
    index = sliced(node.attributes, len(view.dims), list(given))
    for i, each in enumerate(index):
        if each != slice(None):
            start, stop, step = each.indices(known(view.shape[i]))
            if step != 1 or stop <= start:
                raise Unproven("a slice by steps")
            view = view.cut(i, start, stop - start)
    return view


def _split(node: Node, output: str, view: View, *given: Any) -> View:
    axis = node.attributes["axis"] % len(view.dims)
    count, length = len(node.outputs), known(view.shape[axis])
    wanted = given[0].tolist() if given else [length // count] * count
    if sum(wanted) != length or len(wanted) != count:
        raise Unproven("pieces that do not add up")
    i = node.outputs.index(output)
    return view.cut(axis, sum(wanted[:i]), wanted[i])


def _dropped(node: Node, output: str, view: Any, *more: Any) -> View:
    if not isinstance(view, View) or any(isinstance(each, View) for each in more) or (len(more) > 1 and more[1].any()):
        raise Unproven("a Dropout in training mode")
    return view


MOVES: dict[str, Any] = {
    "Transpose": lambda node, output, view: view.transposed(node.attributes.get("perm")),
    "Reshape": lambda node, output, view, shape: view.reshaped(shape, bool(node.attributes.get("allowzero"))),
    "Unsqueeze": lambda node, output, view, *given: view.unsqueezed(_along(node, given) or ()),
    "Squeeze": lambda node, output, view, *given: view.squeezed(_along(node, given)),
    "Gather": _gathered,
    "Slice": _sliced,
    "Split": _split,
    "Identity": lambda node, output, view: view,
}


MOVED = {**{name: _moved(name) for name in MOVES}, "Dropout": _dropped}
"""The same, and Dropout, for values that may be constants: then Unproven is raised."""
