"""Losses that ask for a margin: between two scores, between a class and all others, between pairs that differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, Shape
from nanonet.core.checks import as_floats, as_numbers, finite_number, stranger
from nanonet.core.errors import ShapeError
from nanonet.losses.loss import Loss, set_reduction
from nanonet.losses.outputs import outputs, over_outputs


class MarginRanking(Loss):
    """Mean of max(0, margin - t (a - b)): where t is 1, a is to be larger than b, and where it is -1, smaller.

    PyTorch's MarginRankingLoss, for a model that is to order things: prediction is a tuple (a, b) of the scores of two
    of them, arrays of one shape, which is that of target too.

    Parameters
    ----------
    margin : float
        By how much, 0 or more.
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> MarginRanking(1.0)(([3.0, 0.5], [1.0, 0.0]), [1, 1])
    0.25
    """

    mixes_samples = False
    predictions = 2

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        self.margin = finite_number(margin, "MarginRanking", "margin", low=0)
        set_reduction(self, reduction)

    def function(self, prediction: Arrays, target: Array) -> Array:
        """Return the mean of max(0, margin - t (a - b)) over the outputs."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Any, target: Array) -> Array:
        """Return max(0, margin - t (a - b))."""
        a, b = prediction
        each: Array = np.maximum(self.margin - target * (a - b), 0)
        return each

    def derivative(self, prediction: Any, target: Array) -> Any:
        """Return -t and t where t (a - b) < margin, / outputs; 0 elsewhere."""
        a, b = prediction
        slope: Array = np.where(target * (a - b) < self.margin, -target, 0).astype(a.dtype) / outputs(a, self)
        return slope, -slope

    def check_target(self, prediction: Any, target: object) -> Array:
        """Return target, checked to be of 1 and -1, in the shape of both predictions."""
        a, b = prediction
        array = as_floats(target, a.dtype, self, "target")
        if not a.shape == b.shape == array.shape:
            raise ShapeError(
                f"{self}: expected two predictions and a target of one shape, "
                f"got {a.shape}, {b.shape} and {array.shape}"
            )
        return _signs(self, array)

    def draw_target(self, shape: Any, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random entries -1 and 1."""
        signs: npt.NDArray[Any] = rng.choice([-1.0, 1.0], size=shape[0])
        return signs


class HingeEmbedding(Loss):
    """Mean of y where t is 1, and of max(0, margin - y) where it is -1, for distances y: PyTorch's HingeEmbeddingLoss.

    Pairs that belong together, 1, are pulled together, and others, -1, pushed apart until they are margin apart.

    Parameters
    ----------
    margin : float
        0 or more.
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> round(HingeEmbedding()([0.5, 0.25, 3.0], [1, -1, -1]), 6)
    0.416667
    """

    mixes_samples = False
    formula = "sum(y if t > 0 else max(margin - y, 0)) / n"
    derivative_formula = "(1 if t > 0 else -1 if y < margin else 0) / n"

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        self.margin = finite_number(margin, "HingeEmbedding", "margin", low=0)
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of y or max(0, margin - y) over the outputs."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return y where t is 1, max(0, margin - y) where it is -1."""
        return np.where(target > 0, prediction, np.maximum(self.margin - prediction, 0))

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return 1 where t is 1, -1 where it is -1 and y < margin, / outputs; 0 elsewhere."""
        pushed = np.where(prediction < self.margin, -1, 0)
        slope: Array = np.where(target > 0, 1, pushed).astype(prediction.dtype) / outputs(prediction, self)
        return slope

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, checked to have the shape of prediction and entries of 1 and -1."""
        return _signs(self, super().check_target(prediction, target))

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random entries -1 and 1."""
        return rng.choice([-1.0, 1.0], size=shape)


class MultiMargin(Loss):
    """Σⱼ max(0, margin - y_t + yⱼ)^p / classes over the classes j other than t, mean over the batch, for labels t.

    The hinge of several classes (Weston and Watkins 1999), PyTorch's MultiMarginLoss: the score of the right class is
    to be larger than each other one, by the margin. For two classes and one output there is Hinge.

    Parameters
    ----------
    p : {1, 2}
    margin : float
        Above 0.
    class_weight : array, optional
        One factor per class, 0 or more, on the loss of its samples, by which the mean is not divided.
    reduction : {"mean", "sum"}
        "sum": the sum over the batch.

    Examples
    --------
    >>> round(MultiMargin()([[2.0, 1.5, 0.0]], [0]), 6)
    0.166667
    """

    mixes_samples = False
    integer_target = True
    formula: str
    derivative_formula: str

    def __init__(
        self, p: int = 1, margin: float = 1.0, *, class_weight: npt.ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        if p not in (1, 2):
            raise ValueError(f"MultiMargin: expected p as 1 or 2, got {p!r:.60}")
        self.p = int(p)
        self.margin = finite_number(margin, "MultiMargin", "margin", low=0)
        if self.margin == 0:
            raise ValueError("MultiMargin: expected margin above 0; at 0 equal scores would have no loss")
        weights = None if class_weight is None else as_numbers(class_weight, "MultiMargin", "class_weight")
        if weights is not None and (weights.ndim != 1 or not ((weights >= 0) & (weights <= 1e30)).all()):
            raise ValueError("MultiMargin: expected class_weight as one number per class, from 0 to 1e30")
        self.class_weight = weights
        set_reduction(self, reduction)
        share = "1 / n" if weights is None else "sum(t * class_weight) / n"
        short = "(1 - t) * max(margin - s + y, 0)"
        slope = "(1 - t) * (1 if margin - s + y > 0 else 0)" if p == 1 else f"2 * {short}"
        self.formula = f"s = sum(t * y); {share} * sum({short}{'' if p == 1 else '**2'})"
        self.derivative_formula = f"s = sum(t * y); k = sum({slope}); {share} * ({slope} - t * k)"

    def function(self, prediction: Array, target: npt.NDArray[Any]) -> Array:
        """Return Σⱼ max(0, margin - y_t + yⱼ)^p / classes."""
        short = self._short(prediction, target)
        each: Array = (short**self.p).sum(axis=1) * self._shares(prediction, target)
        return each

    def derivative(self, prediction: Array, target: npt.NDArray[Any]) -> Array:
        """Return p max(0, ...)^(p - 1) / classes for each class too close, and for the right one minus their sum."""
        short = self._short(prediction, target)
        slope = (short > 0).astype(prediction.dtype) if self.p == 1 else 2 * short
        slope[np.arange(len(target)), target] = -slope.sum(axis=1)
        slope *= self._shares(prediction, target)[:, None]
        return slope

    def _short(self, prediction: Array, target: npt.NDArray[Any]) -> Array:
        """Return max(0, margin - y_t + yⱼ), 0 for the right class."""
        rows = np.arange(len(target))
        short: Array = np.maximum(self.margin - prediction[rows, target][:, None] + prediction, 0)
        short[rows, target] = 0
        return short

    def _shares(self, prediction: Array, target: npt.NDArray[Any]) -> Array:
        """Return 1 / classes for each sample, times the weight of its class."""
        weights = np.ones(len(target)) if self.class_weight is None else self.class_weight[target]
        shares: Array = (weights / prediction.shape[1]).astype(prediction.dtype)
        return shares

    def check_target(self, prediction: Array, target: object) -> Any:
        """Return target, checked to hold a label from 0 for each sample."""
        if prediction.ndim != 2 or prediction.shape[1] < 2:
            raise ShapeError(
                f"{self}: expected a prediction of shape (batch, classes) with 2 classes or more, "
                f"got {prediction.shape}"
            )
        classes = prediction.shape[1]
        if self.class_weight is not None and len(self.class_weight) != classes:
            raise ShapeError(f"{self}: class_weight has {len(self.class_weight)} entries, prediction {classes} classes")
        labels = super().check_target(prediction, target)
        outside = (labels < 0) | (labels >= classes)
        if outside.any():
            raise ValueError(
                f"{self}: expected labels from 0 to {classes - 1} for {classes} outputs, "
                f"got {stranger(labels, outside)}"
            )
        return labels


def _signs(loss: Loss, target: Array) -> Array:
    """Return target, or raise ValueError unless it is of 1 and -1."""
    strange = np.abs(target) != 1
    if strange.any():
        hint = "; try 2 * target - 1" if ((target == 0) | (target == 1)).all() else ""
        raise ValueError(f"{loss}: expected targets of 1 and -1, got {stranger(target, strange)}{hint}")
    return target
