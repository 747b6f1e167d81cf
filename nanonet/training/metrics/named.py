"""Names of metrics: what a user gives as ``metrics=[...]``, as Metrics by the names that a history has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nanonet.training.metrics.metric import Metric
from nanonet.training.metrics.whole import Whole

Measure = Metric | Callable[[Any, Any], Any]
Metrics = Sequence[Measure] | Mapping[str, Measure]


def by_name(metrics: Metrics, owner: str = "fit") -> dict[str, Metric]:
    """Return metrics by name, or raise if one is not a metric."""
    if isinstance(metrics, str) or not isinstance(metrics, (Sequence, Mapping)):
        raise TypeError(f"{owner}: expected metrics as a list, got {metrics!r:.60}; write metrics=[...]")
    pairs = metrics.items() if isinstance(metrics, Mapping) else ((None, metric) for metric in metrics)
    named: dict[str, Metric] = {}
    for given, metric in pairs:
        made = _as_metric(metric, owner)
        name = _name(metric) if given is None else given
        if name in named:
            raise ValueError(
                f"{owner}: two metrics have the name {name!r}; give one of them another: "
                f"metrics={{{name!r}: ..., 'another': ...}}"
            )
        if not isinstance(name, str) or name == "loss" or name.startswith("validation_"):
            raise ValueError(f"{owner}: {name!r} is reserved; name the metric otherwise: metrics={{'another': ...}}")
        named[name] = made
    return named


def _as_metric(given: Any, owner: str) -> Metric:
    """Return a Metric as it is, a function as one."""
    if isinstance(given, Metric):
        return given
    if not callable(given) or isinstance(given, type):
        hint = ""
        if isinstance(given, type) and issubclass(given, Metric):
            hint = f"; write {given.__name__}()"
        elif isinstance(given, str):
            hint = f"; write metrics=[nanonet.{given}], without quotes" if given.isidentifier() else ""
        raise TypeError(f"{owner}: expected a metric to be a function of (prediction, target), got {given!r:.60}{hint}")
    function: Any = given
    settings: dict[str, Any] = {}
    while isinstance(function, partial) and not function.args:
        function, settings = function.func, {**function.keywords, **settings}
    kind = getattr(function, "metric", None)
    if isinstance(kind, type) and issubclass(kind, Metric):
        return kind(**settings)
    return Whole(given)


def _name(metric: Any) -> str:
    """Return a metric's __name__; that of the inner function for a partial without one."""
    if isinstance(metric, partial) and not hasattr(metric, "__name__"):
        return _name(metric.func)
    return str(getattr(metric, "__name__", type(metric).__name__))


def number(name: str, value: Any) -> float:
    """Return a metric's value as a float, or raise TypeError if it is not a number."""
    try:
        if np.ndim(value) == 0:
            return float(value)
    except (TypeError, ValueError):
        pass
    shape = f" of shape {np.shape(value)}; a history has no room for it: give it to evaluate" if np.ndim(value) else ""
    raise TypeError(f"fit: the metric {name!r} must return a number, got {type(value).__name__}{shape}")
