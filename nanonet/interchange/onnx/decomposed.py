"""Decomposed: the search for an activation that is written out in several operators."""

from __future__ import annotations

import heapq
import math

import numpy as np

from nanonet.core.layer import Layer
from nanonet.inspection.shortening import listed
from nanonet.interchange.onnx.elementwise import OPERATORS
from nanonet.interchange.onnx.graph import Node
from nanonet.interchange.onnx.reached import Reached, Unread
from nanonet.interchange.onnx.recognition import Number, Operation, recognised
from nanonet.interchange.onnx.registration import READERS

LONGEST = 64  # operators of a decomposed activation: GELU in float64 without Erf takes 48


class Search:
    """A search for an activation that begins at the reached value.

    Parameters
    ----------
    reached : Reached
    beside : bool
        Whether other operators may use the value as well, beside the activation.
    first : Node, optional
        The one of these operators with which it begins; default: all that are elementwise.
    """

    def __init__(self, reached: Reached, *, beside: bool = False, first: Node | None = None) -> None:
        self.reached, self.graph, self.beside, self.first = reached, reached.graph, beside, first
        self.start = reached.value
        self.places = {self.start: 0}
        self.taken: list[Node] = []
        self.operations: list[Operation] = []

    def run(self) -> tuple[Layer, list[Node]]:
        """Return the activation, and its operators, up to the value where all its branches join."""
        users = self.graph.users(self.start) if self.first is None else [self.first]
        waiting = [(node.place, node) for node in users]
        seen = {place for place, _ in waiting}
        while waiting and len(waiting) + len(self.taken) <= LONGEST:
            _, node = heapq.heappop(waiting)
            if self.beside and self._is_beside(node):
                continue
            if node.operator not in OPERATORS:
                raise self._refusal(node)
            self.operations.append(self._operation(node))
            self.taken.append(node)
            value = node.outputs[0]
            self.places[value] = len(self.operations)
            if not waiting or (self.beside and all(self._is_beside(other) for _, other in waiting)):
                found = recognised(tuple(self.operations), self.reached.dtype)
                if found is not None:
                    return found, self.taken
                if (
                    node.operator == "Add"
                    and self.start in node.inputs
                    and len(set(node.inputs) & set(self.places)) == 2
                ):
                    break  # the end of a residual block
            if value in self.graph.outputs:
                break
            for user in self.graph.users(value):
                if user.place not in seen:
                    seen.add(user.place)
                    heapq.heappush(waiting, (user.place, user))
        raise Unread(f"{_named(self.taken)} after {self.start}: no activation that nanonet has{self.reached.stop}")

    def _is_beside(self, node: Node) -> bool:
        """Return whether a node uses the value at the start, but nothing computed from it here."""
        inside = [name for name in node.inputs if name in self.places]
        foreign = [name for name in node.inputs if name and name not in self.places]
        if set(inside) != {self.start}:
            return False
        return node.operator not in OPERATORS or not all(map(self.graph.is_constant, foreign))

    def _operation(self, node: Node) -> Operation:
        places = self.places
        inputs = [places[name] if name in places else self._number(name, node) for name in node.inputs]
        attributes = {
            name: self._bound(value) if isinstance(value, float) else value for name, value in node.attributes.items()
        }
        return Operation(node.operator, tuple(inputs), tuple(attributes.items()))

    def _number(self, name: str, node: Node) -> Number | None:
        constant = self.graph.constant(name) if name else None
        if name and (constant is None or constant.size != 1 or constant.ndim > (self.reached.axes or 1)):
            what = "another value" if constant is None else f"an array of shape {constant.shape}"
            raise Unread(f"{node}: takes {what}, {name}, which no layer of nanonet does{self.reached.stop}")
        return None if constant is None else Number(self._bound(float(constant.reshape(()))))

    def _bound(self, number: float) -> float:
        """Return the largest number of the file's dtype, and anything beyond, as infinity, that is, as no bound."""
        return math.copysign(math.inf, number) if abs(number) >= float(np.finfo(self.reached.dtype).max) else number

    def _refusal(self, node: Node) -> Unread:
        value = self.reached.value
        if self.taken:
            return Unread(f"{_named([*self.taken, node])} after {value}: no activation that nanonet has")
        if node.operator in READERS and len(self.graph.users(value)) > 1:
            error = Unread(f"{node}: is on one of several branches from {value}, which do not join as a layer")
            error.is_of_branches = True
            return error
        return Unread(f"{node}: nanonet has no such layer{self.reached.stop}")


def _named(nodes: list[Node]) -> str:
    return f"operators {listed([node.operator for node in nodes], 8)}"
