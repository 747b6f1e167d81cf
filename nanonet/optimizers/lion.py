"""Lion: steps of one size, by the sign of a mean of gradients."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from nanonet.optimizers.optimizer import LearningRate, Optimizer, Settings, Step
from nanonet.optimizers.settings import expect_betas


class Lion(Optimizer):
    """Steps of the learning rate, against the sign of a mean of gradients (Chen et al. 2023, algorithm 2).

    ::

        w <- w - learning_rate sign(b1 m + (1 - b1) g)
        m <- b2 m + (1 - b2) g

    Weight decay is decoupled, as in the paper, which takes a learning rate 3 to 10 times smaller than AdamW's and a
    ``weight_decay`` as many times larger.

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    betas : (float, float)
        b1 and b2, each from 0 to below 1.
    """

    decay_is_decoupled = True

    def __init__(
        self,
        learning_rate: LearningRate = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self.betas = expect_betas(betas, type(self).__name__)

    def states(self) -> dict[str, float]:
        """Return the mean."""
        return {"mean": 0.0}

    @staticmethod
    def rule(
        w: Any, g: Any, mean: Any, near: float, new: float, far: float, rest: float, rate: float
    ) -> tuple[Any, ...]:
        """Return the new w and mean."""
        return w - rate * np.sign(near * mean + new * g), far * mean + rest * g

    def factors(self, step: Step) -> tuple[float, ...]:
        """Return b1, 1 - b1, b2, 1 - b2 and the learning rate."""
        near, far = self.betas
        return near, 1 - near, far, 1 - far, step.learning_rate

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w and on the mean."""
        return value + step.learning_rate, [max(state[0], grad)]
