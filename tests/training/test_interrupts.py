"""Ctrl-C and overflow find a step whole or not taken, also where no copy is kept from which it could be undone."""

import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Array,
    Callback,
    Linear,
    NonFiniteError,
    Optimizer,
    RMSprop,
    Rprop,
    Sequential,
    SquaredError,
    Step,
    Trainer,
)
from nanonet.training.atomic import BLOCK, Shield

X = np.random.default_rng(0).normal(size=(12, 3))
TARGET = np.random.default_rng(1).normal(size=(12, 2))

OPTIMIZERS: list[Callable[[], Optimizer]] = [
    lambda: SGD(0.1),
    lambda: SGD(0.1, momentum=0.9),
    lambda: SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.5),
    lambda: Adagrad(0.1),
    lambda: RMSprop(0.1),
    lambda: RMSprop(0.1, momentum=0.9, weight_decay=2.0, epsilon=10.0),
    lambda: Adam(0.1),
    lambda: AdamW(0.1, weight_decay=30.0, epsilon=1e12),
    lambda: Rprop(0.1),
]


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def trainer_of(optimizer: Optimizer, rng: int = 0) -> Trainer:
    return Trainer(Sequential(Linear(3, 2), rng=rng), loss=SquaredError(), optimizer=optimizer)


def numbers(trainer: Trainer) -> list[Array]:
    return [trainer.model.vector.value.copy(), *(state.copy() for state in trainer.stepper.states.values())]


class PressesInUpdate(SGD):
    """SGD with momentum that is interrupted between its two changes, at one step; it keeps SGD's bounds."""

    presses_at = 0

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        (velocity,) = state
        velocity *= self.momentum
        if step.number == self.presses_at and value.size > 4:  # the first batch rehearses the rule on 4 numbers
            press_ctrl_c()
        velocity += grad
        value -= step.learning_rate * velocity

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        return SGD.bounds(self, value, state, grad, step)


class PressesUnbounded(PressesInUpdate):
    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        return Optimizer.bounds(self, value, state, grad, step)


@pytest.mark.parametrize(("kind", "taken"), [(PressesInUpdate, 7), (PressesUnbounded, 6)])
def test_ctrl_c_in_an_update_leaves_the_numbers_of_a_whole_step(kind: type[PressesInUpdate], taken: int) -> None:
    """A rule that is bounded is let come to its end; another is undone."""
    optimizer = kind(0.1, momentum=0.9)
    optimizer.presses_at = 7
    pressed = trainer_of(optimizer)
    history = pressed.fit(X, TARGET, epochs=5, batch_size=4, verbose=0)
    assert history.interrupted
    assert pressed.steps == taken
    again = trainer_of(SGD(0.1, momentum=0.9))
    again.fit(X, TARGET, epochs=5, batch_size=4, verbose=0, callbacks=[StopsAfter(taken)])
    for one, other in zip(numbers(pressed), numbers(again), strict=True):
        np.testing.assert_array_equal(one, other)


class StopsAfter(Callback):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps == self.steps:
            raise KeyboardInterrupt


def test_a_large_model_is_whole_after_ctrl_c_in_a_step_by_hand() -> None:
    model = Sequential(Linear(BLOCK, 2), rng=0)
    optimizer = PressesInUpdate(1e-6, momentum=0.9)
    optimizer.presses_at = 2
    trainer = Trainer(model, loss=SquaredError(), optimizer=optimizer)
    x, target = np.ones((1, BLOCK)), np.ones((1, 2))
    trainer.step(x, target)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(x, target)
    again = Trainer(Sequential(Linear(BLOCK, 2), rng=0), loss=SquaredError(), optimizer=SGD(1e-6, momentum=0.9))
    again.step(x, target)
    again.step(x, target)
    assert trainer.steps == 2
    np.testing.assert_array_equal(trainer.model.vector.value, again.model.vector.value)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_small_model_is_as_before_after_ctrl_c_in_a_step_by_hand() -> None:
    optimizer = PressesInUpdate(0.1, momentum=0.9)
    optimizer.presses_at = 2
    trainer = trainer_of(optimizer)
    trainer.step(X, TARGET)
    before = numbers(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(X, TARGET)
    assert trainer.steps == 1
    for one, other in zip(numbers(trainer), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_ctrl_c_is_the_users_again_after_a_fit_however_it_ends() -> None:
    mine = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        handler = signal.getsignal(signal.SIGINT)
        trainer = trainer_of(SGD(0.1))
        trainer.fit(X, TARGET, epochs=1, verbose=0)
        assert signal.getsignal(signal.SIGINT) is handler
        with pytest.raises(NonFiniteError):
            trainer_of(SGD(1e30)).fit(X, TARGET, epochs=50, verbose=0)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, mine)


def test_a_handler_of_the_users_own_is_called_once_the_step_is_whole() -> None:
    seen: list[int] = []
    optimizer = PressesInUpdate(0.1, momentum=0.9)
    optimizer.presses_at = 3
    trainer = trainer_of(optimizer)
    mine = signal.signal(signal.SIGINT, lambda number, frame: seen.append(trainer.steps))
    try:
        trainer.fit(X, TARGET, epochs=5, batch_size=4, verbose=0)
    finally:
        signal.signal(signal.SIGINT, mine)
    assert seen == [3]
    assert trainer.steps == 15


def test_ctrl_c_between_steps_is_not_held_back() -> None:
    class Presses(Callback):
        def step_end(self, trainer: Trainer) -> None:
            press_ctrl_c()
            raise AssertionError("it should have been raised by now")

    trainer = trainer_of(SGD(0.1))
    assert trainer.fit(X, TARGET, epochs=2, verbose=0, callbacks=[Presses()]).interrupted
    assert trainer.steps == 1


def test_a_fit_in_another_thread_stands_before_nothing() -> None:
    trainer, before = trainer_of(SGD(0.1)), signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: trainer.fit(X, TARGET, epochs=3, verbose=0))
    thread.start()
    thread.join()
    assert trainer.steps == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_shields_stand_within_each_other() -> None:
    outer, inner = Shield(), Shield()
    with outer, inner:
        outer.open()
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            inner.open()
    with outer:
        with inner:
            inner.open()
            press_ctrl_c()  # the inner one lets it through to the outer, where it waits
        with pytest.raises(KeyboardInterrupt):
            outer.open()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---- what a rule says of its own reach


@settings(max_examples=60)
@given(
    kind=st.integers(0, len(OPTIMIZERS) - 1),
    rate=st.sampled_from([0.0, 1e-3, 1.0, 50.0]),
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    rng=st.integers(0, 2**32 - 1),
)
def test_no_number_exceeds_what_the_rule_says_it_may_reach(kind: int, rate: float, scale: float, rng: int) -> None:
    optimizer, draw = OPTIMIZERS[kind](), np.random.default_rng(rng)
    optimizer.learning_rate = rate
    value = draw.normal(size=20) * scale
    states = [np.full(20, start) for start in optimizer.states().values()]
    top, tops = float(np.abs(value).max()), [float(np.abs(state).max()) for state in states]
    for number in range(1, 30):
        grad = draw.normal(size=20) * scale * draw.choice([0.0, 1.0, 1e3])
        step = Step(number, rate)
        top, tops = optimizer.reach(top, tops, float(np.abs(grad).max()), step)
        optimizer.apply(value, grad, step, states, 1.0, 1.0)
        for bound, array in zip([top, *tops], [value, *states], strict=True):
            assert np.abs(array).max() <= bound * (1 + 1e-9)


def test_every_built_in_rule_says_what_it_reaches() -> None:
    for make in OPTIMIZERS:
        assert trainer_of(make()).stepper.bounds.are_stated


def test_a_class_that_overrides_update_does_not_keep_its_parents_bounds() -> None:
    class Doubled(SGD):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            value -= 2 * step.learning_rate * grad

    class Redoubled(Doubled):
        def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
            return value + 2 * step.learning_rate * grad, []

    assert Doubled(0.1).bounds(1.0, [], 1.0, Step(1, 0.1)) == (math.inf, [])
    assert Redoubled(0.5).bounds(1.0, [], 1.0, Step(1, 0.5)) == (2.0, [])


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize(("dtype", "slope", "rates"), [(np.float32, 1e15, 1e28), (np.float64, 1e150, 1e290)])
def test_a_step_that_overflows_is_undone_and_one_that_does_not_is_taken(
    make: Callable[[], Optimizer], dtype: type, slope: float, rates: float
) -> None:
    refused = 0
    for rate in np.geomspace(1e-3, rates, 60).tolist():
        optimizer = make()
        optimizer.learning_rate = rate
        model = Sequential(Linear(1, 1, bias=False), dtype=dtype, rng=0)
        trainer = Trainer(model, loss=Sloped(slope), optimizer=optimizer)
        before = numbers(trainer)
        try:
            with trainer.stepper.shield:  # as in a fit, where no copy is kept if none is needed
                trainer.stepper.shield.open()
                trainer.step([[1.0]], [[0.0]])
        except NonFiniteError:
            refused += 1
            assert all(map(np.array_equal, numbers(trainer), before))
        assert all(np.isfinite(array).all() for array in numbers(trainer))
    assert refused < 60
    assert refused > 0 or not isinstance(make(), SGD)


def test_numbers_that_grow_step_by_step_are_undone_in_the_step_that_overflows() -> None:
    """What a rule reaches is added up; where that comes near the limit, the numbers are measured anew, and kept."""
    model = Sequential(Linear(1, 1, bias=False, weight=[[1.0]]), rng=0)
    trainer = Trainer(model, loss=Sloped(1e10), optimizer=SGD(1e26))
    before = numbers(trainer)
    with trainer.stepper.shield:
        trainer.stepper.shield.open()
        for _ in range(1000):
            before = numbers(trainer)
            try:
                trainer.step([[1.0]], [[0.0]])
            except NonFiniteError:
                break
    assert 300 < trainer.steps < 400
    assert all(map(np.array_equal, numbers(trainer), before))
    assert np.isfinite(model.vector.value).all()


class Sloped(SquaredError):
    """A loss of a given slope everywhere, whatever the prediction."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        return 0.0, prediction

    def backward(self, cache: Any) -> Array:
        grad: Array = np.full_like(cache, -self.slope)
        return grad


# ---- other signals, and exceptions that no shield holds back


class Raises(SGD):
    """SGD whose update is broken off between its two changes, at one step, by whatever it is given to do."""

    def __init__(self, at: int, do: Callable[[], object]) -> None:
        super().__init__(0.1, momentum=0.9)
        self.at, self.do = at, do

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        (velocity,) = state
        velocity *= self.momentum
        if step.number == self.at and value.size > 4:
            self.do()
        velocity += grad
        value -= step.learning_rate * velocity

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        return SGD.bounds(self, value, state, grad, step)


class Ends(BaseException):
    """What a handler of a user's own raises."""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGALRM", "SIGUSR1", "SIGHUP"])
@pytest.mark.parametrize("set_within", [False, True])
def test_any_signal_whose_handler_raises_finds_the_step_whole(name: str, set_within: bool) -> None:
    number = getattr(signal, name)
    optimizer = Raises(7, lambda: signal.raise_signal(number))
    trainer = trainer_of(optimizer)

    def end(number: int, frame: Any) -> None:
        raise Ends

    class Sets(Callback):
        def step_end(self, trainer: Trainer) -> None:
            signal.signal(number, end)

    before = signal.getsignal(number)
    try:
        if not set_within:
            signal.signal(number, end)
        with pytest.raises(Ends):
            trainer.fit(X, TARGET, epochs=5, batch_size=4, verbose=0, callbacks=[Sets()] if set_within else [])
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
    again = trainer_of(SGD(0.1, momentum=0.9))
    again.fit(X, TARGET, epochs=5, batch_size=4, verbose=0, callbacks=[StopsAfter(7)])
    assert trainer.steps == again.steps == 7
    assert all(map(np.array_equal, numbers(trainer), numbers(again)))


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit, ValueError])
def test_a_step_that_is_broken_off_by_its_own_rule_is_undone_where_a_copy_is_kept(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("in the middle")

    trainer = trainer_of(Raises(3, fail))
    trainer.step(X, TARGET)
    trainer.step(X, TARGET)
    before = numbers(trainer)
    with pytest.raises(error):
        trainer.step(X, TARGET)
    assert trainer.steps == 2
    assert all(map(np.array_equal, numbers(trainer), before))


@pytest.mark.parametrize("error", [MemoryError, SystemExit, ValueError])
def test_a_step_that_could_not_be_undone_is_neither_saved_nor_gone_on_from(
    error: type[BaseException], tmp_path: Path
) -> None:
    def fail() -> None:
        raise error("in the middle")

    trainer, path = trainer_of(Raises(7, fail)), tmp_path / "run.npz"
    trainer.fit(X, TARGET, epochs=1, batch_size=4, verbose=0)
    trainer.save(path)
    with pytest.raises(error):
        trainer.fit(X, TARGET, epochs=3, batch_size=4, verbose=0)
    for use in (
        lambda: trainer.save(tmp_path / "torn.npz"),
        lambda: trainer.step(X, TARGET),
        lambda: trainer.fit(X, TARGET, epochs=1),
    ):
        with pytest.raises(RuntimeError, match=r"interrupted the update of step 7.*trainer\.resume\(path\)"):
            use()
    assert not (tmp_path / "torn.npz").exists()
    trainer.resume(path)
    assert trainer.steps == 3
    trainer.step(X, TARGET)


# ---- bounds hold for the numbers that are there


HUGE = 3e38

WRITERS: list[Callable[[Trainer], object]] = [
    lambda trainer: trainer.model.load_state_dict({"0.weight": np.full((2, 3), HUGE), "0.bias": np.zeros(2)}),
    lambda trainer: setattr(trainer.model.parameters()["0.weight"], "value", np.full((2, 3), HUGE)),
    lambda trainer: setattr(trainer.model.vector, "value", np.r_[np.full(6, HUGE), 0, 0]),
    lambda trainer: setattr(trainer.model[:].vector, "value", np.r_[np.full(6, HUGE), 0, 0]),
]


def doubling() -> Trainer:
    """Return a trainer each of whose steps turns w into -w, or, beyond half of the largest number, overflows."""
    return trainer_of(SGD(1.0, weight_decay=2.0))


@pytest.mark.parametrize("write", WRITERS)
def test_a_step_that_overflows_is_refused_whoever_wrote_the_numbers(write: Callable[[Trainer], object]) -> None:
    trainer, zeros = doubling(), (np.zeros((4, 3)), np.zeros((4, 2)))
    with trainer.stepper.shield:
        trainer.stepper.shield.open()
        trainer.step(*zeros)
        assert trainer.stepper.bounds.known is not None
        write(trainer)
        before = numbers(trainer)
        with pytest.raises(NonFiniteError, match=r"the update of 0\.weight is the first that is not finite"):
            trainer.step(*zeros)
    assert all(map(np.array_equal, numbers(trainer), before))


def test_numbers_that_a_callback_writes_in_place_are_measured_anew() -> None:
    class Writes(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == 2:
                trainer.model.parameters()["0.weight"].value[...] = HUGE

    trainer = doubling()
    with pytest.raises(NonFiniteError, match="step 3"):
        trainer.fit(np.zeros((8, 3)), np.zeros((8, 2)), epochs=5, callbacks=[Writes()], verbose=0)
    np.testing.assert_array_equal(trainer.model.parameters()["0.weight"].value, np.float32(HUGE))
