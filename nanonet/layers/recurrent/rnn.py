"""RNN: the plain recurrent layer, one tanh or ReLU at each time."""

from __future__ import annotations

from typing import Literal

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.recurrent.cell import Cell, Tape
from nanonet.layers.recurrent.recurrent import Output, Recurrent


class TanhCell(Cell):
    """h = tanh(a)."""

    gates = 1

    def forward(self, tape: Tape, t: int) -> None:
        """Write h[t + 1]; the gates are not needed again."""
        np.tanh(tape.gates[t], out=tape.h[t + 1])

    def backward(self, tape: Tape, t: int, dh: Array, dc: Array, da: Array) -> None:
        """Write da = dh (1 - h²)."""
        h = tape.h[t + 1]
        np.multiply(h, h, out=da)
        np.subtract(1, da, out=da)
        da *= dh


class ReLUCell(Cell):
    """h = max(a, 0)."""

    gates = 1

    def forward(self, tape: Tape, t: int) -> None:
        """Write h[t + 1]."""
        np.maximum(tape.gates[t], 0, out=tape.h[t + 1])

    def backward(self, tape: Tape, t: int, dh: Array, dc: Array, da: Array) -> None:
        """Write da = dh where h > 0, else 0."""
        np.multiply(dh, tape.h[t + 1] > 0, out=da)


CELLS: dict[str, Cell] = {"tanh": TanhCell(), "relu": ReLUCell()}


class RNN(Recurrent):
    """h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), f the tanh or ReLU: Elman's net (1990), PyTorch's RNN.

    x has shape (N, T, input_size), y (N, T, hidden_size): h_1 to h_T, from h_0 = 0.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, dropout, bidirectional, output, initial_state, lengths, carry
        As for :class:`LSTM`; there is no c.
    nonlinearity : {"tanh", "relu"}

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import RNN, Sequential
    >>> model = Sequential(RNN(3, 8), rng=0)
    >>> model(np.ones((5, 10, 3))).shape
    (5, 10, 8)
    """

    mixes_samples = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        output: Output = "sequence",
        initial_state: bool = False,
        lengths: bool = False,
        carry: int | None = None,
    ) -> None:
        if nonlinearity not in CELLS:
            raise ValueError(f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r:.60}")
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            dropout=dropout,
            bidirectional=bidirectional,
            output=output,
            initial_state=initial_state,
            lengths=lengths,
            carry=carry,
        )

    @property
    def cell(self) -> Cell:
        """What is computed at one time."""
        return CELLS[self.nonlinearity]
