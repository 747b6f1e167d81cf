"""Epoch: the progress of an unfinished epoch, and what is needed to resume it in another process."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.training.metrics import Means


class Epoch:
    """An unfinished epoch.

    Attributes
    ----------
    data : dict
        Samples, batch size, shuffling and metrics: what a fit that resumes it must match.
    begun : dict or None
        The generator state from which its order was drawn; None without shuffling.
    done : int
        Number of finished batches.
    means : Means
        Of the losses and metrics so far.
    """

    def __init__(self, data: dict[str, Any], begun: Any) -> None:
        self.data, self.begun, self.done, self.means = data, begun, 0, Means()

    def agree(self, data: dict[str, Any]) -> None:
        """Raise ValueError unless it can be resumed with such data."""
        if self.done and data != self.data:
            differing = [name for name in {**self.data, **data} if self.data.get(name) != data.get(name)]
            raise ValueError(
                f"fit: {self.done} batches of this epoch are done, and resuming it needs the same data and settings: "
                f"expected {_described(self.data, differing)}, got {_described(data, differing)}"
            )


def _described(data: dict[str, Any], names: list[str]) -> str:
    if data["samples"] is None and "samples" in names:
        return "an iterable"
    return ", ".join(f"{name}={data[name]!r}" for name in names if name in data)


def generator_at(rng: np.random.Generator, state: Any) -> np.random.Generator:
    """Return a generator of rng's kind in the given state, leaving rng unchanged."""
    bits = type(rng.bit_generator)(0)
    bits.state = state
    return np.random.Generator(bits)
