"""Data: what a fit takes its batches from, and which data it refuses before anything has changed."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    SGD,
    Array,
    Batch,
    BinaryCrossEntropy,
    Callback,
    ContractError,
    CrossEntropy,
    CSVLog,
    EarlyStopping,
    Hinge,
    History,
    Linear,
    Loss,
    MeanSquaredError,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    Trainer,
    accuracy,
    batches,
)
from tests.helpers import Momentum, Recorder, data, everything, generator_state, picture, small, train

X, TARGET = data(samples=12)


def recorded(**settings: Any) -> list[list[float]]:
    """Return which samples a fit on numbered ones saw, batch by batch."""
    recorder, (x, target) = Recorder(), numbered(settings.pop("samples", 20))
    train(Sequential(recorder, Linear(1, 1), rng=0), x, target, optimizer=SGD(1e-6), **settings)
    return recorder.seen


def numbered(samples: int) -> tuple[Array, Array]:
    """Return samples whose only feature, and target, is their number."""
    x = np.arange(samples, dtype=np.float32).reshape(-1, 1)
    return x, x.copy()


# ---- batches


@pytest.mark.parametrize("batch_size", [1, 6, 20, 100])
def test_batches_are_what_fit_goes_through(batch_size: int) -> None:
    x, target = numbered(20)
    rng = np.random.default_rng(3)
    by_hand = [batch.x[:, 0].tolist() for _ in range(2) for batch in batches(x, target, batch_size, rng=rng)]
    assert recorded(batch_size=batch_size, epochs=2, rng=3) == by_hand


def test_a_loop_over_batches_is_a_fit() -> None:
    by_fit, by_hand = everything(), everything()
    weight = np.arange(12) % 3
    train(by_fit, X, TARGET, epochs=3, batch_size=5, sample_weight=weight, rng=4)
    trainer = Trainer(by_hand, loss=SquaredError(), optimizer=SGD(0.1))
    rng = np.random.default_rng(4)
    for _ in range(3):
        for batch in batches(X, TARGET, 5, rng=rng, sample_weight=weight):
            trainer.step(*batch)
    assert picture(by_fit) == picture(by_hand)


@pytest.mark.parametrize(("samples", "batch_size"), [(1, 1), (12, 4), (13, 4), (5, 32)])
def test_batches_have_every_sample_once_with_its_target_and_its_weight(samples: int, batch_size: int) -> None:
    x, target = numbered(samples)
    found = list(batches(x, -target, batch_size, rng=0, sample_weight=x[:, 0] + 1))
    assert all(isinstance(batch, Batch) for batch in found)
    assert [len(batch.x) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    assert len(found) == -(-samples // batch_size)
    assert sorted(number for batch in found for number in batch.x[:, 0]) == x[:, 0].tolist()
    for batch in found:
        assert batch.weight is not None
        np.testing.assert_array_equal(batch.target, -batch.x)
        np.testing.assert_array_equal(batch.weight, batch.x[:, 0] + 1)


def test_without_shuffle_batches_come_in_order_and_without_weights_have_none() -> None:
    found = list(batches([[1], [2], [3]], [4, 5, 6], 2, shuffle=False))
    assert [batch.x.tolist() for batch in found] == [[[1], [2]], [[3]]]
    assert [batch.target.tolist() for batch in found] == [[4, 5], [6]]
    assert [batch.weight for batch in found] == [None, None]


def test_the_order_of_batches_is_that_of_their_rng() -> None:
    def order(rng: int | np.random.Generator) -> list[float]:
        return [number for batch in batches(*numbered(50), 8, rng=rng) for number in batch.x[:, 0].tolist()]

    assert order(1) == order(1) == order(np.random.default_rng(1)) != order(2)
    generator = np.random.default_rng(1)
    assert order(generator) != order(generator)


@pytest.mark.parametrize("laid", [np.ascontiguousarray, np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]])
def test_a_shuffled_batch_copies_its_own_rows_alone(laid: Callable[[Any], Any]) -> None:
    x = laid(np.arange(400_000.0).reshape(4_000, 100))
    target = np.arange(4_000)
    tracemalloc.start()
    try:
        for batch in batches(x, target, 10, rng=0):
            np.testing.assert_array_equal(batch.x[:, 0], 100 * batch.target)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 2
    finally:
        tracemalloc.stop()


def test_batches_draw_nothing_from_numpys_global_state() -> None:
    before = repr(np.random.get_state())  # noqa: NPY002  # that it stays as it was is what is asked
    list(batches(*numbered(9), 2))
    assert repr(np.random.get_state()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"batch_size": 0}, ValueError, "batches: expected batch_size of 1 or more, got 0"),
        ({"batch_size": 2.5}, TypeError, "batches: expected batch_size as an int, got 2.5"),
        ({"rng": "0"}, TypeError, "batches: expected rng as an int, a numpy Generator or None, got '0'"),
        ({"sample_weight": [1.0]}, ShapeError, "x has 12 samples but sample_weight has 1"),
        ({"sample_weight": -np.ones(12)}, ValueError, "expected sample_weight from 0 to 1e100, got -1.0 at 0"),
        ({"target": TARGET[:7]}, ShapeError, "x has 12 samples but target has 7"),
        ({"x": X[:0], "target": TARGET[:0]}, ValueError, "x holds no samples"),
        ({"x": "text"}, TypeError, "x: expected numbers, got text"),
    ],
    ids=str,
)
def test_bad_arguments_of_batches_are_refused_when_it_is_called(
    settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        batches(**({"x": X, "target": TARGET} | settings))


# ---- sample weights


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [
        (SquaredError(), 2),
        (MeanSquaredError(), 2),
        (CrossEntropy(), 3),
        (CrossEntropy(class_weight=[1.0, 0.2, 3.0], label_smoothing=0.1), 3),
        (BinaryCrossEntropy(), 1),
        (Hinge(), 1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [int, float, list])
def test_a_weight_is_as_good_as_repeating_the_sample(loss: Loss, outputs: int, kind: Any) -> None:
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(10, 3)), np.array([1, 2, 0, 3, 1, 0, 1, 5, 2, 1])
    target: npt.NDArray[Any] = np.sign(rng.normal(size=(10, outputs)))
    if isinstance(loss, CrossEntropy):
        target = rng.integers(3, size=10)
    elif isinstance(loss, BinaryCrossEntropy):
        target = (target + 1) / 2
    given: Any = weight.tolist() if kind is list else weight.astype(kind)
    weighted, repeated = small(outputs, np.float64), small(outputs, np.float64)
    settings = {"loss": loss, "epochs": 20, "batch_size": 100, "shuffle": False}
    first = train(weighted, x, target, sample_weight=given, validation=(x, target, given), **settings)
    often = np.repeat(x, weight, axis=0), np.repeat(target, weight, axis=0)
    second = train(repeated, *often, validation=often, **settings)
    np.testing.assert_allclose(weighted.vector.value, repeated.vector.value, rtol=0, atol=1e-12)
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-12)
    np.testing.assert_allclose(first["validation_loss"], second["validation_loss"], rtol=1e-12)


def test_equal_weights_are_as_good_as_none() -> None:
    plain, weighted = small(dtype=np.float64), small(dtype=np.float64)
    first = train(plain, X, TARGET, epochs=3, batch_size=5)
    second = train(weighted, X, TARGET, epochs=3, batch_size=5, sample_weight=np.full(12, 7))
    np.testing.assert_allclose(weighted.vector.value, plain.vector.value, rtol=0, atol=1e-13)
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-13)


def test_weights_are_shuffled_with_their_samples() -> None:
    x = np.vstack([X, X + 100])
    target = np.vstack([TARGET, np.full_like(TARGET, 1e4)])
    weight = np.repeat([1, 0], 12)
    history = train(small(), x, target, sample_weight=weight, epochs=3, batch_size=4, optimizer=SGD(0))
    assert max(history["loss"]) < 10


def test_a_batch_in_which_nothing_counts_takes_no_step() -> None:
    trainer = Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1))
    trainer.fit(X, TARGET, epochs=2, batch_size=4, shuffle=False, sample_weight=[1] * 4 + [0] * 4 + [2] * 4)
    assert trainer.steps == 4


# ---- a fraction to validate with


class Held:
    """A metric that notes the targets which it is called with."""

    __name__ = "held"

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def __call__(self, prediction: Array, target: Array) -> float:
        self.seen.append(sorted(target[:, 0].tolist()))
        return 0.0


@pytest.mark.parametrize(("fraction", "held"), [(0.25, 5), (0.5, 10), (0.1, 2), (0.99, None), (0.9, 18)])
def test_a_fraction_is_drawn_from_the_runs_generator_and_kept_from_training(fraction: float, held: int | None) -> None:
    recorder, metric, (x, target) = Recorder(), Held(), numbered(20)
    model = Sequential(recorder, Linear(1, 1), rng=0)
    settings: dict[str, Any] = {"validation": fraction, "metrics": [metric], "rng": 3, "optimizer": SGD(1e-6)}
    if held is None:
        with pytest.raises(ValueError, match=re.escape("validation=0.99 of 20 samples leaves 20 for validation")):
            train(model, x, target, **settings)
        return
    history = train(model, x, target, **settings)
    trained = {number for batch in recorder.seen for number in batch}
    assert metric.seen[-1] == sorted(np.random.default_rng(3).permutation(20)[:held].tolist())
    assert trained == set(range(20)) - set(metric.seen[-1])
    assert sum(map(len, recorder.seen)) == 20 - held
    assert list(history) == ["loss", "held", "validation_loss", "validation_held"]


def test_without_an_rng_the_fraction_comes_from_the_models_generator() -> None:
    def held(rng: int) -> list[float]:
        metric, (x, target) = Held(), numbered(20)
        model = Sequential(Linear(1, 1), rng=rng)
        train(model, x, target, validation=0.2, metrics=[metric], optimizer=SGD(0))
        return metric.seen[-1]

    assert held(0) == held(0) != held(1)


def test_a_second_fit_of_a_trainer_validates_with_the_same_samples() -> None:
    recorder, metric, (x, target) = Recorder(), Held(), numbered(20)
    model = Sequential(recorder, Linear(1, 1), rng=0)
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(1e-6))
    for _ in range(3):
        trainer.fit(x, target, epochs=2, validation=0.3, metrics=[metric], batch_size=100)
    kept = {tuple(seen) for seen in metric.seen if len(seen) == 6}
    assert len(kept) == 1
    assert {tuple(sorted(batch)) for batch in recorder.seen} == {tuple(sorted(set(range(20)) - set(*kept)))}


def test_a_fraction_keeps_weights_with_their_samples() -> None:
    x, target = numbered(20)
    weight = np.where(np.arange(20) % 2, 0.0, 1.0)
    target[1::2] = 1e6
    model = Sequential(Linear(1, 1), rng=0)
    history = train(model, x, target, validation=0.5, sample_weight=weight, optimizer=SGD(0), batch_size=3)
    assert max(history["loss"] + history["validation_loss"]) < 1e6


@pytest.mark.parametrize("lone", [0, 11])
def test_weights_that_are_all_0_in_one_part_of_a_split_are_refused(lone: int) -> None:
    weight = np.zeros(12)
    weight[lone] = 1
    refuses(
        lambda trainer: trainer.fit(X, TARGET, epochs=1, validation=0.5, sample_weight=weight, metrics=[distance]),
        ValueError,
        "fit: no sample on one side of the validation split counts",
        rng_may_move=True,
    )


@pytest.mark.parametrize("fraction", [np.float32(0.25), np.float64(0.25), 0.25])
def test_a_fraction_may_be_a_numpy_number(fraction: Any) -> None:
    assert train(small(), X, TARGET, validation=fraction)["validation_loss"]


def distance(prediction: Array, target: Array) -> float:
    """Return the mean distance."""
    return float(np.abs(prediction - target).mean())


# ---- what is refused before the first step


def refuses(
    call: Callable[[Trainer], object],
    kind: type[Exception],
    message: str,
    *,
    model: Sequential | None = None,
    loss: Loss | None = None,
    rng_may_move: bool = False,
) -> None:
    """See that a trainer that has taken a step refuses a call, and that nothing has changed."""
    model = everything() if model is None else model
    trainer = Trainer(model, loss=loss or SquaredError(), optimizer=Momentum(0.1))
    if loss is None:
        trainer.fit(X, TARGET, epochs=1)
    before, state, steps = picture(model), generator_state(model.rng), trainer.steps
    numbers = copy.deepcopy(dict(trainer.history))
    with pytest.raises(kind, match=re.escape(message)):
        call(trainer)
    assert picture(model) == before
    assert trainer.steps == steps
    assert dict(trainer.history) == numbers
    assert rng_may_move or generator_state(model.rng) == state


LABELS = np.arange(12) % 3
ONE_HOT = np.eye(3)[LABELS]

BAD_TARGETS: dict[str, tuple[Loss, int, Any, type[Exception], str]] = {
    "a label too large": (
        CrossEntropy(),
        3,
        np.where(np.arange(12) == 4, 3, LABELS),
        ValueError,
        "CrossEntropy: expected labels from 0 to 2 for 3 outputs, got 3 at 4",
    ),
    "a negative label": (
        CrossEntropy(),
        3,
        LABELS - 1,
        ValueError,
        "CrossEntropy: expected labels from 0 to 2 for 3 outputs, got -1 at 0",
    ),
    "labels from 1": (CrossEntropy(), 3, LABELS + 1, ValueError, "expected labels from 0 to 2 for 3 outputs, got 3"),
    "labels that are no integers": (
        CrossEntropy(),
        3,
        LABELS + 0.5,
        TypeError,
        "CrossEntropy: expected integer labels, got float",
    ),
    "labels in a column": (
        CrossEntropy(),
        3,
        LABELS.reshape(-1, 1),
        ShapeError,
        "expected labels of shape (12,) or rows of shape (12, 3); try target.reshape(-1)",
    ),
    "one-hot rows of another width": (
        CrossEntropy(),
        3,
        np.eye(4)[LABELS],
        ShapeError,
        "CrossEntropy: prediction has shape (12, 3) but target has shape (12, 4)",
    ),
    "rows that are no probabilities": (
        CrossEntropy(),
        3,
        ONE_HOT * 2,
        ValueError,
        "expected rows of nonnegative probabilities that sum to 1, but row 0 is [2. 0. 0.]",
    ),
    "labels for one output": (
        CrossEntropy(),
        1,
        LABELS,
        ShapeError,
        "expected a prediction of shape (batch, classes) with 2 classes or more, got (12, 1)",
    ),
    "class weights for other classes": (
        CrossEntropy(class_weight=[1.0, 2.0]),
        3,
        LABELS,
        ShapeError,
        "class_weight has 2 entries, prediction 3 classes",
    ),
    "labels for a regression": (
        MeanSquaredError(),
        3,
        LABELS,
        ShapeError,
        "MeanSquaredError: prediction has shape (12, 3) but target has shape (12,)",
    ),
    "labels for a hinge": (Hinge(), 1, LABELS.reshape(-1, 1), ValueError, "Hinge: expected targets of -1 and 1, got"),
    "a hinge without its last axis": (Hinge(), 1, LABELS, ShapeError, "try target.reshape(-1, 1)"),
    "one-hot rows for one logit": (
        BinaryCrossEntropy(),
        1,
        ONE_HOT,
        ShapeError,
        "BinaryCrossEntropy: prediction has shape (12, 1) but target has shape (12, 3)",
    ),
    "labels outside 0 to 1": (
        BinaryCrossEntropy(),
        1,
        LABELS.reshape(-1, 1),
        ValueError,
        "BinaryCrossEntropy: expected targets from 0 to 1, got 2.0 at (2, 0)",
    ),
}


NEVER = {"class weights for other classes", "labels for one output"}  # no target at all fits these


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_targets_that_do_not_fit_the_loss_are_refused_before_the_first_step(case: str) -> None:
    loss, outputs, target, kind, message = BAD_TARGETS[case]
    calls: list[Callable[[Trainer], object]] = [
        lambda trainer: trainer.fit(X, target, epochs=1, batch_size=2),
        lambda trainer: trainer.step(X, target),
        lambda trainer: trainer.fit([(X, target)], epochs=1),
    ]
    for call in calls:
        refuses(call, kind, message, model=small(outputs), loss=loss)


@pytest.mark.parametrize("case", [case for case in BAD_TARGETS if case not in NEVER])
def test_validation_targets_that_do_not_fit_are_refused_before_the_first_step(case: str) -> None:
    loss, outputs, target, kind, message = BAD_TARGETS[case]
    good = {CrossEntropy: LABELS, MeanSquaredError: ONE_HOT, Hinge: np.ones((12, 1))}.get(type(loss), np.ones((12, 1)))
    refuses(
        lambda trainer: trainer.fit(X, good, epochs=1, validation=(X, target)),
        kind,
        message,
        model=small(outputs),
        loss=loss,
    )


BAD_FITS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "target shorter": ({"target": TARGET[:7]}, ShapeError, "fit: x has 12 samples but target has 7"),
    "fraction 0": ({"validation": 0.0}, ValueError, "expected validation as a fraction between 0 and 1, got 0.0"),
    "fraction 1": ({"validation": 1}, ValueError, "expected validation as a fraction between 0 and 1, got 1.0"),
    "fraction -0.2": ({"validation": -0.2}, ValueError, "expected validation as a fraction between 0 and 1, got -0.2"),
    "fraction NaN": ({"validation": np.nan}, ValueError, "expected validation as a fraction between 0 and 1, got nan"),
    "fraction of nothing": (
        {"validation": 0.01},
        ValueError,
        "fit: validation=0.01 of 12 samples leaves 0 for validation",
    ),
    "validation True": (
        {"validation": True},
        TypeError,
        "expected validation as (x, target), batches or a fraction, got bool",
    ),
    "weights all 0": ({"sample_weight": np.zeros(12)}, ValueError, "fit: no sample counts: the weight of each"),
    "a negative weight": (
        {"sample_weight": np.arange(12) - 1},
        ValueError,
        "fit: expected sample_weight from 0 to 1e100, got -1.0 at 0",
    ),
    "a weight that is not finite": (
        {"sample_weight": np.where(np.arange(12) == 5, np.nan, 1)},
        ValueError,
        "fit: expected sample_weight from 0 to 1e100, got nan at 5",
    ),
    "too few weights": ({"sample_weight": [1, 2]}, ShapeError, "fit: x has 12 samples but sample_weight has 2"),
    "weights in rows": (
        {"sample_weight": np.ones((12, 1))},
        ShapeError,
        "fit: expected sample_weight of shape (12,), got (12, 1)",
    ),
    "a weight": ({"sample_weight": 2.0}, ShapeError, "expected sample_weight of shape (samples, ...), got a single"),
    "text for weights": ({"sample_weight": ["a"] * 12}, TypeError, "sample_weight: expected numbers, got text"),
    "validation weights": (
        {"validation": (X, TARGET, np.zeros(12))},
        ValueError,
        "fit: no validation sample counts",
    ),
    "a metric by name": (
        {"metrics": ["accuracy"]},
        TypeError,
        "fit: expected a metric to be a function of (prediction, target), got 'accuracy'",
    ),
    "metrics that are no list": ({"metrics": accuracy}, TypeError, "fit: expected metrics as a list, got <function"),
    "a class for a metric": ({"metrics": [History]}, TypeError, "fit: expected a metric to be a function of"),
    "a callback that is a function": (
        {"callbacks": [print]},
        TypeError,
        "fit: expected a callback to be a Callback, got <built-in function print>",
    ),
    "a callback that is a class": (
        {"callbacks": [EarlyStopping]},
        TypeError,
        "write EarlyStopping(...)",
    ),
    "callbacks that are no list": (
        {"callbacks": EarlyStopping("loss")},
        TypeError,
        "fit: expected callbacks as a list, got EarlyStopping('loss'); write callbacks=[...]",
    ),
    "an unknown monitor": (
        {"callbacks": [EarlyStopping("validation_loss")]},
        ValueError,
        "EarlyStopping: this fit has no 'validation_loss'; it has 'loss'",
    ),
    "a log that cannot be written": (
        {"callbacks": [CSVLog("/no/such/folder/log.csv")]},
        OSError,
        "/no/such/folder/log.csv",
    ),
    "weights for an iterable": (
        {"x": [(X, TARGET)], "target": None, "sample_weight": np.ones(12)},
        TypeError,
        "fit: sample_weight needs arrays x and target; an iterable yields (x, target, weight)",
    ),
    "a fraction of an iterable": (
        {"x": [(X, TARGET)], "target": None, "validation": 0.2},
        TypeError,
        "fit: validation as a fraction needs arrays; with an iterable give (x, target)",
    ),
    "neither a target nor an iterable": (
        {"x": 3, "target": None},
        TypeError,
        "fit: expected x and target, or an iterable of (x, target) batches, got int and no target",
    ),
    "an iterable that yields nothing": ({"x": [], "target": None}, ValueError, "fit: the iterable yields no batches"),
    "an iterable of arrays": (
        {"x": [X, X], "target": None},
        TypeError,
        "fit: expected batch 1 as (x, target) or (x, target, weight), got ndarray",
    ),
    "an array and no target": (
        {"x": X, "target": None},
        TypeError,
        "fit: target is missing; without it x must be an iterable of (x, target) batches",
    ),
    "a batch of four": (
        {"x": [(X, TARGET, X, X)], "target": None},
        TypeError,
        "fit: expected batch 1 as (x, target) or (x, target, weight), got tuple",
    ),
    "a batch of unequal lengths": (
        {"x": [(X, TARGET[:5])], "target": None},
        ShapeError,
        "fit: batch 1: x has 12 samples but batch 1: target has 5",
    ),
    "an empty batch": ({"x": [(X[:0], TARGET[:0])], "target": None}, ValueError, "fit: batch 1: x holds no samples"),
    "a batch with a NaN": (
        {"x": [(np.where(np.arange(36).reshape(12, 3) == 16, np.nan, X), TARGET)], "target": None},
        ValueError,
        "fit: batch 1: x holds nan at (5, 1)",
    ),
    "a batch too wide": (
        {"x": [(np.ones((12, 4)), TARGET)], "target": None},
        ShapeError,
        "Linear(3, 4): expected input of shape (batch, 3), got (12, 4)",
    ),
}


@pytest.mark.parametrize("case", BAD_FITS)
def test_a_fit_that_cannot_be_is_refused_before_the_first_step(case: str) -> None:
    settings, kind, message = BAD_FITS[case]
    given: dict[str, Any] = {"x": X, "target": TARGET, "epochs": 1} | settings
    refuses(lambda trainer: trainer.fit(**given), kind, message)


@pytest.mark.parametrize(
    "settings",
    [
        {"callbacks": [EarlyStopping("accuracy", mode="max")]},
        {"callbacks": [CSVLog("/no/such/folder/log.csv")]},
    ],
    ids=["monitor", "log"],
)
def test_a_fit_that_is_refused_draws_no_samples_to_validate_with(settings: dict[str, Any]) -> None:
    model = everything()
    before, state = picture(model), generator_state(model.rng)
    with pytest.raises((ValueError, OSError)):
        train(model, X, TARGET, validation=0.25, **settings)
    assert picture(model) == before
    assert generator_state(model.rng) == state


def returns_text(prediction: Array, target: Array) -> Any:
    """Return what is no number."""
    return "good"


def returns_one_a_sample(prediction: Array, target: Array) -> Any:
    """Return several numbers."""
    return np.abs(prediction - target).mean(axis=1)


@pytest.mark.parametrize("metric", [returns_text, returns_one_a_sample])
def test_a_metric_that_returns_no_number_is_refused_before_the_first_step(metric: Any) -> None:
    refuses(
        lambda trainer: trainer.fit(X, TARGET, epochs=1, metrics=[metric]),
        TypeError,
        f"fit: the metric '{metric.__name__}' must return a number, got",
        rng_may_move=True,
    )


# ---- iterables of batches


class Shelf:
    """Batches that can be gone through as often as one likes."""

    def __init__(self, found: list[Any]) -> None:
        self.found = found

    def __iter__(self) -> Iterator[Any]:
        return iter(self.found)


@pytest.mark.parametrize("make", [list, tuple, Shelf], ids=lambda make: make.__name__)
def test_an_iterable_of_batches_is_gone_through_every_epoch_as_it_stands(make: Callable[[list[Any]], Any]) -> None:
    parts = [(X[:5], TARGET[:5]), (X[5:], TARGET[5:])]
    by_fit, by_hand = everything(), everything()
    history = train(by_fit, make(parts), None, epochs=3)
    trainer = Trainer(by_hand, loss=SquaredError(), optimizer=SGD(0.1))
    means = [sum(trainer.step(*part) * len(part[0]) for part in parts) / 12 for _ in range(3)]
    assert picture(by_fit) == picture(by_hand)
    np.testing.assert_allclose(history["loss"], means, rtol=1e-12)


def test_an_iterable_of_the_batches_of_arrays_is_as_good_as_the_arrays() -> None:
    arrays, stream = everything(), everything()
    weight = np.arange(12) + 1.0
    settings: dict[str, Any] = {"epochs": 3, "metrics": [distance], "validation": (X, TARGET)}
    first = train(arrays, X, TARGET, batch_size=5, shuffle=False, sample_weight=weight, **settings)
    parts = Shelf([(X[i : i + 5].tolist(), TARGET[i : i + 5], weight[i : i + 5]) for i in (0, 5, 10)])
    second = train(stream, parts, None, **settings)
    assert picture(arrays) == picture(stream)
    assert dict(first) == dict(second)
    assert list(second) == ["loss", "distance", "validation_loss", "validation_distance"]


def test_batches_of_an_iterable_may_differ_in_length_and_in_what_stands_between_first_and_last_axis() -> None:
    model = Sequential(Linear(3, 2), rng=0)
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=(n, t, 3)), rng.normal(size=(n, t, 2))) for n, t in ((4, 5), (2, 7), (1, 1))]
    assert len(train(model, parts, None, epochs=2)["loss"]) == 2


def test_a_generator_does_for_one_epoch() -> None:
    history = train(small(), ((X, TARGET) for _ in range(3)), None, epochs=1)
    assert history.epochs == 1


def test_a_generator_that_is_used_up_is_named_as_such() -> None:
    model, same = small(), small()
    with pytest.raises(ValueError, match=r"an iterator of batches is exhausted after one epoch, and there are 2; give"):
        train(model, ((X, TARGET) for _ in range(3)), None, epochs=2)
    train(same, [(X, TARGET)] * 3, None, epochs=1)
    assert picture(model) == picture(small())


@pytest.mark.parametrize("second", [4, 2])
def test_a_batch_of_another_width_is_named_and_changes_nothing(second: int) -> None:
    model, same = small(), small()
    parts = [(X, TARGET), (np.ones((5, second)), np.ones((5, 2)))]
    message = f"fit: batch 2 has x of width {second}, batch 1 of width 3"
    with pytest.raises(ShapeError, match=re.escape(message)):
        train(model, parts, None, epochs=2)
    train(same, parts[:1], None)
    assert picture(model) == picture(same)


def test_a_bad_batch_later_on_is_named_by_its_number() -> None:
    spoiled = X.copy()
    spoiled[2, 1] = np.inf
    for bad, kind, message in (
        ((spoiled, TARGET), ValueError, "fit: batch 3: x holds inf at (2, 1)"),
        ((X, TARGET[:3]), ShapeError, "fit: batch 3: x has 12 samples but batch 3: target has 3"),
        ((X, TARGET, -np.ones(12)), ValueError, "fit: expected batch 3: sample_weight from 0 to 1e100"),
        (X, TypeError, "fit: expected batch 3 as (x, target) or (x, target, weight), got ndarray"),
    ):
        with pytest.raises(kind, match=re.escape(message)):
            train(small(), [(X, TARGET), (X, TARGET), bad], None)


def test_an_error_of_the_iterable_is_the_users_own() -> None:
    def failing() -> Iterator[Any]:
        yield X, TARGET
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        train(small(), failing(), None)


# ---- arrays on disk


def on_disk(folder: Path, name: str, array: npt.NDArray[Any]) -> np.memmap[Any, Any]:
    """Return an array as a memory-mapped one."""
    np.save(folder / name, array)
    mapped = np.load(folder / name, mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    return mapped


@pytest.mark.parametrize("which", ["both", "x", "target"])
@pytest.mark.parametrize("settings", [{}, {"validation": 0.25}, {"sample_weight": np.arange(12)}], ids=str)
def test_arrays_on_disk_train_as_those_in_memory(settings: dict[str, Any], which: str, tmp_path: Path) -> None:
    memory, disk = everything(), everything()
    x = X if which == "target" else on_disk(tmp_path, "x.npy", X.astype(np.float64))
    target = TARGET if which == "x" else on_disk(tmp_path, "target.npy", TARGET)
    first = train(memory, X, TARGET, epochs=3, batch_size=5, metrics=[distance], **settings)
    second = train(disk, x, target, epochs=3, batch_size=5, metrics=[distance], **settings)
    assert picture(memory) == picture(disk)
    assert dict(first) == dict(second)


@pytest.mark.parametrize("name", ["x", "target"])
def test_a_nan_on_disk_is_found_when_its_batch_comes(name: str, tmp_path: Path) -> None:
    arrays = {"x": X.copy(), "target": TARGET.copy()}
    arrays[name][9, 1] = np.nan
    model, same = small(), small()
    mapped = {key: on_disk(tmp_path, f"{key}.npy", array) for key, array in arrays.items()}
    with pytest.raises(ValueError, match=re.escape(f"batch 3: {name} holds nan at (1, 1) in float32")):
        train(model, mapped["x"], mapped["target"], batch_size=4, shuffle=False)
    train(same, X[:8], TARGET[:8], batch_size=4, shuffle=False)
    assert picture(model) == picture(same)


@pytest.mark.parametrize("name", ["x", "target"])
def test_a_nan_on_disk_in_the_validation_data_is_found_too(name: str, tmp_path: Path) -> None:
    arrays = {"x": X.copy(), "target": TARGET.copy()}
    arrays[name][9, 1] = np.nan
    mapped = {key: on_disk(tmp_path, f"{key}.npy", array) for key, array in arrays.items()}
    with pytest.raises(ValueError, match=f"validation.*{name} holds nan"):
        train(small(), X, TARGET, validation=(mapped["x"], mapped["target"]))


def test_labels_on_disk_are_checked_batch_by_batch(tmp_path: Path) -> None:
    labels = on_disk(tmp_path, "labels.npy", np.where(np.arange(12) == 9, 3, LABELS))
    with pytest.raises(ValueError, match="expected labels from 0 to 2 for 3 outputs, got 3"):
        train(small(3), X, labels, loss=CrossEntropy(), batch_size=4, shuffle=False)


def test_arrays_on_disk_that_do_not_fit_are_refused_before_the_first_step(tmp_path: Path) -> None:
    wide, short = on_disk(tmp_path, "wide.npy", np.ones((12, 4))), on_disk(tmp_path, "short.npy", TARGET[:5])
    right = on_disk(tmp_path, "x.npy", X)
    refuses(lambda trainer: trainer.fit(wide, TARGET, epochs=1), ShapeError, "expected input of shape (batch, 3)")
    refuses(lambda trainer: trainer.fit(right, short, epochs=1), ShapeError, "x has 12 samples but target has 5")
    flat = on_disk(tmp_path, "flat.npy", TARGET[:, 0])
    refuses(lambda trainer: trainer.fit(right, flat, epochs=1), ShapeError, "but target has shape")


TRAIN_ON_LITTLE_MEMORY = """
    import resource, sys
    limit = 160 * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    import numpy as np
    from nanonet import SGD, Callback, Constant, Linear, Sequential, SquaredError

    x, target = np.load("x.npy", mmap_mode="r"), np.load("target.npy", mmap_mode="r")
    assert x.nbytes > 4 * limit
    try:
        np.array(x)
        sys.exit("the whole of x fits into memory, so this shows nothing")
    except MemoryError:
        pass

    class Counter(Callback):
        steps = 0

        def step_end(self, trainer):
            self.steps += 1

    counter, model = Counter(), Sequential(Linear(1024, 1, weight=Constant(0.0), bias=Constant(1.0)), rng=0)
    history = model.fit(
        x, target, loss=SquaredError(), optimizer=SGD(0.1), epochs=1, batch_size=1024, validation=0.1,
        callbacks=[counter], metrics=[lambda prediction, target: float(len(prediction))], verbose=0
    )
    held = round(0.1 * len(x))
    assert counter.steps == -(-(len(x) - held) // 1024), counter.steps
    assert history["validation_<lambda>"] == [held]
    print(history["loss"][0], history["validation_loss"][0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts private memory on Linux alone")
def test_data_several_times_larger_than_the_memory_that_the_process_may_have_trains(tmp_path: Path) -> None:
    """The file has 672 MiB, nearly all of it a hole; the process may have 160 MiB of its own."""
    rows = 168 * 1024
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(rows, 1024))
    x[::4096] = 0.01
    del x
    np.save(tmp_path / "target.npy", np.zeros((rows, 1), np.float32))
    code = textwrap.dedent(TRAIN_ON_LITTLE_MEMORY)
    environment = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, after = map(float, done.stdout.split())
    assert after < before / 100


def test_the_callbacks_see_how_many_batches_there_are() -> None:
    class Noted(Callback):
        def step_end(self, trainer: Trainer) -> None:
            seen.append((trainer.batch, trainer.batches))

    seen: list[tuple[int, int | None]] = []
    train(small(), X, TARGET, batch_size=5, callbacks=[Noted()])
    train(small(), [(X, TARGET)] * 2, None, callbacks=[Noted()])
    assert seen == [(1, 3), (2, 3), (3, 3), (1, None), (2, None)]


@pytest.mark.parametrize("x", [[[0, 0], [0, 1]], [[0, 0, 1]], [1.0, 2.0], ((0, 1), (1, 0))])
def test_lists_of_samples_without_a_target_are_told_so(x: Any) -> None:
    model = Sequential(Linear(2, 1), rng=0)
    with pytest.raises(TypeError, match="target is missing; without it x must be an iterable of"):
        model.fit(x, loss=SquaredError(), optimizer=SGD(0.1), epochs=1)


# ---- what counts: a batch in which nothing counts is skipped, a fit in which nothing counts at all is refused

UNCOUNTED = CrossEntropy(class_weight=[0.0, 1.0])  # label 0 does not count
ZEROS = np.zeros(12, int)

SKIPPED: dict[str, tuple[Loss, npt.NDArray[Any], Any]] = {
    "weights of 0": (SquaredError(), TARGET, [0] * 4 + [1] * 4 + [0] * 4),
    "a class of weight 0": (UNCOUNTED, np.repeat([0, 1, 0], 4), None),
    "weights and classes": (UNCOUNTED, np.repeat([0, 1, 1], 4), [1] * 8 + [0] * 4),
}


@pytest.mark.parametrize("kind", ["arrays", "an iterable", "arrays on disk", "micro-batches"])
@pytest.mark.parametrize("case", SKIPPED)
def test_a_batch_in_which_nothing_counts_leaves_no_trace(case: str, kind: str, tmp_path: Path) -> None:
    loss, target, weight = SKIPPED[case]
    settings: dict[str, Any] = {"epochs": 2, "metrics": [squares], "validation": (X, target)}
    size = 3 if kind == "micro-batches" else None
    alone, among = (Trainer(everything(), loss=loss, optimizer=SGD(0.1), micro_batch_size=size) for _ in range(2))
    first = alone.fit(X[4:8], target[4:8], shuffle=False, **settings)
    if kind == "an iterable":
        weights = np.ones(12) if weight is None else np.array(weight)
        second = among.fit([(X[i : i + 4], target[i : i + 4], weights[i : i + 4]) for i in (0, 4, 8)], **settings)
    else:
        x = on_disk(tmp_path, "x.npy", X) if kind == "arrays on disk" else X
        second = among.fit(x, target, batch_size=4, shuffle=False, sample_weight=weight, **settings)
    assert among.steps == 2
    assert picture(among.model) == picture(alone.model)
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-6)


def squares(prediction: Array, target: Array) -> float:
    """Return a number of the predictions alone."""
    return float(np.square(prediction).mean())


def test_the_first_batch_that_counts_runs_under_the_contract() -> None:
    class Spoiling(Tanh):
        def backward(self, grad: Array, cache: Any) -> Array:
            grad *= 2
            return grad

    model = Sequential(Linear(3, 2), Spoiling(), rng=0)
    with pytest.raises(ContractError, match="backward writes to its argument"):
        train(model, X, TARGET, batch_size=4, shuffle=False, sample_weight=[0] * 4 + [1] * 8)


def test_only_batches_up_to_the_first_that_counts_are_checked() -> None:
    class Looking(Tanh):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            if training:
                locked.append(not x.flags.writeable)
            return super().forward(x, training=training)

    locked: list[bool] = []
    model = Sequential(Linear(3, 2), Looking(), rng=0)
    train(model, X, TARGET, batch_size=4, shuffle=False, sample_weight=[0] * 4 + [1] * 8, epochs=2)
    assert locked == [True, True, False, False, False, False]


NOTHING = {
    "weights of 0": (SquaredError(), TARGET, np.zeros(12)),
    "classes of weight 0": (UNCOUNTED, ZEROS, None),
    "either of them": (UNCOUNTED, LABELS % 2, 1 - LABELS % 2),
}


@pytest.mark.parametrize("case", NOTHING)
def test_where_nothing_counts_nothing_is_changed_and_it_is_said(case: str, tmp_path: Path) -> None:
    loss, target, weight = NOTHING[case]
    disk = on_disk(tmp_path, "target.npy", target)
    batch: Any = (X, target) if weight is None else (X, target, weight)
    good = np.ones(12, int) if loss is UNCOUNTED else TARGET
    calls: dict[str, Callable[[Trainer], object]] = {
        "fit: no sample counts": lambda trainer: trainer.fit(X, target, epochs=1, sample_weight=weight),
        "fit: no sample of epoch 1 counts": lambda trainer: trainer.fit([batch, batch], epochs=1),
        "fit: no validation sample counts": lambda trainer: trainer.fit(X, good, epochs=1, validation=batch),
        "fit: no sample ": lambda trainer: trainer.fit(X, disk, epochs=1, sample_weight=weight, shuffle=False),
        "evaluate: no sample counts": lambda trainer: trainer.evaluate(X, target, sample_weight=weight),
        "evaluate: no sample": lambda trainer: trainer.evaluate(X, disk, 5, sample_weight=weight),
        "Trainer: no sample of this batch counts": lambda trainer: trainer.step(X, target, weight),
    }
    for message, call in calls.items():
        model = everything()
        trainer = Trainer(model, loss=loss, optimizer=Momentum(0.1))
        before = picture(model)
        with pytest.raises(ValueError, match=message):
            call(trainer)
        assert picture(model) == before
        assert (trainer.steps, trainer.history.epochs) == (0, 0)


def test_an_epoch_in_which_nothing_counts_ends_a_fit_that_began_well() -> None:
    class Fading:
        epoch = 0

        def __iter__(self) -> Iterator[Any]:
            self.epoch += 1
            yield X, TARGET, np.full(12, float(self.epoch == 1))

    trainer = Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1))
    with pytest.raises(ValueError, match="fit: no sample of epoch 2 counts"):
        trainer.fit(Fading(), epochs=3)
    assert (trainer.steps, trainer.history.epochs, trainer.completed) == (1, 1, False)


def test_a_validation_split_of_which_one_side_does_not_count_is_refused() -> None:
    labels = np.where(np.arange(12) == 3, 1, 0)
    trainer = Trainer(small(), loss=UNCOUNTED, optimizer=SGD(0.1))
    with pytest.raises(ValueError, match="fit: no sample on one side of the validation split counts"):
        trainer.fit(X, labels, epochs=1, validation=0.5)


@pytest.mark.parametrize("micro", [None, 5])
@pytest.mark.parametrize("scale", [1e-90, 1e-46, 1e38, 1e90])
def test_only_the_ratios_of_weights_matter(scale: float, micro: int | None) -> None:
    weight = np.arange(12) % 4
    plain, scaled = small(), small()
    histories = [
        Trainer(model, loss=SquaredError(), optimizer=SGD(0.1), micro_batch_size=micro).fit(
            X, TARGET, epochs=3, batch_size=8, sample_weight=weight * factor, validation=(X, TARGET, weight * factor)
        )
        for model, factor in ((plain, 1.0), (scaled, scale))
    ]
    np.testing.assert_allclose(scaled.vector.value, plain.vector.value, rtol=0, atol=1e-6)
    assert not np.array_equal(scaled.vector.value, small().vector.value)
    for name in histories[0]:
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-5)


def test_weights_that_float32_cannot_hold_count_in_their_own_batch() -> None:
    trainer = Trainer(small(), loss=SquaredError(), optimizer=SGD(0.1))
    weight = np.repeat([1.0, 1e-46], 6)  # which float32 cannot hold
    trainer.fit(X, TARGET, epochs=1, batch_size=6, shuffle=False, sample_weight=weight)
    assert trainer.steps == 2
    assert trainer.history["loss"] == [pytest.approx(SquaredError()(small()(X[:6]), TARGET[:6]), rel=1e-6)]


def test_a_sample_that_does_not_count_may_have_any_loss() -> None:
    logits = np.array([[0.0, 1.0, -np.inf], [0.0, 1.0, 2.0]])
    alone = CrossEntropy()(logits[1:], [0])
    assert CrossEntropy()(logits, [2, 0], [0.0, 3.0]) == pytest.approx(alone, rel=1e-15)
