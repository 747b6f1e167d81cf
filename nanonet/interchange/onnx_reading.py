"""Reading ONNX: a graph is followed from its input to its output, and each operator on the way becomes a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.archive import ALLOWED, UNFOLDED
from nanonet.interchange.elementwise import OPERATORS, PROBE, is_exact_gelu, recognised
from nanonet.interchange.onnx_graph import Graph, Node
from nanonet.interchange.onnx_operators import NO_ERF, READERS, Reached
from nanonet.layer import Layer
from nanonet.layers.linear import Linear
from nanonet.layers.residual import Residual
from nanonet.sequential import Sequential

Numbers = npt.NDArray[Any]


class Sums:
    """A Linear to be, whose bias may follow as an operator of its own, and whose numbers come last."""

    def __init__(self, weight: Numbers, bias: Numbers | None = None) -> None:
        self.weight, self.bias = weight, bias
        self.made: Linear | None = None

    def layer(self) -> Linear:
        """Return the layer, without its numbers."""
        outputs, inputs = self.weight.shape
        self.made = Linear(inputs, outputs) if self.bias is not None else Linear(inputs, outputs, bias=False)
        return self.made

    def fill(self) -> None:
        """Give the layer its numbers."""
        if self.made is not None:
            self.made.weight.value = self.weight
            if self.made.bias is not None and self.bias is not None:
                self.made.bias.value = self.bias


def chain_of(onnx: Any, proto: Any, folder: Path, size: int, output: str | None) -> Sequential:
    """Return the chain that a file of size bytes holds, up to an output."""
    graph = Graph(onnx, proto, folder, size, output)
    walk = _Walk(graph)
    layers = walk.layers(graph.output)
    dtypes = [sums.weight.dtype for sums in walk.sums] or [graph.input_dtype]
    model = Sequential(*layers, dtype=np.result_type(*dtypes))
    for sums in walk.sums:
        sums.fill()
    return model


class _Walk:
    """The way through a graph, from value to value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reached = Reached(graph, graph.input, graph.input_shape)
        self.sums: list[Sums] = []

    def layers(self, goal: str) -> list[Layer]:
        """Return the layers on the way to a value."""
        parts: list[Layer | Sums] = []
        while self.reached.value != goal:
            users = self.graph.users(self.reached.value)
            if not users:
                raise ValueError(f"{goal} does not come of {self.graph.input}")
            if len(users) > 1 or (users[0].operator, *users[0].inputs) == ("Add", *[self.reached.value] * 2):
                parts.append(self._branches(users))
            elif not (users[0].operator == "Add" and self._bias(users[0], parts)):
                parts += self._step(users[0])
        return [part.layer() if isinstance(part, Sums) else part for part in parts]

    def _step(self, node: Node) -> list[Layer | Sums]:
        """Take one operator, or several where it is the first of an activation's."""
        if node.operator in ("Gemm", "MatMul"):
            found: Layer | Sums | None = self._sums(node)
        elif node.operator in READERS:
            found = READERS[node.operator](self.reached, node)
        else:
            return [self._activation()]
        self._go_on(node)
        return [] if found is None else [found]

    def _go_on(self, *nodes: Node) -> None:
        for node in nodes:
            self.graph.take(node)
        self.reached.value = nodes[-1].outputs[0]

    def _branches(self, users: list[Node]) -> Layer:
        """Take what stands between here and the value in which several ways come together again."""
        try:
            return self._activation()
        except ValueError:
            start, join = self.reached.value, users[-1]
            ends = [name for name in join.inputs if name != start] or [start]
            if join.operator != "Add" or len(ends) != 1 or self.graph.constant(ends[0]) is not None:
                raise
        self.graph.take(join)
        inner = self.layers(ends[0])
        self._go_on(join)
        return Residual(inner[0] if len(inner) == 1 else Sequential(*inner))

    # ---- weighted sums

    def _sums(self, node: Node) -> Sums:
        """Return Gemm's alpha A B + beta C, or MatMul's A B, where A is the value reached."""
        matrix = self.graph.constant(node.inputs[1]) if node.inputs[0] == self.reached.value else None
        if matrix is None or matrix.ndim != 2:
            got = "another value" if matrix is None else f"shape {matrix.shape}"
            raise ValueError(f"{node}: expected the chain's value times a constant of two axes, got {got}")
        if node.number("transA", 0):
            raise ValueError(f"{node}: transposes its input (transA), and so mixes the samples of a batch")
        if matrix.dtype not in (np.float32, np.float64):
            raise ValueError(f"{node}: expected weights of float32 or float64, got {matrix.dtype}")
        weight = _times(node.number("alpha", 1.0), matrix if node.number("transB", 0) else matrix.T)
        sums = Sums(weight)
        self._keep(sums)
        if node.operator == "Gemm" and len(node.inputs) > 2 and node.inputs[2]:
            added = self._row(node.inputs[2], len(weight), axes=2)
            if added is None:
                raise ValueError(f"{node}: expected C as a constant, one number for each of {len(weight)} outputs")
            sums.bias = _times(node.number("beta", 1.0), added)
        self.reached.put_last(len(weight))
        return sums

    def _keep(self, sums: Sums) -> None:
        """Keep weighted sums; raise ValueError where a small file makes many large ones of one constant."""
        self.sums.append(sums)
        if sum(each.weight.nbytes for each in self.sums) > UNFOLDED * self.graph.size + ALLOWED:
            raise ValueError(f"its layers would take more than {UNFOLDED} times its {self.graph.size} bytes")

    def _bias(self, node: Node, parts: list[Layer | Sums]) -> bool:
        """Take Add as the bias of the weighted sums before it; False where it is none."""
        other = [name for name in node.inputs if name != self.reached.value]
        if not parts or not isinstance(parts[-1], Sums) or len(other) != 1:
            return False
        sums = parts[-1]
        row = self._row(other[0], len(sums.weight), axes=self.reached.axes or 2)
        if row is None:
            return False
        sums.bias = row if sums.bias is None else sums.bias + row
        self._go_on(node)
        return True

    def _row(self, name: str, outputs: int, axes: int) -> Numbers | None:
        """Return a constant as one number for each output; None where it is no such constant."""
        added = self.graph.constant(name)
        if added is None or added.ndim > axes or added.size not in (1, outputs):
            return None
        if added.size > 1 and added.shape[-1] != outputs:
            return None
        return np.broadcast_to(added.reshape(-1), (outputs,))

    # ---- activations in several operators

    def _activation(self) -> Layer:
        """Take the operators up to a value in which all others come together, and say which activation they make."""
        values: dict[str, Any] = {self.reached.value: PROBE}
        taken: list[Node] = []
        for node in self.graph.nodes():
            if not any(name in values for name in node.inputs):
                continue
            if node.operator not in OPERATORS:
                raise self._refusal(node, taken)
            inputs = [values[name] if name in values else self._number(name, node) for name in node.inputs if name]
            taken.append(node)
            with np.errstate(all="ignore"):
                result = values[node.outputs[0]] = np.asarray(OPERATORS[node.operator](*inputs))
            if not self._is_join(node.outputs[0], values, taken):
                continue
            if is_exact_gelu(result):
                raise ValueError(f"{_named(taken)} after {self.reached.value}: {NO_ERF}")
            found = recognised(result)
            if found is not None:
                self._go_on(*taken)
                return found
        raise ValueError(f"{_named(taken)} after {self.reached.value}: no activation that nanonet has")

    def _is_join(self, value: str, values: dict[str, Any], taken: list[Node]) -> bool:
        """Tell whether no other value is used further on."""
        done = {node.place for node in taken}
        return all(node.place in done for name in values if name != value for node in self.graph.users(name))

    def _number(self, name: str, node: Node) -> Any:
        constant = self.graph.constant(name)
        if constant is None or constant.size != 1:
            what = "another value" if constant is None else f"an array of shape {constant.shape}"
            raise ValueError(f"{node}: takes {what}, {name}; load takes chains")
        return constant.reshape(())

    def _refusal(self, node: Node, taken: list[Node]) -> ValueError:
        value = self.reached.value
        if taken:
            return ValueError(f"{_named([*taken, node])} after {value}: no activation that nanonet has")
        if node.operator in ("Gemm", "MatMul", *READERS):
            return ValueError(f"{node}: stands on one of several ways on from {value}; load takes chains")
        return ValueError(f"{node}: nanonet has no such layer{self.reached.stop}")


def _times(factor: float, array: Numbers) -> Numbers:
    return array if factor == 1 else array * array.dtype.type(factor)


def _named(nodes: list[Node]) -> str:
    return f"operators {', '.join(node.operator for node in nodes)}"
