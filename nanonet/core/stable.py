"""Numerically stable functions: exponentials and logarithms that neither overflow nor underflow."""

from __future__ import annotations

import math

import numpy as np

from nanonet.core.arrays import Array

# Below these a, exp(a) is set to 0: the square of any larger one is a normal number, so products do not underflow.
_FLOORS = {np.dtype(kind): math.log(np.finfo(kind).tiny) / 2 for kind in (np.float32, np.float64)}


def exp_of_negative(a: Array) -> Array:
    """Return exp(a) for a <= 0, and 0 where it would be below the root of the smallest normal number."""
    floor = _FLOORS[a.dtype]
    powers: Array = np.exp(np.maximum(a, floor)) * (a > floor)
    return powers


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), accurate to the last digits also where it is tiny."""
    floor = _FLOORS[a.dtype]
    y: Array = (a > floor) / (1 + np.exp(-np.clip(a, floor, -floor)))
    return y


def softmax(a: Array) -> Array:
    """Return exp(aⱼ) / Σₖ exp(aₖ) along the last axis, computed after subtracting the largest a.

    An entry of -inf has probability 0; a row of -inf alone, or with a +inf, becomes NaN.
    """
    _, powers, total = _lowered(a)
    return powers / total


def log_softmax(a: Array) -> Array:
    """Return aⱼ - log Σₖ exp(aₖ) along the last axis, computed after subtracting the largest a."""
    lowered, _, total = _lowered(a)
    return lowered - np.log(total)


def softmax_and_log(a: Array) -> tuple[Array, Array]:
    """Return softmax(a) and log_softmax(a), computed from the same exponentials."""
    lowered, powers, total = _lowered(a)
    return powers / total, lowered - np.log(total)


def _lowered(a: Array) -> tuple[Array, Array, Array]:
    """Return a minus its maximum along the last axis, the exponentials of that, and their sum.

    The difference is 0 or less, and -inf where it overflows the dtype.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # inf - inf gives the NaN of a row without probabilities
        lowered: Array = a - a.max(axis=-1, keepdims=True)
    powers = exp_of_negative(lowered)
    return lowered, powers, powers.sum(axis=-1, keepdims=True)
