"""Whole compiled steps: they are those of the readable path, and where they cannot be taken, that path takes over."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nanonet
from nanonet import (
    GELU,
    SGD,
    Adam,
    AdamW,
    Array,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    CosineRate,
    CrossEntropy,
    EarlyStopping,
    Linear,
    Loss,
    NonFiniteError,
    Optimizer,
    ReLU,
    RMSprop,
    Sequential,
    Sigmoid,
    SquaredError,
    StepRate,
    Tanh,
    Trainer,
    WarmUp,
    accuracy,
    weights_only,
)

pytest.importorskip("numba", reason="numba is not installed")
pytest.importorskip("scipy", reason="SciPy is not installed")
pytestmark = pytest.mark.peer

X = np.random.default_rng(0).normal(size=(50, 3))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
TARGET = np.sin(X[:, :2])
ACTIVATIONS = {"none": None, "sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU}
RULES: list[Callable[[], Optimizer]] = [
    lambda: SGD(0.02),
    lambda: SGD(0.01, momentum=0.9),
    lambda: SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda: SGD(0.05, clip_norm=0.5, weight_decay=0.1, decays=weights_only),
    lambda: Adam(0.01),
    lambda: Adam(0.01, betas=(0.5, 0.8), epsilon=1e-3, weight_decay=0.1, clip_value=0.01),
    lambda: AdamW(0.01, weight_decay=0.5, decays=weights_only),
]


def net(*sizes: int, activation: type[Any] | None = Tanh, bias: bool = True, dtype: Any = np.float64) -> Sequential:
    """Return a net with the activation between its layers."""
    layers: list[Any] = []
    for below, above in pairwise(sizes):
        layers += [Linear(below, above, bias=bias), *([activation()] if activation else [])]
    return Sequential(*(layers[:-1] if activation else layers), dtype=dtype, rng=0)


def pair(
    model: Callable[[], Sequential] = lambda: net(3, 5, 2),
    optimizer: Callable[[], Optimizer] = lambda: Adam(0.01),
    loss: Callable[[], Loss] = SquaredError,
) -> tuple[Trainer, Trainer]:
    """Return the same training twice, readable and compiled."""
    readable, compiled = (
        Trainer(model(), loss=loss(), optimizer=optimizer(), rng=7, fast=fast) for fast in (False, True)
    )
    assert "fast: True (the whole step is compiled)" in repr(compiled)
    return readable, compiled


def numbers(trainer: Trainer) -> list[Array]:
    return [trainer.model.vector.value.copy(), *(state.copy() for state in trainer.stepper.states.values())]


def assert_same(one: Trainer, other: Trainer, tolerance: float = 1e-12) -> None:
    """Fail unless two trainings have come to the same, to rounding."""
    assert (one.steps, one.epoch, one.batch, one.batches) == (other.steps, other.epoch, other.batch, other.batches)
    assert one.learning_rate == pytest.approx(other.learning_rate, rel=1e-15, nan_ok=True)
    assert one.batch_loss == pytest.approx(other.batch_loss, rel=tolerance, nan_ok=True)
    for ours, theirs in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())
    assert list(one.history) == list(other.history)
    for name in one.history:
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=tolerance)


def calls_of(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, do: Callable[[int], object] = bool) -> list[int]:
    """Return a list to which each call of the kernels adds the batches it is done with; do something after each."""
    plan: Any = trainer.stepper.plan()  # type: ignore[attr-defined]  # of a CompiledStepper
    call, done = plan.call, list[int]()

    def counted(*arguments: Any) -> int:
        done.append(call(*arguments))
        do(len(done))
        return done[-1]

    monkeypatch.setattr(plan, "call", counted)
    return done


# ---- the same steps


@settings(max_examples=60)
@given(data=st.data())
def test_compiled_steps_are_those_of_the_readable_path(data: st.DataObject) -> None:
    """Ten steps on drawn numbers, over nets, rules, losses, weights and dtypes.

    In float32 no ReLU: where a number is 0 but for rounding, its slope is 0 in one path and 1 in the other.
    """
    draw = data.draw
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 7, 16, 33]), min_size=2, max_size=5))
    entropy = draw(st.booleans())
    sizes[-1] += entropy
    activation = ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]
    bias, dtype = draw(st.booleans()), draw(st.sampled_from([np.float64, np.float32][: 1 + (activation is not ReLU)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = draw(st.sampled_from([1, 2, 5, 16, 40]))
    optimizer = draw(st.sampled_from(RULES))
    readable, compiled = pair(
        lambda: net(*sizes, activation=activation, bias=bias, dtype=dtype),
        optimizer,
        CrossEntropy if entropy else SquaredError,
    )
    weighted = draw(st.booleans())
    for _ in range(10):
        x = rng.normal(size=(rows, sizes[0])) / sizes[0]
        target = rng.integers(sizes[-1], size=rows) if entropy else rng.normal(size=(rows, sizes[-1]))
        weight = rng.random(rows) + 0.01 if weighted else None
        losses = [trainer.step(x, target, weight) for trainer in (readable, compiled)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-12 if dtype is np.float64 else 1e-2)
    assert_same(compiled, readable, 1e-11 if dtype is np.float64 else 1e-2)
    ours, theirs = (trainer.model.vector.grad for trainer in (compiled, readable))
    close = np.abs(theirs).max() * (1e-10 if dtype is np.float64 else 2e-2)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=close)


def test_in_single_precision_the_steps_of_a_net_with_relus_are_the_same() -> None:
    readable, compiled = pair(lambda: net(3, 40, 40, 2, activation=ReLU, dtype=np.float32))
    for trainer in (readable, compiled):
        trainer.fit(X, TARGET, epochs=3, batch_size=8, verbose=0)
    assert_same(compiled, readable, 1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(a=st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=20))
def test_the_formulas_of_the_activations_are_the_same(dtype: Any, a: list[float]) -> None:
    """As those of the classes, to a few roundings of 1; NaN stays NaN."""
    from nanonet.training.compiled import codes, kernels

    values = np.array([*a, np.nan], dtype)
    for kind, activation in ((codes.SIGMOID, Sigmoid()), (codes.TANH, Tanh()), (codes.RELU, ReLU())):
        y, expected = values.copy(), activation.function(values)
        kernels.activate.py_func(kind, y)  # type: ignore[attr-defined]  # as written, without compiling it
        np.testing.assert_allclose(
            y, expected, rtol=0, atol=2 * np.finfo(dtype).eps * max(1, np.nanmax(np.abs(expected)))
        )
        g = np.ones_like(y)
        kernels.slope.py_func(kind, g, y)  # type: ignore[attr-defined]
        np.testing.assert_allclose(g[:-1], activation.derivative(values, y)[:-1], rtol=0, atol=2 * np.finfo(dtype).eps)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-3, 1.0, 300.0]), weighted=st.booleans())
def test_the_formulas_of_the_losses_are_the_same(seed: int, scale: float, weighted: bool) -> None:
    """Values and derivatives, with and without weights, as those of the classes."""
    from nanonet.training.compiled import kernels

    rng = np.random.default_rng(seed)
    rows, count = rng.integers(2, 6, size=2)
    y, weight = scale * rng.normal(size=(rows, count)), rng.random(rows) if weighted else None
    share = np.full(rows, 1 / rows) if weight is None else weight / weight.sum()
    kernel: Any
    for loss, kernel, target in (
        (SquaredError(), kernels.squared_error, rng.normal(size=(rows, count))),
        (CrossEntropy(), kernels.cross_entropy, rng.integers(count, size=rows)),
    ):
        g = np.empty(y.size)
        value = kernel.py_func(y.ravel(), target.ravel(), share, g, count)
        expected, cache = loss.forward(y, target, weight)
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-15)
        np.testing.assert_allclose(g.reshape(y.shape), loss.backward(cache), rtol=1e-12, atol=1e-15)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(1, 2000), which=st.integers(0, len(RULES) - 1))
def test_the_formulas_of_the_rules_are_the_same(seed: int, number: int, which: int) -> None:
    """Of any step, clipping and weight decay included."""
    from nanonet.training.compiled import codes, kernels
    from nanonet.training.compiled.chain import described

    rng, optimizer = np.random.default_rng(seed), RULES[which]()
    decays = np.array([1.0, 0.0, 1.0, 1.0])
    told = described(net(3, 2), SquaredError(), optimizer)
    assert not isinstance(told, str)
    value, grad, first = rng.normal(size=(3, 4))
    states = [first, rng.random(4)][: len(optimizer.states())]
    twins = [array.copy() for array in (value, *states)]
    numbers_ = np.array([*told.numbers, number - 1.0])
    form = np.zeros(codes.ENTRIES, int)
    form[codes.RULE], form[codes.DECAYS] = told.rule, told.decays
    kept = np.concatenate([np.empty(4 * (2 + len(states))), optimizer.weight_decay * decays])
    none = np.empty(0)
    kernel: Any = kernels.update
    assert kernel.py_func(value, grad, *[*states, none, none][:2], form, numbers_, 0.1, kept)
    scale = optimizer.scale(lambda: float(np.linalg.norm(grad)))
    optimizer.apply(twins[0], grad, nanonet.Step(number, 0.1), twins[1:], scale, decays)
    for ours, theirs in zip((value, *states), twins, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(x=st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=20))
def test_exponentials_are_exact_to_a_rounding(dtype: Any, x: list[float]) -> None:
    from nanonet.training.compiled.exponential import exponentials

    values = np.array(x, dtype)
    expected = np.exp(values.astype(np.longdouble))
    exponentials(values)
    assert (np.abs(values - expected) <= np.finfo(dtype).eps * expected).all()


# ---- the same fit


class Counts(Callback):
    """Counts steps, and is called after each."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, float]] = []

    def step_end(self, trainer: Trainer) -> None:
        self.seen.append((trainer.steps, trainer.batch, trainer.batch_loss))


FITS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: {},
    "unshuffled": lambda: {"shuffle": False},
    "fractions and metrics": lambda: {"validation": 0.2, "metrics": [accuracy], "target": LABELS},
    "weights, of which whole batches are 0": lambda: {
        "sample_weight": np.repeat([1, 0, 2.5, 0, 1], 10),
        "shuffle": False,
        "batch_size": 10,
    },
    "a callback after each step": lambda: {"callbacks": [Counts()]},
    "early stopping": lambda: {"validation": (X, TARGET), "callbacks": [EarlyStopping(patience=1)]},
    "one sample at a time": lambda: {"batch_size": 1},
    "all at once": lambda: {"batch_size": 50},
    "labels of a byte": lambda: {"target": LABELS.astype(np.uint8)},
    "whole numbers as target": lambda: {"target": np.arange(100).reshape(50, 2) % 3},
    "columns one after the other": lambda: {"x": np.asfortranarray(X), "shuffle": False},
    "a list": lambda: {"x": X.tolist()},
}


@pytest.mark.parametrize("name", FITS)
def test_a_fit_is_the_same(name: str) -> None:
    trainers, callbacks = [], []
    for fast in (False, True):
        given_: dict[str, Any] = {"x": X, "target": TARGET, "epochs": 4, "batch_size": 8, "verbose": 0} | FITS[name]()
        labels = np.ndim(given_["target"]) == 1
        trainer = Trainer(
            net(3, 5, 3 if labels else 2),
            loss=CrossEntropy() if labels else SquaredError(),
            optimizer=Adam(WarmUp(7, then=CosineRate(0.02, 30))),
            rng=7,
            fast=fast,
        )
        trainer.fit(given_.pop("x"), **given_)
        trainers.append(trainer)
        callbacks.append(given_.get("callbacks", []))
    assert_same(trainers[1], trainers[0])
    assert trainers[0].rng.bit_generator.state == trainers[1].rng.bit_generator.state
    assert trainers[0].history.stopped == trainers[1].history.stopped
    for one, other in zip(*callbacks, strict=True):
        if isinstance(one, Counts):
            np.testing.assert_allclose(one.seen, other.seen, rtol=1e-12)


def test_batches_from_an_iterable_and_from_disk_are_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    for x, target in ((stored, TARGET), ([(X[:20], TARGET[:20]), (X[20:], TARGET[20:])], None)):
        readable, compiled = pair()
        for trainer in (readable, compiled):
            trainer.fit(x, target, epochs=3, batch_size=8, verbose=0)
        assert_same(compiled, readable)


def test_an_epoch_goes_through_the_kernels_in_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch of a fit is under the contract; a callback between epochs does not matter, one of steps does."""
    _, compiled = pair()
    done = calls_of(compiled, monkeypatch)
    compiled.fit(X, TARGET, epochs=2, batch_size=1, verbose=0, callbacks=[EarlyStopping("loss")])
    assert done == [1, 16, 33, 50]  # so many after the first, by which the time of one is known
    done.clear()
    compiled.fit(X, TARGET, epochs=1, batch_size=10, verbose=0, callbacks=[Counts()])
    assert done == [1] * 5


def test_a_checkpoint_after_epochs_leaves_them_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, compiled = pair()
    done = calls_of(compiled, monkeypatch)
    compiled.fit(X, TARGET, epochs=1, batch_size=10, verbose=0, callbacks=[Checkpoint(tmp_path / "run.npz")])
    assert done == [1, 4]


def test_a_batch_that_does_not_count_is_passed_over_by_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    _, compiled = pair()
    done, weight = calls_of(compiled, monkeypatch), np.repeat([1, 0, 2.5, 0, 1], 10)
    compiled.fit(X, TARGET, epochs=2, batch_size=10, verbose=0, shuffle=False, sample_weight=weight)
    assert done == [1, 4, 5]
    assert compiled.steps == 6


def test_how_an_epoch_is_cut_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    trainers = [pair()[1] for _ in range(3)]
    trainers[0].fit(X, TARGET, epochs=3, batch_size=8, verbose=0)
    trainers[1].fit(X, TARGET, epochs=3, batch_size=8, verbose=0, callbacks=[Counts()])
    monkeypatch.setattr("nanonet.training.compiled.epoch.BYTES", 1)  # a batch at a time
    trainers[2].fit(X, TARGET, epochs=3, batch_size=8, verbose=0)
    for other in trainers[1:]:
        assert dict(other.history) == dict(trainers[0].history)
        assert all(map(np.array_equal, numbers(other), numbers(trainers[0])))


def test_a_schedule_of_a_users_own_is_asked_before_each_step_and_sees_the_last() -> None:
    def rate(step: int) -> float:
        return 0.01 if not step else 0.01 * min(1.0, trainer.batch_loss)

    both = []
    for fast in (False, True):
        trainer = Trainer(net(3, 5, 2), loss=SquaredError(), optimizer=SGD(rate), rng=7, fast=fast)
        trainer.fit(X, TARGET, epochs=3, batch_size=8, verbose=0)
        both.append(trainer)
    assert_same(both[1], both[0])


def test_a_schedule_that_fails_ends_the_fit_at_its_step() -> None:
    class Fails(CosineRate):
        def __call__(self, step: int) -> float:
            return -1.0 if step == 9 else 0.01

    readable, compiled = pair(optimizer=lambda: SGD(Fails(0.1, 10)))
    for trainer in (readable, compiled):
        with pytest.raises(ValueError, match="at step 9: expected a finite rate"):
            trainer.fit(X, TARGET, epochs=3, batch_size=8, verbose=0)
    assert_same(compiled, readable)
    assert compiled.steps == 9


# ---- which chains


REFUSED: dict[str, tuple[Callable[[], Trainer], str]] = {
    "layer": (
        lambda: Trainer(Sequential(Linear(3, 2), GELU(), rng=0), loss=SquaredError(), optimizer=SGD(0.1), fast=True),
        "layer 1 is GELU(), where Linear, or Sigmoid, Tanh or ReLU after it, was expected",
    ),
    "loss": (
        lambda: Trainer(net(3, 2), loss=BinaryCrossEntropy(), optimizer=SGD(0.1), fast=True),
        "the loss is BinaryCrossEntropy",
    ),
    "settings of the loss": (
        lambda: Trainer(net(3, 2), loss=CrossEntropy(label_smoothing=0.1), optimizer=SGD(0.1), fast=True),
        "the loss has settings",
    ),
    "ignored labels of the loss": (
        lambda: Trainer(net(3, 2), loss=CrossEntropy(ignore_index=-1), optimizer=SGD(0.1), fast=True),
        "the loss has settings",
    ),
    "a sum of the loss": (
        lambda: Trainer(net(3, 2), loss=CrossEntropy(reduction="sum"), optimizer=SGD(0.1), fast=True),
        "the loss has settings",
    ),
    "a sum of squares of the loss": (
        lambda: Trainer(net(3, 2), loss=SquaredError(reduction="sum"), optimizer=SGD(0.1), fast=True),
        "the loss has settings",
    ),
    "optimizer": (
        lambda: Trainer(net(3, 2), loss=SquaredError(), optimizer=RMSprop(0.1), fast=True),
        "the optimizer is RMSprop",
    ),
    "micro batches": (
        lambda: Trainer(net(3, 2), loss=SquaredError(), optimizer=SGD(0.1), micro_batch_size=2, fast=True),
        "micro_batch_size divides it",
    ),
    "width": (
        lambda: Trainer(net(3, 3000, 2), loss=SquaredError(), optimizer=SGD(0.1), fast=True),
        "a layer of 3000 units is wider than 256",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_qualify_is_trained_readably_and_repr_says_why(name: str) -> None:
    make, why = REFUSED[name]
    trainer = make()
    assert repr(trainer).endswith(f"; not the whole step: {why})\n)")
    x = np.ones((2, 3))
    assert trainer.step(x, [0, 1] if isinstance(trainer.loss, CrossEntropy) else np.ones((2, 2))) >= 0
    assert isinstance(trainer.stepper.plan(), str)  # type: ignore[attr-defined]


def test_subclasses_are_obeyed() -> None:
    class Steep(Sigmoid):
        def function(self, a: Array) -> Array:
            return super().function(8 * a)

        def derivative(self, a: Array, y: Array) -> Array:
            return 8 * super().derivative(a, y)

    class Doubled(SquaredError):
        def function(self, prediction: Array, target: Array) -> Array:
            return 2 * super().function(prediction, target)

        def derivative(self, prediction: Array, target: Array) -> Array:
            return 2 * super().derivative(prediction, target)

    class Slow(SGD):
        def update(self, value: Array, grad: Array, step: nanonet.Step, *state: Any, **nothing: Any) -> None:
            value -= 0.001 * grad

    class Own(Sequential):
        pass

    losses = []
    for activation, loss, optimizer, kind in (
        (Steep, SquaredError, SGD, Sequential),
        (Sigmoid, Doubled, SGD, Sequential),
        (Sigmoid, SquaredError, Slow, Sequential),
        (Sigmoid, SquaredError, SGD, Own),
    ):
        for fast in (False, True):
            model = kind(Linear(3, 2), activation(), rng=0, dtype=np.float64)
            trainer = Trainer(model, loss=loss(), optimizer=optimizer(0.1), rng=7, fast=fast)
            trainer.fit(X, TARGET, epochs=2, verbose=0)
            losses.append(trainer.history["loss"])
        assert losses[-1] == losses[-2]


def test_a_frozen_parameter_stays_and_one_that_is_thawed_moves_again() -> None:
    readable, compiled = pair()
    for trainer in (readable, compiled):
        trainer.step(X[:8], TARGET[:8])
        trainer.model.parameters()["0.weight"].trainable = False
        trainer.step(X[:8], TARGET[:8])
    assert "0.weight is frozen" in repr(compiled)
    for trainer in (readable, compiled):
        trainer.model.parameters()["0.weight"].trainable = True
        trainer.step(X[:8], TARGET[:8])
    assert_same(compiled, readable)


def test_settings_that_are_changed_between_steps_count_at_once() -> None:
    readable, compiled = pair(optimizer=lambda: SGD(0.1, momentum=0.5))
    for trainer in (readable, compiled):
        optimizer: Any = trainer.optimizer
        trainer.step(X[:8], TARGET[:8])
        optimizer.learning_rate, optimizer.momentum, optimizer.weight_decay = 0.05, 0.9, 0.1
        trainer.rate_factor = 0.5
        trainer.step(X[:8], TARGET[:8])
        trainer.loss = nanonet.MeanSquaredError()
        trainer.step(X[:8], TARGET[:8])
    assert_same(compiled, readable)


def test_what_the_loss_rejects_is_rejected_in_the_same_words() -> None:
    readable, compiled = pair(lambda: net(3, 3), loss=CrossEntropy)
    for target, weight in (([0, 3], None), ([0.5, 1], None), ([0], None), ([0, 1], [-1, 1]), ([0, 1], [0, 0])):
        texts = []
        for trainer in (readable, compiled):
            before = numbers(trainer)
            with pytest.raises((ValueError, TypeError)) as caught:
                trainer.step(X[:2], target, weight)
            texts.append((type(caught.value), str(caught.value)))
            assert all(map(np.array_equal, before, numbers(trainer)))
        assert texts[0] == texts[1]
    rows = np.array([[1.0, 0, 0], [0, 0.5, 0.5]])  # rows of probabilities are for the readable path
    assert compiled.step(X[:2], rows) == readable.step(X[:2], rows)


def test_a_strict_block_sees_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    readable, compiled = pair()
    done = calls_of(compiled, monkeypatch)
    for trainer in (readable, compiled):
        with nanonet.strict():
            trainer.step(X[:8], TARGET[:8])
            trainer.fit(X, TARGET, epochs=1, verbose=0)
    assert done == []
    assert_same(compiled, readable)


def test_other_trainers_of_the_numbers_learn_that_they_have_changed() -> None:
    _, compiled = pair()
    memory = compiled.model.vector.memory
    for change in (
        lambda: compiled.step(X[:8], TARGET[:8]),
        lambda: compiled.fit(X, TARGET, epochs=1, batch_size=10, verbose=0),
    ):
        before = memory.version
        change()
        assert memory.version > before


def test_a_copy_trains_on_by_itself() -> None:
    _, compiled = pair()
    compiled.step(X[:8], TARGET[:8])
    other = copy.deepcopy(compiled)
    for trainer in (compiled, other):
        trainer.step(X[8:16], TARGET[8:16])
    assert all(map(np.array_equal, numbers(compiled), numbers(other)))
    assert compiled.model.vector.value is not other.model.vector.value


# ---- steps that are not taken


HUGE, LARGE = X.copy(), X.copy()
HUGE[20] *= 1e200
LARGE[20] *= 1e153


@pytest.mark.parametrize("metrics", [[], [lambda prediction, target: 0.0]])
@pytest.mark.parametrize(
    ("x", "optimizer"),
    [
        (HUGE, lambda: SGD(0.01)),  # a loss that overflows
        (LARGE, lambda: SGD(StepRate(1e-3, every=5, factor=1e103), momentum=0.5)),  # an update that does
        (LARGE, lambda: SGD(StepRate(1e-3, every=5, factor=1e103), momentum=0.5, nesterov=True)),
        (LARGE, lambda: Adam(1e-3)),  # a square of a gradient
    ],
)
def test_a_fit_that_diverges_stops_with_the_same_words_after_the_last_good_step(
    x: Array, optimizer: Callable[[], Optimizer], metrics: list[Any]
) -> None:
    readable, compiled = pair(lambda: net(3, 5, 2, activation=None), optimizer=optimizer)
    texts = []
    for trainer in (readable, compiled):
        with pytest.raises(NonFiniteError, match=r"epoch 1, batch 6") as caught:
            trainer.fit(x, TARGET, epochs=2, batch_size=4, verbose=0, shuffle=False, metrics=metrics)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert_same(compiled, readable)
    assert all(np.isfinite(array).all() for array in numbers(compiled))


def test_a_step_whose_squares_overflow_is_taken_by_the_readable_path() -> None:
    """Gradients of 1e24 are finite in float32, but not their squares, of which a norm to clip is made."""
    readable, compiled = pair(lambda: net(3, 2, dtype=np.float32), lambda: SGD(1e-30, clip_norm=1e25))
    for trainer in (readable, compiled):
        trainer.fit(X * 1e12, TARGET, epochs=1, batch_size=4, verbose=0)
    assert_same(compiled, readable, 1e-4)
    assert compiled.steps == 13


def test_a_state_that_fades_becomes_0_before_it_is_subnormal() -> None:
    """Subnormal numbers are a hundred times as slow; in float32 0.5^n is one from the 127th step on."""
    _, compiled = pair(lambda: net(1, 1, dtype=np.float32), lambda: SGD(0.0, momentum=0.5))
    compiled.step([[1]], [[100]])
    (velocity,) = compiled.stepper.states.values()
    velocity[:] = 1e-30
    model: Any = compiled.model
    target = model(np.ones((1, 1)))
    for _ in range(40):
        compiled.step([[1]], target)
    assert (velocity == 0).all()


def test_ctrl_c_during_a_call_comes_after_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    _, compiled = pair()
    press = {3: lambda: signal.raise_signal(signal.SIGINT)}
    done = calls_of(compiled, monkeypatch, lambda call: press.get(call, bool)())
    history = compiled.fit(X, TARGET, epochs=9, batch_size=1, verbose=0)
    assert history.interrupted
    assert done == [1, 16, 33]
    assert compiled.steps == compiled.batch == 50
    assert compiled.underway is not None
    assert compiled.underway.done == 50


def test_an_exception_right_after_a_call_finds_its_step_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    readable, compiled = pair()

    def interrupt(call: int) -> None:
        raise KeyboardInterrupt

    calls_of(compiled, monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        compiled.step(X[:8], TARGET[:8])
    readable.step(X[:8], TARGET[:8])
    assert_same(compiled, readable)


def test_a_metric_that_fails_prevents_the_step() -> None:
    def fails(prediction: Array) -> None:
        raise RuntimeError("no")

    _, compiled = pair()
    compiled.step(X[:8], TARGET[:8])
    before, steps = numbers(compiled), compiled.steps
    with pytest.raises(RuntimeError, match="no"):
        compiled.stepper.take(X[:8], TARGET[:8], None, fails)
    assert all(map(np.array_equal, before, numbers(compiled)))
    assert compiled.steps == steps
