"""Copies: deepcopy and pickle give a model with one vector of its own, which computes and draws as the first does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nanonet
from nanonet import (
    Buffer,
    Layer,
    Linear,
    Parameter,
    Sequential,
    Sigmoid,
    SquaredError,
    Tanh,
    Trainer,
    Uniform,
    Zeros,
)
from tests.helpers import (
    Branches,
    Centred,
    Copy,
    Momentum,
    Noise,
    Residual,
    Scale,
    assert_one_vector,
    data,
    everything,
    generator_state,
    picture,
    train,
    walk,
)


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def pickled_by_the_oldest_protocol_for_slots(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing, protocol=2))


def copied_under_strict(thing: Any) -> Any:
    with nanonet.strict():
        return copy.deepcopy(thing)


def pickled_under_strict(thing: Any) -> Any:
    with nanonet.strict():
        return pickled(thing)


WAYS = [copy.deepcopy, pickled, pickled_by_the_oldest_protocol_for_slots, copied_under_strict, pickled_under_strict]
every_way = pytest.mark.parametrize("duplicate", WAYS)

Duplicate = Callable[[Any], Any]


def frozen() -> Sequential:
    model = everything()
    model.parameters()["0.bias"].trainable = False
    return model


def trained() -> Sequential:
    model = everything()
    train(model, *data(), epochs=2)
    return model


MODELS: dict[str, Callable[[], Sequential]] = {
    "everything": everything,
    "trained": trained,
    "float64": lambda: everything(np.float64),
    "frozen": frozen,
    "a slice": lambda: everything()[0:3],
    "a slice from the middle": lambda: Sequential(Linear(2, 3), Sequential(Linear(3, 3), Noise(), Centred(3)))[1:],
    "a model inside another": lambda: Sequential(Sequential(Linear(3, 3)), Linear(3, 1))[0:1],
    "nested thrice": lambda: Sequential(Sequential(Sequential(Linear(3, 2), Noise())), Scale(2)),
    "no layers": Sequential,
    "no parameters": lambda: Sequential(Sigmoid(), Noise()),
}


@every_way
@pytest.mark.parametrize("name", MODELS)
def test_a_copy_has_one_vector_of_its_own_and_the_same_numbers(name: str, duplicate: Duplicate) -> None:
    model = MODELS[name]()
    before = picture(model)
    copied = duplicate(model)
    assert type(copied) is type(model)
    assert picture(copied) == picture(model) == before
    assert copied.dtype == model.dtype
    assert repr(copied) == repr(model)
    assert copied.input_shape == model.input_shape
    assert_one_vector(copied)
    assert_one_vector(model)
    for mine, theirs in zip(walk(copied).values(), walk(model).values(), strict=True):
        assert mine is not theirs
        for array in ("value", "grad"):
            if hasattr(type(mine), array):
                assert not np.shares_memory(getattr(mine, array), getattr(theirs, array))


@every_way
@pytest.mark.parametrize("name", MODELS)
def test_a_copy_computes_the_same_and_goes_on_to_draw_the_same(name: str, duplicate: Duplicate) -> None:
    model = MODELS[name]()
    copied = duplicate(model)
    x, _ = data()
    assert copied(x).tobytes() == model(x).tobytes()
    for _ in range(3):
        first, second = (each.forward(x.astype(model.dtype), training=True)[0] for each in (model, copied))
        assert first.tobytes() == second.tobytes()
    assert generator_state(copied.rng) == generator_state(model.rng)
    assert copied.rng is not model.rng


@every_way
def test_training_a_copy_is_training_the_first_and_leaves_it_alone(duplicate: Duplicate) -> None:
    model = trained()
    copied, before = duplicate(model), picture(model)
    one = train(copied, *data(), epochs=3)
    assert picture(model) == before
    two = train(model, *data(), epochs=3)
    assert one["loss"] == two["loss"]
    assert picture(copied) == picture(model) != before


@every_way
def test_a_copied_generator_spawns_what_the_first_spawns(duplicate: Duplicate) -> None:
    model = Sequential(Linear(3, 2), rng=0)
    copied = duplicate(model)
    noises = [Noise(), Noise()]
    for each, noise in zip((model, copied), noises, strict=True):
        Sequential(each, noise, rng=each.rng)
    assert generator_state(noises[0].random.generator) == generator_state(noises[1].random.generator)


@every_way
def test_layers_that_shared_a_generator_share_one_in_the_copy(duplicate: Duplicate) -> None:
    rng = np.random.default_rng(0)
    model = Sequential(Sequential(Linear(2, 2), rng=rng), rng=rng)
    copied = duplicate(model)
    assert copied.rng is copied[0].rng is not rng


@every_way
def test_a_copy_of_an_inner_model_is_free_of_the_outer_one(duplicate: Duplicate) -> None:
    inner = Sequential(Linear(3, 3), Tanh(), rng=0)
    outer = Sequential(Scale(3), inner, Linear(3, 1), rng=1)
    copied = duplicate(inner)
    assert_one_vector(copied)
    assert picture(copied) == picture(inner)
    assert not np.shares_memory(copied.vector.value, outer.vector.value)
    other = Sequential(copied, Linear(3, 2))
    assert_one_vector(other)
    assert_one_vector(outer)


@every_way
def test_what_is_frozen_stays_frozen_in_the_copy_and_is_thawed_apart(duplicate: Duplicate) -> None:
    model = frozen()
    copied = duplicate(model)
    names = [name for name, parameter in copied.parameters().items() if not parameter.trainable]
    assert names == ["0.bias", "1.1.inner.0.weight"]
    copied.parameters()["0.bias"].trainable = True
    assert not model.parameters()["0.bias"].trainable
    assert_one_vector(copied)
    assert_one_vector(model)


@every_way
@pytest.mark.parametrize("take", [lambda model: model[0], lambda model: model[1].inner[0]])
def test_a_copied_layer_is_free_and_keeps_its_numbers(take: Callable[[Any], Linear], duplicate: Duplicate) -> None:
    model = Sequential(Linear(3, 3), Residual(Linear(3, 3), Noise()), rng=0)
    train(model, *data(outputs=3))
    before, layer = picture(model), take(model)
    copied: Linear = duplicate(layer)
    np.testing.assert_array_equal(copied.weight.value, layer.weight.value)
    assert not np.shares_memory(copied.weight.value, model.vector.value)
    copied.weight.value = copied.weight.value + 1
    other = Sequential(copied, Linear(3, 1))
    assert_one_vector(other)
    np.testing.assert_array_equal(copied.weight.value, layer.weight.value + 1)
    assert picture(model) == before
    assert_one_vector(model)


@every_way
def test_a_copied_container_is_free_with_all_that_is_in_it(duplicate: Duplicate) -> None:
    inner = Sequential(Linear(3, 3), Noise(), rng=3)
    model = Sequential(Branches([Scale(3), inner], named=Centred(3)), Linear(3, 2), rng=0)
    train(model, *data())
    copied = duplicate(model[0])
    other = Sequential(copied)
    assert_one_vector(other)
    assert_one_vector(copied.branches[1])
    assert picture(other)["0.branches.1.0.weight"] == picture(model)["0.branches.1.0.weight"]
    assert picture(other)["0.branches.1.1.random"] == picture(model)["0.branches.1.1.random"]
    assert picture(other)["0.named.named.mean"] == picture(model)["0.named.named.mean"]


def test_the_states_of_a_copied_layer_may_be_replaced() -> None:
    model = Sequential(Linear(2, 2), rng=0)
    copied = copy.deepcopy(model[0])
    assert isinstance(copied, Linear)
    copied.weight = Parameter((2, 2), Zeros())
    assert not Sequential(copied).vector.value.any()


@every_way
def test_a_layer_that_is_not_built_is_copied_as_it_is(duplicate: Duplicate) -> None:
    first = Residual(Linear(2, 2), Noise(), Centred(2))
    second = duplicate(first)
    with pytest.raises(RuntimeError, match=r"Linear\.weight is used before it is built"):
        second.inner[0].weight.value  # noqa: B018  # this is the mistake
    one, two = Sequential(first, rng=0), Sequential(second, rng=0)
    assert picture(one) == picture(two)
    assert_one_vector(two)


def test_copies_of_one_layer_stand_beside_each_other() -> None:
    layer = Linear(2, 2)
    model = Sequential(layer, *[copy.deepcopy(layer) for _ in range(3)], rng=0)
    assert model.vector.value.size == 24
    assert not np.array_equal(model.parameters()["0.weight"].value, model.parameters()["1.weight"].value)


def test_models_copied_together_stay_what_they_are_to_each_other() -> None:
    model = everything()
    pair: Any = copy.deepcopy({"model": model, "head": model[-1], "inner": model[1]})
    assert pair["model"][-1] is pair["head"]
    assert pair["model"][1] is pair["inner"]
    assert np.shares_memory(pair["inner"].vector.value, pair["model"].vector.value)
    assert_one_vector(pair["model"])


class Slotted(Copy):
    """Keeps its state in a slot, as a further class does."""

    __slots__ = ("gain",)

    def __init__(self) -> None:
        self.gain = Parameter((3,), Uniform(-1, 1))


class FurtherSlotted(Slotted):
    __slots__ = ("shift",)

    def __init__(self) -> None:
        super().__init__()
        self.shift = Buffer((3,), Uniform(-1, 1))


@every_way
def test_what_is_in_slots_is_copied_too(duplicate: Duplicate) -> None:
    model: Any = Sequential(FurtherSlotted(), rng=0)
    twin = duplicate(model)
    assert set(model.state_dict()) == {"0.gain", "0.shift"}
    np.testing.assert_equal(twin.state_dict(), model.state_dict())
    assert np.shares_memory(twin[0].gain.value, twin.vector.value)
    assert not np.shares_memory(twin[0].shift.value, model[0].shift.value)


class Plain(Copy):
    """Has settings of its own, one of them in two places."""

    def __init__(self, setting: dict[str, Any]) -> None:
        self.setting = setting
        self.again: Any = {"setting": setting}


@every_way
def test_the_settings_of_a_layer_are_copied_with_it(duplicate: Duplicate) -> None:
    setting = {"a": [1, 2]}
    model = Sequential(Plain(setting))
    copied = duplicate(model)[0]
    setting["a"].append(3)
    assert copied.setting == {"a": [1, 2]}
    assert copied.again["setting"] is copied.setting


@every_way
def test_a_copy_carries_nothing_but_what_the_first_has(duplicate: Duplicate) -> None:
    model = everything()
    assert [set(vars(part)) for part in walk(duplicate(model)).values() if isinstance(part, Layer)] == [
        set(vars(part)) for part in walk(model).values() if isinstance(part, Layer)
    ]


@pytest.mark.parametrize("duplicate", [copied_under_strict, pickled_under_strict])
def test_a_copy_made_under_strict_is_checked_there_and_plain_afterwards(duplicate: Duplicate) -> None:
    model = Sequential(Linear(3, 3), Overwriting(), rng=0)
    with nanonet.strict():
        inside = copy.deepcopy(model)
        with pytest.raises(nanonet.ContractError, match="layer 1, Overwriting"):
            inside(data()[0])
    x = data()[0]
    assert inside(x).tobytes() == duplicate(model)(x).tobytes() == model(x).tobytes()


class Overwriting(Copy):
    """y = x + 1, written into x."""

    def forward(self, x: Any, *, training: bool = False) -> tuple[Any, Any]:
        x += 1
        return x, None


def test_a_copy_from_the_middle_of_a_training_trains_on() -> None:
    model, (x, target) = everything(), data()
    trainer = Trainer(model, loss=SquaredError(), optimizer=Momentum(0.1))
    trainer.step(x, target)
    copied, before = copy.deepcopy(model), picture(model)
    Trainer(copied, loss=SquaredError(), optimizer=Momentum(0.1)).step(x, target)
    assert picture(model) == before
    trainer.step(x, target)
    assert picture(model) != before
    assert_one_vector(copied)
