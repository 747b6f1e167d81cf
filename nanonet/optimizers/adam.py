"""Adam and AdamW: the running mean of the gradient over its root mean square."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number, true_or_false
from nanonet.optimizers.optimizer import LearningRate, Optimizer, Settings, Step
from nanonet.optimizers.settings import expect_betas, quotient


class Adam(Optimizer):
    """The exponentially weighted mean of gradients over their root mean square (Kingma and Ba 2015, algorithm 1).

    ::

        m <- b1 m + g                            s <- b2 s + g^2
        w <- w - learning_rate (m / c1) / (sqrt(s / c2) + epsilon)       c = 1 + b + ... + b^(t-1)

    m and s are discounted sums; m / c1 and s / c2 are the paper's bias-corrected means, which it computes from
    (1 - b) m and (1 - b) s. With ``amsgrad`` the largest s so far takes the place of s, so that the step sizes never
    grow again (Reddi et al. 2018), as in PyTorch.

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    betas : (float, float)
        b1 and b2, each from 0 to below 1.
    epsilon : float
        Keeps the divisor above 0.
    amsgrad : bool
        Whether s is the largest so far.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        amsgrad: bool = False,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        self.betas = expect_betas(betas, name)
        self.epsilon = finite_number(epsilon, name, "epsilon", low=0)
        self.amsgrad = true_or_false(amsgrad, name, "amsgrad")

    def states(self) -> dict[str, float]:
        """Return the discounted sums of g and of g^2 and, with amsgrad, the largest of the latter so far."""
        return {"sum": 0.0, "square_sum": 0.0} | ({"largest_square_sum": 0.0} if self.amsgrad else {})

    def update(self, value: Array, grad: Array, step: Step, total: Array, square_total: Array, *largest: Array) -> None:
        """Step by the mean over the root mean square; one array, small enough for the cache, holds all intermediates.

        sqrt(c2) is moved into epsilon and the rate, which saves a pass.
        """
        b1, b2, epsilon, rate = self.factors(step)

        total *= b1
        total += grad

        between = grad * grad
        square_total *= b2
        square_total += between
        if largest:
            square_total = np.maximum(largest[0], square_total, out=largest[0])

        np.sqrt(square_total, out=between)
        between += epsilon
        np.divide(total, between, out=between)
        between *= rate
        value -= between

    @staticmethod
    def rule(w: Any, g: Any, total: Any, square_total: Any, *numbers: Any) -> tuple[Any, ...]:
        """Return the new w and sums and, with amsgrad, the largest."""
        b1, b2, epsilon, rate = numbers[-4:]
        total = b1 * total + g
        square_total = b2 * square_total + g * g
        if len(numbers) == 4:
            return w - rate * (total / (np.sqrt(square_total) + epsilon)), total, square_total
        largest = np.maximum(numbers[0], square_total)
        return w - rate * (total / (np.sqrt(largest) + epsilon)), total, square_total, largest

    def factors(self, step: Step) -> tuple[float, float, float, float]:
        """Return b1, b2, epsilon sqrt(c2), and the learning rate times sqrt(c2) / c1."""
        (b1, b2), number = self.betas, step.number
        c1, root = (1 - b1**number) / (1 - b1), math.sqrt((1 - b2**number) / (1 - b2))
        return b1, b2, self.epsilon * root, step.learning_rate * root / c1

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w and on the sums."""
        b1, b2, epsilon, rate = self.factors(step)
        total, square_total = b1 * state[0] + grad, b2 * state[1] + grad * grad
        largest = [max(most, square_total) for most in state[2:]]
        return value + quotient(rate * total, epsilon), [total, square_total, *largest]


class AdamW(Adam):
    """Adam with decoupled weight decay: each step begins with w <- (1 - learning_rate weight_decay) w.

    Loshchilov and Hutter 2019, algorithm 2, in PyTorch's form. The default ``weight_decay`` is 0.01.

    Parameters
    ----------
    learning_rate, betas, epsilon, amsgrad, **settings
        As for :class:`Adam` and :class:`Optimizer`.
    """

    decay_is_decoupled = True

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        amsgrad: bool = False,
        **settings: Unpack[Settings],
    ) -> None:
        settings.setdefault("weight_decay", 1e-2)
        super().__init__(learning_rate, betas=betas, epsilon=epsilon, amsgrad=amsgrad, **settings)
