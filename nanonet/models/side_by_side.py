"""SideBySide: several dense nets as one model, which computes all at once: few large calls instead of many small."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Patterns
from nanonet.core.layer import Layer
from nanonet.core.objects import set_attribute
from nanonet.core.parameter import Parameter
from nanonet.layers.activations import Activation
from nanonet.layers.linear import Linear
from nanonet.losses.loss import Loss
from nanonet.models.sequential import Sequential
from nanonet.optimizers.optimizer import Optimizer


def is_dense(model: Sequential) -> bool:
    """Return whether a model is a plain chain of Linear and activations on vectors, all of them trainable."""
    parts = all(type(layer) is Linear or _is_plain(layer) for layer in model.layers)
    starts = bool(model.layers) and type(model.layers[0]) is Linear
    return type(model) is Sequential and parts and starts and all(p.trainable for p in model.parameters().values())


def _is_plain(layer: Layer) -> bool:
    """Return whether a layer is an activation that has nothing but its formula."""
    return isinstance(layer, Activation) and next(layer.owned_parts(), None) is None


def treats_entries_alike(optimizer: Optimizer) -> bool:
    """Return whether an optimizer does the same with every number, whatever parameter it belongs to."""
    decays_apart = bool(optimizer.weight_decay and optimizer.decays)
    return optimizer.clip_norm is None and not decays_apart and not getattr(optimizer, "rates", None)


class SideBySide:
    """A model of all members, whose prediction is (batch, members, ...).

    Attributes
    ----------
    model : Sequential
        Its weights begin as those of the members.
    """

    def __init__(self, models: Sequence[Sequential]) -> None:
        layers: list[Layer] = []
        self._stacked: list[tuple[_Stacked, tuple[Any, ...]]] = []
        for parts in zip(*models, strict=True):
            if type(parts[0]) is Linear:
                self._stacked.append((_Stacked(parts, first=not layers), parts))
                layers.append(self._stacked[-1][0])
            else:
                layers.append(copy.deepcopy(parts[0]))  # an activation, which is the same in all members
        self.model = Sequential(*layers, dtype=models[0].dtype)

    def loss(self, loss: Loss) -> Loss:
        """Return the sum over the members of a loss of their own, whose derivatives are those of each trained alone."""
        return _EachMember(loss, len(self._stacked[0][1]))

    def give_back(self) -> None:
        """Store the weights in the members."""
        for layer, members in self._stacked:
            for k, member in enumerate(members):
                member.weight.value = layer.weight.value[k]
                if layer.bias is not None:
                    member.bias.value = layer.bias.value[k]


class _Stacked(Layer):
    """y[:, k] = x[:, k] W[k]ᵀ + b[k] for each member k; the first layer has the same x for all."""

    mixes_samples = False

    def __init__(self, members: Sequence[Any], *, first: bool) -> None:
        self.first, count = first, len(members)
        self.out_features, self.in_features = members[0].out_features, members[0].in_features
        self.input_shape = (self.in_features,) if first else (count, self.in_features)
        weights = np.stack([member.weight.value for member in members])
        self.weight = Parameter(weights.shape, weights)
        self.bias: Parameter | None = None
        if members[0].bias is not None:
            biases = np.stack([member.bias.value for member in members])
            self.bias = Parameter(biases.shape, biases)

    def __repr__(self) -> str:
        return f"{len(self.weight.value)} x Linear({self.in_features}, {self.out_features})"

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return y, and x."""
        weight = self.weight.value
        if self.first:
            y: Array = x.dot(weight.reshape(-1, self.in_features).T).reshape(len(x), -1, self.out_features)
        else:
            y = np.matmul(x.transpose(1, 0, 2), weight.transpose(0, 2, 1)).transpose(1, 0, 2)
        return y if self.bias is None else y + self.bias.value, x

    def backward(self, grad: Array, cache: Array) -> Array:
        """Assign dE/dW and dE/db, and return dE/dx."""
        self._assign(grad, cache)
        weight = self.weight.value
        if self.first:
            dx: Array = grad.reshape(len(grad), -1).dot(weight.reshape(-1, self.in_features))
        else:
            dx = np.matmul(grad.transpose(1, 0, 2), weight).transpose(1, 0, 2)
        return dx

    def backward_parameters(self, grad: Array, cache: Array) -> None:
        """Assign dE/dW and dE/db only."""
        self._assign(grad, cache)

    def _assign(self, grad: Array, cache: Array) -> None:
        if self.first:
            self.weight.grad = grad.reshape(len(grad), -1).T.dot(cache).reshape(self.weight.shape)
        else:
            self.weight.grad = np.matmul(grad.transpose(1, 2, 0), cache.transpose(1, 0, 2))
        if self.bias is not None:
            self.bias.grad = grad.sum(axis=0)

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return (members, out_features)."""
        return self.weight.shape[0], self.out_features


class _EachMember(Loss):
    """The sum over the members of a loss of their own, whose derivatives are those of each member trained alone."""

    def __init__(self, loss: Loss, members: int) -> None:
        self.loss, self.members = loss, members
        for name in ("integer_target", "mixes_samples", "reduction"):
            if hasattr(loss, name):
                set_attribute(self, name, getattr(loss, name))

    def check(self, prediction: Array, target: object, weight: npt.ArrayLike | None = None) -> Any:
        """Return target and weight, checked for one member: they are those of all."""
        return self.loss.check(prediction[:, 0], target, weight)

    def total(self, target: Array, weight: Array | None) -> float:
        """Return the divisor of the mean for one member."""
        return self.loss.total(target, weight)

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        """Return the sum over the members."""
        rows = prediction.reshape(-1, *prediction.shape[2:])
        repeated = [None if part is None else np.repeat(part, self.members, axis=0) for part in (target, weight)]
        value, cache = self.loss.forward(rows, *repeated)  # type: ignore[arg-type]  # a target is never None
        return value * self._share, (cache, prediction.shape)

    def backward(self, cache: Any) -> Array:
        """Return dE/dprediction."""
        inner, shape = cache
        return self.loss.backward(inner).reshape(shape) * self._share

    @property
    def _share(self) -> int:
        """By how much a mean over all members is less than the sum of their means."""
        return 1 if getattr(self.loss, "reduction", "mean") == "sum" else self.members

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the sum over the members for each sample."""
        each: Array = sum(self.loss.function(prediction[:, k], target) for k in range(self.members))  # type: ignore[assignment]  # not 0
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return its derivative."""
        return np.stack([self.loss.derivative(prediction[:, k], target) for k in range(self.members)], axis=1)
