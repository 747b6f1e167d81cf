"""Sequences: the writers of attention, of encodings of positions, and of recurrent layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Patterns, Shape
from nanonet.interchange.onnx.draft import Draft
from nanonet.interchange.onnx.registration import writes
from nanonet.layers.attention import MultiHeadAttention
from nanonet.layers.positional_encoding import PositionalEncoding, waves
from nanonet.layers.recurrent.gru import GRU
from nanonet.layers.recurrent.lstm import LSTM
from nanonet.layers.recurrent.rnn import RNN

# ---- places


@writes(PositionalEncoding)
def _positions(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    if layer.weight is None:
        return draft.add("Add", x, draft.constant("waves", waves(shape[0], layer.embed_dim, draft.dtype)))
    return draft.add("Add", x, draft.constant("weight", layer.weight.value[: shape[0]]))


# ---- attention


@writes(MultiHeadAttention)
def _attention(draft: Draft, layer: Any, x: Any, shape: Patterns) -> str:
    """Add q = x Wqᵀ + bq and the like by heads, softmax(q kᵀ / √d) v, and the product with out_proj."""
    values, shapes = (x, shape) if layer.several_inputs else ((x,), (shape,))
    query, keys = shapes[0][0], shapes[layer.inputs > 1][0]
    size = layer.embed_dim // layer.num_heads
    q, k, v = _projected(draft, layer, values)
    q = _by_head(draft, layer, draft.add("Mul", q, draft.number(1 / math.sqrt(size))), query, [0, 2, 1, 3])
    k, v = _by_head(draft, layer, k, keys, [0, 2, 3, 1]), _by_head(draft, layer, v, keys, [0, 2, 1, 3])
    scores, hidden = draft.add("MatMul", q, k), _hidden(draft, layer, values, query, keys)
    if hidden:
        scores = draft.add("Where", hidden, draft.number(float(np.finfo(draft.dtype).min)), scores)
    weights = draft.add("Softmax", scores, axis=-1)
    if layer.padding_mask:  # a query may see no key
        weights = draft.add("Where", hidden, draft.number(0.0), weights)
    heads = draft.add("Transpose", draft.add("MatMul", weights, v), perm=[0, 2, 1, 3])
    mixed = draft.add("Reshape", heads, draft.integers(0, query, layer.embed_dim))
    projected: str = draft.write(layer.out_proj, mixed, (query, layer.embed_dim), "out_proj")
    return projected


def _projected(draft: Draft, layer: Any, values: tuple[str, ...]) -> tuple[str, ...]:
    """Add the products for queries, keys and values: one for all of them where they are of one sequence."""
    if layer.inputs == 1:
        parameters = layer.in_proj_weight, layer.in_proj_bias
        whole = _product(draft, values[0], "in_proj", parameters[0].value, parameters[1] and parameters[1].value)
        return draft.add_several(3, "Split", whole, draft.integers(*[layer.embed_dim] * 3), axis=-1)
    weights = _separate(layer)
    biases = [None] * 3 if layer.in_proj_bias is None else np.split(layer.in_proj_bias.value, 3)
    given = [values[0], *(values[1:] if layer.inputs == 3 else [values[1]] * 2)]
    names = ("q_proj", "k_proj", "v_proj")
    return tuple(_product(draft, *each) for each in zip(given, names, weights, biases, strict=False))


def _separate(layer: Any) -> list[Any]:
    """Return the weights of queries, keys and values."""
    if len({layer.embed_dim, layer.kdim, layer.vdim}) == 1:
        return np.split(layer.in_proj_weight.value, 3)
    return [layer.q_proj_weight.value, layer.k_proj_weight.value, layer.v_proj_weight.value]


def _product(draft: Draft, x: str, name: str, weight: Any, bias: Any) -> str:
    turned = draft.add("Transpose", draft.constant(f"{name}_weight", weight), perm=[1, 0])
    product = draft.add("MatMul", x, turned)
    return product if bias is None else draft.add("Add", product, draft.constant(f"{name}_bias", bias))


def _by_head(draft: Draft, layer: Any, x: str, length: int, order: list[int]) -> str:
    shape = draft.integers(0, length, layer.num_heads, layer.embed_dim // layer.num_heads)
    return draft.add("Transpose", draft.add("Reshape", x, shape), perm=order)


def _hidden(draft: Draft, layer: Any, values: tuple[str, ...], query: int, keys: int) -> str:
    """Add which keys a query does not see, (N, 1, queries, keys) or what can be repeated to it; empty: none."""
    later = draft.constant("later", ~np.tri(query, keys, dtype=bool)) if layer.causal else ""
    if not layer.padding_mask:
        return later
    padding = draft.add("Cast", values[-1], to=draft.onnx.TensorProto.BOOL)
    padding = draft.add("Unsqueeze", padding, draft.integers(1, 2))
    return draft.add("Or", padding, later) if later else padding


# ---- recurrent layers

ORDERS = {RNN: [0], GRU: [1, 0, 2], LSTM: [0, 3, 1, 2]}
"""Where each of ONNX's gates is among PyTorch's: h; z, r, h of r, z, n; i, o, f, c of i, f, g, o."""


@writes(RNN, LSTM, GRU)
def _recurrent(draft: Draft, layer: Any, x: Any, shape: Patterns) -> Any:
    """Add one operator for each layer, with times first: the only layout that onnxruntime takes."""
    steps, *others = x if isinstance(x, tuple) else (x,)
    directions, size = layer.directions, layer.hidden_size
    steps = draft.add("Transpose", steps, perm=[1, 0, 2])
    lengths = draft.add("Cast", others[-1], to=draft.onnx.TensorProto.INT32) if layer.lengths else ""
    first = [_first_states(draft, layer, value) for value in others[: len(layer.state_names)] * layer.initial_state]
    last: list[list[str]] = []
    for i in range(layer.num_layers):
        starts = [state[i] for state in first]
        inputs = *_weights(draft, layer, i), lengths, *starts
        sequence, *states = draft.add_several(
            1 + len(layer.state_names), _operator(layer), steps, *_until_last(inputs), **_settings(layer)
        )
        if layer.lengths and first:
            states = [_unless_empty(draft, others[-1], *each) for each in zip(states, starts, strict=True)]
        last.append(states)
        if directions == 1:
            steps = draft.add("Squeeze", sequence, draft.integers(1))
        else:
            steps = draft.add("Transpose", sequence, perm=[0, 2, 1, 3])
            steps = draft.add("Reshape", steps, draft.integers(0, 0, directions * size))
    if layer.output == "last":
        h = draft.add("Transpose", last[-1][0], perm=[1, 0, 2])
        return draft.add("Reshape", h, draft.integers(0, directions * size))
    y = draft.add("Transpose", steps, perm=[1, 0, 2])
    if layer.output == "sequence":
        return y
    turned = [[draft.add("Transpose", state, perm=[1, 0, 2]) for state in states] for states in zip(*last, strict=True)]
    return y, *(draft.add("Concat", *each, axis=1) if each[1:] else each[0] for each in turned)


def _operator(layer: Any) -> str:
    return next(cls.__name__ for cls in ORDERS if isinstance(layer, cls))


def _settings(layer: Any) -> dict[str, Any]:
    """Return the attributes of the operator."""
    settings = {"hidden_size": layer.hidden_size, "direction": "bidirectional" if layer.bidirectional else "forward"}
    if isinstance(layer, GRU):
        settings["linear_before_reset"] = 1
    if isinstance(layer, RNN):
        settings["activations"] = [{"tanh": "Tanh", "relu": "Relu"}[layer.nonlinearity]] * layer.directions
    return settings


def _weights(draft: Draft, layer: Any, i: int) -> tuple[str, ...]:
    """Add W, R and, if there are biases, B of one layer, with the gates in ONNX's order."""
    order = next(order for cls, order in ORDERS.items() if isinstance(layer, cls))
    found = []
    for direction in range(layer.directions):
        values = {name: parameter.value for name, parameter in layer.parameters_of(i, direction).items()}
        by_gate = {name: np.split(value, len(order)) for name, value in values.items()}
        found.append({name: np.concatenate([gates[j] for j in order]) for name, gates in by_gate.items()})
    w, r = (np.stack([each[name] for each in found]) for name in ("weight_ih", "weight_hh"))
    names = [draft.constant(f"weight_ih_l{i}", w), draft.constant(f"weight_hh_l{i}", r)]
    if not layer.bias:
        return *names, ""
    b = np.stack([np.concatenate([each["bias_ih"], each["bias_hh"]]) for each in found])
    return *names, draft.constant(f"bias_l{i}", b)


def _first_states(draft: Draft, layer: Any, value: str) -> list[str]:
    """Add the first states of each layer, (directions, N, hidden), from those of all."""
    pieces: tuple[str, ...] = (value,)
    if layer.num_layers > 1:
        sizes = draft.integers(*[layer.directions] * layer.num_layers)
        pieces = draft.add_several(layer.num_layers, "Split", value, sizes, axis=1)
    return [draft.add("Transpose", piece, perm=[1, 0, 2]) for piece in pieces]


def _unless_empty(draft: Draft, lengths: str, last: str, first: str) -> str:
    """Add the choice of the first state for sequences of length 0, for which onnxruntime gives 0 as the last one."""
    empty = draft.add("Equal", lengths, draft.integers(0))
    return draft.add("Where", draft.add("Unsqueeze", empty, draft.integers(0, 2)), first, last)


def _until_last(names: tuple[str, ...]) -> list[str]:
    """Return inputs without those left out at the end."""
    count = max((i for i, name in enumerate(names, 1) if name), default=0)
    return list(names[:count])
