"""Equations: the lines of an explanation, with enough digits to make the printed equation correct."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

from nanonet.core.arrays import Array
from nanonet.inspection.explanation.formulas import REST, evaluate, names, spread
from nanonet.inspection.explanation.writers import Symbol, numeral, symbolic
from nanonet.inspection.rounding import rounded, shortest

Number: TypeAlias = "np.floating[Any] | float | Decimal"

DIGITS = (5, 6, 4, 3)  # of a result, in the order tried
GUARD = 12  # maximum number of extra digits of the terms of a line


# ---- symbols with numbers


@dataclass(frozen=True)
class Quantity:
    """A symbol with its number, or with the numbers of all units."""

    symbol: Symbol
    number: Number | None = None
    numbers: Sequence[Number] | Array = ()


Quantities: TypeAlias = Mapping[str, Quantity]


def sizes(quantities: Quantities) -> dict[str, int]:
    """Return the number of units of each quantity that has several."""
    return {name: len(quantity.numbers) for name, quantity in quantities.items() if quantity.number is None}


def exact(number: Number) -> Decimal:
    """Return a number with all of its digits."""
    return number if isinstance(number, Decimal) else Decimal(float(number))


def general(expression: ast.expr, quantities: Quantities, unit: str = "j") -> Symbol:
    """Return an expression in symbols, for a unit in general."""
    return symbolic(expression, lambda name, index: quantities[name].symbol.at(index or unit))


# ---- one line


@dataclass(frozen=True)
class Term:
    """A number in a line: its symbol, printed text and exact value."""

    symbol: str
    printed: str
    value: Decimal


@dataclass(frozen=True)
class WorkedLine:
    """One equation: left = in symbols = in numbers = result.

    Attributes
    ----------
    left : str
        The left side, such as "g₂[0]".
    sides : tuple of str
        The other sides: symbols, numbers, result; only the result for a number taken from the pass.
    terms : tuple of Term
        The numbers inserted; with them the expression evaluates to ``result``.
    result : str
    value : Decimal
        The value rounded to ``result``.
    in_pass : str
        The number of the pass, if its rounding error makes it disagree with the line; else "".
    latex_left, latex_sides
        The same in LaTeX.
    relation : str
        "=", or "←" for an update.
    """

    left: str
    sides: tuple[str, ...]
    terms: tuple[Term, ...]
    result: str
    value: Decimal
    in_pass: str
    latex_left: str
    latex_sides: tuple[str, ...]
    relation: str = "="

    @property
    def is_rounding(self) -> bool:
        """Whether rounding explains the difference to the pass: at most 1/1000 of the largest number in the line."""
        passed = Decimal(self.in_pass or self.result)
        numbers = [self.value, passed, *(term.value for term in self.terms)]
        if not all(number.is_finite() for number in numbers):
            return False
        return abs(self.value - passed) <= max(map(abs, numbers)) / 1000


def taken(left: Symbol, number: Number) -> WorkedLine:
    """Return a line for a number taken from the pass."""
    printed = shortest(number, DIGITS[0])
    return WorkedLine(left.text, (printed,), (), printed, exact(number), "", left.latex, (numeral(printed).latex,))


class Equation:
    """An expression for one unit, with the values of its names."""

    def __init__(self, expression: ast.expr, quantities: Quantities, unit: int | None = None) -> None:
        self.expression, self.quantities, self.unit = expression, quantities, unit
        self.flat, rests = spread(expression, sizes(quantities), unit)
        self.numbers = {name: self._number(name) for name in names(self.flat) if name not in rests}
        for name, rest in rests.items():
            self.numbers[name] = evaluate(rest, {inner: exact(self._number(inner)) for inner in names(rest)})

    def _number(self, name: str) -> Number:
        """Return the number of a name in the expanded expression, such as "y.0"."""
        base, _, unit = name.partition(".")
        quantity = self.quantities[base]
        return quantity.numbers[int(unit)] if quantity.number is None else quantity.number

    @property
    def value(self) -> Decimal:
        """The exact value."""
        return evaluate(self.flat, {name: exact(number) for name, number in self.numbers.items()})

    def line(self, left: Symbol, truth: Number | None = None, relation: str = "=") -> WorkedLine:
        """Return the line with enough digits; truth is the number in the pass, or None for the expression's value."""
        truth = self.value if truth is None else truth
        printed, result, value, in_pass = self._settled(truth)
        terms = (Term(self._symbol(name).text, text, exact(self.numbers[name])) for name, text in printed.items())
        sides = self._sides(printed, result)
        text, latex = _distinct([side.text for side in sides]), _distinct([side.latex for side in sides])
        return WorkedLine(left.text, text, tuple(terms), result, value, in_pass, left.latex, latex, relation)

    def _settled(self, truth: Number) -> tuple[dict[str, str], str, Decimal, str]:
        """Return the printed terms and result, the value rounded to the result, and the number of the pass.

        Terms get more digits until they evaluate to the rounded truth. If no number of digits suffices because of
        rounding in the pass, the result is that of the terms, and the number of the pass is shown next to it.
        """
        if not all(exact(number).is_finite() for number in [truth, *self.numbers.values()]):
            return self._printed(DIGITS[0]), shortest(truth, DIGITS[0]), exact(truth), ""
        for digits in DIGITS:
            result = shortest(truth, digits)
            for guard in range(GUARD + 1):
                printed = self._printed(digits + guard)
                found = self._evaluated(printed)
                if rounded(found, digits) == Decimal(result):
                    if printed == self._printed(DIGITS[0] + GUARD):  # nothing was rounded: 2 × 0.1 is 0.2, not 0.20000
                        result = min(result, shortest(found, digits), key=len)
                    return printed, result, exact(truth), ""
        printed = self._printed(DIGITS[0] + GUARD)
        value = self._evaluated(printed)
        return printed, shortest(value, DIGITS[0]), value, shortest(truth, DIGITS[0])

    def _printed(self, digits: int) -> dict[str, str]:
        return {name: shortest(number, digits) for name, number in self.numbers.items()}

    def _evaluated(self, printed: Mapping[str, str]) -> Decimal:
        return evaluate(self.flat, {name: Decimal(text) for name, text in printed.items()})

    def _symbol(self, name: str, index: str = "") -> Symbol:
        """Return the symbol of a name in the general expression, "y", or in the expanded one, "y.0"."""
        base, _, unit = name.partition(".")
        if base == REST:
            return Symbol(REST, r"\cdots")
        return self.quantities[base].symbol.at(index or unit or str(self.unit))

    @property
    def in_symbols(self) -> list[Symbol]:
        """The expression in symbols, and with its sums expanded."""
        return [symbolic(self.expression, self._symbol), self.expanded]

    @property
    def expanded(self) -> Symbol:
        """The expression in symbols with its sums expanded."""
        return symbolic(self.flat, self._symbol)

    def _sides(self, printed: Mapping[str, str], result: str) -> list[Symbol]:
        """Return the expression in symbols, and with its sums expanded; in numbers; and its result."""

        def number(name: str, index: str) -> Symbol:
            shown, symbol = numeral(printed[name]), self._symbol(name, index)
            if not name.startswith(REST):
                return shown
            return Symbol(f"({symbol.text} = {shown.text})", f"({symbol.latex} = {shown.latex})")

        return [*self.in_symbols, symbolic(self.flat, number), numeral(result)]


def _distinct(sides: list[str]) -> tuple[str, ...]:
    """Return the sides without those that repeat the one before."""
    return tuple(side for i, side in enumerate(sides) if i == 0 or side != sides[i - 1])
