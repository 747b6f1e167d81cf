"""The protocol of metrics: a value of all samples of an epoch, in a fit, in evaluate, and across a checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given

import nanonet
from nanonet import (
    SGD,
    Array,
    BinaryCrossEntropy,
    CrossEntropy,
    Linear,
    MeanSquaredError,
    Metric,
    Sequential,
    ShapeError,
    SquaredError,
    Trainer,
    accuracy,
    confusion_matrix,
    f1,
    precision,
)
from nanonet.training.metrics.whole import appended
from tests.helpers import Distance, data, distance, picture, small, train

X, TARGET = data(samples=12)
LABELS = np.arange(12) % 3


class Largest(Metric):
    """The largest deviation, of a user who knows no weights."""

    def __init__(self) -> None:
        self.largest = 0.0

    def update(self, prediction: Array, target: Array) -> None:  # type: ignore[override]
        self.largest = max(self.largest, float(np.abs(prediction - target).max()))

    def value(self) -> float:
        return self.largest


class Weighted(Metric):
    """The weights seen, of a user who knows them."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def update(self, prediction: Array, target: Array, weight: Any = None) -> None:
        self.seen.append(weight)

    def value(self) -> float:
        return float(sum(part.sum() for part in self.seen))


def classifier(rng: int = 0) -> Sequential:
    return Sequential(Linear(3, 3), rng=rng)


# ---- a value of the whole


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_a_metric_of_an_epoch_does_not_depend_on_its_batches(batch_size: int) -> None:
    model, target = classifier(), LABELS
    metrics: dict[str, Any] = {"f1": partial(f1, average="macro"), "accuracy": accuracy, "squares": squares}
    expected = model.evaluate(X, target, CrossEntropy(), metrics)
    history = train(
        model, X, target, loss=CrossEntropy(), optimizer=SGD(0), metrics=metrics, batch_size=batch_size, epochs=2
    )
    assert list(history) == ["loss", "f1", "accuracy", "squares"]
    for name in metrics:
        assert history[name] == pytest.approx([expected[name]] * 2, rel=1e-6)


def squares(prediction: Array, target: Any) -> float:
    """Return a number that is no mean over the samples."""
    return float(np.square(prediction.sum(axis=0)).sum())


def test_a_function_is_given_all_of_an_epoch_and_before_that_the_first_batch() -> None:
    def noted(prediction: Array, target: Array) -> float:
        seen.append(len(target))
        assert prediction.shape == target.shape
        return 0.0

    seen: list[int] = []
    train(small(), X, TARGET, metrics=[noted], epochs=2, batch_size=5, validation=(X[:7], TARGET[:7]))
    assert seen == [5, 12, 7, 12, 7]


def test_a_function_sees_predictions_and_targets_side_by_side() -> None:
    history = train(small(), X, TARGET, metrics=[distance], optimizer=SGD(0), epochs=1, batch_size=5)
    assert history["distance"] == [pytest.approx(distance(small()(X), TARGET))]


def test_of_what_one_generator_writes_into_one_array_each_batch_is_kept() -> None:
    def buffered() -> Any:
        x, target = np.empty((4, 3)), np.empty((4, 2))
        for start in (0, 4, 8):
            x[:], target[:] = X[start : start + 4], TARGET[start : start + 4]
            yield x, target

    history = train(small(), buffered(), None, metrics=[distance], optimizer=SGD(0), epochs=1)
    assert history["distance"] == [pytest.approx(distance(small()(X), TARGET))]


def test_every_epoch_starts_afresh_and_the_metric_that_was_given_stays_as_it_is() -> None:
    largest = Largest()
    history = train(small(), X, TARGET, metrics=[largest], optimizer=SGD(0.3), epochs=4, batch_size=5)
    assert min(history["Largest"]) < max(history["Largest"][:-1])  # a largest of all epochs never falls
    assert largest.largest == 0.0


def test_weights_reach_the_metrics_that_take_them_and_those_of_classes_none() -> None:
    weight = np.arange(12.0)
    settings: dict[str, Any] = {"metrics": [Weighted(), accuracy], "batch_size": 5, "optimizer": SGD(0)}
    history = train(
        classifier(), X, LABELS, loss=CrossEntropy(), sample_weight=weight, class_weight={0: 50.0}, epochs=1, **settings
    )
    assert history["Weighted"] == [66.0]
    assert history["accuracy"] == [pytest.approx(accuracy(classifier()(X), LABELS, weight))]
    assert Largest()(X, X + 1, weight[:12]) == 1.0


# ---- early refusals


@pytest.mark.parametrize(
    ("metric", "loss", "target", "message"),
    [
        (confusion_matrix, CrossEntropy(), LABELS, "'confusion_matrix' must return a number.*of shape .3, 3.; a histo"),
        (partial(precision, average=None), CrossEntropy(), LABELS, "give it to evaluate"),
        (lambda prediction, target: "0.5x", SquaredError(), X, "must return a number, got str"),
    ],
)
def test_what_is_no_number_is_refused_before_the_first_step(metric: Any, loss: Any, target: Any, message: str) -> None:
    model = classifier()
    before = picture(model)
    with pytest.raises(TypeError, match=message):
        train(model, X, target, loss=loss, metrics=[metric])
    assert picture(model) == before


def test_a_function_may_find_the_first_batch_too_small() -> None:
    def correlation(prediction: Array, target: Array) -> float:
        if len(target) < 12:
            raise ValueError("too few")
        return 1.0

    assert train(small(), X, TARGET, metrics=[correlation], batch_size=5)["correlation"] == [1.0]


def test_an_average_of_classes_is_to_be_chosen_before_the_first_step() -> None:
    model = classifier()
    before = picture(model)
    with pytest.raises(ValueError, match=r"f1: there are 3 classes.*choose average='macro'.*partial\(f1, average='mac"):
        train(model, X, LABELS, loss=CrossEntropy(), metrics=[f1])
    assert picture(model) == before


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: partial(f1, average="mean"), ValueError, "f1: expected average as one of"),
        (lambda: partial(accuracy, top=0), ValueError, "accuracy: expected top of 1 or more, got 0"),
        (lambda: partial(nanonet.auc, average="micro"), ValueError, "auc: expected average as 'macro' or None"),
        (lambda: Largest, TypeError, r"write Largest\(\)"),
        (lambda: "accuracy", TypeError, r"write metrics=\[nanonet.accuracy\], without quotes"),
        (lambda: lambda prediction: 0.0, TypeError, r"expected a function of \(prediction, target\)"),
    ],
)
def test_bad_settings_are_refused_when_the_fit_is_called(
    make: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        train(small(), X, TARGET, metrics=[make()])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy(np.eye(3), [0, 1, 2], top=4), "expected top of at most 3, the number of classes, got 4"),
        (lambda: accuracy([0.5], [1], top=2), "top is for several classes"),
        (lambda: f1(np.eye(3), [0, 1, 2], average="macro", threshold=0.5), "of 3 classes the largest wins"),
        (lambda: f1([[0.1, 0.2, 0.3]], [[1, 1, 0]], average="macro"), "write multilabel=True"),
        (lambda: accuracy([0.5], [1], [-1.0]), "expected weight from 0"),
    ],
)
def test_what_a_metric_cannot_know_it_does_not_guess(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_weight_has_a_number_for_each_sample() -> None:
    with pytest.raises(ShapeError, match=r"r2: expected one weight per sample, shape \(2,\), got \(3,\)"):
        nanonet.r2([[1.0], [2.0]], [[1.0], [2.0]], [1, 1, 1])


def test_nan_among_the_predictions_is_nan_in_what_counts_classes() -> None:
    prediction, target = [[np.nan], [1.0]], [[0], [1]]
    assert np.isnan(precision(prediction, target))
    assert np.isnan(f1([[np.nan, 1.0], [1.0, 0.0]], [1, 0], average="micro"))
    assert np.isnan(nanonet.auc(prediction, target))


def test_of_one_class_alone_there_is_no_area() -> None:
    assert np.isnan(nanonet.auc([0.1, 0.2], [1, 1]))


# ---- evaluate


def test_evaluate_gives_the_loss_alone_or_with_metrics_by_name() -> None:
    model, loss = classifier(), CrossEntropy()
    trainer = Trainer(model, loss=loss, optimizer=SGD(0.1))
    alone = model.evaluate(X, LABELS, loss)
    assert alone == trainer.evaluate(X, LABELS) == pytest.approx(loss(model(X), LABELS))
    for found in (
        model.evaluate(X, LABELS, loss, [accuracy, confusion_matrix], batch_size=5),
        trainer.evaluate(X, LABELS, 5, metrics=[accuracy, confusion_matrix]),
    ):
        assert list(found) == ["loss", "accuracy", "confusion_matrix"]
        assert found["loss"] == pytest.approx(alone)
        assert found["accuracy"] == accuracy(model(X), LABELS)
        np.testing.assert_array_equal(found["confusion_matrix"], confusion_matrix(model(X), LABELS))
        assert found["confusion_matrix"].dtype.kind == "i"


def test_evaluate_weighs_loss_and_metrics() -> None:
    weight, model = np.arange(12), classifier()
    found = model.evaluate(X, LABELS, CrossEntropy(), {"share": accuracy}, sample_weight=weight, batch_size=5)
    assert found["loss"] == pytest.approx(CrossEntropy()(model(X), LABELS, weight))
    assert found["share"] == pytest.approx(accuracy(model(X), LABELS, weight))


def test_evaluate_takes_batches() -> None:
    model, loss = small(), MeanSquaredError()
    batches = ((X[i : i + 5], TARGET[i : i + 5]) for i in (0, 5, 10))
    found = model.evaluate(batches, None, loss, [distance])
    expected = {"loss": loss(model(X), TARGET), "distance": distance(model(X), TARGET)}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((X, TARGET, [accuracy]), TypeError, "evaluate: expected loss to be a Loss"),
        (
            (X, TARGET, SquaredError(), accuracy),
            TypeError,
            r"evaluate: expected metrics as a list",
        ),
        ((X, None, SquaredError()), TypeError, "target is missing"),
    ],
)
def test_evaluate_says_what_is_wrong(arguments: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        small().evaluate(*arguments)


# ---- checkpoints


class Everything(Metric):
    """State of every kind that a checkpoint keeps."""

    def __init__(self, scale: float = 2.0) -> None:
        self.scale, self.name_of, self.count, self.flag = scale, "settings", 0, False
        self.sum = np.zeros(3)
        self.last: Any = None
        self.small = np.float32(0)
        self.rows: list[Any] = []
        self.pair = (0.0, 1.0)

    def update(self, prediction: Array, target: Array, weight: Any = None) -> None:
        self.sum += self.scale * prediction.sum(axis=0)  # in place, as users do
        self.count += len(target)
        self.flag = not self.flag
        self.last = prediction[-1]
        self.small = self.small + prediction[0, 0]
        self.rows.append(prediction.max(axis=0))
        self.pair = (self.pair[0] + self.count, self.pair[1] * 1.5)

    def value(self) -> float:
        kinds = isinstance(self.small, np.float32), isinstance(self.count, int), isinstance(self.pair, tuple)
        assert all(kinds)
        assert self.name_of == "settings"
        parts = (self.sum, self.last, self.small, self.pair, self.count, self.flag, np.sum(self.rows, axis=0))
        return float(sum(np.sum(part) for part in parts))


class SaveAt(nanonet.Callback):
    """Saves after a step."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.step = path, step

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps == self.step:
            trainer.save(self.path)


METRICS: dict[str, tuple[Any, Any, Any]] = {
    "accuracy": (accuracy, CrossEntropy(), LABELS),
    "f1": (partial(f1, average="macro"), CrossEntropy(), LABELS),
    "auc": (partial(nanonet.auc, multilabel=True), BinaryCrossEntropy(), np.eye(3)[LABELS]),
    "r2": (nanonet.r2, SquaredError(), X),
    "a distance": (nanonet.root_mean_squared_error, SquaredError(), X),
    "a function": (squares, SquaredError(), X),
    "a user's": (Everything(0.3), SquaredError(), X),
    "a user's without weight": (Largest(), SquaredError(), X),
}


@pytest.mark.parametrize("weight", [None, np.arange(12) % 4 + 0.1], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", METRICS)
def test_a_fit_resumed_within_an_epoch_has_the_same_metrics_bit_for_bit(name: str, weight: Any, tmp_path: Path) -> None:
    metric, loss, target = METRICS[name]
    settings: dict[str, Any] = {"metrics": {"it": metric}, "batch_size": 2, "sample_weight": weight, "verbose": 0}
    whole = Trainer(classifier(), loss=loss, optimizer=SGD(0.1))
    history = whole.fit(X, target, epochs=3, **settings)
    for step in (7, 9, 12):
        first = Trainer(classifier(), loss=loss, optimizer=SGD(0.1))
        first.fit(X, target, epochs=2, callbacks=[SaveAt(tmp_path / "run.npz", step)], **settings)
        second = Trainer(classifier(1), loss=loss, optimizer=SGD(0.1))
        second.resume(tmp_path / "run.npz")
        second.save(tmp_path / "again.npz")  # as it came, without a fit in between
        later = Trainer(classifier(1), loss=loss, optimizer=SGD(0.1))
        later.resume(tmp_path / "again.npz")
        assert later.fit(X, target, epochs=2, **settings)["it"] == history["it"]


class Failing(Distance):
    """Counts a batch, and then fails in one."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.rows = [np.zeros(1)]
        self.is_due: Callable[[int], bool] = lambda rows: rows == batch + 1 > 1

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        super().update(prediction, target)
        self.rows.append(prediction)
        if self.is_due(len(self.rows)):
            raise RuntimeError("mine")

    def value(self) -> float:
        return super().value() + len(self.rows)


def test_a_batch_whose_step_was_not_taken_leaves_no_trace_in_the_metrics(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"batch_size": 3, "verbose": 0}
    whole, broken, later = (Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1)) for _ in range(3))
    expected = whole.fit(X, TARGET, epochs=1, metrics=[Failing(0)], **settings)
    with pytest.raises(RuntimeError, match="mine"):
        broken.fit(X, TARGET, epochs=1, metrics=[Failing(3)], **settings)
    assert broken.steps == 2
    broken.save(tmp_path / "run.npz")
    later.resume(tmp_path / "run.npz")
    assert later.fit(X, TARGET, epochs=1, metrics=[Failing(0)], **settings)["distance"] == expected["distance"]


def test_state_that_a_checkpoint_cannot_keep_is_named(tmp_path: Path) -> None:
    class Counter(Distance):
        def __init__(self) -> None:
            super().__init__()
            self.counts: dict[int, int] = {}

    callbacks = [SaveAt(tmp_path / "run.npz", 1)]
    with pytest.raises(TypeError, match=r"Counter: .*self\.counts is a dict; override state_dict and load_state_dict"):
        train(small(), X, TARGET, metrics=[Counter()], callbacks=callbacks)


def test_a_metric_that_has_other_state_by_now_is_refused(tmp_path: Path) -> None:
    def saved(metric: Any) -> Trainer:
        trainer = Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1))
        callbacks = [SaveAt(tmp_path / "run.npz", 1)]
        trainer.fit(X, TARGET, epochs=1, batch_size=5, metrics={"it": metric}, callbacks=callbacks, verbose=0)
        later = Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1))
        later.resume(tmp_path / "run.npz")
        return later

    for before, after, message in (
        (Largest(), Distance(), "the checkpoint holds 'largest', which it does not have"),
        (Distance(), Everything(), "the checkpoint holds 'total'"),
        (distance, Distance(), "the checkpoint holds 'several'"),
        (Distance(), distance, "does not hold predictions, targets and weights"),
    ):
        trainer = saved(before)
        with pytest.raises(ValueError, match=f"the metric 'it' cannot be resumed within this epoch: .*{message}"):
            trainer.fit(X, TARGET, epochs=1, batch_size=5, metrics={"it": after})
        trainer.fit(X, TARGET, epochs=1, batch_size=5, metrics={"it": before}, verbose=0)


# ---- what is kept


@given(st.lists(st.integers(1, 5), min_size=1, max_size=200))
def test_pieces_stay_in_order_and_few(lengths: list[int]) -> None:
    pieces: list[npt.NDArray[Any]] = []
    ends = [0, *itertools.accumulate(lengths)]
    for start, stop in itertools.pairwise(ends):
        pieces = appended(pieces, np.arange(start, stop))
    np.testing.assert_array_equal(np.concatenate(pieces), np.arange(ends[-1]))
    assert len(pieces) <= 2 + np.log2(ends[-1])


def test_batches_of_different_lengths_in_time_need_a_metric_that_accumulates() -> None:
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=(2, t, 3)), rng.normal(size=(2, t, 2))) for t in (5, 7)]
    with pytest.raises(ShapeError, match=r"of one batch have shape \(2, 7, 2\), of another \(2, 5, 2\); subclass"):
        train(small(), parts, None, metrics=[distance])
    assert len(train(small(), parts, None, metrics=[Distance()])["distance"]) == 1
