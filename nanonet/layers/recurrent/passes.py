"""passes: the two loops over time of one layer in one direction, which all kinds of cells share."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.recurrent.cell import Cell, Tape
from nanonet.layers.recurrent.product import Product, ProductBack, Weights
from nanonet.layers.recurrent.span import Ended


def run(cell: Cell, weights: Weights, steps: Array, start: tuple[Array, Array], ended: Ended) -> Tape:
    """Read the inputs from the first to the last.

    Parameters
    ----------
    cell : Cell
    weights : Weights
    steps : array
        (T, F, N), the inputs.
    start : tuple of array
        The first h, (H, N), and the first c.
    ended : array or None
        (T, N), True where a sequence has ended: its state stands.
    """
    times, features, _ = steps.shape
    tape = Tape.empty(cell, steps, weights.weight_hh.shape[1])
    inputs, gates, h, c, _ = tape
    inputs[:, features] = 1
    h[0], c[0] = start
    product = Product(cell, weights)
    for t in range(times):
        inputs[t, :features] = steps[t]
        product(inputs[t], gates[t])
        cell.forward(tape, t)
        if ended is not None:
            np.copyto(h[t + 1], h[t], where=ended[t])
            np.copyto(c[t + 1], c[t], where=ended[t])
    return tape


def run_back(
    cell: Cell,
    weights: Weights,
    tape: Tape,
    grad: Array,
    last: tuple[Array, Array],
    ended: Ended,
    *,
    inputs_too: bool,
) -> tuple[Weights, Array | None, tuple[Array, Array]]:
    """Go back from the last time to the first: the article's recursion, each time a layer, all with the same weights.

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
    gradients, dx, (dh, dc)
        Those of the weights, dE/dx as (T, F, N) or None, and those of the first state.
    """
    times, _, samples = grad.shape
    back = ProductBack(cell, weights, times, samples)
    dx = np.empty((times, len(back.to_x), samples), grad.dtype) if inputs_too else None
    da = np.empty(tape.gates.shape[1:], grad.dtype)
    dh, dc = last[0].copy(), last[1].copy()
    for t in reversed(range(times)):
        dh += grad[t]
        standing = None if ended is None else (dh.copy(), dc.copy())
        beside = cell.backward(tape, t, dh, dc, da)
        if ended is not None:
            np.copyto(da, 0, where=ended[t])
        back(da, tape.inputs[t], None if dx is None else dx[t], dh)
        if beside is not None:
            dh += beside
        if standing is not None and ended is not None:
            np.copyto(dh, standing[0], where=ended[t])
            np.copyto(dc, standing[1], where=ended[t])
    return back.gradients(), dx, (dh, dc)
