"""Together: the weighted sum of losses, one for each output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nanonet import CrossEntropy, ShapeError, SquaredError, Together

PREDICTION = (np.array([[3.0], [1.0]]), np.array([[0.0, 0.0], [2.0, 0.0]]))
TARGET = (np.array([[1.0], [1.0]]), np.array([1, 0]))


def test_it_is_the_weighted_sum() -> None:
    loss = Together(SquaredError(), CrossEntropy(), weights=(2.0, 0.5))
    parts = SquaredError()(PREDICTION[0], TARGET[0]), CrossEntropy()(PREDICTION[1], TARGET[1])
    assert loss(PREDICTION, TARGET) == pytest.approx(2 * parts[0] + 0.5 * parts[1], rel=1e-12)


def test_its_derivative_is_the_tuple_of_theirs() -> None:
    loss = Together(SquaredError(), CrossEntropy(), weights=(2.0, 0.5))
    _, cache = loss.forward(PREDICTION, *loss.check(PREDICTION, TARGET))
    for k, (inner, factor) in enumerate([(SquaredError(), 2.0), (CrossEntropy(), 0.5)]):
        alone = inner.backward(inner.forward(PREDICTION[k], *inner.check(PREDICTION[k], TARGET[k]))[1])
        np.testing.assert_allclose(loss.backward(cache)[k], factor * alone, rtol=1e-12)


def test_weights_of_samples_apply_to_each_loss() -> None:
    loss, alone = Together(SquaredError(), CrossEntropy()), ([[3.0]], [[0.0, 0.0]])
    assert loss(PREDICTION, TARGET, [1.0, 0.0]) == pytest.approx(loss(alone, ([[1.0]], [1])), rel=1e-12)


def test_a_batch_in_which_one_loss_counts_nothing_does_not_count() -> None:
    loss = Together(SquaredError(), CrossEntropy(class_weight=[1.0, 0.0]))
    prediction = (PREDICTION[0][:1], PREDICTION[1][:1])
    assert loss.total(loss.check(prediction, (TARGET[0][:1], TARGET[1][:1]))[0], None) == 0


@pytest.mark.parametrize(
    ("prediction", "target", "error", "message"),
    [
        (PREDICTION[0], TARGET, TypeError, "expected prediction as a tuple of 2 arrays, got ndarray"),
        (PREDICTION, TARGET[0], TypeError, "expected target as a tuple of 2 arrays, got ndarray"),
        (PREDICTION[:1], TARGET, ShapeError, "expected prediction as a tuple of 2 arrays, got 1"),
        (
            PREDICTION,
            (TARGET[0][:, 0], TARGET[1]),
            ShapeError,
            r"SquaredError: prediction has shape \(2, 1\) but target",
        ),
    ],
)
def test_what_does_not_fit_is_refused(prediction: Any, target: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Together(SquaredError(), CrossEntropy())(prediction, target)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Together(), ValueError, "expected one loss or more"),
        (lambda: Together(3), TypeError, "expected loss 0 to be a Loss"),  # type: ignore[arg-type]  # what is refused
        (lambda: Together(SquaredError(), weights=(1.0, 2.0)), ValueError, "one weight for each of 1 losses, got 2"),
        (lambda: Together(SquaredError(), weights=(-1.0,)), ValueError, "each weight of 0 or more"),
    ],
)
def test_bad_settings_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_another_loss_says_what_to_write_for_several_outputs() -> None:
    with pytest.raises(TypeError, match=r"the model has 2 outputs.*Together\(SquaredError\(\), SquaredError\(\)\)"):
        SquaredError().check(PREDICTION, TARGET)  # type: ignore[arg-type]  # what is refused
