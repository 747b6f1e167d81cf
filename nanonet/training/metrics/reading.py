"""Reading: what a prediction and its target say: a class of several, a yes or no, or a number; nothing is guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.checks import as_numbers, stranger
from nanonet.core.errors import ShapeError
from nanonet.losses.settings import whole_number
from nanonet.losses.weights import as_weights

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


class Labels:
    """What several labels a sample mean: the axis of the classes, and the label that does not count.

    Parameters are those of :func:`nanonet.accuracy`.
    """

    def __init__(self, name: str, axis: int = -1, ignore_index: int | None = None) -> None:
        self.name, self.axis = name, whole_number(axis, name, "axis")
        if self.axis == 0:
            raise ValueError(f"{name}: expected axis of the classes, -1 or 1, got 0, which is the batch")
        other = " or None"
        self.ignore_index = None if ignore_index is None else whole_number(ignore_index, name, "ignore_index", other)

    def flattened(self, prediction: Any, target: Any, weight: Any) -> tuple[Any, Any, Any] | None:
        """Return scores, target and weight with one row for each label that counts; None if there is no such label."""
        scores, truth = np.asarray(prediction), np.asarray(target)
        if scores.ndim < 3 and self.ignore_index is None:
            return prediction, target, weight
        if scores.ndim > 2:
            scores, truth, weight = self._listed(scores, truth, weight)
        if self.ignore_index is None:
            return scores, truth, weight
        if truth.ndim != 1 or scores.shape[:1] != truth.shape:
            raise ShapeError(f"{self.name}: ignore_index is for labels, and target has shape {np.shape(target)}")
        kept = truth != self.ignore_index
        if not kept.any():
            return None
        weights = weights_of(weight, len(truth), self.name)
        return scores[kept], truth[kept], None if weights is None else weights[kept]

    def _listed(self, scores: Numbers, truth: Numbers, weight: Any) -> tuple[Numbers, Numbers, Any]:
        """Return scores of further axes as rows, and what belongs to them."""
        if not -scores.ndim < self.axis < scores.ndim:
            raise ShapeError(f"{self.name}: axis={self.axis} is none of prediction, which has shape {scores.shape}")
        last = np.moveaxis(scores, self.axis, -1)
        labels = last.shape[:-1]
        if truth.shape == scores.shape:
            truth = np.moveaxis(truth, self.axis, -1).reshape(-1, last.shape[-1])
        elif truth.shape == labels:
            truth = truth.reshape(-1)
        else:
            on_1 = truth.shape == (*scores.shape[:1], *scores.shape[2:])
            hint = f"; if its classes are on axis 1, write functools.partial({self.name}, axis=1)" if on_1 else ""
            raise ShapeError(
                f"{self.name}: prediction has shape {scores.shape} but target has shape {truth.shape}; expected labels "
                f"of shape {labels}{hint}"
            )
        if weight is not None:
            weights = as_weights(weight, self.name, "weight")
            if weights.shape not in (labels, labels[:1]):
                raise ShapeError(
                    f"{self.name}: expected one weight per sample, shape {labels[:1]}, or one per label, shape "
                    f"{labels}, got {weights.shape}"
                )
            if weights.shape != labels:
                weights = np.broadcast_to(weights.reshape(-1, *[1] * (len(labels) - 1)), labels)
            weight = weights.reshape(-1)
        return last.reshape(-1, last.shape[-1]), truth, weight


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
        first = labels[strange][0]
        alone = first < 0 and (labels[strange] == first).all()
        hint = f"; if it marks what does not count, write functools.partial({name}, ignore_index={first:g})"
        raise ValueError(
            f"{name}: expected labels from 0 to {classes - 1} for {classes} outputs, got {stranger(labels, strange)}"
            f"{hint if alone else ''}"
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
