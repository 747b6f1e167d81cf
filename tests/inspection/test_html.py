"""What a notebook shows: well-formed, static and escaped HTML with the numbers of the text."""

from __future__ import annotations

import copy
import math
import pickle
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from nanonet import SGD, Constant, Flatten, History, Linear, Sequential, SquaredError, Tanh
from nanonet.inspection.html import shortened, sparkline, table
from tests.helpers import Scale


class Odd(Scale):
    """A layer whose text is markup."""

    def __repr__(self) -> str:
        return "<script>alert('&amp;\"')</script>"


def parsed(text: str) -> ElementTree.Element:
    """Return the tree of HTML that is well-formed XML too, and holds nothing that acts, loads or sets colours."""
    tree = ElementTree.fromstring(text)
    tags = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "title", "path"}
    assert {each.tag for each in tree.iter()} <= tags
    attributes = [(name, value) for each in tree.iter() for name, value in each.attrib.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("href", "src", "id", "class")]
    assert "background" not in text
    assert {value for name, value in attributes if name in ("fill", "stroke")} <= {"none", "currentColor"}
    assert set(re.findall(r"[^-]color: (\w+)", text)) <= {"inherit"}
    return tree


def text_of(tree: ElementTree.Element) -> list[list[str]]:
    """Return the cells of every row, the head's first."""
    return [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]


def sides(row: ElementTree.Element) -> list[str]:
    """Return how the cells of a row are aligned."""
    return [cell.attrib["style"].split(";")[0].removeprefix("text-align: ") for cell in row]


def caption(tree: ElementTree.Element) -> str:
    (found,) = tree.iter("caption")
    return "".join(found.itertext())


def history_of(*losses: float, **others: float) -> History:
    history = History()
    for loss in losses:
        history.append({"loss": loss, **others})
    return history


# ---- the table


def test_a_table_has_its_caption_its_head_and_its_rows_in_order() -> None:
    tree = parsed(table("numbers", ["name", "value"], [["a", 1], ["b", 2.5]], right=[1]))
    assert caption(tree) == "numbers"
    assert text_of(tree) == [["name", "value"], ["a", "1"], ["b", "2.5"]]
    assert [[cell.tag for cell in row] for row in tree.iter("tr")] == [["th"] * 2, ["td"] * 2, ["td"] * 2]
    for row in tree.iter("tr"):
        assert sides(row) == ["left", "right"]


def test_all_text_is_escaped() -> None:
    odd = "<b>\"x\" & 'y'</b>"
    tree = parsed(table(odd, [odd], [[odd], odd]))
    assert caption(tree) == odd
    assert text_of(tree) == [[odd]] * 3


def test_a_row_that_is_one_string_is_a_note_across_all_columns() -> None:
    tree = parsed(table("", ["a", "b", "c"], [[1, 2, 3], "and so on"]))
    (note,) = list(tree.iter("tr"))[-1]
    assert (note.text, note.get("colspan")) == ("and so on", "3")


@pytest.mark.parametrize("row", [[1], [1, 2, 3], []])
def test_a_row_of_another_length_than_the_head_is_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match=f"^table: expected 2 cells a row, as in its head, got {len(row)}: "):
        table("", ["a", "b"], [row])


@pytest.mark.parametrize(("count", "between"), [(0, 0), (9, 0), (10, 0), (11, 0), (12, 2), (1000, 990)])
def test_many_rows_are_shortened_to_their_ends_with_a_note_of_how_many_lie_between(count: int, between: int) -> None:
    rows: list[Any] = [[i] for i in range(count)]
    short = shortened(rows, "epochs", ends=5)
    if between:
        assert short == [*rows[:5], f"... {between} more epochs ...", *rows[-5:]]
    else:
        assert short == rows


# ---- the curve


def points(svg: str) -> list[list[tuple[float, float]]]:
    """Return the strokes of a curve."""
    (path,) = parsed(svg).iter("path")
    strokes = [re.split("L", stroke) for stroke in path.attrib["d"].split("M")[1:]]
    return [[(float(x), float(y)) for x, y in (point.split() for point in stroke)] for stroke in strokes]


def test_a_curve_falls_where_the_values_fall_and_keeps_within_its_box() -> None:
    values = [math.exp(-i / 9) for i in range(50)]
    (stroke,) = points(sparkline("loss", values, width=100, height=30))
    xs, ys = zip(*stroke, strict=True)
    assert (xs[0], xs[-1]) == (1, 99)
    assert (ys[0], ys[-1]) == (1, 29)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)  # downwards


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    strokes = points(sparkline("", [3, 2, math.nan, 1, 0, math.inf], width=52, height=12))
    assert strokes == [[(1, 1), (11, pytest.approx(4.333))], [(31, pytest.approx(7.667)), (41, 11)]]


def test_a_long_curve_has_as_many_places_as_pixels_and_ends_with_the_last_value() -> None:
    (stroke,) = points(sparkline("", range(100_000), width=80, height=12))
    assert len(stroke) == 80
    assert (stroke[0], stroke[-1]) == ((1, 11), (79, 1))


@pytest.mark.parametrize("values", [[], [1.0], [math.nan, 1.0], [math.inf, math.nan]])
def test_there_is_no_curve_through_fewer_than_two_points(values: list[float]) -> None:
    assert sparkline("loss", values) == ""


def test_equal_values_make_a_level_line() -> None:
    (stroke,) = points(sparkline("a & b", [2.0, 2.0, 2.0]))
    assert len({y for _, y in stroke}) == 1


# ---- a model


@pytest.mark.parametrize(
    "model",
    [
        Sequential(Linear(2, 3), Tanh(), Sequential(Linear(3, 3), Odd(3)), Linear(3, 1), rng=0),
        Sequential(Flatten()),
        Sequential(),
        Sequential(Scale(2, trainable=False), Linear(2, 2, bias=False)),
    ],
    ids=["nested", "of no known shape", "empty", "frozen"],
)
def test_a_model_is_shown_as_its_summary(model: Sequential) -> None:
    title, *lines = model.summary().splitlines()
    tree = parsed(model._repr_html_())
    assert caption(tree) == title
    shown = [[cell for cell in row if cell] for row in text_of(tree)]
    assert shown == [[cell for cell in re.split(r"\s{2,}", line.strip())] for line in lines]
    for row in tree.iter("tr"):
        assert sides(row) == ["left"] * 5 + ["right"]


def test_a_summary_is_a_string_that_a_notebook_shows_as_a_table_and_a_prompt_as_its_lines() -> None:
    def shown(summary: Any) -> str:
        return str(summary._repr_html_())

    model = Sequential(Flatten(), Linear(4, 3), Tanh(), rng=0)
    summary = model.summary((2, 2))
    assert isinstance(summary, str)
    assert f"{summary}" == str(summary) == repr(summary) == "\n".join(summary.splitlines())
    assert "(batch, 2, 2)" in text_of(parsed(shown(summary)))[1]
    assert shown(model.summary()) == model._repr_html_()
    for twin in (copy.deepcopy(summary), pickle.loads(pickle.dumps(summary))):
        assert (twin, shown(twin)) == (summary, shown(summary))


def test_a_layer_whose_text_is_markup_does_not_become_markup() -> None:
    written = Sequential(Odd(3))._repr_html_()
    assert "<script" not in written
    assert text_of(parsed(written))[1][1] == repr(Odd(3))


def test_of_a_long_chain_both_ends_are_shown() -> None:
    model = Sequential(*(Scale(2) for _ in range(100)))
    rows = text_of(parsed(model._repr_html_()))
    assert [row[0] for row in rows] == ["", *map(str, range(20)), "... 60 more layers ...", *map(str, range(80, 100))]


def test_a_subclass_is_shown_under_its_own_name() -> None:
    class Net(Sequential):
        pass

    assert caption(parsed(Net(Linear(1, 1))._repr_html_())) == "Net: 1 layer, 2 parameters, float32"


# ---- a history


def test_a_history_is_shown_epoch_by_epoch_with_its_numbers() -> None:
    model = Sequential(Linear(1, 1, weight=Constant(0.0)), rng=0)
    data = ([[0.0], [1.0]], [[1.0], [3.0]])
    history = model.fit(*data, loss=SquaredError(), optimizer=SGD(0.5), epochs=11, validation=data)
    tree = parsed(history._repr_html_())
    head, *rows = text_of(tree)
    assert head == ["epoch", "loss", "validation_loss"] == ["epoch", *history]
    assert caption(tree) == "History: 11 epochs"
    assert rows == [[str(i + 1), *(f"{values[i]:.4g}" for values in history.values())] for i in range(history.epochs)]
    assert all(sides(row) == ["right"] * 3 for row in tree.iter("tr"))


def test_a_long_history_is_shown_by_its_first_and_last_epochs() -> None:
    history = history_of(*(1 / i for i in range(1, 41)))
    rows = text_of(parsed(history._repr_html_()))[1:]
    assert [row[0] for row in rows] == [*"12345", "... 30 more epochs ...", "36", "37", "38", "39", "40"]
    assert rows[-1] == ["40", "0.025"]


def test_the_caption_says_how_a_fit_ended() -> None:
    history = history_of(1.0)
    history.stopped = "loss < 2 & falling"
    assert caption(parsed(history._repr_html_())) == "History: 1 epoch, stopped: loss < 2 & falling"
    history.interrupted = True
    assert caption(parsed(history._repr_html_())) == "History: 1 epoch, interrupted"


def test_a_history_draws_the_curve_of_its_loss() -> None:
    history = history_of(3.0, 1.0, 2.0, accuracy=1.0)
    assert sparkline("loss", [3.0, 1.0, 2.0]) in history._repr_html_()
    parsed(history._repr_html_())


@pytest.mark.parametrize("history", [History(), history_of(math.nan, math.inf)])
def test_a_history_without_numbers_to_draw_has_no_curve(history: History) -> None:
    tree = parsed(history._repr_html_())
    assert not list(tree.iter("svg"))
    assert len(text_of(tree)) == 1 + history.epochs


def test_a_history_without_a_loss_is_a_table_all_the_same() -> None:
    history = History()
    history.append({"<f1>": 0.5})
    assert text_of(parsed(history._repr_html_())) == [["epoch", "<f1>"], ["1", "0.5"]]
