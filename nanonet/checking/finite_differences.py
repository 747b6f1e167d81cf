"""Finite differences: compare a gradient with its numerical derivative, by entry or along random directions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.checking.slopes import EPSILON, SMALLEST, Line
from nanonet.core.arrays import Array, Shape

STEP = 1e-5  # about the cube root of float64's epsilon, optimal for a central difference
LARGEST = 0.1  # largest step, relative to the number that is moved, or to 1
TINY = 1e-10  # a smaller number is moved as if it had this size
RELATIVE = 1e-5
ABSOLUTE = 1e-12
ON_A_KINK = 1e-4  # relative accuracy of one-sided differences
SINGLE = 1e-11  # relative rounding that is coarser than float64's
LIMIT = 400  # entries compared of one array; of a larger one a random sample of this size
DIRECTIONS = 3


class Comparison:
    """The analytic gradient for one array, and the numerical one.

    Attributes
    ----------
    name : str
        Such as "dE/dx" or "dE/dweight".
    analytic, numerical : array
    known : array of bool
        Where the numerical one was computed.
    slack : array
        Error bound of the numerical one, beyond the usual tolerance.
    on_kinks : list of int
        Flat indices of the entries at a kink.
    wrong : tuple of int or None
        The entry with the largest difference relative to tolerance and rounding, if it is too large; else None.
    """

    def __init__(
        self,
        name: str,
        analytic: Array,
        numerical: Array,
        known: npt.NDArray[np.bool_],
        slack: Array,
        kinks: list[int],
        noise: float,
    ) -> None:
        self.name, self.analytic, self.numerical, self.known = name, analytic, numerical, known
        self.slack, self.on_kinks = slack, kinks
        with np.errstate(invalid="ignore"):
            difference = np.where(known, np.abs(analytic - numerical), 0.0)
        difference = np.where(np.isfinite(difference), difference, np.inf)
        excess = difference / tolerance(analytic, numerical, slack)
        self.bad: npt.NDArray[np.bool_] = excess > 1
        self.largest = float(difference.max(initial=0))
        clear = np.where(self.bad, difference / tolerance(analytic, numerical, noise / STEP), 0.0)
        worst = np.unravel_index(int(clear.argmax()), clear.shape) if self.bad.any() else None
        self.wrong: Shape | None = None if worst is None else tuple(int(i) for i in worst)

    @property
    def shape(self) -> Shape:
        """The shape of the array."""
        return self.analytic.shape

    @property
    def wrong_only_on_kinks(self) -> bool:
        """Whether all entries that differ too much are at a kink."""
        return set(np.flatnonzero(self.bad).tolist()) <= set(self.on_kinks)

    @property
    def kinks(self) -> int:
        """The number of entries at a kink."""
        return len(self.on_kinks)

    @property
    def complete(self) -> bool:
        """Whether every entry was compared."""
        return bool(self.known.all())

    def cells(self) -> tuple[str, ...]:
        """Return the texts of one line of the report."""
        kinks = f", {self.kinks} on a kink" if self.kinks else ""
        entries = f"{int(self.known.sum())} of {self.known.size} entries{kinks}"
        return self.name, str(self.shape), entries, f"largest difference {self.largest:.1e}"

    def message(self) -> str:
        """Return the error message with the wrong entry."""
        index = ", ".join(map(str, self.wrong or ()))
        return f"{self.name}[{index}] {self._apart()}; {int(self.bad.sum())} of {int(self.known.sum())} entries differ)"

    def _apart(self) -> str:
        place = self.wrong or ()
        given, true = float(self.analytic[place]), float(self.numerical[place])
        relative = abs(given - true) / (max(abs(given), abs(true)) or 1.0)
        return (
            f"is {given:.10g}, but the numerical derivative is {true:.10g} "
            f"(relative error {relative:.{3 if relative < 0.01 else 2}g}"
        )


class Projection(Comparison):
    """A comparison of directional derivatives, along random directions in which all entries move at once."""

    def __init__(
        self, name: str, shape: Shape, analytic: Array, numerical: Array, slack: Array, kinks: list[int], noise: float
    ) -> None:
        super().__init__(name, analytic, numerical, np.ones(analytic.shape, bool), slack, kinks, noise)
        self._shape = shape

    @property
    def shape(self) -> Shape:
        """The shape of the array."""
        return self._shape

    def cells(self) -> tuple[str, ...]:
        """Return the texts of one line of the report."""
        kinks = f", {self.kinks} on a kink" if self.kinks else ""
        along = f"{len(self.analytic)} directions over {math.prod(self.shape)} entries{kinks}"
        return self.name, str(self.shape), along, f"largest difference {self.largest:.1e}"

    def message(self) -> str:
        """Return the error message."""
        return f"{self.name}, along a random direction over all its entries, {self._apart()})"


def tolerance(analytic: Array, numerical: Array, slack: Array | float) -> Array:
    """Return the tolerated difference of two gradients: relative to the entry, plus the numerical error."""
    larger = np.fmax(np.abs(analytic), np.abs(numerical))
    return np.asarray(RELATIVE * np.where(np.isfinite(larger), larger, 0.0) + ABSOLUTE + slack)


class Terms:
    """The function to differentiate: E = Σ terms, of arrays that are modified in place.

    Parameters
    ----------
    change : callable
        Returns the change of the terms from their original values, which keeps more digits than the terms.
    sizes : array
        The absolute values of the terms, which determine the rounding error of a change.

    Attributes
    ----------
    seen : float
        The largest rounding error observed.
    """

    def __init__(self, change: Callable[[], Array], sizes: Array) -> None:
        self.change, self.sizes, self.seen = change, sizes, 0.0

    @property
    def rounding(self) -> float:
        """Bound on the float64 rounding error of E."""
        return 4 * EPSILON * float(self.sizes.max(initial=0.0))

    @property
    def noise(self) -> float:
        """Observed rounding error of E, if coarser than float64's, as in a layer that computes in float32; else 0."""
        return 10 * self.seen if self.seen > SINGLE * self.sizes.max(initial=0.0) else 0.0


def compare(name: str, place: Array, analytic: Array, terms: Terms, rng: np.random.Generator) -> Comparison:
    """Compare analytic with the numerical derivative of E with respect to each entry of place.

    A single central difference settles nearly all entries; one that differs is examined with many step sizes. If the
    layer turns out to compute in float32, entries that still differ are examined again: on a level stretch only other
    entries reveal the size of the rounding.
    """
    entries = np.arange(place.size)
    if place.size > LIMIT:
        entries = np.sort(rng.choice(place.size, LIMIT, replace=False))
    numerical, known, slack = np.full(place.shape, np.nan), np.zeros(place.shape, bool), np.zeros(place.shape)
    on_kinks, moves = np.zeros(place.shape, bool), _Moves(place, terms, rng)
    known.flat[entries] = True

    def found(entries: npt.NDArray[np.intp]) -> Comparison:
        for i in entries.tolist():
            slope = moves.slope(float(analytic.flat[i]), abs(float(place.flat[i])), moves.of_entry(i))
            numerical.flat[i], slack.flat[i], on_kinks.flat[i] = slope
        kinks = np.flatnonzero(on_kinks).tolist()
        return Comparison(name, analytic, numerical, known, slack, kinks, terms.rounding)

    first = found(entries)
    return found(np.flatnonzero(first.bad)) if first.bad.any() and terms.noise else first


def project(name: str, place: Array, analytic: Array, terms: Terms, rng: np.random.Generator) -> Projection:
    """Compare directional derivatives of E along a few random directions, which move all entries of place at once."""
    moves = _Moves(place, terms, rng)
    directions = [moves.direction() for _ in range(DIRECTIONS)]
    given = np.array([np.sum(direction * analytic) for direction in directions])
    size = float(np.abs(place).min(where=place != 0, initial=1.0))
    found = [moves.slope(float(g), size, moves.along(d)) for g, d in zip(given, directions, strict=True)]
    slack = np.array([slope.slack for slope in found])
    kinks = [i for i, slope in enumerate(found) if slope.on_kink]
    return Projection(
        name, place.shape, given, np.array([slope.value for slope in found]), slack, kinks, terms.rounding
    )


class _Found(NamedTuple):
    """A slope, its error bound beyond the usual tolerance, and whether it is at a kink."""

    value: float
    slack: float = 0.0
    on_kink: bool = False


class _Moves:
    """E as a function of a single number, by which entries of one array are moved."""

    def __init__(self, place: Array, terms: Terms, rng: np.random.Generator) -> None:
        self.place, self.terms, self.rng = place, terms, rng

    def of_entry(self, entry: int) -> Callable[[float], Array]:
        """Return the terms as a function of the displacement of one entry."""
        kept = self.place.flat[entry]

        def moved(step: float) -> Array:
            self.place.flat[entry] = kept + step
            try:
                return self.terms.change()
            finally:
                self.place.flat[entry] = kept

        return moved

    def along(self, direction: Array) -> Callable[[float], Array]:
        """Return the terms as a function of the displacement of all entries along a direction."""
        kept = self.place.copy()

        def moved(step: float) -> Array:
            self.place[...] = kept + step * direction
            try:
                return self.terms.change()
            finally:
                self.place[...] = kept

        return moved

    def direction(self) -> Array:
        """Draw a direction of length about 1, scaled up for entries larger than 1."""
        drawn: Array = self.rng.normal(size=self.place.shape) * np.maximum(1.0, np.abs(self.place))
        return drawn / math.sqrt(self.place.size)

    def slope(self, given: float, size: float, moved: Callable[[float], Array]) -> _Found:
        """Return the slope at 0 of moved, for a number of the given size.

        The analytic slope, given, determines only how thoroughly to look; at a kink any slope between the two sides is
        accepted.
        """
        scale = max(1.0, size)
        step, largest = STEP * scale, LARGEST * scale
        with np.errstate(all="ignore"):
            up, down = moved(step), moved(-step)
            first = float((up - down).sum()) / (2 * step)
            if abs(first - given) <= RELATIVE * max(abs(first), abs(given)) + ABSOLUTE:
                return _Found(first)
            changed = (up != 0) | (moved(largest) != 0)
            moving = float((self.terms.sizes[changed] if changed.any() else self.terms.sizes).max(initial=0.0))
            smallest = SMALLEST * max(size or 1.0, TINY)
            line = Line(lambda step: float(moved(step).sum()), largest, smallest, moving, self.terms.noise)
        value, slack, sides = line.slope()
        self.terms.seen = max(self.terms.seen, line.seen)
        if sides is not None:
            low, high = sides
            beside = ON_A_KINK * max(abs(low), abs(high)) + slack
            return _Found(given if low - beside <= given <= high + beside else value, on_kink=True)
        return _Found(value, slack) if math.isfinite(slack) else _Found(first)
