"""Derivation: backpropagation from the loss to one entry of a parameter, section by section, with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.chain import Chain
from nanonet.core.layer import Activation, Layer
from nanonet.core.objects import called
from nanonet.core.tree import Tree
from nanonet.inspection.explanation.class_formula import SOFTMAX, ClassFormula, is_label, loss_formulas, stated
from nanonet.inspection.explanation.equations import (
    Equation,
    Number,
    Quantities,
    Quantity,
    Symbol,
    WorkedLine,
    derivative_by,
    escaped,
    layered,
    taken,
    word,
)
from nanonet.inspection.explanation.formulas import parse
from nanonet.inspection.explanation.spreading import REST, shown
from nanonet.inspection.record import LayerTrace, Record
from nanonet.inspection.rounding import shortest
from nanonet.layers.linear import Linear


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


def _is_plain(layer: Layer) -> bool:
    """Tell whether it is a chain that only calls its layers in turn."""
    kind = type(layer)
    return isinstance(layer, Chain) and kind.forward is Chain.forward and kind.backward is Chain.backward


def _is_dense(layer: Layer) -> bool:
    kind = type(layer)
    return isinstance(layer, Linear) and kind.forward is Linear.forward and kind.backward is Linear.backward


def _leaves(name: str, layer: Layer) -> Iterator[str]:
    if not isinstance(layer, Chain) or not _is_plain(layer):
        yield name
        return
    for i, child in enumerate(layer):
        yield from _leaves(f"{name}.{i}" if name else str(i), child)


def _chain(trace: Record, name: str) -> tuple[list[LayerTrace], bool]:
    """Return the longest chain of layers that contains a layer, and whether it is the whole model."""
    layers = Tree(trace.model).layers
    top = name
    for outer in sorted((outer for outer in layers if _is_within(name, outer)), key=len, reverse=True):
        if not _is_plain(layers[outer]):
            break
        top = outer
    return [trace[leaf] for leaf in _leaves(top, layers[top]) if leaf in trace], top == ""


def _is_within(name: str, outer: str) -> bool:
    return outer == "" or name.startswith(f"{outer}.")


@dataclass(frozen=True)
class _Path:
    """The consecutive layers that can be written out, from that of the entry up.

    input is the input of the first of them; above is the next layer, which cannot be written out, if there is one;
    whole tells whether the last of them is the model's last layer.
    """

    layers: list[LayerTrace]
    input: Symbol
    above: LayerTrace | None
    whole: bool


def _path(trace: Record, owner: LayerTrace) -> _Path | None:
    """Return the path back to a layer; None if its own gradient cannot be written out."""
    if not _is_dense(owner.layer) or not _is_written(trace, owner):
        return None
    chain, whole = _chain(trace, owner.name)
    start = next(i for i, record in enumerate(chain) if record is owner)
    end = start
    while end < len(chain) and _is_written(trace, chain[end]):
        end += 1
    if start > 0:
        taken_in = _output(chain[start - 1])
    else:
        taken_in = word("x", "[#]") if whole else layered("x", owner.name)
    above = chain[end] if end < len(chain) else None
    return _Path(chain[start:end], taken_in, above, whole and above is None)


def _is_written(trace: Record, record: LayerTrace) -> bool:
    """Tell whether a layer's computation on one row of numbers can be written out."""
    rows = record.input.ndim == 2 and record.output.ndim == 2
    once = f"{record.name}#2" not in trace and record.grad_output is not None
    return rows and once and (isinstance(record.layer, Activation) or _is_dense(record.layer))


def _units_needed(layers: list[LayerTrace], unit: int) -> list[list[int]]:
    """Return, for each layer, its outputs that are on the path back to one output of the first."""
    needed = [[unit]]
    for record in layers[1:]:
        needed.append(shown(record.output.shape[1]) if isinstance(record.layer, Linear) else needed[-1])
    return needed


# ---- symbols


def _output(record: LayerTrace) -> Symbol:
    return layered(record.symbol, record.name)


def _grad(record: LayerTrace) -> Symbol:
    """Return g if it is dE/da of sums, else dE/dy."""
    return layered("g", record.name) if record.symbol == "a" else derivative_by(_output(record))


def _back(record: LayerTrace) -> Array:
    """Return dE/dy of a layer on the path."""
    assert record.grad_output is not None
    return record.grad_output


def _rule(left: Symbol, right: Symbol, unit: str = "j", by: Symbol | None = None) -> Symbol:
    """Return left = dE/dby = right for one unit; the middle part is omitted if it equals left."""
    sides = [left.at(unit), right]
    if by is not None and derivative_by(by) != left:
        sides.insert(1, derivative_by(by).at(unit))
    return Symbol(" = ".join(side.text for side in sides), " = ".join(side.latex for side in sides))


# ---- the derivation


def derivation(
    trace: Record, name: str, place: tuple[int, ...], rate: float | None, phrases: Mapping[str, str]
) -> list[Section]:
    """Return the sections that lead from the loss of one sample to one entry of a parameter."""
    return _Derivation(trace, name, place, rate, phrases).sections


_G, _PRODUCT, _SUM, _UPDATE = (parse(text, "")[0].expression for text in ("g", "g * x", "sum(g * x)", "w - rate * g"))


class _Derivation:
    def __init__(
        self, trace: Record, name: str, place: tuple[int, ...], rate: float | None, phrases: Mapping[str, str]
    ) -> None:
        self.trace, self.name, self.place, self.rate, self.phrases = trace, name, place, rate, phrases
        self.parameter = Tree(trace.model).parameters[name]
        self.gradient: Number = self.parameter.grad[place]
        self.sections: list[Section] = []
        self.rest_explained = False
        owned = {f"{record.name}.{own}": record for record in trace.values() for own in record.parameters}
        owner = owned.get(name)
        self.kind = name.rpartition(".")[2]
        path = None if owner is None or self.kind not in ("weight", "bias") else _path(trace, owner)
        if path is None:
            self._number_alone(owner)
        else:
            self._written_out(path)

    # ---- sections

    def _say(
        self, *keys: str, rule: Symbol | None = None, lines: list[WorkedLine] | None = None, **words: object
    ) -> None:
        """Add a section with a title made of these phrases."""
        if any(REST in side for line in lines or [] for side in line.sides) and not self.rest_explained:
            keys, self.rest_explained = (*keys, "rest"), True
        title = "\n".join(self.phrases[key].format(**words) for key in keys)
        self.sections.append(Section(title, rule, lines or []))

    def _number_alone(self, owner: LayerTrace | None) -> None:
        place = ", ".join(map(str, self.place))
        symbol = Symbol(f"{self.name}[{place}]", rf"\mathrm{{{escaped(self.name)}}}[{place}]")
        lines = [taken(derivative_by(symbol), self.gradient)]
        if owner is None:
            self._say("not in a layer", name=self.name, place=place, lines=lines)
        else:
            key = "not rows" if _is_dense(owner.layer) else "not linear"
            what = called(owner.layer)
            self._say(key, name=self.name, place=place, layer=owner.name, what=what, lines=lines)
        self._update(symbol)

    def _written_out(self, path: _Path) -> None:
        owner = path.layers[0]
        symbol = self._entry(owner)
        j, i = self.place[0], self.place[-1]
        self._say(
            self.kind, "indices", name=self.name, place=", ".join(map(str, self.place)), symbol=symbol.text,
            i=i, j=j, layer=owner.name, what=called(owner.layer),
        )  # fmt: skip
        needed = _units_needed(path.layers, j)
        self._begin(path, needed[-1])
        for above, below, units in reversed(list(zip(path.layers[1:], path.layers, needed, strict=False))):
            if isinstance(above.layer, Linear):
                self._through_linear(above, below, units)
            else:
                self._through_activation(above, below, units)
        sums, g = _output(owner).at(j), Quantity(_grad(owner).at(j), _back(owner)[0, j])
        if self.kind == "bias":
            line = Equation(_G, {"g": g}).line(derivative_by(symbol), self.gradient)
            self._say("bias end", symbol=symbol.text, sum=sums.text, lines=[line])
        else:
            x = Quantity(path.input.at(i), owner.input[0, i])
            line = Equation(_PRODUCT, {"g": g, "x": x}).line(derivative_by(symbol), self.gradient)
            self._say("weight end", symbol=symbol.text, sum=sums.text, input=x.symbol.text, lines=[line])
        self._update(symbol)

    def _entry(self, owner: LayerTrace) -> Symbol:
        letter = "b" if self.kind == "bias" else "W"
        return layered(letter, owner.name, f"[{', '.join(map(str, self.place))}]")

    # ---- the start

    def _begin(self, path: _Path, units: list[int]) -> None:
        top = path.layers[-1]
        if path.whole:
            self._from_loss(top, units)
            return
        lines = [taken(_grad(top).at(j), _back(top)[0, j]) for j in units]
        if path.above is None:
            self._say("container", layer=top.name, lines=lines)
        else:
            self._say("opaque", layer=path.above.name, what=called(path.above.layer), lines=lines)

    def _from_loss(self, top: LayerTrace, units: list[int]) -> None:
        trace = self.trace
        loss, target, output = trace.loss, trace.target, _output(top)
        assert loss is not None
        assert target is not None
        assert trace.value is not None
        formula, derivative, known = loss_formulas(loss, trace.prediction, target)
        known = {"y": Quantity(output, numbers=[*top.output[0]]), **known}
        value = trace.model.dtype.type(trace.value)
        keys, lines = ["loss"], [taken(word("E"), value)]
        keys += ["labels"] * is_label(trace.prediction, target)
        keys += ["coefficients"] * ("k" in known) + ["counts"] * ("c" in known)
        if formula is None:
            keys = ["loss number"]
        else:
            keys += ["largest"] * formula.startswith(SOFTMAX)
            written = ClassFormula(loss, formula, known, None)
            everyone = sorted({*units, *shown(len(top.output[0]))})
            lines = written.shared() + [line for j in everyone for line in written.of_unit(j)]
            lines.append(written.line(word("E"), value))
        self._say(*keys, loss=called(loss), target="t[j]", lines=lines)
        self._errors(top, units, derivative, known)

    def _errors(self, top: LayerTrace, units: list[int], derivative: str | None, known: Quantities) -> None:
        assert self.trace.loss is not None
        grad, output = _grad(top), _output(top)
        truth = _back(top)[0]
        if derivative is None:
            lines = [taken(grad.at(j), truth[j]) for j in units]
            self._say("error number", lines=lines)
            return
        written = ClassFormula(self.trace.loss, derivative, known, None)
        lines = written.shared()
        for j in units:
            lines += [*written.of_unit(j), written.line(grad.at(j), truth[j], j)]
        lines = [line for line in lines if line not in self.sections[-1].lines]
        key = "error signal" if top.symbol == "a" else "error"
        self._say(
            key,
            output=output.at("j").text,
            layer=top.name,
            rule=_rule(grad, written.general(), "j", output),
            lines=lines,
        )

    # ---- through one layer

    def _through_linear(self, above: LayerTrace, below: LayerTrace, units: list[int]) -> None:
        weight = above.parameters["weight"]
        g = Quantity(_grad(above), numbers=[*_back(above)[0]])
        lines = []
        for k in units:
            w = Quantity(layered("W", above.name, f"[#, {k}]"), numbers=[*weight[:, k]])
            equation = Equation(_SUM, {"g": g, "x": w})
            lines.append(equation.line(_grad(below).at(k), _back(below)[0, k]))
        through = layered("W", above.name, "[i, k]")
        inputs, sums, back = _output(below).at("k"), _output(above).at("i"), _grad(above).at("i")
        product = Symbol(f"Σᵢ {back.text} × {through.text}", rf"\sum_{{i}} {back.latex} \times {through.latex}")
        self._say(
            "linear to sums" if below.symbol == "a" else "linear", layer=above.name, what=called(above.layer),
            below=below.name, input=inputs.text, output=sums.text, weight=through.text,
            rule=_rule(_grad(below), product, "k", _output(below)), lines=lines,
        )  # fmt: skip

    def _through_activation(self, above: LayerTrace, below: LayerTrace, units: list[int]) -> None:
        layer = above.layer
        assert isinstance(layer, Activation)
        a, y = _output(below), _output(above)
        slope = Symbol(f"f′({a.text})", f"f'({a.latex})")
        with np.errstate(all="ignore"):
            slopes = layer.derivative(above.input, above.output)[0]
        formula, derivative = None, stated(layer, "derivative_formula")
        if derivative is not None:
            known = {"a": Quantity(a, numbers=[*above.input[0]]), "y": Quantity(y, numbers=[*above.output[0]])}
            formula = ClassFormula(layer, derivative, known, above.name)
        lines = [] if formula is None else formula.shared()
        for j in units:
            if formula is None:
                lines.append(taken(slope.at(j), slopes[j]))
            else:
                lines += [*formula.of_unit(j), formula.line(slope.at(j), slopes[j], j)]
            factors = {
                "g": Quantity(_grad(above).at(j), _back(above)[0, j]),
                "x": Quantity(slope.at(j), slopes[j]),
            }
            lines.append(Equation(_PRODUCT, factors).line(_grad(below).at(j), _back(below)[0, j]))
        back, slope = _grad(above).at("j"), slope.at("j")
        product = Symbol(f"{back.text} × {slope.text}", rf"{back.latex} \times {slope.latex}")
        self._say(
            "activation to sums" if below.symbol == "a" else "activation",
            *["derivative number"] * (formula is None),
            layer=above.name, what=called(layer), below=below.name, input=a.text.replace("[#]", ""),
            output=y.text.replace("[#]", ""), rule=_rule(_grad(below), product, "j", a), lines=lines,
        )  # fmt: skip

    # ---- the end

    def _update(self, symbol: Symbol) -> None:
        if self.rate is None:
            return
        quantities = {
            "w": Quantity(symbol, self.parameter.value[self.place]),
            "rate": Quantity(word("learning_rate"), self.rate),
            "g": Quantity(derivative_by(symbol), self.gradient),
        }
        line = Equation(_UPDATE, quantities).line(symbol, relation="←")
        key = "update" if self.parameter.trainable else "frozen"
        self._say(key, rate=shortest(self.rate, 17), lines=[line])
