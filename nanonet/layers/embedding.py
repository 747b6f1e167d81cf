"""Embedding: a table of vectors, one for each word, user or other thing that has a number."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import positive_int, stranger
from nanonet.core.layer import Layer
from nanonet.core.parameter import Init, Parameter
from nanonet.layers.initializers import Normal

OFTEN = 8  # an index that occurs more often has its rows summed by a product of its own


class Embedding(Layer):
    """y = weight[x], the rows of a table for integers x of shape (N, ...); y has shape (N, ..., embedding_dim).

    dE/dweight[i] is the sum of dE/dy over all places where x is i. There is no dE/dx for integers: ``backward``
    returns None.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        The numbers of rows and of columns of the table; x is from 0 to num_embeddings - 1.
    padding_idx : int, optional
        An index that stands for no word: y is 0 there, so that the gradient of its row is 0, and the row starts at 0.
        PyTorch takes the row as it is, which differs if something else has been loaded into it. A negative number
        counts from the end.
    weight : Initializer or array
        The initial table, shape (num_embeddings, embedding_dim); an array is taken as it is.

    Raises
    ------
    ValueError
        In ``forward``, if an index is negative or not below num_embeddings; it names the index and its place.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Embedding, Sequential
    >>> model = Sequential(Embedding(3, 2, weight=[[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]))
    >>> model([[2, 0]])
    array([[[3., 4.],
            [0., 0.]]], dtype=float32)
    """

    mixes_samples = False
    input_shape = (...,)
    integer_input = True

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        weight: Init = Normal(1.0),
    ) -> None:
        self.num_embeddings = positive_int(num_embeddings, "Embedding", "num_embeddings")
        self.embedding_dim = positive_int(embedding_dim, "Embedding", "embedding_dim")
        self.padding_idx = None if padding_idx is None else self._row(padding_idx)
        shape = self.num_embeddings, self.embedding_dim
        if self.padding_idx is not None and callable(weight):
            weight = _Padded(weight, self.padding_idx)
        self.weight = Parameter(shape, weight, label=f"{type(self).__name__}{shape}.weight")

    def _row(self, index: Any) -> int:
        try:
            row = operator.index(index)
        except TypeError:
            row = None
        if row is None or isinstance(index, bool):
            raise TypeError(f"Embedding: expected padding_idx as an int, got {index!r:.60}")
        count = self.num_embeddings
        if not -count <= row < count:
            raise ValueError(f"Embedding: expected padding_idx from {-count} to {count - 1}, got {index}")
        return row % count

    def forward(self, x: npt.NDArray[Any], *, training: bool = False) -> tuple[Array, npt.NDArray[Any]]:
        """Return the rows, and x."""
        if x.size and not (x.min() >= 0 and x.max() < self.num_embeddings):
            wrong = stranger(x, (x < 0) | (x >= self.num_embeddings))
            raise ValueError(f"{self}: expected indices from 0 to {self.num_embeddings - 1}, got {wrong}")
        x = x.astype(np.intp, copy=False)  # NumPy 2.0 takes no uint64
        y = self.weight.value.take(x, axis=0)
        if self.padding_idx is not None:
            y[x == self.padding_idx] = 0
        return y, x

    def backward(self, grad: Array, cache: npt.NDArray[Any]) -> Any:
        """Assign dE/dweight, and return None."""
        table, rows = self.weight.grad, grad.reshape(-1, self.embedding_dim)
        table[...] = 0
        _sum_rows(table, cache.reshape(-1), rows)
        if self.padding_idx is not None:
            table[self.padding_idx] = 0

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with embedding_dim as a further axis."""
        return *input_shape, self.embedding_dim


class _Padded:
    """An initial table with a row of zeros."""

    def __init__(self, init: Any, row: int) -> None:
        self.init, self.row = init, row

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        table = np.array(self.init(shape, rng))
        table[self.row] = 0
        return table


def _sum_rows(table: Array, indices: npt.NDArray[Any], rows: Array) -> None:
    """Store in each row of a table of zeros the sum of the rows whose index names it.

    np.add.at takes 3 to 5 times as long, np.add.reduceat 1 to 4 times. Sorting puts the rows of each index beside each
    other: many are summed by one product with ones; few are added one by one, the second rows of all indices at once,
    then the third rows, and so on.
    """
    short = np.min_scalar_type(len(table))  # up to 16 bits are sorted by their digits, several times as fast
    order = indices.astype(short).argsort(kind="stable")
    ordered, rows = indices[order], rows[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(starts, append=len(ordered))
    often = counts > OFTEN
    ones = np.ones(counts.max(initial=0), rows.dtype)
    for start, count in zip(starts[often].tolist(), counts[often].tolist(), strict=True):
        table[ordered[start]] = ones[:count].dot(rows[start : start + count])
    few = np.flatnonzero(~often)
    few = few[(-counts[few]).argsort()]  # the most first, so that those with a further row are the first so many
    starts, counts = starts[few], counts[few]
    sums = rows[starts]
    for i in range(1, counts.max(initial=1)):
        more = starts[: np.count_nonzero(counts > i)]
        sums[: len(more)] += rows[more + i]
    table[ordered[starts]] = sums
