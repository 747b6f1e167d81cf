"""Stepper: takes training steps, each of them whole or not at all, and holds the optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.checking.layer_contract import checked
from nanonet.checking.training_contract import checked_loss, checked_optimizer
from nanonet.checking.view import Snapshot
from nanonet.core.arrays import Array, is_finite
from nanonet.core.chain import Chain
from nanonet.core.checks import expect, positive_int
from nanonet.core.errors import NonFiniteError
from nanonet.core.loss import Loss, nothing_counts
from nanonet.core.optimizer import Optimizer, Step
from nanonet.core.parameter import Parameter
from nanonet.core.tree import Tree
from nanonet.training.data import Dataset
from nanonet.training.divergence import divergence, of_loss, of_update
from nanonet.training.interrupts import Shield

BLOCK = 32768  # entries of the vector that stay in the CPU cache during an update


class Outcome(NamedTuple):
    """The result of a step: the loss, the divisor of its mean, and the prediction, all from before the update.

    A divisor of 0 means that no sample of the batch counts, and that no step was taken.
    """

    loss: float
    divisor: float
    prediction: Array


class By(NamedTuple):
    """What a step is taken with: checked copies of the stepper's model, loss and optimizer, or these themselves."""

    model: Chain
    loss: Loss
    optimizer: Optimizer


OF_THE_VECTOR = ("_vector", "_value", "_grad", "_memory", "_blocks", "tree", "_layout", "_bounds", "shield")


class Stepper:
    """Takes the steps of a :class:`nanonet.Trainer`: model, loss, optimizer, and the optimizer's state.

    Parameters are those of Trainer.

    Attributes
    ----------
    states : dict
        The optimizer's state vectors by name, each as long as the model's vector.
    tree : Tree
        The parts of the model.
    shield : Shield
        Defers signals; the caller opens it after a step.
    torn : int or str
        The interrupted step that could not be undone, or another reason why the parameters are inconsistent.
    """

    def __init__(self, model: Chain, loss: Loss, optimizer: Optimizer, micro_batch_size: int | None = None) -> None:
        expect(model, Chain, "Trainer: expected model", called="Sequential")
        expect(loss, Loss, "Trainer: expected loss")
        expect(optimizer, Optimizer, "Trainer: expected optimizer")
        name = type(optimizer).__name__
        if not hasattr(optimizer, "_learning_rate"):
            raise TypeError(f"{name}: its __init__ has to call super().__init__(learning_rate)")
        if micro_batch_size is not None:
            positive_int(micro_batch_size, "Trainer", "micro_batch_size")
        self.model, self.loss, self.optimizer, self.micro_batch_size = model, loss, optimizer, micro_batch_size
        self.steps, self._version = 0, -1
        self.torn: int | str = 0
        self.batch_loss, self.learning_rate, self.rate_factor = math.nan, math.nan, 1.0
        self._starts = optimizer.states()
        if not isinstance(self._starts, dict):
            raise TypeError(f'{name}: states must return a dict such as {{"velocity": 0.0}}, got {self._starts!r:.60}')
        self.states: dict[str, Array] = {}
        limits = np.finfo(model.dtype)
        self._most, self._least = float(limits.max) / 16, math.sqrt(model.vector.size * limits.tiny)  # squares vanish
        self._is_bounded = type(optimizer).bounds is not Optimizer.bounds
        self._is_large = model.vector.size > BLOCK  # so that deferring signals costs less than a copy
        self._start()

    def _start(self) -> None:
        """Set what belongs to the vector."""
        self.shield, self._vector = Shield(), self.model.vector
        self._bind()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copying, without what belongs to the vector, which is rebuilt."""
        return {name: value for name, value in vars(self).items() if name not in OF_THE_VECTOR}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    def step(self, x: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> float:
        """Take a step on a batch from a user; see :meth:`nanonet.Trainer.step`."""
        entered = self.model.enter(x)
        if len(entered) == 0:
            raise ValueError(f"Trainer: expected a batch of one sample or more, got x of shape {entered.shape}")
        if self._is_large and not self.shield.up:
            with self.shield:
                self.shield.open()
                outcome = self.take(entered, target, weight)
        else:
            outcome = self.take(entered, target, weight)
            self.shield.open()
        if outcome.divisor == 0:
            raise nothing_counts("Trainer: no sample of this batch counts")
        return outcome.loss

    def take(
        self,
        x: Array,
        target: npt.ArrayLike,
        weight: npt.ArrayLike | None,
        look: Callable[[Array], None] | None = None,
        by: By | Stepper | None = None,
    ) -> Outcome:
        """Take a step, atomically; look gets the prediction before anything is updated.

        After a successful step, signals may be deferred until the caller opens the shield.
        """
        if self._vector.layout is not self._layout:
            self._bind()
        if self.torn:
            self.refuse_torn()
        by = by or self
        kept = Snapshot(self.tree) if self._changeable else None
        number, rate, touched = self.steps + 1, self.learning_rate, 0
        try:
            with np.errstate(all="ignore"):
                outcome = self._gradients(by, x, target, weight)
                if outcome.divisor == 0:
                    if kept is not None:
                        kept.restore()
                    return outcome
                if look is not None:
                    look(outcome.prediction)
                rate = by.optimizer.rate(self.steps) * self.rate_factor
                step = Step(number, rate)
                norm = self._norm()
                scale = by.optimizer.scale(lambda: norm)
                if self.shield.up and self._cannot_overflow(norm, step):
                    self.shield.closed = True  # without a copy the update cannot be undone
                    self.torn = number
                    for block in self._blocks:
                        by.optimizer.apply(block.value, block.grad, step, block.state, scale, block.decays)
                else:
                    for block in self._blocks:
                        block.save()
                        touched += 1  # only now, so that an interrupt within save restores no incomplete copy
                        by.optimizer.apply(block.value, block.grad, step, block.state, scale, block.decays)
                        if not block.is_finite():
                            raise of_update(self.tree)
                    self.shield.closed = True
                self.steps, self.torn = number, 0  # the step counts as taken from here
                self.batch_loss, self.learning_rate = outcome.loss, rate
        except BaseException as error:
            if self.steps == number:
                self.batch_loss, self.learning_rate = outcome.loss, rate
                raise
            for block in self._blocks[:touched]:
                block.restore()
            if kept is not None and not self.torn:
                kept.restore()
            self.shield.open()
            if isinstance(error, NonFiniteError):
                again = By(checked(self.model), self.loss, self.optimizer), x, target, weight
                retrace = None if touched else partial(self._gradients, *again)
                raise divergence(str(error), x, number, rate, retrace) from None
            if isinstance(error, Exception) and touched == 0 and not self.torn:
                self.model.raise_cause(error, x, training=True)
            raise
        return outcome

    def expect_changes(self) -> None:
        """Discard the known bounds and check for new signal handlers: user code has run."""
        self.forget_bounds()
        self.shield.closed = True
        self.shield.cover()
        self.shield.open()

    def forget_bounds(self) -> None:
        """Discard the known bounds, because the numbers were changed elsewhere."""
        self._bounds: list[float] | None = None  # on absolute values in the vector and each state

    def refuse_torn(self) -> None:
        """Raise RuntimeError if an update was left incomplete."""
        if self.torn:
            number = self.torn
            why = number if isinstance(number, str) else f"an exception interrupted the update of step {number}"
            raise RuntimeError(
                f"Trainer: {why}, so the parameters are inconsistent; resume from a checkpoint: trainer.resume(path)"
            )

    def _norm(self) -> float:
        """Return the norm of all gradients together; raise if one of them is not finite."""
        norm = _norm_of(self._grad)
        if norm < math.inf:
            return norm
        top = float(np.abs(self._grad).max())
        if not math.isfinite(top):
            raise NonFiniteError("a gradient is the first number that is not finite")
        return top * _norm_of(self._grad / top)  # only their squares overflow

    def _cannot_overflow(self, largest: float, step: Step) -> bool:
        """Tell whether no number can overflow in an update; largest is an upper bound on the absolute gradients."""
        if not self._is_bounded:
            self._bounds = None
            return False
        if self._bounds is None or self._version != self._memory.version:
            self._version = self._memory.version  # of the numbers whose bounds are known
            self._bounds = [_norm_of(array) + self._least for array in (self._value, *self.states.values())]
        value, states = self.optimizer.reach(self._bounds[0], self._bounds[1:], largest + self._least, step)
        self._bounds = [value, *states]
        for bound in (1e9 * step.learning_rate, *self._bounds):
            if not bound < self._most:  # NaN is not either
                self._bounds = None  # to be measured again
                return False
        return True

    def _gradients(self, by: By | Stepper, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> Outcome:
        """Run both passes, which store every gradient in the vector."""
        size = self.micro_batch_size
        if size is None or len(x) <= size:
            return self._passes(by, x, target, weight)
        return self._accumulated(by, Dataset(x, target, weight), size)

    def _passes(self, by: By | Stepper, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> Outcome:
        """Run both passes on one micro-batch; the gradients stay as they are if no sample of it counts."""
        prediction, cache = by.model.forward(x, training=True)
        value, divisor, loss_cache = mean_loss(by.loss, prediction, target, weight)
        if not math.isfinite(value):
            raise of_loss(by.loss, value, self.model)
        if divisor:
            by.model.backward_parameters(by.loss.backward(loss_cache), cache)
        return Outcome(value, divisor, prediction)

    def _accumulated(self, by: By | Stepper, batch: Dataset, size: int) -> Outcome:
        """Accumulate the gradients of micro-batches, each weighted by its share of the batch."""
        mean, loss, divisor, predictions = np.zeros_like(self._grad), 0.0, 0.0, []
        for piece in batch.batches(size):
            outcome = self._passes(by, *piece)
            predictions.append(outcome.prediction)
            if outcome.divisor:
                divisor += outcome.divisor
                share = outcome.divisor / divisor  # of this micro-batch in all so far; a sum might overflow
                mean *= 1 - share
                mean += share * self._grad
                loss += share * (outcome.loss - loss)
        self._grad[:] = mean
        return Outcome(loss, divisor, np.concatenate(predictions))

    def take_strictly(
        self, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None, look: Callable[[Array], None] | None
    ) -> Outcome:
        """Take a step under the strict contract, including the loss and the optimizer."""
        optimizer = checked_optimizer(self.optimizer, self._starts, self.model.dtype)
        by = By(checked(self.model, live=True, masks=True), checked_loss(self.loss), optimizer)
        try:
            return self.take(x, target, weight, look, by)
        except BaseException:
            self._grad.fill(0)  # the contract has filled it with NaN
            raise

    # ---- what belongs to the layout

    def _bind(self) -> None:
        """Divide the vector into blocks: at first, and whenever a parameter was frozen, unfrozen or moved."""
        vector = self._vector
        self._value, self._grad, self._memory, self._version = vector.value, vector.grad, vector.memory, -1
        self.tree = Tree(self.model)
        self._changeable = bool(self.tree.buffers or self.tree.randoms)
        self.states = {
            name: self.states[name].astype(vector.dtype, copy=False)
            if name in self.states
            else np.full(vector.size, start, vector.dtype)
            for name, start in self._starts.items()
        }
        states = list(self.states.values())
        self._blocks = cut(vector.value, vector.grad, states, self.tree.parameters, self.optimizer)
        self._layout: object = vector.layout
        self.forget_bounds()

    def state_arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield the optimizer's state of each parameter by name, such as "velocity/0.weight"."""
        if self._vector.layout is not self._layout:
            self._bind()
        for state, numbers in self.states.items():
            start = 0
            for name, parameter in self.tree.parameters.items():
                yield f"{state}/{name}", parameter.laid(numbers[start : start + parameter.size])
                start += parameter.size


def mean_loss(
    loss: Loss, prediction: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None
) -> tuple[float, float, Any]:
    """Return the mean loss of a batch, the divisor of that mean, and the cache; zeros if no sample of it counts."""
    checked, weights = loss.check(prediction, target, weight)
    divisor = loss.total(checked, weights)
    if divisor == 0:
        return 0.0, 0.0, None
    value, cache = loss.forward(prediction, checked, weights)
    return value, divisor, cache


def _norm_of(array: Array) -> float:
    """Return the root of the sum of squares, one BLAS call; infinity where that is not finite, or overflows."""
    squares = float(np.vdot(array, array))
    return math.sqrt(squares) if squares < math.inf else math.inf  # NaN is below nothing


# ---- blocks


class Block:
    """A piece of the vector, its gradient and optimizer state, and a backup of what a step changes.

    Attributes
    ----------
    decays : float or array
        Whether weight decay applies: 1 or 0, for the whole block or entry by entry.
    """

    __slots__ = ("changing", "decays", "grad", "kept", "state", "value")

    def __init__(self, value: Array, grad: Array, state: list[Array], decays: float | Array) -> None:
        self.value, self.grad, self.state, self.decays = value, grad, state, decays
        self.changing = (value, *state)
        self.kept: list[tuple[Array, Array]] = []  # each array that changes, and its backup; made when first needed

    def save(self) -> None:
        """Back up the current numbers."""
        if not self.kept:
            self.kept = [(array, np.empty_like(array)) for array in self.changing]
        for array, copy in self.kept:
            copy[:] = array

    def is_finite(self) -> bool:
        """Tell whether no number that a step changes is NaN or infinite."""
        for array in self.changing:  # a loop: all() with a generator would add 1 us to the step of a small net
            if not is_finite(array):
                return False
        return True

    def restore(self) -> None:
        """Restore the backup."""
        for array, copy in self.kept:
            array[:] = copy


def cut(
    value: Array, grad: Array, states: list[Array], parameters: Mapping[str, Parameter], optimizer: Optimizer
) -> list[Block]:
    """Divide the vector at frozen parameters and into pieces that fit the cache."""
    decays = _decays(value, parameters, optimizer)
    return [
        Block(
            value[a:b],
            grad[a:b],
            [state[a:b] for state in states],
            decays[a:b] if isinstance(decays, np.ndarray) else decays,
        )
        for a, b in _runs(list(parameters.values()))
    ]


def _decays(value: Array, parameters: Mapping[str, Parameter], optimizer: Optimizer) -> float | Array:
    """Return 1 where weight decay applies and 0 elsewhere, or one number if it is the same everywhere."""
    flags = [float(bool(optimizer.decays(name, parameter))) for name, parameter in parameters.items()]
    if len(set(flags)) <= 1:
        return flags[0] if flags else 0.0
    return np.repeat(flags, [parameter.size for parameter in parameters.values()]).astype(value.dtype)


def _runs(parameters: list[Parameter]) -> Iterator[tuple[int, int]]:
    start = stop = 0
    for parameter in parameters:
        if not parameter.trainable:
            yield from _pieces(start, stop)
            start = stop + parameter.size
        stop += parameter.size
    yield from _pieces(start, stop)


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    return ((a, min(a + BLOCK, stop)) for a in range(start, stop, BLOCK))
