"""passes: the two loops over time of one layer in one direction, which all kinds of cells share."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.recurrent.cell import Cell, Tape
from nanonet.layers.recurrent.span import Ended


def run(cell: Cell, weight: Array, steps: Array, start: tuple[Array, Array], ended: Ended) -> Tape:
    """Read inputs from the first to the last.

    Parameters
    ----------
    cell : Cell
    weight : array
        (blocks · H, F + H + 1): what multiplies the input, the state and the 1.
    steps : array
        (T, F, N), the inputs.
    start : tuple of array
        The first h, (H, N), and the first c.
    ended : array or None
        (T, N), True where a sequence has ended: its state stands.
    """
    times, features, samples = steps.shape
    hidden = weight.shape[1] - features - 1
    tape = Tape.empty(times, features, hidden, samples, cell, steps.dtype)
    inputs, gates, h, c, _ = tape
    weight = cell.prepared(weight)
    inputs[:, -1] = 1
    inputs[times, :features] = 0  # nothing is read after the last
    h[0], c[0] = start
    for t in range(times):
        inputs[t, :features] = steps[t]
        np.dot(weight, inputs[t], out=gates[t])
        cell.forward(tape, t)
        if ended is not None:
            np.copyto(h[t + 1], h[t], where=ended[t])
            np.copyto(c[t + 1], c[t], where=ended[t])
    return tape


def run_back(
    cell: Cell, weight: Array, tape: Tape, grad: Array, last: tuple[Array, Array], ended: Ended, *, inputs_too: bool
) -> tuple[Array, Array | None, tuple[Array, Array]]:
    """Go back from the last time to the first: the article's recursion, with each time as one layer.

    Parameters
    ----------
    grad : array
        (T, H, N), dE/dh of each time as an output.
    last : tuple of array
        dE/dh and dE/dc of the last state.
    inputs_too : bool
        Whether dE/dx is wanted.

    Returns
    -------
    dweight, dx, (dh, dc)
        dE/dweight, dE/dx as (T, F, N), or None, and the gradients of the first state.
    """
    times, hidden, samples = grad.shape
    features = tape.inputs.shape[1] - hidden - 1
    skipped = 0 if inputs_too else features
    back = np.ascontiguousarray(weight[:, skipped:-1].T)
    dx = np.empty((times, features, samples), grad.dtype) if inputs_too else None
    da = np.empty_like(tape.gates)
    dinputs = np.empty((features + hidden - skipped, samples), grad.dtype)
    dh, dc = last[0].copy(), last[1].copy()
    for t in reversed(range(times)):
        dh += grad[t]
        held = None if ended is None else (dh.copy(), dc.copy())
        beside = cell.backward(tape, t, dh, dc, da[t])
        if ended is not None:
            da[t][:, ended[t]] = 0
        np.dot(back, da[t], out=dinputs)
        if dx is not None:
            dx[t] = dinputs[:features]
        dh = dinputs[features - skipped :]
        if beside is not None:
            dh += beside
        if held is not None and ended is not None:
            np.copyto(dh, held[0], where=ended[t])
            np.copyto(dc, held[1], where=ended[t])
    return _summed(da, tape.inputs[:-1]), dx, (dh, dc)


def _summed(da: Array, inputs: Array) -> Array:
    """Return Σ da inputsᵀ over all times and samples, as one product."""
    columns = da.transpose(1, 0, 2).reshape(da.shape[1], -1), inputs.transpose(1, 0, 2).reshape(inputs.shape[1], -1)
    dweight: Array = columns[0].dot(columns[1].T)
    return dweight
