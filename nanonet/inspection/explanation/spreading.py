"""Spreading: a formula for a single unit, with every sum over the units of a layer written out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from typing import NamedTuple

from nanonet.inspection.explanation.formulas import names

MOST = 8  # terms of a sum that are shown in full; of a longer one the first three and the last
FIRST = 3
REST = "…"  # not a valid name in a formula


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
    >>> from nanonet.inspection.explanation.formulas import parse
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
