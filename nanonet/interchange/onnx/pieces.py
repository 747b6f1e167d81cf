"""Pieces: a piecewise function of one number, with an expression between each two knots."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nanonet.interchange.onnx import expression as ex
from nanonet.interchange.onnx.elementwise import ERF, Symbol
from nanonet.interchange.onnx.expression import Expression, Unproven

KNOTS = 8  # more than any activation has


class Pieces(Symbol):
    """A function given by an expression on each open interval, and by a number at each knot between them.

    NumPy's functions apply to it like to an array and return Pieces: nothing is rounded or sampled, so functions with
    the same pieces are equal.

    Examples
    --------
    >>> a = Pieces.variable()
    >>> np.minimum(np.maximum(a, 0), 6).knots
    (0.0, 6.0)
    >>> (np.maximum(a, 0) - np.maximum(-a, 0)).is_close(a)
    True
    """

    def __init__(self, knots: tuple[float, ...], between: list[Expression], at: list[float]) -> None:
        self.knots, self.between, self.at = knots, between, at
        if len(knots) > KNOTS:
            raise Unproven("too many knots")

    @classmethod
    def variable(cls) -> Pieces:
        """Return the function a itself."""
        return cls((), [Expression({(1, ()): 1.0})], [])

    @classmethod
    def of(cls, value: Any) -> Pieces:
        """Return Pieces unchanged, and a number as a constant function."""
        return value if isinstance(value, cls) else cls((), [ex.number(float(value))], [])

    def apply(self, function: Any, *inputs: Any) -> Pieces:
        """Return the result of one of NumPy's functions."""
        return RULES[function](*map(Pieces.of, inputs))

    def cut(self, knots: tuple[float, ...]) -> Pieces:
        """Return the same function with more knots."""
        every = tuple(sorted({*self.knots, *knots}))
        if every == self.knots:
            return self
        places = [sum(knot <= start for knot in self.knots) for start in (-math.inf, *every)]
        known = dict(zip(self.knots, self.at, strict=True))
        at = [
            known[knot] if knot in known else self.between[i](knot) for knot, i in zip(every, places[1:], strict=True)
        ]
        return Pieces(every, [self.between[i] for i in places], at)

    @property
    def simplest(self) -> Pieces:
        """The same function without redundant knots."""
        knots, between, at = [], [self.between[0]], []
        for knot, after, value in zip(self.knots, self.between[1:], self.at, strict=True):
            if after != between[-1] or not ex.is_close(value, after(knot)):
                knots.append(knot)
                at.append(value)
                between.append(after)
        return Pieces(tuple(knots), between, at)

    def is_close(self, other: Any) -> bool:
        """Tell whether two functions are equal up to the rounding of constants."""
        one, two = self.simplest, Pieces.of(other).simplest
        return (
            len(one.knots) == len(two.knots)
            and all(map(ex.is_close, (*one.knots, *one.at), (*two.knots, *two.at)))
            and all(p.is_close(q) for p, q in zip(one.between, two.between, strict=True))
        )


def _each(rule: Callable[..., Expression]) -> Callable[..., Pieces]:
    """Return a function that applies a rule to each piece."""

    def apply(*functions: Pieces) -> Pieces:
        knots = tuple({knot for function in functions for knot in function.knots})
        cut = [function.cut(knots) for function in functions]
        between = [rule(*parts) for parts in zip(*(function.between for function in cut), strict=True)]
        at = [_known(rule(*map(ex.number, values))) for values in zip(*(function.at for function in cut), strict=True)]
        return Pieces(cut[0].knots, between, at)

    return apply


def _by_sign(rule: Callable[[float, Expression, Expression], Expression]) -> Callable[..., Pieces]:
    """Return a function that applies a rule to sign(p - q), p and q, piece by piece."""

    def apply(p: Pieces, q: Pieces) -> Pieces:
        return _each(lambda sign, *both: rule(_known(sign), *both))(_sign(_each(Expression.__sub__)(p, q)), p, q)

    return apply


def _sign(p: Pieces) -> Pieces:
    """Return -1, 0 or 1."""
    ends = (-math.inf, *p.knots, math.inf)
    roots = [
        root
        for expression, low, high in zip(p.between, ends[:-1], ends[1:], strict=True)
        if (root := expression.root) is not None and low < root < high
    ]
    p = p.cut(tuple(roots))
    ends = (-math.inf, *p.knots, math.inf)
    signs = [_sign_within(*each) for each in zip(p.between, ends[:-1], ends[1:], strict=True)]
    return Pieces(p.knots, [ex.number(sign) for sign in signs], [float(np.sign(value)) for value in p.at])


def _sign_within(expression: Expression, low: float, high: float) -> float:
    """Return the sign of an expression in an interval without a root."""
    if expression.constant is not None:
        return float(np.sign(expression.constant))
    sign = float(np.sign(expression(_inside(low, high))))
    if sign == 0 or math.isnan(sign):
        raise Unproven("its sign is not known")
    return sign


def _inside(low: float, high: float) -> float:
    if math.isinf(low):
        return 0.0 if math.isinf(high) else high - 1 - abs(high)
    return low + 1 + abs(low) if math.isinf(high) else low / 2 + high / 2


def _known(expression: Expression) -> float:
    if expression.constant is None:
        raise Unproven("a condition that is not known")
    return expression.constant


def _compared(test: Callable[[float], bool]) -> Callable[..., Pieces]:
    return _by_sign(lambda sign, p, q: ex.number(test(sign)))


RULES: dict[Any, Callable[..., Pieces]] = {
    np.add: _each(Expression.__add__),
    np.subtract: _each(Expression.__sub__),
    np.multiply: _each(Expression.__mul__),
    np.divide: _each(lambda p, q: p * ex.reciprocal(q)),
    np.negative: _each(Expression.__neg__),
    np.reciprocal: _each(ex.reciprocal),
    np.power: _each(ex.power),
    np.sqrt: _each(lambda p: ex.power(p, ex.number(0.5))),
    np.exp: _each(partial(ex.applied, "exp")),
    np.log: _each(ex.log),
    np.tanh: _each(ex.tanh),
    ERF: _each(partial(ex.applied, "erf")),
    np.maximum: _by_sign(lambda sign, p, q: q if sign < 0 else p),
    np.minimum: _by_sign(lambda sign, p, q: p if sign < 0 else q),
    np.absolute: lambda p: np.maximum(p, -p),
    np.greater: _compared(lambda sign: sign > 0),
    np.greater_equal: _compared(lambda sign: sign >= 0),
    np.less: _compared(lambda sign: sign < 0),
    np.less_equal: _compared(lambda sign: sign <= 0),
    np.equal: _compared(lambda sign: sign == 0),
    np.logical_not: _each(lambda p: ex.number(1) - p),
    np.logical_and: _each(Expression.__mul__),
    np.logical_or: lambda p, q: np.maximum(p, q),
    np.where: _each(lambda condition, p, q: p if _known(condition) else q),
}
"""NumPy's functions on Pieces."""
