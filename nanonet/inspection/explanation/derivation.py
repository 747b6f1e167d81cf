"""Derivation: backpropagation from the loss to one entry of a parameter, section by section, with numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from nanonet.core.objects import called
from nanonet.core.tree import Tree
from nanonet.inspection.explanation.equations import Equation, Number, Quantity, WorkedLine, general, taken
from nanonet.inspection.explanation.formulas import REST, parse, shown
from nanonet.inspection.explanation.path import (
    back_of,
    bare,
    chain_of,
    grad_of,
    is_activation,
    is_dense,
    is_dense_row,
    is_once,
    output_of,
    shown_outputs,
    terms_up,
)
from nanonet.inspection.explanation.stated_formula import SOFTMAX, ClassFormula, is_label, loss_formulas, stated
from nanonet.inspection.explanation.sums import TermSum
from nanonet.inspection.explanation.terms import Terms, terms_of
from nanonet.inspection.explanation.writers import (
    Symbol,
    derivative_by,
    escaped,
    layered,
    placed,
    word,
)
from nanonet.inspection.record import LayerTrace, Record
from nanonet.inspection.rounding import shortest
from nanonet.layers.activations import Activation


@dataclass(frozen=True)
class Section:
    """One step of the derivation.

    Attributes
    ----------
    title : str
        Describes the step in words; formulas in backticks.
    rule : Symbol or None
        The general formula, for a unit j, as text and in LaTeX.
    lines : list of WorkedLine
        Its equations.
    """

    title: str
    rule: Symbol | None = None
    lines: list[WorkedLine] = field(default_factory=list)


def _rule(left: Symbol, right: Symbol, by: Symbol, unit: str = "j") -> Symbol:
    """Return left = dE/dby = right for one unit; the middle part is omitted if it equals left."""
    sides = [side.at(unit) for side in dict.fromkeys([left, derivative_by(by)])] + [right]
    return Symbol(" = ".join(side.text for side in sides), " = ".join(side.latex for side in sides))


# ---- the derivation


_G, _PRODUCT, _SUM, _UPDATE = (parse(text, "")[0].expression for text in ("g", "g * x", "sum(g * x)", "w - rate * g"))
MOST_UNITS = 8  # outputs that are followed upwards through a layer that states its terms


class Derivation:
    """The sections that lead from the loss of one sample to one entry of a parameter, and its SGD update for a rate."""

    def __init__(
        self, trace: Record, name: str, place: tuple[int, ...], rate: float | None, phrases: Mapping[str, str]
    ) -> None:
        self.trace, self.name, self.place, self.phrases = trace, name, place, phrases
        self.parameter = Tree(trace.model).parameters[name]
        self.gradient: Number = self.parameter.grad[place]
        self.kind = name.rpartition(".")[2]
        self.indices = ", ".join(map(str, place))
        self.sections: list[Section] = []
        self.rest_explained = False
        symbol = self._begun()
        if rate is not None:
            self._update(symbol, rate)

    def _say(self, *keys: str, rule: Symbol | None = None, lines: list[WorkedLine], **words: object) -> None:
        """Add a section with a title made of these phrases."""
        if any(REST in side for line in lines for side in line.sides) and not self.rest_explained:
            keys, self.rest_explained = (*keys, "rest"), True
        title = "\n".join(self.phrases[key].format(**words) for key in keys)
        self.sections.append(Section(title, rule, lines))

    def _begun(self) -> Symbol:
        """Add the sections down to the gradient, and return the symbol of the entry."""
        owned = {f"{record.name}.{own}": record for record in self.trace.values() for own in record.parameters}
        owner = owned.get(self.name)
        known = self.kind in ("weight", "bias")
        if owner is not None and is_once(self.trace, owner):
            terms = terms_of(owner, self.kind, self.place)
            if terms is not None or (known and is_dense_row(owner)):
                return self._written_out(owner, terms)
        symbol = Symbol(f"{self.name}[{self.indices}]", rf"\mathrm{{{escaped(self.name)}}}[{self.indices}]")
        words: dict[str, Any] = {"name": self.name, "place": self.indices}
        lines = [taken(derivative_by(symbol), self.gradient)]
        if owner is None:
            self._say("not in a layer", lines=lines, **words)
        else:
            key = "called again" if is_dense(owner) else "not linear"
            self._say(key, lines=lines, layer=owner.name, what=called(owner.layer), **words)
        return symbol

    def _written_out(self, owner: LayerTrace, terms: Terms | None) -> Symbol:
        """Add the sections from the highest layer that can be written out down to that of the entry."""
        chain, whole = chain_of(self.trace, owner.name)
        start = chain.index(owner)
        symbol = layered({"bias": "b", "weight": "W"}.get(self.kind, self.kind), owner.name, f"[{self.indices}]")
        i, j = (self.place[-1], self.place[0]) if terms is None else (0, 0)
        self._say(
            self.kind if terms is None else "entry", "indices", lines=[], name=self.name, place=self.indices,
            symbol=symbol.text, i=i, j=j, layer=owner.name, what=called(owner.layer),
        )  # fmt: skip
        path, needed = [owner], [[j] if terms is None else shown_outputs(owner, [terms])]
        for record in chain[start + 1 :]:
            units = self._next_units(record, needed[-1])
            if units is None:
                break
            path.append(record)
            needed.append(units)
        above = next(iter(chain[start + len(path) :]), None)
        if whole and above is None and path[-1].output.ndim == 2:
            self._from_loss(path[-1], needed[-1])
        elif whole and above is None:
            self._from_loss_of_images(path[-1], needed[-1])
        else:
            self._from_above(path[-1], above, needed[-1])
        for (below, record), units in reversed(list(zip(pairwise(path), needed, strict=False))):
            if is_dense_row(record):
                self._through_linear(record, below, units)
            elif is_activation(record):
                self._through_activation(record, below, units)
            else:
                self._through_terms(record, below, units)
        x = output_of(chain[start - 1]) if start else word("x", "[#]") if whole else layered("x", owner.name)
        x = placed(x, owner.input.shape[1:])
        if terms is None:
            self._ended(owner, symbol, x)
        else:
            self._summed(owner, symbol, x, terms)
        return symbol

    def _next_units(self, record: LayerTrace, units: list[int]) -> list[int] | None:
        """Return the outputs of a layer that some of its inputs need; None if it is not written out."""
        if not is_once(self.trace, record):
            return None
        if is_dense_row(record):
            return shown(record.output.shape[1])
        if is_activation(record):
            return units
        terms = terms_up(record, units)
        above = [] if terms is None else shown_outputs(record, terms)
        return None if terms is None or len(above) > MOST_UNITS else above

    # ---- the end

    def _ended(self, owner: LayerTrace, symbol: Symbol, x: Symbol) -> None:
        """Add the section of an entry of a Linear, whose x is a row."""
        i, j = self.place[-1], self.place[0]
        words: dict[str, Any] = {"symbol": symbol.text, "sum": output_of(owner).at(j).text}
        factors, product = {"g": Quantity(grad_of(owner).at(j), back_of(owner)[j])}, _G
        if self.kind == "weight":
            factors["x"], product = Quantity(x.at(i), owner.input[0, i]), _PRODUCT
            words["input"] = x.at(i).text
        lines = [Equation(product, factors).line(derivative_by(symbol), self.gradient)]
        self._say(f"{self.kind} end", lines=lines, **words)

    def _summed(self, owner: LayerTrace, symbol: Symbol, x: Symbol, terms: Terms) -> None:
        """Add the section of an entry of a layer that states its terms."""
        total = TermSum(owner, terms, x)
        lines = [*total.factors(), total.line(derivative_by(symbol), self.gradient)]
        text = terms.words.get(self.phrases["lang"], self.phrases["terms"])
        words = {"z": symbol.text, "x": bare(x), "y": bare(output_of(owner)), "factor": bare(total.factor)}
        self._stated(text, [terms], lines, **words)

    def _stated(self, text: str, terms: list[Terms], lines: list[WorkedLine], **words: str) -> None:
        """Add a section whose title is stated by a layer, and how many terms are omitted."""
        for name, value in words.items():
            text = text.replace(f"{{{name}}}", value)
        left_out = [len(each.outputs) - len(shown(len(each.outputs))) for each in terms]
        if any(left_out):
            few, many = min(filter(None, left_out)), max(left_out)
            count = str(many) if few == many else f"{few}–{many}"
            text += "\n" + self.phrases["omitted"].format(count=count)
        self.sections.append(Section(text, None, lines))

    # ---- the start

    def _from_above(self, top: LayerTrace, above: LayerTrace | None, units: list[int]) -> None:
        lines = [taken(grad_of(top).at(j), back_of(top)[j]) for j in units]
        if above is None:
            self._say("container", layer=top.name, lines=lines)
        else:
            terms = terms_up(above, units) if is_once(self.trace, above) else None
            self._say("opaque" if terms is None else "wide", layer=above.name, what=called(above.layer), lines=lines)

    def _from_loss(self, top: LayerTrace, units: list[int]) -> None:
        trace = self.trace
        loss, target = trace.loss, trace.target
        assert loss is not None
        assert target is not None
        formula, derivative, known = loss_formulas(loss, trace.prediction, target)
        known = {"y": Quantity(output_of(top), numbers=[*top.output[0]]), **known}
        value = trace.model.dtype.type(trace.value)
        if formula is None:
            keys, lines = ["loss number"], [taken(word("E"), value)]
        else:
            keys = ["loss", *["labels"] * is_label(trace.prediction, target), *["coefficients"] * ("k" in known)]
            keys += [*["counts"] * ("c" in known), *["largest"] * formula.startswith(SOFTMAX)]
            written = ClassFormula(loss, formula, known)
            everyone = sorted({*units, *shown(len(top.output[0]))})
            lines = [line for j in (None, *everyone) for line in written.parts_of(j)]
            lines.append(written.line(word("E"), value))
        self._say(*keys, loss=called(loss), target="t[j]", lines=lines)
        grad, output = grad_of(top), output_of(top)
        if derivative is None:
            self._say("error number", lines=[taken(grad.at(j), back_of(top)[j]) for j in units])
            return
        written = ClassFormula(loss, derivative, known)
        lines = written.parts_of(None)
        for j in units:
            lines += [*written.parts_of(j), written.line(grad.at(j), back_of(top)[j], j)]
        lines = [line for line in lines if line not in self.sections[-1].lines]
        rule = _rule(grad, general(written.expression, written.quantities), output)
        key = "error signal" if top.symbol == "a" else "error"
        self._say(key, output=output.at("j").text, layer=top.name, rule=rule, lines=lines)

    def _from_loss_of_images(self, top: LayerTrace, units: list[int]) -> None:
        loss, value = self.trace.loss, self.trace.model.dtype.type(self.trace.value)
        shape = " × ".join(map(str, top.output.shape[1:]))
        self._say("loss of images", loss=called(loss), shape=shape, lines=[taken(word("E"), value)])
        lines = [taken(grad_of(top).at(j), back_of(top)[j]) for j in units]
        self._say("error of images", output=output_of(top).at("j").text, lines=lines)

    # ---- through one layer

    def _through_terms(self, above: LayerTrace, below: LayerTrace, units: list[int]) -> None:
        """Go back through a layer that states the terms of its x."""
        x, grad = output_of(below), grad_of(below)
        stated = terms_up(above, units) or []
        sums = [TermSum(above, terms, x) for terms in stated]
        factors = {line.left: line for total in sums for line in total.factors()}
        lines = [total.line(grad.at(unit), back_of(below)[unit]) for unit, total in zip(units, sums, strict=True)]
        title = self.phrases["through"].format(layer=above.name, what=called(above.layer))
        text = next((terms.words for terms in stated), {}).get(self.phrases["lang"], self.phrases["terms of x"])
        words = {"x": bare(x), "y": bare(output_of(above)), "factor": next((bare(total.factor) for total in sums), "")}
        self._stated(f"{title}\n{text}", stated, [*factors.values(), *lines], **words)

    def _through_linear(self, above: LayerTrace, below: LayerTrace, units: list[int]) -> None:
        grad, lines = grad_of(below), []
        weight = layered("W", above.name, "[#, k]")
        g = Quantity(grad_of(above), numbers=[*back_of(above)])
        for k in units:
            w = Quantity(layered("W", above.name, f"[#, {k}]"), numbers=[*above.parameters["weight"][:, k]])
            lines.append(Equation(_SUM, {"g": g, "x": w}).line(grad.at(k), back_of(below)[k]))
        self._say(
            "linear to sums" if below.symbol == "a" else "linear", layer=above.name, what=called(above.layer),
            below=below.name, input=output_of(below).at("k").text, output=output_of(above).at("i").text,
            weight=weight.at("i").text,
            rule=_rule(grad, general(_SUM, {"g": g, "x": Quantity(weight)}), output_of(below), "k"), lines=lines,
        )  # fmt: skip

    def _through_activation(self, above: LayerTrace, below: LayerTrace, units: list[int]) -> None:
        layer = above.layer
        assert isinstance(layer, Activation)
        a, y, grad = output_of(below), output_of(above), grad_of(below)
        with np.errstate(all="ignore"):
            slopes = layer.derivative(above.input, above.output)[0].ravel()
        factors = {
            "g": Quantity(grad_of(above), numbers=back_of(above)),
            "x": Quantity(replace(a, text=f"f′({a.text})", latex=f"f'({a.latex})"), numbers=slopes),
        }
        slope, formula, lines = factors["x"].symbol, stated(layer, "derivative_formula"), list[WorkedLine]()
        if formula is not None:
            x, values = above.input[0].ravel(), above.output[0].ravel()
            known = {"a": Quantity(a, numbers=x), "y": Quantity(y, numbers=values)}
            written = ClassFormula(layer, formula, known, above.name, above.input.shape[1:])
            lines = written.parts_of(None)
        for j in units:
            if formula is None:
                lines.append(taken(slope.at(j), slopes[j]))
            else:
                lines += [*written.parts_of(j), written.line(slope.at(j), slopes[j], j)]
            lines.append(Equation(_PRODUCT, factors, j).line(grad.at(j), back_of(below)[j]))
        self._say(
            "activation to sums" if below.symbol == "a" else "activation",
            *["derivative number"] * (formula is None),
            layer=above.name, what=called(layer), below=below.name, input=bare(a), output=bare(y),
            rule=_rule(grad, general(_PRODUCT, factors), a), lines=lines,
        )  # fmt: skip

    # ---- the update

    def _update(self, symbol: Symbol, rate: float) -> None:
        quantities = {
            "w": Quantity(symbol, self.parameter.value[self.place]),
            "rate": Quantity(word("learning_rate"), rate),
            "g": Quantity(derivative_by(symbol), self.gradient),
        }
        line = Equation(_UPDATE, quantities).line(symbol, relation="←")
        self._say("update" if self.parameter.trainable else "frozen", rate=shortest(rate, 17), lines=[line])
