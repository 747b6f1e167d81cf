"""Rates and decays by names: each parameter learns as in a group of PyTorch's, whatever cuts the vector besides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    SGD,
    Adam,
    AdamW,
    CosineRate,
    Linear,
    NonFiniteError,
    Optimizer,
    Parameter,
    Rprop,
    Sequential,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    weights_only,
)
from nanonet.optimizers import compiled
from nanonet.training import atomic
from tests.helpers import data, train
from tests.optimizers.test_optimizers import Twins, deep, with_settings
from tests.registry import OPTIMIZERS, OptimizerCase, params

NAMES = list(deep().parameters())
BY_RATE = {cls: cases for cls, cases in OPTIMIZERS.items() if cls is not Rprop}
RATES = {"0.*": 0.1, "*.bias": 3.0, "2.weight": 0.0}
DECAYS = {"4.*": 2.5, "*.bias": 0.0}

factors = st.sampled_from([0.0, 0.1, 1.0, 1.5])


def first_match(table: dict[str, float], name: str) -> float:
    """Return the factor for a name, with no patterns but * at an end."""
    return next((f for p, f in table.items() if name.startswith(p.rstrip("*")) or name.endswith(p.lstrip("*"))), 1.0)


@pytest.mark.peer
@pytest.mark.parametrize("frozen", [(), ("2.bias",)], ids=["all trainable", "one frozen"])
@pytest.mark.parametrize("case", params(BY_RATE))
def test_parameters_learn_as_in_groups_of_pytorchs(case: OptimizerCase, frozen: tuple[str, ...]) -> None:
    optimizer = with_settings(case.make(), weight_decay=0.2)
    optimizer.rates, optimizer.decays = RATES, DECAYS
    twins, base = Twins(optimizer, frozen), float(optimizer.rate(0))
    groups = [
        {"params": [each], "lr": base * first_match(RATES, name), "weight_decay": 0.2 * first_match(DECAYS, name)}
        for name, each in twins.free.items()
    ]
    twins.train(twins.rule(groups), still=("2.weight",))


@given(rates=st.lists(factors, min_size=6, max_size=6), decays=st.lists(factors, min_size=6, max_size=6))
def test_a_training_with_factors_is_one_of_each_parameter_by_itself(rates: list[float], decays: list[float]) -> None:
    """A reference without blocks: the gradients of a step, and the rule for one parameter after the other."""
    model, (x, target) = deep(), data()
    by_rate, by_decay = (dict(zip(NAMES, each, strict=True)) for each in (rates, decays))
    trainer = Trainer(model, loss=SquaredError(), optimizer=AdamW(0.05, rates=by_rate, decays=by_decay))
    rule, values = AdamW(0.05), {name: parameter.value.copy() for name, parameter in model.parameters().items()}
    states = {name: [np.zeros_like(value) for _ in rule.states()] for name, value in values.items()}
    for _ in range(4):
        trainer.step(x, target)
        for name, parameter in model.parameters().items():
            own = AdamW(0.05 * by_rate[name], weight_decay=0.01 * by_decay[name])
            own.apply(values[name], parameter.grad, own_step(trainer, own), states[name], 1.0, 1.0)
            np.testing.assert_allclose(parameter.value, values[name], rtol=1e-12, atol=1e-14)


def own_step(trainer: Trainer, optimizer: Optimizer) -> Step:
    """Return the step that the trainer has just taken, at another optimizer's rate."""
    return Step(trainer.steps, optimizer.rate(0))


def test_a_table_a_callable_and_patterns_say_the_same() -> None:
    def by_name(name: str, parameter: Parameter) -> float:
        return 0.1 if name.startswith("0.") else 1.0

    models = [deep() for _ in range(3)]
    forms: list[Any] = [{"0.*": 0.1}, {"0.weight": 0.1, "0.bias": 0.1, "*": 1}, by_name]
    for model, rates in zip(models, forms, strict=True):
        train(model, *data(), optimizer=Adam(0.01, rates=rates), epochs=3)
    for other in models[1:]:
        np.testing.assert_array_equal(other.vector.value, models[0].vector.value)


def test_a_fit_obeys_factors_as_single_steps_do() -> None:
    """A fit moves the numbers without a copy where bounds allow it."""
    fitted, stepped = deep(), deep()
    settings: dict[str, Any] = {"rates": RATES, "decays": DECAYS}
    train(fitted, *data(), optimizer=AdamW(0.05, **settings), epochs=4, batch_size=100, shuffle=False)
    trainer = Trainer(stepped, loss=SquaredError(), optimizer=AdamW(0.05, **settings))
    for _ in range(4):
        trainer.step(*data())
    np.testing.assert_array_equal(fitted.vector.value, stepped.vector.value)


def test_factors_of_1_change_no_bit() -> None:
    models = [deep() for _ in range(2)]
    given: list[dict[str, Any]] = [{}, {"rates": {"*": 1}, "decays": lambda name, parameter: True}]
    for model, settings in zip(models, given, strict=True):
        train(model, *data(), optimizer=AdamW(CosineRate(0.1, 9), **settings), epochs=5)
    np.testing.assert_array_equal(models[0].vector.value, models[1].vector.value)


@pytest.mark.parametrize("workers", [None, 2])
def test_blocks_end_where_the_rate_changes_and_decays_go_entry_by_entry(
    workers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = []
    for size in (10**6, 7):
        monkeypatch.setattr(atomic, "BLOCK", size)
        model = deep()
        optimizer = Adam(0.01, rates=RATES, decays=DECAYS, weight_decay=0.1)
        trainer = Trainer(model, loss=SquaredError(), optimizer=optimizer, workers=workers)
        assert {block.rate for block in trainer.stepper._blocks} == {0.1, 3.0, 0.0, None}
        trainer.fit(*data(), epochs=3, batch_size=5)
        models.append(model)
    np.testing.assert_array_equal(models[0].vector.value, models[1].vector.value)


@pytest.mark.peer
def test_fast_training_obeys_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(compiled, "LEAST", 1)
    models = []
    for fast in (False, True):
        model = deep()
        optimizer = Adam(0.01, rates=RATES, decays=DECAYS, weight_decay=0.1, maximize=True)
        trainer = Trainer(model, loss=SquaredError(), optimizer=optimizer, fast=fast)
        trainer.fit(*data(), epochs=3, batch_size=5, shuffle=False)
        models.append(model)
    assert "the update is compiled; not the whole step: the optimizer has rates and maximize" in repr(trainer)
    np.testing.assert_allclose(models[1].vector.value, models[0].vector.value, rtol=1e-10, atol=1e-13)


@pytest.mark.peer
@pytest.mark.parametrize("settings", [{"decays": DECAYS}, {"decoupled": True}, {"amsgrad": True}, {"maximize": True}])
def test_a_compiled_step_is_a_step_with_these_settings(settings: dict[str, Any]) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    models = []
    for fast in (False, True):
        model, optimizer = deep(), Adam(0.01, weight_decay=0.1, **settings)
        trainer = Trainer(model, loss=SquaredError(), optimizer=optimizer, fast=fast)
        trainer.fit(*data(), epochs=2)
        optimizer.maximize = not optimizer.maximize  # which a plan that was made does not know
        trainer.fit(*data(), epochs=2)
        models.append(model)
    np.testing.assert_allclose(models[1].vector.value, models[0].vector.value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("case", params(BY_RATE))
def test_a_resumed_training_with_factors_goes_on_bit_for_bit(case: OptimizerCase, tmp_path: Path) -> None:
    def made() -> Trainer:
        optimizer = case.make()
        optimizer.rates, optimizer.decays, optimizer.maximize = RATES, DECAYS, False
        return Trainer(deep(), loss=SquaredError(), optimizer=optimizer, rng=1)

    whole, first, second = made(), made(), made()
    whole.fit(*data(), epochs=4, batch_size=5)
    first.fit(*data(), epochs=2, batch_size=5)
    first.save(tmp_path / "run.npz")
    second.resume(tmp_path / "run.npz")
    second.fit(*data(), epochs=2, batch_size=5)
    np.testing.assert_array_equal(second.model.vector.value, whole.model.vector.value)


@pytest.mark.parametrize("settings", [{"rates": {"4.*": 1e39}}, {"decays": {"4.*": 1e30}, "weight_decay": 1e10}])
def test_a_step_that_overflows_by_a_factor_is_refused_and_leaves_everything_as_it_was(settings: Any) -> None:
    model = Sequential(Linear(3, 5), Tanh(), Linear(5, 4), Tanh(), Linear(4, 2), rng=0)
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(1.0, **settings))
    before = model.vector.value.copy()
    with pytest.raises(NonFiniteError, match="step 1"):
        trainer.fit(*data(), epochs=1)
    np.testing.assert_array_equal(model.vector.value, before)


NAMED = "0.weight, 0.bias, 2.weight, 2.bias, 4.weight, 4.bias"


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"rates": {"6.*": 0.1}}, ValueError, f"SGD: rates has the pattern '6.*', which matches no parameter; the "
        f"names are {NAMED}"),
        ({"decays": {"*.gain": 0}}, ValueError, "SGD: decays has the pattern '*.gain', which matches no parameter"),
        ({"rates": lambda name, parameter: None}, TypeError, "SGD: expected factor for '0.weight' from rates as a num"),
        ({"decays": lambda name, parameter: -1}, ValueError, "SGD: expected a finite factor for '0.weight' from"),
    ],
)  # fmt: skip
def test_factors_that_fit_no_model_are_refused_when_the_trainer_is_made(
    settings: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        Trainer(deep(), loss=SquaredError(), optimizer=SGD(0.1, **settings))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"rates": {"0.*": -1}}, ValueError, "SGD: expected a finite factor for '0.*' in rates of 0 or more, got -1"),
        ({"rates": {"0.*": "slow"}}, TypeError, "SGD: expected factor for '0.*' in rates as a number, got 'slow'"),
        ({"rates": {0: 0.1}}, TypeError, "SGD: expected patterns of names in rates, such as '0.*', got 0"),
        ({"rates": 0.1}, TypeError, "SGD: expected rates as a table from patterns of names to factors, such as {'0.*'"),
    ],
)
def test_factors_that_mean_nothing_are_refused_in_the_constructor(
    settings: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        SGD(0.1, **settings)


def test_rprop_has_no_rates_to_differ() -> None:
    with pytest.raises(ValueError, match=r"^Rprop: rates would change nothing"):
        Rprop(rates={"*": 0.5})


def test_a_repr_shows_the_factors() -> None:
    optimizer = SGD(0.1, rates={"0.*": 0.1}, decays=weights_only)
    assert repr(optimizer).startswith("SGD(0.1, rates={'0.*': 0.1}, decays=<function weights_only")
