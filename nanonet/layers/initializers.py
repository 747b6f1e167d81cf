"""Initializers: rules for the initial values of a parameter, given its shape and a random generator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import finite_number
from nanonet.core.objects import Recorded


def fans(shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight: the inputs per output unit, and the outputs per input.

    A weight has shape (out_features, in_features, *kernel). With fewer than two axes, both are the number of entries.

    Examples
    --------
    >>> fans((3, 2)), fans((8, 4, 5, 5)), fans((7,))
    ((2, 3), (100, 200), (7, 7))
    """
    if len(shape) < 2:
        return (math.prod(shape), math.prod(shape))
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


class Initializer(Recorded, ABC):
    """A callable of (shape, rng) that returns a float64 array of that shape."""

    @abstractmethod
    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Return the initial values of a parameter of this shape.

        Parameters
        ----------
        shape : tuple of int
            Of the parameter.
        rng : Generator
            The source of randomness.

        Returns
        -------
        array
            In float64.
        """


class Constant(Initializer):
    """All entries have the given value.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> Constant(1.5)((2,), np.random.default_rng(0))
    array([1.5, 1.5])
    """

    def __init__(self, value: float) -> None:
        self.value = finite_number(value, "Constant", "value")

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Return an array filled with the value."""
        return np.full(shape, self.value)


class Zeros(Initializer):
    """All entries are 0."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Return an array of zeros."""
        return np.zeros(shape)


class Uniform(Initializer):
    """Uniform on [low, high).

    Parameters
    ----------
    low, high : float
        Of low <= high.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = finite_number(low, "Uniform", "low"), finite_number(high, "Uniform", "high")
        if low > high:
            raise ValueError(f"Uniform: expected low <= high, got low={low}, high={high}")

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Draw from [low, high)."""
        return rng.uniform(self.low, self.high, shape)


class Normal(Initializer):
    """Normal with the given standard deviation and mean.

    Parameters
    ----------
    deviation, mean : float
    """

    def __init__(self, deviation: float, mean: float = 0.0) -> None:
        self.deviation = finite_number(deviation, "Normal", "deviation", low=0)
        self.mean = finite_number(mean, "Normal", "mean")

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Draw from the normal distribution."""
        return rng.normal(self.mean, self.deviation, shape)


class GlorotUniform(Initializer):
    """Uniform on ±sqrt(6 / (fan_in + fan_out)); preserves variance in both passes (Glorot and Bengio 2010, eq. 16)."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Draw from ±sqrt(6 / (fan_in + fan_out))."""
        bound = math.sqrt(6 / sum(fans(shape)))
        return rng.uniform(-bound, bound, shape)


class GlorotNormal(Initializer):
    """Normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12)."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Draw with variance 2 / (fan_in + fan_out)."""
        return rng.normal(0.0, math.sqrt(2 / sum(fans(shape))), shape)


class HeUniform(Initializer):
    """Uniform on ±sqrt(6 / fan_in), for layers below a ReLU (He et al. 2015, eq. 10)."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Draw from ±sqrt(6 / fan_in)."""
        bound = math.sqrt(6 / fans(shape)[0])
        return rng.uniform(-bound, bound, shape)


class HeNormal(Initializer):
    """Normal of variance 2 / fan_in, for layers below a ReLU (He et al. 2015, eq. 10)."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Draw with variance 2 / fan_in."""
        return rng.normal(0.0, math.sqrt(2 / fans(shape)[0]), shape)


class LeCunNormal(Initializer):
    """Normal of variance 1 / fan_in (LeCun et al. 1998, Efficient BackProp, eq. 16)."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Draw with variance 1 / fan_in."""
        return rng.normal(0.0, math.sqrt(1 / fans(shape)[0]), shape)
