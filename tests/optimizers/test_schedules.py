"""Schedules: each is the closed form that it is said to be, and PyTorch's where there is one."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    SGD,
    Adam,
    Callback,
    CosineRate,
    CosineRestartRate,
    ExponentialRate,
    InverseTimeRate,
    NoamRate,
    OneCycleRate,
    Optimizer,
    PiecewiseRate,
    PolynomialRate,
    ReduceOnPlateau,
    Rprop,
    Schedule,
    SquaredError,
    StepRate,
    Trainer,
    WarmUp,
)
from tests.helpers import Momentum, Scripted, data, everything, picture, train
from tests.registry import concrete

X, TARGET = data(samples=12)
TEXT: Any = "a"
HALF: Any = 1.5


def restarted(step: int) -> float:
    """Return the share of the cycle that has passed, for cycles of 10, 20, 40 and 80 steps."""
    begins, length = next((b, n) for b, n in ((0, 10), (10, 20), (30, 40), (70, 80)) if step < b + n)
    return (step - begins) / length


CLOSED: list[tuple[Schedule, Callable[[int], float]]] = [
    (StepRate(0.4, every=7), lambda k: 0.4 * 0.1 ** (k // 7)),
    (StepRate(0.4, every=1, factor=0.5), lambda k: 0.4 / 2**k),
    (ExponentialRate(0.3, factor=0.97), lambda k: 0.3 * math.exp(k * math.log(0.97))),
    (ExponentialRate(0.3, factor=1.0), lambda k: 0.3),
    (CosineRate(0.2, 50), lambda k: 0.2 * math.cos(math.pi * min(k, 50) / 100) ** 2),
    (CosineRate(0.2, 50, end=0.02), lambda k: 0.02 + 0.18 * math.cos(math.pi * min(k, 50) / 100) ** 2),
    (CosineRate(0.02, 50, end=0.2), lambda k: 0.2 - 0.18 * math.cos(math.pi * min(k, 50) / 100) ** 2),
    (CosineRestartRate(0.2, 25, end=0.02), lambda k: 0.02 + 0.18 * math.cos(math.pi * (k % 25) / 50) ** 2),
    (
        CosineRestartRate(0.2, 10, factor=2),
        lambda k: 0.2 * math.cos(math.pi * restarted(k) / 2) ** 2,
    ),
    (PolynomialRate(0.2, 50, power=3), lambda k: 0.2 * (1 - min(k, 50) / 50) ** 3),
    (PolynomialRate(0.2, 50, end=0.1), lambda k: 0.2 - 0.1 * min(k, 50) / 50),
    (InverseTimeRate(0.3, decay=0.2), lambda k: 0.3 / (1 + k / 5)),
    (NoamRate(64, 20, factor=2), lambda k: 0.25 * min((k + 1) ** -0.5, (k + 1) * 20**-1.5)),
    (PiecewiseRate({0: 0.3, 100: 0.1, 20: 0.2}), lambda k: 0.3 if k < 20 else 0.2 if k < 100 else 0.1),
    (
        PiecewiseRate({0: 1, 30: ExponentialRate(0.5, factor=0.9)}),
        lambda k: 1.0 if k < 30 else 0.5 * 0.9 ** (k - 30),
    ),
    (WarmUp(10, then=0.5), lambda k: 0.5 * min(k, 10) / 10),
    (WarmUp(10, then=0.5, start=0.1), lambda k: 0.1 + 0.4 * min(k, 10) / 10),
    (
        WarmUp(10, then=ExponentialRate(0.5, factor=0.9)),
        lambda k: 0.05 * k if k < 10 else 0.5 * 0.9 ** (k - 10),
    ),
    (
        WarmUp(4, then=WarmUp(4, then=1.0, start=0.5)),
        lambda k: k / 8 if k < 4 else min(0.5 + (k - 4) / 8, 1.0),
    ),
    (
        OneCycleRate(1.0, 100, up=0.51, divide=10, end_divide=100),
        lambda k: (
            0.1 + 0.9 * math.sin(math.pi * k / 100) ** 2
            if k <= 50
            else 0.001 + 0.999 * math.cos(math.pi * (min(k, 99) - 50) / 98) ** 2
        ),
    ),
]


@pytest.mark.parametrize(("schedule", "rate"), CLOSED, ids=[repr(schedule) for schedule, _ in CLOSED])
def test_a_schedule_is_its_closed_form(schedule: Schedule, rate: Callable[[int], float]) -> None:
    found = [schedule(step) for step in range(150)]
    np.testing.assert_allclose(found, [rate(step) for step in range(150)], rtol=1e-12, atol=1e-15)
    assert {type(number) for number in found} == {float}
    assert SGD(schedule).rate(3) == found[3]


def test_every_schedule_of_the_package_is_compared_with_a_closed_form() -> None:
    assert {type(schedule) for schedule, _ in CLOSED} == set(concrete(Schedule))  # type: ignore[type-abstract]  # the base is meant


Scheduler = Callable[[Any, Any], Any]
THERE: list[tuple[Schedule, float, Scheduler]] = [
    (StepRate(0.4, every=7, factor=0.3), 0.4, lambda lr, rule: lr.StepLR(rule, 7, 0.3)),
    (ExponentialRate(0.3, factor=0.97), 0.3, lambda lr, rule: lr.ExponentialLR(rule, 0.97)),
    (CosineRate(0.2, 60, end=0.01), 0.2, lambda lr, rule: lr.CosineAnnealingLR(rule, 60, 0.01)),
    (PolynomialRate(0.2, 40, power=1.5), 0.2, lambda lr, rule: lr.PolynomialLR(rule, 40, 1.5)),
    (InverseTimeRate(0.2, decay=0.1), 0.2, lambda lr, rule: lr.LambdaLR(rule, lambda k: 1 / (1 + 0.1 * k))),
    (
        PiecewiseRate({0: 0.2, 7: 0.02, 30: 0.002}),
        0.2,
        lambda lr, rule: lr.MultiStepLR(rule, [7, 30]),
    ),
    (
        PiecewiseRate({0: 0.2, 20: CosineRate(0.2, 40)}),
        0.2,
        lambda lr, rule: lr.SequentialLR(rule, [lr.ConstantLR(rule, 1.0), lr.CosineAnnealingLR(rule, 40)], [20]),
    ),
    (WarmUp(10, then=0.5, start=0.05), 0.5, lambda lr, rule: lr.LinearLR(rule, 0.1, 1.0, 10)),
    (OneCycleRate(0.5, 61), 0.5, lambda lr, rule: lr.OneCycleLR(rule, 0.5, total_steps=61)),
    (
        OneCycleRate(0.5, 61, up=0.4, divide=10, end_divide=50),
        0.5,
        lambda lr, rule: lr.OneCycleLR(rule, 0.5, total_steps=61, pct_start=0.4, div_factor=10, final_div_factor=50),
    ),
]


@pytest.mark.peer
@pytest.mark.parametrize(("schedule", "rate", "there"), THERE, ids=[repr(each[0]) for each in THERE])
def test_a_schedule_is_pytorchs(schedule: Schedule, rate: float, there: Scheduler) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler, rates = there(torch.optim.lr_scheduler, rule), []
    for step in range(61):
        rates.append(rule.param_groups[0]["lr"])
        rule.step()
        if step < 60:
            scheduler.step()
    np.testing.assert_allclose([schedule(step) for step in range(61)], rates, rtol=1e-10, atol=1e-15)


@pytest.mark.peer
@given(steps=st.integers(1, 20), factor=st.integers(1, 3), end=st.floats(0, 0.1))
def test_restarts_are_pytorchs(steps: int, factor: int, end: float) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(rule, steps, factor, end)
    schedule = CosineRestartRate(0.2, steps, factor=factor, end=end)
    for step in range(50):
        assert schedule(step) == pytest.approx(rule.param_groups[0]["lr"], rel=1e-10)
        rule.step()
        scheduler.step()


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_short_cycle_has_rates_within_its_bounds(steps: int) -> None:
    rates = [OneCycleRate(0.5, steps)(step) for step in range(steps + 3)]
    assert all(0.5 / 25 / 1e4 <= rate <= 0.5 for rate in rates)
    assert rates[-1] == pytest.approx(0.5 / 25 / 1e4)


# ---- any callable of the step


class Rates(Callback):
    """Notes the rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def step_end(self, trainer: Trainer) -> None:
        self.seen.append(trainer.learning_rate)


def halving(step: int, start: float = 0.2) -> float:
    return float(start / 2**step)


class Object:
    def __call__(self, step: int) -> np.float32:
        return np.float32(0.25 / 2**step)


CALLABLES: list[Callable[[int], Any]] = [
    halving,
    lambda step: 0.2 / (1 + step),
    functools.partial(halving, start=0.3),
    Object(),
    lambda step: 1 if step == 0 else 0,
    StepRate(0.2, every=2),
]


@pytest.mark.parametrize("schedule", CALLABLES, ids=range(len(CALLABLES)))
def test_any_callable_of_the_step_is_a_schedule_and_steps_count_from_0(schedule: Callable[[int], Any]) -> None:
    rates = Rates()
    trainer = Trainer(everything(), loss=SquaredError(), optimizer=SGD(schedule))
    trainer.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[rates])
    trainer.fit([(X, TARGET)] * 2, epochs=1, callbacks=[rates])
    assert rates.seen == [float(schedule(step)) for step in range(8)]
    assert {type(rate) for rate in rates.seen} == {float}


@pytest.mark.parametrize("cls", [SGD, Adam, Momentum])
def test_a_fit_with_a_schedule_is_one_whose_rate_is_set_before_each_step(cls: type[Optimizer]) -> None:
    by_schedule, by_hand = everything(), everything()
    train(by_schedule, X, TARGET, optimizer=cls(halving), epochs=4, batch_size=100, shuffle=False)
    optimizer = cls(1.0)
    trainer = Trainer(by_hand, loss=SquaredError(), optimizer=optimizer)
    for step in range(4):
        optimizer.learning_rate = halving(step)
        trainer.step(X, TARGET)
    assert picture(by_schedule) == picture(by_hand)


def test_rprop_takes_the_rate_of_step_0_as_its_first_size() -> None:
    first, second = everything(), everything()
    train(first, X, TARGET, optimizer=Rprop(lambda step: 0.02 + step), epochs=5)
    train(second, X, TARGET, optimizer=Rprop(0.02), epochs=5)
    assert picture(first) == picture(second)


# ---- schedules that go wrong


def wrong_at(step: int, then: Any) -> Callable[[int], Any]:
    def planned(number: int) -> Any:
        return 0.1 if number < step else then

    return planned


@pytest.mark.parametrize(
    ("then", "kind", "message"),
    [
        (-0.1, ValueError, "expected a finite rate of 0 or more, got -0.1"),
        (math.nan, ValueError, "expected a finite rate of 0 or more, got nan"),
        (math.inf, ValueError, "expected a finite rate of 0 or more, got inf"),
        (np.float64(-1), ValueError, "expected a finite rate of 0 or more, got -1.0"),
        (None, TypeError, "expected rate as a number, got None"),
        ("0.1", TypeError, "expected rate as a number, got '0.1'"),
        (True, TypeError, "expected rate as a number, got True"),
    ],
)
@pytest.mark.parametrize("step", [3, 5, 8])
def test_a_schedule_that_goes_wrong_is_named_with_the_step_before_which_the_model_stands(
    step: int, then: Any, kind: type[Exception], message: str
) -> None:
    batches = [(X, TARGET)] * 9
    model, same = everything(), everything()
    trainer = Trainer(model, loss=SquaredError(), optimizer=Momentum(wrong_at(step, then)))
    with pytest.raises(kind, match=re.escape(f"Momentum: schedule planned at step {step}: {message}")):
        trainer.fit(batches, epochs=1)
    train(same, batches[:step], None, optimizer=Momentum(0.1))
    assert picture(model) == picture(same)
    assert trainer.steps == step


def test_a_schedule_is_asked_once_for_each_step_as_the_steps_come() -> None:
    asked: list[int] = []

    class Stops(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            if trainer.epoch == 2:
                trainer.stop("enough")

    def rate(step: int) -> float:
        asked.append(step)
        return 0.01

    train(everything(), X, TARGET, optimizer=SGD(rate), epochs=10**9, batch_size=5, callbacks=[Stops()])
    assert asked == list(range(6))


def test_a_schedule_may_have_a_state_of_its_own() -> None:
    rates = iter([0.1, 0.05, 0.02, 0.01])
    history = train(everything(), X, TARGET, optimizer=SGD(lambda step: next(rates)), epochs=2, batch_size=6)
    assert history.epochs == 2


def test_a_schedule_that_goes_wrong_later_than_the_fit_goes_is_no_matter() -> None:
    trainer = Trainer(everything(), loss=SquaredError(), optimizer=SGD(wrong_at(6, -1.0)))
    trainer.fit(X, TARGET, epochs=2, batch_size=5)
    with pytest.raises(ValueError, match="at step 6"):
        trainer.step(X, TARGET)
    assert trainer.steps == 6


def test_for_an_iterable_a_schedule_is_asked_step_by_step_and_the_model_stands_before_the_wrong_one() -> None:
    model, same = everything(), everything()
    with pytest.raises(ValueError, match="schedule planned at step 2: expected a finite rate of 0 or more, got -1"):
        train(model, [(X, TARGET)] * 4, None, optimizer=SGD(wrong_at(2, -1.0)))
    train(same, [(X, TARGET)] * 2, None)
    assert picture(model) == picture(same)


def test_a_schedule_without_a_name_is_told_by_its_repr() -> None:
    schedule = WarmUp(3, then=0.1)
    schedule.then = -1.0
    with pytest.raises(ValueError, match=re.escape("SGD: schedule WarmUp(3, then=0.1) at step 1: expected a finite")):
        train(everything(), X, TARGET, optimizer=SGD(schedule), epochs=5, batch_size=100)


def test_a_rate_that_grows_beyond_all_numbers_is_named_with_its_step() -> None:
    schedule = ExponentialRate(1e-300, factor=10.0)
    with pytest.raises(ValueError, match="at step 400"):
        SGD(schedule).rate(400)
    assert SGD(schedule).rate(300) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: StepRate(-0.1, every=3), ValueError, "StepRate: expected a finite rate of 0 or more, got -0.1"),
        (lambda: StepRate(0.1, every=0), ValueError, "StepRate: expected every of 1 or more, got 0"),
        (lambda: StepRate(0.1, every=3, factor=-1), ValueError, "StepRate: expected a finite factor of 0 or more"),
        (lambda: ExponentialRate(TEXT, factor=1), TypeError, "ExponentialRate: expected rate as a number, got 'a'"),
        (lambda: ExponentialRate(1, factor=-1), ValueError, "ExponentialRate: expected a finite factor of 0 or more"),
        (lambda: CosineRate(0.1, 0), ValueError, "CosineRate: expected steps of 1 or more, got 0"),
        (lambda: CosineRate(0.1, 9, end=-1), ValueError, "CosineRate: expected a finite end of 0 or more, got -1"),
        (lambda: WarmUp(0, then=0.1), ValueError, "WarmUp: expected steps of 1 or more, got 0"),
        (lambda: WarmUp(3, then=-0.1), ValueError, "WarmUp: expected a finite then of 0 or more, got -0.1"),
        (lambda: WarmUp(3, then=0.1, start=-1), ValueError, "WarmUp: expected a finite start of 0 or more, got -1"),
        (lambda: OneCycleRate(0.1, 10, up=1.5), ValueError, "OneCycleRate: expected a finite up of 0 or more and at"),
        (lambda: OneCycleRate(0.1, 10, divide=0.5), ValueError, "OneCycleRate: expected a finite divide of 1 or more"),
        (lambda: CosineRestartRate(0.1, 5, factor=HALF), TypeError, "CosineRestartRate: expected factor as an int"),
        (lambda: PolynomialRate(0.1, 5, power=-1), ValueError, "PolynomialRate: expected a finite power of 0 or more"),
        (lambda: InverseTimeRate(0.1, decay=-1), ValueError, "InverseTimeRate: expected a finite decay of 0 or more"),
        (lambda: NoamRate(0, 10), ValueError, "NoamRate: expected width of 1 or more, got 0"),
        (lambda: PiecewiseRate({1: 0.1}), ValueError, "PiecewiseRate: expected a table that begins at step 0, got {1"),
        (
            lambda: PiecewiseRate(TEXT),
            TypeError,
            "PiecewiseRate: expected a table from steps to rates, such as {0",
        ),
        (lambda: PiecewiseRate({0: 0.1, HALF: 1}), TypeError, "PiecewiseRate: expected a step as an int, got 1.5"),
        (lambda: PiecewiseRate({0: -1}), ValueError, "PiecewiseRate: expected a finite rate from step 0 of 0 or more"),
        (lambda: OneCycleRate(0.1, HALF), TypeError, "OneCycleRate: expected steps as an int, got 1.5"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused_in_the_constructor(
    make: Callable[[], Schedule], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


# ---- ReduceOnPlateau

LOSSES = [5, 4, 4.2, 4.1, 4.3, 3.9, 3.95, 3.9, 3.9, 4, 4, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7, 2, 1, 1.5, 1.4, 1.3]


def plateau_rates(numbers: list[float], callback: ReduceOnPlateau) -> list[float]:
    """Return the rate after each epoch, for a metric that gives these numbers."""
    rates: list[float] = []

    class After(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            rates.append(0.5 * trainer.rate_factor)

    train(
        everything(),
        X,
        TARGET,
        optimizer=SGD(0.0),
        epochs=len(numbers),
        metrics=[Scripted(numbers)],
        callbacks=[callback, After()],
    )
    return rates


@pytest.mark.peer
@pytest.mark.parametrize("margin", [0.0, 0.15])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [1, 2, 3, 5])
def test_reduce_on_plateau_is_pytorchs_with_a_patience_smaller_by_one(patience: int, mode: str, margin: float) -> None:
    """Ours lowers the rate in the last of so many bad epochs, as EarlyStopping stops in it; PyTorch's in the next."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    numbers = [float(number) for number in LOSSES] if mode == "min" else [-float(number) for number in LOSSES]
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    there = torch.optim.lr_scheduler.ReduceLROnPlateau(
        rule, mode=mode, factor=0.4, patience=patience - 1, threshold=margin, threshold_mode="abs", eps=0
    )
    rates = []
    for number in numbers:
        there.step(number)
        rates.append(rule.param_groups[0]["lr"])
    ours = plateau_rates(numbers, ReduceOnPlateau("number", patience, factor=0.4, mode=mode, margin=margin))
    np.testing.assert_allclose(ours, rates, rtol=1e-12)
    assert rates[-1] < 0.5


def test_a_lowered_rate_is_that_of_the_next_step_and_multiplies_a_schedule() -> None:
    rates, number = Rates(), Scripted([1.0, 2.0, 2.0, 2.0, 2.0])
    plateau = ReduceOnPlateau("number", 2, factor=0.5, mode="min")
    settings: dict[str, Any] = {"optimizer": SGD(halving), "metrics": [number], "callbacks": [plateau, rates]}
    train(everything(), X, TARGET, epochs=5, **settings)
    assert rates.seen == [halving(0), halving(1), halving(2), halving(3) * 0.5, halving(4) * 0.5]


def test_a_lowered_rate_stays_for_the_next_fit_of_a_trainer() -> None:
    trainer = Trainer(everything(), loss=SquaredError(), optimizer=SGD(0.0))
    trainer.fit(X, TARGET, epochs=3, callbacks=[ReduceOnPlateau("loss", 1, factor=0.5, margin=1e6)])
    assert trainer.rate_factor == 0.25
    trainer.optimizer.learning_rate = 0.1
    trainer.fit(X, TARGET, epochs=1)
    assert trainer.learning_rate == 0.025
