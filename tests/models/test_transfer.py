"""Transfer: layers are frozen and unfrozen, and the numbers of another model are loaded as far as they fit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import SGD, BatchNorm, Linear, Residual, Sequential, ShapeError, SquaredError, Tanh, Trainer

X = np.random.default_rng(0).normal(size=(12, 3))
TARGET = np.random.default_rng(1).normal(size=(12, 2))


def net(outputs: int = 2, rng: int = 0) -> Sequential:
    inner = Sequential(Linear(4, 4), BatchNorm(4), rng=rng)
    return Sequential(Linear(3, 4), Tanh(), Residual(inner), Linear(4, outputs), rng=rng)


def trained(model: Sequential) -> set[str]:
    """Return the names of the parameters that a step changes."""
    before = model.state_dict()
    Trainer(model, loss=SquaredError(), optimizer=SGD(0.1)).step(X, TARGET)
    return {name for name in model.parameters() if (model.state_dict()[name] != before[name]).any()}


@given(st.integers(-4, 4))
def test_freeze_counts_layers_as_a_slice_does(until: int) -> None:
    model = net()
    model.freeze(until)
    frozen = {f"{i}.{name}" for i, layer in enumerate(net()[:until]) for name in layer.parameters()}
    assert {name for name, parameter in model.parameters().items() if not parameter.trainable} == frozen


def test_a_frozen_layer_keeps_its_numbers_and_those_of_the_layers_below_it() -> None:
    model = net()
    model[2].freeze()
    assert trained(model) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    model.freeze(1)
    assert trained(model) == {"3.weight", "3.bias"}
    model.unfreeze()
    assert trained(model) == set(model.parameters())


def test_a_model_is_frozen_as_a_whole_with_the_parameters_that_a_subclass_adds() -> None:
    class Headed(Sequential):
        def __init__(self, *layers: Linear) -> None:
            self.head = Linear(2, 2)
            super().__init__(*layers)

    model = Headed(Linear(3, 2))
    assert len(model.parameters()) == 4
    model.freeze()
    assert not any(parameter.trainable for parameter in model.parameters().values())


def test_a_copy_of_a_slice_begins_another_model_and_leaves_the_first_as_it_was() -> None:
    base, before = net(), net().state_dict()
    with pytest.raises(ValueError, match=r"copy\.deepcopy\(model\[:4\]\)"):
        Sequential(base[:3], Linear(4, 2))
    model = Sequential(copy.deepcopy(base[:3]), Linear(4, 2), rng=1)
    np.testing.assert_array_equal(model[0](X) if isinstance(model[0], Sequential) else 0, base[:3](X))
    trained(model)
    for name, array in base.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_what_fits_is_loaded_and_the_rest_is_named() -> None:
    state = net(outputs=5, rng=1).state_dict() | {"9.weight": np.zeros(2)}
    del state["2.inner.1.running_mean"]
    model, before = net(), net().state_dict()
    found = model.load_state_dict(state, strict=False)
    assert found
    assert found.missing == ("2.inner.1.running_mean",)
    assert found.unexpected == ("9.weight",)
    assert found.misfits == ("3.weight", "3.bias")
    assert set(found.loaded) | {*found.missing, *found.misfits} == set(before)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name].astype(np.float32) if name in found.loaded else before[name])


def test_a_strict_load_is_whole_or_changes_nothing_and_says_how_to_load_a_part() -> None:
    model, before = net(), net().state_dict()
    with pytest.raises(
        ShapeError, match=r"nothing was loaded; for what fits write strict=False:\n  3\.weight: expected"
    ):
        model.load_state_dict(net(outputs=5).state_dict())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    other = net(rng=2).state_dict()
    model.load_state_dict(other)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, other[name])
