"""Optimizer: the rule by which a gradient moves the parameters, written once for flat arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from nanonet.arrays import Array
from nanonet.recorded import Recorded


class Step(NamedTuple):
    """Which step of the training this is.

    Attributes
    ----------
    number : int
        Counted from 1.
    learning_rate : float
        A Python float, so that a float32 model stays float32.
    """

    number: int
    learning_rate: float


class Optimizer(Recorded, ABC):
    """A rule that moves parameters against their gradient. It holds settings alone; a Trainer holds its state.

    Write ``update`` for flat arrays, changing ``value`` and the state in place, and name the state vectors in
    ``states``. The model's vector comes in blocks, so a rule must not look beyond single entries:

    >>> from nanonet import Array, Optimizer, Step
    >>> class Momentum(Optimizer):
    ...     '''v <- 0.9 v + g; w <- w - learning_rate v (Polyak 1964).'''
    ...
    ...     def states(self) -> dict[str, float]:
    ...         return {"velocity": 0.0}
    ...
    ...     def update(self, value: Array, grad: Array, step: Step, velocity: Array) -> None:
    ...         velocity *= 0.9
    ...         velocity += grad
    ...         value -= step.learning_rate * velocity

    Parameters
    ----------
    learning_rate : float
        0 or more.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """The learning rate; may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        name = type(self).__name__
        if isinstance(rate, (bool, str)):
            raise TypeError(f"{name}: expected learning_rate as a number, got {rate!r}")
        try:
            number = float(rate)
        except (TypeError, ValueError):
            raise TypeError(f"{name}: expected learning_rate as a number, got {rate!r}") from None
        if not math.isfinite(number) or number < 0:
            raise ValueError(f"{name}: expected a finite learning_rate of 0 or more, got {rate}")
        self._learning_rate = number

    def states(self) -> dict[str, float]:
        """Return the names of the state vectors and the number that each starts from."""
        return {}

    # `*state: Any, **nothing: Any` lets a subclass name its state vectors: update(self, value, grad, step, velocity).
    @abstractmethod
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        """Change value, and the state vectors in the order of ``states``, in place; leave grad as it is."""


class SGD(Optimizer):
    """Gradient descent, w <- w - learning_rate g (Robbins and Monro 1951).

    Examples
    --------
    >>> SGD(0.5)
    SGD(0.5)
    """

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        """Take learning_rate g from w."""
        value -= step.learning_rate * grad
