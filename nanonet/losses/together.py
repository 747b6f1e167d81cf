"""Together: the weighted sum of several losses, one for each output of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, Patterns
from nanonet.core.checks import expect, finite_number
from nanonet.core.errors import ShapeError
from nanonet.losses.loss import Loss
from nanonet.losses.predictions import float_array


class Together(Loss):
    """E = Σₖ λₖ Eₖ(prediction[k], target[k]): one loss for each of several outputs.

    Prediction and target are tuples of arrays, and so is the derivative. Sample weights apply to every loss.

    Parameters
    ----------
    *losses : Loss
        One for each output.
    weights : sequence of float, optional
        λ, each 0 or more; default: 1 each.

    Raises
    ------
    TypeError
        If prediction or target is no tuple.
    ShapeError
        If their length is not the number of losses.

    Notes
    -----
    Each Eₖ is the mean of its own batch. A loss with class weights or an ignore_index has a divisor of its own, and one
    with reduction="sum" none, so that the mean over several batches or micro-batches, which are weighted by their
    samples, is then not that of one large batch.

    Examples
    --------
    >>> from nanonet import CrossEntropy, SquaredError, Together
    >>> loss = Together(SquaredError(), CrossEntropy(), weights=(1.0, 0.5))
    >>> round(loss(([[3.0]], [[0.0, 0.0]]), ([[1.0]], [1])), 4)
    2.3466
    """

    several_targets = True

    def __init__(self, *losses: Loss, weights: Sequence[float] | None = None) -> None:
        if not losses:
            raise ValueError("Together: expected one loss or more; write Together(SquaredError(), CrossEntropy())")
        for i, loss in enumerate(losses):
            expect(loss, Loss, f"Together: expected loss {i}")
        self.losses = losses
        given = (1.0,) * len(losses) if weights is None else tuple(weights)
        if len(given) != len(losses):
            raise ValueError(f"Together: expected one weight for each of {len(losses)} losses, got {len(given)}")
        self.weights = tuple(finite_number(weight, "Together", "each weight", low=0) for weight in given)

    def function(self, prediction: Arrays, target: Arrays) -> Array:
        """Return Σₖ λₖ eₖ, one number per sample."""
        each: Array = sum(w * f.function(y, t) for w, f, y, t in self._parts(prediction, target))
        return each

    def derivative(self, prediction: Arrays, target: Arrays) -> Any:
        """Return λₖ deₖ/dprediction[k], a tuple."""
        return tuple(w * f.derivative(y, t) for w, f, y, t in self._parts(prediction, target))

    def forward(self, prediction: Arrays, target: Arrays, weight: Array | None = None) -> tuple[float, Any]:
        """Return E and the caches of all losses."""
        pairs = [loss.forward(y, t, weight) for _, loss, y, t in self._parts(prediction, target)]
        total = sum(w * value for w, (value, _) in zip(self.weights, pairs, strict=True))
        return float(total), [cache for _, cache in pairs]

    def backward(self, cache: Any) -> Any:
        """Return λₖ dEₖ/dprediction[k], a tuple."""
        return tuple(w * f.backward(c) for w, f, c in zip(self.weights, self.losses, cache, strict=True))

    def total(self, target: Arrays, weight: Array | None) -> float:
        """Return Σ wᵢ, or 0 if in one of the losses no sample counts."""
        if not all(loss.total(t, weight) for loss, t in zip(self.losses, target, strict=True)):
            return 0.0
        return float(len(target[0]) if weight is None else weight.sum())

    def check(
        self, prediction: Arrays, target: object, weight: npt.ArrayLike | None = None
    ) -> tuple[Any, Array | None]:
        """Return targets and weight, checked and converted by the losses."""
        self._expect_tuples(prediction, target)
        checked = [loss.check(y, t, weight) for _, loss, y, t in self._parts(prediction, target)]
        return tuple(t for t, _ in checked), checked[0][1]

    def draw_target(self, shape: Patterns, rng: np.random.Generator) -> Any:
        """Return a tuple of random targets."""
        return tuple(loss.draw_target(part, rng) for loss, part in zip(self.losses, shape, strict=True))

    def __call__(self, prediction: Any, target: Any, weight: npt.ArrayLike | None = None) -> float:
        """Return E for a tuple of predictions and one of targets."""
        self._expect_tuples(prediction, target)
        floats = tuple(float_array(part, self, f"prediction[{k}]") for k, part in enumerate(prediction))
        return self.forward(floats, *self.check(floats, target, weight))[0]

    def _expect_tuples(self, prediction: object, target: object) -> None:
        for name, value in (("prediction", prediction), ("target", target)):
            wanted = f"{self}: expected {name} as a tuple of {len(self.losses)} arrays"
            if not isinstance(value, (tuple, list)):
                raise TypeError(f"{wanted}, got {type(value).__name__}")
            if len(value) != len(self.losses):
                raise ShapeError(f"{wanted}, got {len(value)}")

    def _parts(self, prediction: Any, target: Any) -> Any:
        return zip(self.weights, self.losses, prediction, target, strict=True)
