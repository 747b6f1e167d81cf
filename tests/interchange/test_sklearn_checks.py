"""scikit-learn takes our estimators for its own: its checks of estimators pass, and its tests of MLPClassifier hold.

Which of these tests do not hold, and why, is in the table DIFFERENT.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from tests.interchange.sklearn_checks import FAILING, SETTINGS

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PRIVATE = "it reads or sets private attributes of scikit-learn's classes"
DIVERGES = "training that diverges ends with NonFiniteError, which names the layer, and the model as it was before"
WORDS = "it is refused in other words"

DIFFERENT = {
    "test_fit": PRIVATE,
    "test_gradient": PRIVATE,
    "test_n_iter_no_change": PRIVATE,
    "test_n_iter_no_change_inf": PRIVATE,
    "test_nonfinite_params": DIVERGES,
    "test_mlp_diverging_loss": DIVERGES,
    "test_early_stopping_stratified": WORDS,
    "test_minimum_input_sample_size": WORDS,
    "test_mlp_partial_fit_after_fit[MLPClassifier]": "with early_stopping there is no partial_fit: hasattr says so",
    "test_mlp_partial_fit_after_fit[MLPRegressor]": "with early_stopping there is no partial_fit: hasattr says so",
    "test_preserve_feature_names[MLPClassifier]": "a y of a single class is refused",
    "test_verbose_sgd": "progress is printed in other words, to stderr",
}
"""The tests of scikit-learn's test_mlp.py that do not hold for ours, and why."""


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_of_scikit_learns_checks_pass(setting: str) -> None:
    """In a process of their own: SciPy reads SCIPY_ARRAY_API when it is imported. Some need pandas or polars."""
    command = [sys.executable, "-W", "error", "-m", "tests.interchange.sklearn_checks", setting]
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    counts = re.findall(r"(\d+) checks, (\d+) passed, (\d+) failed, (\d+) skipped, (\d+) xfail", run.stdout)
    assert len(counts) == len(SETTINGS[setting][0])
    for total, passed, failed, skipped, expected in counts:
        assert failed == "0", run.stdout
        assert int(total) - int(skipped) - int(expected) == int(passed) > 50
        assert (expected == "0") == (setting not in FAILING)
    missing = [name for name in ("pandas", "polars") if importlib.util.find_spec(name) is None]
    for name, reason in re.findall(r"^  (\w+): skipped, (.*)", run.stdout, re.MULTILINE):
        assert any(each in reason for each in (*missing, "does not have a decision_function")), name


def test_its_own_tests_of_mlp_hold_with_ours_in_its_place_but_for_those_in_the_table(tmp_path: Path) -> None:
    plugin, tests = "tests.interchange.mlp_by_another_name", "sklearn.neural_network.tests.test_mlp"
    options = ["-c", os.devnull, "-q", "-n", "0", "-p", "no:cacheprovider", "-p", plugin]
    environment = {**os.environ, "OUTCOMES": str(tmp_path / "outcomes.json"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", *options, "--pyargs", tests]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    outcomes = json.loads((tmp_path / "outcomes.json").read_text(encoding="utf-8"))
    differing = {name for name, outcome in outcomes.items() if outcome != "passed"}
    assert differing == DIFFERENT.keys() & outcomes.keys(), run.stdout  # other versions have other tests
    assert len(outcomes) - len(differing) >= 45
