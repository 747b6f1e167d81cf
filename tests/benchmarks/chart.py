"""Chart: the ratios of a run as a picture, for docs/performance.md.

python -m tests.benchmarks.chart FILE.json PICTURE.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PEERS = {"PyTorch eager": ("o", "#0072b2"), "JAX jit": ("D", "#d55e00"), "bare products": ("|", "#555555")}
FAST = "nanonet, fast"  # its markers are hollow


def chart(found: dict[str, Any], picture: Path) -> None:
    """Draw nanonet's time of a step divided by each peer's, one line a row of the table."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "nanonet"  # the same picture from the same numbers
    from matplotlib import pyplot as plt

    rows = found["steps"]
    figure, axes = plt.subplots(figsize=(9, 4.4), layout="constrained")
    for place, times in enumerate(rows.values()):
        ratios = [times["nanonet"] / times[peer] for peer in PEERS if peer in times]
        axes.plot([min(ratios), max(ratios)], [place, place], color="#cccccc", zorder=1)
    for peer, (marker, color) in PEERS.items():
        places, ratios = compared(rows, "nanonet", peer)
        axes.scatter(ratios, places, marker=marker, color=color, s=48, label=peer, zorder=2)
        places, ratios = compared(rows, FAST, peer)
        if ratios and peer != "bare products":
            label = f"{peer}, fast"
            axes.scatter(
                ratios, places, marker=marker, facecolors="none", edgecolors=color, s=48, label=label, zorder=2
            )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log", base=2)
    ticks = {"1/32": 1 / 32, "1/16": 1 / 16, "1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2, "1": 1, "2": 2, "4": 4}
    least = min(min(compared(rows, ours, peer)[1], default=1) for ours in ("nanonet", FAST) for peer in PEERS)
    ticks = {name: tick for name, tick in ticks.items() if tick >= min(least, 1 / 8) / 1.5}
    axes.set_xticks(list(ticks.values()), list(ticks))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("time of a step, nanonet / peer")
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)
    plt.close(figure)


def compared(rows: dict[str, dict[str, float]], ours: str, peer: str) -> tuple[list[int], list[float]]:
    """Return the places of the rows that both were timed on, and the ratios of their times."""
    ratios = {i: times[ours] / times[peer] for i, times in enumerate(rows.values()) if ours in times and peer in times}
    return list(ratios), list(ratios.values())


if __name__ == "__main__":
    chart(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
