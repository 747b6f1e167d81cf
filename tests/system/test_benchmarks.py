"""Benchmarks: the numbers that are committed can be drawn, and the floor in C is the same training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import ROOT
from tests.benchmarks.c_peers import C, compiler
from tests.benchmarks.epoch_peers import Fit
from tests.benchmarks.epochs import compare
from tests.benchmarks.rows import Row

RUN = ROOT / "tests" / "benchmarks" / "run.json"


@pytest.mark.peer
@pytest.mark.parametrize("fast", [False, True])
def test_the_picture_shows_every_row_of_a_run(fast: bool, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tests.benchmarks.chart import chart

    run = json.loads(RUN.read_text(encoding="utf-8"))
    for times in run["steps"].values():
        if fast:
            times["nanonet, fast"] = times["nanonet"] / 4
        else:
            times.pop("nanonet, fast", None)
    chart(run, tmp_path / "run.svg")
    drawn = (tmp_path / "run.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {row} -->" in drawn for row in run["steps"])
    assert ("<!-- JAX jit, fast -->" in drawn) is fast


@pytest.mark.peer
@pytest.mark.parametrize(
    "row",
    [
        Row((2, 2, 2), "sigmoid", 1, "float64", "sgd"),
        Row((5, 7, 4, 3), "sigmoid", 1, "float64", "sgd"),
        Row((20, 9, 3), "sigmoid", 1, "float32", "sgd"),
    ],
)
def test_the_floor_in_c_trains_as_fit_does(row: Row) -> None:
    if compiler() is None:
        pytest.skip("there is no C compiler")
    compare(row, [Fit, C])
