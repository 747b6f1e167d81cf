"""CrossEntropy: that of logits, for targets that are classes or probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape, is_finite
from nanonet.core.checks import as_floats, as_numbers, finite_number, stranger
from nanonet.core.errors import ShapeError
from nanonet.core.stable import log_softmax, softmax, softmax_and_log
from nanonet.losses.loss import Loss, set_reduction
from nanonet.losses.predictions import float_array
from nanonet.losses.settings import whole_number


class CrossEntropy(Loss):
    """-Σⱼ tⱼ log pⱼ, mean over the labels, where p = softmax(prediction): it takes logits, like PyTorch's.

    There is one label for each sample; for a sequence one for each time, for an image one for each pixel. With class
    weights vⱼ it is -Σⱼ vⱼ tⱼ log pⱼ; the sum is then divided, for labels, by the sum of their class weights, and for
    probabilities by the number of rows, as in PyTorch.

    Parameters
    ----------
    axis : int
        The axis of prediction that holds the classes: the last one, as for sequences (batch, time, classes); 1 for
        images (batch, classes, height, width), as PyTorch has it.
    ignore_index : int, optional
        A label that does not count, such as that of padding: its entries add nothing to the sum nor to its divisor, and
        get no gradient. PyTorch's default is -100; here none is ignored unless you say so.
    label_smoothing : float
        s from 0 to 1: t becomes (1 - s) t + s / classes (Szegedy et al. 2016).
    class_weight : array, optional
        One weight per class: 0, or from 1e-30 to 1e30. Labels of a class of weight 0 are ignored.
    reduction : {"mean", "sum"}
        "sum": the sum over the labels, which is not divided.

    Notes
    -----
    The target holds labels, integers from 0, in the shape of prediction without the axis of the classes: (batch,) for
    (batch, classes), (batch, time) for (batch, time, classes). Or it holds probabilities, such as one-hot rows, in the
    shape of prediction, nonnegative, which sum to 1 along the axis of the classes.

    Sample weights have shape (batch,), or that of the labels.

    A logit of -inf masks a class: its probability and its gradient are 0, and E is infinite only if the target is
    nonzero there, as it is with label smoothing. A sample whose classes are all masked gives NaN.

    Examples
    --------
    >>> loss = CrossEntropy()
    >>> round(loss([[0.0, 0.0], [1000.0, 0.0]], [0, 0]), 6), loss([[1000.0, 0.0]], [1])
    (0.346574, 1000.0)
    >>> round(CrossEntropy(ignore_index=-1)([[[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]]], [[0, 1, -1]]), 6)
    0.693147
    >>> loss.probabilities([[0.0, 0.0]])
    array([[0.5, 0.5]])
    """

    mixes_samples = False
    formula = "m = max(y); s = sum(exp(y - m)); p = exp(y - m) / s; -sum(t * log(p))"
    derivative_formula = "m = max(y); s = sum(exp(y - m)); p = exp(y - m) / s; p - t"

    def __init__(
        self,
        *,
        axis: int = -1,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        class_weight: npt.ArrayLike | None = None,
        reduction: str = "mean",
    ) -> None:
        set_reduction(self, reduction)
        self.axis = whole_number(axis, "CrossEntropy", "axis")
        if self.axis == 0:
            raise ValueError("CrossEntropy: expected axis of the classes, -1 or 1, got 0, which is the batch")
        self.ignore_index = (
            None if ignore_index is None else whole_number(ignore_index, "CrossEntropy", "ignore_index", " or None")
        )
        self.label_smoothing = finite_number(label_smoothing, "CrossEntropy", "label_smoothing", low=0, high=1)
        self.class_weight = None if class_weight is None else as_numbers(class_weight, "CrossEntropy", "class_weight")
        v = self.class_weight
        if v is not None and (v.ndim != 1 or not ((v == 0) | (v >= 1e-30) & (v <= 1e30)).all() or not v.any()):
            raise ValueError(
                "CrossEntropy: expected class_weight as one number per class, 0 or from 1e-30 to 1e30, not all 0"
            )

    def function(self, prediction: Array, target: Array) -> Array:
        """Return -Σⱼ kⱼ log pⱼ for each label, where k is the target with smoothing and class weights applied."""
        rows, each = self.rows(prediction), self.label_shape(prediction)
        return self._each(self.coefficients(rows, self.rows(target)), log_softmax(rows)).reshape(each)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return p Σⱼ kⱼ - k, which is p - t without smoothing and class weights."""
        rows, aim = self.rows(prediction), self.rows(target)
        return self._as_it_came(self._slope(self.coefficients(rows, aim), softmax(rows), aim), prediction.shape)

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        """Return E and the cache for ``backward``."""
        is_flat = prediction.ndim == 2
        aim = target if is_flat else self.rows(target)
        p, logs = softmax_and_log(prediction if is_flat else self.rows(prediction))
        if aim.ndim == 1 and self.class_weight is None and not self.label_smoothing:  # k is 1 at the label, else 0
            each, k = -logs[np.arange(len(aim)), self._places(aim)], None
            self._clear_ignored(each, aim)
        else:
            k = self.coefficients(p, aim)
            each = self._each(k, logs)
        if not is_flat:
            each = each.reshape(self.label_shape(prediction))
        return self.mean(each, target, weight), (k, p, target, weight, prediction.shape)

    def backward(self, cache: Any) -> Array:
        """Return dE/dprediction."""
        k, p, target, weight, shape = cache
        aim = target if len(shape) == 2 else self.rows(target)
        if k is None:
            slope = p.copy()
            slope[np.arange(len(aim)), self._places(aim)] -= 1
            self._clear_ignored(slope, aim)
        else:
            slope = self._slope(k, p, aim)
        grad: Array = slope if len(shape) == 2 else self._as_it_came(slope, shape)
        grad *= self.shares(grad, target, weight)
        return grad

    def counts(self, target: Array) -> Array | None:
        """Return the class weight of each label, 0 if it is ignored; 1 for each row of probabilities."""
        if self.class_weight is None and self.ignore_index is None and target.ndim == 1:
            return None
        if target.dtype.kind == "f":
            return None if target.ndim == 2 else np.broadcast_to(np.float64(1), self.label_shape(target))
        if self.class_weight is not None:
            weights: Array = self.class_weight[self._places(target)]
            if self.ignore_index is not None:
                weights = weights * (target != self.ignore_index)
            return weights
        if self.ignore_index is not None:
            kept: Array = (target != self.ignore_index).astype(np.float64)
            return kept
        return np.broadcast_to(np.float64(1), target.shape)

    def shares(self, grad: Array, target: Array, weight: Array | None) -> Any:
        """Return what each entry of the gradient is multiplied by; a weight of a label is that of its classes."""
        share = super().shares(grad, target, weight)
        return share if weight is None or weight.ndim == 1 else np.moveaxis(share, -1, self.axis)

    def probabilities(self, logits: npt.ArrayLike) -> Array:
        """Return softmax(logits) along the axis of the classes.

        Parameters
        ----------
        logits : array
            Shape (batch, ..., classes).

        Returns
        -------
        array
            In the shape of logits.
        """
        array = float_array(logits, self, "logits")
        if array.ndim == 1:
            return softmax(array)
        return self._as_it_came(softmax(self.rows(array)), array.shape)

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random labels."""
        axis = self.axis % len(shape)
        return rng.integers(shape[axis], size=(*shape[:axis], *shape[axis + 1 :]))

    # ---- the axis of the classes

    def label_shape(self, prediction: Array) -> Shape:
        """Return the shape of a prediction without the axis of the classes."""
        axis = self.axis % prediction.ndim
        return (*prediction.shape[:axis], *prediction.shape[axis + 1 :])

    def rows(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a prediction, or probabilities, as one row of classes for each label; labels as one list."""
        if array.dtype.kind != "f":
            return array if array.ndim == 1 else array.reshape(-1)
        if array.ndim == 2:
            return array
        last = np.moveaxis(array, self.axis, -1)
        return last.reshape(-1, last.shape[-1])

    def _as_it_came(self, rows: Array, shape: Shape) -> Array:
        """Return rows, one for each label, in the shape of the prediction."""
        if len(shape) == 2:
            return rows
        axis = self.axis % len(shape)
        last = rows.reshape(*shape[:axis], *shape[axis + 1 :], shape[axis])
        return np.moveaxis(last, -1, axis)

    # ---- what is a target

    def check_target(self, prediction: Array, target: object) -> npt.NDArray[Any]:
        """Return integer labels, or probabilities in the dtype of prediction, checked."""
        if not -prediction.ndim < self.axis < prediction.ndim or prediction.shape[self.axis] < 2:
            layout = (
                "(batch, classes)"
                if prediction.ndim < 3 and self.axis == -1
                else f"(batch, ...), classes on axis {self.axis},"
            )
            raise ShapeError(
                f"{self}: expected a prediction of shape {layout} with 2 classes or more, got {prediction.shape}"
            )
        classes = prediction.shape[self.axis]
        if self.class_weight is not None and len(self.class_weight) != classes:
            raise ShapeError(f"{self}: class_weight has {len(self.class_weight)} entries, prediction {classes} classes")
        array = as_numbers(target, self, "target")
        if array.shape == prediction.shape:
            return self._check_rows(as_floats(array, prediction.dtype, self, "target"))
        expected = self.label_shape(prediction)
        if array.shape != expected:
            raise ShapeError(
                f"{self}: prediction has shape {prediction.shape} but target has shape {array.shape}; expected "
                f"labels of shape {expected} or rows of shape {prediction.shape}"
                f"{self._what_to_type(array.shape, prediction.shape, expected)}"
            )
        return self._check_labels(array, classes)

    def _what_to_type(self, given: Shape, shape: Shape, expected: Shape) -> str:
        if given == (shape[0], *shape[2:]):
            return f"; if the classes are on axis 1 of prediction, write CrossEntropy(axis=1{self._others()})"
        if given == shape[:-1]:
            return f"; if the classes are on the last axis of prediction, write CrossEntropy({self._others()[2:]})"
        if math.prod(given) == math.prod(expected) and len(given) > 0:
            return f"; try target.reshape({', '.join(['-1', *map(str, expected[1:])])})"
        if given == expected[:1]:
            return "; for one label a sample let the model give one row of classes a sample"
        return ""

    def _others(self) -> str:
        """Return the settings besides the axis, as they are typed."""
        weights = "..." if self.class_weight is not None else None
        named = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing or None}
        return "".join(f", {n}={v}" for n, v in {**named, "class_weight": weights}.items() if v is not None)

    def _check_labels(self, labels: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
        if labels.dtype.kind not in "iu":
            hint = "; try target.astype(int)" if (labels == np.floor(labels)).all() else ""
            raise TypeError(f"{self}: expected integer labels, got {labels.dtype}{hint}")
        outside = (labels < 0) | (labels >= classes)
        if self.ignore_index is not None:
            outside &= labels != self.ignore_index
        if outside.any():
            first = labels[outside][0]
            marks = first < 0 and (labels[outside] == first).all()
            hint = f"; if it marks what does not count, write CrossEntropy(ignore_index={first})" if marks else ""
            raise ValueError(
                f"{self}: expected labels from 0 to {classes - 1} for {classes} outputs, "
                f"got {stranger(labels, outside)}{hint}"
            )
        return labels

    def _check_rows(self, target: Array) -> Array:
        if self.ignore_index is not None:
            raise ValueError(
                f"{self}: ignore_index is for labels, and the target holds probabilities; "
                "leave it out, and give those that do not count a sample_weight of 0"
            )
        rows = self.rows(target)
        uneven = np.abs(rows.sum(axis=1) - 1) > 1e-3
        if uneven.any() or (rows < 0).any():
            row = int(np.flatnonzero(uneven | (rows < 0).any(axis=1))[0])
            raise ValueError(
                f"{self}: expected rows of nonnegative probabilities that sum to 1, but row {row} is {rows[row]}"
            )
        return target

    # ---- of rows

    def coefficients(self, prediction: Array, target: npt.NDArray[Any]) -> Array:
        """Return k = v ((1 - s) t + s / classes), one row for each label, 0 for one that is ignored."""
        if target.ndim == 2:
            k: Array = target
        else:
            k = np.zeros_like(prediction)
            k[np.arange(len(k)), self._places(target)] = 1
        if self.label_smoothing:
            k = (1 - self.label_smoothing) * k + self.label_smoothing / k.shape[1]
        k = k if self.class_weight is None else (k * self.class_weight).astype(prediction.dtype, copy=False)
        if target.ndim == 1:
            self._clear_ignored(k, target)
        return k

    def _places(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return labels, 0 in the place of those that are ignored."""
        return labels if self.ignore_index is None else np.where(labels == self.ignore_index, 0, labels)

    def _clear_ignored(self, rows: Array, target: npt.NDArray[Any]) -> None:
        if self.ignore_index is not None and target.ndim == 1:
            rows[target == self.ignore_index] = 0

    @staticmethod
    def _each(k: Array, logs: Array) -> Array:
        each: Array = -np.einsum("ij,ij->i", k, logs)
        if not is_finite(each):  # a class with target 0 may be masked: here 0 times -inf is 0
            each = -np.einsum("ij,ij->i", k, np.where(k, logs, 0))
        return each

    def _slope(self, k: Array, p: Array, target: npt.NDArray[Any]) -> Array:
        slope: Array = p * k.sum(axis=1, keepdims=True) - k
        self._clear_ignored(slope, target)
        return slope
