"""PReLU: one slope for all or one for each channel; and what it and the activations of few pieces refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import (
    CELU,
    SGD,
    Conv2d,
    Flatten,
    Hardshrink,
    Linear,
    PReLU,
    Sequential,
    ShapeError,
    Softshrink,
    SquaredError,
)
from tests.inspection.test_explaining import check_lines

prelu: Any = PReLU


def test_a_channel_has_its_own_slope_and_its_gradient_is_the_sum_over_what_is_below_0() -> None:
    layer = PReLU(2, weight=[0.5, 2.0])
    model = Sequential(layer, dtype=np.float64)
    y, cache = model.forward(np.array([[[-1.0, 3.0], [-4.0, -2.0]]]))
    np.testing.assert_array_equal(y, [[[-0.5, 3.0], [-8.0, -4.0]]])
    np.testing.assert_array_equal(model.backward(np.ones_like(y), cache), [[[0.5, 1.0], [2.0, 2.0]]])
    np.testing.assert_array_equal(layer.weight.grad, [-1.0, -6.0])


def test_the_slope_is_learned() -> None:
    layer, x = PReLU(), np.linspace(-2, 2, 21).reshape(-1, 1)
    model = Sequential(layer, dtype=np.float64, rng=0)
    target = np.where(x > 0, x, 0.7 * x)
    model.fit(x, target, loss=SquaredError(), optimizer=SGD(0.5), epochs=80, verbose=0)
    np.testing.assert_allclose(layer.weight.value, [0.7], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: prelu(0), ValueError, "PReLU: expected num_parameters of 1 or more, got 0"),
        (lambda: prelu(2.5), TypeError, "PReLU: expected num_parameters as an int, got 2.5"),
        (lambda: Sequential(Conv2d(1, 2, 3), PReLU(3)), ShapeError, "PReLU(3)"),
        (lambda: CELU(0.0), ValueError, "CELU: expected alpha above 0, got 0.0"),
        (lambda: Softshrink(-0.5), ValueError, "Softshrink: expected a finite threshold of 0 or more, got -0.5"),
        (lambda: Hardshrink(float("nan")), ValueError, "Hardshrink: expected a finite threshold"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.parametrize("slopes", [1, 2])
def test_the_gradients_of_a_slope_and_of_what_is_below_it_are_written_out(slopes: int) -> None:
    model = Sequential(Conv2d(1, 2, 2), PReLU(slopes), Flatten(), Linear(8, 1), dtype=np.float64, rng=3)
    x = np.random.default_rng(0).normal(size=(1, 1, 3, 3))
    trace = model.trace(x, [[1.0]], SquaredError())
    model.loss_and_grad(x, [[1.0]], SquaredError())
    for name, place in (("1.weight", slopes - 1), ("0.weight", (0, 0, 1, 1))):
        explanation = trace.explain(name, place)
        check_lines(explanation)
        assert not any(line.in_pass for line in explanation.lines)
        assert float(explanation.lines[-1].value) == pytest.approx(model.parameters()[name].grad[place], rel=1e-12)
