"""Reading ONNX: a graph is traversed from input to output, and each operator becomes a layer."""

from __future__ import annotations

import heapq
import math
from pathlib import Path
from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.core.objects import listed
from nanonet.core.tree import Tree, build
from nanonet.interchange.onnx.elementwise import OPERATORS
from nanonet.interchange.onnx.graph import Graph, Node
from nanonet.interchange.onnx.operators import READERS, Reached
from nanonet.interchange.onnx.recognition import Number, Operation, recognised
from nanonet.layers.residual import Residual
from nanonet.models.architecture import sketching
from nanonet.models.sequential import Sequential

LONGEST = 64  # operators of a decomposed activation: GELU in float64 without Erf takes 48
DEEPEST = 40  # nesting of residual blocks


class NoActivation(ValueError):
    """The operators after a value are not an activation that nanonet has."""


def chain_of(onnx: Any, proto: Any, folder: Path, size: int, output: str | None) -> Sequential:
    """Return the chain in a file of size bytes, up to an output."""
    graph = Graph(onnx, proto, folder, size, output)
    walk = _Walk(graph)
    with sketching():  # no initial weights are drawn
        layers = walk.layers(graph.output)
        dtypes = [sums.weight.dtype for sums in walk.reached.sums] or [graph.input_dtype]
        model = Sequential(*layers, dtype=np.result_type(*dtypes))
    build(Tree(model), model.dtype, model.rng)
    for layer, weight, bias in walk.reached.sums:
        layer.weight.value = weight
        if layer.bias is not None and bias is not None:
            layer.bias.value = bias
    return model


class _Walk:
    """A traversal of a graph, from value to value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reached = Reached(graph)
        self.depth = 0

    def layers(self, goal: str) -> list[Layer]:
        """Return the layers on the path to a value."""
        layers: list[Layer] = []
        while self.reached.value != goal:
            users = self.graph.users(self.reached.value)
            if not users:
                raise ValueError(f"{goal} does not depend on {self.graph.input}")
            node = users[0]
            if len(users) > 1 or (node.operator, *node.inputs) == ("Add", *[self.reached.value] * 2):
                layers.append(self._branches(users))
            elif node.operator in READERS:
                found = READERS[node.operator](self.reached, node)
                layers += [] if found is None else [found]
                self._advance(node)
            elif (linear := self.reached.with_bias(node, layers)) is not None:
                layers[-1] = linear
                self._advance(node)
            else:
                layers.append(self._activation())
        return layers

    def _advance(self, *nodes: Node) -> None:
        for node in nodes:
            self.graph.take(node)
        self.reached.value = nodes[-1].outputs[0]

    def _branches(self, users: list[Node]) -> Layer:
        """Consume the operators up to the value where several branches join."""
        try:
            return self._activation()
        except NoActivation:
            start, join = self.reached.value, users[-1]
            ends = [name for name in join.inputs if name != start] or [start]
            if join.operator != "Add" or len(ends) != 1 or self.graph.constant(ends[0]) is not None:
                raise
        if self.depth == DEEPEST:
            raise ValueError(f"{join}: more than {DEEPEST} nested residual blocks, the most that load takes")
        self.graph.take(join)
        self.depth += 1
        inner = self.layers(ends[0])
        self.depth -= 1
        self._advance(join)
        return Residual(inner[0] if len(inner) == 1 else Sequential(*inner))

    # ---- activations in several operators

    def _activation(self) -> Layer:
        """Consume the operators of an activation, up to the value where all its branches join."""
        start = self.reached.value
        places = {start: 0}
        waiting = [(node.place, node) for node in self.graph.users(start)]
        seen = {place for place, _ in waiting}
        taken: list[Node] = []
        operations: list[Operation] = []
        while waiting and len(waiting) + len(taken) <= LONGEST:
            _, node = heapq.heappop(waiting)
            if node.operator not in OPERATORS:
                raise self._refusal(node, taken)
            operations.append(self._operation(node, places))
            taken.append(node)
            places[node.outputs[0]] = len(operations)
            if not waiting:
                found = recognised(tuple(operations), self.reached.dtype)
                if found is not None:
                    self._advance(*taken)
                    return found
                if node.operator == "Add" and start in node.inputs and len(set(node.inputs) & set(places)) == 2:
                    break  # the end of a residual block
            for user in self.graph.users(node.outputs[0]):
                if user.place not in seen:
                    seen.add(user.place)
                    heapq.heappush(waiting, (user.place, user))
        raise NoActivation(f"{_named(taken)} after {start}: no activation that nanonet has{self.reached.stop}")

    def _operation(self, node: Node, places: dict[str, int]) -> Operation:
        inputs = [places[name] if name in places else self._number(name, node) for name in node.inputs]
        attributes = {
            name: self._bound(value) if isinstance(value, float) else value for name, value in node.attributes.items()
        }
        return Operation(node.operator, tuple(inputs), tuple(attributes.items()))

    def _number(self, name: str, node: Node) -> Number | None:
        constant = self.graph.constant(name) if name else None
        if name and (constant is None or constant.size != 1 or constant.ndim > (self.reached.axes or 1)):
            what = "another value" if constant is None else f"an array of shape {constant.shape}"
            raise NoActivation(f"{node}: takes {what}, {name}; load takes chains")
        return None if constant is None else Number(self._bound(float(constant.reshape(()))))

    def _bound(self, number: float) -> float:
        """Return the largest number of the file's dtype, and anything beyond, as infinity, that is, as no bound."""
        return math.copysign(math.inf, number) if abs(number) >= float(np.finfo(self.reached.dtype).max) else number

    def _refusal(self, node: Node, taken: list[Node]) -> NoActivation:
        value = self.reached.value
        if taken:
            return NoActivation(f"{_named([*taken, node])} after {value}: no activation that nanonet has")
        if node.operator in READERS:
            return NoActivation(f"{node}: is on one of several branches from {value}; load takes chains")
        return NoActivation(f"{node}: nanonet has no such layer{self.reached.stop}")


def _named(nodes: list[Node]) -> str:
    return f"operators {listed([node.operator for node in nodes], 8)}"
