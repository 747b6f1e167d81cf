"""Trainer: takes steps, each of them whole or not at all, and knows what happens in an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.arrays import Array, as_floats, as_generator, as_integers, is_finite, positive_int
from nanonet.building import Tree
from nanonet.errors import ContractError, NonFiniteError, ShapeError
from nanonet.history import History
from nanonet.losses import Loss
from nanonet.optimizers import Optimizer, Step
from nanonet.progress import Progress
from nanonet.recorded import called
from nanonet.sequential import Sequential
from nanonet.state import Parameter
from nanonet.strict import Snapshot, contract, loss_contract, optimizer_contract

BLOCK = 32768  # entries that an optimizer gets at a time: they stay in the cache while a rule goes over them


class Block:
    """A piece of the vector with its optimizer state, and a copy of both from before the step."""

    __slots__ = ("arrays", "grad", "saved")

    def __init__(self, arrays: list[Array], grad: Array) -> None:
        self.arrays, self.grad = arrays, grad
        self.saved = [np.empty_like(array) for array in arrays]

    def save(self) -> None:
        """Keep the numbers as they are."""
        for array, saved in zip(self.arrays, self.saved, strict=True):
            saved[:] = array

    def restore(self) -> None:
        """Put back what was kept."""
        for array, saved in zip(self.arrays, self.saved, strict=True):
            array[:] = saved


class Trainer:
    """A model in training: it holds the optimizer's state, and takes one step at a time.

    A step whose loss, gradient or updated parameters are NaN or infinite is not taken: it raises, and the model,
    buffers and generators too, stands as before it.

    Parameters
    ----------
    model : Sequential
    loss : Loss
    optimizer : Optimizer
    rng : int, Generator or None
        For shuffling; None goes on with the model's own generator.

    Examples
    --------
    >>> from nanonet import SGD, Linear, Sequential, SquaredError
    >>> model = Sequential(Linear(1, 1), rng=0)
    >>> trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.5))
    >>> for _ in range(100):
    ...     loss = trainer.step([[0], [1]], [[1], [3]])
    >>> round(loss, 6), model([[2.0]]).round(2)
    (0.0, array([[5.]], dtype=float32))
    """

    def __init__(
        self,
        model: Sequential,
        *,
        loss: Loss,
        optimizer: Optimizer,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        _expect("model", model, Sequential)
        _expect("loss", loss, Loss)
        _expect("optimizer", optimizer, Optimizer)
        if not hasattr(optimizer, "_learning_rate"):
            name = type(optimizer).__name__
            raise TypeError(f"{name}: its __init__ has to call super().__init__(learning_rate)")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.rng = model.rng if rng is None else as_generator(rng, "Trainer")
        self.history = History()
        self.steps = 0
        self._states: dict[str, Array] = {}
        self._blocks: list[Block] = []
        self._layout: object = None
        self._bind()

    # ---- one step

    def step(self, x: npt.ArrayLike, target: npt.ArrayLike) -> float:
        """Take one step on a batch and return its loss, from before the update.

        Raises
        ------
        NonFiniteError
            If the loss, a gradient or an updated parameter is not finite. Nothing is changed then.
        ShapeError
            If x does not fit the model, or target the prediction.
        """
        with np.errstate(all="ignore"):
            return self._step(self.model._enter(x), target)

    def _step(self, x: Array, target: npt.ArrayLike) -> float:
        self._bind()
        kept = Snapshot(self._tree) if self._changeable else None
        touched = 0
        try:
            value = self._gradients(x, target)
            step = Step(self.steps + 1, self.optimizer.learning_rate)
            if not all(is_finite(block.grad) for block in self._blocks):
                raise NonFiniteError("a gradient is the first number that is not finite")
            for touched, block in enumerate(self._blocks, 1):  # noqa: B007  # used where the step fails
                block.save()
                self.optimizer.update(block.arrays[0], block.grad, step, *block.arrays[1:])
                if not is_finite(block.arrays[0]):
                    raise NonFiniteError(f"the update of {self._overflown()} is the first that is not finite")
        except BaseException as error:
            for block in self._blocks[:touched]:
                block.restore()
            if kept is not None:
                kept.restore()
            if isinstance(error, NonFiniteError):
                raise self._diverged(x, target, str(error), retrace=touched == 0) from None
            if isinstance(error, (ValueError, TypeError)) and touched == 0:
                self.model._explain(error, x, training=True)
            raise
        self.steps += 1
        return value

    def _gradients(self, x: Array, target: npt.ArrayLike) -> float:
        """Run both passes, which leave every gradient in the vector, and return the loss."""
        prediction, cache = self.model.forward(x, training=True)
        checked, weight = self.loss.check(prediction, target)
        value, loss_cache = self.loss.forward(prediction, checked, weight)
        if not math.isfinite(value):
            raise NonFiniteError(
                f"{self.loss!r}: the loss is the first number that is not finite, {value}{self._last()}"
            )
        self.model.backward_parameters(self.loss.backward(loss_cache), cache)
        return value

    def _strict_step(self, x: Array, target: npt.ArrayLike) -> float:
        """Take a step under the strict contract, the loss and the optimizer included."""
        with contract(self.model), loss_contract(self.loss), optimizer_contract(self.optimizer):
            return self._step(x, target)

    # ---- what belongs to the layout

    def _bind(self) -> None:
        """Cut the vector into blocks, anew when a parameter was frozen, thawed or moved."""
        vector = self.model.vector
        if vector.layout is self._layout:
            return
        self._tree = Tree(self.model)
        self._changeable = bool(self._tree.buffers or self._tree.randoms)
        starts = self.optimizer.states()
        self._states = {
            name: self._states.get(name, np.full(vector.size, start)).astype(self.model.dtype, copy=False)
            for name, start in starts.items()
        }
        vectors = [vector.value, *self._states.values()]
        cuts = list(_cuts(list(self._tree.parameters.values())))
        self._blocks = [Block([array[a:b] for array in vectors], vector.grad[a:b]) for a, b in cuts]
        self._layout = vector.layout

    def _overflown(self) -> str:
        """Return the name of the first parameter whose numbers are not finite."""
        return next(name for name, p in self._tree.parameters.items() if not is_finite(p.value))

    def _last(self) -> str:
        last = len(self.model) - 1
        return f", for a prediction from layer {last}, {called(self.model[last])}" if last >= 0 else ""

    def _diverged(self, x: Array, target: npt.ArrayLike, found: str, *, retrace: bool) -> NonFiniteError:
        """Find out, on a model that stands as before the step, where the first number arose that is not finite."""
        kept = Snapshot(self._tree)
        if x.dtype.kind == "f" and not is_finite(x):
            found = "x holds numbers that are not finite"
        elif retrace:
            try:
                with contract(self.model):
                    self._gradients(x, target)
            except (NonFiniteError, ContractError) as first:
                found = str(first)
            finally:
                kept.restore()
        rate = self.optimizer.learning_rate
        return NonFiniteError(
            f"training stopped at step {self.steps + 1}: {found}. The model stands as before that step; "
            f"try a learning_rate below {rate:g}, or look for such numbers in the data"
        )

    # ---- many steps

    def fit(
        self,
        x: npt.ArrayLike,
        target: npt.ArrayLike,
        *,
        epochs: int,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        verbose: int | None = None,
    ) -> History:
        """Train for further epochs, going on with the optimizer's state, and return the whole history.

        Parameters
        ----------
        x, target : array
            Shape (samples, ...), of one length.
        epochs : int
            How often to go through all samples.
        batch_size : int
            Samples in a step; the last batch of an epoch may be smaller.
        shuffle : bool
            Whether each epoch draws a new order of the samples.
        validation : (x, target), optional
            Data to evaluate after each epoch.
        verbose : int or None
            0 never prints; None prints on stderr when the fit has run for 2 s; 1 from the start.

        Raises
        ------
        ShapeError
            If shapes do not fit, before the first step.
        ValueError
            If there are no samples, or x or target hold a NaN or an infinity.
        NonFiniteError
            If training diverges, with the epoch, the batch and the layer; its ``history`` holds the epochs before.
        """
        positive_int(epochs, "fit", "epochs")
        positive_int(batch_size, "fit", "batch_size")
        progress = Progress(epochs, verbose)
        samples, targets = self._data(x, target, "")
        check = None if validation is None else self._data(*_pair(validation), "validation ")
        first = self.history.epochs
        with np.errstate(all="ignore"):
            for epoch in range(first + 1, first + epochs + 1):
                numbers = {"loss": self._epoch(samples, targets, batch_size, shuffle, epoch, epoch - first, progress)}
                if check is not None:
                    numbers["validation_loss"] = self.evaluate(*check)
                self.history.append(numbers)
                progress.epoch(epoch - first, numbers)
        return self.history

    def _epoch(
        self, x: Array, target: Array, batch_size: int, shuffle: bool, epoch: int, turn: int, progress: Progress
    ) -> float:
        """Go through all samples once and return the mean of their losses."""
        order = self.rng.permutation(len(x)) if shuffle else np.arange(len(x))
        starts = range(0, len(x), batch_size)
        total = 0.0
        for batch, start in enumerate(starts, 1):
            chosen = order[start : start + batch_size]
            step = self._strict_step if turn == 1 and batch == 1 else self._step
            try:
                value = step(x[chosen], target[chosen])
            except NonFiniteError as error:
                where = f"training stopped at epoch {epoch}, batch {batch},"
                located = NonFiniteError(str(error).replace("training stopped at", where))
                located.history = self.history
                raise located from None
            total += value * len(chosen)
            progress.batch(turn, batch, len(starts), value)
        return total / len(x)

    def evaluate(self, x: npt.ArrayLike, target: npt.ArrayLike, batch_size: int | None = None) -> float:
        """Return the loss on data, in inference; ``batch_size`` is predict's."""
        prediction = self.model.predict(x, batch_size)
        return self.loss.forward(prediction, *self.loss.check(prediction, target))[0]

    def _data(self, x: npt.ArrayLike, target: npt.ArrayLike, kind: str) -> tuple[Array, Array]:
        """Return data as the model takes it, checked on one sample before anything is changed."""
        samples = self.model._enter(x)
        if self.loss.integer_target:
            targets: npt.NDArray[Any] = as_integers(target, "fit", f"{kind}target")
        else:
            targets = as_floats(target, self.model.dtype, "fit", f"{kind}target")
        if targets.ndim == 0 or len(samples) != len(targets):
            came = "a single number" if targets.ndim == 0 else f"{len(targets)}"
            raise ShapeError(f"fit: {kind}x has {len(samples)} samples but {kind}target has {came}")
        if len(samples) == 0:
            raise ValueError(f"fit: {kind}x holds no samples")
        for name, array in (("x", samples), ("target", targets)):
            if array.dtype.kind == "f" and not is_finite(array):
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                raise ValueError(f"fit: {kind}{name} holds {array[place]} at {place} in {array.dtype}")
        prediction = self.model.predict(samples[:1])
        try:
            self.loss.check(prediction, targets[:1])
        except ShapeError:
            whole = np.broadcast_to(prediction, (len(samples), *prediction.shape[1:]))
            self.loss.check(whole, targets)
            raise
        return samples, targets


def _cuts(parameters: list[Parameter]) -> Iterator[tuple[int, int]]:
    """Yield where blocks begin and end: cut at frozen parameters, and where the cache is full."""
    start = stop = 0
    for parameter in parameters:
        if not parameter.trainable:
            yield from _blocks(start, stop)
            start = stop + parameter.size
        stop += parameter.size
    yield from _blocks(start, stop)


def _blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    return ((a, min(a + BLOCK, stop)) for a in range(start, stop, BLOCK))


def _expect(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        hint = f"; write {value.__name__}(...)" if isinstance(value, type) else ""
        raise TypeError(f"Trainer: expected {name} to be a {kind.__name__}, got {value!r:.60}{hint}")


def _pair(validation: object) -> tuple[Any, Any]:
    if not (isinstance(validation, (tuple, list)) and len(validation) == 2):
        raise TypeError(f"fit: expected validation=(x, target), got {type(validation).__name__}")
    return validation[0], validation[1]
