"""Heads: attention itself, from queries, keys and values to outputs and back, in blocks that stay in the cache.

The weights lie keys after keys, (N, heads, keys, queries): a maximum or a sum over the keys then takes whole rows of
queries at a time, which NumPy does three times as fast as along the last axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, read_only

BLOCK = 65536  # weights that stay in the cache

Place = tuple[slice, slice]


class Heads(NamedTuple):
    """What the backward pass needs.

    Attributes
    ----------
    q, k, v : array
        Shape (N, heads, T, features of a head); q times the scale.
    weights : array
        exp(k q) / Σ exp(k q), the sum over the keys; shape (N, heads, keys, queries).
    kept : array of bool or None
        Which weights were not dropped, of the same shape.
    factor : float
        By which those are multiplied.
    y : array
        Shape (N, queries, heads, features of a head).
    """

    q: Array
    k: Array
    v: Array
    weights: Array
    kept: npt.NDArray[np.bool_] | None
    factor: float
    y: Array


def attend(
    q: Array,
    k: Array,
    v: Array,
    *,
    causal: bool,
    padding: npt.NDArray[Any] | None,
    kept: npt.NDArray[np.bool_] | None = None,
    factor: float = 1.0,
) -> Heads:
    """Return y = Σⱼ wⱼ vⱼ for each query, with w = softmax(q·kⱼ) over the keys j that it may see.

    A query that may see no key has weights of 0.
    """
    samples, heads, queries, features = q.shape
    keys = k.shape[2]
    weights = np.empty((samples, heads, keys, queries), q.dtype)
    y = np.empty((samples, queries, heads, features), q.dtype)
    by_head = y.transpose(0, 2, 1, 3)
    hidden = _later(keys, queries, q.dtype) if causal else None
    padded = None if padding is None else _minus_infinity(padding, q.dtype)[:, None, :, None]
    ones = np.ones((1, keys), q.dtype)
    for place in blocks(weights.shape):
        w = np.matmul(k[place], turned(q[place]), out=weights[place])
        if hidden is not None:
            w += hidden
        if padded is not None:
            w += padded[place[0]]
        _softmax(w, ones)
        used = w if kept is None else w * kept[place]
        np.matmul(used.swapaxes(2, 3), v[place], out=by_head[place])
    if kept is not None:
        y *= factor
    return Heads(q, k, v, weights, kept, factor, y)


def attend_back(grad: Array, heads: Heads, dq: Array, dk: Array, dv: Array) -> None:
    """Store the gradients for q, k and v, of their shapes, for dE/dy.

    With p = g·vⱼ, the gradient for q·kⱼ is wⱼ (pⱼ - Σᵢ wᵢ pᵢ), where the sum is g·y, a product of short vectors.
    """
    q, k, v, weights, kept, factor, y = heads
    means = np.vecdot(grad, y).swapaxes(1, 2)[:, :, None]
    if kept is not None:
        grad = grad * grad.dtype.type(factor)
    g = grad.transpose(0, 2, 1, 3)
    for place in blocks(weights.shape):
        w = weights[place]
        p = np.matmul(v[place], turned(g[place]))
        used = w
        if kept is not None:
            used = w * kept[place]
            p *= kept[place]
        np.matmul(used, g[place], out=dv[place])
        p -= means[place]
        p *= w
        np.matmul(p.swapaxes(2, 3), k[place], out=dq[place])
        np.matmul(p, q[place], out=dk[place])


def turned(rows: Array) -> Array:
    """Return the transposed matrices in C order: for small ones this costs less than what BLAS takes longer."""
    return np.ascontiguousarray(rows.swapaxes(2, 3))


def blocks(shape: tuple[int, ...]) -> Iterator[Place]:
    """Yield slices of samples and heads, so that a block is about BLOCK weights."""
    samples, heads, keys, queries = shape
    rows = max(1, BLOCK // max(keys * queries, 1))
    step, part = max(1, rows // heads), min(rows, heads)
    for sample in range(0, samples, step):
        for head in range(0, heads, part):
            yield slice(sample, sample + step), slice(head, head + part)


def _softmax(scores: Array, ones: Array) -> None:
    """Turn scores into weights that sum to 1 over the keys, in place; into 0 where all of them are -inf."""
    highest = scores.max(axis=2, keepdims=True, initial=np.finfo(scores.dtype).min)
    with np.errstate(under="ignore"):
        scores -= highest
        np.exp(scores, out=scores)
        scores /= np.maximum(ones @ scores, 1)  # at least 1, the highest, unless there is none


@lru_cache(maxsize=16)
def _later(keys: int, queries: int, dtype: np.dtype[Any]) -> Array:
    """Return -inf where a key comes after the query, else 0."""
    return read_only(_minus_infinity(np.arange(keys)[:, None] > np.arange(queries), dtype))


def _minus_infinity(where: npt.NDArray[Any], dtype: np.dtype[Any]) -> Array:
    """Return -inf where it is true, else 0."""
    return np.where(where, -np.inf, 0).astype(dtype)
