"""What a call takes in memory, as docs/reliability.md says: multiples of the bytes of the parameters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AT_MOST = {
    "Trainer(model, optimizer=Adam())": 4.5,
    "trainer.fit, the first batch": 5.0,
    "trainer.save": 5.0,
    "trainer.resume": 5.5,
    "save, .npz": 2.5,
    "save, .safetensors": 2.5,
    "load, .npz": 2.5,
    "load, .safetensors": 2.5,
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
@pytest.mark.parametrize("row", AT_MOST)
def test_no_call_takes_more_memory_than_is_promised(row: str) -> None:
    command = [sys.executable, "-m", "tests.memory", "--row", row, "--parameters", "8"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    _, most = map(float, found.stdout.split())
    assert most < AT_MOST[row]
