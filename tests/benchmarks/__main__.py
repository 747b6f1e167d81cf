"""Times nanonet, the bare matrix products and every peer that is installed, in one run on one core.

python -m tests.benchmarks [--json FILE] [--rounds N] [--core N] [--busy] [--only PART]
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.benchmarks.tables import rounded
from tests.benchmarks.timing import Run, pin

PARTS = (  # each is a module beside this one
    *("steps", "epochs", "fit", "full_batch", "published", "cores", "memory"),
    *("images", "layers", "inference", "processes", "growth"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too; other parts stay in it")
    parser.add_argument("--rounds", type=int, default=11, help="of which the medians are taken; default: 11")
    parser.add_argument("--seconds", type=float, default=0.1, help="for each call in a round; default: 0.1")
    parser.add_argument("--core", type=int, default=0, help="to be pinned to; default: 0")
    parser.add_argument(
        "--busy",
        action="store_true",
        help="others use the machine too: count the time of the processor, except in cores, processes and growth",
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    chosen = parser.parse_args(arguments)
    pinned = pin(chosen.core)  # before NumPy is imported, which counts its threads then

    import numpy as np

    if find_spec("threadpoolctl"):  # what counted its threads all the same
        import threadpoolctl

        threadpoolctl.threadpool_limits(1)
    print(f"{platform.python_implementation()} {platform.python_version()}, NumPy {np.__version__}, {pinned}")
    run = Run(chosen.rounds, chosen.seconds, chosen.busy)
    for part in chosen.only or PARTS:
        found = import_module(f"tests.benchmarks.{part}").measure(run)
        if chosen.json is not None:
            keep(chosen.json, part, found)


def keep(file: Path, part: str, found: Any) -> None:
    """Write the numbers of a part into a file, beside those of the others."""
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**known, part: rounded(found)}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
