"""Two interleaved moons: a whole training follows a plain NumPy loop that shares no code with the package."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import SGD, Hinge, Linear, ReLU, Sequential, Trainer, accuracy, weights_only

Floats = npt.NDArray[np.float64]
NAMES = ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias")


def moons(samples: int, noise: float = 0.1, rng: int = 0) -> tuple[Floats, Floats]:
    """Return points on two half circles that reach into each other, and -1 or 1 for which of them."""
    generator = np.random.default_rng(rng)
    label = np.arange(samples) % 2
    angle = generator.uniform(0, math.pi, samples)
    upper: Any = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    x: Any = np.where(label[:, None] == 0, upper, lower)
    x += generator.normal(scale=noise, size=(samples, 2))
    target: Any = 2.0 * label.reshape(-1, 1) - 1
    return x, target


def schedule(step: int) -> float:
    """Fall from 1 to 0.1 in a straight line."""
    return 1.0 - 0.9 * min(step, 100) / 100


def net(dtype: npt.DTypeLike = np.float64) -> Sequential:
    return Sequential(Linear(2, 16), ReLU(), Linear(16, 16), ReLU(), Linear(16, 1), dtype=dtype, rng=1)


def plain_loop(start: list[Floats], x: Floats, t: Floats, decay: float, *, biases: bool) -> tuple[list[Floats], Any]:
    """Return what 100 steps of gradient descent make of the numbers, and the loss before each of them."""
    w1, b1, w2, b2, w3, b3 = (part.copy() for part in start)
    losses = []
    kept = decay if biases else 0.0
    for step in range(100):
        a1 = x @ w1.T + b1
        h1 = np.where(a1 > 0, a1, 0)
        a2 = h1 @ w2.T + b2
        h2 = np.where(a2 > 0, a2, 0)
        y = h2 @ w3.T + b3
        losses.append(np.where(t * y < 1, 1 - t * y, 0).sum() / len(x))
        g3 = np.where(t * y < 1, -t, 0) / len(x)
        g2 = (g3 @ w3) * (a2 > 0)
        g1 = (g2 @ w2) * (a1 > 0)
        rate = 1.0 - 0.9 * step / 100
        w3, b3 = w3 - rate * (g3.T @ h2 + decay * w3), b3 - rate * (g3.sum(axis=0) + kept * b3)
        w2, b2 = w2 - rate * (g2.T @ h1 + decay * w2), b2 - rate * (g2.sum(axis=0) + kept * b2)
        w1, b1 = w1 - rate * (g1.T @ x + decay * w1), b1 - rate * (g1.sum(axis=0) + kept * b1)
    return [w1, b1, w2, b2, w3, b3], losses


@pytest.mark.parametrize("biases", [True, False], ids=["all decay", "weights alone decay"])
@pytest.mark.parametrize("by", ["fit", "steps"])
def test_100_steps_on_two_moons_are_those_of_a_plain_loop(by: str, biases: bool) -> None:
    x, target = moons(200)
    model = net()
    start = [model.parameters()[name].value.astype(np.float64) for name in NAMES]
    decays: dict[str, Any] = {} if biases else {"decays": weights_only}
    trainer = Trainer(model, loss=Hinge(), optimizer=SGD(schedule, weight_decay=1e-3, **decays))
    if by == "fit":
        losses = trainer.fit(x, target, epochs=100, batch_size=200, shuffle=False)["loss"]
    else:
        losses = [trainer.step(x, target) for _ in range(100)]
    wanted, wanted_losses = plain_loop(start, x, target, 1e-3, biases=biases)
    for name, part in zip(NAMES, wanted, strict=True):
        np.testing.assert_allclose(model.parameters()[name].value, part, rtol=0, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(losses, wanted_losses, rtol=0, atol=1e-12)
    assert losses[-1] < 0.5 * losses[0]


def test_shuffled_full_batches_differ_by_rounding_alone() -> None:
    x, target = moons(200)
    model = net()
    start = [model.parameters()[name].value.astype(np.float64) for name in NAMES]
    model.fit(x, target, loss=Hinge(), optimizer=SGD(schedule, weight_decay=1e-3), epochs=100, batch_size=200)
    wanted, _ = plain_loop(start, x, target, 1e-3, biases=True)
    for name, part in zip(NAMES, wanted, strict=True):
        np.testing.assert_allclose(model.parameters()[name].value, part, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_moons_are_told_apart(dtype: npt.DTypeLike) -> None:
    model, held_out = net(dtype), moons(500, rng=9)
    history = model.fit(
        *moons(200),
        loss=Hinge(),
        optimizer=SGD(lambda step: 0.3 / (1 + step / 200), weight_decay=1e-4),
        epochs=60,
        batch_size=10,
        metrics=[accuracy],
        validation=held_out,
    )
    assert history["accuracy"][0] < 0.9
    assert history["accuracy"][-1] >= 0.98
    assert history["validation_accuracy"][-1] >= 0.97
    assert history["validation_accuracy"][-1] == np.mean(np.sign(model(held_out[0])) == held_out[1])
