"""Elementwise: recognition of activations decomposed into ONNX operators, in whatever form, by their algebra."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.core.layer import Activation
from nanonet.interchange.onnx.expression import Unproven
from nanonet.interchange.onnx.pieces import ERF, Pieces, where
from nanonet.layers import activations as act
from nanonet.layers.erf import END, P, Q
from nanonet.layers.gelu import GELU

Numbers = npt.NDArray[Any]


class Number(NamedTuple):
    """A constant input of an operator."""

    value: float


class Step(NamedTuple):
    """An operator with its inputs and attributes.

    Attributes
    ----------
    inputs : tuple
        0 for a, i for the result of the i-th step, a Number, or None for an omitted input.
    """

    operator: str
    inputs: tuple[int | Number | None, ...]
    attributes: tuple[tuple[str, Any], ...] = ()


# ---- operators as NumPy functions, which apply to numbers and Pieces alike


def _sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def _elu(a: Any, alpha: float) -> Any:
    return np.maximum(a, 0) + alpha * (np.exp(np.minimum(a, 0)) - 1)


def _leaky(a: Any, slope: float) -> Any:
    return np.maximum(a, 0) + slope * np.minimum(a, 0)


def _clip(a: Any, low: Any = None, high: Any = None, **bounds: float) -> Any:
    """Return min(max(a, low), high): the bounds are attributes in opsets before 11, and inputs since."""
    low, high = bounds.get("min", low), bounds.get("max", high)
    a = a if low is None else np.maximum(a, low)
    return a if high is None else np.minimum(a, high)


def _all(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def reduced(first: Any, *others: Any) -> Any:
        for other in others:
            first = function(first, other)
        return first

    return reduced


OPERATORS: dict[str, Callable[..., Any]] = {
    **{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power},
    **{"Neg": np.negative, "Abs": np.abs, "Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Reciprocal": np.reciprocal},
    **{"Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal},
    **{"Equal": np.equal, "Not": np.logical_not, "And": np.logical_and, "Or": np.logical_or},
    **{"Where": where, "Max": _all(np.maximum), "Min": _all(np.minimum), "Clip": _clip},
    **{"Tanh": np.tanh, "Sigmoid": _sigmoid, "Erf": ERF, "Identity": lambda a: a},
    "Relu": lambda a: np.maximum(a, 0),
    "LeakyRelu": lambda a, alpha: _leaky(a, alpha),
    "Elu": lambda a, alpha: _elu(a, alpha),
    "Selu": lambda a, alpha, gamma: gamma * _elu(a, alpha),
    "Softplus": lambda a: np.maximum(a, 0) + np.log(1 + np.exp(-np.abs(a))),
    "Softsign": lambda a: a / (1 + np.abs(a)),
}
"""ONNX's elementwise operators as functions of their inputs, with attributes as keywords."""


# ---- layers as the same functions

FORMULAS: dict[type[Activation], Callable[[Any, Any], Any]] = {
    act.Identity: lambda layer, a: a,
    act.Sigmoid: lambda layer, a: _sigmoid(a),
    act.Tanh: lambda layer, a: np.tanh(a),
    act.ReLU: lambda layer, a: np.maximum(a, 0),
    act.LeakyReLU: lambda layer, a: _leaky(a, layer.slope),
    act.ELU: lambda layer, a: _elu(a, layer.alpha),
    act.SELU: lambda layer, a: layer.scale * _elu(a, layer.alpha),
    act.SiLU: lambda layer, a: a * _sigmoid(a),
    GELU: lambda layer, a: (
        a * _sigmoid(2 * layer.root * (a + layer.cubic * np.power(a, 3)))
        if layer.approximate
        else a * (1 + ERF(a / math.sqrt(2))) / 2
    ),
    act.Softplus: lambda layer, a: where(
        layer.beta * a > layer.threshold, a, np.log(1 + np.exp(layer.beta * a)) / layer.beta
    ),
    act.Softsign: lambda layer, a: a / (1 + np.abs(a)),
    act.Clip: lambda layer, a: np.minimum(np.maximum(a, layer.low), layer.high),
}


def _written(layer: Activation) -> tuple[Activation, Pieces]:
    """Return a layer, and its function."""
    return layer, Pieces.of(FORMULAS[type(layer)](layer, Pieces.variable()))


def _gelu_without_erf(a: Any) -> Any:
    """Return GELU as exported in float64, for which runtimes have no Erf; see nanonet.layers.erf."""
    double = np.dtype(np.float64)
    z = np.minimum(np.abs(a), END[double])
    p, q = (reduce(lambda y, c: y * z + c, each[double]) for each in (P, Q))
    return np.maximum(a, 0) - p / q * np.exp(-0.5 * z * z) * z


PLAIN = (act.Identity, act.ReLU, act.Sigmoid, act.Tanh, act.SiLU, GELU, act.SELU, act.Softplus, act.Softsign)
WRITTEN = [
    *(_written(cls()) for cls in PLAIN),
    _written(GELU(approximate=True)),
    (GELU(), Pieces.of(_gelu_without_erf(Pieces.variable()))),
]


# ---- recognition


@lru_cache(maxsize=1024)
def _found(steps: tuple[Step, ...], dtype: np.dtype[Any]) -> Activation | None:
    try:
        function = _functions(steps)[-1]
        for layer, its in _candidates(function, dtype):
            if function.is_close(its) and _agrees(layer, steps, function.knots, dtype):
                return layer
    except Unproven:
        pass
    return None


def recognised(steps: tuple[Step, ...], dtype: np.dtype[Any]) -> Activation | None:
    """Return the activation that the operators compute, or None if none is proven to be the same function.

    Its bounds, slope or alpha are derived from the operators' algebra, which must then equal the layer's up to the
    rounding of constants. Evaluated in dtype at and near every constant and far outside, the two must also agree, which
    excludes numerically lossy forms such as (a + 1e9) - 1e9.

    Examples
    --------
    >>> double = np.dtype(float)
    >>> recognised((Step("Sigmoid", (0,)), Step("Mul", (1, 0))), double)
    SiLU()
    >>> recognised((Step("Max", (Number(-0.5), 0)), Step("Min", (1, Number(60)))), double)
    Clip(-0.5, 60.0)
    >>> recognised((Step("Mul", (0, 0)),), double)
    """
    return copy.deepcopy(_found(steps, dtype))


@lru_cache(maxsize=256)
def _functions(steps: tuple[Step, ...]) -> tuple[Pieces, ...]:
    """Return a, and the function that each step makes of it; one more step takes no more than its own time."""
    if not steps:
        return (Pieces.variable(),)
    before = _functions(steps[:-1])
    return *before, Pieces.of(_result(steps[-1], before, float))


def _result(step: Step, results: Sequence[Any], kind: Callable[[float], Any]) -> Any:
    """Return what a step makes of the results before it, and of its constants as numbers of a kind."""
    inputs = [kind(each.value) if isinstance(each, Number) else each for each in step.inputs]
    inputs = [results[each] if type(each) is int else each for each in inputs]
    return OPERATORS[step.operator](*inputs, **dict(step.attributes))


def _candidates(function: Pieces, dtype: np.dtype[Any]) -> Iterator[tuple[Activation, Pieces]]:
    """Yield layers that a function may be, with settings derived from its ends, each with its function."""
    yield from WRITTEN
    first, last = function.between[0], function.between[-1]
    slope, alpha = first.terms.get((1, ())), first.terms.get((0, (("exp", ((1, 1.0),)),)))
    if slope is not None and math.isfinite(slope):
        yield _written(act.LeakyReLU(_meant(slope, dtype)))
    if alpha is not None and math.isfinite(alpha):
        yield _written(act.ELU(_meant(alpha, dtype)))
    low = -math.inf if first.constant is None else _meant(first.constant, dtype)
    high = math.inf if last.constant is None else _meant(last.constant, dtype)
    if low < high and (low, high) != (-math.inf, math.inf):
        yield _written(act.Clip(low, high))
    for _, factors in first.terms:
        match factors:
            case [("softplus", [(1, beta)])] if beta > 0:
                ends = [_meant(beta * knot, dtype) for knot in function.simplest.knots[-1:]]
                yield _written(act.Softplus(_meant(beta, dtype), *ends))


def _agrees(layer: Activation, steps: tuple[Step, ...], knots: tuple[float, ...], dtype: np.dtype[Any]) -> bool:
    """Tell whether steps computed in dtype agree with a layer; where exp overflows they may be non-finite."""
    points = _points(steps, knots, dtype)
    with np.errstate(all="ignore"):
        results = [points]
        for step in steps:
            results.append(np.asarray(_result(step, results, dtype.type)))
        values = results[-1].astype(dtype)
        right = np.isclose(values, layer.function(points), rtol=1e-5, atol=1e-6)
    for step, result in zip(steps, results[1:], strict=True):
        if step.operator == "Exp":
            right |= np.isinf(result) & ~np.isfinite(values)
    return bool(right.all())


def _points(steps: tuple[Step, ...], knots: tuple[float, ...], dtype: np.dtype[Any]) -> Numbers:
    """Return test points: 0, small, common and large numbers, every constant, its neighbours, and midpoints."""
    constants = [each.value for step in steps for each in step.inputs if isinstance(each, Number)]
    constants += [value for step in steps for _, value in step.attributes if isinstance(value, float)]
    with np.errstate(all="ignore"):
        given = np.array([*constants, *knots], dtype)
        beside = [np.nextafter(given, dtype.type(end)) for end in (-math.inf, math.inf)]
        ends = np.concatenate(
            [COMMON.astype(dtype), given, *beside, given * dtype.type(1.001), given * dtype.type(0.999)]
        )
        ends = np.unique(np.concatenate([-ends, ends]))
        ends = ends[np.isfinite(ends)]
        return np.concatenate([ends, (ends[1:] + ends[:-1]) / 2])


COMMON: Numbers = np.concatenate([[0, 1e-37, 1e-30, 1e-20, 1e3, 1e6, 1e30], np.geomspace(1e-10, 100, 61)])


def _meant(number: float, dtype: np.dtype[Any]) -> float:
    with np.errstate(over="ignore"):
        return meant(dtype.type(number))


def meant(number: Any) -> float:
    """Return a float32 as the shortest decimal that rounds to it: 0.1 for 0.10000000149."""
    return float(str(number)) if isinstance(number, np.float32) else float(number)
