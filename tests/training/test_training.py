"""Training: what a step, an epoch and a fit do, what they refuse, and that a step is taken whole or not at all."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Activation,
    Array,
    Constant,
    History,
    Linear,
    Loss,
    NonFiniteError,
    Optimizer,
    Sequential,
    ShapeError,
    SquaredError,
    Step,
    Trainer,
)
from tests.helpers import (
    OPTIMIZERS,
    Centred,
    Copy,
    Momentum,
    Noise,
    Recorder,
    Residual,
    Scale,
    data,
    everything,
    generator_state,
    loss_of,
    picture,
    small,
    train,
    trainer_of,
)

# ---- one step


def test_a_step_returns_the_loss_from_before_the_update() -> None:
    model, (x, target) = small(), data()
    trainer = trainer_of(model)
    before = loss_of(model, x, target)
    assert trainer.step(x, target) == pytest.approx(before, rel=1e-6)
    assert isinstance(trainer.step(x, target), float)
    assert loss_of(model, x, target) < before


def test_what_is_set_on_a_trainer_is_what_its_next_step_uses() -> None:
    model, (x, target) = small(), data()
    trainer = trainer_of(model, SGD(0.5))
    trainer.optimizer, trainer.rate_factor = SGD(0.25), 0.5
    trainer.step(x, target)
    assert (trainer.steps, trainer.learning_rate) == (1, 0.125)
    trainer.fit(x, target, epochs=1, batch_size=len(x))
    assert (trainer.steps, trainer.learning_rate) == (2, 0.125)
    assert trainer.history["loss"] == [trainer.batch_loss]


def test_a_subclass_of_trainer_may_override_its_methods() -> None:
    class Logging(Trainer):
        def step(self, x: Any, target: Any, sample_weight: Any = None) -> float:
            losses.append(super().step(x, target, sample_weight))
            return losses[-1]

    losses: list[float] = []
    (x, target), trainer = data(), Logging(small(), loss=SquaredError(), optimizer=Momentum(0.1))
    trainer.step(x, target)
    twin = copy.deepcopy(trainer)
    assert twin.step(x, target) == trainer.step(x, target)
    assert (trainer.steps, twin.steps, len(losses)) == (2, 2, 3)
    assert twin.model.vector.value.tobytes() == trainer.model.vector.value.tobytes()


def test_a_step_of_sgd_takes_the_rate_times_the_gradient() -> None:
    model, (x, target) = small(), data()
    _, grad = model.loss_and_grad(x, target, SquaredError())
    before = model.vector.value.copy()
    trainer_of(model, SGD(0.25)).step(x, target)
    np.testing.assert_array_equal(model.vector.value, before - np.float32(0.25) * grad)


def test_steps_are_counted_from_1_and_the_rate_is_a_python_float() -> None:
    class Noted(SGD):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            steps.append(step)
            assert value.dtype == grad.dtype == np.float32

    steps: list[Step] = []
    trainer = trainer_of(small(), Noted(np.float64(0.5)))
    for _ in range(3):
        trainer.step(*data())
    assert steps == [Step(1, 0.5), Step(2, 0.5), Step(3, 0.5)]
    assert {type(step.learning_rate) for step in steps} == {float}


def test_the_learning_rate_may_be_set_between_steps() -> None:
    model, optimizer = small(), SGD(0.1)
    trainer = trainer_of(model, optimizer)
    optimizer.learning_rate = 0
    before = picture(model)
    trainer.step(*data())
    assert picture(model) == before


def test_a_step_trains_what_runs_in_training_only() -> None:
    model = Sequential(Centred(3), Linear(3, 2), rng=0)
    trainer_of(model).step(*data())
    layer = model[0]
    assert isinstance(layer, Centred)
    assert layer.batches.value == 1
    np.testing.assert_allclose(layer.mean.value, 0.1 * data()[0].mean(axis=0), rtol=1e-6)


def test_states_start_from_the_numbers_that_the_optimizer_names_and_lie_beside_the_values() -> None:
    class Two(Optimizer):
        def states(self) -> dict[str, float]:
            return {"first": 2.0, "second": -1.0}

        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            first, second = state
            assert first.shape == second.shape == value.shape == grad.shape
            assert first.dtype == second.dtype == value.dtype
            assert (first == 2.0 * 3 ** (step.number - 1)).all()
            assert (second == -step.number).all()
            first *= 3
            second -= 1
            value += 0.001

    trainer = trainer_of(everything(), Two(0.1))
    for _ in range(3):
        trainer.step(*data())
    trainer.fit(*data(), epochs=2)


def test_an_optimizer_is_settings_alone() -> None:
    optimizer = Momentum(0.1)
    before = dict(vars(optimizer))
    first, second = small(), small()
    train(first, *data(), optimizer=optimizer, epochs=2)
    train(second, *data(), optimizer=optimizer, epochs=2)
    assert picture(first) == picture(second)
    assert vars(optimizer) == before


# ---- fit


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_fit_is_the_same_as_its_steps_by_hand(batch_size: int, optimizer: Optimizer) -> None:
    by_fit, by_hand = everything(), everything()
    x, target = data()
    history = train(by_fit, x, target, optimizer=optimizer, epochs=3, batch_size=batch_size, rng=7)
    trainer, rng = trainer_of(by_hand, optimizer), np.random.default_rng(7)
    means = []
    for _ in range(3):
        order = rng.permutation(len(x))
        batches = [order[start : start + batch_size] for start in range(0, len(x), batch_size)]
        losses = [trainer.step(x[batch], target[batch]) for batch in batches]
        means.append(sum(loss * len(batch) for loss, batch in zip(losses, batches, strict=True)) / len(x))
    assert picture(by_fit) == picture(by_hand)
    assert history["loss"] == means


def test_fit_equals_a_plain_numpy_loop() -> None:
    model, (x32, target32) = small(dtype=np.float64), data(samples=23)
    x, target = x32.astype(np.float64), target32.astype(np.float64)
    w, b, v, c = (model.parameters()[name].value.copy() for name in ("0.weight", "0.bias", "2.weight", "2.bias"))
    history = train(model, x, target, optimizer=SGD(0.2), epochs=10, batch_size=5, rng=3)
    rng = np.random.default_rng(3)
    losses = []
    for _ in range(10):
        order, total = rng.permutation(23), 0.0
        for start in range(0, 23, 5):
            batch = order[start : start + 5]
            h = np.tanh(x[batch] @ w.T + b)
            difference = h @ v.T + c - target[batch]
            total += 0.5 * (difference**2).sum()
            g = difference / len(batch)
            below = (g @ v) * (1 - h**2)
            v, c = v - 0.2 * g.T @ h, c - 0.2 * g.sum(axis=0)
            w, b = w - 0.2 * below.T @ x[batch], b - 0.2 * below.sum(axis=0)
        losses.append(total / 23)
    wanted = np.concatenate([part.ravel() for part in (w, b, v, c)])
    np.testing.assert_allclose(model.vector.value, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(history["loss"], losses, rtol=0, atol=1e-12)


def numbered(samples: int) -> tuple[Array, Array]:
    x = np.arange(samples, dtype=np.float32).reshape(-1, 1) / samples
    return x, x.copy()


@pytest.mark.parametrize(("samples", "batch_size"), [(12, 4), (13, 4), (7, 7), (5, 32), (9, 1)])
def test_every_epoch_sees_every_sample_once_in_batches_of_which_the_last_may_be_smaller(
    samples: int, batch_size: int
) -> None:
    recorder, (x, target) = Recorder(), numbered(samples)
    train(Sequential(recorder, Linear(1, 1), rng=0), x, target, epochs=3, batch_size=batch_size)
    batches = -(-samples // batch_size)
    assert len(recorder.seen) == 3 * batches
    orders = []
    for epoch in range(3):
        parts = recorder.seen[epoch * batches : (epoch + 1) * batches]
        assert [len(part) for part in parts] == [batch_size] * (batches - 1) + [samples - batch_size * (batches - 1)]
        order = [number for part in parts for number in part]
        assert sorted(order) == x[:, 0].tolist()
        orders.append(order)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_samples_are_shuffled_and_not_batches_by_their_starts() -> None:
    recorder, (x, target) = Recorder(), numbered(64)
    train(Sequential(recorder, Linear(1, 1), rng=0), x, target, epochs=4, batch_size=8)
    unshuffled = {tuple(x[start : start + 8, 0].tolist()) for start in range(0, 64, 8)}
    assert not unshuffled & {tuple(sorted(batch)) for batch in recorder.seen}


def test_x_and_target_are_shuffled_together() -> None:
    x, _ = data(samples=40)
    exact = Sequential(Linear(3, 2, weight=Constant(1.0)), rng=0)
    history = train(exact, x, np.tile(x.sum(axis=1, keepdims=True), 2), epochs=2, batch_size=7)
    assert max(history["loss"]) < 1e-10


def test_without_shuffle_samples_come_in_order_and_nothing_is_drawn() -> None:
    recorder, (x, target) = Recorder(), numbered(10)
    model = Sequential(recorder, Linear(1, 1), rng=0)
    state = generator_state(model.rng)
    train(model, x, target, epochs=2, batch_size=4, shuffle=False)
    assert [number for batch in recorder.seen for number in batch] == x[:, 0].tolist() * 2
    assert generator_state(model.rng) == state


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples() -> None:
    """With a rate of 0 it is the loss of all data, although the last batch is smaller and differs."""
    model = small()
    x, target = data(samples=10)
    target[-1] += 100
    history = train(model, x, target, optimizer=SGD(0), batch_size=3, shuffle=False, epochs=2)
    np.testing.assert_allclose(history["loss"], loss_of(model, x, target), rtol=1e-6)


def test_validation_loss_is_that_of_the_model_after_each_epoch_in_inference() -> None:
    model, (x, target), validation = everything(), data(), data(7, rng=9)
    trainer = trainer_of(model)
    history = trainer.fit(x, target, epochs=1, validation=validation)
    assert history["validation_loss"] == [loss_of(model, *validation)] == [trainer.evaluate(*validation)]
    history = trainer.fit(x, target, epochs=2, validation=(validation[0].tolist(), list(validation[1])))
    assert len(history["validation_loss"]) == len(history["loss"]) == 3
    assert history["validation_loss"][-1] == loss_of(model, *validation)


def test_validation_changes_nothing_of_the_training() -> None:
    plain, validated = everything(), everything()
    train(plain, *data(), epochs=3)
    train(validated, *data(), epochs=3, validation=data(7, rng=9))
    assert picture(plain) == picture(validated)


def test_predicting_inside_a_training_loop_spoils_nothing() -> None:
    plain, disturbed = everything(), everything()
    first, second = trainer_of(plain, Momentum(0.1)), trainer_of(disturbed, Momentum(0.1))
    for _ in range(5):
        first.step(*data())
        second.step(*data())
        disturbed.predict(data(50)[0])
        disturbed.loss_and_grad(*data(rng=3), SquaredError())
        second.evaluate(*data(rng=4))
    assert picture(plain) == picture(disturbed)


def test_evaluate_takes_a_batch_size() -> None:
    trainer = trainer_of(everything())
    assert trainer.evaluate(*data(), batch_size=5) == pytest.approx(trainer.evaluate(*data()), rel=1e-5)


def test_a_history_maps_names_to_a_number_for_each_epoch() -> None:
    history = train(small(), *data(), epochs=4, validation=data(5))
    assert isinstance(history, History)
    assert list(history) == ["loss", "validation_loss"]
    assert {len(history[name]) for name in history} == {4} == {history.epochs}
    assert repr(history).startswith("History(4 epochs: loss ")
    assert list(train(small(), *data())) == ["loss"]
    with pytest.raises(KeyError, match="History has no 'accuracy'; it has 'loss', 'validation_loss'"):
        history["accuracy"]


def test_data_of_any_number_kind_is_cast_and_stays_as_it_was() -> None:
    for kind in (np.int64, np.float64, np.float16, np.float32):
        x, target = (np.round(4 * array).astype(kind) for array in data())
        given = x.copy(), target.copy()
        x.flags.writeable = target.flags.writeable = False
        model, same = small(), small()
        train(model, x, target, epochs=2, rng=1)
        train(same, x.tolist(), target.tolist(), epochs=2, rng=1)
        assert picture(model) == picture(same)
        np.testing.assert_array_equal(x, given[0])
        np.testing.assert_array_equal(target, given[1])
        assert model.vector.value.dtype == np.float32


# ---- going on, and starting afresh


def test_trainer_fit_goes_on_where_the_last_one_ended() -> None:
    whole, parts = everything(), everything()
    first = trainer_of(whole, Momentum(0.1)).fit(*data(), epochs=5, batch_size=5)
    trainer = trainer_of(parts, Momentum(0.1))
    for epochs in (1, 3, 1):
        second = trainer.fit(*data(), epochs=epochs, batch_size=5)
    assert picture(whole) == picture(parts)
    assert first["loss"] == second["loss"]
    assert second is trainer.history


def test_model_fit_starts_the_optimizer_afresh() -> None:
    x, target = data()
    twice, by_hand, once = small(), small(), small()
    histories = [train(twice, x, target, optimizer=Momentum(0.1), epochs=2, batch_size=5) for _ in range(2)]
    for _ in range(2):
        trainer_of(by_hand, Momentum(0.1)).fit(x, target, epochs=2, batch_size=5)
    train(once, x, target, optimizer=Momentum(0.1), epochs=4, batch_size=5)
    assert picture(twice) == picture(by_hand) != picture(once)
    assert [len(history["loss"]) for history in histories] == [2, 2]


def test_one_number_fixes_a_whole_run() -> None:
    runs = []
    for rng in (0, 0, 1):
        model = everything(rng=rng)
        history = train(model, *data(), optimizer=Momentum(0.1), epochs=3, batch_size=5)
        runs.append((picture(model), history["loss"], generator_state(model.rng)))
    assert runs[0] == runs[1] != runs[2]


def test_the_order_of_the_samples_comes_from_rng_or_else_from_the_models_own_generator() -> None:
    def order(**settings: Any) -> list[list[float]]:
        recorder = Recorder()
        train(Sequential(recorder, Linear(1, 1), rng=0), *numbered(50), batch_size=50, epochs=2, **settings)
        return recorder.seen

    assert order(rng=3) == order(rng=np.random.default_rng(3)) != order(rng=4)
    assert order() == order(rng=None) != order(rng=0)


def test_an_rng_of_its_own_leaves_the_models_generator_alone() -> None:
    model = small()
    state = generator_state(model.rng)
    train(model, *data(), rng=5)
    assert generator_state(model.rng) == state
    train(model, *data())
    assert generator_state(model.rng) != state


# ---- what is said on the way


class Clock:
    """A time that goes on by a step with each call."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


@pytest.mark.parametrize("verbose", [None, 0])
def test_a_short_fit_prints_nothing(verbose: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    train(small(), *data(), epochs=3, validation=data(5), verbose=verbose)
    assert lines_of(capsys) == []


def test_verbose_1_prints_at_once_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    history = train(small(), *data(), epochs=2, batch_size=5, validation=data(5), verbose=1)
    lines = lines_of(capsys)
    assert lines[0].startswith("epoch 1/2, batch 1/3")
    assert lines[-1].startswith("epoch 2/2")
    assert f"loss {history['loss'][-1]:.4g}" in lines[-1]
    assert f"validation_loss {history['validation_loss'][-1]:.4g}" in lines[-1]


def test_verbose_0_never_prints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", Clock(10.0))
    train(small(), *data(), epochs=5, verbose=0)
    assert lines_of(capsys) == []


@pytest.mark.parametrize("step", [0.01, 0.3, 5.0])
def test_a_long_fit_prints_after_two_seconds_at_most_one_line_a_second_and_one_for_an_epoch(
    step: float, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stamped:
        def write(self, text: str) -> int:
            if text.strip():
                times.append(clock.now)
            return len(text)

        def flush(self) -> None:
            pass

    times: list[float] = []
    clock = Clock(step)
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("sys.stderr", Stamped())
    train(small(), *data(), epochs=200, batch_size=6)
    assert times[0] >= 2
    assert times[0] < 2 + 5 * step
    assert all(b - a >= 1 for a, b in zip(times[:-3], times[2:-1], strict=True))
    assert len(times) >= 2
    assert lines_of(capsys) == []


# ---- what is refused

X, TARGET = data()
OVER = X.astype(np.float64)
OVER[3, 1] = 1e300
SPOILED = {number: np.where(np.arange(36).reshape(12, 3) == 16, number, X) for number in (np.nan, np.inf, -np.inf)}

BAD_DATA: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "x too wide": (
        np.ones((12, 4)),
        TARGET,
        ShapeError,
        "Linear(3, 4): expected input of shape (batch, 3), got (12, 4)",
    ),
    "x a vector": (np.ones(12), TARGET, ShapeError, "Linear(3, 4): expected input of shape (batch, 3), got (12,)"),
    "x one sample": (X[0], TARGET[:1], ShapeError, "got (3,); for one sample try x.reshape(1, -1)"),
    "x a number": (1.0, TARGET, ShapeError, "got a single number"),
    "x text": ("text", TARGET, TypeError, "x: expected numbers, got text"),
    "x rows of text": ([["a"] * 3] * 12, TARGET, TypeError, "x: expected numbers, got text"),
    "x ragged": ([[1, 2, 3], [1, 2]], TARGET[:2], ShapeError, "x: expected rows of equal length"),
    "x objects": (X.astype(object), TARGET, TypeError, "x: expected numbers, got ndarray of dtype object"),
    "x complex": (X * 1j, TARGET, TypeError, "x: expected numbers, got ndarray of dtype complex64"),
    "x masked": (np.ma.masked_array(X), TARGET, TypeError, "x: expected plain numbers, got a masked array"),
    "x nothing": (None, TARGET, TypeError, "x: expected numbers, got NoneType"),
    "x NaN": (SPOILED[np.nan], TARGET, ValueError, "fit: x holds nan at (5, 1) in float32"),
    "x infinite": (SPOILED[np.inf], TARGET, ValueError, "fit: x holds inf at (5, 1) in float32"),
    "x minus infinite": (SPOILED[-np.inf], TARGET, ValueError, "fit: x holds -inf at (5, 1) in float32"),
    "x too large": (OVER, TARGET, ValueError, "fit: x holds inf at (3, 1) in float32"),
    "x shorter": (X[:5], TARGET, ShapeError, "fit: x has 5 samples but target has 12"),
    "empty": (X[:0], TARGET[:0], ValueError, "fit: x holds no samples"),
    "target a vector": (X, TARGET[:, 0], ShapeError, "prediction has shape (12, 2) but target has shape (12,)"),
    "target too wide": (X, np.ones((12, 3)), ShapeError, "prediction has shape (12, 2) but target has shape (12, 3)"),
    "target a number": (X, 1.0, ShapeError, "fit: expected target of shape (samples, ...), got a single number"),
    "target text": (X, "text", TypeError, "target: expected numbers, got text"),
    "target ragged": (X[:2], [[1, 2], [1]], ShapeError, "target: expected rows of equal length"),
    "target objects": (X, TARGET.astype(object), TypeError, "target: expected numbers, got ndarray of dtype object"),
    "target complex": (X, TARGET * 1j, TypeError, "target: expected numbers, got ndarray of dtype complex64"),
    "target masked": (X, np.ma.masked_array(TARGET), TypeError, "target: expected plain numbers, got a masked array"),
    "target NaN": (X, SPOILED[np.nan][:, :2], ValueError, "fit: target holds nan at (5, 1) in float32"),
    "target too large": (X, OVER[:, :2], ValueError, "fit: target holds inf at (3, 1) in float32"),
}


def assert_refused(call: Callable[[Trainer], object], model: Sequential, kind: type[Exception], message: str) -> None:
    """See that a trainer in the middle of a training refuses a call, and that nothing has changed."""
    trainer = trainer_of(model, Momentum(0.1))
    trainer.fit(X, TARGET, epochs=1)
    before, state, losses = picture(model), generator_state(model.rng), copy.deepcopy(trainer.history["loss"])
    with pytest.raises(kind, match=re.escape(message)):
        call(trainer)
    assert picture(model) == before
    assert generator_state(model.rng) == state
    assert trainer.history["loss"] == losses
    untouched = copy.deepcopy(model)
    trainer.fit(X, TARGET, epochs=1)
    again = everything() if len(model) > 3 else small()
    reference = trainer_of(again, Momentum(0.1))
    reference.fit(X, TARGET, epochs=1)
    reference.fit(X, TARGET, epochs=1)
    assert picture(model) == picture(again) != picture(untouched)


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_does_not_fit_is_refused_and_nothing_changes(case: str) -> None:
    x, target, kind, message = BAD_DATA[case]
    assert_refused(lambda trainer: trainer.fit(x, target, epochs=1), small(), kind, message)
    with pytest.raises(kind, match=re.escape(message)):
        train(small(), x, target)


@pytest.mark.parametrize("case", [case for case in BAD_DATA if case != "empty"])
def test_validation_data_that_does_not_fit_is_refused_before_the_first_step(case: str) -> None:
    x, target, kind, message = BAD_DATA[case]
    message = message.replace("fit: x", "fit: validation x").replace("but target has 1", "but validation target has 1")
    message = message.replace("expected target", "expected validation target")
    message = message.replace("fit: target", "fit: validation target")
    assert_refused(lambda trainer: trainer.fit(X, TARGET, epochs=1, validation=(x, target)), small(), kind, message)


def test_an_empty_validation_is_refused() -> None:
    with pytest.raises(ValueError, match="fit: validation x holds no samples"):
        train(small(), X, TARGET, validation=(X[:0], TARGET[:0]))


def test_a_target_without_its_last_axis_is_refused_with_what_to_write() -> None:
    x, target = data(samples=4, outputs=1)
    model = Sequential(Linear(3, 1), rng=0)
    message = (
        r"SquaredError(\(\))?: prediction has shape \(4, 1\) but target has shape \(4,\); try target\.reshape\(-1, 1\)$"
    )
    before = picture(model)
    for call in (
        lambda: train(model, x, target[:, 0]),
        lambda: trainer_of(model).step(x, target[:, 0]),
        lambda: trainer_of(model).evaluate(x, target[:, 0]),
        lambda: model.loss_and_grad(x, target[:, 0], SquaredError()),
        lambda: SquaredError()(target, target[:, 0]),
    ):
        with pytest.raises(ShapeError, match=message):
            call()
    assert picture(model) == before


BAD_SETTINGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"epochs": 0}, ValueError, "fit: expected epochs of 1 or more, got 0"),
    ({"epochs": -3}, ValueError, "fit: expected epochs of 1 or more, got -3"),
    ({"epochs": 1.0}, TypeError, "fit: expected epochs as an int, got 1.0"),
    ({"epochs": True}, TypeError, "fit: expected epochs as an int, got True"),
    ({"epochs": "3"}, TypeError, "fit: expected epochs as an int, got '3'"),
    ({"epochs": None}, TypeError, "fit: expected epochs, or until_epoch to count those before too; got neither"),
    ({"batch_size": 0}, ValueError, "fit: expected batch_size of 1 or more, got 0"),
    ({"batch_size": -1}, ValueError, "fit: expected batch_size of 1 or more, got -1"),
    ({"batch_size": 2.0}, TypeError, "fit: expected batch_size as an int, got 2.0"),
    ({"batch_size": True}, TypeError, "fit: expected batch_size as an int, got True"),
    ({"batch_size": None}, TypeError, "fit: expected batch_size as an int, got None"),
    (
        {"validation": X},
        TypeError,
        "fit: expected validation as (x, target), batches or a fraction, got ndarray",
    ),
    (
        {"validation": (X,)},
        TypeError,
        "fit: expected validation as (x, target), batches or a fraction, got tuple",
    ),
    ({"validation": (X, TARGET, X)}, ShapeError, "fit: expected validation sample_weight of shape (12,), got (12, 3)"),
    (
        {"validation": {"x": X, "target": TARGET}},
        TypeError,
        "fit: expected validation as (x, target), batches or a fraction, got dict",
    ),
    ({"validation": 1.2}, ValueError, "fit: expected validation as a fraction between 0 and 1, got 1.2"),
    ({"verbose": 3}, ValueError, "fit: expected verbose of None, 0, 1 or 2, got 3"),
    ({"verbose": "yes"}, ValueError, "fit: expected verbose of None, 0, 1 or 2, got 'yes'"),
]


@pytest.mark.parametrize(("settings", "kind", "message"), BAD_SETTINGS, ids=lambda part: str(part)[:30])
def test_settings_that_mean_nothing_are_refused_and_nothing_changes(
    settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    model = everything()
    assert_refused(lambda trainer: trainer.fit(X, TARGET, **({"epochs": 1} | settings)), model, kind, message)
    with pytest.raises(kind, match=re.escape(message)):
        train(small(), X, TARGET, **settings)


@pytest.mark.parametrize(
    ("rate", "kind", "message"),
    [
        (-0.1, ValueError, "SGD: expected a finite learning_rate of 0 or more, got -0.1"),
        (np.nan, ValueError, "SGD: expected a finite learning_rate of 0 or more, got nan"),
        (np.inf, ValueError, "SGD: expected a finite learning_rate of 0 or more, got inf"),
        (np.float32("inf"), ValueError, "SGD: expected a finite learning_rate of 0 or more, got inf"),
        ("0.1", TypeError, "SGD: expected learning_rate as a number, got '0.1'"),
        (None, TypeError, "SGD: expected learning_rate as a number, got None"),
        (True, TypeError, "SGD: expected learning_rate as a number, got True"),
        ([0.1], TypeError, "SGD: expected learning_rate as a number, got [0.1]"),
        (0.1j, TypeError, "SGD: expected learning_rate as a number, got 0.1j"),
    ],
)
def test_a_learning_rate_that_is_none_is_refused_in_the_constructor_and_when_set(
    rate: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        SGD(rate)
    optimizer = SGD(0.5)
    with pytest.raises(kind, match=re.escape(message)):
        optimizer.learning_rate = rate
    assert optimizer.learning_rate == 0.5
    with pytest.raises(kind, match="Momentum: expected"):
        Momentum(rate)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": SquaredError}, r"expected loss to be a Loss, got .*SquaredError.*; write SquaredError\("),
        ({"loss": "mse"}, "expected loss to be a Loss, got 'mse'"),
        ({"loss": SGD(0.1)}, r"expected loss to be a Loss, got SGD\(0\.1\)"),
        ({"optimizer": SGD}, r"expected optimizer to be an? Optimizer, got .*SGD.*; write SGD\("),
        ({"optimizer": 0.1}, "expected optimizer to be an? Optimizer, got 0.1"),
        ({"rng": "0"}, "expected rng as an int, a numpy Generator or None, got '0'"),
        ({"rng": 0.5}, "expected rng as an int, a numpy Generator or None, got 0.5"),
        ({"rng": np.random.RandomState(0)}, "expected rng as an int, a numpy Generator or None"),
    ],
)
def test_a_wrong_kind_of_object_is_refused_with_what_to_write(wrong: dict[str, Any], message: str) -> None:
    model = small()
    before, state = picture(model), generator_state(model.rng)
    with pytest.raises(TypeError, match=message):
        train(model, X, TARGET, **wrong)
    assert picture(model) == before
    assert generator_state(model.rng) == state


@pytest.mark.parametrize("model", [Sequential, Linear(3, 2), None], ids=["a class", "a layer", "None"])
def test_a_trainer_trains_a_chain(model: Any) -> None:
    with pytest.raises(TypeError, match="Trainer: expected model to be a Sequential, got"):
        Trainer(model, loss=SquaredError(), optimizer=SGD(0.1))


def test_a_step_refuses_what_fit_refuses_and_changes_nothing() -> None:
    model = everything()
    trainer = trainer_of(model, Momentum(0.1))
    for case in ("x too wide", "x a vector", "x text", "x ragged", "target a vector", "target too wide", "target text"):
        x, target, kind, message = BAD_DATA[case]
        before = picture(model)
        with pytest.raises(kind, match=re.escape(message.removeprefix("Linear(3, 4): "))):
            trainer.step(x, target)
        assert picture(model) == before


def test_a_step_on_an_empty_batch_is_refused() -> None:
    model = small()
    before = picture(model)
    with pytest.raises(ValueError, match="one sample or more"):
        trainer_of(model).step(X[:0], TARGET[:0])
    assert picture(model) == before


@pytest.mark.parametrize("case", ["x NaN", "x infinite", "x too large", "target NaN", "target too large"])
def test_a_step_on_numbers_that_are_not_finite_is_not_taken(case: str) -> None:
    x, target, _, _ = BAD_DATA[case]
    model = everything()
    before = picture(model)
    with pytest.raises(NonFiniteError, match="not finite"):
        trainer_of(model, Momentum(0.1)).step(x, target)
    assert picture(model) == before


# ---- a step that fails is not taken


def diverging(rng: int = 0) -> Sequential:
    """Return a net 3 -> 2 that keeps state of every kind."""
    return Sequential(Linear(3, 4), Centred(4), Noise(), Residual(Linear(4, 4), Noise()), Linear(4, 2), rng=rng)


@pytest.mark.parametrize("batch_size", [12, 4])
@pytest.mark.parametrize("rate", [1e3, 1e10, 1e30, 1e38])
@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_a_rate_far_too_high_stops_the_training_with_the_model_as_before_that_step(
    optimizer: type[Optimizer], rate: float, batch_size: int
) -> None:
    model, same = diverging(), diverging()
    trainer = trainer_of(model, optimizer(rate))
    with pytest.raises(NonFiniteError) as stopped:
        trainer.fit(X, TARGET, epochs=50, batch_size=batch_size)
    message = str(stopped.value)
    where = re.match(r"training stopped at epoch (\d+), batch (\d+), step (\d+): ", message)
    assert where is not None
    epoch, batch, step = map(int, where.groups())
    per_epoch = 12 // batch_size
    assert step == (epoch - 1) * per_epoch + batch
    assert re.search(r"layer \d[\w.]*, |the update of \d[\w.]*\.(weight|bias)", message)
    assert f"try a learning_rate below {rate:g}" in message
    assert stopped.value.history is not None
    assert stopped.value.history.epochs == epoch - 1
    assert all(np.isfinite(value).all() for value in model.state_dict().values())
    reference = trainer_of(same, optimizer(rate))
    rng = same.rng
    done = 0
    while done < step - 1:
        order = rng.permutation(12)
        for start in range(0, 12, batch_size):
            if done < step - 1:
                chosen = order[start : start + batch_size]
                reference.step(X[chosen], TARGET[chosen])
                done += 1
    assert picture(model) == picture(same)


def test_the_history_of_the_error_holds_the_epochs_before() -> None:
    class Rising(SGD):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            if step.number == 8:
                value[...] = np.inf
            super().update(value, grad, step)

    model = small()
    trainer = trainer_of(model, Rising(0.1))
    with pytest.raises(NonFiniteError, match=r"epoch 3, batch 2, step 8: the update of 0\.weight") as stopped:
        trainer.fit(X, TARGET, epochs=5, batch_size=4)
    assert stopped.value.history is trainer.history
    assert trainer.history["loss"] == train(small(), X, TARGET, epochs=2, batch_size=4)["loss"]


def test_epochs_are_counted_over_all_fits_of_a_trainer() -> None:
    trainer = trainer_of(small())
    trainer.fit(X, TARGET, epochs=3, batch_size=4)
    trainer.optimizer.learning_rate = 1e38
    with pytest.raises(NonFiniteError, match=r"epoch 4, batch [123], step 1[012]:") as stopped:
        trainer.fit(X, TARGET, epochs=2, batch_size=4)
    assert stopped.value.history is not None
    assert stopped.value.history.epochs == 3


def test_an_optimizer_that_does_not_call_its_base_is_refused_with_what_to_write() -> None:
    class Bare(SGD):
        def __init__(self) -> None:
            self.setting = 1

    with pytest.raises(TypeError, match=r"Bare: its __init__ has to call super\(\)\.__init__\(learning_rate\)"):
        trainer_of(small(), Bare())


def test_after_a_step_that_was_not_taken_training_goes_on() -> None:
    model, same = diverging(), diverging()
    trainer, reference = trainer_of(model, Momentum(0.1)), trainer_of(same, Momentum(0.1))
    for step in range(6):
        if step in (2, 3):
            with pytest.raises(NonFiniteError, match=rf"step {step + 1}:"):
                trainer.step(X, np.full_like(TARGET, 3e38))
        assert trainer.step(X, TARGET) == reference.step(X, TARGET)
    assert picture(model) == picture(same)


class Squared(Activation):
    """y = a^2, which overflows."""

    def function(self, a: Array) -> Array:
        return a * a

    def derivative(self, a: Array, y: Array) -> Array:
        return 2 * a


@pytest.mark.parametrize("large", [1e19, 1e25, 3e38])
def test_numpys_overflow_warnings_do_not_reach_the_user_first(large: float) -> None:
    """Warnings are errors in these tests, so that one would be raised in place of NonFiniteError."""
    model = Sequential(Squared(), Linear(3, 4), Squared(), Linear(4, 2), rng=0)
    before = picture(model)
    x = (X * 0 + 1) * np.float32(large)
    for call in (lambda: train(model, x, TARGET), lambda: trainer_of(model).step(x, TARGET)):
        with pytest.raises(NonFiniteError, match=r"layer \d, "):
            call()
    assert picture(model) == before


@pytest.mark.parametrize("number", [1e25, 3e38])
def test_large_but_finite_data_raises_no_warning_where_it_can_be_learned_from(number: float) -> None:
    model = Sequential(Linear(3, 2, weight=Constant(0.0), bias=False), rng=0)
    x = np.full((4, 3), number, np.float32)
    history = train(model, x, np.zeros((4, 2)), epochs=2)
    assert history["loss"] == [0, 0]


def test_a_loss_that_is_not_finite_is_named_as_such() -> None:
    class Broken(Loss):
        def function(self, prediction: Array, target: Array) -> Array:
            return np.full(len(prediction), np.nan, prediction.dtype)

        def derivative(self, prediction: Array, target: Array) -> Array:
            return prediction - target

    model = diverging()
    before = picture(model)
    with pytest.raises(NonFiniteError, match=r"epoch 1, batch 1.*Broken: the loss is the first .*not finite, nan"):
        train(model, X, TARGET, loss=Broken())
    assert picture(model) == before


def test_an_update_that_overflows_in_one_of_several_blocks_takes_all_of_them_back() -> None:
    """A large parameter is handed to the optimizer in pieces: here the last of them fails."""

    class FailsLate(Momentum):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            super().update(value, grad, step, *state)
            pieces.append(len(value))
            if step.number == 3 and fail and sum(pieces) >= 60_000:
                value[-1] = np.inf

    pieces: list[int] = []
    fail = False
    x, target = data(features=300, outputs=200)
    models = [Sequential(Linear(300, 200), Noise(), Centred(200), rng=0) for _ in range(2)]
    trainers = [trainer_of(model, FailsLate(0.01)) for model in models]
    for _ in range(2):
        for trainer in trainers:
            trainer.step(x, target)
    pieces.clear()
    before, fail = picture(models[0]), True
    with pytest.raises(NonFiniteError, match=r"step 3: the update of 0\.bias is the first that is not finite"):
        trainers[0].step(x, target)
    assert len(pieces) > 1
    assert sum(pieces) == 60_200
    assert picture(models[0]) == before
    fail = False
    for _ in range(2):
        for trainer in trainers:
            trainer.step(x, target)
    assert picture(models[0]) == picture(models[1])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
@pytest.mark.parametrize("place", ["forward", "backward", "loss", "update"])
def test_an_interrupt_in_the_middle_of_a_step_leaves_the_model_as_before(
    place: str, error: type[BaseException]
) -> None:
    armed = False

    def trap(here: str) -> None:
        if armed and here == place:
            raise error

    class Layer(Copy):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            trap("forward")
            return super().forward(x, training=training)

        def backward(self, grad: Array, cache: Any) -> Array:
            trap("backward")
            return super().backward(grad, cache)

    class Trapped(SquaredError):
        def derivative(self, prediction: Array, target: Array) -> Array:
            trap("loss")
            return super().derivative(prediction, target)

    class Late(Momentum):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            super().update(value, grad, step, *state)
            trap("update")

    model = Sequential(Centred(3), Noise(), Scale(3), Layer(), Linear(3, 2), rng=0)
    same = Sequential(Centred(3), Noise(), Scale(3), Copy(), Linear(3, 2), rng=0)
    trainer = Trainer(model, loss=Trapped(), optimizer=Late(0.1))
    reference = trainer_of(same, Momentum(0.1))
    for each in (trainer, reference):
        each.step(X, TARGET)
    before, armed = picture(model), True
    with pytest.raises(error):
        trainer.step(X, TARGET)
    assert picture(model) == before
    armed = False
    for each in (trainer, reference):
        each.step(X, TARGET)
    np.testing.assert_array_equal(model.vector.value, same.vector.value)


def test_an_interrupt_at_any_line_of_a_step_leaves_the_model_as_before_it_or_after_it() -> None:
    """A tracer raises KeyboardInterrupt at the first, second, third, ... line that a step runs through."""

    def fresh() -> tuple[Sequential, Trainer]:
        model = Sequential(Linear(3, 4), Noise(), Centred(4), Linear(4, 2), rng=0)
        trainer = trainer_of(model, Momentum(0.1))
        trainer.step(X, TARGET)
        model.parameters()["3.weight"].trainable = False
        trainer.step(X, TARGET)
        return model, trainer

    def interrupted_at(line: int) -> bool:
        left = line

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if not frame.f_globals["__name__"].startswith("nanonet"):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            trainer.step(X, TARGET)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    model, trainer = fresh()
    start = picture(model)
    trainer.step(X, TARGET)
    end = picture(model)
    line, torn = 1, []
    while True:
        model, trainer = fresh()
        if not interrupted_at(line):
            break
        if picture(model) not in (start, end):
            torn.append(line)
        line += 1
    assert line > 50
    assert torn == []


# ---- threads


def test_eight_threads_that_predict_with_one_model_get_what_one_gets() -> None:
    model = everything()
    train(model, *data())
    pieces = [data(50, rng=i)[0] for i in range(64)]
    alone = [model(piece).tobytes() for piece in pieces]
    before = picture(model)
    with ThreadPoolExecutor(8) as pool:
        together = [y.tobytes() for y in pool.map(model, pieces * 4)]
        in_parts = [y.tobytes() for y in pool.map(lambda piece: model.predict(piece, batch_size=50), pieces)]
    assert together == alone * 4
    assert in_parts == alone
    assert picture(model) == before


def test_threads_may_predict_with_a_model_while_its_copy_is_in_training() -> None:
    model = everything()
    other, x = copy.deepcopy(model), data(50)[0]
    y = model(x).tobytes()
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda _: model(x).tobytes(), range(200))
        train(other, *data(), epochs=20)
        assert set(results) == {y}
