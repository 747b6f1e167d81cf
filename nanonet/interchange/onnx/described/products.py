"""Products: the operators of an attention that multiply, add and scale, in terms of what they are of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.interchange.onnx.described.arrangement import Index, Part, View, known
from nanonet.interchange.onnx.described.masks import masked
from nanonet.interchange.onnx.described.search import whole
from nanonet.interchange.onnx.described.values import Given, Mixed, Output, Projected, Scores, Weights
from nanonet.interchange.onnx.graph import FLOATS, Node
from nanonet.interchange.onnx.lengths import ONE, Length, Unproven


def gemm(node: Node, output: str, a: Any, b: Any, *c: Any) -> View:
    """Return alpha A B + beta C with constants B and C."""
    if isinstance(b, View) or node.attributes["transA"]:
        raise Unproven("Gemm of two values")
    view = matmul(node, output, a, node.attributes["alpha"] * (b.T if node.attributes["transB"] else b))
    return add(node, output, view, node.attributes["beta"] * c[0]) if c else view


def matmul(node: Node, output: str, a: Any, b: Any) -> View:
    """Return x times a constant matrix, or the product of two values that an attention has."""
    if not isinstance(a, View):
        raise Unproven("a constant times a value")
    if isinstance(b, View):
        return _mixed(a, b) if isinstance(a.what, Weights) else _scores(a, b)
    if b.ndim != 2 or b.dtype not in FLOATS.values() or not a.dims:
        raise Unproven("no matrix")
    columns = a.features(a.dims[-1]).reshape(-1)
    dims = (*a.dims[:-1], () if b.shape[1] == 1 else (Part("feature", Length(b.shape[1])),))
    if len(columns) != len(b):
        raise Unproven("sizes that do not fit")
    if isinstance(a.what, Given):
        features = a.what.value.shape
        if features is None or features[1] != len(b) or a.offset:
            raise Unproven("some of the features alone")
        length = Length(1, (f"time of {a.what.value.name}",)) if features[0] is None else Length(features[0])
        return View(Projected(a.what.value.name, length, _by_column(b, columns)), dims)
    if isinstance(a.what, Mixed) and a.what.rows.size == len(b):
        return View(Output(a.what, _by_column(b, columns)), dims)
    raise Unproven("a product of something else")


def _by_column(matrix: Numbers, columns: Index) -> Numbers:
    """Return a matrix (inputs, outputs) as a weight (outputs, inputs), its inputs in their own order."""
    weight = np.empty((matrix.shape[1], len(columns)), matrix.dtype)
    weight[:, columns] = matrix.T
    return weight


def _heads(a: View, b: View) -> list[tuple[Part, Part]]:
    """Return the parts of the leading axes that are heads in two values, whose leading axes must be alike."""
    found = []
    if len(a.dims) != len(b.dims) or len(a.dims) < 3:
        raise Unproven("values of another number of axes")
    for one, two in zip(a.dims[:-2], b.dims[:-2], strict=True):
        if [part.length for part in one] != [part.length for part in two]:
            raise Unproven("leading axes that differ")
        for p, q in zip(one, two, strict=True):
            if (p.axis == "batch") != (q.axis == "batch"):
                raise Unproven("leading axes that differ")
            if p.axis == "batch" and p.stride != q.stride:
                raise Unproven("a batch in another order")
            if p.axis not in ("batch", "feature", "head") or q.axis not in ("batch", "feature"):
                raise Unproven(f"{p.axis} among the leading axes")
            if p.axis != "batch":
                found.append((p, q))
    return found


def _scores(a: View, b: View) -> View:
    q, k = a.what, b.what
    if not isinstance(q, Projected) or not isinstance(k, Projected):
        raise Unproven("a product of something else")
    heads = _heads(a, b)
    if not a.is_whole(-2, "time", q.length) or not b.is_whole(-1, "time", k.length):
        raise Unproven("no product over the features")
    rows = a.features(tuple(p for p, _ in heads), a.dims[-1]), b.features(tuple(p for _, p in heads), b.dims[-2])
    if rows[0].shape != rows[1].shape:
        raise Unproven("heads of different sizes")
    numbered, inner = [], ONE
    for part, _ in reversed(heads):
        numbered.append(Part("head", part.length, inner))
        inner = inner * part.length
    lead = _relabelled(a, iter(numbered[::-1]))
    dims = (*lead, whole("query", q.length), whole("key", k.length))
    return View(Scores(q, k, rows, q.factor * k.factor), dims)


def _mixed(a: View, b: View) -> View:
    weights, v = a.what, b.what
    if not isinstance(v, Projected):
        raise Unproven("a product of something else")
    scores = weights.scores
    if not (a.is_whole(-1, "key", scores.k.length) and a.is_whole(-2, "query", scores.q.length)):
        raise Unproven("no product over the keys")
    if not b.is_whole(-2, "time", v.length) or v.length != scores.k.length:
        raise Unproven("no product over the keys")
    heads = _heads(a, b)
    numbers = np.zeros(1, int)
    for part, _ in heads:
        numbers = (numbers[:, None] + np.arange(known(part.length)) * known(part.stride)).reshape(-1)
    count = len(scores.rows[0])
    if sorted(numbers) != list(range(count)):
        raise Unproven("some of the heads alone")
    found = b.features(tuple(p for _, p in heads), b.dims[-1])
    rows = np.empty_like(found)
    rows[numbers] = found
    size = Length(rows.shape[1])
    lead = _relabelled(a, iter([Part("feature", part.length, part.stride * size) for part, _ in heads]))
    return View(Mixed(weights, v, rows), (*lead, whole("time", scores.q.length), whole("feature", size)))


def _relabelled(a: View, heads: Any) -> list[tuple[Part, ...]]:
    """Return the leading axes of a view with other parts for its heads."""
    return [tuple(part if part.axis == "batch" else next(heads) for part in dim) for dim in a.dims[:-2]]


def add(node: Node, output: str, a: Any, b: Any) -> View:
    """Return a product with a bias, or scores with a mask."""
    view, array = (a, b) if isinstance(a, View) else (b, a)
    if isinstance(array, View):
        raise Unproven("a sum of two values")
    what = view.what
    if isinstance(what, Scores):
        return masked(view, array)
    if not isinstance(what, (Projected, Output)) or what.factor != 1 or array.size != array.shape[-1:][0]:
        raise Unproven("a sum of something else")
    rows = view.features(view.dims[-1]).reshape(-1)
    if sorted(rows) != list(range(len(what.weight))) or array.size != len(rows):
        raise Unproven("a sum with some of the features")
    bias = np.zeros(len(rows), what.weight.dtype) if what.bias is None else what.bias.copy()
    bias[rows] += array.reshape(-1)
    return replace(view, what=replace(what, bias=bias))


def scaled(node: Node, output: str, a: Any, b: Any) -> View:
    """Return a value times a number, or divided by one."""
    view, number = (a, b) if isinstance(a, View) or node.operator == "Div" else (b, a)
    if not isinstance(view, View) or isinstance(number, View) or number.size != 1:
        raise Unproven("a product of two values")
    if not isinstance(view.what, (Projected, Scores)) or (isinstance(view.what, Scores) and view.what.hidden):
        raise Unproven("a factor of something else")
    factor = float(number.reshape(()))
    factor = 1 / factor if node.operator == "Div" else factor
    return replace(view, what=replace(view.what, factor=view.what.factor * factor))
