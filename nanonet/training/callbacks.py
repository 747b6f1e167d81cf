"""The built-in callbacks: early stopping, learning rate reduction, logging, checkpoints."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nanonet.core.checks import finite_number, positive_int
from nanonet.storage.disk import npz_path
from nanonet.training.checkpoint_format import LARGEST
from nanonet.training.described import described_by
from nanonet.training.trainer import Callback, Trainer


class Monitor(Callback):
    """Base of callbacks that monitor whether a number of the history still improves.

    Parameters
    ----------
    monitor : str
        A name of the history, such as "validation_loss".
    patience : int
        Number of epochs without improvement to tolerate.
    mode : "min", "max" or None
        Which is better; None means "min" for a name that ends in "loss", and is an error for others.
    margin : float
        Minimum change that counts as an improvement.
    """

    def __init__(self, monitor: str, patience: int, *, mode: str | None = None, margin: float = 0.0) -> None:
        name = type(self).__name__
        self.monitor, self.sign = monitor, _sign(monitor, mode, name)
        self.patience = positive_int(patience, name, "patience")
        self.margin = finite_number(margin, name, "margin", low=0)
        self.reset()

    def reset(self) -> None:
        """Reset the best number."""
        self.best, self.best_epoch, self.waited = math.inf, 0, 0

    def fit_begin(self, trainer: Trainer) -> None:
        """Check that the history will have this number."""
        self.reset()
        _expect(self.monitor, trainer, type(self).__name__)

    def state_dict(self) -> dict[str, npt.ArrayLike]:
        """Return the best number, its epoch, and the number of epochs since."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the best number."""
        self.best = _number(state, "best", self)
        self.best_epoch, self.waited = _count(state, "best_epoch", self), _count(state, "waited", self)

    def is_better(self, trainer: Trainer) -> bool:
        """Record the epoch's number; return whether it is the best so far.

        Parameters
        ----------
        trainer : Trainer

        Returns
        -------
        bool
        """
        value = self.sign * trainer.history[self.monitor][-1]
        if value < self.best - self.margin:
            self.best, self.best_epoch, self.waited = value, trainer.epoch, 0
            return True
        self.waited += 1
        return False


def _sign(monitor: str, mode: str | None, owner: str) -> float:
    """Return the sign that makes smaller numbers better."""
    if not isinstance(monitor, str):
        raise TypeError(f"{owner}: expected monitor as a name such as 'validation_loss', got {monitor!r}")
    if mode is None and not monitor.endswith("loss"):
        raise ValueError(f"{owner}: say which {monitor!r} is better: mode='max' or mode='min'")
    if mode not in (None, "min", "max"):
        raise ValueError(f"{owner}: expected mode of 'min' or 'max', got {mode!r}")
    return -1.0 if mode == "max" else 1.0


def _number(state: Mapping[str, npt.NDArray[Any]], name: str, owner: Callback) -> float:
    """Return a number from a callback's saved state."""
    number = state.get(name)
    if number is None or number.shape != () or math.isnan(number):
        got = "none" if number is None else f"{number!r:.60}"
        raise ValueError(f"{owner}: expected a checkpoint with a number {name!r} for it, got {got}")
    return float(number)


def _count(state: Mapping[str, npt.NDArray[Any]], name: str, owner: Callback, most: int = LARGEST) -> int:
    """Return an integer from 0 to most from a callback's saved state."""
    count = _number(state, name, owner)
    if not (count.is_integer() and 0 <= count <= most):
        raise ValueError(f"{owner}: expected a checkpoint with an integer {name!r} from 0 to {most}, got {count:g}")
    return int(count)


def _expect(monitor: str, trainer: Trainer, owner: str) -> None:
    if monitor not in trainer.names:
        known = ", ".join(map(repr, trainer.names))
        raise ValueError(f"{owner}: this fit has no {monitor!r}; it has {known}")


@described_by(Monitor)
class EarlyStopping(Monitor):
    """Stops when a number has not improved for ``patience`` epochs, and restores the best epoch's model.

    The best epoch is also restored when a fit runs to completion,
    but not when it is interrupted.

    Examples
    --------
    >>> EarlyStopping("validation_accuracy", 5, mode="max")
    EarlyStopping('validation_accuracy', 5, mode='max')
    """

    def __init__(
        self, monitor: str = "validation_loss", patience: int = 10, *, mode: str | None = None, margin: float = 0.0
    ) -> None:
        super().__init__(monitor, patience, mode=mode, margin=margin)

    def reset(self) -> None:
        """Reset the best number and its model."""
        super().reset()
        self.state: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, npt.ArrayLike]:
        """Return the state of the base, and the best epoch's model."""
        model = {f"model/{name}": numbers for name, numbers in (self.state or {}).items()}
        return {**super().state_dict(), **model}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the best number and model."""
        super().fit_resumed(trainer, state)
        model = {name.removeprefix("model/"): array for name, array in state.items() if name.startswith("model/")}
        here = {name: (part.value.dtype, part.value.shape) for name, part in trainer.stepper.tree.states.items()}
        if model and {name: (array.dtype, array.shape) for name, array in model.items()} != here:
            raise ValueError(f"{self}: the best model in the checkpoint does not fit the model being trained")
        self.state = model or None

    def epoch_end(self, trainer: Trainer) -> None:
        """Keep the model if it is the best so far; stop if patience is exhausted."""
        if self.is_better(trainer):
            self.state = trainer.model.state_dict()
        elif self.waited >= self.patience:
            trainer.stop(f"{self.monitor} has not improved since epoch {self.best_epoch}")

    def fit_end(self, trainer: Trainer) -> None:
        """Restore the best model."""
        if self.state is not None and trainer.completed:
            trainer.model.load_state_dict(self.state)
            self.state = None


class ReduceOnPlateau(Monitor):
    """Multiplies the learning rate by ``factor`` when a number has not improved for ``patience`` epochs.

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
            raise ValueError("ReduceOnPlateau: expected a factor above 0, got 0: the model would stop learning")

    def epoch_end(self, trainer: Trainer) -> None:
        """Reduce the rate if patience is exhausted."""
        if not self.is_better(trainer) and self.waited >= self.patience:
            trainer.rate_factor *= self.factor
            self.waited = 0


class CSVLog(Callback):
    """Writes the numbers of each epoch to a CSV file, with a header of their names.

    Parameters
    ----------
    path : str or Path
    append : bool
        Whether to append to the file; otherwise it is overwritten.

    Raises
    ------
    OSError
        If the file cannot be written, before the first step.
    """

    def __init__(self, path: str | Path, *, append: bool = False) -> None:
        self.path, self.append = Path(path), bool(append)

    def state_dict(self) -> dict[str, npt.ArrayLike]:
        """Return the number of epochs before the fit."""
        return {"first": self.first}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Unless appending, rewrite the lines that the file had at the checkpoint."""
        if not self.append:
            self.first = _count(state, "first", self, trainer.history.epochs)
            for epoch in range(self.first, trainer.history.epochs):
                self._write(trainer, epoch)

    def fit_begin(self, trainer: Trainer) -> None:
        """Write the header."""
        self.first = trainer.history.epochs
        if not trainer.writes:
            return
        with open(self.path, "a" if self.append else "w", newline="", encoding="utf-8") as file:
            if file.tell() == 0:
                csv.writer(file).writerow(["epoch", *trainer.names])

    def epoch_end(self, trainer: Trainer) -> None:
        """Write the epoch's numbers."""
        self._write(trainer, trainer.history.epochs - 1)

    def _write(self, trainer: Trainer, epoch: int) -> None:
        if not trainer.writes:
            return
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([epoch + 1, *(trainer.history[name][epoch] for name in trainer.names)])


class Checkpoint(Callback):
    """Saves checkpoints during training, from which :meth:`nanonet.Trainer.resume` resumes after a crash.

    path always holds the latest checkpoint; after Ctrl-C, that of the last completed step. It is called after all other
    callbacks.

    Parameters
    ----------
    path : str or Path
        Ends in .npz, in an existing folder.
    epochs : int, optional
        Number of epochs between saves; default: 1, unless ``steps`` is given.
    steps : int, optional
        Number of steps between saves.
    monitor : str, optional
        A name of the history, such as "validation_loss": after an epoch in which it is the best of the whole history,
        the checkpoint is also saved next to path, as ``run.best.npz`` for ``run.npz``.
    mode : "min", "max" or None
        Which is better, as for :class:`Monitor`.

    Raises
    ------
    OSError
        If a file cannot be written; the existing one is left untouched. A missing folder is an error before the first
        step.

    Examples
    --------
    >>> Checkpoint("run.npz", steps=1000, monitor="validation_loss").best_path.name
    'run.best.npz'
    """

    called_last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        epochs: int | None = None,
        steps: int | None = None,
        monitor: str | None = None,
        mode: str | None = None,
    ) -> None:
        self.path = npz_path(path, "Checkpoint")
        self.steps = None if steps is None else positive_int(steps, "Checkpoint", "steps")
        every_epoch = 1 if steps is None else None
        self.epochs = every_epoch if epochs is None else positive_int(epochs, "Checkpoint", "epochs")
        if monitor is None and mode is not None:
            raise ValueError(f"Checkpoint: mode={mode!r} says which monitor is better; give monitor too")
        self.monitor = monitor
        self.sign = 1.0 if monitor is None else _sign(monitor, mode, "Checkpoint")

    @property
    def best_path(self) -> Path:
        """Path of the best epoch's checkpoint."""
        return self.path.with_suffix(".best.npz")

    @property
    def at_every_step(self) -> bool:
        """Whether it saves between epochs."""
        return self.steps is not None

    def fit_begin(self, trainer: Trainer) -> None:
        """Check that the folder exists and the history will have the monitored number."""
        if trainer.writes and not self.path.parent.is_dir():
            raise FileNotFoundError(f"Checkpoint: there is no folder {self.path.parent} for {self.path.name}")
        if self.monitor is not None:
            _expect(self.monitor, trainer, "Checkpoint")

    def step_end(self, trainer: Trainer) -> None:
        """Save, if due."""
        if self.steps is not None and trainer.steps % self.steps == 0:
            trainer.save(self.path)

    def epoch_end(self, trainer: Trainer) -> None:
        """Save, if due or if this is the best epoch."""
        if self.monitor is not None and self._is_best(trainer.history[self.monitor]):
            trainer.save(self.best_path)
        if self.epochs is not None and trainer.epoch % self.epochs == 0:
            trainer.save(self.path)

    def fit_end(self, trainer: Trainer) -> None:
        """Save an interrupted or completed fit."""
        if trainer.history.interrupted or trainer.completed:
            trainer.save(self.path)

    def _is_best(self, values: list[float]) -> bool:
        *before, last = (self.sign * value for value in values)
        return last < min((value for value in before if not math.isnan(value)), default=math.inf)
