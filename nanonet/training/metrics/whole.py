"""Whole: a function of (prediction, target) as a metric, applied to all samples of an epoch at once."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import parts_of
from nanonet.core.errors import ShapeError
from nanonet.training.metrics.metric import Metric

Piece = npt.NDArray[Any]


class Kept(Metric):
    """Base of metrics that no sums of batches make: keeps all predictions, targets and weights of an epoch."""

    def __init__(self) -> None:
        self.columns: list[list[Piece]] = []  # by part of (prediction, target, weight), in pieces
        self.several = (0, 0)  # of how many parts prediction and target are tuples; 0: of none

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Keep a copy of the batch."""
        self.several = _parts(prediction), _parts(target)
        weights = np.ones(len(parts_of(prediction)[0])) if weight is None else weight
        arrays = [np.array(part) for part in (*parts_of(prediction), *parts_of(target), weights)]
        columns = self.columns or [[] for _ in arrays]
        self.columns = [appended(pieces, array) for pieces, array in zip(columns, arrays, strict=True)]

    def value(self) -> Any:
        """Return ``measure`` of all that was kept."""
        arrays = [np.concatenate(pieces) for pieces in self.columns]
        first, second = self.several
        end = max(first, 1)
        prediction = tuple(arrays[:end]) if first else arrays[0]
        target = tuple(arrays[end:-1]) if second else arrays[end]
        return self.measure(prediction, target, arrays[-1])

    @abstractmethod
    def measure(self, prediction: Any, target: Any, weight: Piece) -> Any:
        """Return the measure of all samples."""

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        """Return what was kept, each part in one array."""
        kept = {str(i): np.concatenate(pieces) for i, pieces in enumerate(self.columns)}
        return {"several": np.array(self.several), **kept}

    def load_state_dict(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what :meth:`state_dict` returned."""
        several = np.ravel(state.get("several", ())).tolist()
        names = [str(i) for i in range(len(state) - 1)]
        if (
            len(several) != 2
            or state.keys() != {"several", *names}
            or sum(max(parts, 1) for parts in several) + 1 != len(names)
            or len({state[name].shape[:1] or None for name in names}) != 1
        ):
            raise ValueError("the checkpoint does not hold predictions, targets and weights of as many samples")
        self.several, self.columns = (several[0], several[1]), [[state[name].copy()] for name in names]


def _parts(arrays: Any) -> int:
    return len(arrays) if isinstance(arrays, tuple) else 0


def appended(pieces: list[Piece], array: Piece) -> list[Piece]:
    """Return pieces with one more, joined so that each is longer than the next: few, and rarely copied."""
    if pieces and pieces[0].shape[1:] != array.shape[1:]:
        raise ShapeError(
            f"metrics: a function gets all predictions and targets of an epoch in one array, but those of one batch "
            f"have shape {array.shape}, of another {pieces[0].shape}; subclass nanonet.Metric"
        )
    pieces = [*pieces, array]
    while len(pieces) > 1 and len(pieces[-2]) <= len(pieces[-1]):
        pieces[-2:] = [np.concatenate(pieces[-2:])]
    return pieces


class Whole(Kept):
    """A function of (prediction, target) as a metric; one of (y_true, y_pred), as scikit-learn has them, is recognised.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.flipped = function, _takes_target_first(function)

    def fresh(self) -> Self:
        """Return a metric of the same function, which is not copied."""
        return type(self)(self.function)

    def measure(self, prediction: Any, target: Any, weight: Piece) -> Any:
        """Return the function of all predictions and targets."""
        if not self.flipped:
            return self.function(prediction, target)
        try:
            return self.function(target, prediction)
        except ValueError as error:
            if "continuous" not in str(error):
                raise
            raise TypeError(_line_to_write(self.function, prediction)) from error


def _takes_target_first(function: Callable[..., Any]) -> bool:
    """Return whether a function is one of (y_true, y_pred), or raise TypeError if it does not take two arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a function written in C
        return False
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(
            f"metrics: expected a function of (prediction, target), got {_called(function)}{signature}"
        ) from None
    first, second, *_ = [*signature.parameters, "", ""]
    return first == "y_true" and second.startswith("y_")


def _line_to_write(function: Callable[..., Any], prediction: Piece) -> str:
    name = _called(function)
    several = prediction.shape[1:] not in ((), (1,))
    labels = "prediction.argmax(axis=1)" if several else "prediction.ravel() > 0"
    target = "target" if several else "target.ravel()"
    return (
        f"metrics: {name} takes labels, not the outputs of a model; write a function that chooses them: "
        f"def of_labels(prediction, target): return {name}({target}, {labels})"
    )


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", function))
