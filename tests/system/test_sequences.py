"""examples/sequences.py makes its tasks as they were published, trains on each, and says what came of every run."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import Sequential, check_gradients
from tests import ROOT


@pytest.fixture
def sequences() -> Any:
    spec = importlib.util.spec_from_file_location("sequences", ROOT / "examples" / "sequences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_vowels(folder: Path) -> Path:
    """Write nine speakers' series of 7 to 12 times of two numbers around a mean of theirs."""
    rng = np.random.default_rng(0)
    (folder / "JapaneseVowels").mkdir()
    for kind in ("TRAIN", "TEST"):
        lines = ["# nine speakers", "@dimensions 2", "@data"]
        for i in range(270):
            mean = 5 * np.array([np.cos(i // 30), np.sin(i // 30)])
            series = mean[:, np.newaxis] + rng.normal(size=(2, rng.integers(7, 13)))
            parts = [",".join(f"{number:.3f}" for number in row) for row in series]
            lines.append(":".join([*parts, str(1 + i // 30)]))
        (folder / "JapaneseVowels" / f"JapaneseVowels_{kind}.ts").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_the_questions_differ_and_the_answers_are_their_sums(sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "QUESTIONS", 500)
    x, labels = sequences.sums(np.random.default_rng(0))
    assert (x.shape, labels.shape) == ((500, 7, 12), (500, 4))
    asked = ["".join(sequences.CHARACTERS[i] for i in row)[::-1].strip() for row in x.argmax(axis=2)]
    answers = ["".join(sequences.CHARACTERS[i] for i in row) for row in labels]
    pairs = [sorted(map(int, question.split("+"))) for question in asked]
    assert [sum(pair) for pair in pairs] == [int(answer) for answer in answers]
    assert len({tuple(pair) for pair in pairs}) == 500
    assert {len(question) for question in asked} == set(range(3, 8))


def test_repeat_has_the_gradient_of_a_sum(sequences: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 2))
    model = Sequential(sequences.Repeat(4), dtype=np.float64)
    assert model(x).shape == (3, 4, 2)
    check_gradients(sequences.Repeat(4), (2,))


@pytest.mark.slow
def test_one_number_in_each_half_is_marked_and_their_sum_is_wanted(sequences: Any) -> None:
    x, wanted = sequences.marked(200, np.random.default_rng(0))
    marks = x[..., 1].reshape(200, 2, 50)
    assert np.isin(marks, (0, 1)).all()
    assert (marks.sum(axis=2) == 1).all()
    np.testing.assert_allclose(wanted[:, 0], (x[..., 0] * x[..., 1]).sum(axis=1))
    assert abs(sequences.marked(100_000, np.random.default_rng(0))[1].var() - 1 / 6) < 0.002  # to answer 1 always


def test_series_are_read_with_their_lengths_and_filled_up_with_zeros(sequences: Any, tmp_path: Path) -> None:
    path = fake_vowels(tmp_path) / "JapaneseVowels" / "JapaneseVowels_TRAIN.ts"
    x, lengths, labels = sequences.read(path)
    assert x.shape == (270, 12, 2)
    assert set(lengths) == set(range(7, 13))
    assert ((x != 0).all(axis=2).sum(axis=1) == lengths).all()
    assert (labels == np.arange(270) // 30).all()


@pytest.mark.slow
@pytest.mark.parametrize("way", [[], ["--validate"]])
def test_vowels_whose_speakers_have_other_means_are_told_apart(
    sequences: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], way: list[str]
) -> None:
    folder = str(fake_vowels(tmp_path))
    sequences.main(["--task", "vowels", "--data", folder, "--epochs", "8", "--rng", "0", "1", *way])
    *runs, published, last = capsys.readouterr().out.splitlines()
    ends = [float(end) for run in runs for end in re.findall(r"^rng \d: (\d+\.\d\d)%", run)]
    assert len(ends) == 2
    assert min(ends) > 90
    assert published.startswith("published: ")
    assert re.match(r"right speakers.*: mean \d+\.\d\d% of 2, deviation \d+\.\d\d%$", last)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["addition", "adding"])
def test_an_epoch_of_each_task_is_reported(
    sequences: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setattr(sequences, "QUESTIONS", 6000)
    sequences.main(["--task", task, "--epochs", "1"])
    epoch, run, published, last = capsys.readouterr().out.splitlines()
    assert re.match(r"  epoch  1  loss \d\.\d{5}  (characters|on 1000 others) ", epoch)
    assert run.startswith("rng 0: ")
    assert published.startswith("published: ")
    assert " of 1" in last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "vowels"], "--data is needed for the task vowels"),
        (["--task", "adding", "--data", "."], "--data is needed for the task vowels, and for no other"),
        (["--task", "adding", "--validate"], "--validate is for the task vowels"),
    ],
)
def test_arguments_of_another_task_are_refused(
    sequences: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        sequences.main(arguments)
    assert message in capsys.readouterr().err


def test_a_missing_file_is_named(sequences: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"JapaneseVowels_TRAIN\.ts: No such file"):
        sequences.main(["--task", "vowels", "--data", str(tmp_path)])
