"""Estimators: a weight is a repeat, and nothing is lost between scikit-learn's tools."""

from __future__ import annotations

import doctest
import importlib.util
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    SGD,
    Adam,
    Array,
    BinaryCrossEntropy,
    Callback,
    Dropout,
    Hinge,
    Huber,
    Layer,
    Linear,
    ReLU,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    Trainer,
)
from nanonet.interchange.sklearn import NanonetClassifier, NanonetRegressor
from nanonet.interchange.sklearn.samples import EvenBatches, Samples
from tests.examples import output_of
from tests.helpers import Quartic

pytestmark = pytest.mark.peer

BOTH = [NanonetClassifier, NanonetRegressor]


def sk(module: str) -> Any:
    return pytest.importorskip(f"sklearn.{module}", reason="scikit-learn is not installed")


@pytest.fixture
def digits() -> tuple[Array, npt.NDArray[Any]]:
    x, labels = sk("datasets").load_digits(n_class=4, return_X_y=True)
    return x[:200] / 16, np.array(["zero", "one", "two", "three"])[labels[:200]]


@pytest.fixture
def sums() -> tuple[Array, Array]:
    sk("base")
    x = np.random.default_rng(0).normal(size=(120, 3))
    return x, np.stack([x.sum(axis=1), x[:, 0] * x[:, 1]], axis=1)


def weights(samples: int) -> npt.NDArray[np.int_]:
    return np.random.default_rng(1).integers(0, 4, samples)


def outputs(estimator: Any, x: Array) -> Array:
    found: Array = estimator.model_.predict(x)
    return found


# ---- a weight is a repeat


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 16},
        {"batch_size": 1000},
        {"batch_size": 16, "early_stopping": True, "patience": 2},
        {"batch_size": 16, "class_weight": "balanced"},
        {"batch_size": 7, "class_weight": {"zero": 5, "one": 0.5, "two": 1, "three": 2.5}, "validation": 0.2},
    ],
    ids=str,
)
def test_a_classifier_takes_weights_as_repeats_bit_for_bit(
    settings: dict[str, Any], digits: tuple[Array, npt.NDArray[Any]]
) -> None:
    (x, y), weight = digits, weights(200)
    order = np.random.default_rng(2).permutation(200)
    weighted = NanonetClassifier(8, epochs=5, random_state=0, **settings).fit(x, y, weight)
    repeats = order.repeat(weight[order])
    repeated = NanonetClassifier(8, epochs=5, random_state=0, **settings).fit(x[repeats], y[repeats])
    np.testing.assert_array_equal(weighted.predict_proba(x), repeated.predict_proba(x))
    assert weighted.loss_curve_ == repeated.loss_curve_
    plain = NanonetClassifier(8, epochs=5, random_state=0, **settings).fit(x, y, weight > 0)
    assert (plain.predict_proba(x) != weighted.predict_proba(x)).any()


def test_a_regressor_takes_weights_as_repeats_bit_for_bit(sums: tuple[Array, Array]) -> None:
    (x, y), weight = sums, weights(120)
    weighted, repeated = (NanonetRegressor(8, epochs=5, batch_size=16, random_state=0) for _ in range(2))
    weighted.fit(x, y, weight)
    repeated.fit(x.repeat(weight, axis=0), y.repeat(weight, axis=0))
    np.testing.assert_array_equal(weighted.predict(x), repeated.predict(x))


def test_weights_that_are_all_the_same_change_nothing(sums: tuple[Array, Array]) -> None:
    x, y = sums
    first, second = (NanonetRegressor(8, epochs=3, random_state=0) for _ in range(2))
    np.testing.assert_array_equal(first.fit(x, y, np.full(120, 3.0)).predict(x), second.fit(x, y).predict(x))


def test_a_class_weight_multiplies_the_weights_of_its_samples(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    by_class = NanonetClassifier(8, epochs=3, class_weight={"zero": 3.0, "one": 1.0, "two": 1.0, "three": 1.0})
    by_sample = NanonetClassifier(8, epochs=3, random_state=0).fit(x, y, np.where(y == "zero", 3.0, 1.0))
    by_class.set_params(random_state=0).fit(x, y)
    np.testing.assert_array_equal(by_class.predict_proba(x), by_sample.predict_proba(x))


def test_balanced_classes_weigh_the_same(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    (x, y), weight = digits, weights(200)
    balanced = NanonetClassifier(8, epochs=2, class_weight="balanced", random_state=0).fit(x, y, weight)
    totals = {name: float(weight[y == name].sum()) for name in set(y)}
    by_hand = {name: sum(totals.values()) / (4 * total) for name, total in totals.items()}
    given = NanonetClassifier(8, epochs=2, class_weight=by_hand, random_state=0).fit(x, y, weight)
    np.testing.assert_allclose(balanced.predict_proba(x), given.predict_proba(x))


def test_the_loss_on_samples_kept_back_is_weighted_too(sums: tuple[Array, Array]) -> None:
    def loss(weight: Array) -> float:
        still = NanonetRegressor(8, validation=0.5, optimizer=SGD(0.0), epochs=1, random_state=0)
        return float(still.fit(*sums, weight).validation_loss_curve_[0])

    weight = np.linspace(1, 5, 120)
    assert loss(weight) == pytest.approx(loss(2 * weight))
    assert loss(weight) != pytest.approx(loss(weight[::-1]), rel=1e-3)


def test_a_sample_of_weight_0_is_not_there(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    classifier = NanonetClassifier(8, epochs=2).fit(x, y, (y != "two").astype(float))
    assert list(classifier.classes_) == ["one", "three", "zero"]
    with pytest.raises(ValueError, match=r"expected 2 classes or more, got 1 class"):
        NanonetClassifier().fit(x, y, (y == "two").astype(float))
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        NanonetClassifier().fit(x, y, np.zeros(200))


def test_distinct_samples_have_the_sums_of_their_weights() -> None:
    x = np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0], [0.0, 1.0]])
    samples = Samples.distinct(x, np.array([1, 1, 1, 0]), np.array([1.0, 2.0, 4.0, 8.0]))
    found = sorted(zip(samples.x.tolist(), samples.target.tolist(), samples.weight.tolist(), strict=True))
    assert found == [([0.0, 1.0], 0, 8.0), ([0.0, 1.0], 1, 5.0), ([2.0, 3.0], 1, 2.0)]


@pytest.mark.parametrize("heavy", [1.0, 500.0])
def test_batches_weigh_the_same_and_each_sample_comes_with_its_whole_weight(heavy: float) -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.1, 2, size=50)
    weight[7] = heavy
    batches = EvenBatches(Samples(np.arange(50).reshape(-1, 1), np.arange(50), weight), 8, rng)
    orders = []
    for _ in range(2):
        found, epoch = np.zeros(50), list(batches)
        for batch in epoch:
            assert batch.weight is not None
            assert (batch.weight >= 0).all()
            assert batch.weight.sum() == pytest.approx(weight.sum() / 7)
            np.add.at(found, batch.target, batch.weight)
        assert len(epoch) == 7
        np.testing.assert_allclose(found, weight)
        orders.append(np.concatenate([batch.target for batch in epoch]).tolist())
    assert orders[0] != orders[1]


@pytest.mark.parametrize("stratified", [False, True])
def test_a_split_leaves_each_sample_on_one_side_and_each_class_its_part(stratified: bool) -> None:
    x, labels = np.arange(100).reshape(-1, 1), np.repeat([0, 1], [80, 20])
    train, held = Samples(x, labels, np.ones(100)).split(0.2, np.random.default_rng(0), stratified=stratified)
    assert sorted([*train.x.ravel(), *held.x.ravel()]) == list(range(100))
    assert len(held) == 20
    assert not stratified or (held.target == 1).sum() == 4


def test_a_split_is_another_one_for_another_random_state() -> None:
    samples = Samples(np.arange(40).reshape(-1, 1), np.zeros(40, int), np.ones(40))
    first, second = (samples.split(0.5, np.random.default_rng(rng), stratified=True)[1].x for rng in (0, 1))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("fraction", [0.0, 1.0, 1e-6, -1.0])
def test_a_split_that_leaves_one_side_empty_is_refused(fraction: float, sums: tuple[Array, Array]) -> None:
    with pytest.raises(ValueError, match=r"validation: expected a fraction that leaves some of the 120"):
        NanonetRegressor(validation=fraction).fit(*sums)


# ---- what a net is made of


def test_hidden_sizes_and_activations_make_the_net(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    def layers(*arguments: Any, **settings: Any) -> str:
        return repr(NanonetClassifier(*arguments, epochs=1, **settings).fit(*digits).model_.layers)

    assert layers() == "(Linear(64, 100), ReLU(), Linear(100, 4))"
    assert layers(5, Tanh) == "(Linear(64, 5), Tanh(), Linear(5, 4))"
    assert layers(()) == "(Linear(64, 4),)"
    tanh = Tanh()
    assert layers((5, 6), tanh) == "(Linear(64, 5), Tanh(), Linear(5, 6), Tanh(), Linear(6, 4))"
    assert layers((5, 6), [tanh, ReLU]) == "(Linear(64, 5), Tanh(), Linear(5, 6), ReLU(), Linear(6, 4))"
    assert tanh._home is None
    with pytest.raises(ValueError, match="expected one activation for each of the 2 hidden sizes, got 1"):
        layers((5, 6), [Tanh()])


def dropping(features: int, outputs: int) -> list[Layer]:
    return [Linear(features, 16), ReLU(), Dropout(0.2), Linear(16, outputs)]


def test_a_function_may_make_the_net(sums: tuple[Array, Array]) -> None:
    x, y = sums
    first, second = (NanonetRegressor(model=dropping, epochs=2, random_state=0).fit(x, y) for _ in range(2))
    assert repr(first.model_.layers) == "(Linear(3, 16), ReLU(), Dropout(0.2), Linear(16, 2))"
    np.testing.assert_array_equal(first.predict(x), second.predict(x))
    own = NanonetRegressor(model=lambda features, outputs: Sequential(Linear(features, outputs), rng=3), epochs=1)
    assert own.fit(x, y).model_.dtype == np.float32
    with pytest.raises(ShapeError, match=r"expected model\(3, 2\) to give .* \(batch, 2\), got \(batch, 5\)"):
        NanonetRegressor(model=lambda features, outputs: [Linear(features, 5)]).fit(x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_net_has_the_dtype_of_its_data(dtype: type[Any], sums: tuple[Array, Array]) -> None:
    x = sums[0].astype(dtype)
    regressor = NanonetRegressor(epochs=1).fit(x, sums[1])
    assert regressor.model_.dtype == regressor.predict(x).dtype == regressor.transform(x).dtype == dtype


def test_a_regressor_predicts_in_the_shape_of_y(sums: tuple[Array, Array]) -> None:
    x, y = sums
    for target, shape in ((y, (120, 2)), (y[:, :1], (120, 1)), (y[:, 0], (120,))):
        assert NanonetRegressor(epochs=1).fit(x, target).predict(x).shape == shape


class Rows(SquaredError):
    """Keeps what it gets."""

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        seen.append(target)
        return super().forward(prediction, target, weight)


seen: list[Array] = []


def test_each_loss_gets_the_target_that_it_takes(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    for loss in (BinaryCrossEntropy(), Hinge(), Huber(), SquaredError()):
        classifier = NanonetClassifier(16, loss=loss, optimizer=Adam(0.01), epochs=20, random_state=0).fit(x, y)
        assert classifier.score(x, y) > 0.95
    seen.clear()
    NanonetClassifier(16, loss=Rows(), epochs=1, batch_size=200).fit(x, y)
    assert {tuple(sorted(row)) for target in seen for row in target} == {(0, 0, 0, 1)}


def test_probabilities_are_there_where_the_loss_has_them(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    for loss in (None, BinaryCrossEntropy()):
        rows = NanonetClassifier(8, loss=loss, epochs=2).fit(x, y).predict_proba(x)
        np.testing.assert_allclose(rows.sum(axis=1), 1)
    hinge = NanonetClassifier(8, loss=Hinge(), epochs=2).fit(x, y)
    assert not hasattr(hinge, "predict_proba")
    with pytest.raises(AttributeError, match="no attribute 'predict_proba'") as error:
        hinge.predict_proba(x)
    assert "Hinge: gives no probabilities" in str(error.value.__cause__)


# ---- training


def test_early_stopping_keeps_the_best_epochs_net(sums: tuple[Array, Array]) -> None:
    x, y = sums
    settings: dict[str, Any] = {"early_stopping": True, "patience": 3, "tol": 0, "random_state": 0}
    regressor = NanonetRegressor(50, optimizer=Adam(0.03), scoring="loss", **settings).fit(x, y)
    curve = regressor.validation_loss_curve_
    assert regressor.n_iter_ == len(curve) == len(regressor.loss_curve_) < 200
    assert curve.index(min(curve)) == len(curve) - 4
    assert regressor.validation_scores_ == [-loss for loss in curve]
    assert regressor.history_.stopped == "validation score has not improved by tol=0 for 3 epochs"


def test_there_is_a_validation_curve_without_early_stopping_too(sums: tuple[Array, Array]) -> None:
    regressor = NanonetRegressor(validation=0.25, epochs=4).fit(*sums)
    assert len(regressor.validation_loss_curve_) == 4
    assert not hasattr(NanonetRegressor(epochs=1).fit(*sums), "history")
    with pytest.raises(AttributeError, match="no validation_loss_curve_: its last fit had no validation_loss"):
        _ = NanonetRegressor(epochs=1).fit(*sums).validation_loss_curve_


class Counting(Callback):
    def __init__(self) -> None:
        self.epochs = 0

    def epoch_end(self, trainer: Trainer) -> None:
        self.epochs += 1
        trainer.optimizer.learning_rate = 0.5


def test_a_fit_leaves_its_parameters_as_they_are(sums: tuple[Array, Array]) -> None:
    counting, optimizer = Counting(), SGD(0.01)
    copied: Any
    regressor = NanonetRegressor(epochs=3, callbacks=[counting], optimizer=optimizer).fit(*sums)
    assert (counting.epochs, optimizer.learning_rate) == (0, 0.01)
    (copied,) = regressor.callbacks_
    assert copied.epochs == 3
    assert regressor.get_params()["callbacks"] == [counting]


@pytest.mark.parametrize("pickled", [False, True])
def test_partial_fit_goes_on_with_the_optimizers_state(pickled: bool, digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    classes = np.unique(y)
    classifier = NanonetClassifier(model=dropping, batch_size=50, random_state=0)
    for _ in range(4):
        classifier.partial_fit(x, y, classes)
        if pickled:
            classifier = pickle.loads(pickle.dumps(classifier))
    whole = NanonetClassifier(model=dropping, batch_size=50, random_state=0, epochs=4).fit(x, y)
    np.testing.assert_array_equal(classifier.predict_proba(x), whole.predict_proba(x))
    assert classifier.loss_curve_ == whole.loss_curve_


def test_partial_fit_goes_on_after_a_fit(sums: tuple[Array, Array]) -> None:
    regressor = NanonetRegressor(8, epochs=3, random_state=0).fit(*sums)
    before = regressor.model_
    regressor.partial_fit(*sums).partial_fit(*sums)
    assert regressor.model_ is before
    assert (regressor.n_iter_, len(regressor.loss_curve_)) == (1, 5)  # as in scikit-learn, of the last call
    assert regressor.fit(*sums).n_iter_ == len(regressor.loss_curve_) == 3


def test_partial_fit_says_what_is_wrong_with_the_classes(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        NanonetClassifier().partial_fit(x, y)
    with pytest.raises(ValueError, match=r"y holds \{.*'two'.*\}, which are not among the classes"):
        NanonetClassifier().partial_fit(x, y, ["zero", "one", "three"])
    classifier = NanonetClassifier().partial_fit(x, y, np.unique(y))
    with pytest.raises(ValueError, match="expected the classes of the first call"):
        classifier.partial_fit(x, y, ["zero", "one", "two", "three", "four"])
    with pytest.raises(ValueError, match="class_weight='balanced' needs all samples; give a dict"):
        NanonetClassifier(class_weight="balanced").partial_fit(x, y, np.unique(y))


def test_a_refused_first_call_leaves_no_classes_behind(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    classifier = NanonetClassifier()
    with pytest.raises(ValueError, match="not among the classes"):
        classifier.partial_fit(x, y, ["zero", "one"])
    classifier.partial_fit(x, y, np.unique(y))
    assert len(classifier.classes_) == 4


def test_one_number_fixes_a_fit_and_numpys_own_state_is_left_alone(sums: tuple[Array, Array]) -> None:
    x, y = sums
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002  # it is the one to be looked at
    states: list[Any] = [7, 7, np.random.RandomState(7), np.random.RandomState(7), 8, None]
    found = [NanonetRegressor(8, epochs=2, random_state=state).fit(x, y).predict(x).tolist() for state in states]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len({str(each) for each in found}) == 4 or found[0] == found[2]
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002


# ---- among scikit-learn's tools


def test_pipelines_searches_and_curves_take_them(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    selection, scale = sk("model_selection"), sk("preprocessing").StandardScaler()
    pipeline = sk("pipeline").make_pipeline(scale, NanonetClassifier(16, epochs=10, random_state=0))
    assert selection.cross_val_score(pipeline, x, y, cv=3).mean() > 0.8
    settings = {"nanonetclassifier__hidden": [(), 8], "nanonetclassifier__optimizer": [Adam(1e-9), Adam(0.01)]}
    search = selection.GridSearchCV(pipeline, settings, cv=3).fit(x, y)
    assert search.best_params_["nanonetclassifier__optimizer"].learning_rate == 0.01
    train, test = selection.validation_curve(
        NanonetClassifier(8, random_state=0), x, y, param_name="epochs", param_range=[1, 20], cv=3
    )
    assert train[1].mean() > train[0].mean()
    assert test[1].mean() > test[0].mean()


@pytest.mark.parametrize("kind", BOTH)
def test_copies_predict_the_same_and_clones_are_new(kind: type[Any], digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits[0], (digits[1] == "two").astype(int)
    fitted = kind(8, epochs=2, random_state=0, optimizer=Adam(0.01), callbacks=[Counting()]).fit(x, y)
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict(x), fitted.predict(x))
    clone = sk("base").clone(fitted)
    assert not hasattr(clone, "model_")
    np.testing.assert_array_equal(clone.fit(x, y).predict(x), fitted.predict(x))


def test_hidden_outputs_are_features_with_names(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    classifier = NanonetClassifier((8, 5), epochs=2).fit(x, y)
    np.testing.assert_array_equal(classifier.transform(x), classifier.model_[:-1](x))
    assert classifier.get_feature_names_out().tolist() == [f"nanonetclassifier{i}" for i in range(5)]
    assert classifier.set_output(transform="default").transform(x).shape == (200, 5)
    for library in ("pandas", "polars"):
        if importlib.util.find_spec(library):
            frame = classifier.set_output(transform=library).transform(x)
            assert list(frame.columns) == classifier.get_feature_names_out().tolist()


def test_the_text_shows_what_differs_from_the_defaults() -> None:
    sk("base")
    assert repr(NanonetClassifier(8, optimizer=Adam(0.01))) == "NanonetClassifier(hidden=8, optimizer=Adam(0.01))"


# ---- without scikit-learn, and in the docs


@pytest.mark.parametrize("name", ["NanonetClassifier", "NanonetRegressor"])
def test_without_scikit_learn_an_estimator_says_what_to_install(name: str) -> None:
    code = f"import sys; sys.modules['sklearn'] = None; from nanonet.interchange.sklearn import {name}; {name}(3)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.endswith(f"ImportError: {name} needs scikit-learn: pip install 'nanonet[sklearn]'\n")


@pytest.mark.parametrize("kind", BOTH)
def test_the_examples_in_the_docstrings_are_true(kind: type[Any]) -> None:
    sk("base")
    runner = doctest.DocTestRunner()
    (found,) = doctest.DocTestFinder(recurse=False).find(kind, kind.__name__, globs={"np": np})
    for example in found.examples:
        example.options.pop(doctest.SKIP, None)
    assert runner.run(found).failed == 0
    assert len(found.examples) > 2


@pytest.mark.slow
def test_what_scikit_learns_own_mlp_does_not_have_learns_the_digits() -> None:
    output = output_of("sklearn_pipeline.py")
    rates = [float(rate) for rate in re.findall(r"(\d+\.\d)%", output)]
    assert len(rates) == 10
    assert min(rates[:7]) > 94
    assert min(rates) > 85
    assert "hidden outputs (360, 16)" in output


@pytest.mark.slow
def test_they_are_as_good_as_scikit_learns_own_with_the_same_net() -> None:
    """Up to luck: three times the standard error of the difference over five folds."""
    rows = re.findall(
        r"^(.*?) +(\S+) +(\S+) +(\S+) \+- ?(\S+) +(\S+) and (\S+)$", output_of("sklearn_comparison.py"), re.MULTILINE
    )
    assert len(rows) == 3
    for name, ours, theirs, difference, error, *_ in rows:
        assert float(difference) == pytest.approx(float(ours) - float(theirs), abs=2e-4)
        assert float(difference) > -3 * float(error), name


def test_a_loss_of_ones_own_may_be_any_loss(digits: tuple[Array, npt.NDArray[Any]]) -> None:
    x, y = digits
    assert NanonetClassifier(16, loss=Quartic(), epochs=30, random_state=0).fit(x, y).score(x, y) > 0.9
