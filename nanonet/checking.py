"""check_gradients: holds a backward pass against the numerical derivative of its forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.activations import Activation
from nanonet.arrays import Array, Shape, as_generator, as_shape
from nanonet.building import Snapshot, Tree
from nanonet.diagnosis import diagnose
from nanonet.errors import ContractError, GradientError, NonFiniteError, ShapeError
from nanonet.first_batch import checked_loss
from nanonet.layer import Layer
from nanonet.losses import Loss
from nanonet.numerical import Comparison, compare
from nanonet.recorded import called
from nanonet.sequential import Sequential
from nanonet.strict import checked

BATCH = 5  # more than one sample, and no size that a layer is likely to have
FEATURES = 3
FLOAT = np.dtype(np.float64)


class GradientReport:
    """What :func:`check_gradients` compared: print it."""

    def __init__(self, subject: str, comparisons: list[Comparison]) -> None:
        self.subject, self.comparisons = subject, comparisons

    def __repr__(self) -> str:
        rows = [comparison.cells() for comparison in self.comparisons]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
        lines = ["  " + "  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]
        return "\n".join([f"{self.subject}: backward is the derivative of forward (in float64)", *lines])


def check_gradients(
    layer_or_loss: Layer | Loss,
    input_shape: int | Shape | None = None,
    *,
    x: npt.ArrayLike | None = None,
    target: npt.ArrayLike | None = None,
    training: bool = False,
    rng: int | np.random.Generator = 0,
) -> GradientReport:
    """Compare every gradient with central differences, and the rest of the contract with what is done.

    Works on a float64 copy, with E = Σ rᵢⱼ yᵢⱼ for random r, so that dE/dx matters wherever the layer stands. Trainable
    parameters that are all 0 or all 1 are moved a little there: a forgotten factor of 1 would not show. Generators and
    buffers are put back before each pass. A kink that the sample sits on, such as ReLU's at 0, is no error.

    Parameters
    ----------
    layer_or_loss : Layer or Loss
        A layer, an activation, a whole model, or a loss; also your own.
    input_shape : int or tuple of int, optional
        Without the batch axis; needed where the layer does not pin it.
    x : array, optional
        The input to check at, or for a loss the prediction, shape (batch, ...); default: drawn, 5 samples.
    target : array, optional
        For a loss; default: what its ``draw_target`` gives for the shape of x.
    training : bool
        Whether to check the passes of training.
    rng : int or Generator
        For everything drawn.

    Returns
    -------
    GradientReport
        A table with the largest difference for each array.

    Raises
    ------
    GradientError
        With the layer, the array, the entry, both numbers and, where the pattern is known, a diagnosis.

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
    shape = None if input_shape is None else as_shape(input_shape, "check_gradients: input_shape")
    if isinstance(layer_or_loss, Loss):
        return _check_loss(copy.deepcopy(layer_or_loss), shape, x, target, generator)
    if not isinstance(layer_or_loss, Layer):
        hint = f"; write {layer_or_loss.__name__}(...)" if isinstance(layer_or_loss, type) else ""
        raise TypeError(f"check_gradients: expected a Layer or a Loss, got {layer_or_loss!r:.60}{hint}")
    if target is not None:
        raise TypeError("check_gradients: target goes with a Loss")
    layer = copy.deepcopy(layer_or_loss)
    Sequential(layer, dtype=np.float64, rng=generator)
    _leave_0_and_1(layer)
    sample = _sample(layer, shape, x, generator)
    try:
        return _LayerCheck(layer, sample, training, generator).run()
    except GradientError as error:
        _blame_child(layer, sample, training, generator)
        raise error from None


def _leave_0_and_1(layer: Layer) -> None:
    """Move parameters that are all 0 or all 1, as gains and biases start: there a forgotten factor would not show."""
    rng = np.random.default_rng(0)
    for parameter in Tree(layer).parameters.values():
        start = parameter.value.flat[0]
        if parameter.trainable and start in (0, 1) and (parameter.value == start).all():
            parameter.value = start + rng.uniform(-0.5, 0.5, parameter.shape)


def _sample(layer: Layer, shape: Shape | None, x: npt.ArrayLike | None, rng: np.random.Generator) -> Array:
    if x is not None:
        return np.array(x) if layer.integer_input else np.array(x, FLOAT)
    if layer.integer_input:
        raise ValueError(f"check_gradients: {called(layer)} takes integers; give it x=...")
    if shape is None:
        shape = layer.input_shape
    if shape is None and isinstance(layer, Activation):
        shape = (FEATURES,)
    if shape is None:
        raise ValueError(f"check_gradients: {called(layer)} does not pin its input; write input_shape=(3,) or the like")
    x = rng.normal(size=(BATCH, *shape))
    x[::2] *= 3  # some samples lie further out
    return x


def _blame_child(layer: Layer, x: Array, training: bool, rng: np.random.Generator, path: str = "") -> None:
    """Check the layers of a chain one by one, each on what it gets there, to name the one that is wrong."""
    if not isinstance(layer, Sequential):
        return
    for i, child in enumerate(layer):
        free = copy.deepcopy(child)
        Sequential(free, dtype=np.float64, rng=0)
        try:
            _LayerCheck(free, x, training, rng).run()
        except GradientError as error:
            _blame_child(free, x, training, rng, f"{path}{i}.")
            raise GradientError(f"layer {path}{i}, {error}") from None
        x = child.forward(x, training=False)[0]


class _LayerCheck:
    """One layer, one sample, and E = Σ r y."""

    def __init__(
        self, layer: Layer, x: Array, training: bool, rng: np.random.Generator, *, beside: bool = False
    ) -> None:
        self.layer, self.x, self.training, self.rng, self.beside = layer, x, training, rng, beside
        self.name = called(layer)
        self.tree = Tree(layer)
        self.snapshot = Snapshot(self.tree)

    def run(self) -> GradientReport:
        """Return the report, or raise the first thing that is wrong."""
        with _as_gradient_error(self.name):
            y, _ = self._contract()
            self.y, self.r = y.copy(), self.rng.normal(size=y.shape)
            self.size = float(np.abs(self.r * y).max(initial=0))
            self._contract_backward()
        analytic = self._unchanged()
        comparisons = []
        for name, place in self._places().items():
            found = compare(name, place, analytic[name], self.energy, self.rng, size=self.size)
            if found.wrong is not None and not (found.wrong_only_on_kinks and self._right_beside()):
                self._fail(found)
            comparisons.append(found)
        return GradientReport(self.name, comparisons)

    def _forward(self, x: Array, training: bool | None = None) -> tuple[Array, Any]:
        self.snapshot.restore()
        return self.layer.forward(x, training=self.training if training is None else training)

    def energy(self) -> float:
        """Return E for x and the parameters as they are now, less what it was at first: so its digits are kept."""
        return float(np.sum(self.r * (self._forward(self.x)[0] - self.y)))

    def _contract(self) -> tuple[Array, Any]:
        """Run forward under the strict contract, in inference twice."""
        view = checked(self.layer, live=True)
        first, second = view.forward(self.x)[0], view.forward(self.x)[0]
        if not np.array_equal(first, second, equal_nan=True):
            raise ContractError(f"{self.name}: forward gives two results for one input, though training is False")
        self.snapshot.restore()
        return view.forward(self.x, training=self.training)

    def _contract_backward(self) -> None:
        self.snapshot.restore()
        view = checked(self.layer, live=True)
        _, cache = view.forward(self.x, training=self.training)
        view.backward(self.r, cache)

    def _unchanged(self) -> dict[str, Array]:
        """Run both passes raw, see that they change nothing handed out, and return the gradients by name."""
        before = self.x.copy(), self.r.copy()
        y, cache = self._forward(self.x)
        handed_out = y.copy()
        self._forward(self.x * 0.5 if self.x.dtype.kind == "f" else self.x[::-1])
        dx = self.layer.backward(self.r, cache)
        first, gradients = dx.copy(), {f"dE/d{name}": p.grad.copy() for name, p in self.tree.parameters.items()}
        self.layer.backward(2 * self.r, cache)
        for what, now, then in (
            ("x", self.x, before[0]),
            ("grad", self.r, before[1]),
            ("output", y, handed_out),
            ("dE/dx", dx, first),
        ):
            if not np.array_equal(now, then, equal_nan=True):
                raise GradientError(f"{self.name}: its passes change the {what} that was handed over; copy it first")
        return {"dE/dx": first} | gradients

    def _places(self) -> dict[str, Array]:
        """Return the arrays that E depends on, to be moved in place."""
        places = {} if self.layer.integer_input else {"dE/dx": self.x}
        return places | {f"dE/d{name}": p.value for name, p in self.tree.parameters.items()}

    def _right_beside(self) -> bool:
        """Tell whether a net is right a little beside a sample on which several of its layers' kinks fall together.

        A layer by itself has no such excuse: its slope on a kink is one of those between the two sides.
        """
        if self.beside or len(self.tree.layers) == 1 or self.layer.integer_input:
            return False
        x = self.x + self.rng.normal(scale=1e-2, size=self.x.shape)
        try:
            _blame_child(self.layer, self.x, self.training, self.rng)
            _LayerCheck(self.layer, x, self.training, self.rng, beside=True).run()
        except GradientError:
            return False
        return True

    def _fail(self, found: Comparison) -> None:
        hint = diagnose(found, len(self.x), self._shares(found), self._transposed(found))
        raise GradientError(f"{self.name}: {found.message()}" + (f"\ndiagnosis: {hint}" if hint else ""))

    def _shares(self, found: Comparison) -> Iterator[Array]:
        """Yield the gradient that each sample by itself gives, for what is not summed over the batch."""
        if found.name == "dE/dx":
            return
        whole = self.r
        for i in range(len(whole)):
            self.r = np.zeros_like(whole)
            self.r[i] = whole[i]
            place = self._places()[found.name]
            yield compare(found.name, place, found.analytic, self.energy, self.rng, size=self.size).numerical
        self.r = whole

    def _transposed(self, found: Comparison) -> Iterator[tuple[str, Array]]:
        """Yield what dE/dx becomes when a square parameter is transposed between the passes."""
        if found.name != "dE/dx":
            return
        for name, parameter in self.tree.parameters.items():
            if len(parameter.shape) == 2 and parameter.shape[0] == parameter.shape[1]:
                _, cache = self._forward(self.x)
                kept = parameter.value.copy()
                parameter.value = kept.T
                yield name, np.array(self.layer.backward(self.r, cache))
                parameter.value = kept


def _check_loss(
    loss: Loss, shape: Shape | None, x: npt.ArrayLike | None, target: npt.ArrayLike | None, rng: np.random.Generator
) -> GradientReport:
    """Compare a loss's derivative, without and with sample weights."""
    name = repr(loss)
    prediction = rng.normal(size=(BATCH, *(shape or (FEATURES,)))) if x is None else np.array(x, FLOAT)
    if target is None:
        target = loss.draw_target(prediction.shape, rng)
    comparisons = []
    for kind, weight in (("", None), (", weighted", rng.uniform(0.5, 1.5, len(prediction)))):
        target_, weights = loss.check(prediction, target, weight)

        def energy(target_: Array = target_, weights: Array | None = weights) -> float:
            return loss.forward(prediction, target_, weights)[0]

        with _as_gradient_error(name):
            watched = checked_loss(loss)
            value, cache = watched.forward(prediction, target_, weights)
            if not isinstance(value, float):
                raise ContractError(f"{name}: forward must return a float and a cache, got {type(value).__name__}")
            analytic = np.array(watched.backward(cache))
        if analytic.shape != prediction.shape:
            raise GradientError(f"{name}: backward must return shape {prediction.shape}, got {analytic.shape}")
        found = compare(f"dE/dprediction{kind}", prediction, analytic, energy, rng, size=abs(value))
        if found.wrong is not None:
            hint = diagnose(found, len(prediction), iter(()), iter(()))
            raise GradientError(f"{name}: {found.message()}" + (f"\ndiagnosis: {hint}" if hint else ""))
        comparisons.append(found)
    return GradientReport(name, comparisons)


@contextmanager
def _as_gradient_error(name: str) -> Iterator[None]:
    """Let what the strict contract finds be a GradientError, with a diagnosis where its pattern is known."""
    try:
        yield
    except (ContractError, ShapeError, NonFiniteError) as error:
        text, bare = str(error), name.removesuffix("()")
        if text.startswith(f"{bare}: "):  # a loss names itself without the brackets
            text = name + text.removeprefix(bare)
        patterns: dict[str, Callable[[str], bool]] = {
            "argument modified": lambda text: "writes to its argument" in text,
            "never assigned": lambda text: "never assign" in text,
            "added instead of assigned": lambda text: " adds to " in text,
            "not summed over the batch": lambda text: "sum it over the batch" in text,
            "transposed": lambda text: "transpose it?" in text,
        }
        hint = next((f"\ndiagnosis: {hint}" for hint, fits in patterns.items() if fits(text)), "")
        raise GradientError((text if name in text else f"{name}: {text}") + hint) from None
    except Exception as error:
        raise GradientError(f"{name}: its passes fail with {type(error).__name__}: {error}") from error
