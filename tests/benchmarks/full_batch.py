"""Full batches, as whole arrays and in blocks, and large rows, each in a process of its own, with its page faults."""

from __future__ import annotations

import json
import statistics
from typing import Any

from tests.benchmarks import ours
from tests.benchmarks.agreement import agree
from tests.benchmarks.alone import alone, told, watched
from tests.benchmarks.peers import Nanonet
from tests.benchmarks.rows import FULL, TRAINING
from tests.benchmarks.steps import PEERS
from tests.benchmarks.tables import present
from tests.benchmarks.timing import Run

BLOCKS = {"blocks": None, "whole": 10_000, "by 2000": 2000, "by 1000": 1000, "by 500": 500, "by 250": 250}
BEST = tuple(BLOCKS)[2:]
LARGE = [row for row in TRAINING if row.batch >= 128]
ROWS = FULL + LARGE


def measure(run: Run) -> dict[str, Any]:
    """Return the seconds and the page faults of a pass by row, job and who takes it."""
    peers = [peer.name for peer in present(PEERS) if peer.name != "bare products"]
    found: dict[str, Any] = {}
    for i, row in enumerate(ROWS):
        if row in FULL:
            agree({peer.name: peer(row) for peer in PEERS if peer.name in peers}, row)
        names = [*BLOCKS, *peers[1:]] if row in FULL else peers
        for job in ("step", "predict") if row in FULL else ("step",):
            print(f"\n{job} in a process of its own, {row.name}")
            found[f"{row.name}, {job}"] = table(i, job, names, run)
    return found


def table(row: int, job: str, names: list[str], run: Run) -> dict[str, dict[str, float]]:
    """Measure everyone in turns, each time in a new process, print the medians and return them."""
    rounds = max(3, run.rounds // 4)
    runs = [{name: alone("full_batch", row, job, name, run.busy) for name in names} for _ in range(rounds)]
    found = {
        name: {key: statistics.median(each[name][key] for each in runs) for key in runs[0][name]} for name in names
    }
    best = min((found[name]["seconds"] for name in BEST if name in found), default=found[names[0]]["seconds"])
    for name, each in found.items():
        ratio = f"{each['seconds'] / best:8.2f} of the best blocks" if BEST[0] in found else ""
        print(f"{name:>20} {1e3 * each['seconds']:10.3f} ms {each['faults']:8.0f} faults{ratio}", flush=True)
    return found


def one(row: int, job: str, name: str, busy: bool) -> dict[str, float]:
    """Measure one of them here."""
    chosen, size = ROWS[row], BLOCKS.get(name)
    if name not in BLOCKS:
        peer = next(peer for peer in PEERS if peer.name == name)(chosen)
        return watched(getattr(peer, job), Run(busy=busy))
    peer = Nanonet(chosen)
    peer.trainer = ours.trainer(chosen, micro_batch_size=size)
    predict = peer.trainer.model.predict
    return watched(peer.step if job == "step" else lambda: predict(peer.x, size), Run(busy=busy))


if __name__ == "__main__":
    print(json.dumps(one(*told())))
