"""Residuals: prediction minus target as a function of the trainable parameters, and the normal equations of a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.checking.layer_contract import checked
from nanonet.core.arrays import batch_size_of, each
from nanonet.losses.regression import SquaredError
from nanonet.losses.weights import nothing_counts
from nanonet.models.per_sample import Passes, Twins
from nanonet.models.sequential import Sequential

Floats = npt.NDArray[np.float64]

NUMBERS = 2**21  # of a Jacobian at a time, so that memory stays small however many samples there are


class Residuals:
    """r = y - t of every number of every sample, weighted: the weights of the samples have the mean 1.

    Attributes
    ----------
    samples : int
        How many count, by a weight above 0.
    count : int
        The number of residuals.
    """

    def __init__(self, model: Sequential, x: Any, target: Any, sample_weight: npt.ArrayLike | None = None) -> None:
        entered = model.enter(x)
        with np.errstate(all="ignore"):  # what is not finite is reported by whoever asks for the loss
            prediction, _ = checked(model, masks=True).forward(entered)
        if isinstance(prediction, tuple):
            raise TypeError(f"least_squares: expected a model with one output, got one with {len(prediction)}")
        target, weight = SquaredError().check(prediction, target, sample_weight)
        counted = np.arange(len(target)) if weight is None else np.flatnonzero(weight)
        self.samples, self.count = len(counted), len(counted) * prediction[0].size
        if not self.samples:
            raise nothing_counts("least_squares: no sample counts")
        self._model, self._twins = model, Twins(model)
        self._x = each(lambda part: part[counted], entered)
        self._target = target[counted].reshape(self.samples, -1).astype(np.float64)
        self._weight: Floats = np.ones(self.samples) if weight is None else weight[counted] / weight[counted].mean()
        moves = [np.full(parameter.size, parameter.trainable) for parameter in model.parameters().values()]
        self._moves = np.flatnonzero(np.concatenate([np.zeros(0, bool), *moves]))
        if not self._moves.size:
            raise ValueError("least_squares: expected a model with trainable parameters, got one that is all frozen")

    @property
    def point(self) -> Floats:
        """The trainable parameters, a copy; assignment moves the model."""
        return self._model.vector.value[self._moves].astype(np.float64)

    @point.setter
    def point(self, numbers: Floats) -> None:
        self._model.vector.value[self._moves] = numbers

    def loss(self) -> float:
        """Return 1/2 Σ r² / samples: that of SquaredError."""
        y = self._model.predict(self._x)
        r = y.reshape(self._target.shape) - self._target
        return float(self._weight @ (r * r).sum(axis=1)) / (2 * self.samples)

    def normal(self) -> tuple[Floats, Floats]:
        """Return JᵀJ and Jᵀr, both divided by the samples: the Hessian without second derivatives, and the gradient."""
        size = self._moves.size
        jtj, jtr = np.zeros((size, size)), np.zeros(size)
        for rows in self._blocks():
            passes = Passes(self._twins, each(lambda part, rows=rows: part[rows], self._x))
            y, weight = passes.parts[0], self._weight[rows, None]
            r = y.reshape(len(y), -1) - self._target[rows]
            for column, (_, _, unit) in zip(r.T, passes.units(), strict=True):
                jacobian = passes.parameters(unit)[:, self._moves].astype(np.float64)
                weighted = (weight * jacobian).T
                jtj += weighted @ jacobian
                jtr += weighted @ column
        return jtj / self.samples, jtr / self.samples

    def _blocks(self) -> Iterator[slice]:
        step = max(1, NUMBERS // self._model.vector.size)
        for start in range(0, batch_size_of(self._x), step):
            yield slice(start, start + step)
