"""Whole epochs: a step within ``fit``, beside JAX step by step and in ``lax.scan``, and beside C for single samples."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.benchmarks.agreement import same_weights
from tests.benchmarks.c_peers import C, ExactFann, ExactGenann, Fann, Genann
from tests.benchmarks.epoch_peers import Epochs, FastFit, Fit, JaxScan, JaxSteps
from tests.benchmarks.rows import Row
from tests.benchmarks.tables import Table, present
from tests.benchmarks.timing import Run

PEERS: list[type[Epochs]] = [Fit, FastFit, JaxSteps, JaxScan, C, Genann, Fann]
EXACT: dict[type[Epochs], type[Epochs]] = {Genann: ExactGenann, Fann: ExactFann}
EPOCHS = 5  # of a fit

ROWS = {  # batches an epoch
    Row((2, 2, 2), "sigmoid", 1, "float64", "sgd"): 4000,
    Row((784, 30, 10), "sigmoid", 1, "float32", "sgd"): 4000,
    Row((8, 32, 32, 1), "relu", 32, "float32", "adam"): 1000,
    Row((16,) * 51, "sigmoid", 16, "float32", "sgd"): 300,
    Row((784, 300, 10), "sigmoid", 32, "float32", "sgd"): 300,
    Row((784, 512, 512, 10), "relu", 128, "float32", "adam", "cross-entropy"): 50,
}


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of a step within epochs, all that is done before and between them included."""
    peers, found = present(PEERS), {}
    table = Table(f"step within {EPOCHS} epochs", [peer.name for peer in peers], [Fit.name, FastFit.name])
    for row, batches in ROWS.items():
        able = [peer for peer in peers if peer.can(row)]
        compare(row, able)
        calls = {peer.name: partial(peer(row, batches).run, EPOCHS) for peer in able}
        times = run.medians(calls, least=1)
        found[row.name] = {name: seconds / EPOCHS / batches for name, seconds in times.items()}
        table.row(row.name, found[row.name])
    return found


def compare(row: Row, peers: list[type[Epochs]], batches: int = 20) -> None:
    """See that everyone has the same weights after two short epochs."""
    made = {peer.name: EXACT.get(peer, peer)(row, batches) for peer in peers}
    for each in made.values():
        each.run(2)
    for name, each in made.items():
        rounder = "float32" if "float32" in (row.dtype, each.dtype) else "float64"
        same_weights(name, each.weights(), made[Fit.name].weights(), replace(row, dtype=rounder))
