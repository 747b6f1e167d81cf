"""GRU: two gates on one state; a gradient reaches back as far as an LSTM's, with three quarters of its weights."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.recurrent.cell import Cell, Tape
from nanonet.layers.recurrent.recurrent import Recurrent


class GRUCell(Cell):
    """r, z = σ, n = tanh(u + r m), h = (1 - z) n + z h, with m of the state alone and u of the input alone.

    a holds m, r, z and u, one after the other.
    """

    gates = 3
    apart = 1

    def prepared(self, weight: Array) -> Array:
        """Halve the rows of r and z: σ(a) = (1 + tanh(a / 2)) / 2."""
        size = len(weight) // 4
        halved = weight.copy()
        halved[size : 3 * size] *= 0.5
        return halved

    def forward(self, tape: Tape, t: int) -> None:
        """Write m, r, z and n in the place of a, and h[t + 1]."""
        gates, h = tape.gates[t], tape.h[t + 1]
        sigmoids = gates[len(h) : 3 * len(h)]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= 0.5
        sigmoids += 0.5
        m, r, z, n = _quarters(gates)
        n += r * m
        np.tanh(n, out=n)
        np.subtract(tape.h[t], n, out=h)
        h *= z
        h += n

    def backward(self, tape: Tape, t: int, dh: Array, dc: Array, da: Array) -> Array:
        """Write da; return dh z, which goes straight to the state before."""
        m, r, z, n = _quarters(tape.gates[t])
        dm, dr, dz, du = _quarters(da)
        beside: Array = dh * z
        np.subtract(dh, beside, out=du)  # dE/dn = dh (1 - z)
        np.subtract(tape.h[t], n, out=dz)
        dz *= beside  # dE/dz z
        dz -= dz * z
        du -= du * (n * n)
        np.multiply(du, r, out=dm)
        np.multiply(dm, m, out=dr)  # dE/dr r
        dr -= dr * r
        return beside


def _quarters(rows: Array) -> tuple[Array, Array, Array, Array]:
    size = len(rows) // 4
    return rows[:size], rows[size : 2 * size], rows[2 * size : 3 * size], rows[3 * size :]


CELL = GRUCell()


class GRU(Recurrent):
    """Gated recurrent unit: r, z = σ(a), n = tanh(W_in x_t + b_in + r (W_hn h + b_hn)), h_t = (1 - z) n + z h.

    a = W_ih x_t + b_ih + W_hh h + b_hh for h = h_{t-1}; its rows are r, z and n, as in PyTorch (Cho et al. 2014, with
    the reset gate after the product). x has shape (N, T, input_size), y (N, T, hidden_size): h_1 to h_T, from h_0 = 0.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, dropout, bidirectional, output, initial_state, lengths, carry
        As for :class:`LSTM`; there is no c.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import GRU, Sequential
    >>> model = Sequential(GRU(3, 8, bidirectional=True, output="last"), rng=0)
    >>> model(np.ones((5, 10, 3))).shape
    (5, 16)
    """

    mixes_samples = False

    @property
    def cell(self) -> Cell:
        """What is computed at one time."""
        return CELL
