"""Trainer: takes steps, each of them whole or not at all, and knows what happens in an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.arrays import Array, as_floats, as_generator, is_finite, positive_int
from nanonet.blocks import Block, cut
from nanonet.building import Tree
from nanonet.callbacks import Callback
from nanonet.data import Arrays, Batch, Stream
from nanonet.errors import ContractError, NonFiniteError
from nanonet.history import History
from nanonet.losses import Loss
from nanonet.optimizers import Optimizer, Step
from nanonet.progress import progress
from nanonet.recorded import called
from nanonet.sequential import Sequential
from nanonet.strict import Snapshot, contract, loss_contract, optimizer_contract, preflight

Metric = Callable[[Any, Any], float]
Validation = float | tuple[npt.ArrayLike, npt.ArrayLike] | None
CHUNK = 4096  # samples that go through the model at a time when a loss is only looked at


class Outcome(NamedTuple):
    """What a step gives: the loss, what its mean was divided by, and the prediction, from before the update."""

    loss: float
    divisor: float
    prediction: Array


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
    micro_batch_size : int, optional
        How many samples go through the model at a time, where memory is short: the gradients of the pieces of a batch
        are added up to that of the whole.

    Attributes
    ----------
    history : History
        The numbers of every epoch so far.
    steps, epoch, batch : int
        Steps taken so far; the epoch, and the batch in it, that is being worked on, both from 1.
    batches : int or None
        How many batches the epoch has, where that is known.
    batch_loss, learning_rate : float
        Of the last step.
    rate_factor : float
        What the optimizer's learning rate is multiplied with; ReduceOnPlateau lowers it.
    completed : bool
        Whether the last fit came to its end: neither an error nor Ctrl-C broke it off.
    names : tuple of str
        The names that the history gets in this fit.

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
        micro_batch_size: int | None = None,
    ) -> None:
        _expect("model", model, Sequential)
        _expect("loss", loss, Loss)
        _expect("optimizer", optimizer, Optimizer)
        if not hasattr(optimizer, "_learning_rate"):
            name = type(optimizer).__name__
            raise TypeError(f"{name}: its __init__ has to call super().__init__(learning_rate)")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.rng = model.rng if rng is None else as_generator(rng, "Trainer")
        if micro_batch_size is not None:
            positive_int(micro_batch_size, "Trainer", "micro_batch_size")
        self.micro_batch_size = micro_batch_size
        self.history = History()
        self.names: tuple[str, ...] = ("loss",)
        self.steps = self.epoch = self.batch = 0
        self.batches: int | None = None
        self.completed = False
        self.batch_loss, self.learning_rate, self.rate_factor = math.nan, math.nan, 1.0
        self._splits: dict[tuple[int, float], tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]] = {}
        self._states: dict[str, Array] = {}
        self._blocks: list[Block] = []
        self._layout: object = None
        self._bind()

    # ---- one step

    def step(self, x: npt.ArrayLike, target: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Take one step on a batch and return its loss, from before the update.

        Raises
        ------
        NonFiniteError
            If the loss, a gradient or an updated parameter is not finite. Nothing is changed then.
        ShapeError
            If x does not fit the model, or target the prediction.
        """
        entered = self.model._enter(x)
        if len(entered) == 0:
            raise ValueError(f"Trainer: expected a batch of one sample or more, got x of shape {entered.shape}")
        return self._step(entered, target, sample_weight).loss

    def _step(self, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> Outcome:
        """Take a step, or none."""
        self._bind()
        kept = Snapshot(self._tree) if self._changeable else None
        step = Step(self.steps + 1, self.optimizer.rate(self.steps) * self.rate_factor)
        touched = 0
        try:
            with np.errstate(all="ignore"):
                outcome = self._gradients(x, target, weight)
                if not all(is_finite(block.grad) for block in self._blocks):
                    raise NonFiniteError("a gradient is the first number that is not finite")
                scale = self.optimizer.scale(self._norm)
                for block in self._blocks:
                    block.save()
                    touched += 1  # only now, so that an interrupt within save restores nothing half kept
                    self.optimizer.apply(block.value, block.grad, step, block.state, scale, block.decay)
                    if not is_finite(block.value):
                        raise NonFiniteError(f"the update of {self._overflown()} is the first that is not finite")
        except BaseException as error:
            for block in self._blocks[:touched]:
                block.restore()
            if kept is not None:
                kept.restore()
            if isinstance(error, NonFiniteError):
                raise self._diverged(x, target, weight, str(error), step, retrace=touched == 0) from None
            if isinstance(error, Exception) and touched == 0:
                self.model._explain(error, x, training=True)
            raise
        self.steps, self.batch_loss, self.learning_rate = step.number, outcome.loss, step.learning_rate
        return outcome

    def _gradients(self, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> Outcome:
        """Run both passes, which leave every gradient in the vector."""
        size = self.micro_batch_size
        if size is None or len(x) <= size:
            return self._passes(x, target, weight)
        return self._accumulated(x, np.asarray(target), None if weight is None else np.asarray(weight), size)

    def _passes(self, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> Outcome:
        """Run both passes on one piece."""
        prediction, cache = self.model.forward(x, training=True)
        checked, weights = self.loss.check(prediction, target, weight)
        value, loss_cache = self.loss.forward(prediction, checked, weights)
        if not math.isfinite(value):
            raise NonFiniteError(
                f"{self.loss!r}: the loss is the first number that is not finite, {value}{self._last()}"
            )
        self.model.backward_parameters(self.loss.backward(loss_cache), cache)
        return Outcome(value, self.loss.divisor(checked, weights), prediction)

    def _accumulated(self, x: Array, target: npt.NDArray[Any], weight: npt.NDArray[Any] | None, size: int) -> Outcome:
        """Add up the gradients of pieces, each times its share in the mean of the whole batch."""
        total, divisor, predictions = np.zeros_like(self.model.vector.grad), 0.0, []
        loss = 0.0
        for start in range(0, len(x), size):
            piece = slice(start, start + size)
            weights = None if weight is None else weight[piece]
            if weights is not None and not weights.any():
                predictions.append(self.model._infer(x[piece]))
                continue
            value, part, prediction = self._passes(x[piece], target[piece], weights)
            total += part * self.model.vector.grad
            loss, divisor = loss + part * value, divisor + part
            predictions.append(prediction)
        self.model.vector.grad = total / divisor
        return Outcome(loss / divisor, divisor, np.concatenate(predictions))

    def _norm(self) -> float:
        """Return the norm of all gradients together."""
        return math.sqrt(sum(float(np.dot(block.grad, block.grad)) for block in self._blocks))

    def _strict_step(self, x: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None) -> Outcome:
        """Take a step under the strict contract, the loss and the optimizer included."""
        with contract(self.model), loss_contract(self.loss), optimizer_contract(self.optimizer):
            return self._step(x, target, weight)

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
            name: self._states.get(name, np.full(vector.size, start)).astype(vector.dtype, copy=False)
            for name, start in starts.items()
        }
        states = list(self._states.values())
        self._blocks = cut(vector.value, vector.grad, states, self._tree.parameters, self.optimizer)
        self._layout = vector.layout

    def _overflown(self) -> str:
        """Return the name of the first parameter whose numbers are not finite."""
        return next(name for name, p in self._tree.parameters.items() if not is_finite(p.value))

    def _last(self) -> str:
        last = len(self.model) - 1
        return f", for a prediction from layer {last}, {called(self.model[last])}" if last >= 0 else ""

    def _diverged(
        self,
        x: Array,
        target: npt.ArrayLike,
        weight: npt.ArrayLike | None,
        found: str,
        step: Step,
        *,
        retrace: bool,
    ) -> NonFiniteError:
        """Find out, on a model that stands as before the step, where the first number arose that is not finite."""
        kept = Snapshot(self._tree)
        if x.dtype.kind == "f" and not is_finite(x):
            found = "x holds numbers that are not finite"
        elif retrace:
            try:
                with contract(self.model), np.errstate(all="ignore"):
                    self._gradients(x, target, weight)
            except (NonFiniteError, ContractError) as first:
                found = str(first)
            finally:
                kept.restore()
        return NonFiniteError(
            f"training stopped at step {step.number}: {found}. The model stands as before that step; "
            f"try a learning_rate below {step.learning_rate:g}, or look for such numbers in the data"
        )

    # ---- many steps

    def fit(
        self,
        x: npt.ArrayLike | Iterable[Any],
        target: npt.ArrayLike | None = None,
        *,
        epochs: int,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: Validation = None,
        sample_weight: npt.ArrayLike | None = None,
        metrics: Sequence[Metric] = (),
        callbacks: Sequence[Callback] = (),
        verbose: int | None = None,
    ) -> History:
        """Train for further epochs, going on with the optimizer's state, and return the whole history.

        Ctrl-C ends a fit after the last whole step; the history is returned and says ``interrupted``.

        Parameters
        ----------
        x, target : array
            Shape (samples, ...), of one length. Memory-mapped arrays are read and checked batch by batch. Without
            target, x is an iterable of (x, target) or (x, target, weight), one batch each, gone through every epoch.
        epochs : int
            How often to go through all samples.
        batch_size : int
            Samples in a step; the last batch of an epoch may be smaller.
        shuffle : bool
            Whether each epoch draws a new order of the samples.
        validation : (x, target) or float, optional
            Data to evaluate after each epoch, or the fraction of the samples to draw and keep for that.
        sample_weight : array, optional
            Shape (samples,), 0 or more: how much each sample counts.
        metrics : sequence of callable
            Of (prediction, target), such as :func:`nanonet.accuracy`; their means over the samples of an epoch, each
            from before its step, and their values on the validation data, go into the history.
        callbacks : sequence of Callback
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
        named = _named(metrics)
        told = [*_callbacks(callbacks), progress(epochs, verbose)]
        data, held_out = self._data(x, target, sample_weight, validation)
        self.names = ("loss", *named)
        if held_out is not None:
            self.names += tuple(f"validation_{name}" for name in self.names)
        self.history.interrupted, self.history.stopped = False, ""
        source = _Source(data, batch_size, self.rng if shuffle else None)
        self._check_rates(epochs * (source.count or 0))
        begun: list[Callback] = []
        self.completed = False
        try:
            for callback in told:
                callback.fit_begin(self)
                begun.append(callback)
            for turn in range(epochs):
                self._whole_epoch(source, held_out, named, told, first=turn == 0)
                if self.history.stopped:
                    break
            self.completed = True
        except KeyboardInterrupt:
            self.history.interrupted = True
        finally:
            for callback in begun:
                callback.fit_end(self)
        return self.history

    def _check_rates(self, steps: int) -> None:
        """See that the schedule gives a rate for every step to come, as far as they are known."""
        if callable(self.optimizer.learning_rate):
            for step in range(self.steps, self.steps + steps):
                self.optimizer.rate(step)

    def stop(self, reason: str) -> None:
        """End the running fit after this epoch; the history keeps the reason."""
        self.history.stopped = reason

    def evaluate(
        self,
        x: npt.ArrayLike,
        target: npt.ArrayLike,
        batch_size: int = CHUNK,
        *,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Return the loss on data, in inference, ``batch_size`` samples at a time."""
        positive_int(batch_size, "evaluate", "batch_size")
        return self._measure(Arrays(x, target, sample_weight), {}, batch_size)["loss"]

    def _whole_epoch(
        self, source: _Source, held_out: Arrays | None, metrics: dict[str, Metric], told: list[Callback], *, first: bool
    ) -> None:
        """Do an epoch and write its numbers into the history."""
        self.epoch, self.batch, self.batches = self.history.epochs + 1, 0, source.count
        for callback in told:
            callback.epoch_begin(self)
        numbers = self._epoch(source, metrics, told, first=first)
        if held_out is not None:
            numbers |= {f"validation_{name}": value for name, value in self._measure(held_out, metrics).items()}
        self.history.append(numbers)
        for callback in told:
            callback.epoch_end(self)

    def _epoch(
        self, source: _Source, metrics: dict[str, Metric], told: list[Callback], *, first: bool
    ) -> dict[str, float]:
        """Go through all samples once and return the means of their losses and metrics."""
        means = _Means()
        listeners = [callback for callback in told if type(callback).step_end is not Callback.step_end]
        for self.batch, batch in enumerate(source.batches(), 1):
            if batch.weight is not None and not batch.weight.any():
                continue  # nothing in it counts
            x = self.model._enter(batch.x)
            if source.unchecked:
                self._check_finite(x, batch.target, f"batch {self.batch}: ")
            take = self._strict_step if first and self.batch == 1 else self._step
            try:
                outcome = take(x, *batch[1:])
            except NonFiniteError as error:
                where = f"training stopped at epoch {self.epoch}, batch {self.batch},"
                located = NonFiniteError(str(error).replace("training stopped at", where))
                located.history = self.history
                raise located from None
            means.add("loss", outcome.loss, outcome.divisor)
            for name, metric in metrics.items():
                means.add(name, _number(name, metric(outcome.prediction, batch.target)), len(x))
            for callback in listeners:
                callback.step_end(self)
        return means.values()

    def _measure(self, data: Arrays, metrics: dict[str, Metric], batch_size: int = CHUNK) -> dict[str, float]:
        """Return the loss and the metrics on data, in inference; metrics get all predictions at once."""
        means, predictions, targets = _Means(), [], []
        for x, target, weight in data.batches(batch_size):
            if weight is not None and not weight.any():
                continue
            with np.errstate(all="ignore"):
                prediction = self.model.predict(x)
                checked, weights = self.loss.check(prediction, target, weight)
                value = self.loss.forward(prediction, checked, weights)[0]
            means.add("loss", value, self.loss.divisor(checked, weights))
            if metrics:
                predictions.append(prediction)
                targets.append(target)
        for name, metric in metrics.items():
            whole = metric(np.concatenate(predictions), np.concatenate(targets))
            means.add(name, _number(name, whole), 1)
        return means.values()

    # ---- looking at data before anything is changed

    def _data(
        self, x: Any, target: npt.ArrayLike | None, weight: npt.ArrayLike | None, validation: Validation
    ) -> tuple[Arrays | Stream, Arrays | None]:
        """Return what to train on and what to validate with."""
        if target is None:
            if weight is not None:
                raise TypeError("fit: sample_weight goes with x and target; an iterable yields (x, target, weight)")
            if isinstance(validation, (int, float)):
                raise TypeError("fit: a fraction to validate with needs arrays; with an iterable give (x, target)")
            return Stream(x), self._held_out(validation)
        data = self._arrays(x, target, weight)
        if isinstance(validation, (int, float)) and not isinstance(validation, bool):
            return self._split(data, float(validation))
        return data, self._held_out(validation)

    def _held_out(self, validation: Any) -> Arrays | None:
        if validation is None:
            return None
        if not (isinstance(validation, (tuple, list)) and len(validation) in (2, 3)):
            raise TypeError(f"fit: expected validation as (x, target) or a fraction, got {type(validation).__name__}")
        return self._arrays(*validation, kind="validation ")

    def _split(self, data: Arrays, fraction: float) -> tuple[Arrays, Arrays]:
        """Split data as it was split in an earlier fit, or anew."""
        key = len(data), fraction
        if key not in self._splits:
            train, held = data.split(fraction, self.rng)
            assert train.chosen is not None
            assert held.chosen is not None
            self._splits[key] = train.chosen, held.chosen
        train_rows, held_rows = self._splits[key]
        return data.part(train_rows), data.part(held_rows)

    def _arrays(self, x: Any, target: Any, weight: Any = None, *, kind: str = "") -> Arrays:
        """Return data as the model takes it, or raise what is wrong; arrays on disk are checked batch by batch."""
        data = Arrays(x if isinstance(x, np.memmap) else self.model._enter(x), target, weight, kind=kind)
        if not data.on_disk:
            if not self.loss.integer_target and data.target.dtype.kind == "f":
                data.target = as_floats(data.target, self.model.dtype, "fit", f"{data.kind}target")
            self._check_finite(data.x, data.target, data.kind)
        prediction = self._preflight(self.model._enter(data.x[:1]))
        rows = slice(0, 1) if data.on_disk else slice(None)
        target = data.target[rows]
        self.loss.check(np.broadcast_to(prediction, (len(target), *prediction.shape[1:])), target)
        return data

    def _preflight(self, x: Array) -> Array:
        """Return the prediction for a sample, made under the contract; one that is not finite is the first step's."""
        try:
            return preflight(self.model, x)
        except NonFiniteError:
            with np.errstate(all="ignore"):
                return self.model.predict(x)

    @staticmethod
    def _check_finite(x: npt.NDArray[Any], target: npt.NDArray[Any], kind: str) -> None:
        for name, array in (("x", x), ("target", target)):
            if array.dtype.kind == "f" and not is_finite(array):
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                raise ValueError(f"fit: {kind}{name} holds {array[place]} at {place} in {array.dtype}")


class _Source:
    """The batches of every epoch of one fit."""

    def __init__(self, data: Arrays | Stream, batch_size: int, rng: np.random.Generator | None) -> None:
        self._data, self._size, self._rng = data, batch_size, rng
        self.count = -(-len(data) // batch_size) if isinstance(data, Arrays) else None
        self.unchecked = isinstance(data, Stream) or data.on_disk

    def batches(self) -> Iterator[Batch]:
        if isinstance(self._data, Stream):
            return self._data.batches()
        return self._data.batches(self._size, self._rng)


class _Means:
    """Weighted means of named numbers."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, value: float, weight: float) -> None:
        total, weights = self._sums.get(name, (0.0, 0.0))
        self._sums[name] = total + weight * value, weights + weight

    def values(self) -> dict[str, float]:
        return {name: total / weights for name, (total, weights) in self._sums.items()}


def _named(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """Return metrics by name, or say which of them is none."""
    if callable(metrics) or isinstance(metrics, str):
        raise TypeError(f"fit: expected metrics as a list, got {metrics!r:.60}; write metrics=[...]")
    named: dict[str, Metric] = {}
    for metric in metrics:
        if not callable(metric) or isinstance(metric, type):
            raise TypeError(f"fit: expected a metric to be a function of (prediction, target), got {metric!r:.60}")
        name = getattr(metric, "__name__", type(metric).__name__)
        if name in named or name == "loss":
            raise ValueError(f"fit: two metrics have the name {name!r}; give one of them another __name__")
        named[name] = metric
    return named


def _callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    if isinstance(callbacks, Callback):
        raise TypeError(f"fit: expected callbacks as a list, got {callbacks!r}; write callbacks=[...]")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            hint = f"; write {callback.__name__}(...)" if isinstance(callback, type) else ""
            raise TypeError(f"fit: expected a callback to be a Callback, got {callback!r:.60}{hint}")
    return list(callbacks)


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # whether it is a number is what is asked
    except (TypeError, ValueError):
        raise TypeError(f"fit: the metric {name!r} must return a number, got {type(value).__name__}") from None


def _expect(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        hint = f"; write {value.__name__}(...)" if isinstance(value, type) else ""
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"Trainer: expected {name} to be {article} {kind.__name__}, got {value!r:.60}{hint}")
