"""Wiring: branches of a graph, up to where they join, or a graph of several inputs or outputs, become one Wired."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nanonet.core.errors import ShapeError
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.decomposed import Search
from nanonet.interchange.onnx.elementwise import OPERATORS
from nanonet.interchange.onnx.graph import Input, Node
from nanonet.interchange.onnx.reached import Lengths, Reached, Unread, unless
from nanonet.layers.branches import joined_shape
from nanonet.layers.wired import Step, Wired


class _Value(NamedTuple):
    """A value by its number among those of the Wired, with its shape and dtype."""

    number: int
    is_: Input


class Wiring:
    """A traversal of the operators that follow one value or several, in the order of the file."""

    def __init__(self, reached: Reached, starts: list[Input]) -> None:
        self.reached, self.graph, self.starts = reached, reached.graph, starts
        self.layers: list[Layer] = []
        self.steps: list[Step] = []
        self.count = 0
        self.known: dict[str, _Value] = {}
        self._inputs: dict[str, Input] = {}  # the same without the numbers
        self._waiting: list[tuple[int, Node]] = []
        self._queued: set[int] = set()
        self._searched: set[str] = set()
        for start in starts:
            self._add(start)
        for start in starts:
            self._queue(start.name)

    # ---- the two ways to use it

    def whole(self) -> Wired:
        """Return the wiring of the whole graph."""
        while self._waiting:
            for name in self._step():
                self._queue(name)
        missing = [name for name in self.graph.outputs if name not in self.known]
        if missing:
            raise Unread(f"{missing[0]} does not depend on an input, or not on operators that load takes")
        numbers = tuple(self.known[name].number for name in self.graph.outputs)
        return self._wired(numbers if len(numbers) > 1 else numbers[0])

    def part(self) -> Wired:
        """Return the wiring up to the value where all branches join, and go there."""
        start = self.starts[0].name
        while self._waiting:
            found = self._step()
            if len(found) == 1 and not self._waits():
                self.reached.enter(self.known[found[0]].is_)
                return self._wired(self.known[found[0]].number)
            for name in found:
                if not self.graph.users(name):
                    raise Unread(f"{name}: is not joined with the other branches from {start}")
                self._queue(name)
        raise Unread(f"the branches from {start} do not join")

    def _wired(self, outputs: int | tuple[int, ...]) -> Wired:
        shapes: Any = tuple(start.shape for start in self.starts)
        whole = tuple(start.dtype.kind != "f" for start in self.starts)
        several = len(self.starts) > 1
        return Wired(
            self.layers,
            self.steps,
            outputs,
            **unless(1, inputs=len(self.starts)),
            **unless(None, input_shape=None if None in shapes else shapes if several else shapes[0]),
            **unless(False, integer_input=(any(whole) and whole) if several else whole[0]),
        )

    # ---- values

    def _add(self, value: Input) -> str:
        """Give a value the next number."""
        self.known[value.name] = _Value(self.count, value)
        self._inputs[value.name] = value
        self.count += 1
        return value.name

    def _queue(self, name: str) -> None:
        for user in self.graph.users(name):
            if user.place not in self._queued:
                self._queued.add(user.place)
                heapq.heappush(self._waiting, (user.place, user))

    def _waits(self) -> bool:
        """Return whether operators are left that take a value from here."""
        while self._waiting and self.graph.is_taken(self._waiting[0][1]):
            heapq.heappop(self._waiting)
        return bool(self._waiting)

    # ---- one step

    def _step(self) -> list[str]:
        """Consume the next operator, and those that it is one layer with; return the values that it gives."""
        if not self._waits():
            return []
        _, node = heapq.heappop(self._waiting)
        names = [name for name in node.inputs if name in self.known]
        foreign = [name for name in node.inputs if name and name not in self.known and not self.graph.is_constant(name)]
        if foreign:
            raise Unread(f"{node}: takes {foreign[0]}, which load has not reached from {self.starts[0].name}")
        if len(set(names)) == 1:
            found = self._one(node, names[0])
            if found:
                return found
        join = JOINS.get(node.operator) or CUTS.get(node.operator)
        if join is None:
            raise Unread(f"{node}: nanonet has no such layer, and joins values only by {', '.join(JOINS)}")
        values = [self.known.get(name) for name in node.inputs]
        self.graph.take(node)
        return join(self, node, [None if value is None else value.is_ for value in values])

    def _one(self, node: Node, name: str) -> list[str]:
        """Return the values behind a layer that begins with an operator; none if the operator is none."""
        self.reached.enter(self.known[name].is_)
        self.reached.known = self._inputs
        if name not in self._searched:
            self._searched.add(name)
            written = node.operator in OPERATORS and len(node.inputs) > 1
            found = self._search(name) if written or len(self.graph.users(name)) > 1 else []
            if found:
                if not self.graph.is_taken(node):
                    heapq.heappush(self._waiting, (node.place, node))
                return found
        refused: ValueError | None = None
        try:
            read = self.reached.read(node)
        except ValueError as error:
            read, refused = None, error
        if read is not None:
            return self._layer(name, *read)
        if node.operator in OPERATORS and self.reached.dtype.kind == "f":
            found = self._search(name, first=node, or_raise=node.inputs.count(name) < 2)
            if found:
                return found
        if refused is not None:
            raise refused
        return []

    def _search(self, name: str, *, first: Node | None = None, or_raise: bool = False) -> list[str]:
        """Return the value behind an activation that is written out; nothing if there is none."""
        self.reached.enter(self.known[name].is_)
        self.reached.takes(name)
        self.reached.gives()
        if self.reached.dtype.kind != "f":
            return []
        try:
            layer, nodes = Search(self.reached, beside=True, first=first).run()
        except Unread:
            if or_raise:
                raise
            return []
        return self._layer(name, layer, list(nodes))

    def _layer(self, name: str, layer: Layer | None, nodes: list[Node]) -> list[str]:
        """Add a step that calls a layer; a layer without effect only names its value anew."""
        for node in nodes:
            self.graph.take(node)
        value = Input(nodes[-1].outputs[0], self.reached.shape, self.reached.dtype)
        if layer is None:
            self.known[value.name] = _Value(self.known[name].number, value)
            self._inputs[value.name] = value
            return [value.name]
        numbers = tuple(self.known[each].number for each in self.reached.taken)
        self.steps.append((len(self.layers), numbers if len(numbers) > 1 else numbers[0]))
        self.layers.append(layer)
        found = [self._add(each) for each in self.reached.given or (value,)]
        return [each for each in found if self.graph.users(each) or each in self.graph.outputs] if found[1:] else found

    # ---- operators that join or split values

    def _joined(
        self, operation: str, node: Node, values: Sequence[Input | None], shape: Lengths, *more: Any
    ) -> list[str]:
        """Add a step that joins values, all of which must be known."""
        given = [value for value in values if value is not None]
        if len(given) < len(values) or len({value.dtype for value in given}) > 1 or given[0].dtype.kind != "f":
            raise Unread(f"{node}: expected several values, of one floating dtype, and no constants")
        self.steps.append((operation, tuple(self.known[value.name].number for value in given), *more))
        return [self._add(Input(node.outputs[0], shape, given[0].dtype))]

    def add(self, node: Node, values: Sequence[Input | None]) -> list[str]:
        """Add a sum."""
        return self._joined("add", node, values, _common(node, values))

    def multiply(self, node: Node, values: Sequence[Input | None]) -> list[str]:
        """Add a product."""
        return self._joined("multiply", node, values, _common(node, values))

    def concatenate(self, node: Node, values: Sequence[Input | None]) -> list[str]:
        """Add a Concat."""
        shapes: list[Any] = [None if value is None else value.shape for value in values]
        axis = _inner_axis(node, node.attributes["axis"], shapes[0])
        out = None
        if None not in shapes:
            try:
                out = joined_shape(node, tuple(shapes), axis)
            except ShapeError as error:
                raise ValueError(str(error)) from None
        return self._joined("concatenate", node, values, out, axis)  # type: ignore[arg-type]  # no open pattern

    def split(self, node: Node, values: Sequence[Input | None]) -> list[str]:
        """Add a Split."""
        value = self._cut(node, values)
        axis = _inner_axis(node, node.attributes["axis"], value.shape)
        length = _length(node, value.shape, axis)
        sizes = node.attributes.get("split")  # an attribute until opset 12, an input since
        if len(node.inputs) > 1 and node.inputs[1]:
            array = self.graph.constant(node.inputs[1])
            sizes = None if array is None or array.ndim != 1 else array.tolist()
        elif sizes is None and length % len(node.outputs) == 0:
            sizes = [length // len(node.outputs)] * len(node.outputs)
        if sizes is None or sum(sizes) != length or len(sizes) != len(node.outputs) or min(sizes) < 1:
            raise ValueError(
                f"{node}: expected {len(node.outputs)} constant sizes that add up to {length}, got {sizes}"
            )
        return self._pieces(value, node.outputs, sizes, axis)

    def slice(self, node: Node, values: Sequence[Input | None]) -> list[str]:
        """Add a Slice as a split of which one piece is used."""
        value = self._cut(node, values)
        starts, ends, axes, steps = (self._settings(node, i, name) for i, name in enumerate(SLICED, 1))
        axes = list(range(len(starts))) if axes is None and starts else axes
        if not starts or not ends or len(starts) != 1 or len(ends) != 1 or not axes or steps not in (None, [1]):
            raise ValueError(f"{node}: load takes slices of one axis, from a constant to a constant, by steps of 1")
        axis = _inner_axis(node, axes[0], value.shape)
        length = _length(node, value.shape, axis)
        start, stop, _ = slice(starts[0], ends[0]).indices(length)
        if start >= stop:
            raise ValueError(f"{node}: is empty")
        sizes = [size for size in (start, stop - start, length - stop) if size]
        names = [f"{node.outputs[0]} ... {i}" for i in range(len(sizes))]
        names[1 if start else 0] = node.outputs[0]
        self._pieces(value, names, sizes, axis)
        return [node.outputs[0]]

    def _settings(self, node: Node, i: int, name: str) -> list[int] | None:
        """Return integers that are an attribute or, in later opsets, an input."""
        if i < len(node.inputs) and node.inputs[i]:
            array = self.graph.constant(node.inputs[i])
            if array is None or array.ndim != 1:
                raise ValueError(f"{node}: expected its {name} as a constant")
            return [int(each) for each in array]
        return node.attributes.get(name)

    def _cut(self, node: Node, values: Sequence[Input | None]) -> Input:
        value = values[0]
        if value is None or value.dtype.kind != "f":
            raise Unread(f"{node}: expected to cut a value of floats")
        return value

    def _pieces(self, value: Input, names: Sequence[str], sizes: Sequence[int], axis: int) -> list[str]:
        self.steps.append(("split", self.known[value.name].number, tuple(map(int, sizes)), axis))
        shape: Any = value.shape
        found = []
        for name, size in zip(names, sizes, strict=True):
            found.append(self._add(Input(name, (*shape[: axis - 1], int(size), *shape[axis:]), value.dtype)))
        return [name for name in found if self.graph.users(name) or name in self.graph.outputs]


SLICED = ("starts", "ends", "axes", "steps")

Operation = Callable[[Wiring, Node, Sequence[Input | None]], list[str]]

JOINS: dict[str, Operation] = {
    **{"Add": Wiring.add, "Sum": Wiring.add, "Mul": Wiring.multiply},
    "Concat": Wiring.concatenate,
}
"""The operators that join values."""

CUTS: dict[str, Operation] = {"Split": Wiring.split, "Slice": Wiring.slice}
"""The operators that cut one value."""


def _common(node: Node, values: Sequence[Input | None]) -> Lengths:
    """Return the shape of a sum or product."""
    return check_summed(node, [None if value is None else value.shape for value in values])


def check_summed(node: Node, shapes: list[Lengths]) -> Lengths:
    """Return the common shape of values; raise ValueError if one of them is repeated to fit another."""
    known = [shape for shape in shapes if shape is not None]
    if len({len(shape) for shape in known}) > 1 or any(
        len({n for n in lengths if n is not None}) > 1 for lengths in zip(*known, strict=False)
    ):
        raise ValueError(f"{node}: expected values of one shape, got {' and '.join(map(str, known))}")
    if len(known) < len(shapes):
        return None
    return tuple(None if None in lengths and 1 in lengths else _first(lengths) for lengths in zip(*known, strict=True))


def _first(lengths: tuple[int | None, ...]) -> int | None:
    return next((n for n in lengths if n is not None), None)


def _inner_axis(node: Node, axis: int, shape: Any) -> int:
    """Return an axis counted from 0, which must not be the batch."""
    if axis < 0 and shape is not None:
        axis += 1 + len(shape)
    if axis < 1 or (shape is not None and axis > len(shape)):
        raise ValueError(f"{node}: is along axis {axis}; load takes axes after the batch, of values of known shape")
    return axis


def _length(node: Node, shape: Any, axis: int) -> int:
    """Return the length of an axis."""
    length = None if shape is None else shape[axis - 1]
    if length is None:
        raise ValueError(f"{node}: cuts axis {axis}, whose length is not known")
    return int(length)
