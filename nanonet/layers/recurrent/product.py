"""Product: a = W_ih x + b_ih + W_hh h + b_hh as one product with [x, 1, h]; and the products of the way back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.recurrent.cell import Cell

COLUMNS = 512  # times by samples in one product for the weights' gradients: what stays in the cache

SMALL = 10**6  # multiplications up to which OpenBLAS does not copy both matrices first
PIECES = 4  # in so many pieces a product is still faster than as a whole


class Weights(NamedTuple):
    """The numbers of one layer in one direction, or their gradients; without biases None."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None


class Product:
    """a = W [x, 1, h] at one time.

    W has PyTorch's rows, one block of H for each gate. If the cell wants some gates in two parts, their rows of W_hh
    come first and those of W_ih last.
    """

    def __init__(self, cell: Cell, weights: Weights) -> None:
        (rows, self.one), hidden = weights.weight_ih.shape, weights.weight_hh.shape[1]
        self.apart = cell.apart * hidden
        whole = np.zeros((rows + self.apart, self.one + 1 + hidden), weights.weight_ih.dtype)
        of_x, of_h = whole[self.apart :], whole[:rows]
        of_x[:, : self.one], of_h[:, self.one + 1 :] = weights.weight_ih, np.roll(weights.weight_hh, self.apart, axis=0)
        if weights.bias_ih is not None and weights.bias_hh is not None:
            of_x[:, self.one] += weights.bias_ih
            of_h[:, self.one] += np.roll(weights.bias_hh, self.apart)
        self.weight = cell.prepared(whole)

    def __call__(self, inputs: Array, out: Array) -> None:
        """Write a for inputs (F + 1 + H, N), without the blocks of W that are 0."""
        apart, one, weight = self.apart, self.one, self.weight
        both = slice(apart, len(weight) - apart)
        _multiply(weight[both], inputs, out[both])
        if apart:
            _multiply(weight[:apart, one:], inputs[one:], out[:apart])
            _multiply(weight[-apart:, : one + 1], inputs[: one + 1], out[-apart:])


class ProductBack:
    """dE/dx = W_ihᵀ da and dE/dh = W_hhᵀ da at each time, and the sums of da [x, 1, h]ᵀ over all times.

    The columns of many times are collected for one product.
    """

    def __init__(self, cell: Cell, weights: Weights, times: int, samples: int) -> None:
        (self.rows, self.one), hidden = weights.weight_ih.shape, weights.weight_hh.shape[1]
        self.apart = cell.apart * hidden
        self.to_x = np.ascontiguousarray(weights.weight_ih.T)
        self.to_h = np.ascontiguousarray(np.roll(weights.weight_hh, self.apart, axis=0).T)
        at_once, dtype = max(1, min(times, COLUMNS // max(samples, 1))), weights.weight_ih.dtype
        self._da = np.empty((self.rows + self.apart, at_once, samples), dtype)
        self._inputs = np.empty((self.one + 1 + hidden, at_once, samples), dtype)
        self._count = 0
        self._sums: list[Array] = []

    def __call__(self, da: Array, inputs: Array, dx: Array | None, dh: Array) -> None:
        """Write dE/dx, if it is wanted, and dE/dh; take note of da and the inputs."""
        if dx is not None:
            _multiply(self.to_x, da[self.apart :], dx)
        _multiply(self.to_h, da[: self.rows], dh)
        self._da[:, self._count], self._inputs[:, self._count] = da, inputs
        self._count += 1
        if self._count == self._da.shape[1]:
            self._add()

    def _add(self) -> None:
        """Add what has been collected to the sums, once over [x, 1, h], or for rows in two parts [x, 1] and [1, h]."""
        da = self._da[:, : self._count].reshape(len(self._da), -1)
        inputs = self._inputs[:, : self._count].reshape(len(self._inputs), -1)
        self._count = 0
        if self.apart:
            parts = [da[self.apart :].dot(inputs[: self.one + 1].T), da[: self.rows].dot(inputs[self.one :].T)]
        else:
            parts = [da.dot(inputs.T)]
        if not self._sums:
            self._sums = parts
        else:
            for total, part in zip(self._sums, parts, strict=True):
                total += part

    def gradients(self) -> Weights:
        """Return the gradients of the weights and biases."""
        if self._count or not self._sums:
            self._add()
        of_x, of_h = self._sums[0][:, : self.one + 1], self._sums[-1]
        of_h = np.roll(of_h, -self.apart, axis=0) if self.apart else of_h[:, self.one :]
        return Weights(of_x[:, :-1], of_h[:, 1:], of_x[:, -1], of_h[:, 0])


def _multiply(weight: Array, columns: Array, out: Array) -> None:
    """Write weight · columns, in pieces of rows if that makes small products of it.

    For the 512 rows of an LSTM and a batch of 32 that takes four fifths of the time.
    """
    pieces = -(-weight.size * columns.shape[1] // SMALL)
    if not 1 < pieces <= PIECES:
        np.dot(weight, columns, out=out)
        return
    height = -(-len(weight) // pieces)
    for start in range(0, len(weight), height):
        rows = slice(start, start + height)
        np.dot(weight[rows], columns, out=out[rows])
