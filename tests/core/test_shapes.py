"""Shape patterns: what a layer says of shapes of which not all is known, and what a chain makes of it."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanonet import (
    Array,
    BatchNorm,
    Concatenate,
    Conv1d,
    Conv2d,
    Embedding,
    Flatten,
    Fork,
    GlobalAvgPool,
    GroupNorm,
    InstanceNorm,
    Layer,
    Linear,
    Permute,
    Residual,
    Sequential,
    Shape,
    ShapeError,
    Softmax,
    Tanh,
    check_gradients,
)
from nanonet.checking.situations import example as example_of
from nanonet.core.arrays import Pattern, shape_of
from nanonet.core.checks import agreed, known
from nanonet.core.errors import shape_text

LENGTHS = (1, 2)
SHAPES = [shape for axes in range(7) for shape in itertools.product(LENGTHS, repeat=axes)]


def fits(pattern: Pattern, shape: Shape) -> bool:
    """Tell, by trying, whether a shape is one of those that a pattern stands for."""
    if ... in pattern:
        place, more = pattern.index(...), len(shape) + 1 - len(pattern)
        pattern = (*pattern[:place], *[None] * more, *pattern[place + 1 :])
    return len(pattern) == len(shape) and all(n in (None, m) for n, m in zip(pattern, shape, strict=True))


def fitting(*patterns: Pattern) -> set[Shape]:
    """Return the shapes that fit all of some patterns."""
    return {shape for shape in SHAPES if all(fits(pattern, shape) for pattern in patterns)}


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    lengths: tuple[Any, ...] = tuple(draw(st.lists(st.sampled_from([*LENGTHS, None]), max_size=3)))
    place = draw(st.integers(0, len(lengths)))
    return (*lengths[:place], ..., *lengths[place:]) if draw(st.booleans()) else lengths


@settings(max_examples=300)
@example((1, ...), (..., 1))
@example((1, 2, ...), (..., 1))
@example((1, ...), (..., 2))
@example((1, ...), (..., 2, None))
@given(patterns(), patterns())
def test_two_patterns_agree_on_the_shapes_that_fit_both(one: Pattern, other: Pattern) -> None:
    both, wanted = agreed(one, other), fitting(one, other)
    assert both == agreed(other, one)
    assert (both is None) == (not wanted)
    if both is None or fitting(both) == wanted:
        return
    assert fitting(both) > wanted
    front, back = one.index(...) - other.index(...), one[::-1].index(...) - other[::-1].index(...)
    assert front * back < 0  # the longer beginning is that of one, the longer end that of the other
    assert fitting(both) <= fitting(one if back > 0 else other)


@given(patterns())
def test_a_pattern_is_known_where_one_shape_fits(pattern: Pattern) -> None:
    shape = known(pattern)
    assert (shape is not None) == (None not in pattern and ... not in pattern)
    assert shape is None or shape == pattern


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ((), "(batch)"),
        ((3, 4), "(batch, 3, 4)"),
        ((None, 8), "(batch, ?, 8)"),
        ((..., 3), "(batch, 3)"),
        ((3, ...), "(batch, 3, ...)"),
        ((3, ..., 8), "(batch, 3, ..., 8)"),
        ((...,), "(batch, ...)"),
    ],
)
def test_a_pattern_is_written_as_a_reader_sees_it(pattern: Pattern, text: str) -> None:
    assert shape_text(pattern) == text


@given(patterns())
def test_an_example_fits_its_pattern(pattern: Pattern) -> None:
    assert fits(pattern, example_of(pattern, 2))


def test_an_example_has_a_further_axis_only_where_it_comes_last() -> None:
    assert [example_of(pattern, 4) for pattern in ((..., 3), (3, ...), (3, ..., 8), (...,))] == [
        (3,),
        (3, 4),
        (3, 8),
        (4,),
    ]


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


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv2d(1, 8, 3), BatchNorm(4)], r"BatchNorm\(4\), expects \(batch, 4, \.\.\.\), but .* \(batch, 8, \?, \?\)"),
        (
            [BatchNorm(3), Tanh(), GroupNorm(2, 4)],
            r"2, GroupNorm\(2, 4\), expects .* 1, Tanh\(\), gives \(batch, 3, \.\.\.\)",
        ),
        ([InstanceNorm(3), Conv1d(4, 2, 3)], r"Conv1d\(4, 2, 3\), expects .* gives \(batch, 3, \?, \.\.\.\)"),
        ([BatchNorm(3), GlobalAvgPool(), Linear(4, 1)], r"2, Linear\(4, 1\), expects .* gives \(batch, 3\)"),
        ([Embedding(5, 3), Linear(4, 1)], r"1, Linear\(4, 1\), expects .* gives \(batch, 3\)"),
        (
            [Fork(BatchNorm(3), GroupNorm(1, 3)), Concatenate(1), BatchNorm(3)],
            r"2, BatchNorm\(3\), .* \(batch, 6, \.\.\.\)",
        ),
    ],
)
def test_layers_that_contradict_each_other_in_their_channels_are_named(layers: list[Layer], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Sequential(*layers)


@pytest.mark.parametrize(
    ("layers", "shapes"),
    [
        ([Linear(2, 8), BatchNorm(8), Linear(8, 1)], [(2,), (8, 2)]),  # rows, and sequences of 8
        ([Linear(2, 8), BatchNorm(7), Linear(8, 1)], [(7, 2), (7, 5, 2)]),
        ([BatchNorm(7), Linear(8, 1)], [(7, 8), (7, 5, 8)]),
        ([BatchNorm(8), Softmax(), Linear(8, 1)], [(8,), (8, 5, 8)]),
        ([BatchNorm(2), GlobalAvgPool(), Linear(2, 1)], [(2, 5), (2, 5, 5)]),
        ([BatchNorm(3), Permute(2, 1), Linear(3, 1)], [(3, 5)]),
    ],
)
def test_a_beginning_and_an_end_contradict_each_other_only_where_no_shape_has_both(
    layers: list[Layer], shapes: list[Shape]
) -> None:
    for shape in shapes:
        model = Sequential(*map(copy.deepcopy, layers))
        assert shape_of(model(np.ones((4, *shape), np.float32))) == model.output_shape(shape)


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
