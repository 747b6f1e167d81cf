"""examples/ucr.py reads series, trains each net on them, and says what came of every run."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import ROOT


@pytest.fixture
def ucr() -> Any:
    spec = importlib.util.spec_from_file_location("ucr", ROOT / "examples" / "ucr.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_series(folder: Path) -> Path:
    """Write 40 and 30 noisy waves of 32 numbers, of a class "slow" and one "fast", which start anywhere."""
    rng = np.random.default_rng(0)
    (folder / "Waves").mkdir()
    for kind, count in (("TRAIN", 40), ("TEST", 30)):
        lines = ["# two kinds of waves: slow and fast", "@problemName Waves", "@classLabel true slow fast", "@data"]
        for i in range(count):
            turns = (2, 5)[i % 2] * np.arange(32) / 32 + rng.random()
            wave = np.sin(2 * np.pi * turns) + rng.normal(0, 0.1, 32)
            lines.append(",".join(f"{number:.5f}" for number in wave) + ":" + ("slow", "fast")[i % 2])
        (folder / "Waves" / f"Waves_{kind}.ts").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_file_is_read_as_rows_and_classes(ucr: Any, tmp_path: Path) -> None:
    x, names = ucr.read(fake_series(tmp_path) / "Waves" / "Waves_TRAIN.ts")
    assert x.shape == (40, 32)
    assert abs(np.abs(x).max() - 1) < 0.5
    assert names[:3] == ["slow", "fast", "slow"]


@pytest.mark.slow
@pytest.mark.parametrize(("net", "epochs"), [("mlp", "30"), ("fcn", "10"), ("resnet", "5")])
def test_each_net_tells_slow_waves_from_fast_ones(
    ucr: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], net: str, epochs: str
) -> None:
    folder = str(fake_series(tmp_path))
    ucr.main(["--data", folder, "--name", "Waves", "--net", net, "--epochs", epochs, "--rng", "0", "1"])
    first, *runs, last = capsys.readouterr().out.splitlines()
    assert first == f"Waves, {net}: 40 series of 32, batches of 4, {epochs} epochs"
    ends = [float(end) for run in runs for end in re.findall(r"^rng \d: (\d+\.\d\d)%", run)]
    assert len(ends) == 2
    assert min(ends) > 80
    mean = re.match(r"on the 30 test series: mean (\d+\.\d\d)% of 2, deviation \d+\.\d\d%$", last)
    assert mean is not None
    assert abs(float(mean[1]) - sum(ends) / 2) < 0.011


def test_the_learning_rate_falls_to_a_tenth_at_most(ucr: Any) -> None:
    halve = ucr.Halve("loss", 1, factor=0.5)
    model = ucr.Sequential(ucr.Linear(1, 2), rng=0)
    trainer = ucr.Trainer(model, loss=ucr.CrossEntropy(), optimizer=ucr.Adam(0.0))
    trainer.fit([[1.0]], [0], epochs=20, callbacks=[halve], verbose=0)
    assert trainer.rate_factor == 0.1


def test_a_missing_file_is_named(ucr: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"Nothing_TRAIN\.ts: No such file"):
        ucr.main(["--data", str(tmp_path), "--name", "Nothing", "--net", "mlp"])
