"""Metric: a measure of all samples of an epoch, accumulated batch by batch."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from nanonet.core.checks import as_numbers
from nanonet.core.objects import Extensible, attributes, set_attribute, twin_of

F = TypeVar("F", bound=Callable[..., Any])
SETTINGS = (str, type, type(None))  # attributes that are no state, beside what can be called


class Metric(Extensible, ABC):
    """A measure of all samples of an epoch: ``update`` takes in a batch, ``value`` returns the number.

    A fit starts every epoch with a fresh copy of the metric as it was made. ``weight`` is the ``sample_weight`` of the
    batch, or None; an ``update`` without that argument counts all samples alike.

    Keep what is accumulated in attributes that are numbers, arrays, or lists of either: then a checkpoint holds it, and
    a fit that is resumed within an epoch ends with the same value, bit for bit. For anything else override
    ``state_dict`` and ``load_state_dict``.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Metric
    >>> class WithinOne(Metric):
    ...     '''The fraction of samples whose prediction is off by less than 1.'''
    ...
    ...     def __init__(self):
    ...         self.within, self.samples = 0, 0
    ...
    ...     def update(self, prediction, target):
    ...         self.within += int((np.abs(prediction - target) < 1).all(axis=1).sum())
    ...         self.samples += len(prediction)
    ...
    ...     def value(self):
    ...         return self.within / self.samples
    >>> WithinOne()([[1.0], [2.0], [3.0], [4.0]], [[1.5], [2.0], [5.0], [4.0]])  # in a fit: metrics=[WithinOne()]
    0.75
    """

    weighted: ClassVar[bool] = True
    """Whether ``update`` takes a weight."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Note whether the class's ``update`` takes a weight."""
        super().__init_subclass__(**keywords)
        cls.weighted = len(inspect.signature(cls.update).parameters) > 3

    @abstractmethod
    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Take in a batch: prediction as the model returns it, target and weight as they were given.

        Parameters
        ----------
        prediction : array, or tuple of arrays
            Shape (batch, ...).
        target : object
            What the loss takes.
        weight : array or None
            Shape (batch,); only for an ``update`` that has it.
        """

    @abstractmethod
    def value(self) -> Any:
        """Return the measure of all samples so far; a float, if it is to stand in a history.

        Returns
        -------
        float, or any object for ``evaluate``
        """

    def fresh(self) -> Self:
        """Return a copy for a new epoch."""
        return copy.deepcopy(self)

    def updated(self, prediction: Any, target: Any, weight: Any = None) -> Self:
        """Return a copy that has taken in one batch more, for the case that its step is not taken."""
        after = twin_of(self, {}, _own)
        after.take(prediction, target, weight)
        return after

    def take(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Take in a batch, with its weight if ``update`` has one."""
        if self.weighted:
            self.update(prediction, target, weight)
        else:
            self.update(prediction, target)

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        """Return what was accumulated, as numbers and arrays by name.

        Returns
        -------
        mapping

        Raises
        ------
        TypeError
            If an attribute is neither numbers nor a setting.
        """
        state: dict[str, npt.ArrayLike] = {}
        for name, value in attributes(self):
            if name.startswith("_") or isinstance(value, SETTINGS) or callable(value):
                continue
            if isinstance(value, (int, float, np.generic, np.ndarray)):
                state[name] = value
            elif isinstance(value, (list, tuple)):
                state |= {f"{name}/{i}": as_numbers(part, type(self).__name__, name) for i, part in enumerate(value)}
            else:
                raise TypeError(
                    f"{type(self).__name__}: a checkpoint keeps attributes that are numbers, arrays or lists of them, "
                    f"and self.{name} is a {type(value).__name__}; override state_dict and load_state_dict"
                )
        return state

    def load_state_dict(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what :meth:`state_dict` returned.

        Parameters
        ----------
        state : mapping

        Raises
        ------
        ValueError
            If it belongs to another metric.
        """
        own, several = dict(attributes(self)), dict[str, dict[int, Any]]()
        for full, array in state.items():
            name, _, inner = full.partition("/")
            if name not in own or (inner and not inner.isdecimal()):
                raise ValueError(f"{type(self).__name__}: the checkpoint holds {full!r}, which it does not have")
            if inner:
                several.setdefault(name, {})[int(inner)] = _plain(array)
            else:
                set_attribute(self, name, _plain(array))
        for name in self.state_dict():
            if "/" not in name and name not in state:
                raise ValueError(f"{type(self).__name__}: the checkpoint does not hold {name!r}")
        for name, places in several.items():
            parts = [places[i] for i in sorted(places)]
            set_attribute(self, name, tuple(parts) if isinstance(own[name], tuple) else parts)

    def __call__(self, prediction: Any, target: Any, weight: Any = None) -> Any:
        """Return the measure of one batch alone."""
        name = getattr(self, "name", type(self).__name__)
        y = prediction if isinstance(prediction, tuple) else as_numbers(prediction, name, "prediction")
        t = target if isinstance(target, tuple) else as_numbers(target, name, "target")
        metric = self.fresh()
        metric.take(y, t, weight)
        return metric.value()


def _own(value: Any) -> Any:
    """Return a copy of what an update may change in place."""
    return value.copy() if isinstance(value, (np.ndarray, list, dict, set)) else value


def _plain(array: npt.NDArray[Any]) -> Any:
    """Return an array from a file as it was: a number of Python, of NumPy where Python has no such, or an array."""
    if array.ndim:
        return array.copy()
    return array.item() if array.dtype.char in "?ld" else array[()]


def accumulated_by(kind: type[Metric]) -> Callable[[F], F]:
    """Let ``metrics=[...]`` take a function as a metric of this kind, the keywords of a partial as its settings."""

    def mark(function: F) -> F:
        function.metric = kind  # type: ignore[attr-defined]  # a function takes any attribute
        return function

    return mark
