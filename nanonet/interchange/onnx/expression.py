"""Expression: a function of one number a in expanded normal form, so that equal functions compare equal."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np

Polynomial = tuple[tuple[int, float], ...]  # powers of a, each with its coefficient, in order
Factor = tuple[str, Polynomial]  # a function in NUMERIC of a polynomial
Product = tuple[int, tuple[Factor, ...]]  # a power of a, times functions

TERMS, POWER = 20, 12  # more than any activation has in expanded form
CANCELLED = 1e-12  # relative size below which a sum of terms counts as cancelled
CLOSE = 1e-6  # relative tolerance for products of float32 constants

NUMERIC: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softplus": lambda a: np.logaddexp(0, a),
    "erf": lambda a: math.erf(a),
    "reciprocal": np.reciprocal,
    "tanh of softplus": lambda a: np.tanh(np.logaddexp(0, a)),  # Mish's
}


class Unproven(ValueError):
    """An expression of unsupported form."""


class Expression:
    """A sum of products: coefficients times powers of a times functions of polynomials in a.

    Examples
    --------
    >>> a = Expression({(1, ()): 1.0})
    >>> half = number(0.5)
    >>> (half * a * (number(1) + tanh(half * a))) == a * sigmoid(a)
    True
    """

    def __init__(self, terms: dict[Product, float]) -> None:
        self.terms = dict(sorted(terms.items()))
        if len(terms) > TERMS or any(power > POWER for power, _ in terms) or any(map(math.isnan, terms.values())):
            raise Unproven("too long, or not a number")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.terms == other.terms

    @cached_property
    def constant(self) -> float | None:
        """Its value if it is constant, else None."""
        if not self.terms:
            return 0.0
        return self.terms.get((0, ())) if len(self.terms) == 1 else None

    def __add__(self, other: Expression) -> Expression:
        return _sum([*self.terms.items(), *other.terms.items()])

    def __neg__(self) -> Expression:
        return Expression({product: -coefficient for product, coefficient in self.terms.items()})

    def __sub__(self, other: Expression) -> Expression:
        return self + -other

    def __mul__(self, other: Expression) -> Expression:
        if not (self.terms and other.terms) and any(map(math.isinf, (self + other).terms.values())):
            raise Unproven("0 times infinity")
        pairs = [(p, q) for p in self.terms.items() for q in other.terms.items()]
        return _sum(((m + n, tuple(sorted(f + g))), c * d) for ((m, f), c), ((n, g), d) in pairs)

    def __call__(self, a: float) -> float:
        """Return its value at a."""
        with np.errstate(all="ignore"):
            x = np.float64(a)
            return float(sum((c * x**n * math.prod(_at(f, x) for f in fs) for (n, fs), c in self.terms.items()), 0.0))

    def is_close(self, other: Expression) -> bool:
        """Tell whether the two have the same terms, with coefficients equal up to rounding."""
        (form, numbers), (other_form, other_numbers) = _split(self), _split(other)
        return form == other_form and all(map(is_close, numbers, other_numbers))

    @property
    def root(self) -> float | None:
        """The root of c a + d or c exp(k a) + d; None if there is none."""
        terms = dict(self.terms)
        d = terms.pop((0, ()), 0.0)
        match list(terms.items()):
            case []:
                return None
            case [((1, ()), c)]:
                root = -d / c
                return root + 0.0 if math.isfinite(root) else None
            case [((0, (("exp", ((1, k),)),)), c)]:
                return math.log(-d / c) / k if 0 < -d / c < math.inf else None
        raise Unproven("its sign is not known")


def is_close(one: float, two: float) -> bool:
    """Tell whether two numbers are equal up to the rounding of constants."""
    return math.isclose(one, two, rel_tol=CLOSE)


def number(value: float) -> Expression:
    """Return a constant."""
    return Expression({(0, ()): float(value)} if value != 0 else {})


def power(p: Expression, q: Expression) -> Expression:
    """Return p to the power of q."""
    exponent = q.constant
    if p.constant is not None and exponent is not None:
        with np.errstate(all="ignore"):
            return number(float(np.power(p.constant, exponent)))
    if exponent not in (1.0, 2.0, 3.0):
        raise Unproven("a power of another kind")
    return math.prod([p] * (int(exponent) - 1), start=p)


def sigmoid(p: Expression) -> Expression:
    """Return 1 / (1 + exp(-p))."""
    return number(1) - sigmoid(-p) if _is_negative(p) else applied("sigmoid", p)


def tanh(p: Expression) -> Expression:
    """Return tanh(p) = 2 sigmoid(2p) - 1, or a function of its own of a softplus."""
    match list(p.terms.items()):
        case [((0, (("softplus", polynomial),)), 1.0)]:
            return Expression({(0, (("tanh of softplus", polynomial),)): 1.0})
    return number(2) * sigmoid(p + p) - number(1)


def reciprocal(p: Expression) -> Expression:
    """Return 1 / p."""
    if p.constant is not None:
        with np.errstate(divide="ignore"):
            return number(float(np.reciprocal(np.float64(p.constant))))
    c, exponent = _one_plus_exp(p)
    if exponent is not None:
        return number(1 / c) * sigmoid(-exponent)
    c = next(iter(p.terms.values()))
    return number(1 / c) * applied("reciprocal", number(1 / c) * p)


def log(p: Expression) -> Expression:
    """Return log(p) for a constant p, or p = 1 + exp(...)."""
    if p.constant is not None:
        with np.errstate(all="ignore"):
            return number(float(np.log(p.constant)))
    c, exponent = _one_plus_exp(p)
    if exponent is None or c != 1:
        raise Unproven("a logarithm of another kind")
    return _softplus(exponent)


def _softplus(p: Expression) -> Expression:
    """Return log(1 + exp(p)) = p + log(1 + exp(-p))."""
    return p + _softplus(-p) if _is_negative(p) else applied("softplus", p)


def applied(name: str, p: Expression) -> Expression:
    """Return a function of NUMERIC of p."""
    if p.constant is not None:
        with np.errstate(all="ignore"):
            return number(float(NUMERIC[name](np.float64(p.constant))))
    return Expression({(0, ((name, _polynomial(p)),)): 1.0})


def _polynomial(p: Expression) -> Polynomial:
    """Return p as a polynomial; no activation contains nested functions in expanded form."""
    if any(factors for _, factors in p.terms):
        raise Unproven("a function of a function")
    return tuple((n, c) for (n, _), c in p.terms.items())


def _one_plus_exp(p: Expression) -> tuple[float, Expression | None]:
    """Return c and q if p is c (1 + exp(q)), else None for q."""
    match list(p.terms.items()):
        case [((0, ()), c), ((0, (("exp", polynomial),)), d)] if c == d:
            return c, Expression({(n, ()): each for n, each in polynomial})
    return 1.0, None


def _is_negative(p: Expression) -> bool:
    """Tell whether its highest term is negative: f(p) is then expressed by f(-p)."""
    return p.constant is None and next(reversed(p.terms.values())) < 0


def _sum(terms: Iterable[tuple[Product, float]]) -> Expression:
    """Return a sum of terms, without those that cancel."""
    sums: dict[Product, float] = defaultdict(float)
    sizes: dict[Product, float] = defaultdict(float)
    for product, coefficient in terms:
        sums[product] += coefficient
        sizes[product] += abs(coefficient)
    return Expression({p: c for p, c in sums.items() if math.isinf(c) or not abs(c) <= CANCELLED * sizes[p]})


def _at(factor: Factor, a: np.float64) -> float:
    name, polynomial = factor
    return float(NUMERIC[name](np.float64(sum(c * a**n for n, c in polynomial))))


def _split(expression: Expression) -> tuple[list[Any], list[float]]:
    """Return the structure of an expression, and its coefficients."""
    form: list[Any] = []
    numbers = list(expression.terms.values())
    for power_of_a, factors in expression.terms:
        form.append((power_of_a, [(name, [n for n, _ in polynomial]) for name, polynomial in factors]))
        numbers += [c for _, polynomial in factors for _, c in polynomial]
    return form, numbers
