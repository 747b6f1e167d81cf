"""The estimators' parameters mean what scikit-learn's of the same name mean, to the last step where it can be seen."""

from __future__ import annotations

import pickle
import re
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    SGD,
    Adam,
    AdamW,
    Array,
    Callback,
    Dropout,
    Linear,
    Loss,
    PoissonNLL,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
    weights_only,
)
from nanonet.interchange.sklearn import NanonetClassifier, NanonetRegressor
from nanonet.interchange.sklearn.settings import new_optimizer

pytestmark = pytest.mark.peer
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.linear_model import PoissonRegressor, Ridge  # noqa: E402
from sklearn.metrics import accuracy_score  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402

BOTH = [NanonetClassifier, NanonetRegressor]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + np.sin(3 * X[:, 0])
LABELS = (Y > 0).astype(int) + (Y > 2)
COUNTS = RNG.poisson(np.exp(0.5 * X[:, 0] + 1))


def targets(kind: type[Any]) -> npt.NDArray[Any]:
    return LABELS if kind is NanonetClassifier else Y


# ---- the same steps as scikit-learn's


def started(kind: type[Any], y: npt.NDArray[Any], **parameters: Any) -> tuple[Any, Any]:
    """Return scikit-learn's net with initial numbers, in a warm start, and a function that makes ours with the same."""
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "learning_rate": "constant", "max_iter": 1}
    theirs = kind(hidden_layer_sizes=(5,), warm_start=True, random_state=0, **parameters).set_params(**still)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y)
    numbers = [(w.T.copy(), b.copy()) for w, b in zip(theirs.coefs_, theirs.intercepts_, strict=True)]
    theirs.set_params(**parameters | {"max_iter": parameters.get("max_iter", 200)})
    theirs.t_, theirs.best_loss_, theirs._no_improvement_count, theirs.loss_curve_ = 0, np.inf, 0, []
    theirs.set_params(**{name: parameters.get(name, kind().get_params()[name]) for name in still})

    def model(features: int, outputs: int) -> list[Any]:
        (w1, b1), (w2, b2) = numbers
        return [Linear(features, 5, weight=w1, bias=b1), Tanh(), Linear(5, outputs, weight=w2, bias=b2)]

    return theirs, model


@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": "adam"},
        {"solver": "sgd"},
        {"solver": "sgd", "alpha": 3.0},
        {"solver": "adam", "alpha": 3.0},
        {"solver": "sgd", "momentum": 0, "learning_rate": "invscaling", "power_t": 0.3},  # a velocity has no rate here
        {"solver": "sgd", "momentum": 0, "learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 2},
        {"solver": "sgd", "tol": 0.01, "n_iter_no_change": 3},
        {"solver": "lbfgs", "alpha": 0.5, "max_iter": 20},
        {"solver": "lbfgs", "tol": 0.1},
    ],
    ids=str,
)
def test_the_same_parameters_take_the_same_steps(parameters: dict[str, Any]) -> None:
    rate = {} if parameters["solver"] == "lbfgs" else {"learning_rate_init": 0.01}
    common = {"alpha": 0.0, "tol": 0.0, "max_iter": 40} | parameters | rate
    fixed = {"activation": "tanh", "batch_size": 20, "shuffle": False}
    theirs, model = started(MLPRegressor, Y, **common, **fixed)
    names: dict[str, str] = {"max_iter": "epochs", "n_iter_no_change": "patience"}
    mine: dict[Any, Any] = {names.get(name, name): value for name, value in common.items()}
    if "patience" in mine:
        mine["patience"] += 1  # scikit-learn's fit goes on for one epoch more
    if mine.pop("momentum", 0.9) == 0:
        mine |= {"solver": "adam", "learning_rate_init": 0.001, "optimizer": SGD(0.01)}
    ours = NanonetRegressor(model=model, batch_size=20, shuffle=False, random_state=0, **mine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, Y)
        ours.fit(X, Y)
    near = 1e-5 if common["solver"] == "adam" else 1e-8  # whose epsilon is not scaled there
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=near)
    assert ours.n_iter_ == theirs.n_iter_
    if common["solver"] == "sgd":
        assert ours.learning_rate_ == pytest.approx(theirs._optimizer.learning_rate, rel=1e-12)
    if common["solver"] != "lbfgs":
        assert ours.t_ == theirs.t_
        if not common["alpha"]:  # theirs adds the penalty
            np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)
            assert ours.best_loss_ == pytest.approx(theirs.best_loss_)


@pytest.mark.parametrize("estimator", [NanonetClassifier, NanonetRegressor])
def test_a_parameter_of_scikit_learn_that_has_another_name_here_is_told(estimator: type[Any]) -> None:
    """Those of MLPClassifier are all taken, or named in settings.WORDS, whose advice exists."""
    own = set(estimator().get_params())
    for name in set(MLPClassifier().get_params()) - own:
        with pytest.raises(TypeError, match=rf"'{name}'; write (\w+)=") as caught:
            estimator(**{name: 1})
        assert str(caught.value).rpartition("; write ")[2].partition("=")[0] in own


def test_a_classifier_of_three_classes_takes_the_same_steps() -> None:
    common: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 0.05, "alpha": 0.5, "tol": 0.0}
    theirs, model = started(
        MLPClassifier, LABELS, activation="tanh", batch_size=20, shuffle=False, max_iter=20, **common
    )
    ours = NanonetClassifier(model=model, batch_size=20, shuffle=False, epochs=20, **common)
    with pytest.warns(ConvergenceWarning):
        theirs.fit(X, LABELS)
    with pytest.warns(ConvergenceWarning, match=r"the 20 epochs are over and training has not converged by tol=0;"):
        ours.fit(X, LABELS)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-7)


def test_of_many_labels_it_takes_the_same_steps() -> None:
    y = np.stack([Y > 0, Y > 1, X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
    common: dict[str, Any] = {"solver": "sgd", "learning_rate_init": 0.05, "alpha": 0.5, "tol": 0.0}
    theirs, model = started(MLPClassifier, y, activation="tanh", batch_size=20, shuffle=False, max_iter=20, **common)
    ours = NanonetClassifier(model=model, batch_size=20, shuffle=False, epochs=20, **common)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y)
        ours.fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-7)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


# ---- lbfgs


def test_alpha_decays_the_weights_unless_the_optimizer_says_what_decays() -> None:
    half = {"0.*": 0.5}
    for optimizer, expected in ((SGD(0.1), weights_only), (SGD(0.1, decays=half), half)):
        estimator = NanonetRegressor(4, alpha=0.5, optimizer=optimizer)
        assert new_optimizer(estimator).decays == expected


@pytest.mark.parametrize("weight", [None, RNG.integers(1, 4, 60)])
def test_without_hidden_layers_lbfgs_and_alpha_are_ridge_regression(weight: Any) -> None:
    ours = NanonetRegressor((), solver="lbfgs", alpha=7.0, tol=1e-9).fit(X, Y, weight)
    np.testing.assert_allclose(ours.predict(X), Ridge(7.0).fit(X, Y, weight).predict(X), rtol=1e-4, atol=1e-4)


def test_with_the_poisson_loss_they_are_poisson_regression() -> None:
    ours = NanonetRegressor((), loss="poisson", solver="lbfgs", alpha=0.1 * 60, tol=1e-8).fit(X, COUNTS)
    theirs = PoissonRegressor(alpha=0.1, tol=1e-8).fit(X, COUNTS)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)
    assert repr(ours._chosen_loss()) == "PoissonNLL()"
    assert NanonetRegressor(loss=PoissonNLL(), epochs=1).fit(X, COUNTS).predict(X).min() > 0


@pytest.mark.parametrize("kind", BOTH)
def test_lbfgs_has_a_curve_that_falls_and_says_why_it_ended(kind: type[Any]) -> None:
    fitted = kind(8, solver="lbfgs", epochs=15, random_state=0).fit(X, targets(kind))
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 15
    assert (np.diff(fitted.loss_curve_) <= 0).all()
    assert "ITERATIONS REACHED LIMIT" in fitted.history_.stopped
    assert not hasattr(fitted, "partial_fit")
    with pytest.warns(ConvergenceWarning, match="lbfgs ended with .*EVALUATIONS.* and training has not converged"):
        kind(8, solver="lbfgs", max_fun=3, tol=1e-4).fit(X, targets(kind))


def test_lbfgs_takes_weights_as_repeats() -> None:
    weight = RNG.integers(0, 4, 60)
    first, second = (NanonetRegressor(6, solver="lbfgs", alpha=1.0, epochs=8, random_state=0) for _ in range(2))
    first.fit(X, Y, weight)
    second.fit(X.repeat(weight, axis=0), Y.repeat(weight))
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


# ---- warm starts


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", BOTH)
def test_a_warm_start_goes_on_with_the_net(kind: type[Any], solver: str) -> None:
    y = targets(kind)
    warm = kind(8, solver=solver, epochs=5, warm_start=True, random_state=0).fit(X, y)
    model, curve = warm.model_, list(warm.loss_curve_)
    warm.set_params(epochs=3).fit(X, y)
    assert warm.model_ is model
    assert warm.loss_curve_[:5] == curve
    assert (warm.n_iter_, len(warm.loss_curve_), warm.t_) == (3, 8, 8 * 60)
    assert warm.loss_ < curve[-1]
    assert warm.set_params(warm_start=False).fit(X, y).n_iter_ == len(warm.loss_curve_) == 3
    assert warm.model_ is not model


def test_a_warm_start_never_trains_on_the_validation_samples_of_before() -> None:
    seen: list[Array] = []

    def score(estimator: Any, x: Array, y: Array) -> float:
        seen.append(x)
        return float(estimator.score(x, y))

    warm = NanonetClassifier(4, epochs=3, early_stopping=True, scoring=score, warm_start=True, random_state=0)
    warm.fit(X, LABELS).fit(X, LABELS)
    assert len(seen) == len(warm.validation_scores_ or ()) == 6
    for x in seen:
        np.testing.assert_array_equal(x, seen[0])
    assert warm.best_validation_score_ == max(warm.validation_scores_ or ())


def test_a_warm_start_keeps_the_best_net_of_all_fits() -> None:
    warm = NanonetRegressor(4, epochs=20, early_stopping=True, warm_start=True, random_state=0).fit(X, Y)
    best, before = warm.best_validation_score_, warm.predict(X)
    warm.set_params(optimizer=SGD(1e-3), epochs=2).fit(X, Y + 100)  # which is nowhere near
    assert warm.best_validation_score_ == best
    np.testing.assert_array_equal(warm.predict(X), before)


def test_a_warm_start_on_other_targets_is_refused() -> None:
    warm = NanonetClassifier(4, epochs=1, warm_start=True).fit(X, LABELS)
    message = "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously"
    with pytest.raises(ValueError, match=re.escape(f"{message} got [0 1 2], `y` has [0 1]")):
        warm.fit(X, LABELS.clip(max=1))
    with pytest.raises(ValueError, match=message):
        warm.fit(X, np.eye(3, dtype=int)[LABELS])
    with pytest.raises(ValueError, match=r"expected y with 1 columns, as before, got shape \(60, 2\)"):
        NanonetRegressor(4, epochs=1, warm_start=True).fit(X, Y).fit(X, np.stack([Y, Y], axis=1))


# ---- batches


class Steps(Callback):
    def __init__(self) -> None:
        self.count = 0

    def step_end(self, trainer: Trainer) -> None:
        self.count += 1


@pytest.mark.parametrize(("samples", "batches"), [(150, 1), (200, 1), (401, 3)])
def test_an_automatic_batch_has_200_samples_or_all(samples: int, batches: int) -> None:
    x = RNG.normal(size=(samples, 2))
    steps: Any
    (steps,) = NanonetRegressor((), batch_size="auto", epochs=2, callbacks=[Steps()]).fit(x, x[:, 0]).callbacks_
    assert steps.count == 2 * batches


class Rows(SquaredError):
    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        rows.append(target.ravel().tolist())
        return super().forward(prediction, target, weight)


rows: list[list[float]] = []


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_without_shuffling_samples_stay_in_their_order(weighted: bool, sparse: bool) -> None:
    x, y = np.array([[5.0], [3.0], [5.0], [4.0], [1.0]]), np.array([50.0, 30.0, 50.0, 40.0, 10.0])
    given: Any = pytest.importorskip("scipy.sparse").csr_matrix(x) if sparse else x
    rows.clear()
    model = NanonetRegressor((), loss=Rows(), shuffle=False, batch_size=4, epochs=2)
    model.fit(given, y, [1, 1, 1, 2, 1] if weighted else None)
    assert [row for row in rows if len(row) == 4][-2:] == [[50, 30, 40, 10]] * 2  # each where it first occurs
    rows.clear()
    NanonetRegressor((), loss=Rows(), batch_size=4, epochs=30, random_state=0).fit(x, y)
    assert len({tuple(row) for row in rows if len(row) == 4}) > 5


# ---- when training stops


def test_with_tol_training_stops_when_the_loss_does_and_without_it_does_not() -> None:
    settings: dict[str, Any] = {"epochs": 60, "patience": 4, "optimizer": Adam(0.05), "random_state": 0}
    fitted = NanonetRegressor(8, tol=0.05, **settings).fit(X, Y)
    assert 5 < fitted.n_iter_ < 60
    assert fitted.history_.stopped == "loss has not improved by tol=0.05 for 4 epochs"
    curve = np.array(fitted.loss_curve_)
    assert (curve[-4:] > np.minimum.accumulate(curve)[-5:-1] - 0.05).all()
    assert NanonetRegressor(8, **settings).fit(X, Y).n_iter_ == 60


@pytest.mark.parametrize("scoring", [None, "loss", "neg_median_absolute_error"])
def test_early_stopping_keeps_the_net_of_the_best_score(scoring: str | None) -> None:
    fitted = NanonetRegressor(
        20, early_stopping=True, validation=0.3, scoring=scoring, patience=3, optimizer=Adam(0.02), random_state=0
    ).fit(X, Y)
    scores = fitted.validation_scores_ or []
    assert len(scores) == fitted.n_iter_ == len(fitted.validation_loss_curve_) < 200
    assert fitted.best_validation_score_ == max(scores)
    assert fitted.best_loss_ is None
    assert (max(scores[:-3]) + 1e-4 > np.array(scores[-3:])).all()


def test_the_best_score_is_that_of_the_net_which_is_kept() -> None:
    found: list[Array] = []

    def score(estimator: Any, x: Array, y: Array) -> float:
        found[:] = x, y
        return float(accuracy_score(y, estimator.predict(x)))

    fitted = NanonetClassifier(8, early_stopping=True, scoring=score, patience=2, random_state=0).fit(X, LABELS)
    assert score(fitted, *found) == fitted.best_validation_score_
    assert fitted.n_iter_ > np.argmax(fitted.validation_scores_ or []) + 1


def test_scores_know_nothing_of_feature_names_and_fits_do() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    fitted = NanonetClassifier(4, early_stopping=True, epochs=2).fit(frame, LABELS)  # warnings are errors
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]


class Rates(Callback):
    def __init__(self) -> None:
        self.rates: list[float] = []

    def step_end(self, trainer: Trainer) -> None:
        if trainer.batch == 1:
            self.rates.append(trainer.learning_rate)


def test_an_adaptive_rate_falls_by_5_until_it_is_a_millionth() -> None:
    settings: dict[str, Any] = {"optimizer": SGD(0.01), "patience": 2, "tol": 10.0, "callbacks": [Rates()]}
    fitted = NanonetRegressor((), learning_rate="adaptive", **settings).fit(X, Y)
    copied: Any = fitted.callbacks_[0]
    rates = copied.rates
    np.testing.assert_allclose(rates, 0.01 * 5.0 ** -np.repeat(range(7), [3, 2, 2, 2, 2, 2, 2]))
    assert 1e-6 > fitted.learning_rate_ == rates[-1] > 1e-6 / 5


@pytest.mark.parametrize("rate", ["adaptive", "invscaling"])
def test_partial_fits_go_on_with_the_rate_pickled_or_not(rate: str) -> None:
    settings: dict[str, Any] = {"solver": "sgd", "learning_rate": rate, "patience": 2, "tol": 0.3, "random_state": 0}
    plain, pickled = (NanonetRegressor(4, **settings) for _ in range(2))
    for _ in range(12):
        plain.partial_fit(X, Y)
        pickled = pickle.loads(pickle.dumps(pickled.partial_fit(X, Y)))
    assert plain.learning_rate_ == pickled.learning_rate_ < 0.001 / 4
    np.testing.assert_array_equal(plain.predict(X), pickled.predict(X))
    assert plain.t_ == 12 * 60
    whole = NanonetRegressor(4, **settings | ({"tol": None} if rate == "invscaling" else {}), epochs=12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole.fit(X, Y)
    np.testing.assert_array_equal(plain.predict(X), whole.predict(X))


# ---- randomness


def nested(features: int, outputs: int) -> list[Any]:
    return [Sequential(Linear(features, 8), Tanh(), Dropout(0.2), Sequential(Linear(8, 8))), Linear(8, outputs)]


def test_the_random_state_fixes_chains_within_chains() -> None:
    def weights(make: Any, state: int | None) -> list[float]:
        fitted = NanonetRegressor(model=make, epochs=2, random_state=state).fit(X, Y)
        return [float(number) for number in fitted.model_.vector.value]

    assert weights(nested, 0) == weights(nested, 0) != weights(nested, 1)
    assert weights(nested, None) != weights(nested, None)
    whole = [lambda n, k: Sequential(*nested(n, k)), lambda n, k: iter([Sequential(Linear(n, k))])]
    for make in whole:
        assert weights(make, 0) == weights(make, 0) != weights(make, 1)
    own = [weights(lambda n, k: Sequential(Linear(n, k), rng=3), state)[:3] for state in (0, 0)]
    assert own[0] == own[1]


# ---- what is wrong


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "newton"}, "expected solver of 'adam' or 'sgd' or 'lbfgs', got 'newton'"),
        ({"learning_rate": 0.1}, "expected learning_rate of 'constant' or 'invscaling' or 'adaptive', got 0.1"),
        ({"loss": "mse"}, "expected loss of 'squared_error' or 'poisson' or a Loss, got 'mse'"),
        ({"loss": SquaredError}, r"expected loss to be a Loss, .*write SquaredError\(\.\.\.\)"),
        ({"optimizer": "adam"}, "expected optimizer to be an Optimizer, got 'adam'"),
        ({"activation": "softplus"}, "expected activation of 'identity' or .* or a Layer, got 'softplus'"),
        ({"alpha": -1}, "expected a finite alpha of 0 or more, got -1"),
        ({"tol": -1.0}, "expected a finite tol of 0 or more, got -1.0"),
        ({"learning_rate_init": "fast"}, "expected learning_rate_init as a number"),
        ({"power_t": -1}, "expected a finite power_t of 0 or more"),
        ({"patience": 0}, "expected patience of 1 or more, got 0"),
        ({"epochs": 0}, "expected epochs of 1 or more, got 0"),
        ({"batch_size": "all"}, "expected batch_size as an int, got 'all'"),
        ({"max_fun": 0}, "expected max_fun of 1 or more"),
        ({"solver": "sgd", "optimizer": Adam()}, r"solver='sgd' contradicts optimizer=Adam\(\); give one of them"),
        ({"learning_rate_init": 0.1, "optimizer": Adam()}, r"give the rate to optimizer=Adam\(\)"),
        ({"alpha": 0.1, "optimizer": AdamW()}, r"alpha is a weight decay, and optimizer=AdamW\(\) has its own"),
        ({"alpha": 0.1, "optimizer": SGD(0.1, weight_decay=0.1)}, "has its own; give one of them"),
        ({"solver": "lbfgs", "early_stopping": True, "validation": 0.1}, "cannot obey early_stopping, validation"),
        ({"solver": "lbfgs", "callbacks": [Steps()]}, "without epochs, so it cannot obey callbacks"),
        ({"early_stopping": True, "validation": 0.02}, "The validation set is too small: one sample has no R"),
        ({"loss": "poisson"}, "PoissonNLL: expected targets of 0 or more"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named_when_the_fit_begins(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        NanonetRegressor(**settings).fit(X, Y)


def test_a_classifier_takes_no_name_of_a_loss() -> None:
    with pytest.raises(ValueError, match="NanonetClassifier: expected loss of a Loss, got 'log_loss'"):
        NanonetClassifier(loss="log_loss").fit(X, LABELS)  # type: ignore[arg-type]  # that is the point


def test_partial_fit_is_not_there_with_early_stopping_and_says_why() -> None:
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'") as error:
        NanonetRegressor(early_stopping=True).partial_fit(X, Y)
    assert "partial_fit does not support early_stopping=True" in str(error.value.__cause__)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), names=st.sampled_from(["identity", "logistic", "relu", "tanh"]))
def test_names_of_activations_are_those_of_scikit_learn(seed: int, names: str) -> None:
    theirs = MLPRegressor(hidden_layer_sizes=(4, 3), activation=names, max_iter=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, Y)
    ours = NanonetRegressor((4, 3), names, epochs=1).fit(X, Y)
    for mine, its in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        mine[...] = its
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9, atol=1e-12)


def test_a_loss_of_ones_own_may_say_what_is_expected() -> None:
    class Logarithmic(Loss):
        """Half the squared difference of logarithms, mean over the batch."""

        def function(self, prediction: Array, target: Array) -> Array:
            each: Array = ((prediction - np.log(target)) ** 2).sum(axis=1) / 2
            return each

        def derivative(self, prediction: Array, target: Array) -> Array:
            return prediction - np.log(target)

        def expected(self, outputs: Array) -> Array:
            return np.exp(outputs)

    y = np.exp(X[:, 0])
    assert NanonetRegressor((), loss=Logarithmic(), solver="lbfgs").fit(X, y).score(X, y) > 0.999
