"""LSTM: gates decide what a second state keeps, so that a gradient reaches back over many times."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.recurrent.cell import Cell, Tape
from nanonet.layers.recurrent.recurrent import Recurrent


class LSTMCell(Cell):
    """i, f, o = σ and g = tanh of a, in PyTorch's order i, f, g, o; c = f c + i g, h = o tanh(c)."""

    gates = 4
    has_c = True

    def prepared(self, weight: Array) -> Array:
        """Halve the rows of i, f and o: σ(a) = (1 + tanh(a / 2)) / 2, so that one tanh serves all four."""
        halved = weight * 0.5
        _quarters(halved)[2][...] = _quarters(weight)[2]
        return halved

    def forward(self, tape: Tape, t: int) -> None:
        """Write i, f, g, o in the place of a; then c[t + 1], tanh(c[t + 1]) and h[t + 1]."""
        gates, c, tanh_c = tape.gates[t], tape.c[t + 1], tape.kept[t]
        np.tanh(gates, out=gates)
        i, f, g, o = _quarters(gates)
        for sigmoids in (gates[: len(i) + len(f)], o):
            sigmoids *= 0.5
            sigmoids += 0.5
        np.multiply(i, g, out=tanh_c)
        np.multiply(f, tape.c[t], out=c)
        c += tanh_c
        np.tanh(c, out=tanh_c)
        np.multiply(o, tanh_c, out=tape.h[t + 1])

    def backward(self, tape: Tape, t: int, dh: Array, dc: Array, da: Array) -> None:
        """Add dh o (1 - tanh(c)²) to dc; write da = dE/d(i, f, g, o) times their slopes; dc becomes dc f."""
        gates, tanh_c = tape.gates[t], tape.kept[t]
        i, f, g, o = _quarters(gates)
        di, df, dg, do = _quarters(da)
        np.multiply(tanh_c, tanh_c, out=di)
        np.subtract(1, di, out=di)
        di *= o
        di *= dh
        dc += di
        np.multiply(gates, gates, out=da)
        np.subtract(gates, da, out=da)  # y (1 - y) of a sigmoid y
        np.multiply(g, g, out=dg)
        np.subtract(1, dg, out=dg)  # 1 - y² of a tanh y
        di *= g
        di *= dc
        df *= tape.c[t]
        df *= dc
        dg *= i
        dg *= dc
        do *= tanh_c
        do *= dh
        dc *= f


def _quarters(rows: Array) -> tuple[Array, Array, Array, Array]:
    size = len(rows) // 4
    return rows[:size], rows[size : 2 * size], rows[2 * size : 3 * size], rows[3 * size :]


CELL = LSTMCell()


class LSTM(Recurrent):
    """Long short-term memory on sequences: i, f, o = σ(a), g = tanh(a), c_t = f c_{t-1} + i g, h_t = o tanh(c_t).

    a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh holds the rows of i, f, g and o one after the other, as in PyTorch
    (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000). x has shape (N, T, input_size), y
    (N, T, hidden_size): h_1 to h_T, from h_0 = 0 and c_0 = 0. Names and initial values are those of PyTorch, whose
    ``batch_first=True`` this is: "weight_ih_l0", "bias_hh_l1_reverse", ..., uniform on ±1 / √hidden_size.

    Parameters
    ----------
    input_size, hidden_size : int
        F and H.
    num_layers : int
        L; each further layer reads the h of the one below.
    bias : bool
        If False, there are no b_ih and b_hh.
    dropout : float
        The rate of a Dropout between two layers, so that there must be two or more.
    bidirectional : bool
        Whether each layer has a second one beside it that reads from the end to the beginning. D is then 2, and h of
        both stand side by side, (N, T, 2 H).
    output : {"sequence", "last", "all"}
        What y is: h of all times, (N, T, D · H); the last h of the top layer, (N, D · H), in each direction that which
        has read the whole sequence; or the tuple of the sequence, h and c, where h and c are the last states of all
        layers, (N, L · D, H).
    initial_state : bool
        If True, x is a tuple that goes on with h_0 and c_0, each of shape (N, L · D, H).
    lengths : bool
        If True, x is a tuple that ends with the length of each sequence, (N,), integers from 0 to T. What lies beyond
        it does not count: y is 0 there, and the last states are those at its end. PyTorch does so for packed sequences.
    carry : int, optional
        A batch size. A training pass then begins with the states in which the one before it ended, row by row, for
        batches that go on with the same sequences (truncated backpropagation; no gradient goes back beyond the batch).
        They are the buffers ``carried_h`` and ``carried_c``; ``reset_state`` clears them. Inference begins with 0.

    Raises
    ------
    ValueError
        In ``forward``, for lengths outside 0 to T, and in training for another batch size than ``carry``.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import LSTM, Sequential
    >>> x = np.ones((5, 10, 3))
    >>> Sequential(LSTM(3, 8), rng=0)(x).shape
    (5, 10, 8)
    >>> y, h, c = Sequential(LSTM(3, 8, num_layers=2, output="all", lengths=True), rng=0)((x, [10, 4, 7, 1, 2]))
    >>> h.shape, c.shape, bool((y[1, 3] == h[1, 1]).all()), bool((y[1, 4:] == 0).all())
    ((5, 2, 8), (5, 2, 8), True, True)
    """

    mixes_samples = False

    @property
    def cell(self) -> Cell:
        """What is computed at one time."""
        return CELL
