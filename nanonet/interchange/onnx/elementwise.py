"""Elementwise: ONNX's operators and nanonet's activations as NumPy functions, for numbers and symbols alike."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import numpy.lib.mixins

from nanonet.layers import activations as act
from nanonet.layers.activations import Activation
from nanonet.layers.clip import Clip
from nanonet.layers.erf import END, P, Q
from nanonet.layers.gelu import GELU
from nanonet.layers.hard import Hardshrink, Hardsigmoid, Hardswish, Softshrink
from nanonet.layers.smooth import CELU, LogSigmoid, Mish

ERF = np.frompyfunc(math.erf, 1, 1)
"""erf, which NumPy does not have."""


class Symbol(numpy.lib.mixins.NDArrayOperatorsMixin, ABC):
    """An unknown array, to which NumPy's elementwise functions apply like to a known one."""

    @abstractmethod
    def apply(self, function: Any, *inputs: Any) -> Any:
        """Return the symbol for the result of a NumPy function, of which this symbol is an input."""

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Apply one of NumPy's universal functions."""
        return NotImplemented if method != "__call__" or keywords else self.apply(function, *inputs)

    def __array_function__(self, function: Any, types: Any, inputs: Any, keywords: Any) -> Any:
        """Apply another of NumPy's functions: np.where."""
        return NotImplemented if keywords else self.apply(function, *inputs)


def sigmoid(a: Any) -> Any:
    """Return 1 / (1 + exp(-a))."""
    return 1 / (1 + np.exp(-a))


def _elu(a: Any, alpha: float) -> Any:
    return np.maximum(a, 0) + alpha * (np.exp(np.minimum(a, 0)) - 1)


def _selu(a: Any, alpha: float, gamma: float) -> Any:
    return gamma * np.maximum(a, 0) + gamma * alpha * (np.exp(np.minimum(a, 0)) - 1)  # not gamma times an ELU


def _leaky(a: Any, alpha: float) -> Any:
    return np.maximum(a, 0) + alpha * np.minimum(a, 0)


def _softplus(a: Any) -> Any:
    return np.maximum(a, 0) + np.log(1 + np.exp(-np.abs(a)))


def _softsign(a: Any) -> Any:
    return a / (1 + np.abs(a))


def _celu(a: Any, alpha: float) -> Any:
    return np.maximum(a, 0) + alpha * (np.exp(np.minimum(a, 0) / alpha) - 1)


def _hard_sigmoid(a: Any, alpha: float, beta: float) -> Any:
    return np.maximum(np.minimum(a * alpha + beta, 1), 0)


def _shrink(a: Any, bias: float, lambd: float) -> Any:
    return np.where(a > lambd, a - bias, np.where(a < -lambd, a + bias, 0))


def _mish(a: Any) -> Any:
    return a * np.tanh(_softplus(a))


def _clip(a: Any, low: Any = None, high: Any = None, **bounds: float) -> Any:
    """Return min(max(a, low), high): the bounds are attributes in opsets before 11, and inputs since."""
    low, high = bounds.get("min", low), bounds.get("max", high)
    a = a if low is None else np.maximum(a, low)
    return a if high is None else np.minimum(a, high)


OPERATORS: dict[str, Callable[..., Any]] = {
    **{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power},
    **{"Neg": np.negative, "Abs": np.abs, "Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Reciprocal": np.reciprocal},
    **{"Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal},
    **{"Equal": np.equal, "Not": np.logical_not, "And": np.logical_and, "Or": np.logical_or},
    **{"Where": np.where, "Tanh": np.tanh, "Erf": ERF, "Sigmoid": sigmoid, "Identity": lambda a: a, "Clip": _clip},
    **{"Max": lambda *inputs: reduce(np.maximum, inputs), "Min": lambda *inputs: reduce(np.minimum, inputs)},
    "Relu": lambda a: np.maximum(a, 0),
    **{"LeakyRelu": _leaky, "Elu": _elu, "Selu": _selu, "Softplus": _softplus, "Softsign": _softsign},
    **{"Celu": _celu, "HardSigmoid": _hard_sigmoid, "HardSwish": lambda a: a * _hard_sigmoid(a, 1 / 6, 0.5)},
    **{"Mish": _mish, "Shrink": _shrink},
}
"""ONNX's elementwise operators as functions of their inputs, with attributes as keywords."""

NAMES = {function: name for name, function in OPERATORS.items()} | {np.maximum: "Max", np.minimum: "Min"}
"""The operators for NumPy's functions."""


def gelu_without_erf(a: Any) -> Any:
    """Return max(a, 0) - z exp(-z²/2) P(z)/Q(z) for z = min(|a|, END), as nanonet.layers.erf computes it in float64."""
    double = np.dtype(np.float64)
    z = np.minimum(np.abs(a), END[double])
    p, q = (reduce(lambda y, c: y * z + c, each[double]) for each in (P, Q))
    return np.maximum(a, 0) - p / q * np.exp(z * z * -0.5) * z


def _gelu_of(layer: Any, a: Any) -> Any:
    """Return a (erf(a/√2) + 1) / 2, in the order that runtimes recognise, or a/2 (tanh(root (a + cubic a³)) + 1)."""
    if layer.approximate:
        return a * 0.5 * (np.tanh((a + a * a * (a * layer.cubic)) * layer.root) + 1)
    return a * (ERF(a / math.sqrt(2)) + 1) * 0.5


def _softplus_of(layer: Any, a: Any) -> Any:
    """Return log(1 + exp(z)) / beta for z = beta a, and a itself where z is above the threshold."""
    z = a if layer.beta == 1 else a * layer.beta
    y = _softplus(z) if layer.beta == 1 else _softplus(z) / layer.beta
    return y if layer.threshold == math.inf else np.where(z > layer.threshold, a, y)


def _clip_of(layer: Any, a: Any) -> Any:
    """Return max(a, low), and high where a is above it: a Min would be read as a second Clip."""
    y = a if layer.low == -math.inf else np.maximum(a, layer.low)
    return y if layer.high == math.inf else np.where(a > layer.high, layer.high, y)


FORMULAS: dict[type[Activation], Callable[[Any, Any], Any]] = {
    act.Identity: lambda layer, a: a,
    act.Sigmoid: lambda layer, a: sigmoid(a),
    act.Tanh: lambda layer, a: np.tanh(a),
    act.ReLU: lambda layer, a: np.maximum(a, 0),
    act.LeakyReLU: lambda layer, a: _leaky(a, layer.slope),
    act.ELU: lambda layer, a: _elu(a, layer.alpha),
    act.SELU: lambda layer, a: _selu(a, layer.alpha, layer.scale),
    act.SiLU: lambda layer, a: a * sigmoid(a),
    GELU: _gelu_of,
    act.Softplus: _softplus_of,
    act.Softsign: lambda layer, a: _softsign(a),
    Clip: _clip_of,
    CELU: lambda layer, a: _celu(a, layer.alpha),
    Hardshrink: lambda layer, a: _shrink(a, 0.0, layer.threshold),
    Hardsigmoid: lambda layer, a: _hard_sigmoid(a, 1 / 6, 0.5),
    Hardswish: lambda layer, a: a * _hard_sigmoid(a, 1 / 6, 0.5),
    LogSigmoid: lambda layer, a: -_softplus(-a),
    Mish: lambda layer, a: _mish(a),
    Softshrink: lambda layer, a: _shrink(a, layer.threshold, layer.threshold),
}
"""The activations as functions of the layer and its input."""
