"""CosineEmbedding and Triplet: losses of outputs that should lie near each other, or far apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays
from nanonet.core.checks import as_numbers, finite_number, stranger, true_or_false
from nanonet.core.errors import ShapeError
from nanonet.losses.loss import Loss, set_reduction
from nanonet.losses.settings import above_0


class _Compared(Loss):
    """Base of losses that compare several arrays of one shape (batch, features)."""

    predictions = 2

    def check_target(self, prediction: Any, target: object) -> Any:
        """Return target, checked with the shapes of the predictions."""
        shapes = [part.shape for part in prediction]
        if prediction[0].ndim != 2 or len(set(shapes)) > 1:
            raise ShapeError(
                f"{self}: expected {self.predictions} predictions of one shape (batch, features), "
                f"got {' and '.join(map(str, shapes))}"
            )
        return self.check_aim(prediction[0], target)

    def check_aim(self, first: Array, target: object) -> Any:
        """Return target, checked beside the first prediction."""
        raise NotImplementedError


class CosineEmbedding(_Compared):
    """Mean over the batch of 1 - cos(a, b) where t is 1, and max(0, cos(a, b) - margin) where t is -1.

    PyTorch's CosineEmbeddingLoss: prediction is a tuple (a, b) of arrays of shape (batch, features), and target, shape
    (batch,), says whether they are to point the same way, 1, or not, -1.

    Parameters
    ----------
    margin : float
        From -1 to 1.
    reduction : {"mean", "sum"}
        "sum": the sum over the batch, which is not divided.

    Examples
    --------
    >>> a, b = [[1.0, 0.0], [1.0, 0.0]], [[0.0, 2.0], [3.0, 0.0]]
    >>> round(CosineEmbedding()((a, b), [1, -1]), 6)
    1.0
    """

    mixes_samples = False

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        self.margin = finite_number(margin, "CosineEmbedding", "margin", low=-1, high=1)
        set_reduction(self, reduction)

    def function(self, prediction: Arrays, target: Array) -> Array:
        """Return 1 - cos, or max(0, cos - margin), one number for each sample."""
        cosine = _cosine(*prediction)[0]
        each: Array = np.where(target > 0, 1 - cosine, np.maximum(cosine - self.margin, 0))
        return each

    def derivative(self, prediction: Any, target: Array) -> Any:
        """Return the derivatives with respect to both, a tuple."""
        a, b = prediction
        cosine, root, of_a, of_b = _cosine(a, b)
        slope = np.where(target > 0, -1, np.where(cosine > self.margin, 1, 0)).astype(a.dtype)
        direct, back = (slope / root)[:, None], (slope * cosine)[:, None]
        return b * direct - a * back / of_a[:, None], a * direct - b * back / of_b[:, None]

    def check_aim(self, first: Array, target: object) -> Any:
        """Return target, checked to have one 1 or -1 for each sample."""
        array = as_numbers(target, self, "target")
        if array.shape != first.shape[:1]:
            hint = "; try target.reshape(-1)" if array.size == len(first) else ""
            raise ShapeError(f"{self}: expected a target of shape {first.shape[:1]}, got {array.shape}{hint}")
        if not ((array == 1) | (array == -1)).all():
            strange = (array != 1) & (array != -1)
            hint = "; try 2 * target - 1" if ((array == 0) | (array == 1)).all() else ""
            raise ValueError(f"{self}: expected targets of 1 and -1, got {stranger(array, strange)}{hint}")
        return array

    def draw_target(self, shape: Any, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random entries -1 and 1."""
        drawn: npt.NDArray[Any] = rng.choice([-1, 1], size=shape[0][0])
        return drawn


def _cosine(a: Array, b: Array) -> tuple[Array, Array, Array, Array]:
    """Return cos(a, b), the product of the lengths by which a b is divided, and the squares of both lengths."""
    of_a, of_b = (np.einsum("ij,ij->i", each, each) + 1e-12 for each in (a, b))
    root: Array = np.sqrt(of_a) * np.sqrt(of_b)
    return np.einsum("ij,ij->i", a, b) / root, root, of_a, of_b


class Triplet(_Compared):
    """Mean over the batch of max(0, d(a, b) - d(a, c) + margin), where d is a distance (Schroff et al. 2015).

    PyTorch's TripletMarginLoss: prediction is a tuple (a, b, c) of arrays of shape (batch, features): an anchor, a
    sample that belongs to it, and one that does not. There is nothing else to aim at: in training give as target
    ``np.zeros(len(x))``; by hand it may be left out.

    Parameters
    ----------
    margin : float
        Above 0.
    p : float
        d(a, b) is the p-norm of a - b + eps, 1 or more.
    swap : bool
        Whether the smaller of d(a, c) and d(b, c) counts (Balntas et al. 2016).
    eps : float
        Above 0.
    reduction : {"mean", "sum"}
        "sum": the sum over the batch, which is not divided.

    Examples
    --------
    >>> round(Triplet()(([[0.0, 0.0]], [[0.0, 2.0]], [[2.5, 0.0]])), 3)
    0.5
    """

    mixes_samples = False
    predictions = 3

    def __init__(
        self, margin: float = 1.0, *, p: float = 2.0, swap: bool = False, eps: float = 1e-6, reduction: str = "mean"
    ) -> None:
        self.margin = above_0(margin, "Triplet", "margin")
        self.p = finite_number(p, "Triplet", "p", low=1)
        self.swap = true_or_false(swap, "Triplet", "swap")
        self.eps = above_0(eps, "Triplet", "eps")
        set_reduction(self, reduction)

    def function(self, prediction: Any, target: Array) -> Array:
        """Return max(0, d(a, b) - d(a, c) + margin), one number for each sample."""
        near, far, _ = self._distances(*prediction)
        each: Array = np.maximum(near - far + self.margin, 0)
        return each

    def derivative(self, prediction: Any, target: Array) -> Any:
        """Return the derivatives with respect to all three, a tuple."""
        a, b, c = prediction
        near, far, is_swapped = self._distances(a, b, c)
        counts = (near - far + self.margin > 0)[:, None].astype(a.dtype)
        of_near = counts * self._slope(a - b + self.eps, near)
        start = np.where(is_swapped[:, None], b, a)
        of_far = counts * self._slope(start - c + self.eps, far)
        of_a, of_b = np.where(is_swapped[:, None], 0, of_far), np.where(is_swapped[:, None], of_far, 0)
        return of_near - of_a, -of_near - of_b, of_far

    def _distances(self, a: Array, b: Array, c: Array) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
        """Return the distance to be small, the one to be large, and where that is d(b, c)."""
        near, far = self._norm(a - b + self.eps), self._norm(a - c + self.eps)
        if not self.swap:
            return near, far, np.zeros(len(a), bool)
        other = self._norm(b - c + self.eps)
        return near, np.minimum(far, other), other < far

    def _norm(self, apart: Array) -> Array:
        """Return the p-norm of each row, whose largest entry is divided by, so that no power over- or underflows."""
        size = np.abs(apart)
        top = size.max(axis=1, keepdims=True)
        norm: Array = top[:, 0] * (_power(size / np.where(top > 0, top, 1), self.p)).sum(axis=1) ** (1 / self.p)
        return norm

    def _slope(self, apart: Array, norm: Array) -> Array:
        """Return the derivative of the p-norm, sign(d) (|d| / norm)^(p - 1); 0 where the norm is 0."""
        share = np.abs(apart) / np.where(norm > 0, norm, 1)[:, None]
        slope: Array = np.sign(apart) * _power(share, self.p - 1)
        return slope

    def check_aim(self, first: Array, target: object) -> Any:
        """Return zeros, one for each sample, or raise unless that or None is given."""
        if target is None:
            return np.zeros(len(first), first.dtype)
        array = as_numbers(target, self, "target")
        if array.shape != first.shape[:1] or array.any():
            raise ValueError(
                f"{self}: the three predictions say all that it needs; give np.zeros(len(x)) as target, got one of "
                f"shape {array.shape}"
            )
        return array

    def draw_target(self, shape: Any, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return zeros."""
        return np.zeros(shape[0][0])

    def __call__(self, prediction: Any, target: Any = None, weight: npt.ArrayLike | None = None) -> float:
        """Return E for a tuple (anchor, positive, negative)."""
        return super().__call__(prediction, target, weight)

    def each(self, prediction: Any, target: Any = None, weight: npt.ArrayLike | None = None) -> Array:
        """Return the numbers that E is the mean or the sum of, one for each sample."""
        return super().each(prediction, target, weight)


def _power(share: Array, p: float) -> Array:
    """Return numbers from 0 to 1 to the power of p, 0 where that is too small for a number."""
    with np.errstate(under="ignore"):
        power: Array = share if p == 1 else share * share if p == 2 else share**p
    return power
