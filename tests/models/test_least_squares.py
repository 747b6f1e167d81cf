"""Levenberg-Marquardt ends where SciPy's does, moves what is trainable only, and always leaves the best point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    Array,
    Dropout,
    History,
    Linear,
    NonFiniteError,
    Parallel,
    Parameter,
    Sequential,
    ShapeError,
    Sigmoid,
    SquaredError,
    Tanh,
    least_squares,
)
from nanonet.models import residuals
from nanonet.models.residuals import Residuals
from tests.helpers import picture

RNG = np.random.default_rng(6)
X = RNG.normal(size=(30, 2))
TARGET = np.sin(X[:, :1]) * X[:, 1:]


def net(rng: int = 0, outputs: int = 1, dtype: Any = np.float64) -> Sequential:
    return Sequential(Linear(2, 4), Tanh(), Linear(4, outputs), dtype=dtype, rng=rng)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(1, 3), st.booleans())
def test_a_linear_model_is_solved_as_the_normal_equations_say(seed: int, outputs: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    x, target = rng.normal(size=(12, 2)), rng.normal(size=(12, outputs))
    weight = rng.uniform(0.1, 2, 12) if weighted else np.ones(12)
    model = Sequential(Linear(2, outputs), dtype=np.float64, rng=0)
    history = least_squares(model, x, target, sample_weight=weight if weighted else None, tolerance=1e-12)
    rows = np.column_stack([x, np.ones(12)]) * np.sqrt(weight)[:, None]
    solution = np.linalg.lstsq(rows, target * np.sqrt(weight)[:, None], rcond=None)[0]
    np.testing.assert_allclose(model.parameters()["0.weight"].value, solution[:2].T, atol=1e-8)
    np.testing.assert_allclose(model.parameters()["0.bias"].value, solution[2], atol=1e-8)
    loss = model.evaluate(x, target, SquaredError(), sample_weight=weight)
    assert history["loss"][-1] == pytest.approx(loss, rel=1e-10)


def test_the_equations_are_those_of_the_whole_jacobian_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, target, weight = net(outputs=2), RNG.normal(size=(30, 2)), RNG.uniform(0, 2, 30)
    whole = Residuals(model, X, target, weight).normal()
    monkeypatch.setattr(residuals, "NUMBERS", 7 * model.vector.size)
    blocks = Residuals(model, X, target, weight).normal()
    jacobian = model.jacobian_parameters(X) * np.sqrt(weight / weight.sum())[:, None, None]
    r = (model(X) - target) * np.sqrt(weight / weight.sum())[:, None]
    for jtj, jtr in (whole, blocks):
        np.testing.assert_allclose(jtj, np.einsum("nkp,nkq->pq", jacobian, jacobian), atol=1e-12)
        np.testing.assert_allclose(jtr, np.einsum("nkp,nk->p", jacobian, r), atol=1e-12)


def test_every_iteration_lowers_the_loss_and_the_gradient_vanishes_at_the_end() -> None:
    model = Sequential(Linear(1, 2), Sigmoid(), Linear(2, 1), dtype=np.float64, rng=0)
    x = np.linspace(-2, 2, 50).reshape(-1, 1)
    history = least_squares(model, x, np.tanh(2 * x) + 0.05 * RNG.normal(size=x.shape), tolerance=1e-5)
    losses = history["loss"]
    assert all(b < a for a, b in itertools.pairwise(losses))
    assert history.stopped.startswith("the gradient has the norm")


def test_many_fewer_passes_than_gradient_descent() -> None:
    from nanonet import Adam

    ours, theirs = net(rng=1), net(rng=1)
    least_squares(ours, X, TARGET, iterations=30)
    theirs.fit(X, TARGET, loss=SquaredError(), optimizer=Adam(0.01), epochs=300, batch_size=30, verbose=0)
    loss = SquaredError()
    assert loss(ours(X), TARGET) < loss(theirs(X), TARGET) / 10


@pytest.mark.peer
@pytest.mark.parametrize("rng", range(4))
def test_the_minimum_is_that_of_scipy_on_the_same_jacobian(rng: int) -> None:
    optimize: Any = pytest.importorskip("scipy.optimize", reason="SciPy is not installed")
    """From a point near a minimum: from further away the two may end at different ones."""
    model = Sequential(Linear(1, 2), Sigmoid(), Linear(2, 1), dtype=np.float64, rng=rng)
    x = np.linspace(-2, 2, 50).reshape(-1, 1)
    target = np.tanh(2 * x) + 0.05 * np.random.default_rng(rng).normal(size=x.shape)
    least_squares(model, x, target, iterations=200)
    start = model.vector.value + 0.05 * np.random.default_rng(rng).normal(size=model.vector.size)

    def at(w: Array) -> Sequential:
        model.vector.value[:] = w
        return model

    def jacobian(w: Array) -> Array:
        rows: Array = at(w).jacobian_parameters(x)[:, 0]
        return rows

    found = optimize.least_squares(lambda w: (at(w)(x) - target).ravel(), start, jacobian, method="lm", max_nfev=9999)
    model.vector.value[:] = start
    history = least_squares(model, x, target, tolerance=1e-10)
    assert history["loss"][-1] == pytest.approx(found.cost / 50, rel=1e-6)


def test_frozen_parameters_stay() -> None:
    model = net()
    model.freeze(1)
    frozen = model[0].parameters()["weight"].value.copy()
    history = least_squares(model, X, TARGET, iterations=20)
    np.testing.assert_array_equal(model[0].parameters()["weight"].value, frozen)
    assert history["loss"][-1] < history["loss"][0]


def test_a_sample_of_weight_0_is_as_if_it_were_not_there() -> None:
    weight = np.ones(30)
    weight[::3] = 0
    one, other = net(), net()
    wild = TARGET.copy()
    wild[::3] = 1e300
    least_squares(one, X, wild, sample_weight=weight, iterations=5)
    least_squares(other, X[weight > 0], TARGET[weight > 0], iterations=5)
    np.testing.assert_array_equal(one.vector.value, other.vector.value)


def test_the_result_is_the_same_each_time_and_dropout_is_inactive() -> None:
    def run() -> Array:
        model = Sequential(Linear(2, 4), Tanh(), Dropout(0.5), Linear(4, 1), rng=0)
        least_squares(model, X, TARGET, iterations=5)
        return model.vector.value

    np.testing.assert_array_equal(run(), run())


def test_a_float32_model_stays_float32_and_improves_to_its_rounding() -> None:
    model = net(dtype=np.float32)
    history = least_squares(model, X, TARGET, iterations=200)
    assert model.dtype == np.float32
    assert history["loss"][-1] < 1e-3
    assert history["loss"][-1] == pytest.approx(SquaredError()(model(X), TARGET), rel=1e-3)


# ---- when it ends


def test_the_goal_ends_it() -> None:
    history = least_squares(net(), X, TARGET, goal=0.01)
    assert history["loss"][-1] <= 0.01 < history["loss"][-2]
    assert history.stopped == "the loss has reached the goal 0.01"


def test_at_a_minimum_it_ends_before_the_first_iteration() -> None:
    model = Sequential(Linear(2, 1, weight=[[1.0, 2.0]]), dtype=np.float64)
    before = picture(model)
    history = least_squares(model, X, X @ [[1.0], [2.0]])
    assert history.epochs == 0
    assert history.stopped == "the gradient has the norm 0.0e+00"
    assert picture(model) == before


def test_where_no_step_helps_it_says_so() -> None:
    history = least_squares(net(dtype=np.float32), X, TARGET + RNG.normal(size=TARGET.shape), tolerance=0)
    assert history.stopped == "no step lowers the loss"


def test_validation_data_end_it_and_choose_the_point() -> None:
    noisy = TARGET + 0.5 * RNG.normal(size=TARGET.shape)
    model = Sequential(Linear(2, 20), Tanh(), Linear(20, 1), dtype=np.float64, rng=0)
    history = least_squares(model, X[:20], noisy[:20], validation=(X[20:], noisy[20:]), patience=4)
    held_out = history["validation_loss"]
    best = int(np.argmin(held_out))
    assert history.stopped == "validation_loss has not improved for 4 iterations"
    assert len(held_out) == best + 5
    assert model.evaluate(X[20:], noisy[20:], SquaredError()) == pytest.approx(held_out[best], rel=1e-9)


def test_the_callback_sees_each_iteration_and_may_end_it() -> None:
    seen: list[int] = []

    def look(history: History) -> None:
        seen.append(history.epochs)
        if history.epochs == 3:
            raise StopIteration

    history = least_squares(net(), X, TARGET, callback=look)
    assert seen == [1, 2, 3]
    assert history.stopped == "the callback raised StopIteration"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_model_is_left_at_the_best_point_whatever_ends_the_search(error: type[BaseException]) -> None:
    class Explodes(Tanh):
        passes = 0

        def function(self, a: Array) -> Array:
            Explodes.passes += 1
            if Explodes.passes == 14:
                raise error
            return super().function(a)

    model, losses = Sequential(Linear(2, 4), Explodes(), Linear(4, 1), dtype=np.float64, rng=0), list[float]()

    def run() -> History:
        return least_squares(model, X, TARGET, callback=lambda history: losses.append(history["loss"][-1]))

    if error is KeyboardInterrupt:
        assert run().interrupted
    else:
        with pytest.raises(RuntimeError):
            run()
    assert losses
    assert SquaredError()(model(X), TARGET) == pytest.approx(losses[-1], rel=1e-9)


# ---- Bayesian regularization


def test_the_evidence_keeps_a_net_with_too_many_units_smooth() -> None:
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 41).reshape(-1, 1)
    clean = np.sin(3 * x)
    noisy = clean + 0.2 * rng.normal(size=x.shape)

    def wide() -> Sequential:
        return Sequential(Linear(1, 30), Tanh(), Linear(30, 1), dtype=np.float64, rng=0)

    plain, smooth = wide(), wide()
    least_squares(plain, x, noisy, iterations=200)
    history = least_squares(smooth, x, noisy, iterations=200, bayesian=True)
    error = [float(np.sqrt(np.mean((model(x) - clean) ** 2))) for model in (plain, smooth)]
    assert error[1] < error[0] / 1.5
    assert 2 < history["effective_parameters"][-1] < 20  # of 91


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_evidence_does_not_take_weights_of_0_for_the_most_probable_before_the_data_are_fitted(scale: float) -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (60, 1))
    target = scale * (np.sin(5 * x) + 0.2 * rng.normal(size=x.shape))
    model = Sequential(Linear(1, 20), Tanh(), Linear(20, 1), dtype=np.float64, rng=2)
    history = least_squares(model, x, target, iterations=60, bayesian=True)
    assert history["effective_parameters"][-1] > 3
    assert SquaredError()(model(x), target) < 0.1 * scale**2


def test_the_evidence_of_a_linear_model_is_at_its_fixed_point() -> None:
    """MacKay's equations hold at the end: γ = Σ βλ / (βλ + α), α Σ w² = γ, β Σ r² = n - γ."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    target = x @ [[1.0], [0.0], [-2.0]] + rng.normal(size=(40, 1))
    model = Sequential(Linear(3, 1, bias=False), dtype=np.float64, rng=0)
    history = least_squares(model, x, target, iterations=200, bayesian=True)
    gamma, w = history["effective_parameters"][-1], model.vector.value
    alpha = gamma / float(w @ w)
    beta = (40 - gamma) / float(((model(x) - target) ** 2).sum())
    eigenvalues = beta * np.linalg.eigvalsh(x.T @ x)
    assert gamma == pytest.approx(float((eigenvalues / (eigenvalues + alpha)).sum()), rel=1e-6)
    np.testing.assert_allclose(
        w, np.linalg.solve(beta * x.T @ x + alpha * np.eye(3), beta * x.T @ target)[:, 0], rtol=1e-6
    )


# ---- what is refused


class Infinite(Linear):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return np.full((len(x), 1), np.inf), x


def frozen() -> Sequential:
    model = net()
    model.freeze()
    return model


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: least_squares(Linear(2, 1), X, TARGET), TypeError, "least_squares: expected model to be a Sequential"),  # type: ignore[arg-type]  # what is tested
        (lambda: least_squares(net(), X, TARGET[:, 0]), ShapeError, "try target.reshape"),
        (lambda: least_squares(net(), X[:, 0], TARGET), ShapeError, "Linear.2, 4.: expected input"),
        (lambda: least_squares(frozen(), X, TARGET), ValueError, "got one that is all frozen"),
        (
            lambda: least_squares(net(), X, TARGET, sample_weight=np.zeros(30)),
            ValueError,
            "least_squares: no sample counts",
        ),
        (lambda: least_squares(net(), X, TARGET, damping=0), ValueError, "expected a finite damping of 1e-20 or more"),
        (lambda: least_squares(net(), X, TARGET, iterations=0), ValueError, "expected iterations of 1 or more, got 0"),
        (lambda: least_squares(net(), X, TARGET, validation=X), TypeError, r"expected validation as \(x, target\)"),  # type: ignore[arg-type]  # what is tested
        (
            lambda: least_squares(Sequential(Parallel(Linear(2, 1), Linear(2, 1))), (X, X), TARGET),
            TypeError,
            "expected a model with one output, got one with 2",
        ),
        (
            lambda: least_squares(Sequential(Linear(2, 1, weight=[[1e200, 1e200]]), dtype=float), X, TARGET),
            NonFiniteError,
            "least_squares: at the initial point the loss is inf",
        ),
    ],
)
def test_what_cannot_be_fitted_is_named(call: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_steps_to_where_the_loss_is_not_finite_are_not_taken() -> None:
    class Cliff(Tanh):
        def function(self, a: Array) -> Array:
            y: Array = np.where(np.abs(a) > 6, np.nan, np.tanh(a))
            return y

    model = Sequential(Linear(2, 4), Cliff(), Linear(4, 1), dtype=np.float64, rng=0)
    history = least_squares(model, X, 10 * TARGET, iterations=50)
    assert all(math.isfinite(loss) for loss in history["loss"])
    assert np.isfinite(model(X)).all()


def test_parameters_of_any_layer_are_fitted() -> None:
    from nanonet import Layer

    class Wave(Layer):
        """y = sin(w x), a law with one unknown."""

        mixes_samples = False

        def __init__(self) -> None:
            self.w = Parameter((), 1.2)

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
            return np.sin(self.w.value * x), x

        def backward(self, grad: Array, cache: Array) -> Array:
            slope = grad * np.cos(self.w.value * cache)
            self.w.grad = (slope * cache).sum()
            return slope * self.w.value

    model = Sequential(Wave(), dtype=np.float64)
    x = np.linspace(0, 1, 20).reshape(-1, 1)
    least_squares(model, x, np.sin(2.5 * x))
    assert model.vector.value[0] == pytest.approx(2.5, abs=1e-6)
