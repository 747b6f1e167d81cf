"""Reshape and Permute: what NumPy does with each sample, there and back, and misfits are named."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import Layer, Linear, Permute, Reshape, Sequential, Shape, ShapeError, check_gradients


@pytest.mark.parametrize(
    ("layer", "before", "after"),
    [
        (Reshape(6), (2, 3), (6,)),
        (Reshape(3, 2), (6,), (3, 2)),
        (Reshape(-1), (2, 3, 4), (24,)),
        (Reshape(2, -1, 3), (4, 6), (2, 4, 3)),
        (Reshape(1, -1), (), (1, 1)),
    ],
    ids=repr,
)
def test_reshape_keeps_the_numbers_in_c_order(layer: Layer, before: Shape, after: Shape) -> None:
    x = np.arange(5.0 * np.prod(before, dtype=int)).reshape(5, *before)
    model = Sequential(layer, dtype=np.float64)
    y, cache = model.forward(x)
    np.testing.assert_array_equal(y, x.reshape(5, *after))
    np.testing.assert_array_equal(model.backward(y, cache), x)
    assert layer.output_shape(before) == after
    assert model(x[:0]).shape == (0, *after)


@pytest.mark.parametrize("axes", [*itertools.permutations([1, 2, 3]), (1,), (2, 1)])
def test_permute_is_numpys_transpose_with_the_batch_in_front(axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 4)[: len(axes) + 1])
    model = Sequential(Permute(*axes), dtype=np.float64)
    y, cache = model.forward(x)
    np.testing.assert_array_equal(y, x.transpose(0, *axes))
    np.testing.assert_array_equal(model.backward(y, cache), x)
    assert Permute(*axes).output_shape(x.shape[1:]) == y.shape[1:]
    check_gradients(Permute(*axes))


@pytest.mark.peer
def test_both_are_pytorchs_functions() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    there = torch.tensor(x)
    np.testing.assert_array_equal(
        Sequential(Permute(3, 1, 2), dtype=np.float64)(x), there.permute(0, 3, 1, 2).contiguous().numpy()
    )
    np.testing.assert_array_equal(
        Sequential(Reshape(4, -1), dtype=np.float64)(x), torch.nn.Flatten()(there).unflatten(1, (4, -1)).numpy()
    )


def test_their_gradients_are_right() -> None:
    check_gradients(Reshape(2, 3), 6)
    check_gradients(Sequential(Linear(6, 6), Reshape(2, 3), Permute(2, 1), Reshape(-1), Linear(6, 1), rng=0))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Reshape(6), (4, 5), "Reshape(6): expected samples of 6 entries, got 5, of shape (batch, 5)"),
        (Reshape(4, -1), (4, 3, 2), "Reshape(4, -1): expected samples of a multiple of 4 entries, got 6, of shape"),
        (Permute(2, 1), (4, 5), "Permute(2, 1): expected input of shape (batch, ?, ?), got (4, 5)"),
    ],
    ids=repr,
)
def test_an_input_that_does_not_fit_is_refused(layer: Layer, shape: Shape, message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential(layer)(np.ones(shape))


def test_unknown_lengths_are_known_as_far_as_they_can_be() -> None:
    unknown: Any = (None, 8)
    two: Any = (..., None, 8)
    assert Reshape(2, -1).output_shape(unknown) == (2, None)
    assert Permute(2, 1).output_shape(unknown) == (8, None)
    open_axes: Any = (..., 8)
    assert Permute(3, 1, 2).output_shape(open_axes) == (8, None, None)
    message = "Permute(1): expected input of shape (batch, ?), got (batch, ?, 8)"
    with pytest.raises(ShapeError, match=re.escape(message)):
        Permute(1).output_shape(two)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Reshape(), ValueError, "Reshape: expected at least one argument, such as Reshape(1, 28, 28)"),
        (lambda: Reshape(0), ValueError, "Reshape: expected sizes of 1 or more, or -1, got (0,)"),
        (lambda: Reshape(-1, -1), ValueError, "Reshape: expected at most one -1, got (-1, -1)"),
        (lambda: Reshape((2, 3)), TypeError, "got (2, 3); write Reshape(*sizes), such as Reshape(1, 28, 28)"),  # type: ignore[arg-type]
        (lambda: Reshape(2.0), TypeError, "Reshape: expected each size as an int, got 2.0"),  # type: ignore[arg-type]
        (
            lambda: Permute(0, 1),
            ValueError,
            "Permute: expected each of the axes 1 to 2 once, got (0, 1); axis 0",
        ),
        (lambda: Permute(1, 1), ValueError, "Permute: expected each of the axes 1 to 2 once, got (1, 1)"),
        (lambda: Permute(True), TypeError, "Permute: expected each axis as an int, got True"),
    ],
)
def test_bad_arguments_are_refused_by_the_constructor(
    make: Callable[[], Layer], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()
