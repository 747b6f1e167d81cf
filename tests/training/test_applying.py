"""Trainer.apply is the second half of a step: it takes the gradients that are in the vector, whole or not at all."""

import math
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Adam,
    AdamW,
    Array,
    Callback,
    CosineRate,
    Linear,
    NonFiniteError,
    Optimizer,
    Sequential,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    weights_only,
)
from nanonet.training.atomic import BLOCK
from tests.helpers import Centred, Momentum, Noise, data, picture, small, trainer_of

OPTIMIZERS: list[Callable[[], Optimizer]] = [
    lambda: SGD(0.1),
    lambda: SGD(CosineRate(0.1, 10), momentum=0.9, weight_decay=0.1, decays=weights_only, clip_norm=0.05),
    lambda: AdamW(0.1, clip_value=0.01),
    lambda: Momentum(0.1),
]


def everything(trainer: Trainer) -> list[Any]:
    """Return all that a step changes."""
    states = [state.tobytes() for state in trainer.stepper.states.values()]
    return [picture(trainer.model), states, trainer.steps, str(trainer.batch_loss), str(trainer.learning_rate)]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_both_passes_by_hand_and_apply_are_a_step_bit_for_bit(make: Callable[[], Optimizer]) -> None:
    whole, halves = (trainer_of(Sequential(Linear(3, 4), Noise(), Linear(4, 2), rng=0), make()) for _ in range(2))
    x, target = data()
    for _ in range(5):
        loss = whole.step(x, target)
        assert isinstance(halves.model, Sequential)
        value, _ = halves.model.loss_and_grad(x, target, halves.loss, training=True)
        halves.apply(value)
        assert loss == value == halves.batch_loss
        assert everything(whole) == everything(halves)
    whole.rate_factor = halves.rate_factor = 0.5
    whole.step(x, target)
    halves.model.loss_and_grad(x, target, halves.loss, training=True)  # type: ignore[attr-defined]  # a Sequential
    halves.apply()
    assert whole.model.vector.value.tobytes() == halves.model.vector.value.tobytes()
    assert math.isnan(halves.batch_loss)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_named(number: float) -> None:
    trainer = trainer_of(small(), Adam(0.1))
    trainer.step(*data())
    trainer.model.parameters()["2.weight"].grad[1, 1] = number
    before = everything(trainer)
    with pytest.raises(NonFiniteError, match=r"step 2: the gradient of 2\.weight is the first .* below 0\.1"):
        trainer.apply()
    assert everything(trainer) == before
    trainer.step(*data())


@pytest.mark.parametrize("in_shield", [False, True])
def test_an_update_that_overflows_changes_nothing_in_any_block(in_shield: bool) -> None:
    trainer = trainer_of(Sequential(Linear(300, 200), Centred(200), rng=0), SGD(1e30, momentum=0.9))
    trainer.model.vector.grad = np.zeros(60_200)
    trainer.apply()
    trainer.model.vector.grad[-1] = 1e20
    before = everything(trainer)
    assert not in_shield or trainer.stepper.is_large
    trainer.stepper.is_large = in_shield
    with pytest.raises(NonFiniteError, match=r"step 2: the update of 0\.bias is the first"):
        trainer.apply(3.0)
    assert everything(trainer) == before


def test_a_frozen_parameter_stands_still_and_its_gradient_counts_for_nothing() -> None:
    """Whoever computes the gradients elsewhere may assign all of them; clipping sees those of the others."""
    moved = []
    for elsewhere in (0.0, 1e6):
        trainer = trainer_of(small(), SGD(0.1, momentum=0.5, clip_norm=0.1))
        frozen = trainer.model.parameters()["0.weight"]
        frozen.trainable = False
        before = frozen.value.copy()
        grad = np.ones(trainer.model.vector.size)
        grad[: frozen.size] = elsewhere
        trainer.model.vector.grad = grad
        trainer.apply()
        np.testing.assert_array_equal(frozen.value, before)
        moved.append(trainer.model.vector.value.tobytes())
    assert moved[0] == moved[1]


def test_the_loss_is_a_number() -> None:
    trainer = trainer_of(small())
    trainer.apply(np.float32(2))  # type: ignore[arg-type]  # NumPy says that it is no float
    assert type(trainer.batch_loss) is float
    assert trainer.batch_loss == 2
    with pytest.raises(TypeError, match=r"Trainer\.apply: expected loss as a number, got ndarray; .*vector\.grad = "):
        trainer.apply(np.ones(3))  # type: ignore[arg-type]
    assert trainer.steps == 1


class Breaks(SGD):
    """SGD with momentum that does something else between its two changes, in its second step."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__(1e-6, momentum=0.9)
        self.do = do

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        (velocity,) = state
        velocity *= self.momentum
        if step.number == 2:
            self.do()
        velocity += grad
        value -= step.learning_rate * velocity

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        return SGD.bounds(self, value, state, grad, step)


def of_size(features: int, optimizer: Optimizer) -> Trainer:
    model = Sequential(Linear(features, 2), rng=0)
    trainer = Trainer(model, loss=SquaredError(), optimizer=optimizer)
    model.vector.grad = np.linspace(0, 1, model.vector.size)
    trainer.apply()
    return trainer


def test_ctrl_c_finds_a_large_model_after_the_step_and_a_small_one_before_it() -> None:
    for features, steps in ((BLOCK, 2), (3, 1)):
        trainer = of_size(features, Breaks(lambda: signal.raise_signal(signal.SIGINT)))
        with pytest.raises(KeyboardInterrupt):
            trainer.apply()
        again = of_size(features, SGD(1e-6, momentum=0.9))
        if steps == 2:
            again.apply()
        assert everything(trainer) == everything(again)
        assert trainer.steps == steps
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_step_that_overflows_is_undone_after_steps_of_another_trainer_of_the_same_model() -> None:
    """No copy is kept where none is needed; what one trainer knows of the numbers ends with a step of another."""
    model = Sequential(Linear(1, 1, bias=False, weight=[[1.0]]), rng=0)
    careful, bold = (Trainer(model, loss=SquaredError(), optimizer=SGD(rate)) for rate in (1.0, 3.39e30))
    with careful.stepper.shield:
        careful.stepper.shield.open()
        model.vector.grad = [0.0]
        careful.apply()
        model.vector.grad = [-1e8]
        bold.apply()
        before = model.parameters()["0.weight"].value.copy()  # without asking the vector, which would tell of it
        model.vector.grad = [-1.9e37]
        with pytest.raises(NonFiniteError):
            careful.apply()
    assert before > 3e38
    np.testing.assert_array_equal(model.vector.value, before[0])


def test_no_step_is_taken_from_parameters_that_a_broken_update_left() -> None:
    def fail() -> None:
        raise MemoryError

    trainer = of_size(BLOCK, Breaks(fail))
    with pytest.raises(MemoryError):
        trainer.apply()
    with pytest.raises(RuntimeError, match=r"interrupted the update of step 2.*trainer\.resume\(path\)"):
        trainer.apply()


def test_a_callback_may_apply_gradients_of_its_own_in_a_fit() -> None:
    class Pulls(Callback):
        """After each step, another towards 0."""

        def step_end(self, trainer: Trainer) -> None:
            trainer.model.vector.grad = trainer.model.vector.value
            trainer.apply(0.5)

    trainer = Trainer(Sequential(Linear(3, 4), Tanh(), Linear(4, 2), rng=0), loss=SquaredError(), optimizer=SGD(0.1))
    trainer.fit(*data(12), epochs=2, batch_size=4, callbacks=[Pulls()], verbose=0)
    assert trainer.steps == 12
    assert trainer.batch_loss == 0.5
