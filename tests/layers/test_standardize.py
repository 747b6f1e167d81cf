"""Standardize: mean and scale come from the data, by feature or by channel; they are saved with the model."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import Layer, Linear, Sequential, Shape, ShapeError, Standardize, check_gradients, load, save
from tests.helpers import data, picture, train


def adapted(shape: int | Shape, x: Any, dtype: Any = np.float64) -> tuple[Standardize, Sequential]:
    """Return a layer that has seen x, and a model of it alone."""
    layer = Standardize(shape)
    model = Sequential(layer, dtype=dtype)
    layer.adapt(x)
    return layer, model


def test_before_adapt_it_changes_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_array_equal(Sequential(Standardize(3), dtype=np.float64)(x), x)


def test_adapt_takes_the_mean_and_the_deviation_of_each_feature() -> None:
    layer, model = adapted(2, [[1.0, 10.0], [3.0, 50.0]])
    assert layer.mean.value.tolist() == [2, 30]
    assert layer.scale.value.tolist() == [1, 20]
    assert model([[4.0, 50.0]]).tolist() == [[2, 1]]


@pytest.mark.parametrize("number", [0.0, 7.0, 0.1, 1e100, -1e-300])
def test_a_constant_feature_keeps_scale_1(number: float) -> None:
    layer, model = adapted(2, np.stack([np.full(30, number), np.arange(30.0)], axis=1))
    assert layer.scale.value[0] == 1
    assert abs(model(np.full((1, 2), number))[0, 0]) <= 1e-15 * abs(number)


def test_numbers_too_close_for_their_squares_keep_scale_1_too() -> None:
    layer, _ = adapted(1, [[0.0], [1e-200]])
    assert layer.scale.value.tolist() == [1]


def test_images_may_have_one_mean_for_each_channel_or_for_each_pixel() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(10, 3, 4, 5))
    layer, model = adapted((3, 1, 1), x)
    np.testing.assert_allclose(layer.mean.value.ravel(), x.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(model(x).std(axis=(0, 2, 3)), 1, rtol=1e-12)
    layer, model = adapted((3, 4, 5), x)
    np.testing.assert_allclose(layer.scale.value, x.std(axis=0), rtol=1e-12)


def test_one_number_for_all_is_a_shape_too() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(10, 7, 2))
    layer, model = adapted((), x)
    assert float(layer.mean.value) == pytest.approx(x.mean())
    np.testing.assert_allclose(model(x), (x - x.mean()) / x.std(), rtol=1e-12)


def test_sequences_share_the_numbers_of_a_feature() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(10, 7, 2))
    layer, _ = adapted(2, x)
    np.testing.assert_allclose(layer.mean.value, x.mean(axis=(0, 1)), rtol=1e-12)


@pytest.mark.peer
def test_it_is_what_scikit_learns_scaler_makes_of_the_data() -> None:
    scaler = pytest.importorskip("sklearn.preprocessing", reason="scikit-learn is not installed").StandardScaler()
    x = np.random.default_rng(0).normal(5, 3, size=(50, 4))
    x[:, 2] = 1.5
    _, model = adapted(4, x)
    np.testing.assert_allclose(model(x), scaler.fit_transform(x), rtol=1e-12, atol=1e-14)


def test_its_gradients_are_right() -> None:
    layer, _ = adapted(3, np.random.default_rng(0).normal(5, [1, 2, 3], size=(50, 3)))
    check_gradients(layer)
    check_gradients(Sequential(copy.deepcopy(layer), Linear(3, 2), rng=0))


def test_training_leaves_it_as_it_is_and_files_keep_it(tmp_path: Path) -> None:
    layer = Standardize(3)
    model = Sequential(layer, Linear(3, 2), rng=0)
    x = data(40)[0]
    layer.adapt(x)
    before = [layer.mean.value.copy(), layer.scale.value.copy()]
    train(model, x, x[:, :2], epochs=2)
    np.testing.assert_array_equal([layer.mean.value, layer.scale.value], before)
    save(model, tmp_path / "net.npz")
    np.testing.assert_array_equal(load(tmp_path / "net.npz")(x), model(x))


def test_a_fit_warns_of_data_that_need_it_where_it_was_not_adapted() -> None:
    """Numbers beyond 10 need it; whatever is behind another layer, or was adapted, gives no warning."""
    scaler, x = Standardize(2), np.array([[300.0, 0.25], [301.0, 0.5]])
    model = Sequential(Sequential(scaler), Linear(2, 1), rng=0)
    said = "Standardize(2) leaves x, which holds numbers beyond ±10, as it is"
    with pytest.warns(UserWarning, match=re.escape(said)) as caught:
        train(model, x, x[:, :1] / 300, epochs=1)
    assert len(caught) == 1
    assert str(caught[0].message).endswith("write model[0][0].adapt(x)")
    train(model, x / 100, x[:, :1] / 300, epochs=1)
    for seen in (x[:1], np.concatenate([x, -x])):  # a mean without a scale, and a scale without a mean
        scaler.adapt(seen)
        train(model, x, x[:, :1] / 300, epochs=1)
    train(Sequential(Linear(2, 2), Standardize(2), rng=0), x, x / 300, epochs=1)


@pytest.mark.parametrize(
    ("shape", "x", "kind", "message"),
    [
        (3, np.ones((4, 2)), ShapeError, "Standardize(3): expected input of shape (batch, 3), got (batch, 2)"),
        (3, np.ones(3), ShapeError, "Standardize(3): adapt: expected x of shape (batch, ...), got (3,)"),
        (3, np.ones((0, 3)), ValueError, "Standardize(3): adapt: expected at least one sample, got x of shape (0, 3)"),
        (1, [[1.0], [np.nan]], ValueError, "Standardize(1): adapt: expected finite x"),
        (1, [[1.0], [np.inf]], ValueError, "Standardize(1): adapt: expected finite x"),
        (1, [["a"]], TypeError, "Standardize(1): x: expected numbers, got text"),
    ],
)
def test_data_that_do_not_fit_change_nothing(shape: Any, x: Any, kind: type[Exception], message: str) -> None:
    layer = Standardize(shape)
    model = Sequential(layer)
    before = picture(model)
    with pytest.raises(kind, match=re.escape(message)):
        layer.adapt(x)
    assert picture(model) == before


def test_it_must_be_part_of_a_model_first() -> None:
    with pytest.raises(RuntimeError, match="before it is built"):
        Standardize(1).adapt([[1.0]])


@pytest.mark.parametrize(
    ("shape", "kind"), [(0, ValueError), ((2, -1), ValueError), (1.5, TypeError), ("3", TypeError), (True, TypeError)]
)
def test_a_shape_that_is_none_is_refused(shape: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="Standardize"):
        Standardize(shape)


def test_unknown_lengths_go_through() -> None:
    cases: list[tuple[Layer, Any, Any]] = [
        (Standardize(3), (None, 3), (None, 3)),
        (Standardize((3, 1, 1)), (None, 8, 9), (3, 8, 9)),
        (Standardize(3), (..., 3), (..., 3)),
    ]
    for layer, before, after in cases:
        assert layer.output_shape(before) == after
