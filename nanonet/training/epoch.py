"""Epoch: how far the epoch under way has come, and what it takes to go on with it in another process."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.training.metrics import Means


class Epoch:
    """An epoch under way.

    Attributes
    ----------
    data : dict
        Samples, batch size, shuffling and metrics: what a fit that goes on with it has to agree with.
    begun : dict or None
        The generator's state from which its order was drawn; None without shuffling.
    done : int
        How many batches are done.
    means : Means
        Of the losses and metrics so far.
    """

    def __init__(self, data: dict[str, Any], begun: Any) -> None:
        self.data, self.begun, self.done, self.means = data, begun, 0, Means()

    def agree(self, data: dict[str, Any]) -> None:
        """Raise ValueError unless it can be gone on with on such data."""
        if self.done and data != self.data:
            differing = [name for name in {**self.data, **data} if self.data.get(name) != data.get(name)]
            raise ValueError(
                f"fit: {self.done} batches of this epoch are done, and it goes on only with what it began with: "
                f"expected {_told(self.data, differing)}, got {_told(data, differing)}"
            )


def _told(data: dict[str, Any], names: list[str]) -> str:
    if data["samples"] is None and "samples" in names:
        return "an iterable"
    return ", ".join(f"{name}={data[name]!r}" for name in names if name in data)


def generator_at(rng: np.random.Generator, state: Any) -> np.random.Generator:
    """Return a generator of rng's kind at a state, without moving rng."""
    bits = type(rng.bit_generator)(0)
    bits.state = state
    return np.random.Generator(bits)
