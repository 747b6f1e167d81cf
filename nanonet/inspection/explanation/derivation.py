"""Derivation: backpropagation from the loss to one entry of a parameter, section by section, with numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.chain import Chain
from nanonet.core.layer import Activation
from nanonet.core.objects import called
from nanonet.core.tree import Tree
from nanonet.inspection.explanation.equations import Equation, Number, Quantity, WorkedLine, general, taken
from nanonet.inspection.explanation.formulas import REST, parse, shown
from nanonet.inspection.explanation.stated_formula import SOFTMAX, ClassFormula, is_label, loss_formulas, stated
from nanonet.inspection.explanation.writers import Symbol, derivative_by, escaped, layered, word
from nanonet.inspection.record import LayerTrace, Record, is_plain, is_within
from nanonet.inspection.rounding import shortest
from nanonet.layers.linear import Linear

PASSES = ("forward", "backward")


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


# ---- the path


def _is_dense(record: LayerTrace) -> bool:
    return is_plain(record.layer, Linear, *PASSES)


def _is_written(trace: Record, record: LayerTrace) -> bool:
    """Tell whether a layer's computation on one row of numbers can be written out."""
    rows = record.input.ndim == 2 and record.output.ndim == 2
    once = f"{record.name}#2" not in trace and record.grad_output is not None
    return rows and once and (isinstance(record.layer, Activation) or _is_dense(record))


def _chain(trace: Record, name: str) -> tuple[list[LayerTrace], bool]:
    """Return the longest chain of layers that contains a layer, and whether it is the whole model."""
    layers = Tree(trace.model).layers
    owners = [outer for outer in layers if outer != name and is_within(name, outer)]
    plain = takewhile(lambda outer: is_plain(layers[outer], Chain, *PASSES), reversed(owners))
    top = [name, *plain][-1]
    return trace.leaves(top, *PASSES), top == ""


# ---- symbols


def _output(record: LayerTrace) -> Symbol:
    return layered(record.symbol, record.name)


def _grad(record: LayerTrace) -> Symbol:
    """Return g if it is dE/da of sums, else dE/dy."""
    return layered("g", record.name) if record.symbol == "a" else derivative_by(_output(record))


def _back(record: LayerTrace) -> Array:
    """Return dE/dy of a layer on the path, for its one sample."""
    assert record.grad_output is not None
    row: Array = record.grad_output[0]
    return row


def _rule(left: Symbol, right: Symbol, by: Symbol, unit: str = "j") -> Symbol:
    """Return left = dE/dby = right for one unit; the middle part is omitted if it equals left."""
    sides = [side.at(unit) for side in dict.fromkeys([left, derivative_by(by)])] + [right]
    return Symbol(" = ".join(side.text for side in sides), " = ".join(side.latex for side in sides))


# ---- the derivation


_G, _PRODUCT, _SUM, _UPDATE = (parse(text, "")[0].expression for text in ("g", "g * x", "sum(g * x)", "w - rate * g"))


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
        if owner is not None and known and _is_dense(owner) and _is_written(self.trace, owner):
            return self._written_out(owner)
        symbol = Symbol(f"{self.name}[{self.indices}]", rf"\mathrm{{{escaped(self.name)}}}[{self.indices}]")
        words: dict[str, Any] = {"name": self.name, "place": self.indices}
        lines = [taken(derivative_by(symbol), self.gradient)]
        if owner is None:
            self._say("not in a layer", lines=lines, **words)
        else:
            key = "not rows" if _is_dense(owner) else "not linear"
            self._say(key, lines=lines, layer=owner.name, what=called(owner.layer), **words)
        return symbol

    def _written_out(self, owner: LayerTrace) -> Symbol:
        """Add the sections from the highest layer that can be written out down to that of the entry."""
        chain, whole = _chain(self.trace, owner.name)
        start = chain.index(owner)
        path = list(takewhile(lambda record: _is_written(self.trace, record), chain[start:]))
        above = next(iter(chain[start + len(path) :]), None)
        i, j = self.place[-1], self.place[0]
        symbol = layered("b" if self.kind == "bias" else "W", owner.name, f"[{self.indices}]")
        self._say(
            self.kind, "indices", lines=[], name=self.name, place=self.indices, symbol=symbol.text,
            i=i, j=j, layer=owner.name, what=called(owner.layer),
        )  # fmt: skip
        needed = [[j]]  # the outputs of each layer that are on the path
        for record in path[1:]:
            needed.append(shown(record.output.shape[1]) if isinstance(record.layer, Linear) else needed[-1])
        if whole and above is None:
            self._from_loss(path[-1], needed[-1])
        else:
            self._from_above(path[-1], above, needed[-1])
        for (below, record), units in reversed(list(zip(pairwise(path), needed, strict=False))):
            through = self._through_linear if isinstance(record.layer, Linear) else self._through_activation
            through(record, below, units)
        words: dict[str, Any] = {"symbol": symbol.text, "sum": _output(owner).at(j).text}
        factors, product = {"g": Quantity(_grad(owner).at(j), _back(owner)[j])}, _G
        if self.kind == "weight":
            x = _output(chain[start - 1]) if start else word("x", "[#]") if whole else layered("x", owner.name)
            factors["x"], product = Quantity(x.at(i), owner.input[0, i]), _PRODUCT
            words["input"] = x.at(i).text
        lines = [Equation(product, factors).line(derivative_by(symbol), self.gradient)]
        self._say(f"{self.kind} end", lines=lines, **words)
        return symbol

    # ---- the start

    def _from_above(self, top: LayerTrace, above: LayerTrace | None, units: list[int]) -> None:
        lines = [taken(_grad(top).at(j), _back(top)[j]) for j in units]
        if above is None:
            self._say("container", layer=top.name, lines=lines)
        else:
            self._say("opaque", layer=above.name, what=called(above.layer), lines=lines)

    def _from_loss(self, top: LayerTrace, units: list[int]) -> None:
        trace = self.trace
        loss, target = trace.loss, trace.target
        assert loss is not None
        assert target is not None
        formula, derivative, known = loss_formulas(loss, trace.prediction, target)
        known = {"y": Quantity(_output(top), numbers=[*top.output[0]]), **known}
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
        grad, output = _grad(top), _output(top)
        if derivative is None:
            self._say("error number", lines=[taken(grad.at(j), _back(top)[j]) for j in units])
            return
        written = ClassFormula(loss, derivative, known)
        lines = written.parts_of(None)
        for j in units:
            lines += [*written.parts_of(j), written.line(grad.at(j), _back(top)[j], j)]
        lines = [line for line in lines if line not in self.sections[-1].lines]
        rule = _rule(grad, general(written.expression, written.quantities), output)
        key = "error signal" if top.symbol == "a" else "error"
        self._say(key, output=output.at("j").text, layer=top.name, rule=rule, lines=lines)

    # ---- through one layer

    def _through_linear(self, above: LayerTrace, below: LayerTrace, units: list[int]) -> None:
        grad, lines = _grad(below), []
        weight = layered("W", above.name, "[#, k]")
        g = Quantity(_grad(above), numbers=[*_back(above)])
        for k in units:
            w = Quantity(layered("W", above.name, f"[#, {k}]"), numbers=[*above.parameters["weight"][:, k]])
            lines.append(Equation(_SUM, {"g": g, "x": w}).line(grad.at(k), _back(below)[k]))
        self._say(
            "linear to sums" if below.symbol == "a" else "linear", layer=above.name, what=called(above.layer),
            below=below.name, input=_output(below).at("k").text, output=_output(above).at("i").text,
            weight=weight.at("i").text,
            rule=_rule(grad, general(_SUM, {"g": g, "x": Quantity(weight)}), _output(below), "k"), lines=lines,
        )  # fmt: skip

    def _through_activation(self, above: LayerTrace, below: LayerTrace, units: list[int]) -> None:
        layer = above.layer
        assert isinstance(layer, Activation)
        a, y, grad = _output(below), _output(above), _grad(below)
        with np.errstate(all="ignore"):
            slopes = layer.derivative(above.input, above.output)[0]
        factors = {
            "g": Quantity(_grad(above), numbers=[*_back(above)]),
            "x": Quantity(Symbol(f"f′({a.text})", f"f'({a.latex})"), numbers=[*slopes]),
        }
        slope, formula, lines = factors["x"].symbol, stated(layer, "derivative_formula"), list[WorkedLine]()
        if formula is not None:
            known = {"a": Quantity(a, numbers=[*above.input[0]]), "y": Quantity(y, numbers=[*above.output[0]])}
            written = ClassFormula(layer, formula, known, above.name)
            lines = written.parts_of(None)
        for j in units:
            if formula is None:
                lines.append(taken(slope.at(j), slopes[j]))
            else:
                lines += [*written.parts_of(j), written.line(slope.at(j), slopes[j], j)]
            lines.append(Equation(_PRODUCT, factors, j).line(grad.at(j), _back(below)[j]))
        self._say(
            "activation to sums" if below.symbol == "a" else "activation",
            *["derivative number"] * (formula is None),
            layer=above.name, what=called(layer), below=below.name, input=a.text.replace("[#]", ""),
            output=y.text.replace("[#]", ""), rule=_rule(grad, general(_PRODUCT, factors), a), lines=lines,
        )  # fmt: skip

    # ---- the end

    def _update(self, symbol: Symbol, rate: float) -> None:
        quantities = {
            "w": Quantity(symbol, self.parameter.value[self.place]),
            "rate": Quantity(word("learning_rate"), rate),
            "g": Quantity(derivative_by(symbol), self.gradient),
        }
        line = Equation(_UPDATE, quantities).line(symbol, relation="←")
        self._say("update" if self.parameter.trainable else "frozen", rate=shortest(rate, 17), lines=[line])
