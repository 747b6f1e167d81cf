"""Samples: the distinct samples of a data set, so that a weight of 3 is equivalent to three repeats."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.training.data import Batch


class Samples:
    """Distinct samples in canonical order, each with its weight.

    Results depend neither on the original order, nor on whether a sample occurs three times or once with weight 3.

    Parameters
    ----------
    x : array or sparse matrix in CSR format
        Shape (samples, features).
    target, weight : array
        Shapes (samples,) or (samples, outputs), and (samples,).

    Examples
    --------
    >>> samples = Samples.distinct(np.array([[2.0], [1.0], [2.0]]), np.array([5, 4, 5]))
    >>> sorted(zip(samples.target.tolist(), samples.weight.tolist()))
    [(4, 1.0), (5, 2.0)]
    """

    def __init__(self, x: Any, target: Numbers, weight: Numbers) -> None:
        self.x, self.target, self.weight = x, target, weight

    @classmethod
    def distinct(cls, x: Any, target: Numbers, weight: Numbers | None = None, *, keep_order: bool = False) -> Samples:
        """Return each sample once, with the sum of its weights, which are positive and default to 1.

        With keep_order they are in the order in which they first occur.
        """
        keys = _sparse_keys(x, target) if is_sparse(x) else _keys(x, target)
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        weights = np.bincount(place, weight).astype(float)
        if keep_order:
            order = np.argsort(first)
            first, weights = first[order], weights[order]
        return cls(x[first], target[first], weights)

    def __len__(self) -> int:
        return len(self.target)

    def scaled(self, factor: Numbers) -> Samples:
        """Return the samples with weights multiplied by factor; a factor of 0 drops a sample."""
        kept = factor > 0
        return Samples(self.x[kept], self.target[kept], self.weight[kept] * factor[kept])

    def split(self, fraction: float, rng: np.random.Generator, *, stratified: bool) -> tuple[Samples, Samples]:
        """Split at random into two parts, the second with a fraction of the samples, if stratified of each target.

        Raises
        ------
        ValueError
            If the fraction is not between 0 and 1, or leaves a part empty.
        """
        held = round(fraction * len(self)) if 0 < fraction < 1 else 0
        if not 0 < held < len(self):
            raise ValueError(
                f"validation: expected a fraction that leaves some of the {len(self)} samples on both sides, "
                f"equal ones counted once, got {fraction}"
            )
        order = rng.permutation(len(self))
        if stratified:
            order = order[np.argsort(self.target[order], kind="stable")]
        chosen = np.zeros(len(self), bool)
        chosen[order[((np.arange(held) + rng.random()) * len(self) / held).astype(int)]] = True
        return self._part(~chosen), self._part(chosen)

    def _part(self, chosen: Numbers) -> Samples:
        return Samples(self.x[chosen], self.target[chosen], self.weight[chosen])

    @property
    def is_even(self) -> bool:
        """Whether all weights are equal."""
        return bool((self.weight == self.weight[0]).all())


def is_sparse(x: Any) -> bool:
    """Return whether x is a sparse matrix or array of SciPy, which is not imported for that."""
    return hasattr(x, "toarray")


def dense(x: Any) -> Numbers:
    """Return x as an array."""
    rows: Numbers = x.toarray() if is_sparse(x) else x
    return rows


def _keys(x: Numbers, target: Numbers) -> Numbers:
    """Return the bytes of each sample."""
    rows = np.column_stack([x, target]) + 0.0  # -0.0 is 0.0
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()


def _sparse_keys(x: Any, target: Numbers) -> Numbers:
    """Return the bytes of each sample's entries that are not 0, with their columns."""
    entries = x.copy()
    entries.sum_duplicates()  # and sorts the columns
    entries.eliminate_zeros()
    answers = _keys(np.empty((len(target), 0)), target)
    keys = np.empty(len(target), object)
    for i, (start, stop) in enumerate(pairwise(entries.indptr)):
        row = slice(start, stop)
        keys[i] = b"".join((answers[i].tobytes(), entries.indices[row].tobytes(), entries.data[row].tobytes()))
    return keys


class EvenBatches:
    """Batches of equal total weight, in a new random order each time; without rng in the order of the samples.

    The shuffled samples are laid end to end, each as long as its weight, and the whole is divided into equal pieces. A
    sample that crosses a boundary is in both batches, with its share of the weight in each, as if it were a run of
    repeats. So the mean over a batch needs no correction, and an epoch averages to the weighted mean over all samples.
    Samples of equal weight make ordinary batches. A sparse x becomes dense batch by batch.

    Examples
    --------
    >>> samples = Samples(np.array([[1], [2], [3]]), np.array([1, 2, 3]), np.array([1.0, 4.0, 1.0]))
    >>> for batch in EvenBatches(samples, 2, np.random.default_rng(1)):
    ...     print(batch.target, batch.weight)
    [1 2] [1. 2.]
    [2 3] [2. 1.]
    """

    def __init__(self, samples: Samples, batch_size: int, rng: np.random.Generator | None) -> None:
        self.samples, self.rng, self.batch_size = samples, rng, batch_size
        self.count = -(-len(samples) // batch_size)

    def __iter__(self) -> Iterator[Batch]:
        samples, count = self.samples, len(self.samples)
        order = np.arange(count) if self.rng is None else self.rng.permutation(count)
        if samples.is_even:
            for start in range(0, count, self.batch_size):
                chosen = order[start : start + self.batch_size]
                yield Batch(dense(samples.x[chosen]), samples.target[chosen])
            return
        ends = np.cumsum(samples.weight[order])
        starts = np.concatenate([[0.0], ends[:-1]])
        for low, high in pairwise(np.linspace(0.0, ends[-1], self.count + 1)):
            inside = slice(np.searchsorted(ends, low, side="right"), np.searchsorted(starts, high, side="left"))
            share = np.minimum(ends[inside], high) - np.maximum(starts[inside], low)
            yield Batch(dense(samples.x[order[inside]]), samples.target[order[inside]], share)
