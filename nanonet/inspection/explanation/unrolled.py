"""Unrolled: the numbers of a recurrent layer at all times of one sample, forward and back, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanonet.core.arrays import Array


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a))."""
    y: Array = (1 + np.tanh(a / 2)) / 2
    return y


@dataclass
class Pass:
    """One layer in one direction; times are in the order in which it reads.

    Attributes
    ----------
    x : array
        (T, F).
    weight_ih, weight_hh : array
    gates : dict of array
        By letter, (T, H) each.
    h, c : array
        (T + 1, H): h[s] is read at time s, h[s + 1] is its output.
    dh, dc : array
        dE/dh[s + 1] and dE/dc[s + 1], (T, H).
    above : array
        What of dE/dh comes from what reads h as its input, (T, H).
    g, e : array
        dE/d of the sums of the input, W_ih x, and of those of the state, W_hh h, (T, rows); they differ in a GRU.
    """

    x: Array
    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array
    above: Array
    h: Array = field(init=False)
    c: Array = field(init=False)
    dh: Array = field(init=False)
    dc: Array = field(init=False)
    g: Array = field(init=False)
    e: Array = field(init=False)
    gates: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        times, size = len(self.x), self.weight_hh.shape[1]
        self.h, self.c = np.zeros((times + 1, size)), np.zeros((times + 1, size))
        self.dh, self.dc = np.zeros((times, size)), np.zeros((times, size))
        self.g, self.e = (np.zeros((times, len(self.weight_hh))) for _ in "ge")
        self.gates = {}

    def sums(self, s: int) -> tuple[Array, Array]:
        """Return W_ih x + b_ih and W_hh h + b_hh at a time."""
        return self.weight_ih @ self.x[s] + self.bias_ih, self.weight_hh @ self.h[s] + self.bias_hh

    def keep(self, s: int, **gates: Array) -> None:
        """Keep gates of a time."""
        for name, values in gates.items():
            self.gates.setdefault(name, np.zeros_like(self.dh))[s] = values


def rnn(run: Pass, s: int, nonlinearity: str = "tanh") -> None:
    """Compute h[s + 1] of an RNN."""
    a = sum(run.sums(s))
    run.h[s + 1] = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)


def rnn_back(run: Pass, s: int, nonlinearity: str = "tanh") -> None:
    """Compute g[s]."""
    h = run.h[s + 1]
    run.g[s] = run.e[s] = run.dh[s] * (1 - h * h if nonlinearity == "tanh" else h > 0)


def lstm(run: Pass, s: int) -> None:
    """Compute c[s + 1] and h[s + 1] of an LSTM."""
    i, f, n, o = np.split(sum(run.sums(s)), 4)
    i, f, n, o = sigmoid(i), sigmoid(f), np.tanh(n), sigmoid(o)
    run.c[s + 1] = f * run.c[s] + i * n
    run.h[s + 1] = o * np.tanh(run.c[s + 1])
    run.keep(s, i=i, f=f, n=n, o=o, m=np.tanh(run.c[s + 1]))


def lstm_back(run: Pass, s: int) -> None:
    """Compute dc[s] and g[s]."""
    i, f, n, o, m = (run.gates[name][s] for name in "ifnom")
    later = run.dc[s + 1] * run.gates["f"][s + 1] if s + 1 < len(run.dc) else 0.0
    dc = run.dc[s] = run.dh[s] * o * (1 - m * m) + later
    parts = dc * n * i * (1 - i), dc * run.c[s] * f * (1 - f), dc * i * (1 - n * n), run.dh[s] * m * o * (1 - o)
    run.g[s] = run.e[s] = np.concatenate(parts)


def gru(run: Pass, s: int) -> None:
    """Compute h[s + 1] of a GRU."""
    (ri, zi, ni), (rh, zh, m) = (np.split(each, 3) for each in run.sums(s))
    r, z = sigmoid(ri + rh), sigmoid(zi + zh)
    n = np.tanh(ni + r * m)
    run.h[s + 1] = (1 - z) * n + z * run.h[s]
    run.keep(s, r=r, z=z, n=n, m=m)


def gru_back(run: Pass, s: int) -> None:
    """Compute g[s], and e[s], which differs where the reset gate stands before the sum of the state."""
    r, z, n, m = (run.gates[name][s] for name in "rznm")
    dh = run.dh[s]
    gn = dh * (1 - z) * (1 - n * n)
    gr, gz = gn * m * r * (1 - r), dh * (run.h[s] - n) * z * (1 - z)
    run.g[s], run.e[s] = np.concatenate([gr, gz, gn]), np.concatenate([gr, gz, gn * r])


Step = Callable[..., None]


def unrolled(layer: Any, x: Array, grad: Array, steps: tuple[Step, Step], **settings: Any) -> list[list[Pass]]:
    """Return the passes of each layer in each direction for one sample, x (T, F) and dE/dy in its shape."""
    found: list[list[Pass]] = []
    value = x.astype(np.float64)
    directions, size = layer.directions, layer.hidden_size
    for i in range(layer.num_layers):
        passes = []
        for direction in range(directions):
            own = {name: p.value.astype(np.float64) for name, p in layer.parameters_of(i, direction).items()}
            none = np.zeros(len(own["weight_hh"]))
            weights = own["weight_ih"], own["weight_hh"], own.get("bias_ih", none), own.get("bias_hh", none)
            run = Pass(value[::-1] if direction else value, *weights, above=np.zeros((len(x), size)))
            for s in range(len(x)):
                steps[0](run, s, **settings)
            passes.append(run)
        value = np.concatenate([run.h[1:] if k == 0 else run.h[1:][::-1] for k, run in enumerate(passes)], axis=1)
        found.append(passes)
    above = _of_output(layer, grad.astype(np.float64), len(x))
    for passes in found[::-1]:
        below = np.zeros((len(x), passes[0].x.shape[1]))
        for direction, run in enumerate(passes):
            part = above[:, direction * size : (direction + 1) * size]
            _back(run, part[::-1] if direction else part, steps[1], settings)
            dx = run.g @ run.weight_ih
            below += dx[::-1] if direction else dx
        above = below
    return found


def _of_output(layer: Any, grad: Array, times: int) -> Array:
    """Return dE/dh of the top layer, (T, D · H), as far as it comes from the output."""
    if layer.output == "sequence":
        return grad
    above = np.zeros((times, layer.directions * layer.hidden_size))
    above[-1, : layer.hidden_size] = grad[: layer.hidden_size]
    above[0, layer.hidden_size :] = grad[layer.hidden_size :]
    return above


def _back(run: Pass, above: Array, step: Step, settings: dict[str, Any]) -> None:
    run.above = above
    for s in reversed(range(len(run.x))):
        run.dh[s] = above[s]
        if s + 1 < len(run.x):
            run.dh[s] += run.e[s + 1] @ run.weight_hh
            if "z" in run.gates:
                run.dh[s] += run.dh[s + 1] * run.gates["z"][s + 1]
        step(run, s, **settings)
