"""Explanations: every printed line is true of its printed digits, and its numbers are those of the recursion."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    ELU,
    SGD,
    Activation,
    Array,
    BinaryCrossEntropy,
    CrossEntropy,
    Dropout,
    Flatten,
    GaussianNLL,
    Identity,
    Layer,
    LeakyReLU,
    Linear,
    Loss,
    MeanSquaredError,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    SquaredError,
    Tanh,
)
from nanonet.inspection.explanation.derivation import Section
from nanonet.inspection.explanation.equations import Equation, Quantity, WorkedLine
from nanonet.inspection.explanation.explanation import Explanation
from nanonet.inspection.explanation.formulas import evaluate, parse
from nanonet.inspection.explanation.phrases import ENGLISH, JAPANESE
from nanonet.inspection.explanation.stated_formula import ClassFormula, loss_formulas, stated
from nanonet.inspection.explanation.writers import LatexWriter, TextWriter, word
from tests import oracle
from tests.helpers import Quartic
from tests.registry import LAYERS, LOSSES, LayerCase, LossCase, concrete, params

# ---- reading a printed line again, with nothing of what wrote it

NUMBER = r"-?(?:\d+\.?\d*(?:e-?\d+)?|NaN|inf)"
WORKING = Context(prec=80, rounding=ROUND_HALF_EVEN, Emax=10**9, Emin=-(10**9))


def pi() -> Decimal:
    """Return π in the precision of the context, by the means of Gauss and Legendre."""
    a, b, t, p = Decimal(1), 1 / Decimal(2).sqrt(), Decimal("0.25"), 1
    for _ in range(12):
        mean = (a + b) / 2
        a, b, t, p = mean, (a * b).sqrt(), t - p * (a - mean) ** 2, 2 * p
    return (a + b) ** 2 / (4 * t)


def erfc(a: Decimal) -> Decimal:
    """Return 1 - erf(a) by the alternating series, with as many digits more as it loses."""
    with localcontext(WORKING) as context:
        context.prec += int(a * a)
        power, total, n = a, a, 0
        while abs(power) > Decimal(10) ** -context.prec:
            n += 1
            power *= -a * a / n
            total += power / (2 * n + 1)
        return 1 - 2 * total / pi().sqrt()


def recomputed(side: str) -> Decimal:
    """Return what a printed side in numbers comes to, computed from its text."""
    text = re.sub(rf"\(… = ({NUMBER})\)", r"(\1)", side)
    text = text.replace("−", "-").replace("×", "*").replace("²", "**2").replace("³", "**3").replace("⁴", "**4")
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text)
    text = re.sub(r"(?<![\w.])(\d+\.?\d*(?:e-?\d+)?)", r'D("\1")', text)
    text = re.sub(r'\*\*D\("(\d)"\)', r"**\1", text)
    names: dict[str, Any] = {"D": Decimal, "abs": abs, "max": max, "min": min, "__builtins__": {}}
    names |= {"exp": lambda a: a.exp(), "log": lambda a: a.ln()}
    names["tanh"] = lambda a: ((2 * a).exp() - 1) / ((2 * a).exp() + 1)
    names |= {"erfc": erfc, "sqrt": lambda a: a.sqrt()}
    with localcontext(WORKING):
        return Decimal(eval(text, names))


WORDS = {"exp", "log", "tanh", "sqrt", "erfc", "max", "min", "if", "else", "e", "NaN", "inf"}


def in_numbers(line: WorkedLine) -> str:
    """Return the side with the numbers put in, which is the result itself where there is nothing to compute."""
    side = line.sides[-2] if len(line.sides) > 1 else line.result
    letters = set(re.findall(r"[A-Za-z]+", side))
    return side if letters <= WORDS and "[" not in side else line.result


def digits_of(printed: str) -> int:
    return max(len(re.sub(r"e.*|[-.]", "", printed).lstrip("0")), 1)


def rounded_like(value: Decimal, printed: str) -> Decimal:
    """Return a value in the last decimal place of a printed number."""
    place = Decimal(printed).as_tuple().exponent
    assert isinstance(place, int)
    with localcontext(WORKING):
        return value.quantize(Decimal((0, (1,), place)))


def check_line(line: WorkedLine) -> None:
    """Check that both what is printed and the true value come to the printed result."""
    assert line.sides[-1] == line.result
    assert rounded_like(line.value, line.result) == Decimal(line.result), line
    if line.terms:
        assert rounded_like(recomputed(in_numbers(line)), line.result) == Decimal(line.result), line
        for term in line.terms:
            assert term.printed in in_numbers(line)
            assert abs(Decimal(term.printed) - term.value) <= abs(term.value) * Decimal("1e-4"), line


def check_lines(explanation: Explanation) -> None:
    for line in explanation.lines:
        check_line(line)
    derived = [line.left for line in explanation.lines if line.relation == "="]
    assert len(derived) == len(set(derived)), "each is derived once"


def line_of(explanation: Explanation, left: str) -> WorkedLine:
    (line,) = [line for line in explanation.lines if line.left == left and line.relation == "="]
    return line


def numbers_in(text: str) -> list[str]:
    """Return all numbers in a text or in Markdown, in order."""
    text = re.sub(r" \\times 10\^\{(-?\d+)\}", r"e\1", text).replace("−", "-")
    text = re.sub(r"\\frac|\\left|\\right|_\{[^}]*\}|[₀-₉]", "", text)
    return re.findall(r"\d+\.\d+(?:e-?\d+)?", text)


# ---- the article's net


def article() -> Sequential:
    first = Linear(2, 2, weight=[[0.4, 0.3], [0.7, 0.6]], bias=False)
    second = Linear(2, 2, weight=[[0.2, 0.3], [1.0, 0.7]], bias=False)
    return Sequential(first, Sigmoid(), second, Sigmoid(), dtype=np.float64)


def explained(model: Sequential, *arguments: Any, **keywords: Any) -> Explanation:
    return model.trace([[1, 2]], [[1, 0]], SquaredError()).explain(*arguments, **keywords)


FIRST = """\
The gradient of 0.weight[1, 0]: W₀[1, 0] is the weight from input 0 to sum 1 of layer 0,
Linear(2, 2, weight=..., bias=False).
Subscripts are layer numbers, numbers in brackets are indices; both start at 0.

The loss is SquaredError, where t[j] is the target:
  E = Σᵢ (y₃[i] − t[i])² / 2
    = ((y₃[0] − t[0])² + (y₃[1] − t[1])²) / 2
    = ((0.600411 − 1)² + (0.792487 − 0)²) / 2
    = 0.39385

Its derivative with respect to y₃[j]:
  dE/dy₃[j] = y₃[j] − t[j]
  dE/dy₃[0] = y₃[0] − t[0] = 0.60041 − 1 = -0.39959
  dE/dy₃[1] = y₃[1] − t[1] = 0.79249 − 0 = 0.79249

Back through layer 3, Sigmoid(), where y₃ = f(a₂), to the error signal of layer 2:
  g₂[j] = dE/da₂[j] = dE/dy₃[j] × f′(a₂[j])
  f′(a₂[0]) = y₃[0] × (1 − y₃[0]) = 0.60041 × (1 − 0.60041) = 0.23992
  g₂[0] = dE/dy₃[0] × f′(a₂[0]) = -0.3995887 × 0.2399176 = -0.095868
  f′(a₂[1]) = y₃[1] × (1 − y₃[1]) = 0.79249 × (1 − 0.79249) = 0.16445
  g₂[1] = dE/dy₃[1] × f′(a₂[1]) = 0.792487 × 0.164451 = 0.13033

Back through layer 2, Linear(2, 2, weight=..., bias=False), where y₁[k] goes into every sum a₂[i],
with the weight W₂[i, k]:
  dE/dy₁[k] = Σᵢ g₂[i] × W₂[i, k]
  dE/dy₁[1] = Σᵢ g₂[i] × W₂[i, 1]
            = g₂[0] × W₂[0, 1] + g₂[1] × W₂[1, 1]
            = -0.09586835 × 0.3 + 0.1303255 × 0.7
            = 0.062467

Back through layer 1, Sigmoid(), where y₁ = f(a₀), to the error signal of layer 0:
  g₀[j] = dE/da₀[j] = dE/dy₁[j] × f′(a₀[j])
  f′(a₀[1]) = y₁[1] × (1 − y₁[1]) = 0.86989 × (1 − 0.86989) = 0.11318
  g₀[1] = dE/dy₁[1] × f′(a₀[1]) = 0.0624674 × 0.113180 = 0.0070701

W₀[1, 0] appears only in the sum a₀[1], in the term W₀[1, 0] × x[0]:
  dE/dW₀[1, 0] = g₀[1] × x[0] = 0.0070701 × 1 = 0.0070701

One step of gradient descent with learning_rate 1:
  W₀[1, 0] ← W₀[1, 0] − learning_rate × dE/dW₀[1, 0] = 0.7 − 1 × 0.0070701 = 0.69293"""


def test_it_is_the_worked_example_of_a_textbook() -> None:
    explanation = explained(article(), "0.weight", (1, 0), learning_rate=1.0)
    assert str(explanation) == FIRST
    check_lines(explanation)


@pytest.mark.parametrize("passes", [0, 100])
def test_the_articles_net_is_explained_with_the_numbers_of_the_recursion(passes: int) -> None:
    model, net = article(), [oracle.Step([[0.4, 0.3], [0.7, 0.6]]), oracle.Step([[0.2, 0.3], [1.0, 0.7]])]
    model.fit([[1, 2]], [[1, 0]], loss=SquaredError(), optimizer=SGD(1.0), epochs=passes) if passes else None
    net = oracle.trained(net, [1, 2], [1, 0], passes=passes)
    gradients = oracle.sample_gradients(net, [1, 2], [1, 0])
    for layer, name in enumerate(["0.weight", "2.weight"]):
        for j, k in np.ndindex(2, 2):
            explanation = explained(model, name, (j, k), learning_rate=1.0)
            check_lines(explanation)
            true = gradients.weights[layer][j][k]
            assert explanation.gradient == pytest.approx(true, rel=1e-12)
            line = line_of(explanation, f"dE/dW{'₀₂'[layer]}[{j}, {k}]")
            assert rounded_like(Decimal(true), line.result) == Decimal(line.result)
            g = line_of(explanation, f"g{'₀₂'[layer]}[{j}]")
            assert rounded_like(Decimal(gradients.biases[layer][j]), g.result) == Decimal(g.result)
            updated = rounded_like(Decimal(net[layer].weight[j][k] - true), explanation.lines[-1].result)
            assert updated == Decimal(explanation.lines[-1].result)
    if passes:
        known = [[0.5570883, 0.6141766], [0.92321105, 1.04642211]]  # article.md
        np.testing.assert_allclose(model.parameters()["0.weight"].value, known, atol=5e-9)


# ---- dense nets of any depth

MADE: dict[str, Callable[[], Activation]] = {"sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU, "identity": Identity}


@st.composite
def nets(draw: st.DrawFn) -> tuple[list[int], list[str], int]:
    """Draw widths, an activation for each layer, and a seed."""
    depth = draw(st.integers(1, 8))
    widths = draw(st.lists(st.integers(1, 10), min_size=depth + 1, max_size=depth + 1))
    kinds = draw(st.lists(st.sampled_from(sorted(MADE)), min_size=depth, max_size=depth))
    return widths, kinds, draw(st.integers(0, 10**6))


def build(widths: list[int], kinds: list[str], seed: int, dtype: Any) -> tuple[Sequential, list[list[float]]]:
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    for i, kind in enumerate(kinds):
        layers += [Linear(widths[i], widths[i + 1], bias=rng.normal(size=widths[i + 1])), MADE[kind]()]
    pair = [rng.normal(size=width).astype(dtype).tolist() for width in (widths[0], widths[-1])]
    return Sequential(*layers, dtype=dtype, rng=seed), pair


def steps_of(model: Sequential, kinds: list[str]) -> list[oracle.Step]:
    values = {name: parameter.value.tolist() for name, parameter in model.parameters().items()}
    return [oracle.Step(values[f"{2 * i}.weight"], values[f"{2 * i}.bias"], kind) for i, kind in enumerate(kinds)]


SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@settings(max_examples=25)
@given(nets(), st.data())
def test_every_line_of_any_dense_net_is_true_to_the_last_digit(drawn: Any, data: st.DataObject) -> None:
    widths, kinds, seed = drawn
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    model, (x, target) = build(widths, kinds, seed, dtype)
    trace = model.trace([x], [target], SquaredError())
    truth = oracle.sample_gradients(steps_of(model, kinds), x, target)
    layer = data.draw(st.integers(0, len(kinds) - 1))
    j, k = data.draw(st.integers(0, widths[layer + 1] - 1)), data.draw(st.integers(0, widths[layer] - 1))
    lines: dict[str, WorkedLine] = {}
    for name, entry in [(f"{2 * layer}.weight", (j, k)), (f"{2 * layer}.bias", (j,))]:
        explanation = trace.explain(name, entry, learning_rate=0.25)
        check_lines(explanation)
        assert explanation.gradient == float(trace.model.parameters()[name].grad[entry])
        lines |= {line.left: line for line in explanation.lines if line.relation == "="}
        for above in range(layer + 1, len(kinds)):
            found = [line.left for line in explanation.lines if line.left.startswith(f"g{sub(above)}[")]
            width = widths[above + 1]
            assert found == [f"g{sub(above)}[{i}]" for i in (range(width) if width <= 8 else [0, 1, 2, width - 1])]
        assert dtype is np.float32 or not any(line.in_pass for line in explanation.lines)
    if dtype is np.float64:
        expected = {f"dE/dW{sub(layer)}[{j}, {k}]": truth.weights[layer][j][k]}
        expected |= {f"g{sub(i)}[{u}]": truth.biases[i][u] for i, width in enumerate(widths[1:]) for u in range(width)}
        expected |= {f"dE/db{sub(layer)}[{j}]": truth.biases[layer][j]}
        for left in expected.keys() & lines.keys():
            line = lines[left]
            assert not line.in_pass
            assert rounded_like(Decimal(expected[left]), line.result) == Decimal(line.result), line


def sub(layer: int) -> str:
    """Return the number below a letter of the article's layer, counted from 0: each has two of nanonet's."""
    return str(2 * layer).translate(SUBSCRIPTS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("widths", [[2, 2, 2], [3, 5, 4, 2], [1, 1, 1], [10, 4, 3]])
def test_every_entry_can_be_explained(widths: list[int], dtype: Any) -> None:
    kinds = ["tanh", "sigmoid", "relu"][: len(widths) - 1]
    model, (x, target) = build(widths, kinds, 5, dtype)
    trace = model.trace([x], [target], SquaredError())
    for name, parameter in trace.model.parameters().items():
        for entry in np.ndindex(parameter.shape):
            explanation = trace.explain(name, entry)
            check_lines(explanation)
            assert explanation.gradient == float(parameter.grad[entry])


def test_long_sums_show_the_first_three_terms_and_the_last() -> None:
    model = Sequential(Linear(2, 1), Tanh(), Linear(1, 9), Tanh(), Linear(9, 8), rng=0, dtype=np.float64)
    explanation = model.trace([[1, 2]], np.ones((1, 8)), SquaredError()).explain("0.weight", (0, 1))
    check_lines(explanation)
    long, short = line_of(explanation, "dE/dy₁[0]"), line_of(explanation, "dE/dy₃[8]")
    assert long.sides[1] == ("g₂[0] × W₂[0, 0] + g₂[1] × W₂[1, 0] + g₂[2] × W₂[2, 0] + … + g₂[8] × W₂[8, 0]")
    assert long.sides[2].count("… =") == 1
    assert short.sides[1].count("×") == 8
    assert [line.left for line in explanation.lines if line.left.startswith("g₂")] == [f"g₂[{j}]" for j in (0, 1, 2, 8)]
    (between,) = [term for term in long.terms if term.symbol == "…"]
    assert float(between.value) == pytest.approx(sum(g * w for g, w in hidden_terms(model)), rel=1e-12)


def hidden_terms(model: Sequential) -> list[tuple[float, float]]:
    trace = model.trace([[1, 2]], np.ones((1, 8)), SquaredError())
    g = trace["2"].grad_output
    assert g is not None
    return list(zip(g[0, 3:8], trace["2"].parameters["weight"][3:8, 0], strict=True))


def test_it_is_said_once_what_is_between() -> None:
    model = Sequential(Linear(2, 9), Linear(9, 9), Linear(9, 9), rng=0)
    text = str(model.trace([[1, 2]], np.ones((1, 9)), SquaredError()).explain("0.bias", 4))
    assert text.count("… =") == 6
    assert text.count(ENGLISH["rest"].replace("`", "")) == 1


# ---- losses

ROWS = {loss: [case for case in cases if len(case.shape) == 1] for loss, cases in LOSSES.items()}
"""Losses are written out for rows of outputs alone, so Together, which is for several outputs, is not."""


def test_no_loss_is_forgotten() -> None:
    losses = concrete(Loss)  # type: ignore[type-abstract]  # the base is meant
    several = [loss for loss in losses if loss.several_targets or loss.predictions > 1]  # they have no formula
    assert all(ROWS.get(loss) or loss in several for loss in losses)


STATED = {loss: cases for loss, cases in ROWS.items() if loss is not GaussianNLL}
"""A formula is that of every output, and half of those of a GaussianNLL are means, the others variances."""


@pytest.mark.parametrize("case", params(STATED))
def test_the_formulas_of_every_loss_are_its_value_and_derivative(case: LossCase) -> None:
    loss, prediction = case.make(), case.prediction().astype(np.float64)
    target, _ = loss.check(prediction, case.target())
    for row in range(len(prediction)):
        y, t = prediction[row : row + 1], target[row : row + 1]
        formula, derivative, known = loss_formulas(loss, y, t)
        assert formula is not None
        assert derivative is not None
        known["y"] = Quantity(word("y", "[#]"), numbers=[*y[0]])
        value, cache = loss.forward(y, t)
        line = ClassFormula(loss, formula, known, None).line(word("E"), value)
        assert float(line.value) == pytest.approx(value, rel=1e-12)
        assert not line.in_pass
        for j, true in enumerate(loss.backward(cache)[0]):
            line = ClassFormula(loss, derivative, known, None).line(word("d"), true, j)
            check_line(line)
            assert not line.in_pass


@pytest.mark.parametrize("case", params(ROWS))
def test_every_loss_is_explained(case: LossCase) -> None:
    loss = case.make()
    model = Sequential(Linear(2, 3), Tanh(), Linear(3, *case.shape), rng=1, dtype=np.float64)
    x, target = np.array([[0.5, -1.5]]), case.target()[:1]
    explanation = model.trace(x, target, loss).explain("0.weight", (2, 1))
    check_lines(explanation)
    assert not any(line.in_pass for line in explanation.lines)
    assert len(explanation.lines) >= 6
    step = 1e-6
    weight = model.parameters()["0.weight"]
    values = []
    for sign in (1, -1):
        moved = weight.value.copy()
        moved[2, 1] += sign * step
        other = copy.deepcopy(model)
        other.parameters()["0.weight"].value = moved
        values.append(loss(other(x), target))
    assert explanation.gradient == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-9)


def test_cross_entropy_takes_off_the_largest_output() -> None:
    model = Sequential(Linear(1, 3, weight=[[1000.0], [999.0], [-2000.0]]), dtype=np.float64)
    explanation = model.trace([[1]], [1], CrossEntropy()).explain("0.weight", (1, 0))
    check_lines(explanation)
    assert line_of(explanation, "m").result == "1000"
    assert line_of(explanation, "p[1]").sides[1] == "exp(999 − 1000) / 1.3679"
    assert line_of(explanation, "g₀[1]").sides == ("p[1] − t[1]", "0.26894 − 1", "-0.73106")
    assert "to prevent overflow" in str(explanation)
    assert "t is 1 for the label and 0 for every other class." in str(explanation)


def test_rows_that_do_not_quite_sum_to_1_are_taken_as_they_are() -> None:
    model = Sequential(Linear(1, 2, weight=[[0.5], [-0.5]]), dtype=np.float64)
    exact, near = [model.trace([[1]], [[0.25, last]], CrossEntropy()).explain("0.bias", 1) for last in (0.75, 0.7505)]
    check_lines(exact)
    check_lines(near)
    assert line_of(exact, "g₀[1]").sides[0] == "p[1] − t[1]"
    assert line_of(near, "g₀[1]").sides[0] == "p[1] × Σᵢ t[i] − t[1]"
    assert not any(line.in_pass for line in near.lines)


@pytest.mark.peer
def test_cross_entropy_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    logits = np.array([[0.3, -1.2, 2.0]])
    for keywords, given_keywords in [
        ({}, {}),
        ({"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
        ({"class_weight": [1.0, 3.0, 0.5]}, {"weight": torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)}),
    ]:
        a = torch.tensor(logits, requires_grad=True)
        torch.nn.functional.cross_entropy(a, torch.tensor([1]), **given_keywords).backward()
        model = Sequential(Linear(3, 3, weight=np.eye(3), bias=False), dtype=np.float64)
        trace = model.trace(logits, [1], CrossEntropy(**keywords))  # type: ignore[arg-type]
        for j in range(3):
            explanation = trace.explain("0.weight", (j, 0))
            check_lines(explanation)
            line = line_of(explanation, f"g₀[{j}]")
            assert rounded_like(Decimal(float(a.grad[0, j])), line.result) == Decimal(line.result)


class WrittenQuartic(Quartic):
    """The same, with formulas that name one of its numbers."""

    formula = "sum((y - t)**power)"
    derivative_formula = "power * (y - t)**3"

    def __init__(self) -> None:
        self.power = 4


def test_a_loss_without_formulas_gives_its_numbers() -> None:
    model = article()
    explanation = model.trace([[1, 2]], [[1, 0]], Quartic()).explain("2.weight", (0, 1))
    check_lines(explanation)
    assert "no derivative_formula" in str(explanation)
    assert len(line_of(explanation, "dE/dy₃[0]").sides) == 1
    assert len(line_of(explanation, "g₂[0]").sides) == 3


def test_a_users_loss_has_formulas_like_a_built_in_one() -> None:
    explanation = article().trace([[1, 2]], [[1, 0]], WrittenQuartic()).explain("0.weight", (0, 1))
    check_lines(explanation)
    assert line_of(explanation, "dE/dy₃[0]").sides[:2] == ("power × (y₃[0] − t[0])³", "4 × (0.60041 − 1)³")


# ---- activations


@pytest.mark.parametrize("case", params(LAYERS, Activation))
def test_the_formula_of_every_activation_is_its_derivative(case: LayerCase) -> None:
    layer = case.make()
    assert isinstance(layer, Activation)
    derivative = stated(layer, "derivative_formula")
    assert derivative is not None
    a = np.concatenate([np.linspace(-4, 4, 41), [0.0, -30.0, 30.0, 1e-9]])
    y = layer.function(a)
    known = {"a": Quantity(word("a", "[#]"), numbers=[*a]), "y": Quantity(word("y", "[#]"), numbers=[*y])}
    formula = ClassFormula(layer, derivative, known, "1")
    for j, slope in enumerate(layer.derivative(a, y)):
        line = formula.line(word("d"), slope, j)
        check_line(line)
        assert float(line.value) == pytest.approx(slope, rel=1e-7, abs=1e-15)


@pytest.mark.parametrize("case", params(LAYERS, Activation))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_activation_is_explained(case: LayerCase, dtype: Any) -> None:
    make = case.make
    model = Sequential(Linear(2, 3), make(), Linear(3, 2), make(), make(), rng=3, dtype=dtype)
    explanation = model.trace([[0.3, -0.7]], [[1, 0]], SquaredError()).explain("0.weight", (1, 1))
    check_lines(explanation)
    assert len([line for line in explanation.lines if line.left.startswith("f′(")]) == 5


class Gaussian(Activation):
    """y = exp(-a^2), without a formula."""

    def function(self, a: Array) -> Array:
        return np.exp(-a * a)

    def derivative(self, a: Array, y: Array) -> Array:
        return -2 * a * y


class Steep(Sigmoid):
    """A sigmoid with another derivative; its parent's formula is none of its own."""

    def derivative(self, a: Array, y: Array) -> Array:
        return 2 * y * (1 - y)


class Learned(Activation):
    """y = slope a, with a slope that is a parameter."""

    derivative_formula = "slope"

    def __init__(self) -> None:
        self.slope = Parameter((), np.array(0.25))

    def function(self, a: Array) -> Array:
        return self.slope.value * a

    def derivative(self, a: Array, y: Array) -> Array:
        return np.full_like(a, self.slope.value)

    def backward(self, grad: Array, cache: Any) -> Array:
        self.slope.grad = np.array((grad * cache[0]).sum())
        return super().backward(grad, cache)


@pytest.mark.parametrize("kind", [Gaussian, Steep])
def test_an_activation_without_a_formula_gives_the_number_of_its_derivative(kind: type[Activation]) -> None:
    model = Sequential(Linear(2, 2), kind(), Linear(2, 1), rng=1)
    explanation = model.trace([[1, 2]], [[0]], SquaredError()).explain("0.weight", (0, 1))
    check_lines(explanation)
    assert "no derivative_formula" in str(explanation)
    assert len(line_of(explanation, "f′(a₀[0])").sides) == 1


def test_formulas_are_not_inherited_past_the_method_that_they_are_of() -> None:
    class Twice(SquaredError):
        def derivative(self, prediction: Array, target: Array) -> Array:
            return 2 * (prediction - target)

    class Written(Twice):
        derivative_formula = "2 * (y - t)"

    class Renamed(SquaredError):
        def draw_target(self, shape: Any, rng: Any) -> Any:
            return rng.normal(size=shape)

    class Mixin(Twice, SquaredError):
        pass

    class Again(Written):
        def counts(self, target: Array) -> Array | None:
            return None

    assert stated(Steep(), "derivative_formula") is None
    assert (stated(Twice(), "formula"), stated(Twice(), "derivative_formula")) == (None, None)
    assert stated(Mixin(), "formula") is None
    assert stated(Written(), "derivative_formula") == "2 * (y - t)"
    assert stated(Written(), "formula") is None
    assert stated(Again(), "derivative_formula") is None
    assert stated(Renamed(), "derivative_formula") == "y - t"
    assert stated(Gaussian(), "derivative_formula") is None


def test_a_formula_may_name_a_parameter() -> None:
    model = Sequential(Linear(2, 2), Learned(), Linear(2, 1), rng=1)
    trace = model.trace([[1, 2]], [[0]], SquaredError())
    assert line_of(trace.explain("0.weight", (0, 1)), "f′(a₀[0])").sides == ("slope", "0.25")
    alone = trace.explain("1.slope", ())
    assert alone.gradient == float(trace.model.parameters()["1.slope"].grad)
    assert "is not a Linear" in str(alone)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y *", "not a formula"),
        ("y; y", "ends in one expression"),
        ("open(y)", "'open(y)' is not part of one"),
        ("y.real", "'y.real' is not part of one"),
        ("'y'", "\"'y'\" is not part of one"),
        ("import os", "'import os' is not part of one"),
        ("y * speed", "names 'speed'"),
    ],
)
def test_a_wrong_formula_is_refused_with_its_class(formula: str, message: str) -> None:
    kind = type("Wrong", (Identity,), {"derivative_formula": formula})
    model = Sequential(Linear(1, 1), kind())
    with pytest.raises(ValueError, match=rf"^Wrong: .*{re.escape(message)}"):
        model.trace([[1]], [[0]], SquaredError()).explain("0.weight", (0, 0))


def test_a_formula_of_another_function_shows_that_the_pass_has_another_number() -> None:
    kind = type("Wrong", (Identity,), {"derivative_formula": "2 * a / 3"})
    model = Sequential(Linear(1, 1, weight=[[1.0]]), kind())
    explanation = model.trace([[1]], [[0]], SquaredError()).explain("0.weight", (0, 0))
    check_lines(explanation)
    assert line_of(explanation, "f′(a₀[0])").in_pass == "1"
    assert "(the pass has 1: the formula does not match the function computed)" in str(explanation)
    assert "rounded" not in str(explanation)


def test_a_formula_of_the_loss_that_is_no_single_number_is_refused() -> None:
    class Loose(Quartic):
        formula = "(y - t)**4"

    with pytest.raises(ValueError, match=r"^Loose: .* try sum"):
        article().trace([[1, 2]], [[1, 0]], Loose()).explain("0.weight", (0, 1))


# ---- what cannot be written out


def given_numbers(explanation: Explanation) -> list[str]:
    return [line.left for line in explanation.lines if len(line.sides) == 1]


def test_it_starts_above_the_highest_layer_that_can_be_written_out() -> None:
    model = Sequential(Linear(2, 3), Tanh(), Linear(3, 2), Softmax(), Linear(2, 1), rng=0, dtype=np.float64)
    trace = model.trace([[1, 2]], [[1]], SquaredError())
    below, above = trace.explain("0.weight", (2, 1)), trace.explain("4.weight", (0, 1))
    check_lines(below)
    check_lines(above)
    assert given_numbers(below) == ["g₂[0]", "g₂[1]"]
    assert "Layer 3, Softmax(), is neither a Linear nor an Activation" in str(below)
    assert given_numbers(above) == []
    assert line_of(above, "dE/dW₄[0, 1]").sides[0] == "g₄[0] × y₃[1]"


@pytest.mark.parametrize("layer", [Softmax(), Dropout(), Residual(Linear(3, 3)), Flatten()])
def test_the_layer_that_is_not_written_out_is_named(layer: Layer) -> None:
    model = Sequential(Linear(2, 3), copy.deepcopy(layer), Linear(3, 1), rng=0)
    explanation = model.trace([[1, 2]], [[1]], SquaredError()).explain("0.bias", 2)
    check_lines(explanation)
    assert given_numbers(explanation) == ["g₀[2]"]
    assert f"Layer 1, {type(layer).__name__}" in str(explanation)


def test_nested_chains_are_one_chain() -> None:
    def layers() -> list[Layer]:
        return [Linear(2, 3, weight=np.ones((3, 2))), Tanh(), Linear(3, 2, weight=np.ones((2, 3))), ReLU(), ELU()]

    a, b, c, d, e = layers()
    nested = Sequential(Sequential(a, b), Sequential(Sequential(c), d), e, dtype=np.float64)
    plain = Sequential(*layers(), dtype=np.float64)
    arguments = [[1, 2]], [[1, 0]], SquaredError()
    explanation = nested.trace(*arguments).explain("0.0.weight", (1, 1))
    check_lines(explanation)
    expected = plain.trace(*arguments).explain("0.weight", (1, 1))
    assert [line.result for line in explanation.lines] == [line.result for line in expected.lines]
    assert explanation.lines[-1].left == "dE/dW₀.₀[1, 1]"


def test_a_chain_within_another_layer_starts_at_what_comes_back_to_it() -> None:
    inner = Sequential(Linear(3, 3), Tanh(), Linear(3, 3), rng=1)
    model = Sequential(Linear(2, 3), Residual(inner), Linear(3, 1), rng=0, dtype=np.float64)
    explanation = model.trace([[1, 2]], [[1]], SquaredError()).explain("1.inner.0.weight", (2, 1))
    check_lines(explanation)
    assert given_numbers(explanation) == [f"g_1.inner.2[{j}]" for j in range(3)]
    assert explanation.lines[-1].sides[0] == "g_1.inner.0[2] × x_1.inner.0[1]"


class Called(Layer):
    """Calls its one Linear twice."""

    def __init__(self) -> None:
        self.cell = Linear(2, 2)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        first, before = self.cell.forward(x)
        second, after = self.cell.forward(first)
        return second, (before, after)

    def backward(self, grad: Array, cache: Any) -> Array:
        grad = self.cell.backward(grad, cache[1])
        kept = self.cell.weight.grad.copy(), None if self.cell.bias is None else self.cell.bias.grad.copy()
        grad = self.cell.backward(grad, cache[0])
        self.cell.weight.grad = self.cell.weight.grad + kept[0]
        if self.cell.bias is not None and kept[1] is not None:
            self.cell.bias.grad = self.cell.bias.grad + kept[1]
        return grad


def test_a_gradient_that_is_a_sum_over_calls_is_given_as_its_number() -> None:
    model, x, name = Sequential(Called(), rng=1), [[1, 2]], "0.cell.weight"
    trace = model.trace(x, np.ones_like(model(x)), SquaredError())
    explanation = trace.explain(name, (1, 0), learning_rate=0.5)
    assert explanation.gradient == float(trace.model.parameters()[name].grad[1, 0])
    assert given_numbers(explanation) == [f"dE/d{name}[1, 0]"]
    check_lines(explanation)


def test_a_parameter_of_the_model_itself_is_given_as_its_number() -> None:
    class Scaled(Sequential):
        def __init__(self) -> None:
            self.scale = Parameter((1,), np.array([2.0]))
            super().__init__(Linear(2, 1), rng=0)

        def forward(self, x: Array, *, training: bool = False) -> Any:
            y, caches = super().forward(x)
            return self.scale.value * y, [*caches, y]

        def backward(self, grad: Array, cache: Any) -> Array:
            self.scale.grad = (grad * cache[-1]).sum(axis=0)
            return super().backward(grad * self.scale.value, cache[:-1])

    trace = Scaled().trace([[1, 2]], [[1]], SquaredError())
    assert trace.explain("scale", 0).gradient == float(trace.model.parameters()["scale"].grad[0])
    explanation = trace.explain("0.weight", (0, 1))
    check_lines(explanation)
    assert given_numbers(explanation) == ["g₀[0]"]


# ---- both languages, and LaTeX


def cases() -> list[Explanation]:
    x, one = [[1, 2]], [[1, 0]]
    wide = Sequential(Linear(2, 20), SiLU(), Linear(20, 3), LeakyReLU(), rng=1)
    mixed = Sequential(Linear(2, 2), Gaussian(), Softmax(), Linear(2, 2), rng=1)
    found = []
    for lang in ("en", "ja"):
        found += [
            explained(article(), "0.weight", (1, 0), learning_rate=1e-7, lang=lang),
            wide.trace(x, [2], CrossEntropy(label_smoothing=0.1, class_weight=[1, 2, 3])).explain(
                "0.bias", 3, lang=lang
            ),
            wide.trace(x, [[0, 0, 1]], MeanSquaredError()).explain("2.weight", (0, 1), lang=lang),
            mixed.trace(x, one, Quartic()).explain("0.weight", (1, 0), learning_rate=0.1, lang=lang),
            mixed.trace(x, one, BinaryCrossEntropy()).explain("3.weight", (1, 0), lang=lang),
        ]
    return found


def test_both_languages_and_both_forms_hold_the_same_numbers() -> None:
    found = cases()
    for english, japanese in zip(found[: len(found) // 2], found[len(found) // 2 :], strict=True):
        assert english.lines == japanese.lines
        equations = numbers_in("\n".join(" = ".join([line.left, *line.sides]) for line in english.lines))
        for explanation in (english, japanese):
            text, markdown = str(explanation), explanation.markdown
            for number in equations:
                assert number in text
            assert sorted(set(equations)) == sorted(set(numbers_in(text)) & set(equations))
            assert set(equations) <= set(numbers_in(markdown))
            assert explanation._repr_markdown_() == markdown


def test_latex_is_balanced() -> None:
    for explanation in cases():
        blocks = re.findall(r"\$\$\n(.*?)\n\$\$", explanation.markdown, re.DOTALL)
        assert len(blocks) >= len([section for section in explanation.sections if section.lines])
        assert explanation.markdown.count("$") == 4 * len(blocks)
        for block in blocks:
            assert block.count("{") == block.count("}")
            assert block.count(r"\left") - block.count(r"\leftarrow") == block.count(r"\right")
            assert block.count(r"\begin") == block.count(r"\end")
            assert "₀" not in block
            assert "×" not in block
            assert "#" not in block


def test_both_languages_say_the_same_things() -> None:
    assert ENGLISH.keys() == JAPANESE.keys()
    for key, phrase in ENGLISH.items():
        wanted = set(re.findall(r"\{(\w+)\}", phrase))
        assert set(re.findall(r"\{(\w+)\}", JAPANESE[key])) == wanted
        assert phrase.count("`") % 2 == JAPANESE[key].count("`") % 2 == 0


def test_an_explanation_in_japanese_has_the_words_of_the_textbooks() -> None:
    text = str(explained(article(), "0.weight", (1, 0), learning_rate=1.0, lang="ja"))
    for word_ in ("逆伝播", "勾配", "誤差信号", "損失", "学習率", "重み", "層"):
        assert word_ in text
    assert "gradient" not in text


# ---- what is asked for wrongly


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        (("0.wieght", (0, 0)), {}, KeyError, "there is no parameter '0.wieght'; did you mean '0.weight'?"),
        (
            ("0.weight", (2, 0)),
            {},
            IndexError,
            "0.weight has shape (2, 2) and no entry (2, 0); its last",
        ),
        (("0.weight", 0), {}, IndexError, "explain('0.weight', (1, 1))"),
        (("0.weight", (0, 0, 0)), {}, IndexError, "no entry (0, 0, 0)"),
        (("0.weight", (0.0, 1)), {}, TypeError, "expected the entry as ints, got (0.0, 1)"),
        (("0.weight", (True, 1)), {}, TypeError, "expected the entry as ints"),
        (("0.weight", (0, 0)), {"lang": "fr"}, ValueError, 'expected lang "en" or "ja", got \'fr\''),
        (("0.weight", (0, 0)), {"learning_rate": "1"}, TypeError, "expected learning_rate as a number"),
        (("0.weight", (0, 0)), {"learning_rate": float("nan")}, ValueError, "expected a finite learning_rate"),
    ],
)
def test_a_wrong_question_is_answered_with_the_right_one(
    arguments: Any, keywords: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        explained(article(), *arguments, **keywords)


def test_a_trace_without_a_backward_pass_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"model\.trace\(x, target, SquaredError\(\)\)"):
        article().trace([[1, 2]]).explain("0.weight", (0, 0))


def test_entries_count_from_the_end_too() -> None:
    assert str(explained(article(), "0.weight", (-1, np.int64(-2)))) == str(explained(article(), "0.weight", (1, 0)))


# ---- numbers at the edge


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("loss", [SquaredError(), BinaryCrossEntropy(), MeanSquaredError()])
def test_nan_and_infinity_are_shown_as_such(strange: float, loss: Loss) -> None:
    for model in (article(), Sequential(Linear(2, 2), ReLU(), Linear(2, 2), LeakyReLU(), rng=0)):
        weight = model.parameters()["2.weight"].value.copy()
        weight[0, 0] = strange
        model.parameters()["2.weight"].value = weight
        explanation = model.trace([[1, 2]], [[1, 0]], loss).explain("0.weight", (0, 0), learning_rate=0.1)
        assert "NaN" in str(explanation) or "inf" in str(explanation)
        assert not any(line.in_pass for line in explanation.lines)
        assert "mathrm{NaN}" in explanation.markdown or "infty" in explanation.markdown


def test_nan_in_the_logits_is_shown_as_such() -> None:
    model = Sequential(Linear(1, 2))
    assert "NaN" in str(model.trace([[np.nan]], [1], CrossEntropy()).explain("0.weight", (0, 0)))


def test_saturated_units_are_explained() -> None:
    model = Sequential(Linear(1, 2, weight=[[1e4], [-1e4]]), Sigmoid(), Linear(2, 2), SiLU(), rng=0, dtype=np.float64)
    for entry in [(0, 0), (1, 0)]:
        check_lines(model.trace([[1]], [[1, 0]], SquaredError()).explain("0.weight", entry))


def test_a_pass_that_rounds_coarsely_has_its_number_beside_that_of_the_line() -> None:
    weight = np.array([[0.1], [0.2], [-0.3]], np.float32)
    model = Sequential(Linear(1, 1, weight=[[1.0]]), Linear(1, 3, weight=weight))
    explanation = model.trace([[1]], weight.T - 1, SquaredError()).explain("0.weight", (0, 0))
    check_lines(explanation)
    line = line_of(explanation, "g₀[0]")
    assert line.in_pass
    assert line.in_pass != line.result
    assert f"the pass has {line.in_pass}" in str(explanation)


def test_a_frozen_parameter_is_said_to_stay() -> None:
    model = article()
    model.parameters()["0.weight"].trainable = False
    assert "It is frozen" in str(explained(model, "0.weight", (1, 0), learning_rate=1.0))


@pytest.mark.parametrize(
    ("formula", "value", "text", "latex"),
    [
        ("1 - 2 - 3", "-4", "1 − 2 − 3", "1 - 2 - 3"),
        ("1 - (2 - 3)", "2", "1 − (2 − 3)", r"1 - \left(2 - 3\right)"),
        ("8 / (4 / 2)", "4", "8 / (4 / 2)", r"\frac{8}{\frac{4}{2}}"),
        ("8 / (4 * 2)", "1", "8 / (4 × 2)", r"\frac{8}{4 \times 2}"),
        ("(1 + 2) * 3", "9", "(1 + 2) × 3", r"\left(1 + 2\right) \times 3"),
        ("-2**2", "-4", "−2²", "-2^{2}"),
        ("(-2)**2", "4", "(−2)²", r"\left(-2\right)^{2}"),
        ("3 * -2", "-6", "3 × (−2)", r"3 \times \left(-2\right)"),
        ("(1 / 2)**2", "0.25", "(1 / 2)²", r"\left(\frac{1}{2}\right)^{2}"),
        ("max(1, 3) - min(4, 5)", "-1", "max(1, 3) − min(4, 5)", r"\max\left(1, 3\right) - \min\left(4, 5\right)"),
        ("abs(-3) * tanh(0)", "0", "|−3| × tanh(0)", r"\left|-3\right| \times \tanh\left(0\right)"),
        ("sqrt(16) / 2", "2", "sqrt(16) / 2", r"\frac{\sqrt{16}}{2}"),
        ("erfc(0) / 2", "0.5", "erfc(0) / 2", r"\frac{\operatorname{erfc}\left(0\right)}{2}"),
        ("1 if 2 >= 2 else 0", "1", "(1 if 2 >= 2 else 0)", None),
        ("2 * (1 if 2 < 2 else 3)", "6", "2 × (1 if 2 < 2 else 3)", None),
    ],
)
def test_formulas_are_written_and_worked_out_by_the_rules_of_arithmetic(
    formula: str, value: str, text: str, latex: str | None
) -> None:
    (step,) = parse(formula, "")
    assert evaluate(step.expression, {}) == Decimal(value)
    assert TextWriter(lambda name, index: name).write(step.expression) == text
    assert recomputed(text) == Decimal(value)
    if latex is not None:
        assert LatexWriter(lambda name, index: name).write(step.expression) == latex


@pytest.mark.parametrize("a", ["1e-30", "0.001", "-0.5", "2", "-5.999", "5.999", "6", "7.25", "-7", "30"])
def test_erfc_is_right_to_55_digits(a: str) -> None:
    (step,) = parse(f"erfc({a})", "")
    found, exact = evaluate(step.expression, {}), erfc(Decimal(a))
    with localcontext(WORKING):
        assert abs(found / exact - 1) < Decimal("1e-55")


def test_a_product_that_float32_rounds_to_other_digits_is_shown_with_more_or_fewer() -> None:
    (step,) = parse("g * x", "")
    rng = np.random.default_rng(0)
    lengths = set()
    for g, x in rng.normal(size=(3000, 2)).astype(np.float32):
        line = Equation(step.expression, {"g": Quantity(word("g"), g), "x": Quantity(word("x"), x)}).line(
            word("p"), g * x
        )
        assert not line.in_pass
        check_line(line)
        lengths.add(digits_of(line.result))
    assert 6 in lengths


def test_results_are_short_only_where_nothing_was_rounded() -> None:
    (step,) = parse("x - t", "")
    for x, result in [(0.25, "0.25"), (0.00118600001, "0.0011860")]:
        line = Equation(step.expression, {"x": Quantity(word("x"), x), "t": Quantity(word("t"), 0.0)}).line(word("d"))
        assert line.result == result


def test_a_number_with_a_power_of_ten_is_raised_in_brackets() -> None:
    (step,) = parse("x**2", "")
    line = Equation(step.expression, {"x": Quantity(word("x"), 1.5e-9)}).line(word("d"))
    assert line.sides == ("x²", "(1.5e-9)²", "2.25e-18")
    assert line.latex_sides[1:] == (r"\left(1.5 \times 10^{-9}\right)^{2}", r"2.25 \times 10^{-18}")


def test_sections_are_plain_data() -> None:
    explanation = explained(article(), "2.weight", (1, 0))
    assert all(isinstance(section, Section) for section in explanation.sections)
    assert [line.left for line in explanation.lines] == ["E", "dE/dy₃[1]", "f′(a₂[1])", "g₂[1]", "dE/dW₂[1, 0]"]
    assert digits_of(explanation.lines[-1].result) == 5


@pytest.mark.parametrize(
    ("formula", "message"), [("(a > 0)", "'a > 0' is not part of one; there are names"), ("sin(a)", "abs, exp")]
)
def test_what_is_no_formula_is_refused_with_what_one_is_made_of(formula: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(formula, "Mine")


def test_a_formula_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="Mine: expected a formula as text, such as 'y"):
        parse(3, "Mine")  # type: ignore[arg-type]  # what is wrong on purpose
