"""What the estimators take, many labels and sparse matrices, and what they show after a fit."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest

from nanonet import SGD, Adam, CrossEntropy, Hinge, Huber, LayerNorm, Linear, SquaredError
from nanonet.interchange.sklearn import NanonetClassifier, NanonetRegressor
from nanonet.interchange.sklearn.samples import Samples

pytestmark = pytest.mark.peer
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.exceptions import NotFittedError  # noqa: E402

BOTH = [NanonetClassifier, NanonetRegressor]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + np.sin(3 * X[:, 0])
LABELS = (Y > 0).astype(int) + (Y > 2)


# ---- many labels


def test_many_labels_are_learned_each_for_itself() -> None:
    y = np.stack([Y > 0, X[:, 0] > 0, X[:, 1] > 0.5], axis=1).astype(int)
    for loss in (None, Hinge(), Huber(), SquaredError()):
        fitted = NanonetClassifier(30, loss=loss, optimizer=Adam(0.02), epochs=60, random_state=0).fit(X, y)
        assert (fitted.predict(X) == y).mean() > 0.95, loss
        assert set(np.unique(fitted.predict(X))) == {0, 1}
        assert fitted.classes_.tolist() == [0, 1, 2]
    for loss, output, label in ((Hinge(), 0.25, 1), (SquaredError(), 0.25, 0), (None, -0.25, 0), (None, 0.25, 1)):
        flat = NanonetClassifier((), loss=loss, epochs=1).fit(X, y)
        flat.coefs_[0][...], flat.intercepts_[0][...] = 0, output
        assert (flat.predict(X) == label).all()
    proba = NanonetClassifier(30, epochs=3).fit(X, y).predict_proba(X)
    assert proba.shape == (60, 3)
    assert np.abs(proba.sum(axis=1) - 1).max() > 1e-3


def test_many_labels_may_be_sparse_weighted_stopped_and_partial() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    y = np.stack([Y > 0, X[:, 0] > 0, X[:, 1] > 0.5], axis=1).astype(int)
    weight = RNG.integers(0, 4, 60)
    first, second, third = (NanonetClassifier(6, epochs=3, random_state=0) for _ in range(3))
    first.fit(X, sparse.csr_matrix(y), weight)
    second.fit(X.repeat(weight, axis=0), y.repeat(weight, axis=0))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    for _ in range(3):
        third.partial_fit(X, y, [0, 1, 2], weight)
    np.testing.assert_array_equal(third.predict_proba(X), first.predict_proba(X))
    stopped = NanonetClassifier(6, early_stopping=True, epochs=3).fit(X, y)
    assert len(stopped.validation_scores_ or ()) == 3


def test_what_is_not_for_many_labels_is_refused() -> None:
    y = np.eye(3, dtype=int)[LABELS]
    with pytest.raises(ValueError, match=r"CrossEntropy takes one class per sample; try BinaryCrossEntropy\(\)"):
        NanonetClassifier(loss=CrossEntropy()).fit(X, y)
    with pytest.raises(ValueError, match="class_weight is for one class per sample, and y is multilabel"):
        NanonetClassifier(class_weight="balanced").fit(X, y)
    with pytest.raises(ValueError, match=r"got multiclass-multioutput of shape \(60, 3\); .* MultiOutputClassifier"):
        NanonetClassifier().fit(X, y + np.arange(3))
    with pytest.raises(ValueError, match="expected y with 2 columns, one per label, got 3"):
        NanonetClassifier().partial_fit(X, y, [0, 1])
    with pytest.raises(ValueError, match="expected y with one row per sample"):
        NanonetClassifier(epochs=1).fit(X, y).partial_fit(X, LABELS)


# ---- sparse input


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array", "coo_matrix"])
def test_sparse_input_is_the_same_as_dense_input(form: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = np.where(X > 0.3, X, 0.0)
    given = getattr(sparse, form)(x)
    for solver in ("lbfgs", "adam"):
        fitted, dense = (NanonetRegressor(8, solver=solver, batch_size=60, epochs=5, random_state=0) for _ in range(2))
        fitted.fit(given, Y)
        dense.fit(x, Y)
        np.testing.assert_allclose(fitted.predict(given), dense.predict(x), rtol=1e-6)
        np.testing.assert_array_equal(fitted.predict(given), fitted.predict(x))
        np.testing.assert_array_equal(fitted.transform(given), fitted.transform(x))
    np.testing.assert_array_equal(given.toarray(), x)


def test_a_weight_is_a_repeat_of_a_sparse_sample_bit_for_bit() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x, weight = np.where(X > 0.3, X, 0.0), RNG.integers(0, 4, 60)
    for repeats in (np.arange(60).repeat(weight), RNG.permutation(np.arange(60).repeat(weight))):
        first, second = (NanonetClassifier(6, epochs=3, batch_size=16, random_state=0) for _ in range(2))
        first.fit(sparse.csr_matrix(x), LABELS, weight)
        second.fit(sparse.csr_matrix(x[repeats]), LABELS[repeats])
        np.testing.assert_array_equal(first.predict_proba(x), second.predict_proba(x))


def test_sparse_samples_are_equal_if_their_numbers_are_however_they_are_stored() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    stored = [1.0, 2.0], [2.0, 1.0], [1.0, 0.0, 2.0], [0.5, 2.0, 0.5]
    columns = [0, 3], [3, 0], [0, 1, 3], [0, 3, 0]
    places = np.cumsum([0, *map(len, stored)])
    rows = sparse.csr_matrix((np.concatenate(stored), np.concatenate(columns), places), shape=(4, 5))
    samples = Samples.distinct(rows, np.zeros(4, int))
    assert samples.x.toarray().tolist() == [[1, 0, 0, 2, 0]]
    assert samples.weight.tolist() == [4]
    assert rows.nnz == 10  # what was given is as it was
    assert len(Samples.distinct(rows, np.array([0, 0, 1, 1]))) == 2


def test_a_wide_sparse_matrix_never_becomes_dense_as_a_whole() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random(1000, 20_000, density=1e-4, format="csr", random_state=0)  # 160 MB if it were dense
    y = np.arange(1000) % 2
    tracemalloc.start()
    try:
        fitted = NanonetClassifier((), batch_size=50, optimizer=SGD(0.1), epochs=1).fit(x, y)
        assert fitted.predict(x).shape == (1000,)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80e6


# ---- what is there after a fit


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"validation": 0.2}, {"early_stopping": True}], ids=str)
def test_dir_hasattr_and_a_notebook_show_what_is_there(kind: type[Any], settings: dict[str, Any]) -> None:
    estimator = kind(4, epochs=2, **settings)
    names = "loss_curve_ loss_ best_loss_ n_iter_ coefs_ intercepts_ n_layers_ n_outputs_ validation_scores_".split()
    assert not any(hasattr(estimator, name) for name in [*names, "validation_loss_curve_"])
    with pytest.raises(NotFittedError):
        _ = estimator.loss_curve_
    assert not {*names} & {*dir(estimator)}
    assert kind.__name__ in estimator._repr_html_()
    estimator.fit(X, LABELS if kind is NanonetClassifier else Y)
    assert {*names} <= {*dir(estimator)}
    assert hasattr(estimator, "validation_loss_curve_") == ("validation_loss_curve_" in dir(estimator))
    assert hasattr(estimator, "validation_loss_curve_") == ("validation" in str(settings) or "early" in str(settings))
    assert "n_iter_" in estimator._repr_html_()
    pickle.loads(pickle.dumps(estimator)).predict(X)


def test_coefficients_are_views_in_the_shapes_of_scikit_learn() -> None:
    fitted = NanonetClassifier((5, 4), epochs=1).fit(X, LABELS)
    assert [part.shape for part in fitted.coefs_] == [(3, 5), (5, 4), (4, 3)]
    assert [part.shape for part in fitted.intercepts_] == [(5,), (4,), (3,)]
    assert (fitted.n_layers_, fitted.n_outputs_) == (4, 3)
    np.testing.assert_allclose(
        fitted.transform(X),
        np.maximum(
            np.maximum(X @ fitted.coefs_[0] + fitted.intercepts_[0], 0) @ fitted.coefs_[1] + fitted.intercepts_[1], 0
        ),
        rtol=1e-12,
    )
    fitted.coefs_[-1][...] = 0
    fitted.intercepts_[-1][...] = [0, 9, 0]
    assert set(fitted.predict(X)) == {1}
    unbiased = NanonetRegressor(model=lambda n, k: [Linear(n, k, bias=False)], epochs=1).fit(X, Y)
    assert [each.tolist() for each in unbiased.intercepts_] == [[0.0]]
    other = NanonetRegressor(model=lambda n, k: [LayerNorm(n), Linear(n, k)], epochs=1).fit(X, Y)
    assert not hasattr(other, "coefs_")
    with pytest.raises(AttributeError, match=r"no coefs_: not all parameters .* model_\.state_dict\(\) has them all"):
        _ = other.coefs_


def test_log_probabilities_are_the_logarithms_and_where_there_is_none_minus_infinity() -> None:
    fitted = NanonetClassifier(8, epochs=3, random_state=0).fit(X, LABELS)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X))
    fitted.intercepts_[-1][0] = 1e4
    assert np.isneginf(fitted.predict_log_proba(X)[:, 1:]).all()  # warnings are errors
    assert not hasattr(NanonetClassifier(8, epochs=1, loss=Hinge()).fit(X, LABELS), "predict_log_proba")
