"""Loss: one number that says how far a prediction is from its target, and its derivative."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nanonet.arrays import Array, as_floats, as_numbers
from nanonet.errors import ShapeError
from nanonet.recorded import Recorded, obey_override


class Loss(Recorded, ABC):
    """E = Σ wᵢ eᵢ / Σ wᵢ over the samples of a batch, with wᵢ = 1 unless weights are given.

    Write eᵢ and its derivative; everything else is done here:

    >>> import numpy as np
    >>> from nanonet import Array, Loss, check_gradients
    >>> class Quartic(Loss):
    ...     '''Sum of (prediction - target)^4 over the outputs, mean over the batch.'''
    ...
    ...     def function(self, prediction: Array, target: Array) -> Array:
    ...         each: Array = ((prediction - target) ** 4).sum(axis=1)
    ...         return each
    ...
    ...     def derivative(self, prediction: Array, target: Array) -> Array:
    ...         return 4 * (prediction - target) ** 3
    >>> report = check_gradients(Quartic())  # raises GradientError where it is wrong
    >>> Quartic()([[3.0]], [[1.0]])
    16.0

    Attributes
    ----------
    integer_target : bool
        Whether the target holds integers, such as class labels.
    """

    integer_target: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        """See to it that a class that overrides only a short method is obeyed."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Loss, chosen=("function", "derivative"), dependent=("forward", "backward"))

    @abstractmethod
    def function(self, prediction: Array, target: Array) -> Array:
        """Return eᵢ, one number a sample, shape (batch,)."""

    @abstractmethod
    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return deᵢ/dprediction, the shape of prediction."""

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        """Return E and what ``backward`` needs. Arguments are as :meth:`check` returns them."""
        each = self.function(prediction, target)
        if each.shape != prediction.shape[:1]:
            hint = "; sum over the outputs, axis=1, and leave the batch as it is" if each.ndim == 0 else ""
            raise ShapeError(
                f"{self!r}: function must return one number a sample, shape {prediction.shape[:1]}, "
                f"got {each.shape}{hint}"
            )
        return weighted_mean(each, weight), (prediction, target, weight)

    def backward(self, cache: Any) -> Array:
        """Return dE/dprediction."""
        prediction, target, weight = cache
        grad = self.derivative(prediction, target)
        if grad.shape != prediction.shape:
            raise ShapeError(
                f"{self!r}: derivative must return the shape of prediction, {prediction.shape}, got {grad.shape}"
            )
        scaled: Array = grad * shares(grad, weight)
        return scaled.astype(prediction.dtype, copy=False)

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target in the dtype of prediction, or raise ShapeError: a loss never broadcasts."""
        array = as_floats(target, prediction.dtype, self, "target")
        if array.shape != prediction.shape:
            raise self._misfit(prediction, array)
        return array

    def check(
        self, prediction: Array, target: object, weight: npt.ArrayLike | None = None
    ) -> tuple[Array, Array | None]:
        """Return target and weight as the passes need them, or raise what is wrong with them.

        Raises
        ------
        ShapeError
            If target does not have the shape of prediction, or weight that of its batch axis.
        ValueError
            If the batch is empty, or the weights are negative, not finite or all 0.
        """
        if prediction.ndim == 0 or len(prediction) == 0:
            raise ValueError(f"{self!r}: expected a batch of one sample or more, got shape {prediction.shape}")
        checked = self.check_target(prediction, target)
        return checked, None if weight is None else self._check_weight(prediction, weight)

    def _check_weight(self, prediction: Array, weight: npt.ArrayLike) -> Array:
        array = as_floats(weight, prediction.dtype, self, "weight")
        if array.shape != prediction.shape[:1]:
            raise ShapeError(f"{self!r}: expected one weight a sample, shape {prediction.shape[:1]}, got {array.shape}")
        if not np.isfinite(array).all() or (array < 0).any() or not array.any():
            raise ValueError(f"{self!r}: expected finite weights of 0 or more, not all of them 0")
        return array

    def _misfit(self, prediction: Array, target: npt.NDArray[Any]) -> ShapeError:
        hint = ""
        if target.size == prediction.size:
            rest = ", ".join(str(size) for size in prediction.shape[1:])
            hint = f"; try target.reshape(-1, {rest})" if rest else "; try target.reshape(-1)"
        return ShapeError(
            f"{self!r}: prediction has shape {prediction.shape} but target has shape {target.shape}{hint}"
        )

    def __call__(self, prediction: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
        """Return E for a prediction and its target, both with the batch as axis 0; float64 unless they are float32."""
        given = as_numbers(prediction, self, "prediction")
        dtype = given.dtype if given.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        checked = as_floats(given, dtype, self, "prediction")
        return self.forward(checked, *self.check(checked, target, weight))[0]


def weighted_mean(each: Array, weight: Array | None) -> float:
    """Return Σ wᵢ eᵢ / Σ wᵢ."""
    return float(each.sum() / len(each) if weight is None else np.dot(weight, each) / weight.sum())


def shares(grad: Array, weight: Array | None) -> Any:
    """Return wᵢ / Σ wᵢ, ready to be multiplied with grad: 1/batch where there are no weights."""
    if weight is None:
        return 1 / len(grad)
    return (weight / weight.sum()).reshape(-1, *[1] * (grad.ndim - 1))


class SquaredError(Loss):
    """Half the sum of squares over the outputs, mean over the batch: E = 1/N Σᵢ 1/2 Σⱼ (yᵢⱼ - tᵢⱼ)^2.

    The derivative of one sample's loss is y - t, as in the article and in most textbooks. PyTorch's MSELoss is the
    mean over the outputs too and has no 1/2.

    Examples
    --------
    >>> SquaredError()([[1.0, 3.0]], [[0.0, 1.0]])
    2.5
    """

    def function(self, prediction: Array, target: Array) -> Array:
        """Return 1/2 Σⱼ (yⱼ - tⱼ)^2."""
        return _half_squares(prediction - target)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return y - t."""
        return prediction - target

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        """Return E, and y - t, which both passes need."""
        difference = prediction - target
        if weight is None:
            return 0.5 * float(np.vdot(difference, difference)) / len(difference), (difference, None)
        return weighted_mean(_half_squares(difference), weight), (difference, weight)

    def backward(self, cache: Any) -> Array:
        """Return (y - t) times the share of its sample."""
        difference, weight = cache
        grad: Array = difference * shares(difference, weight)
        return grad


def _half_squares(difference: Array) -> Array:
    rows = difference.reshape(len(difference), -1)
    each: Array = 0.5 * np.einsum("ij,ij->i", rows, rows)
    return each
