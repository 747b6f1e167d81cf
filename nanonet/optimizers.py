"""Optimizer: the rule by which a gradient moves the parameters, written once for flat arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypedDict, Unpack

import numpy as np

from nanonet.arrays import Array, finite_number
from nanonet.recorded import Recorded, obey_override
from nanonet.state import Parameter

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


def _quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.inf


def _expect_pair(pair: object, subject: str, name: str) -> None:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{subject}: expected {name} as two numbers, got {pair!r}")


class SGD(Optimizer):
    """Gradient descent, with momentum m (Robbins and Monro 1951; Polyak 1964; Sutskever et al. 2013 for Nesterov's).

    ::

        v <- m v + g
        w <- w - learning_rate v                 or, with nesterov, w - learning_rate (g + m v)

    Without momentum w <- w - learning_rate g. As in PyTorch, v holds no learning rate.

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
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(learning_rate, **settings)
        self.momentum = finite_number(momentum, type(self).__name__, "momentum", low=0)
        self.nesterov = bool(nesterov)
        if nesterov and self.momentum == 0:
            raise ValueError(f"{type(self).__name__}: nesterov needs a momentum above 0")

    def states(self) -> dict[str, float]:
        """Return the velocity, where there is momentum."""
        return {"velocity": 0.0} if self.momentum else {}

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        """Take learning_rate times gradient, or velocity, from w."""
        if not state:
            value -= step.learning_rate * grad
            return
        (velocity,) = state
        velocity *= self.momentum
        velocity += grad
        value -= step.learning_rate * (grad + self.momentum * velocity if self.nesterov else velocity)

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return those of w, and of the velocity."""
        if not state:
            return value + step.learning_rate * grad, []
        velocity = self.momentum * state[0] + grad
        return value + step.learning_rate * (grad + self.momentum * velocity), [velocity]


class Adagrad(Optimizer):
    """Rates that fall where gradients were large (Duchi et al. 2011), in PyTorch's form.

    ::

        s <- s + g^2
        w <- w - learning_rate g / (sqrt(s) + epsilon)
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

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return those of w, and of the sum of squares."""
        return value + _quotient(step.learning_rate * grad, self.epsilon), [state[0] + grad * grad]


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient (Tieleman and Hinton 2012), in PyTorch's form.

    ::

        s <- a s + (1 - a) g^2
        v <- m v + g / (sqrt(s) + epsilon)
        w <- w - learning_rate v
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
        """Return the mean square, and the velocity where there is momentum."""
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

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return those of w, of the mean square, and of the velocity."""
        mean_square, *velocity = state
        scaled = _quotient(grad, self.epsilon) + self.momentum * sum(velocity)
        return value + step.learning_rate * scaled, [max(mean_square, grad * grad)] + [scaled] * len(velocity)


class Adam(Optimizer):
    """The mean of the gradients over their root mean square, older ones counting less (Kingma and Ba 2015, alg. 1).

    ::

        m <- b1 m + g                            s <- b2 s + g^2
        w <- w - learning_rate (m / c1) / (sqrt(s / c2) + epsilon)       c = 1 + b + ... + b^(t-1)

    Kept are discounted sums, so that m / c1 and s / c2 are the means, freed of their start at 0, that the paper gets
    from (1 - b) m and (1 - b) s.
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
        name = type(self).__name__
        _expect_pair(betas, name, "betas")
        first, second = (finite_number(beta, name, "beta", low=0, high=1, open_high=True) for beta in betas)
        self.betas = first, second
        self.epsilon = finite_number(epsilon, name, "epsilon", low=0)

    def states(self) -> dict[str, float]:
        """Return the discounted sums of g and of g^2."""
        return {"sum": 0.0, "square_sum": 0.0}

    def update(self, value: Array, grad: Array, step: Step, total: Array, square_total: Array) -> None:
        """Step by the mean over the root mean square; one array holds all that is in between, and stays in the cache.

        The root of c2 goes over to epsilon and the rate, which spares a pass.
        """
        b1, b2 = self.betas
        root, rate = self._factors(step)

        total *= b1
        total += grad

        between = grad * grad
        square_total *= b2
        square_total += between

        np.sqrt(square_total, out=between)
        between += self.epsilon * root
        np.divide(total, between, out=between)
        between *= rate
        value -= between

    def _factors(self, step: Step) -> tuple[float, float]:
        """Return sqrt(c2), and the rate times sqrt(c2) / c1."""
        c1, c2 = ((1 - beta**step.number) / (1 - beta) for beta in self.betas)
        return math.sqrt(c2), step.learning_rate * math.sqrt(c2) / c1

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return those of w, and of the sums."""
        (b1, b2), (root, rate) = self.betas, self._factors(step)
        total, square_total = b1 * state[0] + grad, b2 * state[1] + grad * grad
        return value + _quotient(rate * total, self.epsilon * root), [total, square_total]


class AdamW(Adam):
    """Adam whose weight decay does not pass through the rule: w <- (1 - learning_rate decay) w first.

    Loshchilov and Hutter 2019, algorithm 2, in PyTorch's form. The decay is 0.01 unless ``weight_decay`` is given.
    """

    decay_is_decoupled = True

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        **settings: Unpack[Settings],
    ) -> None:
        settings.setdefault("weight_decay", 1e-2)
        super().__init__(learning_rate, betas=betas, epsilon=epsilon, **settings)


class Rprop(Optimizer):
    """Steps by the sign of the gradient alone, for full batches (Riedmiller and Braun 1993), in PyTorch's form.

    Each entry has a step size d, at first the learning rate of step 0 (a schedule is not asked again), which grows
    while the sign stays and shrinks when it turns::

        d <- clip(d up, least, most) where g g' > 0;  clip(d down, least, most) and g <- 0 where g g' < 0
        w <- w - d sign(g);  g' <- g
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
        for setting, pair in (("factors", factors), ("sizes", sizes)):
            _expect_pair(pair, name, setting)
        self.down = finite_number(factors[0], name, "the first factor", low=0, high=1, open_high=True)
        self.up = finite_number(factors[1], name, "the second factor", low=1)
        self.least = finite_number(sizes[0], name, "the least size", low=0)
        self.most = finite_number(sizes[1], name, "the largest size", low=self.least)

    def states(self) -> dict[str, float]:
        """Return the gradient of the step before, and the step size."""
        return {"previous": 0.0, "size": self.rate(0)}

    def update(self, value: Array, grad: Array, step: Step, previous: Array, size: Array) -> None:
        """Step by the size, against the sign."""
        agreement = np.sign(grad) * np.sign(previous)
        size *= np.where(agreement > 0, self.up, np.where(agreement < 0, self.down, 1.0)).astype(size.dtype)
        np.clip(size, self.least, self.most, out=size)
        previous[:] = np.where(agreement < 0, 0, grad)
        value -= size * np.sign(previous)

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        """Return those of w, of the gradient before, and of the size."""
        size = max(state[1], self.most)
        return value + size, [max(state[0], grad), size]
