"""Residual: x + inner(x), whatever inner is, and gradients that take both ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Constant,
    Dropout,
    Flatten,
    Layer,
    Linear,
    Residual,
    Sequential,
    ShapeError,
    Softmax,
    Tanh,
    check_gradients,
    strict,
)
from tests.helpers import Centred, Copy, Doubled, Handing, Scale, assert_one_vector, data, picture, train

INNER: dict[str, Callable[[], Layer]] = {
    "Linear": lambda: Linear(3, 3),
    "Tanh": Tanh,
    "a chain": lambda: Sequential(Linear(3, 5), Tanh(), Linear(5, 3), rng=1),
    "a residual": lambda: Residual(Linear(3, 3)),
    "an empty chain": Sequential,
    "a layer that hands on its input": Handing,
    "a layer that does not tell its shape": Copy,
    "Softmax": Softmax,
    "Scale": lambda: Scale(3),
}


def built(layer: Layer) -> Sequential:
    return Sequential(layer, dtype=np.float64, rng=0)


@pytest.mark.parametrize("case", INNER)
def test_it_is_x_plus_inner_of_x(case: str) -> None:
    residual, x = Residual(INNER[case]()), np.random.default_rng(0).normal(size=(4, 3))
    model = built(residual)
    inner, cache = residual.inner.forward(x)
    kept = x.copy()
    np.testing.assert_array_equal(model(x), x + inner)
    np.testing.assert_array_equal(x, kept)
    grad = np.random.default_rng(1).normal(size=(4, 3))
    _, own = model.forward(x)
    np.testing.assert_allclose(model.backward(grad, own), grad + residual.inner.backward(grad, cache), rtol=1e-14)


@pytest.mark.parametrize("case", INNER)
def test_its_gradients_are_right_and_it_keeps_the_contract(case: str) -> None:
    model, x = Sequential(Linear(3, 3), Residual(INNER[case]()), Linear(3, 2), rng=0), data()[0]
    check_gradients(model, (3,))
    with strict():
        y, cache = model.forward(x, training=True)
        model.backward(np.ones_like(y), cache)
    train(model, *data(), epochs=2)


def test_through_a_dead_inner_the_gradient_passes_undiminished() -> None:
    layers = [Residual(Linear(3, 3, weight=Constant(0.0))) for _ in range(50)]
    model = Sequential(*layers, dtype=np.float64, rng=0)
    x, grad = np.random.default_rng(0).normal(size=(4, 3)), np.random.default_rng(1).normal(size=(4, 3))
    y, cache = model.forward(x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(model.backward(grad, cache), grad)


@pytest.mark.peer
@pytest.mark.parametrize("rng", [0, 1])
def test_it_is_what_pytorch_makes_of_x_plus_inner_of_x(rng: int) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = Sequential(
        Linear(3, 4),
        Residual(Sequential(Linear(4, 6), Tanh(), Linear(6, 4))),
        Tanh(),
        Residual(Linear(4, 4)),
        dtype=np.float64,
        rng=rng,
    )
    there = {name: torch.tensor(value, requires_grad=True) for name, value in model.state_dict().items()}

    def linear(x: Any, name: str) -> Any:
        return x @ there[f"{name}.weight"].T + there[f"{name}.bias"]

    x = np.random.default_rng(rng).normal(size=(5, 3))
    below = linear(torch.tensor(x), "0")
    below = torch.tanh(below + linear(torch.tanh(linear(below, "1.inner.0")), "1.inner.2"))
    wanted = below + linear(below, "3.inner")
    y, cache = model.forward(x)
    np.testing.assert_allclose(y, wanted.detach().numpy(), rtol=0, atol=1e-12)
    grad = np.random.default_rng(9).normal(size=y.shape)
    model.backward(grad, cache)
    wanted.backward(torch.tensor(grad))
    for name, parameter in model.parameters().items():
        np.testing.assert_allclose(parameter.grad, there[name].grad.numpy(), rtol=0, atol=1e-12, err_msg=name)


def test_nested_in_chains_its_parameters_are_a_part_of_the_one_vector() -> None:
    inner = Sequential(Linear(3, 3), Centred(3), Dropout(0.2), rng=1)
    start = inner.vector.value.copy()
    model = Sequential(Linear(3, 3), Sequential(Residual(Residual(inner)), Tanh()), Linear(3, 2), rng=0)
    assert_one_vector(model)
    names = list(model.state_dict())
    assert "1.0.inner.inner.0.weight" in names
    assert "1.0.inner.inner.1.mean" in names
    np.testing.assert_array_equal(inner.vector.value, start)
    before = picture(model)
    train(model, *data(), epochs=3)
    assert picture(model) != before
    assert_one_vector(model)
    assert not np.array_equal(inner.vector.value, start)


def test_what_is_trained_in_training_alone_is_so_within_it_too() -> None:
    residual = Residual(Sequential(Centred(3), Dropout(0.5), rng=1))
    model = built(residual)
    before = picture(model)
    model(np.ones((4, 3)))
    assert picture(model) == before
    model.forward(np.ones((4, 3)), training=True)
    assert picture(model) != before


def test_training_goes_no_further_down_than_there_is_something_to_train() -> None:
    """With inner frozen in the lowest layer, backward_parameters leaves it out and the result is the same."""
    model, whole = (Sequential(Residual(Linear(3, 3)), Tanh(), Residual(Linear(3, 3)), rng=0) for _ in range(2))
    for name in ("0.inner.weight", "0.inner.bias"):
        model.parameters()[name].trainable = False
    x, grad = data()[0], np.ones((12, 3), np.float32)
    for net, method in ((model, model.backward_parameters), (whole, whole.backward)):
        _, cache = net.forward(x, training=True)
        method(grad, cache)
    for name in ("2.inner.weight", "2.inner.bias"):
        np.testing.assert_allclose(model.parameters()[name].grad, whole.parameters()[name].grad, rtol=1e-6)
    before = model.parameters()["0.inner.weight"].value.copy()
    train(model, x, x, epochs=2, optimizer=SGD(0.1))
    np.testing.assert_array_equal(model.parameters()["0.inner.weight"].value, before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Sequential(Residual(Linear(3, 4))),
            "Residual: inner must keep the shape of its input, but maps (batch, 3) to (batch, 4)",
        ),
        (
            lambda: Sequential(Linear(2, 3), Residual(Sequential(Linear(3, 5), Tanh()))),
            "Residual: inner must keep the shape of its input, but maps (batch, 3) to (batch, 5)",
        ),
        (
            lambda: Sequential(Linear(2, 3), Residual(Linear(4, 4))),
            "layer 1, Residual(Linear(4, 4)), expects (batch, 4), but layer 0, Linear(2, 3), gives (batch, 3)",
        ),
        (
            lambda: Sequential(Residual(Flatten()))(np.zeros((2, 3, 4))),
            "Residual: inner must keep the shape of its input, but maps (batch, 3, 4) to (batch, 12)",
        ),
        (
            lambda: Sequential(Residual(Doubled()))(np.zeros((2, 3))),
            "Residual: inner must keep the shape of its input, but maps (batch, 3) to (batch, 6)",
        ),
    ],
)
def test_an_inner_that_changes_the_shape_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("inner", [Linear, None, np.tanh, [Linear(3, 3)]], ids=["a class", "None", "np.tanh", "a list"])
def test_an_inner_that_is_no_layer_is_refused(inner: Any) -> None:
    with pytest.raises(TypeError, match="Residual: expected inner to be a Layer, got"):
        Residual(inner)
