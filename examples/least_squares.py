"""Levenberg-Marquardt beside L-BFGS and Rprop: the iterations and the time to a goal, over 30 initial weights.

SIN and PARITY are two cases of MATLAB's page on choosing a training function, with its nets and goals. Two more fit a
smooth function, to the end, and scikit-learn's diabetes data, by losses after 100 iterations. Needs SciPy and
scikit-learn: pip install 'nanonet[scipy,sklearn]'.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

from nanonet import Array, Callback, History, Linear, Rprop, Sequential, SquaredError, Tanh, Trainer, least_squares
from nanonet.interchange.scipy import minimize

MOST = 3000  # iterations
Fit = Callable[[Sequential, Array, Array, float], int]


def net(*widths: int, rng: int = 0) -> Sequential:
    layers = [(Linear(n, m), Tanh()) for n, m in itertools.pairwise(widths)]
    return Sequential(*list(itertools.chain(*layers))[:-1], dtype=np.float64, rng=rng)


def by_marquardt(model: Sequential, x: Array, target: Array, goal: float) -> int:
    return least_squares(model, x, target, iterations=MOST, goal=goal).epochs


def by_lbfgs(model: Sequential, x: Array, target: Array, goal: float) -> int:
    def look(result: Any) -> None:
        if result.fun <= goal:
            raise StopIteration

    limits = {"maxiter": MOST, "maxfun": 2 * MOST, "ftol": 0, "gtol": 1e-9}
    return int(minimize(model, x, target, SquaredError(), callback=look, options=limits).nit)


class Goal(Callback):
    def __init__(self, loss: float) -> None:
        self.loss = loss

    def epoch_end(self, trainer: Trainer) -> None:
        if trainer.history["loss"][-1] <= self.loss:
            trainer.stop("the goal is reached")


def by_rprop(model: Sequential, x: Array, target: Array, goal: float) -> int:
    whole: dict[str, Any] = {"epochs": MOST, "batch_size": len(x), "verbose": 0, "callbacks": [Goal(goal)]}
    history: History = model.fit(x, target, loss=SquaredError(), optimizer=Rprop(0.01), **whole)
    return history.epochs


WAYS: dict[str, Fit] = {"Levenberg-Marquardt": by_marquardt, "L-BFGS": by_lbfgs, "Rprop": by_rprop}


def case(name: str, widths: tuple[int, ...], x: Array, target: Array, goal: float, trials: int) -> None:
    print(f"{name}, {'-'.join(map(str, widths))}: until the loss is {goal:g}, {trials} initial weights")
    for way, fit in WAYS.items():
        found, seconds = [], []
        for trial in range(trials):
            model = net(*widths, rng=trial)
            begun = time.perf_counter()
            iterations = fit(model, x, target, goal)
            if SquaredError()(model(x), target) <= 1.01 * goal:
                found.append(iterations)
                seconds.append(time.perf_counter() - begun)
        median = statistics.median(found) if found else float("nan")
        mean = statistics.fmean(seconds) if seconds else float("nan")
        print(f"  {way:20} {len(found):3} reached it, {median:6.0f} iterations (median), {1e3 * mean:7.1f} ms (mean)")


def main() -> None:
    period = np.linspace(-1, 1, 41).reshape(-1, 1)
    case("SIN", (1, 5, 1), period, np.sin(np.pi * period), 0.002 / 2, trials=30)
    bits = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    case("PARITY", (3, 10, 10, 1), bits, bits.prod(axis=1, keepdims=True), 0.001 / 2, trials=30)
    x = np.linspace(-1, 1, 200).reshape(-1, 1)
    case("sin(5x) exp(x)", (1, 10, 1), x, np.sin(5 * x) * np.exp(x), 1e-6, trials=10)

    data, y = load_diabetes(return_X_y=True)
    data, y = ((table - table.mean(axis=0)) / table.std(axis=0) for table in (data, y.reshape(-1, 1)))
    model, other = net(10, 10, 1), net(10, 10, 1)
    ours = least_squares(model, data, y, iterations=100)["loss"][-1]
    theirs = minimize(other, data, y, SquaredError(), options={"maxiter": 100}).fun
    print(f"diabetes, 10-10-1: loss {ours:.4f} after 100 iterations, by L-BFGS {theirs:.4f}")


if __name__ == "__main__":
    main()
