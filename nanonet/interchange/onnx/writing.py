"""Writing ONNX: each layer becomes one or more nodes, and each parameter a constant of the same name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Shape
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.interchange.replaced import replaced
from nanonet.layers import activations as act
from nanonet.layers.dropout import Dropout
from nanonet.layers.erf import END, P, Q
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.linear import Linear
from nanonet.layers.residual import Residual
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.models.sequential import Sequential


class Graph:
    """The nodes and constants of a graph built layer by layer; values are referred to by name."""

    def __init__(self, onnx: Any, dtype: np.dtype[Any]) -> None:
        self.onnx, self.dtype = onnx, dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.place = ""  # the layer being written

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        name = f"{self.place}.{operator}.{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Add an array under a name, and return the name."""
        self.constants[name] = self.onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def number(self, value: float) -> str:
        """Add a number in the model's dtype, and return its name."""
        return self.constant(f"number {value!r}", self.dtype.type(value))

    @property
    def is_double(self) -> bool:
        """Whether the model is float64, for which runtimes support fewer operators."""
        return self.dtype == np.float64


def graph_of(onnx: Any, model: Sequential, shape: Shape) -> Any:
    """Return the graph of a model for an input shape without the batch axis."""
    graph = Graph(onnx, model.dtype)
    out = model.output_shape(shape)
    given = _chain(graph, model, "x", shape, "")
    if graph.nodes:
        graph.nodes[-1].output[0] = "y"
    else:
        graph.nodes.append(onnx.helper.make_node("Identity", [given], ["y"]))
    kind = onnx.TensorProto.DOUBLE if graph.is_double else onnx.TensorProto.FLOAT
    x = onnx.helper.make_tensor_value_info("x", kind, ["batch", *shape])
    y = onnx.helper.make_tensor_value_info("y", kind, ["batch", *(out or ())])
    return onnx.helper.make_graph(graph.nodes, "nanonet", [x], [y], list(graph.constants.values()))


def _write(graph: Graph, layer: Layer, x: str, shape: Shape, path: str) -> str:
    """Add a layer, and return the name of its output."""
    if isinstance(layer, Sequential) and type(layer).forward is Sequential.forward:
        return _chain(graph, layer, x, shape, f"{path}.")
    own = replaced(layer, type(layer))
    if own:
        raise TypeError(
            f"export: layer {path}, {called(layer)}: its {own[0]} is overridden on the instance, which is not exported"
        )
    write = WRITERS.get(type(layer))
    if write is None:
        raise TypeError(
            f"export: layer {path}, {called(layer)}: no ONNX form is known for it; register a function for it in "
            "nanonet.interchange.onnx.writing.WRITERS"
        )
    graph.place = path
    return write(graph, layer, x, shape)


def _chain(graph: Graph, chain: Sequential, x: str, shape: Shape, prefix: str) -> str:
    for i, layer in enumerate(chain):
        x = _write(graph, layer, x, shape, f"{prefix}{i}")
        shape = layer.output_shape(shape) or ()  # all of nanonet's own layers know it
    return x


def _linear(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    weight = graph.constant(f"{graph.place}.weight", layer.weight.value)
    bias = [] if layer.bias is None else [graph.constant(f"{graph.place}.bias", layer.bias.value)]
    if len(shape) == 1:
        return graph.add("Gemm", x, weight, *bias, transB=1)
    product = graph.add("MatMul", x, graph.add("Transpose", weight, perm=[1, 0]))  # Gemm takes only rows
    return graph.add("Add", product, *bias) if bias else product


def _residual(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    path = graph.place
    inner = _write(graph, layer.inner, x, shape, f"{path}.inner")
    graph.place = path
    return graph.add("Add", x, inner)


def _dropout(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    return graph.add("Dropout", x, graph.constant(f"{graph.place}.rate", np.array(layer.rate)))


def _leaky_relu(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    if not graph.is_double:
        return graph.add("LeakyRelu", x, alpha=layer.slope)
    below = graph.add("Mul", x, graph.number(layer.slope))  # an attribute would round it to float32
    return graph.add("Where", _above_0(graph, x), x, below)


def _elu(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    if not graph.is_double:
        return graph.add("Elu", x, alpha=layer.alpha)
    return graph.add("Where", _above_0(graph, x), x, _expm1(graph, x, layer.alpha))


def _selu(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    if not graph.is_double:
        return graph.add("Selu", x, alpha=layer.alpha, gamma=layer.scale)
    above = graph.add("Mul", x, graph.number(layer.scale))
    return graph.add("Where", _above_0(graph, x), above, _expm1(graph, x, layer.scale * layer.alpha))


def _above_0(graph: Graph, x: str) -> str:
    return graph.add("Greater", x, graph.number(0.0))


def _expm1(graph: Graph, x: str, factor: float) -> str:
    """Add factor (exp(min(x, 0)) - 1)."""
    exponential = graph.add("Exp", graph.add("Min", x, graph.number(0.0)))
    return graph.add("Mul", graph.add("Sub", exponential, graph.number(1.0)), graph.number(factor))


def _softplus(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    """Add log(1 + exp(z)) / beta for z = beta x, and x itself where z is above the threshold."""
    z = x if layer.beta == 1 else graph.add("Mul", x, graph.number(layer.beta))
    if graph.is_double:
        tail = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
        y = graph.add("Add", graph.add("Relu", z), graph.add("Log", graph.add("Add", tail, graph.number(1.0))))
    else:
        y = graph.add("Softplus", z)
    if layer.beta != 1:
        y = graph.add("Div", y, graph.number(layer.beta))
    if layer.threshold == math.inf:
        return y
    return graph.add("Where", graph.add("Greater", z, graph.number(layer.threshold)), x, y)


def _softsign(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    if not graph.is_double:
        return graph.add("Softsign", x)
    return graph.add("Div", x, graph.add("Add", graph.add("Abs", x), graph.number(1.0)))


def _gelu(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    """Add x/2 (1 + erf(x / √2)), or x/2 (1 + tanh(root (x + cubic x^3))); opset 17 has no operator for them."""
    if layer.approximate:
        cube = graph.add("Mul", graph.add("Mul", x, x), graph.add("Mul", x, graph.number(layer.cubic)))
        u = graph.add("Mul", graph.add("Add", x, cube), graph.number(layer.root))
        half, factor = graph.add("Mul", x, graph.number(0.5)), graph.add("Add", graph.add("Tanh", u), graph.number(1.0))
        return graph.add("Mul", half, factor)
    if graph.is_double:
        return _gelu_without_erf(graph, x)
    erf = graph.add("Erf", graph.add("Div", x, graph.number(math.sqrt(2))))
    factor = graph.add("Add", erf, graph.number(1.0))
    return graph.add("Mul", graph.add("Mul", x, factor), graph.number(0.5))  # in the order that runtimes recognise


def _gelu_without_erf(graph: Graph, x: str) -> str:
    """Add max(x, 0) - z exp(-z²/2) P(z)/Q(z) for z = min(|x|, END), as nanonet.layers.erf computes it."""
    z = graph.add("Min", graph.add("Abs", x), graph.number(END[graph.dtype]))
    p, q = (_polynomial(graph, coefficients[graph.dtype], z) for coefficients in (P, Q))
    power = graph.add("Exp", graph.add("Mul", graph.add("Mul", z, z), graph.number(-0.5)))
    tail = graph.add("Mul", graph.add("Div", p, q), power)
    return graph.add("Sub", graph.add("Relu", x), graph.add("Mul", tail, z))


def _polynomial(graph: Graph, coefficients: Sequence[float], z: str) -> str:
    y = graph.number(coefficients[0])
    for coefficient in coefficients[1:]:
        y = graph.add("Add", graph.add("Mul", y, z), graph.number(coefficient))
    return y


def _clip(graph: Graph, layer: Any, x: str, shape: Shape) -> str:
    """Add a Clip, in which a missing bound has an empty name; in float64 a Max, and a Where above the upper bound."""
    low = "" if layer.low == -math.inf else graph.number(layer.low)
    high = [] if layer.high == math.inf else [graph.number(layer.high)]
    if not graph.is_double:
        return graph.add("Clip", x, low, *high)
    # onnxruntime's fusion of Relu and Clip fails on doubles ("Unexpected data type for Clip 'min' input"). After Max, a
    # Min would do, but would be read as a second Clip.
    y = graph.add("Max", x, low) if low else x
    return graph.add("Where", graph.add("Greater", x, *high), *high, y) if high else y


def _node(operator: str, **attributes: Any) -> Callable[[Graph, Any, str, Shape], str]:
    return lambda graph, layer, x, shape: graph.add(operator, x, **attributes)


WRITERS: dict[type[Layer], Callable[[Graph, Any, str, Shape], str]] = {
    Linear: _linear,
    Residual: _residual,
    Dropout: _dropout,
    Flatten: _node("Flatten", axis=1),
    Softmax: _node("Softmax", axis=-1),
    LogSoftmax: _node("LogSoftmax", axis=-1),
    act.Identity: _node("Identity"),
    act.Sigmoid: _node("Sigmoid"),
    act.Tanh: _node("Tanh"),
    act.ReLU: _node("Relu"),
    act.LeakyReLU: _leaky_relu,
    act.ELU: _elu,
    act.SELU: _selu,
    act.SiLU: lambda graph, layer, x, shape: graph.add("Mul", x, graph.add("Sigmoid", x)),
    GELU: _gelu,
    act.Clip: _clip,
    act.Softplus: _softplus,
    act.Softsign: _softsign,
}
"""The writer for each layer; register your own classes here."""
