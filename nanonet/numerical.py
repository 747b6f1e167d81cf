"""Comparison: one array's gradient beside its central differences, entry by entry."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nanonet.arrays import Array, Shape

STEP = 1e-5  # about the cube root of float64's rounding, where a central difference is at its best
RELATIVE = 1e-5
ABSOLUTE = 1e-12
ROUNDING = 4 * float(np.finfo(np.float64).eps)
LIMIT = 400  # entries of one array; of a larger one so many are drawn


class Comparison:
    """The gradient that a layer gives for one array, and the numerical one.

    Attributes
    ----------
    name : str
        Such as "dE/dx" or "dE/dweight".
    analytic, numerical : array
    known : array of bool
        Where the numerical one was computed.
    on_kinks : list of int
        The entries, counted through, that sit on a kink.
    noise : float
        How far rounding may move the energy, from which the numerical gradient is made.
    wrong : tuple of int or None
        The entry where they differ most, if that is too much.
    """

    def __init__(
        self,
        name: str,
        analytic: Array,
        numerical: Array,
        known: npt.NDArray[np.bool_],
        kinks: list[int],
        noise: float,
    ) -> None:
        self.name, self.analytic, self.numerical, self.known = name, analytic, numerical, known
        self.on_kinks, self.noise = kinks, noise
        difference = np.where(self.known, np.abs(analytic - numerical), 0.0)
        difference = np.where(np.isfinite(difference), difference, np.inf)
        excess = difference / tolerance(analytic, numerical, noise)
        self.largest = float(difference.max(initial=0))
        worst = np.unravel_index(int(excess.argmax()), excess.shape) if excess.size else ()
        self.wrong: Shape | None = tuple(int(i) for i in worst) if excess.size and excess[worst] > 1 else None

    @property
    def wrong_only_on_kinks(self) -> bool:
        """Whether every entry that differs too much sits on a kink."""
        return set(np.flatnonzero(self._bad()).tolist()) <= set(self.on_kinks)

    @property
    def kinks(self) -> int:
        """How many entries sit on a kink."""
        return len(self.on_kinks)

    @property
    def complete(self) -> bool:
        """Whether every entry was compared."""
        return bool(self.known.all())

    def cells(self) -> tuple[str, ...]:
        """Return the texts of one line of the report."""
        kinks = f", {self.kinks} on a kink" if self.kinks else ""
        entries = f"{int(self.known.sum())} of {self.known.size} entries{kinks}"
        return self.name, str(self.analytic.shape), entries, f"largest difference {self.largest:.1e}"

    def message(self) -> str:
        """Say where it is wrong."""
        place = self.wrong or ()
        given, true = float(self.analytic[place]), float(self.numerical[place])
        relative = abs(given - true) / max(abs(given), abs(true))
        index = ", ".join(map(str, place))
        return (
            f"{self.name}[{index}] is {given:.10g}, but the numerical derivative is {true:.10g} "
            f"(relative error {relative:.2g}; {self._count()} entries differ)"
        )

    def _count(self) -> str:
        return f"{int(self._bad().sum())} of {int(self.known.sum())}"

    def _bad(self) -> npt.NDArray[np.bool_]:
        """Return where the two differ too much; a NaN does."""
        good = np.abs(self.analytic - self.numerical) <= tolerance(self.analytic, self.numerical, self.noise)
        bad: npt.NDArray[np.bool_] = ~good & self.known
        return bad


def tolerance(analytic: Array, numerical: Array, noise: float) -> Array:
    """Return how far two gradients may be apart: relative to the entry, and what rounding makes of the energy."""
    larger = np.fmax(np.abs(analytic), np.abs(numerical))
    return np.asarray(RELATIVE * larger + ABSOLUTE + noise / STEP)


def compare(
    name: str, place: Array, analytic: Array, energy: Callable[[], float], rng: np.random.Generator, *, size: float
) -> Comparison:
    """Move each entry of place up and down and compare the slope of energy with analytic.

    size is that of the largest term of the energy: it tells how much of a difference may be rounding.
    """
    numerical, noise = np.full(place.shape, np.nan), ROUNDING * size
    entries = np.arange(place.size)
    if place.size > LIMIT:
        entries = np.sort(rng.choice(place.size, LIMIT, replace=False))
    slopes = _Slopes(place, energy, noise)
    known, kinks = np.zeros(place.shape, bool), []
    for entry in entries.tolist():
        numerical.flat[entry], known.flat[entry] = slopes.central(entry, STEP), True
    good = np.abs(analytic - numerical) <= tolerance(analytic, numerical, noise)
    for entry in np.flatnonzero(~good & known).tolist():
        given = float(analytic.flat[entry])
        numerical.flat[entry], on_kink = slopes.settled(entry, given, float(numerical.flat[entry]))
        kinks += [entry] if on_kink else []
    return Comparison(name, analytic, numerical, known, kinks, noise)


class _Slopes:
    """Difference quotients of energy in single entries of an array that it depends on."""

    def __init__(self, place: Array, energy: Callable[[], float], noise: float) -> None:
        self.place, self.energy, self.noise = place, energy, noise

    def at(self, entry: int, step: float) -> float:
        """Return the energy with one entry moved."""
        kept = self.place.flat[entry]
        self.place.flat[entry] = kept + step
        value = self.energy()
        self.place.flat[entry] = kept
        return value

    def central(self, entry: int, step: float) -> float:
        """Return the central difference."""
        kept = float(self.place.flat[entry])
        up, down = kept + step * max(1.0, abs(kept)), kept - step * max(1.0, abs(kept))
        return (self.at(entry, up - kept) - self.at(entry, down - kept)) / (up - down)

    def settled(self, entry: int, given: float, first: float) -> tuple[float, bool]:
        """Look at a suspect entry with other steps: return its derivative, and whether it sits on a kink.

        Near a kink a smaller step stays on one side of it; where rounding is large a larger step drowns it. On a kink
        the slopes of the two sides differ by the same however small the step is; any number between them is right.
        """
        for step in (1e-6, 1e-7, 1e-4, 1e-3):
            value = 2 * self.central(entry, step / 2) - self.central(entry, step)  # without what grows with the step
            slack = 10 * RELATIVE * max(abs(value), abs(given)) + ABSOLUTE + 5 * self.noise / max(step, STEP)
            if abs(value - given) <= slack:
                return given, False
        (left, right), (far_left, far_right) = self.sides(entry, 1e-7), self.sides(entry, 1e-6)
        gap, slack = abs(right - left), 1e-4 * max(abs(right), abs(left)) + ABSOLUTE + self.noise / 1e-7
        on_kink = gap > 10 * slack and 0.9 < gap / (abs(far_right - far_left) or gap) < 1.1
        if on_kink and min(left, right) - slack <= given <= max(left, right) + slack:
            return given, True
        return first, on_kink

    def sides(self, entry: int, step: float) -> tuple[float, float]:
        """Return the slopes to the left and to the right."""
        here = self.energy()
        return (here - self.at(entry, -step)) / step, (self.at(entry, step) - here) / step
