"""Callback: hooks called at five points of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt

from nanonet.core.repr import Recorded

if TYPE_CHECKING:
    from nanonet.training.trainer import Trainer


class Callback(Recorded):
    """Base of what ``fit`` calls at five moments; override any of these methods.

    One that remembers something from epoch to epoch says in ``state_dict`` what a checkpoint keeps of it, and takes
    it back in ``fit_resumed``. Each method gets the trainer: ``trainer.model``, ``trainer.history``, ``trainer.epoch``
    (from 1), ``trainer.batch`` (from 1), ``trainer.batch_loss``, ``trainer.learning_rate``, and
    ``trainer.stop(reason)`` to end the fit.

    Examples
    --------
    >>> class Every(Callback):
    ...     def __init__(self, epochs: int) -> None:
    ...         self.epochs = epochs
    ...
    ...     def epoch_end(self, trainer: "Trainer") -> None:
    ...         if trainer.epoch % self.epochs == 0:
    ...             print(trainer.epoch, trainer.history["loss"][-1])
    """

    told_last: ClassVar[bool] = False
    """Whether it is called when all other callbacks were: one that saves what they did."""

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        """Return what a checkpoint keeps of it: numbers and arrays by name."""
        return {}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """After fit_begin, where a fit from a checkpoint is gone on with: take back what ``state_dict`` gave."""

    def fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch of a fit.

        In the first fit of a resumed trainer, what a callback freezes, thaws or does to ``trainer.rate_factor`` here is
        undone if one that was made by the same call took part before: it has done so when that fit began.
        """

    def epoch_begin(self, trainer: Trainer) -> None:
        """Before an epoch; not where one is gone on with in its middle, which has ``fit_resumed`` alone."""

    def step_end(self, trainer: Trainer) -> None:
        """After each step."""

    def epoch_end(self, trainer: Trainer) -> None:
        """After an epoch, whose numbers are the last in the history."""

    def fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also where the fit was stopped or interrupted."""
