"""Formulas: small Python expressions that are parsed, typeset and evaluated.

The language: names, numbers, + - * / **, abs, exp, log, sqrt, tanh, erfc, max and min, ``A if a > 0 else B``, and, with
one argument, ``sum(...)`` and ``max(...)`` over all units of a layer. Parts can be named first: ``s = sum(exp(y));
exp(y) / s``. No code is executed: the text is parsed, and its syntax tree evaluated.
"""

from __future__ import annotations

import ast
import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

WORKING = Context(prec=60, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # NaN raises nothing
MOST = 8  # terms of a sum that are shown in full; of a longer one the first three and the last
FIRST = 3
REST = "…"  # not a valid name in a formula


class Step(NamedTuple):
    """A part of a formula with its name; the last part, the formula's value, has no name."""

    name: str
    expression: ast.expr


# ---- reading


def parse(formula: str, owner: str) -> list[Step]:
    """Return the parts of a formula in order.

    Raises
    ------
    ValueError
        If it is not a valid formula; owner is named in the message.

    Examples
    --------
    >>> [step.name for step in parse("s = 1 + a; y / s", "Swing")]
    ['s', '']
    """
    if not isinstance(formula, str):
        raise TypeError(f"{owner}: expected a formula as text, such as 'y * (1 - y)', got {formula!r:.60}")
    try:
        statements = ast.parse(formula.strip()).body
    except SyntaxError as error:
        raise ValueError(f"{owner}: {formula!r} is not a formula: {error.msg}") from None
    steps = []
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            steps.append(Step(statement.targets[0].id, statement.value))
        elif isinstance(statement, ast.Expr):
            steps.append(Step("", statement.value))
        else:
            raise ValueError(f"{owner}: {formula!r} is not a formula: {ast.unparse(statement)!r} is not part of one")
    if not steps or [step.name for step in steps].index("") != len(steps) - 1:
        raise ValueError(f"{owner}: {formula!r} is not a formula: it ends in one expression, as in 's = a * a; 2 * s'")
    for step in steps:
        _check(step.expression, formula, owner)
    return steps


def names(expression: ast.AST) -> list[str]:
    """Return the distinct names in an expression, without functions, from left to right.

    Examples
    --------
    >>> names(parse("y * exp(t - y)", "f")[0].expression)
    ['y', 't']
    """
    if isinstance(expression, ast.Name):
        return [expression.id]
    children = expression.args if isinstance(expression, ast.Call) else ast.iter_child_nodes(expression)
    return list(dict.fromkeys(name for child in children for name in names(child)))


def _check(expression: ast.expr, formula: str, owner: str) -> None:
    questions = {id(node.test) for node in ast.walk(expression) if isinstance(node, ast.IfExp)}
    for node in ast.walk(expression):
        strange = isinstance(node, ast.Compare) and id(node) not in questions  # True or False is not a number
        if isinstance(node, ast.expr) and (strange or not _known(node)):
            raise ValueError(
                f"{owner}: {formula!r} is not a formula: {ast.unparse(node)!r} is not part of one; there are names, "
                f"numbers, + - * / **, {', '.join(_FUNCTIONS)}, and 'A if a > 0 else B'"
            )


def _known(node: ast.expr) -> bool:
    match node:
        case ast.Name() | ast.IfExp():
            return True
        case ast.Constant(value=value):
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case ast.BinOp(op=op):
            return type(op) in _OPERATIONS
        case ast.UnaryOp(op=op):
            return isinstance(op, ast.USub)
        case ast.Compare(ops=ops):
            return len(ops) == 1 and type(ops[0]) in _COMPARISONS
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return name in _FUNCTIONS and (bool(args) if name in _OF_MANY else len(args) == 1)
    return False


# ---- evaluation


def _exp(a: Decimal) -> Decimal:
    return a.exp(WORKING)


def _tanh(a: Decimal) -> Decimal:
    power = _exp(-2 * abs(a))
    return ((1 - power) / (1 + power)).copy_sign(a)


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798")


def _erfc(a: Decimal) -> Decimal:
    """Return 1 - erf(a): by the series of erf with positive terms, or by the continued fraction far from 0."""
    if a.is_nan():
        return a
    with localcontext(WORKING) as context:
        context.prec += 20  # 1 - erf cancels 17 of them
        z, square = abs(a), a * a
        if z < 6:
            n, term, total = 0, z, z
            while term > total * Decimal(10) ** -context.prec:
                n += 1
                term *= 2 * square / (2 * n + 1)
                total += term
            tail = 1 - 2 * total * (-square).exp() / _PI.sqrt()
        else:
            fraction = z
            for n in range(100, 0, -1):
                fraction = z + Decimal(n) / 2 / fraction
            tail = (-square).exp() / fraction / _PI.sqrt()
    return WORKING.subtract(Decimal(2), tail) if a < 0 else WORKING.plus(tail)


_FUNCTIONS: dict[str, Callable[..., Decimal]] = {
    "abs": abs,
    "exp": _exp,
    "log": lambda a: a.ln(WORKING),
    "sqrt": lambda a: a.sqrt(WORKING),
    "tanh": _tanh,
    "erfc": _erfc,
    "max": lambda *numbers: max(numbers),
    "min": lambda *numbers: min(numbers),
    "sum": lambda *numbers: sum(numbers, Decimal(0)),
}
_OF_MANY = ("max", "min")
_OPERATIONS: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b if b else Decimal(1),
}
_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Decimal, Decimal], bool]]] = {
    ast.Gt: (">", lambda a, b: a > b),
    ast.GtE: (">=", lambda a, b: a >= b),
    ast.Lt: ("<", lambda a, b: a < b),
    ast.LtE: ("<=", lambda a, b: a <= b),
}


def evaluate(expression: ast.expr, values: Mapping[str, Decimal]) -> Decimal:
    """Return the value of an expression to 60 digits, NaN if it is undefined.

    Examples
    --------
    >>> evaluate(parse("y * (1 - y)", "f")[0].expression, {"y": Decimal("0.1")})
    Decimal('0.09')
    """
    with localcontext(WORKING):
        return _value(expression, values)


def _value(node: ast.expr, values: Mapping[str, Decimal]) -> Decimal:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=value):
            return Decimal(repr(value))
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATIONS[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(operand=operand):
            return -_value(operand, values)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name](*(_value(argument, values) for argument in args))
        case ast.IfExp(test=ast.Compare(left=left, ops=[op], comparators=[right]), body=body, orelse=orelse):
            holds = _COMPARISONS[type(op)][1](_value(left, values), _value(right, values))
            return _value(body if holds else orelse, values)
    raise AssertionError(ast.dump(node))


# ---- one unit at a time


class Spread(NamedTuple):
    """An expression for one unit, in which every sum is expanded.

    "y" becomes "y.0", "y.1", ...; "….0" represents the omitted terms, which are in rests.
    """

    expression: ast.expr
    rests: dict[str, ast.expr]


def spread(expression: ast.expr, vectors: Mapping[str, int], unit: int | None) -> Spread:
    """Expand an expression for one unit; vectors holds the number of units of each name that has several."""
    spreader = _Spreader(vectors, unit)
    return Spread(spreader.visit(copy.deepcopy(expression)), spreader.rests)


def shown(count: int) -> list[int]:
    """Return the indices of the terms that are shown.

    Examples
    --------
    >>> shown(3), shown(20)
    ([0, 1, 2], [0, 1, 2, 19])
    """
    return list(range(count)) if count <= MOST else [*range(FIRST), count - 1]


def has_sum(expression: ast.expr) -> bool:
    """Tell whether the expression has a sum or maximum over all units."""
    return any(_runs_over_units(node) for node in ast.walk(expression))


def per_unit(expression: ast.AST, vectors: Mapping[str, int]) -> bool:
    """Tell whether an expression has a value per unit: whether it contains a vector outside all sums.

    Examples
    --------
    >>> per_unit(parse("sum(y)", "f")[0].expression, {"y": 3}), per_unit(parse("y / 2", "f")[0].expression, {"y": 3})
    (False, True)
    """
    if _runs_over_units(expression):
        return False
    inside = isinstance(expression, ast.Name) and expression.id in vectors
    return inside or any(per_unit(child, vectors) for child in ast.iter_child_nodes(expression))


def _runs_over_units(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="sum" | "max"), args=[_]):
            return True
    return False


class _Spreader(ast.NodeTransformer):
    def __init__(self, vectors: Mapping[str, int], unit: int | None) -> None:
        self.vectors, self.unit = vectors, unit
        self.rests: dict[str, ast.expr] = {}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _name(f"{node.id}.{self.unit}") if node.id in self.vectors else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if not _runs_over_units(node):
            node.args = [self.visit(argument) for argument in node.args]
            return node
        assert isinstance(node.func, ast.Name)
        (body,) = node.args
        count = max(self.vectors[name] for name in names(body) if name in self.vectors)
        terms = [self._at(i, body) for i in shown(count)]
        hidden = [self._at(i, body) for i in range(count) if i not in shown(count)]
        if hidden:
            rest = f"{REST}.{len(self.rests)}"
            self.rests[rest] = ast.Call(node.func, hidden, [])
            terms.insert(FIRST, _name(rest))
        if node.func.id == "max" and count > 1:
            return ast.Call(node.func, terms, [])
        total = terms[0]
        for term in terms[1:]:
            total = ast.BinOp(total, ast.Add(), term)
        return total

    def _at(self, unit: int, body: ast.expr) -> ast.expr:
        outer, self.unit = self.unit, unit
        term: ast.expr = self.visit(copy.deepcopy(body))
        self.unit = outer
        return term


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


# ---- writing

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
        return f"({body} if {left} {_COMPARISONS[type(op)][0]} {right} else {self.write(orelse)})"


_LATEX_SIGNS = {ast.Gt: (">", r"\le"), ast.GtE: (r"\ge", "<"), ast.Lt: ("<", r"\ge"), ast.LtE: (r"\le", ">")}


class LatexWriter(Writer):
    r"""Writes expressions as LaTeX.

    Examples
    --------
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
