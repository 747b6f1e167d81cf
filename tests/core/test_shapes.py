"""Shape patterns: what a layer says of shapes of which not all is known, and what a chain makes of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import Array, Flatten, Layer, Linear, Residual, Sequential, Shape, ShapeError, Tanh, check_gradients
from nanonet.core.arrays import Pattern
from nanonet.core.checks import agreed, known
from nanonet.core.errors import shape_text

LENGTHS = (1, 2)
SHAPES = [shape for axes in range(4) for shape in itertools.product(LENGTHS, repeat=axes)]


def fits(pattern: Pattern, shape: Shape) -> bool:
    """Tell, by trying, whether a shape is one of those that a pattern stands for."""
    tail = pattern[1:] if pattern[:1] == (...,) else pattern
    head = len(shape) - len(tail)
    open_front = pattern[:1] == (...,)
    ends = head >= 0 and all(n is None or n == m for n, m in zip(tail, shape[head:], strict=True))
    return ends and (open_front or head == 0)


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    tail: tuple[Any, ...] = tuple(draw(st.lists(st.sampled_from([*LENGTHS, None]), max_size=3)))
    return (..., *tail) if draw(st.booleans()) else tail


@given(patterns(), patterns())
def test_two_patterns_agree_on_the_shapes_that_fit_both(one: Pattern, other: Pattern) -> None:
    both = agreed(one, other)
    wanted = {shape for shape in SHAPES if fits(one, shape) and fits(other, shape)}
    found = set() if both is None else {shape for shape in SHAPES if fits(both, shape)}
    assert found == wanted
    assert both == agreed(other, one)


@given(patterns())
def test_a_pattern_is_known_where_one_shape_fits(pattern: Pattern) -> None:
    shape = known(pattern)
    assert (shape is not None) == (None not in pattern and ... not in pattern)
    assert shape is None or shape == pattern


@pytest.mark.parametrize(
    ("pattern", "text"),
    [((), "(batch)"), ((3, 4), "(batch, 3, 4)"), ((None, 8), "(batch, ?, 8)"), ((..., 3), "(batch, 3)")],
)
def test_a_pattern_is_written_as_a_reader_sees_it(pattern: Pattern, text: str) -> None:
    assert shape_text(pattern) == text


class Pool(Layer):
    """The mean over a sequence of any length."""

    def __init__(self, features: int) -> None:
        self.input_shape = (None, features)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y: Array = x.mean(axis=1)
        return y, x.shape

    def backward(self, grad: Array, cache: Any) -> Array:
        return np.broadcast_to(grad[:, None] / cache[1], cache).copy()

    def output_shape(self, input_shape: Shape) -> Shape:
        super().output_shape(input_shape)
        return input_shape[1:]


class Twice(Layer):
    """Both halves of twice the numbers: it computes with lengths, and pins none."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return np.concatenate([x, x], axis=1), x.shape[1]

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = grad[:, :cache] + grad[:, cache:]
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        return 2 * input_shape[0], *input_shape[1:]


def test_a_linear_takes_sequences_wherever_it_stands() -> None:
    model = Sequential(Linear(3, 8), Tanh(), Flatten(), Linear(160, 1), rng=0)
    assert model(np.ones((4, 20, 3))).shape == (4, 1)
    with pytest.raises(
        ShapeError, match=r"layer 3, Linear\(160, 1\), expects \(batch, 160\), but .* gives \(batch, 168\)"
    ):
        model(np.ones((4, 21, 3)))
    assert "(batch, 20, 8)" in model.summary((20, 3))


def test_what_is_known_is_checked_when_the_model_is_built() -> None:
    for layers in ([Linear(3, 8), Tanh(), Linear(7, 1)], [Linear(3, 7), Pool(8)], [Residual(Linear(3, 4))]):
        with pytest.raises(ShapeError):
            Sequential(*layers)


def test_a_layer_may_take_sequences_of_any_length() -> None:
    model = Sequential(Linear(3, 8), Pool(8), Linear(8, 2), rng=0)
    for length in (1, 5):
        assert model(np.ones((2, length, 3))).shape == (2, 2)
    assert "(batch, ?, 8)" in model.summary()
    with pytest.raises(ShapeError, match=r"layer 1, Pool\(8\), expects \(batch, \?, 8\), but .* gives \(batch, 8\)"):
        model(np.ones((2, 3)))
    check_gradients(Pool(8))


def test_a_layer_that_computes_with_lengths_is_asked_once_they_are_known() -> None:
    model = Sequential(Linear(3, 4), Twice(), Linear(4, 1), rng=0)
    assert model(np.ones((2, 5, 3))).shape == (2, 10, 1)
    assert Sequential(Linear(3, 4), Twice(), rng=0).output_shape((5, 3)) == (10, 4)
    with pytest.raises(ShapeError, match="expects"):
        Sequential(Linear(3, 4), Twice(), Flatten(), Linear(7, 1), rng=0)(np.ones((2, 5, 3)))
