"""A pytest plugin: scikit-learn's own MLPClassifier and MLPRegressor become ours, with its names of the parameters.

It runs the tests of an installed scikit-learn in place:
`python -m pytest -c /dev/null -p tests.interchange.mlp_by_another_name --pyargs sklearn.neural_network.tests.test_mlp`.
With OUTCOMES in the environment it writes there, as JSON, what became of each test.
"""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nanonet import SGD, Optimizer
from nanonet.interchange.sklearn import NanonetClassifier, NanonetRegressor

theirs: Any = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not installed")
outcomes: dict[str, str] = {}


def constructor(kind: type[Any]) -> Any:
    """Return a constructor that stores the parameters of scikit-learn's."""
    signature = inspect.signature(kind.__init__)

    def __init__(self: Any, *arguments: Any, **keywords: Any) -> None:
        bound = signature.bind(self, *arguments, **keywords)
        bound.apply_defaults()
        for name in list(bound.arguments)[1:]:
            setattr(self, name, bound.arguments[name])

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def given(name: str, instead: Any) -> Any:
    """Return a parameter that is ours too, except where an optimizer of ours stands for it."""

    def value(self: Any) -> Any:
        return vars(self)[name] if self.optimizer is None else instead

    return property(value, lambda self, value: vars(self).update({name: value}))


class Renamed:
    """Our parameters, by scikit-learn's; those of the same name are the same."""

    model, callbacks, class_weight, scoring = None, (), None, None
    hidden = property(lambda self: self.hidden_layer_sizes)
    epochs = property(lambda self: self.max_iter)
    validation = property(lambda self: self.validation_fraction if self.early_stopping else None)
    patience = property(lambda self: self.n_iter_no_change + 1)  # scikit-learn's fit goes on for one epoch more
    solver, learning_rate_init = given("solver", "adam"), given("learning_rate_init", 0.001)
    verbose = property(
        lambda self: int(vars(self)["verbose"] > 0), lambda self, value: vars(self).update(verbose=value)
    )

    _optimizer = property(lambda self: SimpleNamespace(learning_rate=self.learning_rate_))

    @property
    def optimizer(self: Any) -> Optimizer | None:
        if vars(self)["solver"] != "sgd" or (self.momentum, self.nesterovs_momentum) == (0.9, True):
            return None
        nesterov = self.nesterovs_momentum and self.momentum > 0
        return SGD(vars(self)["learning_rate_init"], momentum=self.momentum, nesterov=nesterov)


class MLPClassifier(Renamed, NanonetClassifier):  # type: ignore[misc, override]  # theirs for ours
    loss = None
    __init__ = constructor(theirs.MLPClassifier)


class MLPRegressor(Renamed, NanonetRegressor):  # type: ignore[misc, override]  # theirs for ours
    __init__ = constructor(theirs.MLPRegressor)


def pytest_configure() -> None:
    """Replace them before the tests are imported; importing this module alone replaces nothing."""
    theirs.MLPClassifier, theirs.MLPRegressor = MLPClassifier, MLPRegressor


def pytest_runtest_logreport(report: Any) -> None:
    name = report.nodeid.rpartition("::")[2]
    if report.when == "call" or not report.passed:
        outcomes[name] = report.outcome


def pytest_sessionfinish() -> None:
    if path := os.environ.get("OUTCOMES"):
        Path(path).write_text(json.dumps(outcomes), encoding="utf-8")
