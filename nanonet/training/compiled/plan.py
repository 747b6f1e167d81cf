"""Plan: the arrays of one training that the kernels work on, and Room, those of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.training.compiled import codes
from nanonet.training.compiled.chain import Described

REMEMBERED = 8  # sizes of batches whose rooms are kept
LARGEST = 1 << 20  # bytes of a room; larger batches go through the chain in blocks, as readable steps do


class Plan:
    """The arrays of one training that the kernels work on.

    Parameters
    ----------
    described : Described
    value, grad : array
        The model's vector.
    states : list of array
        Those of the optimizer.
    decay : array
        The weight decay of each entry, of size 0 if there is none.

    Attributes
    ----------
    numbers : array of float64
        What the kernels are told and say; see nanonet/training/compiled/codes.py.
    inputs, outputs : int
        Of the chain.
    has_labels : bool
        Whether the target is one label for each sample.
    target_shape : tuple of int
        Of a sample's.
    bytes_of_a_sample, largest : int
        The bytes that a sample takes, and the samples that a batch may have.
    call : callable
        The kernels: takes ``arguments``, and returns how many batches are done with.
    """

    def __init__(self, described: Described, value: Array, grad: Array, states: list[Array], decay: Array) -> None:
        from nanonet.training.compiled.kernels import take_steps  # which imports numba

        self.call, net = take_steps, described.net
        self.dtype, self.inputs, self.outputs = value.dtype, int(net[0, 0]), int(net[-1, 1])
        self.has_labels = described.loss == codes.CROSS_ENTROPY
        self.target_shape = () if self.has_labels else (self.outputs,)
        self.bytes_of_a_sample = (self.inputs + self.outputs + 2) * value.itemsize
        self.numbers = np.zeros(codes.NUMBERS)
        self.numbers[: codes.STEPS] = described.numbers
        widest = int(net[:, :2].max())
        self._form = [described.loss, described.rule, described.decays, widest], net.ravel().tolist()
        none = np.empty(0, value.dtype)
        first, second = [*states, none, none][:2]
        self._fixed = value, grad, first, second
        self._kept = np.empty((2 + len(states)) * value.size + decay.size, value.dtype)
        self._kept[self._kept.size - decay.size :] = decay
        self._of_a_row = int(net[:, 1].sum()) + 2 * widest
        self.before_last = int(net[:-1, 1].sum())  # outputs of a sample before those of the last layer
        self.largest = LARGEST // (self._of_a_row * value.itemsize)
        self._rooms: dict[tuple[int, bool], Room] = {}
        self.call(*self.arguments(none, none, np.empty(0), np.empty(0), 1))  # compiles it, or loads what was compiled

    def arguments(
        self, x: Array, target: npt.NDArray[Any], weights: Array, rates: Array, batch: int
    ) -> tuple[Any, ...]:
        """Return the arguments for a call of the kernels, with space for its intermediate results."""
        given, layers = self._form
        form, space = np.array([*given, batch, codes.BOTH, *layers]), np.empty(batch * self._of_a_row, self.dtype)
        no_floats, no_labels = np.empty(0, self.dtype), np.empty(0, np.intp)
        targets = (target.reshape(-1), no_labels) if target.dtype.kind == "f" else (no_floats, target)
        return *self._fixed, form, self.numbers, x.reshape(-1), *targets, weights, rates, space, self._kept

    def room(self, rows: int, *, weighted: bool) -> Room:
        """Return the arrays for one batch of so many samples."""
        room = self._rooms.get((rows, weighted))
        if room is None:
            if len(self._rooms) == REMEMBERED:
                self._rooms.pop(next(iter(self._rooms)))
            room = self._rooms[rows, weighted] = Room(self, rows, weighted=weighted)
        return room


class Room:
    """The arrays of one batch, and the arguments for the kernels.

    Attributes
    ----------
    x, target, weights, rate : array
        To be filled.
    like : array
        Of the shape of the prediction, for the loss to compare the target with.
    whole, passes, update : tuple
        Arguments for a step, and for each of its halves.
    """

    def __init__(self, plan: Plan, rows: int, *, weighted: bool) -> None:
        self.x, self.like = np.zeros((rows, plan.inputs), plan.dtype), np.zeros((rows, plan.outputs), plan.dtype)
        self.target = np.zeros(rows, np.intp) if plan.has_labels else np.zeros_like(self.like)
        self.weights, self.rate = np.zeros(rows if weighted else 0), np.zeros(1)
        self.whole = plan.arguments(self.x, self.target, self.weights, self.rate, rows)
        self.passes, self.update = self._half(codes.PASSES), self._half(codes.UPDATE)
        self._space: Array = self.whole[-2]
        self._outputs = slice(rows * plan.before_last, rows * (plan.before_last + plan.outputs))

    def _half(self, half: int) -> tuple[Any, ...]:
        form = self.whole[4].copy()
        form[codes.HALF] = half
        return *self.whole[:4], form, *self.whole[5:]

    def prediction(self) -> Array:
        """Return a copy of the output of the last layer."""
        return self._space[self._outputs].reshape(self.like.shape).copy()
