"""Recurrent: the readers of RNN, LSTM and GRU, one or several on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.described.recurrence import Ends, RecurrenceSearch
from nanonet.interchange.onnx.graph import Input, Node
from nanonet.interchange.onnx.reached import Reached, unless
from nanonet.interchange.onnx.registration import reads
from nanonet.layers.recurrent.gru import GRU
from nanonet.layers.recurrent.lstm import LSTM
from nanonet.layers.recurrent.rnn import RNN

LAYERS: dict[str, Any] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
ORDERS = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 2, 3, 1]}
"""Where each of PyTorch's gates is among ONNX's: h; r, z, n of z, r, h; i, f, g, o of i, o, f, c."""
FUNCTIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def recurrent(reached: Reached, node: Node) -> Layer | None:
    """Return the recurrent layer that begins with an operator; None if there is none."""
    if reached.dtype.kind != "f":
        return None
    search = RecurrenceSearch(reached.graph, {**reached.known, reached.value: reached.here}, reached.value)
    ends = search.run(node)
    if ends is None and search.layers:
        raise _refusal(search.layers[0])
    if ends is None:
        return None
    for each in search.layers:
        _check(each)
    first = search.layers[0]
    states = [search.states[name] for name in ("h", "c") if name in search.states]
    options = unless(1, num_layers=len(search.layers)) | unless(False, initial_state=bool(states))
    if first.operator == "RNN":
        options |= unless("tanh", nonlinearity=_functions(first)[0].lower())
    if first.operator == "LSTM" and len(states) == 1:
        raise ValueError(f"{first}: expected both initial_h and initial_c, or none")
    options |= unless(False, bidirectional=first.attributes["direction"] == "bidirectional")
    options |= unless(False, lengths=search.lengths is not None) | unless(True, bias=bool(first.inputs[3]))
    output = next(iter(ends.values)) if len(ends.values) == 1 else "all"
    options |= unless("sequence", output=output if output in ("sequence", "last") else "all")
    arrays = _arrays(reached, search.layers)
    layer: Layer = LAYERS[first.operator](arrays["weight_ih_l0"].shape[1], first.attributes["hidden_size"], **options)
    reached.take(*ends.nodes)
    reached.takes(reached.value, *states, *([search.lengths] if search.lengths else []))
    _give(reached, layer, first, len(search.layers), ends)
    return reached.fill(layer, **arrays)


def _give(reached: Reached, layer: Any, first: Node, count: int, ends: Ends) -> None:
    """Set the values that the layer gives, and the shape of the one that is given alone."""
    directions = 1 + (first.attributes["direction"] == "bidirectional")
    size, time = first.attributes["hidden_size"], (reached.shape or (None,))[0]
    shapes = {"sequence": (time, directions * size), "last": (directions * size,)}
    shapes |= dict.fromkeys("hc", (count * directions, size))
    if layer.output != "all":
        reached.shape = shapes[layer.output]
        return
    if "last" in ends.values:
        raise ValueError(
            f"{first}: gives the sequence and the last state of the top layer alone; nanonet's {first.operator} gives "
            "one of them, or the sequence and the states of all layers"
        )
    names = ("sequence", "h", "c") if first.operator == "LSTM" else ("sequence", "h")
    reached.gives(
        *(Input(ends.values.get(name, f"{first.outputs[0]} ... {name}"), shapes[name], reached.dtype) for name in names)
    )


def _functions(node: Node) -> list[str]:
    """Return the activation functions of an operator, for all directions."""
    given = node.attributes.get("activations") or FUNCTIONS[node.operator]
    return [each.decode() if isinstance(each, bytes) else each for each in given]


def _check(node: Node) -> None:
    """Raise ValueError for what nanonet's layer does not compute."""
    attributes, functions = node.attributes, _functions(node)
    allowed = [FUNCTIONS[node.operator], *([["Relu"]] if node.operator == "RNN" else [])]
    if functions not in [each * n for each in allowed for n in (1, 2)]:  # for one direction or both
        raise ValueError(f"{node}: computes with {', '.join(functions)}; nanonet's {node.operator} does not")
    if attributes["direction"] == "reverse":
        raise ValueError(f"{node}: reads in reverse alone; nanonet's {node.operator} reads forward, or both ways")
    if attributes.get("clip") or attributes.get("input_forget") or (node.operator == "LSTM" and node.inputs[7]):
        raise ValueError(f"{node}: clips, joins its input and forget gates or has peepholes, which nanonet's does not")
    if node.operator == "GRU" and not attributes["linear_before_reset"]:
        raise ValueError(f"{node}: resets before the product, linear_before_reset=0; nanonet's GRU resets after it")


def _arrays(reached: Reached, layers: list[Node]) -> dict[str, Numbers]:
    """Return the parameters by PyTorch's names."""
    found: dict[str, Numbers] = {}
    for i, node in enumerate(layers):
        directions, size = 1 + (node.attributes["direction"] == "bidirectional"), node.attributes["hidden_size"]
        order = ORDERS[node.operator]
        rows = len(order) * size
        arrays = {
            "weight_ih": reached.floats(node, 1, "W", directions, rows, None),
            "weight_hh": reached.floats(node, 2, "R", directions, rows, size),
        }
        if node.inputs[3]:
            both = reached.floats(node, 3, "B", directions, 2 * rows)
            arrays |= {"bias_ih": both[:, :rows], "bias_hh": both[:, rows:]}
        for name, array in arrays.items():
            for direction in range(directions):
                gates = array[direction].reshape(len(order), size, *array.shape[2:])
                suffix = f"_l{i}{'_reverse' * direction}"
                found[name + suffix] = np.ascontiguousarray(gates[order]).reshape(array.shape[1:])
    return found


@reads("RNN", "LSTM", "GRU")
def _batch_first(reached: Reached, node: Node) -> Any:
    """Return the layer that an operator is which takes the batch first, layout=1."""
    found = recurrent(reached, node)
    if found is None:
        raise _refusal(node)
    return found


def _refusal(node: Node) -> ValueError:
    return ValueError(
        f"{node}: expected a sequence with the batch first, through a Transpose or layout=1, first states that come in "
        "with the batch first or are 0, and outputs that are turned back to the batch first"
    )
