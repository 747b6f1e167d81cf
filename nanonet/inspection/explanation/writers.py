"""Writers: a formula as plain text and as LaTeX."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Callable

from nanonet.inspection.explanation.formulas import COMPARISONS

CHOICE, ADDED, MULTIPLIED, NEGATED, RAISED, WHOLE = range(6)  # precedence


class Writer(ABC):
    """Writes expressions; names maps a name and the index of the sum around it ("" outside) to text."""

    minus: str
    times: str

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
            case ast.Call(func=ast.Name(id="sum"), args=[body]):
                return self._over_units(body)
            case ast.Call(func=ast.Name(id="max"), args=[body]):
                return self._largest(body)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self.called(name, [self.write(argument) for argument in args])
            case ast.IfExp(test=ast.Compare(left=left, ops=[op], comparators=[right]), body=body, orelse=orelse):
                return self.chosen(self.write(body), self.write(left), op, self.write(right), orelse)
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

    def _over_units(self, body: ast.expr) -> str:
        outer, self.index = self.index, "k" if self.index else "i"
        text = self.summed(self.index, self._held(body, MULTIPLIED, False))
        self.index = outer
        return text

    def _largest(self, body: ast.expr) -> str:
        outer, self.index = self.index, "k" if self.index else "i"
        text = self.largest(self.index, self._held(body, MULTIPLIED, False))
        self.index = outer
        return text

    @staticmethod
    def number(printed: str) -> str:
        """Return a number in this notation."""
        return printed

    @abstractmethod
    def bracketed(self, text: str) -> str:
        """Return text in brackets."""

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
    def summed(self, index: str, body: str) -> str:
        """Return a sum over all units."""

    @abstractmethod
    def largest(self, index: str, body: str) -> str:
        """Return the maximum over all units."""

    @abstractmethod
    def chosen(self, body: str, left: str, op: ast.cmpop, right: str, orelse: ast.expr) -> str:
        """Return a conditional expression."""


SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SUBSCRIPTS = str.maketrans("0123456789ik", "₀₁₂₃₄₅₆₇₈₉ᵢₖ")


class TextWriter(Writer):
    """Writes expressions as plain text.

    Examples
    --------
    >>> from nanonet.inspection.explanation.formulas import parse
    >>> TextWriter(lambda name, index: name).write(parse("2 * (y - t)**2 / n", "f")[0].expression)
    '2 × (y − t)² / n'
    """

    minus, times = "−", "×"

    def bracketed(self, text: str) -> str:
        """Return (text)."""
        return f"({text})"

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

    def summed(self, index: str, body: str) -> str:
        """Return Σᵢ a."""
        return f"Σ{index.translate(SUBSCRIPTS)} {body}"

    def largest(self, index: str, body: str) -> str:
        """Return maxᵢ a."""
        return f"max{index.translate(SUBSCRIPTS)} {body}"

    def chosen(self, body: str, left: str, op: ast.cmpop, right: str, orelse: ast.expr) -> str:
        """Return it as in Python."""
        return f"({body} if {left} {COMPARISONS[type(op)][0]} {right} else {self.write(orelse)})"


_LATEX_SIGNS = {ast.Gt: (">", r"\le"), ast.GtE: (r"\ge", "<"), ast.Lt: ("<", r"\ge"), ast.LtE: (r"\le", ">")}


class LatexWriter(Writer):
    r"""Writes expressions as LaTeX.

    Examples
    --------
    >>> from nanonet.inspection.explanation.formulas import parse
    >>> print(LatexWriter(lambda name, index: name).write(parse("(y - t)**2 / n", "f")[0].expression))
    \frac{\left(y - t\right)^{2}}{n}
    """

    minus, times = "-", r"\times"

    @staticmethod
    def number(printed: str) -> str:
        r"""Return -1.25e-7 as -1.25 \times 10^{-7}."""
        special = {"NaN": r"\mathrm{NaN}", "inf": r"\infty", "-inf": r"-\infty"}
        return special.get(printed) or re.sub(r"e(-?\d+)$", r" \\times 10^{\1}", printed)

    def bracketed(self, text: str) -> str:
        r"""Return \left(text\right)."""
        return rf"\left({text}\right)"

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

    def summed(self, index: str, body: str) -> str:
        r"""Return \sum_{i} a."""
        return rf"\sum_{{{index}}} {body}"

    def largest(self, index: str, body: str) -> str:
        r"""Return \max_{i} a."""
        return rf"\max_{{{index}}} {body}"

    def chosen(self, body: str, left: str, op: ast.cmpop, right: str, orelse: ast.expr) -> str:
        """Return it as cases."""
        holds, fails = _LATEX_SIGNS[type(op)]
        other = f"{self.write(orelse)} & ({left} {fails} {right})"
        return rf"\begin{{cases}} {body} & ({left} {holds} {right}) \\ {other} \end{{cases}}"
