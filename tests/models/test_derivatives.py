"""Jacobians and their products equal each other, numerical derivatives and PyTorch's, and leave the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    Array,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    Linear,
    MeanSquaredError,
    Parallel,
    Parameter,
    Reshape,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
)
from nanonet.core.arrays import each, parts_of
from nanonet.core.rows import may_mix
from nanonet.models.per_sample import FORMULAS, Passes, Twins
from tests.helpers import picture
from tests.registry import LAYERS, LayerCase, params

RNG = np.random.default_rng(2)
X = RNG.normal(size=(5, 3))
STEP = 1e-6


def model_of(case: LayerCase) -> Sequential:
    """Return a model of one layer, whose parameters and buffers have other numbers than those they start with."""
    model = Sequential(case.make(), dtype=np.float64, rng=0)
    rng = np.random.default_rng(1)
    model.vector.value += rng.uniform(-0.1, 0.1, model.vector.size)
    return model


def summed(products: Any) -> Any:
    return sum(part.reshape(len(part), -1).sum(axis=1) for part in parts_of(products) if part is not None)


CASES = [case for case in params(LAYERS) if not may_mix(case.values[0].make(), training=False)]


@pytest.mark.parametrize("case", CASES)
def test_the_jacobian_and_both_products_agree_for_every_layer(case: LayerCase) -> None:
    model, x = model_of(case), case.x()
    before = picture(model)
    y, rng = model(x), np.random.default_rng(3)
    grad = each(lambda part: rng.normal(size=part.shape), y)
    if all(part.dtype.kind != "f" for part in parts_of(x)):
        with pytest.raises(TypeError, match="x holds integers, which have no derivative"):
            model.jacobian(x)
        return
    tangent = each(lambda part: rng.normal(size=part.shape) if part.dtype.kind == "f" else None, x)
    along, back = model.jvp(x, tangent), model.vjp(x, grad)
    jacobian = model.jacobian(x)
    if not isinstance(y, tuple) and not isinstance(x, tuple):
        whole = jacobian.reshape(len(x), y[0].size, x[0].size)
        np.testing.assert_allclose(
            along.reshape(len(x), -1), np.einsum("noi,ni->no", whole, tangent.reshape(len(x), -1)), atol=1e-12
        )
        np.testing.assert_allclose(
            back.reshape(len(x), -1), np.einsum("noi,no->ni", whole, grad.reshape(len(x), -1)), atol=1e-12
        )
    forth = summed(each(np.multiply, along, grad))
    products = [
        None if dx is None or direction is None else dx * direction
        for dx, direction in zip(parts_of(back), parts_of(tangent), strict=True)
    ]
    np.testing.assert_allclose(forth, summed(tuple(products)), atol=1e-12)
    assert picture(model) == before


@pytest.mark.parametrize("case", CASES)
def test_the_gradients_of_the_samples_add_up_to_those_of_the_batch_for_every_layer(case: LayerCase) -> None:
    model, x = model_of(case), case.x()
    before, y = picture(model), model(x)
    grad = each(lambda part: np.random.default_rng(3).normal(size=part.shape), y)
    rows = Passes(Twins(model), model.enter(x)).parameters(grad)
    assert picture(model) == before
    _, cache = model.forward(model.enter(x))
    model.vector.grad = np.zeros(model.vector.size)
    model.backward_parameters(grad, cache)
    np.testing.assert_allclose(rows.sum(axis=0), model.vector.grad, atol=1e-11)


def test_every_sample_has_its_own_gradient() -> None:
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), dtype=np.float64, rng=0)
    jacobian = model.jacobian_parameters(X)
    for i in range(len(X)):
        for k in range(2):
            _, cache = model.forward(X[i : i + 1])
            model.backward(np.eye(2)[None, k], cache)
            np.testing.assert_allclose(jacobian[i, k], model.vector.grad, atol=1e-14)


KERNELS = st.fixed_dictionaries(
    {
        "kernel_size": st.integers(1, 3),
        "stride": st.integers(1, 2),
        "padding": st.integers(0, 2),
        "dilation": st.integers(1, 2),
        "groups": st.sampled_from([1, 2]),
        "bias": st.booleans(),
    }
)


@settings(max_examples=40)
@given(KERNELS, st.booleans())
def test_the_formula_of_a_convolution_says_what_a_pass_for_each_sample_does(kernel: Any, flat: bool) -> None:
    layer: Layer = Conv1d(2, 4, **kernel) if flat else Conv2d(2, 4, **kernel)
    model = Sequential(layer, dtype=np.float64, rng=0)
    x = np.random.default_rng(0).normal(size=(3, 2, 7) if flat else (3, 2, 7, 6))
    grad = np.random.default_rng(1).normal(size=model(x).shape)
    formula = FORMULAS.of(layer)
    assert formula is not None
    found = formula(layer, x, grad)
    for i in range(3):
        layer.backward(grad[i : i + 1], layer.forward(x[i : i + 1])[1])
        for name, parameter in layer.parameters().items():
            np.testing.assert_allclose(found[name][i].reshape(parameter.shape), parameter.grad, atol=1e-12)


class Related(Layer):
    """A layer that does not say whether it relates samples."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        return 2 * x, None

    def backward(self, grad: Array, cache: None) -> Array:
        return 2 * grad


@pytest.mark.parametrize(
    ("layers", "shape"),
    [([Linear(3, 2), Related()], (3,)), ([Linear(3, 2), Tanh()], (4, 3)), ([Conv2d(2, 4, 2, groups=2)], (2, 3, 3))],
)
def test_an_empty_batch_has_empty_derivatives(layers: list[Layer], shape: tuple[int, ...]) -> None:
    model, x = Sequential(*layers, rng=0), np.zeros((0, *shape))
    y = model.predict(x)
    assert model.jacobian(x).shape == (*y.shape, *shape)
    assert model.jacobian_parameters(x).shape == (*y.shape, model.vector.size)
    assert model.jvp(x, x).shape == y.shape
    assert model.vjp(x, y).shape == x.shape


def test_frozen_parameters_have_zeros() -> None:
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), Tanh(), Linear(2, 1), dtype=np.float64, rng=0)
    whole = model.jacobian_parameters(X)
    model[2].freeze()
    part = model.jacobian_parameters(X)
    assert (part[..., 16:26] == 0).all()
    np.testing.assert_array_equal(np.delete(part, range(16, 26), axis=2), np.delete(whole, range(16, 26), axis=2))
    model.freeze()
    assert (model.jacobian_parameters(X) == 0).all()


class Twice(Linear):
    """A Linear of twice its input, which overrides what Linear's formula describes."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return super().forward(2 * x, training=training)

    def backward(self, grad: Array, cache: Array) -> Array:
        return 2 * super().backward(grad, cache)


class Plain(Layer):
    """y = w x, which says nothing of its samples, so that each goes through alone."""

    def __init__(self) -> None:
        self.w = Parameter((), 3.0)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x * self.w.value, x

    def backward(self, grad: Array, cache: Array) -> Array:
        self.w.grad = (grad * cache).sum()
        return grad * self.w.value


@pytest.mark.parametrize("make", [lambda: Twice(3, 2), Plain])
def test_a_class_of_the_users_is_obeyed(make: Any) -> None:
    model = Sequential(make(), dtype=np.float64, rng=0)
    jacobian, at = model.jacobian_parameters(X), model.vector.value.copy()
    for entry in range(model.vector.size):
        moved = []
        for sign in (1, -1):
            model.vector.value[:] = at
            model.vector.value[entry] += sign * STEP
            moved.append(model(X))
        np.testing.assert_allclose(jacobian[..., entry], (moved[0] - moved[1]) / (2 * STEP), atol=1e-8)
    np.testing.assert_allclose(model.vjp(X, model(X)), np.einsum("noi,no->ni", model.jacobian(X), model(X)))


class Relating(Layer):
    """y = x - mean of the batch: of one sample, 0."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        return x - x.mean(axis=0), None

    def backward(self, grad: Array, cache: None) -> Array:
        centred: Array = grad - grad.mean(axis=0)
        return centred


def test_samples_that_a_layer_relates_go_through_alone() -> None:
    model = Sequential(Linear(3, 2), Relating(), dtype=np.float64, rng=0)
    assert (model.jacobian(X) == 0).all()
    assert (model.jacobian_parameters(X) == 0).all()


def test_several_inputs_and_outputs_have_a_jacobian_for_each_pair() -> None:
    model = Sequential(Parallel(Linear(3, 2), Sequential(Embedding(4, 2), Flatten())), dtype=np.float64, rng=0)
    codes = np.array([[0], [1], [2], [3], [0]])
    first, second = model.jacobian((X, codes))
    np.testing.assert_allclose(first[0], np.broadcast_to(next(iter(model.parameters().values())).value, (5, 2, 3)))
    assert first[1] is None
    assert (second[0] == 0).all()
    assert second[1] is None
    assert [part.shape for part in model.jacobian_parameters((X, codes))] == [(5, 2, 16), (5, 2, 16)]


def test_inference_mode_is_what_is_derived() -> None:
    model = Sequential(Linear(3, 4), Dropout(0.5), BatchNorm(4), Linear(4, 1), dtype=np.float64, rng=0)
    assert (model.jacobian(X) == model.jacobian(X)).all()


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_the_hessian_of_a_linear_model_is_that_of_its_data(direction: list[float]) -> None:
    model = Sequential(Linear(3, 1, bias=False), rng=0)  # float32: the work is done on a copy in float64
    product = model.hvp(X, np.zeros((5, 1)), SquaredError(), direction)
    np.testing.assert_allclose(product, X.T @ X / 5 @ direction, atol=1e-8)
    assert product.dtype == np.float64


def test_frozen_parameters_take_no_part_in_the_hessian() -> None:
    model = Sequential(Linear(3, 1), dtype=np.float64, rng=0)
    model.parameters()["0.bias"].trainable = False
    before = picture(model)
    product = model.hvp(X, np.zeros((5, 1)), SquaredError(), [1, 0, 0, 5])
    np.testing.assert_allclose(product, [*(X.T @ X / 5)[0], 0], atol=1e-8)
    assert picture(model) == before
    assert (model.hvp(X, np.zeros((5, 1)), SquaredError(), [0, 0, 0, 5]) == 0).all()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda m: m.vjp(X, X),
            ShapeError,
            r"Sequential.vjp: expected grad of the shape of the prediction, \(5, 2\), got",
        ),
        (
            lambda m: m.jvp(X, X[0]),
            ShapeError,
            r"Sequential.jvp: expected tangent of the shape of x, \(5, 3\), got \(3,\)",
        ),
        (lambda m: m.jacobian(X[0]), ShapeError, r"expected input of shape \(batch, 3\), got \(3,\)"),
        (
            lambda m: m.hvp(X, np.zeros((5, 2)), MeanSquaredError(), [1, 2]),
            ShapeError,
            r"hvp: expected direction of shape \(8,\), as model.vector.value, got \(2,\)",
        ),
        (
            lambda m: m.hvp(X, np.zeros((5, 2)), SquaredError, np.ones(8)),
            TypeError,
            r"Sequential.hvp: expected loss to be a Loss, got .*; write SquaredError\(...\)",
        ),
        (
            lambda m: m.hvp(X, np.zeros((5, 2)), SquaredError(), [np.nan] * 8),
            ValueError,
            r"Sequential.hvp: expected a finite direction, got nan",
        ),
        (
            lambda m: m.hvp(X, np.zeros((5, 3)), SquaredError(), np.zeros(8)),
            ShapeError,
            r"SquaredError: prediction has shape \(5, 2\) but target has shape \(5, 3\)",
        ),
        (
            lambda m: m.loss_and_grad(X, np.zeros((5, 2)), SquaredError),
            TypeError,
            r"Sequential.loss_and_grad: expected loss to be a Loss, got .*; write SquaredError\(...\)",
        ),
        (lambda m: m.vjp(X, "text"), TypeError, "Sequential.vjp: grad: expected numbers, got text"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(Sequential(Linear(3, 2), rng=0))


@pytest.mark.peer
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_jacobians_equal_those_of_pytorch(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    images = data.draw(st.booleans(), "images")
    groups, stride = data.draw(st.sampled_from([1, 2]), "groups"), data.draw(st.integers(1, 2), "stride")
    layers: list[Layer] = [Reshape(2, 4, 4), Conv2d(2, 4, 3, stride, 1, groups=groups), Tanh(), Flatten()]
    widths = [
        64 // stride**2 if images else 32,
        data.draw(st.integers(1, 4), "width"),
        data.draw(st.integers(1, 3), "out"),
    ]
    model = Sequential(
        *(layers if images else []),
        Linear(widths[0], widths[1]),
        Tanh(),
        Linear(widths[1], widths[2]),
        dtype=float,
        rng=1,
    )
    there = torch.nn.Sequential(
        *(
            [
                torch.nn.Unflatten(1, (2, 4, 4)),
                torch.nn.Conv2d(2, 4, 3, stride, 1, groups=groups),
                torch.nn.Tanh(),
                torch.nn.Flatten(),
            ]
            if images
            else []
        ),
        torch.nn.Linear(widths[0], widths[1]),
        torch.nn.Tanh(),
        torch.nn.Linear(widths[1], widths[2]),
    ).double()
    there.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    x = np.random.default_rng(4).normal(size=(3, 32))

    def one(parameters: Any, sample: Any) -> Any:
        return torch.func.functional_call(there, parameters, sample[None])[0]

    parameters = dict(there.named_parameters())
    by_x = torch.func.vmap(torch.func.jacrev(one, argnums=1), in_dims=(None, 0))(parameters, torch.tensor(x))
    np.testing.assert_allclose(model.jacobian(x), by_x.detach().numpy(), rtol=0, atol=1e-10)
    by_w = torch.func.vmap(torch.func.jacrev(one), in_dims=(None, 0))(parameters, torch.tensor(x))
    flat = np.concatenate([by_w[name].detach().numpy().reshape(3, widths[2], -1) for name in parameters], axis=2)
    np.testing.assert_allclose(model.jacobian_parameters(x), flat, rtol=0, atol=1e-10)
    loss = (there(torch.tensor(x)) ** 2).sum() / 6
    slopes = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
    product = torch.autograd.grad(sum(slope.sum() for slope in slopes), list(parameters.values()))
    expected = np.concatenate([part.numpy().ravel() for part in product])
    target, along = np.zeros((3, widths[2])), np.ones(model.vector.size)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(model.hvp(x, target, SquaredError(), along), expected, rtol=0, atol=1e-7 * scale)
