"""LayerMonitor: its numbers are those of the last step of an epoch, and a training with it is the same bit for bit."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    SGD,
    Activation,
    Adam,
    Array,
    BatchNorm,
    Callback,
    Checkpoint,
    Composite,
    Conv2d,
    CSVLog,
    Dropout,
    EarlyStopping,
    Flatten,
    History,
    LayerMonitor,
    LeakyReLU,
    Linear,
    Optimizer,
    ReLU,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
)
from tests.helpers import picture

X = np.random.default_rng(0).normal(size=(10, 3))
TARGET = X[:, :1] * X[:, 1:2]


def net() -> Sequential:
    return Sequential(Linear(3, 5), ReLU(), Dropout(0.3), BatchNorm(5), Linear(5, 1), rng=0)


def fitted(model: Sequential, *callbacks: Callback, optimizer: Optimizer | None = None, **settings: Any) -> History:
    given: dict[str, Any] = {"epochs": 3, "batch_size": 4, "verbose": 0} | settings
    rule = optimizer or Adam(0.01)
    return model.fit(X, TARGET, loss=SquaredError(), optimizer=rule, callbacks=callbacks, **given)


class ByHand(Callback):
    """Computes the same numbers from whole copies of each parameter."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[float]] = {}

    def fit_begin(self, trainer: Trainer) -> None:
        self.now = trainer.model.state_dict()

    def step_end(self, trainer: Trainer) -> None:
        self.last, self.now = self.now, trainer.model.state_dict()
        self.grads = {name: parameter.grad.copy() for name, parameter in trainer.model.parameters().items()}

    def epoch_end(self, trainer: Trainer) -> None:
        for name, grad in self.grads.items():
            change, size = (float((array.astype(float) ** 2).sum()) for array in self.pair(name))
            ratio = math.sqrt(change / size) if size else math.nan
            self.numbers.setdefault(f"{name}/update_ratio", []).append(ratio)
            self.numbers.setdefault(f"{name}/gradient_norm", []).append(float(np.linalg.norm(grad.astype(float))))

    def pair(self, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return self.now[name] - self.last[name], self.last[name]


# ---- the numbers


@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, clip_norm=0.01, weight_decay=0.1), Adam(0.01)])
def test_the_numbers_are_those_of_the_last_step(optimizer: Optimizer) -> None:
    reference = ByHand()
    history = fitted(net(), reference, LayerMonitor(), optimizer=optimizer)
    assert set(history) == {"loss", *reference.numbers}
    for name, numbers in reference.numbers.items():
        np.testing.assert_allclose(history[name], numbers, rtol=1e-6, err_msg=name)


def test_a_batch_in_which_nothing_counts_is_no_step() -> None:
    reference = ByHand()
    history = fitted(net(), reference, LayerMonitor(), shuffle=False, sample_weight=[1] * 8 + [0] * 2)
    np.testing.assert_allclose(history["4.weight/update_ratio"], reference.numbers["4.weight/update_ratio"], rtol=1e-6)
    assert min(history["4.weight/update_ratio"]) > 0


def test_an_iterable_of_batches_is_watched_too() -> None:
    reference, model = ByHand(), net()
    stream = [(X[i : i + 4], TARGET[i : i + 4]) for i in (0, 4, 8)]
    history = model.fit(
        stream, loss=SquaredError(), optimizer=SGD(0.1), epochs=2, callbacks=[reference, LayerMonitor()]
    )
    for name, numbers in reference.numbers.items():
        np.testing.assert_allclose(history[name], numbers, rtol=1e-6, err_msg=name)


def test_a_frozen_parameter_has_an_update_and_a_gradient_of_0() -> None:
    model = net()
    model[0].weight.trainable = False  # type: ignore[attr-defined]
    history = fitted(model, LayerMonitor())
    assert history["0.weight/update_ratio"] == history["0.weight/gradient_norm"] == [0.0] * 3


def test_parameters_that_are_0_have_no_ratio() -> None:
    history = fitted(net(), LayerMonitor(), epochs=1, batch_size=10)
    assert math.isnan(history["0.bias/update_ratio"][0])
    assert history["0.bias/gradient_norm"][0] > 0


def test_numbers_whose_squares_overflow_are_measured() -> None:
    model = Sequential(Linear(1, 1, weight=[[1e30]]), rng=0)
    history = model.fit(
        [[1e-30]], [[0.0]], loss=SquaredError(), optimizer=SGD(1e30), epochs=1, callbacks=[LayerMonitor()]
    )
    assert history["0.weight/update_ratio"] == [pytest.approx(1e-30)]


# ---- dead units


class Step(Activation):
    """An activation of a user, whose derivative is a number."""

    def function(self, a: Array) -> Array:
        return np.sign(a)

    def derivative(self, a: Array, y: Array) -> Array:
        return np.zeros_like(a)


@pytest.mark.parametrize(
    ("activation", "bias", "share"),
    [
        (ReLU(), [-9.0, 9.0, -9.0, 0.0], 0.5),
        (LeakyReLU(), [-9.0, 9.0, -9.0, 0.0], 0.0),
        (Tanh(), [0.0, 50.0, -1.0, 0.0], 0.25),
        (Step(), [0.0] * 4, 1.0),
    ],
)
def test_a_unit_is_dead_if_its_derivative_is_0_for_every_sample(
    activation: Activation, bias: list[float], share: float
) -> None:
    model = Sequential(Linear(3, 4, bias=bias), activation, Linear(4, 1), rng=0)
    history = fitted(model, LayerMonitor(np.clip(X, -1, 1)), optimizer=SGD(0.0))
    assert history["1/dead_units"] == [share] * 3


def test_of_an_image_the_channels_are_units() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, size=(6, 1, 4, 4))
    images[:, :, 0] = 0  # where the channel that is alive gives 0 for every image
    model = Sequential(Conv2d(1, 2, 1, bias=[-30.0, 0.0]), ReLU(), Flatten(), Linear(32, 1), rng=0)
    settings: dict[str, Any] = {"loss": SquaredError(), "optimizer": SGD(0.0), "epochs": 1}
    history = model.fit(images, np.zeros((6, 1)), callbacks=[LayerMonitor(images)], **settings)
    assert history["1/dead_units"] == [0.5]


def test_activations_within_other_layers_have_the_names_of_a_trace() -> None:
    class Twice(Composite):
        def __init__(self) -> None:
            self.linear, self.relu = Linear(3, 3), ReLU()

        def wire(self, call: Any, x: Any) -> Any:
            return call(self.relu, call(self.linear, call(self.relu, call(self.linear, x))))

    history = fitted(Sequential(Twice(), Sequential(Tanh(), Linear(3, 1)), rng=0), LayerMonitor(X))
    assert {name for name in history if name.endswith("dead_units")} == {
        "0.relu/dead_units", "0.relu#2/dead_units", "1.0/dead_units"
    }  # fmt: skip


def test_samples_that_do_not_fit_are_refused_before_the_first_step() -> None:
    model = net()
    before = picture(model)
    with pytest.raises(ValueError, match=r"expected input of shape \(batch, 3\), got \(2, 4\)"):
        fitted(model, LayerMonitor(np.ones((2, 4))))
    assert picture(model) == before


# ---- beside a training


@pytest.mark.parametrize("settings", [{}, {"batch_size": 10}, {"validation": 0.2}])
def test_a_training_is_the_same_bit_for_bit(settings: dict[str, Any]) -> None:
    with_it, without = net(), net()
    history = fitted(with_it, LayerMonitor(X), **settings)
    assert history["loss"] == fitted(without, **settings)["loss"]
    assert picture(with_it) == picture(without)


def test_other_callbacks_can_use_its_numbers_wherever_it_stands(tmp_path: Path) -> None:
    stops = EarlyStopping("1/dead_units", patience=1, mode="min", margin=2.0)
    history = fitted(net(), CSVLog(tmp_path / "log.csv"), stops, LayerMonitor(X), epochs=9)
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == history.epochs < 9
    for name, numbers in history.items():
        np.testing.assert_array_equal([float(row[name]) for row in rows], numbers)


def test_a_resumed_training_records_the_same(tmp_path: Path) -> None:
    class Ends(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == 5:
                raise KeyboardInterrupt

    def trainer() -> Trainer:
        return Trainer(net(), loss=SquaredError(), optimizer=Adam(0.01))

    settings: dict[str, Any] = {"until_epoch": 4, "batch_size": 4, "verbose": 0}
    whole, half, later = trainer(), trainer(), trainer()
    whole.fit(X, TARGET, callbacks=[LayerMonitor(X)], **settings)
    half.fit(X, TARGET, callbacks=[LayerMonitor(X), Ends(), Checkpoint(tmp_path / "run.npz")], **settings)
    later.resume(tmp_path / "run.npz")
    later.fit(X, TARGET, callbacks=[LayerMonitor(X)], **settings)
    assert list(later.history) == list(whole.history)
    for name in whole.history:
        np.testing.assert_array_equal(later.history[name], whole.history[name])
