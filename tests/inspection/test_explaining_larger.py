"""A weight of ConvTranspose2d is explained by the entries that it multiplies; layers that enlarge are gone through."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import AdaptiveAvgPool2d, Conv2d, ConvTranspose2d, Layer, Upsample, ZeroPad2d
from nanonet.inspection.explanation.terms import Factor, terms_of
from nanonet.inspection.record import LayerTrace
from tests.docs.test_languages import forbidden
from tests.inspection.test_explaining import given_numbers, line_of
from tests.inspection.test_explaining_images import check, check_symbols, traced


@st.composite
def transposed(draw: st.DrawFn) -> tuple[Layer, tuple[int, ...]]:
    """Draw a ConvTranspose2d, and the shape of its input."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation, size, groups = draw(pair), draw(pair), draw(pair), draw(pair), draw(st.integers(1, 2))
    whole = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
    padding = tuple(draw(st.integers(0, (length - 1) // 2)) for length in whole)
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    channels = draw(st.integers(1, 2)) * groups
    layer = ConvTranspose2d(channels, 2 * groups, kernel, stride, padding, more, groups, dilation=dilation)
    return layer, (channels, *size)


@settings(max_examples=60)
@given(transposed(), st.data())
def test_an_entry_of_any_transposed_convolution_is_the_sum_of_its_terms(
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
    check_input(trace["0"], tuple(data.draw(st.integers(0, n - 1)) for n in shape))


def check_input(record: LayerTrace, unit: tuple[int, ...]) -> None:
    """Check that the terms of an entry of x come to its gradient."""
    terms = terms_of(record, "x", unit)
    assert terms is not None
    g = np.array([record.grad_output[(0, *map(int, output))] for output in terms.outputs])
    if isinstance(terms.factor, Factor):
        factors = np.asarray(terms.factor.numbers)
    elif isinstance(terms.factor, str):
        factors = np.array([record.parameters[terms.factor][tuple(place)] for place in terms.places])
    else:
        factors = np.full(len(g), terms.factor)
    assert g @ factors == pytest.approx(record.grad_input[(0, *unit)], rel=1e-12, abs=1e-12)


LINEAR = [
    Upsample(2),
    Upsample((1, 3)),
    Upsample(2, mode="bilinear"),
    Upsample((3, 2), mode="bilinear"),
    ZeroPad2d((1, 0, 2, 1)),
    AdaptiveAvgPool2d(2),
    AdaptiveAvgPool2d((3, 1)),
]


@pytest.mark.parametrize("layer", LINEAR, ids=repr)
def test_an_entry_of_x_has_its_share_in_what_comes_back(layer: Layer) -> None:
    trace = traced(layer, shape=(2, 3, 4))
    for unit in np.ndindex(2, 3, 4):
        check_input(trace["0"], unit)


@pytest.mark.parametrize("layer", LINEAR, ids=repr)
def test_an_explanation_goes_on_below_them_in_both_languages(layer: Layer) -> None:
    trace = traced(Conv2d(1, 1, 2), layer, shape=(1, 2, 3))
    english, japanese = (trace.explain("0.weight", (0, 0, 0, 1), lang=lang) for lang in ("en", "ja"))
    check(english)
    assert english.lines == japanese.lines
    assert not any(given.startswith("g₀") for given in given_numbers(english))
    assert forbidden(str(japanese)) == []
    assert re.findall(r"[A-Za-z]{3,} [a-z]{3,} [a-z]{3,}", "".join(each.title for each in japanese.sections)) == []
    assert not any("{" in section.title for section in (*english.sections, *japanese.sections))


def test_a_share_is_named_by_both_places() -> None:
    explanation = traced(Conv2d(1, 1, 1), Upsample((1, 2), mode="bilinear"), shape=(1, 1, 2)).explain("0.bias", 0)
    assert line_of(explanation, "g₀[0, 0, 0]").sides[0] == (
        "dE/dy₁[0, 0, 0] × s₁[0, 0, 0, 0] + dE/dy₁[0, 0, 1] × s₁[0, 1, 0, 0] + dE/dy₁[0, 0, 2] × s₁[0, 2, 0, 0]"
    )


def test_the_entries_that_a_weight_multiplies_are_named() -> None:
    trace = traced(ConvTranspose2d(2, 1, 3, stride=2), shape=(2, 2, 2))
    explanation = trace.explain("0.weight", (1, 0, 2, 0))
    text = " ".join(str(explanation).split())
    assert "W₀[1, 0, 2, 0] multiplies every entry of a channel of x, 4 in all, and each product is a term of" in text
    assert line_of(explanation, "dE/dW₀[1, 0, 2, 0]").sides[:2] == (
        "Σᵢⱼ g₀[0, 2i + 2, 2j] × x[1, i, j]",
        "g₀[0, 2, 0] × x[1, 0, 0] + g₀[0, 2, 2] × x[1, 0, 1] + g₀[0, 4, 0] × x[1, 1, 0] + g₀[0, 4, 2] × x[1, 1, 1]",
    )


def test_products_that_padding_cuts_off_are_counted() -> None:
    trace = traced(ConvTranspose2d(1, 1, 2, padding=1), shape=(1, 3, 3))
    for lang, words in (("en", "padding cuts off 5 of them"), ("ja", "5 個はパディングで切り落とされ")):
        explanation = trace.explain("0.weight", (0, 0, 0, 0), lang=lang)
        check(explanation)
        assert words in " ".join(str(explanation).split())


def test_a_transposed_convolution_is_gone_through_by_its_kernels() -> None:
    trace = traced(Conv2d(1, 1, 2), ConvTranspose2d(1, 2, (1, 2)), shape=(1, 2, 3))
    explanation = trace.explain("0.bias", 0)
    check(explanation)
    assert line_of(explanation, "g₀[0, 0, 1]").sides[0] == (
        "g₁[0, 0, 1] × W₁[0, 0, 0, 0] + g₁[0, 0, 2] × W₁[0, 0, 0, 1] + "
        "g₁[1, 0, 1] × W₁[0, 1, 0, 0] + g₁[1, 0, 2] × W₁[0, 1, 0, 1]"
    )


def test_a_number_stays_on_the_line_of_its_japanese_counter() -> None:
    trace = traced(ConvTranspose2d(1, 2, 2, stride=2, padding=1), shape=(1, 2, 2))
    assert "残りの\n1 個についての和です。" in str(trace.explain("0.weight", (0, 1, 1, 0), lang="ja"))
