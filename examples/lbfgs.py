"""L-BFGS against gradient descent: the loss of a small net on scikit-learn's diabetes data, pass by pass.

Needs SciPy, and scikit-learn for its data: pip install 'nanonet[scipy,sklearn]'. `--draw FILE` draws it (extra plot).
"""

import argparse

import numpy as np
from sklearn.datasets import load_diabetes

from nanonet import SGD, Array, Linear, Sequential, SquaredError, Tanh
from nanonet.interchange.scipy import minimize

PASSES = 300  # of all 442 samples, forwards and backwards


def net() -> Sequential:
    return Sequential(Linear(10, 10), Tanh(), Linear(10, 1), dtype=np.float64, rng=0)


def by_lbfgs(x: Array, target: Array) -> list[float]:
    """Return the loss after each iteration; nearly every iteration takes one pass."""
    losses: list[float] = []
    limits = {"maxfun": PASSES, "maxiter": PASSES}
    minimize(net(), x, target, SquaredError(), callback=lambda result: losses.append(result.fun), options=limits)
    return losses


def by_descent(x: Array, target: Array, momentum: float) -> list[float]:
    history = net().fit(
        x,
        target,
        loss=SquaredError(),
        optimizer=SGD(0.3, momentum=momentum),
        epochs=PASSES,
        batch_size=len(x),
        verbose=0,
    )
    return history["loss"]


def draw(curves: dict[str, list[float]], path: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for (name, losses), style in zip(curves.items(), ("-", "--", ":"), strict=True):
        ax.plot(range(1, len(losses) + 1), losses, style, label=name)
    ax.set(xlabel="passes of all samples", ylabel="loss", yscale="log")
    ax.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw", metavar="FILE", help="where to draw the losses, such as lbfgs.svg")
    path = parser.parse_args().draw

    x, y = load_diabetes(return_X_y=True)
    x, target = ((table - table.mean(axis=0)) / table.std(axis=0) for table in (x, y.reshape(-1, 1)))
    curves = {
        "L-BFGS": by_lbfgs(x, target),
        "SGD(0.3)": by_descent(x, target, 0.0),
        "SGD(0.3, momentum=0.9)": by_descent(x, target, 0.9),
    }
    shown = (10, 30, 100, PASSES)
    print(f"{'loss after':24}" + "".join(f"{passes:>10}" for passes in shown) + " passes")
    for name, losses in curves.items():
        print(f"{name:24}" + "".join(f"{losses[min(passes, len(losses)) - 1]:10.4f}" for passes in shown))
    if path is not None:
        draw(curves, path)


if __name__ == "__main__":
    main()
