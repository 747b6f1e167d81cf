"""Cross-entropies of logits, for targets that are classes or probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape, is_finite
from nanonet.core.checks import as_floats, as_numbers, finite_number, stranger
from nanonet.core.errors import ShapeError
from nanonet.core.stable import exp_of_negative, log_softmax, sigmoid, softmax, softmax_and_log
from nanonet.losses.loss import Loss, float_array
from nanonet.losses.outputs import mean_over_outputs, outputs


class BinaryCrossEntropy(Loss):
    """Mean over the outputs and the batch of -t log p - (1 - t) log(1 - p), where p = sigmoid(prediction).

    It takes logits, like PyTorch's BCEWithLogitsLoss: omit the Sigmoid from the model. Targets are from 0 to 1.

    Examples
    --------
    >>> loss = BinaryCrossEntropy()
    >>> round(loss([[0.0]], [[1.0]]), 6), loss([[1000.0]], [[0.0]])
    (0.693147, 1000.0)
    >>> loss.probabilities([[0.0], [2.0]]).round(3)
    array([[0.5  ],
           [0.881]])
    """

    mixes_samples = False
    formula = "sum(log(1 + exp(y)) - t * y) / n"
    derivative_formula = "p = 1 / (1 + exp(-y)); (p - t) / n"

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of log(1 + exp(aⱼ)) - tⱼ aⱼ over j, as max(a, 0) - t a + log(1 + exp(-|a|))."""
        size = np.abs(prediction)
        return mean_over_outputs(np.maximum(prediction, 0) - target * prediction + np.log1p(exp_of_negative(-size)))

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return (sigmoid(a) - t) / outputs."""
        return (sigmoid(prediction) - target) / outputs(prediction)

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random numbers from 0 to 1."""
        return rng.random(shape)

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, checked to have the shape of prediction and entries from 0 to 1."""
        array = super().check_target(prediction, target)
        if not ((array >= 0) & (array <= 1)).all():
            outside = ~((array >= 0) & (array <= 1))
            raise ValueError(f"BinaryCrossEntropy: expected targets from 0 to 1, got {stranger(array, outside)}")
        return array

    def probabilities(self, logits: npt.ArrayLike) -> Array:
        """Return sigmoid(logits).

        Parameters
        ----------
        logits : array
            Shape (batch, ...).

        Returns
        -------
        array
            In the shape of logits.
        """
        return sigmoid(float_array(logits, self, "logits"))


class CrossEntropy(Loss):
    """-Σⱼ tⱼ log pⱼ, mean over the batch, where p = softmax(prediction): it takes logits, like PyTorch's.

    With class weights vⱼ it is -Σⱼ vⱼ tⱼ log pⱼ; the sum over the batch is then divided, for labels, by the sum of the
    class weights of the samples, and for rows of probabilities by the number of samples, as in PyTorch.

    Parameters
    ----------
    label_smoothing : float
        s from 0 to 1: t becomes (1 - s) t + s / classes (Szegedy et al. 2016).
    class_weight : array, optional
        One weight per class: 0, or from 1e-30 to 1e30. Samples whose label has weight 0 are ignored.

    Notes
    -----
    The target holds labels, shape (batch,), integers from 0; or probabilities, such as one-hot rows, shape
    (batch, classes), nonnegative, each row summing to 1.

    A logit of -inf masks a class: its probability and its gradient are 0, and E is infinite only if the target is
    nonzero there, as it is with label smoothing. A sample whose classes are all masked gives NaN.

    Examples
    --------
    >>> loss = CrossEntropy()
    >>> round(loss([[0.0, 0.0], [1000.0, 0.0]], [0, 0]), 6), loss([[1000.0, 0.0]], [1])
    (0.346574, 1000.0)
    >>> loss.probabilities([[0.0, 0.0]])
    array([[0.5, 0.5]])
    """

    mixes_samples = False
    formula = "m = max(y); s = sum(exp(y - m)); p = exp(y - m) / s; -sum(t * log(p))"
    derivative_formula = "m = max(y); s = sum(exp(y - m)); p = exp(y - m) / s; p - t"

    def __init__(self, *, label_smoothing: float = 0.0, class_weight: npt.ArrayLike | None = None) -> None:
        self.label_smoothing = finite_number(label_smoothing, "CrossEntropy", "label_smoothing", low=0, high=1)
        self.class_weight = None if class_weight is None else as_numbers(class_weight, "CrossEntropy", "class_weight")
        v = self.class_weight
        if v is not None and (v.ndim != 1 or not ((v == 0) | (v >= 1e-30) & (v <= 1e30)).all() or not v.any()):
            raise ValueError(
                "CrossEntropy: expected class_weight as one number per class, 0 or from 1e-30 to 1e30, not all 0"
            )

    def function(self, prediction: Array, target: Array) -> Array:
        """Return -Σⱼ kⱼ log pⱼ, where k is the target with smoothing and class weights applied."""
        return self._each(self.coefficients(prediction, target), log_softmax(prediction))

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return p Σⱼ kⱼ - k, which is p - t without smoothing and class weights."""
        return self._slope(self.coefficients(prediction, target), softmax(prediction))

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        """Return E and the cache for ``backward``."""
        p, logs = softmax_and_log(prediction)
        if target.ndim == 1 and self.class_weight is None and not self.label_smoothing:  # k is 1 at the label, else 0
            each, k = -logs[np.arange(len(target)), target], None
        else:
            k = self.coefficients(prediction, target)
            each = self._each(k, logs)
        return self.mean(each, target, weight), (k, p, target, weight)

    def backward(self, cache: Any) -> Array:
        """Return dE/dprediction."""
        k, p, target, weight = cache
        if k is None:
            slope = p.copy()
            slope[np.arange(len(target)), target] -= 1
        else:
            slope = self._slope(k, p)
        slope *= self.shares(p, target, weight)
        return slope  # type: ignore[no-any-return]  # of p, which comes from a cache

    def counts(self, target: Array) -> Array | None:
        """Return the class weight of each label."""
        if self.class_weight is None or target.ndim == 2:
            return None
        weights: Array = self.class_weight[target]
        return weights

    def probabilities(self, logits: npt.ArrayLike) -> Array:
        """Return softmax(logits) along the last axis.

        Parameters
        ----------
        logits : array
            Shape (batch, ..., classes).

        Returns
        -------
        array
            In the shape of logits.
        """
        return softmax(float_array(logits, self, "logits"))

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random labels."""
        return rng.integers(shape[-1], size=shape[:-1])

    def check_target(self, prediction: Array, target: object) -> npt.NDArray[Any]:
        """Return integer labels, or rows of probabilities in the dtype of prediction, checked."""
        if prediction.ndim != 2 or prediction.shape[1] < 2:
            raise ShapeError(
                f"{self}: expected a prediction of shape (batch, classes) with 2 classes or more, "
                f"got {prediction.shape}"
            )
        if self.class_weight is not None and len(self.class_weight) != prediction.shape[1]:
            raise ShapeError(
                f"{self}: class_weight has {len(self.class_weight)} entries, prediction {prediction.shape[1]} classes"
            )
        array = as_numbers(target, self, "target")
        if array.shape == prediction.shape:
            return self._check_rows(as_floats(array, prediction.dtype, self, "target"))
        if array.shape != prediction.shape[:1]:
            hint = "; try target.reshape(-1)" if array.shape == (len(prediction), 1) else ""
            raise ShapeError(
                f"{self}: prediction has shape {prediction.shape} but target has shape {array.shape}; expected "
                f"labels of shape {prediction.shape[:1]} or rows of shape {prediction.shape}{hint}"
            )
        return self._check_labels(array, prediction.shape[1])

    def _check_labels(self, labels: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
        if labels.dtype.kind not in "iu":
            hint = "; try target.astype(int)" if (labels == np.floor(labels)).all() else ""
            raise TypeError(f"{self}: expected integer labels, got {labels.dtype}{hint}")
        outside = (labels < 0) | (labels >= classes)
        if outside.any():
            raise ValueError(
                f"{self}: expected labels from 0 to {classes - 1} for {classes} outputs, "
                f"got {stranger(labels, outside)}"
            )
        return labels

    def _check_rows(self, rows: Array) -> Array:
        uneven = np.abs(rows.sum(axis=1) - 1) > 1e-3
        if uneven.any() or (rows < 0).any():
            row = int(np.flatnonzero(uneven | (rows < 0).any(axis=1))[0])
            raise ValueError(
                f"{self}: expected rows of nonnegative probabilities that sum to 1, but row {row} is {rows[row]}"
            )
        return rows

    def coefficients(self, prediction: Array, target: npt.NDArray[Any]) -> Array:
        """Return k = v ((1 - s) t + s / classes), one row per sample."""
        if target.ndim == 2:
            k: Array = target
        else:
            k = np.zeros_like(prediction)
            k[np.arange(len(k)), target] = 1
        if self.label_smoothing:
            k = (1 - self.label_smoothing) * k + self.label_smoothing / k.shape[1]
        return k if self.class_weight is None else (k * self.class_weight).astype(prediction.dtype, copy=False)

    @staticmethod
    def _each(k: Array, logs: Array) -> Array:
        each: Array = -np.einsum("ij,ij->i", k, logs)
        if not is_finite(each):  # a class with target 0 may be masked: here 0 times -inf is 0
            each = -np.einsum("ij,ij->i", k, np.where(k, logs, 0))
        return each

    @staticmethod
    def _slope(k: Array, p: Array) -> Array:
        slope: Array = p * k.sum(axis=1, keepdims=True) - k
        return slope
