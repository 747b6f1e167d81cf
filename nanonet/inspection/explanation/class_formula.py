"""ClassFormula: a formula declared by a layer or a loss, with the numbers of one pass."""

from __future__ import annotations

import ast
from decimal import Decimal
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.layer import Layer
from nanonet.core.loss import Loss
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.inspection.explanation.equations import (
    Equation,
    Number,
    Quantities,
    Quantity,
    Symbol,
    WorkedLine,
    layered,
    sizes,
    word,
)
from nanonet.inspection.explanation.formulas import names, parse
from nanonet.inspection.explanation.spreading import per_unit
from nanonet.inspection.explanation.writers import LatexWriter, TextWriter
from nanonet.inspection.rounding import shortest
from nanonet.losses.classification import CrossEntropy

PASSES = ("function", "derivative", "forward", "backward")
MEANS = ("counts", "divisor", "total", "mean", "shares")  # of a loss


def stated(thing: Layer | Loss, name: str) -> str | None:
    """Return the formula that an object's class states; None if there is none.

    A parent's formula does not count if a class nearer in the method resolution order overrides a method that it
    describes.

    Examples
    --------
    >>> from nanonet import Sigmoid
    >>> class Steep(Sigmoid):
    ...     def derivative(self, a, y):
    ...         return 2 * y * (1 - y)
    >>> stated(Sigmoid(), "derivative_formula"), stated(Steep(), "derivative_formula")
    ('y * (1 - y)', None)
    """
    described = PASSES + MEANS if isinstance(thing, Loss) else PASSES
    for own in (vars(thing), *map(vars, type(thing).__mro__)):
        if name in own:
            formula: str | None = getattr(thing, name)
            return formula
        if any(method in own for method in described):
            break
    return None


class ClassFormula:
    """A formula of a layer or a loss, with the values of its parts among the quantities."""

    def __init__(self, owner: Layer | Loss, formula: str, quantities: Quantities, layer: str | None) -> None:
        *parts, (_, self.expression) = parse(formula, type(owner).__name__)
        self.quantities, self.parts = dict(quantities), parts
        self.owner, self.formula = type(owner).__name__, formula
        for part in parts:
            self._find(owner, part.expression)
            self.quantities[part.name] = self._part(part.name, part.expression, layer)
        self._find(owner, self.expression)

    def _part(self, name: str, expression: ast.expr, layer: str | None) -> Quantity:
        vectors = sizes(self.quantities)
        inner = "[#]" if per_unit(expression, vectors) else ""
        symbol = word(name, inner) if layer is None else layered(name, layer, inner)
        if not inner:
            return Quantity(symbol, Equation(expression, self.quantities).value)
        count = max(vectors.values())
        return Quantity(symbol, numbers=[Equation(expression, self.quantities, i).value for i in range(count)])

    def _find(self, owner: Layer | Loss, expression: ast.expr) -> None:
        """Add the owner's attributes that an expression names to the quantities."""
        count = max(sizes(self.quantities).values())
        some = next(quantity.numbers[0] for quantity in self.quantities.values() if quantity.number is None)
        cast: Any = some.dtype.type if isinstance(some, np.floating) else np.float64
        for name in names(expression):
            if name in self.quantities:
                continue
            held = getattr(owner, name, None)
            value = np.asarray(held.value if isinstance(held, Parameter) else held)
            if value.dtype.kind not in "fiu" or value.shape not in ((), (count,)):
                raise ValueError(
                    f"{type(owner).__name__}: {self.formula!r} names {name!r}, which is no number of {called(owner)}; "
                    f"known are {', '.join(self.quantities)} and its numeric attributes"
                )
            if value.shape:
                self.quantities[name] = Quantity(word(name, "[#]"), numbers=[cast(number) for number in value])
            else:
                self.quantities[name] = Quantity(word(name), cast(value[()]))

    def shared(self) -> list[WorkedLine]:
        """Return the lines of the parts that are the same for all units."""
        single = [part for part in self.parts if self.quantities[part.name].number is not None]
        return [Equation(part.expression, self.quantities).line(self.quantities[part.name].symbol) for part in single]

    def of_unit(self, unit: int) -> list[WorkedLine]:
        """Return the lines of the parts of one unit."""
        parts = [part for part in self.parts if self.quantities[part.name].number is None]
        symbols = [self.quantities[part.name].symbol.at(unit) for part in parts]
        return [
            Equation(part.expression, self.quantities, unit).line(symbol)
            for part, symbol in zip(parts, symbols, strict=True)
        ]

    def line(self, left: Symbol, truth: Number, unit: int | None = None) -> WorkedLine:
        """Return the line of the formula itself."""
        if unit is None and per_unit(self.expression, sizes(self.quantities)):
            raise ValueError(f"{self.owner}: {self.formula!r} is a number for each output; E is one: try sum(...)")
        return Equation(self.expression, self.quantities, unit).line(left, truth)

    def general(self) -> Symbol:
        """Return the general formula, for a unit j."""

        def symbol(name: str, index: str) -> Symbol:
            return self.quantities[name].symbol.at(index or "j")

        text = TextWriter(lambda name, index: symbol(name, index).text).write(self.expression)
        return Symbol(text, LatexWriter(lambda name, index: symbol(name, index).latex).write(self.expression))


SOFTMAX = CrossEntropy.formula.rpartition(";")[0]  # m, s and p


def is_label(prediction: Array, target: Array) -> bool:
    """Tell whether a target holds labels, one for each row of the prediction."""
    return target.dtype.kind in "iu" and target.shape == prediction.shape[:-1]


def _target_row(prediction: Array, target: Array) -> Array | None:
    """Return t, one number per output, one-hot for a label; None for targets of another shape."""
    if is_label(prediction, target):
        row: Array = np.zeros_like(prediction[0])
        row[target[0]] = 1
        return row
    if target.shape != prediction.shape:
        return None
    given: Array = target[0]
    return given


def loss_formulas(loss: Loss, prediction: Array, target: Array) -> tuple[str | None, str | None, dict[str, Quantity]]:
    """Return E and dE/dy of a loss as formulas, and the quantities in them besides y."""
    known = {"n": Quantity(word("n"), Decimal(prediction.shape[1]))}
    row = _target_row(prediction, target)
    if row is not None:
        known["t"] = Quantity(word("t", "[#]"), numbers=[*row])
    formula, derivative = stated(loss, "formula"), stated(loss, "derivative_formula")
    if not isinstance(loss, CrossEntropy) or row is None or formula != CrossEntropy.formula:
        return formula, derivative, known
    weighted = bool(loss.label_smoothing) or loss.class_weight is not None
    k = "k" if weighted else "t"
    if not weighted and sum(Decimal(shortest(number, 17)) for number in row) == 1:
        return formula, derivative, known
    known[k] = Quantity(word(k, "[#]"), numbers=[*loss.coefficients(prediction, target)[0]])
    counts = loss.divisor(target, None)
    if counts == 1:
        return f"{SOFTMAX}; -sum({k} * log(p))", f"{SOFTMAX}; p * sum({k}) - {k}", known
    known["c"] = Quantity(word("c"), counts)
    return f"{SOFTMAX}; -sum({k} * log(p)) / c", f"{SOFTMAX}; (p * sum({k}) - {k}) / c", known
