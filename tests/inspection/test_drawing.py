"""The figure of a net shows every number as the scalar recursion has it; its words never overlap."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    Activation,
    Array,
    Constant,
    CrossEntropy,
    Flatten,
    Layer,
    Linear,
    Normal,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    SquaredError,
    Tanh,
    Trace,
    Uniform,
)
from nanonet.inspection.drawing.figure import Box, Circle, Figure, Stroke, Words
from nanonet.inspection.rounding import written
from tests import oracle
from tests.core.test_recursion import Problem
from tests.helpers import Doubled
from tests.oracle import Step

ARTICLE = [Step([[0.4, 0.3], [0.7, 0.6]]), Step([[0.2, 0.3], [1.0, 0.7]])]
X, TARGET = [1.0, 2.0], [1.0, 0.0]


def traced(net: list[Step], x: list[float], target: list[float]) -> Trace:
    return Problem(net, [x], [target]).model().trace([x], [target], SquaredError())


def text(number: float, digits: int = 4) -> str:
    return written(number, digits).replace("-", "−")


def units(figure: Figure) -> list[dict[str, dict[int, str]]]:
    """Return, for each column from left to right, the numbers by symbol and unit, as they are written."""
    columns: dict[float, dict[str, dict[int, str]]] = {}
    circles = [shape for shape in figure.shapes if isinstance(shape, Circle)]
    for name, number in zip(figure.words, figure.words[1:], strict=False):
        found = re.fullmatch(r"([xayg])\[(\d+)\]", name.text)
        if not (found and name.italic):
            continue
        around = [c for c in circles if np.hypot(c.x - name.x, c.y - name.y) < c.radius]
        assert len(around) == 1, f"{name.text} stands in no circle"
        column = columns.setdefault(around[0].x, {})
        column.setdefault(found[1], {})[int(found[2])] = number.text
    return [columns[x] for x in sorted(columns)]


def assert_shows(figure: Figure, net: list[Step], x: list[float], target: list[float]) -> None:
    """See that every unit has the recursion's a, y and g."""
    sums, inputs = oracle.outputs(net, x)
    g = oracle.sample_gradients(net, x, target).biases
    columns = units(figure)
    assert len(columns) == len(net) + 1
    assert columns[0]["x"].items() <= {j: text(value) for j, value in enumerate(x)}.items()
    for i, column in enumerate(columns[1:]):
        for symbol, true in (("a", sums[i]), ("y", inputs[i + 1]), ("g", g[i])):
            assert column[symbol].items() <= {j: text(value) for j, value in enumerate(true)}.items()
            assert len(column[symbol]) == (len(true) if len(true) <= 8 else 5)


@pytest.mark.parametrize("passes", [0, 100])
def test_the_articles_net_has_the_recursions_numbers(passes: int) -> None:
    net = oracle.trained(ARTICLE, X, TARGET, passes=passes)
    figure = traced(net, X, TARGET).draw()
    assert_shows(figure, net, X, TARGET)
    found = oracle.sample_gradients(net, X, TARGET)
    labels = [words.text for words in figure.words]
    for step, gradients in zip(net, found.weights, strict=True):
        for weight, gradient in zip(np.ravel(step.weight), np.ravel(gradients), strict=True):
            assert (text(float(weight)), text(float(gradient))) in pairwise(labels)
    assert f"E = {text(oracle.loss(net, [X], [TARGET]))}" in labels


@st.composite
def dense_nets(draw: st.DrawFn) -> tuple[list[Step], list[float], list[float]]:
    """Draw a net of 1 to 8 layers, 1 to 11 units wide."""
    widths = draw(st.lists(st.integers(1, 11), min_size=2, max_size=9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = draw(st.lists(st.sampled_from(["sigmoid", "tanh"]), min_size=len(widths) - 1, max_size=len(widths) - 1))
    biased = draw(st.booleans())
    net = [
        Step(rng.normal(size=(m, n)).tolist(), rng.normal(size=m).tolist() if biased else None, name)
        for n, m, name in zip(widths, widths[1:], names, strict=False)
    ]
    return net, rng.normal(size=widths[0]).tolist(), rng.normal(size=widths[-1]).tolist()


@settings(max_examples=40)
@given(dense_nets())
def test_a_drawn_net_has_the_recursions_numbers_and_no_two_words_overlap(
    drawn: tuple[list[Step], list[float], list[float]],
) -> None:
    figure = traced(*drawn).draw()
    assert_shows(figure, *drawn)
    assert_nothing_overlaps(figure)


def assert_nothing_overlaps(figure: Figure) -> None:
    """See that words run into no other words and across no circle, that circles are apart, and all is on the page."""
    boxes = np.array([words.box for words in figure.words])
    low, high = boxes[:, :2], boxes[:, 2:]
    assert (low >= 0).all()
    assert (high <= (figure.width, figure.height)).all()
    touching = np.all((low[:, None] < high[None] - 0.5) & (low[None] < high[:, None] - 0.5), axis=2)
    touching &= ~np.eye(len(low), dtype=bool)
    pairs = [(figure.words[i].text, figure.words[j].text) for i, j in np.argwhere(touching)]
    assert pairs == []
    circles = np.array([(c.x, c.y, c.radius) for c in figure.shapes if isinstance(c, Circle)]).reshape(-1, 3)
    centre, radius = circles[:, :2], circles[:, 2]
    apart = np.linalg.norm(centre[:, None] - centre[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (apart >= radius[:, None] + radius[None]).all()
    nearest = np.linalg.norm(np.clip(centre, low[:, None], high[:, None]) - centre, axis=2)
    farthest = np.linalg.norm(np.maximum(abs(low[:, None] - centre), abs(high[:, None] - centre)), axis=2)
    crossing = (nearest < radius - 1) & (farthest > radius + 2)
    assert [figure.words[i].text for i, _ in np.argwhere(crossing)] == []


LAYERS = st.sampled_from(["linear", "sigmoid", "tanh", "relu", "softmax", "residual", "chain", "flatten", "doubled"])


@st.composite
def mixed_nets(draw: st.DrawFn) -> tuple[Sequential, Any, Any]:
    """Draw a chain of dense layers, activations and others, with one sample and its target."""
    width = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(size=(1, width)) * 10.0 ** draw(st.integers(-20, 20))
    layers: list[Layer] = []
    for kind in draw(st.lists(LAYERS, max_size=8)):
        out = draw(st.integers(1, 12))
        layers.append(_layer(kind, width, out))
        width = {"linear": out, "doubled": 2 * width}.get(kind, width)
    return Sequential(*layers, dtype=np.float64, rng=rng), x, rng.normal(size=(1, width))


def _layer(kind: str, width: int, out: int) -> Layer:
    match kind:
        case "linear":
            return Linear(width, out, bias=Normal(1.0))
        case "residual":
            return Residual(Sequential(Linear(width, width), Tanh(), rng=1))
        case "chain":
            return Sequential(Linear(width, width), Sigmoid(), rng=2)
    simple: list[type[Layer]] = [Sigmoid, Tanh, ReLU, Softmax, Flatten, Doubled]
    return next(layer for layer in simple if layer.__name__.lower() == kind)()


@settings(max_examples=60)
@given(mixed_nets())
def test_a_chain_of_any_layers_is_drawn_with_its_prediction_and_no_two_words_overlap(
    drawn: tuple[Sequential, Any, Any],
) -> None:
    model, x, target = drawn
    trace = model.trace(x, target, SquaredError())
    np.testing.assert_array_equal(trace.prediction, model(x))
    figure = trace.draw()
    assert_nothing_overlaps(figure)
    ElementTree.fromstring(figure.svg)
    words = {words.text for words in figure.words}
    shown = range(len(target[0])) if len(target[0]) <= 8 else [0, 1, 2, -2, -1]
    assert {text(float(numbers[j])) for numbers in (trace.prediction[0], target[0]) for j in shown} <= words


def edges(figure: Figure) -> list[Stroke]:
    return [shape for shape in figure.shapes if isinstance(shape, Stroke) and shape.colour in ("plus", "minus")]


# ---- what is shown


def test_narrow_layers_have_numbers_on_their_edges_and_wide_ones_matrices() -> None:
    narrow = Sequential(Linear(3, 4), Tanh(), dtype=np.float64, rng=0).trace([[1.0, 2.0, 3.0]]).draw()
    wide = Sequential(Linear(3, 5), Tanh(), dtype=np.float64, rng=0).trace([[1.0, 2.0, 3.0]]).draw()
    assert not any(".weight (" in words.text for words in narrow.words)
    assert "0.weight (5 × 3)" in [words.text for words in wide.words]


def test_matrices_hold_the_weights_and_gradients_to_3_digits() -> None:
    model = Sequential(Linear(3, 5), Tanh(), dtype=np.float64, rng=0)
    trace = model.trace([[1.0, 2.0, 3.0]], [[0] * 5], SquaredError())
    words = [words.text for words in trace.draw().words]
    for array in (trace[0].parameters["weight"], trace[0].gradients["weight"], trace[0].gradients["bias"]):
        for number in array.ravel():
            assert text(float(number), 3) in words


def test_sign_and_size_of_a_weight_are_the_colour_and_thickness_of_its_edge() -> None:
    weight = np.linspace(-1, 2, 15).reshape(5, 3)
    figure = Sequential(Linear(3, 5, weight=weight, bias=False), dtype=np.float64).trace([[1.0, 2.0, 3.0]]).draw()
    drawn = edges(figure)[:15]
    for line, number in zip(drawn, weight.ravel(), strict=True):
        assert (line.colour, line.dashed) == (("plus", False) if number > 0 else ("minus", True))
    sizes = np.abs(weight).ravel()
    assert [drawn[i].width for i in np.argsort(sizes)] == sorted(line.width for line in drawn)


def test_a_weight_of_0_has_neither_colour() -> None:
    figure = Sequential(Linear(2, 5, weight=np.zeros((5, 2)), bias=False)).trace([X]).draw()
    assert edges(figure) == []
    assert "weight above 0" not in [words.text for words in figure.words]
    assert {line.colour for line in figure.shapes if isinstance(line, Stroke)} >= {"muted"}


@pytest.mark.parametrize("widths", [(2, 3), (3, 7)])
def test_an_edge_leads_from_each_unit_to_each_unit(widths: tuple[int, int]) -> None:
    figure = Sequential(Linear(*widths), dtype=np.float64, rng=0).trace(np.ones((1, widths[0]))).draw()
    circles = [shape for shape in figure.shapes if isinstance(shape, Circle)]
    left, right = ([(c.x, c.y) for c in circles if c.x == x] for x in sorted({c.x for c in circles}))
    assert (len(left), len(right)) == (widths[0] + 1, widths[1])
    ends = [((line.x1, line.y1), (line.x2, line.y2)) for line in figure.shapes if isinstance(line, Stroke)]
    assert all(ends.count((start, end)) == 1 for start in left for end in right)


@pytest.mark.parametrize("widths", [(2, 2, 2), (3, 2, 1), (1, 4, 2), (2, 3, 3)])
def test_the_numbers_of_an_edge_stand_on_it_and_on_no_other(widths: tuple[int, ...]) -> None:
    layers = [layer for sizes in pairwise(widths) for layer in (Linear(*sizes, bias=Normal(1.0)), Tanh())]
    figure = Sequential(*layers, dtype=np.float64, rng=0).trace(np.ones((1, widths[0]))).draw()
    lines = edges(figure)[:-2]
    labels = [shape for shape in figure.shapes if isinstance(shape, Box) and shape.colour is None]
    assert len(labels) == len(lines)
    share = np.linspace(0, 1, 500)
    for label in labels:
        through = 0
        for line in lines:
            x, y = line.x1 + share * (line.x2 - line.x1), line.y1 + share * (line.y2 - line.y1)
            inside = (label.x < x) & (x < label.x + label.width) & (label.y < y) & (y < label.y + label.height)
            through += bool(inside.any())
        assert through == 1


def test_a_matrix_stands_between_its_brackets_row_below_row() -> None:
    weight = np.arange(100.0, 120.0).reshape(10, 2)
    figure = Sequential(Linear(2, 10, weight=weight, bias=False), dtype=np.float64).trace([X]).draw()
    places = {words.text: words for words in figure.words}
    left, right = (places[text(100.0 + k, 3)] for k in (0, 1))
    assert left.x < right.x
    for j, rows in enumerate((0, 1, 2, 8, 9)):
        row = 100.0 + 2 * rows
        assert [places[text(row + k, 3)].x for k in (0, 1)] == [left.x, right.x]
        assert places[text(row, 3)].y == places[text(row + 1, 3)].y == left.y + 14 * (j + (j > 2))
    brackets = [line.x1 for line in figure.shapes if isinstance(line, Stroke) and line.x1 == line.x2]
    assert min(brackets) < left.box[0]
    assert right.box[2] < max(brackets)


def test_of_a_wide_matrix_the_first_and_last_columns_are_shown() -> None:
    weight = np.arange(100.0, 140.0).reshape(2, 20)
    figure = Sequential(Linear(20, 2, weight=weight, bias=False), dtype=np.float64).trace(np.zeros((1, 20))).draw()
    rows: dict[float, list[tuple[float, str]]] = {}
    for words in figure.words:
        if re.fullmatch(r"1\d\d", words.text):
            rows.setdefault(words.y, []).append((words.x, words.text))
    shown = [[number for _, number in sorted(rows[y])] for y in sorted(rows)]
    assert shown == [["100", "101", "102", "118", "119"], ["120", "121", "122", "138", "139"]]


def test_the_error_signal_of_an_activation_that_stands_alone_is_its_own() -> None:
    trace = Sequential(Tanh(), Sigmoid(), dtype=np.float64).trace([X], [TARGET], SquaredError())
    for i, column in enumerate(units(trace.draw())[1:]):
        grad = trace[i].grad_input
        assert grad is not None
        assert column["g"] == {j: text(float(number)) for j, number in enumerate(grad[0])}


def test_every_target_has_its_number() -> None:
    figure = Sequential(Linear(2, 3), dtype=np.float64, rng=0).trace([X], [[0.25, 0.5, 0.75]], SquaredError()).draw()
    words = [words.text for words in figure.words]
    assert {("t[0]", "0.2500"), ("t[1]", "0.5000"), ("t[2]", "0.7500")} <= set(pairwise(words))


def test_the_legend_says_what_every_sign_means() -> None:
    words = list(pairwise(words.text for words in simple().words))
    for sign, meaning in {"x": "input", "y": "what comes out", "t": "target", "E": "loss"}.items():
        assert (sign, meaning) in words
    assert not any(meaning == "gives the biases" for _, meaning in words)


def test_a_wide_layer_shows_its_first_and_last_units_and_how_many_lie_between() -> None:
    trace = Sequential(Linear(784, 30), Sigmoid(), Linear(30, 10), Sigmoid(), rng=0).trace(
        np.random.default_rng(0).random((1, 784)), np.eye(10)[[3]], SquaredError()
    )
    figure = trace.draw()
    words = [words.text for words in figure.words]
    assert {"779 more units", "25 more units", "5 more units"} <= set(words)
    assert set(units(figure)[0]["x"]) == {0, 1, 2, 782, 783}
    assert len(figure.svg.encode()) < 400_000
    assert_nothing_overlaps(figure)


def test_without_a_backward_pass_there_are_no_error_signals_and_no_zeros_in_their_place() -> None:
    figure = Sequential(Linear(2, 2), Sigmoid(), dtype=np.float64, rng=0).trace([X]).draw()
    words = [words.text for words in figure.words]
    assert not any(word in ("g", "t", "E") or word.startswith(("E =", "t[0]")) or "∂" in word for word in words)
    assert all(set(column) <= {"x", "a", "y"} for column in units(figure))
    assert not any(words.colour == "back" for words in figure.words)


def test_biases_lead_from_a_unit_that_is_always_1() -> None:
    with_bias = Sequential(Linear(2, 2, bias=[0.25, -0.75]), dtype=np.float64, rng=0).trace([X]).draw()
    without = Sequential(Linear(2, 2, bias=False), dtype=np.float64, rng=0).trace([X]).draw()
    assert {"1", "0.2500", "−0.7500"} <= {words.text for words in with_bias.words}
    assert "1" not in {words.text for words in without.words}


def test_what_is_not_dense_is_a_block_with_its_shapes() -> None:
    model = Sequential(Flatten(), Linear(4, 3), Softmax(), Residual(Linear(3, 3)), Linear(3, 2), rng=0)
    figure = model.trace(np.ones((1, 2, 2)), [[0, 1]], SquaredError()).draw()
    words = [words.text for words in figure.words]
    assert "0  Flatten()" in words
    assert "(batch, 2, 2) to (batch, 4)" in words
    assert "(batch, 3) to (batch, 3)" in words
    assert_nothing_overlaps(figure)


def test_chains_within_a_chain_are_drawn_as_one() -> None:
    inner = Sequential(Linear(2, 3), Tanh(), rng=1)
    outer = Sequential(inner, Sequential(Sequential(Linear(3, 1), rng=2), Sigmoid()), dtype=np.float64)
    figure = outer.trace([X]).draw()
    assert [sorted(column) for column in units(figure)] == [["x"], ["a", "y"], ["a", "y"]]
    assert "0.0  Linear(2, 3)" in [words.text for words in figure.words]


def test_labels_stand_beside_the_loss_and_rows_of_targets_beside_the_outputs() -> None:
    model = Sequential(Linear(2, 3), dtype=np.float64, rng=0)
    labelled = [words.text for words in model.trace([X], [2], CrossEntropy()).draw().words]
    assert "t = 2" in labelled
    rows = [words.text for words in model.trace([X], [[0.0, 1.0, 0.0]], CrossEntropy()).draw().words]
    assert {"t[0]", "t[1]", "t[2]"} <= set(rows)


@pytest.mark.parametrize(
    "model",
    [
        Sequential(Linear(1, 1), rng=0),
        Sequential(Sigmoid()),
        Sequential(Tanh(), ReLU(), Linear(1, 1), Tanh(), Sigmoid(), rng=0),
        Sequential(),
        Sequential(*[layer for _ in range(12) for layer in (Linear(1, 1), Tanh())], rng=0),
    ],
    ids=lambda model: f"{len(model)} layers",
)
def test_chains_of_any_length_are_drawn(model: Sequential) -> None:
    figure = model.trace([[0.5]], [[1.0]], SquaredError()).draw()
    assert_nothing_overlaps(figure)
    ElementTree.fromstring(figure.svg)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_shown_as_such(bad: float) -> None:
    for width in (2, 6):
        model = Sequential(Linear(2, width), Tanh(), Linear(width, 1), dtype=np.float64, rng=0)
        model[0].weight.value[0, 0] = bad  # type: ignore[attr-defined]  # a Linear has it
        figure = model.trace([X], [[1.0]], SquaredError()).draw()
        assert any("NaN" in words.text or "inf" in words.text for words in figure.words)
        ElementTree.fromstring(figure.svg)
        assert_nothing_overlaps(figure)


def test_sequences_and_integers_are_drawn_as_blocks() -> None:
    figure = Sequential(Linear(2, 3), Tanh(), rng=0).trace(np.ones((1, 4, 2))).draw()
    assert "(batch, 4, 2)" in [words.text for words in figure.words]
    ElementTree.fromstring(figure.svg)


# ---- bad input


def test_several_samples_ask_which_one() -> None:
    trace = Sequential(Linear(2, 1), rng=0).trace([X, X, [0.0, 0.0]], [[1.0], [0.0], [0.0]], SquaredError())
    with pytest.raises(ValueError, match=r"draw shows one sample, .* holds 3; choose one: draw\(sample=0\)"):
        trace.draw()
    assert units(trace.draw(sample=2))[0]["x"] == {0: "0", 1: "0"}
    with pytest.raises(IndexError, match="no sample 3"):
        trace.draw(sample=3)


# ---- the file


def simple() -> Figure:
    return traced(ARTICLE, X, TARGET).draw()


def test_the_svg_is_well_formed_scales_and_tells_what_it_shows() -> None:
    root = ElementTree.fromstring(simple().svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert root.attrib["viewBox"] == f"0 0 {width:.0f} {height:.0f}"
    assert root.attrib["role"] == "img"
    assert "A net of 2 - 2 - 2 units" in root.attrib["aria-label"]
    namespace = "{http://www.w3.org/2000/svg}"
    assert "E = 0.3939" in (root.findtext(f"{namespace}desc") or "")
    assert "script" not in simple().svg


def test_every_colour_is_there_for_white_and_for_dark_pages() -> None:
    svg = simple().svg
    used = set(re.findall(r"[fs]-([a-z]+)", re.sub(r"<style>.*</style>", "", svg, flags=re.DOTALL)))
    style = re.search(r"<style>(.*)</style>", svg, re.DOTALL)
    assert style is not None
    light, dark = style[1].split("@media screen and (prefers-color-scheme:dark)")
    for colour in used:
        for kind in "fs":
            assert f".{kind}-{colour}{{" in light
            assert f".{kind}-{colour}{{" in dark


def test_text_is_escaped() -> None:
    class Odd(Activation):
        def __repr__(self) -> str:
            return "Odd(<&\"'>)"

        def function(self, a: Any) -> Any:
            return a.copy()

        def derivative(self, a: Any, y: Any) -> Any:
            return np.ones_like(a)

    svg = Sequential(Linear(1, 1), Odd(), Odd(), rng=0).trace([[1.0]]).draw().svg
    root = ElementTree.fromstring(svg)
    assert "1  Odd(<&\"'>)" in "".join(root.itertext())
    assert "2  Odd(<&\"'>): y = " in root.attrib["aria-label"]


def test_a_notebook_gets_the_svg() -> None:
    figure = simple()
    assert figure._repr_svg_() == figure.svg


@pytest.mark.peer
def test_a_png_is_the_same_way_up() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    figure = simple()
    (axes,) = figure._matplotlib().axes
    assert axes.get_xlim() == (0, figure.width)
    assert axes.get_ylim() == (figure.height, 0)
    assert [label.get_text() for label in axes.texts] == [words.text for words in figure.words]


@pytest.mark.peer
def test_a_name_with_signs_of_tex_is_written_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")

    class Odd(Tanh):
        def __repr__(self) -> str:
            return r"Odd($\nothing$)"

    Sequential(Linear(1, 1), Odd(), rng=0).trace([[1.0]]).draw().save(tmp_path / "net.png")


@pytest.mark.peer
@pytest.mark.parametrize("ending", ["svg", "SVG", "png", "pdf"])
def test_it_is_saved_by_its_ending(ending: str, tmp_path: Path) -> None:
    if ending.lower() != "svg":
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = tmp_path / f"net.{ending}"
    simple().save(path)
    begin = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[ending.lower()]
    assert path.read_bytes().startswith(begin)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a path that ends in .svg, .png or .pdf, got .*net.gif"):
        simple().save(tmp_path / "net.gif")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_a_png_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'nanonet\[plot\]'"):
        simple().save(tmp_path / "net.png")
    simple().save(tmp_path / "net.svg")


def test_a_title_alone_tells_a_figure() -> None:
    assert repr(simple()).startswith("Figure(")
    assert any(isinstance(shape, Box) for shape in simple().shapes)
    assert all(isinstance(words, Words) for words in simple().words)


# ---- what a picture must not say


def test_a_heading_neither_leaves_the_page_nor_runs_into_the_next() -> None:
    narrow = Sequential(Linear(1, 1, bias=False), Linear(1, 1, bias=False), rng=0)
    assert_nothing_overlaps(narrow.trace([[1.0]]).draw())
    start = Uniform(-0.1, 0.1)
    long = Sequential(*[Linear(1, 1, bias=False, weight=start) for _ in "ab"], Linear(1, 1), rng=0)
    assert_nothing_overlaps(long.trace([[1.0]]).draw())
    assert_nothing_overlaps(
        Sequential(Linear(2, 50), rng=0).trace([X], [3], CrossEntropy(class_weight=[1.0] * 50)).draw()
    )


def test_a_linear_with_other_parameters_or_passes_is_a_block() -> None:
    class LowRank(Linear):
        def __init__(self) -> None:
            self.input_shape = (2,)
            self.u, self.v = Parameter((2, 1), Normal(1.0)), Parameter((1, 2), Normal(1.0))

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return x @ self.v.value.T @ self.u.value.T, x

        def backward(self, grad: Array, cache: Any) -> Array:
            self.u.grad, self.v.grad = grad.T @ (cache @ self.v.value.T), (grad @ self.u.value).T @ cache
            dx: Array = grad @ self.u.value @ self.v.value
            return dx

        def output_shape(self, input_shape: Any) -> Any:
            return input_shape

    class Doubled(Linear):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            y, cache = super().forward(x, training=training)
            return 2 * y, cache

    for layer in (LowRank(), Doubled(2, 2)):
        figure = Sequential(layer, Tanh(), rng=0).trace([X]).draw()
        assert [sorted(column) for column in units(figure)] == [["x"], ["y"], ["y"]]
        assert_nothing_overlaps(figure)


def test_an_activation_that_changes_the_width_is_a_block() -> None:
    class Maxout(Activation):
        def function(self, a: Array) -> Array:
            return np.maximum(a[:, ::2], a[:, 1::2])

        def derivative(self, a: Array, y: Array) -> Array:
            return np.ones_like(a)

    figure = Sequential(Linear(2, 4), Maxout(), rng=0).trace([X]).draw()
    assert [len(column["y"]) for column in units(figure) if "y" in column] == [2]


def test_characters_that_xml_does_not_allow_are_replaced() -> None:
    class Odd(Tanh):
        def __repr__(self) -> str:
            return "Odd(\x1b[31m\x00\ufffe\ud800)"

    ElementTree.fromstring(Sequential(Linear(1, 1), Odd(), rng=0).trace([[1.0]]).draw().svg)
    Sequential(Odd(), rng=0).trace([[1.0]]).draw().svg.encode("utf-8")


def test_an_infinite_weight_has_the_thickest_edge() -> None:
    drawn = edges(Sequential(Linear(2, 5, weight=Constant(1.0), bias=False)).trace([X]).draw())
    model = Sequential(Linear(2, 5, weight=Constant(0.5), bias=False))
    model[0].weight.value[3, 1] = np.inf  # type: ignore[attr-defined]  # a Linear has it
    wide = max(line.width for line in edges(model.trace([X]).draw())[:10])
    assert wide == max(line.width for line in drawn[:10])
