"""History: what callbacks record in it, as a frame, and what of it is plotted."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import SGD, Callback, History, Linear, Sequential, SquaredError, Trainer


def history_of(epochs: int, *names: str) -> History:
    history = History()
    for epoch in range(1, epochs + 1):
        history.append({name: i + 1 / epoch for i, name in enumerate(names)})
    return history


# ---- numbers of callbacks


def test_what_a_callback_records_stands_beside_the_loss_of_its_epoch() -> None:
    class Norm(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            if trainer.epoch > 1:
                trainer.history.record({"norm": np.float64(trainer.epoch)})

    model = Sequential(Linear(1, 1), rng=0)
    data = ([[0.0], [1.0]], [[1.0], [3.0]])
    history = model.fit(*data, loss=SquaredError(), optimizer=SGD(0.1), epochs=3, callbacks=[Norm()])
    assert math.isnan(history["norm"][0])
    assert history["norm"][1:] == [2.0, 3.0]
    assert all(type(number) is float for number in history["norm"])
    assert len(history["loss"]) == 3


def test_a_number_that_is_recorded_twice_is_the_last() -> None:
    history = history_of(2, "loss")
    history.record({"loss": 9.0})
    assert history["loss"] == [1.0, 9.0]


def test_nothing_is_recorded_before_the_first_epoch() -> None:
    history = History()
    with pytest.raises(ValueError, match="there is no epoch yet; call it from epoch_end"):
        history.record({"norm": 1.0})
    assert dict(history) == {}


# ---- a frame


@pytest.mark.peer
@given(epochs=st.integers(0, 5), names=st.lists(st.text(max_size=5), max_size=4, unique=True))
def test_a_frame_has_a_row_for_each_epoch_and_a_column_for_each_name(epochs: int, names: list[str]) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    history = history_of(epochs, *names)
    frame = history.to_frame()
    assert frame.index.name == "epoch"
    assert list(frame.index) == list(range(1, history.epochs + 1))
    assert {name: list(frame[name]) for name in frame} == dict(history)


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"History\.to_frame needs pandas: pip install 'nanonet\[pandas\]'"):
        history_of(1, "loss").to_frame()


# ---- a plot


def drawn(ax: Any) -> list[str]:
    return [line.get_label() for axes in ax.figure.axes for line in axes.lines]


NAMES = ("loss", "accuracy", "0.weight/update_ratio", "2.weight/update_ratio", "0.weight/gradient_norm")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (None, ["loss", "accuracy"]),
        ("accuracy", ["accuracy"]),
        ("*/update_ratio", ["0.weight/update ratio", "2.weight/update ratio"]),
        (["0.weight/*", "loss"], ["loss", "0.weight/update ratio", "0.weight/gradient norm"]),
        (["loss", "loss", "l*"], ["loss"]),
    ],
)
def test_a_plot_shows_the_names_that_are_chosen_or_those_of_the_whole_net(plt: Any, names: Any, shown: Any) -> None:
    assert drawn(history_of(3, *NAMES).plot(names=names)) == shown


def test_a_plot_of_one_kind_for_all_layers_names_it_on_a_logarithmic_axis(plt: Any) -> None:
    ax = history_of(3, *NAMES).plot(names="*/update_ratio", log=True)
    assert (ax.get_ylabel(), ax.get_yscale(), len(ax.figure.axes)) == ("update ratio", "log", 1)


def test_a_name_that_is_not_there_is_an_error_before_a_figure_is_made(plt: Any) -> None:
    with pytest.raises(KeyError, match="History has no 'los'; it has 'loss', 'accuracy'"):
        history_of(3, *NAMES).plot(names="los")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("count", [1, 4, 20])
def test_all_that_is_plotted_lies_within_the_figure(plt: Any, count: int) -> None:
    ax = history_of(9, "loss", *(f"a_metric_with_a_long_name_{i}" for i in range(count))).plot()
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    width, height = ax.figure.canvas.get_width_height()
    for axes in ax.figure.axes:
        box = axes.get_tightbbox(renderer)
        assert min(box.x0, box.y0) >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
