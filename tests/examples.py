"""The examples, each run once however many tests read what it prints."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import ROOT

EXAMPLES = ROOT / "examples"

# Runs a script, and stops it where it opens a connection or writes a file.
GUARDED = """
import os, runpy, sys

def guard(event, arguments):
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event.startswith("socket.") or event in ("os.mkdir", "os.rename", "os.remove"):
        raise PermissionError(f"{event} {arguments}")

import nanonet
sys.addaudithook(guard)
del sys.argv[0]  # as the script itself finds it
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@functools.cache
def output_of(name: str) -> str:
    """Run an example in an empty folder, warnings being errors, and return what it prints."""
    if "sklearn" in (EXAMPLES / name).read_text(encoding="utf-8"):
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    command = [sys.executable, "-B", "-W", "error", "-c", GUARDED, str(EXAMPLES / name)]
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, encoding="utf-8")
        assert (run.returncode, run.stderr) == (0, "")
        assert list(Path(folder).iterdir()) == []
    return run.stdout
