"""Replay: its frames are the model at those epochs, and its page holds all that it shows, and nothing that loads."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanonet import (
    Adam,
    BatchNorm,
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    Linear,
    Replay,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
)
from nanonet.inspection.drawing.picture import SIGNED
from nanonet.inspection.replay_page import as_matrix, heat_maps, replay_page
from tests.helpers import picture

X = np.random.default_rng(0).normal(size=(10, 3))
TARGET = X[:, :1] * X[:, 1:2]


def trainer() -> Trainer:
    model = Sequential(Linear(3, 4), BatchNorm(4), Tanh(), Linear(4, 1), rng=0)
    return Trainer(model, loss=SquaredError(), optimizer=Adam(0.01))


def fitted(one: Trainer, epochs: int, *callbacks: Callback) -> History:
    return one.fit(X, TARGET, epochs=epochs, batch_size=4, callbacks=callbacks, verbose=0)


class States(Callback):
    """Keeps the model before the first epoch and after each."""

    def fit_begin(self, trainer: Trainer) -> None:
        self.states = [trainer.model.state_dict()]

    def epoch_end(self, trainer: Trainer) -> None:
        self.states.append(trainer.model.state_dict())


def same(frames: list[dict[str, npt.NDArray[Any]]], expected: list[dict[str, npt.NDArray[Any]]]) -> None:
    assert len(frames) == len(expected)
    for frame, state in zip(frames, expected, strict=True):
        assert frame.keys() == state.keys()
        for name in state:
            np.testing.assert_array_equal(frame[name], state[name])


# ---- the frames


@pytest.mark.parametrize(("every", "epochs"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4, 5]), (9, [0, 5]), (5, [0, 5])])
def test_a_frame_is_the_model_before_training_every_so_many_epochs_and_at_the_end(
    every: int, epochs: list[int]
) -> None:
    replay, states = Replay(every), States()
    fitted(trainer(), 5, replay, states)
    assert replay.epochs == epochs
    same(replay.frames, [states.states[epoch] for epoch in epochs])


def test_the_last_frame_is_of_the_last_epoch_and_not_of_the_best() -> None:
    replay, states = Replay(50), States()
    history = fitted(trainer(), 50, EarlyStopping("loss", 2, margin=9), replay, states)
    assert replay.epochs == [0, history.epochs]
    same(replay.frames, [states.states[0], states.states[-1]])


def test_a_second_fit_goes_on_and_another_trainer_starts_anew() -> None:
    replay, one = Replay(2), trainer()
    fitted(one, 3, replay)
    fitted(one, 3, replay)
    assert replay.epochs == [0, 2, 3, 4, 6]
    fitted(trainer(), 1, replay)
    assert replay.epochs == [0, 1]


def test_a_training_is_the_same_bit_for_bit() -> None:
    watched, plain = trainer(), trainer()
    fitted(watched, 3, Replay(x=X[:1], target=TARGET[:1]))
    fitted(plain, 3)
    assert picture(watched.model) == picture(plain.model)


def test_a_resumed_training_has_all_frames(tmp_path: Path) -> None:
    class Ends(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == 8:
                raise KeyboardInterrupt

    path = tmp_path / "run.npz"
    whole, half, later, states = Replay(2), Replay(2), Replay(2), States()
    fitted(trainer(), 5, whole, states)
    fitted(trainer(), 5, half, Ends(), Checkpoint(path))
    assert half.epochs == [0, 2]
    again = trainer()
    again.resume(path)
    again.fit(X, TARGET, until_epoch=5, batch_size=4, callbacks=[later], verbose=0)
    assert later.epochs == whole.epochs == [0, 2, 4, 5]
    same(later.frames, whole.frames)


@pytest.mark.parametrize("epochs", [[], [0, 0, 1], [0, 1, 9], [-1, 0, 1], [0.0, 1.0, 2.0], [0, 1]])
def test_frames_in_a_checkpoint_that_do_not_fit_are_refused(epochs: list[Any]) -> None:
    replay, one = Replay(), trainer()
    fitted(one, 2, replay)
    state: dict[str, Any] = {name: np.asarray(array) for name, array in replay.state_dict().items()}
    replay.fit_resumed(one, state)
    with pytest.raises(ValueError, match=r"Replay\(\): the frames in the checkpoint do not fit the model"):
        replay.fit_resumed(one, state | {"epochs": np.array(epochs)})
    assert replay.epochs == [0, 1, 2]


# ---- the page


class Page(HTMLParser):
    """The tags of a page, its text outside of scripts, and its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.inside = ""
        self.feed(text)
        ((data, *_), *_) = [self.texts["script"]]
        self.data = json.loads(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.inside, []).append(data)


def page_of(replay: Replay, path: Path) -> Page:
    replay.save(path)
    return Page(path.read_text(encoding="utf-8"))


def decoded(image: str) -> npt.NDArray[Any]:
    """Return the pixels of a PNG as numbers of its palette."""
    content = base64.b64decode(image)
    width, height = struct.unpack(">II", content[16:24])
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    lines = np.frombuffer(zlib.decompress(content[start + 4 : start + 4 + length]), np.uint8)
    return lines.reshape(height, width + 1)[:, 1:]


def test_the_page_has_a_label_a_map_of_each_parameter_and_a_figure_for_each_frame(tmp_path: Path) -> None:
    replay, one = Replay(2, x=X[:1], target=TARGET[:1]), trainer()
    history = fitted(one, 5, replay)
    page = page_of(replay, tmp_path / "run.html")
    assert page.data["epochs"] == [0, 2, 4, 5]
    assert page.data["labels"] == ["before training"] + [
        f"epoch {epoch}   loss\u00a0{history['loss'][epoch - 1]:.4g}" for epoch in (2, 4, 5)
    ]
    assert list(page.data["maps"]) == list(one.model.parameters())
    assert all(len(images) == 4 for images in page.data["maps"].values())
    last = one.model.trace(X[:1], TARGET[:1], SquaredError()).draw().svg  # type: ignore[attr-defined]
    assert page.data["figures"][-1] == last
    assert len(set(page.data["figures"])) == 4
    assert ("input", "3") in {(tag, attributes.get("max")) for tag, attributes in page.tags}


def test_the_page_loads_nothing_and_runs_no_other_script(tmp_path: Path) -> None:
    replay = Replay(x=X[:1])
    fitted(trainer(), 2, replay)
    page = page_of(replay, tmp_path / "run.html")
    assert [attributes for _, attributes in page.tags if {"src", "href"} & attributes.keys()] == []
    assert [attributes.get("type") for tag, attributes in page.tags if tag == "script"] == ["application/json", None]
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"'<\\]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "import" not in text and "url(" not in text and "fetch" not in text  # noqa: PT018


def test_names_that_are_markup_stay_text() -> None:
    odd = "</script><b>\"'&[DATA]"
    page = Page(replay_page(odd, {odd: [1.0], "loss": [2.0]}, [0, 1], {odd: np.ones((2, 1))}, [odd, odd]))
    assert not [tag for tag, _ in page.tags if tag == "b"]
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert page.texts["h1"][0] == odd
    assert (list(page.data["maps"]), page.data["figures"]) == ([odd], [odd, odd])
    assert page.data["labels"][1] == f"epoch 1   {odd}\u00a01   loss\u00a02"


def test_all_frames_of_a_weight_are_on_one_scale() -> None:
    frames = np.array([[[0.5, -0.5]], [[1.0, -2.0]]])
    images, largest = heat_maps(frames)
    assert largest == 2.0
    middle = (len(SIGNED) - 2) / 2
    for image, numbers in zip(images, frames, strict=True):
        np.testing.assert_allclose(decoded(image), middle + numbers / 2 * middle, atol=0.5)


@pytest.mark.parametrize("numbers", [[0.0, 0.0], [np.nan, np.inf], [np.nan, 1.0]])
def test_weights_that_are_0_or_not_finite_have_a_map(numbers: list[float]) -> None:
    images, largest = heat_maps(np.array([[numbers]]))
    assert (decoded(images[0]).shape, largest) == ((1, 2), 1.0)


@given(shape=st.lists(st.integers(1, 4), min_size=0, max_size=5))
def test_an_image_of_a_weight_has_all_its_numbers(shape: list[int]) -> None:
    weight = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    matrix = as_matrix(weight)
    assert matrix.ndim == 2
    assert sorted(matrix.ravel()) == sorted(weight.ravel())


def test_kernels_stay_whole_in_the_image() -> None:
    weight = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(as_matrix(weight)[2:4, 4:6], weight[1, 2])


@example(losses=[1.7e308, -1.7e308], others=[])
@given(
    losses=st.lists(st.floats(), min_size=1, max_size=6),
    others=st.lists(st.floats(-9, 9), max_size=6),
)
def test_any_history_has_curves_within_their_box(losses: list[float], others: list[float]) -> None:
    page = replay_page("", {"loss": losses, "accuracy": others}, [0, len(losses)], {}, [])
    for path in re.findall(r'<path class="c\d" d="([^"]*)"', page):
        for x, y in re.findall(r"[ML]([-\d.]+|nan) ([-\d.]+|nan)", path):
            assert 60 <= float(x) <= 640
            assert 0 <= float(y) <= 170
    assert "nan" not in "".join(re.findall(r"<svg.*?</svg>", page)).replace("nanonet", "")


# ---- mistakes


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(ValueError, match="Replay: expected epochs of 1 or more, got 0"):
        Replay(0)
    with pytest.raises(TypeError, match="Replay: a target needs its sample"):
        Replay(target=[[1.0]])
    for x, message in ((X, "Replay: expected x of one sample, got 10"), (X[:1, :2], r"expected input of shape")):
        one = trainer()
        with pytest.raises(ValueError, match=message):
            fitted(one, 1, Replay(x=x))
        assert one.steps == 0


def test_a_page_needs_a_recording_and_a_name_that_ends_in_html(tmp_path: Path) -> None:
    replay = Replay()
    with pytest.raises(RuntimeError, match=r"nothing was recorded; give it to a fit: callbacks=\[replay\]"):
        replay.save(tmp_path / "run.html")
    with pytest.raises(ValueError, match=r"Replay\.save: expected a path that ends in \.html, got 'run\.htm'"):
        replay.save("run.htm")
    assert list(tmp_path.iterdir()) == []
