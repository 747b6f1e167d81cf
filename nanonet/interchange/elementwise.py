"""Elementwise: which activation a few ONNX operators make, found by computing them: exporters write many forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
)
from nanonet.numerics import sigmoid, softplus

Numbers = npt.NDArray[Any]

PROBE: Numbers = np.concatenate([[-50.0, -1.0], np.linspace(-15, 15, 1201), [50.0]])
"""The pre-activations at which functions are compared."""

OPERATORS: dict[str, Callable[..., Any]] = {
    **{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power},
    **{"Neg": np.negative, "Abs": np.abs, "Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Reciprocal": np.reciprocal},
    **{"Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal},
    **{"Where": np.where, "Tanh": np.tanh, "Sigmoid": sigmoid, "Softplus": softplus},
    "Erf": np.vectorize(math.erf, otypes=[float]),
    "Max": lambda *values: np.maximum.reduce(np.broadcast_arrays(*values)),
    "Min": lambda *values: np.minimum.reduce(np.broadcast_arrays(*values)),
    "Relu": lambda a: np.maximum(a, 0),
    "Clip": lambda a, low=-math.inf, high=math.inf: np.clip(a, low, high),
}
"""ONNX's operators that work entry by entry, on what stands in their inputs."""


def recognised(values: Numbers) -> Activation | None:
    """Return the activation whose values at PROBE these are, None where there is none.

    Examples
    --------
    >>> recognised(PROBE / (1 + np.exp(-PROBE))), recognised(np.maximum(PROBE, 0.2 * PROBE)), recognised(PROBE**2)
    (SiLU(), LeakyReLU(0.2), None)
    """
    if values.shape != PROBE.shape or values.dtype.kind != "f" or not np.isfinite(values).all():
        return None
    plain = [Sigmoid(), Tanh(), ReLU(), Identity(), SELU(), SiLU(), GELU(), Softplus(), Softsign()]
    for activation in (*plain, LeakyReLU(float(-values[1])), ELU(float(-values[0]))):
        if np.allclose(activation.function(PROBE), values, rtol=1e-6, atol=1e-6):
            return activation
    return None


def is_exact_gelu(values: Numbers) -> bool:
    """Tell whether these are the values of GELU with erf, of which nanonet has the form with tanh alone."""
    exact = PROBE * (1 + OPERATORS["Erf"](PROBE / math.sqrt(2))) / 2
    return values.shape == PROBE.shape and bool(np.allclose(exact, values, rtol=1e-6, atol=1e-6))
