"""Optimizer: the rule by which a gradient moves the parameters, written once for flat arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypedDict, Unpack

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.core.parameter import Parameter
from nanonet.core.repr import Recorded, obey_override, refuse_hiding

LearningRate = float | Callable[[int], float]


class Step(NamedTuple):
    """Which step of the training this is.

    Attributes
    ----------
    number : int
        Counted from 1.
    learning_rate : float
        After the schedule; a Python float, so that a float32 model stays float32.
    """

    number: int
    learning_rate: float


class Settings(TypedDict, total=False):
    """What every optimizer takes beside its own settings; see :class:`Optimizer`."""

    weight_decay: float
    decays: Callable[[str, Parameter], bool]
    clip_norm: float | None
    clip_value: float | None


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
    learning_rate : float or callable
        0 or more; or a schedule, any callable of the step, counted from 0.
    weight_decay : float
        Adds weight_decay * w to the gradient, after clipping.
    decays : callable, optional
        Of a parameter's name and the parameter: whether it decays; default: every one does.
        ``nanonet.weights_only`` leaves biases and norms out.
    clip_norm : float, optional
        Scales the gradients so that the norm of all of them together is at most this.
    clip_value : float, optional
        Holds every entry of the gradient within ± this.
    """

    decay_is_decoupled: ClassVar[bool] = False
    """Whether weight decay shrinks the parameters by themselves, past the rule."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """See to it that a class that overrides ``update`` does not keep its parent's ``bounds``."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Optimizer, chosen=("update",), dependent=("bounds",))

    def __init__(self, learning_rate: LearningRate, **settings: Unpack[Settings]) -> None:
        name = type(self).__name__
        unknown = settings.keys() - Settings.__annotations__.keys()
        if unknown:
            raise TypeError(f"{name}: unexpected setting {', '.join(sorted(unknown))}")
        self.learning_rate = learning_rate
        self.weight_decay = finite_number(settings.get("weight_decay", 0.0), name, "weight_decay", low=0)
        self.decays = settings.get("decays", _always)
        if not callable(self.decays):
            raise TypeError(f"{name}: expected decays as a callable of (name, parameter), got {self.decays!r}")
        self.clip_norm = _limit(settings.get("clip_norm"), name, "clip_norm")
        self.clip_value = _limit(settings.get("clip_value"), name, "clip_value")

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__dict__:
            refuse_hiding(self, name)
        super().__setattr__(name, value)

    @property
    def learning_rate(self) -> LearningRate:
        """The learning rate, or its schedule; may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: LearningRate) -> None:
        self._learning_rate = (
            rate if callable(rate) else finite_number(rate, type(self).__name__, "learning_rate", low=0)
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        Raises
        ------
        ValueError
            If a schedule returns a negative or non-finite number; it names the step.
        """
        rate = self._learning_rate
        if not callable(rate):
            return rate
        try:
            number = rate(step)
        except OverflowError:
            number = math.inf
        if type(number) is float and 0 <= number < math.inf:
            return number
        schedule = getattr(rate, "__name__", repr(rate))
        return finite_number(number, f"{type(self).__name__}: schedule {schedule} at step {step}", "rate", low=0)

    def states(self) -> dict[str, float]:
        """Return the names of the state vectors and the number that each starts from."""
        return {}

    # `*state: Any, **nothing: Any` lets a subclass name its state vectors: update(self, value, grad, step, velocity).
    @abstractmethod
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        """Change value, and the state vectors in the order of ``states``, in place; leave grad as it is."""

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return what no number exceeds in size after ``update``: in value, and in each state vector.

        Given is what none exceeds before it, and none of the gradient. A rule that knows this spares every step the
        copy from which it could be undone, should it overflow. By default nothing is known: infinity.
        """
        return math.inf, []

    def scale(self, norm: Callable[[], float]) -> float:
        """Return by what the gradients are multiplied so that their norm is at most clip_norm."""
        return 1.0 if self.clip_norm is None else min(1.0, self.clip_norm / (norm() + 1e-6))

    def reach(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return ``bounds`` with weight decay; clipping only makes the gradient smaller."""
        if self.weight_decay and self.decay_is_decoupled:
            value *= max(1.0, step.learning_rate * self.weight_decay - 1)
        elif self.weight_decay:
            grad += self.weight_decay * value
        return self.bounds(value, state, grad, step)

    def apply(
        self, value: Array, grad: Array, step: Step, state: list[Array], scale: float, decays: float | Array
    ) -> None:
        """Clip the gradient, let the weights decay where decays is 1, and update a block."""
        if scale != 1.0:
            grad = grad * scale
        if self.clip_value is not None:
            grad = np.clip(grad, -self.clip_value, self.clip_value)
        if self.weight_decay:
            decay = self.weight_decay * decays
            if self.decay_is_decoupled:
                value *= 1 - step.learning_rate * decay
            else:
                grad = grad + decay * value
        self.update(value, grad, step, *state)


def _always(name: str, parameter: Parameter) -> bool:
    return True


def weights_only(name: str, parameter: Parameter) -> bool:
    """Tell whether a parameter has two axes or more: biases and the gains of norms do not decay.

    Examples
    --------
    >>> from nanonet import SGD, weights_only
    >>> SGD(0.1, weight_decay=1e-4, decays=weights_only).weight_decay
    0.0001
    """
    return len(parameter.shape) > 1


def _limit(limit: float | None, subject: str, name: str) -> float | None:
    if limit is not None and finite_number(limit, subject, name, low=0) == 0:
        raise ValueError(f"{subject}: expected {name} above 0, got 0: nothing would move")
    return None if limit is None else float(limit)
