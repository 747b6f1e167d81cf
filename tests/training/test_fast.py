"""fast: the setting that has numba compile what it can, and what it takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import nanonet
from nanonet import SGD, Linear, Sequential, SquaredError, Trainer
from tests import ROOT


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    nanonet.config.fast = False


def trainer(**settings: Any) -> Trainer:
    """Return a trainer of a small net."""
    return Trainer(Sequential(Linear(2, 1), rng=0), loss=SquaredError(), optimizer=SGD(0.5), **settings)


def test_it_is_off_unless_somebody_says_otherwise() -> None:
    assert nanonet.config.fast is False
    assert trainer().stepper.fast is False
    assert trainer(fast=False).stepper.fast is False


@pytest.mark.peer
def test_the_argument_comes_before_the_setting_for_the_process() -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    assert trainer(fast=True).stepper.fast is True
    nanonet.config.fast = True
    assert repr(nanonet.config) == "Config(fast=True)"
    assert trainer().stepper.fast is True
    assert trainer(fast=False).stepper.fast is False


def test_without_numba_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"^Trainer: fast=True needs numba: pip install 'nanonet\[fast\]'$"):
        trainer(fast=True)
    with pytest.raises(ImportError, match=r"^config: fast=True needs numba: pip install 'nanonet\[fast\]'$"):
        nanonet.config.fast = True
    assert nanonet.config.fast is False


@pytest.mark.parametrize("fast", ["yes", 1, 0.0])
def test_only_true_and_false_are_taken(fast: Any) -> None:
    with pytest.raises(TypeError, match=r"^Trainer: expected fast as True or False, got "):
        trainer(fast=fast)
    with pytest.raises(TypeError, match=r"^config: expected fast as True or False, got "):
        nanonet.config.fast = fast


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(AttributeError):
        nanonet.config.quick = True


def test_a_trainer_shows_what_it_was_made_with_and_how_far_it_is() -> None:
    made = trainer()
    made.step([[1, 2]], [[3]])
    assert repr(made) == (
        "Trainer(\n"
        "  model: Sequential(\n"
        "    0: Linear(2, 1)\n"
        "  )\n"
        "  loss: SquaredError()\n"
        "  optimizer: SGD(0.5)\n"
        "  steps: 1\n"
        "  fast: False\n"
        ")"
    )


def test_neither_the_import_nor_a_fit_imports_numba() -> None:
    code = (
        "import sys, nanonet as n; "
        "n.Sequential(n.Linear(1, 1)).fit([[0]], [[1]], loss=n.SquaredError(), optimizer=n.SGD(0.1), epochs=1); "
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
