"""Frozen parameters: none of them ever moves, and training goes down no further than it must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Array,
    Constant,
    Layer,
    Linear,
    Optimizer,
    Parameter,
    Sequential,
    SquaredError,
    Step,
    Tanh,
    Trainer,
)
from tests.helpers import OPTIMIZERS, Counting, Decay, Momentum, Residual, Scale, assert_one_vector, data, train


def freeze(model: Sequential, *names: str, trainable: bool = False) -> None:
    for name in names:
        model.parameters()[name].trainable = trainable


def values(model: Sequential) -> dict[str, bytes]:
    return {name: parameter.value.tobytes() for name, parameter in model.parameters().items()}


def moved(model: Sequential, before: dict[str, bytes]) -> set[str]:
    return {name for name, value in values(model).items() if value != before[name]}


def chain(rng: int = 0) -> Sequential:
    return Sequential(
        Linear(3, 4),
        Tanh(),
        Residual(Linear(4, 4)),
        Sequential(Linear(4, 4), Tanh(), rng=rng + 1),
        Linear(4, 2),
        rng=rng,
    )


ALL = {f"{path}.{name}" for path in ("0", "2.inner.0", "3.0", "4") for name in ("weight", "bias")}

FROZEN = [
    ["0.weight"],
    ["0.bias"],
    ["4.weight"],
    ["4.bias"],
    ["2.inner.0.bias", "3.0.weight"],
    ["0.weight", "0.bias", "3.0.weight"],
    sorted(ALL - {"4.bias"}),
    sorted(ALL - {"0.weight"}),
    sorted(ALL),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("names", FROZEN, ids=", ".join)
@pytest.mark.filterwarnings("ignore:fit. all parameters are frozen")
def test_a_frozen_parameter_never_moves_and_all_others_do(names: list[str], optimizer: Optimizer) -> None:
    model = chain()
    freeze(model, *names)
    before = values(model)
    train(model, *data(), optimizer=optimizer, epochs=3, batch_size=5)
    assert moved(model, before) == ALL - set(names)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_parameter_frozen_at_construction_never_moves(optimizer: Optimizer) -> None:
    layer = Linear(3, 2)
    layer.weight = Parameter((2, 3), Constant(0.5), trainable=False)
    model = Sequential(Scale(3, trainable=False), Scale(3), layer, rng=0)
    before = values(model)
    train(model, *data(), optimizer=optimizer, epochs=3)
    assert moved(model, before) == {"1.gain", "2.bias"}


def test_a_parameter_frozen_before_it_is_built_never_moves() -> None:
    layer = Linear(3, 2)
    layer.weight.trainable = False
    model = Sequential(layer, rng=0)
    before = values(model)
    train(model, *data())
    assert moved(model, before) == {"0.bias"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_others_move_as_they_do_beside_a_layer_without_parameters(optimizer: Optimizer) -> None:
    """What is frozen is a constant: the others train as they would if it were written into the layer."""

    class Half(Layer):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return x * np.float32(1.5), None

        def backward(self, grad: Array, cache: Any) -> Array:
            return grad * np.float32(1.5)

    first = Sequential(Linear(3, 4), Scale(4, trainable=False), Linear(4, 2), rng=0)
    second = Sequential(Linear(3, 4), Half(), Linear(4, 2), rng=0)
    losses = [train(model, *data(), optimizer=optimizer, epochs=5)["loss"] for model in (first, second)]
    assert losses[0] == losses[1]
    assert first(data()[0]).tobytes() == second(data()[0]).tobytes()


@pytest.mark.parametrize("names", FROZEN, ids=", ".join)
def test_the_gradient_in_the_vector_is_0_where_a_parameter_is_frozen(names: list[str]) -> None:
    model, free, (x, target) = chain(), chain(), data()
    freeze(model, *names)
    _, grad = model.loss_and_grad(x, target, SquaredError())
    free.loss_and_grad(x, target, SquaredError())
    wanted = [
        np.zeros_like(parameter.grad) if name in names else parameter.grad
        for name, parameter in free.parameters().items()
    ]
    np.testing.assert_array_equal(grad, np.concatenate([part.ravel() for part in wanted]))
    np.testing.assert_array_equal(model.vector.grad, grad)
    assert_one_vector(model)


def test_a_frozen_parameter_has_its_own_gradient_once_a_backward_pass_reached_it() -> None:
    model, (x, _) = chain(), data()
    y, cache = model.forward(x)
    model.backward(np.ones_like(y), cache)
    wanted = {name: parameter.grad.copy() for name, parameter in model.parameters().items()}
    freeze(model, "0.weight", "3.0.bias")
    model.backward(np.ones_like(y), cache)
    for name, parameter in model.parameters().items():
        np.testing.assert_array_equal(parameter.grad, wanted[name])
    frozen = model.parameters()["0.weight"]
    assert frozen.grad.any()
    assert not model.vector.grad[: frozen.value.size].any()
    frozen.grad = np.ones(frozen.shape)
    frozen.grad += 1
    assert not model.vector.grad[: frozen.value.size].any()


def test_freezing_clears_what_the_vector_held() -> None:
    model, (x, target) = chain(), data()
    model.loss_and_grad(x, target, SquaredError())
    assert model.vector.grad[:12].any()
    freeze(model, "0.weight")
    assert not model.vector.grad[:12].any()
    assert model.vector.grad[12:].any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_thawing_lets_a_parameter_move_again(optimizer: Optimizer) -> None:
    model, (x, target) = chain(), data()
    trainer = Trainer(model, loss=SquaredError(), optimizer=optimizer)
    freeze(model, "0.weight", "2.inner.0.bias")
    trainer.step(x, target)
    before = values(model)
    freeze(model, "0.weight", trainable=True)
    trainer.step(x, target)
    assert moved(model, before) == ALL - {"2.inner.0.bias"}
    assert_one_vector(model)


def test_the_other_parameters_keep_their_optimizer_state_when_one_is_frozen() -> None:
    """Momentum by hand on E = a + b, whose gradient is 1: each velocity is its parameter's own."""
    model = Sequential(Scale(1), Residual(), Linear(1, 1, weight=Constant(1.0)), dtype=np.float64, rng=0)
    names = list(model.parameters())
    momentum = Momentum(0.01)
    trainer = Trainer(model, loss=SquaredError(), optimizer=momentum)
    x, target = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    numbers = {name: p.value.copy() for name, p in model.parameters().items()}
    velocity = {name: np.zeros_like(value) for name, value in numbers.items()}
    for step in range(12):
        frozen = {names[0]} if 3 <= step < 6 else {names[1], names[2]} if 8 <= step < 10 else set()
        for name, parameter in model.parameters().items():
            parameter.trainable = name not in frozen
        model.loss_and_grad(x, target, SquaredError())
        for name, parameter in model.parameters().items():
            if name not in frozen:
                velocity[name] = 0.9 * velocity[name] + parameter.grad
                numbers[name] = numbers[name] - 0.01 * velocity[name]
        trainer.step(x, target)
        for name, parameter in model.parameters().items():
            np.testing.assert_allclose(parameter.value, numbers[name], rtol=1e-13, err_msg=f"{name} in step {step}")


def test_the_step_number_goes_on_when_a_parameter_is_frozen() -> None:
    class Numbered(SGD):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            numbers.append(step.number)

    numbers: list[int] = []
    model, (x, target) = chain(), data()
    trainer = Trainer(model, loss=SquaredError(), optimizer=Numbered(0.1))
    for step in range(4):
        freeze(model, "0.weight", trainable=step % 2 == 0)
        trainer.step(x, target)
    assert sorted(set(numbers)) == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:fit. all parameters are frozen")
def test_nothing_is_trained_where_all_is_frozen() -> None:
    model = chain()
    freeze(model, *ALL)
    before = values(model)
    history = train(model, *data(), optimizer=Decay(0.1), epochs=3)
    assert values(model) == before
    assert history["loss"][0] == pytest.approx(history["loss"][2])
    assert not model.vector.grad.any()


# ---- no further down than the lowest trainable layer


class CountingLinear(Linear):
    """A Linear that counts both of its backward methods."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.counts = {"backward": 0, "backward_parameters": 0}

    def backward(self, grad: Array, cache: Any) -> Array:
        self.counts["backward"] += 1
        return super().backward(grad, cache)

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        self.counts["backward_parameters"] += 1
        super().backward_parameters(grad, cache)


def test_head_only_training_calls_no_backward_below_the_lowest_trainable_layer() -> None:
    below, above = Counting(), Counting()
    body, head, top = CountingLinear(3, 4), CountingLinear(4, 4), CountingLinear(4, 2)
    model = Sequential(Counting(), body, below, head, above, top, rng=0)
    freeze(model, "1.weight", "1.bias")
    trainer = Trainer(model, loss=SquaredError(), optimizer=Decay(0.1))
    for _ in range(3):
        trainer.step(*data())
    assert (below.forwards, below.backwards, above.backwards) == (3, 0, 3)
    assert body.counts == {"backward": 0, "backward_parameters": 0}
    assert head.counts == {"backward": 0, "backward_parameters": 3}
    assert top.counts == {"backward": 3, "backward_parameters": 0}


def test_freezing_and_thawing_move_the_lowest_layer_from_step_to_step() -> None:
    layers = [CountingLinear(3, 3), CountingLinear(3, 3), CountingLinear(3, 2)]
    model = Sequential(*layers, rng=0)
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.1))
    called = []
    for frozen in ([], ["0.weight"], ["0.weight", "0.bias"], ["0.weight", "0.bias", "1.weight", "1.bias"], []):
        for name, parameter in model.parameters().items():
            parameter.trainable = name not in frozen
        before = [sum(layer.counts.values()) for layer in layers]
        trainer.step(*data())
        called.append([sum(layer.counts.values()) - n for layer, n in zip(layers, before, strict=True)])
    assert called == [[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1], [1, 1, 1]]


def test_a_nested_chain_goes_down_no_further_either() -> None:
    inner = [CountingLinear(3, 3), Counting(), CountingLinear(3, 3)]
    model = Sequential(Sequential(*inner), Linear(3, 2), rng=0)
    freeze(model, "0.0.weight", "0.0.bias")
    Trainer(model, loss=SquaredError(), optimizer=SGD(0.1)).step(*data())
    first, between, last = inner
    assert isinstance(first, CountingLinear)
    assert isinstance(between, Counting)
    assert isinstance(last, CountingLinear)
    assert sum(first.counts.values()) == between.backwards == 0
    assert last.counts == {"backward": 0, "backward_parameters": 1}


def test_a_slice_has_a_lowest_layer_of_its_own() -> None:
    counting = Counting()
    model = Sequential(Linear(3, 3), counting, Linear(3, 2), rng=0)
    Trainer(model[1:], loss=SquaredError(), optimizer=SGD(0.1)).step(*data())
    assert counting.backwards == 0


def test_backward_returns_the_gradient_of_x_although_all_is_frozen() -> None:
    model, (x, _) = chain(), data()
    y, cache = model.forward(x)
    wanted = model.backward(np.ones_like(y), cache)
    freeze(model, *ALL)
    np.testing.assert_array_equal(model.backward(np.ones_like(y), cache), wanted)
    assert wanted.any()


# ---- who overrides only backward is obeyed where backward_parameters is asked

MASK = np.array([[1, 0, 1], [0, 1, 0]], np.float32)


class Masked(Linear):
    """A Linear some of whose weights get no gradient; overrides backward alone."""

    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad = self.weight.grad * MASK
        return dx


class MaskedAgain(Masked):
    """Inherits the mask."""


class Mask:
    """The mask as a mixin that is no Layer."""

    weight: Parameter

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = super().backward(grad, cache)  # type: ignore[misc]  # a mixin stands before a Layer
        self.weight.grad = self.weight.grad * MASK
        return dx


class MixedIn(Mask, Linear):
    """A Linear with the mixin before it."""


class MaskedBoth(Masked):
    """Writes backward_parameters anew, below the class that overrides backward."""

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        self.backward(grad, cache)


class MaskedLayer(Mask, CountingLinear):
    """The mixin before a subclass that has both methods."""


@pytest.mark.parametrize("kind", [Masked, MaskedAgain, MixedIn, MaskedBoth, MaskedLayer])
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda layer: [layer], id="first"),
        pytest.param(lambda layer: [Tanh(), layer], id="lowest with parameters"),
        pytest.param(lambda layer: [Sequential(layer)], id="first in a nested chain"),
        pytest.param(lambda layer: [Scale(3), layer], id="second"),
        pytest.param(lambda layer: [Scale(3, trainable=False), layer], id="above a frozen one"),
    ],
)
def test_a_masked_gradient_is_obeyed_wherever_the_layer_stands(
    kind: type[Linear], wrap: Callable[[Layer], list[Layer]]
) -> None:
    layer = kind(3, 2)
    model = Sequential(*wrap(layer), rng=0)
    before = layer.weight.value.copy()
    train(model, *data(), epochs=2, batch_size=4)
    np.testing.assert_array_equal(layer.weight.value != before, MASK != 0)


@pytest.mark.parametrize("training", [False, True])
def test_a_masked_gradient_is_what_loss_and_grad_returns(training: bool) -> None:
    x, target = data()
    model, plain = Sequential(Masked(3, 2), rng=0), Sequential(Linear(3, 2), rng=0)
    _, grad = model.loss_and_grad(x, target, SquaredError(), training=training)
    _, free = plain.loss_and_grad(x, target, SquaredError())
    np.testing.assert_array_equal(grad[:6].reshape(2, 3), free[:6].reshape(2, 3) * MASK)
    np.testing.assert_array_equal(grad[6:], free[6:])
