"""minimize: SciPy's optimizers find what there is to find, and leave the model whole, whatever happens on the way."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    Activation,
    Array,
    CrossEntropy,
    Dropout,
    Linear,
    Loss,
    NonFiniteError,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    weights_only,
)
from nanonet.interchange.scipy import Objective, minimize
from tests import ROOT

pytestmark = pytest.mark.peer

EXAMPLE = ROOT / "examples" / "lbfgs.py"
METHODS = ["L-BFGS-B", "CG", "BFGS", "TNC", "SLSQP", "trust-constr"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
TARGET = X @ RNG.normal(size=(3, 2)) + 0.1 * RNG.normal(size=(40, 2))


@pytest.fixture(autouse=True)
def _scipy() -> None:
    pytest.importorskip("scipy", reason="SciPy is not installed")


def net(dtype: Any = np.float64) -> Sequential:
    return Sequential(Linear(3, 5), Tanh(), Linear(5, 2), dtype=dtype, rng=0)


def at_most(iterations: int, method: str) -> dict[str, int]:
    if method == "Nelder-Mead":  # which needs many
        return {"maxiter": 50 * iterations}
    return {"maxfun": 10 * iterations} if method == "TNC" else {"maxiter": iterations}


@pytest.mark.parametrize("decays", [None, weights_only, {"*.bias": 0.0}])
def test_the_weight_decay_is_a_penalty_whose_gradient_is_that_of_an_optimizer(decays: Any) -> None:
    model = net()
    plain, penal = (Objective(model, X, TARGET, SquaredError(), None, decay, decays) for decay in (0.0, 0.3))
    w = model.vector.value.copy()
    kept = np.concatenate(
        [np.full(each.size, decays is None or len(each.shape) > 1) for each in model.parameters().values()]
    )
    assert penal.fun == pytest.approx(plain.fun + 0.15 * np.sum(w[kept] ** 2))
    np.testing.assert_allclose(penal.jac, plain.jac + 0.3 * w * kept)
    found = minimize(model, X, TARGET, SquaredError(), weight_decay=0.3, decays=decays)
    assert found.fun == pytest.approx(penal(found.x)[0])
    with pytest.raises(ValueError, match="minimize: expected a finite weight_decay of 0 or more, got -1"):
        minimize(model, X, TARGET, SquaredError(), weight_decay=-1)


class Exponential(Activation):
    def function(self, a: Array) -> Array:
        return np.exp(a)

    def derivative(self, a: Array, y: Array) -> Array:
        return y


class Steep(SquaredError):
    """Half the sum of squares, but infinite where that is not below 4."""

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        value, cache = super().forward(prediction, target, weight)
        values.append(value if value < 4 else float("inf"))
        return values[-1], cache


values: list[float] = []


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_net_ends_at_the_least_squares_solution(method: str) -> None:
    model = Sequential(Linear(3, 2), dtype=np.float64, rng=0)
    result = minimize(model, X, TARGET, SquaredError(), method, tol=1e-10)
    solution = np.linalg.lstsq(np.column_stack([X, np.ones(40)]), TARGET, rcond=None)[0]
    np.testing.assert_allclose(model.parameters()["0.weight"].value, solution[:3].T, atol=1e-4)
    np.testing.assert_allclose(model.parameters()["0.bias"].value, solution[3], atol=1e-4)
    assert result.nfev > 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS[:5])
def test_the_model_and_the_result_are_at_one_point(method: str, dtype: type[Any]) -> None:
    model = net(dtype)
    before, _ = model.loss_and_grad(X, TARGET, SquaredError())
    result = minimize(model, X, TARGET, SquaredError(), method, options=at_most(15, method))
    value, grad = model.loss_and_grad(X, TARGET, SquaredError())
    assert result.fun == value < before / 2
    np.testing.assert_array_equal(result.x.astype(dtype), model.vector.value)
    np.testing.assert_array_equal(result.jac, grad)


def test_frozen_parameters_are_left_out() -> None:
    model = net()
    frozen = model.parameters()["0.weight"]
    frozen.trainable = False
    before = frozen.value.copy()
    result = minimize(model, X, TARGET, SquaredError())
    np.testing.assert_array_equal(frozen.value, before)
    np.testing.assert_array_equal(result.x, model.vector.value[15:])
    assert result.fun < 0.1
    for parameter in model.parameters().values():
        parameter.trainable = False
    with pytest.raises(ValueError, match="minimize: expected a model with trainable parameters"):
        minimize(model, X, TARGET, SquaredError())


def test_weights_are_repeats() -> None:
    weight = np.random.default_rng(1).integers(0, 4, 40)
    weighted, repeated = net(), net()
    minimize(weighted, X, TARGET, SquaredError(), sample_weight=weight, options={"maxiter": 10})
    minimize(repeated, X.repeat(weight, 0), TARGET.repeat(weight, 0), SquaredError(), options={"maxiter": 10})
    np.testing.assert_allclose(weighted.vector.value, repeated.vector.value, rtol=1e-9)


def test_labels_are_learned_too() -> None:
    model = Sequential(Linear(3, 2), dtype=np.float64, rng=0)
    labels = (X[:, 0] + X[:, 1] > 0).astype(int)
    minimize(model, X, labels, CrossEntropy(), options={"maxiter": 20})
    assert (model(X).argmax(axis=1) == labels).all()


def test_dropout_lets_all_through() -> None:
    with_dropout = Sequential(Linear(3, 5), Dropout(0.5), Tanh(), Linear(5, 2), dtype=np.float64, rng=0)
    without = net()
    with_dropout.vector.value = without.vector.value
    options = {"maxiter": 5}
    results = [minimize(model, X, TARGET, SquaredError(), options=options) for model in (with_dropout, without)]
    np.testing.assert_array_equal(results[0].x, results[1].x)


# ---- on the way


@pytest.mark.filterwarnings("ignore:Method Nelder-Mead does not use gradient information")
@pytest.mark.parametrize("method", [*METHODS, "Nelder-Mead"])  # whose last point is often not its best
def test_a_callback_finds_the_model_at_the_point_that_it_is_told(method: str) -> None:
    model = net()

    def look(result: Any) -> None:
        np.testing.assert_array_equal(model.vector.value, result.x)
        told.append(result.fun)
        assert result.fun == pytest.approx(model.loss_and_grad(X, TARGET, SquaredError())[0], rel=1e-12)

    told: list[float] = []
    minimize(model, X, TARGET, SquaredError(), method, callback=look, options=at_most(5, method))
    assert len(told) >= 1
    assert told[-1] < told[0] or len(told) == 1


def test_stop_iteration_ends_the_search() -> None:
    def stop(result: Any) -> None:
        told.append(result.fun)
        if len(told) == 3:
            raise StopIteration

    told: list[float] = []
    result = minimize(net(), X, TARGET, SquaredError(), callback=stop)
    assert (result.nit, len(told), result.fun) == (3, 3, told[-1])


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_model_stands_at_the_best_point_when_the_search_is_broken_off(error: type[BaseException]) -> None:
    class Broken(SquaredError):
        def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
            value, cache = super().forward(prediction, target, weight)
            seen.append(value)
            if len(seen) == 9:
                raise error
            return value, cache

    seen: list[float] = []
    model = net()
    with pytest.raises(error):
        minimize(model, X, TARGET, Broken())
    assert model.loss_and_grad(X, TARGET, SquaredError())[0] == min(seen[:8])


@pytest.mark.parametrize("method", ["L-BFGS-B", "CG", "BFGS", "SLSQP"])  # TNC's first steps are too short for it
def test_a_point_that_is_not_finite_is_stepped_back_from(method: str) -> None:
    values.clear()
    model = Sequential(Linear(3, 2), dtype=np.float64, rng=0)
    model.vector.value = np.linspace(-0.001, 0.001, 8)
    result = minimize(model, 30 * X, TARGET, Steep(), method, options=at_most(30, method))
    assert float("inf") in values
    assert result.fun == min(values) < 0.05


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_overflow_in_a_net_leaves_it_better_than_it_was(dtype: type[Any]) -> None:
    model = Sequential(Linear(3, 5), Exponential(), Linear(5, 2), dtype=dtype, rng=0)
    model.vector.value *= 1e-3
    before, _ = model.loss_and_grad(1e3 * X, TARGET, SquaredError())
    result = minimize(model, 1e3 * X, TARGET, SquaredError())
    assert np.isfinite(model.vector.value).all()
    assert model.loss_and_grad(1e3 * X, TARGET, SquaredError())[0] == result.fun < before


def test_a_start_that_is_not_finite_is_refused_and_nothing_is_changed() -> None:
    model = Sequential(Linear(3, 5), Exponential(), Linear(5, 2), rng=0)
    before = model.vector.value.copy()
    with pytest.raises(NonFiniteError, match=r"layer 1, Exponential\(\)"):
        minimize(model, 1e5 * X, TARGET, SquaredError())
    with pytest.raises(NonFiniteError, match="minimize: at the initial point Infinite"):
        minimize(net(), X, TARGET, Infinite())
    np.testing.assert_array_equal(model.vector.value, before)


class Infinite(Loss):
    def function(self, prediction: Array, target: Array) -> Array:
        return np.full(len(prediction), np.inf)

    def derivative(self, prediction: Array, target: Array) -> Array:
        return prediction


def test_data_that_does_not_fit_is_refused_before_anything_is_changed() -> None:
    model = net()
    before = model.vector.value.copy()
    with pytest.raises(ShapeError, match=r"Linear\(3, 5\): expected input of shape \(batch, 3\)"):
        minimize(model, X[:, :2], TARGET, SquaredError())
    with pytest.raises(ShapeError, match="SquaredError: prediction has shape"):
        minimize(model, X, TARGET[:, 0], SquaredError())
    np.testing.assert_array_equal(model.vector.value, before)


# ---- in the docs


def test_without_scipy_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['scipy'] = None; from nanonet.interchange.scipy import minimize; minimize(*[0] * 4)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.endswith("ImportError: minimize needs SciPy: pip install 'nanonet[scipy]'\n")


def test_the_example_in_the_docstring_is_true() -> None:
    runner = doctest.DocTestRunner()
    (found,) = doctest.DocTestFinder().find(minimize, "minimize", globs={"np": np})
    for example in found.examples:
        example.options.pop(doctest.SKIP, None)
    assert runner.run(found).failed == 0
    assert len(found.examples) > 2


@pytest.mark.slow
def test_l_bfgs_gets_further_than_descent_in_as_many_passes(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    drawn = tmp_path / "lbfgs.svg"
    run = [sys.executable, "-W", "error", str(EXAMPLE), "--draw", str(drawn)]
    output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    rows = [[float(loss) for loss in re.findall(r"0\.\d{4}", line)] for line in output.splitlines()[1:]]
    assert len(rows) == 3
    for other in rows[1:]:
        assert all(ours < theirs for ours, theirs in zip(rows[0], other, strict=True))
    assert "<svg" in drawn.read_text(encoding="utf-8")
