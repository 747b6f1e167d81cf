"""Writing ONNX: each layer becomes one or more nodes, and each parameter a constant of the same name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers, Shape
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.interchange.onnx.elementwise import FORMULAS, NAMES, Symbol, gelu_without_erf
from nanonet.interchange.overridden import replaced
from nanonet.layers import activations as act
from nanonet.layers.dropout import Dropout
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.linear import Linear
from nanonet.layers.residual import Residual
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.models.sequential import Sequential


class Draft:
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

    def constant(self, name: str, array: Numbers) -> str:
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


Writer = Callable[[Draft, Any, str, Shape], str]


class Value(Symbol):
    """A value of a draft, to which NumPy's functions add nodes."""

    def __init__(self, draft: Draft, name: str) -> None:
        self.draft, self.name = draft, name

    def apply(self, function: Any, *inputs: Any) -> Value:
        """Add the operator for a NumPy function."""
        names = (each.name if isinstance(each, Value) else self.draft.number(float(each)) for each in inputs)
        return Value(self.draft, self.draft.add(NAMES[function], *names))


def graph_of(onnx: Any, model: Sequential, shape: Shape) -> Any:
    """Return the graph of a model for an input shape without the batch axis."""
    draft = Draft(onnx, model.dtype)
    out = model.output_shape(shape)
    given = _chain(draft, model, "x", shape, "")
    if draft.nodes:
        draft.nodes[-1].output[0] = "y"
    else:
        draft.nodes.append(onnx.helper.make_node("Identity", [given], ["y"]))
    kind = onnx.TensorProto.DOUBLE if draft.is_double else onnx.TensorProto.FLOAT
    x = onnx.helper.make_tensor_value_info("x", kind, ["batch", *shape])
    y = onnx.helper.make_tensor_value_info("y", kind, ["batch", *(out or ())])
    return onnx.helper.make_graph(draft.nodes, "nanonet", [x], [y], list(draft.constants.values()))


def _write(draft: Draft, layer: Layer, x: str, shape: Shape, path: str) -> str:
    """Add a layer, and return the name of its output."""
    if isinstance(layer, Sequential) and type(layer).forward is Sequential.forward:
        return _chain(draft, layer, x, shape, f"{path}.")
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
    draft.place = path
    return write(draft, layer, x, shape)


def _chain(draft: Draft, chain: Sequential, x: str, shape: Shape, prefix: str) -> str:
    for i, layer in enumerate(chain):
        x = _write(draft, layer, x, shape, f"{prefix}{i}")
        shape = layer.output_shape(shape) or ()  # all of nanonet's own layers know it
    return x


def _linear(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    weight = draft.constant(f"{draft.place}.weight", layer.weight.value)
    bias = [] if layer.bias is None else [draft.constant(f"{draft.place}.bias", layer.bias.value)]
    if len(shape) == 1:
        return draft.add("Gemm", x, weight, *bias, transB=1)
    product = draft.add("MatMul", x, draft.add("Transpose", weight, perm=[1, 0]))  # Gemm takes only rows
    return draft.add("Add", product, *bias) if bias else product


def _residual(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    path = draft.place
    inner = _write(draft, layer.inner, x, shape, f"{path}.inner")
    draft.place = path
    return draft.add("Add", x, inner)


def _dropout(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    return draft.add("Dropout", x, draft.constant(f"{draft.place}.rate", np.array(layer.rate)))


def _formula(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add an activation in simpler operators."""
    name: str = FORMULAS[type(layer)](layer, Value(draft, x)).name
    return name


def _gelu(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add GELU, for which opset 17 has no operator, and runtimes have no Erf in float64."""
    if layer.approximate or not draft.is_double:
        return _formula(draft, layer, x, shape)
    name: str = gelu_without_erf(Value(draft, x)).name
    return name


def _softplus(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    if draft.is_double or layer.beta != 1 or layer.threshold != math.inf:
        return _formula(draft, layer, x, shape)
    return draft.add("Softplus", x)


def _clip(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add a Clip, in which a missing bound has an empty name.

    In float64 it is Max and Where, since onnxruntime cannot load a Clip of doubles after a Relu: its fusion of the two
    ends in "Unexpected data type for Clip 'min' input".
    """
    if draft.is_double:
        return _formula(draft, layer, x, shape)
    low = "" if layer.low == -math.inf else draft.number(layer.low)
    high = [] if layer.high == math.inf else [draft.number(layer.high)]
    return draft.add("Clip", x, low, *high)


def _node(operator: str, **attributes: Any) -> Writer:
    """Return the writer of one operator; an attribute given as text is the layer's setting of that name."""

    def write(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
        values = {
            name: getattr(layer, value) if isinstance(value, str) else value for name, value in attributes.items()
        }
        return draft.add(operator, x, **values)

    return write


def _single(operator: str, **attributes: Any) -> Writer:
    """Return the same, or in float64, which the operator or its attributes lack, that of simpler operators."""
    write = _node(operator, **attributes)
    return lambda draft, *layer: _formula(draft, *layer) if draft.is_double else write(draft, *layer)


WRITERS: dict[type[Layer], Writer] = {
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
    act.LeakyReLU: _single("LeakyRelu", alpha="slope"),
    act.ELU: _single("Elu", alpha="alpha"),
    act.SELU: _single("Selu", alpha="alpha", gamma="scale"),
    act.SiLU: lambda draft, layer, x, shape: draft.add("Mul", x, draft.add("Sigmoid", x)),
    GELU: _gelu,
    act.Clip: _clip,
    act.Softplus: _softplus,
    act.Softsign: _single("Softsign"),
}
"""The writer for each layer; register your own classes here."""
