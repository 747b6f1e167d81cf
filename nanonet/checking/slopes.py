"""Line: the slope at 0 of a function of one variable, from differences with many step sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nanonet.core.arrays import Array

RATIO = 4.0  # of successive step sizes
SMALLEST = 3e-10  # smallest step for numbers about 1: below it, rounding leaves less than five digits of the slope
AT_A_KINK = 8e-5  # relative to the largest step: a kink well within such a step is treated as one at 0
EPSILON = float(np.finfo(np.float64).eps)
ROUGH = 1e-5  # a larger relative change is not rounding, not even in float32, but a jump
FAINT = 1e-12  # a smaller change is always rounding, of intermediate numbers about 1
PRECISE, PASSABLE = 5e-6, 1e-4  # accuracy relative to the slope: sufficient, and the minimum if rounding is large
FINEST = 4  # number of smallest steps from which the rounding is estimated
STABLE = 0.1  # maximum relative change of the gap at a kink from one step to the next


class Slope(NamedTuple):
    """The slope at 0, its error bound and, at a kink, the slopes of the two sides.

    slack is infinite if the differences do not converge.
    """

    value: float
    slack: float
    sides: tuple[float, float] | None = None


class Line:
    """A function of one variable, known only with rounding errors.

    Parameters
    ----------
    at : callable
        The function.
    largest, smallest : float
        The range of step sizes.
    size : float
        The magnitude of the function before its value at 0 is subtracted: it determines the minimum rounding.
    noise : float
        A known larger rounding error of the function.
    """

    def __init__(
        self, at: Callable[[float], float], largest: float, smallest: float, size: float, noise: float = 0.0
    ) -> None:
        count = max(5, 1 + math.floor(math.log(largest / smallest, RATIO)))
        self.steps = largest * RATIO ** -np.arange(float(count))
        here = at(0.0)
        self.up = np.array([at(step) for step in self.steps]) - here
        self.down = np.array([at(-step) for step in self.steps]) - here
        seen = self._seen()
        self.jumps = seen >= ROUGH * size + FAINT + 2 * noise
        self.seen = 0.0 if self.jumps else seen
        self.noise = max(noise, 4 * EPSILON * size, self.seen)

    def slope(self) -> Slope:
        """Return the best estimate from the differences."""
        if self.jumps and self.up[-1] == self.down[-1] == 0:  # level between two jumps
            return Slope(0.0, 0.0)
        with np.errstate(all="ignore"):
            return self._at_a_kink() or self._extrapolated()

    def _seen(self) -> float:
        """Return the rounding error observed at the smallest steps.

        It exceeds that of the function's own size if intermediate numbers are larger or in float32. Then the
        differences scatter, or the function is a staircase, and both sides are exactly level for some steps. At a kink
        with one level side, that side is level for all steps.
        """
        central = (self.up - self.down) / (2 * self.steps)
        seen = 4 * np.nanmax(np.abs(np.diff(central[-FINEST:])) * self.steps[1 - FINEST :], initial=0.0)
        stairs = np.flatnonzero((self.up != 0) & (self.down != 0))
        if stairs.size and self.up[-1] == self.down[-1] == 0:
            seen = max(seen, abs(self.up[stairs[-1]]), abs(self.down[stairs[-1]]))
        return float(seen)

    def _extrapolated(self) -> Slope:
        """Return the limit of the central differences by Richardson's extrapolation.

        The terms linear and quadratic in the step are eliminated from each three neighbours. The difference of two
        successive results, plus the rounding at the smallest step among them, estimates the error. Of the results that
        are precise enough, only those count that agree with the one of the smallest steps: seen with large steps, a
        fast oscillation has another slope.
        """
        central: Array = (self.up - self.down) / (2 * self.steps)
        straight = (RATIO * central[1:] - central[:-1]) / (RATIO - 1)
        limits = (RATIO**2 * straight[1:] - straight[:-1]) / (RATIO**2 - 1)
        apart, rounding = np.abs(np.diff(limits)), self.noise / self.steps[3:]
        slack, limits = 3 * np.where(np.isfinite(apart), apart + rounding, np.inf), limits[1:]
        precise = np.flatnonzero(slack <= PRECISE * np.abs(limits))
        precise = precise if precise.size else np.flatnonzero(slack <= PASSABLE * np.abs(limits))
        if precise.size:
            finest = precise[-1]
            alike = precise[np.abs(limits[precise] - limits[finest]) <= slack[precise] + slack[finest]]
            best = int(alike[slack[alike].argmin()])
        else:
            best = int(slack.argmin())
        settled = apart[best] <= 0.05 * np.abs(limits[best]) + 4 * rounding[best]
        return Slope(float(limits[best]), float(slack[best]) if settled else math.inf)

    def _at_a_kink(self) -> Slope | None:
        """Return the slopes of both sides, if their gap does not depend on the step.

        As the step decreases, the gap of a smooth function closes, and that of a jump diverges.
        """
        left, right = -self.down / self.steps, self.up / self.steps
        gap, rounding = np.abs(right - left), 4 * self.noise / self.steps
        for i in reversed(np.flatnonzero(self.steps[:-1] <= max(AT_A_KINK * self.steps[0], self.steps[-2])).tolist()):
            if gap[i + 1] > 100 * rounding[i + 1] and abs(gap[i] - gap[i + 1]) < STABLE * gap[i + 1]:
                low, high = sorted((float(left[i + 1]), float(right[i + 1])))
                return Slope((low + high) / 2, float(rounding[i + 1]), (low, high))
        return None
