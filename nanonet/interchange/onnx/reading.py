"""Reading ONNX: a graph is traversed from input to output, and each operator becomes a layer."""

from __future__ import annotations

import heapq
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.core.layer import Layer
from nanonet.core.tree import Tree, build
from nanonet.interchange.onnx.elementwise import OPERATORS
from nanonet.interchange.onnx.graph import Graph, Node
from nanonet.interchange.onnx.operators import READERS, Reached
from nanonet.interchange.onnx.recognition import Number, Operation, recognised
from nanonet.layers.linear import Linear
from nanonet.layers.residual import Residual
from nanonet.models.architecture import sketching
from nanonet.models.sequential import Sequential

LONGEST = 64  # operators of a decomposed activation: GELU in float64 without Erf takes 48
DEEPEST = 40  # nesting of residual blocks


class NoActivation(ValueError):
    """The operators after a value are not an activation that nanonet has."""


class Sums(NamedTuple):
    """A Linear and the parameters that it gets when the model is built; its bias may come from a later operator."""

    layer: Linear
    weight: Numbers
    bias: Numbers | None

    @classmethod
    def of(cls, weight: Numbers, bias: Numbers | None) -> Sums:
        """Return the sums with a new layer."""
        outputs, inputs = weight.shape
        return cls(Linear(inputs, outputs) if bias is not None else Linear(inputs, outputs, bias=False), weight, bias)


def chain_of(onnx: Any, proto: Any, folder: Path, size: int, output: str | None) -> Sequential:
    """Return the chain in a file of size bytes, up to an output."""
    graph = Graph(onnx, proto, folder, size, output)
    walk = _Walk(graph)
    with sketching():  # no initial weights are drawn
        layers = walk.layers(graph.output)
        dtypes = [sums.weight.dtype for sums in walk.sums] or [graph.input_dtype]
        model = Sequential(*layers, dtype=np.result_type(*dtypes))
    build(Tree(model), model.dtype, model.rng)
    for layer, weight, bias in walk.sums:
        layer.weight.value = weight
        if layer.bias is not None and bias is not None:
            layer.bias.value = bias
    return model


class _Walk:
    """A traversal of a graph, from value to value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reached = Reached(graph)
        self.sums: list[Sums] = []
        self.depth = 0

    def layers(self, goal: str) -> list[Layer]:
        """Return the layers on the path to a value."""
        layers: list[Layer] = []
        while self.reached.value != goal:
            users = self.graph.users(self.reached.value)
            if not users:
                raise ValueError(f"{goal} does not depend on {self.graph.input}")
            if len(users) > 1 or (users[0].operator, *users[0].inputs) == ("Add", *[self.reached.value] * 2):
                layers.append(self._branches(users))
            elif not (users[0].operator == "Add" and self._bias(users[0], layers)):
                layers += self._step(users[0])
        return layers

    def _step(self, node: Node) -> list[Layer]:
        """Consume one operator, or several if it starts a decomposed activation."""
        if node.operator in ("Gemm", "MatMul"):
            found: Layer | None = self._sums(node)
        elif node.operator in READERS:
            found = READERS[node.operator](self.reached, node)
        else:
            return [self._activation()]
        self._advance(node)
        return [] if found is None else [found]

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

    # ---- weighted sums

    def _sums(self, node: Node) -> Linear:
        """Return Gemm's alpha A B + beta C, or MatMul's A B, where A is the current value."""
        matrix = self.graph.constant(node.inputs[1]) if node.inputs[0] == self.reached.value else None
        if matrix is None or matrix.ndim != 2:
            got = "another value" if matrix is None else f"shape {matrix.shape}"
            raise ValueError(f"{node}: expected the chain's value times a constant of two axes, got {got}")
        if matrix.dtype != self.reached.dtype:
            raise ValueError(f"{node}: expected weights of {self.reached.dtype}, got {matrix.dtype}")
        turned, factor, added_factor = False, 1.0, 1.0
        if node.operator == "Gemm":
            turned, factor, added_factor = (node.attributes[name] for name in ("transB", "alpha", "beta"))
            if node.attributes["transA"]:
                raise ValueError(f"{node}: transposes its input (transA), which mixes the samples of a batch")
            if self.reached.axes not in (None, 2):
                raise ValueError(f"{node}: expected rows, got samples of shape {self.reached.shape}")
            self.reached.shape = self.reached.shape or (None,)
        weight, bias = _times(factor, matrix if turned else matrix.T), None
        if node.operator == "Gemm" and node.inputs[2]:
            added = self._row(node.inputs[2], len(weight), axes=2)
            if added is None:
                raise ValueError(f"{node}: expected C as a constant, one number for each of {len(weight)} outputs")
            bias = _times(added_factor, added)
        self.reached.put_last(len(weight))
        self.sums.append(Sums.of(weight, bias))
        return self.sums[-1].layer

    def _bias(self, node: Node, layers: list[Layer]) -> bool:
        """Consume Add as the bias of the weighted sums before it; False if it is not one."""
        other = [name for name in node.inputs if name != self.reached.value]
        if not layers or not isinstance(layers[-1], Linear) or len(other) != 1:
            return False
        _, weight, bias = self.sums[-1]
        row = self._row(other[0], len(weight), axes=self.reached.axes or 2)
        if row is None:
            return False
        self.sums[-1] = Sums.of(weight, row if bias is None else bias + row)
        layers[-1] = self.sums[-1].layer
        self._advance(node)
        return True

    def _row(self, name: str, outputs: int, axes: int) -> Numbers | None:
        """Return a constant as one number per output; None if it is not such a constant."""
        added = self.graph.constant(name)
        if added is None or added.ndim > axes or added.size not in (1, outputs) or added.dtype != self.reached.dtype:
            return None
        if added.size > 1 and added.shape[-1] != outputs:
            return None
        return np.broadcast_to(added.reshape(-1), (outputs,))

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
        if node.operator in ("Gemm", "MatMul", *READERS):
            return NoActivation(f"{node}: is on one of several branches from {value}; load takes chains")
        return NoActivation(f"{node}: nanonet has no such layer{self.reached.stop}")


def _times(factor: float, array: Numbers) -> Numbers:
    return array if factor == 1 else array * array.dtype.type(factor)


def _named(nodes: list[Node]) -> str:
    names = [node.operator for node in nodes]
    return f"operators {', '.join(names[:8])}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")
