"""CompiledStepper: takes whole steps in one compiled call where the chain allows it, and any other as Stepper does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays
from nanonet.core.chain import checked_views
from nanonet.core.objects import is_own
from nanonet.optimizers.compiled import why_not
from nanonet.optimizers.schedules import PiecewiseRate, Schedule, WarmUp
from nanonet.training.compiled import codes
from nanonet.training.compiled.chain import Described, described, is_plain, settings_of
from nanonet.training.compiled.plan import Plan
from nanonet.training.parts import Outcome
from nanonet.training.step import By, Stepper

OF_THE_PLAN = ("_plan", "_planned_for", "_settings_of")


class CompiledStepper(Stepper):
    """The stepper of a trainer that is ``fast``.

    A step of which a number would not be finite is not taken by the kernels, and has changed nothing; the readable step
    takes it then, or says what broke.

    Attributes
    ----------
    pace : float
        Seconds for a step in the last call that took many; 0 before that.
    """

    def _start(self) -> None:
        super()._start()
        self.pace = 0.0
        self._plan: Plan | str = ""
        self._planned_for: tuple[Any, ...] = (None,) * 4
        self._settings_of: Callable[[Any], Any] = id

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copying, without the plan, which is made anew."""
        return {name: value for name, value in super().__getstate__().items() if name not in OF_THE_PLAN}

    def how(self) -> str:
        """Return what is compiled: the whole step, or the update, or nothing, and if not, why."""
        made = self._described()
        if not isinstance(made, str):
            return "the whole step is compiled"
        reason = why_not(self.optimizer, self.model.vector.size)
        update = f"not the update: {reason}" if reason else "the update is compiled"
        return f"{update}; not the whole step: {made}"

    def plan(self) -> Plan | str:
        """Return the plan for the chain as it is now, or why there is none."""
        if self.torn or self._vector.layout is not self._layout:
            self._ready()
        layout, loss, optimizer, settings = self._planned_for
        if (
            layout is not self._layout
            or loss is not self.loss
            or optimizer is not self.optimizer
            or settings != self._settings_of(optimizer)
            or not is_plain(loss)
        ):
            self._plan = self._planned()
            self._settings_of = settings_of(self.optimizer)
            self._planned_for = self._layout, self.loss, self.optimizer, self._settings_of(self.optimizer)
        return self._plan

    def _described(self) -> Described | str:
        if self.micro_batch_size is not None:
            return "micro_batch_size divides it"
        if vars(self).get("_division") is not None:
            return "workers or ranks share its batches"
        return described(self.model, self.loss, self.optimizer)

    def _planned(self) -> Plan | str:
        made = self._described()
        if isinstance(made, str):
            return made
        value, optimizer, decay = self._value, self.optimizer, np.empty(0, self._value.dtype)
        if optimizer.weight_decay:
            flags = [np.broadcast_to(block.decays, block.value.shape) for block in self._blocks]
            decay = (optimizer.weight_decay * np.concatenate(flags)).astype(value.dtype)
        states = list(self.states.values())
        return Plan(made, value, self._grad, states, decay)

    def take(
        self,
        x: Arrays,
        target: Any,
        weight: npt.ArrayLike | None,
        look: Callable[[Array], None] | None = None,
        by: By | Stepper | None = None,
    ) -> Outcome:
        """Take a step; see :meth:`Stepper.take`."""
        if by is None:
            plan = self.plan()
            if isinstance(plan, Plan):
                outcome = self._whole(plan, x, target, weight, look)
                if outcome is not None:
                    return outcome
        return super().take(x, target, weight, look, by)

    def take_strictly(
        self, x: Arrays, target: Any, weight: npt.ArrayLike | None, look: Callable[[Array], None] | None
    ) -> Outcome:
        """Take a step under the strict contract, then take it back and again as a compiled one.

        So all steps of a training are of one kind, and a resumed one goes on bit for bit.
        """
        plan = self.plan()
        if isinstance(plan, str):
            return super().take_strictly(x, target, weight, look)
        arrays = [self._value, *self.states.values()]
        before = [array.copy() for array in arrays]
        outcome = super().take_strictly(x, target, weight, look)
        if outcome.divisor == 0:
            return outcome
        for array, numbers in zip(arrays, before, strict=True):  # the shield is closed now
            array[:] = numbers
        self.steps -= 1
        again = self._whole(plan, x, target, weight, None) or super().take(x, target, weight)
        return again._replace(prediction=outcome.prediction)

    def _whole(
        self, plan: Plan, x: Any, target: Any, weight: npt.ArrayLike | None, look: Callable[[Array], None] | None
    ) -> Outcome | None:
        """Take a step in one call, or in two if somebody looks between; return None if it is for the readable one."""
        if checked_views or len(x) > plan.largest:
            return None
        room = plan.room(len(x), weighted=weight is not None)
        if x.shape != room.x.shape:
            return None
        try:
            given, weights = self.loss.check(room.like, target, weight)
            rate = self.optimizer.rate(self.steps) * self.rate_factor
        except Exception:
            return None  # the readable step meets it too, and says it
        if given.shape != room.target.shape:
            return None
        room.x[:], room.target[:], room.rate[0] = x, given, rate
        divisor = float(len(x))
        if weights is not None:
            room.weights[:], divisor = weights, float(weights.sum())
        prediction = None
        if look is not None and divisor:
            if not plan.call(*room.passes):
                return None
            prediction = room.prediction()
            self._look(look, prediction, x)
        if not self.run(plan, room.whole if look is None else room.update):
            return None if look is None else super().take(x, target, weight)  # it has looked already
        return Outcome(self.batch_loss if divisor else 0.0, divisor, prediction)

    def _look(self, look: Callable[[Array], None], prediction: Array, x: Array) -> None:
        try:
            with np.errstate(all="ignore"):
                look(prediction)
        except Exception as error:
            self.model.raise_cause(error, x, training=True)
            raise

    def run(self, plan: Plan, arguments: tuple[Any, ...]) -> int:
        """Call the kernels, and return how many batches are done with; their steps count as taken, whatever comes.

        If any is, signals are deferred until the caller opens the shield.
        """
        before = plan.numbers[codes.STEPS] = self.steps
        self.shield.closed = True
        try:
            done: int = plan.call(*arguments)
        finally:
            self._count(plan)
        if self.steps == before:
            self.shield.open()
        return done

    def _count(self, plan: Plan) -> None:
        """Count the steps of the last call."""
        steps = int(plan.numbers[codes.STEPS])
        if steps > self.steps:
            self._memory.version += 1  # for other trainers of the same numbers
            self.batch_loss, self.learning_rate = plan.numbers[codes.LAST_LOSS : codes.LOSSES].tolist()
            self.steps = steps

    def rates(self, count: int) -> Array | None:
        """Return the learning rates of the next steps, up to the first that is an error.

        None if that is the first, or the schedule is somebody's own: such a function may look at what each step gives.
        """
        rate = self.optimizer.learning_rate
        if not callable(rate):
            return np.full(count, rate * self.rate_factor)
        if not _is_ours(rate):
            return None
        rates = []
        try:
            for step in range(self.steps, self.steps + count):
                rates.append(self.optimizer.rate(step) * self.rate_factor)
        except ValueError:
            pass  # for the step that it concerns to raise
        return np.array(rates) if rates else None


def _is_ours(rate: object) -> bool:
    """Return whether a rate is a number or a schedule of nanonet, which is a function of the step alone."""
    if not callable(rate):
        return True
    parts = [rate.then] if isinstance(rate, WarmUp) else rate.rates if isinstance(rate, PiecewiseRate) else []
    return isinstance(rate, Schedule) and is_own(type(rate)) and all(map(_is_ours, parts))
