"""Accuracy: the fraction that a model gets right, of samples or of their single outputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.checks import finite_number, positive_int
from nanonet.training.described import described_by
from nanonet.training.metrics.metric import Metric, accumulated_by
from nanonet.training.metrics.reading import (
    Labels,
    Numbers,
    Truths,
    classes_of,
    is_one_column,
    scores_of,
    truths,
    weights_of,
)


class Fraction(Metric):
    """Base of fractions of correct answers, sums over the samples.

    Parameters
    ----------
    threshold : float
        A score above it means yes.
    """

    name = ""

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = finite_number(threshold, self.name, "threshold")
        self.right, self.answers = 0.0, 0.0

    def correct(self, prediction: Any, target: Any) -> npt.NDArray[Any]:
        """Return which answers are correct, shape (batch, ...)."""
        scores, truth = scores_of(prediction, target, self.name)
        return _sides(scores, truth, self.threshold, self.name)

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Add the correct answers of a batch."""
        correct = self.correct(prediction, target)
        weights = weights_of(weight, len(correct), self.name)
        if weights is None:
            self.right += int(np.count_nonzero(correct))
            self.answers += correct.size
        else:
            rows = correct.reshape(len(correct), -1)
            self.right += float(weights @ rows.sum(axis=1))
            self.answers += float(weights.sum()) * rows.shape[1]

    def value(self) -> float:
        """Return the fraction."""
        return self.right / self.answers if self.answers else math.nan


class Accuracy(Fraction):
    """Of samples, one class each; see :func:`nanonet.accuracy`."""

    name = "accuracy"

    def __init__(self, threshold: float = 0.0, top: int = 1, axis: int = -1, ignore_index: int | None = None) -> None:
        super().__init__(threshold)
        self.top = positive_int(top, self.name, "top")
        self._labels = Labels(self.name, axis, ignore_index)

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Add the correct labels of a batch."""
        found = self._labels.flattened(prediction, target, weight)
        if found is not None:
            super().update(*found)

    def correct(self, prediction: Any, target: Any) -> npt.NDArray[Any]:
        """Return which samples are correct."""
        scores, truth = scores_of(prediction, target, self.name, labels=True)
        if is_one_column(scores):
            if self.top != 1:
                raise ValueError("accuracy: top is for several classes, shape (batch, classes), got one column")
            return _sides(scores, truth, self.threshold, self.name)
        labels = classes_of(truth, scores, self.name, "use binary_accuracy or subset_accuracy")
        classes = scores.shape[1]
        if self.threshold != 0:
            raise ValueError(f"accuracy: threshold is for two classes in one column; of {classes} the largest wins")
        if self.top > classes:
            raise ValueError(f"accuracy: expected top of at most {classes}, the number of classes, got {self.top}")
        places = scores.argmax(axis=1) != labels if self.top == 1 else _places(scores, labels)
        right: Truths = (places < self.top) & ~np.isnan(scores).any(axis=1)
        return right


class BinaryAccuracy(Fraction):
    """Of single outputs; see :func:`nanonet.binary_accuracy`."""

    name = "binary_accuracy"


class SubsetAccuracy(Fraction):
    """Of samples with all outputs correct; see :func:`nanonet.subset_accuracy`."""

    name = "subset_accuracy"

    def correct(self, prediction: Any, target: Any) -> npt.NDArray[Any]:
        """Return which samples are correct in every output."""
        right = super().correct(prediction, target)
        return np.asarray(right.reshape(len(right), -1).all(axis=1))


def _sides(scores: Numbers, truth: Numbers, threshold: float, name: str) -> Truths:
    """Return which outputs lie on the correct side of the threshold; NaN lies on none."""
    right: Truths = ((scores > threshold) == truths(truth, name)) & ~np.isnan(scores)
    return right


def _places(scores: Numbers, labels: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the place of each label among the scores of its sample, from 0; the first of equal ones comes first."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < labels[:, None]))
    places: npt.NDArray[np.intp] = before.sum(axis=1)
    return places


@accumulated_by(Accuracy)
def accuracy(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    threshold: float = 0.0,
    top: int = 1,
    axis: int = -1,
    ignore_index: int | None = None,
) -> float:
    """Return the fraction of correctly classified samples, one class each, of two or more; or of all their labels.

    Parameters
    ----------
    prediction : array
        For several classes one score each, shape (batch, classes), logits or probabilities: the largest wins, the
        first in a tie. For two classes one column, or shape (batch,): positive above the threshold. NaN is never
        correct. With several labels a sample, further axes: (batch, time, classes).
    target : array
        Labels, shape (batch,) or (batch, time), or rows with a unique maximum: one-hot, probabilities, or 1 among -1.
        For two classes in one column: 0 and 1, or -1 and 1, in the shape of prediction.
    weight : array, optional
        Shape (batch,): the weight of each sample; or that of the labels.
    threshold : float
        For one column: 0 for logits, 0.5 for probabilities.
    top : int
        For several classes: a sample is correct if its class is among so many of the largest scores.
    axis : int
        The axis of prediction that holds the classes; 1 for images (batch, classes, height, width).
    ignore_index : int, optional
        A label that does not count, such as that of padding. Without any other the result is NaN.

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    TypeError
        If prediction holds integers, such as labels.
    ValueError
        If target is of another kind; for several correct labels per sample see :func:`binary_accuracy`.

    Examples
    --------
    >>> accuracy([[0.1, 2.0], [3.0, 0.0]], [1, 1])
    0.5
    >>> accuracy([[0.3], [-2.0]], [[1], [0]])
    1.0
    >>> accuracy([[0.8], [0.3]], [[1], [0]], threshold=0.5)
    1.0
    >>> accuracy([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]], [2, 1], top=2)
    0.5
    >>> accuracy([[[0.1, 2.0], [3.0, 0.0], [0.0, 0.0]]], [[1, 1, -1]], ignore_index=-1)
    0.5
    """
    return Accuracy(threshold, top, axis, ignore_index)(prediction, target, weight)  # type: ignore[no-any-return]


@accumulated_by(BinaryAccuracy)
def binary_accuracy(
    prediction: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, threshold: float = 0.0
) -> float:
    """Return the fraction of correct outputs, each a yes or no of its own: several labels per sample.

    Parameters
    ----------
    prediction : array
        Shape (batch, ...). Above the threshold means yes; NaN is never correct.
    target : array
        0 and 1, or -1 and 1, in the shape of prediction.
    weight : array, optional
        Shape (batch,): the weight of each sample.
    threshold : float
        0 for logits, 0.5 for probabilities.

    Returns
    -------
    float

    Examples
    --------
    >>> binary_accuracy([[2.0, 0.5, -3.0], [1.0, 1.0, -1.0]], [[1, 1, 0], [1, 0, 0]])
    0.8333333333333334
    """
    return BinaryAccuracy(threshold)(prediction, target, weight)  # type: ignore[no-any-return]


@described_by(binary_accuracy)
@accumulated_by(SubsetAccuracy)
def subset_accuracy(
    prediction: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, threshold: float = 0.0
) -> float:
    """Return the fraction of samples with all outputs correct.

    Examples
    --------
    >>> subset_accuracy([[2.0, 0.5, -3.0], [1.0, 1.0, -1.0]], [[1, 1, 0], [1, 0, 0]])
    0.5
    """
    return SubsetAccuracy(threshold)(prediction, target, weight)  # type: ignore[no-any-return]
