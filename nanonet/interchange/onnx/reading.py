"""Reading ONNX: a graph is traversed from input to output, and each operator becomes a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.core.tree import Tree, build
from nanonet.interchange.onnx.decomposed import Search
from nanonet.interchange.onnx.elementwise import OPERATORS
from nanonet.interchange.onnx.graph import Graph, Node
from nanonet.interchange.onnx.reached import Reached, Unread
from nanonet.interchange.onnx.wiring import CUTS, Wiring, check_summed
from nanonet.layers.residual import Residual
from nanonet.models.architecture import sketching
from nanonet.models.sequential import Sequential

DEEPEST = 40  # nesting of residual blocks


class TooDeep(Exception):
    """More nested residual blocks than load takes."""


def model_of(onnx: Any, proto: Any, folder: Path, size: int, output: str | None) -> Sequential:
    """Return the model in a file of size bytes, up to an output."""
    graph = Graph(onnx, proto, folder, size, output)
    if not graph.inputs or not graph.outputs:
        raise ValueError(f"expected inputs and outputs, got {len(graph.inputs)} and {len(graph.outputs)}")
    walk = _Walk(graph)
    with sketching():  # no initial weights are drawn
        layers = walk.whole()
        mine = {id(layer) for layer in Tree(Sequential(*layers)).layers.values()}
        fills = [fill for fill in walk.reached.fills.values() if id(fill.layer) in mine]
        model = Sequential(*layers, dtype=_dtype(graph, [array for fill in fills for array in fill.arrays.values()]))
    build(Tree(model), model.dtype, model.rng)
    for layer, arrays in fills:
        for name, array in arrays.items():
            getattr(layer, name).value = array
    return model


def _dtype(graph: Graph, arrays: list[Any]) -> np.dtype[Any]:
    """Return the dtype of the weights, or of the inputs if there are none."""
    floats = [array.dtype for array in arrays if array.dtype.kind == "f"]
    floats = floats or [each.dtype for each in graph.inputs if each.dtype.kind == "f"]
    return np.result_type(*floats) if floats else np.dtype(np.float32)


class Several(Unread):
    """A layer that takes or gives several values, for which a chain has no place."""


class _Walk:
    """A traversal of a graph, from value to value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reached = Reached(graph)
        self.depth = 0

    def whole(self) -> list[Layer]:
        """Return the layers of the whole graph: a chain, or one Wired for several inputs or outputs."""
        graph = self.graph
        if len(graph.inputs) == 1 and len(graph.outputs) == 1:
            try:
                return self.layers(graph.outputs[0])
            except TooDeep as error:
                raise ValueError(str(error)) from None
        try:
            return [Wiring(self.reached, graph.inputs).whole()]
        except ValueError as error:
            if len(graph.outputs) == 1:
                raise
            raise ValueError(
                f"has the outputs {graph.outputs}; write load(path, output=...) with one of them, since not all are "
                f"read: {error}"
            ) from None

    def layers(self, goal: str) -> list[Layer]:
        """Return the layers on the path to a value."""
        layers: list[Layer] = []
        while self.reached.value != goal:
            users = self.graph.users(self.reached.value)
            if not users:
                raise ValueError(f"{goal} does not depend on {self.graph.inputs[0].name}")
            several = len(users) > 1 or users[0].inputs.count(self.reached.value) > 1
            found = self._branches(users) if several else self._single(users[0])
            layers += [] if found is None else [found]
        return layers

    def _single(self, node: Node) -> Layer | None:
        """Consume an operator, the only one that takes the value, and those that it is one layer with."""
        written = node.operator in OPERATORS and len(node.inputs) > 1
        if not written:
            here = self.reached.here
            try:
                found = self._read(node)
            except Several:
                self.reached.enter(here)
                return self._wired([node])
            if found:
                return found[0]
        try:
            return self._activation()
        except Unread:
            again = self._read(node) if written else []
            if again:
                return again[0]
            if node.operator in CUTS:
                return self._wired([node])
            raise

    def _read(self, node: Node) -> list[Layer | None]:
        """Consume the operators of the layer that a reader makes of a node, and return it; nothing if there is none."""
        found = self.reached.read(node)
        if found is None:
            return []
        layer, nodes = found
        self._alone(node)
        self.reached.advance(nodes)
        return [layer]

    def _alone(self, node: Node) -> None:
        """Raise an error if the layer that was read takes several values or gives several, which no chain does."""
        if len(self.reached.taken) > 1 or len(self.reached.given) > 1:
            raise Several(f"{node}: begins a layer that takes or gives several values")

    def _activation(self) -> Layer:
        layer, nodes = Search(self.reached).run()
        self.reached.advance(nodes)
        return layer

    # ---- branches

    def _branches(self, users: list[Node]) -> Layer | None:
        """Consume the operators up to the value where several branches join."""
        try:
            return self._activation()
        except Unread as error:
            first, last = error, ValueError(str(error))
        for way in (self._one, self._residual, self._wired):
            try:
                with self.reached.attempt():
                    return way(users)
            except ValueError as error:
                last = error
        raise first if isinstance(last, Unread) and not first.is_of_branches else last

    def _one(self, users: list[Node]) -> Layer | None:
        """Consume the operators of one layer, which must be all that take the value."""
        found = self.reached.read(users[0])
        if found is None or not {user.place for user in users} <= {node.place for node in found[1]}:
            raise Unread(f"{users[0]}: is only one of those that take {self.reached.value}")
        self._alone(users[0])
        self.reached.advance(found[1])
        return found[0]

    def _residual(self, users: list[Node]) -> Layer:
        """Consume the operators of a chain, and the Add that joins it with the value."""
        start, join = self.reached.value, users[-1]
        ends = [name for name in join.inputs if name != start] or [start]
        if join.operator != "Add" or len(ends) != 1 or self.graph.is_constant(ends[0]):
            raise Unread(f"{join}: is no sum of {start} and a chain from it")
        if self.depth == DEEPEST:
            raise TooDeep(f"{join}: more than {DEEPEST} nested residual blocks, the most that load takes")
        self.graph.take(join)
        before = self.reached.shape
        self.depth += 1
        try:
            inner = self.layers(ends[0])
        finally:
            self.depth -= 1
        check_summed(join, [before, self.reached.shape])
        self.reached.advance([join])
        return Residual(inner[0] if len(inner) == 1 else Sequential(*inner))

    def _wired(self, users: list[Node]) -> Layer:
        """Consume the operators up to the value where all branches join, as a wiring."""
        return Wiring(self.reached, [self.reached.here]).part()
