"""Attention: the search for an attention that is written out in several operators, however it arranges its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nanonet.interchange.onnx.described.arrangement import View
from nanonet.interchange.onnx.described.masks import cast, either, softmax, where
from nanonet.interchange.onnx.described.moves import MOVED
from nanonet.interchange.onnx.described.products import add, gemm, matmul, scaled
from nanonet.interchange.onnx.described.search import Search, sequence
from nanonet.interchange.onnx.described.values import Given, Hidden, Output
from nanonet.interchange.onnx.graph import Input, Node
from nanonet.interchange.onnx.lengths import Length, Unproven

OPERATORS: Mapping[str, Callable[..., Any]] = {
    **MOVED,
    **{"MatMul": matmul, "Gemm": gemm, "Add": add, "Mul": scaled, "Div": scaled},
    **{"Softmax": softmax, "Where": where, "Or": either, "Cast": cast},
}


class AttentionSearch(Search):
    """The search for an attention that begins with an operator."""

    @property
    def operators(self) -> Mapping[str, Callable[..., Any]]:
        """What each operator makes of values."""
        return OPERATORS

    def given(self, value: Input) -> View:
        """Return a sequence (batch, time, features), or a mask (batch, keys)."""
        if value.dtype.kind == "f":
            return View(Given(value), tuple(sequence(value, self.graph.batch, ("time", "feature"))))
        return View(Hidden(value.name), tuple(sequence(value, self.graph.batch, ("time",))))

    def run(self, start: Node) -> tuple[View, list[Node]] | None:
        """Return an attention that begins with a node, and all its operators; None if there is none."""
        nodes = self.after(start)
        first = next((node.place for node in nodes if node.operator == "Softmax"), None)
        last: tuple[View, Node] | None = None
        for node in nodes:
            if first is None or node.place < first or (last is not None and last[1].outputs[0] not in node.inputs):
                continue
            view = self._ended(node)
            if view is not None:
                last = view, node
        found = None if last is None else self.whole([last[1].outputs[0]])
        return None if last is None or found is None or start not in found else (last[0], found)

    def _ended(self, node: Node) -> View | None:
        """Return what a node gives, if that is the output of an attention."""
        try:
            view = self.at(node.outputs[0])
        except Unproven:
            return None
        return view if isinstance(view, View) and isinstance(view.what, Output) and _is_in_order(view) else None


def _is_in_order(view: View) -> bool:
    """Return whether an output is (batch, time, features)."""
    features = Length(len(view.what.weight))
    return (
        len(view.dims) == 3
        and view.axes()[0] in (["batch"], [])
        and view.axes()[1] in (["time"], [])
        and view.is_whole(2, "feature", features)
    )
