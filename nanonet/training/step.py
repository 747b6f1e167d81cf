"""Stepper: one training step, atomic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.checking.contract import checked
from nanonet.checking.training_contract import checked_loss, checked_optimizer
from nanonet.checking.view import Snapshot
from nanonet.core.arrays import Array, is_finite
from nanonet.core.chain import Chain
from nanonet.core.checks import expect, positive_int
from nanonet.core.errors import ContractError, NonFiniteError
from nanonet.core.loss import Loss, nothing_counts
from nanonet.core.objects import called
from nanonet.core.optimizer import Optimizer, Step
from nanonet.core.tree import Tree
from nanonet.training.blocks import BLOCK, Block, cut
from nanonet.training.data import Arrays
from nanonet.training.interrupts import Shield


class Outcome(NamedTuple):
    """The result of a step: the loss, the divisor of its mean, and the prediction, all from before the update.

    A divisor of 0 means that the total weight of the batch is 0 and that no step was taken.
    """

    loss: float
    divisor: float
    prediction: Array


class By(NamedTuple):
    """What takes a step: the trainer's own model, loss and optimizer, or checked copies of them."""

    model: Chain
    loss: Loss
    optimizer: Optimizer


OF_THE_VECTOR = ("_vector", "_value", "_grad", "_memory", "_blocks", "tree", "_layout", "_bounds", "shield")


class Stepper:
    """Takes the steps of a :class:`nanonet.Trainer`: model, loss, optimizer, and the optimizer's state.

    Parameters are those of Trainer.
    """

    def __init__(self, model: Chain, loss: Loss, optimizer: Optimizer, micro_batch_size: int | None = None) -> None:
        expect(model, Chain, "Trainer: expected model", called="Sequential")
        expect(loss, Loss, "Trainer: expected loss")
        expect(optimizer, Optimizer, "Trainer: expected optimizer")
        if not hasattr(optimizer, "_learning_rate"):
            name = type(optimizer).__name__
            raise TypeError(f"{name}: its __init__ has to call super().__init__(learning_rate)")
        if micro_batch_size is not None:
            positive_int(micro_batch_size, "Trainer", "micro_batch_size")
        self.model, self.loss, self.optimizer, self.micro_batch_size = model, loss, optimizer, micro_batch_size
        self.steps = 0
        self.batch_loss, self.learning_rate, self.rate_factor = math.nan, math.nan, 1.0
        self._states: dict[str, Array] = {}
        self._blocks: list[Block] = []
        self._vector = model.vector
        self._bounds: list[float] | None = None  # on absolute values in the vector and each state, if known
        limits = np.finfo(model.dtype)
        self._most, self._least = float(limits.max) / 16, math.sqrt(model.vector.size * limits.tiny)  # squares vanish
        self._is_bounded = type(optimizer).bounds is not Optimizer.bounds
        self._is_large = model.vector.size > BLOCK  # so that deferring signals costs less than a copy
        self.shield = Shield()
        self._layout: object = None
        self._version = -1  # of the numbers whose bounds are known
        self.torn: int | str = 0  # the interrupted step that could not be undone, or another reason
        self._starts = optimizer.states()
        if not isinstance(self._starts, dict):
            name = type(optimizer).__name__
            raise TypeError(f'{name}: states must return a dict such as {{"velocity": 0.0}}, got {self._starts!r:.60}')
        self._bind()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copying, without what belongs to the vector, which is rebuilt."""
        return {name: value for name, value in vars(self).items() if name not in OF_THE_VECTOR}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.shield, self._layout, self._bounds = Shield(), None, None
        self._vector = self.model.vector
        self._bind()

    def step(self, x: npt.ArrayLike, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Take one step on a batch and return its loss, from before the update.

        Raises
        ------
        NonFiniteError
            If the loss, a gradient or an updated parameter is not finite. Nothing is changed.
        ShapeError
            If x does not fit the model, or target the prediction.
        ValueError
            If the total weight of the batch is 0. Nothing is changed.
        """
        entered = self.model.enter(x)
        if len(entered) == 0:
            raise ValueError(f"Trainer: expected a batch of one sample or more, got x of shape {entered.shape}")
        if self._is_large and not self.shield.up:
            with self.shield:
                self.shield.open()
                outcome = self._step(entered, target, sample_weight)
        else:
            outcome = self._step(entered, target, sample_weight)
            self.shield.open()
        if outcome.divisor == 0:
            raise nothing_counts("Trainer: no sample of this batch counts")
        return outcome.loss

    def _step(
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
        self._bind()
        if self.torn:
            self.refuse_torn()
        by = by or self
        kept = Snapshot(self.tree) if self._changeable else None
        number, rate, touched = self.steps + 1, self.learning_rate, 0
        try:
            with np.errstate(all="ignore"):
                outcome = self._gradients(by, x, target, weight)
                if outcome.divisor == 0:  # the total weight, by sample and class weights, is 0
                    if kept is not None:
                        kept.restore()
                    return outcome
                if look is not None:
                    look(outcome.prediction)
                rate = by.optimizer.rate(self.steps) * self.rate_factor
                step = Step(number, rate)
                norm_of_grad = self._checked_norm()
                scale = by.optimizer.scale(self._norm)
                if self.shield.up and self._cannot_overflow(norm_of_grad, step):
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
                            raise NonFiniteError(f"the update of {self._overflown()} is the first that is not finite")
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
                raise self._diverged(x, target, weight, str(error), number, rate, retrace=touched == 0) from None
            if isinstance(error, Exception) and touched == 0 and not self.torn:
                self.model.raise_cause(error, x, training=True)
            raise
        return outcome

    def _after_user_code(self) -> None:
        """Discard the known bounds and check for new signal handlers: user code has run."""
        self._bounds, self.shield.closed = None, True
        self.shield.cover()
        self.shield.open()

    def forget_bounds(self) -> None:
        """Discard the known bounds, because the numbers were changed elsewhere."""
        self._bounds = None

    def refuse_torn(self) -> None:
        """Raise RuntimeError if an update was left incomplete."""
        if self.torn:
            number = self.torn
            why = number if isinstance(number, str) else f"an exception interrupted the update of step {number}"
            raise RuntimeError(
                f"Trainer: {why}, so the parameters are inconsistent; resume from a checkpoint: trainer.resume(path)"
            )

    def _checked_norm(self) -> float:
        """Return the norm of all gradients, infinity if their squares overflow; raise if a gradient is not finite."""
        largest = _norm_of(self._grad)
        if largest < math.inf:
            return largest
        if not all(is_finite(block.grad) for block in self._blocks):
            raise NonFiniteError("a gradient is the first number that is not finite")
        return math.inf

    def _cannot_overflow(self, largest: float, step: Step) -> bool:
        """Tell whether no number can overflow in an update; largest is an upper bound on the absolute gradients."""
        if not self._is_bounded or largest == math.inf:
            self._bounds = None
            return False
        if self._bounds is None or self._version != self._memory.version:
            self._version = self._memory.version
            self._bounds = [_norm_of(array) + self._least for array in (self._value, *self._states.values())]
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
        return self._accumulated(by, Arrays(x, target, weight), size)

    def _passes(self, by: By | Stepper, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> Outcome:
        """Run both passes on one micro-batch."""
        prediction, cache = by.model.forward(x, training=True)
        checked, weights = by.loss.check(prediction, target, weight)
        divisor = by.loss.total(checked, weights)
        if divisor == 0:
            return Outcome(0.0, 0.0, prediction)
        value, loss_cache = by.loss.forward(prediction, checked, weights)
        if not math.isfinite(value):
            raise NonFiniteError(f"{by.loss}: the loss is the first number that is not finite, {value}{self._last()}")
        by.model.backward_parameters(by.loss.backward(loss_cache), cache)
        return Outcome(value, divisor, prediction)

    def _accumulated(self, by: By | Stepper, batch: Arrays, size: int) -> Outcome:
        """Accumulate the gradients of micro-batches, each weighted by its share of the batch."""
        mean, loss, divisor, predictions = np.zeros_like(self.model.vector.grad), 0.0, 0.0, []
        for piece in batch.batches(size):
            outcome = self._passes(by, *piece)
            if outcome.divisor:
                divisor += outcome.divisor
                share = outcome.divisor / divisor  # of this micro-batch in all so far; a sum might overflow
                mean *= 1 - share
                mean += share * self.model.vector.grad
                loss += share * (outcome.loss - loss)
            predictions.append(outcome.prediction)
        if divisor:
            self.model.vector.grad = mean
        return Outcome(loss, divisor, np.concatenate(predictions))

    def _norm(self) -> float:
        """Return the norm of all gradients together."""
        total = sum(float(np.vdot(block.grad, block.grad)) for block in self._blocks)
        if math.isfinite(total):
            return math.sqrt(total)
        top = max(float(np.abs(block.grad).max()) for block in self._blocks)  # the squares overflow
        return top * math.sqrt(sum(float(np.sum((block.grad / top) ** 2)) for block in self._blocks))

    def _strict_step(
        self, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None, look: Callable[[Array], None] | None
    ) -> Outcome:
        """Take a step under the strict contract, including the loss and the optimizer."""
        optimizer = checked_optimizer(self.optimizer, self._starts, self.model.dtype)
        by = By(checked(self.model, live=True, masks=True), checked_loss(self.loss), optimizer)
        try:
            return self._step(x, target, weight, look, by)
        except BaseException:
            self._grad.fill(0)  # the contract has filled it with NaN
            raise

    # ---- what belongs to the layout

    def _bind(self) -> None:
        """Divide the vector into blocks, again whenever a parameter was frozen, unfrozen or moved."""
        vector = self._vector
        if vector.layout is self._layout:
            return
        self._value, self._grad, self._memory, self._version = vector.value, vector.grad, vector.memory, -1
        self.tree = Tree(self.model)
        self._changeable = bool(self.tree.buffers or self.tree.randoms)
        self._states = {
            name: self._states[name].astype(vector.dtype, copy=False)
            if name in self._states
            else np.full(vector.size, start, vector.dtype)
            for name, start in self._starts.items()
        }
        states = list(self._states.values())
        self._blocks = cut(vector.value, vector.grad, states, self.tree.parameters, self.optimizer)
        self._layout, self._bounds = vector.layout, None

    def state_arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield the optimizer's state of each parameter by name, such as "velocity/0.weight"."""
        self._bind()
        for state, numbers in self._states.items():
            start = 0
            for name, parameter in self.tree.parameters.items():
                yield f"{state}/{name}", parameter.laid(numbers[start : start + parameter.size])
                start += parameter.size

    def _overflown(self) -> str:
        """Return the name of the first non-finite parameter."""
        overflown = (name for name, p in self.tree.parameters.items() if not is_finite(p.value))
        return next(overflown, "the optimizer's state")

    def _last(self) -> str:
        last = len(self.model) - 1
        return f", for a prediction from layer {last}, {called(self.model[last])}" if last >= 0 else ""

    def _diverged(
        self,
        x: Array,
        target: npt.ArrayLike,
        weight: npt.ArrayLike | None,
        found: str,
        number: int,
        rate: float,
        *,
        retrace: bool,
    ) -> NonFiniteError:
        """Find where the first non-finite number arose, on the model as it was before the step."""
        if x.dtype.kind == "f" and not is_finite(x):
            found = "x holds numbers that are not finite"
        elif retrace:
            try:
                with np.errstate(all="ignore"):
                    self._gradients(By(checked(self.model), self.loss, self.optimizer), x, target, weight)
            except (NonFiniteError, ContractError) as first:
                found = str(first)
        advice = f"try a learning_rate below {rate:g}, or check the data for extreme values"
        if number == 1 and retrace:
            advice = "no step was taken yet: check that layer's computation and its initial parameters"
        return NonFiniteError(
            f"training stopped at step {number}: {found}. The model is as it was before that step; {advice}"
        )


def _norm_of(array: Array) -> float:
    """Return the root of the sum of squares, one BLAS call; infinity where that is not finite, or overflows."""
    squares = float(np.vdot(array, array))
    return math.sqrt(squares) if squares < math.inf else math.inf  # NaN is below nothing
