"""ClassFormula: a formula stated by a layer or a loss, with the numbers of one pass."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.inspection.explanation.equations import Equation, Number, Quantities, Quantity, WorkedLine, sizes
from nanonet.inspection.explanation.formulas import names, parse, per_unit
from nanonet.inspection.explanation.writers import Symbol, layered, placed, word
from nanonet.inspection.rounding import shortest
from nanonet.losses.classification import CrossEntropy
from nanonet.losses.loss import Loss

DESCRIBED = ("function", "derivative", "forward", "backward")  # the methods that a formula describes
AVERAGED = ("counts", "divisor", "total", "mean", "shares")  # further ones of a loss


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
    described = DESCRIBED + AVERAGED if isinstance(thing, Loss) else DESCRIBED
    for own in (vars(thing), *map(vars, type(thing).__mro__)):
        if name in own:
            formula: str | None = getattr(thing, name)
            return formula
        if any(method in own for method in described):
            break
    return None


class ClassFormula:
    """A formula of a layer or a loss, with the values of its parts among the quantities.

    layer is the name of the layer, by which its parts are marked; None for a loss. shape is that of the units, if they
    have more than one axis.
    """

    def __init__(
        self,
        owner: Layer | Loss,
        formula: str,
        quantities: Quantities,
        layer: str | None = None,
        shape: Shape = (),
    ) -> None:
        self.owner, self.formula, self.quantities, self.shape = owner, formula, dict(quantities), shape
        *self.parts, (_, self.expression) = parse(formula, type(owner).__name__)
        for name, expression in self.parts:
            self._find(expression)
            self.quantities[name] = self._part(name, expression, layer)
        self._find(self.expression)

    def _part(self, name: str, expression: ast.expr, layer: str | None) -> Quantity:
        vectors = sizes(self.quantities)
        inner = "[#]" if per_unit(expression, vectors) else ""
        symbol = word(name, inner) if layer is None else layered(name, layer, inner)
        if not inner:
            return Quantity(symbol, Equation(expression, self.quantities).value)
        known = dict(self.quantities)
        numbers = _Each(max(vectors.values()), lambda i: Equation(expression, known, i).value)
        return Quantity(placed(symbol, self.shape), numbers=numbers)

    def _find(self, expression: ast.expr) -> None:
        """Add the owner's attributes that an expression names to the quantities."""
        count = max(sizes(self.quantities).values())
        some = next(quantity.numbers[0] for quantity in self.quantities.values() if quantity.number is None)
        cast: Any = some.dtype.type if isinstance(some, np.floating) else np.float64
        for name in names(expression):
            if name in self.quantities:
                continue
            held = getattr(self.owner, name, None)
            value = np.asarray(held.value if isinstance(held, Parameter) else held)
            if value.shape and len(self.shape) > 1:
                value = _spread(value, self.shape)
            if value.dtype.kind not in "fiu" or value.shape not in ((), (count,)):
                raise ValueError(
                    f"{type(self.owner).__name__}: {self.formula!r} names {name!r}, which is no number of "
                    f"{called(self.owner)}; known are {', '.join(self.quantities)} and its numeric attributes"
                )
            if value.shape:
                symbol = placed(word(name, "[#]"), self.shape)
                self.quantities[name] = Quantity(symbol, numbers=[cast(number) for number in value])
            else:
                self.quantities[name] = Quantity(word(name), cast(value[()]))

    def parts_of(self, unit: int | None) -> list[WorkedLine]:
        """Return the lines of the parts of one unit; None: of those that are the same for all units."""
        lines = []
        for name, expression in self.parts:
            quantity = self.quantities[name]
            if (quantity.number is None) == (unit is not None):
                lines.append(Equation(expression, self.quantities, unit).line(quantity.symbol.at(unit)))
        return lines

    def line(self, left: Symbol, truth: Number, unit: int | None = None) -> WorkedLine:
        """Return the line of the formula itself."""
        if unit is None and per_unit(self.expression, sizes(self.quantities)):
            owner = type(self.owner).__name__
            raise ValueError(f"{owner}: {self.formula!r} is a number for each output; E is one: try sum(...)")
        return Equation(self.expression, self.quantities, unit).line(left, truth)


class _Each(Sequence[Number]):
    """The numbers of all units, each computed when it is asked for: of a feature map only a few are."""

    def __init__(self, count: int, function: Callable[[int], Number]) -> None:
        self._count, self._function = count, cache(function)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, i: int) -> Number: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Number]: ...
    def __getitem__(self, i: int | slice) -> Number | Sequence[Number]:
        if isinstance(i, slice):
            return [self._function(k) for k in range(*i.indices(self._count))]
        return self._function(range(self._count)[i])


def _spread(value: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """Return an array with one number for each unit, if it can be broadcast to them; else as it is."""
    try:
        return np.broadcast_to(value, shape).ravel()
    except ValueError:
        return value


SOFTMAX = CrossEntropy.formula.rpartition(";")[0]  # m, s and p


def is_label(prediction: Array, target: Array) -> bool:
    """Tell whether a target holds labels, one for each row of the prediction."""
    return target.dtype.kind in "iu" and target.shape == prediction.shape[:-1]


def loss_formulas(loss: Loss, prediction: Array, target: Array) -> tuple[str | None, str | None, dict[str, Quantity]]:
    """Return E and dE/dy of a loss as formulas, and the quantities in them besides y.

    t is a row of numbers, one-hot for a label; a target of another shape cannot be named.
    """
    formula, derivative = stated(loss, "formula"), stated(loss, "derivative_formula")
    known = {"n": Quantity(word("n"), Decimal(prediction.shape[1]))}
    if is_label(prediction, target):
        row = np.zeros_like(prediction[0])
        if 0 <= target[0] < len(row):  # else it is ignored
            row[target[0]] = 1
    elif target.shape == prediction.shape:
        row = target[0]
    elif target.shape == (*prediction.shape[:-1], 1):
        row = np.broadcast_to(target[0], prediction.shape[1:])  # one for all outputs, as of several quantiles
    else:
        return formula, derivative, known
    known["t"] = Quantity(word("t", "[#]"), numbers=[*row])
    if not isinstance(loss, CrossEntropy) or formula != CrossEntropy.formula:
        return formula, derivative, known
    weighted = bool(loss.label_smoothing) or loss.class_weight is not None
    if not weighted and sum(Decimal(shortest(number, 17)) for number in row) == 1:
        return formula, derivative, known
    k, divided = "k" if weighted else "t", ""
    known[k] = Quantity(word(k, "[#]"), numbers=[*loss.coefficients(prediction, target)[0]])
    counts = loss.divisor(target, None)
    if counts != 1:
        known["c"], divided = Quantity(word("c"), counts), " / c"
    return f"{SOFTMAX}; -sum({k} * log(p)){divided}", f"{SOFTMAX}; (p * sum({k}) - {k}){divided}", known
