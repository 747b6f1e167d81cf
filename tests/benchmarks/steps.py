"""Steps: a training step of nanonet, of the bare products and of every peer that is installed, on a ready batch."""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.agreement import agree
from tests.benchmarks.jax_peers import Jax
from tests.benchmarks.peers import Fast, Nanonet, Peer, Products, Torch
from tests.benchmarks.rows import TRAINING
from tests.benchmarks.tables import Table, present
from tests.benchmarks.timing import Run

PEERS: list[type[Peer]] = [Nanonet, Fast, Products, Torch, Jax]


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of a step by row and peer."""
    peers, found = present(PEERS), {}
    table = Table("training step", [peer.name for peer in peers], [Nanonet.name, Fast.name])
    for row in TRAINING:
        if row.batch < 512:  # in float64 no exception is made
            exact = replace(row, dtype="float64")
            agree({peer.name: peer(exact) for peer in peers}, exact)
        agree(made := {peer.name: peer(row) for peer in peers}, row)
        found[row.name] = run.medians({name: peer.step for name, peer in made.items()})
        table.row(row.name, found[row.name])
    return found
