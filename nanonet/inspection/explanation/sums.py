"""TermSum: the lines of an entry whose layer states its terms, dE/dz = Σ dE/dy × factor."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

from nanonet.inspection.explanation.equations import Equation, Number, Quantities, Quantity, WorkedLine, taken
from nanonet.inspection.explanation.formulas import parse, shown
from nanonet.inspection.explanation.path import back_of, grad_of, units_of
from nanonet.inspection.explanation.terms import Entry, Factor, Terms, factor_of
from nanonet.inspection.explanation.writers import (
    SUBSCRIPTS,
    Chosen,
    Symbol,
    derivative_by,
    layered,
    numeral,
    placed,
    word,
)
from nanonet.inspection.record import LayerTrace
from nanonet.inspection.rounding import shortest

_SUM, _SUM_OF_G = (parse(text, "")[0].expression for text in ("sum(g * x)", "sum(g)"))
LETTERS = {"bias": "b", "weight": "W"}


class TermSum:
    """The sum that one entry's gradient is; x is the symbol of the layer's input."""

    def __init__(self, record: LayerTrace, terms: Terms, x: Symbol) -> None:
        self.record, self.terms, self.x = record, terms, x

    @property
    def factor(self) -> Symbol:
        """The symbol of what each dE/dy is multiplied by."""
        record, factor = self.record, self.terms.factor
        if isinstance(factor, Factor):
            return layered(factor.letter, record.name)
        if not isinstance(factor, str):
            return numeral(shortest(factor, 17))
        letter = layered(LETTERS.get(factor, factor), record.name)
        return self.x if factor == "x" else placed(letter, factor_of(record, factor).shape)

    def line(self, left: Symbol, truth: Number) -> WorkedLine:
        """Return the line of the sum."""
        record, terms = self.record, self.terms
        if len(terms.outputs) == 0:
            return taken(left, truth)
        quantities = {"g": self._passed_back()}
        if isinstance(terms.factor, Factor):
            indices = [", ".join(map(str, place)) for place in terms.places]
            quantities["x"] = Quantity(Chosen("", "", self.factor, indices), numbers=terms.factor.numbers)
        elif isinstance(terms.factor, str):
            array = factor_of(record, terms.factor)
            places = units_of(terms.places, array.shape)
            quantities["x"] = Quantity(Chosen("", "", self.factor, places), numbers=array.ravel()[places])
        elif terms.factor != 1:
            quantities["x"] = Quantity(self.factor, terms.factor)
        expression = _SUM if "x" in quantities else _SUM_OF_G
        return _SumEquation(expression, quantities, self._in_letters()).line(left, truth)

    def _passed_back(self) -> Quantity:
        """Return dE/dy in each term, or what the layer states in its place."""
        record, signal, outputs = self.record, self.terms.signal, self.terms.outputs
        if signal is None:
            units = units_of(outputs, record.output.shape[1:])
            return Quantity(Chosen("", "", grad_of(record), units), numbers=back_of(record)[units])
        indices = [_listed(tuple(place)) for place in outputs]
        return Quantity(Chosen("", "", self._inner(signal.letter, "#"), indices), numbers=signal.numbers)

    def _inner(self, letter: str, index: str) -> Symbol:
        """Return the symbol of a number inside the layer, or of the derivative by it."""
        by = letter.removeprefix("dE/d")
        if by == "y":
            return layered_as(grad_of(self.record), index)
        symbol = self.x if by == "x" else layered(LETTERS.get(by, by), self.record.name)
        symbol = layered_as(symbol, index)
        return symbol if by == letter else derivative_by(symbol)

    def _worked(self) -> Iterator[WorkedLine]:
        """Yield how the derivatives inside the layer follow from those by its output."""
        for each in self.terms.signal.worked if self.terms.signal is not None else ():
            known = {name: self._entry(value, name) for name, value in each.known.items()}
            expression = parse(each.formula, each.result.letter)[-1].expression
            result = each.result
            yield Equation(expression, known).line(self._inner(result.letter, result.index), float(result.numbers))

    def _entry(self, value: Entry | float, name: str) -> Quantity:
        if not isinstance(value, Entry):
            return Quantity(word(name), value)
        symbol = self._inner(value.letter, value.index)
        if np.ndim(value.numbers):
            return Quantity(symbol, numbers=np.asarray(value.numbers))
        return Quantity(symbol, float(value.numbers))

    def factors(self) -> Iterator[WorkedLine]:
        """Yield how each factor that is shown follows from its formula, if it has one."""
        yield from self._worked()
        factor = self.terms.factor
        if not isinstance(factor, Factor) or not factor.formula:
            return
        x, expression = self.record.input[0], parse(factor.formula, factor.letter)[-1].expression
        for i in shown(len(self.terms.places)):
            place = tuple(map(int, self.terms.places[i]))
            known = {name: self._known(name, value, place) for name, value in factor.known.items()}
            if "x" in factor.arrays(x):
                known["x"] = Quantity(self.x.at(*units_of([place], x.shape)), x[place])
            yield Equation(expression, known).line(self.factor.at(_listed(place)), factor.numbers[i])

    def _known(self, name: str, value: object, place: tuple[int, ...]) -> Quantity:
        """Return a number of a formula: one of the layer, or its entry with the first indices of a place."""
        array = np.asarray(value)
        index = place[: array.ndim]
        symbol = layered(name, self.record.name, f"[{_listed(index)}]" if index else "")
        return Quantity(symbol if isinstance(value, np.ndarray) else word(name), array[index])

    def _in_letters(self) -> Symbol | None:
        """Return the sum in letters, if they are stated."""
        if not self.terms.general or len(self.terms.outputs) < 2:
            return None
        over, output, factor = self.terms.general
        signal = self.terms.signal
        passed = grad_of(self.record) if signal is None else self._inner(signal.letter, "#")
        products = [Symbol.at(passed, output)] + [Symbol.at(self.factor, factor)] * bool(factor)
        text = " × ".join(each.text for each in products)
        latex = r" \times ".join(each.latex.replace("−", "-") for each in products)
        return Symbol(f"Σ{over.translate(SUBSCRIPTS)} {text}", rf"\sum_{{{over}}} {latex}")


class _SumEquation(Equation):
    """A sum over terms that are not units of a layer; it begins with the sum in letters if that is given."""

    def __init__(self, expression: ast.expr, quantities: Quantities, letters: Symbol | None) -> None:
        super().__init__(expression, quantities)
        self.letters = letters

    @property
    def in_symbols(self) -> list[Symbol]:
        """The sum in letters, and its terms."""
        return [self.expanded] if self.letters is None else [self.letters, self.expanded]


def layered_as(symbol: Symbol, index: str) -> Symbol:
    """Return a symbol with an index in the place of its unit."""
    return Symbol(symbol.text.replace("#", index), symbol.latex.replace("#", index))


def _listed(place: tuple[int, ...]) -> str:
    return ", ".join(map(str, place))
