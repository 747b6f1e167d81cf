"""Ranking: how well scores order samples, whatever the threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.training.metrics.metric import accumulated_by
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
from nanonet.training.metrics.whole import Kept


class AUC(Kept):
    """The area under the ROC curve; see :func:`nanonet.auc`."""

    name = "auc"

    def __init__(
        self,
        average: str | None = "macro",
        multilabel: bool = False,
        axis: int = -1,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self._labels = Labels(self.name, axis, ignore_index)
        if multilabel and ignore_index is not None:
            raise ValueError("auc: ignore_index is for labels, and with multilabel=True there are none")
        if average not in ("macro", None):
            raise ValueError(f"auc: expected average as 'macro' or None, got {average!r:.40}")
        self.average, self.multilabel = average, bool(multilabel)

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Keep the scores of a batch, with which of them belong to samples of their class."""
        if not self.multilabel:
            found = self._labels.flattened(prediction, target, weight)
            if found is None:
                return
            prediction, target, weight = found
        scores, truth = scores_of(prediction, target, "auc", labels=not self.multilabel)
        if is_one_column(scores) or self.multilabel:
            positive = truths(truth, "auc")
        else:
            labels = classes_of(truth, scores, "auc", "write multilabel=True")
            positive = labels[:, None] == np.arange(scores.shape[1])
        super().update(scores, positive, weights_of(weight, len(scores), "auc"))

    def value(self) -> Any:
        """Return the area; NaN if no label counted."""
        return super().value() if self.columns else math.nan

    def measure(self, prediction: Any, target: Any, weight: npt.NDArray[Any]) -> Any:
        """Return the area, or of several classes their mean or an array."""
        columns = zip(_columns(prediction), _columns(target), strict=True)
        areas = np.array([area(scores, positive, weight) for scores, positive in columns])
        if len(areas) == 1 or self.average is not None:
            return float(areas.mean())
        return areas


def _columns(array: Numbers) -> Numbers:
    return array.reshape(len(array), -1).T


def area(scores: Numbers, positive: Truths, weight: Array) -> float:
    """Return P(a positive sample's score is above a negative one's) + P(they are equal)/2."""
    order = np.argsort(scores, kind="stable")
    ranked, weight = scores[order], weight[order]
    yes, no = np.where(positive[order], weight, 0.0), np.where(positive[order], 0.0, weight)
    pairs = yes.sum() * no.sum()
    if pairs == 0 or np.isnan(ranked[-1]):
        return math.nan
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of the groups of equal scores
    yes, no = np.add.reduceat(yes, starts), np.add.reduceat(no, starts)
    below = np.cumsum(no) - no
    return float((yes * (below + no / 2)).sum() / pairs)


@accumulated_by(AUC)
def auc(
    prediction: npt.ArrayLike,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    average: str | None = "macro",
    multilabel: bool = False,
    axis: int = -1,
    ignore_index: int | None = None,
) -> Any:
    """Return the area under the ROC curve: the probability that a positive sample's score is above a negative one's.

    Equal scores count half. It is NaN if a class has no sample, or all, or if a score is NaN. All scores of an epoch
    are kept in memory.

    Parameters
    ----------
    prediction : array
        Scores, logits or probabilities: one column, or shape (batch,), for two classes, else (batch, classes).
    target : array
        As :func:`accuracy` takes it.
    weight : array, optional
        Shape (batch,): the weight of each sample.
    average : {"macro", None}
        Of several classes, each against the rest, or several labels: "macro", the mean of their areas; None, an array.
    multilabel : bool
        Whether every output is a yes or no of its own: then target is 0 and 1 in the shape of prediction,
        (batch, labels).
    axis, ignore_index : int
        As for :func:`accuracy`.

    Returns
    -------
    float, or array for average=None

    Examples
    --------
    >>> auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return AUC(average, multilabel, axis, ignore_index)(prediction, target, weight)
