"""Rules for one entry: they say what ``update`` says, in Python and compiled, with clipping and decay around them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    GELU,
    SGD,
    Adam,
    Array,
    ContractError,
    CosineRate,
    Linear,
    NonFiniteError,
    Optimizer,
    Sequential,
    SquaredError,
    Step,
    Trainer,
    weights_only,
)
from nanonet.optimizers import compiled
from nanonet.optimizers.compiled import Sweep
from tests.helpers import data
from tests.registry import OPTIMIZERS, OptimizerCase, params

ENTRIES = 37
RATE = CosineRate(0.1, 7, end=0.01)

seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([1e-3, 1.0, 30.0])
dtypes = st.sampled_from([np.float32, np.float64])


@pytest.fixture
def numba(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return numba, and let rules be compiled for vectors of any size."""
    monkeypatch.setattr(compiled, "LEAST", 1)
    return pytest.importorskip("numba", reason="numba is not installed")


def started(optimizer: Optimizer, seed: int, dtype: npt.DTypeLike) -> list[Array]:
    """Return a vector and the optimizer's states at their start."""
    value = np.random.default_rng(seed).normal(size=ENTRIES).astype(dtype)
    return [value, *(np.full(ENTRIES, start, dtype) for start in optimizer.states().values())]


def gradients(seed: int, scale: float, dtype: npt.DTypeLike, steps: int = 6) -> list[Array]:
    """Return a gradient for each step, with zeros and changes of sign."""
    rng = np.random.default_rng(seed + 1)
    return [(scale * rng.normal(size=ENTRIES) * (rng.random(ENTRIES) < 0.9)).astype(dtype) for _ in range(steps)]


def assert_same(ours: list[Array], theirs: list[Array]) -> None:
    """See that a vector and its states are the same up to rounding."""
    relative = 2e-5 if ours[0].dtype == np.float32 else 1e-11
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=relative, atol=relative * max(1e-3, np.abs(other).max()))


@pytest.mark.parametrize("case", params(OPTIMIZERS))
@given(seed=seeds, scale=scales, dtype=dtypes)
def test_a_rule_says_entry_by_entry_what_update_does(case: OptimizerCase, seed: int, scale: float, dtype: Any) -> None:
    optimizer = case.make()
    assert optimizer.states_rule()
    ours, theirs = (started(optimizer, seed, dtype) for _ in range(2))
    for number, grad in enumerate(gradients(seed, scale, dtype), 1):
        step = Step(number, RATE(number - 1))
        optimizer.update(theirs[0], grad, step, *theirs[1:])
        for i in range(ENTRIES):
            entry = optimizer.by_rule(ours[0][i], grad[i], step, [state[i] for state in ours[1:]])
            for array, result in zip(ours, entry, strict=True):
                array[i] = result
    assert_same(ours, theirs)


limits = st.sampled_from([None, 0.01, 0.7])
decays = st.sampled_from([0.0, 1.0, "by entry"])


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("case", params(OPTIMIZERS))
@given(
    seed=seeds, scale=scales, dtype=dtypes, limit=limits, decay=st.sampled_from([0.0, 0.2]), where=decays, norm=scales
)
def test_a_compiled_rule_is_apply_with_clipping_and_decay(
    case: OptimizerCase, seed: int, scale: float, dtype: Any, limit: float | None, decay: float, where: Any, norm: float
) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    optimizer = case.make()
    optimizer.clip_value, optimizer.weight_decay = limit, decay
    if where == "by entry":
        where = (np.arange(ENTRIES) % 3 > 0).astype(dtype)
    ours, theirs = (started(optimizer, seed, dtype) for _ in range(2))
    for number, grad in enumerate(gradients(seed, scale, dtype), 1):
        step, kept = Step(number, RATE(number - 1)), grad.copy()
        Sweep(optimizer)(ours[0], grad, step, ours[1:], min(norm, 1.0), where)
        np.testing.assert_array_equal(grad, kept)
        optimizer.apply(theirs[0], grad, step, theirs[1:], min(norm, 1.0), where)
    assert_same(ours, theirs)


# ---- in a trainer


def net(dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return a small net, always the same."""
    return Sequential(Linear(3, 5), GELU(), Linear(5, 4), GELU(), Linear(4, 2), dtype=dtype, rng=0)


def trainer(optimizer: Optimizer, *, fast: bool, model: Sequential | None = None) -> Trainer:
    """Return a trainer of the net."""
    return Trainer(model or net(), loss=SquaredError(), optimizer=optimizer, rng=1, fast=fast)


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="plain"),
        pytest.param({"weight_decay": 0.1, "clip_norm": 0.5, "clip_value": 0.2}, id="all", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("frozen", ["", "2.weight"])
@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_training_fast_is_training(case: OptimizerCase, frozen: str, settings: dict[str, float]) -> None:
    """Strict first batches included."""
    models = []
    for fast in (False, True):
        optimizer = case.make()
        for name, value in settings.items():
            setattr(optimizer, name, value)
        if settings:
            optimizer.decays = weights_only
        model = net()
        if frozen:
            model.parameters()[frozen].trainable = False
        trainer(optimizer, fast=fast, model=model).fit(*data(), epochs=4, batch_size=5)
        models.append(model)
    slow, quick = models
    np.testing.assert_allclose(quick.vector.value, slow.vector.value, rtol=1e-9, atol=1e-12)
    if frozen:
        np.testing.assert_array_equal(quick.parameters()[frozen].value, net().parameters()[frozen].value)


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_a_resumed_fast_training_goes_on_bit_for_bit(case: OptimizerCase, tmp_path: Path) -> None:
    whole, first, second = (trainer(case.make(), fast=True) for _ in range(3))
    whole.fit(*data(), epochs=4, batch_size=5)
    first.fit(*data(), epochs=2, batch_size=5)
    first.save(tmp_path / "run.npz")
    second.resume(tmp_path / "run.npz")
    second.fit(*data(), epochs=2, batch_size=5)
    np.testing.assert_array_equal(second.model.vector.value, whole.model.vector.value)


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
@pytest.mark.parametrize("known", [True, False], ids=["bounds stated", "no bounds"])
def test_a_step_that_overflows_is_refused_and_leaves_everything_as_it_was(known: bool) -> None:
    class Boundless(SGD):
        def bounds(self, *arguments: Any) -> tuple[float, list[float]]:
            return SGD.bounds(self, *arguments) if known else (np.inf, [])

    made = trainer(Boundless(0.1, momentum=0.9), fast=True, model=net(np.float32))
    for _ in range(3):
        made.step(*data())
    before = [array.copy() for array in (made.model.vector.value, *made.stepper.states.values())]
    made.optimizer.learning_rate = 1e39
    with pytest.raises(NonFiniteError):
        made.step(*data())
    for array, kept in zip((made.model.vector.value, *made.stepper.states.values()), before, strict=True):
        np.testing.assert_array_equal(array, kept)
    assert made.steps == 3


class Roots(Optimizer):
    """NaN where the gradient is below 0."""

    @staticmethod
    def rule(w: Any, g: Any, rate: float) -> tuple[Any, ...]:
        return (w - rate * np.sqrt(g),)


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
def test_a_rule_that_gives_nan_is_refused_and_leaves_everything_as_it_was() -> None:
    made = trainer(Roots(0.1), fast=True)
    before = made.model.vector.value.copy()
    with pytest.raises(NonFiniteError):
        made.step(*data())
    np.testing.assert_array_equal(made.model.vector.value, before)


class Both(SGD):
    """A rule and an update, which notes its calls."""

    rule = SGD.rule
    calls = 0

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        Both.calls += 1
        super().update(value, grad, step, *state)


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
@pytest.mark.parametrize("fast", [False, True])
def test_a_fast_trainer_calls_no_update(*, fast: bool) -> None:
    made = trainer(Both(0.1), fast=fast)
    before = Both.calls
    for _ in range(3):
        made.step(*data())
    assert Both.calls - before == (0 if fast else 3)


# ---- which of rule and update counts


class Halves(Optimizer):
    """w <- w - rate g / 2, by a rule alone."""

    @staticmethod
    def rule(w: Any, g: Any, half: float) -> tuple[Any, ...]:
        return (w - half * g,)

    def factors(self, step: Step) -> tuple[float, ...]:
        return (step.learning_rate / 2,)


class Backward(SGD):
    """An update of its own, which its inherited rule contradicts."""

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value += step.learning_rate * grad


class Third(Backward):
    """A rule of its own, which its inherited update contradicts."""

    @staticmethod
    def rule(w: Any, g: Any, *factors: float) -> tuple[Any, ...]:
        return (w - factors[0] * g / 3,)


class Tenth(SGD):
    """Other factors for the inherited rule."""

    def factors(self, step: Step) -> tuple[float, ...]:
        return (step.learning_rate / 10,)


class Same(Tenth):
    """Nothing of its own."""


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("kind", "share"), [(Halves, 1 / 2), (Backward, -1), (Third, 1 / 3), (Tenth, 0.1), (Same, 0.1)]
)
def test_the_latest_of_rule_and_update_counts(kind: Callable[[float], Optimizer], share: float, *, fast: bool) -> None:
    made = trainer(kind(0.5), fast=fast)
    before = made.model.vector.value.copy()
    made.step(*data())
    np.testing.assert_allclose(made.model.vector.value, before - 0.5 * share * made.model.vector.grad, rtol=1e-12)


def test_a_class_with_an_update_of_its_own_states_no_rule() -> None:
    assert [kind(0.1).states_rule() for kind in (SGD, Halves, Backward, Third, Tenth)] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_an_optimizer_needs_update_or_rule() -> None:
    class Empty(Optimizer):
        pass

    for kind in (Optimizer, Empty):
        expected = f"^{kind.__name__}: expected a subclass of Optimizer that overrides update, or rule$"
        with pytest.raises(TypeError, match=expected):
            kind(0.1)


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
def test_a_trainer_says_what_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    class Applies(SGD):
        def apply(self, *arguments: Any) -> None:
            super().apply(*arguments)

    def told(optimizer: Optimizer) -> str:
        return repr(trainer(optimizer, fast=True)).splitlines()[-2].strip().split(";")[0]

    assert told(Adam()) == "fast: True (the update is compiled"
    assert told(Backward(0.1)) == "fast: True (not the update: Backward states no rule for one entry"
    assert told(Applies(0.1)) == "fast: True (not the update: Applies overrides apply"
    monkeypatch.setattr(compiled, "LEAST", 100)
    assert told(Adam()) == "fast: True (not the update: 54 parameters are too few to gain by it"


# ---- rules that cannot be


class Contradicts(SGD):
    """A rule and an update that disagree."""

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value -= step.learning_rate * grad

    @staticmethod
    def rule(w: Any, g: Any, *factors: float) -> tuple[Any, ...]:
        return (w + factors[0] * g,)


class Bare(Optimizer):
    """Returns no tuple."""

    @staticmethod
    def rule(w: Any, g: Any, rate: float) -> Any:
        return w - rate * g


class Short(Optimizer):
    """Takes no rate."""

    @staticmethod
    def rule(w: Any, g: Any) -> tuple[Any, ...]:
        return (w - g,)


class Decides(Optimizer):
    """Works on single numbers alone."""

    @staticmethod
    def rule(w: Any, g: Any, rate: float) -> tuple[Any, ...]:
        return (w - rate if g > 0 else w,)


ALWAYS_REFUSED: list[tuple[Optimizer, str]] = [
    (Bare(0.1), "Bare(0.1): expected rule to return the new numbers as a tuple, (w,), got "),
    (Short(0.1), "Short(0.1): rule must take w, g and what factors returns, 1 in all; Short.rule() takes 2 positional"),
    (Decides(0.1), "Decides(0.1): rule decides by if, min or max, and so takes no arrays; write an update beside it"),
]


@pytest.mark.parametrize(("rule", "message"), ALWAYS_REFUSED, ids=str)
def test_a_rule_that_cannot_serve_as_update_is_refused_before_training(rule: Optimizer, message: str) -> None:
    with pytest.raises(ContractError, match=f"^{re.escape(message)}"):
        trainer(rule, fast=False).fit(*data(), epochs=1)


class Unknown(Optimizer):
    """Calls what numba does not know."""

    @staticmethod
    def rule(w: Any, g: Any, rate: float) -> tuple[Any, ...]:
        return (w - rate * float(re.sub("", "", str(g))),)

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value -= step.learning_rate * grad


@pytest.mark.peer
@pytest.mark.usefixtures("numba")
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            Contradicts(0.1),
            "Contradicts(0.1): rule and update disagree on w: after 5 steps from 0, rule gives 0.285417",
        ),
        *ALWAYS_REFUSED,
        (Unknown(0.1), "Unknown(0.1): numba cannot compile its rule; "),
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_is_refused_when_the_trainer_is_made(rule: Optimizer, message: str) -> None:
    with pytest.raises(ContractError, match=f"^{re.escape(message)}"):
        trainer(rule, fast=True)


# ---- the cache on disk

SCRIPT = """
import sys
import numpy as np
from nanonet import Step
from nanonet.optimizers.compiled import PLAIN, Sweep, kernel
from rules import make

rule = make(float(sys.argv[1]))
value = np.ones(3)
Sweep(rule)(value, value.copy(), Step(1, 0.5), [], 1.0, 1.0)
stats = kernel(type(rule).rule, 0, PLAIN).stats
print(value[0], sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
STATED = """
from nanonet import Optimizer

def make(constant):
    class Stated(Optimizer):
        @staticmethod
        def rule(w, g, rate):
            return (w - rate * g * {},)
    return Stated(0.5)
"""


@pytest.mark.slow
@pytest.mark.peer
def test_a_compiled_rule_is_read_from_disk_unless_its_file_has_changed_or_does_not_say_all(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")

    def state(factor: str) -> None:
        (tmp_path / "rules.py").write_text(STATED.format(factor), encoding="utf-8")

    def run(constant: float = 0.0) -> tuple[float, ...]:
        """Return the result of a step in a process of its own, and how often the cache had the rule and had it not."""
        command = [sys.executable, "script.py", str(constant)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return tuple(map(float, done.stdout.split()))

    state("1.0")
    assert [run(), run()] == [(0.5, 0, 1), (0.5, 1, 0)]
    state("0.50")
    assert [run(), run()] == [(0.75, 0, 1), (0.75, 1, 0)]
    state("constant")
    assert [run(1.0), run(0.5)] == [(0.5, 0, 1), (0.75, 0, 1)]
