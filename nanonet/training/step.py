"""Stepper: takes training steps, each of them whole or not at all, and holds the optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.checking.layer_contract import checked
from nanonet.checking.training_contract import checked_loss, checked_optimizer
from nanonet.checking.view import Snapshot
from nanonet.core.arrays import Array, Arrays, batch_size_of
from nanonet.core.chain import Chain
from nanonet.core.checks import expect, positive_int
from nanonet.core.errors import NonFiniteError, ShapeError
from nanonet.core.rows import LARGE
from nanonet.core.tree import Tree
from nanonet.core.vector import Memory
from nanonet.losses.loss import Loss, mean_loss
from nanonet.optimizers.optimizer import Optimizer, Step
from nanonet.training.atomic import BLOCK, Block, Blocks, Bounds, Shield, norm_of
from nanonet.training.data import Dataset, Several
from nanonet.training.divergence import divergence, of_gradient, of_loss, of_update
from nanonet.training.division import Division, ranks_of
from nanonet.training.parts import Outcome, added_up
from nanonet.training.reducer import Reducer
from nanonet.training.workers import Workers


class By(NamedTuple):
    """What a step is taken with: checked copies of the stepper's model, loss and optimizer, or these themselves."""

    model: Chain
    loss: Loss
    optimizer: Optimizer


OF_THE_VECTOR = (
    "_vector",
    "_value",
    "_grad",
    "_memory",
    "_cut",
    "_blocks",
    "tree",
    "_layout",
    "bounds",
    "shield",
    "_division",
)


class Stepper:
    """Takes the steps of a :class:`nanonet.Trainer`: model, loss, optimizer, and the optimizer's state.

    Parameters are those of Trainer.

    Attributes
    ----------
    states : dict
        The optimizer's state vectors by name, each as long as the model's vector.
    bounds : Bounds
        What is known of the size of the numbers; to be forgotten by whoever changes them.
    shield : Shield
        Defers signals; the caller opens it after a step.
    is_large : bool
        Whether a copy of the numbers costs more than deferring signals.
    torn : int or str
        The interrupted step that could not be undone, or another reason why the parameters are inconsistent.
    """

    def __init__(
        self,
        model: Chain,
        loss: Loss,
        optimizer: Optimizer,
        micro_batch_size: int | None,
        workers: int | None,
        reducer: Reducer | None,
        fast: bool,
    ) -> None:
        expect(model, Chain, "Trainer: expected model", called="Sequential")
        expect(loss, Loss, "Trainer: expected loss")
        expect(optimizer, Optimizer, "Trainer: expected optimizer")
        name = type(optimizer).__name__
        if not hasattr(optimizer, "_learning_rate"):
            raise TypeError(f"{name}: its __init__ has to call super().__init__(learning_rate)")
        if micro_batch_size is not None:
            positive_int(micro_batch_size, "Trainer", "micro_batch_size")
        self.model, self.loss, self.optimizer, self.micro_batch_size = model, loss, optimizer, micro_batch_size
        self.steps, self.fast = 0, fast
        self.torn: int | str = 0
        self.batch_loss, self.learning_rate, self.rate_factor = math.nan, math.nan, 1.0
        self._starts = optimizer.states()
        if not isinstance(self._starts, dict):
            raise TypeError(f'{name}: states must return a dict such as {{"velocity": 0.0}}, got {self._starts!r:.60}')
        self.states: dict[str, Array] = {}
        self.is_large = model.vector.size > BLOCK or reducer is not None
        self.workers = None if workers is None else Workers(workers)
        self.ranks = None if reducer is None else ranks_of(reducer, model, loss)
        self._start()

    def _start(self) -> None:
        """Set what belongs to the vector."""
        self.shield, self._vector = Shield(), self.model.vector
        self._memory = Memory(0, self.model.dtype)  # which _follow replaces
        self._division: Division | None = None
        if self.workers is not None or self.ranks is not None:
            one = partial(gradients, micro_batch_size=self.micro_batch_size)
            self._division = Division(self.model, one, self.workers, self.ranks, self.shield)
        self._follow()

    @property
    def writes(self) -> bool:
        """Whether this process writes files and prints: of the ranks of a reducer only the first does."""
        return self.ranks is None or self.ranks.rank == 0

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copying, without what belongs to the vector, which is rebuilt."""
        return {name: value for name, value in vars(self).items() if name not in OF_THE_VECTOR}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    def take(
        self,
        x: Arrays,
        target: Any,
        weight: npt.ArrayLike | None,
        look: Callable[[Array], None] | None = None,
        by: By | Stepper | None = None,
    ) -> Outcome:
        """Take a step, atomically; look gets the prediction before anything is updated.

        After a successful step, signals may be deferred until the caller opens the shield.
        """
        if self.torn or self._vector.layout is not self._layout:
            self._ready()
        by = by or self
        kept = Snapshot(self.tree) if self._changeable else None
        number, step, norm = self.steps + 1, None, None
        try:
            with np.errstate(all="ignore"):
                outcome = self._gradients(by, x, target, weight, look)
                if outcome.divisor == 0:
                    if kept is not None:
                        kept.restore()
                    self.shield.open()
                    return outcome
                if look is not None:
                    look(outcome.prediction)
                step = self._next(by.optimizer)
                norm = self._norm()
                self._update(by.optimizer, step, norm, outcome.loss)
        except BaseException as error:
            if self.steps == number:
                raise
            if kept is not None and not self.torn:
                kept.restore()
            self.shield.open()
            if isinstance(error, NonFiniteError):
                again = checked(self.model), self.loss, x, target, weight, self.micro_batch_size
                retrace = partial(gradients, *again) if norm is None else None
                rate = step.learning_rate if step else self.learning_rate
                raise divergence(str(error), x, number, rate, retrace) from None
            if isinstance(error, Exception) and norm is None:
                self.model.raise_cause(error, x, training=True)
            raise
        return outcome

    def apply(self, loss: float) -> None:
        """Take the second half of a step, on the gradients in the vector; see :meth:`nanonet.Trainer.apply`."""
        self._ready()
        self._cut.clear_frozen()  # for whoever assigned the whole vector
        step = self._next(self.optimizer)
        if self._division is not None:
            self._division.average(loss)
        try:
            with np.errstate(all="ignore"):
                self._update(self.optimizer, step, self._norm(), loss)
        except BaseException as error:
            if self.steps < step.number:
                self.shield.open()
            if isinstance(error, NonFiniteError):
                raise divergence(str(error), (), *step) from None
            raise

    # ---- the second half of a step

    def _ready(self) -> None:
        """Follow what was frozen, unfrozen or moved; raise RuntimeError if an update was left incomplete."""
        if self._vector.layout is not self._layout:
            self._follow()
        if self.torn:
            self.refuse_torn()

    def _next(self, optimizer: Optimizer) -> Step:
        """Return number and learning rate of the next step."""
        return Step(self.steps + 1, optimizer.rate(self.steps) * self.rate_factor)

    def _update(self, optimizer: Optimizer, step: Step, norm: float, loss: float) -> None:
        """Update the blocks by the gradients in the vector, whose norm is given; or raise, and change nothing.

        The shield is closed after a successful update; after another it is for the caller to open it.
        """
        touched = 0
        threads = self.workers
        if threads is not None and not (self.shield.up and optimizer is self.optimizer):
            threads = None
        try:
            scale = optimizer.scale(lambda: norm)
            apply = optimizer.apply if self._cut.sweep is None else self._cut.sweep(optimizer)
            if threads is not None:
                change = partial(Block.change, apply=apply, step=step, scale=scale)
            if self.shield.up and self.bounds.admit(self.optimizer, norm, step, self._cut):
                self.shield.closed = True  # without a copy the update cannot be undone
                self.torn = step.number
                if threads is not None:
                    threads.map(change, self._blocks)
                else:
                    for block in self._blocks:
                        at = step if block.rate is None else block.own(step)
                        apply(block.value, block.grad, at, block.state, scale, block.decays)
                self.bounds.follow()
            elif threads is not None:
                self.shield.closed = True
                for block in self._blocks[:1]:
                    block.save()  # which makes room for the copies of all
                threads.map(Block.save, self._blocks[1:])
                touched = len(self._blocks)
                threads.map(change, self._blocks)
                if not all(threads.map(Block.is_finite, self._blocks)):
                    raise of_update(self.tree)
            else:
                for block in self._blocks:
                    block.save()
                    touched += 1  # only now, so that an interrupt within save restores no incomplete copy
                    at = step if block.rate is None else block.own(step)
                    apply(block.value, block.grad, at, block.state, scale, block.decays)
                    if not block.is_finite():
                        raise of_update(self.tree)
                self.shield.closed = True
            self._memory.version += 1  # for other trainers of the same numbers
            self.steps, self.torn = step.number, 0  # the step counts as taken from here
            self.batch_loss, self.learning_rate = loss, step.learning_rate
        except BaseException:
            if self.steps == step.number:
                self.batch_loss, self.learning_rate = loss, step.learning_rate
                raise
            self.shield.closed = True
            for block in self._blocks[:touched]:
                block.restore()
            raise

    def expect_changes(self) -> None:
        """Discard the known bounds and check for new signal handlers: user code has run."""
        self.bounds.forget()
        self.shield.closed = True
        self.shield.cover()
        self.shield.open()

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
        norm = norm_of(self._grad)
        if norm < math.inf:
            return norm
        top = float(np.abs(self._grad).max())
        if not math.isfinite(top):
            raise of_gradient(self.tree)
        return top * norm_of(self._grad / top)  # only their squares overflow

    def _gradients(
        self, by: By | Stepper, x: Arrays, target: Any, weight: npt.ArrayLike | None, look: object
    ) -> Outcome:
        """Run both passes, which store every gradient in the vector."""
        if self._division is not None:
            return self._division.gradients(by.model, by.loss, x, target, weight, look, whole=by is not self)
        if self.micro_batch_size is None and batch_size_of(x) < LARGE:  # said here again for the smallest steps
            return passes(by.model, by.loss, x, target, weight)
        return gradients(by.model, by.loss, x, target, weight, self.micro_batch_size)

    def take_strictly(
        self, x: Arrays, target: Any, weight: npt.ArrayLike | None, look: Callable[[Array], None] | None
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
        """Take over the vector: at first, and when its model has become part of another."""
        vector = self._vector
        self._value, self._grad = vector.value, vector.grad
        self._memory = vector.memory
        self.tree = Tree(self.model)
        self._changeable = bool(self.tree.buffers or self.tree.randoms)
        self.states = {
            name: self.states[name].astype(vector.dtype, copy=False)
            if name in self.states
            else np.full(vector.size, start, vector.dtype)
            for name, start in self._starts.items()
        }
        states = list(self.states.values())
        self._cut = Blocks(
            vector.value, vector.grad, states, self.tree.parameters, self.optimizer, self.fast, self.workers is not None
        )
        self.bounds = Bounds(vector, states, self.optimizer)

    def _follow(self) -> None:
        """Use the blocks of what is trainable now: at first, and whenever a parameter was frozen, unfrozen or moved."""
        if self._vector.memory is not self._memory:
            self._bind()
        self._blocks = self._cut.trainable()
        self._layout: object = self._vector.layout

    def state_arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield the optimizer's state of each parameter by name, such as "velocity/0.weight"."""
        if self._vector.layout is not self._layout:
            self._follow()
        for state, numbers in self.states.items():
            start = 0
            for name, parameter in self.tree.parameters.items():
                yield f"{state}/{name}", parameter.laid(numbers[start : start + parameter.size])
                start += parameter.size


def gradients(
    model: Chain,
    loss: Loss,
    x: Arrays,
    target: Any,
    weight: npt.ArrayLike | None,
    micro_batch_size: int | None = None,
    *,
    training: bool = True,
    finite: bool = True,
) -> Outcome:
    """Run both passes, which store every gradient in the vector; a large batch in blocks if nothing mixes its samples.

    Raises
    ------
    NonFiniteError
        If the loss is not finite, unless ``finite`` is False.
    """
    size = batch_size_of(x)
    rows = micro_batch_size
    if rows is None and size >= LARGE and not loss.mixes_samples:
        rows = model.rows().training if training else model.rows().gradients
    if rows and rows < size:
        one = partial(passes, model, loss, training=training, finite=finite)
        several = Several(isinstance(x, tuple), loss.several_targets)
        try:
            parts = Dataset(x, target, weight, several=several).batches(rows)
            return added_up(one, model.vector.grad, parts, loss.reduction == "sum")
        except ShapeError:
            if micro_batch_size is not None:
                raise  # else again for the whole batch, whose shapes the caller knows
    return passes(model, loss, x, target, weight, training, finite)


def passes(
    model: Chain,
    loss: Loss,
    x: Arrays,
    target: Any,
    weight: npt.ArrayLike | None,
    training: bool = True,
    finite: bool = True,
) -> Outcome:
    """Run both passes in one go; the gradients stay as they are if no sample counts."""
    prediction, cache = model.forward(x, training=training)
    value, divisor, loss_cache = mean_loss(loss, prediction, target, weight)
    if finite and not math.isfinite(value):
        raise of_loss(loss, value, model)
    if divisor:
        model.backward_parameters(loss.backward(loss_cache), cache)
    return Outcome(value, divisor, prediction)
