"""Freezing and unfreezing between steps, as in a GAN, costs no new blocks and changes nothing else."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from nanonet import SGD, Adam, BatchNorm, Linear, NonFiniteError, Optimizer, Sequential, SquaredError, Tanh, Trainer
from nanonet.training.atomic import REMEMBERED
from tests.helpers import data

HALVES = (("0.weight", "0.bias"), ("2.weight", "2.bias"))


def trainer_of(optimizer: Optimizer) -> Trainer:
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), rng=0)
    return Trainer(model, loss=SquaredError(), optimizer=optimizer)


def train_only(trainer: Trainer, names: tuple[str, ...]) -> None:
    for name, parameter in trainer.model.parameters().items():
        parameter.trainable = name in names


def test_a_fit_in_which_nothing_can_change_is_warned_of() -> None:
    x, target = np.ones((4, 2)), np.ones((4, 1))
    model = Sequential(Linear(2, 1))
    model.freeze()
    with pytest.warns(
        UserWarning, match=r"all parameters are frozen, so nothing is trained; write model\.unfreeze\(\)"
    ):
        model.fit(x, target, loss=SquaredError(), optimizer=SGD(0.1), epochs=1)
    norm = Sequential(BatchNorm(2), Linear(2, 1))  # whose running statistics do change
    norm.freeze()
    norm.fit(x, target, loss=SquaredError(), optimizer=SGD(0.1), epochs=1)


def test_whoever_freezes_back_and_forth_gets_the_same_blocks() -> None:
    trainer, seen = trainer_of(Adam(0.1)), []
    tree = trainer.stepper.tree
    for turn in range(6):
        train_only(trainer, HALVES[turn % 2])
        trainer.step(*data())
        seen.append(trainer.stepper._blocks)
    assert seen[0] is seen[2] is seen[4]
    assert seen[1] is seen[3] is seen[5]
    assert seen[0] is not seen[1]
    assert trainer.stepper.tree is tree


def test_a_state_stands_still_while_its_parameter_is_frozen_and_goes_on_after() -> None:
    """Momentum by hand: each half has its own velocity, whatever is done to the other between."""
    trainer = trainer_of(SGD(0.1, momentum=0.9))
    model, (x, target) = trainer.model, data()
    first = slice(0, 16)
    velocity, value = np.zeros(26, np.float32), model.vector.value.copy()
    for turn in range(8):
        train_only(trainer, HALVES[turn % 2])
        half = first if turn % 2 == 0 else slice(16, 26)
        trainer.step(x, target)
        velocity[half] = np.float32(0.9) * velocity[half] + model.vector.grad[half]
        value[half] -= np.float32(0.1) * velocity[half]
        np.testing.assert_allclose(model.vector.value, value, rtol=1e-5)
        np.testing.assert_allclose(trainer.stepper.states["velocity"], velocity, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.1, weight_decay=0.1)])
def test_resumed_at_every_turn_it_is_the_same_run_bit_for_bit(optimizer: Optimizer, tmp_path: Path) -> None:
    whole, resumed = trainer_of(optimizer), trainer_of(optimizer)
    for turn in range(6):
        for trainer in (whole, resumed):
            train_only(trainer, HALVES[turn % 2])
            trainer.step(*data())
        resumed.save(tmp_path / "run.npz")
        resumed = trainer_of(optimizer)
        resumed.resume(tmp_path / "run.npz")
    assert whole.model.vector.value.tobytes() == resumed.model.vector.value.tobytes()
    for name, state in whole.stepper.states.items():
        assert state.tobytes() == resumed.stepper.states[name].tobytes()


def test_only_the_latest_sets_are_remembered() -> None:
    trainer = trainer_of(SGD(0.1))
    names = list(trainer.model.parameters())
    for bits in range(16):
        train_only(trainer, tuple(name for i, name in enumerate(names) if bits >> i & 1))
        trainer.step(*data())
    assert len(trainer.stepper._cut._known) == REMEMBERED
    assert (True, True, True, True) in trainer.stepper._cut._known
    assert (False, False, False, False) not in trainer.stepper._cut._known


def test_a_step_that_overflows_is_undone_in_the_half_that_trains() -> None:
    """The halves have the same room for their copies."""
    trainer = trainer_of(SGD(0.1, momentum=0.9))
    for turn in range(4):
        train_only(trainer, HALVES[turn % 2])
        trainer.step(*data())
    for half in HALVES:
        train_only(trainer, half)
        before, rate = trainer.model.vector.value.copy(), trainer.rate_factor
        trainer.rate_factor = 1e45
        with pytest.raises(NonFiniteError):
            trainer.step(*data())
        trainer.rate_factor = rate
        np.testing.assert_array_equal(trainer.model.vector.value, before)


def test_a_model_that_becomes_part_of_another_is_trained_there() -> None:
    trainer = trainer_of(Adam(0.1))
    train_only(trainer, HALVES[0])
    trainer.step(*data())
    old = weakref.ref(trainer.stepper._cut)
    whole = Sequential(Linear(3, 3), trainer.model, rng=1)
    before = whole.vector.value.copy()
    for half in HALVES:
        train_only(trainer, half)
        trainer.step(*data())
    assert (whole.vector.value != before).sum() == 26
    np.testing.assert_array_equal(whole.vector.value[:12], before[:12])
    gc.collect()
    assert old() is None
