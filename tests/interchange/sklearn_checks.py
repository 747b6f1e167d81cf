"""scikit-learn's own checks of estimators, on ours with several settings, counted.

`SCIPY_ARRAY_API=1 python -m tests.interchange.sklearn_checks [name of a setting]`
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from typing import Any

import pytest

from nanonet.interchange.sklearn import NanonetClassifier, NanonetRegressor

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

BOTH = (NanonetClassifier, NanonetRegressor)

SETTINGS: dict[str, tuple[tuple[type[Any], ...], dict[str, Any]]] = {
    "defaults": (BOTH, {}),
    "lbfgs": (BOTH, {"solver": "lbfgs", "alpha": 1e-3, "epochs": 100}),
    "warm_start": (BOTH, {"warm_start": True, "activation": "logistic"}),
    "shuffle": (BOTH, {"shuffle": False, "epochs": 50}),
    "tol": (BOTH, {"tol": 1e-3, "batch_size": "auto", "alpha": 1e-3, "epochs": 50}),
    "adaptive": (
        BOTH,
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.01, "hidden": 20, "activation": "tanh"},
    ),
    "invscaling": (BOTH, {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.01}),
    "early_stopping": (BOTH, {"early_stopping": True, "validation": 0.5}),
    "scoring": (BOTH, {"early_stopping": True, "validation": 0.5, "scoring": "loss", "tol": 1e-3}),
    "poisson": ((NanonetRegressor,), {"loss": "poisson"}),
    "poisson_lbfgs": ((NanonetRegressor,), {"loss": "poisson", "solver": "lbfgs"}),
}

TWICE = "it expects the same of a second fit, which goes on here"

FAILING: dict[str, dict[str, str]] = {
    "warm_start": {
        "check_pipeline_consistency": TWICE,
        "check_classifiers_multilabel_representation_invariance": TWICE,
        "check_supervised_y_2d": TWICE,
        "check_transformer_data_not_an_array": TWICE,
        "check_transformer_general": TWICE,
    },
    "poisson": {"check_regressor_multioutput": "its y is negative, whatever the tags say"},
    "poisson_lbfgs": {"check_regressor_multioutput": "its y is negative, whatever the tags say"},
}
"""The checks that a setting contradicts, and why."""


def report(name: str) -> None:
    kinds, settings = SETTINGS[name]
    warnings.simplefilter("ignore", ConvergenceWarning)  # of tol, after few epochs
    for kind in kinds:
        known = FAILING.get(name, {})
        results = check_estimator(kind(**settings), on_skip=None, on_fail=None, expected_failed_checks=known)
        counts = Counter(result["status"] for result in results)
        told = ", ".join(f"{counts[status]} {status}" for status in ("passed", "failed", "skipped", "xfail"))
        print(f"{kind.__name__}, {name}: {len(results)} checks, {told}")
        for result in results:
            if result["status"] != "passed":
                print(f"  {result['check_name']}: {result['status']}, {result['exception']}")


if __name__ == "__main__":
    for setting in sys.argv[1:] or SETTINGS:
        report(setting)
