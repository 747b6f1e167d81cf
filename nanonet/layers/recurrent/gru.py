"""GRU: two gates on one state; a gradient reaches back as far as an LSTM's, with three quarters of its weights."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.recurrent.cell import Cell, Tape, Weights
from nanonet.layers.recurrent.recurrent import Recurrent


class GRUCell(Cell):
    """r, z = σ(a), n = tanh(u + r m), h = (1 - z) n + z h, where m is of the state alone and u of the input alone.

    W has the rows of r, z, m and u: those of m are 0 at the input, those of u are 0 at the state.
    """

    gates = 3
    blocks = 4

    def joined(self, weights: Weights) -> Array:
        """Return W: PyTorch's rows of r and z, then its rows of n twice, for m and for u."""
        size, features = len(weights.ih) // 3, weights.ih.shape[1]
        rz, n, m, u = slice(2 * size), slice(2 * size, None), slice(2 * size, 3 * size), slice(3 * size, None)
        weight = np.zeros((4 * size, features + size + 1), weights.ih.dtype)
        weight[rz, :features], weight[rz, features:-1] = weights.ih[rz], weights.hh[rz]
        weight[m, features:-1], weight[u, :features] = weights.hh[n], weights.ih[n]
        if weights.bias_ih is not None and weights.bias_hh is not None:
            weight[rz, -1] = weights.bias_ih[rz] + weights.bias_hh[rz]
            weight[m, -1], weight[u, -1] = weights.bias_hh[n], weights.bias_ih[n]
        return weight

    def parted(self, dweight: Array, features: int) -> Weights:
        """Return the gradients: m belongs to the state, u to the input."""
        size = len(dweight) // 4
        hh, ih = dweight[: 3 * size], np.concatenate([dweight[: 2 * size], dweight[3 * size :]])
        return Weights(ih[:, :features], hh[:, features:-1], ih[:, -1], hh[:, -1])

    def prepared(self, weight: Array) -> Array:
        """Halve the rows of r and z: σ(a) = (1 + tanh(a / 2)) / 2."""
        halved = weight.copy()
        halved[: len(weight) // 2] *= 0.5
        return halved

    def forward(self, tape: Tape, t: int) -> None:
        """Write r, z, m and n in the place of a, and h[t + 1]."""
        gates, h = tape.gates[t], tape.h[t + 1]
        sigmoids = gates[: len(gates) // 2]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= 0.5
        sigmoids += 0.5
        r, z, m, n = _quarters(gates)
        n += r * m
        np.tanh(n, out=n)
        np.subtract(tape.h[t], n, out=h)
        h *= z
        h += n

    def backward(self, tape: Tape, t: int, dh: Array, dc: Array, da: Array) -> Array:
        """Write da; return dh z, which goes straight to the state before."""
        r, z, m, n = _quarters(tape.gates[t])
        dr, dz, dm, du = _quarters(da)
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
