"""Equations: the lines of an explanation, with enough digits to make the printed equation correct."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

from nanonet.inspection.explanation.formulas import evaluate, names
from nanonet.inspection.explanation.spreading import REST, has_sum, spread
from nanonet.inspection.explanation.writers import SUBSCRIPTS, LatexWriter, TextWriter, Writer
from nanonet.inspection.rounding import rounded, shortest

Number: TypeAlias = "np.floating[Any] | float | Decimal"

DIGITS = (5, 6, 4, 3)  # of a result, in the order tried
GUARD = 12  # maximum number of extra digits of the terms of a line


# ---- symbols and their numbers


@dataclass(frozen=True)
class Symbol:
    """The notation of a quantity, as text and in LaTeX, with "#" as a placeholder for the unit."""

    text: str
    latex: str

    def at(self, unit: int | str) -> Symbol:
        """Return the symbol of one unit."""
        return Symbol(self.text.replace("#", str(unit)), self.latex.replace("#", str(unit)))


def word(name: str, index: str = "") -> Symbol:
    """Return the symbol of a quantity without a layer: t[#], learning_rate."""
    return Symbol(name + index, (name if len(name) == 1 else rf"\mathrm{{{escaped(name)}}}") + index)


def layered(letter: str, layer: str, index: str = "[#]") -> Symbol:
    """Return the symbol of a quantity of a layer: a₂[#]."""
    plain = layer.replace(".", "").isdecimal()
    below = layer.translate(SUBSCRIPTS) if plain else f"_{layer}"
    latex_below = layer if plain else rf"\mathrm{{{escaped(layer)}}}"
    return Symbol(letter + below + index, f"{letter}_{{{latex_below}}}{index}")


def escaped(name: str) -> str:
    """Return a name escaped for LaTeX."""
    return name.replace("_", r"\_")


def derivative_by(symbol: Symbol) -> Symbol:
    """Return the symbol of the derivative of E with respect to another symbol."""
    return Symbol(f"dE/d{symbol.text}", rf"\frac{{\partial E}}{{\partial {symbol.latex}}}")


@dataclass(frozen=True)
class Quantity:
    """A symbol with its number, or with the numbers of all units."""

    symbol: Symbol
    number: Number | None = None
    numbers: Sequence[Number] = ()


Quantities: TypeAlias = Mapping[str, Quantity]


def sizes(quantities: Quantities) -> dict[str, int]:
    """Return the number of units of each quantity that has several."""
    return {name: len(quantity.numbers) for name, quantity in quantities.items() if quantity.number is None}


def exact(number: Number) -> Decimal:
    """Return a number with all of its digits."""
    return number if isinstance(number, Decimal) else Decimal(float(number))


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
    return WorkedLine(left.text, (printed,), (), printed, exact(number), "", left.latex, (LatexWriter.number(printed),))


class Equation:
    """An expression for one unit, with the values of its names."""

    def __init__(self, expression: ast.expr, quantities: Quantities, unit: int | None = None) -> None:
        self.general, self.quantities, self.unit = expression, quantities, unit
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
        symbols = {name: self._symbol(name) for name in self.numbers}
        return WorkedLine(
            left.text,
            self._sides(TextWriter, lambda symbol: symbol.text, printed, result),
            tuple(Term(symbols[name].text, text, exact(self.numbers[name])) for name, text in printed.items()),
            result,
            value,
            in_pass,
            left.latex,
            self._sides(LatexWriter, lambda symbol: symbol.latex, printed, result),
            relation,
        )

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

    def _sides(
        self, writer: type[Writer], style: Callable[[Symbol], str], printed: Mapping[str, str], result: str
    ) -> tuple[str, ...]:
        def symbol(name: str, index: str) -> str:
            return style(self._symbol(name, index))

        def number(name: str, index: str) -> str:
            text = writer.number(printed[name])
            return f"({symbol(name, index)} = {text})" if name.startswith(REST) else text

        sides = [writer(symbol).write(self.general)]
        if has_sum(self.general):
            sides.append(writer(symbol).write(self.flat))
        sides += [writer(number).write(self.flat), writer.number(result)]
        return tuple(side for i, side in enumerate(sides) if i == 0 or side != sides[i - 1])
