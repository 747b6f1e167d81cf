"""Metrics: measures reported beside the loss, plain functions of (prediction, target), and evaluation by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, each
from nanonet.core.chain import Chain
from nanonet.core.checks import as_numbers, finite_number, stranger
from nanonet.core.errors import ShapeError
from nanonet.losses.loss import Loss, mean_loss
from nanonet.training.data import Dataset, check_finite
from nanonet.training.history import Means

Metric = Callable[[Any, Any], float]

CHUNK = 4096  # samples per forward pass of an evaluation


def accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike, *, threshold: float = 0.0) -> float:
    """Return the fraction of correctly classified samples: one class each, of two or more.

    Parameters
    ----------
    prediction : array
        For several classes one score each, shape (batch, classes), logits or probabilities: the largest wins, the
        first in a tie. For two classes one column, or shape (batch,): positive above the threshold. NaN is never
        correct.
    target : array
        Labels, shape (batch,), or one row per sample with a unique maximum: one-hot, probabilities, or 1 among -1.
        For two classes in one column: 0 and 1, or -1 and 1, in the shape of prediction.
    threshold : float
        For one column: 0 for logits, 0.5 for probabilities.

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
    """
    scores, truth = _scores(prediction, target, "accuracy", labels=True)
    if scores.ndim == 1 or scores.shape[1:] == (1,):
        return float(np.mean(_right(scores, truth, threshold, "accuracy")))
    if scores.ndim != 2:
        raise ShapeError(f"accuracy: expected prediction of shape (batch, classes) or (batch,), got {scores.shape}")
    if threshold != 0:
        raise ValueError(f"accuracy: threshold is for two classes in one column; of {scores.shape[1]} the largest wins")
    labels = _winners(truth) if truth.ndim == 2 else _known(truth, scores.shape[1])
    return float(np.mean((scores.argmax(axis=1) == labels) & ~np.isnan(scores).any(axis=1)))


def binary_accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike, *, threshold: float = 0.0) -> float:
    """Return the fraction of correct outputs, each a yes or no of its own: several labels per sample.

    Parameters
    ----------
    prediction : array
        Shape (batch, ...). Above the threshold means yes; NaN is never correct.
    target : array
        0 and 1, or -1 and 1, in the shape of prediction.
    threshold : float
        0 for logits, 0.5 for probabilities.

    Examples
    --------
    >>> binary_accuracy([[2.0, 0.5, -3.0], [1.0, 1.0, -1.0]], [[1, 1, 0], [1, 0, 0]])
    0.8333333333333334
    """
    return float(np.mean(_answers(prediction, target, threshold, "binary_accuracy")))


def subset_accuracy(prediction: npt.ArrayLike, target: npt.ArrayLike, *, threshold: float = 0.0) -> float:
    """Return the fraction of samples with all outputs correct; arguments as for :func:`binary_accuracy`.

    Examples
    --------
    >>> subset_accuracy([[2.0, 0.5, -3.0], [1.0, 1.0, -1.0]], [[1, 1, 0], [1, 0, 0]])
    0.5
    """
    right = _answers(prediction, target, threshold, "subset_accuracy")
    return float(np.mean(right.reshape(len(right), -1).all(axis=1)))


def _answers(prediction: npt.ArrayLike, target: npt.ArrayLike, threshold: float, name: str) -> npt.NDArray[np.bool_]:
    scores, truth = _scores(prediction, target, name)
    return _right(scores, truth, threshold, name)


def _scores(
    prediction: npt.ArrayLike, target: npt.ArrayLike, name: str, *, labels: bool = False
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return both as nonempty arrays of one shape; with labels=True, target may be one label per row."""
    scores, truth = as_numbers(prediction, name, "prediction"), as_numbers(target, name, "target")
    labels = labels and scores.ndim == 2 and scores.shape[1] > 1
    if truth.shape != scores.shape and not (labels and truth.shape == scores.shape[:1]):
        raise ShapeError(f"{name}: prediction has shape {scores.shape} but target has shape {truth.shape}")
    if scores.size == 0:
        raise ValueError(f"{name}: expected one sample or more, got none")
    if scores.dtype.kind != "f":
        raise TypeError(
            f"{name}: expected scores, such as logits, as floats, got {scores.dtype}; give the scores that the labels "
            "were computed from, or write np.mean(prediction == target)"
        )
    return scores, truth


def _right(scores: npt.NDArray[Any], truth: npt.NDArray[Any], threshold: float, name: str) -> npt.NDArray[np.bool_]:
    """Return which outputs lie on the correct side of the threshold."""
    finite_number(threshold, name, "threshold")
    least = 0 if (truth >= 0).all() else -1
    if not np.isin(truth, (least, 1)).all():
        strange = stranger(truth, ~np.isin(truth, (least, 1)))
        raise ValueError(
            f"{name}: expected binary targets, 0 and 1 or -1 and 1, got {strange}; for several classes give the "
            "logits, shape (batch, classes)"
        )
    right: npt.NDArray[np.bool_] = ((scores > threshold) == (truth > 0)) & ~np.isnan(scores)
    return right


def _known(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
    strange = ~np.isin(labels, np.arange(classes))
    if strange.any():
        raise ValueError(
            f"accuracy: expected labels from 0 to {classes - 1} for {classes} outputs, got {stranger(labels, strange)}"
        )
    return labels


def _winners(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the class of each row: the index of its 1, or of its largest probability."""
    shares = (rows + 1) / 2 if (np.abs(rows) == 1).all() else rows  # from -1 and 1 to 0 and 1
    largest = shares.max(axis=1, keepdims=True)
    several = (
        ((shares == largest).sum(axis=1) != 1) | (shares < 0).any(axis=1) | (np.abs(shares.sum(axis=1) - 1) > 1e-3)
    )
    if several.any():
        row = int(np.flatnonzero(several)[0])
        raise ValueError(
            f"accuracy: expected rows of target with a unique maximum, one-hot or probabilities, but row {row} is "
            f"{rows[row]}; for several correct labels per sample, or none, use binary_accuracy or subset_accuracy; "
            "for other scores give target.argmax(axis=1)"
        )
    winners: npt.NDArray[np.intp] = shares.argmax(axis=1)
    return winners


def by_name(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """Return metrics by name, or raise if one is not a metric."""
    if callable(metrics) or isinstance(metrics, str):
        raise TypeError(f"fit: expected metrics as a list, got {metrics!r:.60}; write metrics=[...]")
    named: dict[str, Metric] = {}
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type):
            raise TypeError(f"fit: expected a metric to be a function of (prediction, target), got {metric!r:.60}")
        name = _name(metric)
        if name in named:
            raise ValueError(f"fit: two metrics have the name {name!r}; give one of them another __name__")
        if name == "loss" or name.startswith("validation_"):
            raise ValueError(f"fit: {name!r} is reserved; give the metric another __name__")
        named[name] = metric
    return named


def _name(metric: Any) -> str:
    """Return a metric's __name__; that of the inner function for a partial without one."""
    if isinstance(metric, partial) and not hasattr(metric, "__name__"):
        return _name(metric.func)
    return str(getattr(metric, "__name__", type(metric).__name__))


def look_at(metrics: Mapping[str, Metric], target: Any, measures: dict[str, float], prediction: Array) -> None:
    """Compute the metrics before the step is taken, so that a failing metric prevents the step."""
    for name, metric in metrics.items():
        measures[name] = _number(name, metric(prediction, target))


def _number(name: str, value: Any) -> float:
    """Return a metric's value as a float, or raise TypeError if it is not a number."""
    try:
        if np.ndim(value) == 0:
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"fit: the metric {name!r} must return a number, got {type(value).__name__}")


def evaluation(
    model: Chain, loss: Loss, data: Dataset, metrics: Mapping[str, Metric], batch_size: int = CHUNK, name: str = "fit"
) -> dict[str, float]:
    """Return the loss and the metrics on data in inference mode; metrics get all predictions at once."""
    means, predictions, targets = Means(), [], []
    for x, target, weight in data.batches(batch_size):
        entered = model.enter(x)
        if data.on_disk:
            check_finite(entered, target, data.kind)
        with np.errstate(all="ignore"):
            prediction = model.predict(entered)
            value, divisor, _ = mean_loss(loss, prediction, target, weight)
        means.add("loss", value, divisor)
        if metrics:
            predictions.append(prediction)
            targets.append(target)
    measures = means.values(f"{name}: no {data.kind}sample counts")
    if metrics:
        whole = [each(lambda *parts: np.concatenate(parts), *pieces) for pieces in (targets, predictions)]
        look_at(metrics, whole[0], measures, whole[1])
    return measures
