"""A radial basis network of four custom classes: a layer, an activation, a loss and an optimizer.

Its task is to tell a disk from the ring around it, which no straight line does. Each class is written, checked with
`check_gradients` where it has a gradient, and then all four are trained together.
"""

import math

import numpy as np

from nanonet import (
    Activation,
    Array,
    Layer,
    Linear,
    Loss,
    Normal,
    Optimizer,
    Parameter,
    Sequential,
    Shape,
    ShapeError,
    Step,
    check_gradients,
)


class SquaredDistance(Layer):
    """a[n, j] = |x[n] - center[j]|^2: the squared distance of each sample from each of the layer's centers."""

    def __init__(self, in_features: int, centers: int) -> None:
        self.input_shape = (in_features,)
        self.center = Parameter((centers, in_features), Normal(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        difference = x[:, None, :] - self.center.value  # (batch, centers, in_features)
        return np.sum(difference**2, axis=2), difference

    def backward(self, grad: Array, cache: Array) -> Array:
        each: Array = 2 * grad[:, :, None] * cache  # da/dx, for every sample and center
        self.center.grad = -each.sum(axis=0)
        dx: Array = each.sum(axis=1)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:  # optional: lets shape errors be found when the chain is built
        if input_shape != self.input_shape:
            raise ShapeError.misfit(self, expected=self.input_shape or (), got=input_shape)
        return self.center.shape[:1]


class Gaussian(Activation):
    """y = exp(-a), y' = -y: near 1 at a center, 0 far away."""

    def function(self, a: Array) -> Array:
        return np.exp(-a)

    def derivative(self, a: Array, y: Array) -> Array:
        return -y


class LogCosh(Loss):
    """Sum of log cosh(prediction - target) over the outputs, mean over the batch: quadratic near 0, linear far out."""

    def function(self, prediction: Array, target: Array) -> Array:
        size = np.abs(prediction - target)
        stable = size + np.log1p(np.exp(-2 * size)) - math.log(2)  # cosh itself overflows
        each: Array = stable.sum(axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        return np.tanh(prediction - target)


class Lion(Optimizer):
    """w <- w - learning_rate sign(0.9 m + 0.1 g); m <- 0.99 m + 0.01 g (Chen et al. 2023)."""

    def states(self) -> dict[str, float]:
        return {"momentum": 0.0}  # one number per parameter, initially 0

    def update(self, value: Array, grad: Array, step: Step, momentum: Array) -> None:
        value -= step.learning_rate * np.sign(0.9 * momentum + 0.1 * grad)
        momentum *= 0.99
        momentum += 0.01 * grad


def disk_and_ring(samples: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return points in the plane, shape (samples, 2), and +1 in the disk or -1 in the ring, shape (samples, 1)."""
    inside = rng.random(samples) < 0.5
    radius = np.where(inside, rng.uniform(0.0, 0.9, samples), rng.uniform(1.1, 2.0, samples))
    angle = rng.uniform(0.0, 2 * np.pi, samples)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points, np.where(inside, 1.0, -1.0).reshape(-1, 1)


def accuracy(model: Sequential, x: Array, target: Array) -> float:
    """Return the fraction of points with the correct sign."""
    return float(np.mean(np.sign(model(x)) == target))


def main() -> None:
    """Check each class, then train them together."""
    print("Each gradient against central differences:\n")
    print(check_gradients(SquaredDistance(2, 8)))
    print(check_gradients(Gaussian()))
    print(check_gradients(LogCosh()))

    rng = np.random.default_rng(0)
    x, target = disk_and_ring(400, rng)
    new_x, new_target = disk_and_ring(1000, rng)
    model = Sequential(SquaredDistance(2, 8), Gaussian(), Linear(8, 1), rng=0)
    print("\nThe four of them together, on a disk and the ring around it:\n")
    print(model.summary())

    before = accuracy(model, new_x, new_target)
    history = model.fit(
        x, target, loss=LogCosh(), optimizer=Lion(0.01), epochs=40, validation=(new_x, new_target), verbose=0
    )
    print(f"\n{'epoch':>5}  {'loss':>6}  {'validation':>10}")
    for epoch in (1, 2, 5, 10, 20, 40):
        print(f"{epoch:5}  {history['loss'][epoch - 1]:6.4f}  {history['validation_loss'][epoch - 1]:10.4f}")
    after = accuracy(model, new_x, new_target)
    print(f"\nRight on 1000 new points: {before:.1%} before training, {after:.1%} after.")


if __name__ == "__main__":
    main()
