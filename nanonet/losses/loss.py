"""Loss: a scalar measure of the distance between prediction and target, and its derivative."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, Shape
from nanonet.core.checks import as_floats, as_integers
from nanonet.core.errors import ShapeError
from nanonet.core.objects import Extensible, is_own, obey_override
from nanonet.losses.predictions import first_of, float_arrays
from nanonet.losses.weights import along_batch, as_weights, nothing_counts, spread, weighted_mean


class Loss(Extensible, ABC):
    """E = Σ wᵢ eᵢ / Σ wᵢ over the samples of a batch, with wᵢ = 1 unless weights are given.

    Write eᵢ and its derivative; the base class does the rest:

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
    >>> report = check_gradients(Quartic())  # raises GradientError if it is wrong
    >>> Quartic()([[3.0]], [[1.0]])
    16.0

    With the class attributes ``formula = "sum((y - t)**4)"`` and ``derivative_formula = "4 * (y - t)**3"``,
    ``trace.explain`` writes them out; see nanonet/inspection/explanation/formulas.py.

    Attributes
    ----------
    reduction : {"mean", "sum"}
        "sum": E = Σ wᵢ eᵢ, which is not divided; a subclass sets it in its ``__init__``, if it offers the choice.
    predictions : int
        Of how many arrays the prediction is a tuple, as of two inputs that are compared; 1: it is one array.
    integer_target : bool
        Whether the target holds integers, such as class labels: one for each row of the prediction.
    several_targets : bool
        Whether prediction and target are tuples of arrays, as those of :class:`nanonet.Together`.
    mixes_samples : bool
        Whether eᵢ may depend on other samples than i. If not, a large batch may be computed in blocks. Default: True,
        which is always right.
    """

    reduction: str = "mean"
    integer_target: ClassVar[bool] = False
    predictions: ClassVar[int] = 1
    several_targets: ClassVar[bool] = False
    mixes_samples: ClassVar[bool] = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Make a class that overrides only ``function`` or ``derivative`` use its own version in both passes."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Loss, chosen=("function", "derivative"), dependent=("forward", "backward"))
        obey_override(cls, Loss, chosen=("function", "derivative", "forward"), dependent=("mixes_samples",))

    def __str__(self) -> str:
        return repr(self).removesuffix("()")  # its name in errors

    @abstractmethod
    def function(self, prediction: Array, target: Array) -> Array:
        """Return eᵢ, one number per sample, shape (batch,); or more of them, in the shape of :meth:`counts`.

        Parameters
        ----------
        prediction, target : array
            Shape (batch, ...), as :meth:`check` returns them.

        Returns
        -------
        array
            Shape (batch,), or that of :meth:`counts`.
        """

    @abstractmethod
    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return deᵢ/dprediction, of the shape of prediction.

        Parameters
        ----------
        prediction, target : array
            As for ``function``.

        Returns
        -------
        array
            In the shape of prediction.
        """

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        """Return E and the cache for ``backward``. Arguments are as :meth:`check` returns them, weight in float64.

        Parameters
        ----------
        prediction, target : array
            Shape (batch, ...).
        weight : array or None
            Shape (batch,).

        Returns
        -------
        value : float
        cache : object

        Raises
        ------
        ShapeError
            If ``function`` does not return one number per sample.
        """
        each = self.function(prediction, target)
        samples = (prediction[0] if isinstance(prediction, tuple) else prediction).shape[:1]
        if each.shape != samples and each.shape != self._counted(target):
            hint = "; sum over the outputs, axis=1, and keep the batch axis"
            raise ShapeError(
                f"{self}: function must return one number per sample, shape {samples}, got {each.shape}{hint}"
            )
        return self.mean(each, target, weight), (prediction, target, weight)

    def backward(self, cache: Any) -> Array:
        """Return dE/dprediction.

        Parameters
        ----------
        cache : object
            As ``forward`` returned it.

        Returns
        -------
        array
            In the shape and dtype of prediction.

        Raises
        ------
        ShapeError
            If ``derivative`` does not return the shape of prediction.
        """
        prediction, target, weight = cache
        grad = self.derivative(prediction, target)
        if isinstance(prediction, tuple):
            pairs: Any = zip(grad, prediction, strict=True)
            return tuple(self._scaled(g, y, target, weight) for g, y in pairs)  # type: ignore[return-value]
        return self._scaled(grad, prediction, target, weight)

    def _scaled(self, grad: Array, prediction: Array, target: Array, weight: Array | None) -> Array:
        if grad.shape != prediction.shape:
            raise ShapeError(
                f"{self}: derivative must return the shape of prediction, {prediction.shape}, got {grad.shape}"
            )
        scaled: Array = grad * self.shares(grad, target, weight)
        return scaled.astype(prediction.dtype, copy=False)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return what :meth:`each` returns without weights: what ``function`` does, or the numbers it is a mean of.

        Parameters
        ----------
        prediction, target : array
            As for ``function``.

        Returns
        -------
        array
            Its first axis is the batch.
        """
        return self.function(prediction, target)

    def each(self, prediction: Any, target: Any, weight: npt.ArrayLike | None = None) -> Array:
        """Return the numbers that E is the mean or the sum of: what PyTorch gives with reduction="none".

        For losses that are a mean over the outputs one number for each output, for a cross-entropy one for each label,
        0 where it is ignored, and else one for each sample; times the weights, if there are any.

        Parameters
        ----------
        prediction, target : array
            As for the call: with the batch as axis 0.
        weight : array, optional
            One weight per sample, or per label.

        Returns
        -------
        array
            Its first axis is the batch.
        """
        checked = float_arrays(prediction, self.predictions, self)
        aim, weights = self.check(checked, target, weight)
        numbers = self.elements(checked, aim)
        if weights is None:
            return numbers
        return (numbers * along_batch(weights, numbers.ndim)).astype(numbers.dtype, copy=False)

    def counts(self, target: Array) -> Array | None:
        """Return cᵢ, the count of each sample in the mean Σ wᵢ eᵢ / Σ wᵢ cᵢ; None: 1 each.

        Where ``function`` returns several numbers a sample, such as one for each label of a sequence, shape
        (batch, time), it is of that shape, and so may be the weights; a weight of a sample then is that of all of them.

        Parameters
        ----------
        target : array

        Returns
        -------
        array or None
            Shape (batch,), or that of the labels.
        """
        return None

    def _counted(self, target: Array) -> Shape | None:
        """Return the shape of what counts, None if that is the samples."""
        counts = self.counts(target)
        return None if counts is None else counts.shape

    def divisor(self, target: Array, weight: Array | None) -> float:
        """Return Σ wᵢ cᵢ, the divisor of the sum over the samples, or raise ValueError if it is 0; 1 of a sum."""
        if self.reduction == "sum":
            return 1.0
        total = self.total(target, weight)
        if total == 0:
            raise nothing_counts(f"{self}: no sample of this batch counts")
        return total

    def total(self, target: Array, weight: Array | None) -> float:
        """Return Σ wᵢ cᵢ, by default the number of samples; if it is 0, no sample counts and the mean is undefined."""
        counts = self.counts(target)
        if counts is None:
            return float(len(target) if weight is None else weight.sum())
        if weight is None:
            return float(counts.sum())
        return float(np.dot(weight, counts) if counts.ndim == 1 else np.vdot(spread(weight, counts.shape), counts))

    def mean(self, each: Array, target: Array, weight: Array | None) -> float:
        """Return Σ wᵢ eᵢ / Σ wᵢ cᵢ in float64; a sample of weight 0 is ignored, even if its eᵢ is not finite."""
        divisor = self.divisor(target, weight)
        if weight is None:
            return float(each.sum(dtype=np.float64)) / divisor
        return weighted_mean(each, weight, divisor)

    def shares(self, grad: Array, target: Array, weight: Array | None) -> Any:
        """Return wᵢ / Σ wᵢ cᵢ, broadcastable with grad; 1/batch by default."""
        divisor = self.divisor(target, weight)
        if weight is None:
            return 1 / divisor
        return along_batch((weight / divisor).astype(grad.dtype, copy=False), grad.ndim)

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target in the dtype of prediction, or raise ShapeError: a loss never broadcasts.

        Parameters
        ----------
        prediction : array
            Shape (batch, ...).
        target : array
            As the user gave it.

        Returns
        -------
        array

        Raises
        ------
        ShapeError
            If target does not have the shape that belongs to prediction.
        """
        if self.integer_target:
            array: npt.NDArray[Any] = as_integers(target, self, "target")
            expected = prediction.shape[:-1]
        else:
            array, expected = as_floats(target, prediction.dtype, self, "target"), prediction.shape
        if array.shape != expected:
            raise self._misfit(prediction, array, "target.to_numpy()" if hasattr(target, "to_numpy") else "target")
        return array

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return a random target for a prediction of this shape, for gradient checks; override to draw valid ones.

        Parameters
        ----------
        shape : tuple of int
            Of the prediction, with the batch axis.
        rng : Generator
            The source of randomness.

        Returns
        -------
        array
        """
        return rng.integers(shape[-1], size=shape[:-1]) if self.integer_target else rng.normal(size=shape)

    def draw_prediction(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return a random prediction of such a shape, for gradient checks; override where not all numbers are valid.

        Parameters
        ----------
        shape : tuple of int
            With the batch axis.
        rng : Generator
            The source of randomness.

        Returns
        -------
        array
        """
        return rng.normal(size=shape)

    def check(
        self, prediction: Array, target: object, weight: npt.ArrayLike | None = None
    ) -> tuple[Array, Array | None]:
        """Return target and weight, checked and converted for the passes.

        Raises
        ------
        ShapeError
            If target does not have the shape of prediction, or weight that of its batch axis.
        ValueError
            If the batch is empty, or a weight is negative or not finite. All weights may be 0: see ``total``.
        """
        first = prediction
        if isinstance(prediction, tuple) or self.predictions > 1:
            first = first_of(prediction, self.predictions, self)
        if first.ndim == 0 or len(first) == 0:
            raise ValueError(f"{self}: expected a batch of one sample or more, got shape {first.shape}")
        checked = self.check_target(prediction, target)
        return checked, None if weight is None else self._check_weight(first, checked, weight)

    def _check_weight(self, prediction: Array, target: Array, weight: npt.ArrayLike) -> Array:
        array, samples = as_weights(weight, self, "weight"), prediction.shape[:1]
        if array.shape != samples and array.shape != (counted := self._counted(target)):
            each = f", or one per label, shape {counted}" if counted not in (None, samples) else ""
            raise ShapeError(f"{self}: expected one weight per sample, shape {samples}{each}, got {array.shape}")
        return array

    def _misfit(self, prediction: Array, target: npt.NDArray[Any], given: str) -> ShapeError:
        hint = ""
        columns = prediction.size == len(prediction) and target.size == max(target.shape, default=0)
        if target.size == prediction.size and (columns or target.shape[:1] == prediction.shape[:1]):
            rest = ", ".join(str(size) for size in prediction.shape[1:])
            hint = f"; try {given}.reshape(-1, {rest})" if rest else f"; try {given}.reshape(-1)"
        elif not self.integer_target and target.shape == prediction.shape[:1]:
            hint = "; for labels of classes use CrossEntropy()"
        return ShapeError(f"{self}: prediction has shape {prediction.shape} but target has shape {target.shape}{hint}")

    def __call__(self, prediction: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
        """Return E for a prediction and its target, with the batch as axis 0; in float64 unless they are float32."""
        checked = float_arrays(prediction, self.predictions, self)
        return self.forward(checked, *self.check(checked, target, weight))[0]


def set_reduction(loss: Loss, reduction: str) -> None:
    """Let a loss be a mean or a sum, and its formulas too."""
    name = type(loss).__name__
    if reduction == "none":
        raise ValueError(
            f"{name}: training needs one number, so that reduction is 'mean' or 'sum', not 'none'; for what each "
            f"output or label gives write {name}().each(prediction, target)"
        )
    if not isinstance(reduction, str) or reduction not in ("mean", "sum"):
        raise ValueError(f"{name}: expected reduction as 'mean' or 'sum', got {reduction!r:.40}")
    if reduction == "sum":
        loss.reduction = reduction
        for formula in ("formula", "derivative_formula"):
            if is_own(type(loss)) and (stated := getattr(loss, formula, None)):
                setattr(loss, formula, stated.removesuffix(" / n"))


def mean_loss(loss: Loss, prediction: Arrays, target: Any, weight: npt.ArrayLike | None) -> tuple[float, float, Any]:
    """Return the mean loss of a batch, the divisor of that mean, and the cache; zeros if no sample of it counts."""
    checked, weights = loss.check(prediction, target, weight)
    divisor = loss.total(checked, weights)
    if divisor == 0:
        return 0.0, 0.0, None
    value, cache = loss.forward(prediction, checked, weights)
    return value, divisor, cache
