"""Cell: what one kind of recurrent layer computes at one time, forward and backward; the loops over time are shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Array


class Weights(NamedTuple):
    """The numbers of one layer in one direction, by PyTorch's names, or their gradients; without biases None."""

    ih: Array
    hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None


class Tape(NamedTuple):
    """The numbers of one layer in one direction at all times, features by samples; no array is (N, ...) here.

    Each array has time as its first axis and the N samples as its last, so that each gate is one block in memory.

    Attributes
    ----------
    inputs : array
        (T + 1, F + H + 1, N): at each time the input x, the state h before it, and a 1 that the biases multiply.
    gates : array
        (T, blocks · H, N): what the cell has made of W times the inputs.
    h : array
        (T + 1, H, N), the states within the inputs: h[t] is read at time t, h[t + 1] is its output.
    c : array
        (T + 1, H, N), an LSTM's second state; for the others empty, (T + 1, 0, N).
    kept : array
        (T, H, N), what a cell keeps for its backward pass; for the others empty.
    """

    inputs: Array
    gates: Array
    h: Array
    c: Array
    kept: Array

    @classmethod
    def empty(cls, times: int, features: int, hidden: int, samples: int, cell: Cell, dtype: np.dtype[Any]) -> Tape:
        """Return a tape for a pass; its inputs are still to be written."""
        inputs = np.empty((times + 1, features + hidden + 1, samples), dtype)
        gates = np.empty((times, cell.blocks * hidden, samples), dtype)
        second = hidden if cell.has_c else 0
        c, kept = np.empty((times + 1, second, samples), dtype), np.empty((times, second, samples), dtype)
        return cls(inputs, gates, inputs[:, features : features + hidden], c, kept)

    def state(self, name: str) -> Array:
        """Return the states "h" or "c"."""
        return self.h if name == "h" else self.c


class Cell(ABC):
    """What is computed at one time. It has no numbers of its own: they are the layer's."""

    gates: int
    """How many rows of weight_ih and weight_hh there are for each of the H numbers of the state."""

    blocks: int
    """How many rows of W there are for each of the H numbers of the state."""

    has_c: bool = False
    """Whether there is a second state."""

    def joined(self, weights: Weights) -> Array:
        """Return W, (blocks · H, F + H + 1): what multiplies the input, the state and the 1."""
        bias = np.zeros((len(weights.ih), 1), weights.ih.dtype)
        if weights.bias_ih is not None and weights.bias_hh is not None:
            np.add(weights.bias_ih, weights.bias_hh, out=bias[:, 0])
        return np.concatenate([weights.ih, weights.hh, bias], axis=1)

    def parted(self, dweight: Array, features: int) -> Weights:
        """Return dE/dW as the gradients of what ``joined`` was given."""
        bias = dweight[:, -1]
        return Weights(dweight[:, :features], dweight[:, features:-1], bias, bias)

    def prepared(self, weight: Array) -> Array:
        """Return W as ``forward`` wants it multiplied."""
        return weight

    @abstractmethod
    def forward(self, tape: Tape, t: int) -> None:
        """Take gates[t] as W times the inputs; write the next state, and in gates[t] what ``backward`` needs."""

    @abstractmethod
    def backward(self, tape: Tape, t: int, dh: Array, dc: Array, da: Array) -> Array | None:
        """Take dE/dh[t + 1] and dE/dc[t + 1]; write dE/da for a = W times the inputs, and dE/dc[t] in place of dc.

        Return what dE/dh[t] has beside Wᵀ da; None if that is all.
        """
