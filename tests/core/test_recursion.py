"""Sequential's two passes are the article's recursion, at any depth and width, and reproduce its printed numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import SGD, Activation, Array, Identity, Linear, ReLU, Sequential, Sigmoid, SquaredError, Tanh, Trainer
from tests import oracle
from tests.oracle import Matrix, Step

ACTIVATIONS: dict[str, type[Activation]] = {"sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU, "identity": Identity}


@dataclass
class Problem:
    """A net and its data, for the oracle."""

    net: list[Step]
    x: Matrix
    target: Matrix

    def model(self, dtype: npt.DTypeLike = np.float64) -> Sequential:
        """Return the same net in the package's own classes."""
        return Sequential(*chain(self.net), dtype=dtype)

    def flat(self) -> list[float]:
        """Return the oracle's gradient in the order of the model's vector: W_1, b_1, W_2, b_2, ..."""
        found = oracle.gradients(self.net, self.x, self.target)
        flat: list[float] = []
        for step, weight, bias in zip(self.net, found.weights, found.biases, strict=True):
            flat += [number for row in weight for number in row]
            flat += bias if step.bias else []
        return flat


def chain(net: list[Step]) -> list[Linear | Activation]:
    """Return a Linear and an activation for each step of the oracle's net."""
    layers: list[Linear | Activation] = []
    for step in net:
        out_features, in_features = len(step.weight), len(step.weight[0])
        bias = np.array(step.bias) if step.bias else False
        layers.append(Linear(in_features, out_features, weight=np.array(step.weight), bias=bias))
        layers.append(ACTIVATIONS[step.activation]())
    return layers


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw a chain of 1 to 6 layers of any widths, with and without biases, and 1 to 4 samples."""
    depth = draw(st.integers(1, 6), label="layers")
    widths = draw(st.lists(st.integers(1, 5), min_size=depth + 1, max_size=depth + 1), label="widths")
    names = draw(st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=depth, max_size=depth), label="activations")
    biased = draw(st.lists(st.booleans(), min_size=depth, max_size=depth), label="biases")
    samples = draw(st.integers(1, 4), label="samples")
    numbers = random.Random(draw(st.integers(0, 2**32), label="numbers"))

    def vector(size: int) -> list[float]:
        return [numbers.uniform(-1, 1) for _ in range(size)]

    net = [
        Step([vector(n) for _ in range(m)], vector(m) if has_bias else None, name)
        for n, m, has_bias, name in zip(widths, widths[1:], biased, names, strict=False)
    ]
    return Problem(net, [vector(widths[0]) for _ in range(samples)], [vector(widths[-1]) for _ in range(samples)])


def assert_equal(given: npt.ArrayLike, true: npt.ArrayLike, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(given), np.asarray(true), rtol=tolerance, atol=tolerance)


class TestTheOracle:
    @settings(max_examples=30)
    @given(problems())
    def test_it_is_the_derivative_of_its_own_loss(self, problem: Problem) -> None:
        found, h = oracle.gradients(problem.net, problem.x, problem.target), 1e-6

        def slope(row: list[float], place: int) -> float:
            kept, values = row[place], []
            for moved in (kept + h, kept - h):
                row[place] = moved
                values.append(oracle.loss(problem.net, problem.x, problem.target))
            row[place] = kept
            return (values[0] - values[1]) / (2 * h)

        for step, weight, bias in zip(problem.net, found.weights, found.biases, strict=True):
            for row, given_row in zip(step.weight, weight, strict=True):
                assert_equal(given_row, [slope(row, k) for k in range(len(row))], 1e-6)
            if step.bias:
                assert_equal(bias, [slope(step.bias, j) for j in range(len(bias))], 1e-6)
        for x, dx in zip(problem.x, found.inputs, strict=True):
            assert_equal(dx, [slope(x, k) for k in range(len(x))], 1e-6)

    def test_one_layer_by_hand(self) -> None:
        net = [Step([[2.0, -1.0]], [0.5], "identity")]
        found = oracle.gradients(net, [[1.0, 3.0], [2.0, 0.0]], [[0.5], [1.5]])
        # y - t is -1 and 3; E is (1/2 + 9/2) / 2; g is half of y - t, since E is a mean over two samples.
        assert oracle.loss(net, [[1.0, 3.0], [2.0, 0.0]], [[0.5], [1.5]]) == 2.5
        assert found.weights == [[[2.5, -1.5]]]
        assert found.biases == [[1.0]]
        assert found.inputs == [[-1.0, 0.5], [3.0, -1.5]]


@given(problems())
def test_loss_and_grad_is_the_recursion(problem: Problem) -> None:
    value, grad = problem.model().loss_and_grad(problem.x, problem.target, SquaredError())
    assert_equal(value, oracle.loss(problem.net, problem.x, problem.target))
    assert_equal(grad, problem.flat())


@given(problems())
def test_forward_and_backward_are_the_recursion_down_to_the_input(problem: Problem) -> None:
    model, x, target = problem.model(), np.array(problem.x), np.array(problem.target)
    y, cache = model.forward(x, training=True)
    dx = model.backward((y - target) / len(x), cache)
    found = oracle.gradients(problem.net, problem.x, problem.target)
    assert_equal(y, [oracle.predict(problem.net, sample) for sample in problem.x])
    assert_equal(dx, found.inputs)
    assert_equal(model.vector.grad, problem.flat())
    for i, step in enumerate(problem.net):
        linear = model[2 * i]
        assert isinstance(linear, Linear)
        assert_equal(linear.weight.grad, found.weights[i])
        assert (linear.bias is not None) == bool(step.bias)
        if linear.bias is not None:
            assert_equal(linear.bias.grad, found.biases[i])


@settings(max_examples=50)
@given(problems(), st.data())
def test_a_chain_cut_into_chains_is_the_same_recursion(problem: Problem, data: st.DataObject) -> None:
    layers = chain(problem.net)
    cut = data.draw(st.integers(0, len(layers)), label="cut")
    parts = [Sequential(*part, dtype=np.float64) for part in (layers[:cut], layers[cut:])]
    model = Sequential(*parts, dtype=np.float64)
    value, grad = model.loss_and_grad(problem.x, problem.target, SquaredError())
    assert_equal(value, oracle.loss(problem.net, problem.x, problem.target))
    assert_equal(grad, problem.flat())


@settings(max_examples=50)
@given(problems(), st.data())
def test_the_layers_above_a_frozen_one_have_the_same_gradients(problem: Problem, data: st.DataObject) -> None:
    model = problem.model()
    frozen = data.draw(st.sets(st.sampled_from(list(model.parameters()))), label="frozen")
    for name in frozen:
        model.parameters()[name].trainable = False
    _, grad = model.loss_and_grad(problem.x, problem.target, SquaredError())
    moving = [np.full(p.shape, name not in frozen).ravel() for name, p in model.parameters().items()]
    assert_equal(grad, np.where(np.concatenate(moving), problem.flat(), 0.0))


@settings(max_examples=50)
@given(problems())
def test_in_float32_the_recursion_holds_to_its_rounding(problem: Problem) -> None:
    value, grad = problem.model(np.float32).loss_and_grad(problem.x, problem.target, SquaredError())
    assert grad.dtype == np.float32
    true, exact = problem.flat(), oracle.loss(problem.net, problem.x, problem.target)
    scale = max(1.0, *map(abs, true), exact)
    assert_equal(value, exact, 1e-4 * scale)
    assert_equal(grad, true, 1e-4 * scale)


# ---- the article's own net

W1, W2 = [[0.4, 0.3], [0.7, 0.6]], [[0.2, 0.3], [1.0, 0.7]]
X, TARGET = [1.0, 2.0], [1.0, 0.0]
BEFORE = [0.60041131, 0.79248709]
PRINTED = {False: [0.94191174, 0.06357643], True: [0.91175343, 0.08878309]}
WEIGHTS = {
    False: ([[0.5570883, 0.6141766], [0.92321105, 1.04642211]], [[1.31963128, 1.73698597], [-1.00521623, -1.91860033]]),
    True: (
        [[-0.03647703, -0.57295406], [0.87316002, 0.94632004]],
        [[1.21847993, 2.17830754], [-0.76738067, -2.2837376]],
    ),
}
either_index = pytest.mark.parametrize("transposed", [False, True], ids=["right index", "the article's index"])


class TransposedLinear(Linear):
    """A Linear whose backward pass has the article's index."""

    def backward(self, grad: Array, cache: Array) -> Array:
        super().backward(grad, cache)
        return grad @ self.weight.value.T


def to_8_decimals(numbers: npt.ArrayLike) -> list[str]:
    return [f"{number:.8f}" for number in np.ravel(numbers)]


def article_model(transposed: bool) -> Sequential:
    kind = TransposedLinear if transposed else Linear
    lower, upper = (kind(2, 2, weight=np.array(w), bias=False) for w in (W1, W2))
    return Sequential(lower, Sigmoid(), upper, Sigmoid(), dtype=np.float64)


def test_the_oracle_predicts_the_articles_first_numbers() -> None:
    assert to_8_decimals(oracle.predict([Step(W1), Step(W2)], X)) == to_8_decimals(BEFORE)


def test_the_model_predicts_the_articles_first_numbers() -> None:
    assert to_8_decimals(article_model(False)([X])) == to_8_decimals(BEFORE)


@either_index
def test_the_oracle_trains_to_the_articles_numbers(transposed: bool) -> None:
    net = oracle.trained([Step(W1), Step(W2)], X, TARGET, passes=100, transposed=transposed)
    assert to_8_decimals(oracle.predict(net, X)) == to_8_decimals(PRINTED[transposed])
    for step, weight in zip(net, WEIGHTS[transposed], strict=True):
        assert to_8_decimals(step.weight) == to_8_decimals(weight)


@either_index
def test_fit_trains_to_the_articles_numbers(transposed: bool) -> None:
    model = article_model(transposed)
    model.fit([X], [TARGET], loss=SquaredError(), optimizer=SGD(1.0), epochs=100, verbose=0)
    assert to_8_decimals(model([X])) == to_8_decimals(PRINTED[transposed])
    for name, weight in zip(("0.weight", "2.weight"), WEIGHTS[transposed], strict=True):
        assert to_8_decimals(model.parameters()[name].value) == to_8_decimals(weight)


@either_index
def test_every_one_of_the_100_steps_is_the_oracles(transposed: bool) -> None:
    model, net = article_model(transposed), [Step(W1), Step(W2)]
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(1.0))
    for _ in range(100):
        assert_equal(trainer.step([X], [TARGET]), oracle.loss(net, [X], [TARGET]))
        net = oracle.trained(net, X, TARGET, passes=1, transposed=transposed)
        assert_equal(model.vector.value, [w for step in net for row in step.weight for w in row])
