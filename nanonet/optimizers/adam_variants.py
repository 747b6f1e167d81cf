"""Adamax, NAdam and RAdam: Adam's running sums, and another step made of them."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from nanonet.core.checks import finite_number
from nanonet.optimizers.optimizer import LearningRate, Optimizer, Settings, Step
from nanonet.optimizers.settings import expect_betas, quotient


class Adamax(Optimizer):
    """The mean of gradients over their discounted maximum (Kingma and Ba 2015, algorithm 2), as in PyTorch.

    ::

        m <- b1 m + g                            u <- max(b2 u, |g| + epsilon)
        w <- w - learning_rate (m / c1) / u      c1 = 1 + b1 + ... + b1^(t-1)

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    betas : (float, float)
        b1 and b2, each from 0 to below 1.
    epsilon : float
        Keeps the divisor above 0.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 2e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self.betas = expect_betas(betas, type(self).__name__)
        self.epsilon = finite_number(epsilon, type(self).__name__, "epsilon", low=0)

    def states(self) -> dict[str, float]:
        """Return the discounted sum of g and the discounted maximum of its absolute values."""
        return {"sum": 0.0, "largest": 0.0}

    @staticmethod
    def rule(
        w: Any, g: Any, total: Any, largest: Any, b1: float, b2: float, epsilon: float, rate: float
    ) -> tuple[Any, ...]:
        """Return the new w, sum and maximum."""
        total = b1 * total + g
        largest = np.maximum(b2 * largest, np.abs(g) + epsilon)
        return w - rate * (total / largest), total, largest

    def factors(self, step: Step) -> tuple[float, float, float, float]:
        """Return b1, b2, epsilon, and the learning rate over c1."""
        (b1, b2), number = self.betas, step.number
        return b1, b2, self.epsilon, step.learning_rate * (1 - b1) / (1 - b1**number)

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w, on the sum and on the maximum."""
        b1, b2, epsilon, rate = self.factors(step)
        total, largest = b1 * state[0] + grad, max(b2 * state[1], grad + epsilon)
        return value + quotient(rate * total, epsilon), [total, largest]


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, which grows from step to step (Dozat 2016), as in PyTorch.

    ::

        m <- b1 m + g                            s <- b2 s + g^2
        n = (1 - mu) g / (1 - P) + (1 - b1) mu' m / (1 - P mu')
        w <- w - learning_rate n / (sqrt(s / c2) + epsilon)              c2 = 1 + b2 + ... + b2^(t-1)

    with mu = b1 (1 - 0.96^(t momentum_decay) / 2) of step t, mu' that of step t + 1, and P the product of all up to mu.

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    betas : (float, float)
        b1 and b2, each from 0 to below 1.
    epsilon : float
        Keeps the divisor above 0.
    momentum_decay : float
        How fast the momentum grows, 0 or more.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 2e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        momentum_decay: float = 4e-3,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        self.betas = expect_betas(betas, name)
        self.epsilon = finite_number(epsilon, name, "epsilon", low=0)
        self.momentum_decay = finite_number(momentum_decay, name, "momentum_decay", low=0)
        self._product = 0, 1.0  # P of the step that was asked for last

    def states(self) -> dict[str, float]:
        """Return the discounted sums of g and of g^2."""
        return {"sum": 0.0, "square_sum": 0.0}

    @staticmethod
    def rule(w: Any, g: Any, total: Any, square_total: Any, *factors: float) -> tuple[Any, ...]:
        """Return the new w and sums."""
        b1, b2, epsilon, along, ahead = factors
        total = b1 * total + g
        square_total = b2 * square_total + g * g
        return w - (along * g + ahead * total) / (np.sqrt(square_total) + epsilon), total, square_total

    def factors(self, step: Step) -> tuple[float, ...]:
        """Return b1, b2, epsilon sqrt(c2), and the shares of g and m in the step, times sqrt(c2)."""
        (b1, b2), number = self.betas, step.number
        root = math.sqrt((1 - b2**number) / (1 - b2))
        now, then, product = self._momentum(number), self._momentum(number + 1), self.product(number)
        along, ahead = (1 - now) / (1 - product), (1 - b1) * then / (1 - product * then)
        rate = step.learning_rate * root
        return b1, b2, self.epsilon * root, rate * along, rate * ahead

    def _momentum(self, number: int) -> float:
        return self.betas[0] * (1 - 0.5 * math.pow(0.96, number * self.momentum_decay))

    def product(self, number: int) -> float:
        """Return P of a step: a function of its number alone, of which the last result is kept to go on from."""
        last, product = self._product
        if last > number:
            last, product = 0, 1.0
        while last < number and product:
            last += 1
            product *= self._momentum(last)
        self._product = number, product  # one assignment, since threads may share the rule
        return product

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w and on the sums."""
        b1, b2, epsilon, along, ahead = self.factors(step)
        total, square_total = b1 * state[0] + grad, b2 * state[1] + grad * grad
        return value + quotient(along * grad + ahead * total, epsilon), [total, square_total]


class RAdam(Optimizer):
    """Adam that waits with the root mean square until it is an average of enough (Liu et al. 2020), as in PyTorch.

    ::

        m <- b1 m + g                            s <- b2 s + g^2
        w <- w - learning_rate (m / c1) r sqrt(1 - b2^t) / (sqrt((1 - b2) s) + epsilon)    where p > 5
        w <- w - learning_rate (m / c1)                                                    elsewhere

    with c1 = 1 + b1 + ... + b1^(t-1), q = 2 / (1 - b2) - 1, p = q - 2 t b2^t / (1 - b2^t), and
    r^2 = (p - 4) (p - 2) q / ((q - 4) (q - 2) p).

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    betas : (float, float)
        b1 and b2, each from 0 to below 1.
    epsilon : float
        Keeps the divisor above 0.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self.betas = expect_betas(betas, type(self).__name__)
        self.epsilon = finite_number(epsilon, type(self).__name__, "epsilon", low=0)

    def states(self) -> dict[str, float]:
        """Return the discounted sums of g and of g^2."""
        return {"sum": 0.0, "square_sum": 0.0}

    @staticmethod
    def rule(w: Any, g: Any, total: Any, square_total: Any, *factors: float) -> tuple[Any, ...]:
        """Return the new w and sums."""
        b1, b2, slope, level, rate = factors
        total = b1 * total + g
        square_total = b2 * square_total + g * g
        return w - rate * (total / (slope * np.sqrt(square_total) + level)), total, square_total

    def factors(self, step: Step) -> tuple[float, ...]:
        """Return b1, b2, the factor on sqrt(s) in the divisor and what is added to it, and the rate over c1 times r."""
        (b1, b2), number = self.betas, step.number
        rate, past = step.learning_rate * (1 - b1) / (1 - b1**number), b2**number
        most = 2 / (1 - b2) - 1
        length = most - 2 * number * past / (1 - past)
        if length <= 5:
            return b1, b2, 0.0, 1.0, rate
        rectified = math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
        return b1, b2, math.sqrt(1 - b2), self.epsilon, rate * rectified * math.sqrt(1 - past)

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w and on the sums."""
        b1, b2, _, level, rate = self.factors(step)
        total, square_total = b1 * state[0] + grad, b2 * state[1] + grad * grad
        return value + quotient(rate * total, level), [total, square_total]
