"""Recurrence: the search for recurrent layers on each other, and for what their sequence and states are made into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nanonet.interchange.onnx.described.arrangement import Part, View, known
from nanonet.interchange.onnx.described.moves import MOVED
from nanonet.interchange.onnx.described.search import Search, sequence, whole
from nanonet.interchange.onnx.graph import Graph, Input, Node
from nanonet.interchange.onnx.lengths import ONE, Length, Unproven

KINDS = ("RNN", "GRU", "LSTM")
INT32 = 6  # ONNX's number of the element type
ZEROS = {"Expand", "Slice", "Identity", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Transpose", "Cast"}
"""What makes zeros of zeros."""


@dataclass(frozen=True)
class Steps:
    """The sequence that comes in, or that so many layers on each other make of it; or their last states, h or c."""

    name: str
    layers: int
    time: Length
    features: int


@dataclass(frozen=True)
class State:
    """A first state that comes in, (batch, all layers and directions, hidden)."""

    name: str


@dataclass(frozen=True)
class Counts:
    """The lengths of the sequences, or which of them are 0."""

    name: str
    are_zero: bool = False


class Ends(NamedTuple):
    """The values that recurrent layers give, by what they are: "sequence", "last", "h" and "c"."""

    values: dict[str, str]
    nodes: list[Node]


class RecurrenceSearch(Search):
    """The search for recurrent layers that begin with an operator.

    Attributes
    ----------
    layers : list of Node
        Those of one kind on each other, from the lowest.
    states : dict
        The values that are first states, by name, "h" and "c".
    lengths : str or None
        The value that has the lengths.
    """

    def __init__(self, graph: Graph, givens: dict[str, Input], x: str) -> None:
        super().__init__(graph, givens)
        self.x = x
        self.layers: list[Node] = []
        self.states: dict[str, str] = {}
        self.lengths: str | None = None
        self._operators: dict[str, Callable[..., Any]] = {
            **{**MOVED, "Concat": self._concatenated, "Cast": self._cast, "Gather": self._gathered},
            **{"Equal": self._compared, "Where": self._chosen, **dict.fromkeys(KINDS, self._layer)},
        }

    @property
    def operators(self) -> Mapping[str, Callable[..., Any]]:
        """What each operator makes of values."""
        return self._operators

    def given(self, value: Input) -> View:
        """Return the sequence (batch, time, features), a first state, or lengths."""
        batch = self.graph.batch
        if value.dtype.kind != "f":
            return View(Counts(value.name), tuple(sequence(value, batch, ())))
        if value.name == self.x:
            dims = sequence(value, batch, ("time", "feature"))
            time, features = View(None, tuple(dims)).shape[1:]
            return View(Steps("sequence", 0, time, known(features)), tuple(dims))
        lead, *both = sequence(value, batch, ("feature", "feature"))
        count, hidden = (known(each) for each in View(None, tuple(both)).shape)
        outer = () if count == 1 else (Part("feature", Length(count), Length(hidden)),)
        return View(State(value.name), (lead, outer, whole("feature", Length(hidden))))

    def needed(self, node: Node) -> list[str]:
        """Return the inputs of an operator that its function takes; of a recurrent one only the sequence."""
        return node.inputs[:1] if node.operator in KINDS else super().needed(node)

    # ---- what is found

    def run(self, start: Node) -> Ends | None:
        """Return what recurrent layers give that begin with a node, and their operators; None if there are none."""
        nodes = self.after(start)
        if not any(node.operator in KINDS for node in nodes):
            return None
        found = {name: form for node in nodes for name in node.outputs if name and (form := self._form(name))}
        if not self.layers:
            return None
        ends: dict[str, str] = {}
        for name, form in found.items():
            users = self.graph.users(name)
            inner = name not in self.graph.outputs and len(users) == 1 and users[0].outputs[0] in found
            if inner or not (users or name in self.graph.outputs):
                continue
            if form in ends:
                return None
            ends[form] = name
        operators = self.whole(list(ends.values())) if ends else None
        return None if operators is None or start not in operators else Ends(ends, operators)

    def _form(self, name: str) -> str:
        """Return which output of the layers a value is, in the form in which a layer gives it; empty if none."""
        try:
            view = self.at(name)
        except Unproven:
            return ""
        if not isinstance(view, View) or not isinstance(view.what, Steps) or not view.what.layers:
            return ""
        what = view.what
        top, axes = what.layers == len(self.layers), view.merged().dims
        if what.name == "sequence" and top and len(axes) == 3 and view.is_whole(1, "time", what.time):
            return "sequence" if axes[2] == whole("feature", Length(what.features)) and _is_batch(axes[0]) else ""
        if what.name == "last" or (what.name == "h" and len(axes) == 2):
            first = 0 if what.name == "last" else (len(self.layers) - 1) * what.features
            at_top = view.offset == first and (top or what.name == "h")
            plain = len(axes) == 2 and axes[1] == whole("feature", Length(what.features)) and _is_batch(axes[0])
            return "last" if at_top and plain else ""
        hidden = self.layers[0].attributes["hidden_size"]
        count = len(self.layers) * what.features // hidden
        every = () if count == 1 else (Part("feature", Length(count), Length(hidden)),)
        states = what.name in ("h", "c") and len(axes) == 3 and _is_batch(axes[0]) and view.offset == 0
        return what.name if states and axes[1:] == (every, whole("feature", Length(hidden))) else ""

    # ---- operators

    def _layer(self, node: Node, output: str, view: Any, *others: Any) -> View:
        """Return the sequence, or the last h or c, that a recurrent operator gives."""
        if node not in self.layers:
            self._add(node, view)
        below = self.layers.index(node)
        what = view.what
        size = node.attributes["hidden_size"]
        directions = 2 if node.attributes["direction"] == "bidirectional" else 1
        lead = next((dim for dim, axes in zip(view.dims, view.axes(), strict=True) if axes == ["batch"]), ())
        features, time = directions * size, whole("time", what.time)
        both = () if directions == 1 else (Part("feature", Length(2), Length(size)),)
        hidden = whole("feature", Length(size))
        place = node.outputs.index(output)
        first = node.attributes.get("layout")
        if place == 0:
            made = Steps("sequence", below + 1, what.time, features)
            return View(made, (lead, time, both, hidden) if first else (time, both, lead, hidden))
        made = Steps("hc"[place - 1], len(self.layers), what.time, features)
        dims = (lead, both, hidden) if first else (both, lead, hidden)
        return View(replace(made, layers=1), dims, below * features)

    def _add(self, node: Node, view: Any) -> None:
        """Check that an operator reads the sequence below it, and add it to the layers."""
        if not isinstance(view, View) or not isinstance(view.what, Steps) or view.what.name != "sequence":
            raise Unproven(f"{node} reads something else")
        order = [["batch"], ["time"]] if node.attributes.get("layout") else [["time"], ["batch"]]
        axes, what = view.axes()[:2], view.what
        order = [[] if each == ["time"] and what.time == ONE else each for each in order]
        order = [[] if each == ["batch"] and self.graph.batch == 1 else each for each in order]
        last = view.merged().dims[-1]
        if len(view.dims) != 3 or axes != order or last != whole("feature", Length(what.features)) or view.offset:
            raise Unproven(f"{node} reads a sequence in another order")
        if what.layers != len(self.layers) or not _alike(node, self.layers):
            raise Unproven(f"{node} is no further layer")
        self._enter(node, what.features)
        self.layers.append(node)

    def _enter(self, node: Node, features: int) -> None:
        """Take the lengths and the first states of a layer, which must be those of all layers."""
        name = None
        if lengths := node.inputs[4]:
            view = self.at(lengths)
            if not (isinstance(view, View) and isinstance(view.what, Counts) and view.what == Counts(view.what.name)):
                raise Unproven(f"{node}: lengths that are computed")
            name = view.what.name
        if self.layers and name != self.lengths:
            raise Unproven(f"{node}: other lengths than those of the layer below")
        self.lengths = name
        for state, value in zip("hc", node.inputs[5:7], strict=False):
            self._start(node, state, value)

    def _start(self, node: Node, state: str, value: str) -> None:
        """Take a first state of a layer: zeros, or its part of a value that comes in."""
        if not value or self._is_zero(value):
            if state in self.states:
                raise Unproven(f"{node}: a first state for some of the layers")
            return
        view = self.at(value)
        if not isinstance(view, View) or not isinstance(view.what, State):
            raise Unproven(f"{node}: a first state that is computed")
        size, directions = node.attributes["hidden_size"], 1 + (node.attributes["direction"] == "bidirectional")
        both = () if directions == 1 else (Part("feature", Length(2), Length(size)),)
        lead, hidden = view.dims[0 if node.attributes.get("layout") else 1], whole("feature", Length(size))
        wanted = (lead, both, hidden) if node.attributes.get("layout") else (both, lead, hidden)
        right = view.dims == wanted and _is_batch(lead) and view.offset == len(self.layers) * directions * size
        if not right or (self.layers and self.states.get(state) != view.what.name):
            raise Unproven(f"{node}: a first state of another layer")
        self.states[state] = view.what.name

    def _is_zero(self, name: str, depth: int = 0) -> bool:
        """Return whether a value is zeros, of whatever shape."""
        if self.graph.is_constant(name):
            array = self.graph.constant(name)
            return array is not None and not array.any()
        node = self.graph.maker(name)
        if node is None or depth > 20:
            return False
        if node.operator == "ConstantOfShape":
            return node.attributes.get("value") is None or not self.graph.array(node.attributes["value"]).any()
        parts = node.inputs if node.operator == "Concat" else node.inputs[:1]
        return node.operator in ZEROS and all(self._is_zero(each, depth + 1) for each in parts)

    def _cast(self, node: Node, output: str, view: View) -> View:
        if not isinstance(view.what, Counts) or node.attributes["to"] != INT32:
            raise Unproven("a cast")
        return view

    def _compared(self, node: Node, output: str, view: Any, number: Any) -> View:
        """Return which lengths are 0."""
        if not isinstance(view, View) or not isinstance(view.what, Counts) or number.size != 1 or number.any():
            raise Unproven("a comparison of something else")
        return replace(view, what=replace(view.what, are_zero=True))

    def _chosen(self, node: Node, output: str, where: Any, first: Any, last: Any) -> View:
        """Return the last state, which is the first one where a sequence has no entries."""
        if not all(isinstance(each, View) for each in (where, first, last)) or where.what != Counts(
            self.lengths or "", True
        ):
            raise Unproven("a choice of something else")
        states = isinstance(first.what, State) and isinstance(last.what, Steps)
        if not states or first.what.name != self.states.get(last.what.name):
            raise Unproven("a choice of something else")
        batch = [dim if _is_batch(dim) else () for dim in last.dims]
        if first.dims != last.dims or first.offset != last.offset or where.dims != tuple(batch):
            raise Unproven("a choice of something else")
        chosen: View = last
        return chosen

    def _gathered(self, node: Node, output: str, view: Any, index: Any) -> View:
        """Return some of the features, or the last time of a sequence that is read forward."""
        if isinstance(view, View) and isinstance(view.what, Steps) and view.what.name == "sequence":
            axis, what = node.attributes["axis"] % len(view.dims), view.what
            if view.is_whole(axis, "time", what.time) and isinstance(index, np.ndarray) and index.ndim == 0:
                ends = [-1] if what.time.unknown else [-1, what.time.number - 1]
                forward = self.layers[-1].attributes["direction"] == "forward" and self.lengths is None
                if int(index) in ends and forward and what.time != ONE:
                    return View(replace(what, name="last"), (*view.dims[:axis], *view.dims[axis + 1 :]))
        found: View = MOVED["Gather"](node, output, view, index)
        return found

    def _concatenated(self, node: Node, output: str, *views: Any) -> View:
        """Return the states of several layers side by side."""
        first = views[0]
        axis = node.attributes["axis"]
        if not all(isinstance(each, View) and each.what == first.what for each in views):
            raise Unproven("a Concat of something else")
        if any(each.dims != first.dims for each in views) or len(views) < 2 or not isinstance(first.what, Steps):
            raise Unproven("a Concat of something else")
        axis, step = axis % len(first.dims), views[1].offset - first.offset
        if any(each.offset != first.offset + i * step for i, each in enumerate(views)) or step < 1:
            raise Unproven("a Concat in another order")
        joined = (Part("feature", Length(len(views)), Length(step)), *first.dims[axis])
        whole_of: View = replace(first, dims=(*first.dims[:axis], joined, *first.dims[axis + 1 :]))
        return whole_of.merged()


def _is_batch(dim: tuple[Part, ...]) -> bool:
    return [part.axis for part in dim] in (["batch"], [])


def _alike(node: Node, layers: list[Node]) -> bool:
    """Return whether a layer is one of the same kind as those below it."""
    return not layers or (
        node.operator == layers[0].operator
        and node.attributes == layers[0].attributes
        and bool(node.inputs[3]) == bool(layers[0].inputs[3])
    )
