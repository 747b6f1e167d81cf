"""The served net answers as PyTorch's does, from a process that has only NumPy and nanonet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import Linear, ReLU, Sequential
from nanonet.models.files import save
from tests import ROOT

SERVE = str(ROOT / "examples" / "serve.py")


def run(*arguments: str, requests: str = "") -> str:
    command = [sys.executable, "-W", "error", SERVE, *arguments]
    return subprocess.run(command, input=requests, check=True, capture_output=True, text=True).stdout


def answers(path: Path, *requests: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("answer", str(path), requests="\n".join(requests)).splitlines()]


@pytest.fixture
def model() -> Sequential:
    return Sequential(Linear(3, 4), ReLU(), Linear(4, 2), rng=0)


def test_each_line_gets_its_answer_and_a_wrong_one_an_error(tmp_path: Path, model: Sequential) -> None:
    save(model, tmp_path / "net.npz")
    first, *wrong, last = answers(
        tmp_path / "net.npz", '{"x": [[1, 2, 3], [4, 5, 6]]}', "{", "[]", "{}", '{"x": [[1]]}', '{"x": [[7, 8, 9]]}'
    )
    np.testing.assert_allclose(first["prediction"], model([[1, 2, 3], [4, 5, 6]]), rtol=1e-6)
    np.testing.assert_allclose(last["prediction"], model([[7, 8, 9]]), rtol=1e-6)
    assert [error["error"].split(":")[0] for error in wrong] == [
        "JSONDecodeError",
        "TypeError",
        "KeyError",
        "ShapeError",
    ]


def test_nothing_but_numpy_and_nanonet_is_imported(tmp_path: Path, model: Sequential) -> None:
    save(model, tmp_path / "net.npz")
    code = (
        "import numpy.random, runpy, sys; before = set(sys.modules); sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__'); print(*set(sys.modules) - before)"
    )
    command = [sys.executable, "-c", code, SERVE, "answer", str(tmp_path / "net.npz")]
    shown = subprocess.run(command, input='{"x": [[1, 2, 3]]}', check=True, capture_output=True, text=True).stdout
    answer, modules = shown.splitlines()
    assert "prediction" in answer
    found = {name.split(".")[0] for name in modules.split()}
    assert "nanonet" in found
    assert found - {"nanonet", "numpy"} <= set(sys.stdlib_module_names)


@pytest.mark.slow
@pytest.mark.peer
def test_a_net_from_pytorch_is_served_as_pytorch_serves_it(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "net.npz"
    run("convert", str(path))
    output = run("compare", str(path))
    seconds = [float(number) for number in re.findall(r"first answer after (\S+) s", output)]
    assert seconds[0] < seconds[1]
    assert float(output.split(": ")[-1]) < 1e-6
    if sys.platform == "linux":
        ours, theirs = (int(number) for number in re.findall(r"peak memory (\d+) MiB", output))
        assert 0 < ours < theirs
