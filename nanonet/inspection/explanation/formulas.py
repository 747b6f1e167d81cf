"""Formulas: small Python expressions that are parsed, expanded for the units of a layer, and evaluated in 60 digits.

A class states its formulas as attributes or properties, and ``trace.explain`` writes them out with numbers; without one
only the value is shown:

- an Activation ``derivative_formula``, f'(a), in a, y and the layer's own numbers: ``"-2 * a * y"``;
- a Loss ``formula``, E of one sample, and ``derivative_formula``, dE/dy of one output, in y, t, n (the number of
  outputs) and the loss's own numbers: ``"sum((y - t)**4)"`` and ``"4 * (y - t)**3"``.

A subclass that overrides a method described by a formula has to state its own.

The language: names, numbers, + - * / **, abs, exp, log, sqrt, tanh, erfc, max and min, ``A if a > 0 else B``, and, with
one argument, ``sum(...)`` and ``max(...)`` over all units of a layer. Parts can be named first: ``s = sum(exp(y));
exp(y) / s``. No code is executed: the text is parsed, and its syntax tree evaluated.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

from nanonet.inspection.shortening import picked

WORKING = Context(prec=60, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # NaN raises nothing


class Part(NamedTuple):
    """A part of a formula with its name; the last part, the formula's value, has no name."""

    name: str
    expression: ast.expr


def parse(formula: str, owner: str) -> list[Part]:
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
            steps.append(Part(statement.targets[0].id, statement.value))
        elif isinstance(statement, ast.Expr):
            steps.append(Part("", statement.value))
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
            return len(ops) == 1 and type(ops[0]) in COMPARISONS
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return name in _FUNCTIONS and (bool(args) if name in _OF_MANY else len(args) == 1)
    return False


# ---- one unit

MOST = 8  # terms of a sum that are shown in full; of a longer one the first three and the last
FIRST = 3
REST = "…"  # not a valid name in a formula


def spread(expression: ast.expr, vectors: Mapping[str, int], unit: int | None) -> tuple[ast.expr, dict[str, ast.expr]]:
    """Return an expression for one unit, with every sum expanded, and the omitted terms of its long sums.

    vectors holds the number of units of each name that has several. "y" becomes "y.0", "y.1", ...; "….0" represents
    the omitted terms.
    """
    spreader = _Spreader(vectors, unit)
    return spreader.visit(copy.deepcopy(expression)), spreader.rests


def shown(count: int) -> list[int]:
    """Return the indices of the terms that are shown.

    Examples
    --------
    >>> shown(3), shown(20)
    ([0, 1, 2], [0, 1, 2, 19])
    """
    return picked(count, MOST, FIRST, 1)


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
COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Decimal, Decimal], bool]]] = {
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
            holds = COMPARISONS[type(op)][1](_value(left, values), _value(right, values))
            return _value(body if holds else orelse, values)
    raise AssertionError(ast.dump(node))
