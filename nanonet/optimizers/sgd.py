"""SGD: gradient descent, with and without momentum."""

from __future__ import annotations

from typing import Any, Unpack

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.optimizers.optimizer import LearningRate, Optimizer, Settings, Step


class SGD(Optimizer):
    """Gradient descent with momentum m (Robbins and Monro 1951; Polyak 1964; Nesterov's as in Sutskever et al. 2013).

    ::

        v <- m v + g
        w <- w - learning_rate v                 or, with nesterov, w - learning_rate (g + m v)

    Without momentum w <- w - learning_rate g. As in PyTorch, v does not include the learning rate, and with
    ``dampening`` d it is m v + (1 - d) g from step 2 on.

    Parameters
    ----------
    learning_rate, **settings
        As for :class:`Optimizer`.
    momentum : float
        m; 0 for none.
    nesterov : bool
        Whether to look ahead; needs a momentum.
    dampening : float
        d, from 0 to 1; needs a momentum, and excludes nesterov.

    Examples
    --------
    >>> SGD(0.5, momentum=0.9)
    SGD(0.5, momentum=0.9)
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        dampening: float = 0.0,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        name = type(self).__name__
        self.momentum = finite_number(momentum, name, "momentum", low=0)
        self.nesterov = bool(nesterov)
        self.dampening = finite_number(dampening, name, "dampening", low=0, high=1)
        if nesterov and self.momentum == 0:
            raise ValueError(f"{name}: nesterov needs a momentum above 0")
        if self.dampening and (nesterov or self.momentum == 0):
            raise ValueError(f"{name}: dampening needs a momentum above 0, and no nesterov")

    def states(self) -> dict[str, float]:
        """Return the velocity, with momentum."""
        return {"velocity": 0.0} if self.momentum else {}

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        """Subtract learning_rate times the gradient, or the velocity, from w."""
        if not state:
            value -= step.learning_rate * grad
            return
        (velocity,) = state
        velocity *= self.momentum
        velocity += grad if not self.dampening or step.number == 1 else (1 - self.dampening) * grad
        value -= step.learning_rate * (grad + self.momentum * velocity if self.nesterov else velocity)

    @staticmethod
    def rule(w: Any, g: Any, *numbers: Any) -> tuple[Any, ...]:
        """Return the new w, and with momentum the new velocity."""
        if len(numbers) == 1:
            (rate,) = numbers
            return (w - rate * g,)
        velocity, momentum, along, ahead, rate = numbers[:5]
        if len(numbers) == 6:
            g = numbers[5] * g
        velocity = momentum * velocity + g
        return w - rate * (along * g + ahead * velocity), velocity

    def factors(self, step: Step) -> tuple[float, ...]:
        """Return the learning rate; with momentum after m and the shares of g and v, and before that of a damped g."""
        if not self.momentum:
            return (step.learning_rate,)
        along, ahead = (1.0, self.momentum) if self.nesterov else (0.0, 1.0)
        damped = (1.0 if step.number == 1 else 1 - self.dampening,) if self.dampening else ()
        return self.momentum, along, ahead, step.learning_rate, *damped

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return the bounds on w and on the velocity."""
        if not state:
            return value + step.learning_rate * grad, []
        velocity = self.momentum * state[0] + grad
        return value + step.learning_rate * (grad + self.momentum * velocity), [velocity]
