"""Averaged weights: the means that PyTorch's swa_utils keep, swapped in and out, and resumed bit for bit."""

from __future__ import annotations

import importlib
import re
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    SGD,
    Adam,
    Array,
    AveragedWeights,
    BatchNorm,
    Buffer,
    Callback,
    Checkpoint,
    Constant,
    Dropout,
    Layer,
    Linear,
    NonFiniteError,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
    Zeros,
    estimate_statistics,
)
from tests.helpers import data, picture


def net(rng: int = 0) -> Sequential:
    """Return a net 3 -> 2 with BatchNorm, float64."""
    return Sequential(Linear(3, 4), BatchNorm(4), Tanh(), Linear(4, 2), dtype=np.float64, rng=rng)


def trainer_of(model: Sequential) -> Trainer:
    """Return a trainer, always the same."""
    return Trainer(model, loss=SquaredError(), optimizer=Adam(0.05), rng=1)


def state(model: Sequential) -> dict[str, npt.NDArray[Any]]:
    """Return all numbers of a model."""
    return dict(model.state_dict())


class Way(Callback):
    """Notes the weights after each step and each epoch."""

    def __init__(self) -> None:
        self.by_step: list[dict[str, Any]] = []
        self.by_epoch: list[dict[str, Any]] = []

    def step_end(self, trainer: Trainer) -> None:
        self.by_step.append(state_of_parameters(trainer.model))

    def epoch_end(self, trainer: Trainer) -> None:
        self.by_epoch.append(state_of_parameters(trainer.model))


def state_of_parameters(model: Any) -> dict[str, Any]:
    """Return a copy of each parameter."""
    return {name: parameter.value.copy() for name, parameter in model.parameters().items()}


def fitted(average: AveragedWeights, epochs: int = 5) -> tuple[Sequential, Way]:
    """Return a trained model, and the way that its weights went."""
    model, way = net(), Way()
    trainer_of(model).fit(*data(), epochs=epochs, batch_size=4, callbacks=[average, way])
    return model, way


def assert_close(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """See that two tables of arrays are the same up to rounding."""
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.peer
@given(
    decay=st.one_of(st.none(), st.floats(0, 0.999)), first=st.integers(1, 4), every=st.integers(1, 4), by=st.booleans()
)
def test_the_mean_is_that_of_pytorchs_averaged_model(decay: float | None, first: int, every: int, by: bool) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    utils: Any = importlib.import_module("torch.optim.swa_utils")
    average = AveragedWeights(decay, first_epoch=first, **{"steps" if by else "epochs": every})
    _, way = fitted(average)
    passed = way.by_step[3 * (first - 1) :] if by else way.by_epoch[first - 1 :]
    skipped = -3 * (first - 1) % every if not by else (every - 1 - 3 * (first - 1)) % every
    counted = passed[skipped if by else 0 :: every]
    module = torch.nn.Linear(3, 4).double()
    there = utils.AveragedModel(module, multi_avg_fn=None if decay is None else utils.get_ema_multi_avg_fn(decay))
    for weights in counted:
        with torch.no_grad():
            module.weight[:], module.bias[:] = torch.tensor(weights["0.weight"]), torch.tensor(weights["0.bias"])
        there.update_parameters(module)
    assert average.count == len(counted)
    if not counted:
        with pytest.raises(RuntimeError, match="no weights have been averaged"):
            average.copy_to(net())
        return
    found = {name: parameter.detach().numpy() for name, parameter in there.module.named_parameters()}
    assert_close({name: average.weights[f"0.{name}"] for name in ("weight", "bias")}, found)


def test_without_decay_it_is_the_mean_of_the_epochs_and_with_it_of_the_steps() -> None:
    equal, moving = AveragedWeights(), AveragedWeights(0.5)
    _, way = fitted(equal)
    assert equal.count == 5
    assert_close(equal.weights, {name: np.mean([w[name] for w in way.by_epoch], axis=0) for name in way.by_epoch[0]})
    fitted(moving)
    mean = way.by_step[0]
    for weights in way.by_step[1:]:
        mean = {name: 0.5 * mean[name] + 0.5 * weights[name] for name in mean}
    assert moving.count == len(way.by_step) == 15
    assert_close(moving.weights, mean)


def test_the_training_is_the_same_without_it() -> None:
    model, plain = fitted(AveragedWeights(0.9))[0], net()
    trainer_of(plain).fit(*data(), epochs=5, batch_size=4)
    assert picture(model) == picture(plain)


def test_a_batch_of_weight_0_counts_no_second_time() -> None:
    model, average, (x, target) = net(), AveragedWeights(0.5), data()
    batches = [(x, target, np.ones(12)), (x, target, np.zeros(12))]
    trainer_of(model).fit(batches, epochs=3, callbacks=[average])
    assert average.count == 3


def test_an_interrupt_amid_the_averaging_leaves_a_mean_of_whole_steps() -> None:
    average, seen = AveragedWeights(steps=1), list[Array]()

    class Recorder(Callback):
        def step_end(self, trainer: Trainer) -> None:
            seen.append(trainer.model.parameters()["0.weight"].value.copy())

    def interrupt_amid(frame: Any, event: str, arg: object) -> Any:
        amid = frame.f_code.co_name == "_follow" and frame.f_locals.get("name") == "0.bias"
        if amid and average.count == 2 and len(seen) == 3:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return interrupt_amid

    model = Sequential(Linear(3, 2), dtype=np.float64, rng=0)
    x = np.arange(30.0).reshape(10, 3) / 30
    before = sys.gettrace()
    sys.settrace(interrupt_amid)
    try:
        history = model.fit(
            x, x[:, :2], loss=SquaredError(), optimizer=SGD(0.1), epochs=9, callbacks=[Recorder(), average]
        )
    finally:
        sys.settrace(before)
    assert history.interrupted
    np.testing.assert_allclose(average.weights["0.weight"], np.mean(seen[: average.count], axis=0), atol=1e-12)


# ---- swapped in


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
def test_it_is_swapped_in_within_a_block_and_then_all_is_as_before(error: type[BaseException] | None) -> None:
    average = AveragedWeights(0.9)
    model, _ = fitted(average)
    before = picture(model)
    try:
        with average.swapped(model):
            np.testing.assert_array_equal(model.parameters()["3.weight"].value, average.weights["3.weight"])
            estimate_statistics(model, data()[0], batch_size=5)
            assert picture(model) != before
            if error is not None:
                raise error
    except (ZeroDivisionError, KeyboardInterrupt):
        pass
    assert picture(model) == before


def test_a_callback_may_swap_it_in_after_each_epoch_and_the_training_stays_the_same() -> None:
    average, losses = AveragedWeights(0.9), []

    class Evaluates(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            with average.swapped(trainer.model):
                losses.append(float(trainer.model.predict(data()[0]).sum()))

    model, plain = net(), net()
    trainer_of(model).fit(*data(), epochs=3, callbacks=[average, Evaluates()])
    trainer_of(plain).fit(*data(), epochs=3)
    assert picture(model) == picture(plain)
    assert len(set(losses)) == 3


def test_copy_to_is_for_good_and_leaves_the_buffers() -> None:
    average = AveragedWeights()
    model, _ = fitted(average)
    other = net(rng=5)
    average.copy_to(other)
    assert_close(state_of_parameters(other), average.weights)
    assert other.state_dict()["1.num_batches_tracked"] == 0
    with pytest.raises(ValueError, match=r"the averaged weights are of another model; they differ in 0.weight$"):
        average.copy_to(Sequential(Linear(2, 4), BatchNorm(4), Tanh(), Linear(4, 2)))
    assert model.vector.size == other.vector.size


def test_copies_are_nobody_elses() -> None:
    average = AveragedWeights()
    fitted(average)
    average.weights["0.weight"][:] = 0
    assert average.weights["0.weight"].any()


# ---- resumed


@pytest.mark.parametrize(
    "make", [lambda: AveragedWeights(0.9), lambda: AveragedWeights(first_epoch=2)], ids=["EMA", "SWA"]
)
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_resumed_mean_goes_on_bit_for_bit(make: Any, stop: int, tmp_path: Path) -> None:
    class Stops(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == stop:
                raise KeyboardInterrupt

    whole, first, second = make(), make(), make()
    model, _ = fitted(whole)
    interrupted, resumed = trainer_of(net()), trainer_of(net())
    interrupted.fit(*data(), epochs=5, batch_size=4, callbacks=[first, Checkpoint(tmp_path / "run.npz"), Stops()])
    resumed.resume(tmp_path / "run.npz")
    resumed.fit(*data(), until_epoch=5, batch_size=4, callbacks=[second])
    assert (second.count, picture(resumed.model)) == (whole.count, picture(model))
    for name, mean in whole.weights.items():
        np.testing.assert_array_equal(second.weights[name], mean)


def test_a_new_fit_begins_a_new_mean() -> None:
    model, average = net(), AveragedWeights()
    trainer = trainer_of(model)
    for _ in range(2):
        trainer.fit(*data(), epochs=1, callbacks=[average])
        assert_close(average.weights, state_of_parameters(model))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({}, "expected a checkpoint with an integer 'count' of 0 or more, got array([]"),
        ({"count": np.array(1.5)}, "expected a checkpoint with an integer 'count' of 0 or more, got array(1.5)"),
        ({"count": np.array(1.0)}, "the averaged weights in the checkpoint do not fit the model being trained"),
    ],
)
def test_a_damaged_state_is_refused(broken: dict[str, Any], message: str) -> None:
    average = AveragedWeights()
    with pytest.raises(ValueError, match=re.escape(f"AveragedWeights(): {message}")):
        average.fit_resumed(trainer_of(net()), broken)


# ---- statistics


@pytest.mark.peer
@given(samples=st.integers(4, 11), size=st.integers(2, 11), momentum=st.sampled_from([0.1, 1.0, None]))
def test_statistics_are_those_of_pytorchs_update_bn(samples: int, size: int, momentum: float | None) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    utils: Any = importlib.import_module("torch.optim.swa_utils")
    if samples % size == 1:
        samples += 1
    x = np.random.default_rng(samples).normal(2, 3, size=(samples, 3))
    model = Sequential(Linear(3, 4), BatchNorm(4, momentum=momentum), Tanh(), dtype=np.float64, rng=0)
    model.fit(x, np.zeros((samples, 4)), loss=SquaredError(), optimizer=Adam(), epochs=2)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4, momentum=momentum)).double()
    module.load_state_dict({name: torch.tensor(value) for name, value in state(model).items()})
    utils.update_bn([torch.tensor(x[i : i + size]) for i in range(0, samples, size)], module)
    weights = model.vector.value.copy()
    estimate_statistics(model, x, batch_size=size)
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(state(model)[name], value.numpy(), rtol=1e-12, err_msg=name)
    np.testing.assert_array_equal(model.vector.value, weights)


class Follows(Layer):
    """y = x - a running mean."""

    def __init__(self) -> None:
        self.mean, self.momentum = Buffer((), Constant(7.0)), 0.25

    def forward(self, x: Any, *, training: bool = False) -> tuple[Any, Any]:
        if training:
            self.mean.value = (1 - self.momentum) * self.mean.value + self.momentum * x.mean()
        return x - self.mean.value, None

    def backward(self, grad: Any, cache: Any) -> Any:
        return grad


class Counts(Layer):
    """y = x, with a count of its passes, which is no statistic."""

    def __init__(self) -> None:
        self.passes = Buffer((), Zeros(), dtype=np.int64)

    def forward(self, x: Any, *, training: bool = False) -> tuple[Any, Any]:
        if training:
            self.passes.value = self.passes.value + 1
        return x, None

    def backward(self, grad: Any, cache: Any) -> Any:
        return grad


def test_a_users_layer_takes_part_by_its_momentum_and_nothing_else_changes() -> None:
    follows = Follows()
    model = Sequential(follows, Counts(), Dropout(0.5), dtype=np.float64, rng=0)
    before = picture(model)
    estimate_statistics(model, [[1.0], [2.0], [6.0], [11.0]], batch_size=2)
    assert (float(follows.mean.value), follows.momentum) == (5.0, 0.25)
    assert {name for name, numbers in picture(model).items() if numbers != before[name]} == {"0.mean"}


@pytest.mark.parametrize(
    ("model", "x", "kind", "message"),
    [
        (Sequential(Linear(1, 1)), [[1.0]], ValueError, "expected a layer with running statistics, such as BatchNorm"),
        (Sequential(BatchNorm(1)), np.ones((0, 1)), ValueError, "expected samples, got none"),
        (Sequential(BatchNorm(1)), [[3e38], [-3e38]], NonFiniteError, "0.running_var would not be finite"),
    ],
)
def test_what_has_no_statistics_is_refused_and_nothing_is_changed(
    model: Sequential, x: Any, kind: type[Exception], message: str
) -> None:
    before = picture(model)
    with pytest.raises(kind, match=f"^estimate_statistics: {re.escape(message)}"), np.errstate(all="ignore"):
        estimate_statistics(model, x)
    assert picture(model) == before


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"decay": 1.0}, ValueError, "expected a finite decay of 0 or more and below 1, got 1.0"),
        ({"first_epoch": 0}, ValueError, "expected first_epoch of 1 or more, got 0"),
        ({"epochs": 1, "steps": 1}, TypeError, "expected epochs or steps, got both"),
        ({"steps": 0}, ValueError, "expected steps of 1 or more, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^AveragedWeights: {re.escape(message)}"):
        AveragedWeights(**settings)
