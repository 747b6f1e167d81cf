"""Basic: the writers of Linear and Embedding, of activations, of dropout, and of what only changes axes or scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.draft import Draft, Value
from nanonet.interchange.onnx.elementwise import FORMULAS, gelu_without_erf
from nanonet.interchange.onnx.registration import writes
from nanonet.layers import activations as act
from nanonet.layers.clip import Clip
from nanonet.layers.dropout import Dropout, Dropout2d, GaussianNoise
from nanonet.layers.embedding import Embedding
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.hard import Hardshrink, Hardsigmoid, Hardswish, Softshrink
from nanonet.layers.linear import Linear
from nanonet.layers.prelu import PReLU
from nanonet.layers.reshape import Permute, Reshape
from nanonet.layers.smooth import CELU, LogSigmoid, Mish
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.layers.standardize import Standardize

# ---- tables of numbers


@writes(Linear)
def _linear(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    weight = draft.constant("weight", layer.weight.value)
    bias = [] if layer.bias is None else [draft.constant("bias", layer.bias.value)]
    if len(shape) == 1:
        return draft.add("Gemm", x, weight, *bias, transB=1)
    product = draft.add("MatMul", x, draft.add("Transpose", weight, perm=[1, 0]))  # Gemm takes only rows
    return draft.add("Add", product, *bias) if bias else product


@writes(Embedding)
def _embedding(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add a Gather from the table, in which the row of padding_idx is 0."""
    table = layer.weight.value
    if layer.padding_idx is not None:
        table = table.copy()
        table[layer.padding_idx] = 0
    return draft.add("Gather", draft.constant("weight", table), x)


@writes(Standardize)
def _standardize(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    centred = draft.add("Sub", x, draft.constant("mean", layer.mean.value))
    return draft.add("Div", centred, draft.constant("scale", layer.scale.value))


# ---- axes


@writes(Reshape)
def _reshape(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    return draft.add("Reshape", x, draft.integers(0, *layer.output_shape(shape)))


@writes(Permute)
def _permute(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    return draft.add("Transpose", x, perm=[0, *layer.axes])


# ---- randomness


@writes(Dropout, Dropout2d)
def _dropout(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    return draft.add("Dropout", x, draft.constant("rate", np.array(layer.rate)))


# ---- activations


def _formula(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add an activation in simpler operators."""
    formula = next(FORMULAS[cls] for cls in type(layer).__mro__ if cls in FORMULAS)
    name: str = formula(layer, Value(draft, x)).name
    return name


@writes(act.SiLU)
def _silu(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    return draft.add("Mul", x, draft.add("Sigmoid", x))


@writes(GELU)
def _gelu(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add GELU, for which opset 17 has no operator, and runtimes have no Erf in float64."""
    if layer.approximate or not draft.is_double:
        return _formula(draft, layer, x, shape)
    name: str = gelu_without_erf(Value(draft, x)).name
    return name


@writes(act.Softplus)
def _softplus(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    if draft.is_double or layer.beta != 1 or layer.threshold != math.inf:
        return _formula(draft, layer, x, shape)
    return draft.add("Softplus", x)


@writes(LogSigmoid)
def _log_sigmoid(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    if draft.is_double:
        return _formula(draft, layer, x, shape)
    return draft.add("Neg", draft.add("Softplus", draft.add("Neg", x)))


@writes(Mish)
def _mish(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add a Mish, for which opset 17 has no operator."""
    if draft.is_double:
        return _formula(draft, layer, x, shape)
    return draft.add("Mul", x, draft.add("Tanh", draft.add("Softplus", x)))


@writes(PReLU)
def _prelu(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add a PRelu, whose slopes are broadcast from the last axis."""
    return draft.add("PRelu", x, draft.constant("weight", layer.weight.value.reshape(-1, *[1] * (len(shape) - 1))))


@writes(Clip)
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


def _node(operator: str, *classes: type[Layer], **attributes: Any) -> Callable[[Draft, Any, str, Shape], str]:
    """Register one operator for layers; an attribute given as text is the layer's setting of that name."""

    @writes(*classes)
    def write(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
        values = {
            name: getattr(layer, value) if isinstance(value, str) else value for name, value in attributes.items()
        }
        return draft.add(operator, x, **values)

    return write


def _single(operator: str, cls: type[Layer], **attributes: Any) -> None:
    """Register the same, but in float64, which the operator or its attributes lack, simpler operators."""
    write = _node(operator, cls, **attributes)

    @writes(cls)
    def choose(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
        return (_formula if draft.is_double else write)(draft, layer, x, shape)


_node("Flatten", Flatten, axis=1)
_node("Softmax", Softmax, axis=-1)
_node("LogSoftmax", LogSoftmax, axis=-1)
_node("Identity", act.Identity, GaussianNoise)
_node("Sigmoid", act.Sigmoid)
_node("Tanh", act.Tanh)
_node("Relu", act.ReLU)
_single("LeakyRelu", act.LeakyReLU, alpha="slope")
_single("Elu", act.ELU, alpha="alpha")
_single("Selu", act.SELU, alpha="alpha", gamma="scale")
_single("Softsign", act.Softsign)
_single("Celu", CELU, alpha="alpha")
_single("HardSigmoid", Hardsigmoid, alpha=1 / 6, beta=0.5)
_single("HardSwish", Hardswish)
_single("Shrink", Hardshrink, lambd="threshold", bias=0.0)
_single("Shrink", Softshrink, lambd="threshold", bias="threshold")
