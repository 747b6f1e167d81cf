"""Intake: validates the data of a fit before anything is changed, and divides it into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.checking.training_contract import preflight
from nanonet.core.arrays import Array, is_finite
from nanonet.core.chain import Chain
from nanonet.core.checks import as_floats
from nanonet.core.errors import NonFiniteError
from nanonet.core.loss import Loss, nothing_counts
from nanonet.training.data import Arrays, Batch, Stream
from nanonet.training.epoch import Epoch, generator_at

Validation = float | tuple[npt.ArrayLike, ...] | None


class Intake:
    """Validates data: casts it to what the model and the loss take, or raises an error.

    Parameters
    ----------
    model : Chain
    loss : Loss
    rng : Generator
        For choosing validation samples; later fits on data of the same length reuse the split.

    Attributes
    ----------
    splits : dict
        By length and fraction, the generator state from which that split was drawn.
    """

    def __init__(self, model: Chain, loss: Loss, rng: np.random.Generator) -> None:
        self.model, self.loss, self.rng = model, loss, rng
        self.splits: dict[tuple[int, float], Any] = {}

    def prepare(
        self, x: Any, target: npt.ArrayLike | None, weight: npt.ArrayLike | None, validation: Validation
    ) -> tuple[Arrays | Stream, Arrays | None]:
        """Return the training data and the validation data."""
        if target is None:
            if weight is not None:
                raise TypeError("fit: sample_weight needs arrays x and target; an iterable yields (x, target, weight)")
            if isinstance(validation, Real):
                raise TypeError("fit: validation as a fraction needs arrays; with an iterable give (x, target)")
            return Stream(x), self._held_out(validation)
        data, prediction = self._arrays(x, target, weight)
        if isinstance(validation, Real) and not isinstance(validation, bool):
            return self._split(data, float(validation), prediction)
        return data, self._held_out(validation)

    def _held_out(self, validation: Any) -> Arrays | None:
        if validation is None:
            return None
        if not (isinstance(validation, (tuple, list)) and len(validation) in (2, 3)):
            raise TypeError(f"fit: expected validation as (x, target) or a fraction, got {type(validation).__name__}")
        return self._arrays(*validation, kind="validation ")[0]

    def _split(self, data: Arrays, fraction: float, prediction: Array) -> tuple[Arrays, Arrays]:
        """Split data as in an earlier fit, or draw a new split."""
        key = len(data), fraction
        rng = generator_at(self.rng, self.splits[key]) if key in self.splits else self.rng
        self.splits.setdefault(key, rng.bit_generator.state)
        parts = data.split(fraction, rng)
        for part in parts:
            self._check_loss(part, prediction, "sample on one side of the validation split")
        return parts

    def memory(self) -> Callable[[], None]:
        """Return a function that restores the current generator state and splits, for a fit that is refused."""
        state, splits = self.rng.bit_generator.state, dict(self.splits)

        def restore() -> None:
            self.rng.bit_generator.state, self.splits = state, splits

        return restore

    def _arrays(self, x: Any, target: Any, weight: Any = None, *, kind: str = "") -> tuple[Arrays, Array]:
        """Return data as the model takes it and the prediction for one sample, or raise an error.

        Arrays on disk are checked batch by batch.
        """
        data = Arrays(x if isinstance(x, np.memmap) else self.model.enter(x), target, weight, kind=kind)
        if not data.on_disk:
            if not self.loss.integer_target and data.target.dtype.kind == "f":
                data.target = as_floats(data.target, self.model.dtype, "fit", f"{data.kind}target")
            self.check_finite(data.x, data.target, data.kind)
        prediction = self._preflight(self.model.enter(data.x[:1]))
        self._check_loss(data, prediction, f"{kind}sample")
        return data, prediction

    def _check_loss(self, data: Arrays, prediction: Array, which: str) -> None:
        """Raise if the loss rejects the target, or the total weight is 0; on disk only one sample is checked."""
        chosen = slice(None) if data.chosen is None else data.chosen
        target = data.target[:1] if data.on_disk else data.target[chosen]
        weight = None if data.weight is None else np.asarray(data.weight[chosen], np.float64)
        checked, _ = self.loss.check(np.broadcast_to(prediction, (len(target), *prediction.shape[1:])), target)
        some = (weight is None or weight.any()) if data.on_disk else self.loss.total(checked, weight)
        if not some:
            raise nothing_counts(f"fit: no {which} counts")

    def _preflight(self, x: Array) -> Array:
        """Return the prediction for a sample under the contract; the first step reports a non-finite one."""
        try:
            return preflight(self.model, x)
        except NonFiniteError:
            with np.errstate(all="ignore"):
                return self.model.predict(x)

    @staticmethod
    def check_finite(x: npt.NDArray[Any], target: npt.NDArray[Any], kind: str) -> None:
        """Raise ValueError, with the index, if x or target holds NaN or infinity."""
        for name, array in (("x", x), ("target", target)):
            if array.dtype.kind == "f" and not is_finite(array):
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                hint = ""
                if np.isinf(array[place]) and array.dtype == np.float32:
                    hint = "; numbers beyond 3.4e38 need a model with dtype=np.float64"
                raise ValueError(f"fit: {kind}{name} holds {array[place]} at {place} in {array.dtype}{hint}")


class Source:
    """The batches of every epoch of one fit.

    Attributes
    ----------
    count : int or None
        Batches per epoch, if known.
    settings : dict
        What a fit that resumes an epoch of it must match.
    """

    def __init__(
        self, data: Arrays | Stream, batch_size: int, rng: np.random.Generator | None, metrics: Iterable[str]
    ) -> None:
        self._data, self._size, self._rng = data, batch_size, rng
        self.count = -(-len(data) // batch_size) if isinstance(data, Arrays) else None
        self.is_stream = isinstance(data, Stream)
        self.unchecked = isinstance(data, Stream) or data.on_disk  # other data was checked as a whole
        self.settings: dict[str, Any] = {"samples": None, "metrics": [*metrics]}
        if isinstance(data, Arrays):
            self.settings |= {"samples": len(data), "batch_size": batch_size, "shuffle": rng is not None}

    def epoch(self) -> Epoch:
        """Start an epoch."""
        return Epoch(self.settings, None if self._rng is None else self._rng.bit_generator.state)

    def batches(self, epoch: Epoch) -> Iterator[Batch]:
        """Yield the remaining batches of an epoch."""
        if isinstance(self._data, Stream):
            return self._data.batches(epoch.done)
        rng = self._rng
        if rng is not None and epoch.done:  # its order was drawn earlier
            rng = generator_at(rng, epoch.begun)
        return self._data.batches(self._size, rng, epoch.done)
