"""Exceptions: they distinguish a wrong shape, a broken contract, a wrong gradient and diverged training."""

from __future__ import annotations

from typing import Any

from nanonet.core.arrays import Patterns


class ShapeError(ValueError):
    """The shape of an array or of a neighbouring layer does not fit."""

    expected: Patterns = None
    got: Patterns = None

    @classmethod
    def misfit(cls, subject: object, *, expected: Patterns, got: Patterns, batch: int | None = None) -> ShapeError:
        """Return the error of a layer whose input has the wrong shape.

        Parameters
        ----------
        subject : object
            The layer, or its name.
        expected, got : tuple of int
            Shapes without the batch axis.
        batch : int, optional
            The length of the batch axis, if known.

        Examples
        --------
        >>> str(ShapeError.misfit("Linear(3, 1)", expected=(3,), got=(5,), batch=4))
        'Linear(3, 1): expected input of shape (batch, 3), got (4, 5)'
        """
        came = shape_text(got) if batch is None else batch_shape_text(got, batch)
        error = cls(f"{subject}: expected input of shape {shape_text(expected)}, got {came}")
        error.expected, error.got = expected, got
        return error


class ContractError(AssertionError):
    """A layer, loss or optimizer violates its contract, such as by writing into its argument."""


class GradientError(ContractError):
    """A backward pass is not the derivative of its forward pass, or leaves a gradient unassigned."""


class NonFiniteError(FloatingPointError):
    """A NaN or infinity occurred where a finite number was needed.

    Attributes
    ----------
    history : History or None
        The epochs completed before the error, if training raised it.
    """

    history: Any = None


def shape_text(pattern: Patterns) -> str:
    """Format a shape without its batch axis; an unknown length is a question mark.

    Examples
    --------
    >>> shape_text((3,)), shape_text((None, 8)), shape_text((3, ...)), shape_text(((3,), (8,)))
    ('(batch, 3)', '(batch, ?, 8)', '(batch, 3, ...)', '(batch, 3) and (batch, 8)')
    >>> shape_text((..., 3))  # in most cases rows
    '(batch, 3)'
    """
    if pattern and isinstance(pattern[0], tuple):
        return " and ".join(map(shape_text, pattern))
    shown = pattern[1:] if pattern[:1] == (...,) and len(pattern) > 1 else pattern
    lengths = ["?" if length is None else "..." if length is ... else str(length) for length in shown]
    return f"({', '.join(['batch', *lengths])})"


def batch_shape_text(shape: Patterns, batch: int) -> str:
    """Format a shape with its batch axis.

    Examples
    --------
    >>> batch_shape_text((3,), 4), batch_shape_text(((3,), (8,)), 4)
    ('(4, 3)', '(4, 3) and (4, 8)')
    """
    if shape and isinstance(shape[0], tuple):
        return " and ".join(batch_shape_text(part, batch) for part in shape)
    return str((batch, *shape))
