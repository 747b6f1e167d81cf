"""What a layer computes with is trained and saved, or refused or warned of by name before the first step."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from nanonet import (
    Array,
    Buffer,
    Constant,
    ContractError,
    Layer,
    Linear,
    Parameter,
    Sequential,
    Shape,
    Tanh,
)
from tests.helpers import Copy, Scale, data, picture, train


@dataclass
class Config:
    net: Any
    scale: float = 2.0


class Pair(NamedTuple):
    first: Any
    second: Any


class Box:
    """An object of no kind that is looked into."""

    def __init__(self, net: Any) -> None:
        self.net = net


class Holder(Layer):
    """y = net(x), for a net that it keeps somewhere."""

    def __init__(self, net: Layer, keep: Callable[[Layer], Any], find: Callable[[Any], Layer]) -> None:
        self.input_shape = (3,)
        self.kept, self.find = keep(net), find

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self.find(self.kept).forward(x, training=training)

    def backward(self, grad: Array, cache: Any) -> Array:
        return self.find(self.kept).backward(grad, cache)


FOUND: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str]] = {
    "a dataclass": (Config, lambda kept: kept.net, "0.kept.net.0.weight"),
    "a deque": (lambda net: deque([net], maxlen=3), lambda kept: kept[0], "0.kept.0.0.weight"),
    "a named tuple": (lambda net: Pair(1, net), lambda kept: kept.second, "0.kept.1.0.weight"),
    "a namespace": (lambda net: SimpleNamespace(net=net), lambda kept: kept.net, "0.kept.net.0.weight"),
    "lists in dicts": (lambda net: {"a": [net]}, lambda kept: kept["a"][0], "0.kept.a.0.0.weight"),
}

HIDDEN: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str]] = {
    "a set": (lambda net: {net}, lambda kept: next(iter(kept)), r"self\.kept \(a set, which has no order\)"),
    "a closure": (lambda net: lambda: net, lambda kept: kept(), r"self\.kept \(closure over net\)"),
    "a partial": (lambda net: functools.partial(id, net), lambda kept: kept.args[0], r"self\.kept \(partial\)"),
    "an object": (Box, lambda kept: kept.net, r"self\.kept\.net"),
    "an object in a list": (lambda net: [Box(net)], lambda kept: kept[0].net, r"self\.kept\[0\]\.net"),
    "a bound method": (lambda net: Box(net).__repr__, lambda kept: kept.__self__.net, r"self\.kept"),
}


@pytest.mark.parametrize("where", FOUND)
def test_a_layer_is_trained_and_saved_wherever_order_and_names_can_be_told(where: str) -> None:
    keep, find, name = FOUND[where]
    inner = Sequential(Linear(3, 3), rng=1)
    model = Sequential(Holder(inner, keep, find), rng=0)
    before = inner.vector.value.copy()
    train(model, *data(outputs=3))
    assert name in model.state_dict()
    assert not np.array_equal(inner.vector.value, before)


@pytest.mark.parametrize("where", [name for name in HIDDEN if name != "a bound method"])
def test_a_layer_out_of_sight_is_refused_by_name_before_anything_is_trained(where: str) -> None:
    keep, find, place = HIDDEN[where]
    inner = Sequential(Linear(3, 3), rng=1)
    model = Sequential(Linear(3, 3), Holder(inner, keep, find), rng=0)
    before = picture(model), inner.vector.value.copy()
    with pytest.raises(ContractError, match=rf"layer 1, Holder.*reaches through {place}, is not part of the model"):
        train(model, *data(outputs=3))
    assert picture(model) == before[0]
    np.testing.assert_array_equal(inner.vector.value, before[1])


def test_what_a_method_has_closed_over_is_found() -> None:
    net = Sequential(Linear(3, 3), rng=1)

    class Closes(Copy):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return net.forward(x, training=training)

        def backward(self, grad: Array, cache: Any) -> Array:
            return net.backward(grad, cache)

    with pytest.raises(
        ContractError, match=r"layer 0, Closes\(\).*through Closes\.(forward|backward) \(closure over net\)"
    ):
        train(Sequential(Closes(), Linear(3, 3)), *data(outputs=3))


@pytest.mark.parametrize("where", HIDDEN)
def test_a_frozen_layer_may_be_kept_anywhere(where: str) -> None:
    keep, find, _ = HIDDEN[where]
    inner = Sequential(Linear(3, 3), rng=1)
    for parameter in inner.parameters().values():
        parameter.trainable = False
    model = Sequential(Linear(3, 3), Holder(inner, keep, find), rng=0)
    assert train(model, *data(outputs=3)).epochs == 1


class Several(Layer):
    """One layer after the other."""

    def __init__(self, *inner: Layer) -> None:
        self.input_shape, self.inner = (3,), list(inner)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        caches = []
        for layer in self.inner:
            x, cache = layer.forward(x, training=training)
            caches.append(cache)
        return x, caches

    def backward(self, grad: Array, cache: Any) -> Array:
        for layer, kept in zip(reversed(self.inner), reversed(cache), strict=True):
            grad = layer.backward(grad, kept)
        return grad


CHANGES: list[Callable[[list[Layer]], object]] = [
    lambda layers: layers.pop(0),
    lambda layers: layers.pop(),
    lambda layers: layers.reverse(),
    lambda layers: layers.append(Scale(3)),
    lambda layers: layers.insert(1, Linear(3, 3)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_list_of_layers_that_was_changed_since_is_refused(change: Callable[[list[Layer]], object]) -> None:
    several = Several(Scale(3), Linear(3, 3), Scale(3))
    model = Sequential(several, Linear(3, 3), rng=0)
    train(model, *data(outputs=3))
    change(several.inner)
    before = model.vector.value.copy()
    with pytest.raises(ContractError, match="was changed; after such a change rebuild the model"):
        train(model, *data(outputs=3))
    np.testing.assert_array_equal(model.vector.value, before)


def test_layers_without_numbers_may_come_and_go() -> None:
    several = Several(Tanh(), Linear(3, 3))
    model = Sequential(several, rng=0)
    several.inner.pop(0)
    assert train(model, *data(outputs=3)).epochs == 1


def test_a_slice_and_an_inner_model_can_be_trained_by_themselves() -> None:
    model = Sequential(Linear(3, 3), Sequential(Tanh(), Linear(3, 3)), Linear(3, 3), rng=0)
    inner = model[1]
    assert isinstance(inner, Sequential)
    for part in (model[1:], inner, model[:1]):
        assert train(part, *data(outputs=3)).epochs == 1


class PlainScale(Copy):
    """y = x * gain, where gain is no Parameter."""

    def __init__(self, gain: Any) -> None:
        self.input_shape, self.gain = (3,), gain

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * np.asarray(self.gain, x.dtype), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad * np.asarray(self.gain, grad.dtype)


def test_a_plain_array_is_warned_of_by_name_since_it_is_neither_trained_nor_saved() -> None:
    model = Sequential(Linear(3, 3), PlainScale(np.ones(3)))
    with pytest.warns(UserWarning, match=r"layer 1, PlainScale.*: self\.gain is a plain array.*self\.gain = Parameter"):
        train(model, *data(outputs=3))


@pytest.mark.parametrize("gain", [2.0, np.arange(3), np.array([True, False, True]), np.broadcast_to(1.0, 3)])
def test_numbers_integers_and_read_only_arrays_are_constants(gain: Any) -> None:
    assert train(Sequential(Linear(3, 3), PlainScale(gain)), *data(outputs=3)).epochs == 1


# ---- unusual classes


def scaled(self: Any, x: Array, *, training: bool = False) -> tuple[Array, Any]:
    return x * self.gain.value, x


def scaled_back(self: Any, grad: Array, cache: Any) -> Array:
    self.gain.grad = (grad * cache).sum(axis=0)
    back: Array = grad * self.gain.value
    return back


class Slot(Layer):
    __slots__ = ("gain",)

    def __init__(self) -> None:
        self.input_shape, self.gain = (3,), Parameter((3,), Constant(1.5))

    forward, backward = scaled, scaled_back


@dataclass(frozen=True)
class Frozen(Layer):
    features: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", Parameter((self.features,), Constant(1.5)))

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    forward, backward = scaled, scaled_back


@pytest.mark.parametrize(("make", "label"), [(Slot, "Slot.gain"), (lambda: Frozen(3), "Frozen.gain")])
def test_layers_with_slots_and_frozen_dataclasses_are_layers_like_others(make: Callable[[], Any], label: str) -> None:
    model = Sequential(Linear(3, 3), make(), rng=0)
    before = model.state_dict()
    train(model, *data(outputs=3))
    assert not np.array_equal(before["1.gain"], model.state_dict()["1.gain"])
    layer: Any = model[1]
    assert layer.gain.label == label


def test_a_parameter_in_a_slot_cannot_be_replaced_by_numbers() -> None:
    layer = Slot()
    with pytest.raises(TypeError, match=r"Slot\.gain is a Parameter; to change its numbers write layer\.gain\.value"):
        layer.gain = 3  # type: ignore[assignment]  # what is refused
    Sequential(layer)
    with pytest.raises(TypeError, match=r"Slot\.gain cannot be set: .* is part of a model"):
        layer.gain = Parameter((3,), Constant(1.0))


@pytest.mark.parametrize(
    "value", [Parameter(3, Constant(1.0)), Buffer(3, Constant(1.0)), [Scale(3)], {"a": Linear(2, 2)}]
)
def test_a_parameter_of_the_class_is_refused_where_the_class_is_made(value: Any) -> None:
    with pytest.raises(TypeError, match=r"Shared\.gain is a class attribute, which all .* would share; set it"):
        type("Shared", (Copy,), {"gain": value})


def test_a_layer_without_numbers_may_be_an_attribute_of_the_class() -> None:
    class Shares(Copy):
        inner = Tanh()

    assert train(Sequential(Shares(), Linear(3, 3)), *data(outputs=3)).epochs == 1


@pytest.mark.parametrize("name", ["parts", "trainable", "kinds", "name", "weights", "children", "hidden"])
def test_natural_names_are_free_for_an_authors_own_attributes(name: str) -> None:
    class Own(Scale):
        def __init__(self) -> None:
            super().__init__(3)
            setattr(self, name, [1, 2])

    model = Sequential(Own(), rng=0)
    assert getattr(model[0], name) == [1, 2]
    assert train(model, *data(outputs=3)).epochs == 1
