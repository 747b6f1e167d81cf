"""The gradient of a recurrent weight is written out over the times, and that of attention through one score."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    GRU,
    LSTM,
    RNN,
    Array,
    Constant,
    Layer,
    Linear,
    MultiHeadAttention,
    Parameter,
    PositionalEncoding,
    Sequential,
    SquaredError,
    Trace,
    TransformerBlock,
)
from nanonet.inspection.explanation.explanation import Explanation
from nanonet.inspection.explanation.terms import Entry, Factor, Signal, Terms, Worked, explains
from nanonet.inspection.record import LayerTrace
from tests.docs.test_languages import forbidden
from tests.inspection.test_explaining import check_lines, line_of


def traced(*layers: Layer, shape: tuple[int, ...], dtype: Any = np.float64) -> Trace:
    """Trace layers on one drawn sequence."""
    rng = np.random.default_rng(0)
    model = Sequential(*layers, dtype=dtype, rng=0)
    x = rng.normal(size=(1, *shape))
    return model.trace(x, rng.normal(size=model(x).shape), SquaredError())


def check(trace: Trace, name: str, entry: tuple[int, ...]) -> Explanation:
    """Explain an entry, of which every line must be right, and the last one a sum of at least one term."""
    explanation = trace.explain(name, entry)
    check_lines(explanation)
    assert all(line.is_rounding for line in explanation.lines if line.in_pass)
    assert explanation.lines[-1].terms
    assert float(explanation.lines[-1].value) == pytest.approx(explanation.gradient, rel=1e-4, abs=1e-12)
    return explanation


# ---- recurrent layers


@st.composite
def recurrent(draw: st.DrawFn) -> tuple[Layer, int]:
    """Draw a recurrent layer, and how many times it reads."""
    kind: Any = draw(st.sampled_from([RNN, LSTM, GRU]))
    options: dict[str, Any] = {name: draw(st.booleans()) for name in ("bias", "bidirectional")}
    if kind is RNN:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    output = draw(st.sampled_from(["sequence", "last"]))
    return kind(2, draw(st.integers(1, 3)), draw(st.integers(1, 2)), output=output, **options), draw(st.integers(1, 4))


@given(recurrent(), st.data())
def test_every_weight_of_a_recurrent_layer_is_written_out(drawn: tuple[Layer, int], data: st.DataObject) -> None:
    layer, times = drawn
    trace = traced(layer, shape=(times, 2))
    name = data.draw(st.sampled_from(list(trace[0].parameters)))
    entry = tuple(data.draw(st.integers(0, n - 1)) for n in trace[0].parameters[name].shape)
    explanation = check(trace, f"0.{name}", entry)
    last = explanation.lines[-1]
    signals = [term for term in last.terms if re.match(r"[ge]", term.symbol)]
    assert len(signals) == times, "one error signal for each time"
    for term in signals:
        assert line_of(explanation, term.symbol).result


def test_a_small_one_is_written_out_in_full() -> None:
    model = Sequential(RNN(1, 1, bias=False, output="last"), dtype=np.float64)
    model[0].weight_ih_l0.value, model[0].weight_hh_l0.value = [[1.0]], [[0.5]]  # type: ignore[attr-defined]
    explanation = check(model.trace([[[1.0], [0.0]]], [[0.0]], SquaredError()), "0.weight_hh_l0", (0, 0))
    text = str(explanation)
    first, last = np.tanh(1.0), np.tanh(0.5 * np.tanh(1.0))
    sides = line_of(explanation, "dE/dweight_hh_l0₀[0, 0]").sides
    assert sides[:2] == ("Σₜ g₀[t, 0] × h₀[t − 1, 0]", "g₀[0, 0] × h₀[-1, 0] + g₀[1, 0] × h₀[0, 0]")
    assert float(sides[-1]) == pytest.approx(last * (1 - last**2) * first, rel=1e-4)
    assert line_of(explanation, "g₀[0, 0]").sides[0] == "dE/dh₀[0, 0] × (1 − h₀[0, 0]²)"
    assert line_of(explanation, "dE/dh₀[0, 0]").sides[0] == "Σᵢ g₀[1, i] × U₀[i, 0]"
    assert line_of(explanation, "dE/dh₀[1, 0]").sides[0] == "dE/dy₀[0]"
    assert "multiplies an entry of the state before, h" in " ".join(text.split())


def test_of_many_times_those_that_are_shown_in_the_sum_are_worked_out() -> None:
    explanation = check(traced(LSTM(2, 2), shape=(12, 2)), "0.weight_ih_l0", (0, 1))
    assert [line.left for line in explanation.lines if line.left.startswith("g")] == [
        f"g₀[{t}, 0]" for t in (11, 2, 1, 0)
    ]
    assert "… stands for the 8 terms between" in " ".join(str(explanation).split())


def test_layers_on_each_other_and_both_directions_are_told_apart() -> None:
    trace = traced(GRU(2, 2, 2, bidirectional=True), shape=(3, 2))
    lower = str(check(trace, "0.weight_hh_l0_reverse", (5, 1)))
    assert "e⁰←₀[0, 5] × h⁰←₀[1, 1]" in lower
    assert r"h^{0\leftarrow}_{0}[1, 1]" in trace.explain("0.weight_hh_l0_reverse", (5, 1)).markdown
    assert "u is what the layer above passes back" in " ".join(lower.split())
    upper = str(check(trace, "0.weight_ih_l1", (0, 3)))
    assert "g¹→₀[0, 0] × h⁰₀[0, 3]" in upper
    assert "u is what" not in " ".join(upper.split())


def test_below_a_recurrent_layer_the_gradient_is_taken_from_the_pass() -> None:
    explanation = traced(PositionalEncoding(2, 3, learned=True), RNN(2, 2), shape=(3, 2)).explain("0.weight", (1, 0))
    check_lines(explanation)
    assert "cannot be written out" in " ".join(str(explanation).split())
    assert "W₀[1, 0] is added to place 1 of the sequence" in " ".join(str(explanation).split())


def test_a_place_that_no_sequence_reached_has_a_gradient_of_0() -> None:
    explanation = traced(PositionalEncoding(2, 5, learned=True), shape=(3, 2)).explain("0.weight", (4, 0))
    check_lines(explanation)
    assert explanation.lines[-1].result == "0"


# ---- attention


@st.composite
def attention(draw: st.DrawFn) -> tuple[Layer, int, int]:
    """Draw an attention of a sequence to itself, its features, and how many places there are."""
    heads, size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    options = {name: draw(st.booleans()) for name in ("bias", "causal")}
    return MultiHeadAttention(heads * size, heads, **options), heads * size, draw(st.integers(1, 4))


@given(attention(), st.data())
def test_every_weight_of_attention_is_written_out(drawn: tuple[Layer, int, int], data: st.DataObject) -> None:
    layer, width, places = drawn
    trace = traced(layer, shape=(places, width))
    name = data.draw(st.sampled_from([name for name in trace[0].parameters if name.startswith("in_proj")]))
    entry = tuple(data.draw(st.integers(0, n - 1)) for n in trace[0].parameters[name].shape)
    explanation = check(trace, f"0.{name}", entry)
    assert len([term for term in explanation.lines[-1].terms if term.symbol.startswith("dE/d")]) == places


def test_one_score_one_weight_and_one_output_are_the_layers_own() -> None:
    attention = MultiHeadAttention(4, 2, causal=True)
    trace = traced(attention, Linear(4, 1), shape=(3, 4))
    explanation = check(trace, "0.in_proj_weight", (2, 1))
    weights = trace.model[0].weights(trace[0].input)
    line = line_of(explanation, "w₀[2, 0]")
    assert line.sides[0] == "exp(s₀[2, 0] − m₀[2]) / Σᵢ exp(s₀[2, i] − m₀[2])"
    assert float(line.value) == pytest.approx(weights[0, 1, 2, 0])
    assert line_of(explanation, "s₀[2, 0]").sides[0] == "c × Σᵢ q₀[2, i] × k₀[0, i]"
    assert line_of(explanation, "z₀[2, 0]").sides[0] == "Σᵢ w₀[2, i] × v₀[i, 0]"
    assert line_of(explanation, "dE/din_proj_weight₀[2, 1]").sides[0] == "Σₜ dE/dq₀[t, 0] × x[t, 1]"
    text = " ".join(str(explanation).split())
    assert "belongs to the queries q of head 1, feature 0: it multiplies an entry of x at each of the 3 places" in text


def test_in_a_transformer_block_what_comes_from_above_is_taken_from_the_pass() -> None:
    trace = traced(TransformerBlock(4, 2, 5), shape=(3, 4))
    explanation = check(trace, "0.self_attn.in_proj_weight", (9, 1))
    assert "The layer that contains layer 0.self_attn cannot be written out" in " ".join(str(explanation).split())


def test_where_not_every_place_sees_the_same_the_value_is_shown() -> None:
    model = Sequential(MultiHeadAttention(2, 1, padding_mask=True), dtype=np.float64, rng=0)
    x = np.ones((1, 2, 2)), np.array([[0, 1]])
    explanation = model.trace(x, np.zeros((1, 2, 2)), SquaredError()).explain("0.in_proj_weight", (0, 0))
    check_lines(explanation)
    assert "is not written out" in " ".join(str(explanation).split())


# ---- for all of them


@pytest.mark.parametrize("make", [lambda: RNN(2, 2), lambda: LSTM(2, 2), lambda: GRU(2, 2)])
def test_float32_differs_by_rounding_alone(make: Any) -> None:
    trace = traced(make(), shape=(5, 2), dtype=np.float32)
    for name, array in trace[0].parameters.items():
        check(trace, f"0.{name}", tuple(n - 1 for n in array.shape))
    trace = traced(MultiHeadAttention(4, 2), shape=(5, 4), dtype=np.float32)
    for row in (0, 5, 11):
        check(trace, "0.in_proj_weight", (row, 0))


def test_both_languages_have_the_same_lines_and_the_fixed_words() -> None:
    layers = [RNN(2, 2, 2), LSTM(2, 2), GRU(2, 2, output="last"), MultiHeadAttention(2, 1)]
    for layer in (*layers, PositionalEncoding(2, 3, learned=True)):
        trace = traced(layer, shape=(3, 2))
        for name, array in trace[0].parameters.items():
            entries = {tuple(0 for _ in array.shape), tuple(n - 1 for n in array.shape)}
            for entry in entries:
                english, japanese = (trace.explain(f"0.{name}", entry, lang=lang) for lang in ("en", "ja"))
                assert english.lines == japanese.lines
                assert forbidden(str(japanese)) == []
                titles = "".join(section.title for section in japanese.sections)
                assert re.findall(r"[A-Za-z]{3,} [a-z]{3,} [a-z]{3,}", titles) == []
                assert not any("{" in section.title for section in (*english.sections, *japanese.sections))


# ---- a user's layer


class Twice(Layer):
    """y = gain² x."""

    def __init__(self) -> None:
        self.gain = Parameter((), Constant(3.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x * self.gain.value**2, x

    def backward(self, grad: Array, cache: Array) -> Array:
        self.gain.grad = 2 * self.gain.value * (grad * cache).sum()
        return grad * self.gain.value**2

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape


def test_a_users_layer_states_derivatives_inside_it() -> None:
    @explains(Twice)
    def twice(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
        if name == "x":
            return None
        gain, grad = float(record.parameters["gain"]), record.grad_output[0]
        places = [(i,) for i in range(len(grad))]
        worked = [
            Worked(
                Entry("dE/du", str(i), 2 * gain * g), "2 * k * g", {"k": gain, "g": Entry("dE/dy", str(i), float(g))}
            )
            for i, g in enumerate(grad)
        ]
        return Terms(
            places, "x", places, general=("i", "i", "i"), signal=Signal("dE/du", 2 * gain * grad, worked, places)
        )

    trace = Sequential(Twice(), dtype=np.float64).trace([[1.0, 2.0]], [[0.0, 1.0]], SquaredError())
    explanation = check(trace, "0.gain", ())
    assert line_of(explanation, "dE/du₀[0]").sides[0] == "2 × k × dE/dy₀[0]"
    assert explanation.lines[-1].sides[0] == "Σᵢ dE/du₀[i] × x[i]"


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Worked\('g'\): 'a \* b' names 'b'; expected names among a"):
        Worked(Entry("g", "0", 1.0), "a * b", {"a": 1.0})
    with pytest.raises(ValueError, match="Terms: expected a number of g for each of the 2 outputs, got 1"):
        Terms([(0,), (1,)], Factor("h", [1.0, 2.0]), [(0,), (1,)], signal=Signal("g", [1.0]))
