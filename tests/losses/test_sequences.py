"""Several labels a sample: what counts is each label, in the loss, its weights and the metrics, and it says so."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    SGD,
    Adam,
    CrossEntropy,
    Linear,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    Trainer,
    accuracy,
    auc,
    confusion_matrix,
    f1,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 5, 3))
LABELS = RNG.integers(3, size=(4, 5))
PADDED = np.where(np.arange(5) < [[5], [3], [1], [4]], LABELS, -100)
IMAGES = np.moveaxis(LOGITS.reshape(2, 2, 5, 3), -1, 1)


def test_it_is_the_mean_of_all_labels_that_count() -> None:
    alone = CrossEntropy()(LOGITS[PADDED >= 0], PADDED[PADDED >= 0])
    assert CrossEntropy(ignore_index=-100)(LOGITS, PADDED) == pytest.approx(alone, rel=1e-14)
    assert CrossEntropy()(LOGITS, LABELS) == pytest.approx(CrossEntropy()(LOGITS.reshape(-1, 3), LABELS.ravel()))


def test_the_axis_of_the_classes_is_said() -> None:
    alone = CrossEntropy()(LOGITS, LABELS)
    assert CrossEntropy(axis=1)(IMAGES, LABELS.reshape(2, 2, 5)) == pytest.approx(alone, rel=1e-14)
    probabilities = CrossEntropy(axis=1).probabilities(IMAGES)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_what_is_ignored_has_no_gradient_whatever_it_holds() -> None:
    loss, prediction = CrossEntropy(ignore_index=-100), LOGITS.copy()
    prediction[PADDED < 0] = np.nan
    value, cache = loss.forward(prediction, *loss.check(prediction, PADDED))
    assert value == loss(LOGITS, PADDED)
    assert not loss.backward(cache)[PADDED < 0].any()


@pytest.mark.parametrize("axis", [-1, 1])
def test_weights_of_labels_count_each_and_those_of_samples_all_their_labels(axis: int) -> None:
    loss, prediction = CrossEntropy(axis=axis), LOGITS if axis == -1 else np.moveaxis(LOGITS, -1, 1)
    repeated = RNG.integers(0, 3, size=(4, 5))
    flat = np.repeat(LOGITS.reshape(-1, 3), repeated.ravel(), axis=0)
    assert loss(prediction, LABELS, repeated) == pytest.approx(
        CrossEntropy()(flat, np.repeat(LABELS.ravel(), repeated.ravel())), rel=1e-13
    )
    of_samples = np.array([1.0, 0.0, 3.0, 0.5])
    spread = np.repeat(of_samples, 5).reshape(4, 5)
    assert loss(prediction, LABELS, of_samples) == pytest.approx(loss(prediction, LABELS, spread), rel=1e-13)
    for weight in (of_samples, spread):
        _, cache = loss.forward(prediction, *loss.check(prediction, LABELS, weight))
        short_cache = super(CrossEntropy, loss).forward(prediction, *loss.check(prediction, LABELS, weight))[1]
        np.testing.assert_allclose(loss.backward(cache), super(CrossEntropy, loss).backward(short_cache), atol=1e-15)


def test_each_is_one_number_a_label_times_its_weight() -> None:
    loss = CrossEntropy(ignore_index=-100)
    each = loss.each(LOGITS, PADDED, np.full((4, 5), 2.0))
    assert each.shape == (4, 5)
    assert not each[PADDED < 0].any()
    assert each.sum() == pytest.approx(2 * CrossEntropy(ignore_index=-100, reduction="sum")(LOGITS, PADDED))


# ---- in training


def test_a_net_learns_sequences_whose_padding_does_not_count() -> None:
    x = RNG.normal(size=(64, 5, 2))
    labels = (x[..., 0] > 0).astype(int) + (x[..., 1] > 0)
    labels[RNG.random((64, 5)) < 0.4] = -100
    labels[:3] = -100  # samples in which nothing counts
    model = Sequential(Linear(2, 16), Tanh(), Linear(16, 3), rng=0)
    history = model.fit(
        x,
        labels,
        loss=CrossEntropy(ignore_index=-100),
        optimizer=Adam(0.02),
        epochs=15,
        batch_size=1,
        metrics=[partial(accuracy, ignore_index=-100)],
        verbose=0,
    )
    assert history["loss"][-1] < 0.35
    assert history["accuracy"][-1] > 0.9


@pytest.mark.parametrize("settings", [{"micro_batch_size": 3}, {"workers": 2}, {}])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_parts_of_a_batch_add_up_to_the_whole(settings: dict[str, Any], reduction: str) -> None:
    size = 2048
    x, labels = RNG.normal(size=(size, 4, 6)), RNG.integers(3, size=(size, 4))
    labels[RNG.random((size, 4)) < 0.5], labels[:700] = -1, -1  # so that parts differ in what counts
    weight = RNG.uniform(0, 2, size=(size, 4))
    loss = CrossEntropy(ignore_index=-1, class_weight=[1.0, 0.3, 2.0], reduction=reduction)
    model = Sequential(Linear(6, 64), Linear(64, 3), dtype=np.float64, rng=0)
    prediction, cache = model.forward(x, training=True)
    value, loss_cache = loss.forward(prediction, *loss.check(prediction, labels, weight))
    model.backward_parameters(loss.backward(loss_cache), cache)
    grad = model.vector.grad.copy()
    trainer = Trainer(model, loss=loss, optimizer=SGD(1e-9), **settings)
    assert trainer.step(x, labels, weight) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(model.vector.grad, grad, rtol=1e-10, atol=1e-10)


def test_the_loss_on_data_does_not_depend_on_how_it_is_cut() -> None:
    x, labels = RNG.normal(size=(40, 4, 6)), RNG.integers(-1, 3, size=(40, 4))
    model = Sequential(Linear(6, 3), dtype=np.float64, rng=0)
    for reduction in ("mean", "sum"):
        loss = CrossEntropy(ignore_index=-1, reduction=reduction)
        whole = loss(model(x), labels)
        assert model.evaluate(x, labels, loss, batch_size=7) == pytest.approx(whole, rel=1e-12)
        history = model.fit(x, labels, loss=loss, optimizer=SGD(1e-12), epochs=1, batch_size=7, verbose=0)
        assert history["loss"][0] == pytest.approx(whole, rel=1e-6)


def test_weights_of_labels_go_through_a_fit() -> None:
    x, labels, weight = RNG.normal(size=(12, 5, 2)), RNG.integers(3, size=(12, 5)), RNG.random((12, 5))
    settings: dict[str, Any] = {"loss": CrossEntropy(), "optimizer": SGD(0.1), "epochs": 2, "rng": 0, "verbose": 0}
    models = [Sequential(Linear(2, 3), rng=0) for _ in range(2)]
    models[0].fit(x, labels, sample_weight=weight, validation=(x, labels, weight), metrics=[accuracy], **settings)
    models[1].fit(x, labels, **settings)
    assert not np.allclose(models[0].vector.value, models[1].vector.value)
    with pytest.raises(ShapeError, match=re.escape("expected sample_weight of shape (12,), got (12, 4)")):
        models[0].fit(x, labels, sample_weight=weight[:, :4], **settings)
    with pytest.raises(ShapeError, match=re.escape("SquaredError: expected one weight per sample, shape (12,)")):
        models[0].fit(x, np.zeros((12, 5, 3)), sample_weight=weight, **settings | {"loss": SquaredError()})


# ---- metrics


def test_metrics_count_labels() -> None:
    kept = PADDED >= 0
    rows, labels = LOGITS[kept], PADDED[kept]
    for measure, more in ((accuracy, {}), (confusion_matrix, {}), (partial(f1, average="macro"), {}), (auc, {})):
        whole = measure(LOGITS, PADDED, ignore_index=-100, **more)
        np.testing.assert_allclose(whole, measure(rows, labels))
        on_1 = measure(np.moveaxis(LOGITS, -1, 1), PADDED, ignore_index=-100, axis=1)
        np.testing.assert_allclose(on_1, whole)
    assert accuracy(LOGITS, LABELS, kept.astype(float)) == pytest.approx(accuracy(rows, labels))
    assert accuracy(LOGITS, np.eye(3)[LABELS]) == accuracy(LOGITS, LABELS)
    assert accuracy(LOGITS, LABELS, [1.0, 0, 0, 0]) == accuracy(LOGITS[0], LABELS[0])


def test_metrics_of_nothing_are_nan() -> None:
    for measure in (accuracy, f1, auc):
        assert math.isnan(measure(LOGITS, np.full((4, 5), -1), ignore_index=-1))


# ---- what does not fit


@pytest.mark.parametrize(
    ("settings", "target", "message"),
    [
        ({}, np.zeros((4, 3), int), "; if the classes are on axis 1 of prediction, write CrossEntropy(axis=1)"),
        (
            {"axis": 1, "ignore_index": -1},
            LABELS,
            "; if the classes are on the last axis of prediction, write CrossEntropy(ignore_index=-1)",
        ),
        (
            {},
            np.zeros(20, int),
            "labels of shape (4, 5) or rows of shape (4, 5, 3); try target.reshape(-1, 5)",
        ),
        ({}, np.zeros((4, 5, 1), int), "try target.reshape(-1, 5)"),
        ({}, np.zeros(4, int), "for one label a sample let the model give one row of classes a sample"),
        ({"axis": 3}, LABELS, "expected a prediction of shape (batch, ...), classes on axis 3, with 2 classes or more"),
        ({}, PADDED, "got -100 at (1, 3); if it marks what does not count, write CrossEntropy(ignore_index=-100)"),
        ({}, np.full((4, 5), 3), "CrossEntropy: expected labels from 0 to 2 for 3 outputs, got 3 at (0, 0)"),
        ({"ignore_index": -100}, PADDED * 0 - 1, "got -1 at (0, 0); if it marks"),
        ({"ignore_index": 0}, np.eye(3)[LABELS], "ignore_index is for labels, and the target holds probabilities"),
    ],
)
def test_what_does_not_fit_says_what_to_type(settings: Any, target: npt.NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        CrossEntropy(**settings)(LOGITS, target)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"axis": 0}, ValueError, "CrossEntropy: expected axis of the classes, -1 or 1, got 0, which is the batch"),
        ({"axis": 1.0}, TypeError, "CrossEntropy: expected axis as an int, got 1.0"),
        ({"ignore_index": "no"}, TypeError, "CrossEntropy: expected ignore_index as an int or None, got 'no'"),
        ({"reduction": "none"}, ValueError, "for what each output or label gives write CrossEntropy().each(prediction"),
        ({"reduction": "max"}, ValueError, "CrossEntropy: expected reduction as 'mean' or 'sum', got 'max'"),
    ],
)
def test_bad_settings_are_refused(settings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        CrossEntropy(**settings)


def test_labels_of_which_none_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="no sample of this batch counts"):
        CrossEntropy(ignore_index=-100)(LOGITS, np.full((4, 5), -100))


def test_a_metric_says_what_to_type() -> None:
    for prediction, target, message in (
        (LOGITS, PADDED, "write functools.partial(accuracy, ignore_index=-100)"),
        (LOGITS, LABELS[:, :3], "labels of shape (4, 5); if its classes are on axis 1, write functools.partial("),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            accuracy(prediction, target)
    with pytest.raises(ShapeError, match=re.escape("or one per label, shape (4, 5), got (4, 4)")):
        accuracy(LOGITS, LABELS, np.ones((4, 4)))
