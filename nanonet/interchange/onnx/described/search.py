"""Search: describes the values of a graph on demand, by what they are and where their entries stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from nanonet.interchange.onnx.described.arrangement import Part, View
from nanonet.interchange.onnx.graph import Graph, Input, Node
from nanonet.interchange.onnx.lengths import ONE, Length, Sizes, Unproven, computed, sizes

MOST = 400  # operators of one layer, those that compute with sizes included
LARGEST = 1 << 22  # entries of an array that is computed, such as a mask


class Search(ABC):
    """The values of a graph described, as far as one layer may need them."""

    def __init__(self, graph: Graph, givens: dict[str, Input]) -> None:
        self.graph, self.givens = graph, givens
        self._found: dict[str, View | Sizes | Unproven] = {}
        self._nodes: set[int] = set()

    @property
    @abstractmethod
    def operators(self) -> Mapping[str, Callable[..., Any]]:
        """The functions ``function(node, output, *inputs)`` that return what an operator makes of values."""

    @abstractmethod
    def given(self, value: Input) -> View:
        """Return what a value is that comes in."""

    def needed(self, node: Node) -> list[str]:
        """Return the inputs of an operator that its function takes."""
        return [name for name in node.inputs if name]

    def after(self, start: Node) -> list[Node]:
        """Return the operators after a node that are known here, and itself, in the order of the file."""
        found, waiting = {start.place: start}, [start]
        while waiting and len(found) < MOST:
            node = waiting.pop()
            for user in (user for name in node.outputs for user in self.graph.users(name)):
                if user.operator in self.operators and user.place not in found:
                    found[user.place] = user
                    waiting.append(user)
        return [found[place] for place in sorted(found)]

    def whole(self, ends: list[str]) -> list[Node] | None:
        """Return the operators up to some values, in order, if nothing else uses what is between."""
        needed: dict[int, Node] = {}
        names = list(ends)
        while names:
            node = self.graph.maker(name := names.pop())
            if name not in self.givens and node is not None and node.place in self._nodes and node.place not in needed:
                needed[node.place] = node
                names += node.inputs
        for name in (name for node in needed.values() for name in node.outputs):
            if name in ends or self.graph.is_measured(name):
                continue
            if name in self.graph.outputs or any(user.place not in needed for user in self.graph.users(name)):
                return None
        return [needed[place] for place in sorted(needed)]

    # ---- values

    def at(self, name: str, depth: int = 0) -> View | Sizes:
        """Return what a value is, or raise Unproven."""
        if name not in self._found:
            try:
                self._found[name] = self._described(name, depth)
            except Unproven as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, Unproven):
            raise found
        return found

    def _described(self, name: str, depth: int) -> View | Sizes:
        if name in self.givens:
            return self.given(self.givens[name])
        if self.graph.is_constant(name):
            array = self.graph.constant(name)
            assert array is not None
            return array
        node = self.graph.maker(name)
        if node is None or depth > MOST or len(self._nodes) > MOST:
            raise Unproven(f"{name} is too far away")
        given = [self.at(each, depth + 1) for each in self.needed(node)]
        self._nodes.add(node.place)
        if node.operator == "Shape" and isinstance(given[0], View):
            return sizes(given[0].shape)[node.attributes.get("start", 0) : node.attributes.get("end")]
        if not any(isinstance(each, View) for each in given):
            arrays = [each for each in given if not isinstance(each, View)]
            result = computed(node.operator, node.attributes, arrays, LARGEST)
            self.graph.account(result.nbytes)
            return result
        if node.operator not in self.operators:
            raise Unproven(node.operator)
        view: View = self.operators[node.operator](node, name, *given)
        return view


def sequence(value: Input, batch: int | None, axes: tuple[str, ...]) -> list[tuple[Part, ...]]:
    """Return the axes of a value that comes in, the first of which is the batch."""
    shape = value.shape
    if shape is None or len(shape) != len(axes):
        raise Unproven(f"{value.name}: samples of another number of axes")
    lengths = [Length(1, ("batch",)) if batch is None else Length(batch)]
    lengths += [
        Length(1, (f"{axis} of {value.name}",)) if n is None else Length(n) for axis, n in zip(axes, shape, strict=True)
    ]
    return [whole(axis, n) for axis, n in zip(("batch", *axes), lengths, strict=True)]


def whole(axis: str, length: Length) -> tuple[Part, ...]:
    """Return the parts of one whole axis."""
    return () if length == ONE else (Part(axis, length),)
