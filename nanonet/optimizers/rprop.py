"""Rprop: updates by the sign of the gradient only, for full batches."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.optimizers.optimizer import LearningRate, Optimizer, Settings, Step
from nanonet.optimizers.settings import expect_pair


class Rprop(Optimizer):
    """Updates by the sign of the gradient only, for full batches (Riedmiller and Braun 1993), as in PyTorch.

    Each entry has a step size d, initially the learning rate of step 0 (later rates of a schedule are not used). It
    grows while the sign of the gradient stays the same and shrinks when it changes::

        d <- clip(d up, least, most) where g g' > 0;  clip(d down, least, most) and g <- 0 where g g' < 0
        w <- w - d sign(g);  g' <- g

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    factors : (float, float)
        down and up.
    sizes : (float, float)
        least and most, the bounds of d.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        factors: tuple[float, float] = (0.5, 1.2),
        sizes: tuple[float, float] = (1e-6, 50.0),
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        if self.rates:
            raise ValueError(f"{name}: rates would change nothing, since each entry has a step size of its own")
        for setting, pair in (("factors", factors), ("sizes", sizes)):
            expect_pair(pair, name, setting)
        self.down = finite_number(factors[0], name, "the first factor", low=0, high=1, open_high=True)
        self.up = finite_number(factors[1], name, "the second factor", low=1)
        self.least = finite_number(sizes[0], name, "the least size", low=0)
        self.most = finite_number(sizes[1], name, "the largest size", low=self.least)

    def states(self) -> dict[str, float]:
        """Return the previous gradient and the step size."""
        return {"previous": 0.0, "size": self.rate(0)}

    def update(self, value: Array, grad: Array, step: Step, previous: Array, size: Array) -> None:
        """Step by the step size, against the sign of the gradient."""
        agreement = np.sign(grad) * np.sign(previous)
        size *= np.where(agreement > 0, self.up, np.where(agreement < 0, self.down, 1.0)).astype(size.dtype)
        np.clip(size, self.least, self.most, out=size)
        previous[:] = np.where(agreement < 0, 0, grad)
        value -= size * np.sign(previous)

    @staticmethod
    def rule(
        w: Any, g: Any, previous: Any, size: Any, down: float, up: float, least: float, most: float
    ) -> tuple[Any, ...]:
        """Return the new w, previous gradient and step size."""
        agreement = np.sign(g) * np.sign(previous)
        if agreement > 0:
            size = up * size
        if agreement < 0:
            size, g = down * size, 0 * g
        size = min(max(size, least), most)
        return w - size * np.sign(g), g, size

    def factors(self, step: Step) -> tuple[float, float, float, float]:
        """Return the two factors and the limits of the step size."""
        return self.down, self.up, self.least, self.most

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w, on the previous gradient and on the step size."""
        size = max(state[1], self.most)
        return value + size, [max(state[0], grad), size]
