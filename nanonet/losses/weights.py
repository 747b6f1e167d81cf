"""Weights of samples, or of their labels: checked, brought to the shape of what they multiply, and a mean with them."""

from __future__ import annotations

import math

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import as_floats, stranger
from nanonet.core.objects import called


def as_weights(data: object, owner: object, name: str) -> Array:
    """Return weights in float64, whose sum neither overflows nor underflows as it might in float32."""
    array = as_floats(data, np.dtype(np.float64), owner, name)
    fits = (array >= 0) & (array <= 1e100)  # False for NaN
    if not fits.all():
        raise ValueError(f"{called(owner)}: expected {name} from 0 to 1e100, got {stranger(array, ~fits)}")
    return array


def along_batch(weight: Array, ndim: int) -> Array:
    """Return weights with as many axes as what they multiply: those behind theirs have length 1."""
    return weight.reshape(*weight.shape, *[1] * (ndim - weight.ndim))


def spread(weight: Array, shape: Shape) -> Array:
    """Return the weights of what counts, where those of samples are given."""
    return weight if weight.shape == shape else np.broadcast_to(along_batch(weight, len(shape)), shape)


def weighted_mean(each: Array, weight: Array, divisor: float) -> float:
    """Return Σ wᵢ eᵢ / divisor in float64; what has weight 0 is ignored, even if its eᵢ is not finite."""
    weight = spread(weight, each.shape)
    value = float(np.vdot(weight / divisor, each))
    if math.isfinite(value):
        return value
    counted = weight > 0
    return float(np.vdot(weight[counted] / divisor, each[counted]))


def nothing_counts(what: str) -> ValueError:
    """Return the error for data in which no sample counts, by its own weight or its class's."""
    return ValueError(f"{what}: the weight of each, its own or that of its class, is 0")
