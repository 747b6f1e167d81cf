"""Epoch: how far the epoch under way has come, and what it takes to go on with it in another process."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.metrics import Means


class Epoch:
    """An epoch under way.

    Attributes
    ----------
    data : dict
        Samples, batch size and shuffling: what the data that it goes on with has to agree with. Empty for an iterable.
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
            raise ValueError(
                f"fit: {self.done} batches of this epoch are done, and it goes on only with what it began with: "
                f"expected {_told(self.data)}, got {_told(data)}"
            )


def _told(data: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in data.items()) or "an iterable"


def generator_at(rng: np.random.Generator, state: Any) -> np.random.Generator:
    """Return a generator of rng's kind at a state, without moving rng."""
    bits = type(rng.bit_generator)(0)
    bits.state = state
    return np.random.Generator(bits)
