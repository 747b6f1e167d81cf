"""Metrics never guess: what the numbers are is said in the call, and what fits no metric is refused by name."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Array,
    BinaryCrossEntropy,
    Linear,
    Sequential,
    ShapeError,
    Sigmoid,
    SquaredError,
    accuracy,
    binary_accuracy,
    subset_accuracy,
)
from tests.helpers import data, train

NAN = np.nan


@pytest.mark.parametrize(
    ("prediction", "target", "share"),
    [
        pytest.param([[0.1, 2.0], [3.0, 0.0], [1.0, 1.5], [4.0, 4.5]], [1, 1, 1, 0], 0.5, id="labels"),
        pytest.param([[0.1, 2, 0], [3, 0, 0], [1, 1.5, 9]], [1, 0, 2], 1.0, id="labels of three"),
        pytest.param(
            [[0.1, 2, 0], [3, 0, 0], [1, 1.5, 9]], [[0, 1, 0], [0, 0, 1], [0, 0, 1]], 2 / 3, id="one-hot rows"
        ),
        pytest.param([[0.1, 2, 0], [3, 0, 0]], [[-1, 1, -1], [-1, -1, 1]], 0.5, id="a 1 among -1"),
        pytest.param([[0.1, 2], [3, 0]], [[0.4, 0.6], [0.3, 0.7]], 0.5, id="rows of probabilities"),
        pytest.param([[0.1, 2], [3, 0]], [[False, True], [True, False]], 1.0, id="rows of truths"),
        pytest.param([[0.3], [-2.0], [4.0], [-1.0]], [[1], [0], [0], [0]], 0.75, id="one column, 0 and 1"),
        pytest.param([[0.3], [-2.0], [4.0], [-1.0]], [[1], [-1], [-1], [1]], 0.5, id="one column, -1 and 1"),
        pytest.param([0.3, -2.0, 4.0], [1, 0, 1], 1.0, id="no column, 0 and 1"),
        pytest.param([0.3, -2.0, 4.0], [-1, 1, -1], 0.0, id="no column, -1 and 1"),
        pytest.param([0.3, -2.0], [True, False], 1.0, id="no column, true and false"),
        pytest.param([[1.0, 1.0], [2.0, 2.0]], [0, 1], 0.5, id="the first of equal ones wins"),
        pytest.param([0.0, 0.0], [0, 1], 0.5, id="at the threshold is negative"),
        pytest.param([[-np.inf, 0.0], [np.inf, 0.0]], [1, 0], 1.0, id="masked and infinite"),
    ],
)
def test_accuracy_is_the_share_of_samples_that_are_classified_rightly(
    prediction: Any, target: Any, share: float
) -> None:
    assert accuracy(prediction, target) == pytest.approx(share)
    assert accuracy(np.array(prediction, np.float32), np.array(target)) == pytest.approx(share)
    assert type(accuracy(prediction, target)) is float


@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        (np.full((3, 2), NAN), [0, 0, 0]),
        (np.full((3, 2), NAN), [1, 1, 1]),
        ([[NAN, 1.0], [1.0, NAN]], [1, 0]),
        ([[NAN, 1.0], [1.0, NAN]], [[1, 0], [0, 1]]),
        ([NAN, NAN], [0, 1]),
        ([[NAN], [NAN]], [[-1], [1]]),
    ],
)
def test_nan_is_never_right(prediction: Any, target: Any) -> None:
    assert accuracy(prediction, target) == 0.0


def test_nan_answers_neither_yes_nor_no() -> None:
    prediction, target = [[NAN, 1.0], [-1.0, 1.0]], [[0, 1], [0, 1]]
    assert binary_accuracy(prediction, target) == 0.75
    assert subset_accuracy(prediction, target) == 0.5


@pytest.mark.parametrize("metric", [accuracy, binary_accuracy, subset_accuracy])
def test_what_the_numbers_are_is_said_and_not_guessed(metric: Any) -> None:
    probabilities, target = np.array([[0.9], [0.2], [0.4]]), [[1], [0], [0]]
    assert metric(probabilities, target, threshold=0.5) == 1.0
    assert metric(np.log(probabilities / (1 - probabilities)), target) == 1.0
    assert metric(probabilities, target) == pytest.approx(1 / 3)  # as logits all three are positive


@pytest.mark.parametrize("rows", [[[1, 0, 1], [0, 0, 1]], [[0, 0, 1], [0, 0, 0]], [[0, 0, 1], [0.5, 0.5, 0]]], ids=str)
def test_accuracy_refuses_rows_without_one_winner_and_names_the_metric_to_use(rows: Any) -> None:
    logits = np.where(np.array(rows) > 0.4, 2.0, -2.0)
    with pytest.raises(ValueError, match=r"a unique maximum.*but row \d is.*use binary_accuracy or subset_accuracy"):
        accuracy(logits, rows)


def test_several_labels_a_sample_have_metrics_of_their_own() -> None:
    target = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1]])
    logits = np.where(target, 2.0, -2.0)
    assert (binary_accuracy(logits, target), subset_accuracy(logits, target)) == (1.0, 1.0)
    assert (binary_accuracy(logits, 2 * target - 1), subset_accuracy(logits, 2 * target - 1)) == (1.0, 1.0)
    logits[0, 1] = 3.0
    assert (binary_accuracy(logits, target), subset_accuracy(logits, target)) == (11 / 12, 3 / 4)
    assert type(binary_accuracy(logits, target)) is type(subset_accuracy(logits, target)) is float


@pytest.mark.peer
def test_they_are_those_of_scikit_learn() -> None:
    there = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(0)
    logits, rows, labels = rng.normal(size=(50, 4)), rng.integers(2, size=(50, 4)), rng.integers(4, size=50)
    assert subset_accuracy(logits, rows) == pytest.approx(there.accuracy_score(rows, logits > 0))
    assert binary_accuracy(logits, rows) == pytest.approx(1 - there.hamming_loss(rows, logits > 0))
    assert accuracy(logits, labels) == pytest.approx(there.accuracy_score(labels, logits.argmax(axis=1)))
    assert accuracy(logits, np.eye(4)[labels]) == accuracy(logits, labels)


@pytest.mark.parametrize(
    ("prediction", "target"),
    [((4, 3), (5,)), ((4, 3), (4, 2)), ((4, 1), (4,)), ((4,), (4, 1)), ((4, 3), (4, 1)), ((4, 3), ())],
)
def test_a_metric_never_broadcasts(prediction: tuple[int, ...], target: tuple[int, ...]) -> None:
    for metric in (accuracy, binary_accuracy, subset_accuracy):
        message = f"{metric.__name__}: prediction has shape {prediction} but target has shape {target}"
        with pytest.raises(ShapeError, match=re.escape(message)):
            metric(np.zeros(prediction), np.zeros(target, int))


@pytest.mark.parametrize(
    ("prediction", "target", "settings", "kind", "message"),
    [
        ([1, 2, 3], [3, 1, 2], {}, TypeError, "expected scores, such as logits, as floats, got int64"),
        ([True, False], [1, 0], {}, TypeError, "or write np.mean(prediction == target)"),
        ([1.0, 2.0], [1, 3], {}, ValueError, "expected binary targets, 0 and 1 or -1 and 1, got 3 at 1"),
        ([1.0, 2.0, 3.0], [0, 1, -1], {}, ValueError, "got 0 at 0"),
        ([1.0], [NAN], {}, ValueError, "got nan at 0"),
        (np.eye(3), [1, 2, 3], {}, ValueError, "expected labels from 0 to 2 for 3 outputs, got 3 at 2"),
        (np.eye(2), [[1.5, -0.5], [0, 1]], {}, ValueError, "but row 0 is [ 1.5 -0.5]"),
        (np.eye(3), np.eye(3) * 5, {}, ValueError, "for other scores give target.argmax(axis=1)"),
        (np.eye(3), [0, 1, 2], {"threshold": 0.5}, ValueError, "of 3 the largest wins"),
        ([1.0], [1], {"threshold": NAN}, ValueError, "expected a finite threshold"),
        (np.zeros((0, 2)), np.zeros(0), {}, ValueError, "expected one sample or more, got none"),
        (np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), {}, ValueError, "rows of target with a unique maximum"),
        (np.zeros((2, 3, 4)), np.zeros((2, 4)), {}, ShapeError, "(2, 3); if its classes are on axis 1"),
        (np.eye(3), ["a", "b", "c"], {}, TypeError, "target: expected numbers, got text"),
    ],
)
def test_accuracy_refuses_what_it_could_only_guess(
    prediction: Any, target: Any, settings: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match="accuracy: .*" + re.escape(message)):
        accuracy(prediction, target, **settings)


# ---- in a fit


def test_a_threshold_is_given_to_a_fit_by_a_partial_which_keeps_its_name() -> None:
    x, _ = data(40)
    target = (x[:, :1] > 0).astype(np.float32)
    chain = Sequential(Linear(3, 1), Sigmoid(), rng=0)
    history = train(
        chain, x, target, loss=SquaredError(), optimizer=SGD(5), epochs=30, metrics=[partial(accuracy, threshold=0.5)],
        validation=(x, target),
    )  # fmt: skip
    assert list(history) == ["loss", "accuracy", "validation_loss", "validation_accuracy"]
    assert history["validation_accuracy"][-1] == np.mean((chain(x) > 0.5) == (target > 0)) > 0.9


def test_a_partial_may_have_a_name_of_its_own() -> None:
    x, _ = data(12)
    strict = partial(binary_accuracy, threshold=1.0)
    strict.__name__ = "sure"  # type: ignore[attr-defined]  # a partial takes any attribute
    chain = Sequential(Linear(3, 2), rng=0)
    target = np.ones((12, 2))
    history = train(
        chain, x, target, loss=BinaryCrossEntropy(), metrics=[binary_accuracy, partial(strict), subset_accuracy]
    )
    assert list(history) == ["loss", "binary_accuracy", "sure", "subset_accuracy"]


def test_two_thresholds_of_one_metric_need_names() -> None:
    metrics = [partial(accuracy, threshold=threshold) for threshold in (0.3, 0.5)]
    with pytest.raises(
        ValueError, match=r"two metrics have the name 'accuracy'; give one .*: metrics=\{'accuracy': \.\.\."
    ):
        train(Sequential(Linear(3, 1), rng=0), np.ones((4, 3)), np.ones((4, 1)), metrics=metrics)


def test_a_metric_that_is_an_object_is_called_by_its_class() -> None:
    class Distance:
        def __call__(self, prediction: Array, target: Array) -> float:
            return float(np.abs(prediction - target).mean())

    history = train(Sequential(Linear(3, 2), rng=0), *data(), metrics=[partial(Distance())])
    assert list(history) == ["loss", "Distance"]
