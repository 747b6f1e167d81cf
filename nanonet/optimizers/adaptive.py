"""Adagrad, RMSprop and Adadelta: step sizes scaled by past gradients."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number, true_or_false
from nanonet.optimizers.optimizer import LearningRate, Optimizer, Settings, Step
from nanonet.optimizers.settings import quotient


class Adagrad(Optimizer):
    """Per-entry learning rates that decrease with accumulated squared gradients (Duchi et al. 2011), as in PyTorch.

    ::

        s <- s + g^2
        w <- w - learning_rate g / (sqrt(s) + epsilon)

    s begins with ``initial_sum``. For a rate that falls too, as by PyTorch's lr_decay, give an
    :class:`InverseTimeRate` as the learning rate.

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    epsilon : float
        Keeps the divisor above 0.
    initial_sum : float
        What s begins with, 0 or more.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        epsilon: float = 1e-10,
        initial_sum: float = 0.0,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        self.epsilon = finite_number(epsilon, name, "epsilon", low=0)
        self.initial_sum = finite_number(initial_sum, name, "initial_sum", low=0)

    def states(self) -> dict[str, float]:
        """Return the sum of squares."""
        return {"square_sum": self.initial_sum}

    def update(self, value: Array, grad: Array, step: Step, square_sum: Array) -> None:
        """Divide the step by the root of the sum of squares."""
        square_sum += grad * grad
        value -= step.learning_rate * grad / (np.sqrt(square_sum) + self.epsilon)

    @staticmethod
    def rule(w: Any, g: Any, square_sum: Any, epsilon: float, rate: float) -> tuple[Any, ...]:
        """Return the new w and sum of squares."""
        square_sum = square_sum + g * g
        return w - rate * g / (np.sqrt(square_sum) + epsilon), square_sum

    def factors(self, step: Step) -> tuple[float, float]:
        """Return epsilon and the learning rate."""
        return self.epsilon, step.learning_rate

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w and on the sum of squares."""
        return value + quotient(step.learning_rate * grad, self.epsilon), [state[0] + grad * grad]


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient (Tieleman and Hinton 2012), as in PyTorch.

    ::

        s <- a s + (1 - a) g^2
        v <- m v + g / (sqrt(s) + epsilon)
        w <- w - learning_rate v

    With ``centered`` the mean c <- a c + (1 - a) g is kept too, and s - c^2, an estimate of the variance, takes the
    place of s; where rounding makes it negative it is 0.

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    smoothing : float
        a, from 0 to below 1.
    epsilon : float
        Keeps the divisor above 0.
    momentum : float
        m; 0 for none.
    centered : bool
        Whether to divide by the standard deviation.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        smoothing: float = 0.99,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        self.smoothing = finite_number(smoothing, name, "smoothing", low=0, high=1, open_high=True)
        self.epsilon = finite_number(epsilon, name, "epsilon", low=0)
        self.momentum = finite_number(momentum, name, "momentum", low=0)
        self.centered = true_or_false(centered, name, "centered")

    def states(self) -> dict[str, float]:
        """Return the mean square, with centered the mean, and with momentum the velocity."""
        kept = {"mean": self.centered, "velocity": self.momentum}
        return {"mean_square": 0.0} | {name: 0.0 for name, setting in kept.items() if setting}

    def update(self, value: Array, grad: Array, step: Step, mean_square: Array, *others: Array) -> None:
        """Divide the step by the root mean square, or the deviation."""
        mean_square *= self.smoothing
        mean_square += (1 - self.smoothing) * grad * grad
        spread, velocity = mean_square, others[self.centered :]
        if self.centered:
            mean = others[0]
            mean *= self.smoothing
            mean += (1 - self.smoothing) * grad
            spread = np.maximum(mean_square - mean * mean, 0)
        scaled: Array = grad / (np.sqrt(spread) + self.epsilon)
        if velocity:
            velocity[0][:] = self.momentum * velocity[0] + scaled
            scaled = velocity[0]
        value -= step.learning_rate * scaled

    @staticmethod
    def rule(w: Any, g: Any, mean_square: Any, *numbers: Any) -> tuple[Any, ...]:
        """Return the new w and mean square and, where they are kept, the new mean and velocity."""
        smoothing, rest, epsilon, rate = numbers[-4:]
        mean_square = smoothing * mean_square + rest * (g * g)
        if len(numbers) == 4:
            return w - rate * (g / (np.sqrt(mean_square) + epsilon)), mean_square
        if len(numbers) == 6:  # the velocity and m
            velocity = numbers[1] * numbers[0] + g / (np.sqrt(mean_square) + epsilon)
            return w - rate * velocity, mean_square, velocity
        mean = smoothing * numbers[0] + rest * g
        scaled = g / (np.sqrt(np.maximum(mean_square - mean * mean, 0 * g)) + epsilon)
        if len(numbers) == 5:
            return w - rate * scaled, mean_square, mean
        velocity = numbers[2] * numbers[1] + scaled
        return w - rate * velocity, mean_square, mean, velocity

    def factors(self, step: Step) -> tuple[float, ...]:
        """Return a, 1 - a, epsilon and the learning rate, after m with momentum."""
        momentum = (self.momentum,) if self.momentum else ()
        return *momentum, self.smoothing, 1 - self.smoothing, self.epsilon, step.learning_rate

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w, on the mean square, on the mean and on the velocity."""
        mean_square, *others = state
        means = [max(mean_square, grad * grad)]
        if self.centered:
            means.append(max(others.pop(0), grad))
        scaled = quotient(grad, self.epsilon) + self.momentum * sum(others)
        return value + step.learning_rate * scaled, means + [scaled] * len(others)


class Adadelta(Optimizer):
    """Steps as large as the root mean square of past steps (Zeiler 2012, algorithm 1), as in PyTorch.

    ::

        s <- a s + (1 - a) g^2
        d <- g sqrt((u + epsilon) / (s + epsilon))
        u <- a u + (1 - a) d^2
        w <- w - learning_rate d

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    smoothing : float
        a, from 0 to below 1.
    epsilon : float
        Keeps the divisor above 0, and the first steps as well.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1.0,
        *,
        smoothing: float = 0.9,
        epsilon: float = 1e-6,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        self.smoothing = finite_number(smoothing, name, "smoothing", low=0, high=1, open_high=True)
        self.epsilon = finite_number(epsilon, name, "epsilon", low=0)

    def states(self) -> dict[str, float]:
        """Return the mean squares of gradients and of steps."""
        return {"mean_square": 0.0, "mean_square_step": 0.0}

    @staticmethod
    def rule(
        w: Any, g: Any, square: Any, step_square: Any, smoothing: float, rest: float, epsilon: float, rate: float
    ) -> tuple[Any, ...]:
        """Return the new w and mean squares."""
        square = smoothing * square + rest * g * g
        change = g * np.sqrt((step_square + epsilon) / (square + epsilon))
        return w - rate * change, square, smoothing * step_square + rest * change * change

    def factors(self, step: Step) -> tuple[float, float, float, float]:
        """Return a, 1 - a, epsilon and the learning rate."""
        return self.smoothing, 1 - self.smoothing, self.epsilon, step.learning_rate

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w and on the mean squares."""
        square, step_square = state
        change = quotient(grad * math.sqrt(step_square + self.epsilon), math.sqrt(self.epsilon))
        return value + step.learning_rate * change, [max(square, grad * grad), max(step_square, change * change)]
