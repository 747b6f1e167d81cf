"""Reading: what a prediction and its target say: a class of several, a yes or no, or a number; nothing is guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.checks import as_numbers, stranger
from nanonet.core.errors import ShapeError
from nanonet.losses.loss import as_weights

Numbers = npt.NDArray[Any]
Truths = npt.NDArray[np.bool_]


def both(
    prediction: npt.ArrayLike, target: npt.ArrayLike, name: str, *, labels: bool = False
) -> tuple[Numbers, Numbers]:
    """Return both as nonempty arrays of one shape; with labels=True, target may be one label per row."""
    scores, truth = as_numbers(prediction, name, "prediction"), as_numbers(target, name, "target")
    labels = labels and scores.ndim == 2 and scores.shape[1] > 1
    if truth.shape != scores.shape and not (labels and truth.shape == scores.shape[:1]):
        raise ShapeError(f"{name}: prediction has shape {scores.shape} but target has shape {truth.shape}")
    if scores.size == 0:
        raise ValueError(f"{name}: expected one sample or more, got none")
    return scores, truth


def scores_of(
    prediction: npt.ArrayLike, target: npt.ArrayLike, name: str, *, labels: bool = False
) -> tuple[Numbers, Numbers]:
    """Return both as :func:`both` does, or raise TypeError if prediction holds labels instead of scores."""
    scores, truth = both(prediction, target, name, labels=labels)
    if scores.dtype.kind != "f":
        raise TypeError(
            f"{name}: expected scores, such as logits, as floats, got {scores.dtype}; give the scores that the labels "
            "were computed from, or write np.mean(prediction == target)"
        )
    return scores, truth


def weights_of(weight: npt.ArrayLike | None, samples: int, name: str) -> Array | None:
    """Return weights in float64, or None."""
    if weight is None:
        return None
    weights = as_weights(weight, name, "weight")
    if weights.shape != (samples,):
        raise ShapeError(f"{name}: expected one weight per sample, shape ({samples},), got {weights.shape}")
    return weights


def is_one_column(scores: Numbers) -> bool:
    """Return whether there is one output per sample."""
    return scores.ndim == 1 or scores.shape[1:] == (1,)


def truths(target: Numbers, name: str) -> Truths:
    """Return a target of 0 and 1, or -1 and 1, as truth values."""
    least = 0 if (target >= 0).all() else -1
    known: Truths = (target == least) | (target == 1)
    if not known.all():
        raise ValueError(
            f"{name}: expected binary targets, 0 and 1 or -1 and 1, got {stranger(target, ~known)}; for several "
            "classes give the logits, shape (batch, classes)"
        )
    positive: Truths = target > 0
    return positive


def classes_of(target: Numbers, scores: Numbers, name: str, several: str) -> npt.NDArray[np.intp]:
    """Return the class of each sample: its label, or the place of the largest entry of its row."""
    if scores.ndim != 2:
        raise ShapeError(f"{name}: expected prediction of shape (batch, classes) or (batch,), got {scores.shape}")
    return winners(target, name, several) if target.ndim == 2 else _known(target, scores.shape[1], name)


def _known(labels: Numbers, classes: int, name: str) -> npt.NDArray[np.intp]:
    if labels.dtype.kind in "iu" and 0 <= labels.min() and labels.max() < classes:
        return labels
    strange = ~np.isin(labels, np.arange(classes))
    if strange.any():
        raise ValueError(
            f"{name}: expected labels from 0 to {classes - 1} for {classes} outputs, got {stranger(labels, strange)}"
        )
    return labels.astype(np.intp)


def winners(rows: Numbers, name: str, several: str) -> npt.NDArray[np.intp]:
    """Return the class of each row: the index of its 1, or of its largest probability."""
    shares = (rows + 1) / 2 if (np.abs(rows) == 1).all() else rows  # from -1 and 1 to 0 and 1
    largest = shares.max(axis=1, keepdims=True)
    unclear = (
        ((shares == largest).sum(axis=1) != 1) | (shares < 0).any(axis=1) | (np.abs(shares.sum(axis=1) - 1) > 1e-3)
    )
    if unclear.any():
        row = int(np.flatnonzero(unclear)[0])
        raise ValueError(
            f"{name}: expected rows of target with a unique maximum, one-hot or probabilities, but row {row} is "
            f"{rows[row]}; for several correct labels per sample, or none, {several}; "
            "for other scores give target.argmax(axis=1)"
        )
    places: npt.NDArray[np.intp] = shares.argmax(axis=1)
    return places
