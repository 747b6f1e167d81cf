"""Writers: symbols and formulas as plain text and as LaTeX."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.inspection.explanation.formulas import COMPARISONS

CHOICE, ADDED, MULTIPLIED, NEGATED, RAISED, WHOLE = range(6)  # precedence


class Writer(ABC):
    """Writes expressions; names maps a name and the index of the sum around it ("" outside) to text."""

    minus: str
    times: str
    brackets: str  # around {}

    def __init__(self, names: Callable[[str, str], str]) -> None:
        self.names = names
        self.index = ""

    def write(self, node: ast.expr, first: bool = True) -> str:
        """Return the text of an expression; first: no operator precedes it, so a leading minus needs no brackets."""
        match node:
            case ast.Name(id=name):
                text = self.names(name, self.index)
                return text if first or not text.startswith("-") else self.bracketed(text)
            case ast.Constant(value=value):
                return str(value)
            case ast.UnaryOp(operand=operand):
                text = self.minus + self._held(operand, NEGATED, False)
                return text if first else self.bracketed(text)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                sign = "+" if isinstance(op, ast.Add) else self.minus
                after = self._held(right, ADDED if sign == "+" else MULTIPLIED, False)
                return f"{self._held(left, ADDED, first)} {sign} {after}"
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return f"{self._held(left, MULTIPLIED, first)} {self.times} {self._held(right, MULTIPLIED, False)}"
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self.divided(left, right, first)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self.raised(self._held(left, WHOLE, False), right)
            case ast.Call(func=ast.Name(id="sum" | "max" as name), args=[body]):
                outer, self.index = self.index, "k" if self.index else "i"
                text = self.over_units(name, self.index, self._held(body, MULTIPLIED, False))
                self.index = outer
                return text
            case ast.Call(func=ast.Name(id=name), args=args):
                return self.called(name, [self.write(argument) for argument in args])
            case ast.IfExp(test=ast.Compare(left=left, ops=[op], comparators=[right]), body=body, orelse=orelse):
                return self.chosen(type(op), *map(self.write, (left, right, body, orelse)))
        raise AssertionError(ast.dump(node))

    def _held(self, node: ast.expr, level: int, first: bool) -> str:
        """Return its text, in brackets if its precedence is too low."""
        return self.bracketed(self.write(node)) if self.level(node) < level else self.write(node, first)

    def level(self, node: ast.expr) -> int:
        """Return the precedence of an expression; a number with a power of ten counts as a product."""
        match node:
            case ast.Name(id=name) if re.search(r"\de-?\d|\\times", self.names(name, self.index)):
                return MULTIPLIED
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return ADDED
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return MULTIPLIED
            case ast.UnaryOp() | ast.Call(func=ast.Name(id="sum")):
                return NEGATED
            case ast.BinOp():
                return RAISED
        return WHOLE

    def bracketed(self, text: str) -> str:
        """Return text in brackets."""
        return self.brackets.format(text)

    @abstractmethod
    def divided(self, left: ast.expr, right: ast.expr, first: bool) -> str:
        """Return a quotient."""

    @abstractmethod
    def raised(self, base: str, exponent: ast.expr) -> str:
        """Return a power."""

    @abstractmethod
    def called(self, name: str, arguments: list[str]) -> str:
        """Return a function of its arguments."""

    @abstractmethod
    def over_units(self, name: str, index: str, body: str) -> str:
        """Return a sum, or the maximum, over all units."""

    @abstractmethod
    def chosen(self, op: type[ast.cmpop], left: str, right: str, body: str, orelse: str) -> str:
        """Return a conditional expression."""


SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SUBSCRIPTS = str.maketrans("0123456789ijkt", "₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜ")


class TextWriter(Writer):
    """Writes expressions as plain text.

    Examples
    --------
    >>> from nanonet.inspection.explanation.formulas import parse
    >>> TextWriter(lambda name, index: name).write(parse("2 * (y - t)**2 / n", "f")[0].expression)
    '2 × (y − t)² / n'
    """

    minus, times, brackets = "−", "×", "({})"

    def divided(self, left: ast.expr, right: ast.expr, first: bool) -> str:
        """Return a / b."""
        return f"{self._held(left, MULTIPLIED, first)} / {self._held(right, NEGATED, False)}"

    def raised(self, base: str, exponent: ast.expr) -> str:
        """Return a²."""
        text = self.write(exponent)
        return base + (text.translate(SUPERSCRIPTS) if text.isdecimal() else f"^({text})")

    def called(self, name: str, arguments: list[str]) -> str:
        """Return exp(a), and |a|."""
        return f"|{arguments[0]}|" if name == "abs" else f"{name}({', '.join(arguments)})"

    def over_units(self, name: str, index: str, body: str) -> str:
        """Return Σᵢ a, or maxᵢ a."""
        return f"{'Σ' if name == 'sum' else name}{index.translate(SUBSCRIPTS)} {body}"

    def chosen(self, op: type[ast.cmpop], left: str, right: str, body: str, orelse: str) -> str:
        """Return it as in Python."""
        return f"({body} if {left} {COMPARISONS[op][0]} {right} else {orelse})"


_LATEX_SIGNS = {ast.Gt: (">", r"\le"), ast.GtE: (r"\ge", "<"), ast.Lt: ("<", r"\ge"), ast.LtE: (r"\le", ">")}


class LatexWriter(Writer):
    r"""Writes expressions as LaTeX.

    Examples
    --------
    >>> from nanonet.inspection.explanation.formulas import parse
    >>> print(LatexWriter(lambda name, index: name).write(parse("(y - t)**2 / n", "f")[0].expression))
    \frac{\left(y - t\right)^{2}}{n}
    """

    minus, times, brackets = "-", r"\times", r"\left({}\right)"

    def divided(self, left: ast.expr, right: ast.expr, first: bool) -> str:
        r"""Return \frac{a}{b}."""
        return rf"\frac{{{self.write(left)}}}{{{self.write(right)}}}"

    def raised(self, base: str, exponent: ast.expr) -> str:
        """Return a^{2}."""
        return f"{base}^{{{self.write(exponent)}}}"

    def called(self, name: str, arguments: list[str]) -> str:
        r"""Return \exp\left(a\right), and \left|a\right|."""
        match name:
            case "abs":
                return rf"\left|{arguments[0]}\right|"
            case "sqrt":
                return rf"\sqrt{{{arguments[0]}}}"
            case "erfc":
                name = "operatorname{erfc}"  # LaTeX has no command for it
        return rf"\{name}{self.bracketed(', '.join(arguments))}"

    def over_units(self, name: str, index: str, body: str) -> str:
        r"""Return \sum_{i} a, or \max_{i} a."""
        return rf"\{name}_{{{index}}} {body}"

    def chosen(self, op: type[ast.cmpop], left: str, right: str, body: str, orelse: str) -> str:
        """Return it as cases."""
        holds, fails = _LATEX_SIGNS[op]
        other = f"{orelse} & ({left} {fails} {right})"
        return rf"\begin{{cases}} {body} & ({left} {holds} {right}) \\ {other} \end{{cases}}"


# ---- both notations


@dataclass(frozen=True)
class Symbol:
    """The notation of a quantity, as text and in LaTeX, with "#" as a placeholder for the unit."""

    text: str
    latex: str

    def at(self, unit: int | str | None) -> Symbol:
        """Return the symbol of one unit."""
        return Symbol(self.text.replace("#", str(unit)), self.latex.replace("#", str(unit)))


@dataclass(frozen=True)
class Placed(Symbol):
    """The notation of an array with several axes, whose entries are numbered in C order."""

    shape: Shape

    def at(self, unit: int | str | None) -> Symbol:
        """Return the symbol of one entry, with its indices."""
        number = str(unit)
        indices = np.unravel_index(int(number), self.shape) if number.isdecimal() else "cijklmno"[: len(self.shape)]
        return super().at(", ".join(map(str, indices)))


@dataclass(frozen=True)
class Chosen(Symbol):
    """The notation of some entries of a quantity, by their numbers or indices in it; ``#`` is not replaced."""

    whole: Symbol
    units: Sequence[int | str]

    def at(self, unit: int | str | None) -> Symbol:
        """Return the symbol of one of them."""
        return self.whole.at(self.units[int(str(unit))])


def placed(symbol: Symbol, shape: Shape) -> Symbol:
    """Return the symbol of an array, which has a number for each axis if there are several."""
    return Placed(symbol.text, symbol.latex, shape) if len(shape) > 1 else symbol


GREEK = {"μ": r"\mu", "σ": r"\sigma"}


def word(name: str, index: str = "") -> Symbol:
    """Return the symbol of a quantity without a layer: t[#], learning_rate."""
    return Symbol(name + index, (name if len(name) == 1 else rf"\mathrm{{{escaped(name)}}}") + index)


def layered(letter: str, layer: str, index: str = "[#]") -> Symbol:
    """Return the symbol of a quantity of a layer: a₂[#]."""
    plain = layer.replace(".", "").isdecimal()
    below = layer.translate(SUBSCRIPTS) if plain else f"_{layer}"
    latex_below = layer if plain else rf"\mathrm{{{escaped(layer)}}}"
    return Symbol(letter + below + index, f"{_latex_letter(letter)}_{{{latex_below}}}{index}")


def _latex_letter(letter: str) -> str:
    """Return a letter, a name of several, or a letter that is marked with a number and a direction, such as h¹←."""
    base = letter.rstrip("←→")
    arrow = {"←": r"\leftarrow", "→": r"\rightarrow"}.get(letter[len(base) :], "")
    plain = base.rstrip("⁰¹²³⁴⁵⁶⁷⁸⁹")
    mark = base[len(plain) :].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")) + arrow
    named = GREEK.get(plain, plain if len(plain) == 1 else rf"\mathrm{{{escaped(plain)}}}")
    return named + (f"^{{{mark}}}" if mark else "")


def escaped(name: str) -> str:
    """Return a name escaped for LaTeX."""
    return name.replace("_", r"\_")


def derivative_by(symbol: Symbol) -> Symbol:
    """Return the symbol of the derivative of E with respect to another symbol."""
    return replace(symbol, text=f"dE/d{symbol.text}", latex=rf"\frac{{\partial E}}{{\partial {symbol.latex}}}")


def numeral(printed: str) -> Symbol:
    r"""Return a number in both notations: -1.25e-7 is -1.25 \times 10^{-7} in LaTeX."""
    special = {"NaN": r"\mathrm{NaN}", "inf": r"\infty", "-inf": r"-\infty"}
    return Symbol(printed, special.get(printed) or re.sub(r"e(-?\d+)$", r" \\times 10^{\1}", printed))


def symbolic(expression: ast.expr, names: Callable[[str, str], Symbol]) -> Symbol:
    """Return an expression in both notations; names maps a name and an index to its symbol, as for a Writer."""
    text = TextWriter(lambda name, index: names(name, index).text).write(expression)
    return Symbol(text, LatexWriter(lambda name, index: names(name, index).latex).write(expression))
