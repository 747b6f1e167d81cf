"""Processes that mpiexec starts train one model; what ranks agree on in general is tested in test_ranks.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT

pytest.importorskip("mpi4py.MPI", exc_type=ImportError)
pytestmark = pytest.mark.peer

MPIEXEC = Path(sys.executable).with_name("mpiexec")
SCRIPT = """
import hashlib, os, sys, time
import numpy as np
from nanonet import Adam, Callback, CrossEntropy, Linear, Sequential, Tanh, Trainer, distributed

class At(Callback):
    def step_end(self, trainer):
        if trainer.steps == 3:
            {step}

draw = np.random.default_rng(0)
x, labels = draw.normal(size=(60, 6)), draw.integers(3, size=60)
model = Sequential(Linear(6, 5), Tanh(), Linear(5, 3), rng={rng})
reducer = distributed.MPIReducer(parts={parts})
{before}
trainer = Trainer(model, loss=CrossEntropy(), optimizer=Adam(0.01), reducer=reducer)
history = trainer.fit(x, labels, epochs={epochs}, batch_size=16, callbacks=[At()], verbose=1)
digest = hashlib.sha256(model.vector.value.tobytes()).hexdigest()
sys.stdout.write(f"{{trainer.steps}} {{history['loss'][-1:]}} {{history.interrupted}} {{digest}}\\n")
"""


def started(ranks: int, folder: Path, **changes: object) -> subprocess.Popen[str]:
    """Start ranks that run the script."""
    script = folder / "train.py"
    settings = {"step": "pass", "rng": 0, "parts": None, "before": "", "epochs": 2} | changes
    script.write_text(SCRIPT.format(**settings), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, str(script)]
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """Return the exit status, the lines and the errors of ranks, which do not wait for each other forever."""
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out.splitlines(), err


def test_any_number_of_processes_computes_the_same_bits_of_the_same_parts(tmp_path: Path) -> None:
    results = [ended(started(ranks, tmp_path, parts=4)) for ranks in (1, 2)]
    assert [status for status, _, _ in results] == [0, 0]
    lines = [line for _, lines, _ in results for line in lines]
    assert len(lines) == 3
    assert len(set(lines)) == 1


def test_processes_start_with_the_same_weights_and_only_the_first_shows_its_progress(tmp_path: Path) -> None:
    status, lines, errors = ended(started(2, tmp_path, rng=None))
    assert status == 0
    assert len(lines) == 2
    assert len(set(lines)) == 1
    assert errors.count("epoch 2/2") == 1


@pytest.mark.parametrize("place", ["step", "before"])
def test_a_process_that_fails_ends_all_with_its_message(tmp_path: Path, place: str) -> None:
    status, lines, errors = ended(
        started(2, tmp_path, **{place: "if reducer.rank == 1: raise LookupError('of the user')"})
    )
    assert status != 0
    assert lines == []
    assert "LookupError: of the user" in errors


def test_ctrl_c_ends_the_fit_of_all_after_the_same_step(tmp_path: Path) -> None:
    process = started(2, tmp_path, epochs=10**6, step="open('running', 'w').close()")
    while not (tmp_path / "running").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    status, lines, _ = ended(process)
    assert status == 0
    reports = [line for line in lines if " True " in line]
    assert len(reports) == 2
    # Of an epoch just over, the history of the rank that was interrupted may lack the entry.
    assert len({(line.split(" [")[0], line.split("] ")[1]) for line in reports}) == 1
