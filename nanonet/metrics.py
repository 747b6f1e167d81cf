"""Metrics: what people read beside the loss; plain functions of (prediction, target)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.errors import ShapeError


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
    scores, truth = np.asarray(prediction), np.asarray(target)
    several = scores.ndim == 2 and scores.shape[1] > 1
    if truth.shape != scores.shape and not (several and truth.shape == scores.shape[:1]):
        raise ShapeError(f"accuracy: prediction has shape {scores.shape} but target has shape {truth.shape}")
    if not several:
        return float(np.mean((scores > 0) == (truth > 0)))
    return float(np.mean(_labels(scores) == (_labels(truth) if truth.ndim == 2 else truth)))


def _labels(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    labels: npt.NDArray[np.intp] = rows.argmax(axis=1)
    return labels
