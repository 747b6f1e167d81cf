"""Dropout, Dropout2d, GaussianNoise: what they draw, and when, and that both passes use the same."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import Array, Dropout, Dropout2d, GaussianNoise, Linear, Sequential, ShapeError, Tanh, check_gradients
from tests.helpers import data, picture, train

RATES = [0.1, 0.5, 0.9]


def built(rate: float, dtype: npt.DTypeLike = np.float64, rng: int = 0) -> Sequential:
    """Return a chain of one Dropout."""
    return Sequential(Dropout(rate), dtype=dtype, rng=rng)


def mask(model: Sequential, shape: tuple[int, ...]) -> Array:
    """Return what training makes of ones."""
    return model.forward(np.ones(shape, model.dtype), training=True)[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", RATES)
def test_a_number_is_dropped_with_the_rate_and_otherwise_divided_by_the_rest(rate: float, dtype: type) -> None:
    y = mask(built(rate, dtype), (1000, 200))
    assert y.dtype == dtype
    assert set(np.unique(y).tolist()) == {0.0, float(dtype(1) / dtype(1 - rate))}
    assert np.mean(y == 0) == pytest.approx(rate, abs=0.005)


@pytest.mark.parametrize("rate", RATES)
def test_the_mean_stays_and_the_variance_is_that_of_the_mask(rate: float) -> None:
    y = mask(built(rate), (1000, 200))
    variance = rate / (1 - rate)
    assert y.mean() == pytest.approx(1, abs=4 * (variance / y.size) ** 0.5)
    assert y.var() == pytest.approx(variance, rel=0.02)
    assert np.abs(y.mean(axis=0) - 1).max() < 6 * (variance / 1000) ** 0.5  # no unit is dropped more than others
    assert np.abs(y.mean(axis=1) - 1).max() < 6 * (variance / 200) ** 0.5  # nor a sample


def test_units_and_samples_are_dropped_independently() -> None:
    dropped = mask(built(0.5), (4000, 8)) == 0
    for a in range(8):
        for b in range(a):
            assert np.mean(dropped[:, a] & dropped[:, b]) == pytest.approx(0.25, abs=0.04)
    assert np.mean(dropped[1:, 0] & dropped[:-1, 0]) == pytest.approx(0.25, abs=0.04)


def test_the_same_rng_draws_the_same_masks_and_each_pass_a_new_one() -> None:
    first, second, other = built(0.5), built(0.5), built(0.5, rng=1)
    masks = [mask(first, (20, 5)) for _ in range(3)]
    for expected in masks:
        np.testing.assert_array_equal(mask(second, (20, 5)), expected)
    assert not np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], mask(other, (20, 5)))


def test_two_dropouts_of_a_model_draw_masks_of_their_own() -> None:
    model = Sequential(Dropout(0.5), Dropout(0.5), dtype=np.float64, rng=0)
    _, (first, second) = model.forward(np.ones((20, 5)), training=True)
    assert not np.array_equal(first, second)


def test_adding_dropout_leaves_the_initial_weights_as_they_were() -> None:
    plain = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), rng=0)
    dropping = Sequential(Linear(3, 4), Tanh(), Dropout(0.5), Linear(4, 2), rng=0)
    np.testing.assert_array_equal(plain.vector.value, dropping.vector.value)


@pytest.mark.parametrize("rate", [0, 0.3, 0.99])
def test_in_inference_the_input_goes_through_untouched_and_nothing_is_drawn(rate: float) -> None:
    model, x = built(rate), np.random.default_rng(0).normal(size=(6, 4))
    before = picture(model)
    y, cache = model.forward(x)
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(y, x)
    np.testing.assert_array_equal(model(x), x)
    np.testing.assert_array_equal(model.backward(2 * x, cache), 2 * x)
    assert picture(model) == before


def test_predicting_in_between_does_not_shift_the_masks() -> None:
    plain, looking = built(0.5), built(0.5)
    for _ in range(3):
        looking.predict(np.ones((7, 5)))
        np.testing.assert_array_equal(mask(plain, (4, 5)), mask(looking, (4, 5)))


def test_a_rate_of_0_drops_and_draws_nothing() -> None:
    model = built(0)
    before = picture(model)
    np.testing.assert_array_equal(mask(model, (4, 5)), np.ones((4, 5)))
    assert picture(model) == before


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3, 4)])
def test_backward_uses_the_mask_of_its_own_forward(shape: tuple[int, ...]) -> None:
    model, rng = built(0.5), np.random.default_rng(0)
    x, grad = rng.normal(size=shape), rng.normal(size=shape)
    y, cache = model.forward(x, training=True)
    later = model.forward(x, training=True)
    np.testing.assert_allclose(model.backward(grad, cache), grad * (y / x), rtol=1e-12)
    np.testing.assert_allclose(model.backward(grad, later[1]), grad * (later[0] / x), rtol=1e-12)
    assert not np.array_equal(y, later[0])


@pytest.mark.parametrize("rate", [0, 0.3, 0.5])
def test_the_gradients_of_a_net_with_dropout_are_right(rate: float) -> None:
    check_gradients(Sequential(Linear(3, 8), Dropout(rate), Tanh(), Dropout(rate), Linear(8, 2), rng=0))


def test_a_copy_goes_on_with_the_masks_of_its_original() -> None:
    model = built(0.5)
    mask(model, (4, 5))
    other = copy.deepcopy(model)
    np.testing.assert_array_equal(mask(model, (4, 5)), mask(other, (4, 5)))


def test_training_with_dropout_learns_and_one_number_fixes_it() -> None:
    def run(rng: int) -> tuple[Any, list[float]]:
        model = Sequential(Linear(3, 32), Tanh(), Dropout(0.2), Linear(32, 2), rng=rng)
        x = data(50)[0]
        history = train(model, x, x[:, :2], epochs=30, validation=(x, x[:, :2]))
        return picture(model), history["validation_loss"]

    assert run(0) == run(0) != run(1)
    losses = run(0)[1]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("rate", "kind", "message"),
    [
        (1, ValueError, "Dropout: expected a finite rate of 0 or more and below 1, got 1"),
        (1.5, ValueError, "Dropout: expected a finite rate of 0 or more and below 1, got 1.5"),
        (-0.1, ValueError, "Dropout: expected a finite rate of 0 or more and below 1, got -0.1"),
        (np.nan, ValueError, "Dropout: expected a finite rate of 0 or more and below 1, got nan"),
        ("half", TypeError, "Dropout: expected rate as a number, got 'half'"),
        (None, TypeError, "Dropout: expected rate as a number, got None"),
    ],
)
def test_a_rate_that_is_none_is_refused(rate: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        Dropout(rate)


# ---- whole channels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", RATES)
def test_whole_channels_are_dropped_with_the_rate_and_independently(rate: float, dtype: type) -> None:
    y = Sequential(Dropout2d(rate), dtype=dtype, rng=0).forward(np.ones((2000, 20, 2, 3), dtype), training=True)[0]
    assert y.dtype == dtype
    channels = y[:, :, :1, :1]
    np.testing.assert_array_equal(y, np.broadcast_to(channels, y.shape))
    assert set(np.unique(channels).tolist()) == {0.0, float(dtype(1) / dtype(1 - rate))}
    dropped = channels[:, :, 0, 0] == 0
    assert dropped.mean() == pytest.approx(rate, abs=0.01)
    assert np.mean(dropped[:, 0] & dropped[:, 1]) == pytest.approx(rate**2, abs=0.04)


def test_backward_drops_the_same_channels() -> None:
    model, rng = Sequential(Dropout2d(0.5), dtype=np.float64, rng=0), np.random.default_rng(0)
    x, grad = rng.normal(size=(2, 5, 4, 2, 2))
    y, cache = model.forward(x, training=True)
    np.testing.assert_allclose(model.backward(grad, cache), grad * (y / x), rtol=1e-12)
    check_gradients(Dropout2d(0.5))


def test_dropout2d_takes_images_alone() -> None:
    with pytest.raises(ShapeError, match=re.escape("expected input of shape (batch, ?, ?, ?), got (4, 3, 2)")):
        Sequential(Dropout2d())(np.ones((4, 3, 2)))


# ---- noise


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_noise_is_normal_with_its_deviation(dtype: type) -> None:
    y = Sequential(GaussianNoise(0.3), dtype=dtype, rng=0).forward(np.full((1000, 200), 5, dtype), training=True)[0]
    assert y.dtype == dtype
    noise = (y - 5) / 0.3
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert np.mean(np.abs(noise) < 1) == pytest.approx(0.6827, abs=0.005)
    assert np.corrcoef(noise[:, 0], noise[:, 1])[0, 1] == pytest.approx(0, abs=0.15)


def test_the_gradient_goes_through_noise_as_it_is() -> None:
    model, grad = Sequential(GaussianNoise(1.0), rng=0), np.ones((3, 2), np.float32)
    _, cache = model.forward(grad, training=True)
    np.testing.assert_array_equal(model.backward(grad, cache), grad)
    check_gradients(GaussianNoise(0.5), 3)


@pytest.mark.parametrize("layer", [Dropout2d(0.5), GaussianNoise(1.0)], ids=repr)
def test_inference_draws_nothing_and_training_draws_anew(layer: Any) -> None:
    model, x = Sequential(layer, rng=0), np.ones((4, 8, 2, 2), np.float32)
    before = picture(model)
    np.testing.assert_array_equal(model(x), x)
    assert picture(model) == before
    first, second = (model.forward(x, training=True)[0] for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("layer", [Dropout2d(0), GaussianNoise(0)], ids=repr)
def test_none_at_all_draws_nothing_in_training(layer: Any) -> None:
    model, x = Sequential(layer, rng=0), np.ones((4, 8, 2, 2), np.float32)
    before = picture(model)
    np.testing.assert_array_equal(model.forward(x, training=True)[0], x)
    assert picture(model) == before


@pytest.mark.parametrize("std", [-0.1, np.nan, np.inf])
def test_a_deviation_that_is_none_is_refused(std: float) -> None:
    message = f"GaussianNoise: expected a finite std of 0 or more, got {std}"
    with pytest.raises(ValueError, match=re.escape(message)):
        GaussianNoise(std)


def test_a_rate_for_channels_is_checked_too() -> None:
    message = "Dropout2d: expected a finite rate of 0 or more and below 1, got 1"
    with pytest.raises(ValueError, match=re.escape(message)):
        Dropout2d(1)
