"""Attention: the readers of attention, however it is written out, and of encodings of positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.described.attention import AttentionSearch
from nanonet.interchange.onnx.described.values import Mixed, Output, Projected
from nanonet.interchange.onnx.graph import Node
from nanonet.interchange.onnx.reached import Reached, unless
from nanonet.interchange.onnx.registration import reads
from nanonet.layers.attention import MultiHeadAttention
from nanonet.layers.positional_encoding import PositionalEncoding, waves


def attention(reached: Reached, node: Node) -> Layer | None:
    """Return the MultiHeadAttention that begins with an operator; None if there is none."""
    if reached.dtype.kind != "f":
        return None
    found = AttentionSearch(reached.graph, {**reached.known, reached.value: reached.here}).run(node)
    if found is None:
        return None
    view, nodes = found
    output: Output = view.what
    mixed = output.mixed
    scores = mixed.weights.scores
    embed_dim = mixed.rows.size
    q, k, v = _rows(scores.q, scores.rows[0]), _rows(scores.k, scores.rows[1]), _rows(mixed.v, mixed.rows)
    scale = scores.factor * math.sqrt(mixed.rows.shape[1])
    if not math.isclose(scale, 1, rel_tol=1e-6):
        q = _times(q, scale)
    if mixed.v.factor != 1:
        v = _times(v, mixed.v.factor)
    options = _masked(mixed)
    if options is None or len(output.weight) != embed_dim or q[0].shape[1] != embed_dim:
        return None
    return _made(reached, nodes, mixed, [q, k, v], output, options)


def _rows(projected: Projected, rows: Any) -> tuple[Any, Any]:
    """Return weight and bias of the features of the heads, one after the other."""
    order = rows.reshape(-1)
    return projected.weight[order], None if projected.bias is None else projected.bias[order]


def _times(pair: tuple[Any, Any], factor: float) -> tuple[Any, Any]:
    weight, bias = pair
    number = weight.dtype.type(factor)
    return weight * number, None if bias is None else bias * number


def _masked(mixed: Mixed) -> dict[str, Any] | None:
    """Return what of the keys is hidden, as options of the layer; None if it is something else."""
    scores = mixed.weights.scores
    hidden = scores.hidden
    if hidden is None:
        return {}
    if hidden.padding is not None and not mixed.weights.is_zeroed and scores.lowest != -math.inf:
        return None  # a query that sees no key sees all of them
    if hidden.later is None:
        return {"padding_mask": True}
    if not np.array_equal(hidden.later, np.tri(*hidden.later.shape) == 0):
        return None
    return {"causal": True, **unless(False, padding_mask=hidden.padding is not None)}


def _made(
    reached: Reached, nodes: list[Node], mixed: Mixed, parts: list[Any], output: Output, options: dict[str, Any]
) -> Layer:
    scores, size = mixed.weights.scores, mixed.rows.size
    names = [scores.q.x, scores.k.x, mixed.v.x]
    values = list(dict.fromkeys(names)) if names[1] == names[2] else names
    masks = [scores.hidden.padding] if scores.hidden is not None and scores.hidden.padding is not None else []
    reached.takes(*values, *masks)
    reached.take(*nodes)
    (wq, bq), (wk, bk), (wv, bv) = parts
    bias = any(each is not None for each in (bq, bk, bv, output.bias))
    options |= unless(size, kdim=wk.shape[1], vdim=wv.shape[1]) | unless(True, bias=bias)
    layer = MultiHeadAttention(size, len(mixed.rows), **options, **unless(1, inputs=len(values)))
    arrays = {"in_proj_weight": np.concatenate([wq, wk, wv])} if wq.shape == wk.shape == wv.shape else {}
    arrays = arrays or {"q_proj_weight": wq, "k_proj_weight": wk, "v_proj_weight": wv}
    if bias:
        arrays["in_proj_bias"] = np.concatenate([_filled(each, size, wq) for each in (bq, bk, bv)])
        reached.fill(layer.out_proj, weight=output.weight, bias=_filled(output.bias, size, wq))
    else:
        reached.fill(layer.out_proj, weight=output.weight)
    shape = (reached.known.get(names[0]) or reached.here).shape
    reached.shape = None if shape is None else (shape[0], size)
    return reached.fill(layer, **arrays)


def _filled(bias: Numbers | None, size: int, like: Numbers) -> Numbers:
    return np.zeros(size, like.dtype) if bias is None else bias


@reads("Add")
def _positions(reached: Reached, node: Node) -> Any:
    """Return the PositionalEncoding that a table is which is added to each sequence."""
    table = reached.constant(reached.other(node, reached.value) or "")
    if table is None or reached.axes != 3 or table.dtype != reached.dtype:
        return NotImplemented
    table = table[0] if table.ndim == 3 and len(table) == 1 else table
    if table.ndim != 2 or len(table) < 2 or (reached.shape or ())[-1:] != table.shape[1:]:
        return NotImplemented
    if reached.shape is not None and reached.shape[0] not in (None, len(table)):
        return NotImplemented
    length, size = table.shape
    reached.shape = (length, size)
    known = waves(length, size, table.dtype)
    if np.allclose(table, known, rtol=0, atol=8 * np.finfo(table.dtype).eps):
        return PositionalEncoding(size)
    return reached.fill(PositionalEncoding(size, length, learned=True), weight=table)
