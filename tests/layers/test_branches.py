"""Fork, Parallel, Concatenate and Add: several inputs and outputs in a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    Add,
    Concatenate,
    Fork,
    Identity,
    Layer,
    Linear,
    Parallel,
    Residual,
    Sequential,
    ShapeError,
    Tanh,
    check_gradients,
    strict,
)


def two_inputs() -> Sequential:
    return Sequential(Parallel(Linear(3, 4), Linear(5, 2)), Concatenate(), Tanh(), Linear(6, 1), rng=0)


def x_of(batch: int, *widths: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(batch)
    return tuple(rng.normal(size=(batch, width)).astype(np.float32) for width in widths)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: Fork(Linear(2, 3), Tanh()), None),
        (lambda: Parallel(Linear(2, 3), Linear(4, 1)), None),
        (lambda: Concatenate(), ((2,), (3,), (1,))),
        (lambda: Concatenate(axis=1), ((2, 3), (4, 3))),
        (lambda: Concatenate(axis=-2), ((2, 3), (4, 3))),
        (lambda: Add(), ((2,), (2,), (2,))),
        (two_inputs, None),
    ],
)
def test_backward_is_the_derivative_of_forward(layer: Callable[[], Layer], shape: Any) -> None:
    check_gradients(layer(), shape)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_parts_side_by_side_are_one_wide_layer(batch: int, first: int, second: int) -> None:
    branches = Parallel(Linear(first, 2), Linear(second, 2))
    model = Sequential(branches, Add(), dtype=np.float64, rng=0)
    one, other = (layer.parameters() for layer in branches.branches)
    weight = np.concatenate([one["weight"].value, other["weight"].value], axis=1)
    a, b = np.ones((batch, first)), np.full((batch, second), 0.5)
    expected = np.concatenate([a, b], axis=1) @ weight.T + one["bias"].value + other["bias"].value
    np.testing.assert_allclose(model((a, b)), expected, rtol=1e-12)


def test_a_fork_with_identity_and_a_sum_is_a_residual() -> None:
    inner = Linear(3, 3)
    residual = Sequential(Residual(inner), rng=0)
    fork = Sequential(Fork(Identity(), Linear(3, 3)), Add())
    fork.vector.value = residual.vector.value
    (x,) = x_of(4, 3)
    np.testing.assert_array_equal(fork(x), residual(x))


def test_several_outputs_are_a_tuple() -> None:
    model = Sequential(Linear(2, 8), Fork(Linear(8, 1), Linear(8, 3)), rng=0)
    y, z = model(np.ones((4, 2)))
    assert (y.shape, z.shape) == ((4, 1), (4, 3))


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_a_prediction_in_pieces_is_that_in_one(batch_size: int) -> None:
    model = Sequential(*two_inputs()[:2].layers, Fork(Linear(6, 1), Tanh()), rng=0)
    x = x_of(10, 3, 5)
    for piece, whole in zip(model.predict(x, batch_size=batch_size), model.predict(x), strict=True):
        np.testing.assert_allclose(piece, whole, rtol=1e-5, atol=1e-6)


def test_what_is_predicted_belongs_to_the_caller() -> None:
    x = np.ones((2, 3), np.float32)
    for part in Sequential(Fork(Identity(), Identity()))(x):
        assert not np.shares_memory(part, x)


def test_a_model_with_several_inputs_keeps_the_contract() -> None:
    with strict():
        assert two_inputs()(x_of(4, 3, 5)).shape == (4, 1)


def test_identity_is_a_branch_beside_one_that_takes_several_inputs() -> None:
    model = Sequential(Fork(Parallel(Linear(3, 1), Linear(5, 2)), Identity()), rng=0)
    assert model.follow(((3,), (5,))) == (((1,), (2,)), ((3,), (5,)))
    with pytest.raises(ShapeError, match=r"Tanh\(\): expected one array, got \(batch, 3\) and \(batch, 5\)"):
        Sequential(Fork(Parallel(Linear(3, 1), Linear(5, 2)), Tanh()))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((4, 3)), TypeError, r"Sequential: expected x as a tuple of arrays, got ndarray; write \(x1, x2\)"),
        (x_of(4, 3), ShapeError, r"expected input of shape \(batch, 3\) and \(batch, 5\), got \(4, 3\)"),
        (
            x_of(4, 3, 4),
            ShapeError,
            r"expected input of shape \(batch, 3\) and \(batch, 5\), got \(4, 3\) and \(4, 4\)",
        ),
        ((np.ones((4, 3)), np.ones((3, 5))), ShapeError, r"the same batch length, got \(4,\), \(3,\)"),
        ((np.ones((4, 3)), [["a"] * 5] * 4), TypeError, r"x\[1\]: expected numbers, got text"),
        ((np.ones((4, 3)), 5.0), ShapeError, r"expected x\[1\] of shape \(batch, \.\.\.\), got a single number"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_door(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        two_inputs()(x)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [Parallel(Linear(3, 4), Linear(5, 2)), Tanh()],
            r"layer 1: Tanh\(\): expected one array, got .* several_inputs",
        ),
        ([Parallel(Linear(3, 4), Linear(5, 2)), Linear(6, 1)], r"layer 1, Linear\(6, 1\), expects \(batch, 6\), but"),
        ([Linear(3, 4), Concatenate()], r"Concatenate\(\): expected a tuple of arrays, got \(batch, 4\)"),
        ([Parallel(Linear(3, 4), Linear(5, 2)), Add()], r"Add\(\): expected inputs of the same shape, got"),
        ([Fork(Tanh(), Linear(3, 2)), Concatenate(2), Linear(3, 1)], r"same axes and an axis 2"),
    ],
)
def test_layers_that_do_not_fit_are_named(layers: list[Layer], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Sequential(*layers).predict(np.ones((4, 3)))


def test_branches_that_take_different_inputs_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"Fork: expected branches that take the same input, got \(batch, 2\), \(batch"
    ):
        Fork(Linear(2, 1), Linear(3, 1))


@pytest.mark.parametrize("kind", [Fork, Parallel])
def test_branches_must_be_layers(kind: type[Fork] | type[Parallel]) -> None:
    with pytest.raises(ValueError, match="expected one layer or more"):
        kind()
    with pytest.raises(
        TypeError, match=rf"{kind.__name__}: expected branch 0 to be a Layer.*write {kind.__name__}\(\*"
    ):
        kind([Linear(2, 1)])  # type: ignore[arg-type]  # what is refused


def test_the_batch_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="axis 0 is the batch"):
        Concatenate(axis=0)
