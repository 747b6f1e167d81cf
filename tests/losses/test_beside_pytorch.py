"""Losses beside PyTorch's in float64, with settings, shapes and targets drawn; and far out, where nothing warns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    Array,
    BinaryCrossEntropy,
    CosineEmbedding,
    CrossEntropy,
    GaussianNLL,
    Huber,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonNLL,
    Quantile,
    Triplet,
)
from nanonet.core.arrays import parts_of

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
functional: Any = torch.nn.functional

pytestmark = pytest.mark.peer

seeds = st.integers(0, 2**32 - 1)
flags = st.booleans()
reductions = st.sampled_from(["mean", "sum"])
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


class Drawn(NamedTuple):
    """A loss of ours, what it is given, and PyTorch's function of (prediction, reduction)."""

    loss: Loss
    prediction: Any
    target: npt.NDArray[Any]
    there: Callable[[Any, str], Any]


def tensors(prediction: Any) -> Any:
    """Return arrays as tensors with gradients."""
    made = tuple(torch.tensor(part, requires_grad=True) for part in parts_of(prediction))
    return made if isinstance(prediction, tuple) else made[0]


def check_beside(drawn: Drawn, tolerance: float = 1e-12) -> None:
    """See that value, gradient and what each entry gives are PyTorch's, without any warning."""
    loss = drawn.loss
    with np.errstate(all="raise"):
        value, cache = loss.forward(drawn.prediction, *loss.check(drawn.prediction, drawn.target))
        grad = loss.backward(cache)
        each = loss.each(drawn.prediction, drawn.target)
    there = tensors(drawn.prediction)
    value_there = drawn.there(there, loss.reduction)
    value_there.backward()
    assert value == pytest.approx(value_there.item(), rel=tolerance, abs=tolerance)
    for part, part_there in zip(parts_of(grad), parts_of(there), strict=True):
        np.testing.assert_allclose(part, part_there.grad.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(each, drawn.there(there, "none").detach().numpy(), rtol=tolerance, atol=tolerance)


@st.composite
def cross_entropies(draw: st.DrawFn) -> Drawn:
    rng = np.random.default_rng(draw(seeds))
    classes, inner = draw(st.integers(2, 5)), draw(st.lists(st.integers(1, 3), max_size=2).map(tuple))
    axis = draw(st.sampled_from([-1, 1] if inner else [-1]))
    batch = draw(st.integers(1, 4))
    shape = (batch, classes, *inner) if axis == 1 else (batch, *inner, classes)
    prediction = rng.normal(0, 3, shape)
    weight = draw(st.sampled_from([None, rng.uniform(0.1, 3, classes)]))
    smoothing = draw(st.sampled_from([0.0, 0.2]))
    own: dict[str, Any] = {"axis": axis, "label_smoothing": smoothing, "class_weight": weight}
    ignored: dict[str, Any] = {}
    if draw(flags):
        target = np.moveaxis(rng.dirichlet(np.ones(classes), (batch, *inner)), -1, axis)
        aim = torch.moveaxis(torch.tensor(target), axis, 1)
    else:
        labels: Any = rng.integers(classes, size=(batch, *inner))
        if (mark := draw(st.sampled_from([None, -100, -1, 0]))) is not None:
            ignored = {"ignore_index": mark}
            labels = np.where(rng.random(labels.shape) < 0.4, mark, labels)
            labels.flat[0] = 1
        target, aim = labels, torch.tensor(labels)
    there = {"label_smoothing": smoothing, "weight": None if weight is None else torch.tensor(weight), **ignored}
    loss = CrossEntropy(**own, **ignored, reduction=draw(reductions))
    return Drawn(
        loss,
        prediction,
        target,
        lambda y, how: functional.cross_entropy(torch.moveaxis(y, axis, 1), aim, **there, reduction=how),
    )


@st.composite
def binary(draw: st.DrawFn) -> Drawn:
    rng, shape = np.random.default_rng(draw(seeds)), draw(shapes)
    prediction, target = rng.normal(0, 3, shape), rng.uniform(size=shape)
    factor = st.sampled_from([None, np.array(2.5), rng.uniform(0.1, 4, shape[1:])])
    pos_weight, weight = draw(factor), draw(factor)
    made = [None if each is None else torch.tensor(each) for each in (weight, pos_weight)]
    return Drawn(
        BinaryCrossEntropy(pos_weight=pos_weight, weight=weight, reduction=draw(reductions)),
        prediction,
        target,
        lambda y, how: functional.binary_cross_entropy_with_logits(
            y, torch.tensor(target), made[0], pos_weight=made[1], reduction=how
        ),
    )


@st.composite
def of_numbers(draw: st.DrawFn) -> Drawn:
    rng, shape, reduction = np.random.default_rng(draw(seeds)), draw(shapes), draw(reductions)
    prediction, target = rng.normal(0, 3, shape), rng.normal(0, 3, shape)
    aim, threshold = torch.tensor(target), draw(st.floats(0.1, 3))
    drawn: Drawn = draw(
        st.sampled_from(
            [
                Drawn(
                    MeanSquaredError(reduction=reduction),
                    prediction,
                    target,
                    lambda y, how: functional.mse_loss(y, aim, reduction=how),
                ),
                Drawn(
                    MeanAbsoluteError(reduction=reduction),
                    prediction,
                    target,
                    lambda y, how: functional.l1_loss(y, aim, reduction=how),
                ),
                Drawn(
                    Huber(threshold, reduction=reduction),
                    prediction,
                    target,
                    lambda y, how: functional.huber_loss(y, aim, how, threshold),
                ),
            ]
        )
    )
    return drawn


@st.composite
def poisson(draw: st.DrawFn) -> Drawn:
    rng, shape = np.random.default_rng(draw(seeds)), draw(shapes)
    log_input, full, eps = draw(flags), draw(flags), draw(st.sampled_from([1e-8, 0.1]))
    prediction = rng.normal(0, 2, shape) if log_input else rng.uniform(0.01, 5, shape)
    target = rng.poisson(2.0, shape).astype(float)
    return Drawn(
        PoissonNLL(log_input=log_input, full=full, eps=eps, reduction=draw(reductions)),
        prediction,
        target,
        lambda y, how: functional.poisson_nll_loss(y, torch.tensor(target), log_input, full, eps=eps, reduction=how),
    )


@st.composite
def gaussian(draw: st.DrawFn) -> Drawn:
    rng, shape = np.random.default_rng(draw(seeds)), draw(shapes)
    shape = (*shape, 1) if len(shape) == 1 else shape
    log_variance, full, eps = draw(flags), draw(flags), draw(st.sampled_from([1e-6, 0.01]))
    mean, target, variance = rng.normal(0, 2, shape), rng.normal(0, 2, shape), rng.uniform(0.02, 4, shape)
    prediction = np.concatenate([mean, np.log(variance) if log_variance else variance], axis=-1)

    def there(y: Any, how: str) -> Any:
        mean_there, second = y.chunk(2, -1)
        second = second.exp() if log_variance else second
        return functional.gaussian_nll_loss(mean_there, torch.tensor(target), second, full, eps, how)

    loss = GaussianNLL(log_variance=log_variance, full=full, eps=eps, reduction=draw(reductions))
    return Drawn(loss, prediction, target, there)


@st.composite
def divergences(draw: st.DrawFn) -> Drawn:
    rng, shape, log_target = np.random.default_rng(draw(seeds)), draw(shapes), draw(flags)
    shape = (*shape, 3)
    prediction, target = (np.log(rng.dirichlet(np.ones(3), shape[:-1])) for _ in range(2))
    if not log_target:
        target = np.exp(target)
        target.flat[0] = 0
    reduction = draw(reductions)

    def there(y: Any, how: str) -> Any:
        how = "batchmean" if how == "mean" else how
        return functional.kl_div(y, torch.tensor(target), reduction=how, log_target=log_target)

    return Drawn(KLDivergence(log_target=log_target, reduction=reduction), prediction, target, there)


@st.composite
def cosines(draw: st.DrawFn) -> Drawn:
    rng = np.random.default_rng(draw(seeds))
    shape, margin = (draw(st.integers(1, 4)), draw(st.integers(1, 4))), draw(st.floats(-1, 1))
    pair = rng.normal(size=shape), rng.normal(size=shape)
    target = rng.choice([-1, 1], shape[0])
    return Drawn(
        CosineEmbedding(margin, reduction=draw(reductions)),
        pair,
        target,
        lambda y, how: functional.cosine_embedding_loss(*y, torch.tensor(target), margin, reduction=how),
    )


@st.composite
def triplets(draw: st.DrawFn) -> Drawn:
    rng = np.random.default_rng(draw(seeds))
    shape, margin = (draw(st.integers(1, 4)), draw(st.integers(1, 4))), draw(st.floats(0.1, 3))
    p, swap, eps = draw(st.sampled_from([1.0, 2.0, 3.5])), draw(flags), draw(st.sampled_from([1e-6, 0.1]))
    three = tuple(rng.normal(size=shape) for _ in range(3))
    return Drawn(
        Triplet(margin, p=p, swap=swap, eps=eps, reduction=draw(reductions)),
        three,
        np.zeros(shape[0]),
        lambda y, how: functional.triplet_margin_loss(*y, margin=margin, p=p, eps=eps, swap=swap, reduction=how),
    )


DRAWS = [cross_entropies, binary, of_numbers, poisson, gaussian, divergences, cosines, triplets]


@pytest.mark.parametrize("draws", DRAWS)
def test_value_gradient_and_each_entry_are_pytorchs(draws: Callable[[], st.SearchStrategy[Drawn]]) -> None:
    @settings(max_examples=60)
    @given(draws())
    def check(drawn: Drawn) -> None:
        check_beside(drawn)

    check()


@given(seed=seeds, several=flags, reduction=reductions)
@settings(max_examples=40)
def test_a_quantile_is_the_formula_by_autograd(seed: int, several: bool, reduction: str) -> None:
    rng = np.random.default_rng(seed)
    q: Any = np.sort(rng.uniform(0.05, 0.95, 3)) if several else float(rng.uniform(0.05, 0.95))
    prediction, target = rng.normal(size=(4, 3)), rng.normal(size=(4, 1 if several else 3))

    def there(y: Any, how: str) -> Any:
        above = torch.tensor(target) - y
        each = torch.maximum(torch.tensor(np.asarray(q)) * above, (torch.tensor(np.asarray(q)) - 1) * above)
        return each if how == "none" else each.mean() if how == "mean" else each.sum()

    check_beside(Drawn(Quantile(q, reduction=reduction), prediction, target, there))


FAR = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (CrossEntropy(ignore_index=-1), np.array([0, -1])),
        (CrossEntropy(axis=1, ignore_index=2, reduction="sum"), np.array([1, 2])),
        (BinaryCrossEntropy(pos_weight=3.0, weight=0.5), np.array([[1.0, 1, 0], [0, 0, 1]])),
        (Quantile(0.2), -FAR),
        (Quantile((0.2, 0.5, 0.7)), np.array([1000.0, -1000.0])),
        (PoissonNLL(full=True), np.array([[1000.0, 0, 0], [1000, 0, 3]])),
        (KLDivergence(), np.array([[0.0, 0.5, 0.5], [1, 0, 0]])),
        (KLDivergence(log_target=True), -np.abs(FAR)),
    ],
    ids=repr,
)
def test_far_out_nothing_warns(loss: Loss, target: npt.NDArray[Any], dtype: Any) -> None:
    prediction = (np.minimum(FAR, 0) if isinstance(loss, PoissonNLL) else FAR).astype(dtype)
    with np.errstate(all="raise"):
        value, cache = loss.forward(prediction, *loss.check(prediction, target))
        grad = loss.backward(cache)
    assert np.isfinite(value)
    assert np.isfinite(grad).all()
    assert grad.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("log_variance", [True, False])
def test_variances_far_out_warn_of_nothing(log_variance: bool, dtype: Any) -> None:
    loss = GaussianNLL(log_variance=log_variance)
    for second in (-1000.0, 1000.0) if log_variance else (0.0, 1000.0):
        prediction = np.array([[1000.0, second], [-1000.0, second]], dtype)
        with np.errstate(all="raise"):
            value, cache = loss.forward(prediction, *loss.check(prediction, [[-1000.0], [-1000.0]]))
            grad = loss.backward(cache)
        assert np.isfinite(value)
        assert np.isfinite(grad).all()
        assert loss.deviation(prediction).shape == (2, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [CosineEmbedding(), Triplet(), Triplet(p=1), Triplet(p=5, swap=True)], ids=repr)
def test_comparisons_far_out_and_of_zeros_warn_of_nothing(loss: Loss, dtype: Any) -> None:
    zeros = np.zeros_like(FAR)
    for parts in ((FAR, -FAR, FAR), (FAR, FAR, FAR), (zeros, FAR, zeros), (zeros, zeros, zeros)):
        prediction: Any = tuple(part.astype(dtype) for part in parts[: loss.predictions])
        target: Array = np.zeros(2) if loss.predictions == 3 else np.array([1.0, -1.0])
        with np.errstate(all="raise"):
            value, cache = loss.forward(prediction, *loss.check(prediction, target))
            grads = loss.backward(cache)
        assert np.isfinite(value)
        assert all(np.isfinite(grad).all() and grad.dtype == dtype for grad in grads)
