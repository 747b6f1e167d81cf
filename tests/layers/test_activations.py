"""Activations have the right values from -1000 to 1000 without a warning, and touch nothing that they are given."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nanonet import (
    Activation,
    Array,
    Clip,
    Hardtanh,
    Identity,
    ReLU,
    ReLU6,
    Sequential,
    Shape,
    ShapeError,
    Sigmoid,
    Softplus,
    Tanh,
    check_gradients,
)
from tests.registry import LAYERS, LayerCase, params

every_activation = pytest.mark.parametrize("case", params(LAYERS, Activation))
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def made(case: LayerCase) -> Activation:
    """Return the activation of a case."""
    activation = case.make()
    assert isinstance(activation, Activation)
    return activation


def exact_sigmoid(a: float) -> Decimal:
    """Return 1 / (1 + exp(-a)) to 40 digits."""
    with localcontext() as context:
        context.prec = 40
        return 1 / (1 + (-Decimal(a)).exp())


def everywhere(dtype: npt.DTypeLike) -> Array:
    """Return numbers from -1000 to 1000, close together near 0 and where exp overflows or underflows."""
    coarse = np.linspace(-1000, 1000, 2001)
    fine = np.linspace(-40, 40, 4001)
    tiny = np.concatenate([sign * np.logspace(-30, 0, 200) for sign in (1, -1)])
    edges = np.array([0.0, -0.0, 88.7, 88.8, 103.9, 104.1, 709.7, 709.9, 745.1, 745.2])
    return np.concatenate([coarse, fine, tiny, edges, -edges]).astype(dtype)


class TestSigmoid:
    @both_dtypes
    def test_it_is_within_1_ulp_of_1_of_the_exact_value_from_minus_to_plus_1000(self, dtype: npt.DTypeLike) -> None:
        a = everywhere(dtype)
        with np.errstate(all="raise"):
            y = Sigmoid().function(a)
        ulp = Decimal(float(np.finfo(dtype).eps))
        assert y.dtype == dtype
        worst = max(abs(Decimal(float(y_i)) - exact_sigmoid(float(a_i))) for a_i, y_i in zip(a, y, strict=True))
        assert worst <= ulp, f"{worst / ulp:.2f} ulp of 1"

    @both_dtypes
    def test_its_derivative_is_within_1_ulp_of_1_of_the_exact_one(self, dtype: npt.DTypeLike) -> None:
        a = everywhere(dtype)
        with np.errstate(all="raise"):
            slope = Sigmoid().derivative(a, Sigmoid().function(a))
        ulp = Decimal(float(np.finfo(dtype).eps))
        assert slope.dtype == dtype
        exact = [exact_sigmoid(float(a_i)) for a_i in a]
        assert max(abs(Decimal(float(s)) - y * (1 - y)) for s, y in zip(slope, exact, strict=True)) <= ulp

    @given(st.floats(-1000, 1000, allow_subnormal=False))
    def test_any_number_is_within_1_ulp_of_1(self, a: float) -> None:
        assume(abs(a) > 1e-300 or a == 0)  # half of a smaller one has no exact place in float64: it underflows
        with np.errstate(all="raise"):
            y = Sigmoid().function(np.array([a]))
        assert abs(Decimal(float(y[0])) - exact_sigmoid(a)) <= Decimal(float(np.finfo(np.float64).eps))

    @given(st.floats(-1000, 1000, width=32, allow_subnormal=False))
    def test_any_float32_is_within_1_ulp_of_1(self, a: float) -> None:
        assume(abs(a) > 1e-35 or a == 0)  # as above
        with np.errstate(all="raise"):
            y = Sigmoid().function(np.array([a], np.float32))
        assert y.dtype == np.float32
        assert abs(Decimal(float(y[0])) - exact_sigmoid(a)) <= Decimal(float(np.finfo(np.float32).eps))

    @both_dtypes
    def test_it_ends_at_0_and_1_and_is_half_at_0(self, dtype: npt.DTypeLike) -> None:
        y = Sigmoid().function(np.array([-1000, 0, 1000], dtype))
        assert y.tolist() == [0, 0.5, 1]

    @both_dtypes
    def test_it_never_falls(self, dtype: npt.DTypeLike) -> None:
        y = Sigmoid().function(np.linspace(-1000, 1000, 100_001).astype(dtype))
        assert (np.diff(y) >= 0).all()
        assert y.min() >= 0
        assert y.max() <= 1


@pytest.mark.parametrize(
    ("activation", "function", "derivative"),
    [
        (Tanh(), math.tanh, lambda a: 1 - math.tanh(a) ** 2),
        (ReLU(), lambda a: max(a, 0.0), lambda a: float(a > 0)),
        (Identity(), lambda a: a, lambda a: 1.0),
        (Sigmoid(), lambda a: (1 + math.tanh(a / 2)) / 2, lambda a: (1 - math.tanh(a / 2) ** 2) / 4),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
@both_dtypes
def test_values_and_derivatives_are_those_of_the_math_module(
    activation: Activation,
    function: Callable[[float], float],
    derivative: Callable[[float], float],
    dtype: npt.DTypeLike,
) -> None:
    a = everywhere(dtype)
    y = activation.function(a)
    slope = activation.derivative(a, y)
    ulp = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(y, [function(float(a_i)) for a_i in a], rtol=4 * ulp, atol=ulp)
    np.testing.assert_allclose(slope, [derivative(float(a_i)) for a_i in a], rtol=4 * ulp, atol=2 * ulp)


def test_relu_has_slope_0_at_0() -> None:
    zeros = np.array([0.0, -0.0])
    assert ReLU().derivative(zeros, ReLU().function(zeros)).tolist() == [0, 0]


def test_tanh_is_odd() -> None:
    a = everywhere(np.float64)
    np.testing.assert_array_equal(Tanh().function(-a), -Tanh().function(a))


@every_activation
@both_dtypes
def test_both_passes_are_finite_and_silent_from_minus_to_plus_1000(case: LayerCase, dtype: npt.DTypeLike) -> None:
    activation, a = made(case), everywhere(dtype)
    with np.errstate(all="raise"):
        y, cache = activation.forward(a)
        dx = activation.backward(np.ones_like(a), cache)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


@every_activation
@both_dtypes
@pytest.mark.parametrize("shape", [(4,), (0, 3), (1, 1), (4, 3), (2, 3, 4), (2, 1, 3, 2)])
def test_dtype_and_shape_stay_and_nothing_is_written_to(case: LayerCase, shape: Shape, dtype: npt.DTypeLike) -> None:
    activation = made(case)
    a = np.random.default_rng(0).normal(size=shape).astype(dtype)
    grad = np.random.default_rng(1).normal(size=shape).astype(dtype)
    before = a.copy(), grad.copy()
    for array in (a, grad):
        array.flags.writeable = False
    y, cache = activation.forward(a)
    handed_out = y.copy()
    y.flags.writeable = False
    dx = activation.backward(grad, cache)
    for result in (y, dx):
        assert result.shape == shape
        assert result.dtype == dtype
    for now, then in ((a, before[0]), (grad, before[1]), (y, handed_out)):
        np.testing.assert_array_equal(now, then)


@every_activation
def test_function_and_derivative_return_new_arrays(case: LayerCase) -> None:
    activation, a = made(case), np.linspace(-2, 2, 5)
    y = activation.function(a)
    slope = activation.derivative(a, y)
    for first, second in ((a, y), (a, slope), (y, slope)):
        assert not np.shares_memory(first, second)


@every_activation
@pytest.mark.parametrize("training", [False, True])
def test_the_passes_are_function_and_derivative(case: LayerCase, training: bool) -> None:
    activation, a = made(case), np.linspace(-2, 2, 6).reshape(2, 3)
    grad = np.linspace(1, 3, 6).reshape(2, 3)
    y, cache = activation.forward(a, training=training)
    np.testing.assert_array_equal(y, activation.function(a))
    np.testing.assert_allclose(activation.backward(grad, cache), grad * activation.derivative(a, y), rtol=1e-15)


@every_activation
def test_an_activation_takes_every_number_by_itself(case: LayerCase) -> None:
    activation, a = made(case), np.random.default_rng(2).normal(size=(3, 4, 2))
    whole = activation.function(a)
    np.testing.assert_allclose(
        whole.ravel(), [activation.function(np.array([a_i]))[0] for a_i in a.ravel()], rtol=1e-15
    )
    np.testing.assert_allclose(activation.function(a.T), whole.T, rtol=1e-15)  # whatever the memory order


@every_activation
def test_an_activation_has_the_output_shape_of_its_input_and_no_parameters(case: LayerCase) -> None:
    activation = made(case)
    for shape in [(3,), (), (2, 5)]:
        assert activation.output_shape(shape) == shape
    assert Sequential(made(case)).vector.size == 0


@every_activation
def test_an_empty_batch_gives_an_empty_result(case: LayerCase) -> None:
    assert Sequential(made(case))(np.empty((0, 3))).shape == (0, 3)


# ---- activations with settings


@both_dtypes
def test_clip_bounds_from_both_sides_or_one_and_is_flat_at_its_bounds(dtype: npt.DTypeLike) -> None:
    a = np.array([-1e30, -1, -0.5, 0.25, 2, 1e30], dtype)
    for clip, y, slope in [
        (Clip(-1, 2), [-1, -1, -0.5, 0.25, 2, 2], [0, 0, 1, 1, 0, 0]),
        (Clip(-1, None), [-1, -1, -0.5, 0.25, 2, a[-1]], [0, 0, 1, 1, 1, 1]),
        (Clip(-math.inf, 2), [a[0], -1, -0.5, 0.25, 2, 2], [1, 1, 1, 1, 0, 0]),
        (Clip(0.25, 0.25), [0.25] * 6, [0] * 6),
        (Clip(-1e300, 2), [a[0], -1, -0.5, 0.25, 2, 2], [1, 1, 1, 1, 0, 0]),
    ]:
        assert clip.function(a).tolist() == y
        assert clip.derivative(a, clip.function(a)).tolist() == slope
    assert np.isnan(Clip(0, 1).function(np.array([np.nan], dtype))).all()


def test_relu6_and_hardtanh_are_names_for_clip() -> None:
    assert [repr(each) for each in (ReLU6(), Hardtanh(), Hardtanh(-2, 0.5))] == [
        "Clip(0.0, 6.0)",
        "Clip(-1.0, 1.0)",
        "Clip(-2, 0.5)",
    ]


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (1, 0, "expected low <= high, got 1 and 0"),
        (None, None, r"expected at least one bound, got none; for y = a write Identity\(\)"),
        (-math.inf, math.inf, r".*write Identity\(\)"),
        (math.nan, 1, "expected a finite low, got nan"),
        (0, math.nan, "expected a finite high, got nan"),
        (math.inf, None, "expected a finite low, got inf"),
        ("0", 1, "expected low as a number, got '0'"),
        (0, True, "expected high as a number, got True"),
    ],
)
def test_bounds_that_bound_nothing_are_refused(low: Any, high: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^Clip: {message}"):
        Clip(low, high)


@both_dtypes
def test_softplus_is_a_from_its_threshold_on(dtype: npt.DTypeLike) -> None:
    softplus, a = Softplus(2.0, 1.0), np.array([-1000, 0, 0.5, 0.501, 1000], dtype)
    y = softplus.function(a)
    np.testing.assert_allclose(y[:3], [0, math.log(2) / 2, math.log1p(math.e) / 2], rtol=1e-6)
    assert y[3:].tolist() == a[3:].tolist()
    assert softplus.derivative(a, y)[3:].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0}, "beta above 0, got 0"),
        ({"beta": -1}, "beta above 0, got -1"),
        ({"threshold": math.nan}, "a finite threshold, got nan"),
        ({"threshold": "20"}, "threshold as a number, got '20'"),
    ],
)
def test_what_softplus_cannot_be_set_to_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^Softplus: expected {message}"):
        Softplus(**settings)


# ---- a user's own


class Cube(Activation):
    def function(self, a: Array) -> Array:
        return a**3

    def derivative(self, a: Array, y: Array) -> Array:
        return 3 * a**2


def test_two_methods_of_one_line_make_an_activation() -> None:
    y = Sequential(Cube(), dtype=np.float64)([[2.0, -1.0]])
    assert y.tolist() == [[8, -1]]
    check_gradients(Cube())


def test_a_subclass_that_changes_only_the_derivative_is_obeyed() -> None:
    class StraightThrough(ReLU):
        def derivative(self, a: Array, y: Array) -> Array:
            return np.ones_like(a)

    activation, a = StraightThrough(), np.array([-1.0, 2.0])
    y, cache = activation.forward(a)
    assert y.tolist() == [0, 2]
    assert activation.backward(np.ones(2), cache).tolist() == [1, 1]


def test_a_subclass_that_changes_only_the_function_is_obeyed() -> None:
    class Shifted(Sigmoid):
        def function(self, a: Array) -> Array:
            return super().function(a - 1)

    y, cache = Shifted().forward(np.array([1.0]))
    assert y.tolist() == [0.5]
    assert Shifted().backward(np.ones(1), cache).tolist() == [0.25]


def test_an_activation_without_both_methods_cannot_be_made() -> None:
    class Half(Activation):
        def function(self, a: Array) -> Array:
            return a / 2

    with pytest.raises(TypeError, match="derivative"):
        Half()  # type: ignore[abstract]  # which is what the test is about


@pytest.mark.parametrize("kind", [Sigmoid, Tanh, ReLU, Identity])
def test_an_activation_takes_no_arguments(kind: Any) -> None:
    with pytest.raises(TypeError, match=rf"{kind.__name__}\(\) takes no arguments"):
        kind(3)


def test_an_activation_that_states_an_input_shape_is_held_to_it() -> None:
    class Three(Tanh):
        input_shape = (..., 3)

    assert Sequential(Three()).follow((None, 3)) == (None, 3)
    with pytest.raises(ShapeError, match=r"Three\(\): expected input of shape \(batch, 3\), got \(batch, 5\)"):
        Three().output_shape((5,))


def test_a_chain_of_activations_alone_takes_any_shape_but_a_single_number() -> None:
    model = Sequential(Sigmoid(), Tanh())
    assert [model(np.ones(shape)).shape for shape in [(2,), (2, 3), (1, 2, 3)]] == [(2,), (2, 3), (1, 2, 3)]
    with pytest.raises(ShapeError, match="a single number"):
        model(1.0)
