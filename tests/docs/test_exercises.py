"""The exercises are wrong as shipped, right when solved, and give each mistake its hint, without giving the answer."""

from __future__ import annotations

import copy
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from inspect import isabstract
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nanonet
from nanonet import Adam, Layer, Parameter, Sequential, SquaredError
from nanonet.checking.situations import example
from tests import ROOT
from tests.exercise_solutions import SOLUTIONS

FOLDER = ROOT / "examples" / "exercises"
FILES = {
    name: path
    for path in sorted(FOLDER.glob("*.py"))
    for name in re.findall(r"^class (\w+)\(Layer\)", path.read_text(encoding="utf-8"), re.MULTILINE)
}
Mark = Callable[[str, str], str]


def with_backward(name: str, body: str) -> str:
    """Return an exercise's file with this in place of what its backward ships with."""
    text = FILES[name].read_text(encoding="utf-8")
    start, end = text.index("        # your turn"), text.index("\n\nif __name__")
    return text[:start] + textwrap.indent(textwrap.dedent(body).strip("\n "), " " * 8) + "\n" + text[end:]


def written(name: str, body: str, folder: Path) -> Path:
    """Write an exercise with this backward, and what it imports, as a learner's own copy of the folder has them."""
    for shared in ("marking.py", "hints.py"):
        shutil.copy(FOLDER / shared, folder)
    script = folder / FILES[name].name
    script.write_text(with_backward(name, body), encoding="utf-8")
    return script


def run(script: Path) -> tuple[int, str]:
    """Run a script as a learner does, from the root of the repository; return its exit status and its output."""
    command = [sys.executable, "-B", "-W", "error", str(script)]
    done = subprocess.run(command, cwd=FOLDER.parents[1], capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.stderr == ""
    return done.returncode, done.stdout


def layer_in(code: str, path: Path) -> Any:
    """Return the layer that an exercise has marked."""
    path.write_text(code, encoding="utf-8")
    found = re.search(r"^    mark\((.+)\)$", code, re.MULTILINE)
    assert found
    return eval(found[1], runpy.run_path(str(path), run_name="exercise"))


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `from marking import mark` find what stands beside the exercises, as it does when they are run."""
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def mark(on_path: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Mark:
    """Return what marks an exercise with another backward, which must be wrong, and returns the output."""

    def marked(name: str, body: str) -> str:
        script = written(name, body, tmp_path)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        assert ended.value.code == 1
        output, errors = capsys.readouterr()
        assert errors == ""
        assert output.startswith(f"{name}(")
        assert "Traceback" not in output
        return " ".join(output.split())

    return marked


def hints() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = runpy.run_path(str(FOLDER / "hints.py"))["HINTS"]
    return found


def texts(hint: Any) -> list[str]:
    return [hint.begin, hint.otherwise, *(text for _, text in hint.symptoms)]


# ---- nothing is forgotten


def test_every_layer_in_the_folder_has_a_solution_and_a_hint_for_each_of_its_derivatives(on_path: None) -> None:
    table, found = hints(), set()
    for path in sorted(FOLDER.rglob("*.py")):
        for kind in runpy.run_path(str(path), run_name="exercise").values():
            if isinstance(kind, type) and kind.__module__ == "exercise" and issubclass(kind, Layer):
                if not isabstract(kind):
                    found.add(kind.__name__)
    assert found == set(SOLUTIONS) == set(FILES) == set(table)
    assert len(found) == 5


@pytest.mark.parametrize("name", SOLUTIONS)
def test_each_derivative_has_hints_of_its_own(name: str, on_path: None, tmp_path: Path) -> None:
    layer = layer_in(FILES[name].read_text(encoding="utf-8"), tmp_path / "exercise.py")
    parameters = [key for key, value in vars(layer).items() if isinstance(value, Parameter)]
    table = hints()[name]
    assert set(table) == {f"dE/d{key}" for key in ("x", *parameters)}
    said = [text for hint in table.values() for text in texts(hint)]
    assert len(set(said)) == len(said)


def test_the_index_names_every_exercise_with_its_file() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d) \| \[(\w+\.py)\]\((\w+\.py)\)", index, re.MULTILINE)
    assert [number for number, _, _ in listed] == ["1", "2", "3", "4", "5"]
    assert sorted(name for _, name, _ in listed) == sorted(path.name for path in FILES.values())
    for number, name, target in listed:
        assert name == target
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert text.startswith(f'"""Exercise {number}, ')
        assert f"python examples/exercises/{name}\n" in text


# ---- as shipped, and solved


@pytest.mark.parametrize("name", SOLUTIONS)
def test_as_shipped_an_exercise_is_marked_wrong_with_a_hint_where_to_begin(name: str) -> None:
    status, output = run(FILES[name])
    assert status == 1
    heading, found, hint = output.split("\n\n")
    assert re.fullmatch(rf"{name}\(.*\): not right yet", heading)
    assert found.startswith("dE/dx[")
    assert "diagnosis: it is 0 everywhere" in found
    assert hint.startswith("hint: nothing is there yet. Begin with")
    assert all(len(line) <= 100 and line.isascii() and line == line.rstrip() for line in output.splitlines())


@pytest.mark.parametrize("name", SOLUTIONS)
def test_solved_an_exercise_is_right(name: str, tmp_path: Path) -> None:
    status, output = run(written(name, SOLUTIONS[name], tmp_path))
    assert status == 0
    assert re.match(rf"{name}\(.*\): right\n\n{name}\(.*\): backward is the derivative of forward", output)
    assert "hint" not in output


def losses(layer: Layer) -> tuple[float, float]:
    """Train a net with this layer to do what another such net does; return the first and the last loss."""
    features = example(layer.input_shape or (3,), 3)[-1]
    model, teacher = (Sequential(nanonet.Linear(features, features), copy.deepcopy(layer), rng=seed) for seed in (0, 1))
    x = np.random.default_rng(2).normal(size=(64, features))
    history = model.fit(x, teacher(x), loss=SquaredError(), optimizer=Adam(0.02), epochs=60, batch_size=16, verbose=0)
    return history["loss"][0], history["loss"][-1]


@pytest.mark.parametrize("name", SOLUTIONS)
def test_solved_a_layer_trains_and_as_shipped_it_does_not(name: str, on_path: None, tmp_path: Path) -> None:
    first, last = losses(layer_in(with_backward(name, SOLUTIONS[name]), tmp_path / "solved.py"))
    assert last < first / 20
    first, last = losses(layer_in(FILES[name].read_text(encoding="utf-8"), tmp_path / "shipped.py"))
    assert last == pytest.approx(first, rel=1e-5)


# ---- a mistake gets the hint that is about it

MISTAKES = {
    "Scale": [
        ("return grad * self.gain.value", "return grad.copy()", "you return grad as it came"),
        ("return grad * self.gain.value", "return grad * cache", "you multiply by x"),
        ("grad * self.gain.value", "grad.reshape(5, 3) / self.gain.value", "x[n, i] reaches y[n, i] and nothing else"),
        (".sum(axis=0)", ".mean(axis=0)", "that is 1/batch; averaged over the batch"),
        (".sum(axis=0)", "[0]", "not summed over the batch: it is the share of sample 0 alone"),
        ("(grad * cache).sum(axis=0)", "grad.sum(axis=0)", "you add up grad alone"),
        ("(grad * cache).sum(axis=0)", "(grad**2).sum(axis=0)", "all samples share gain[i]"),
        ("(grad * cache).sum(axis=0)", "np.zeros(3)", "hint: nothing is there yet. Begin with one sample"),
    ],
    "Tanh": [
        ("grad * (1 - cache**2)", "1 - cache**2", "has the sign of its entry of grad"),
        ("(1 - cache**2)", "cache * (1 - cache)", "has the sign of its entry of grad"),
        ("(1 - cache**2)", "(1 - cache)", "Is your slope the same at y = -0.5 as at y = 0.5"),
        ("(1 - cache**2)", "(1 - np.abs(cache))", "falls to 0 as y nears 1 or -1"),
        ("grad * (1 - cache**2)", "grad.copy()", "falls to 0 as y nears 1 or -1"),
        ("(1 - cache**2)", "(cache**2 - 1)", "diagnosis: sign flipped"),
    ],
    "Linear": [
        ("grad @ self.weight.value", "grad @ self.weight.value.T", "it becomes correct when weight is transposed"),
        ("grad @ self.weight.value", "grad @ self.weight.value.T", "In a square layer shapes do not object"),
        ("grad.T @ cache", "cache.T @ grad", "transposed: it is the transpose of the derivative"),
        ("grad.T @ cache", "cache.T @ grad", "Which factor of your product must give the rows"),
        ("grad.T @ cache", "grad.T @ cache / len(grad)", "averaged over the batch"),
        ("grad.T @ cache", "np.outer(grad[0], cache[0])", "not summed over the batch"),
        ("grad.sum(axis=0)", "grad.mean(axis=0)", "averaged over the batch"),
        ("grad.sum(axis=0)", "grad[0]", "bias[j] is added to y[n, j] in every sample n"),
        ("grad.sum(axis=0)", "np.zeros(3)", "Begin with one entry: by how much does y[n, j] grow when bias[j]"),
    ],
    "Softmax": [
        ("(grad - (grad * cache).sum(axis=1, keepdims=True))", "grad", "are both there"),
        ("(grad - (grad * cache).sum(axis=1, keepdims=True))", "(1 - cache) * grad", "each row of dE/dx sums to 0"),
        ("axis=1, keepdims=True", "axis=0", "is the sum taken over the row"),
        ("cache * (grad - (grad * cache).sum(", "(grad - grad.mean(", "Now take a row of two scores"),
    ],
    "LayerNorm": [
        ("(dz - by_mean - by_deviation)", "dz", "is that path there, and summed over the features"),
        ("(dz - by_mean - by_deviation)", "(dz - by_deviation)", "The mean moves with every x of its row"),
        ("by_mean = dz.mean(axis=1", "by_mean = dz.mean(axis=0", "The mean moves with every x of its row"),
        ("(dz - by_mean - by_deviation)", "(dz - by_mean)", "The deviation moves with every x of its row"),
        ("(dz * z).mean(", "(dz * z).sum(", "with the right factor"),
        ("dz = grad * self.gain.value", "dz = grad", "how dE/dz comes from grad"),
        ("by_deviation) / deviation", "by_deviation)", "the size of a step of x in units of z"),
        ("(grad * z).sum(axis=0)", "(grad * z * deviation).sum(axis=0)", "multiplies z[n, j], and not x[n, j]"),
        ("= grad.sum(axis=0)", "= grad.mean(axis=0)", "averaged over the batch"),
    ],
}


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"), [(name, *mistake) for name, table in MISTAKES.items() for mistake in table]
)
def test_a_mistake_gets_the_hint_that_is_about_it(name: str, right: str, wrong: str, said: str, mark: Mark) -> None:
    assert SOLUTIONS[name].count(right) == 1
    output = mark(name, SOLUTIONS[name].replace(right, wrong))
    assert said in output
    assert " hint: " in output


GAIN, DX = SOLUTIONS["Scale"].split("\n")[1:3]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (DX, "backward never assigns gain.grad; write self.gain.grad = ..."),
        (GAIN, "backward must return an array, got NoneType"),
        (f"{GAIN.replace('=', '+=', 1)}\n{DX}", "gradients are assigned: self.gain.grad = ..., not +="),
        (f"{GAIN.replace('.sum(axis=0)', '')}\n{DX}", "expected shape (3,), got (5, 3); sum it over the batch"),
        (f"{GAIN.replace('.grad =', ' =')}\n{DX}", "to change its numbers write layer.gain.value = ..."),
        (f"{GAIN}\n        return grad.sum(axis=1)", "must return dE/dx of the shape of x, (5, 3), got (5,)"),
        (f"{GAIN}\n{DX} * np.inf", "its dE/dx is the first gradient that is not finite"),
        (f"{GAIN}\n{DX} / (1 // 0)", "its passes fail with ZeroDivisionError: "),
        (f"{GAIN}\n{DX} @ grad", "its passes fail with ValueError: matmul"),
        (f"{GAIN}\n{DX.replace('.value', '')}", "Scale.gain is a Parameter; its numbers are in .value"),
        (f"{GAIN}\n{DX.replace('gain', 'gian')}", "'Scale' object has no attribute 'gian'"),
        (f"{GAIN}\n{DX.replace('return grad *', 'grad *=')}\n        return grad", "backward writes to its argument"),
    ],
)
def test_what_breaks_the_rules_is_marked_with_nanonets_own_message(body: str, said: str, mark: Mark) -> None:
    output = mark("Scale", body)
    assert said in output
    assert "hint" not in output


def test_an_exception_is_shown_with_the_learners_own_line_and_no_traceback(tmp_path: Path) -> None:
    script = written("Softmax", "half = 0.5\nreturn half * grad @ cache", tmp_path)
    line = script.read_text(encoding="utf-8").splitlines().index("        return half * grad @ cache") + 1
    status, output = run(script)
    assert status == 1
    assert "Softmax(): not right yet\n\nits passes fail with ValueError: matmul" in output
    assert output.endswith(f"at: softmax.py, line {line}: return half * grad @ cache\n")


# ---- and not the answer

FORMULAS = "1-y 1-tanh 1-cache grad*gain grad@ grad.T y[k]*y[j] y[j]*( y*( dz-".split()


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("name", SOLUTIONS)
def test_neither_exercise_nor_hints_contain_the_solution(name: str) -> None:
    said = [text for hint in hints()[name].values() for text in texts(hint)]
    said += [FILES[name].read_text(encoding="utf-8"), (FOLDER / "README.md").read_text(encoding="utf-8")]
    steps = re.findall(r"^ +(?:return|[\w. ,]+ =) (.+)$", SOLUTIONS[name], re.MULTILINE)
    answers = [step for step in steps if step != "cache"]
    assert answers
    for text in map(squeezed, said):
        assert not [answer for answer in answers if squeezed(answer) in text]
    for text in map(squeezed, said[:-2]):
        assert not [formula for formula in FORMULAS if formula in text]
