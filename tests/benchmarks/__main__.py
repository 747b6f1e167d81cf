"""Times nanonet, the bare matrix products and every peer that is installed, in one run on one core.

python -m tests.benchmarks [--json FILE] [--rounds N] [--core N] [--busy] [--only PART]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.benchmarks import timing

PARTS = ("steps", "images", "layers", "inference", "fit", "processes", "growth")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    parser.add_argument("--rounds", type=int, default=11, help="of which the medians are taken; default: 11")
    parser.add_argument("--seconds", type=float, default=0.1, help="for each call in a round; default: 0.1")
    parser.add_argument("--core", type=int, default=0, help="to be pinned to; default: 0")
    parser.add_argument(
        "--busy",
        dest="clock",
        action="store_const",
        const=time.process_time,
        default=time.perf_counter,
        help="others use the machine too: count the time of the processor in steps, images, layers, inference and fit",
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    chosen = parser.parse_args(arguments)
    pinned = timing.pin(chosen.core)  # before NumPy is imported, which counts its threads then

    import numpy as np

    if find_spec("threadpoolctl"):  # what counted its threads all the same
        import threadpoolctl

        threadpoolctl.threadpool_limits(1)
    print(f"{platform.python_implementation()} {platform.python_version()}, NumPy {np.__version__}, {pinned}")
    makers: dict[str, Callable[[argparse.Namespace], Any]] = {
        "steps": steps,
        "images": images,
        "layers": layers,
        "inference": inference,
        "fit": fit,
        "processes": processes,
        "growth": growth,
    }
    found = {part: makers[part](chosen) for part in chosen.only or PARTS}
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def installed(peers: Sequence[Any]) -> list[Any]:
    """Return the peers that are there, and say which are not."""
    for peer in peers:
        if not peer.is_installed():
            print(f"{peer.name} is not installed and left out")
    return [peer for peer in peers if peer.is_installed()]


def steps(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Time training steps, once their results are the same."""
    from tests.benchmarks.peers import PEERS
    from tests.benchmarks.rows import TRAINING

    found = {}
    head("training step", names := [peer.name for peer in installed(PEERS)])
    for row in TRAINING:
        made = {peer.name: peer(row) for peer in PEERS if peer.is_installed()}
        agree(made, row)
        if row.batch < 512:  # in float64 no exception is made
            exact = replace(row, dtype="float64")
            agree({peer.name: peer(exact) for peer in PEERS if peer.is_installed()}, exact)
        calls = {name: peer.step for name, peer in made.items()}
        found[row.name] = timing.interleaved(calls, rounds=chosen.rounds, seconds=chosen.seconds, clock=chosen.clock)
        line(row.name, found[row.name], names)
    return found


def agree(made: dict[str, Any], row: Any) -> None:
    """Take ten steps with each peer and see that all have the same loss and weights."""
    import numpy as np

    close = 1e-5 if row.dtype == "float32" else 1e-8

    nets = {name: peer for name, peer in made.items() if name != "bare products"}
    losses = {name: [peer.step() for _ in range(10)][-1] for name, peer in nets.items()}
    ours = made["nanonet"].weights()
    for name, peer in nets.items():
        np.testing.assert_allclose(
            losses[name], losses["nanonet"], rtol=10 * close, err_msg=f"{row.name}: loss of {name}"
        )
        for one, other in zip(peer.weights(), ours, strict=True):
            if row.activation == "relu" and row.dtype == "float32":  # rounding puts a sum near 0 on its other side:
                apart = np.abs(np.asarray(one) - other) > close  # a unit's weights then take another way
                assert apart.mean() < 1e-3, f"{row.name}: weights of {name} differ in {apart.mean():.2%}"
            else:
                np.testing.assert_allclose(one, other, atol=close, rtol=0, err_msg=f"{row.name}: weights of {name}")


def images(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Time training steps of convolutional nets, once their results are the same without dropout."""
    from tests.benchmarks.images import NETS, both

    if not torch_is_there("images"):
        return {}
    found = {}
    head("training step on images", ["nanonet", "PyTorch eager"])
    for row in NETS:
        for dtype in ("float32", "float64"):
            same = replace(row, dtype=dtype, dropout=0.0)
            agree(both(same), same)
        calls = {name: net.step for name, net in both(row).items()}
        found[row.name] = timing.interleaved(calls, rounds=chosen.rounds, seconds=chosen.seconds, clock=chosen.clock)
        line(row.name, found[row.name], list(calls))
    return found


def layers(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Time both passes of single layers, once their results are the same."""
    from tests.benchmarks.layers import SINGLES, calls, compare

    if not torch_is_there("layers"):
        return {}
    found = {}
    head("forward and backward pass", ["nanonet", "PyTorch eager"])
    for row in SINGLES:
        compare(row)
        found[row.name] = timing.interleaved(
            calls(row), rounds=chosen.rounds, seconds=chosen.seconds, clock=chosen.clock
        )
        line(row.name, found[row.name], list(found[row.name]))
    return found


def torch_is_there(part: str) -> bool:
    """Tell whether PyTorch is installed, and say what is left out if not."""
    there = find_spec("torch") is not None
    if not there:
        print(f"PyTorch is not installed: {part} are left out")
    return there


def inference(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Time predictions, once they are the same."""
    import numpy as np

    from tests.benchmarks.peers import PREDICTING
    from tests.benchmarks.rows import INFERENCE

    found = {}
    head("inference", names := [peer.name for peer in installed(PREDICTING)])
    for row in INFERENCE:
        made = {peer.name: peer(row) for peer in PREDICTING if peer.is_installed()}
        for name, peer in made.items():
            if name != "bare products":
                expected = made["nanonet"].predict()
                np.testing.assert_allclose(np.asarray(peer.predict()).reshape(expected.shape), expected, atol=1e-5)
        calls = {name: peer.predict for name, peer in made.items()}
        found[row.name] = timing.interleaved(calls, rounds=chosen.rounds, seconds=chosen.seconds, clock=chosen.clock)
        line(row.name.rsplit(",", 1)[0], found[row.name], names)
    return found


def fit(chosen: argparse.Namespace) -> dict[str, float]:
    """Time a fit of 784-30-10 beside as many steps on ready batches."""
    import numpy as np

    from nanonet import Trainer, batches
    from tests.benchmarks.growth import trainer_of

    draw = np.random.default_rng(0)
    x, target = draw.random((20_000, 784), dtype=np.float32), draw.random((20_000, 10), dtype=np.float32)
    ready = [batch[:2] for batch in batches(x, target, 10, rng=0)]
    one, other = trainer_of((784, 30, 10)), trainer_of((784, 30, 10))

    def by_hand(trainer: Trainer = one) -> None:
        for batch in ready:
            trainer.step(*batch)

    def whole(trainer: Trainer = other) -> None:
        trainer.fit(x, target, epochs=1, batch_size=10, verbose=0)

    found = timing.interleaved({"steps": by_hand, "fit": whole}, rounds=chosen.rounds, seconds=0.1, clock=chosen.clock)
    each = {name: seconds / len(ready) for name, seconds in found.items()}
    print(f"\n784-30-10, batch 10: {1e6 * each['steps']:.1f} us a Trainer.step on ready batches, ", end="")
    print(f"{1e6 * each['fit']:.1f} us a step of a whole fit, ratio {each['fit'] / each['steps']:.2f}")
    return each


def processes(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure whole processes: imports and memory."""
    from tests.benchmarks.peers import Sklearn, Torch
    from tests.benchmarks.processes import import_times, peak_memory

    modules = ["nanonet", *(peer.module for peer in (Torch, Sklearn) if peer.is_installed())]
    imports, memory = import_times(modules), peak_memory()
    print("\nimport, beyond import numpy: " + ", ".join(f"{m} {1e3 * s:.0f} ms" for m, s in imports.items()))
    print("peak memory, 784-512-512-10: " + ", ".join(f"{name} {mib:.0f} MiB" for name, mib in memory.items()))
    return {"import": imports, "memory": memory}


def growth(chosen: argparse.Namespace) -> dict[str, Any]:
    """Time steps against depth and width, and the article's recursion."""
    from tests.benchmarks import growth as grown

    depths, widths, recursion = grown.depths(), grown.widths(), grown.recursion()
    print("\ndepth, layers of 16: " + ", ".join(f"{d}: {1e6 * t:.0f} us" for d, t in depths.items()))
    for low, high in ((100, 10_000), (1000, 10_000)):
        print(f"  exponent from {low} to {high}: {grown.exponent(depths, low, high):.3f}")
    print("width, two layers: " + ", ".join(f"{w}: {1e6 * t:.0f} us" for w, t in widths.items()))
    print(f"  exponent from 256 to 2048: {grown.exponent(widths, 256, 2048):.3f}")
    print("the article's recursion, 2 units wide, and nanonet's step, by depth:")
    print("  " + ", ".join(f"{d}: {1e6 * a:.0f} and {1e6 * o:.0f} us" for d, (a, o) in recursion.items()))
    return {"depths": depths, "widths": widths, "recursion": recursion}


def head(title: str, names: list[str]) -> None:
    print(f"\n{title + ', us':52}" + "".join(f"{name:>15}" for name in names) + "   nanonet / peer")


def line(name: str, times: dict[str, float], names: list[str]) -> None:
    ratios = "  ".join(f"{times['nanonet'] / times[other]:.2f}" for other in names[1:])
    print(f"{name:52}" + "".join(f"{1e6 * times[other]:15.1f}" for other in names) + f"   {ratios}", flush=True)


if __name__ == "__main__":
    main()
