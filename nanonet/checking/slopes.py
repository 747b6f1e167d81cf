"""Line: a function of one number near 0, and what its differences at many steps tell of its slope there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nanonet.core.arrays import Array

RATIO = 4.0  # from one step to the next smaller one
SMALLEST = 3e-10  # below it, rounding leaves less than five digits of the slope of a number of about 1
AT_A_KINK = 8e-5  # of the largest step: a kink that is well within such a step is taken for one at 0 itself
EPSILON = float(np.finfo(np.float64).eps)
ROUGH = 1e-5  # more than so much of a function is no rounding, not that of float32 either, but a jump
FAINT = 1e-12  # less than this is always rounding, of numbers about 1 from which the function is made
PRECISE, PASSABLE = 5e-6, 1e-4  # relative to the slope: well enough, and the best where rounding is large
FINEST = 4  # so many of the smallest steps show how large the rounding is
STABLE = 0.1  # by how much of itself the gap at a kink may change from one step to the next


class Slope(NamedTuple):
    """The slope at 0, how far it may be off, and on a kink the slopes of its two sides.

    slack is infinite where the differences do not settle.
    """

    value: float
    slack: float
    sides: tuple[float, float] | None = None


class Line:
    """A function of one number, to be had only with rounding errors.

    Parameters
    ----------
    at : callable
        The function.
    largest, smallest : float
        The steps go from one to the other.
    size : float
        Of the function itself, before what it was at first was taken away: how much rounding there is at least.
    noise : float
        How far rounding moves the function, where more of it is known.
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
        """Return the best that the differences tell."""
        if self.jumps and self.up[-1] == self.down[-1] == 0:  # level between two jumps
            return Slope(0.0, 0.0)
        with np.errstate(all="ignore"):
            return self._at_a_kink() or self._extrapolated()

    def _seen(self) -> float:
        """Return how large the rounding is that the smallest steps show.

        Of numbers in between that are larger than the function itself, or kept in float32, it may be larger than the
        function tells. Then the differences jump about; or the function is a staircase, and both sides stay exactly
        level for some steps. At a kink beside which the function is level, one side does so for all steps.
        """
        central = (self.up - self.down) / (2 * self.steps)
        seen = 4 * np.nanmax(np.abs(np.diff(central[-FINEST:])) * self.steps[1 - FINEST :], initial=0.0)
        stairs = np.flatnonzero((self.up != 0) & (self.down != 0))
        if stairs.size and self.up[-1] == self.down[-1] == 0:
            seen = max(seen, abs(self.up[stairs[-1]]), abs(self.down[stairs[-1]]))
        return float(seen)

    def _extrapolated(self) -> Slope:
        """Return the limit of the central differences by Richardson's extrapolation.

        What grows with the step and with its square is eliminated from each three neighbours; two such values that
        are alike vouch for each other, down to what rounding does to the smallest step among them. Of values that are
        vouched for well enough those count that are like the one of the smallest steps: a fast wave has another slope
        from afar.
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
        """Return the slopes of both sides, if they stay apart by the same however small the step is.

        Where the function is smooth they close in on each other with the step; at a jump they fly apart.
        """
        left, right = -self.down / self.steps, self.up / self.steps
        gap, rounding = np.abs(right - left), 4 * self.noise / self.steps
        for i in reversed(np.flatnonzero(self.steps[:-1] <= max(AT_A_KINK * self.steps[0], self.steps[-2])).tolist()):
            if gap[i + 1] > 100 * rounding[i + 1] and abs(gap[i] - gap[i + 1]) < STABLE * gap[i + 1]:
                low, high = sorted((float(left[i + 1]), float(right[i + 1])))
                return Slope((low + high) / 2, float(rounding[i + 1]), (low, high))
        return None
