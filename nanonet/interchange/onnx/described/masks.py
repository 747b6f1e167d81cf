"""Masks: the operators of an attention that hide keys, and its softmax."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.interchange.onnx.described.arrangement import View, known
from nanonet.interchange.onnx.described.search import whole
from nanonet.interchange.onnx.described.values import Hidden, Scores, Weights
from nanonet.interchange.onnx.graph import Node
from nanonet.interchange.onnx.lengths import Unproven

HIDES = -1e30  # a score as low as this is one of a key that is not seen
BOOL = 9  # ONNX's number of the element type


def masked(view: View, array: npt.NDArray[Any]) -> View:
    """Return scores to which a constant mask is added."""
    if not array.any():
        return view
    low = float(array.min())
    if view.what.hidden is not None or not np.isin(array, [0, low]).all() or low > HIDES:
        raise Unproven("a sum that is no mask")
    return replace(view, what=replace(view.what, hidden=Hidden(None, _later(view, array != 0)), lowest=low))


def softmax(node: Node, output: str, view: View) -> View:
    """Return the weights that a softmax over the keys makes of scores."""
    if not isinstance(view.what, Scores) or node.attributes["axis"] not in (-1, len(view.dims) - 1):
        raise Unproven("a softmax of something else")
    if not view.is_whole(-1, "key", view.what.k.length):
        raise Unproven("a softmax of something else")
    return replace(view, what=Weights(view.what))


def where(node: Node, output: str, hidden: Any, low: Any, view: Any) -> View:
    """Return scores that are lowest, or weights that are 0, where keys are hidden."""
    if not isinstance(view, View) or isinstance(low, View) or low.size != 1:
        raise Unproven("a choice of something else")
    number, what = float(low.reshape(())), view.what
    seen = _hidden(view, hidden)
    if isinstance(what, Scores) and what.hidden is None and number <= HIDES:
        return replace(view, what=replace(what, hidden=seen, lowest=number))
    if isinstance(what, Weights) and number == 0 and _same(what.scores.hidden, seen):
        return replace(view, what=replace(what, is_zeroed=True))
    raise Unproven("a choice of something else")


def _hidden(view: View, hidden: Any) -> Hidden:
    """Return which keys are not seen, where they meet scores or weights."""
    if not isinstance(hidden, View):
        return Hidden(None, _later(view, hidden))
    what = hidden.what
    if not isinstance(what, Hidden) or len(hidden.dims) != len(view.dims) or len(view.dims) != 4:
        raise Unproven("no mask")
    scores = view.what if isinstance(view.what, Scores) else view.what.scores
    keys = whole("time", scores.k.length)
    if hidden.dims != (hidden.dims[0], (), (), keys) or hidden.dims[0] != view.dims[0]:
        raise Unproven("a mask of other axes")
    return replace(what, later=None if what.later is None else _later(view, what.later))


def _later(view: View, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a constant mask as (queries, keys)."""
    scores = view.what if isinstance(view.what, Scores) else view.what.scores
    shape = known(scores.q.length), known(scores.k.length)
    if view.dims[-2:] != (whole("query", scores.q.length), whole("key", scores.k.length)):
        raise Unproven("a mask of other axes")
    if array.ndim > len(view.dims) or array.size != np.prod(array.shape[-2:], dtype=int):
        raise Unproven("a mask of other axes")
    mask: npt.NDArray[Any] = np.broadcast_to(array.reshape(array.shape[-2:]).astype(bool), shape)
    return mask


def _same(one: Hidden | None, two: Hidden) -> bool:
    if one is None or one.padding != two.padding or (one.later is None) != (two.later is None):
        return False
    return one.later is None or bool(np.array_equal(one.later, two.later if two.later is not None else ()))


def either(node: Node, output: str, a: Any, b: Any) -> View:
    """Return what a mask hides together with a constant one."""
    view, array = (a, b) if isinstance(a, View) else (b, a)
    if isinstance(array, View) or not isinstance(view.what, Hidden) or view.what.later is not None:
        raise Unproven("a union of something else")
    return replace(view, what=replace(view.what, later=array))


def cast(node: Node, output: str, view: View) -> View:
    """Return a mask as booleans, which it is already taken for."""
    if not isinstance(view.what, Hidden) or node.attributes["to"] != BOOL:
        raise Unproven("a cast")
    return view
