"""Data: batches of samples from arrays, in memory or on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.checking.view import named_parts
from nanonet.core.arrays import Arrays, batch_size_of, is_finite, parts_of
from nanonet.core.checks import as_generator, as_numbers, positive_int
from nanonet.core.errors import ShapeError
from nanonet.losses.weights import as_weights


class Batch(NamedTuple):
    """Samples with their targets and, optionally, their weights."""

    x: Any
    target: Any
    weight: npt.NDArray[Any] | None = None


class Several(NamedTuple):
    """Whether x and target are tuples of arrays: of a model with several inputs, and of a loss of several outputs."""

    x: bool = False
    target: bool = False


SINGLE = Several()


class Dataset:
    """Samples in arrays of equal length; a memory-mapped array is read batch by batch.

    Parameters
    ----------
    x, target : array, or tuple of arrays
        Shape (samples, ...).
    weight : array, optional
        Shape (samples,), or for several labels a sample theirs.
    several : Several
        Which of x and target is a tuple.
    chosen : array of int, optional
        Indices of the samples to use; default: all.

    Raises
    ------
    ShapeError
        If the lengths differ.
    ValueError
        If there are no samples, or a weight is negative or not finite.
    """

    def __init__(
        self,
        x: Any,
        target: Any,
        weight: npt.ArrayLike | None = None,
        *,
        kind: str = "",
        several: Several = SINGLE,
        chosen: npt.NDArray[np.intp] | None = None,
    ) -> None:
        self.kind, self.several = kind, several
        self.x, self.target = _samples(x, f"{kind}x", several.x), _samples(target, f"{kind}target", several.target)
        self.weight = None if weight is None else _samples(weight, f"{kind}sample_weight")
        self.chosen = chosen
        self._size = batch_size_of(self.x)
        for name, value in (("x", self.x), ("target", self.target), ("sample_weight", self.weight)):
            for place, array in named_parts(name, value).items():
                if len(array) != self._size:
                    raise ShapeError(f"fit: {kind}x has {self._size} samples but {kind}{place} has {len(array)}")
        if self._size == 0:
            raise ValueError(f"fit: {kind}x holds no samples")
        if self.weight is not None:
            if self.weight.ndim != 1 and not self._weighs_labels(self.weight):
                raise ShapeError(f"fit: expected {kind}sample_weight of shape ({self._size},), got {self.weight.shape}")
            as_weights(self.weight, "fit", f"{kind}sample_weight")

    def _weighs_labels(self, weight: npt.NDArray[Any]) -> bool:
        """Return whether weights may be those of several labels a sample, of which the loss knows more."""
        own = () if self.several.target else self.target.shape[1:]
        return weight.shape[1:] in (own, own[:-1], own[1:])

    def __len__(self) -> int:
        return self._size if self.chosen is None else len(self.chosen)

    @property
    def on_disk(self) -> bool:
        """Whether it is memory-mapped, and so not checked as a whole."""
        return any(isinstance(array, np.memmap) for array in (*parts_of(self.x), *parts_of(self.target)))

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
        """Split at random into two parts, the second with the given fraction of the samples.

        Raises
        ------
        ValueError
            If the fraction is not between 0 and 1, or leaves a part empty.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fit: expected validation as a fraction between 0 and 1, got {fraction}")
        held = round(fraction * len(self))
        if not 0 < held < len(self):
            raise ValueError(f"fit: validation={fraction} of {len(self)} samples leaves {held} for validation")
        order = rng.permutation(len(self))
        return self.part(np.sort(order[held:])), self.part(np.sort(order[:held]))

    def part(self, chosen: npt.NDArray[np.intp]) -> Dataset:
        """Return the chosen samples, without copying them."""
        return Dataset(self.x, self.target, self.weight, kind=self.kind, several=self.several, chosen=chosen)

    def batches(
        self,
        batch_size: int,
        rng: np.random.Generator | None = None,
        skip: int = 0,
        deal: Callable[[slice], slice] | None = None,
    ) -> Iterator[Batch]:
        """Yield all samples once, shuffled by rng if given; the last batch may be smaller.

        The first ``skip`` batches are skipped. Of each batch only what ``deal`` returns is read.
        """
        yield from self.pieces(self.order(rng), batch_size, skip, deal)

    def order(self, rng: np.random.Generator | None) -> npt.NDArray[np.intp] | None:
        """Return the indices of the samples, shuffled by rng if given; None for all of them as they lie."""
        if rng is None:
            return self.chosen
        drawn: npt.NDArray[np.intp] = rng.permutation(len(self))
        return drawn if self.chosen is None else self.chosen[drawn]

    def pieces(
        self,
        order: npt.NDArray[np.intp] | None,
        batch_size: int,
        skip: int = 0,
        deal: Callable[[slice], slice] | None = None,
    ) -> Iterator[Batch]:
        """Yield the samples once, in an order that was drawn before."""
        x, target, weight = (_reader(part, order is not None) for part in (self.x, self.target, self.weight))
        for start in range(skip * batch_size, len(self), batch_size):
            piece = slice(start, min(start + batch_size, len(self)))
            if deal is not None:
                piece = deal(piece)
            chosen = piece if order is None else order[piece]
            yield Batch(x(chosen), target(chosen), weight(chosen))


def _reader(part: Any, by_index: bool) -> Callable[[Any], Any]:
    """Return what gives the chosen samples of an array, of each array of a tuple, or None of None.

    ``take`` needs less than half the time of brackets for a few indices; it would copy all of an array that is not
    contiguous.
    """
    if part is None:
        return lambda chosen: None
    if isinstance(part, tuple):
        readers = [_reader(array, by_index) for array in part]
        return lambda chosen: tuple(read(chosen) for read in readers)
    if by_index and type(part) is np.ndarray and part.flags.c_contiguous:
        take = part.take
        return lambda chosen: take(chosen, 0)
    read: Callable[[Any], Any] = part.__getitem__
    return read


def _samples(data: Any, name: str, several: bool = False) -> Any:
    if several:
        if not isinstance(data, (tuple, list)):
            raise TypeError(f"fit: expected {name} as a tuple of arrays, got {type(data).__name__}; write (a, b)")
        return tuple(_samples(part, f"{name}[{i}]") for i, part in enumerate(data))
    array = data if isinstance(data, np.memmap) else as_numbers(data, "fit", name)
    if array.ndim == 0:
        raise ShapeError(f"fit: expected {name} of shape (samples, ...), got a single number")
    return array


def check_finite(x: Arrays, target: Arrays, kind: str) -> None:
    """Raise ValueError, with the index, if x or target holds NaN or infinity."""
    for name, array in (named_parts("x", x) | named_parts("target", target)).items():
        if array.dtype.kind == "f" and not is_finite(array):
            strange = ~np.isfinite(array)
            place = tuple(int(i) for i in np.argwhere(strange)[0])
            count = np.count_nonzero(strange.reshape(len(array), -1).any(axis=1))
            filled = "" if name.startswith("target") else ", or fill them in"
            hint = f"; leave out such samples, {count} of {len(array)}{filled}"
            if np.isinf(array[place]) and array.dtype == np.float32:
                hint = "; numbers beyond 3.4e38 need a model with dtype=np.float64"
            raise ValueError(f"fit: {kind}{name} holds {array[place]} at {place} in {array.dtype}{hint}")


def _are_arrays(data: object) -> bool:
    """Return whether data is a tuple of NumPy arrays, not one array written as a tuple."""
    return isinstance(data, tuple) and bool(data) and all(isinstance(part, np.ndarray) for part in data)


def batches(
    x: Any,
    target: Any,
    batch_size: int = 32,
    *,
    shuffle: bool = True,
    rng: int | np.random.Generator | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Iterator[Batch]:
    """Yield batches (x, target, weight) of all samples, once, as ``fit`` does in each epoch.

    Parameters
    ----------
    x, target : array, or tuple of arrays
        Shape (samples, ...).
    batch_size : int
        Samples per batch; the last may be smaller.
    shuffle : bool
        Whether to shuffle the samples with rng.
    rng : int, Generator or None
        As for Sequential.
    sample_weight : array, optional
        Shape (samples,).

    Yields
    ------
    Batch
        (x, target, weight), of which weight is None without sample_weight.

    Examples
    --------
    >>> for x, target, weight in batches([[1], [2], [3]], [10, 20, 30], 2, shuffle=False):
    ...     print(x.ravel(), target, weight)
    [1 2] [10 20] None
    [3] [30] None
    """
    positive_int(batch_size, "batches", "batch_size")
    data = Dataset(x, target, sample_weight, several=Several(_are_arrays(x), _are_arrays(target)))
    return data.batches(batch_size, as_generator(rng, "batches") if shuffle else None)
