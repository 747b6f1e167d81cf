"""Adagrad and RMSprop: step sizes scaled by past gradients."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.optimizers.optimizer import LearningRate, Optimizer, Settings, Step
from nanonet.optimizers.settings import quotient


class Adagrad(Optimizer):
    """Per-entry learning rates that decrease with accumulated squared gradients (Duchi et al. 2011), as in PyTorch.

    ::

        s <- s + g^2
        w <- w - learning_rate g / (sqrt(s) + epsilon)

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    epsilon : float
        Keeps the divisor above 0.
    """

    def __init__(
        self, learning_rate: LearningRate = 1e-2, *, epsilon: float = 1e-10, **settings: Unpack[Settings]
    ) -> None:
        super().__init__(learning_rate, **settings)
        self.epsilon = finite_number(epsilon, type(self).__name__, "epsilon", low=0)

    def states(self) -> dict[str, float]:
        """Return the sum of squares."""
        return {"square_sum": 0.0}

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
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        smoothing: float = 0.99,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        self.smoothing = finite_number(smoothing, name, "smoothing", low=0, high=1, open_high=True)
        self.epsilon = finite_number(epsilon, name, "epsilon", low=0)
        self.momentum = finite_number(momentum, name, "momentum", low=0)

    def states(self) -> dict[str, float]:
        """Return the mean square and, with momentum, the velocity."""
        return {"mean_square": 0.0} | ({"velocity": 0.0} if self.momentum else {})

    def update(self, value: Array, grad: Array, step: Step, mean_square: Array, *velocity: Array) -> None:
        """Divide the step by the root mean square."""
        mean_square *= self.smoothing
        mean_square += (1 - self.smoothing) * grad * grad
        scaled: Array = grad / (np.sqrt(mean_square) + self.epsilon)
        if velocity:
            velocity[0][:] = self.momentum * velocity[0] + scaled
            scaled = velocity[0]
        value -= step.learning_rate * scaled

    @staticmethod
    def rule(w: Any, g: Any, mean_square: Any, *numbers: Any) -> tuple[Any, ...]:
        """Return the new w and mean square and, with momentum, the new velocity."""
        smoothing, rest, epsilon, momentum, rate = numbers[-5:]
        mean_square = smoothing * mean_square + rest * (g * g)
        scaled = g / (np.sqrt(mean_square) + epsilon)
        if len(numbers) == 5:
            return w - rate * scaled, mean_square
        velocity = momentum * numbers[0] + scaled
        return w - rate * velocity, mean_square, velocity

    def factors(self, step: Step) -> tuple[float, ...]:
        """Return a, 1 - a, epsilon, m and the learning rate."""
        return self.smoothing, 1 - self.smoothing, self.epsilon, self.momentum, step.learning_rate

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w, on the mean square and on the velocity."""
        mean_square, *velocity = state
        scaled = quotient(grad, self.epsilon) + self.momentum * sum(velocity)
        return value + step.learning_rate * scaled, [max(mean_square, grad * grad)] + [scaled] * len(velocity)
