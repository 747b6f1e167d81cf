"""A loss is one number, the weighted mean over the batch; it never broadcasts, and says what does not fit."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nanonet import (
    Array,
    CrossEntropy,
    Linear,
    Loss,
    PoissonNLL,
    Sequential,
    Shape,
    ShapeError,
    SquaredError,
    check_gradients,
)
from tests.registry import LOSSES, LossCase, params

every_loss = pytest.mark.parametrize("case", params(LOSSES))
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


def grad_of(loss: Loss, prediction: Array, target: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Array:
    """Return dE/dprediction."""
    return loss.backward(loss.forward(prediction, *loss.check(prediction, target, weight))[1])


class TestSquaredError:
    @pytest.mark.parametrize(
        ("prediction", "target", "value"),
        [
            ([[1.0, 3.0]], [[0.0, 1.0]], 2.5),  # (1 + 4) / 2
            ([[1.0, 3.0], [2.0, 2.0]], [[0.0, 1.0], [2.0, 3.0]], 1.5),  # the mean of 2.5 and 0.5
            ([1.0, 3.0], [0.0, 1.0], 1.25),  # two samples of one number each: the mean of 0.5 and 2
            ([[[1.0], [3.0]]], [[[0.0], [1.0]]], 2.5),  # one sample of a further axis
            ([[0.60041131, 0.79248709]], [[1.0, 0.0]], 0.39385345),  # the article's net before training
            ([[1, 2]], [[1, 2]], 0.0),
        ],
    )
    def test_it_is_half_the_sum_over_outputs_and_the_mean_over_the_batch(
        self, prediction: Any, target: Any, value: float
    ) -> None:
        assert SquaredError()(prediction, target) == pytest.approx(value, rel=1e-7)

    def test_the_derivative_of_one_sample_is_y_minus_t(self) -> None:
        grad = grad_of(SquaredError(), np.array([[1.0, 3.0]]), [[0.0, 5.0]])
        assert grad.tolist() == [[1, -2]]

    def test_the_derivative_of_a_batch_is_divided_by_its_length(self) -> None:
        grad = grad_of(SquaredError(), np.array([[1.0], [3.0], [0.0], [0.0]]), [[0.0], [1.0], [0.0], [8.0]])
        assert grad.tolist() == [[0.25], [0.5], [0], [-2]]

    def test_function_and_derivative_are_those_of_each_sample(self) -> None:
        prediction, target = np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([[0.0, 1.0], [2.0, 3.0]])
        assert SquaredError().function(prediction, target).tolist() == [2.5, 0.5]
        assert SquaredError().derivative(prediction, target).tolist() == [[1, 2], [0, -1]]

    def test_large_numbers_are_silent(self) -> None:
        with np.errstate(all="raise"):
            assert SquaredError()([[1000.0]], [[-1000.0]]) == 2e6
            assert SquaredError()(np.array([[1000]], np.float32), [[-1000]]) == 2e6


class TestPoissonNLL:
    def test_it_is_least_where_the_expected_count_is_the_target(self) -> None:
        loss, rates = PoissonNLL(), np.linspace(0.5, 6, 111).reshape(-1, 1)
        each = loss.function(np.log(rates), np.full_like(rates, 3.0))
        assert rates[each.argmin(), 0] == pytest.approx(3.0)
        np.testing.assert_allclose(loss.expected(np.log(rates)), rates, rtol=1e-14)

    def test_what_is_no_count_is_named_with_its_place(self) -> None:
        message = "PoissonNLL: expected targets of 0 or more, got -1.0 at (1, 0)"
        with pytest.raises(ValueError, match=re.escape(message)):
            PoissonNLL()([[1.0], [1.0]], [[2.0], [-1.0]])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_far_out_it_vanishes_or_is_infinite_without_a_warning(self, dtype: type[Any]) -> None:
        with np.errstate(all="raise"):
            assert PoissonNLL()(np.array([[-1000]], dtype), [[2]]) == 2000
            assert PoissonNLL()(np.array([[1000]], dtype), [[0]]) == math.inf
            assert grad_of(PoissonNLL(), np.array([[-1000.0]], dtype), [[2.0]]).tolist() == [[-2]]


# ---- what holds for every loss


def counts(loss: Loss, target: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how much each sample counts in the mean: 1, or of its labels the sum of the weights of their classes."""
    if not isinstance(loss, CrossEntropy):
        return np.ones(len(target))
    if target.dtype.kind == "f":
        return np.full(len(target), target.size / len(target) / target.shape[loss.axis])
    of_class = np.ones(9) if loss.class_weight is None else loss.class_weight
    rows = target.reshape(len(target), -1)
    weights: npt.NDArray[Any] = (of_class[rows] * (rows != loss.ignore_index)).sum(axis=1)
    return weights


def alone_in(loss: Loss, target: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the share of each sample's own loss in that of all of them."""
    return np.ones(len(target)) if loss.reduction == "sum" else counts(loss, target) / counts(loss, target).sum()


@every_loss
def test_the_value_is_the_mean_of_what_each_sample_gives(case: LossCase) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    each = [loss(prediction[i : i + 1], target[i : i + 1]) for i in range(len(prediction))]
    assert len(set(each)) > 1
    assert loss(prediction, target) == pytest.approx(float(alone_in(loss, target) @ each), rel=1e-12)


@every_loss
def test_the_gradient_of_a_sample_is_its_own_divided_by_the_batch(case: LossCase) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    grad, share = grad_of(loss, prediction, target), alone_in(loss, target)
    assert grad.any()
    for i in range(len(prediction)):
        alone = grad_of(loss, prediction[i : i + 1], target[i : i + 1])
        np.testing.assert_allclose(grad[i : i + 1], alone * share[i], rtol=1e-12, atol=1e-15)


@every_loss
def test_a_sample_of_weight_2_counts_as_two_samples(case: LossCase) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    counts = [2, 1, 0, 3]
    weighted = loss(prediction, target, counts)
    assert weighted == pytest.approx(loss(np.repeat(prediction, counts, 0), np.repeat(target, counts, 0)), rel=1e-12)
    repeated = grad_of(loss, np.repeat(prediction, counts, 0), np.repeat(target, counts, 0))
    summed = [part.sum(axis=0) for part in np.split(repeated, np.cumsum(counts)[:-1])]
    np.testing.assert_allclose(grad_of(loss, prediction, target, counts), summed, rtol=1e-12, atol=1e-15)


@every_loss
@pytest.mark.parametrize("weight", [1, 5.0, 1e-3])
def test_equal_weights_change_nothing_of_a_mean_and_are_factors_of_a_sum(case: LossCase, weight: float) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    weights, factor = [weight] * len(prediction), weight if loss.reduction == "sum" else 1
    assert loss(prediction, target, weights) == pytest.approx(factor * loss(prediction, target), rel=1e-12)
    weighted, plain = grad_of(loss, prediction, target, weights), grad_of(loss, prediction, target)
    np.testing.assert_allclose(weighted, factor * plain, rtol=1e-12, atol=1e-15)


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_the_short_form_says_the_same_as_the_passes(case: LossCase, weighted: bool) -> None:
    loss, prediction = case.make(), case.prediction()
    target, weight = loss.check(prediction, case.target(), [0.5, 2.0, 1.0, 0.1] if weighted else None)
    value, cache = loss.forward(prediction, target, weight)
    short, short_cache = Loss.forward(loss, prediction, target, weight)
    assert value == pytest.approx(short, rel=1e-12)
    np.testing.assert_allclose(loss.backward(cache), Loss.backward(loss, short_cache), rtol=1e-12, atol=1e-15)


@every_loss
def test_the_value_is_a_python_float(case: LossCase) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    assert type(loss(prediction, target)) is float
    assert type(loss(prediction, target, np.ones(len(prediction)))) is float
    assert type(loss(prediction.astype(np.float32), target)) is float


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_a_float32_prediction_gives_a_float32_gradient_whatever_the_target_is(case: LossCase, weighted: bool) -> None:
    prediction, target = case.prediction().astype(np.float32), case.target()
    weight = np.ones(len(prediction)) if weighted else None
    grad = grad_of(case.make(), prediction, target, weight)
    assert grad.dtype == np.float32
    assert grad.shape == prediction.shape
    np.testing.assert_allclose(grad, grad_of(case.make(), case.prediction(), target), rtol=1e-4, atol=1e-6)


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_nothing_is_written_to(case: LossCase, weighted: bool) -> None:
    prediction, target, weight = case.prediction(), case.target(), np.array([0.5, 2.0, 1.0, 0.1])
    before = prediction.copy(), target.copy(), weight.copy()
    loss = case.make()
    arguments = (prediction, target, weight if weighted else None)
    for array in (prediction, target, weight):
        array.flags.writeable = False
    _, cache = loss.forward(prediction, *loss.check(*arguments))
    grad = loss.backward(cache)
    np.testing.assert_array_equal(loss.backward(cache), grad)
    loss(*arguments)
    for now, then in zip((prediction, target, weight), before, strict=True):
        np.testing.assert_array_equal(now, then)


@every_loss
def test_one_loss_may_be_asked_many_times(case: LossCase) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    _, first = loss.forward(prediction, *loss.check(prediction, target))
    loss.forward(prediction + 1, *loss.check(prediction + 1, target))
    np.testing.assert_array_equal(loss.backward(first), grad_of(case.make(), prediction, target))


# ---- what does not fit


@given(prediction=shapes, target=shapes)
def test_a_loss_never_broadcasts(prediction: Shape, target: Shape) -> None:
    assume(prediction != target)
    with pytest.raises(ShapeError, match=re.escape(f"prediction has shape {prediction} but target has shape {target}")):
        SquaredError()(np.zeros(prediction), np.zeros(target))


@settings(max_examples=50)
@given(target=shapes)
def test_a_model_never_broadcasts_its_target(target: Shape) -> None:
    assume(target != (3, 2))
    model = Sequential(Linear(4, 2), rng=0)
    before = model.vector.value.copy()
    with pytest.raises(ShapeError, match=re.escape(f"prediction has shape (3, 2) but target has shape {target}")):
        model.loss_and_grad(np.ones((3, 4)), np.zeros(target), SquaredError())
    np.testing.assert_array_equal(model.vector.value, before)


def test_a_target_that_is_refused_leaves_the_gradients_alone() -> None:
    model = Sequential(Linear(4, 2), rng=0)
    _, grad = model.loss_and_grad(np.ones((3, 4)), np.zeros((3, 2)), SquaredError())
    with pytest.raises(ShapeError, match="SquaredError"):
        model.loss_and_grad(np.ones((3, 4)), np.zeros((3, 1)), SquaredError())
    np.testing.assert_array_equal(model.vector.grad, grad)


@given(shape=shapes, weight=shapes)
def test_weights_never_broadcast(shape: Shape, weight: Shape) -> None:
    assume(weight != shape[:1])
    with pytest.raises(ShapeError, match=re.escape(f"expected one weight per sample, shape {shape[:1]}, got {weight}")):
        SquaredError()(np.zeros(shape), np.zeros(shape), np.ones(weight))


@pytest.mark.parametrize(
    ("prediction", "target", "hint"),
    [
        ((4, 1), (4,), "; try target.reshape(-1, 1)"),
        ((4,), (4, 1), "; try target.reshape(-1)"),
        ((4, 1), (1, 4), "; try target.reshape(-1, 1)"),
        ((4, 2, 3), (4, 6), "; try target.reshape(-1, 2, 3)"),
        ((4, 3), (4,), "; for labels of classes use CrossEntropy()"),
        ((4, 1), (5, 1), ""),
        ((4, 1), (), ""),
    ],
)
def test_a_target_of_another_shape_is_named_with_what_to_type(prediction: Shape, target: Shape, hint: str) -> None:
    with pytest.raises(ShapeError) as caught:
        SquaredError()(np.zeros(prediction), np.zeros(target))
    expected = f"SquaredError: prediction has shape {prediction} but target has shape {target}{hint}"
    assert str(caught.value) == expected


def test_what_is_to_be_typed_helps() -> None:
    prediction, target = np.zeros((4, 1)), np.arange(4.0)
    assert SquaredError()(prediction, target.reshape(-1, 1)) == 1.75


@pytest.mark.parametrize(
    ("prediction", "target"), [((2, 3), (3, 2)), ((2, 3), (6, 1)), ((6, 1), (3, 2)), ((4,), (2, 2))]
)
def test_no_reshape_is_proposed_that_would_mix_the_samples(prediction: Shape, target: Shape) -> None:
    with pytest.raises(ShapeError) as caught:
        SquaredError()(np.zeros(prediction), np.zeros(target))
    assert "reshape" not in str(caught.value)


@pytest.mark.parametrize(
    "weight",
    [[1.0, -1.0], [1.0, math.nan], [1.0, math.inf], [-0.5, -0.5], [1.0, 1e101]],
    ids=["negative", "NaN", "infinite", "all negative", "beyond what can be added up"],
)
@every_loss
def test_bad_weights_are_refused(case: LossCase, weight: list[float]) -> None:
    loss = case.make()
    place = int(weight[0] > 0)
    message = f"{loss}: expected weight from 0 to 1e100, got {np.float64(weight[place])} at {place}"
    with pytest.raises(ValueError, match=re.escape(message)):
        loss(case.prediction(2), case.target(2), weight)


@every_loss
def test_of_samples_none_of_which_counts_a_mean_is_refused_and_a_sum_is_0(case: LossCase) -> None:
    loss = case.make()
    if loss.reduction == "sum":
        assert loss(case.prediction(2), case.target(2), [0.0, 0.0]) == 0
        return
    with pytest.raises(ValueError, match=re.escape(f"{loss}: no sample of this batch counts: the weight of each")):
        loss(case.prediction(2), case.target(2), [0.0, 0.0])


@every_loss
def test_an_empty_batch_is_refused(case: LossCase) -> None:
    loss = case.make()
    with pytest.raises(ValueError, match=re.escape(f"{loss}: expected a batch of one sample or more, got shape (0")):
        loss(case.prediction(0), case.target(0))


def test_a_single_number_is_no_batch() -> None:
    with pytest.raises(ValueError, match=r"SquaredError: expected a batch of one sample or more, got shape \(\)"):
        SquaredError()(1.0, 1.0)


@pytest.mark.parametrize(
    ("prediction", "target", "weight", "name"),
    [
        ([["a"]], [[1.0]], None, "prediction"),
        ([[1.0]], [["a"]], None, "target"),
        ([[1.0]], [[1.0]], ["a"], "weight"),
        ([[1.0]], [[1j]], None, "target"),
        ([[1.0]], np.ma.masked_array([[1.0]], [[True]]), None, "target"),
        ([[1.0]], [[None]], None, "target"),
    ],
)
def test_what_is_no_number_is_named(prediction: Any, target: Any, weight: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^SquaredError: {name}: expected"):
        SquaredError()(prediction, target, weight)


def test_rows_of_unequal_lengths_are_named() -> None:
    ragged: Any = [[1.0], [1.0, 2.0]]
    with pytest.raises(ShapeError, match=r"^SquaredError: target: expected rows of equal length"):
        SquaredError()([[1.0], [2.0]], ragged)


# ---- a user's own


class Absolute(Loss):
    """Sum of |prediction - target|, mean over the batch."""

    def function(self, prediction: Array, target: Array) -> Array:
        each: Array = np.abs(prediction - target).sum(axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        return np.sign(prediction - target)


def test_two_methods_of_one_line_make_a_loss() -> None:
    assert Absolute()([[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]) == 2
    assert Absolute()([[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]], [1, 3]) == 1.5
    check_gradients(Absolute())


def test_a_subclass_that_changes_only_a_short_method_is_obeyed() -> None:
    class Halved(SquaredError):
        def function(self, prediction: Array, target: Array) -> Array:
            return super().function(prediction, target) / 2

        def derivative(self, prediction: Array, target: Array) -> Array:
            return super().derivative(prediction, target) / 2

    assert Halved()([[2.0]], [[0.0]]) == 1
    assert grad_of(Halved(), np.array([[2.0]]), [[0.0]]).tolist() == [[1]]
    check_gradients(Halved())


def test_a_loss_that_does_not_give_one_number_a_sample_is_named() -> None:
    class Total(Absolute):
        def function(self, prediction: Array, target: Array) -> Array:
            return np.asarray(super().function(prediction, target).sum())

    with pytest.raises(ShapeError, match=r"^Total: function must return one number per sample, shape \(2,\), got \(\)"):
        Total()([[1.0], [2.0]], [[0.0], [0.0]])


def test_a_loss_whose_derivative_has_another_shape_is_named() -> None:
    class Flat(Absolute):
        def derivative(self, prediction: Array, target: Array) -> Array:
            return super().derivative(prediction, target).ravel()

    with pytest.raises(
        ShapeError, match=r"^Flat: derivative must return the shape of prediction, \(2, 1\), got \(2,\)"
    ):
        grad_of(Flat(), np.ones((2, 1)), [[0.0], [0.0]])


def test_a_loss_with_settings_prints_as_it_was_made() -> None:
    class Scaled(Absolute):
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def function(self, prediction: Array, target: Array) -> Array:
            return self.factor * super().function(prediction, target)

    assert repr(Scaled(2.5)) == "Scaled(2.5)"
    assert Scaled(2.5)([[2.0]], [[0.0]]) == 5
    with pytest.raises(ShapeError, match=r"^Scaled\(2\.5\): prediction has shape"):
        Scaled(2.5)([[2.0]], [0.0])
