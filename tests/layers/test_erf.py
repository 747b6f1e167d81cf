"""erf: its coefficients are those that its construction gives, and GELU keeps all its digits, in the tail too."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import GELU, Array
from nanonet.inspection.explanation.formulas import WORKING, evaluate, parse
from nanonet.layers.erf import END, P, Q, normal_tail

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def exact(formula: str, **values: float) -> Decimal:
    """Return what a formula comes to, to 55 digits; test_explaining.py holds erfc to that."""
    return evaluate(parse(formula, "")[0].expression, {name: Decimal(value) for name, value in values.items()})


# ---- the coefficients


def solved(rows: list[list[Decimal]]) -> list[Decimal]:
    """Return x of A x = b for rows (A, b), by Gauss."""
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda j: abs(rows[j][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [entry / rows[i][i] for entry in rows[i]]
        for j in range(size):
            if j != i:
                rows[j] = [below - rows[j][i] * above for below, above in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]


def constructed(degree: int, k: int, end: int) -> tuple[list[Decimal], list[Decimal]]:
    """Return P of a degree, and Q of one more with Q(0) = 1, highest power first.

    P(z)/Q(z) is exp(z²/2) Φ(-z) at as many points as they have coefficients.
    """
    count = 2 * degree + 2
    last = (end - k) / (end + k)
    rows = []
    with localcontext(WORKING):
        for i in range(count):
            t = -1 + (last + 1) * (1 + math.cos(math.pi * (i + 0.5) / count)) / 2
            z = Decimal(k * (1 + t) / (1 - t))
            ratio = exact("exp(z**2 / 2) * erfc(z / sqrt(2)) / 2", z=float(z))
            rows.append(
                [z**j / ratio for j in range(degree + 1)] + [-(z**j) for j in range(1, degree + 2)] + [Decimal(1)]
            )
        found = solved(rows)
    return found[degree::-1], [*found[:degree:-1], Decimal(1)]


@pytest.mark.parametrize(("dtype", "degree", "k", "digits"), [(np.float32, 4, 3, 7), (np.float64, 9, 4, 12)])
def test_the_coefficients_are_those_that_their_construction_gives(dtype: Any, degree: int, k: int, digits: int) -> None:
    kind = np.dtype(dtype)
    for ours, made in zip((P[kind], Q[kind]), constructed(degree, k, int(END[kind])), strict=True):
        np.testing.assert_allclose(ours, [float(number) for number in made], rtol=10.0**-digits)
        assert min(ours) > 0


# ---- what they give


def everywhere(dtype: npt.DTypeLike) -> Array:
    """Return numbers as far as GELU is no less than the smallest normal one."""
    end = 12.9 if dtype == np.float32 else 37.5
    tiny = np.logspace(-9, 0, 40)
    return np.concatenate([np.linspace(-end, end, 801), np.linspace(-3, 3, 301), tiny, -tiny, [-0.7518]]).astype(dtype)


@both_dtypes
def test_gelu_keeps_its_digits_at_both_ends(dtype: npt.DTypeLike) -> None:
    a = everywhere(dtype)
    with np.errstate(all="raise"):
        y = GELU().function(a)
    rounding = float(np.finfo(dtype).eps) / 2
    for number, value in zip(a.tolist(), y.tolist(), strict=True):
        true = float(exact("a * erfc(-a / sqrt(2)) / 2", a=number))
        allowed = 8 + (number**2 / 2 if number < 0 else 0)  # the second: as a rounding of a itself would
        assert value == pytest.approx(true, rel=allowed * rounding, abs=0), number


@both_dtypes
def test_the_derivative_of_gelu_is_right_to_a_few_roundings_of_its_terms(dtype: npt.DTypeLike) -> None:
    a = everywhere(dtype)
    with np.errstate(all="raise"):
        slope = GELU().derivative(a, GELU().function(a))
    rounding = float(np.finfo(dtype).eps) / 2
    for number, value in zip(a.tolist(), slope.tolist(), strict=True):
        share = float(exact("erfc(-a / sqrt(2)) / 2", a=number))
        rest = float(exact("a * exp(-a**2 / 2)", a=number)) / math.sqrt(2 * math.pi)
        allowed = (8 + number**2 / 2) * rounding * (share + abs(rest))
        assert value == pytest.approx(share + rest, rel=0, abs=allowed), number


@both_dtypes
def test_the_tail_ends_in_0_where_nothing_smaller_is(dtype: npt.DTypeLike) -> None:
    end = END[np.dtype(dtype)]
    assert normal_tail(np.array([0, end], dtype)).tolist() == [0.5, 0]
    assert exact("erfc(z / sqrt(2)) / 2", z=end) < Decimal(float(np.finfo(dtype).smallest_subnormal)) / 2


@both_dtypes
@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_is_0_or_a_far_out_and_half_as_steep_at_0(approximate: bool, dtype: npt.DTypeLike) -> None:
    gelu = GELU(approximate=approximate)
    a = np.array(
        [-np.finfo(dtype).max, -1000, -0.0, 0.0, np.finfo(dtype).smallest_subnormal, 1000, np.finfo(dtype).max], dtype
    )
    with np.errstate(all="raise", under="ignore"):
        y = gelu.function(a)
        slope = gelu.derivative(a, y)
    assert y[[0, 1, 2, 3, 5, 6]].tolist() == [0, 0, 0, 0, 1000, np.finfo(dtype).max]
    assert slope.tolist() == [0, 0, 0.5, 0.5, 0.5, 1, 1]
    assert np.isnan(gelu.function(np.array([np.nan], dtype))).all()


def test_a_large_array_in_any_order_of_memory_has_the_values_of_its_parts() -> None:
    a = np.random.default_rng(0).normal(size=(300, 70)).astype(np.float32)
    for gelu in (GELU(), GELU(approximate=True)):
        whole = gelu.function(a)
        np.testing.assert_allclose(whole, [gelu.function(row) for row in a], rtol=1e-6)
        np.testing.assert_array_equal(gelu.function(np.asfortranarray(a)), whole)
        np.testing.assert_array_equal(gelu.derivative(a.T, whole.T), gelu.derivative(a, whole).T)


@pytest.mark.parametrize(
    ("approximate", "hint"),
    [("tanh", "PyTorch's 'tanh' is True"), ("none", "'none' is False"), (1, "1"), (None, "None")],
)
def test_gelu_takes_true_or_false_alone(approximate: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=rf"GELU: expected approximate as True or False, got .*{hint}"):
        GELU(approximate=approximate)
