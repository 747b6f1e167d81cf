"""The built-in metrics are scikit-learn's, batch by batch, with and without weights; its own are taken as they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

import nanonet
from nanonet import SGD, Adam, BinaryCrossEntropy, CrossEntropy, Linear, Sequential, SquaredError
from nanonet.training.metrics.named import by_name
from tests.helpers import data, small, train

there: Any = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")]

AVERAGES = ("macro", "micro", "weighted", None)
RATIOS = ("precision", "recall", "f1")
FEW = settings(max_examples=10, deadline=None)


class Case:
    """Scores with what they were to be: of yes or no, of classes, of several labels, and numbers."""

    def __init__(self, seed: int, samples: int, classes: int, weighted: bool, pieces: list[int]) -> None:
        rng = np.random.default_rng(seed)
        self.scores = rng.normal(size=(samples, classes)).round(1)  # with ties
        self.apart = rng.permutation(samples * classes).reshape(samples, classes) / 7.0  # without
        self.labels = rng.integers(classes, size=samples)
        self.several = rng.integers(2, size=(samples, classes))
        self.numbers = rng.normal(3.0, 10.0 ** rng.integers(-2, 4), size=(samples, classes))
        self.weight = rng.integers(0, 4, size=samples) + (rng.random(samples) < 0.5) * 0.25 if weighted else None
        if self.weight is not None:
            self.weight[0] = 1.0
        self.cuts = [0, *sorted({piece % samples for piece in pieces} - {0}), samples]

    def of(self, metric: Any, prediction: Any, target: Any) -> Any:
        """Return a metric of the whole, added up batch by batch."""
        (made,) = by_name([metric]).values()
        made = made.fresh()
        for start, stop in itertools.pairwise(self.cuts):
            weight = None if self.weight is None else self.weight[start:stop]
            made.take(prediction[start:stop], target[start:stop], weight)
        return made.value()


CASES = st.builds(
    Case,
    st.integers(0, 10**6),
    st.integers(2, 30),
    st.integers(2, 5),
    st.booleans(),
    st.lists(st.integers(0, 29), max_size=5),
)


def agree(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@given(CASES)
@FEW
def test_accuracy_of_classes_and_of_the_first_few(case: Case) -> None:
    said = case.scores.argmax(axis=1)
    agree(
        case.of(nanonet.accuracy, case.scores, case.labels),
        there.accuracy_score(case.labels, said, sample_weight=case.weight),
    )
    classes = case.scores.shape[1]
    for top in range(1, classes) if classes > 2 else ():
        expected = there.top_k_accuracy_score(
            case.labels, case.apart, k=top, labels=range(classes), sample_weight=case.weight
        )
        agree(case.of(partial(nanonet.accuracy, top=top), case.apart, case.labels), expected)


@given(CASES)
@FEW
def test_the_accuracies_of_several_labels(case: Case) -> None:
    said = case.scores > 0
    expected = there.accuracy_score(case.several, said, sample_weight=case.weight)
    agree(case.of(nanonet.subset_accuracy, case.scores, case.several), expected)
    lost = there.hamming_loss(case.several, said, sample_weight=case.weight)
    agree(case.of(nanonet.binary_accuracy, case.scores, case.several), 1 - lost)


@pytest.mark.parametrize("name", RATIOS)
@given(case=CASES, threshold=st.sampled_from([0.0, 0.5]))
@FEW
def test_precision_recall_and_f1_of_yes_or_no(name: str, case: Case, threshold: float) -> None:
    score, target, said = case.scores[:, :1], case.several[:, :1], case.scores[:, 0] > threshold
    theirs: Any = getattr(there, f"{name}_score")
    for average in ("binary", *AVERAGES):
        expected = theirs(
            target[:, 0], said, average=average, sample_weight=case.weight, zero_division=0,
            **({"labels": [0, 1]} if average is None else {}),
        )  # fmt: skip
        ours = partial(getattr(nanonet, name), average=average, threshold=threshold)
        agree(case.of(ours, score, target), expected)


@pytest.mark.parametrize("name", RATIOS)
@given(case=CASES)
@FEW
def test_precision_recall_and_f1_of_classes(name: str, case: Case) -> None:
    said, classes = case.scores.argmax(axis=1), case.scores.shape[1]
    for average in AVERAGES:
        every = {"labels": range(classes)} if average is None else {}
        counted = np.ones(len(said), bool)
        if average == "macro" and case.weight is not None:
            counted = case.weight > 0  # a class that only samples of weight 0 have is none to us
        weight = None if case.weight is None else case.weight[counted]
        expected = getattr(there, f"{name}_score")(
            case.labels[counted], said[counted], average=average, sample_weight=weight, zero_division=0, **every
        )
        for target in (case.labels, np.eye(classes)[case.labels]):
            agree(case.of(partial(getattr(nanonet, name), average=average), case.scores, target), expected)


@pytest.mark.parametrize("name", RATIOS)
@given(case=CASES)
@FEW
def test_precision_recall_and_f1_of_several_labels(name: str, case: Case) -> None:
    for average in AVERAGES:
        expected = getattr(there, f"{name}_score")(
            case.several, case.scores > 0, average=average, sample_weight=case.weight, zero_division=0
        )
        ours = partial(getattr(nanonet, name), average=average, multilabel=True)
        agree(case.of(ours, case.scores, case.several), expected)


@given(CASES)
@FEW
def test_the_confusion_matrix(case: Case) -> None:
    said, classes, matrix = case.scores.argmax(axis=1), case.scores.shape[1], nanonet.confusion_matrix
    expected = there.confusion_matrix(case.labels, said, labels=range(classes), sample_weight=case.weight)
    agree(case.of(matrix, case.scores, case.labels), expected)
    expected = there.multilabel_confusion_matrix(case.several, case.scores > 0, sample_weight=case.weight)
    agree(case.of(partial(matrix, multilabel=True), case.scores, case.several), expected)


@given(CASES)
@FEW
def test_the_area_under_the_roc_curve(case: Case) -> None:
    weight = np.ones(len(case.scores)) if case.weight is None else case.weight
    areas = []
    for scores, positive in zip(case.scores.T, case.several.T, strict=True):
        both = len(np.unique(positive[weight > 0])) == 2
        areas.append(there.roc_auc_score(positive, scores, sample_weight=weight) if both else np.nan)
        agree(case.of(nanonet.auc, scores[:, None], positive[:, None]), areas[-1])
    agree(case.of(partial(nanonet.auc, multilabel=True, average=None), case.scores, case.several), areas)
    agree(case.of(partial(nanonet.auc, multilabel=True), case.scores, case.several), np.mean(areas))
    if case.weight is None and len(np.unique(case.labels)) == case.scores.shape[1] > 2:
        shares = np.exp(case.scores) / np.exp(case.scores).sum(axis=1, keepdims=True)
        expected = there.roc_auc_score(case.labels, shares, multi_class="ovr")
        agree(case.of(nanonet.auc, shares, case.labels), expected)


@given(CASES)
@FEW
def test_the_distances_of_numbers(case: Case) -> None:
    prediction = case.numbers + case.scores
    for name, theirs in (
        ("mean_absolute_error", there.mean_absolute_error),
        ("root_mean_squared_error", there.root_mean_squared_error),
        ("r2", there.r2_score),
    ):
        for ours, target in ((prediction, case.numbers), (prediction[:, 0], case.numbers[:, 0])):
            expected = theirs(target, ours, sample_weight=case.weight)
            if name == "r2" and case.weight is not None and np.count_nonzero(case.weight) < 2:
                continue  # of one sample that counts there is no spread
            np.testing.assert_allclose(case.of(getattr(nanonet, name), ours, target), expected, rtol=1e-7)


def test_r2_of_targets_that_are_all_the_same_is_1_if_predicted_and_else_0() -> None:
    """scikit-learn says so too where the mean of such targets has no rounding error: of 0.5, not of 0.1."""
    for number in (0.5, 0.1):
        same = np.full((7, 1), number)
        for prediction, expected in ((same, 1.0), (same + 1, 0.0)):
            metric = by_name([nanonet.r2])["r2"].fresh()
            for piece in (slice(3), slice(3, 7)):
                metric.take(prediction[piece], same[piece])
            assert metric.value() == expected
            assert number == 0.1 or there.r2_score(same, prediction) == expected


# ---- scikit-learn's own


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (there.mean_squared_error, lambda y, t: there.mean_squared_error(t, y)),
        (there.r2_score, lambda y, t: there.r2_score(t, y)),
        (partial(there.mean_pinball_loss, alpha=0.9), lambda y, t: there.mean_pinball_loss(t, y, alpha=0.9)),
    ],
)
def test_scikit_learns_metrics_get_the_target_first(metric: Any, expected: Callable[..., float]) -> None:
    x, target = data(20)
    model = small()
    (name,) = by_name([metric])
    assert model.evaluate(x, target, SquaredError(), [metric])[name] == pytest.approx(expected(model(x), target))
    history = train(model, x, target, metrics=[metric], optimizer=SGD(0), epochs=1, batch_size=8)
    assert history[name] == [pytest.approx(expected(model(x), target))]


def test_scikit_learns_metrics_of_scores_take_one_column_too() -> None:
    x, _ = data(20)
    target = (x[:, :1] > 0).astype(int)
    model = Sequential(Linear(3, 1), rng=0)
    found = model.evaluate(x, target, BinaryCrossEntropy(), [there.roc_auc_score, nanonet.auc])
    assert found["roc_auc_score"] == pytest.approx(found["auc"])


@pytest.mark.parametrize(
    ("outputs", "loss", "line"),
    [
        (3, CrossEntropy(), r"return f1_score\(target, prediction\.argmax\(axis=1\)\)"),
        (1, BinaryCrossEntropy(), r"return f1_score\(target\.ravel\(\), prediction\.ravel\(\) > 0\)"),
    ],
)
def test_those_of_labels_are_refused_with_the_line_to_write_before_the_first_step(
    outputs: int, loss: Any, line: str
) -> None:
    x, _ = data(20)
    target: npt.NDArray[Any] = np.arange(20) % 3 if outputs == 3 else np.arange(20).reshape(-1, 1) % 2
    model = Sequential(Linear(3, outputs), rng=0)
    before = model.vector.value.copy()
    with pytest.raises(TypeError, match=f"f1_score takes labels, not the outputs of a model.*{line}"):
        train(model, x, target, loss=loss, metrics=[there.f1_score], optimizer=Adam())
    np.testing.assert_array_equal(model.vector.value, before)


def test_a_scorer_is_no_metric() -> None:
    scorer = there.make_scorer(there.r2_score)
    with pytest.raises(TypeError, match=r"expected a function of \(prediction, target\), got .*estimator"):
        train(small(), *data(), metrics=[scorer])
