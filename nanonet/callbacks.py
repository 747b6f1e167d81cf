"""Callback: what happens beside a training, at five moments of it."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanonet.arrays import finite_number, positive_int
from nanonet.recorded import Recorded

if TYPE_CHECKING:
    from nanonet.training import Trainer


class Callback(Recorded):
    """Base of what ``fit`` calls; override any of the five methods.

    Each gets the trainer: ``trainer.model``, ``trainer.history``, ``trainer.epoch`` (from 1), ``trainer.batch`` (from
    1), ``trainer.batch_loss``, ``trainer.learning_rate``, and ``trainer.stop(reason)`` to end the fit.

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

    def fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch of a fit."""

    def epoch_begin(self, trainer: Trainer) -> None:
        """Before an epoch."""

    def step_end(self, trainer: Trainer) -> None:
        """After each step."""

    def epoch_end(self, trainer: Trainer) -> None:
        """After an epoch, whose numbers are the last in the history."""

    def fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also where the fit was stopped or interrupted."""


class Monitor(Callback):
    """Base of callbacks that watch whether a number of the history still gets better.

    Parameters
    ----------
    monitor : str
        A name of the history, such as "validation_loss".
    patience : int
        How many epochs without a better number are borne.
    mode : "min", "max" or None
        Which is better; None takes "min" for a name that ends in "loss", and asks for others.
    margin : float
        By how much a number must be better to count.
    """

    def __init__(self, monitor: str, patience: int, *, mode: str | None = None, margin: float = 0.0) -> None:
        name = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{name}: expected monitor as a name such as 'validation_loss', got {monitor!r}")
        if mode is None and not monitor.endswith("loss"):
            raise ValueError(f"{name}: say which {monitor!r} is better: mode='max' or mode='min'")
        if mode not in (None, "min", "max"):
            raise ValueError(f"{name}: expected mode of 'min' or 'max', got {mode!r}")
        self.monitor, self.patience = monitor, positive_int(patience, name, "patience")
        self.sign = -1.0 if mode == "max" else 1.0
        self.margin = finite_number(margin, name, "margin", low=0)
        self.reset()

    def reset(self) -> None:
        """Forget the best number."""
        self.best, self.best_epoch, self.waited = math.inf, 0, 0

    def fit_begin(self, trainer: Trainer) -> None:
        """See that there will be such a number."""
        self.reset()
        if self.monitor not in trainer.names:
            known = ", ".join(map(repr, trainer.names))
            raise ValueError(f"{type(self).__name__}: this fit has no {self.monitor!r}; it has {known}")

    def is_better(self, trainer: Trainer) -> bool:
        """Take in the epoch's number; return whether it is the best so far."""
        value = self.sign * trainer.history[self.monitor][-1]
        if value < self.best - self.margin:
            self.best, self.best_epoch, self.waited = value, trainer.epoch, 0
            return True
        self.waited += 1
        return False


class EarlyStopping(Monitor):
    """Stops when a number has not got better for ``patience`` epochs, and restores the best epoch's model.

    Parameters are those of the base, :class:`Monitor`. A fit that ends by itself gets its best epoch restored too; one
    that is broken off stays where it was.

    Examples
    --------
    >>> EarlyStopping("validation_accuracy", 5, mode="max")
    EarlyStopping('validation_accuracy', 5, mode='max')
    """

    def __init__(
        self, monitor: str = "validation_loss", patience: int = 10, *, mode: str | None = None, margin: float = 0.0
    ) -> None:
        super().__init__(monitor, patience, mode=mode, margin=margin)
        self.state: dict[str, Any] | None = None

    def epoch_end(self, trainer: Trainer) -> None:
        """Keep the model if it is the best so far; stop if there was none for too long."""
        if self.is_better(trainer):
            self.state = trainer.model.state_dict()
        elif self.waited >= self.patience:
            trainer.stop(f"{self.monitor} has not got better since epoch {self.best_epoch}")

    def fit_end(self, trainer: Trainer) -> None:
        """Restore the best."""
        if self.state is not None and trainer.completed:
            trainer.model.load_state_dict(self.state)
        self.state = None


class ReduceOnPlateau(Monitor):
    """Multiplies the learning rate by ``factor`` when a number has not got better for ``patience`` epochs.

    Parameters
    ----------
    monitor, patience, mode, margin
        Those of the base, :class:`Monitor`.
    factor : float
        Above 0 and below 1.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 10,
        *,
        factor: float = 0.1,
        mode: str | None = None,
        margin: float = 0.0,
    ) -> None:
        super().__init__(monitor, patience, mode=mode, margin=margin)
        self.factor = finite_number(factor, "ReduceOnPlateau", "factor", low=0, high=1, open_high=True)
        if self.factor == 0:
            raise ValueError("ReduceOnPlateau: expected a factor above 0, got 0: nothing would move any more")

    def epoch_end(self, trainer: Trainer) -> None:
        """Lower the rate if there was no better number for too long."""
        if not self.is_better(trainer) and self.waited >= self.patience:
            trainer.rate_factor *= self.factor
            self.waited = 0


class CSVLog(Callback):
    """Writes a line of numbers after each epoch into a file, with a head of their names.

    Parameters
    ----------
    path : str or Path
    append : bool
        Whether to go on below what the file holds; otherwise it is written anew.

    Raises
    ------
    OSError
        If the file cannot be written, before the first step.
    """

    def __init__(self, path: str | Path, *, append: bool = False) -> None:
        self.path, self.append = Path(path), bool(append)

    def fit_begin(self, trainer: Trainer) -> None:
        """Write the head."""
        with open(self.path, "a" if self.append else "w", newline="", encoding="utf-8") as file:
            if file.tell() == 0:
                csv.writer(file).writerow(["epoch", *trainer.names])

    def epoch_end(self, trainer: Trainer) -> None:
        """Write the epoch's numbers."""
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([trainer.epoch, *(trainer.history[name][-1] for name in trainer.names)])
