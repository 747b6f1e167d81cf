"""span: where sequences of different lengths end, and how each is read from its own end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Numbers
from nanonet.core.checks import stranger

Ended = npt.NDArray[np.bool_] | None
"""(T, N), True where a sequence has ended; None if all are of full length."""


class Span:
    """The times that count in each sequence of a batch.

    Parameters
    ----------
    times : int
        T, the length of the longest.
    lengths : array, optional
        The length of each, (N,); None: T.
    """

    def __init__(self, times: int, lengths: Numbers | None) -> None:
        self.ended: Ended = None
        self._backward: Numbers | None = None
        if lengths is not None:
            time = np.arange(times)[:, np.newaxis]
            self.ended = time >= lengths
            self._backward = np.where(self.ended, time, lengths - 1 - time)[:, np.newaxis]

    def turned(self, steps: Array) -> Array:
        """Return (T, F, N) with the times of each sequence in the opposite order; those beyond its end stay."""
        if self._backward is None:
            return steps[::-1]
        turned: Array = np.take_along_axis(steps, self._backward, axis=0)
        return turned

    def samples_first(self, steps: Array) -> Array:
        """Return (T, F, N) as (N, T, F), with 0 where a sequence has ended."""
        rows = samples_first(steps)
        if self.ended is not None:
            rows[self.ended.T] = 0
        return rows

    def times_first(self, grad: Array) -> Array:
        """Return (N, T, F) as (T, F, N), with 0 where a sequence has ended."""
        steps = grad.transpose(1, 2, 0)
        return steps if self.ended is None else np.where(self.ended[:, np.newaxis], grad.dtype.type(0), steps)


def samples_first(steps: Array) -> Array:
    """Return (T, F, N) as a new array (N, T, F); time by time, since that stays in the cache."""
    times, features, samples = steps.shape
    rows = np.empty((samples, times, features), steps.dtype)
    for t in range(times):
        rows[:, t] = steps[t].T
    return rows


def checked_lengths(lengths: Numbers, times: int, subject: object) -> npt.NDArray[np.intp]:
    """Return lengths as integers; they may be whole floats, as which Parallel passes them on.

    Raises
    ------
    ValueError
        If one is not a whole number from 0 to T.
    """
    whole = (lengths >= 0) & (lengths <= times) & (lengths == np.floor(lengths))
    if not whole.all():
        raise ValueError(f"{subject}: expected lengths from 0 to {times}, got {stranger(lengths, ~whole)}")
    return lengths.astype(np.intp)
