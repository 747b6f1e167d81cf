"""Metrics: what people read beside the loss; plain functions of (prediction, target)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.arrays import as_numbers
from nanonet.errors import ShapeError

Metric = Callable[[Any, Any], float]


def accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Return the share of samples that are classified rightly.

    Parameters
    ----------
    prediction : array
        Scores or logits, shape (batch, classes): the largest wins. With one column, or shape (batch,), the logits
        of two classes: above 0 is the positive one.
    target : array
        Labels, shape (batch,), or rows such as one-hot ones, shape (batch, classes). For two classes 0 and 1, or
        -1 and 1, in the shape of prediction.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> accuracy([[0.1, 2.0], [3.0, 0.0]], [1, 1])
    0.5
    >>> accuracy([[0.3], [-2.0]], [[1], [0]])
    1.0
    """
    scores, truth = as_numbers(prediction, "accuracy", "prediction"), as_numbers(target, "accuracy", "target")
    several = scores.ndim == 2 and scores.shape[1] > 1
    if truth.shape != scores.shape and not (several and truth.shape == scores.shape[:1]):
        raise ShapeError(f"accuracy: prediction has shape {scores.shape} but target has shape {truth.shape}")
    if scores.size == 0:
        raise ValueError("accuracy: expected one sample or more, got none")
    if several:
        return float(
            np.mean(_labels(scores) == (_labels(truth) if truth.ndim == 2 else _known(truth, scores.shape[1])))
        )
    if scores.dtype.kind != "f" or not np.isin(truth, (-1, 0, 1)).all():
        raise ValueError(
            "accuracy: expected logits of two classes with targets 0 and 1, or -1 and 1; for more classes give the "
            "logits themselves, shape (batch, classes), not labels made of them"
        )
    return float(np.mean((scores > 0) == (truth > 0)))


def _known(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
    if not np.isin(labels, np.arange(classes)).all():
        raise ValueError(f"accuracy: expected labels from 0 to {classes - 1} for {classes} outputs, got {labels!r:.60}")
    return labels


def _labels(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    labels: npt.NDArray[np.intp] = rows.argmax(axis=1)
    return labels


class Means:
    """Weighted means of named numbers.

    Attributes
    ----------
    sums : dict
        For each name the sum of weight times value, and that of the weights.
    """

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, value: float, weight: float) -> None:
        """Let a value count with its weight."""
        total, weights = self.sums.get(name, (0.0, 0.0))
        self.sums[name] = total + weight * value, weights + weight

    def values(self) -> dict[str, float]:
        """Return the means."""
        return {name: total / weights for name, (total, weights) in self.sums.items()}


def by_name(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """Return metrics by name, or say which of them is none."""
    if callable(metrics) or isinstance(metrics, str):
        raise TypeError(f"fit: expected metrics as a list, got {metrics!r:.60}; write metrics=[...]")
    named: dict[str, Metric] = {}
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type):
            raise TypeError(f"fit: expected a metric to be a function of (prediction, target), got {metric!r:.60}")
        name = getattr(metric, "__name__", type(metric).__name__)
        if name in named:
            raise ValueError(f"fit: two metrics have the name {name!r}; give one of them another __name__")
        if name == "loss" or name.startswith("validation_"):
            raise ValueError(f"fit: {name!r} is the name of another number; give the metric another __name__")
        named[name] = metric
    return named


def measured(name: str, value: Any) -> float:
    """Return what a metric gave as a float, or say that it gave no number."""
    try:
        if np.ndim(value) == 0:
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"fit: the metric {name!r} must return a number, got {type(value).__name__}")
