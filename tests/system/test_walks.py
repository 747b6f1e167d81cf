"""docs/architecture.md says how many modules each walk through the package passes; tests/walks.py counts them."""

import re
import subprocess
import sys

from tests import ROOT

ROW = re.compile(r"^\| (.+?) \| (\d+) \| (\d+) \|$", re.MULTILINE)


def test_each_walk_passes_through_as_many_modules_as_the_page_says() -> None:
    """The row of ONNX is compared where onnx is installed; a process of its own has nothing in its caches yet."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    stated = {walk.strip("`"): (int(modules), int(core)) for walk, modules, core in ROW.findall(page)}
    command = [sys.executable, "-m", "tests.walks"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    counted = {}
    for line in run.stdout.splitlines():
        walk, modules, names = re.split(r"  +", line)
        counted[walk] = (int(modules), names.count("core."))
    assert len(counted) >= 4
    assert {walk: stated.get(walk) for walk in counted} == counted
