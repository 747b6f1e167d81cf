"""Small numbers keep their digits, and gradients are checked at every scale."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nanonet import (
    Activation,
    Array,
    BinaryCrossEntropy,
    Constant,
    GradientError,
    Identity,
    Linear,
    Loss,
    MeanSquaredError,
    ReLU,
    SquaredError,
    check_gradients,
)
from nanonet.core.stable import sigmoid


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("a", [-40.0, -30.0, -20.0, -18.0, -1.0, 0.0, 1.0, 20.0])
def test_sigmoid_is_right_to_the_last_digits_where_it_is_tiny(a: float, dtype: type[np.floating]) -> None:
    true = 1 / (1 + math.exp(-a))
    assert sigmoid(np.array([a], dtype))[0] == pytest.approx(true, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("a", [1.0, 10.0, 12.0, 15.0, 30.0])
def test_binary_cross_entropy_is_the_same_for_both_classes(a: float, dtype: type[np.floating]) -> None:
    loss, rel = BinaryCrossEntropy(), 8 * float(np.finfo(dtype).eps)
    right = loss(np.array([[a]], dtype), [[1.0]])
    assert right == pytest.approx(math.log1p(math.exp(-a)), rel=rel)
    assert right == pytest.approx(loss(np.array([[-a]], dtype), [[0.0]]), rel=rel)


@pytest.mark.parametrize("rng", range(5))
def test_right_layers_of_any_scale_pass(rng: int) -> None:
    far = [[1.0, 1e8], [2.0, 3e8]]
    check_gradients(Linear(2, 3), x=far, rng=rng)
    check_gradients(Identity(), x=far, rng=rng)
    check_gradients(Linear(2, 3, bias=Constant(1e6)), rng=rng)
    check_gradients(SquaredError(), target=np.full((5, 3), 1e6) + np.arange(15).reshape(5, 3), rng=rng)
    check_gradients(MeanSquaredError(), target=np.arange(1.0, 16).reshape(5, 3) * [1, 1e2, 1e4], rng=rng)


class Scaled(Activation):
    """y = scale sin(a), with a derivative that is off by a factor."""

    def __init__(self, scale: float, factor: float) -> None:
        self.scale, self.factor = scale, factor

    def function(self, a: Array) -> Array:
        y: Array = self.scale * np.sin(a)
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        d: Array = self.factor * self.scale * np.cos(a)
        return d


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_a_tenth_too_much_is_found_at_any_scale(scale: float) -> None:
    check_gradients(Scaled(scale, 1.0))
    with pytest.raises(GradientError, match=r"off by a constant factor of 1\.1"):
        check_gradients(Scaled(scale, 1.1))
    with pytest.raises(GradientError):
        check_gradients(Scaled(scale, 0.0))


def test_a_tiny_loss_without_a_derivative_is_found() -> None:
    class Tiny(Loss):
        def function(self, prediction: Array, target: Array) -> Array:
            each: Array = 1e-8 * ((prediction - target) ** 2).sum(axis=1)
            return each

        def derivative(self, prediction: Array, target: Array) -> Array:
            return np.zeros_like(prediction)

    with pytest.raises(GradientError):
        check_gradients(Tiny())


def test_a_kink_of_a_small_slope_is_a_kink_and_a_jump_is_none() -> None:
    class Small(ReLU):
        def function(self, a: Array) -> Array:
            return 1e-3 * super().function(a)

        def derivative(self, a: Array, y: Array) -> Array:
            return 1e-3 * super().derivative(a, y)

    class Jump(Activation):
        def function(self, a: Array) -> Array:
            return (a >= 0).astype(a.dtype)

        def derivative(self, a: Array, y: Array) -> Array:
            return np.full_like(a, 123.0)

    report = check_gradients(Small(), x=np.zeros((2, 3)))
    assert report.comparisons[0].kinks == 6
    with pytest.raises(GradientError):
        check_gradients(Jump(), x=np.zeros((2, 3)))


def test_a_strong_curvature_is_not_taken_for_a_kink() -> None:
    class Steep(Activation):
        def function(self, a: Array) -> Array:
            y: Array = 5e7 * a * a
            return y

        def derivative(self, a: Array, y: Array) -> Array:
            d: Array = 1e8 * a + 4
            return d

    with pytest.raises(GradientError, match=r"is .*, but the numerical derivative is"):
        check_gradients(Steep(), x=np.zeros((2, 3)))
