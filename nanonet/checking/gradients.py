"""check_gradients: compares a backward pass with the numerical derivative of its forward pass."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.checking.diagnosis import diagnose
from nanonet.checking.finite_differences import Comparison, Terms, compare
from nanonet.checking.layer_check import LayerCheck, as_gradient_error, blame_child
from nanonet.checking.situations import (
    BATCH,
    FAR_OUT,
    FEATURES,
    FLOAT,
    Situation,
    differs_in_training,
    far_out,
    left_out,
    others,
    part_starts,
    run_in,
    sample,
)
from nanonet.checking.training_contract import checked_loss
from nanonet.checking.view import named_parts
from nanonet.core.arrays import Array, Arrays, Patterns, Shape, batch_size_of, each
from nanonet.core.chain import Chain
from nanonet.core.checks import as_generator, as_shape, expect, is_several
from nanonet.core.errors import ContractError, GradientError
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.losses.loss import Loss


class GradientReport:
    """The result of :func:`check_gradients`; print it.

    Attributes
    ----------
    comparisons : list
        One per array, on the main sample; in both modes if they differ.
    notes : list of str
        Which checks were omitted, and why.
    """

    def __init__(self, subject: str, comparisons: list[Comparison], notes: list[str], *, fast: bool = False) -> None:
        self.subject, self.comparisons, self.notes, self.fast = subject, comparisons, notes, fast

    def __repr__(self) -> str:
        rows = [comparison.cells() for comparison in self.comparisons]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
        lines = ["  " + "  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]
        how = "along random directions, " if self.fast else ""
        head = f"{self.subject}: backward is the derivative of forward ({how}in float64)"
        return "\n".join([head, *lines, *(f"  {note}" for note in self.notes)])


def check_gradients(
    layer_or_loss: Layer | Loss,
    input_shape: int | Shape | tuple[Shape, ...] | None = None,
    *,
    x: Any = None,
    target: npt.ArrayLike | None = None,
    training: bool | None = None,
    fast: bool = False,
    rng: int | np.random.Generator = 0,
) -> GradientReport:
    """Compare every gradient with numerical derivatives, and check the rest of the contract.

    Works on a float64 copy, with E = Σ rᵢⱼ yᵢⱼ for random r, so that dE/dx is checked for any layers above. Every entry
    is compared; of a large array 400 random entries, then all at once along random directions. This is repeated with
    another number of samples and, if x is drawn, with x from 0.03 to 33 of both signs, along random directions unless x
    is small. In addition, ``backward`` must be linear in grad, keep no state between calls, agree with
    ``backward_parameters`` and accept arrays of any memory order.

    Trainable parameters whose initial values could hide a mistake are perturbed: those that are constant, symmetric, or
    equal to another. Buffers are moved from their initial values by two training passes. Generators and buffers are
    restored before each pass. A sample at a kink, such as ReLU's at 0, is not an error.

    Parameters
    ----------
    layer_or_loss : Layer or Loss
        A layer, an activation, a whole model, or a loss; built-in or your own.
    input_shape : int, tuple of int, or tuple of these, optional
        Without the batch axis; required if the layer does not define ``input_shape``. A tuple of shapes for several
        inputs.
    x : array, or tuple of arrays, optional
        The input to check at, or for a loss the prediction, shape (batch, ...); default: random, 5 or more samples.
    target : array, optional
        For a loss; default: drawn by its ``draw_target``.
    training : bool, optional
        Which mode to check; default: inference, and training if it differs.
    fast : bool
        Compare only along random directions, with a few passes per array of any size. Errors in entries that are small
        compared with the others are missed.
    rng : int or Generator
        The source of randomness.

    Returns
    -------
    GradientReport
        A table with the largest difference for each array.

    Raises
    ------
    GradientError
        If a gradient is wrong or the contract is violated; with the layer, the array, the entry, both numbers and, if
        the pattern is known, a diagnosis.

    Examples
    --------
    >>> from nanonet import Linear, check_gradients
    >>> print(check_gradients(Linear(2, 3)))  # doctest: +ELLIPSIS
    Linear(2, 3): backward is the derivative of forward (in float64)
      dE/dx       (5, 2)  10 of 10 entries  largest difference ...
      dE/dweight  (3, 2)  6 of 6 entries    largest difference ...
      dE/dbias    (3,)    3 of 3 entries    largest difference ...
    """
    generator = as_generator(rng, "check_gradients")
    shape = None if input_shape is None else _as_shapes(input_shape)
    if isinstance(layer_or_loss, Loss):
        if fast or training is not None:
            raise TypeError("check_gradients: training and fast go with a Layer")
        return _LossCheck(copy.deepcopy(layer_or_loss), generator).run(shape, x, target)
    expect(layer_or_loss, Layer, "check_gradients: expected layer_or_loss", called="Layer or a Loss")
    if target is not None:
        raise TypeError("check_gradients: target goes with a Loss")
    layer = copy.deepcopy(layer_or_loss)
    Chain(layer, dtype=np.float64, rng=generator)
    part_starts(layer)
    main = sample(layer, shape, x, generator)
    return _LayerChecks(layer, main, generator, fast=fast).run(training, drawn=x is None)


def _as_shapes(shape: Patterns) -> Patterns:
    if isinstance(shape, tuple) and is_several(shape):
        return tuple(map(_as_shapes, shape))
    return as_shape(shape, "check_gradients: input_shape")


class _LayerChecks:
    """All checks of one layer: on the main and further samples, in one mode or both."""

    def __init__(self, layer: Layer, main: Arrays, rng: np.random.Generator, *, fast: bool) -> None:
        self.layer, self.main, self.rng, self.fast = layer, main, rng, fast
        self.notes: list[str] = []

    def run(self, training: bool | None, *, drawn: bool) -> GradientReport:
        """Return the report, or raise the first error found."""
        if training is not False:
            with as_gradient_error(called(self.layer)):
                run_in(self.layer, self.main)
        found = self._check(Situation(self.main, bool(training)))
        modes = [bool(training)]
        if training is None and differs_in_training(self.layer, self.main, self.rng):
            modes.append(True)
            trained = self._check(Situation(self.main, True, "in training"))
            for comparison in trained:
                comparison.name += ", training"
            found += trained
        for mode in modes:
            for situation in others(self.main, mode, self.rng, drawn=drawn):
                words = f"in training, {situation.words}" if len(modes) > 1 and mode else situation.words
                why = left_out(self.layer, situation)
                if why:
                    self.notes.append(f"skipped {words}: {why}")
                else:
                    self._check(situation._replace(words=words))
        return GradientReport(called(self.layer), found, self.notes, fast=self.fast)

    def _check(self, situation: Situation) -> list[Comparison]:
        x, training, words, thorough = situation
        try:
            with np.errstate(all=None if thorough else "ignore"):
                return LayerCheck(self.layer, x, training, self.rng, thorough=thorough, fast=self.fast).run()
        except GradientError as error:
            named = self._named(error, situation)
            named.args = (_worded(str(named), words),)
            raise named from None

    def _named(self, error: GradientError, situation: Situation) -> GradientError:
        """Return the error of the layer of a chain that causes it, if one can be found; else the chain's error."""
        try:
            blame_child(self.layer, situation.x, situation.training, self.rng)
        except GradientError as found:
            return found
        return error


def _worded(text: str, words: str) -> str:
    """Append the situation to the first line of an error."""
    first, *diagnosis = text.split("\n")
    return "\n".join([f"{first}, {words}" if words else first, *diagnosis])


class _LossCheck:
    """The checks of a loss's derivative, without and with sample weights, on several kinds of predictions."""

    def __init__(self, loss: Loss, rng: np.random.Generator) -> None:
        self.loss, self.rng, self.name = loss, rng, repr(loss)
        self.notes: list[str] = []

    def run(self, shape: Patterns | None, x: Any, target: Any) -> GradientReport:
        """Return the report, or raise the first error found."""
        main = (
            self._drawn_prediction(shape or self._usual()) if x is None else each(lambda part: np.array(part, FLOAT), x)
        )
        aim = self._drawn_target(main) if target is None else target
        found = self._check(main, aim)
        one = each(lambda part: part[:1].copy(), main)
        one_aim = self._drawn_target(one) if target is None else each(lambda part: np.asarray(part)[:1], aim)
        self._check(one, one_aim, "on a batch of 1")
        anything = type(self.loss).draw_prediction is Loss.draw_prediction
        if x is None and target is None and anything and not isinstance(main, tuple):
            self._check_far_out(far_out(main.shape[1:], self.rng))
        return GradientReport(self.name, found, self.notes)

    def _usual(self) -> Patterns:
        """Return the shape of the predictions of a loss that takes any."""
        count = self.loss.predictions
        return (FEATURES,) if count == 1 else tuple([(FEATURES,)] * count)

    def _drawn_prediction(self, shape: Patterns) -> Any:
        if is_several(shape):
            return tuple(map(self._drawn_prediction, shape))
        return self.loss.draw_prediction((BATCH, *shape), self.rng)

    def _drawn_target(self, prediction: Arrays) -> Any:
        return self.loss.draw_target(each(lambda part: part.shape, prediction), self.rng)

    def _check_far_out(self, prediction: Array) -> None:
        target = self._drawn_target(prediction)
        with np.errstate(all="ignore"):
            if np.isfinite(self.loss.forward(prediction, *self.loss.check(prediction, target, None))[0]):
                self._check(prediction, target, FAR_OUT)
            else:
                self.notes.append(f"skipped {FAR_OUT}: it is not finite there")

    def _check(self, prediction: Arrays, target: Any, words: str = "") -> list[Comparison]:
        weights = self.rng.uniform(0.5, 1.5, batch_size_of(prediction))
        return [found for weight in (None, weights) for found in self._compared(prediction, target, weight, words)]

    def _compared(self, prediction: Arrays, target: Any, weight: Array | None, words: str) -> list[Comparison]:
        checked, weights = self.loss.check(prediction, target, weight)
        watched = checked_loss(self.loss)
        with as_gradient_error(self.name):
            value, cache = watched.forward(prediction, checked, weights)
            if not isinstance(value, float):
                raise ContractError(f"{self.name}: forward must return a float and a cache, got {type(value).__name__}")
            analytic = named_parts("dE/dprediction", each(np.array, watched.backward(cache)))
            again = named_parts("dE/dprediction", watched.backward(cache))
        given = named_parts("dE/dprediction", prediction)
        for name, part in given.items():
            if name not in analytic or analytic[name].shape != part.shape:
                got = " and ".join(str(array.shape) for array in analytic.values())
                raise GradientError(f"{self.name}: backward must return shape {part.shape} for {name}, got {got}")
        if not all(np.array_equal(again[name], part, equal_nan=True) for name, part in analytic.items()):
            raise GradientError(f"{self.name}: backward gives two results for one cache: does it keep state?")

        def change() -> Array:
            return np.array([self.loss.forward(prediction, checked, weights)[0] - value])

        terms = Terms(change, np.array([abs(value)]))
        comparisons = []
        for name, part in given.items():
            found = compare(name if weight is None else f"{name}, weighted", part, analytic[name], terms, self.rng)
            if found.wrong is not None:
                hint = diagnose(found, len(part), iter(()), iter(()))
                text = f"{self.name}: {found.message()}" + (f"\ndiagnosis: {hint}" if hint else "")
                raise GradientError(_worded(text, words))
            comparisons.append(found)
        return comparisons
