"""Shapes: patterns of input and output shapes that are partly unknown, and whether two patterns agree."""

from __future__ import annotations

from types import EllipsisType
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]
Pattern: TypeAlias = tuple[int | EllipsisType | None, ...]
"""A partly unknown shape: None is any length, a leading ``...`` any number of axes."""


def agreed(one: Pattern, other: Pattern) -> Pattern | None:
    """Return the common pattern of two patterns, or None if they contradict each other.

    Examples
    --------
    >>> agreed((..., 8), (5, 8)), agreed((None, 8), (..., 8)), agreed((3, None), (None, 7))
    ((5, 8), (None, 8), (3, 7))
    >>> agreed((..., 8), (..., 3)), agreed((None, 8), (8,))
    (None, None)
    """
    first, second = axes(one), axes(other)
    length = max(len(first), len(second))
    for pattern, known in ((one, first), (other, second)):
        if len(known) < length and not is_open(pattern):
            return None
    pairs = list(zip(_widened(first, length), _widened(second, length), strict=True))
    if any(n != m for n, m in pairs if n is not None and m is not None):
        return None
    joined = tuple(m if n is None else n for n, m in pairs)
    return (..., *joined) if is_open(one) and is_open(other) else joined


def _widened(lengths: tuple[int | None, ...], axes: int) -> tuple[int | None, ...]:
    return (*[None] * (axes - len(lengths)), *lengths)


def axes(pattern: Pattern) -> tuple[int | None, ...]:
    """Return the lengths of a pattern without a leading ``...``.

    Examples
    --------
    >>> axes((..., None, 8))
    (None, 8)
    """
    return tuple(length for length in pattern if not isinstance(length, EllipsisType))


def is_open(pattern: Pattern) -> bool:
    """Return whether a pattern begins with ``...``, so that further leading axes are allowed."""
    return pattern[:1] == (...,)


def known(pattern: Pattern) -> Shape | None:
    """Return a fully known pattern as a shape; None for any other.

    Examples
    --------
    >>> known((5, 8)), known((None, 8)), known((..., 8))
    ((5, 8), None, None)
    """
    lengths = tuple(length for length in pattern if isinstance(length, int))
    return lengths if len(lengths) == len(pattern) else None


def example(pattern: Pattern, length: int) -> Shape:
    """Return a shape that fits a pattern: unknown lengths become ``length``, and there are no further axes."""
    return tuple(length if each is None else each for each in axes(pattern))


def shape_text(pattern: Pattern) -> str:
    """Format a shape without its batch axis; an unknown length is a question mark.

    Examples
    --------
    >>> shape_text((3,)), shape_text((None, 8)), shape_text((..., 3))
    ('(batch, 3)', '(batch, ?, 8)', '(batch, 3)')
    """
    return f"({', '.join(['batch', *('?' if length is None else str(length) for length in axes(pattern))])})"
