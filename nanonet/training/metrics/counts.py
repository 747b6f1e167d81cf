"""Counts: which class was predicted how often for which; the metrics that follow from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.core.errors import ShapeError
from nanonet.training.described import described_by
from nanonet.training.metrics.metric import Metric, accumulated_by
from nanonet.training.metrics.reading import Labels, Numbers, classes_of, is_one_column, scores_of, truths, weights_of

AVERAGES = ("binary", "macro", "micro", "weighted", None)


class Counts(Metric):
    """The confusion matrix, shape (classes, classes), true class first; of several labels one of 2 by 2 for each.

    Parameters are those of :func:`nanonet.confusion_matrix`.
    """

    name = "confusion_matrix"

    def __init__(
        self, threshold: float = 0.0, multilabel: bool = False, axis: int = -1, ignore_index: int | None = None
    ) -> None:
        self.threshold = finite_number(threshold, self.name, "threshold")
        self.multilabel = bool(multilabel)
        self._labels = Labels(self.name, axis, ignore_index)
        if self.multilabel and ignore_index is not None:
            raise ValueError(f"{self.name}: ignore_index is for labels, and with multilabel=True there are none")
        self.counts: Any = 0

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Add the counts of a batch."""
        if not self.multilabel:
            found = self._labels.flattened(prediction, target, weight)
            if found is None:
                return
            prediction, target, weight = found
        scores, truth = scores_of(prediction, target, self.name, labels=not self.multilabel)
        weights = weights_of(weight, len(scores), self.name)
        if self.multilabel or is_one_column(scores):
            true, said = truths(truth, self.name), scores > self.threshold
            counts = _of_labels(true, said, weights) if self.multilabel else _matrix(true, said, 2, weights)
        else:
            if self.threshold != 0:
                raise ValueError(
                    f"{self.name}: threshold is for yes or no; of {scores.shape[1]} classes the largest wins"
                )
            labels = classes_of(truth, scores, self.name, "write multilabel=True")
            counts = _matrix(labels, scores.argmax(axis=1), scores.shape[1], weights)
        self.admit(counts)
        self.counts = self.counts + (counts * math.nan if np.isnan(scores).any() else counts)

    def admit(self, counts: Numbers) -> None:
        """Raise ValueError if the value of such counts would not be defined."""

    def value(self) -> Any:
        """Return the counts."""
        return self.counts

    def outcomes(self) -> tuple[Array, Array, Array]:
        """Return the true positives, false positives and false negatives of each class."""
        counts = np.asarray(self.counts, np.float64)
        if self.multilabel:
            return counts[:, 1, 1], counts[:, 0, 1], counts[:, 1, 0]
        hits = counts.diagonal()
        return hits, counts.sum(axis=0) - hits, counts.sum(axis=1) - hits


def _matrix(true: Numbers, said: Numbers, classes: int, weights: Array | None) -> Numbers:
    """Return how often each class was said for each, or the sums of the weights."""
    pairs = true.ravel() * classes + said.ravel()
    return np.bincount(pairs, weights, classes * classes).reshape(classes, classes)


def _of_labels(true: Numbers, said: Numbers, weights: Array | None) -> Numbers:
    if true.ndim != 2:
        raise ShapeError(f"multilabel=True: expected prediction and target of shape (batch, labels), got {true.shape}")
    columns = zip(true.T, said.T, strict=True)
    return np.stack([_matrix(one, other, 2, weights) for one, other in columns])


class Ratio(Counts):
    """Base of ratios of outcomes, one for each class, and their averages.

    Parameters are those of :func:`nanonet.precision`.
    """

    def __init__(
        self,
        average: str | None = "binary",
        threshold: float = 0.0,
        multilabel: bool = False,
        axis: int = -1,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(threshold, multilabel, axis, ignore_index)
        if average not in AVERAGES:
            raise ValueError(f"{self.name}: expected average as one of {AVERAGES}, got {average!r:.40}")
        self.average = average

    def admit(self, counts: Numbers) -> None:
        """Raise ValueError if there are several classes and no average of them was chosen."""
        if self.average == "binary" and counts.shape != (2, 2):
            raise ValueError(
                f"{self.name}: there are {len(counts)} classes, and average='binary' is for one column of yes or no; "
                "choose average='macro', 'micro', 'weighted' or None: "
                f"metrics=[functools.partial({self.name}, average='macro')]"
            )

    def ratio(self, hits: Array, false: Array, missed: Array) -> Any:
        """Return the ratio, 0 where it is 0/0."""
        raise NotImplementedError

    def value(self) -> Any:
        """Return the average; without one, an array of the ratios; NaN if no label counted."""
        if np.ndim(self.counts) == 0:
            return math.nan
        hits, false, missed = self.outcomes()
        if self.average == "binary":
            return float(self.ratio(hits, false, missed)[1])
        if self.average == "micro":
            return float(self.ratio(hits.sum(), false.sum(), missed.sum()))
        ratios = self.ratio(hits, false, missed)
        if self.average is None:
            return ratios
        present = np.ones(len(hits)) if self.multilabel else hits + false + missed > 0
        weights = present if self.average == "macro" else hits + missed
        return float(_share((weights * ratios).sum(), weights.sum()))


def _share(part: Any, whole: Any) -> Any:
    """Return part / whole, and 0 where whole is 0."""
    return np.where(np.equal(whole, 0), 0.0, np.divide(part, np.where(np.equal(whole, 0), 1.0, whole)))


class Precision(Ratio):
    """See :func:`nanonet.precision`."""

    name = "precision"

    def ratio(self, hits: Array, false: Array, missed: Array) -> Any:
        """Return the fraction of what was predicted that is right."""
        return _share(hits, hits + false)


class Recall(Ratio):
    """See :func:`nanonet.recall`."""

    name = "recall"

    def ratio(self, hits: Array, false: Array, missed: Array) -> Any:
        """Return the fraction of what is there that was predicted."""
        return _share(hits, hits + missed)


class F1(Ratio):
    """See :func:`nanonet.f1`."""

    name = "f1"

    def ratio(self, hits: Array, false: Array, missed: Array) -> Any:
        """Return the harmonic mean of precision and recall."""
        return _share(2 * hits, 2 * hits + false + missed)


@accumulated_by(Counts)
def confusion_matrix(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    threshold: float = 0.0,
    multilabel: bool = False,
    axis: int = -1,
    ignore_index: int | None = None,
) -> npt.NDArray[Any]:
    """Return how many samples of each class were predicted as each, shape (classes, classes), true class first.

    An array, so for ``evaluate``: a history has no room for it.

    Parameters
    ----------
    prediction, target, weight
        As :func:`accuracy` takes them. With a weight the counts are sums of weights.
    threshold : float
        For one column, or several labels: 0 for logits, 0.5 for probabilities.
    multilabel : bool
        Whether every output is a yes or no of its own: then target is 0 and 1 in the shape of prediction,
        (batch, labels), and the result has shape (labels, 2, 2).
    axis, ignore_index : int
        As for :func:`accuracy`.

    Returns
    -------
    array
        Of integers; of floats with a weight.

    Examples
    --------
    >>> confusion_matrix([[0.1, 2.0], [3.0, 0.0], [0.5, 0.7]], [1, 1, 1])
    array([[0, 0],
           [1, 2]])
    """
    counts: npt.NDArray[Any] = Counts(threshold, multilabel, axis, ignore_index)(prediction, target, weight)
    return counts


@accumulated_by(Precision)
def precision(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    average: str | None = "binary",
    threshold: float = 0.0,
    multilabel: bool = False,
    axis: int = -1,
    ignore_index: int | None = None,
) -> Any:
    """Return TP / (TP + FP): the fraction of what is predicted that is right; 0 if nothing is predicted.

    Parameters
    ----------
    prediction, target, weight
        As :func:`accuracy` takes them. NaN in prediction gives NaN.
    average : {"binary", "macro", "micro", "weighted", None}
        "binary": that of the positive class of two. Of several classes or labels: "macro", the mean of those of the
        classes that occur in target or prediction; "micro", from the sums of their outcomes; "weighted", the mean
        weighted by how often each class occurs in target; None, an array with that of each class.
    threshold : float
        For one column, or several labels: 0 for logits, 0.5 for probabilities.
    multilabel : bool
        Whether every output is a yes or no of its own: then target is 0 and 1 in the shape of prediction,
        (batch, labels).
    axis, ignore_index : int
        As for :func:`accuracy`.

    Returns
    -------
    float, or array for average=None

    Raises
    ------
    ValueError
        If average is "binary" and there are several classes.

    Examples
    --------
    >>> precision([[2.0], [1.0], [-1.0]], [[1], [0], [1]])
    0.5
    >>> precision([[0.1, 2.0, 0.0], [3.0, 0.0, 1.0]], [1, 1], average="macro")
    0.5
    """
    return Precision(average, threshold, multilabel, axis, ignore_index)(prediction, target, weight)


@described_by(precision)
@accumulated_by(Recall)
def recall(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    average: str | None = "binary",
    threshold: float = 0.0,
    multilabel: bool = False,
    axis: int = -1,
    ignore_index: int | None = None,
) -> Any:
    """Return TP / (TP + FN): the fraction of what is there that is predicted.

    Examples
    --------
    >>> recall([[2.0], [1.0], [-1.0], [-2.0], [-3.0]], [[1], [0], [1], [1], [1]])
    0.25
    """
    return Recall(average, threshold, multilabel, axis, ignore_index)(prediction, target, weight)


@described_by(precision)
@accumulated_by(F1)
def f1(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    average: str | None = "binary",
    threshold: float = 0.0,
    multilabel: bool = False,
    axis: int = -1,
    ignore_index: int | None = None,
) -> Any:
    """Return 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    Examples
    --------
    >>> f1([[2.0], [1.0], [-1.0]], [[1], [0], [1]])
    0.5
    """
    return F1(average, threshold, multilabel, axis, ignore_index)(prediction, target, weight)
