"""Stream: batches from an iterable, such as a generator or a PyTorch DataLoader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from itertools import chain, islice
from numbers import Real
from typing import Any

from nanonet.core.errors import ShapeError
from nanonet.training.data import SINGLE, Batch, Dataset, Several


class Stream:
    """An iterable of (x, target) or (x, target, weight) batches, iterated over once per epoch.

    Attributes
    ----------
    steps : int or None
        Batches per epoch, where that was said: of an iterator the next ones, of any other iterable the first.
    """

    on_disk = True  # each batch is checked when it is read

    def __init__(self, batches: Iterable[Any], several: Several = SINGLE, kind: str = "") -> None:
        if not isinstance(batches, Iterable):
            hint = ""
            if hasattr(batches, "__getitem__"):
                hint = "; batches of a data set of single samples are made by torch.utils.data.DataLoader(dataset, 32)"
            raise TypeError(
                "fit: expected x and target, or an iterable of (x, target) batches, "
                f"got {type(batches).__name__} and no target{hint}"
            )
        rows = isinstance(batches, (list, tuple)) and batches and _is_row(batches[0])
        if rows or hasattr(batches, "shape"):
            raise TypeError("fit: target is missing; without it x must be an iterable of (x, target) batches")
        self.kind, self._several = kind, several
        self.steps: int | None = None
        self._batches: Iterable[Any] = batches

    def pace(self, epochs: int, steps: int | None = None) -> None:
        """Take so many batches per epoch, by default all; raise ValueError if it cannot last for the epochs."""
        self.steps = steps
        if isinstance(self._batches, Iterator):
            first = list(islice(self._batches, 1))
            if not first:
                raise ValueError(f"fit: the {self.kind}iterable yields no batches: this iterator is exhausted already")
            self._batches = chain(first, self._batches)
            if epochs > 1 and steps is None:
                paced = "" if self.kind else "steps_per_epoch, or "
                raise ValueError(
                    f"fit: an iterator of {self.kind}batches is exhausted after one epoch, and there are {epochs}; "
                    f"give {paced}a list, or an object whose __iter__ starts over"
                )
        elif steps is not None and isinstance(self._batches, Sized) and len(self._batches) < steps:
            raise ValueError(f"fit: steps_per_epoch={steps}, but the iterable has {len(self._batches)} batches")

    def first(self) -> Batch:
        """Return the first batch, which an iterator will yield all the same."""
        if not isinstance(self._batches, Iterator):
            return next(self.batches())
        raw = list(islice(self._batches, 1))
        self._batches = chain(raw, self._batches)
        return next(Stream(raw, self._several, self.kind).batches())

    def batches(self, batch_size: int | None = None, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches as arrays, skipping the first ``skip``; their sizes are as they are.

        Raises
        ------
        ValueError
            If there is none, or fewer than ``skip`` or ``steps``.
        ShapeError
            If a batch of rows differs in width from the first.
        """
        number, width = 0, None
        for number, batch in enumerate(islice(self._batches, self.steps), 1):
            if not (isinstance(batch, (tuple, list)) and len(batch) in (2, 3)):
                raise TypeError(
                    f"fit: expected {self.kind}batch {number} as (x, target) or (x, target, weight), "
                    f"got {type(batch).__name__}"
                )
            made = Dataset(*batch, kind=f"{self.kind}batch {number}: ", several=self._several)
            if not self._several.x and made.x.ndim == 2:
                width = made.x.shape[1] if width is None else width
                if made.x.shape[1] != width:
                    raise ShapeError(f"fit: batch {number} has x of width {made.x.shape[1]}, batch 1 of width {width}")
            if number > skip:
                yield Batch(made.x, made.target, made.weight)
        if number < skip:
            raise ValueError(f"fit: {skip} batches of this epoch are done, but the iterable yields only {number}")
        if number == 0:
            raise ValueError(
                f"fit: the {self.kind}iterable yields no batches; an iterator is exhausted after one epoch, so give a "
                "list, or an object whose __iter__ starts over"
            )
        if self.steps is not None and number < self.steps:
            raise ValueError(f"fit: steps_per_epoch={self.steps}, but the iterable yields only {number} batches")


def is_stream(data: Any) -> bool:
    """Return whether data is batches, rather than the (x, target) or (x, target, weight) of arrays."""
    if isinstance(data, (tuple, list)):
        pairs = all(isinstance(one, tuple) and len(one) in (2, 3) and hasattr(one[0], "shape") for one in data)
        return isinstance(data, list) and bool(data) and pairs
    return isinstance(data, Iterable) and not isinstance(data, (str, bytes, dict)) and not hasattr(data, "shape")


def _is_row(entry: Any) -> bool:
    """Tell whether an entry of a list is a sample, a number or row of numbers, rather than a batch."""
    return isinstance(entry, Real) or (isinstance(entry, (list, tuple)) and all(isinstance(n, Real) for n in entry))
