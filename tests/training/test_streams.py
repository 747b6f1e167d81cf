"""Streams and class weights: batches from iterables, of known length or without end, and classes of unequal size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from nanonet import (
    SGD,
    BinaryCrossEntropy,
    Callback,
    CrossEntropy,
    Linear,
    Sequential,
    ShapeError,
    SquaredError,
    Trainer,
    accuracy,
)
from nanonet.training.class_weight import ClassWeight
from nanonet.training.data import Dataset
from tests.helpers import data, distance, picture, small, train

X, TARGET = data(samples=12)
PARTS = [(X[i : i + 3], TARGET[i : i + 3]) for i in (0, 3, 6, 9)]


def endless(log: list[int] | None = None) -> Iterator[Any]:
    """Yield the parts over and over."""
    for number in itertools.count():
        if log is not None:
            log.append(number % 4)
        yield PARTS[number % 4]


class Again:
    """An iterable that starts over."""

    def __iter__(self) -> Iterator[Any]:
        yield from PARTS


class Stopped(Callback):
    """What Ctrl-C does at a step, and a note of how many batches there are to be."""

    def __init__(self, step: int = -1) -> None:
        self.step = step

    def step_end(self, trainer: Trainer) -> None:
        self.batches = trainer.batches
        if trainer.steps == self.step:
            raise KeyboardInterrupt


# ---- steps per epoch


def test_an_iterator_goes_on_where_the_epoch_before_ended() -> None:
    ours, theirs, log = small(), small(), list[int]()
    callback = Stopped()
    history = train(ours, endless(log), None, epochs=4, steps_per_epoch=3, optimizer=SGD(0.1), callbacks=[callback])
    assert (history.epochs, log, callback.batches) == (4, [0, 1, 2, 3] * 3, 3)
    train(theirs, PARTS, None, epochs=3, optimizer=SGD(0.1))
    np.testing.assert_array_equal(ours.vector.value, theirs.vector.value)


@pytest.mark.parametrize("parts", [PARTS, Again()])
def test_any_other_iterable_starts_over(parts: Any) -> None:
    ours, theirs = small(), small()
    train(ours, parts, None, epochs=3, steps_per_epoch=2, optimizer=SGD(0.1))
    train(theirs, PARTS[:2], None, epochs=3, optimizer=SGD(0.1))
    np.testing.assert_array_equal(ours.vector.value, theirs.vector.value)


def test_a_resumed_epoch_takes_up_an_iterator_from_where_that_epoch_began(tmp_path: Path) -> None:
    whole, first, later = (Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1)) for _ in range(3))
    settings: dict[str, Any] = {"steps_per_epoch": 3, "metrics": [distance], "verbose": 0}
    history = whole.fit(endless(), epochs=3, **settings)
    first.fit(endless(), epochs=3, callbacks=[Stopped(5)], **settings)
    first.save(tmp_path / "run.npz")
    later.resume(tmp_path / "run.npz")
    assert dict(later.fit(itertools.islice(endless(), 3, None), epochs=2, **settings)) == dict(history)
    np.testing.assert_array_equal(later.model.vector.value, whole.model.vector.value)


def exhausted() -> Iterator[Any]:
    iterator = iter(PARTS)
    list(iterator)
    return iterator


REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], type[Exception], str]] = {
    "an iterator for two epochs": (
        lambda: {"x": iter(PARTS)},
        ValueError,
        "an iterator of batches is exhausted after one epoch, and there are 2; give steps_per_epoch, or a list, or",
    ),
    "an exhausted one": (
        lambda: {"x": exhausted(), "epochs": 1},
        ValueError,
        "the iterable yields no batches: this iterator is exhausted already",
    ),
    "an exhausted one with steps": (lambda: {"x": exhausted(), "steps_per_epoch": 2}, ValueError, "exhausted already"),
    "too short a list": (
        lambda: {"steps_per_epoch": 5},
        ValueError,
        "steps_per_epoch=5, but the iterable has 4 batches",
    ),
    "no number": (lambda: {"steps_per_epoch": 0}, ValueError, "expected steps_per_epoch of 1 or more, got 0"),
    "arrays": (
        lambda: {"x": X, "target": TARGET, "steps_per_epoch": 2},
        TypeError,
        "steps_per_epoch is for an iterable; arrays are gone through whole",
    ),
    "validation that is used up": (
        lambda: {"validation": iter(PARTS)},
        ValueError,
        "an iterator of validation batches is exhausted after one epoch, and there are 2; give a list",
    ),
    "validation that is exhausted": (
        lambda: {"validation": exhausted()},
        ValueError,
        "the validation iterable yields no batches",
    ),
    "validation of no batches": (
        lambda: {"validation": Empty()},
        ValueError,
        "the validation iterable yields no batches",
    ),
    "validation of another width": (
        lambda: {"validation": [(np.ones((3, 5)), TARGET[:3])]},
        ShapeError,
        r"Linear\(3, 4\): expected input of shape \(batch, 3\), got \(3, 5\)",
    ),
    "validation with infinity": (
        lambda: {"validation": [(np.full((3, 3), np.inf), TARGET[:3])]},
        ValueError,
        r"validation batch 1: x holds inf at \(0, 0\)",
    ),
    "balanced batches": (lambda: {"class_weight": "balanced"}, ValueError, "for an iterable give a dict from label to"),
}


class Empty:
    """An iterable of nothing."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize("case", REFUSED)
def test_what_will_not_do_is_refused_before_the_first_epoch(case: str) -> None:
    class Begun(Callback):
        def fit_begin(self, trainer: Trainer) -> None:
            raise AssertionError("the fit has begun")

    make, kind, message = REFUSED[case]
    model = small()
    before = picture(model)
    settings: dict[str, Any] = {"x": PARTS, "target": None, "epochs": 2, "callbacks": [Begun()]}
    with pytest.raises(kind, match=message):
        train(model, **(settings | make()))
    assert picture(model) == before


def test_an_iterable_that_proves_too_short_ends_the_fit_with_what_it_has() -> None:
    trainer = Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1))
    with pytest.raises(ValueError, match="steps_per_epoch=5, but the iterable yields only 4 batches"):
        trainer.fit(Again(), epochs=2, steps_per_epoch=5)
    assert trainer.steps == 4


# ---- validation


@pytest.mark.parametrize("make", [lambda: PARTS, Again, lambda: [(*part, np.ones(3)) for part in PARTS]])
def test_validation_may_be_batches(make: Callable[[], Any]) -> None:
    first = train(small(), X, TARGET, validation=(X, TARGET), metrics=[distance], epochs=2)
    second = train(small(), X, TARGET, validation=make(), metrics=[distance], epochs=2)
    for name in first:
        assert second[name] == pytest.approx(first[name], rel=1e-6)


def test_a_generator_validates_one_epoch() -> None:
    history = train(small(), X, TARGET, validation=(part for part in PARTS), epochs=1)
    assert history["validation_loss"] == pytest.approx(
        train(small(), X, TARGET, validation=(X, TARGET), epochs=1)["validation_loss"]
    )


# ---- class weights


def net(outputs: int) -> Sequential:
    return Sequential(Linear(3, outputs), rng=0)


LABELS = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
KINDS: dict[str, tuple[Any, Any, int]] = {
    "labels": (CrossEntropy(), LABELS, 3),
    "one-hot rows": (CrossEntropy(), np.eye(3)[LABELS], 3),
    "one column": (BinaryCrossEntropy(), (LABELS[:, None] > 0).astype(float), 1),
}


@pytest.mark.parametrize("shape", ["arrays", "a split", "an iterable"])
@pytest.mark.parametrize("own", [None, np.arange(12) % 5 + 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_weight_of_a_class_is_that_of_its_samples(kind: str, own: Any, shape: str) -> None:
    loss, target, outputs = KINDS[kind]
    labels = LABELS if outputs == 3 else (LABELS > 0).astype(int)
    given_weights = {0: 0.5, 1: 3.0}
    weight = np.array([given_weights.get(label, 1.0) for label in labels.tolist()]) * (1 if own is None else own)
    ours, theirs = net(outputs), net(outputs)
    if shape == "an iterable":
        parts = [(X[i::2], target[i::2], *([] if own is None else [own[i::2]])) for i in (0, 1)]
        first = train(ours, parts, None, loss=loss, class_weight=given_weights)
        second = train(theirs, [(X[i::2], target[i::2], weight[i::2]) for i in (0, 1)], None, loss=loss)
    else:
        settings: dict[str, Any] = {"loss": loss, "batch_size": 5, "validation": None if shape == "arrays" else 0.25}
        first = train(ours, X, target, class_weight=given_weights, sample_weight=own, **settings)
        second = train(theirs, X, target, sample_weight=weight, **settings)
    np.testing.assert_allclose(ours.vector.value, theirs.vector.value, rtol=1e-6)
    assert first["loss"] == pytest.approx(second["loss"])


@given(st.lists(st.sampled_from([-1, 0, 2, 7]), min_size=1, max_size=40))
def test_balanced_classes_weigh_the_same_and_all_samples_together_what_they_weighed(labels: list[int]) -> None:
    target = np.array(labels)
    weights = ClassWeight("balanced", Dataset(np.ones((len(target), 1)), target)).of(target, None)
    sums = [weights[target == label].sum() for label in set(labels)]
    assert sums == pytest.approx([len(labels) / len(sums)] * len(sums))


@pytest.mark.peer
def test_balanced_is_what_scikit_learn_calls_so() -> None:
    there: Any = pytest.importorskip("sklearn.utils.class_weight", reason="scikit-learn is not installed")
    weights = ClassWeight("balanced", Dataset(X, LABELS)).of(LABELS, None)
    np.testing.assert_allclose(weights, there.compute_sample_weight("balanced", LABELS))


def test_balanced_counts_what_is_trained_on_alone() -> None:
    weights = ClassWeight("balanced", Dataset(X, LABELS).part(np.arange(8)))  # seven of label 0, one of label 1
    np.testing.assert_allclose(weights.of(LABELS, None), [8 / 14] * 7 + [8 / 2] * 3 + [1] * 2)


def test_classes_are_weighed_in_the_training_loss_alone() -> None:
    labels = np.array([0] * 6 + [1] * 6)
    trainer = Trainer(net(3), loss=CrossEntropy(), optimizer=SGD(0.0))
    history = trainer.fit(
        X, labels, epochs=1, validation=(X, LABELS), class_weight={0: 9.0, 1: 0.5}, metrics=[accuracy], verbose=0
    )
    assert history["validation_loss"] == [pytest.approx(trainer.evaluate(X, LABELS))]
    assert history["accuracy"] == [accuracy(trainer.model(X), labels)]


@pytest.mark.parametrize(
    ("weights", "target", "kind", "message"),
    [
        ([1.0, 2.0], LABELS, TypeError, r"class_weight as 'balanced' or a dict from label to weight, got \[1.0, 2.0\]"),
        ("equal", LABELS, TypeError, "class_weight as 'balanced' or a dict"),
        ({}, LABELS, ValueError, "got an empty one"),
        ({0: -1.0}, LABELS, ValueError, r"class_weight\[0\] of 0 or more, got -1.0"),
        (
            {"a": 1.0},
            LABELS,
            ValueError,
            "has label 'a', which the target does not: its labels are 0, 1, 2",
        ),
        ({3: 1.0}, LABELS, ValueError, "class_weight has label 3"),
        (
            {0: 2.0},
            np.maximum(np.eye(3)[LABELS], np.eye(3)[0]),
            ValueError,
            "several correct labels per sample.*give sample_weight",
        ),
    ],
)
def test_class_weights_that_fit_no_target_are_refused(
    weights: Any, target: Any, kind: type[Exception], message: str
) -> None:
    model = net(3)
    before = picture(model)
    with pytest.raises(kind, match=message):
        train(model, X, target, loss=CrossEntropy() if target is LABELS else BinaryCrossEntropy(), class_weight=weights)
    assert picture(model) == before


def test_numbers_and_several_targets_have_no_classes() -> None:
    with pytest.raises(ValueError, match="is for a target of classes, and this one holds numbers such as"):
        train(net(1), X, X[:, :1], class_weight="balanced")
    with pytest.raises(ShapeError, match="is for a target of one class a sample"):
        ClassWeight("balanced", Dataset(X, TARGET[:, :, None]))
