"""Shortening: which entries of a long row, or names of a long list, are shown, and how many are omitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise


def picked(count: int, most: int, first: int, last: int) -> list[int]:
    """Return the indices that are shown: all if there are at most ``most``, else the first and last.

    Examples
    --------
    >>> picked(3, 8, 3, 2), picked(20, 8, 3, 2)
    ([0, 1, 2], [0, 1, 2, 18, 19])
    """
    return list(range(count)) if count <= most else [*range(first), *range(count - last, count)]


def listed(names: Sequence[str], most: int) -> str:
    """Return names separated by commas, of many only the first.

    Examples
    --------
    >>> listed(["Exp", "Add", "Mul"], 3), listed(["Exp", "Add", "Mul", "Sub"], 2)
    ('Exp, Add, Mul', 'Exp, Add and 2 more')
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def with_gaps(shown: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield each index that is shown, after the number of those omitted before it.

    Examples
    --------
    >>> list(with_gaps([0, 1, 9]))
    [(0, 0), (0, 1), (7, 9)]
    """
    for before, i in pairwise([-1, *shown]):
        yield i - before - 1, i
