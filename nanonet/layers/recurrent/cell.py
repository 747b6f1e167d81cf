"""Cell: what one kind of recurrent layer computes at one time, forward and backward; the loops over time are shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from nanonet.core.arrays import Array


class Tape(NamedTuple):
    """The numbers of one layer in one direction at all times, features by samples; no array is (N, ...) here.

    Each array has time as its first axis and the N samples as its last, so that each gate is one block in memory.

    Attributes
    ----------
    inputs : array
        (T + 1, F + 1 + H, N): at each time the input x, a 1 that the biases multiply, and the state h before it.
    gates : array
        (T, (gates + apart) · H, N): what the cell has made of a.
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
    def empty(cls, cell: Cell, steps: Array, hidden: int) -> Tape:
        """Return a tape for a pass over steps, (T, F, N); the inputs are still to be written."""
        times, features, samples = steps.shape
        second = hidden if cell.has_c else 0
        rows = (cell.gates + cell.apart) * hidden
        shapes = [
            (times + 1, features + 1 + hidden, samples),
            (times, rows, samples),
            (times + 1, second, samples),
            (times, second, samples),
        ]
        inputs, gates, c, kept = (np.empty(shape, steps.dtype) for shape in shapes)
        return cls(inputs, gates, inputs[:, features + 1 :], c, kept)

    def state(self, name: str) -> Array:
        """Return the states "h" or "c"."""
        return self.h if name == "h" else self.c


class Cell(ABC):
    """What is computed at one time from a = W_ih x + b_ih + W_hh h + b_hh. The numbers of W and b are the layer's."""

    gates: int
    """How many rows of W there are for each of the H numbers of the state."""

    apart: int = 0
    """How many of the gates, the last ones of W, are wanted in two parts: a then begins with their rows of
    W_hh h + b_hh and ends with those of W_ih x + b_ih.
    """

    has_c: bool = False
    """Whether there is a second state."""

    def prepared(self, weight: Array) -> Array:
        """Return W and b with the factors that ``forward`` wants in a, the rows in the order of a."""
        return weight

    @abstractmethod
    def forward(self, tape: Tape, t: int) -> None:
        """Read a from gates[t]; write the next states, and in the place of a what ``backward`` needs."""

    @abstractmethod
    def backward(self, tape: Tape, t: int, dh: Array, dc: Array, da: Array) -> Array | None:
        """Read dE/dh[t + 1] and dE/dc[t + 1]; write dE/da, and dE/dc[t] in the place of dc.

        Return what dE/dh[t] has beside what comes through a; None if that is all.
        """
