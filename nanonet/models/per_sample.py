"""Passes: a forward pass whose way back can be taken many times, with each sample's own gradients if asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from nanonet.checking.view import View
from nanonet.core.arrays import Array, Arrays, batch_size_of, each, parts_of
from nanonet.core.chain import Chain
from nanonet.core.layer import Layer
from nanonet.core.parameter import Parameter
from nanonet.core.rows import may_mix
from nanonet.inspection.by_class import ByClass
from nanonet.layers.conv import Conv1d, Conv2d
from nanonet.layers.linear import Linear

Gradients = Callable[[Any, Array, Array], Mapping[str, Array]]

FORMULAS = ByClass[Gradients]("per_sample", "forward", "backward", "backward_parameters")

per_sample = FORMULAS.register
"""Register a formula for the gradients of each sample: (layer, x, dE/dy) to dE/dparameter by name, (batch, *shape).

Any other layer gets them by a backward pass for each sample, which is right too, but slower.
"""


class Twins:
    """A model's layers in a row, on a copy of what a pass changes, so that any number of passes leaves the model alone.

    A chain within the model is taken apart. Each sample goes alone through a layer that may relate samples: what is
    asked for are derivatives of a function of one sample.
    """

    def __init__(self, model: Chain) -> None:
        self.size, self.dtype = model.vector.size, model.dtype
        self.links: list[_Link] = []
        self._add(View(model, live=False).root, 0)

    def _add(self, layer: Layer, start: int) -> int:
        """Add a layer whose parameters begin there in the vector; return where they end."""
        if isinstance(layer, Chain) and type(layer).forward is Chain.forward:
            for part in layer.layers:
                start = self._add(part, start)
            return start
        self.links.append(_Link(layer, start))
        return start + sum(parameter.size for parameter in layer.parameters().values())


class Passes:
    """A forward pass in inference mode, and any number of ways back.

    Attributes
    ----------
    y : array
        The prediction.
    """

    def __init__(self, twins: Twins, x: Arrays) -> None:
        self._batch, self._twins = batch_size_of(x), twins
        self._passed: list[_Passed] = []
        self.y = x
        for link in twins.links:
            self._passed.append(_Passed(link, self.y))
            self.y = self._passed[-1].y

    @property
    def parts(self) -> tuple[Array, ...]:
        """The prediction as a tuple of its arrays."""
        return parts_of(self.y)

    def backward(self, grad: Arrays) -> Arrays:
        """Return dE/dx for dE/dy."""
        for passed in reversed(self._passed):
            grad = passed.backward(grad)
        return grad

    def parameters(self, grad: Arrays) -> Array:
        """Return dE/dw of each sample for dE/dy, shape (batch, size), 0 for frozen parameters."""
        rows = np.zeros((self._batch, self._twins.size), self._twins.dtype)
        lowest = next((i for i, passed in enumerate(self._passed) if passed.link.moving), len(self._passed))
        for i in range(len(self._passed) - 1, lowest - 1, -1):
            self._passed[i].assign(grad, rows)
            if i > lowest:
                grad = self._passed[i].backward(grad)
        return rows

    def units(self) -> Iterator[tuple[int, Any, Arrays]]:
        """Yield each number of a sample's prediction: which output it is in, its index, and the dE/dy that picks it."""
        for number, part in enumerate(self.parts):
            for index in np.ndindex(part.shape[1:]):
                picked = [np.zeros_like(other) for other in self.parts]
                place = (slice(None), *index)  # of all samples
                picked[number][place] = 1
                yield number, place, tuple(picked) if isinstance(self.y, tuple) else picked[0]


class _Link:
    """A layer, and where its trainable parameters lie in the vector."""

    def __init__(self, layer: Layer, start: int) -> None:
        self.layer, self.alone = layer, may_mix(layer, training=False)
        self.formula = None if self.alone else FORMULAS.of(layer)
        self.moving: list[tuple[str, Parameter, slice]] = []
        for name, parameter in layer.parameters().items():
            if parameter.trainable:
                self.moving.append((name, parameter, slice(start, start + parameter.size)))
            start += parameter.size


class _Passed:
    """What went into a layer and came out."""

    def __init__(self, link: _Link, x: Arrays) -> None:
        self.link, self.x = link, x
        self._alone = link.alone and batch_size_of(x) > 0  # of no samples there is nothing to keep apart
        if self._alone:
            self.y: Arrays = _joined([y for y, _ in self._singly])
        else:
            self.y, self._cache = link.layer.forward(x)

    @cached_property
    def _singly(self) -> list[tuple[Arrays, Any]]:
        """Output and cache for each sample alone."""
        return [self.link.layer.forward(x) for x in _samples(self.x)]

    def backward(self, grad: Arrays) -> Arrays:
        """Return dE/dx."""
        if not self._alone:
            return self.link.layer.backward(grad, self._cache)
        each_alone = zip(_samples(grad), self._singly, strict=True)
        return _joined([self.link.layer.backward(g, cache) for g, (_, cache) in each_alone])

    def assign(self, grad: Arrays, rows: Array) -> None:
        """Store dE/dparameter of each sample in its place of the rows."""
        layer, formula, moving = self.link.layer, self.link.formula, self.link.moving
        if formula is not None and moving:
            found = formula(layer, self.x, grad)
            for name, parameter, place in moving:
                rows[:, place] = found[name].reshape(len(rows), parameter.size)
        elif moving:
            for row, g, (_, cache) in zip(rows, _samples(grad), self._singly, strict=True):
                layer.backward_parameters(g, cache)
                for _, parameter, place in moving:
                    row[place] = parameter.grad.ravel()


def _samples(arrays: Arrays) -> Iterator[Arrays]:
    """Yield each sample as a batch of one."""
    for i in range(batch_size_of(arrays)):
        yield each(lambda part, i=i: part[i : i + 1], arrays)


def _joined(samples: list[Arrays]) -> Arrays:
    return each(lambda *parts: np.concatenate(parts), *samples)


# ---- the formulas


@per_sample(Linear)
def linear(layer: Linear, x: Array, grad: Array) -> dict[str, Array]:
    """Return g xᵀ and g, summed over the axes between the batch and the features."""
    n, places = len(x), math.prod(x.shape[1:-1])
    x, g = x.reshape(n, places, layer.in_features), grad.reshape(n, places, layer.out_features)
    if x.shape[1] == 1:
        return {"weight": g[:, 0, :, None] * x, "bias": g[:, 0]}  # without a product for each sample
    return {"weight": np.matmul(g.swapaxes(1, 2), x), "bias": g.sum(axis=1)}


@per_sample(Conv1d, Conv2d)
def convolution(layer: Conv1d | Conv2d, x: Array, grad: Array) -> dict[str, Array]:
    """Return the products of g with what lies under the kernel at each place, and the sums of g over all places."""
    n, groups = len(x), layer.groups
    if x.ndim == 3:
        x, grad = x[:, :, None], grad[:, :, None]
    (sh, sw), (dh, dw) = layer.window.stride, layer.window.dilation
    padded = np.pad(x, ((0, 0), (0, 0), *layer.window.padding))
    seen = sliding_window_view(padded, layer.window.reach, axis=(2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]
    places, entries = math.prod(grad.shape[2:]), math.prod((layer.in_channels // groups, *layer.window.kernel))
    seen = seen.transpose(0, 2, 3, 1, 4, 5).reshape(n, places, groups, entries)
    g: npt.NDArray[Any] = grad.reshape(n, groups, layer.out_channels // groups, places)
    return {"weight": np.matmul(g, seen.swapaxes(1, 2)), "bias": grad.sum(axis=(2, 3))}
