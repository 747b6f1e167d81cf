"""Processes: what only a process of its own can show, the time of an import and the most memory of a training."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from tests.benchmarks.peers import Sklearn, Torch
from tests.benchmarks.timing import Run

IMPORT = "import time, numpy; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"

BATCH = """
import numpy as np
r = np.random.default_rng(0)
x, t = r.random((128, 784), dtype=np.float32), r.integers(10, size=128)
"""
PEAK = """
with open("/proc/self/status") as file:  # getrusage would count the parent's memory before exec too
    print(next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM")))
"""

TRAININGS = {
    "NumPy alone": "",
    "nanonet": """
from nanonet import Adam, CrossEntropy, Linear, ReLU, Sequential, Trainer
model = Sequential(Linear(784, 512), ReLU(), Linear(512, 512), ReLU(), Linear(512, 10), rng=0)
trainer = Trainer(model, loss=CrossEntropy(), optimizer=Adam())
for _ in range(20): trainer.step(x, t)
""",
    "PyTorch eager": """
import torch
from torch import nn
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
x, t = torch.from_numpy(x), torch.from_numpy(t)
for _ in range(20): optimizer.zero_grad(); value = loss(model(x), t); value.backward(); optimizer.step()
""",
    "scikit-learn": """
from sklearn.neural_network import MLPClassifier
model = MLPClassifier((512, 512), batch_size=128)
for _ in range(20): model.partial_fit(x, t, classes=range(10))
""",
}


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of imports, and the peak memory of trainings in MiB."""
    modules = ["nanonet", *(peer.module for peer in (Torch, Sklearn) if not peer.missing())]
    imports, memory = import_times(modules), peak_memory()
    print("\nimport, beyond import numpy: " + ", ".join(f"{m} {1e3 * s:.0f} ms" for m, s in imports.items()))
    print("peak memory, 784-512-512-10: " + ", ".join(f"{name} {mib:.0f} MiB" for name, mib in memory.items()))
    return {"import": imports, "memory": memory}


def import_times(modules: list[str], rounds: int = 9) -> dict[str, float]:
    """Return the median seconds that each import takes beyond ``import numpy``."""
    times: dict[str, list[float]] = {module: [] for module in modules}
    for module in modules:
        _run(IMPORT.format(module=module))  # which writes the byte code
    for _ in range(rounds):
        for module in modules:
            times[module].append(float(_run(IMPORT.format(module=module))))
    return {module: statistics.median(each) for module, each in times.items()}


def peak_memory(rounds: int = 3) -> dict[str, float]:
    """Return the median of the most MiB that a process held which trains 784-512-512-10 on one ready batch."""
    peaks: dict[str, float] = {}
    for name, code in TRAININGS.items():
        try:
            peaks[name] = statistics.median(float(_run(BATCH + code + PEAK)) for _ in range(rounds))
        except subprocess.CalledProcessError as error:
            if "ModuleNotFoundError" not in error.stderr:
                raise
    return peaks


def _run(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout
