"""Losses of more than a mean: quantiles, variances, rates, divergences, and outputs that are compared."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    Adam,
    BinaryCrossEntropy,
    CosineEmbedding,
    CrossEntropy,
    GaussianNLL,
    KLDivergence,
    Linear,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Parallel,
    PoissonNLL,
    Quantile,
    Sequential,
    ShapeError,
    Tanh,
    Trainer,
    Triplet,
    check_gradients,
    strict,
)

RNG = np.random.default_rng(0)


def test_the_best_constants_are_the_quantiles() -> None:
    targets = RNG.normal(size=(500, 1))
    tried = np.linspace(-2, 2, 801)
    for q in (0.1, 0.5, 0.9):
        losses = [Quantile(q)(np.full((500, 1), y), targets) for y in tried]
        assert tried[int(np.argmin(losses))] == pytest.approx(np.quantile(targets, q), abs=0.02)
    assert Quantile(0.5)([[3.0]], [[1.0]]) == MeanAbsoluteError()([[3.0]], [[1.0]]) / 2
    assert Quantile([0.1, 0.9])([[1.0, 3.0]], [2.0]) == Quantile([0.1, 0.9])([[1.0, 3.0]], [[2.0]])


def test_a_net_learns_quantiles_and_a_spread() -> None:
    x = RNG.uniform(-1, 1, size=(512, 1))
    target = x + 0.3 * (1 + x) * RNG.normal(size=x.shape)
    quantiles = Sequential(Linear(1, 16), Tanh(), Linear(16, 2), rng=0)
    quantiles.fit(x, target, loss=Quantile((0.1, 0.9)), optimizer=Adam(0.02), epochs=60, verbose=0)
    assert (quantiles(x) > target).mean(axis=0) == pytest.approx([0.1, 0.9], abs=0.04)
    loss, model = GaussianNLL(), Sequential(Linear(1, 16), Tanh(), Linear(16, 2), rng=0)
    model.fit(x, target, loss=loss, optimizer=Adam(0.02), epochs=60, verbose=0)
    at = model([[-0.8], [0.8]])
    np.testing.assert_allclose(loss.deviation(at).ravel(), [0.06, 0.54], atol=0.1)
    np.testing.assert_allclose(loss.expected(at).ravel(), [-0.8, 0.8], atol=0.2)


def test_a_factor_on_positives_is_as_many_copies_of_them() -> None:
    prediction, target = RNG.normal(size=(6, 1)), np.array([[1.0], [0], [0], [1], [0], [0]])
    copies = np.where(target[:, 0] == 1, 3, 1)
    weighted = BinaryCrossEntropy(pos_weight=3, reduction="sum")(prediction, target)
    repeated = np.repeat(prediction, copies, 0), np.repeat(target, copies, 0)
    assert weighted == pytest.approx(BinaryCrossEntropy(reduction="sum")(*repeated), rel=1e-12)


def test_a_divergence_is_a_cross_entropy_without_that_of_the_target() -> None:
    log = np.log(RNG.dirichlet(np.ones(3), 4))
    target = RNG.dirichlet(np.ones(3), 4)
    apart = CrossEntropy()(log, target) - CrossEntropy()(np.log(target), target)
    assert KLDivergence()(log, target) == pytest.approx(apart, rel=1e-12)
    assert KLDivergence(log_target=True)(log, np.log(target)) == pytest.approx(apart, rel=1e-12)
    assert KLDivergence()([[-np.inf, 0.0]], [[0.0, 1.0]]) == 0


@pytest.mark.parametrize(
    "loss",
    [GaussianNLL(log_variance=False), PoissonNLL(log_input=False), PoissonNLL(full=True), Quantile((0.2, 0.7, 0.9))],
    ids=repr,
)
def test_their_gradients_are_right_where_they_are_defined(loss: Loss) -> None:
    check_gradients(loss, (3,))
    with strict():
        check_gradients(loss, (3,))


@pytest.mark.parametrize("loss", [CosineEmbedding(0.1), Triplet(), Triplet(2.0, p=3, swap=True)], ids=repr)
def test_compared_outputs_are_checked_and_trained(loss: Loss) -> None:
    check_gradients(loss)
    count = loss.predictions
    model = Sequential(Parallel(*(Linear(3, 2) for _ in range(count))), rng=0, dtype=np.float64)
    x = tuple(RNG.normal(size=(40, 3)) for _ in range(count))
    target: npt.NDArray[Any] = RNG.choice([-1, 1], 40) if count == 2 else np.zeros(40)
    with strict():
        first = Trainer(model, loss=loss, optimizer=Adam(0.05), rng=0).step(x, target)
    history = model.fit(x, target, loss=loss, optimizer=Adam(0.05), epochs=30, validation=0.2, verbose=0)
    assert history["loss"][-1] < first
    weights = np.arange(40.0)
    alone = loss.each(model(x), target)
    assert model.evaluate(x, target, loss, sample_weight=weights) == pytest.approx(np.average(alone, weights=weights))
    check_gradients(loss, x=model(x), target=target)


def test_a_triplet_needs_no_target_by_hand() -> None:
    three = ([[0.0, 0.0]], [[0.0, 2.0]], [[2.5, 0.0]])
    assert Triplet(eps=1e-9)(three) == pytest.approx(0.5)
    assert Triplet(eps=1e-9).each(three).shape == (1,)


def test_a_sum_is_that_of_all_entries() -> None:
    prediction, target = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
    each = MeanSquaredError().each(prediction, target)
    assert each.shape == (4, 3)
    assert MeanSquaredError(reduction="sum")(prediction, target) == pytest.approx(each.sum())
    assert MeanSquaredError()(prediction, target) == pytest.approx(each.mean())
    assert MeanSquaredError().each(prediction, target, [1, 0, 0, 2])[1:3].any() == False  # noqa: E712  # an array's


ONE: Any = 1
PAIR = (np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Quantile(1.0), ValueError, "Quantile: expected quantiles between 0 and 1, one or a list of them"),
        (lambda: Quantile((0.1, 0.9))(np.ones((2, 3)), np.ones((2, 1))), ShapeError, "shape (batch, ..., 2)"),
        (lambda: Quantile((0.1, 0.9))(np.ones((2, 2)), np.ones((2, 2))), ShapeError, "expected (2, 1) or (2,)"),
        (lambda: GaussianNLL()(np.ones((2, 1)), np.ones((2, 1))), ShapeError, "let the model end in 2 outputs"),
        (lambda: GaussianNLL()(np.ones((2, 2)), np.ones(2)), ShapeError, "try target.reshape(-1, 1)"),
        (
            lambda: GaussianNLL(log_variance=False)([[1.0, -1.0]], [[1.0]]),
            ValueError,
            "got -1.0 at (0, 0); put a Softplus behind them, or write GaussianNLL(log_variance=True)",
        ),
        (lambda: GaussianNLL(eps=0), ValueError, "GaussianNLL: expected eps above 0, got 0"),
        (lambda: PoissonNLL(full=ONE), TypeError, "PoissonNLL: expected full as True or False, got 1"),
        (lambda: KLDivergence()([[0.0]], [[-1.0]]), ValueError, "write KLDivergence(log_target=True)"),
        (lambda: KLDivergence(log_target=True)([[0.0]], [[0.5]]), ValueError, "write KLDivergence()"),
        (lambda: CosineEmbedding()(np.ones((2, 3)), [1, 1]), TypeError, "expected prediction as a tuple of 2 arrays"),
        (lambda: CosineEmbedding()(PAIR, [[1], [1]]), ShapeError, "got (2, 1); try target.reshape(-1)"),
        (lambda: CosineEmbedding()(PAIR, [1, 0]), ValueError, "got 0 at 1; try 2 * target - 1"),
        (lambda: CosineEmbedding()((PAIR[0], np.ones((2, 2))), [1, 1]), ShapeError, "got (2, 3) and (2, 2)"),
        (lambda: Triplet()(PAIR), TypeError, "expected prediction as a tuple of 3 arrays, got 2 arrays"),
        (lambda: Triplet()((*PAIR, PAIR[0]), [1, 2]), ValueError, "give np.zeros(len(x)) as target"),
        (lambda: Triplet(p=0.5), ValueError, "Triplet: expected a finite p of 1 or more"),
        (lambda: BinaryCrossEntropy(pos_weight=-1), ValueError, "expected pos_weight from 0 to 1e30"),
        (
            lambda: BinaryCrossEntropy(pos_weight=[1.0, 2.0])([[1.0]], [[1.0]]),
            ShapeError,
            "pos_weight has shape (2,), and a sample of prediction (1,); give one number, or one for each output",
        ),
        (lambda: MeanSquaredError(reduction="none"), ValueError, "write MeanSquaredError().each(prediction, target)"),
    ],
)
def test_what_does_not_fit_says_what_to_type(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()
