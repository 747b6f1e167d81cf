"""The order in which a batch lies in memory is nobody's concern but the products': the numbers are the same."""

from __future__ import annotations

import numpy as np
import pytest

from nanonet import Adam, Array, Flatten, Layer, LayerNorm, Linear, Residual, Sequential, Softmax, SquaredError, Tanh
from nanonet.layers import linear

WIDE = 40  # outputs: feature after feature; 3 are few enough for sample after sample


def net(*more: Layer, width: int = WIDE) -> Sequential:
    return Sequential(Linear(5, width), Tanh(), *more, Linear(width, 3), dtype=np.float64, rng=0)


def batch(samples: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(samples, 5)), rng.normal(size=(samples, 3))


def first(model: Sequential) -> Linear:
    layer = model[0]
    assert isinstance(layer, Linear)
    return layer


def test_the_outputs_of_many_units_lie_feature_after_feature_and_those_of_few_sample_after_sample() -> None:
    x, _ = batch()
    many, few = (Sequential(Linear(5, n), rng=0).forward(x)[0] for n in (WIDE, 3))
    assert many.T.flags.c_contiguous
    assert few.flags.c_contiguous


def test_a_weight_is_a_view_of_the_one_vector_row_after_row() -> None:
    model = net()
    weight = first(model).weight
    assert np.shares_memory(weight.value, model.vector.value)
    assert np.shares_memory(weight.grad, model.vector.grad)
    weight.value = np.arange(WIDE * 5).reshape(WIDE, 5)
    np.testing.assert_array_equal(model.vector.value[: WIDE * 5], weight.value.ravel())


@pytest.mark.parametrize("samples", [1, 2, 33])
def test_both_orders_train_alike(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = batch(samples)
    trained = []
    for wide in (32, 10**9):
        monkeypatch.setattr(linear, "WIDE", wide)
        model = net(LayerNorm(WIDE), Residual(Linear(WIDE, WIDE)), Softmax(), Flatten())
        model.fit(x, target, loss=SquaredError(), optimizer=Adam(0.01), epochs=20, batch_size=4, verbose=0)
        trained.append(model.state_dict())
    assert trained[0].keys() == trained[1].keys()
    for name, array in trained[0].items():
        np.testing.assert_allclose(array, trained[1][name], rtol=1e-8, atol=1e-11)


def test_the_gradient_of_a_wide_layer_is_the_sum_of_outer_products() -> None:
    model, (x, target) = net(), batch()
    model.loss_and_grad(x, target, SquaredError())
    wide, few = first(model), model[2]
    assert isinstance(few, Linear)
    y = model(x)
    hidden = np.tanh(x @ wide.weight.value.T + first(model).bias.value)  # type: ignore[union-attr]  # it has one
    above = (y - target) @ few.weight.value * (1 - hidden**2) / len(x)
    expected = sum(np.outer(g, sample) for g, sample in zip(above, x, strict=True))
    np.testing.assert_allclose(wide.weight.grad, expected, atol=1e-12)
