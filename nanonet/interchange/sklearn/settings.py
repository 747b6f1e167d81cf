"""Settings: an estimator's parameters, checked when a fit begins, and the optimizer that they stand for.

scikit-learn wants constructors that only store their arguments, so what is wrong with them can be said only here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import Any

from nanonet.core.checks import expect, finite_number, positive_int
from nanonet.core.layer import Layer
from nanonet.layers.activations import Identity, ReLU, Sigmoid, Tanh
from nanonet.losses.loss import Loss
from nanonet.optimizers.adam import Adam
from nanonet.optimizers.optimizer import Optimizer, weights_only
from nanonet.optimizers.sgd import SGD

ACTIVATIONS: dict[str, type[Layer]] = {"identity": Identity, "logistic": Sigmoid, "relu": ReLU, "tanh": Tanh}
"""scikit-learn's names."""

WORDS = {
    "'beta_1'": "write optimizer=Adam(0.001, betas=(0.9, 0.999))",
    "'beta_2'": "write optimizer=Adam(0.001, betas=(0.9, 0.999))",
    "'epsilon'": "write optimizer=Adam(0.001, epsilon=1e-8)",
    "'hidden_layer_sizes'": "write hidden=(100,)",
    "'max_iter'": "write epochs=200",
    "'momentum'": "write optimizer=SGD(0.001, momentum=0.9, nesterov=True)",
    "'n_iter_no_change'": "write patience=11 for 10",
    "'nesterovs_momentum'": "write optimizer=SGD(0.001, momentum=0.9, nesterov=True)",
    "'validation_fraction'": "write validation=0.1",
}
"""Parameters of MLPClassifier and MLPRegressor that have another name here, and what to write."""

FIRST_RATE = 0.001  # the default of learning_rate_init
TOLERANCE = 1e-4  # what tol=None stands for where one is needed


def check_settings(estimator: Any, losses: Collection[str]) -> None:
    """Raise the error for the first parameter that is wrong, or that another one contradicts."""
    name = type(estimator).__name__
    _expect_one(estimator.solver, ("adam", "sgd", "lbfgs"), name, "solver")
    _expect_one(estimator.learning_rate, ("constant", "invscaling", "adaptive"), name, "learning_rate")
    if isinstance(estimator.loss, str):
        _expect_one(estimator.loss, losses, name, "loss", "a Loss")
    elif estimator.loss is not None:
        expect(estimator.loss, Loss, f"{name}: expected loss")
    if estimator.optimizer is not None:
        expect(estimator.optimizer, Optimizer, f"{name}: expected optimizer")
    for number, low in (("alpha", 0), ("learning_rate_init", 0), ("power_t", 0)):
        finite_number(getattr(estimator, number), name, number, low=low)
    if estimator.tol is not None:
        finite_number(estimator.tol, name, "tol", low=0)
    if estimator.patience != math.inf:
        positive_int(estimator.patience, name, "patience")
    positive_int(estimator.epochs, name, "epochs")
    positive_int(estimator.max_fun, name, "max_fun")
    if estimator.batch_size != "auto":
        positive_int(estimator.batch_size, name, "batch_size")
    _refuse_contradictions(estimator, name)


def _expect_one(value: Any, known: Collection[str], name: str, parameter: str, other: str = "") -> None:
    if value not in known:
        wanted = " or ".join([*map(repr, known), *([other] if other else [])])
        raise ValueError(f"{name}: expected {parameter} of {wanted}, got {value!r:.60}")


def _refuse_contradictions(estimator: Any, name: str) -> None:
    optimizer = estimator.optimizer
    if optimizer is not None:
        if estimator.solver != "adam":
            raise ValueError(f"{name}: solver={estimator.solver!r} contradicts optimizer={optimizer}; give one of them")
        if estimator.learning_rate_init != FIRST_RATE:
            raise ValueError(f"{name}: learning_rate_init is for solver; give the rate to optimizer={optimizer}")
        if estimator.alpha and (optimizer.weight_decay or optimizer.decay_is_decoupled):
            raise ValueError(
                f"{name}: alpha is a weight decay, and optimizer={optimizer} has its own; give one of them"
            )
    if estimator.solver == "lbfgs":
        lost = [each for each in ("early_stopping", "callbacks") if getattr(estimator, each)]
        lost += ["validation"] * (estimator.validation is not None)
        if lost:
            raise ValueError(
                f"{name}: solver='lbfgs' takes all samples at once, without epochs, so it cannot obey {', '.join(lost)}"
            )


def batch_size_of(estimator: Any, samples: int) -> int:
    """Return the number of samples of a batch: at most all of them, and 200 for "auto"."""
    return min(200 if estimator.batch_size == "auto" else estimator.batch_size, samples)


def new_optimizer(estimator: Any) -> Optimizer:
    """Return a copy of the given optimizer, or scikit-learn's of that name, with its settings."""
    rate = estimator.learning_rate_init
    if estimator.optimizer is not None:
        made: Optimizer = copy.deepcopy(estimator.optimizer)
    else:
        made = Adam(rate) if estimator.solver == "adam" else SGD(rate, momentum=0.9, nesterov=True)
    if estimator.alpha and not made.decays:
        made.decays = weights_only
    return made


def new_activation(given: Layer | type[Layer] | str | None, name: str) -> Layer:
    """Return a new layer for one entry of ``activation``."""
    if given is None:
        return ReLU()
    if isinstance(given, str):
        _expect_one(given, ACTIVATIONS, name, "activation", "a Layer")
        return ACTIVATIONS[given]()
    return given() if isinstance(given, type) else copy.deepcopy(given)


def may_be_partial(estimator: Any) -> bool:
    """Return whether the estimator has a partial_fit, or raise the reason why not."""
    name = type(estimator).__name__
    if estimator.solver == "lbfgs":
        raise AttributeError(f"{name}: partial_fit takes steps, and solver='lbfgs' takes all samples at once")
    if estimator.early_stopping:
        raise AttributeError(f"{name}: partial_fit does not support early_stopping=True")
    return True
