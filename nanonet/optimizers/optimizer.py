"""Optimizer: the update rule that moves parameters along their gradients, written once for flat arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number, true_or_false
from nanonet.core.errors import ContractError
from nanonet.core.objects import Extensible, obey_override
from nanonet.core.parameter import Parameter
from nanonet.optimizers.factors import Factors, expect_factors

LearningRate = float | Callable[[int], float]


class Step(NamedTuple):
    """One step of training.

    Attributes
    ----------
    number : int
        Counted from 1.
    learning_rate : float
        The rate of this step; a Python float, so that a float32 model stays float32.
    """

    number: int
    learning_rate: float


class Settings(TypedDict, total=False):
    """Settings common to all optimizers; see :class:`Optimizer`."""

    weight_decay: float
    decoupled: bool
    decays: Factors
    rates: Factors
    clip_norm: float | None
    clip_value: float | None
    maximize: bool


class Optimizer(Extensible):
    """An update rule that moves parameters against their gradient. It holds only settings; a Trainer holds its state.

    Write ``update`` for flat arrays, changing ``value`` and the state in place, and name the state vectors in
    ``states``. The model's vector is passed in blocks, so the rule must be elementwise:

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

    Or write the same as a ``rule`` for one entry, with ``factors`` for what step and settings give. A trainer with
    ``fast=True`` compiles it into one pass over the vector; any other calls it with arrays, unless there is an
    ``update`` too:

    >>> class Momentum(Optimizer):
    ...     '''v <- 0.9 v + g; w <- w - learning_rate v (Polyak 1964).'''
    ...
    ...     def states(self) -> dict[str, float]:
    ...         return {"velocity": 0.0}
    ...
    ...     @staticmethod
    ...     def rule(w, g, velocity, momentum, rate):
    ...         velocity = momentum * velocity + g
    ...         return w - rate * velocity, velocity
    ...
    ...     def factors(self, step: Step) -> tuple[float, ...]:
    ...         return 0.9, step.learning_rate

    Parameters
    ----------
    learning_rate : float or callable
        0 or more; or a schedule: any callable of the step, counted from 0.
    weight_decay : float
        Adds weight_decay * w to the gradient, after clipping.
    decoupled : bool
        Whether each step begins with w <- (1 - learning_rate weight_decay) w instead, which the rule does not see
        (Loshchilov and Hutter 2019). Default: the class's ``decay_is_decoupled``, True for AdamW and Lion.
    decays : mapping or callable, optional
        Factors on weight_decay by parameter: a table from patterns of names, such as ``{"*.bias": 0}``, whose first
        match counts; or a callable of (name, parameter) that returns the factor, or whether it decays. Default: 1.
        ``nanonet.weights_only`` excludes biases and norms.
    rates : mapping or callable, optional
        Factors on the learning rate by parameter, in the same two forms: ``{"0.*": 0.1}``. Default: 1.
    clip_norm : float, optional
        Upper bound on the norm of all gradients together; they are scaled down to it.
    clip_value : float, optional
        Every entry of the gradient is clipped to ± this.
    maximize : bool
        Whether to move along the gradient, up the loss.
    """

    decay_is_decoupled: bool = False
    """Whether weight decay is applied to the parameters directly, not through the gradient; see ``decoupled``."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Reset what a class inherits that would contradict what it overrides: the latest of update and rule counts."""
        super().__init_subclass__(**keywords)
        if cls.update is not Optimizer.update:
            obey_override(cls, Optimizer, chosen=("update",), dependent=("bounds", "rule"))
        if cls.rule is not Optimizer.rule:
            obey_override(cls, Optimizer, chosen=("rule", "factors"), dependent=("bounds", "update"))

    def __init__(self, learning_rate: LearningRate, **settings: Unpack[Settings]) -> None:
        name = type(self).__name__
        unknown = settings.keys() - Settings.__annotations__.keys()
        if unknown:
            raise TypeError(f"{name}: unexpected setting {', '.join(sorted(unknown))}")
        if type(self).update is Optimizer.update and not self.states_rule():
            raise TypeError(f"{name}: expected a subclass of Optimizer that overrides update, or rule")
        self.learning_rate = learning_rate
        self.weight_decay = finite_number(settings.get("weight_decay", 0.0), name, "weight_decay", low=0)
        if "decoupled" in settings:
            self.decay_is_decoupled = true_or_false(settings["decoupled"], name, "decoupled")
        self.decays: Factors = expect_factors(settings["decays"], name, "decays") if "decays" in settings else {}
        self.rates: Factors = expect_factors(settings["rates"], name, "rates") if "rates" in settings else {}
        self.clip_norm = _limit(settings.get("clip_norm"), name, "clip_norm")
        self.clip_value = _limit(settings.get("clip_value"), name, "clip_value")
        self.maximize = true_or_false(settings.get("maximize", False), name, "maximize")

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

        Parameters
        ----------
        step : int

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If a schedule returns a negative or non-finite number; the message names the step.
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
        """Return the names of the state vectors and the initial value of each.

        Returns
        -------
        dict of float
        """
        return {}

    # `*state: Any, **nothing: Any` lets a subclass name its state vectors: update(self, value, grad, step, velocity).
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        """Update value and the state vectors, in the order of ``states``, in place; do not change grad.

        Default: by ``rule``, with arrays in the place of numbers.

        Parameters
        ----------
        value, grad : array
            Parameters and their gradients: a block of the model's vector.
        step : Step
            Its number and learning rate.
        *state : array
            The state vectors of the block.
        """
        for array, numbers in zip((value, *state), self.by_rule(value, grad, step, state), strict=True):
            array[:] = numbers

    @staticmethod
    def rule(*numbers: Any, **nothing: Any) -> tuple[Any, ...]:
        """Return the new w and states for one entry of the vector: ``rule(w, g, *states, *factors)``.

        All are numbers of the model's dtype. Arithmetic and NumPy's functions of one number, such as ``np.sqrt``, serve
        for arrays as well. A rule with ``if``, ``min`` or ``max`` does not, and needs an ``update`` beside it; the
        compiled ``np.where`` would be slow.

        Parameters
        ----------
        *numbers : float
            w, g, the states and the factors.

        Returns
        -------
        tuple of float
            The new w and states.

        Raises
        ------
        NotImplementedError
            If the class has no rule.
        """
        raise NotImplementedError

    def factors(self, step: Step) -> tuple[float, ...]:
        """Return the last arguments of ``rule``, the same for all entries. Default: the learning rate.

        Parameters
        ----------
        step : Step

        Returns
        -------
        tuple of float
        """
        return (step.learning_rate,)

    def states_rule(self) -> bool:
        """Return whether ``rule`` says what ``update`` does."""
        return type(self).rule is not Optimizer.rule

    def by_rule(self, w: Any, g: Any, step: Step, states: Sequence[Any]) -> tuple[Any, ...]:
        """Return the result of ``rule``, checking that it has one entry for w and one for each state."""
        factors = self.factors(step)
        try:
            new: object = type(self).rule(w, g, *states, *factors)
        except TypeError as error:
            if "positional argument" not in str(error):
                raise
            names = ", ".join(["w", "g", *self.states()])
            raise ContractError(
                f"{self}: rule must take {names} and what factors returns, {len(factors)} in all; {error}"
            ) from None
        except ValueError as error:
            if "truth value" not in str(error):
                raise
            raise ContractError(
                f"{self}: rule decides by if, min or max, and so takes no arrays; write an update beside it"
            ) from None
        if not isinstance(new, tuple) or len(new) != 1 + len(states):
            entries = ", ".join(["w", *self.states()]) + ("" if states else ",")
            got = f"{len(new)} entries" if isinstance(new, tuple) else type(new).__name__
            raise ContractError(f"{self}: expected rule to return the new numbers as a tuple, ({entries}), got {got}")
        return new

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return upper bounds on the absolute values in value and in each state vector after ``update``.

        The arguments are such bounds before the update, and one for the gradient. A finite bound saves every step the
        backup from which it would be undone after an overflow. They must not shrink when the learning rate grows, since
        that of ``step`` is the largest of all parameters. Default: infinity, nothing is known.

        Parameters
        ----------
        value, grad : float
        state : list of float
        step : Step

        Returns
        -------
        value : float
        state : list of float
        """
        return math.inf, []

    def scale(self, norm: Callable[[], float]) -> float:
        """Return the factor that reduces the norm of the gradients to at most clip_norm, below 0 to maximize."""
        scale = 1.0 if self.clip_norm is None else min(1.0, self.clip_norm / (norm() + 1e-6))
        return -scale if self.maximize else scale

    def reach(
        self, value: float, state: list[float], grad: float, step: Step, decays: float = 1.0
    ) -> tuple[float, list[float]]:
        """Return ``bounds`` including weight decay, of which decays is the largest factor.

        Clipping only makes the gradient smaller.
        """
        if self.weight_decay and self.decay_is_decoupled:
            value *= max(1.0, step.learning_rate * self.weight_decay * decays - 1)
        elif self.weight_decay:
            grad += self.weight_decay * decays * value
        return self.bounds(value, state, grad, step)

    def apply(
        self, value: Array, grad: Array, step: Step, state: list[Array], scale: float, decays: float | Array
    ) -> None:
        """Scale and clip the gradient, apply weight decay times the factors decays, and update a block."""
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


def weights_only(name: str, parameter: Parameter) -> bool:
    """Return whether a parameter has two axes or more: biases and the gains of norms do not decay.

    Parameters
    ----------
    name : str
        Of the parameter, such as "0.weight".
    parameter : Parameter

    Returns
    -------
    bool

    Examples
    --------
    >>> from nanonet import SGD, weights_only
    >>> SGD(0.1, weight_decay=1e-4, decays=weights_only).weight_decay
    0.0001
    """
    return len(parameter.shape) > 1


def _limit(limit: float | None, subject: str, name: str) -> float | None:
    if limit is not None and finite_number(limit, subject, name, low=0) == 0:
        raise ValueError(f"{subject}: expected {name} above 0, got 0, which would stop training")
    return None if limit is None else float(limit)
