"""The estimators and scikit-learn's own compared: the same net, Adam, batches of 32, 5-fold cross-validation, one core.

Needs scikit-learn: pip install 'nanonet[sklearn]'. `--states 5` repeats it for five random states.
"""

import argparse
import warnings
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold, cross_validate
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from threadpoolctl import threadpool_limits

from nanonet.interchange.sklearn import NanonetClassifier, NanonetRegressor

EPOCHS = 50
LIKEWISE: dict[str, Any] = {"batch_size": 32, "max_iter": EPOCHS, "tol": 0, "n_iter_no_change": EPOCHS, "alpha": 0}


def digits(estimator: Any, state: int) -> Any:
    folds = StratifiedKFold(5, shuffle=True, random_state=state)
    return cross_validate(make_pipeline(MinMaxScaler(), estimator), *load_digits(return_X_y=True), cv=folds)


def diabetes(estimator: Any, state: int) -> Any:
    folds = KFold(5, shuffle=True, random_state=state)
    scaled = TransformedTargetRegressor(make_pipeline(StandardScaler(), estimator), transformer=StandardScaler())
    return cross_validate(scaled, *load_diabetes(return_X_y=True), cv=folds)


ROWS: dict[str, tuple[Any, Any, Any]] = {
    f"digits, {EPOCHS} epochs": (digits, NanonetClassifier(epochs=EPOCHS), MLPClassifier(**LIKEWISE)),
    f"diabetes, {EPOCHS} epochs": (diabetes, NanonetRegressor(epochs=EPOCHS), MLPRegressor(**LIKEWISE)),
    "diabetes, early stopping": (
        diabetes,
        NanonetRegressor(early_stopping=True),
        MLPRegressor(early_stopping=True, batch_size=32, alpha=0),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1)
    states = range(parser.parse_args().states)
    warnings.simplefilter("ignore", ConvergenceWarning)  # raised by MLP for a fixed number of epochs
    print(f"{'':26}{'nanonet':>9}{'MLP':>9}{'difference':>20}{'seconds a fit':>22}")
    for name, (run, ours, theirs) in ROWS.items():
        scores, times = [], []
        for estimator in (ours, theirs):
            with threadpool_limits(1):
                runs = [run(estimator.set_params(random_state=state), state) for state in states]
            scores.append(np.concatenate([each["test_score"] for each in runs]))
            times.append(np.median(np.concatenate([each["fit_time"] for each in runs])))
        difference = scores[0] - scores[1]
        spread = difference.std(ddof=1) / len(difference) ** 0.5
        print(
            f"{name:26}{scores[0].mean():9.4f}{scores[1].mean():9.4f}{difference.mean():+12.4f} +-{spread:6.4f}"
            f"{times[0]:11.3f} and {times[1]:.3f}"
        )
    print("\naccuracy, R^2: means over the folds, with the standard error of the difference; median times")


if __name__ == "__main__":
    main()
