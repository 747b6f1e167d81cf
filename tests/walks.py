"""How many modules of nanonet each of its walks passes through.

    python -m tests.walks

Counted are the modules of which a function runs while a model is built, fitted, saved, loaded, or read from an ONNX
file.
docs/architecture.md follows these walks, and tests/system/test_walks.py compares its numbers with these.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import nanonet
from nanonet import SGD, Linear, Sequential, SquaredError, Tanh

PACKAGE = Path(nanonet.__file__).parent


def modules(walk: Callable[[], Any]) -> set[str]:
    """Return the modules of the package of which a function runs meanwhile."""
    seen: set[str] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        place = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and place.is_relative_to(PACKAGE):
            seen.add(".".join(place.relative_to(PACKAGE).with_suffix("").parts))

    sys.setprofile(profile)
    try:
        walk()
    finally:
        sys.setprofile(None)
    return seen


def build() -> Sequential:
    """Return a small net."""
    return Sequential(Linear(2, 3), Tanh(), Linear(3, 1), rng=0)


def walks(folder: Path) -> dict[str, set[str]]:
    """Return, for each walk, the modules that it passes through."""
    model, x, target = build(), np.ones((8, 2)), np.zeros((8, 1))
    path = folder / "net.npz"
    found = {
        "building a model": modules(build),
        "a fit": modules(
            lambda: model.fit(x, target, loss=SquaredError(), optimizer=SGD(0.1), epochs=2, batch_size=4, verbose=0)
        ),
        "save": modules(lambda: nanonet.save(model, path)),
        "load": modules(lambda: nanonet.load(path)),
    }
    try:
        import onnx  # noqa: F401  # only to see whether it is there
    except ImportError:
        return found
    from nanonet.interchange.onnx import export, load

    export(model, folder / "net.onnx")
    return found | {"an ONNX load": modules(lambda: load(folder / "net.onnx"))}


def main() -> None:
    """Run the command."""
    with tempfile.TemporaryDirectory() as folder:
        for name, passed in walks(Path(folder)).items():
            print(f"{name:16}  {len(passed):3}  {', '.join(sorted(passed))}")


if __name__ == "__main__":
    main()
