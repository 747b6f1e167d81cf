"""Convergence and InverseScaling: the callbacks with which MLPClassifier stops a fit and lowers its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nanonet.training.trainer import Callback, Trainer

SMALLEST = 1e-6  # a learning rate from which adaptive stops instead of lowering it


class Convergence(Callback):
    """Ends a fit, or with adaptive divides its rate by 5, once ``patience`` epochs in a row did not improve by tol.

    What improves is a score, from which the best epoch's model is restored, or else the training loss. As in
    scikit-learn, an epoch is compared with the best one so far, which itself need not have improved by tol.

    Parameters
    ----------
    tol, patience : float
    score : callable, optional
        Returns the score of the model as it is; larger is better.
    adaptive : bool
    best : float
        The best score of earlier fits.

    Attributes
    ----------
    scores : list of float
        One per epoch.
    """

    def __init__(
        self,
        tol: float,
        patience: float,
        *,
        score: Callable[[], float] | None = None,
        adaptive: bool = False,
        best: float = -math.inf,
    ) -> None:
        self.tol, self.patience, self.score, self.adaptive = tol, patience, score, adaptive
        self.best, self.waited, self.scores = best, 0, list[float]()
        self.state: dict[str, Any] | None = None

    def fit_begin(self, trainer: Trainer) -> None:
        """Keep the model of the best score of earlier fits."""
        if self.score is not None and self.best > -math.inf:
            self.state = trainer.model.state_dict()

    def epoch_end(self, trainer: Trainer) -> None:
        """Compare the epoch with the best; stop or lower the rate if patience is exhausted."""
        value = -trainer.history["loss"][-1] if self.score is None else self.score()
        self.scores.append(value)
        self.waited = 0 if value >= self.best + self.tol else self.waited + 1
        if value > self.best:
            self.best = value
            if self.score is not None:
                self.state = trainer.model.state_dict()
        if self.waited >= self.patience:
            self._act(trainer)

    def _act(self, trainer: Trainer) -> None:
        if self.adaptive and trainer.learning_rate > SMALLEST:
            trainer.rate_factor /= 5
            self.waited = 0
            return
        what = "loss" if self.score is None else "validation score"
        trainer.stop(f"{what} has not improved by tol={self.tol:g} for {self.waited} epochs")

    def fit_end(self, trainer: Trainer) -> None:
        """Restore the best model."""
        if self.state is not None and trainer.completed:
            trainer.model.load_state_dict(self.state)
        self.state = None


class InverseScaling(Callback):
    """Divides the learning rate by (t + 1)^power after each epoch, where t counts the samples seen so far.

    Attributes
    ----------
    samples : int
        Of an epoch.
    seen : int
        t.
    """

    def __init__(self, power: float, seen: int = 0) -> None:
        self.power, self.seen, self.samples, self.factor = power, seen, 0, 1.0

    def epoch_end(self, trainer: Trainer) -> None:
        """Lower the rate."""
        self.seen += self.samples
        factor = (self.seen + 1.0) ** -self.power
        trainer.rate_factor *= factor / self.factor
        self.factor = factor
