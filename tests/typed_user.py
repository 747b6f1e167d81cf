# pyright: strict
"""A user's file, for type checkers other than mypy: each kind of class of one's own, and every verb, with its type.

``pyright tests/typed_user.py`` must find nothing; the tests run the file too.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

from nanonet import (
    SGD,
    Activation,
    Adam,
    Array,
    Buffer,
    Callback,
    CosineRate,
    CrossEntropy,
    Dropout,
    EarlyStopping,
    History,
    Initializer,
    Layer,
    LayerTrace,
    Linear,
    Loss,
    Optimizer,
    Parameter,
    Random,
    Residual,
    Sequential,
    Shape,
    ShapeError,
    SquaredError,
    Step,
    Tanh,
    Trace,
    Trainer,
    Zeros,
    accuracy,
    batches,
    check_gradients,
    load,
    read_arrays,
    save,
    strict,
)


class Half(Initializer):
    """Half of one everywhere."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.full(shape, 0.5)


class Scale(Layer):
    """y = scale x, with noise in training and a count of the batches seen then."""

    def __init__(self, features: int, noise: float = 0.0) -> None:
        self.input_shape = (features,)
        self.noise = noise
        self.scale = Parameter((features,), Half())
        self.seen = Buffer(1, Zeros())
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        if training:
            self.seen.value = self.seen.value + 1
            if self.noise:
                x = x + self.noise * self.random.generator.standard_normal(x.shape).astype(x.dtype)
        return x * self.scale.value, x

    def backward(self, grad: Array, cache: Array) -> Array:
        self.scale.grad = np.sum(grad * cache, axis=0)
        return grad * self.scale.value

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape != self.input_shape:
            raise ShapeError.misfit(self, expected=self.input_shape or (), got=input_shape)
        return input_shape


class Sine(Activation):
    """y = sin a."""

    def function(self, a: Array) -> Array:
        return np.sin(a)

    def derivative(self, a: Array, y: Array) -> Array:
        return np.cos(a)


class Quartic(Loss):
    """Sum of (prediction - target)^4 over the outputs, mean over the batch."""

    def function(self, prediction: Array, target: Array) -> Array:
        each: Array = np.sum((prediction - target) ** 4, axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        return 4 * (prediction - target) ** 3


class Heavy(Optimizer):
    """m <- 0.9 m + g; w <- w - learning_rate m."""

    def states(self) -> dict[str, float]:
        return {"momentum": 0.0}

    def update(self, value: Array, grad: Array, step: Step, momentum: Array) -> None:
        momentum *= 0.9
        momentum += grad
        value -= step.learning_rate * momentum


class KeepBest(Callback):
    """Saves the model whenever the loss is lower than ever."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = float("inf")

    def epoch_end(self, trainer: Trainer) -> None:
        loss = trainer.history["loss"][-1]
        if loss < self.best:
            self.best = loss
            save(trainer.model, self.path)

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.best = float(state["best"])


def mean_error(prediction: Array, target: Array) -> float:
    """Return the mean absolute error: a metric of one's own."""
    return float(np.mean(np.abs(prediction - target)))


def main() -> None:
    """Check, train, look at, save and load."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (64, 2))
    target = np.sin(x[:, :1])

    print(check_gradients(Scale(3)), check_gradients(Sine()), check_gradients(Quartic()), sep="\n")
    model = Sequential(Scale(2, noise=0.01), Linear(2, 8), Residual(Linear(8, 8)), Sine(), Linear(8, 1), rng=0)
    assert_type(model[0], Layer)
    assert_type(model[1:], Sequential)
    assert_type(model([[0.5, 0.5]]), Array)
    assert_type(model.predict(x, batch_size=16), Array)
    assert_type(model.parameters(), dict[str, Parameter])
    assert_type(model.summary(), str)
    model.parameters()["1.bias"].trainable = False
    with strict():
        loss, gradient = model.loss_and_grad(x, target, Quartic())
    assert_type(loss, float)
    assert_type(gradient, Array)

    with TemporaryDirectory() as folder:
        history = model.fit(
            x,
            target,
            loss=Quartic(),
            optimizer=Heavy(CosineRate(0.01, 20)),
            epochs=3,
            validation=(x, target),
            metrics=[mean_error],
            callbacks=[KeepBest(Path(folder) / "best.npz"), EarlyStopping(patience=2)],
            verbose=0,
        )
        assert_type(history, History)
        assert_type(history["validation_mean_error"], list[float])

        trace = model.trace(x[:2], target[:2], SquaredError())
        assert_type(trace, Trace)
        assert_type(trace[0], LayerTrace)
        assert_type(str(trace), str)

        again = load(f"{folder}/best.npz", layers={"Scale": Scale, "Sine": Sine})
        assert_type(again, Sequential)
        again.load_state_dict(read_arrays(Path(folder) / "best.npz"))

        trainer = Trainer(again, loss=Quartic(), optimizer=SGD(0.01, momentum=0.9), rng=0)
        for part in batches(x, target, 16, rng=rng):
            assert_type(trainer.step(part.x, part.target), float)
        trainer.fit(x, target, epochs=1, verbose=0)
        trainer.save(f"{folder}/run.npz")
        trainer.resume(f"{folder}/run.npz")
        assert_type(trainer.history.epochs, int)
        assert_type(trainer.model.predict(x), Array)

    classes = Sequential(Linear(2, 8), Tanh(), Dropout(0.1), Linear(8, 2), rng=0)
    labels = (x[:, 0] > 0).astype(int)
    classes.fit(x, labels, loss=CrossEntropy(), optimizer=Adam(), epochs=2, metrics=[accuracy], verbose=0)
    assert_type(accuracy(classes(x), labels), float)


if __name__ == "__main__":
    main()
