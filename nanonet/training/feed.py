"""Feed: the data of one fit, checked before anything is changed, and served batch by batch, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from numbers import Real
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.checking.training_contract import preflight
from nanonet.core.arrays import Arrays, batch_size_of, each, parts_of
from nanonet.core.chain import Chain, checked_views
from nanonet.core.checks import as_floats
from nanonet.core.errors import NonFiniteError
from nanonet.losses.loss import Loss
from nanonet.losses.weights import nothing_counts
from nanonet.training.class_weight import ClassWeight, ClassWeights
from nanonet.training.data import Batch, Dataset, Several, check_finite
from nanonet.training.history import History, Means
from nanonet.training.metrics.evaluation import Look
from nanonet.training.metrics.metric import Metric
from nanonet.training.step import Stepper
from nanonet.training.stream import Stream, is_stream
from nanonet.training.tables import as_target, refuse_reordered

Validation = float | tuple[Any, ...] | Iterable[Any] | None
FIRST = itemgetter(slice(1))  # the first sample alone
Splits = dict[tuple[int, float], Any]
Chunks = Callable[..., Generator[int, None, int]]  # see nanonet/training/compiled/epoch.py


class Feed:
    """What a fit trains on and what it is validated with, cast to what the model and the loss take.

    Parameters
    ----------
    model : Chain
    loss : Loss
    rng : Generator
        For shuffling, and for choosing validation samples.
    splits : dict
        By length and fraction, the generator state from which the validation samples of an earlier fit were drawn;
        later fits on data of the same length reuse the split.

    Attributes
    ----------
    data, held_out
        The training data and the validation data, if any.
    count : int or None
        Batches per epoch, if known.
    is_stream, unchecked : bool
        Whether the batches come from an iterable, and whether they were not checked as a whole.
    settings : dict
        What a fit that resumes an epoch of this one must match.
    """

    def __init__(self, model: Chain, loss: Loss, rng: np.random.Generator, splits: Splits) -> None:
        self.model, self.loss, self.rng, self.splits = model, loss, rng, splits
        self._several = Several(model.several_inputs, loss.several_targets)
        self.data: Dataset | Stream
        self.held_out: Dataset | Stream | None
        self.class_weight: ClassWeight | None = None

    def accept(self, x: Any, target: Any, weight: npt.ArrayLike | None, validation: Validation) -> None:
        """Take the data of a fit, or raise an error."""
        if target is None:
            if weight is not None:
                raise TypeError("fit: sample_weight needs arrays x and target; an iterable yields (x, target, weight)")
            if isinstance(validation, Real):
                raise TypeError("fit: validation as a fraction needs arrays; with an iterable give (x, target)")
            self.data, self.held_out = Stream(x, self._several), self._validation(validation)
            return
        self.data, prediction = self._dataset(x, target, weight)
        if isinstance(validation, Real) and not isinstance(validation, bool):
            self.data, self.held_out = self._split(self.data, float(validation), prediction)
        else:
            self.held_out = self._validation(validation)

    def pace(self, epochs: int, steps: int | None, class_weight: ClassWeights) -> None:
        """Check that iterables last for the epochs, and weigh the classes."""
        if isinstance(self.data, Stream):
            self.data.pace(epochs, steps)
        elif steps is not None:
            raise TypeError("fit: steps_per_epoch is for an iterable; arrays are gone through whole, in any batch_size")
        if isinstance(self.held_out, Stream):
            self.held_out.pace(epochs)
            self._dataset(*self.held_out.first(), kind=f"{self.held_out.kind}batch 1: ")
        if class_weight is not None:
            self.class_weight = ClassWeight(class_weight, self.data)

    def divide(self, batch_size: int, metrics: Mapping[str, Metric], *, shuffle: bool) -> None:
        """Choose how the data is divided into batches, and what is measured."""
        self.size, self.shuffle, self.metrics = batch_size, shuffle, metrics
        self.count: int | None = None
        self.is_stream = self.unchecked = isinstance(self.data, Stream)
        self.settings: dict[str, Any] = {"samples": None, "metrics": [*metrics]}
        if isinstance(self.data, Dataset):
            self.count, self.unchecked = -(-len(self.data) // batch_size), self.data.on_disk
            self.settings |= {"samples": len(self.data), "batch_size": batch_size, "shuffle": shuffle}
        else:
            self.count = self.data.steps

    def epoch(self) -> Epoch:
        """Start an epoch."""
        epoch = Epoch(self.settings, self.rng.bit_generator.state if self.shuffle else None)
        epoch.measure(self.metrics)
        return epoch

    def train(
        self, epoch: Epoch, stepper: Stepper, history: History, *, strict: bool, chunks: Chunks | None = None
    ) -> Iterator[int]:
        """Take a step on each remaining batch of an epoch in which something counts, and yield its number.

        With strict, the first of them is taken under the contract. With chunks, those that it takes, many in one call,
        are yielded by the last of each call.
        """
        number = done = epoch.done
        order = self._order(epoch)
        if epoch.metrics or self.unchecked or self.class_weight is not None:
            chunks = None

        def deal(batch: slice) -> slice:
            assert stepper.ranks is not None
            return batch if strict or epoch.metrics or checked_views else stepper.ranks.deal(batch)

        dealt = deal if stepper.ranks is not None else None
        while True:
            if chunks is not None and not strict and isinstance(self.data, Dataset):
                number = done = yield from chunks(self.data, order, self.size, epoch, done)
            for number, batch in enumerate(self._batches(order, done, dealt), done + 1):
                x = batch.x
                if self.unchecked:
                    x = self.model.enter(x)
                    check_finite(x, batch.target, f"batch {number}: ")
                look = Look(epoch.metrics, batch.target, batch.weight, first=strict) if epoch.metrics else None
                weight = batch.weight
                if self.class_weight is not None:
                    weight = self.class_weight.of(batch.target, weight)
                take = stepper.take_strictly if strict else stepper.take
                try:
                    outcome = take(x, batch.target, weight, look)
                except NonFiniteError as error:
                    where = f"training stopped at epoch {history.epochs + 1}, batch {number},"
                    located = NonFiniteError(str(error).replace("training stopped at", where))
                    located.history = history
                    raise located from None
                if outcome.divisor == 0:  # no step was taken
                    continue
                strict = False
                epoch.means.add("loss", outcome.loss, outcome.divisor, is_sum=self.loss.reduction == "sum")
                if look is not None:
                    epoch.metrics = look.after
                epoch.done = number
                yield number
                if chunks is not None:
                    done = number
                    break
            else:
                break
        self.count = number

    def _order(self, epoch: Epoch) -> npt.NDArray[np.intp] | None:
        """Return the order of the samples of an epoch, drawn now unless it was drawn earlier."""
        if isinstance(self.data, Stream):
            return None
        rng = self.rng if self.shuffle else None
        if rng is not None and epoch.done:
            rng = generator_at(rng, epoch.begun)
        return self.data.order(rng)

    def _batches(
        self, order: npt.NDArray[np.intp] | None, done: int, deal: Callable[[slice], slice] | None
    ) -> Iterator[Batch]:
        """Yield the remaining batches of an epoch; of arrays only what is dealt to this rank."""
        if isinstance(self.data, Stream):
            return self.data.batches(skip=done)
        return self.data.pieces(order, self.size, done, deal)

    def _validation(self, given: Any) -> Dataset | Stream | None:
        if given is None:
            return None
        if not self._several.x and is_stream(given):
            return Stream(given, self._several, "validation ")
        if not (isinstance(given, (tuple, list)) and len(given) in (2, 3)):
            raise TypeError(
                f"fit: expected validation as (x, target), batches or a fraction, got {type(given).__name__}"
            )
        return self._dataset(*given, kind="validation ")[0]

    def _split(self, data: Dataset, fraction: float, prediction: Arrays) -> tuple[Dataset, Dataset]:
        """Split data as in an earlier fit, or draw a new split."""
        key = len(data), fraction
        rng = generator_at(self.rng, self.splits[key]) if key in self.splits else self.rng
        self.splits.setdefault(key, rng.bit_generator.state)
        parts = data.split(fraction, rng)
        for part in parts:
            self._check_loss(part, prediction, "sample on one side of the validation split")
        return parts

    def _dataset(self, x: Any, target: Any, weight: Any = None, *, kind: str = "") -> tuple[Dataset, Any]:
        """Return data as the model takes it and the prediction for one sample, or raise an error.

        Arrays on disk are checked batch by batch.
        """
        on_disk = any(isinstance(part, np.memmap) for part in parts_of(x))
        entered = x if on_disk else self.model.enter(x)
        data = Dataset(entered, target, weight, kind=kind, several=self._several)
        if not data.on_disk:
            if not self.loss.integer_target:
                data.target = each(partial(self._as_target, kind), data.target)
            check_finite(data.x, data.target, kind)
        prediction = self._prediction(self.model.enter(each(FIRST, data.x)))
        if type(target) is not np.ndarray:
            refuse_reordered(x, target, kind)
            data.target = as_target(target, data.target, prediction)
        self._check_loss(data, prediction, f"{kind}sample")
        return data, prediction

    def _as_target(self, kind: str, target: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a target of floats in the model's dtype, any other as it is."""
        return as_floats(target, self.model.dtype, "fit", f"{kind}target") if target.dtype.kind == "f" else target

    def _check_loss(self, data: Dataset, prediction: Arrays, which: str) -> None:
        """Raise if the loss rejects the target, or nothing counts; on disk only one sample is checked."""
        chosen = slice(None) if data.chosen is None else data.chosen
        target = each(FIRST if data.on_disk else itemgetter(chosen), data.target)
        weight = None if data.weight is None else np.asarray(data.weight[chosen], np.float64)
        size = batch_size_of(target)
        repeated = each(lambda part: np.broadcast_to(part, (size, *part.shape[1:])), prediction)
        checked, weights = self.loss.check(repeated, target, None if weight is None else weight[:size])
        some = (weight is None or weight.any()) if data.on_disk else self.loss.total(checked, weights)
        if not some:
            raise nothing_counts(f"fit: no {which} counts")

    def _prediction(self, x: Arrays) -> Any:
        """Return the prediction for a sample under the contract; the first step reports a non-finite one."""
        try:
            return preflight(self.model, x)
        except NonFiniteError:
            with np.errstate(all="ignore"):
                return self.model.predict(x)


class Epoch:
    """The progress of an unfinished epoch, and what is needed to resume it in another process.

    Attributes
    ----------
    data : dict
        Samples, batch size, shuffling and metrics: what a fit that resumes it must match.
    begun : dict or None
        The generator state from which its order was drawn; None without shuffling.
    done : int
        Number of finished batches.
    means : Means
        Of the losses so far.
    metrics : dict
        The metrics by name, with the batches so far.
    saved : list of dict
        What a checkpoint holds of each of them.
    """

    def __init__(self, data: dict[str, Any], begun: Any) -> None:
        self.data, self.begun, self.done, self.means = data, begun, 0, Means()
        self.metrics: dict[str, Metric] = {}
        self.saved: list[Mapping[str, Any]] = []

    def measure(self, metrics: Mapping[str, Metric]) -> None:
        """Start metrics afresh, or from what was saved of them."""
        self.metrics = {name: metric.fresh() for name, metric in metrics.items()}
        for (name, metric), state in zip(self.metrics.items(), self.saved, strict=False):
            try:
                metric.load_state_dict(state)
            except ValueError as error:
                raise ValueError(f"fit: the metric {name!r} cannot be resumed within this epoch: {error}") from None

    def agree(self, data: dict[str, Any]) -> None:
        """Raise ValueError unless it can be resumed with such data."""
        if self.done and data != self.data:
            differing = [name for name in {**self.data, **data} if self.data.get(name) != data.get(name)]
            raise ValueError(
                f"fit: {self.done} batches of this epoch are done, and resuming it needs the same data and settings: "
                f"expected {_described(self.data, differing)}, got {_described(data, differing)}"
            )


def _described(data: dict[str, Any], names: list[str]) -> str:
    if data["samples"] is None and "samples" in names:
        return "an iterable"
    return ", ".join(f"{name}={data[name]!r}" for name in names if name in data)


def generator_at(rng: np.random.Generator, state: Any) -> np.random.Generator:
    """Return a generator of rng's kind in the given state, leaving rng unchanged."""
    bits = type(rng.bit_generator)(0)
    bits.state = state
    return np.random.Generator(bits)
