"""until_epoch: a script that is run again trains what is missing, and no more, however the first run ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import Adam, Callback, Checkpoint, CSVLog, EarlyStopping, Linear, Sequential, SquaredError, Tanh, Trainer

X = np.random.default_rng(0).normal(size=(10, 3))
TARGET = X[:, :1] * X[:, 1:2]


def trainer() -> Trainer:
    return Trainer(Sequential(Linear(3, 4), Tanh(), Linear(4, 1), rng=0), loss=SquaredError(), optimizer=Adam(0.01))


def script(path: Path, until: int, callbacks: Sequence[Callback] = ()) -> Trainer:
    """Do what a script does that may be run again."""
    again = trainer()
    if path.exists():
        again.resume(path)
    again.fit(X, TARGET, until_epoch=until, batch_size=4, callbacks=[*callbacks, Checkpoint(path, steps=1)], verbose=0)
    return again


class InterruptsAt(Callback):
    """Presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps == self.step:
            raise KeyboardInterrupt


def test_a_script_that_is_run_again_trains_nothing_and_leaves_its_files(tmp_path: Path) -> None:
    path, log = tmp_path / "run.npz", tmp_path / "log.csv"
    first = script(path, 4, [CSVLog(log)])
    written = path.read_bytes(), log.read_bytes()
    second = script(path, 4, [CSVLog(log)])
    assert (second.history.epochs, second.steps) == (4, first.steps)
    assert (path.read_bytes(), log.read_bytes()) == written
    np.testing.assert_array_equal(second.model.vector.value, first.model.vector.value)


@pytest.mark.parametrize("step", range(1, 12))
def test_a_script_that_was_interrupted_trains_what_is_missing_bit_for_bit(step: int, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    script(path, 4, [InterruptsAt(step)])
    later, whole = script(path, 4), script(tmp_path / "whole.npz", 4)
    assert (later.history.epochs, later.steps) == (4, 12)
    np.testing.assert_array_equal(later.model.vector.value, whole.model.vector.value)


def test_a_larger_number_trains_the_difference(tmp_path: Path) -> None:
    script(tmp_path / "run.npz", 2)
    assert script(tmp_path / "run.npz", 5).history.epochs == 5


def test_a_resumed_fit_that_a_callback_had_stopped_stays_stopped(tmp_path: Path) -> None:
    path, stops = tmp_path / "run.npz", EarlyStopping("loss", 1, margin=9)
    first = script(path, 50, [stops])
    assert 1 < first.history.epochs < 50
    second = script(path, 50, [EarlyStopping("loss", 1, margin=9)])
    assert (second.history.epochs, second.history.stopped) == (first.history.epochs, first.history.stopped)
    second.fit(X, TARGET, epochs=1, verbose=0)
    assert second.history.epochs == first.history.epochs + 1
    assert not second.history.stopped


@given(fits=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_the_history_is_as_long_as_the_largest_number_so_far(fits: list[int]) -> None:
    one = trainer()
    for i, until in enumerate(fits):
        assert one.fit(X, TARGET, until_epoch=until, verbose=0).epochs == max(fits[: i + 1])


def test_lines_count_the_epochs_before_too(capsys: pytest.CaptureFixture[str]) -> None:
    one = trainer()
    one.fit(X, TARGET, epochs=2, verbose=0)
    one.fit(X, TARGET, until_epoch=4, verbose=2)
    one.fit(X, TARGET, epochs=1, verbose=2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 3/4", "epoch 4/4", "epoch 1/1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "fit: expected epochs, or until_epoch to count those before too; got neither"),
        ({"epochs": 1, "until_epoch": 2}, "fit: expected epochs, or until_epoch to count those before too; got both"),
        ({"until_epoch": 0}, "fit: expected until_epoch of 1 or more, got 0"),
        ({"until_epoch": 2.0}, "fit: expected until_epoch as an int, got 2.0"),
        ({"until_epoch": 2, "batch_size": 0}, "fit: expected batch_size of 1 or more, got 0"),
    ],
)
def test_exactly_one_number_of_epochs_is_expected(settings: dict[str, Any], message: str) -> None:
    one = trainer()
    one.fit(X, TARGET, until_epoch=2, verbose=0)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        one.fit(X, TARGET, **settings)
    assert one.history.epochs == 2
