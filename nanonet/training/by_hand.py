"""ByHand: what a Trainer does for a loop of your own, a step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from numbers import Real
from operator import attrgetter
from typing import Any, TypeVar

import numpy.typing as npt

from nanonet.core.arrays import batch_size_of, parts_of
from nanonet.core.chain import Chain
from nanonet.losses.loss import Loss
from nanonet.losses.weights import nothing_counts
from nanonet.optimizers.optimizer import Optimizer
from nanonet.training.described import described_by
from nanonet.training.metrics.evaluation import CHUNK, evaluate
from nanonet.training.metrics.named import Metrics
from nanonet.training.step import Stepper

T = TypeVar("T")


def _of_the_stepper(name: str) -> Any:
    """Return a property of a trainer that reads and sets an attribute of its stepper."""
    return property(attrgetter(f"stepper.{name}"), lambda trainer, value: setattr(trainer.stepper, name, value))


def _shielded(stepper: Stepper, take: Callable[..., T], *arguments: Any) -> T:
    """Take a step of a large model outside a fit: deferring signals while numbers change costs less than a copy."""
    ranks = stepper.ranks
    with stepper.shield, nullcontext() if ranks is None else ranks.together(until_done=False):
        stepper.shield.open()
        return take(*arguments)


class ByHand:
    """The part of :class:`nanonet.Trainer` that knows no epochs: steps, whole or half, and the loss on given data.

    Attributes
    ----------
    stepper : Stepper
        Takes the steps, and holds the attributes below.
    """

    stepper: Stepper
    model: Chain = _of_the_stepper("model")
    loss: Loss = _of_the_stepper("loss")
    optimizer: Optimizer = _of_the_stepper("optimizer")
    steps: int = _of_the_stepper("steps")
    batch_loss: float = _of_the_stepper("batch_loss")
    learning_rate: float = _of_the_stepper("learning_rate")
    rate_factor: float = _of_the_stepper("rate_factor")
    writes: bool = _of_the_stepper("writes")

    def step(self, x: Any, target: Any, sample_weight: npt.ArrayLike | None = None) -> float:
        """Take one step on a batch and return its loss, from before the update.

        Parameters
        ----------
        x, target : array
            Shape (batch, ...), as ``fit`` takes them.
        sample_weight : array, optional
            Shape (batch,).

        Returns
        -------
        float

        Raises
        ------
        NonFiniteError
            If the loss, a gradient or an updated parameter is not finite. Nothing is changed.
        ShapeError
            If x does not fit the model, or target the prediction.
        ValueError
            If the total weight of the batch is 0. Nothing is changed.
        """
        stepper = self.stepper
        entered = stepper.model.enter(x)
        if batch_size_of(entered) == 0:
            shapes = " and ".join(str(part.shape) for part in parts_of(entered))
            raise ValueError(f"Trainer: expected a batch of one sample or more, got x of shape {shapes}")
        if stepper.is_large and not stepper.shield.up:
            outcome = _shielded(stepper, stepper.take, entered, target, sample_weight)
        else:
            outcome = stepper.take(entered, target, sample_weight)
            stepper.shield.open()
        if outcome.divisor == 0:
            raise nothing_counts("Trainer: no sample of this batch counts")
        return outcome.loss

    def apply(self, loss: float = math.nan) -> None:
        """Take the second half of a step, on the gradients that are in ``model.vector.grad`` now.

        For gradients that do not come from one loss of one batch, as in an actor-critic, a GAN, or truncated
        backpropagation, and for those computed elsewhere. All that follows the two passes is done as in :meth:`step`:
        the learning rate of the schedule, clipping, weight decay, the update, the step count. What a forward pass of
        yours has done to buffers and generators stays done. With a reducer it is the mean over the ranks that counts.

        Parameters
        ----------
        loss : float
            To be recorded as ``batch_loss``.

        Raises
        ------
        NonFiniteError
            If a gradient or an updated parameter is not finite. Nothing is changed.

        Examples
        --------
        >>> from nanonet import SGD, Linear, Sequential, SquaredError, Trainer
        >>> model = Sequential(Linear(2, 1, weight=[[1.0, 2.0]]))
        >>> trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.5))
        >>> model.vector.grad = [1, 1, 1]
        >>> trainer.apply()
        >>> trainer.steps, model.vector.value
        (1, array([ 0.5,  1.5, -0.5], dtype=float32))
        """
        if not isinstance(loss, Real):
            raise TypeError(
                f"Trainer.apply: expected loss as a number, got {type(loss).__name__}; "
                "the gradient it takes is what model.vector.grad holds: model.vector.grad = ..."
            )
        stepper = self.stepper
        if stepper.is_large and not stepper.shield.up:
            _shielded(stepper, stepper.apply, float(loss))
        else:
            stepper.apply(float(loss))
            stepper.shield.open()

    @described_by(evaluate)
    def evaluate(
        self,
        x: Any,
        target: Any = None,
        batch_size: int = CHUNK,
        *,
        sample_weight: npt.ArrayLike | None = None,
        metrics: Metrics | None = None,
    ) -> Any:
        """Return the loss on data in inference mode, in batches; with metrics, a dict of the loss and their values."""
        return evaluate(self.model, x, target, self.loss, metrics, batch_size=batch_size, sample_weight=sample_weight)
