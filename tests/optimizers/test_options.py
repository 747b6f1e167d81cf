"""The options of the rules, drawn: each as in PyTorch, or what its formula says where PyTorch lacks it."""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Array,
    InverseTimeRate,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    Step,
)
from tests.registry import OPTIMIZERS

STEPS = 50
rates = st.floats(1e-4, 0.1)
below_one = st.floats(0.0, 0.995)
betas = st.tuples(st.floats(0.0, 0.99), st.floats(0.5, 0.999))
epsilons = st.sampled_from([1e-8, 1e-4])
flags = st.booleans()
momenta = st.sampled_from([0.0, 0.5, 0.9])

SETTINGS: dict[type[Optimizer], st.SearchStrategy[dict[str, Any]]] = {
    SGD: st.one_of(
        st.fixed_dictionaries({"momentum": st.floats(0.1, 0.99), "dampening": st.floats(0, 1)}),
        st.fixed_dictionaries({"momentum": st.floats(0.1, 0.99), "nesterov": flags}),
    ),
    Adadelta: st.fixed_dictionaries({"smoothing": below_one, "epsilon": epsilons}),
    Adagrad: st.fixed_dictionaries({"initial_sum": st.floats(0, 3), "epsilon": epsilons}),
    RMSprop: st.fixed_dictionaries(
        {"smoothing": st.floats(0.3, 0.99), "epsilon": epsilons, "momentum": momenta, "centered": flags}
    ),
    Adam: st.fixed_dictionaries({"betas": betas, "epsilon": epsilons, "amsgrad": flags}),
    AdamW: st.fixed_dictionaries({"betas": betas, "epsilon": epsilons, "amsgrad": flags}),
    Adamax: st.fixed_dictionaries({"betas": betas, "epsilon": epsilons}),
    NAdam: st.fixed_dictionaries({"betas": betas, "epsilon": epsilons, "momentum_decay": st.floats(0, 0.1)}),
    RAdam: st.fixed_dictionaries({"betas": betas, "epsilon": epsilons}),
    Lion: st.fixed_dictionaries({"betas": betas}),
    Rprop: st.fixed_dictionaries({"factors": st.tuples(st.floats(0.1, 0.9), st.floats(1.01, 1.5))}),
}
DECOUPLED_THERE = (AdamW, Lion, NAdam, RAdam)


def test_every_rule_has_its_options_drawn() -> None:
    assert SETTINGS.keys() == OPTIMIZERS.keys()


def gradients(seed: int) -> list[Array]:
    """Return a gradient for each step, with a mean of its own for each entry."""
    rng = np.random.default_rng(seed)
    return list(rng.normal(size=7) + rng.normal(size=(STEPS, 7)))


def ours(optimizer: Optimizer, seed: int) -> Array:
    """Return seven numbers after all steps."""
    value = np.linspace(-1, 2, 7)
    state = [np.full(7, start) for start in optimizer.states().values()]
    for number, grad in enumerate(gradients(seed), 1):
        step = Step(number, optimizer.rate(number - 1))
        optimizer.apply(value, grad, step, state, optimizer.scale(lambda: 0.0), 1.0)
    return value


def theirs(optimizer: Optimizer, seed: int) -> Array:
    """Return the same by PyTorch; of other rules than these, decoupled decay is written out."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    peer: Any = importlib.import_module("tests.system.test_against_pytorch")
    value = torch.tensor(np.linspace(-1, 2, 7), requires_grad=True)
    rule = peer.OPTIMIZERS_THERE[type(optimizer)](optimizer, [value])
    shrink = 1.0
    if optimizer.decay_is_decoupled and type(optimizer) not in DECOUPLED_THERE:
        rule.param_groups[0]["weight_decay"], shrink = 0.0, 1 - optimizer.rate(0) * optimizer.weight_decay
    for grad in gradients(seed):
        with torch.no_grad():
            value *= shrink
        value.grad = torch.tensor(grad)
        rule.step()
    found: Array = value.detach().numpy()
    return found


@pytest.mark.peer
@pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_50_steps_with_any_options_are_pytorchs(cls: type[Optimizer], data: st.DataObject) -> None:
    """Rprop decays no weights there."""
    settings = data.draw(SETTINGS[cls]) | {"maximize": data.draw(flags)}
    settings["decoupled"] = cls in (AdamW, Lion) or data.draw(flags)
    settings["weight_decay"] = data.draw(st.sampled_from([0.0, 0.3])) if cls is not Rprop else 0.0
    made: Any = cls
    optimizer, seed = made(data.draw(rates), **settings), data.draw(st.integers(0, 2**32 - 1))
    np.testing.assert_allclose(ours(optimizer, seed), theirs(optimizer, seed), rtol=1e-10, atol=1e-10)


@pytest.mark.peer
@pytest.mark.parametrize("cls", [Adadelta, Adamax, NAdam, RAdam])
def test_a_rule_has_pytorchs_defaults(cls: Any) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    there, here = getattr(torch.optim, cls.__name__)([torch.zeros(1, requires_grad=True)]).defaults, cls()
    names = {"lr": "learning_rate", "eps": "epsilon", "rho": "smoothing", "betas": "betas", "maximize": "maximize"}
    names |= {"weight_decay": "weight_decay", "momentum_decay": "momentum_decay"}
    names |= {"decoupled_weight_decay": "decay_is_decoupled"}
    shared = {name: getattr(here, ours) for name, ours in names.items() if name in there}
    assert shared == {name: there[name] for name in shared}
    assert len(shared) >= 5


@pytest.mark.peer
@given(decay=st.floats(0, 1), rate=rates, seed=st.integers(0, 2**32 - 1))
def test_adagrad_with_an_inverse_time_rate_is_pytorchs_lr_decay(decay: float, rate: float, seed: int) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    value = torch.tensor(np.linspace(-1, 2, 7), requires_grad=True)
    rule = torch.optim.Adagrad([value], rate, lr_decay=decay)
    for grad in gradients(seed):
        value.grad = torch.tensor(grad)
        rule.step()
    found = ours(Adagrad(InverseTimeRate(rate, decay=decay)), seed)
    np.testing.assert_allclose(found, value.detach().numpy(), rtol=1e-10, atol=1e-10)


# ---- without a peer


@given(betas=betas, decay=st.floats(0, 0.1), numbers=st.permutations([1, 2, 3, 10, 60]))
def test_nadams_product_is_a_function_of_the_step_whatever_was_asked_before(
    betas: tuple[float, float], decay: float, numbers: list[int]
) -> None:
    """So a resumed training goes on with the same bits."""
    rule = NAdam(betas=betas, momentum_decay=decay)
    for number in numbers:
        momenta = [betas[0] * (1 - 0.5 * 0.96 ** (k * decay)) for k in range(1, number + 1)]
        assert rule.product(number) == NAdam(betas=betas, momentum_decay=decay).product(number)
        assert rule.product(number) == pytest.approx(math.prod(momenta), rel=1e-12, abs=1e-300)


@given(grad=st.floats(-1e3, 1e3), smoothing=below_one)
def test_a_centred_square_below_0_by_rounding_is_0(grad: float, smoothing: float) -> None:
    """The variance of a gradient that is always the same is 0, and rounding may put it below."""
    rule = RMSprop(0.1, smoothing=smoothing, epsilon=1.0, centered=True)
    value, state = np.zeros(1), [np.zeros(1), np.zeros(1)]
    for number in range(1, 30):
        rule.update(value, np.array([grad]), Step(number, 0.1), *state)
    assert np.isfinite(value).all()


def test_amsgrad_never_lets_a_step_size_grow_again() -> None:
    sizes = {}
    for amsgrad in (False, True):
        rule = Adam(1.0, betas=(0.0, 0.5), amsgrad=amsgrad)
        value, state = np.zeros(1), [np.zeros(1) for _ in rule.states()]
        for number in range(1, 40):
            before = value.copy()
            rule.update(value, np.array([100.0 if number == 1 else 1.0]), Step(number, 1.0), *state)
        sizes[amsgrad] = abs(value - before).item()
    assert sizes[False] == pytest.approx(1.0, rel=1e-3)
    assert sizes[True] == pytest.approx(0.01 * math.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("limit", [None, 0.1])
@pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda cls: cls.__name__)
def test_to_maximize_is_to_minimize_with_the_gradient_turned(cls: Any, limit: float | None) -> None:
    up, down = (cls(0.01, maximize=up, weight_decay=0.2, clip_value=limit) for up in (True, False))
    values = []
    for rule, sign in ((up, 1.0), (down, -1.0)):
        value, state = np.linspace(-1, 2, 7), [np.full(7, start) for start in rule.states().values()]
        for number, grad in enumerate(gradients(3), 1):
            rule.apply(value, sign * grad, Step(number, 0.01), state, rule.scale(lambda: 1.0), 1.0)
        values.append(value)
    np.testing.assert_array_equal(values[0], values[1])


@pytest.mark.parametrize(
    ("cls", "settings", "kind", "message"),
    [
        (SGD, {"dampening": 0.5}, ValueError, "SGD: dampening needs a momentum above 0, and no nesterov"),
        (SGD, {"momentum": 0.9, "nesterov": True, "dampening": 0.5}, ValueError, "SGD: dampening needs a momentum"),
        (SGD, {"momentum": 0.9, "dampening": 2}, ValueError, "SGD: expected a finite dampening of 0 or more and at"),
        (Adagrad, {"initial_sum": -1}, ValueError, "Adagrad: expected a finite initial_sum of 0 or more, got -1"),
        (RMSprop, {"centered": "yes"}, TypeError, "RMSprop: expected centered as True or False, got 'yes'"),
        (Adam, {"amsgrad": 1}, TypeError, "Adam: expected amsgrad as True or False, got 1"),
        (NAdam, {"momentum_decay": -1}, ValueError, "NAdam: expected a finite momentum_decay of 0 or more, got -1"),
        (Lion, {"betas": (0.9, 1.0)}, ValueError, "Lion: expected a finite beta of 0 or more and below 1, got 1.0"),
        (Adadelta, {"smoothing": 1.0}, ValueError, "Adadelta: expected a finite smoothing of 0 or more and below 1"),
        (Adamax, {"maximize": 1}, TypeError, "Adamax: expected maximize as True or False, got 1"),
        (RAdam, {"decoupled": None}, TypeError, "RAdam: expected decoupled as True or False, got None"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    cls: Any, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        cls(0.1, **settings)
