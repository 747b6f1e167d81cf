"""Agreement: nothing is timed before everyone has come to the same numbers from the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.benchmarks.rows import Matrix


def agree(made: Mapping[str, Any], row: Any) -> None:
    """Take ten steps with each peer and see that all have the same loss and weights."""
    nets = {name: peer for name, peer in made.items() if name != "bare products"}
    losses = {name: [peer.step() for _ in range(10)][-1] for name, peer in nets.items()}
    for name, peer in nets.items():
        close = 10 * close_in(row.dtype)
        np.testing.assert_allclose(losses[name], losses["nanonet"], rtol=close, err_msg=f"{row.name}: loss of {name}")
        same_weights(name, peer.weights(), made["nanonet"].weights(), row)


def same_weights(name: str, found: list[Matrix], wanted: list[Matrix], row: Any) -> None:
    """See that two nets of a row have the same weights, to 1e-5 in float32 and 1e-8 in float64."""
    close = close_in(row.dtype)
    for one, other in zip(found, wanted, strict=True):
        if row.activation == "relu" and row.dtype == "float32":  # rounding puts a sum near 0 on its other side:
            apart = np.abs(np.asarray(one) - other) > close  # a unit's weights then take another way
            assert apart.mean() < 1e-3, f"{row.name}: weights of {name} differ in {apart.mean():.2%}"
        else:
            np.testing.assert_allclose(one, other, atol=close, rtol=0, err_msg=f"{row.name}: weights of {name}")


def close_in(dtype: str) -> float:
    """Return how close results in a dtype have to be."""
    return 1e-5 if dtype == "float32" else 1e-8
