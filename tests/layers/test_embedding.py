"""Embedding: rows of a table; its gradient sums what an index got, however often; a bad index is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import Embedding, Flatten, Linear, Sequential, ShapeError, check_gradients
from nanonet.layers.embedding import OFTEN
from tests.layers.beside_pytorch import assert_module_equal

TABLE = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


def test_each_index_becomes_its_row() -> None:
    model = Sequential(Embedding(3, 2, weight=TABLE))
    y = model([[2, 0], [1, 2]])
    assert y.tolist() == [[[4, 5], [0, 1]], [[2, 3], [4, 5]]]
    assert model([1]).tolist() == [[2, 3]]
    assert y.dtype == np.float32


def test_the_gradient_of_a_row_is_the_sum_over_the_places_of_its_index() -> None:
    layer = Embedding(4, 1)
    model = Sequential(layer, dtype=np.float64, rng=0)
    _, cache = model.forward(np.array([[3, 1], [3, 3]]))
    model.vector.grad[:] = np.nan
    dx = model.backward(np.array([[[1.0], [10.0]], [[100.0], [1000.0]]]), cache)
    assert layer.weight.grad.tolist() == [[0], [10], [0], [1101]]
    assert dx is None


@pytest.mark.parametrize("rows", [1, 3, 50, 5000])
@pytest.mark.parametrize("count", [0, 1, OFTEN, OFTEN + 1, 300])
def test_the_gradient_is_that_of_adding_place_by_place(rows: int, count: int) -> None:
    layer, rng = Embedding(rows, 3), np.random.default_rng(0)
    model = Sequential(layer, dtype=np.float64, rng=0)
    x, grad = np.minimum(rng.geometric(0.1, size=count) - 1, rows - 1), rng.normal(size=(count, 3))
    expected = np.zeros((rows, 3))
    np.add.at(expected, x, grad)
    model.backward_parameters(grad, model.forward(x)[1])
    np.testing.assert_allclose(layer.weight.grad, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int32, np.uint64])
def test_any_integers_will_do(dtype: Any) -> None:
    layer = Embedding(3, 2, weight=TABLE)
    model = Sequential(layer, dtype=np.float64)
    y, cache = model.forward(np.array([2, 0, 2], dtype))
    model.backward(np.ones_like(y), cache)
    assert y.tolist() == [TABLE[2], TABLE[0], TABLE[2]]
    assert layer.weight.grad.tolist() == [[1, 1], [0, 0], [2, 2]]


@pytest.mark.parametrize("index", [1, -2])
def test_the_padding_row_starts_at_0_gives_0_and_gets_no_gradient(index: int) -> None:
    layer = Embedding(3, 2, padding_idx=index)
    model = Sequential(layer, dtype=np.float64, rng=0)
    assert (layer.weight.value == 0).tolist() == [[False, False], [True, True], [False, False]]
    layer.weight.value = TABLE
    y, cache = model.forward(np.array([1, 2]))
    assert y.tolist() == [[0, 0], [4, 5]]
    model.backward(np.ones((2, 2)), cache)
    assert layer.weight.grad.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_its_gradients_are_right_above_other_layers_too() -> None:
    x = np.array([[0, 2], [2, 2], [1, 0]])
    check_gradients(Embedding(3, 2), x=x)
    check_gradients(Embedding(3, 2, padding_idx=2), x=x)
    check_gradients(Sequential(Embedding(3, 2), Flatten(), Linear(4, 2), rng=0), x=x)


@pytest.mark.peer
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_it_is_pytorchs(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    rows, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 4))
    padding = data.draw(st.none() | st.integers(-rows, rows - 1))
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple))
    x = np.random.default_rng(data.draw(st.integers(0, 9))).integers(rows, size=shape)
    assert_module_equal(Embedding(rows, width, padding), torch.nn.Embedding(rows, width, padding), shape, x=x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0, 1], [3, 9]], "Embedding(3, 2): expected indices from 0 to 2, got 3 at (1, 0)"),
        ([0, -1], "Embedding(3, 2): expected indices from 0 to 2, got -1 at 1"),
    ],
)
def test_an_index_outside_the_table_is_named_with_its_place(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Sequential(Embedding(3, 2))(x)


def test_an_empty_batch_gives_an_empty_one() -> None:
    model = Sequential(Embedding(3, 2), rng=0)
    y, cache = model.forward(np.zeros((0, 4), int))
    assert y.shape == (0, 4, 2)
    model.backward(y, cache)
    assert not model.vector.grad.any()


def test_numbers_that_are_no_integers_are_refused() -> None:
    with pytest.raises(TypeError, match=re.escape("expected integers, got float64; try array.astype(int)")):
        Sequential(Embedding(3, 2))(np.array([1.0]))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Embedding(0, 2), ValueError, "Embedding: expected num_embeddings of 1 or more, got 0"),
        (lambda: Embedding(3, 2.0), TypeError, "Embedding: expected embedding_dim as an int, got 2.0"),  # type: ignore[arg-type]
        (lambda: Embedding(3, 2, 3), ValueError, "Embedding: expected padding_idx from -3 to 2, got 3"),
        (lambda: Embedding(3, 2, -4), ValueError, "Embedding: expected padding_idx from -3 to 2, got -4"),
        (lambda: Embedding(3, 2, "x"), TypeError, "Embedding: expected padding_idx as an int, got 'x'"),  # type: ignore[arg-type]
        (lambda: Embedding(3, 2, True), TypeError, "Embedding: expected padding_idx as an int, got True"),
        (lambda: Embedding(3, 2, weight=[[1.0]]), ShapeError, "Embedding(3, 2).weight: expected a starting array"),
    ],
)
def test_bad_arguments_are_refused_by_the_constructor(
    make: Callable[[], Embedding], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()
