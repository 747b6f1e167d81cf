"""The order in which a weight lies in memory is nobody's concern but the products': numbers, names and files agree."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

from nanonet import SGD, Adam, Array, Constant, Linear, Parameter, Sequential, SquaredError, Tanh, Trainer
from nanonet.layers import linear

WIDE = 40  # outputs: column after column; 3 are few enough for rows


def net(width: int = WIDE) -> Sequential:
    return Sequential(Linear(5, width), Tanh(), Linear(width, 3), dtype=np.float64, rng=0)


def batch(samples: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(samples, 5)), rng.normal(size=(samples, 3))


def first(model: Sequential) -> Linear:
    layer = model[0]
    assert isinstance(layer, Linear)
    return layer


def test_a_weight_with_many_outputs_lies_column_after_column_and_one_with_few_row_after_row() -> None:
    many, few = (parameter for name, parameter in net().parameters().items() if name.endswith("weight"))
    assert (many.order, few.order) == ("F", "C")
    assert many.value.flags.f_contiguous
    assert many.grad.flags.f_contiguous
    assert few.value.flags.c_contiguous


def test_a_weight_in_either_order_is_a_view_of_the_one_vector() -> None:
    model = net()
    weight = first(model).weight
    assert np.shares_memory(weight.value, model.vector.value)
    assert np.shares_memory(weight.grad, model.vector.grad)
    weight.value = np.arange(WIDE * 5).reshape(WIDE, 5)
    np.testing.assert_array_equal(model.vector.value[: WIDE * 5], weight.value.ravel(order="F"))


def test_both_orders_start_from_the_same_numbers_and_train_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = batch()
    trained = []
    for wide in (32, 10**9):
        monkeypatch.setattr(linear, "WIDE", wide)
        model = net()
        model.fit(x, target, loss=SquaredError(), optimizer=Adam(0.01), epochs=20, batch_size=4)
        trained.append(model.state_dict())
    assert trained[0].keys() == trained[1].keys()
    for name, array in trained[0].items():
        np.testing.assert_allclose(array, trained[1][name], rtol=1e-9, atol=1e-12)


def test_a_gradient_in_columns_is_the_sum_of_outer_products() -> None:
    model, (x, target) = net(), batch()
    model.loss_and_grad(x, target, SquaredError())
    wide, few = first(model), model[2]
    assert isinstance(few, Linear)
    y = model(x)
    hidden = np.tanh(x @ wide.weight.value.T + first(model).bias.value)  # type: ignore[union-attr]  # it has one
    above = (y - target) @ few.weight.value * (1 - hidden**2) / len(x)
    expected = sum(np.outer(g, sample) for g, sample in zip(above, x, strict=True))
    np.testing.assert_allclose(wide.weight.grad, expected, atol=1e-12)


def test_the_optimizers_state_is_named_and_shaped_like_the_weight() -> None:
    model, (x, target) = net(), batch()
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.1, momentum=0.9))
    trainer.step(x, target)
    velocity = dict(trainer.stepper.state_arrays())["velocity/0.weight"]
    np.testing.assert_array_equal(velocity, first(model).weight.grad)


def test_files_hold_rows_and_fit_a_model_in_the_other_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = batch()
    before = Trainer(net(), loss=SquaredError(), optimizer=Adam(0.01))
    before.fit(x, target, epochs=3)
    before.save(tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz") as saved:
        assert saved["parameter/0.weight"].flags.c_contiguous
    monkeypatch.setattr(linear, "WIDE", 10**9)
    after = Trainer(net(), loss=SquaredError(), optimizer=Adam(0.01))
    after.resume(tmp_path / "run.npz")
    np.testing.assert_array_equal(after.model(x), before.model(x))
    for (name, one), (_, other) in zip(after.stepper.state_arrays(), before.stepper.state_arrays(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert all(array.flags.c_contiguous for array in before.model.state_dict().values())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_the_order_and_the_numbers(copied: object) -> None:
    assert callable(copied)
    model, (x, _) = net(), batch()
    twin = copied(model)
    assert twin[0].weight.order == "F"
    assert twin[0].weight.value.flags.f_contiguous
    np.testing.assert_array_equal(twin(x), model(x))


def test_a_trained_chain_keeps_its_weights_in_another_and_in_a_slice() -> None:
    model, (x, _) = net(), batch()
    before = model(x)
    whole = Sequential(model, Linear(3, WIDE), dtype=np.float64, rng=1)
    np.testing.assert_array_equal(model(x), before)
    np.testing.assert_array_equal(whole[:1](x), before)
    assert first(model).weight.value.flags.f_contiguous


def test_a_frozen_weight_in_columns_gets_its_gradient_and_does_not_move() -> None:
    model, (x, target) = net(), batch()
    weight = first(model).weight
    weight.trainable = False
    before = weight.value.copy()
    model.fit(x, target, loss=SquaredError(), optimizer=SGD(0.1), epochs=2)
    np.testing.assert_array_equal(weight.value, before)
    assert weight.grad.any()


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match='expected order "C" or "F", got \'K\''):
        Parameter((2, 3), Constant(0.0), order="K")  # type: ignore[arg-type]  # what is wrong on purpose
