"""Composite: any wiring of layers, written once; its gradients are those of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Array,
    Composite,
    ContractError,
    Fork,
    GradientError,
    Layer,
    Linear,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    check_gradients,
    strict,
)


class Gated(Composite):
    """tanh(A x) * B x + x"""

    def __init__(self, features: int) -> None:
        self.input_shape = (features,)
        self.a, self.tanh, self.b = Linear(features, features), Tanh(), Linear(features, features)

    def wire(self, call: Any, x: Any) -> Any:
        gate = call(self.tanh, call(self.a, x))
        return call.add(call.multiply(gate, call(self.b, x)), x)


class Siamese(Composite):
    """One net on two inputs."""

    def __init__(self) -> None:
        self.input_shape = ((3,), (3,))
        self.net, self.head = Sequential(Linear(3, 4), Tanh()), Linear(8, 2)

    def wire(self, call: Any, x: Any) -> Any:
        one, other = x
        return call(self.head, call.concatenate(call(self.net, one), call(self.net, other)))


class Unrolled(Composite):
    """A cell over four steps: h <- tanh(W [h, x])."""

    def __init__(self) -> None:
        self.input_shape = (9,)
        self.cell = Sequential(Linear(3, 1), Tanh())

    def wire(self, call: Any, x: Any) -> Any:
        h, *steps = call.split(x, 1, 2, 2, 2, 2)
        for step in steps:
            h = call(self.cell, call.concatenate(h, step))
        return h


class Pieces(Composite):
    """Several outputs, one of which is used twice and one not at all."""

    def __init__(self) -> None:
        self.input_shape = (5,)
        self.linear, self.fork = Linear(2, 3), Fork(Linear(3, 3), Tanh())

    def wire(self, call: Any, x: Any) -> Any:
        first, second = call.split(x, 2, 3)
        used, _ = call(self.fork, second)
        return call.add(call(self.linear, first), used), call.multiply(used, used)


COMPOSITES = [lambda: Gated(3), Siamese, Unrolled, Pieces]


@pytest.mark.parametrize("make", COMPOSITES)
def test_backward_is_the_derivative_of_forward(make: Any) -> None:
    check_gradients(make())


@pytest.mark.parametrize("make", COMPOSITES)
def test_a_composite_keeps_the_contract_within_a_chain(make: Any) -> None:
    layer = make()
    model = Sequential(layer, rng=0)
    shapes = layer.input_shape if isinstance(layer.input_shape[0], tuple) else (layer.input_shape,)
    x = tuple(np.ones((4, *shape)) for shape in shapes)
    with strict():
        y = model(x if len(x) > 1 else x[0])
    parts = y if isinstance(y, tuple) else (y,)
    expected = model.output_shape(layer.input_shape)
    assert expected == (tuple(p.shape[1:] for p in parts) if isinstance(y, tuple) else y.shape[1:])


def test_gated_computes_its_formula() -> None:
    model = Sequential(Gated(2), dtype=np.float64, rng=0)
    p, x = model.state_dict(), np.array([[1.0, -2.0], [0.5, 3.0]])
    expected = np.tanh(x @ p["0.a.weight"].T + p["0.a.bias"]) * (x @ p["0.b.weight"].T + p["0.b.bias"]) + x
    np.testing.assert_allclose(model(x), expected, rtol=1e-14)


def test_a_layer_called_twice_has_the_sum_of_both_gradients() -> None:
    class Twice(Composite):
        def __init__(self) -> None:
            self.linear = Linear(2, 2, bias=False)

        def wire(self, call: Any, x: Any) -> Any:
            return call(self.linear, call(self.linear, x))

    model = Sequential(Twice(), dtype=np.float64, rng=0)
    w, x = model.parameters()["0.linear.weight"].value.copy(), np.array([[1.0, 2.0]])
    _, cache = model.forward(x)
    grad = np.array([[1.0, -1.0]])
    model.backward(grad, cache)
    np.testing.assert_allclose(model.parameters()["0.linear.weight"].grad, grad.T @ (x @ w.T) + (grad @ w).T @ x)


def test_frozen_parameters_of_a_composite_do_not_move() -> None:
    model = Sequential(Siamese(), rng=0)
    model.parameters()["0.net.0.weight"].trainable = False
    x, before = (np.ones((4, 3)), np.zeros((4, 3))), model.state_dict()
    model.loss_and_grad(x, np.zeros((4, 2)), SquaredError())
    assert not model.vector.grad[:12].any()
    assert all((before[name] == after).all() for name, after in model.state_dict().items())


def test_only_values_go_through_wire() -> None:
    class Computes(Composite):
        def wire(self, call: Any, x: Any) -> Any:
            return call.add(x, 1.0)

    with pytest.raises(ContractError, match=r"wire may only pass values on, to call.*got float"):
        Sequential(Computes()).forward(np.ones((1, 2)))


def test_parts_that_do_not_fit_are_named_when_a_model_is_built() -> None:
    class Misfit(Composite):
        def __init__(self) -> None:
            self.input_shape = (3,)
            self.a, self.b = Linear(3, 4), Linear(3, 5)

        def wire(self, call: Any, x: Any) -> Any:
            return call.add(call(self.a, x), call(self.b, x))

    with pytest.raises(
        ShapeError, match=r"Misfit: add: expected inputs of the same shape, got \(batch, 4\) and \(batch"
    ):
        Sequential(Misfit())


# ---- containers written by hand


class ByHand(Layer):
    """inner(x) + inner(2 x)."""

    def __init__(self, again: str) -> None:
        self.inner, self.again, self.input_shape = Linear(2, 2), again, (2,)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        (y, one), (z, other) = self.inner.forward(x), self.inner.forward(2 * x)
        return y + z, (one, other)

    def backward(self, grad: Array, cache: Any) -> Array:
        one, other = cache
        dx = self.inner.backward(grad, one)
        first = [p.grad.copy() for p in self.inner.parameters().values()]
        if self.again == "backward_again":
            return dx + 2 * self.inner.backward_again(grad, other)
        dx = dx + 2 * self.inner.backward(grad, other)
        if self.again == "kept":
            for p, before in zip(self.inner.parameters().values(), first, strict=True):
                p.grad = p.grad + before
        return dx


@pytest.mark.parametrize("again", ["backward_again", "kept"])
def test_a_layer_may_be_called_twice_by_hand(again: str) -> None:
    check_gradients(ByHand(again))


def test_a_first_gradient_that_is_lost_is_an_error() -> None:
    with pytest.raises(GradientError, match=r"Linear\(2, 2\): its backward ran twice .*call layer.backward_again"):
        check_gradients(ByHand("lost"))
    with pytest.raises(GradientError, match=r"layer 0.inner, Linear\(2, 2\): its backward ran twice"):
        Sequential(ByHand("lost"), rng=0).fit(
            np.ones((4, 2)), np.ones((4, 2)), loss=SquaredError(), optimizer=SGD(0.1), epochs=1, verbose=0
        )


def test_backward_that_calls_backward_parameters_is_named() -> None:
    class Endless(Layer):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
            return 2 * x, None

        def backward(self, grad: Array, cache: None) -> Array:
            self.backward_parameters(grad, cache)
            return 2 * grad

    with pytest.raises(GradientError, match=r"must not call self\.backward_parameters"):
        check_gradients(Endless(), 3)
