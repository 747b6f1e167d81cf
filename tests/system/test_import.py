"""Importing nanonet imports NumPy and nothing else that is not Python's own, and leaves to later what it can."""

import subprocess
import sys


def modules_after(code: str) -> set[str]:
    """Return the names of the modules that a new process has after some code."""
    run = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


def test_nothing_is_imported_but_numpy_and_what_comes_with_python() -> None:
    found = {name.split(".")[0] for name in modules_after("import nanonet") - modules_after("import numpy")}
    assert "nanonet" in found
    assert found - {"nanonet", "numpy"} <= set(sys.stdlib_module_names)


def test_numpys_generators_are_left_to_the_first_model() -> None:
    if "numpy.random" in modules_after("import numpy"):  # as in older releases, which leave nothing for later
        return
    assert "numpy.random" not in modules_after("import nanonet")
    assert "numpy.random" in modules_after("import nanonet; nanonet.Sequential(nanonet.Linear(1, 1))")
