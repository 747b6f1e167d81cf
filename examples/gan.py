"""A generative adversarial net: two models that learn from each other, by turns (Goodfellow et al. 2014).

The generator turns noise into points; the discriminator tells real points from such. The loss of the generator is a
net itself: what the discriminator answers. The real points lie in eight clusters on a ring.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import Adam, Array, BinaryCrossEntropy, LeakyReLU, Linear, Loss, ReLU, Sequential, Trainer

CLUSTERS, SPREAD = 8, 0.1
STEPS, BATCH, NOISE = 6000, 128, 4


class Fooled(Loss):
    """-log p, mean over the batch; p is the probability that the discriminator gives a point of being real."""

    def __init__(self, discriminator: Sequential) -> None:
        self.discriminator, self.judge = discriminator, BinaryCrossEntropy()

    def function(self, prediction: Array, target: Array) -> Array:
        return self.judge.function(self.discriminator(prediction), target)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Go back through the discriminator; its own gradients are replaced in its next step."""
        answer, cache = self.discriminator.forward(prediction)
        return self.discriminator.backward(self.judge.derivative(answer, target), cache)

    def check_target(self, prediction: Array, target: Any) -> Array:
        return np.asarray(target, prediction.dtype)  # one number a point, where prediction has two


def real(count: int, rng: np.random.Generator) -> Array:
    """Return points of the clusters, whose centers are at a distance of 2 from 0."""
    return centers()[rng.integers(CLUSTERS, size=count)] + rng.normal(0, SPREAD, (count, 2))


def centers() -> Array:
    angle = 2 * np.pi * np.arange(CLUSTERS) / CLUSTERS
    return 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def near(points: Array) -> tuple[float, npt.NDArray[np.intp]]:
    """Return which part of the points lies within three deviations of a center, and how many of them at each."""
    distance = np.linalg.norm(points[:, None] - centers(), axis=2)
    close = distance.min(axis=1) < 3 * SPREAD
    return float(close.mean()), np.bincount(distance.argmin(axis=1)[close], minlength=CLUSTERS)


def main() -> None:
    rng = np.random.default_rng(0)
    generator = Sequential(Linear(NOISE, 64), ReLU(), Linear(64, 64), ReLU(), Linear(64, 2), rng=0)
    judging = [Linear(2, 64), LeakyReLU(0.2), Linear(64, 64), LeakyReLU(0.2), Linear(64, 1)]
    discriminator = Sequential(*judging, rng=1)
    forger = Trainer(generator, loss=Fooled(discriminator), optimizer=Adam(1e-3, betas=(0.5, 0.999)))
    judge = Trainer(discriminator, loss=BinaryCrossEntropy(), optimizer=Adam(1e-3, betas=(0.5, 0.999)))
    ones, truth = np.ones((BATCH, 1)), np.repeat([[1.0], [0.0]], BATCH, axis=0)

    print(f"{'step':>5}  {'judge':>6}  {'forger':>6}  points near a cluster, and how many near each, of 1000")
    for step in range(1, STEPS + 1):
        points = np.concatenate([real(BATCH, rng), generator(rng.normal(size=(BATCH, NOISE)))])
        judged = judge.step(points, truth)
        forged = forger.step(rng.normal(size=(BATCH, NOISE)), ones)
        if step % (STEPS // 6) == 0:
            share, counts = near(generator(np.random.default_rng(1).normal(size=(1000, NOISE))))
            print(f"{step:5}  {judged:6.3f}  {forged:6.3f}  {share:6.1%}  {' '.join(f'{n:4}' for n in counts)}")
    share, counts = near(real(1000, rng))
    print(f"{'real points':21}  {share:6.1%}  {' '.join(f'{n:4}' for n in counts)}")


if __name__ == "__main__":
    main()
