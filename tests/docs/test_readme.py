"""README.md: every Python block runs and prints what it shows, and a reader's classes pass mypy --strict."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import Linear, Sequential, Tanh
from tests import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
COMMANDS = [
    "python -m pip install . && python examples/two_two_two.py",
    "python -m pip install -e '.[test]' && python -m pytest",
]


def blocks() -> list[tuple[int, str, str]]:
    """Return each Python block with its first line's number, and the output shown below it."""
    found = [(match, README.count("\n", 0, match.start("code")) + 1) for match in PYTHON_BLOCK.finditer(README)]
    return [(line, match["code"], match["output"] or "") for match, line in found]


def printed(code: str, line: int, namespace: dict[str, Any]) -> str:
    """Run a block and return what it prints; a traceback shows the README's own line."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile("\n" * (line - 1) + code, "README.md", "exec"), namespace)
    return output.getvalue()


def comparable(text: str) -> str:
    """Return text with rounding errors, which differ from machine to machine, made equal; larger ones stay."""
    return re.sub(r"\d\.\de-(?:0[89]|1\d)", "(rounding)", text)


def test_python_blocks_run_in_order_and_print_what_the_readme_shows() -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    for line, code, shown in blocks():
        came = printed(code, line, namespace)
        assert comparable(came) == comparable(shown), f"README.md, the block from line {line} on"


def test_every_block_is_compared() -> None:
    shown = sum(1 for _, _, output in blocks() if output)
    assert len(blocks()) == README.count("```python") >= 6
    assert shown == README.count("```text") >= 5
    assert README.count("```") == 2 * (len(blocks()) + shown + len(COMMANDS))


def test_a_changed_output_would_be_noticed() -> None:
    assert comparable("difference 3.6e-11") == comparable("difference 1.2e-09")
    assert comparable("difference 3.6e-11") != comparable("difference 3.6e-05")
    assert comparable("0.60041131") != comparable("0.60041132")


@pytest.mark.slow
def test_the_classes_of_the_readme_pass_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    source = tmp_path / "readme.py"
    source.write_text("\n".join(code for _, code, _ in blocks()), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--ignore-missing-imports",
        "--no-error-summary",
        f"--cache-dir={tmp_path}",
        source.name,
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_readme_names_the_two_commands_and_ci_reads_them() -> None:
    shell = re.findall(r"^```bash\n(.*?)^```\n", README, re.MULTILINE | re.DOTALL)
    assert [block.strip() for block in shell] == COMMANDS
    script, bash = ROOT / ".ci" / "run", shutil.which("bash")
    if bash is None or not script.exists():
        pytest.skip("reading .ci/run needs bash and a checkout")
    run = subprocess.run([bash, str(script), "--commands"], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == COMMANDS


@pytest.mark.parametrize("name", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_to_files(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+\.py)`", README))))
def test_named_files_exist(name: str) -> None:
    assert (ROOT / name).is_file() or (ROOT / "nanonet" / name).is_file()


@pytest.mark.peer
def test_pytorch_takes_the_names_and_shapes_of_the_same_chain() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), rng=0)
    peer = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(peer(torch.from_numpy(x)).detach().numpy(), model(x), rtol=0, atol=1e-6)
