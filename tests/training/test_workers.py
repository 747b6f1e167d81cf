"""Threads share a large step, and its bits are the same for any number of them."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    SGD,
    Activation,
    Adam,
    Array,
    BatchNorm,
    Buffer,
    CrossEntropy,
    Dropout,
    Layer,
    Linear,
    NonFiniteError,
    Optimizer,
    Sequential,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    accuracy,
)
from nanonet.core.arrays import each
from nanonet.core.tree import Tree
from nanonet.layers import linear
from nanonet.training import atomic, division
from nanonet.training.division import numbers_computed, parts_for
from nanonet.training.twins import Twin
from nanonet.training.workers import Workers
from tests.registry import LAYERS, LayerCase, params

RNG = np.random.default_rng(5)
X = RNG.normal(size=(64, 6))
LABELS = RNG.integers(3, size=64)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let small nets be shared as large ones are, and end every thread."""
    monkeypatch.setattr(division, "LEAST", 1)
    monkeypatch.setattr(division, "NARROW", 1)
    monkeypatch.setattr(division, "FEWEST", 8)
    monkeypatch.setattr(atomic, "BLOCK", 64)
    monkeypatch.setattr(linear, "LARGE", 1)
    monkeypatch.setattr(linear, "FEWEST", 2)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("nanonet")]


def net(*more: Layer) -> Sequential:
    return Sequential(Linear(6, 5), Tanh(), *more, Linear(5, 3), dtype=np.float64, rng=0)


def trained(workers: int | None, *more: Layer, optimizer: Optimizer | None = None, size: int = 64) -> Trainer:
    trainer = Trainer(net(*more), loss=CrossEntropy(), optimizer=optimizer or Adam(0.01), rng=1, workers=workers)
    weight = np.linspace(0, 1, size)
    trainer.fit(X[:size], LABELS[:size], epochs=2, batch_size=32, sample_weight=weight, metrics=[accuracy], verbose=0)
    return trainer


def bits(trainer: Trainer) -> list[bytes]:
    buffers = [buffer.value for buffer in trainer.stepper.tree.buffers.values()]
    return [array.tobytes() for array in (trainer.model.vector.value, *trainer.stepper.states.values(), *buffers)]


def parts_seen(trainer: Trainer) -> int:
    division = trainer.stepper._division
    assert division is not None
    return len(division._twins)


@settings(max_examples=10, deadline=None)
@given(size=st.integers(33, 64), dropped=st.booleans(), clipped=st.booleans())
def test_any_number_of_workers_computes_the_same_bits(size: int, dropped: bool, clipped: bool) -> None:
    more = [Dropout(0.3)] if dropped else []
    optimizer = SGD(0.1, momentum=0.9, clip_norm=0.1 if clipped else None)
    alone, *others = (trained(workers, *copy.deepcopy(more), optimizer=optimizer, size=size) for workers in (1, 2, 4))
    assert parts_seen(alone) > 1
    assert all(bits(other) == bits(alone) for other in others)
    assert all(other.history["loss"] == alone.history["loss"] for other in others)


def test_with_workers_a_step_differs_from_one_without_by_rounding() -> None:
    shared, plain = trained(2), trained(None)
    assert parts_seen(shared) == 4
    np.testing.assert_allclose(shared.model.vector.value, plain.model.vector.value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(shared.history["loss"], plain.history["loss"], rtol=1e-9)
    assert shared.history["accuracy"] == plain.history["accuracy"]


class Silent(Layer):
    """y = x, of a class that does not say whether it mixes samples."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        return x.copy(), None

    def backward(self, grad: Array, cache: None) -> Array:
        return grad.copy()

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape


class Spread(SquaredError):
    """The squared error, of a class that says that it mixes samples."""

    mixes_samples = True


def test_a_loss_that_may_mix_samples_gets_the_whole_batch() -> None:
    trainer = Trainer(net(), loss=Spread(), optimizer=SGD(0.1), workers=2)
    trainer.step(X, np.zeros((64, 3)))
    assert parts_seen(trainer) == 0
    rest(trainer)


@pytest.mark.parametrize("layer", [BatchNorm(5), Silent()])
def test_where_samples_may_be_mixed_the_batch_stays_whole_and_the_update_is_shared(layer: Layer) -> None:
    shared, plain = trained(2, copy.deepcopy(layer)), trained(None, copy.deepcopy(layer))
    assert parts_seen(shared) == 0
    assert bits(shared) == bits(plain)


def test_the_parts_follow_from_the_sizes_of_batch_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert parts_for(10_000, 104, 772) == 4
    assert parts_for(128, 2068, 669_706) == 1  # 784-512-512-10: its products are shared instead
    assert parts_for(512, 2068, 669_706) == 2
    assert parts_for(128, 12_000, 60_000) == 2  # a small convolutional net
    assert parts_for(32, 97, 1377) == 1
    assert parts_for(10**6, 1000, 10) == 8
    assert parts_for(1000, 0, 10) == 1  # nothing is known of its layers


def dense(*widths: int) -> Sequential:
    layers: list[Layer] = []
    for n_in, n_out in pairwise(widths):
        layers += [Linear(n_in, n_out), Tanh()]
    return Sequential(*layers[:-1], rng=0)


@pytest.mark.parametrize("widths", [(4, 32, 16, 4), (10, 64, 64, 1), (64, 64, 64, 10)])
def test_narrow_layers_are_not_divided_since_their_threads_would_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch, widths: tuple[int, ...]
) -> None:
    monkeypatch.undo()
    assert numbers_computed(dense(*widths), (widths[0],)) == 0


@pytest.mark.parametrize("widths", [(784, 30, 10), (256, 256, 10)])
def test_wide_layers_or_many_weights_are_divided(monkeypatch: pytest.MonkeyPatch, widths: tuple[int, ...]) -> None:
    monkeypatch.undo()
    assert numbers_computed(dense(*widths), (widths[0],)) == sum(widths[1:]) + sum(widths[1:-1])


@pytest.mark.parametrize("case", params(LAYERS))
def test_a_twin_computes_what_its_model_does_and_writes_nowhere_else(case: LayerCase) -> None:
    model = Sequential(case.make(), dtype=np.float64, rng=0)
    x = model.enter(case.x())
    seeds = [(random, 7) for random in Tree(model).randoms.values()]
    twin = Twin(model, np.zeros(model.vector.size))
    before = model.state_dict()
    twin.follow(list(Tree(model).buffers.values()), seeds, 3)
    y, cache = twin.model.forward(x, training=True)
    twin.model.backward_parameters(y, cache)
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
    assert not model.vector.grad.any()
    for random, seed in seeds:
        random.generator.bit_generator.state = np.random.PCG64(np.random.SeedSequence((seed, 3))).state
    own, cache = model.forward(x, training=True)
    model.backward_parameters(own, cache)
    each(np.testing.assert_array_equal, y, own)
    np.testing.assert_array_equal(twin.grad, model.vector.grad)


class Trap(Activation):
    """y = x, with an error for samples that begin with a large number."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def function(self, a: Array) -> Array:
        if (a[:, 0] > 100).any():
            raise self.error
        return a.copy()

    def derivative(self, a: Array, y: Array) -> Array:
        return np.ones_like(a)


@pytest.mark.parametrize("row", [0, 63])
@pytest.mark.parametrize("error", [LookupError("of the user"), KeyboardInterrupt()])
def test_an_error_in_a_part_reaches_the_user_as_it_is_and_nothing_is_changed(error: BaseException, row: int) -> None:
    model = Sequential(Trap(error), Linear(6, 3), Dropout(0.5), rng=0)
    trainer = Trainer(model, loss=CrossEntropy(), optimizer=Adam(), workers=2)
    trainer.step(X, LABELS)
    before, drawn = bits(trainer), model.layers[2].random.generator.bit_generator.state  # type: ignore[attr-defined]
    bad = X.copy()
    bad[row, 0] = 1000
    with pytest.raises(type(error)) as raised:
        trainer.step(bad, LABELS)
    assert raised.value is error
    assert (bits(trainer), trainer.steps) == (before, 1)
    assert model.layers[2].random.generator.bit_generator.state == drawn  # type: ignore[attr-defined]
    trainer.step(X, LABELS)
    rest(trainer)


def rest(trainer: Trainer) -> None:
    assert trainer.stepper.workers is not None
    trainer.stepper.workers.rest()


def test_a_part_whose_loss_is_not_finite_refuses_the_whole_step() -> None:
    trainer = Trainer(net(), loss=SquaredError(), optimizer=SGD(0.1), workers=2)
    target = np.zeros((64, 3))
    trainer.step(X, target)
    before, target[-1] = bits(trainer), 1e200
    with pytest.raises(NonFiniteError, match="step 2: SquaredError: the loss is the first"):
        trainer.step(X, target)
    assert bits(trainer) == before
    rest(trainer)


def test_a_part_in_which_nothing_counts_adds_nothing() -> None:
    trainer = Trainer(net(), loss=SquaredError(), optimizer=SGD(0.1), workers=2)
    trainer.step(X, np.zeros((64, 3)))
    shared = trainer.stepper._division
    assert shared is not None
    shared._twins[-1].grad[:] = np.nan  # as an earlier step may have left it
    trainer.step(X, np.zeros((64, 3)), np.repeat([1.0, 0.0], 32))
    rest(trainer)


class Leap(Optimizer):
    """w <- w - rate g, of which it is not known how far it goes."""

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value -= step.learning_rate * grad


def test_a_shared_update_that_overflows_is_undone() -> None:
    trainer = Trainer(net(), loss=SquaredError(), optimizer=Leap(1.0), workers=2)
    trainer.stepper.is_large = True  # so that signals are deferred, as in a fit
    trainer.step(X, np.zeros((64, 3)))
    before, trainer.rate_factor = bits(trainer), 1e300
    with pytest.raises(NonFiniteError, match=r"step 2: the update of \d\.weight"):
        trainer.step(X, np.full((64, 3), 1e100))
    assert (bits(trainer), trainer.steps) == (before, 1)
    rest(trainer)


class Counter(Layer):
    """y = x, which counts the batches it was trained on and keeps the mean of their numbers."""

    mixes_samples = False

    def __init__(self) -> None:
        self.count = Buffer((), lambda shape, rng: np.zeros(shape), dtype=np.int64)
        self.mean = Buffer((), lambda shape, rng: np.zeros(shape))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        if training:
            self.count.value += 1
            self.mean.value[...] = x.mean()
        return x.copy(), None

    def backward(self, grad: Array, cache: None) -> Array:
        return grad.copy()

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape


def test_a_buffer_that_parts_have_changed_is_their_mean() -> None:
    layer = Counter()
    trainer = Trainer(
        Sequential(layer, Linear(6, 3), dtype=np.float64), loss=CrossEntropy(), optimizer=SGD(0.1), workers=2
    )
    trainer.step(X, LABELS)
    assert parts_seen(trainer) == 8
    assert layer.count.value == 1
    assert layer.mean.value == pytest.approx(X.mean())
    layer.count.value = 10
    trainer.step(X, LABELS)
    assert layer.count.value == 11
    rest(trainer)


def test_what_is_set_or_frozen_between_steps_holds_for_the_parts() -> None:
    losses = []
    for workers in (1, 2):
        model = net(Dropout(0.5))
        trainer = Trainer(model, loss=CrossEntropy(), optimizer=SGD(0.1), workers=workers)
        trainer.step(X, LABELS)
        model.layers[2].rate = 0.0
        expected = model.loss_and_grad(X, LABELS, CrossEntropy())[0]
        assert trainer.step(X, LABELS) == pytest.approx(expected, rel=1e-12)
        frozen = model.layers[0].parameters()["weight"]
        frozen.trainable, before = False, frozen.value.copy()
        losses.append([trainer.step(X, LABELS) for _ in range(2)])
        np.testing.assert_array_equal(frozen.value, before)
        rest(trainer)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_a_number_of_workers_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="Trainer: expected workers"):
        Trainer(net(), loss=CrossEntropy(), optimizer=SGD(0.1), workers=wrong)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
def test_a_copy_of_a_trainer_has_threads_of_its_own(copied: Callable[[Trainer], Trainer]) -> None:
    trainer = Trainer(net(), loss=CrossEntropy(), optimizer=Adam(), workers=2)
    trainer.step(X, LABELS)
    twin = copied(trainer)
    losses = [one.step(X, LABELS) for one in (trainer, twin)]
    assert losses[0] == losses[1]
    assert bits(trainer) == bits(twin)
    rest(trainer)
    rest(twin)


def test_a_forked_process_starts_threads_of_its_own() -> None:
    workers = Workers(2)
    assert workers.map(abs, [-1, -2]) == [1, 2]
    first, workers._process = workers._pool, 0  # as in a process with another number
    assert workers.map(abs, [-1, -2]) == [1, 2]
    assert workers._pool is not first
    assert first is not None
    first.shutdown()
    workers.rest()


def test_of_several_errors_the_first_in_order_is_raised_when_all_threads_have_stopped() -> None:
    workers, together = Workers(3), threading.Barrier(3)

    def fail(number: int) -> None:
        together.wait(timeout=10)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        workers.map(fail, range(3))
    workers.rest()
