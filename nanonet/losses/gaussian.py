"""GaussianNLL: for a model that also predicts how far off it may be."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import as_floats, stranger, true_or_false
from nanonet.core.errors import ShapeError
from nanonet.core.stable import exp_of_negative
from nanonet.losses.loss import Loss, set_reduction
from nanonet.losses.outputs import outputs, over_outputs
from nanonet.losses.predictions import float_array
from nanonet.losses.settings import above_0


class GaussianNLL(Loss):
    """Mean over the targets and the batch of (log v + (m - t)^2 / v) / 2, for a predicted mean m and variance v.

    The negative log-likelihood of t, without log(2 pi) / 2, under a normal distribution (Nix and Weigend 1994). The
    last axis of prediction holds first the means, then as many log v: for targets of shape (batch, 1) the model ends in
    ``Linear(..., 2)``, for (batch, k) in ``Linear(..., 2 * k)``.

    Parameters
    ----------
    log_variance : bool
        False: the second half holds v itself, 0 or more, as with a Softplus at its end: PyTorch's GaussianNLLLoss.
    full : bool
        Whether to add log(2 pi) / 2.
    eps : float
        Above 0: a smaller v counts as eps, and its derivative is 0. (PyTorch's there is that at eps.)
    reduction : {"mean", "sum"}
        "sum": the sum over the targets and the batch.

    Examples
    --------
    >>> loss = GaussianNLL()
    >>> loss([[3.0, 0.0]], [[1.0]]), round(loss([[3.0, 2.0]], [[1.0]]), 6)
    (2.0, 1.270671)
    >>> loss.expected([[3.0, 0.0]]), loss.deviation([[3.0, 0.0]])
    (array([[3.]]), array([[1.]]))
    """

    mixes_samples = False

    def __init__(
        self, *, log_variance: bool = True, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
    ) -> None:
        self.log_variance = true_or_false(log_variance, "GaussianNLL", "log_variance")
        self.full = true_or_false(full, "GaussianNLL", "full")
        self.eps = above_0(eps, "GaussianNLL", "eps")
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of (log v + (m - t)^2 / v) / 2 over the targets."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return (log v + (m - t)^2 / v) / 2, with log(2 pi) / 2 if full."""
        mean, log, inverse, _ = self._parts(prediction)
        each: Array = 0.5 * (log + (mean - target) ** 2 * inverse)
        return each + 0.5 * math.log(2 * math.pi) if self.full else each

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return (m - t) / v, and for v (1 / v - (m - t)^2 / v^2) / 2, or v times that for its logarithm."""
        mean, _, inverse, is_above = self._parts(prediction)
        of_mean = (mean - target) * inverse
        of_log = 0.5 * (1 - (mean - target) * of_mean) * is_above
        spread = of_log if self.log_variance else of_log * inverse
        slope: Array = np.concatenate([of_mean, spread], axis=-1) / outputs(target, self)
        return slope

    def expected(self, prediction: npt.ArrayLike) -> Array:
        """Return the means, the first half of prediction.

        Parameters
        ----------
        prediction : array
            Shape (batch, ..., 2 * k).

        Returns
        -------
        array
            Shape (batch, ..., k).
        """
        return np.split(float_array(prediction, self, "prediction"), 2, axis=-1)[0]

    def deviation(self, prediction: npt.ArrayLike) -> Array:
        """Return the standard deviations, the roots of the variances.

        Parameters
        ----------
        prediction : array
            Shape (batch, ..., 2 * k).

        Returns
        -------
        array
            Shape (batch, ..., k).
        """
        log = self._parts(float_array(prediction, self, "prediction"))[1]
        with np.errstate(over="ignore"):
            deviation: Array = np.exp(0.5 * log)
        return deviation

    def _parts(self, prediction: Array) -> tuple[Array, Array, Array, npt.NDArray[np.bool_]]:
        """Return m, log v, 1 / v, and whether v is above eps."""
        mean, second = np.split(prediction, 2, axis=-1)
        if self.log_variance:
            least = math.log(self.eps)
            log = np.maximum(second, least)
            return mean, log, exp_of_negative(-log), second > least
        v = np.maximum(second, self.eps)
        return mean, np.log(v), 1 / v, second > self.eps

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, checked to have half as many entries on its last axis, and that no variance is negative."""
        array = as_floats(target, prediction.dtype, self, "target")
        if array.ndim == 0 or prediction.shape != (*array.shape[:-1], 2 * array.shape[-1]):
            hint = ""
            if prediction.ndim == 2 and array.shape == prediction.shape[:1] and prediction.shape[1] == 2:
                hint = "; try target.reshape(-1, 1)"
            elif array.shape == prediction.shape:
                hint = f"; let the model end in {2 * array.shape[-1]} outputs"
            raise ShapeError(
                f"{self}: prediction has shape {prediction.shape} but target has shape {array.shape}; expected a mean "
                f"and a {'log ' * self.log_variance}variance for each entry of target on the last axis{hint}"
            )
        second = prediction[..., array.shape[-1] :]
        if not self.log_variance and (second < 0).any():
            raise ValueError(
                f"{self}: expected variances of 0 or more in the second half of prediction, got "
                f"{stranger(second, second < 0)}; put a Softplus behind them, or write GaussianNLL(log_variance=True)"
            )
        return array

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Return random numbers, half as many."""
        return rng.normal(size=(*shape[:-1], shape[-1] // 2))

    def draw_prediction(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Return random numbers of an even count, with variances above 0."""
        prediction = rng.normal(size=(*shape[:-1], 2 * -(-shape[-1] // 2)))
        if not self.log_variance:
            half = prediction.shape[-1] // 2
            prediction[..., half:] = np.abs(prediction[..., half:]) + 0.1
        return prediction
