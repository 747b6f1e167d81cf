"""The path of an explanation: the layers that are written out, what each needs of the one above, and their symbols."""

from __future__ import annotations

from itertools import takewhile

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.chain import Chain
from nanonet.core.tree import Tree
from nanonet.inspection.explanation.formulas import shown
from nanonet.inspection.explanation.terms import Indices, Terms, terms_of
from nanonet.inspection.explanation.writers import Symbol, derivative_by, layered, placed
from nanonet.inspection.record import LayerTrace, Record, is_plain, is_within
from nanonet.layers.activations import Activation
from nanonet.layers.linear import Linear

PASSES = ("forward", "backward")


def is_dense(record: LayerTrace) -> bool:
    """Tell whether a layer is a Linear, or a subclass with its passes."""
    return is_plain(record.layer, Linear, *PASSES)


def is_once(trace: Record, record: LayerTrace) -> bool:
    """Tell whether a layer takes and gives one array each, and is called once in the pass."""
    single = isinstance(record.input, np.ndarray) and isinstance(record.output, np.ndarray)
    return single and f"{record.name}#2" not in trace and record.grad_output is not None


def is_rows(record: LayerTrace) -> bool:
    """Tell whether a layer takes and gives one row for each sample."""
    return bool(record.input.ndim == record.output.ndim == 2)


def is_dense_row(record: LayerTrace) -> bool:
    """Tell whether a layer is a Linear on rows."""
    return is_rows(record) and is_dense(record)


def is_activation(record: LayerTrace) -> bool:
    """Tell whether a layer is an Activation whose derivative can be written out."""
    same = is_rows(record) or record.input.shape == record.output.shape
    return isinstance(record.layer, Activation) and same


def terms_up(record: LayerTrace, units: list[int]) -> list[Terms] | None:
    """Return the terms of some entries of a layer's x; None if its class states none."""
    found = [terms_of(record, "x", at(unit, record.input.shape[1:])) for unit in units]
    stated = [terms for terms in found if terms is not None]
    return stated if len(stated) == len(found) else None


def at(unit: int, shape: Shape) -> tuple[int, ...]:
    """Return the indices of an entry by its number."""
    return tuple(int(i) for i in np.unravel_index(unit, shape))


def units_of(places: Indices, shape: Shape) -> list[int]:
    """Return the numbers of entries by their indices."""
    if len(places) == 0 or not shape:
        return [0] * len(places)
    units: list[int] = np.ravel_multi_index(tuple(np.asarray(places).T), shape).tolist()
    return units


def chain_of(trace: Record, name: str) -> tuple[list[LayerTrace], bool]:
    """Return the longest chain of layers that contains a layer, and whether it is the whole model."""
    layers = Tree(trace.model).layers
    owners = [outer for outer in layers if outer != name and is_within(name, outer)]
    plain = takewhile(lambda outer: is_plain(layers[outer], Chain, *PASSES), reversed(owners))
    top = [name, *plain][-1]
    return trace.leaves(top, *PASSES), top == ""


def shown_outputs(record: LayerTrace, terms: list[Terms]) -> list[int]:
    """Return the outputs in the terms that are shown, in order."""
    found: dict[int, None] = {}
    for each in terms:
        if each.signal is not None:
            found |= dict.fromkeys(units_of(each.signal.needs, record.output.shape[1:]))
            continue
        places = [each.outputs[i] for i in shown(len(each.outputs))] if len(each.outputs) else []
        found |= dict.fromkeys(units_of(places, record.output.shape[1:]))
    return sorted(found)


# ---- symbols


def output_of(record: LayerTrace) -> Symbol:
    """Return the symbol of the output of a layer."""
    return placed(layered(record.symbol, record.name), record.output.shape[1:])


def grad_of(record: LayerTrace) -> Symbol:
    """Return g if it is dE/da of sums, else dE/dy."""
    g = placed(layered("g", record.name), record.output.shape[1:])
    return g if record.symbol == "a" else derivative_by(output_of(record))


def back_of(record: LayerTrace) -> Array:
    """Return dE/dy of a layer on the path, for its one sample, as one row."""
    assert record.grad_output is not None
    row: Array = record.grad_output[0].ravel()
    return row


def bare(symbol: Symbol) -> str:
    """Return a symbol as text without its index."""
    return symbol.text.replace("[#]", "")
