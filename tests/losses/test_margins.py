"""MarginRanking, HingeEmbedding and MultiMargin: equal to PyTorch, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import HingeEmbedding, MarginRanking, MultiMargin, ShapeError

seeds = st.integers(0, 2**32 - 1)
reductions = st.sampled_from(["mean", "sum"])
margins = st.floats(0, 3)
shapes = st.sampled_from([(4,), (1, 3), (3, 2, 2)])


def check_beside(loss: Any, prediction: Any, target: Any, there: Callable[..., Any]) -> None:
    """Compare the value, what each gives, and the gradients."""
    torch: Any = pytest.importorskip("torch")
    parts = prediction if isinstance(prediction, tuple) else (prediction,)
    leaves = [torch.tensor(part, requires_grad=True) for part in parts]
    expected = there(*leaves, torch.tensor(target), reduction=loss.reduction)
    value, cache = loss.forward(prediction, *loss.check(prediction, target))
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12, atol=1e-12)
    each = there(*leaves, torch.tensor(target), reduction="none").detach().numpy()
    np.testing.assert_allclose(loss.each(prediction, target), each, rtol=1e-12, atol=1e-12)
    expected.backward()
    slopes = loss.backward(cache)
    for slope, leaf in zip(slopes if isinstance(slopes, tuple) else (slopes,), leaves, strict=True):
        np.testing.assert_allclose(slope, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.peer
@settings(max_examples=40, deadline=None)
@given(seeds, shapes, margins, reductions)
def test_pairs_are_pytorchs(seed: int, shape: tuple[int, ...], margin: float, reduction: str) -> None:
    functional: Any = pytest.importorskip("torch").nn.functional
    rng = np.random.default_rng(seed)
    a, b, target = rng.normal(size=shape), rng.normal(size=shape), rng.choice([-1.0, 1.0], size=shape)
    check_beside(
        MarginRanking(margin, reduction=reduction),
        (a, b),
        target,
        lambda *given, **how: functional.margin_ranking_loss(*given, margin=margin, **how),
    )
    check_beside(
        HingeEmbedding(margin, reduction=reduction),
        a,
        target,
        lambda *given, **how: functional.hinge_embedding_loss(*given, margin=margin, **how),
    )


@pytest.mark.peer
@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 5), st.sampled_from([1, 2]), st.floats(0.1, 3), st.booleans(), reductions)
def test_a_margin_of_classes_is_pytorchs(
    seed: int, classes: int, p: int, margin: float, weighted: bool, reduction: str
) -> None:
    torch: Any = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.1, 3, size=classes) if weighted else None
    check_beside(
        MultiMargin(p, margin, class_weight=weight, reduction=reduction),
        rng.normal(size=(4, classes)),
        rng.integers(classes, size=4),
        lambda *given, **how: torch.nn.functional.multi_margin_loss(
            *given, p=p, margin=margin, weight=None if weight is None else torch.tensor(weight), **how
        ),
    )


ranking: Any = MarginRanking
hinges: Any = MultiMargin
PAIR = (np.zeros((2, 1)), np.ones((2, 1)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ranking(-1), ValueError, "MarginRanking: expected a finite margin of 0 or more, got -1"),
        (lambda: ranking()(np.ones((2, 1)), [[1], [1]]), TypeError, "expected prediction as a tuple of 2 arrays"),
        (lambda: ranking()(PAIR, [1, 1]), ShapeError, "of one shape, got (2, 1), (2, 1) and (2,)"),
        (lambda: ranking()(PAIR, [[1], [0]]), ValueError, "targets of 1 and -1, got 0.0 at (1, 0); try 2 * target - 1"),
        (lambda: HingeEmbedding()([1.0, 2.0], [2, 1]), ValueError, "HingeEmbedding: expected targets of 1 and -1"),
        (lambda: hinges(3), ValueError, "MultiMargin: expected p as 1 or 2, got 3"),
        (lambda: hinges(1, 0), ValueError, "MultiMargin: expected margin above 0"),
        (lambda: hinges(class_weight=[-1.0, 1.0]), ValueError, "class_weight as one number per class, from 0 to 1e30"),
        (lambda: hinges()([[1.0, 2.0]], [2]), ValueError, "expected labels from 0 to 1 for 2 outputs, got 2"),
        (lambda: hinges()([1.0, 2.0], [1, 0]), ShapeError, "shape (batch, classes) with 2 classes or more, got (2,)"),
        (lambda: hinges(class_weight=[1.0])([[1.0, 2.0]], [1]), ShapeError, "class_weight has 1 entries"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()
