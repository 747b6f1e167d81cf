"""One weight of a convolution is explained by the places where it meets x; a user's layer is explained so too."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    GELU,
    Array,
    AvgPool1d,
    AvgPool2d,
    Composite,
    Constant,
    Conv1d,
    Conv2d,
    CrossEntropy,
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Parameter,
    ReLU,
    Sequential,
    SiLU,
    SquaredError,
    Tanh,
    Trace,
)
from nanonet.inspection.explanation import images
from nanonet.inspection.explanation.equations import WorkedLine
from nanonet.inspection.explanation.explanation import Explanation
from nanonet.inspection.explanation.terms import Terms, explains
from nanonet.inspection.record import LayerTrace
from tests.docs.test_languages import forbidden
from tests.inspection.test_explaining import check_lines, given_numbers, line_of


def check(explanation: Explanation) -> None:
    """Check that every line is true, and that the pass has the same numbers."""
    check_lines(explanation)
    assert [line.in_pass for line in explanation.lines if line.in_pass] == []


def traced(*layers: Layer, shape: tuple[int, ...], seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    model = Sequential(*layers, dtype=np.float64, rng=seed)
    x = rng.normal(size=(1, *shape))
    return model.trace(x, rng.normal(size=model(x).shape), SquaredError())


# ---- one weight


def test_a_small_convolution_is_written_out_in_full() -> None:
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    layer = Conv2d(1, 1, 2, weight=np.array([[[[1.0, 0.0], [0.0, -1.0]]]]))
    trace = Sequential(layer, dtype=np.float64).trace(x, np.zeros((1, 1, 2, 2)), SquaredError())
    explanation = trace.explain("0.weight", (0, 0, 1, 0), learning_rate=0.5)
    check(explanation)
    assert str(explanation) == (
        "The gradient of 0.weight[0, 0, 1, 0]: W₀[0, 0, 1, 0] belongs to layer 0,\nConv2d(1, 1, 2, weight=...).\n"
        "Subscripts are layer numbers, numbers in brackets are indices; both start at 0.\n\n"
        "The loss is SquaredError, of outputs of shape 1 × 2 × 2; only its value is shown:\n"
        "  E = 32\n\n"
        "Its derivative with respect to a₀[c, i, j] is taken from the pass:\n"
        "  g₀[0, 0, 0] = -4\n  g₀[0, 0, 1] = -4\n  g₀[0, 1, 0] = -4\n  g₀[0, 1, 1] = -4\n\n"
        "At 4 places of its kernel W₀[0, 0, 1, 0] meets an entry of x, and their product is a term of the sum\n"
        "a₀ of that place; the gradient is a sum over these places:\n"
        "  dE/dW₀[0, 0, 1, 0] = Σᵢⱼ g₀[0, i, j] × x[0, i + 1, j]\n"
        "                     = g₀[0, 0, 0] × x[0, 1, 0] + g₀[0, 0, 1] × x[0, 1, 1] + g₀[0, 1, 0] × x[0, 2, 0] + "
        "g₀[0, 1, 1] × x[0, 2, 1]\n"
        "                     = -4 × 3 + (-4) × 4 + (-4) × 6 + (-4) × 7\n"
        "                     = -80\n\n"
        "One step of gradient descent with learning_rate 0.5:\n"
        "  W₀[0, 0, 1, 0] ← W₀[0, 0, 1, 0] − learning_rate × dE/dW₀[0, 0, 1, 0] = 0 − 0.5 × (-80) = 40"
    )


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Layer, tuple[int, ...]]:
    """Draw a convolution over one or two axes, and the shape of its input."""
    axes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    several = st.lists(st.integers(1, 3), min_size=axes, max_size=axes).map(tuple)
    kernel, stride, dilation = draw(several), draw(several), draw(several)
    padding = draw(st.lists(st.integers(0, 2), min_size=axes, max_size=axes).map(tuple))
    size = tuple(d * (k - 1) + draw(st.integers(1, 3)) for k, d in zip(kernel, dilation, strict=True))
    channels = draw(st.integers(1, 2)) * groups
    layer = (Conv1d, Conv2d)[axes - 1](channels, 2 * groups, kernel, stride, padding, dilation, groups)
    return layer, (channels, *size)


@settings(max_examples=60)
@given(convolutions(), st.data())
def test_an_entry_of_any_convolution_is_the_sum_of_its_terms(
    drawn: tuple[Layer, tuple[int, ...]], data: st.DataObject
) -> None:
    layer, shape = drawn
    trace = traced(layer, shape=shape)
    for name in ("weight", "bias"):
        gradient = trace["0"].gradients[name]
        entry = tuple(data.draw(st.integers(0, n - 1)) for n in gradient.shape)
        explanation = trace.explain(f"0.{name}", entry)
        check(explanation)
        assert explanation.gradient == gradient[entry]
        check_symbols(trace, explanation.lines[-1])
    unit = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    terms = images._convolution(trace["0"], "x", unit)
    assert terms is not None
    g, weight = trace["0"].grad_output, trace["0"].parameters["weight"]
    pairs = zip(terms.outputs, terms.places, strict=True)
    total = sum(g[(0, *output)] * weight[tuple(place)] for output, place in pairs)
    assert total == pytest.approx(trace["0"].grad_input[(0, *unit)], rel=1e-12, abs=1e-12)


def check_symbols(trace: Trace, line: WorkedLine) -> None:
    """Check that each printed number is the one that its symbol names."""
    for term in line.terms:
        if found := re.fullmatch(r"(g₀|x)\[([\d, ]+)\]", term.symbol):
            array = trace["0"].grad_output if found[1] == "g₀" else trace.x
            assert float(term.value) == array[(0, *map(int, found[2].split(", ")))]


def test_where_a_weight_meets_the_padding_there_is_no_term() -> None:
    trace = traced(Conv2d(1, 1, 3, padding=1), shape=(1, 4, 4))
    corner, middle = (str(trace.explain("0.weight", (0, 0, k, k))) for k in (0, 1))
    assert "At 9 places of its kernel" in corner
    assert "at the other 7 it meets the padding" in " ".join(corner.split())
    assert "padding, which" not in middle
    assert "Σᵢⱼ g₀[0, i, j] × x[0, i − 1, j − 1]" in corner
    assert "Σᵢⱼ g₀[0, i, j] × x[0, i, j]" in middle


def test_of_many_terms_the_first_and_last_are_shown_and_the_others_counted() -> None:
    trace = traced(Conv2d(1, 2, 3, stride=2), shape=(1, 21, 21))
    explanation = trace.explain("0.weight", (1, 0, 2, 0))
    check(explanation)
    symbols = [term.symbol for term in explanation.lines[-1].terms]
    assert symbols[:2] + symbols[-3:] == ["g₀[1, 0, 0]", "x[0, 2, 0]", "g₀[1, 9, 9]", "x[0, 20, 18]", "…"]
    assert "… stands for the 96 terms between, taken together." in str(explanation)
    assert "x[0, 2i + 2, 2j]" in str(explanation)
    (rest,) = [term for term in explanation.lines[-1].terms if term.symbol == "…"]
    record = trace["0"]
    products = record.grad_output[0, 1] * record.input[0, 0, 2::2, :20:2]
    assert float(rest.value) == pytest.approx(products.ravel()[3:-1].sum(), rel=1e-12)


# ---- above it


def lenet(pool: type[Layer] = MaxPool2d, activation: type[Layer] = ReLU) -> Trace:
    layers = [Conv2d(1, 2, 3), activation(), pool(2), Flatten(), Linear(8, 3), Tanh(), Linear(3, 2)]  # type: ignore[call-arg]  # a pool takes its size
    model = Sequential(*layers, dtype=np.float64, rng=0)
    return model.trace(np.random.default_rng(0).normal(size=(1, 1, 6, 6)), [1], CrossEntropy())


@pytest.mark.parametrize("pool", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize("activation", [ReLU, GELU, SiLU])
def test_a_net_is_explained_from_the_loss_down_to_the_kernel(pool: type[Layer], activation: type[Layer]) -> None:
    trace = lenet(pool, activation)
    for name, entry in (("0.weight", (1, 0, 2, 1)), ("0.bias", 1)):
        explanation = trace.explain(name, entry)
        check(explanation)
        assert [line for line in given_numbers(explanation) if not line.startswith("dE/dy₁")] == []  # 0 at no maximum
        for line in explanation.lines:
            if found := re.fullmatch(r"g₀\[([\d, ]+)\]", line.left):
                assert float(line.value) == trace["0"].grad_output[(0, *map(int, found[1].split(", ")))]


def test_a_formula_with_parts_is_worked_out_for_the_entries_that_are_shown_alone() -> None:
    assert line_of(lenet(AvgPool2d, SiLU).explain("0.bias", 0), "s₁[0, 3, 3]").terms


def test_the_mean_of_a_channel_has_equal_shares() -> None:
    for conv, shape in ((Conv1d(1, 2, 2), (1, 5)), (Conv2d(1, 2, 2), (1, 4, 3))):
        for above in ([], [Linear(2, 2)]):
            layers = copy.deepcopy([conv, ReLU(), GlobalAvgPool(), *above])
            explanation = traced(*layers, shape=shape).explain("0.bias", 1)
            check(explanation)
            assert given_numbers(explanation) == []


def test_sequences_are_explained_like_images() -> None:
    for pool in (MaxPool1d(2), AvgPool1d(2)):
        layers = [Conv1d(2, 2, 3, padding=1), Tanh(), pool, Flatten(), Linear(8, 1)]
        explanation = traced(*layers, shape=(2, 8)).explain("0.weight", (1, 1, 0))
        check(explanation)
        assert "Σᵢ g₀[1, i] × x[1, i − 1]" in str(explanation)


def test_a_convolution_above_is_gone_through_as_long_as_the_outputs_are_few() -> None:
    few = traced(Conv2d(1, 1, 2), Tanh(), Conv2d(1, 1, 2), shape=(1, 3, 3)).explain("0.weight", (0, 0, 0, 0))
    check(few)
    assert line_of(few, "dE/dy₁[0, 1, 1]").sides[0] == "g₂[0, 0, 0] × W₂[0, 0, 1, 1]"
    many = traced(Conv2d(1, 1, 2), Tanh(), Conv2d(1, 4, 2), shape=(1, 5, 5)).explain("0.weight", (0, 0, 0, 0))
    check(many)
    assert "In layer 2, Conv2d(1, 4, 2), each of these goes into more outputs than can be followed." in str(many)


def test_an_entry_of_x_that_no_kernel_covers_has_the_gradient_0() -> None:
    explanation = traced(Conv2d(1, 1, 1), Conv2d(1, 1, 1, stride=2), shape=(1, 2, 2)).explain("0.bias", 0)
    check(explanation)
    assert line_of(explanation, "g₀[0, 0, 1]").sides == ("0",)


def test_within_a_composite_the_gradient_from_above_is_taken_from_the_pass() -> None:
    class Twice(Composite):
        def __init__(self) -> None:
            self.input_shape = (1, None, None)
            self.conv, self.other = Conv2d(1, 1, 2), Conv2d(1, 1, 2)

        def wire(self, call: Any, x: Any) -> Any:
            return call(self.other, call(self.conv, x))

    explanation = traced(Twice(), shape=(1, 3, 3)).explain("0.conv.weight", (0, 0, 1, 1))
    check(explanation)
    assert "The layer that contains layer 0.conv cannot be written out" in str(explanation)


def test_a_convolution_that_is_called_twice_is_not_written_out() -> None:
    class Twice(Composite):
        def __init__(self) -> None:
            self.input_shape = (1, None, None)
            self.conv = Conv2d(1, 1, 2)

        def wire(self, call: Any, x: Any) -> Any:
            return call(self.conv, call(self.conv, x))

    explanation = traced(Twice(), shape=(1, 3, 3)).explain("0.conv.weight", (0, 0, 1, 1))
    check(explanation)
    assert given_numbers(explanation) == ["dE/d0.conv.weight[0, 0, 1, 1]"]


def test_a_large_image_is_explained_at_once() -> None:
    trace = traced(Conv2d(1, 1, 3), GELU(), shape=(1, 96, 96))
    explanation = trace.explain("0.weight", (0, 0, 0, 0))
    assert explanation.lines[-1].value == pytest.approx(trace["0"].gradients["weight"][0, 0, 0, 0])


# ---- languages


def test_both_languages_have_the_same_lines_and_the_fixed_words() -> None:
    for pool in (MaxPool2d, AvgPool2d):
        english, japanese = (lenet(pool).explain("0.weight", (0, 0, 0, 0), lang=lang) for lang in ("en", "ja"))
        assert english.lines == japanese.lines
        assert forbidden(str(japanese)) == []
        assert re.findall(r"[A-Za-z]{3,} [a-z]{3,} [a-z]{3,}", "".join(each.title for each in japanese.sections)) == []
        assert not any("{" in section.title for section in (*english.sections, *japanese.sections))
    for words in (
        images.MEETS,
        images.MEETS_PADDING,
        images.ADDED,
        images.COVERED,
        images.LARGEST,
        images.MEAN,
        images.MOVED,
    ):
        assert set(words) == {"en", "ja"}


# ---- a user's layer


class Gain(Layer):
    """y = gain x, one gain for each channel of an image."""

    def __init__(self) -> None:
        self.gain = Parameter((2,), Constant(2.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x * self.gain.value[:, None, None], x

    def backward(self, grad: Array, cache: Array) -> Array:
        self.gain.grad = (grad * cache).sum(axis=(0, 2, 3))
        return grad * self.gain.value[:, None, None]


def gain_terms(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    if name == "x":
        return Terms([place], "gain", [place[:1]])
    places = [(place[0], i, j) for i, j in np.ndindex(record.output.shape[2:])]
    return Terms(places, "x", places, {"en": "`{z}` multiplies a whole channel of `{x}`:"})


@pytest.fixture
def registered(registrations: None) -> None:
    """State the terms of Gain."""
    explains(Gain)(gain_terms)


@pytest.mark.usefixtures("registered")
def test_a_users_layer_is_explained_by_the_terms_that_it_states() -> None:
    trace = traced(Conv2d(1, 2, 2), Gain(), Tanh(), shape=(1, 3, 3))
    own, below = trace.explain("1.gain", 1), trace.explain("0.weight", (1, 0, 0, 0))
    check(own)
    check(below)
    assert "gain₁[1] multiplies a whole channel of a₀:" in str(own)
    assert line_of(own, "dE/dgain₁[1]").sides[0].startswith("dE/dy₁[1, 0, 0] × a₀[1, 0, 0] + ")
    assert line_of(below, "g₀[1, 0, 1]").sides[0] == "dE/dy₁[1, 0, 1] × gain₁[1]"
    japanese = trace.explain("1.gain", 1, lang="ja")
    assert "`gain₁[1]` は `y₁` の成分の計算に使われます" in japanese.markdown  # no words are stated in Japanese


@pytest.mark.usefixtures("registered")
def test_a_subclass_is_explained_like_its_parent_unless_it_computes_something_else() -> None:
    class Named(Gain):
        pass

    class Halved(Gain):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
            y, cache = super().forward(x, training=training)
            return y / 2, cache

    assert len(traced(Named(), shape=(2, 1, 2)).explain("0.gain", 0).lines[-1].sides) > 1
    assert "is not a Linear" in str(traced(Halved(), shape=(2, 1, 2)).explain("0.gain", 0))
    explains(Halved)(lambda record, name, place: None)
    assert "is not a Linear" in str(traced(Halved(), shape=(2, 1, 2)).explain("0.gain", 0))


@pytest.mark.usefixtures("registered")
def test_a_layer_that_states_a_sum_has_an_error_signal() -> None:
    assert traced(Gain(), shape=(2, 1, 2))[0].symbol == "y"
    explains(Gain, sums=True)(gain_terms)
    trace = traced(Gain(), shape=(2, 1, 2))
    assert trace[0].symbol == "a"
    assert "g = dE/da" in str(trace)
    assert line_of(trace.explain("0.gain", 0), "g₀[0, 0, 1]")


@pytest.mark.usefixtures("registered")
def test_a_sum_in_letters_has_the_factor_that_is_stated() -> None:
    def spread(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
        both = [(place[0], i, j) for i, j in np.ndindex(record.output.shape[2:])]
        return Terms(both, "gain", [place] * len(both), general=("ij", "1, i, j", "1"))

    explains(Gain)(spread)
    sides = traced(Gain(), shape=(2, 1, 2)).explain("0.gain", 1).lines[-1].sides
    assert sides[:2] == ("Σᵢⱼ dE/dy₀[1, i, j] × gain₀[1]", "dE/dy₀[1, 0, 0] × gain₀[1] + dE/dy₀[1, 0, 1] × gain₀[1]")


@pytest.mark.usefixtures("registered")
def test_wrong_terms_show_that_the_pass_has_another_number() -> None:
    explains(Gain)(lambda record, name, place: Terms([(place[0], 0, 0)]))
    explanation = traced(Gain(), shape=(2, 1, 2)).explain("0.gain", 0)
    assert explanation.lines[-1].in_pass
    assert "the formula does not match the function computed" in str(explanation)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (lambda: Terms([(2, 0, 0)]), r"^explains\(Gain\): Gain\(\): y has shape \(2, 1, 2\) and no entry \(2, 0, 0\)"),
        (lambda: Terms([(0, 0)]), r"y has shape .* and no entry \(0, 0\)"),
        (lambda: Terms([(0, 0, 0)], "x", [(0, 0, -1)]), r"x has shape .* and no entry \(0, 0, -1\)"),
        (lambda: Terms([(0, 0, 0)], "scale", [(0,)]), r"the factor as a number or one of 'x', 'gain', got 'scale'"),
        (lambda: Terms([(0, 0, 0)], "x"), r"^Terms: expected places in x for each of the 1 outputs, got 0"),
    ],
)
@pytest.mark.usefixtures("registered")
def test_terms_that_name_no_entry_are_refused(terms: Any, message: str) -> None:
    explains(Gain)(lambda record, name, place: terms())
    with pytest.raises(ValueError, match=message):
        traced(Gain(), shape=(2, 1, 2)).explain("0.gain", 0)


def test_what_cannot_be_registered_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^explains: expected a class of layers, got Gain\(\); write @explains"):
        explains(Gain())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match=r"^explains: expected one class of layers or more"):
        explains()
    with pytest.raises(TypeError, match=r"^explains: expected a function, got 'text'"):
        explains(Gain)("text")  # type: ignore[arg-type]  # wrong on purpose
