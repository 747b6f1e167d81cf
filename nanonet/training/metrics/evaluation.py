"""Evaluation: loss and metrics of a model on given data, and of a batch whose step is still to be taken."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Arrays, each
from nanonet.core.chain import Chain
from nanonet.core.checks import expect, positive_int
from nanonet.losses.loss import Loss, mean_loss
from nanonet.training.data import Dataset, Several, check_finite
from nanonet.training.history import Means
from nanonet.training.metrics.metric import Metric
from nanonet.training.metrics.named import Metrics, by_name, number
from nanonet.training.stream import Stream
from nanonet.training.tables import as_target, is_table, refuse_reordered

CHUNK = 4096  # samples per forward pass of an evaluation


class Look:
    """What metrics take from a batch before its step is taken, so that one that fails prevents the step.

    Attributes
    ----------
    after : dict
        The metrics with this batch, by name; to be kept once the step is taken.
    """

    def __init__(self, metrics: Mapping[str, Metric], target: Any, weight: Any, *, first: bool) -> None:
        self.after, self._batch, self._first = dict(metrics), (target, weight), first

    def __call__(self, prediction: Arrays) -> None:
        """Take in the batch; of the first one of a fit, see that the value is a number."""
        for name, metric in self.after.items():
            self.after[name] = after = metric.updated(prediction, *self._batch)
            if self._first:
                try:
                    number(name, after.value())
                except (ValueError, ArithmeticError):
                    pass  # so few samples may not have a value: that of the whole epoch decides


def values(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return the value of each metric."""
    with np.errstate(all="ignore"):
        return {name: metric.value() for name, metric in metrics.items()}


def numbers(measures: Mapping[str, Any]) -> dict[str, float]:
    """Return values for a history, or raise TypeError if one is not a number."""
    return {name: number(name, value) for name, value in measures.items()}


def evaluation(
    model: Chain,
    loss: Loss,
    data: Dataset | Stream,
    metrics: Mapping[str, Metric],
    batch_size: int = CHUNK,
    name: str = "fit",
) -> dict[str, Any]:
    """Return the loss and the metrics on data in inference mode."""
    means, seen = Means(), {name: metric.fresh() for name, metric in metrics.items()}
    for x, target, weight in data.batches(batch_size):
        entered = model.enter(x)
        if data.on_disk:
            check_finite(entered, target, data.kind)
        with np.errstate(all="ignore"):
            prediction = model.predict(entered)
            value, divisor, _ = mean_loss(loss, prediction, target, weight)
            for metric in seen.values():
                metric.take(prediction, target, weight)
        means.add("loss", value, divisor, is_sum=loss.reduction == "sum")
    return {**means.values(f"{name}: no {data.kind}sample counts"), **values(seen)}


def evaluate(
    model: Chain,
    x: Any,
    target: Any,
    loss: Loss,
    metrics: Metrics | None = None,
    *,
    batch_size: int = CHUNK,
    sample_weight: npt.ArrayLike | None = None,
) -> Any:
    """Return the loss, or with metrics a dict of all; see :meth:`nanonet.Sequential.evaluate`.

    Parameters
    ----------
    x, target : array
        As ``fit`` takes them; with target=None, x is an iterable of batches.
    loss : Loss
    metrics : sequence, or mapping from names, of metrics, optional
        As ``fit`` takes them; here one may return an array, such as :func:`nanonet.confusion_matrix`.
    batch_size : int
        Number of samples per forward pass, to limit memory.
    sample_weight : array, optional
        Shape (samples,): the weight of each sample, in the loss and in those metrics that take one.

    Returns
    -------
    float, or with metrics dict

    Raises
    ------
    ShapeError
        If shapes do not match.
    ValueError
        If the total weight is 0.
    """
    positive_int(batch_size, "evaluate", "batch_size")
    named = by_name(metrics, "evaluate") if metrics is not None else {}
    expect(loss, Loss, "evaluate: expected loss")
    several = Several(model.several_inputs, loss.several_targets)
    data: Dataset | Stream
    if target is None:
        if sample_weight is not None:
            raise TypeError("evaluate: sample_weight needs arrays x and target; an iterable yields (x, target, weight)")
        data = Stream(x, several)
    else:
        data = Dataset(x, target, sample_weight, several=several)
        if is_table(target):
            refuse_reordered(x, target)
            one = model.predict(each(itemgetter(slice(1)), data.x))
            data.target = as_target(target, data.target, one)
    measures = evaluation(model, loss, data, named, batch_size, name="evaluate")
    return measures["loss"] if metrics is None else measures
