"""Inference: a prediction by nanonet, by the bare products and by every peer that is installed."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.jax_peers import Jax
from tests.benchmarks.peers import Nanonet, Peer, Products, Sklearn, Torch
from tests.benchmarks.rows import INFERENCE
from tests.benchmarks.tables import Table, present
from tests.benchmarks.timing import Run

PEERS: list[type[Peer]] = [Nanonet, Products, Torch, Jax, Sklearn]


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of a prediction by row and peer, once they are the same."""
    peers, found = present(PEERS), {}
    table = Table("inference", [peer.name for peer in peers])
    for row in INFERENCE:
        made = {peer.name: peer(row) for peer in peers}
        expected = made["nanonet"].predict()
        for name, peer in made.items():
            if name != "bare products":
                np.testing.assert_allclose(np.asarray(peer.predict()).reshape(expected.shape), expected, atol=1e-5)
        found[row.name] = run.medians({name: peer.predict for name, peer in made.items()})
        table.row(row.name.rsplit(",", 1)[0], found[row.name])
    return found
