"""Parts of a batch: the result of the two passes, and the sum of the gradients of several parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Array, each


class Outcome(NamedTuple):
    """The result of the passes: the loss, the divisor of its mean, and the prediction.

    A divisor of 0 means that no sample of the batch counts.
    """

    loss: float
    divisor: float
    prediction: Any


def added_up(one: Callable[..., Outcome], grad: Array, parts: Iterable[Any], is_sum: bool = False) -> Outcome:
    """Add up the gradients of parts of a batch, in order, each weighted by its share; of a loss that is a sum, by 1."""
    total, value, divisor, predictions = np.zeros_like(grad), 0.0, 0.0, []
    for part in parts:
        outcome = one(*part)
        predictions.append(outcome.prediction)
        if outcome.divisor:
            divisor += outcome.divisor
            share = outcome.divisor / divisor  # of this part in all so far; a sum might overflow
            rest, share = (1.0, 1.0) if is_sum else (1 - share, share)
            total *= rest
            total += share * grad
            value = rest * value + share * outcome.loss
    grad[:] = total
    return Outcome(value, divisor, joined(predictions))


def joined(predictions: list[Any]) -> Any:
    """Return the predictions for parts of a batch as that for the whole."""
    return each(lambda *parts: np.concatenate(parts), *predictions)
