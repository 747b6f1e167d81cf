"""Products of matrices that lie row after row: y = x Wᵀ, dx = g W, dW = gᵀ x; small ones as loops, others by BLAS.

numba keeps compiled kernels while kernels.py is as old as it was: whoever changes this file saves that one too.
"""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.training.compiled.exponential import compiled

NARROW = 64  # units up to which it pays to turn the weights for the forward pass
FEW = 1024  # multiplications of a product that a call of BLAS takes longer for


@compiled
def weigh(x: Array, w: Array, y: Array, rows: int, size: int, count: int, spare: Array) -> None:
    """Compute y = x Wᵀ; BLAS is up to twice as fast with a small Wᵀ that lies row after row, in the spare array."""
    if rows > 1 and rows * w.size > FEW:
        if size <= NARROW and count <= NARROW and w.size <= 2 * NARROW * rows:
            turned = spare[: w.size].reshape(size, count)
            for i in range(size):
                for j in range(count):
                    turned[i, j] = w[j * size + i]
            np.dot(x.reshape(rows, size), turned, y.reshape(rows, count))
            return
        np.dot(x.reshape(rows, size), w.reshape(count, size).T, y.reshape(rows, count))
        return
    for n in range(rows):
        for j in range(count):
            total = y.dtype.type(0)
            for i in range(size):
                total += x[n * size + i] * w[j * size + i]
            y[n * count + j] = total


@compiled
def weigh_back(g: Array, w: Array, dx: Array, rows: int, size: int, count: int) -> None:
    """Compute dx = g W."""
    if rows > 1 and rows * w.size > FEW:
        np.dot(g[: rows * count].reshape(rows, count), w.reshape(count, size), dx[: rows * size].reshape(rows, size))
        return
    for n in range(rows):
        for i in range(size):
            dx[n * size + i] = 0
        for j in range(count):
            each = g[n * count + j]
            for i in range(size):
                dx[n * size + i] += each * w[j * size + i]


@compiled
def relate(g: Array, x: Array, dw: Array, rows: int, size: int, count: int) -> None:
    """Compute dW = gᵀ x."""
    if rows > 1 and rows * dw.size > FEW:
        np.dot(g[: rows * count].reshape(rows, count).T, x.reshape(rows, size), dw.reshape(count, size))
        return
    for j in range(count):
        each = g[j]
        for i in range(size):
            dw[j * size + i] = each * x[i]
        for n in range(1, rows):
            each = g[n * count + j]
            for i in range(size):
                dw[j * size + i] += each * x[n * size + i]
