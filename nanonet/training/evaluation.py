"""Evaluation: the loss and the metrics of a model on data, in inference mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.chain import Chain
from nanonet.core.loss import Loss, nothing_counts
from nanonet.training.data import Arrays
from nanonet.training.intake import Intake
from nanonet.training.metrics import Means, Metric, measured

CHUNK = 4096  # samples per forward pass


def measure(
    model: Chain, loss: Loss, data: Arrays, metrics: Mapping[str, Metric], batch_size: int = CHUNK, name: str = "fit"
) -> dict[str, float]:
    """Return the loss and the metrics on data in inference mode; metrics get all predictions at once."""
    means, predictions, targets = Means(), [], []
    for x, target, weight in data.batches(batch_size):
        entered = model.enter(x)
        if data.on_disk:
            Intake.check_finite(entered, target, data.kind)
        with np.errstate(all="ignore"):
            prediction = model.predict(entered)
            checked, weights = loss.check(prediction, target, weight)
            total = loss.total(checked, weights)
            if total:
                means.add("loss", loss.forward(prediction, checked, weights)[0], total)
        if metrics:
            predictions.append(prediction)
            targets.append(target)
    if not means.sums:
        raise nothing_counts(f"{name}: no {data.kind}sample counts")
    measures = means.values()
    if metrics:
        look_at(metrics, np.concatenate(targets), measures, np.concatenate(predictions))
    return measures


def look_at(metrics: Mapping[str, Metric], target: Any, measures: dict[str, float], prediction: Array) -> None:
    """Compute the metrics before the step is taken, so that a failing metric prevents the step."""
    for name, metric in metrics.items():
        measures[name] = measured(name, metric(prediction, target))
