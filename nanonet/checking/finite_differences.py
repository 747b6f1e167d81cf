"""Comparison: one array's gradient beside its numerical derivative, entry by entry or along random directions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.checking.slopes import EPSILON, SMALLEST, Line
from nanonet.core.arrays import Array, Shape

STEP = 1e-5  # about the cube root of float64's rounding, where a central difference is at its best
LARGEST = 0.1  # of the number that is moved, or of 1
TINY = 1e-10  # a smaller number than this is moved as if it were so large
RELATIVE = 1e-5
ABSOLUTE = 1e-12
ON_A_KINK = 1e-4  # of one-sided differences no more can be asked
SINGLE = 1e-11  # rounding beside which float64's is nothing
LIMIT = 400  # entries of one array; of a larger one so many are drawn
DIRECTIONS = 3


class Comparison:
    """The gradient that a layer gives for one array, and the numerical one.

    Attributes
    ----------
    name : str
        Such as "dE/dx" or "dE/dweight".
    analytic, numerical : array
    known : array of bool
        Where the numerical one was computed.
    slack : array
        How far the numerical one may be off, where that is more than usual.
    on_kinks : list of int
        The entries, counted through, that sit on a kink.
    wrong : tuple of int or None
        The entry where they differ most clearly, if that is too much: rounding is the least part of it.
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
        """That of the array."""
        return self.analytic.shape

    @property
    def wrong_only_on_kinks(self) -> bool:
        """Whether every entry that differs too much sits on a kink."""
        return set(np.flatnonzero(self.bad).tolist()) <= set(self.on_kinks)

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
        return self.name, str(self.shape), entries, f"largest difference {self.largest:.1e}"

    def message(self) -> str:
        """Say where it is wrong."""
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
    """The same along random directions, in which all entries move at once."""

    def __init__(
        self, name: str, shape: Shape, analytic: Array, numerical: Array, slack: Array, kinks: list[int], noise: float
    ) -> None:
        super().__init__(name, analytic, numerical, np.ones(analytic.shape, bool), slack, kinks, noise)
        self._shape = shape

    @property
    def shape(self) -> Shape:
        """That of the array."""
        return self._shape

    def cells(self) -> tuple[str, ...]:
        """Return the texts of one line of the report."""
        kinks = f", {self.kinks} on a kink" if self.kinks else ""
        along = f"{len(self.analytic)} directions over {math.prod(self.shape)} entries{kinks}"
        return self.name, str(self.shape), along, f"largest difference {self.largest:.1e}"

    def message(self) -> str:
        """Say that it is wrong."""
        return f"{self.name}, along a random direction over all its entries, {self._apart()})"


def tolerance(analytic: Array, numerical: Array, slack: Array | float) -> Array:
    """Return how far two gradients may be apart: relative to the entry, and what the numerical one may be off."""
    larger = np.fmax(np.abs(analytic), np.abs(numerical))
    return np.asarray(RELATIVE * np.where(np.isfinite(larger), larger, 0.0) + ABSOLUTE + slack)


class Terms:
    """What is derived: E = Σ terms, as a function of arrays that are moved in place.

    Parameters
    ----------
    change : callable
        Returns the terms as they are now, less what they were at first, so that their digits are kept.
    sizes : array
        How large the terms themselves are: that tells how much of a change may be rounding.

    Attributes
    ----------
    seen : float
        The largest rounding that was seen.
    """

    def __init__(self, change: Callable[[], Array], sizes: Array) -> None:
        self.change, self.sizes, self.seen = change, sizes, 0.0

    @property
    def rounding(self) -> float:
        """How far float64's rounding may move E."""
        return 4 * EPSILON * float(self.sizes.max(initial=0.0))

    @property
    def noise(self) -> float:
        """How far rounding is known to move E, where it is coarser than float64's, as in a layer that casts."""
        return 10 * self.seen if self.seen > SINGLE * self.sizes.max(initial=0.0) else 0.0


def compare(name: str, place: Array, analytic: Array, terms: Terms, rng: np.random.Generator) -> Comparison:
    """Move each entry of place up and down and compare the slope of the energy with analytic.

    A first central difference settles nearly all entries. One that differs is looked at with many steps. Where a layer
    turns out to compute in float32, those that still differ are looked at again: of a level stretch in between only
    other entries tell how far rounding goes.
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
    """Move all entries of place at once, along a few random directions, and compare the slopes with analytic's."""
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
    """A slope, how far it may be off more than usual, and whether it is that of a kink."""

    value: float
    slack: float = 0.0
    on_kink: bool = False


class _Moves:
    """The energy as a function of one number, by which entries of one array are moved."""

    def __init__(self, place: Array, terms: Terms, rng: np.random.Generator) -> None:
        self.place, self.terms, self.rng = place, terms, rng

    def of_entry(self, entry: int) -> Callable[[float], Array]:
        """Return the terms as a function of how far one entry is moved."""
        kept = self.place.flat[entry]

        def moved(step: float) -> Array:
            self.place.flat[entry] = kept + step
            try:
                return self.terms.change()
            finally:
                self.place.flat[entry] = kept

        return moved

    def along(self, direction: Array) -> Callable[[float], Array]:
        """Return the terms as a function of how far all entries are moved along a direction."""
        kept = self.place.copy()

        def moved(step: float) -> Array:
            self.place[...] = kept + step * direction
            try:
                return self.terms.change()
            finally:
                self.place[...] = kept

        return moved

    def direction(self) -> Array:
        """Draw a direction, of length 1 where the entries are of about 1, and longer in larger ones."""
        drawn: Array = self.rng.normal(size=self.place.shape) * np.maximum(1.0, np.abs(self.place))
        return drawn / math.sqrt(self.place.size)

    def slope(self, given: float, size: float, moved: Callable[[float], Array]) -> _Found:
        """Return the slope at 0 of what is moved, a number of that size.

        given decides only how closely one looks, and between the two sides of a kink: every slope there is right.
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
