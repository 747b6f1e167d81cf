"""Progress: what a long training says on the way, at most one line a second, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

QUIET = 2.0  # seconds before the first line, so that a short fit prints nothing
PAUSE = 1.0  # seconds between two lines


class Progress:
    """Writes how far a fit is.

    Parameters
    ----------
    epochs : int
        How many the fit will do.
    verbose : int or None
        0 never prints; None begins when the fit has run for 2 s; 1 begins at once.
    """

    def __init__(self, epochs: int, verbose: int | None) -> None:
        if verbose not in (None, 0, 1):
            raise ValueError(f"fit: expected verbose of None, 0 or 1, got {verbose!r}")
        self.epochs = epochs
        self.begun = time.monotonic()
        self._next = float("inf") if verbose == 0 else self.begun + (QUIET if verbose is None else 0.0)
        self._spoken = False

    def batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Say, if it is time, that a batch of an epoch is done; both count from 1."""
        if time.monotonic() >= self._next:
            self._say(epoch, (epoch - 1 + batch / batches) / self.epochs, f", batch {batch}/{batches}", {"loss": loss})

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Say, if it is time, that an epoch is done; the last is said whenever anything was."""
        if time.monotonic() >= self._next or (self._spoken and epoch == self.epochs):
            self._say(epoch, epoch / self.epochs, "", numbers)

    def _say(self, epoch: int, share: float, batch: str, numbers: Mapping[str, float]) -> None:
        now = time.monotonic()
        passed = now - self.begun
        left = "" if share >= 1 else f", about {duration(passed * (1 - share) / share)} left"
        told = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        print(f"epoch {epoch}/{self.epochs}{batch}  {told}  {duration(passed)}{left}", file=sys.stderr, flush=True)
        self._next, self._spoken = now + PAUSE, True


def duration(seconds: float) -> str:
    """Write a time as a reader says it.

    Examples
    --------
    >>> duration(3.21), duration(75), duration(7320)
    ('3.2 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
