"""Passes: one forward pass whose way back can be taken many times, with each sample's own gradients if asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from nanonet.checking.view import View
from nanonet.core.arrays import Array, Arrays, batch_size_of, each
from nanonet.core.chain import Chain
from nanonet.core.layer import Layer
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


class Passes:
    """A forward pass of a model in inference mode, on a copy of what a pass changes.

    Each sample goes through alone where a layer may relate samples: what is asked for are derivatives of a function of
    one sample.

    Attributes
    ----------
    y : array
        The prediction.
    """

    def __init__(self, model: Chain, x: Arrays) -> None:
        self._batch, self._size = batch_size_of(x), model.vector.size
        self._links: list[_Link] = []
        self.y = self._forward(View(model, live=False).root, x, 0)

    def _forward(self, layer: Layer, x: Arrays, start: int) -> Arrays:
        """Return the output, and record a link for the layer; a chain is taken apart."""
        if not isinstance(layer, Chain) or type(layer).forward is not Chain.forward:
            self._links.append(_Link(layer, x, start))
            return self._links[-1].y
        for part in layer.layers:
            x = self._forward(part, x, start)
            start += sum(parameter.size for parameter in part.parameters().values())
        return x

    def backward(self, grad: Arrays) -> Arrays:
        """Return dE/dx for dE/dy."""
        for link in reversed(self._links):
            grad = link.backward(grad)
        return grad

    def parameters(self, grad: Arrays) -> Array:
        """Return dE/dw of each sample for dE/dy, shape (batch, size), 0 for frozen parameters."""
        rows = np.zeros((self._batch, self._size), self.dtype)
        lowest = next((i for i, link in enumerate(self._links) if link.moving), len(self._links))
        for i in range(len(self._links) - 1, lowest - 1, -1):
            self._links[i].assign(grad, rows)
            if i > lowest:
                grad = self._links[i].backward(grad)
        return rows

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the prediction."""
        dtype: np.dtype[Any] = self.parts[0].dtype
        return dtype

    @property
    def parts(self) -> tuple[Array, ...]:
        """The prediction as a tuple of its arrays."""
        return self.y if isinstance(self.y, tuple) else (self.y,)

    def units(self) -> Iterator[tuple[int, Any, Arrays]]:
        """Yield each number of a sample's prediction: which output it is in, its index, and the dE/dy that picks it."""
        for number, part in enumerate(self.parts):
            for index in np.ndindex(part.shape[1:]):
                picked = [np.zeros_like(other) for other in self.parts]
                place = (slice(None), *index)  # of all samples
                picked[number][place] = 1
                yield number, place, tuple(picked) if isinstance(self.y, tuple) else picked[0]


class _Link:
    """A layer, what went into it and came out, and where its parameters lie in the vector."""

    def __init__(self, layer: Layer, x: Arrays, start: int) -> None:
        self.layer, self.x, self.alone = layer, x, may_mix(layer, training=False)
        self.moving: list[tuple[str, slice]] = []  # the trainable parameters
        for name, parameter in layer.parameters().items():
            if parameter.trainable:
                self.moving.append((name, slice(start, start + parameter.size)))
            start += parameter.size
        if self.alone:
            self.y: Arrays = _joined([y for y, _ in self._singly])
        else:
            self.y, self._cache = layer.forward(x)

    @cached_property
    def _singly(self) -> list[tuple[Arrays, Any]]:
        """Output and cache for each sample alone."""
        return [self.layer.forward(x) for x in _samples(self.x)]

    def backward(self, grad: Arrays) -> Arrays:
        """Return dE/dx."""
        if not self.alone:
            return self.layer.backward(grad, self._cache)
        each_alone = zip(_samples(grad), self._singly, strict=True)
        return _joined([self.layer.backward(g, cache) for g, (_, cache) in each_alone])

    def assign(self, grad: Arrays, rows: Array) -> None:
        """Store dE/dparameter of each sample in its place of the rows."""
        if not self.moving:
            return
        formula = None if self.alone else FORMULAS.of(self.layer)
        if formula is not None:
            found = formula(self.layer, self.x, grad)
            for name, place in self.moving:
                rows[:, place] = found[name].reshape(len(rows), -1)
            return
        parameters = self.layer.parameters()
        for row, g, (_, cache) in zip(rows, _samples(grad), self._singly, strict=True):
            self.layer.backward_parameters(g, cache)
            for name, place in self.moving:
                row[place] = parameters[name].grad.ravel()


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
    n = len(x)
    x, g = x.reshape(n, -1, layer.in_features), grad.reshape(n, -1, layer.out_features)
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
    seen = seen.transpose(0, 2, 3, 1, 4, 5).reshape(n, grad[0, 0].size, groups, -1)  # (batch, places, groups, entries)
    g: npt.NDArray[Any] = grad.reshape(n, groups, layer.out_channels // groups, -1)
    return {"weight": np.matmul(g, seen.swapaxes(1, 2)), "bias": grad.sum(axis=(2, 3))}
