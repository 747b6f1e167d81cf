"""Serve a net trained in PyTorch from a process that has only NumPy and nanonet.

serve.py convert net.npz    once, where PyTorch is installed: converts its net to nanonet
serve.py answer net.npz     reads requests from stdin, one per line: {"x": [[0.5, ...], ...]}
serve.py compare net.npz    compares the time to the first answer and the peak memory with PyTorch's
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INPUTS, OUTPUTS = 64, 10
Predict = Callable[[Any], Any]


def torch_net() -> Any:
    """Return the net to be served; put your own here."""
    from torch import manual_seed, nn

    manual_seed(0)
    return nn.Sequential(nn.Linear(INPUTS, 128), nn.ReLU(), nn.Linear(128, OUTPUTS))


def convert(path: Path) -> None:
    """Write the net as an .npz for nanonet, and its weights as a .pt for the comparison."""
    import torch

    from nanonet.interchange.torch import from_torch
    from nanonet.models.files import save

    net = torch_net()
    save(from_torch(net), path)
    torch.save(net.state_dict(), path.with_suffix(".pt"))
    print(f"{path}: {path.stat().st_size} bytes")


def by_nanonet(path: Path) -> Predict:
    from nanonet.models.files import load

    return load(path)


def by_torch(path: Path) -> Predict:
    import torch

    net = torch_net()
    net.load_state_dict(torch.load(path.with_suffix(".pt"), weights_only=True))
    net.eval()

    def predict(x: Any) -> Any:
        with torch.inference_mode():
            return net(torch.tensor(x, dtype=torch.float32))

    return predict


def answer(predict: Predict) -> None:
    """Answer each line with one line; an invalid request gets an error, and does not end the loop."""
    for line in sys.stdin:
        try:
            reply = {"prediction": predict(json.loads(line)["x"]).tolist()}
        except (ValueError, TypeError, KeyError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


def first_answer(command: str, path: Path) -> tuple[float, float, Any]:
    """Return the seconds from the start of a process to its first answer, its peak memory in MiB, and the answer."""
    begun = time.perf_counter()
    run = [sys.executable, __file__, command, str(path)]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps({"x": [[i / INPUTS for i in range(INPUTS)]]}), file=process.stdin, flush=True)
        reply = json.loads(process.stdout.readline())
        return time.perf_counter() - begun, peak(process.pid), reply["prediction"]


def peak(pid: int) -> float:
    """Return the peak memory of a process in MiB, NaN on systems without /proc."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


def compare(path: Path, runs: int = 7) -> None:
    """Print the medians of both, without the first run of each, which fills the file cache."""
    replies = []
    for name, command in (("nanonet", "answer"), ("PyTorch", "answer-by-torch")):
        _, *measured = [first_answer(command, path) for _ in range(runs + 1)]
        seconds, memory = (sorted(each[i] for each in measured)[runs // 2] for i in (0, 1))
        replies.append(measured[0][2])
        print(f"{name}  first answer after {seconds:.3f} s, peak memory {memory:.0f} MiB")
    off = max(abs(a - b) for a, b in zip(replies[0][0], replies[1][0], strict=True))
    print(f"largest difference between their answers: {off:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["convert", "answer", "answer-by-torch", "compare"])
    parser.add_argument("path", nargs="?", type=Path, default=Path("net.npz"))
    asked = parser.parse_args()
    match asked.command:
        case "convert":
            convert(asked.path)
        case "answer":
            answer(by_nanonet(asked.path))
        case "answer-by-torch":
            answer(by_torch(asked.path))
        case "compare":
            compare(asked.path)
        case None:
            parser.print_help()


if __name__ == "__main__":
    main()
