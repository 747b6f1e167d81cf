"""The gain and the bias of a norm are explained by x, normalized; a user's layer states such factors too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    Array,
    BatchNorm,
    Constant,
    Conv1d,
    Flatten,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    Linear,
    Parameter,
    ReLU,
    RMSNorm,
    Sequential,
    SquaredError,
    Trace,
)
from nanonet.inspection.explanation.terms import Factor, Terms, explains
from nanonet.inspection.record import LayerTrace
from tests.docs.test_languages import forbidden
from tests.inspection.test_explaining import check_lines, line_of
from tests.inspection.test_explaining_images import check


def traced(*layers: Layer, shape: tuple[int, ...], dtype: Any = np.float64) -> Trace:
    """Trace layers whose parameters and running statistics are drawn, the latter above 0."""
    rng = np.random.default_rng(0)
    model = Sequential(*layers, dtype=dtype, rng=0)
    for parameter in model.parameters().values():
        parameter.value = rng.normal(size=parameter.shape)
    for layer in layers:
        if isinstance(layer, BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.value = rng.normal(size=layer.num_features)
            layer.running_var.value = rng.uniform(0.5, 2, size=layer.num_features)
    x = rng.normal(size=(1, *shape))
    return model.trace(x, rng.normal(size=model(x).shape), SquaredError())


@st.composite
def norms(draw: st.DrawFn) -> tuple[Layer, tuple[int, ...]]:
    """Draw a norm with a gain, and the shape of its input."""
    sizes = tuple(draw(st.lists(st.integers(1, 3), min_size=0, max_size=4)))
    count = draw(st.integers(2, 4))
    of_channels: list[Callable[[], Layer]] = [
        lambda: BatchNorm(count, 0.25),
        lambda: BatchNorm(count, track_running_stats=False),
        lambda: GroupNorm(draw(st.sampled_from([n for n in (1, 2, count) if count % n == 0])), count),
        lambda: InstanceNorm(count, affine=True),
    ]
    if draw(st.booleans()):
        last = draw(st.integers(0, len(sizes)))
        kind: Any = draw(st.sampled_from([LayerNorm, RMSNorm]))
        return kind((*sizes[last:], count), 0.25), (*sizes, count)
    return draw(st.sampled_from(of_channels))(), (count, *sizes, 2)


@settings(max_examples=60)
@given(norms(), st.data())
def test_a_gain_and_a_bias_are_the_sums_of_their_terms(
    drawn: tuple[Layer, tuple[int, ...]], data: st.DataObject
) -> None:
    layer, shape = drawn
    trace = traced(layer, shape=shape)
    record = trace[0]
    for name, gradient in record.gradients.items():
        entry = tuple(data.draw(st.integers(0, n - 1)) for n in gradient.shape)
        explanation = trace.explain(f"0.{name}", entry)
        check(explanation)
        assert explanation.lines[-1].terms
        assert explanation.gradient == gradient[entry]
        for term in explanation.lines[-1].terms:
            check_term(record, entry, term.symbol, float(term.value))


def check_term(record: LayerTrace, entry: tuple[int, ...], symbol: str, value: float) -> None:
    """Check that a number is the one that its symbol names, where z is what the gain was multiplied by."""
    found = re.fullmatch(r"(dE/dy₀|z₀)\[([\d, ]+)\]", symbol)
    if found is None:
        assert symbol == "…"
        return
    at = (0, *map(int, found[2].split(", ")))
    bias = record.parameters["bias"][entry] if "bias" in record.parameters else 0
    z = (record.output[at] - bias) / record.parameters["weight"][entry]
    assert value == pytest.approx(z if found[1] == "z₀" else record.grad_output[at], rel=1e-9, abs=1e-9)


def test_a_small_norm_is_written_out_in_full() -> None:
    model = Sequential(LayerNorm(2, 0.25), dtype=np.float64)
    explanation = model.trace([[1.0, 4.0]], [[0.0, 0.0]], SquaredError()).explain("0.weight", 1)
    check(explanation)
    assert str(explanation).endswith(
        "z₀ is x normalized by the mean μ and the standard deviation σ over its last axes. W₀[1] multiplies\n"
        "one of its entries:\n"
        "  z₀[1] = (x[1] − μ₀) / sqrt(σ₀² + eps) = (4 − 2.5) / sqrt(1.5² + 0.25) = 0.94868\n"
        "  dE/dW₀[1] = dE/dy₀[1] × z₀[1] = 0.948683 × 0.948683 = 0.90000"
    )
    assert r"\frac{x[1] - \mu_{0}}{\sqrt{\sigma_{0}^{2} + \mathrm{eps}}}" in explanation.markdown


def test_a_gain_of_many_rows_is_a_sum_over_them() -> None:
    explanation = traced(RMSNorm(3), shape=(4, 3)).explain("0.weight", 2)
    assert "W₀[2] multiplies 4 of its entries, and the gradient is a sum over these:" in " ".join(
        str(explanation).split()
    )
    assert line_of(explanation, "dE/dW₀[2]").sides[0] == "Σᵢ dE/dy₀[i, 2] × z₀[i, 2]"
    assert line_of(explanation, "z₀[3, 2]").sides[0] == "x[3, 2] / sqrt(q₀[3] + eps)"


def test_where_letters_run_out_a_sum_begins_with_its_terms() -> None:
    for norm, shape, entry in ((LayerNorm(2), (1, 1, 1, 2, 2), 1), (GroupNorm(1, 2), (2, 1, 1, 1, 2), 1)):
        trace = traced(norm, shape=shape)
        for name in ("weight", "bias"):
            explanation = trace.explain(f"0.{name}", entry)
            check(explanation)
            assert explanation.lines[-1].sides[0].startswith("dE/dy₀[")


def test_of_many_numbers_those_that_are_shown_in_the_sum_are_worked_out() -> None:
    explanation = traced(InstanceNorm(2, affine=True), shape=(2, 5, 5)).explain("0.weight", 1)
    check(explanation)
    lefts = [line.left for line in explanation.lines if line.left.startswith("z")]
    assert lefts == ["z₀[1, 0, 0]", "z₀[1, 0, 1]", "z₀[1, 0, 2]", "z₀[1, 4, 4]"]
    assert "… stands for the 21 terms between" in str(explanation)


def test_a_batch_norm_is_gone_through_by_its_running_statistics() -> None:
    for affine in (True, False):
        trace = traced(
            Conv1d(1, 2, 2), BatchNorm(2, 0.25, affine=affine), ReLU(), Flatten(), Linear(6, 1), shape=(1, 4)
        )
        explanation = trace.explain("0.weight", (1, 0, 1))
        check(explanation)
        gain = "W₁[1]" if affine else "1"
        assert line_of(explanation, "s₁[1]").sides[0] == f"{gain} / sqrt(σ₁[1]² + eps)"
        assert line_of(explanation, "g₀[1, 2]").sides[0] == "dE/dy₁[1, 2] × s₁[1]"
        assert float(line_of(explanation, "g₀[1, 2]").value) == trace[0].grad_output[0, 1, 2]


@pytest.mark.parametrize(
    "norm",
    [BatchNorm(2, track_running_stats=False), GroupNorm(1, 2), InstanceNorm(2), LayerNorm(3), RMSNorm(3)],
    ids=repr,
)
def test_where_every_entry_goes_into_the_mean_the_gradient_is_taken_from_the_pass(norm: Layer) -> None:
    explanation = traced(Conv1d(1, 2, 2), norm, shape=(1, 4)).explain("0.weight", (1, 0, 0))
    check(explanation)
    assert "cannot be written out" in " ".join(str(explanation).split())


@pytest.mark.parametrize("value", [0.0, 1e200])
def test_a_row_that_cannot_be_normalized_is_shown_as_it_is(value: float) -> None:
    for norm in (LayerNorm(2, 0), RMSNorm(2, 0), InstanceNorm(1, 0, affine=True)):
        trace = Sequential(norm, dtype=np.float64).trace(np.full((1, 1, 2), value), np.zeros((1, 1, 2)), SquaredError())
        assert trace.explain("0.weight", 0).lines[-1].result in ("NaN", "0")


def test_float32_differs_by_rounding_alone() -> None:
    for norm in (BatchNorm(3), GroupNorm(1, 3), LayerNorm(4), RMSNorm(4)):
        trace = traced(norm, shape=(3, 4), dtype=np.float32)
        for name in trace[0].parameters:
            explanation = trace.explain(f"0.{name}", 1)
            check_lines(explanation)
            assert all(line.is_rounding for line in explanation.lines if line.in_pass)


def test_both_languages_have_the_same_lines_and_the_fixed_words() -> None:
    kinds = [BatchNorm(2), BatchNorm(2, track_running_stats=False), GroupNorm(1, 2), InstanceNorm(2, affine=True)]
    for norm in (*kinds, LayerNorm(3), LayerNorm((2, 3)), RMSNorm(3)):
        trace = traced(Conv1d(1, 2, 2), norm, shape=(1, 4))
        for name in ("0.weight", *(f"1.{own}" for own in trace[1].parameters)):
            entry = tuple(0 for _ in trace.model.parameters()[name].shape)
            english, japanese = (trace.explain(name, entry, lang=lang) for lang in ("en", "ja"))
            assert english.lines == japanese.lines
            assert forbidden(str(japanese)) == []
            titles = "".join(section.title for section in japanese.sections)
            assert re.findall(r"[A-Za-z]{3,} [a-z]{3,} [a-z]{3,}", titles) == []
            assert not any("{" in section.title for section in (*english.sections, *japanese.sections))


# ---- a user's layer


class Centred(Layer):
    """y = gain (x - m), the mean m of each row."""

    def __init__(self) -> None:
        self.gain = Parameter((), Constant(2.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        c = x - x.mean(axis=-1, keepdims=True)
        return self.gain.value * c, c

    def backward(self, grad: Array, cache: Array) -> Array:
        self.gain.grad = (grad * cache).sum()
        dx: Array = self.gain.value * (grad - grad.mean(axis=-1, keepdims=True))
        return dx


def centred_terms(formula: str = "x - m", length: int | None = None, **known: Any) -> Any:
    """Return a function that states the terms of Centred, with such a formula."""

    def terms(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
        x = record.input[0]
        if name == "x":
            return None
        places = list(np.ndindex(x.shape))
        numbers = (x - x.mean(axis=-1, keepdims=True)).ravel()[:length]
        means = np.asarray(x.mean(axis=-1))
        return Terms(places, Factor("c", numbers, formula, {"m": means, **known}), places)

    return terms


@pytest.mark.usefixtures("registrations")
def test_a_users_factor_is_worked_out_by_its_formula() -> None:
    explains(Centred)(centred_terms())
    explanation = traced(Centred(), shape=(2, 2)).explain("0.gain", ())
    check(explanation)
    assert line_of(explanation, "c₀[1, 0]").sides[0] == "x[1, 0] − m₀[1]"
    assert line_of(explanation, "dE/dgain₀[]").sides[0].startswith("dE/dy₀[0, 0] × c₀[0, 0] + ")


@pytest.mark.usefixtures("registrations")
def test_without_a_formula_a_factor_is_a_number() -> None:
    explains(Centred)(centred_terms(""))
    explanation = traced(Centred(), shape=(2,)).explain("0.gain", ())
    check(explanation)
    assert not any(line.left.startswith("c₀") for line in explanation.lines)
    assert "c₀[0]" in line_of(explanation, "dE/dgain₀[]").sides[0]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (centred_terms("x - "), r"^Factor\('c'\): 'x - ' is not a formula"),
        (centred_terms("x - mean"), r"^Factor\('c'\): 'x - mean' names 'mean'; expected names among x, m$"),
        (centred_terms("d = x - m; d"), r"^Factor\('c'\): expected one expression, got 'd = x - m; d'"),
        (centred_terms(length=1), r"^Terms: expected a number of c for each of the 2 outputs, got 1"),
        (
            centred_terms("x - w", w=np.zeros(1)),
            r"^explains\(Centred\): Centred\(\): w has shape \(1,\) and no entry \(1,\)",
        ),
        (lambda *_: Terms([(0,)], Factor("c", [1.0], "x"), [(5,)]), r"x has shape \(2,\) and no entry \(5,\)"),
        (
            lambda *_: Terms([(0,)], Factor("c", [1.0])),
            r"^Terms: expected places in c for each of the 1 outputs, got 0",
        ),
    ],
)
@pytest.mark.usefixtures("registrations")
def test_wrong_factors_are_refused(terms: Any, message: str) -> None:
    explains(Centred)(terms)
    with pytest.raises(ValueError, match=message):
        traced(Centred(), shape=(2,)).explain("0.gain", ())
