"""Recognition: activations decomposed into ONNX operators, in whatever form, recognised by their algebra."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.interchange.onnx.elementwise import FORMULAS, OPERATORS, gelu_without_erf
from nanonet.interchange.onnx.expression import Unproven
from nanonet.interchange.onnx.pieces import Pieces
from nanonet.layers import activations as act
from nanonet.layers.activations import Activation
from nanonet.layers.clip import Clip
from nanonet.layers.gelu import GELU
from nanonet.layers.hard import Hardshrink, Hardsigmoid, Hardswish, Softshrink
from nanonet.layers.smooth import CELU, LogSigmoid, Mish

COMMON: Numbers = np.concatenate([[0, 1e-37, 1e-30, 1e-20, 1e3, 1e6, 1e30], np.geomspace(1e-10, 100, 61)])
"""Numbers at which every activation is tested."""


class Number(NamedTuple):
    """A constant input of an operator."""

    value: float


class Operation(NamedTuple):
    """An operator with its inputs and attributes.

    Attributes
    ----------
    inputs : tuple
        0 for a, i for the result of the i-th operation, a Number, or None for an omitted input.
    """

    operator: str
    inputs: tuple[int | Number | None, ...]
    attributes: tuple[tuple[str, Any], ...] = ()


def recognised(operations: tuple[Operation, ...], dtype: np.dtype[Any]) -> Activation | None:
    """Return the activation that the operations compute, or None if none is proven to be the same function.

    Its bounds, slope or alpha are derived from the operators' algebra, which must then equal the layer's up to the
    rounding of constants. Evaluated in dtype at and near every constant and far outside, the two must also agree, which
    excludes numerically lossy forms such as (a + 1e9) - 1e9.

    Examples
    --------
    >>> double = np.dtype(float)
    >>> recognised((Operation("Sigmoid", (0,)), Operation("Mul", (1, 0))), double)
    SiLU()
    >>> recognised((Operation("Max", (Number(-0.5), 0)), Operation("Min", (1, Number(60)))), double)
    Clip(-0.5, 60.0)
    >>> recognised((Operation("Mul", (0, 0)),), double)
    """
    return copy.deepcopy(_found(operations, dtype))


@lru_cache(maxsize=1024)
def _found(operations: tuple[Operation, ...], dtype: np.dtype[Any]) -> Activation | None:
    try:
        function = _functions(operations)[-1]
        for layer, its in _candidates(function, dtype):
            if function.is_close(its) and _agrees(layer, operations, function.knots, dtype):
                return layer
    except Unproven:
        pass
    return None


@lru_cache(maxsize=256)
def _functions(operations: tuple[Operation, ...]) -> tuple[Pieces, ...]:
    """Return a, and the function that each operation makes of it; one more operation takes only its own time."""
    if not operations:
        return (Pieces.variable(),)
    before = _functions(operations[:-1])
    return *before, Pieces.of(_result(operations[-1], before, float))


def _result(operation: Operation, results: Sequence[Any], kind: Callable[[float], Any]) -> Any:
    """Return what an operation makes of the results before it, and of its constants as numbers of a kind."""
    inputs = [kind(each.value) if isinstance(each, Number) else each for each in operation.inputs]
    inputs = [results[each] if type(each) is int else each for each in inputs]
    return OPERATORS[operation.operator](*inputs, **dict(operation.attributes))


# ---- candidates


def _candidates(function: Pieces, dtype: np.dtype[Any]) -> Iterator[tuple[Activation, Pieces]]:
    """Yield layers that a function may be, each with its function, those with many terms last.

    The settings of a layer are derived from the function's first and last piece.
    """
    for cls in (act.Identity, act.ReLU, act.Sigmoid, act.Tanh, act.SiLU, act.SELU, act.Softplus, act.Softsign):
        yield _plain(cls)
    for rarer in (Hardsigmoid, Hardswish, LogSigmoid, Mish):
        yield _plain(rarer)
    first, last = function.between[0], function.between[-1]
    slope, alpha = first.terms.get((1, ())), first.terms.get((0, (("exp", ((1, 1.0),)),)))
    if slope is not None and math.isfinite(slope):
        yield _written(act.LeakyReLU(_meant(slope, dtype)))
    if alpha is not None and math.isfinite(alpha):
        yield _written(act.ELU(_meant(alpha, dtype)))
    yield from _with_bends(function, dtype)
    low = -math.inf if first.constant is None else _meant(first.constant, dtype)
    high = math.inf if last.constant is None else _meant(last.constant, dtype)
    if low < high and (low, high) != (-math.inf, math.inf):
        yield _written(Clip(low, high))
    for _, factors in first.terms:
        match factors:
            case [("softplus", [(1, beta)])] if beta > 0:
                ends = [_meant(beta * knot, dtype) for knot in function.simplest.knots[-1:]]
                yield _written(act.Softplus(_meant(beta, dtype), *ends))
    yield _plain(GELU)
    yield _plain(GELU, approximate=True)
    yield GELU(), _without_erf()


def _with_bends(function: Pieces, dtype: np.dtype[Any]) -> Iterator[tuple[Activation, Pieces]]:
    """Yield CELU by the scale of its exponential, and what shrinks by the knots beside which it does."""
    for _, factors in function.between[0].terms:
        match factors:
            case [("exp", [(1, scale)])] if 0 < scale < math.inf:
                yield _written(CELU(_meant(1 / scale, dtype)))
    match function.simplest.knots:
        case (low, high) if low == -high:
            yield _written(Hardshrink(_meant(high, dtype)))
            yield _written(Softshrink(_meant(high, dtype)))


def _written(layer: Activation) -> tuple[Activation, Pieces]:
    """Return a layer, and its function."""
    return layer, Pieces.of(FORMULAS[type(layer)](layer, Pieces.variable()))


@lru_cache
def _plain(cls: Callable[..., Activation], **settings: bool) -> tuple[Activation, Pieces]:
    return _written(cls(**settings))


@lru_cache
def _without_erf() -> Pieces:
    """Return GELU as exported in float64, for which runtimes have no Erf."""
    return Pieces.of(gelu_without_erf(Pieces.variable()))


# ---- test in the dtype


def _agrees(
    layer: Activation, operations: tuple[Operation, ...], knots: tuple[float, ...], dtype: np.dtype[Any]
) -> bool:
    """Tell whether operations computed in dtype agree with a layer; where exp overflows they may be non-finite."""
    points = _points(operations, knots, dtype)
    with np.errstate(all="ignore"):
        results = [points]
        for operation in operations:
            results.append(np.asarray(_result(operation, results, dtype.type)))
        values = results[-1].astype(dtype)
        right = np.isclose(values, layer.function(points), rtol=1e-5, atol=1e-6)
    for operation, result in zip(operations, results[1:], strict=True):
        if operation.operator == "Exp":
            right |= np.isinf(result) & ~np.isfinite(values)
    return bool(right.all())


def _points(operations: tuple[Operation, ...], knots: tuple[float, ...], dtype: np.dtype[Any]) -> Numbers:
    """Return test points: 0, small, common and large numbers, every constant, its neighbours, and midpoints."""
    constants = [each.value for operation in operations for each in operation.inputs if isinstance(each, Number)]
    constants += [value for operation in operations for _, value in operation.attributes if isinstance(value, float)]
    with np.errstate(all="ignore"):
        given = np.array([*constants, *knots], dtype)
        beside = [np.nextafter(given, dtype.type(end)) for end in (-math.inf, math.inf)]
        ends = np.concatenate(
            [COMMON.astype(dtype), given, *beside, given * dtype.type(1.001), given * dtype.type(0.999)]
        )
        ends = np.unique(np.concatenate([-ends, ends]))
        ends = ends[np.isfinite(ends)]
        return np.concatenate([ends, (ends[1:] + ends[:-1]) / 2])


def _meant(number: float, dtype: np.dtype[Any]) -> float:
    with np.errstate(over="ignore"):
        return meant(dtype.type(number))


def meant(number: Any) -> float:
    """Return a float32 as the shortest decimal that rounds to it: 0.1 for 0.10000000149."""
    return float(str(number)) if isinstance(number, np.float32) else float(number)
