"""Schedules: learning rates as functions of the step, counted from 0; any callable of the step will do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping

from nanonet.core.checks import finite_number, positive_int
from nanonet.core.objects import Recorded


class Schedule(Recorded, ABC):
    """A learning rate as a function of the step, with a repr. A plain function may be used instead.

    Examples
    --------
    >>> from nanonet import SGD, CosineRate
    >>> SGD(CosineRate(0.1, 100)).rate(50)
    0.05
    """

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0.

        Parameters
        ----------
        step : int

        Returns
        -------
        float
        """


def _rate(rate: float, owner: object, name: str = "rate") -> float:
    return finite_number(rate, type(owner).__name__, name, low=0)


class StepRate(Schedule):
    """rate * factor^(step // every).

    Parameters
    ----------
    rate : float
        Of the first steps.
    every : int
        Number of steps between two reductions.
    factor : float

    Examples
    --------
    >>> schedule = StepRate(0.1, every=10, factor=0.5)
    >>> schedule(9), schedule(10)
    (0.1, 0.05)
    """

    def __init__(self, rate: float, *, every: int, factor: float = 0.1) -> None:
        self.start, self.factor = _rate(rate, self), _rate(factor, self, "factor")
        self.every = positive_int(every, "StepRate", "every")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return self.start * self.factor ** (step // self.every)


class ExponentialRate(Schedule):
    """rate * factor^step.

    Parameters
    ----------
    rate : float
        Of step 0.
    factor : float
        From one step to the next.

    Examples
    --------
    >>> ExponentialRate(0.1, factor=0.5)(2)
    0.025
    """

    def __init__(self, rate: float, *, factor: float) -> None:
        self.start, self.factor = _rate(rate, self), _rate(factor, self, "factor")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return self.start * self.factor**step


class CosineRate(Schedule):
    """Cosine annealing from rate to end, then constant (Loshchilov and Hutter 2017, without restarts).

    Parameters
    ----------
    rate, end : float
        The first and the last rate.
    steps : int
        After how many steps the last is reached.

    Examples
    --------
    >>> schedule = CosineRate(0.1, 100, end=0.01)
    >>> schedule(0), round(schedule(50), 4), schedule(100), schedule(1000)
    (0.1, 0.055, 0.01, 0.01)
    """

    def __init__(self, rate: float, steps: int, *, end: float = 0.0) -> None:
        self.start, self.end = _rate(rate, self), _rate(end, self, "end")
        self.steps = positive_int(steps, "CosineRate", "steps")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        share = min(step / self.steps, 1.0)
        return _half_cosine(self.start, self.end, share)


class CosineRestartRate(Schedule):
    """Cosine annealing from rate to end, begun anew after every cycle (Loshchilov and Hutter 2017).

    The first cycle has ``steps`` steps, each later one ``factor`` times as many: PyTorch's CosineAnnealingWarmRestarts.

    Parameters
    ----------
    rate, end : float
        With which a cycle begins, and to which it falls.
    steps : int
        Length of the first cycle.
    factor : int
        From the length of one cycle to that of the next.

    Examples
    --------
    >>> schedule = CosineRestartRate(0.1, 2, factor=2)
    >>> [round(schedule(step), 3) for step in range(8)]
    [0.1, 0.05, 0.1, 0.085, 0.05, 0.015, 0.1, 0.096]
    """

    def __init__(self, rate: float, steps: int, *, factor: int = 1, end: float = 0.0) -> None:
        self.start, self.end = _rate(rate, self), _rate(end, self, "end")
        self.steps = positive_int(steps, "CosineRestartRate", "steps")
        self.factor = positive_int(factor, "CosineRestartRate", "factor")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        if self.factor == 1:
            return _half_cosine(self.start, self.end, step % self.steps / self.steps)
        length = self.steps
        while step >= length:
            step, length = step - length, length * self.factor
        return _half_cosine(self.start, self.end, step / length)


class PolynomialRate(Schedule):
    """end + (rate - end) (1 - step / steps)^power, then constant; with power 1 a straight line.

    Parameters
    ----------
    rate, end : float
        The first and the last rate.
    steps : int
        After how many steps the last is reached.
    power : float
        0 or more.

    Examples
    --------
    >>> schedule = PolynomialRate(0.1, 4, power=2)
    >>> schedule(0), schedule(2), schedule(4), schedule(5)
    (0.1, 0.025, 0.0, 0.0)
    """

    def __init__(self, rate: float, steps: int, *, power: float = 1.0, end: float = 0.0) -> None:
        self.start, self.end = _rate(rate, self), _rate(end, self, "end")
        self.steps = positive_int(steps, "PolynomialRate", "steps")
        self.power = finite_number(power, "PolynomialRate", "power", low=0)

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        left = 1 - min(step / self.steps, 1.0)
        return self.end + (self.start - self.end) * math.pow(left, self.power)


class InverseTimeRate(Schedule):
    """rate / (1 + decay * step).

    Parameters
    ----------
    rate : float
        Of step 0.
    decay : float
        0 or more; after 1 / decay steps the rate is half as large.

    Examples
    --------
    >>> InverseTimeRate(0.1, decay=0.01)(100)
    0.05
    """

    def __init__(self, rate: float, *, decay: float) -> None:
        self.start, self.decay = _rate(rate, self), _rate(decay, self, "decay")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return self.start / (1 + self.decay * step)


class NoamRate(Schedule):
    """factor * width^(-1/2) * min(t^(-1/2), t * steps^(-3/2)), t = step + 1 (Vaswani et al. 2017, equation 3).

    It grows linearly over ``steps`` steps and then falls as the root of their number; width is that of the model.

    Parameters
    ----------
    width : int
        Number of features of the model's layers.
    steps : int
        After how many steps it is largest.
    factor : float
        0 or more.

    Examples
    --------
    >>> schedule = NoamRate(512, 4000)
    >>> [round(schedule(step), 6) for step in (0, 1999, 3999, 15999)]
    [0.0, 0.000349, 0.000699, 0.000349]
    """

    def __init__(self, width: int, steps: int, *, factor: float = 1.0) -> None:
        self.width = positive_int(width, "NoamRate", "width")
        self.steps = positive_int(steps, "NoamRate", "steps")
        self.factor = _rate(factor, self, "factor")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        number = step + 1
        return self.factor / math.sqrt(self.width) * min(1 / math.sqrt(number), number / math.pow(self.steps, 1.5))


class PiecewiseRate(Schedule):
    """Rates by the steps from which they hold: a table that begins at step 0.

    A rate may be a schedule, which counts its steps from there.

    Parameters
    ----------
    rates : mapping
        From the first step of each rate to a number or a schedule.

    Examples
    --------
    >>> schedule = PiecewiseRate({0: 0.1, 100: 0.01, 200: CosineRate(0.01, 50)})
    >>> schedule(99), schedule(100), schedule(225)
    (0.1, 0.01, 0.005)
    """

    def __init__(self, rates: Mapping[int, float | Callable[[int], float]]) -> None:
        if not isinstance(rates, Mapping):
            example = "such as {0: 0.1, 100: 0.01}"
            raise TypeError(f"PiecewiseRate: expected a table from steps to rates, {example}, got {rates!r:.60}")
        if 0 not in rates:
            raise ValueError(f"PiecewiseRate: expected a table that begins at step 0, got {rates!r:.60}")
        for step in rates.keys() - {0}:
            positive_int(step, "PiecewiseRate", "a step")
        self.steps = sorted(rates)
        self.rates = [rates[step] for step in self.steps]
        for step, rate in zip(self.steps, self.rates, strict=True):
            if not callable(rate):
                _rate(rate, self, f"rate from step {step}")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        place = bisect_right(self.steps, step) - 1
        rate = self.rates[place]
        return rate(step - self.steps[place]) if callable(rate) else float(rate)


class WarmUp(Schedule):
    """Linear from start to the first rate of ``then`` over ``steps`` steps; then that rate or schedule follows.

    ``then`` counts its steps from the end of the warm-up.

    Parameters
    ----------
    steps : int
        Length of the warm-up.
    then : float or callable
    start : float
        The rate of step 0.

    Examples
    --------
    >>> schedule = WarmUp(4, then=0.1)
    >>> [round(schedule(step), 3) for step in range(6)]
    [0.0, 0.025, 0.05, 0.075, 0.1, 0.1]
    >>> WarmUp(10, then=CosineRate(0.1, 90))(100)
    0.0
    """

    def __init__(self, steps: int, *, then: float | Callable[[int], float], start: float = 0.0) -> None:
        self.steps = positive_int(steps, "WarmUp", "steps")
        self.start = _rate(start, self, "start")
        self.then = then if callable(then) else _rate(then, self, "then")

    def __call__(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        if step >= self.steps:
            return self._after(step - self.steps)
        return self.start + (self._after(0) - self.start) * step / self.steps

    def _after(self, step: int) -> float:
        return self.then(step) if callable(self.then) else self.then


class OneCycleRate(Schedule):
    """Cosine from most/divide up to most, then cosine down to most/divide/end_divide (Smith 2018).

    PyTorch's OneCycleLR with its defaults: the last step has number steps - 1, and the maximum is reached after the
    fraction ``up`` of the steps.

    Parameters
    ----------
    most : float
        The maximum.
    steps : int
        Of the whole training.
    up, divide, end_divide : float

    Examples
    --------
    >>> schedule = OneCycleRate(0.25, 101)
    >>> round(schedule(0), 6), schedule(29.3), schedule(100) == 0.25 / 25 / 1e4
    (0.01, 0.25, True)
    """

    def __init__(
        self, most: float, steps: int, *, up: float = 0.3, divide: float = 25.0, end_divide: float = 1e4
    ) -> None:
        self.most = _rate(most, self, "most")
        self.steps = positive_int(steps, "OneCycleRate", "steps")
        self.up = finite_number(up, "OneCycleRate", "up", low=0, high=1)
        self.start = self.most / finite_number(divide, "OneCycleRate", "divide", low=1)
        self.end = self.start / finite_number(end_divide, "OneCycleRate", "end_divide", low=1)

    def __call__(self, step: float) -> float:
        """Return the rate of a step, counted from 0."""
        top, last = self.up * self.steps - 1, self.steps - 1
        if step <= top:
            return _half_cosine(self.start, self.most, step / top if top else 1.0)
        return _half_cosine(self.most, self.end, min((step - top) / (last - top), 1.0) if last > top else 1.0)


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
