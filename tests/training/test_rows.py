"""A large batch goes in blocks through a chain whose layers mix no samples, and the result is that of the whole."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Activation,
    Array,
    BatchNorm,
    CrossEntropy,
    Dropout,
    GradientError,
    Identity,
    Layer,
    Linear,
    Residual,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    Trainer,
    check_gradients,
)
from nanonet.core.arrays import each, parts_of
from nanonet.core.rows import may_mix
from tests.registry import LAYERS, LOSSES, LayerCase, LossCase, params

RNG = np.random.default_rng(3)
ROWS = 2 * [375] + [250]  # blocks of 1000 samples that are 64 numbers wide


def wide(*more: Layer, dtype: Any = np.float64) -> Sequential:
    return Sequential(Linear(3, 64), Tanh(), *more, Linear(64, 2), dtype=dtype, rng=0)


class Seen(Layer):
    """The identity, which notes how many samples come at a time."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        self.seen.append(len(x))
        return x.copy(), None

    def backward(self, grad: Array, cache: None) -> Array:
        return grad.copy()

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape


class Open(Seen):
    """The same, of which it is known that it mixes no samples."""

    mixes_samples = False


X, TARGET = RNG.normal(size=(1000, 3)), RNG.normal(size=(1000, 2))


# ---- what the classes say is true


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", params(LAYERS))
def test_a_layer_that_mixes_no_samples_gives_in_blocks_what_it_gives_for_the_whole(
    case: LayerCase, training: bool
) -> None:
    model = Sequential(case.make(), dtype=np.float64, rng=0)
    if may_mix(model, training=training):
        return  # it says that it mixes samples
    twin = copy.deepcopy(model)
    x = model.enter(case.x(5))
    whole, cache = model.forward(x, training=training)
    dx = model.backward(each(np.ones_like, whole), cache)
    grads = np.zeros_like(model.vector.grad)
    for block in (slice(0, 2), slice(2, 5)):
        y, cache = twin.forward(each(lambda part, block=block: part[block], x), training=training)
        dx_block = twin.backward(each(np.ones_like, y), cache)
        grads += twin.vector.grad
        for one, part in zip(parts_of(y) + parts_of(dx_block), parts_of(whole) + parts_of(dx), strict=True):
            if one is not None:
                np.testing.assert_allclose(one, part[block], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(grads, model.vector.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", params(LOSSES))
def test_a_loss_that_mixes_no_samples_is_the_mean_or_the_sum_of_its_blocks(case: LossCase) -> None:
    loss = case.make()
    if loss.mixes_samples:
        return  # it says that it mixes samples
    prediction, target = case.prediction(5), case.target(5)
    whole, weight = loss.check(prediction, target)
    value, cache = loss.forward(prediction, whole, weight)
    is_sum = loss.reduction == "sum"
    grad, total = loss.backward(cache), 1.0 if is_sum else loss.total(whole, weight)
    sums = 0.0
    for block in (slice(0, 2), slice(2, 5)):
        part, weight = loss.check(prediction[block], target[block])
        if divisor := loss.total(part, weight):
            one, cache = loss.forward(prediction[block], part, weight)
            divisor = 1.0 if is_sum else divisor
            sums += one * divisor
            np.testing.assert_allclose(loss.backward(cache) * divisor, grad[block] * total, rtol=1e-12, atol=1e-12)
    assert sums == pytest.approx(value * total)


def test_most_layers_and_losses_mix_no_samples() -> None:
    layers = {cls.__name__ for cls, cases in LAYERS.items() if may_mix(cases[0].make(), training=True)}
    assert layers == {"BatchNorm", "Wired", "SpectralNorm"}
    assert [cls.__name__ for cls, cases in LOSSES.items() if cases[0].make().mixes_samples] == []


def test_a_class_that_overrides_a_pass_has_to_say_so_again() -> None:
    class Centred(Identity):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return x - x.mean(axis=0), None

    class Cubic(Activation):
        def function(self, a: Array) -> Array:
            return a**3

        def derivative(self, a: Array, y: Array) -> Array:
            return 3 * a**2

    class Relative(SquaredError):
        def function(self, prediction: Array, target: Array) -> Array:
            return super().function(prediction - prediction.mean(axis=0), target)

    assert (Identity().mixes_samples, Centred().mixes_samples, Cubic().mixes_samples) == (False, True, False)
    assert (SquaredError().mixes_samples, Relative().mixes_samples) == (False, True)


# ---- predict


def test_a_large_batch_is_predicted_in_blocks() -> None:
    layer = Open()
    model = wide(layer, dtype=np.float32)
    y = model(X)
    assert layer.seen == ROWS
    np.testing.assert_allclose(y, model.predict(X, 1000), rtol=1e-5, atol=1e-6)


def test_a_layer_that_does_not_say_so_gets_the_whole_batch() -> None:
    layer = Seen()
    wide(Residual(Sequential(layer)), dtype=np.float32).predict(X)
    assert layer.seen == [1000]


def test_a_norm_of_the_batch_goes_in_blocks_in_inference_only() -> None:
    layer = Open()
    model = wide(layer, BatchNorm(64), dtype=np.float32)
    model.predict(X)
    assert layer.seen == ROWS
    layer.seen.clear()
    model.loss_and_grad(X, TARGET, SquaredError(), training=True)
    assert layer.seen == [1000]
    layer.seen.clear()
    wide(layer := Open(), BatchNorm(64, track_running_stats=False), dtype=np.float32).predict(X)
    assert layer.seen == [1000]


@pytest.mark.parametrize("samples", [0, 1, 511])
def test_a_small_batch_is_left_whole(samples: int) -> None:
    layer = Open()
    assert wide(layer).predict(X[:samples]).shape == (samples, 2)
    assert layer.seen == [samples]


# ---- steps


@pytest.mark.parametrize("weight", [None, RNG.uniform(size=1000), (np.arange(1000) >= 600).astype(float)])
def test_a_step_in_blocks_is_that_of_the_whole(weight: Array | None) -> None:
    whole, blocks = Trainer(wide(Seen()), **settings()), Trainer(wide(Open()), **settings())
    for _ in range(3):
        assert blocks.step(X, TARGET, weight) == pytest.approx(whole.step(X, TARGET, weight), rel=1e-12)
    np.testing.assert_allclose(blocks.model.vector.value, whole.model.vector.value, rtol=1e-12, atol=1e-13)
    assert blocks.model.layers[2].seen[:3] == [256, 256, 256]  # type: ignore[attr-defined]  # of Open


def settings() -> dict[str, Any]:
    return {"loss": SquaredError(), "optimizer": SGD(0.1)}


def test_a_fit_in_blocks_draws_the_same_dropout_as_one_of_whole_batches() -> None:
    histories = []
    for layer in (Seen(), Open()):
        model = wide(layer, Dropout(0.3), dtype=np.float32)
        fitted = model.fit(X, TARGET, **settings(), epochs=3, batch_size=600, rng=1, verbose=0)
        histories.append(fitted["loss"])
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-5)


def test_class_weights_count_in_each_block() -> None:
    labels = (np.arange(1000) // 500) % 2
    loss = CrossEntropy(class_weight=[1.0, 3.0])
    values = [wide(layer).loss_and_grad(X, labels, loss) for layer in (Seen(), Open())]
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-12)
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-11, atol=1e-14)


def test_a_loss_that_is_not_finite_is_returned_from_blocks_too() -> None:
    target = TARGET.copy()
    target[700] = 1e200
    with np.errstate(over="ignore"):
        assert wide(Open()).loss_and_grad(X, target, SquaredError())[0] == np.inf


@pytest.mark.parametrize("make", [Seen, Open])
def test_an_error_names_the_shapes_of_the_whole_batch(make: Callable[[], Layer]) -> None:
    for call in (
        lambda model: model.loss_and_grad(X, TARGET[:, 0], SquaredError()),
        lambda model: Trainer(model, **settings()).step(X, TARGET[:, 0]),
    ):
        with pytest.raises(ShapeError, match=r"prediction has shape \(1000, 2\) but target has shape \(1000,\)"):
            call(wide(make()))


def test_a_model_of_many_parameters_takes_its_steps_whole() -> None:
    layer = Open()
    model = Sequential(Linear(3, 512), layer, Linear(512, 2048), rng=0)
    model.loss_and_grad(X, np.zeros((1000, 2048)), SquaredError())
    assert layer.seen == [1000]
    layer.seen.clear()
    model.predict(X)
    assert layer.seen == [256, 256, 256, 232]


# ---- check_gradients looks


def test_a_layer_that_says_that_it_mixes_no_samples_though_it_does_is_found() -> None:
    class Centred(Layer):
        def __init__(self, *, mixes: bool) -> None:
            self.mixes_samples = mixes

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return x - x.mean(axis=0), None

        def backward(self, grad: Array, cache: Any) -> Array:
            dx: Array = grad - grad.mean(axis=0)
            return dx

    check_gradients(Centred(mixes=True), 3)
    with pytest.raises(GradientError, match=r"Centred.*: forward gives other outputs for a part of the batch, though"):
        check_gradients(Centred(mixes=False), 3)
