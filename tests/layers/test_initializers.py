"""Initializers give the numbers that their names promise, from the generator that they are given and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    Array,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LeCunNormal,
    Linear,
    Normal,
    Sequential,
    Shape,
    ShapeError,
    Uniform,
    Zeros,
)
from nanonet.layers.initializers import fans
from tests.registry import INITIALIZERS, InitializerCase, params

every_initializer = pytest.mark.parametrize("case", params(INITIALIZERS))
large_shapes = pytest.mark.parametrize(
    ("shape", "fan_in", "fan_out"),
    [((400, 100), 100, 400), ((100, 400), 400, 100), ((32, 16, 10, 8), 1280, 2560), ((40_000,), 40_000, 40_000)],
)
drawing = [GlorotUniform(), GlorotNormal(), HeUniform(), HeNormal(), LeCunNormal(), Uniform(-1, 1), Normal(1.0)]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 2), (2, 3)),
        ((1, 7), (7, 1)),
        ((8, 4, 5, 5), (100, 200)),
        ((6, 2, 3), (6, 18)),
        ((7,), (7, 7)),
        ((), (1, 1)),
    ],
)
def test_a_weight_reads_out_in_and_then_its_kernel(shape: Shape, expected: tuple[int, int]) -> None:
    assert fans(shape) == expected


@every_initializer
@large_shapes
def test_mean_deviation_and_bounds_are_those_promised(
    case: InitializerCase, shape: Shape, fan_in: int, fan_out: int
) -> None:
    numbers = case.make()(shape, np.random.default_rng(0))
    count, deviation = numbers.size, case.deviation(fan_in, fan_out)
    # five standard errors: of a mean, and of a deviation, which is the widest for normal numbers
    assert numbers.mean() == pytest.approx(case.mean, abs=5 * deviation / math.sqrt(count))
    assert numbers.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * count))
    furthest = float(np.abs(numbers - case.mean).max())
    if case.bound is None:
        assert furthest > 3 * deviation  # a normal distribution has tails
    else:
        assert case.bound(fan_in, fan_out) * 0.999 <= furthest <= case.bound(fan_in, fan_out)


@every_initializer
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 2), (2, 3, 4), (2, 1, 3, 3)])
def test_the_result_is_a_float64_array_of_the_shape_asked_for(case: InitializerCase, shape: Shape) -> None:
    numbers = np.asarray(case.make()(shape, np.random.default_rng(0)))
    assert numbers.shape == shape
    assert numbers.dtype == np.float64
    assert np.isfinite(numbers).all()


@every_initializer
def test_one_generator_state_gives_one_array(case: InitializerCase) -> None:
    first, second = (case.make()((4, 3), np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("initializer", drawing, ids=repr)
def test_what_is_drawn_goes_on_with_the_generator(initializer: Initializer) -> None:
    rng = np.random.default_rng(9)
    first, second = initializer((4, 3), rng), initializer((4, 3), rng)
    assert not np.isclose(first, second).any()


@pytest.mark.parametrize("initializer", [Zeros(), Constant(2.0)], ids=repr)
def test_what_is_not_drawn_leaves_the_generator_alone(initializer: Initializer) -> None:
    rng = np.random.default_rng(9)
    before = rng.bit_generator.state
    initializer((4, 3), rng)
    assert rng.bit_generator.state == before


@every_initializer
def test_each_call_returns_an_array_of_its_own(case: InitializerCase) -> None:
    initializer, rng = case.make(), np.random.default_rng(0)
    first = initializer((2, 2), rng)
    first[...] = 77.0
    assert not (initializer((2, 2), rng) == 77.0).any()


@every_initializer
def test_numpys_global_generator_is_left_alone(case: InitializerCase) -> None:
    def state() -> Any:
        return np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002  # the very state that must not move

    before = state().copy()
    case.make()((4, 3), np.random.default_rng(0))
    np.testing.assert_array_equal(state(), before)


def test_uniform_reaches_both_its_ends_and_no_further() -> None:
    numbers = Uniform(-0.3, 0.5)((100_000,), np.random.default_rng(0))
    assert -0.3 <= numbers.min() < -0.299
    assert 0.499 < numbers.max() < 0.5


def test_uniform_of_one_point_is_that_point() -> None:
    assert (Uniform(0.5, 0.5)((3,), np.random.default_rng(0)) == 0.5).all()


def test_normal_of_deviation_0_is_its_mean() -> None:
    assert (Normal(0.0, 2.5)((3,), np.random.default_rng(0)) == 2.5).all()


def test_normal_numbers_are_normal() -> None:
    numbers = np.sort(Normal(1.0)((100_000,), np.random.default_rng(0)))
    for z, share in ((-1.96, 0.025), (-1.0, 0.158655), (0.0, 0.5), (1.0, 0.841345), (1.96, 0.975)):
        assert np.searchsorted(numbers, z) / numbers.size == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Constant(math.nan), "Constant: expected a finite value, got nan"),
        (lambda: Constant(math.inf), "Constant: expected a finite value, got inf"),
        (lambda: Uniform(1, 0), "Uniform: expected low <= high, got low=1, high=0"),
        (lambda: Uniform(-math.inf, 0), "Uniform: expected a finite low, got -inf"),
        (lambda: Uniform(0, math.nan), "Uniform: expected a finite high, got nan"),
        (lambda: Normal(-1.0), "Normal: expected a finite deviation of 0 or more, got -1.0"),
        (lambda: Normal(math.nan), "Normal: expected a finite deviation of 0 or more, got nan"),
        (lambda: Normal(1.0, math.inf), "Normal: expected a finite mean, got inf"),
    ],
)
def test_a_bad_setting_fails_in_the_constructor(make: Callable[[], Initializer], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(
    "make",
    [Constant, Normal, lambda value: Uniform(value, 1.0), lambda value: Uniform(0.0, value)],
    ids=["value", "deviation", "low", "high"],
)
@pytest.mark.parametrize("value", ["0.5", None, [0.5, 0.5]], ids=repr)
def test_a_setting_that_is_no_number_is_named_in_the_constructor(make: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(TypeError, match=r"^(Constant|Normal|Uniform): "):
        make(value)


@pytest.mark.parametrize("kind", [Zeros, GlorotUniform, GlorotNormal, HeUniform, HeNormal, LeCunNormal])
def test_those_without_settings_take_none(kind: Any) -> None:
    with pytest.raises(TypeError, match=rf"{kind.__name__}\(\) takes no arguments"):
        kind(0.1)


@every_initializer
def test_an_initializer_prints_as_the_call_that_made_it(case: InitializerCase) -> None:
    initializer = case.make()
    again = eval(repr(initializer), {cls.__name__: cls for cls in INITIALIZERS})
    np.testing.assert_array_equal(
        again((3, 2), np.random.default_rng(4)), initializer((3, 2), np.random.default_rng(4))
    )


# ---- in a layer


@every_initializer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_linear_starts_from_what_its_initializers_give(case: InitializerCase, dtype: npt.DTypeLike) -> None:
    layer = Linear(3, 2, weight=case.make(), bias=case.make())
    Sequential(layer, dtype=dtype, rng=11)
    rng = np.random.default_rng(11)
    assert layer.bias is not None
    for parameter, shape in ((layer.weight, (2, 3)), (layer.bias, (2,))):
        assert parameter.value.dtype == dtype
        np.testing.assert_array_equal(parameter.value, np.asarray(case.make()(shape, rng)).astype(dtype))


def test_a_linear_starts_from_glorot_uniform_and_zero_bias() -> None:
    layer = Linear(30, 20)
    Sequential(layer, dtype=np.float64, rng=11)
    np.testing.assert_array_equal(layer.weight.value, GlorotUniform()((20, 30), np.random.default_rng(11)))
    assert layer.bias is not None
    assert not layer.bias.value.any()


def test_he_keeps_the_mean_square_through_many_relus_of_unequal_widths() -> None:
    # what the fans are for: with fan_in and fan_out exchanged it would change by a factor of 4 at each width step
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 200))
    square = (x**2).mean()
    for width in (800, 200, 800, 200):
        x = np.maximum(x, 0) @ HeNormal()((width, x.shape[1]), rng).T
    assert (x**2).mean() == pytest.approx(square, rel=0.35)


def test_a_users_function_is_as_good_as_an_initializer() -> None:
    def ladder(shape: Shape, rng: np.random.Generator) -> Array:
        return np.arange(math.prod(shape), dtype=np.float64).reshape(shape)

    layer = Linear(3, 2, weight=ladder)
    Sequential(layer)
    assert layer.weight.value.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_users_initializer_of_a_wrong_shape_is_named() -> None:
    def transposed(shape: Shape, rng: np.random.Generator) -> Array:
        return np.zeros(shape[::-1])

    with pytest.raises(ShapeError, match=r"Linear\.weight: its initializer gave shape \(3, 2\), expected \(2, 3\)"):
        Sequential(Linear(3, 2, weight=transposed))


def test_a_users_initializer_that_gives_nan_is_named() -> None:
    def nothing(shape: Shape, rng: np.random.Generator) -> Array:
        return np.full(shape, np.nan)

    with pytest.raises(
        ValueError, match=r"0\.weight, Linear\.weight: its initializer gave numbers that are not finite"
    ):
        Sequential(Linear(3, 2, weight=nothing))
