"""strict: a layer, loss or optimizer that breaks its contract is found and named, and the model stays as it was."""

from __future__ import annotations

import copy
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nanonet
from nanonet import (
    SGD,
    Activation,
    Array,
    Buffer,
    Constant,
    ContractError,
    GradientError,
    Layer,
    Linear,
    Loss,
    NonFiniteError,
    Optimizer,
    Parameter,
    Random,
    Sequential,
    Shape,
    ShapeError,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    Zeros,
)
from tests.helpers import (
    Centred,
    Copy,
    Handing,
    Momentum,
    Noise,
    Residual,
    Scale,
    assert_one_vector,
    data,
    everything,
    picture,
    train,
    walk,
)

FEATURES = 3


class Gain(Copy):
    """y = x * gain, and keeps the contract: the base of layers that break one rule about a parameter."""

    def __init__(self) -> None:
        self.gain = Parameter(FEATURES, Constant(1.5))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * self.gain.value, x

    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = (grad * cache).sum(axis=0)
        return grad * self.gain.value


class WritesToX(Copy):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        x += 1
        return x, None


class WritesToAPartOfX(Copy):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        np.maximum(x[:, :1], 0, out=x[:, :1])
        return x.copy(), None


class WritesToXInTraining(Copy):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if training:
            x *= 2
        return x.copy(), None


class WritesToGrad(Copy):
    def backward(self, grad: Array, cache: Any) -> Array:
        grad *= 2
        return grad


class WritesToCache(Copy):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.copy(), {"x": [x * 1, (x * 1,)]}

    def backward(self, grad: Array, cache: Any) -> Array:
        cache["x"][1][0][...] = 0
        return grad.copy()


class WritesToXThroughCache(Copy):
    def backward(self, grad: Array, cache: Any) -> Array:
        cache *= grad
        return grad.copy()


class WritesToParametersForward(Gain):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        self.gain.value = np.clip(self.gain.value, 0, 1)
        return super().forward(x, training=training)


class WritesToParametersBackward(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.value -= 0.1 * self.gain.grad
        return dx


class AddsToItsGradient(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad += (grad * cache).sum(axis=0)
        return grad * self.gain.value


class ForgetsItsGradient(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return grad * self.gain.value


class ForgetsAPartOfItsGradient(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad[1:] = (grad * cache).sum(axis=0)[1:]
        return grad * self.gain.value


class ForgetsToSum(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = grad * cache
        return grad * self.gain.value


class TwoMinds(Gain):
    """Assigns one gradient with one backward method and another with the other."""

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        self.gain.grad = (grad * cache).mean(axis=0)


class GivesNoPair(Copy):
    def forward(self, x: Array, *, training: bool = False) -> Any:
        return x.copy()


class GivesNothing(Copy):
    def forward(self, x: Array, *, training: bool = False) -> Any:
        return None


class GivesThree(Copy):
    def forward(self, x: Array, *, training: bool = False) -> Any:
        return x.copy(), x, x


class GivesNoArray(Copy):
    def forward(self, x: Array, *, training: bool = False) -> Any:
        return x.tolist(), None


class WidensForward(Copy):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * np.sqrt(2), None


class WidensBackward(Copy):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = grad * np.sqrt(2)
        return dx


class PromisesAnotherShape(Copy):
    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return np.concatenate([x, x], axis=1), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad[:, : grad.shape[1] // 2].copy()


class LosesTheBatchAxis(Copy):
    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.sum(axis=0), None


class ReturnsAnotherShape(Copy):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = grad.sum(axis=0)
        return dx


class ReturnsAnotherShapeWithoutCache(ReturnsAnotherShape):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.copy(), None


class ReturnsATransposedShape(Copy):
    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.T


class ReturnsNothing(Copy):
    def backward(self, grad: Array, cache: Any) -> Any:
        return None


class DividesByZero(Copy):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x / np.zeros_like(x), None


class DividesByZeroBackward(Copy):
    def backward(self, grad: Array, cache: Any) -> Array:
        return grad / np.zeros_like(grad)


class DividesByZeroInItsGradient(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = (grad * cache).sum(axis=0) / np.zeros_like(grad[0])
        return grad * self.gain.value


VIOLATIONS: list[tuple[type[Layer], type[Exception], str]] = [
    (WritesToX, ContractError, r"forward writes to its argument.*x \+= 1"),
    (WritesToAPartOfX, ContractError, "forward writes to its argument"),
    (WritesToXInTraining, ContractError, "forward writes to its argument"),
    (WritesToGrad, ContractError, r"backward writes to its argument.*grad \*= 2"),
    (WritesToCache, ContractError, "backward writes to its argument"),
    (WritesToXThroughCache, ContractError, "backward writes to its argument"),
    (WritesToParametersForward, ContractError, r"forward writes to .*its parameters"),
    (WritesToParametersBackward, ContractError, r"backward writes to .*its parameters"),
    (AddsToItsGradient, GradientError, r"backward adds to gain\.grad; gradients are assigned"),
    (ForgetsItsGradient, GradientError, r"backward never assigns gain\.grad; write self\.gain\.grad = "),
    (ForgetsAPartOfItsGradient, GradientError, r"backward leaves a part of gain\.grad unassigned"),
    (TwoMinds, GradientError, "backward and backward_parameters assign different gradients"),
    (GivesNoPair, ContractError, r"forward must return \(output, cache\), got ndarray"),
    (GivesNothing, ContractError, r"forward must return \(output, cache\), got NoneType"),
    (GivesThree, ContractError, r"forward must return \(output, cache\), got tuple"),
    (GivesNoArray, ContractError, "forward must return an array, got list"),
    (WidensForward, ContractError, "forward returned float64 for float32"),
    (WidensBackward, ContractError, "backward returned float64 for float32"),
    (PromisesAnotherShape, ShapeError, r"forward gave shape \(\d+, 6\), but output_shape says \(\d+, 3\)"),
    (
        LosesTheBatchAxis,
        ShapeError,
        r"forward must keep the batch as axis 0, of length \d+ here, but gave shape \(3,\)",
    ),
    (ReturnsAnotherShape, ShapeError, r"backward must return dE/dx of the shape of x, \(\d+, 3\), got \(3,\)"),
    (
        ReturnsAnotherShapeWithoutCache,
        ShapeError,
        r"backward must return dE/dx of the shape of x, \(\d+, 3\), got \(3,\)",
    ),
    (ReturnsATransposedShape, ShapeError, r"backward must return dE/dx of the shape of x, \(\d+, 3\), got \(3, \d+\)"),
    (ReturnsNothing, ContractError, "backward must return an array, got NoneType"),
    (DividesByZero, NonFiniteError, "its output is the first that is not finite"),
    (DividesByZeroBackward, NonFiniteError, r"its dE/dx is the first gradient that is not finite"),
    (DividesByZeroInItsGradient, NonFiniteError, "the gradient of gain is the first that is not finite"),
]

PLACES: dict[str, tuple[Callable[[Layer], list[Layer]], str]] = {
    "above another": (lambda layer: [Linear(3, 3), layer, Linear(3, 3)], "1"),
    "last": (lambda layer: [Linear(3, 3), layer], "1"),
    "above state of all kinds": (lambda layer: [Scale(3), Noise(), Centred(3), layer, Linear(3, 3)], "3"),
    "in a nested chain": (lambda layer: [Linear(3, 3), Sequential(Tanh(), layer, rng=1), Linear(3, 3)], "1.1"),
    "in a container": (lambda layer: [Linear(3, 3), Residual(Tanh(), layer, Tanh()), Linear(3, 3)], "1.inner.1"),
}
ONLY_FORWARD = [case for case in VIOLATIONS if case[0].backward is Copy.backward or case[0].backward is Gain.backward]


@pytest.fixture
def sample() -> Iterator[tuple[Array, Array]]:
    """Give data to train on, and see that it is the same afterwards."""
    x, target = data(outputs=3)
    yield x, target
    for given, before in zip((x, target), data(outputs=3), strict=True):
        np.testing.assert_array_equal(given, before)


Sample = tuple[Array, Array]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("kind", "error", "message"), VIOLATIONS, ids=[case[0].__name__ for case in VIOLATIONS])
def test_a_layer_that_breaks_its_contract_is_found_by_name_in_the_first_batch_of_fit(
    kind: type[Layer], error: type[Exception], message: str, place: str, sample: Sample
) -> None:
    put, path = PLACES[place]
    layer = kind()
    model = Sequential(*put(layer), rng=0)
    before = picture(model)
    with pytest.raises(error, match=rf"layer {path.replace('.', '[.]')}, {kind.__name__}\(\): {message}"):
        train(model, *sample, optimizer=Momentum(0.1))
    assert picture(model) == before
    assert_one_vector(model)
    assert not patched(model)


class OneEntry(Linear):
    """Its backward methods differ in one entry of a large gradient, by little more than rounding."""

    entry = (0, 0)

    def backward_parameters(self, grad: Array, cache: Array) -> None:
        super().backward_parameters(grad, cache)
        self.weight.grad[self.entry] += 2e-4 * float(np.abs(self.weight.grad).max())


@pytest.mark.parametrize("place", [(0, 0), (63, 200), (102, 306)])
def test_one_wrong_entry_of_a_large_gradient_is_found(place: tuple[int, int]) -> None:
    layer = OneEntry(307, 103)
    layer.entry = place
    model = Sequential(layer, rng=0)
    x = np.random.default_rng(1).uniform(1, 2, (16, 307))  # all gradients of one sign, so that sums are large
    with pytest.raises(GradientError, match="assign different gradients"):
        model.fit(x, np.full((16, 103), -9.0), loss=SquaredError(), optimizer=SGD(1e-3), epochs=1)


def patched(*things: object) -> list[str]:
    """Return the names of what stands in place of a method on these objects, and on all layers below them."""
    found = [part for thing in things for part in (walk(thing).values() if isinstance(thing, Layer) else [thing])]
    methods = {"forward", "backward", "backward_parameters", "update"}
    return [name for part in found if hasattr(part, "__dict__") for name in vars(part) if name in methods]


@pytest.mark.parametrize(("kind", "error", "message"), ONLY_FORWARD, ids=[case[0].__name__ for case in ONLY_FORWARD])
def test_a_layer_that_breaks_its_contract_forward_is_found_where_it_stands_first(
    kind: type[Layer], error: type[Exception], message: str, sample: Sample
) -> None:
    model = Sequential(kind(), Linear(3, 3), rng=0)
    before = picture(model)
    with pytest.raises(error, match=rf"layer 0, {kind.__name__}\(\): {message}"):
        train(model, *sample)
    assert picture(model) == before


@pytest.mark.parametrize(
    "kind", [AddsToItsGradient, ForgetsItsGradient, ForgetsAPartOfItsGradient, TwoMinds, WritesToParametersBackward]
)
def test_a_wrong_gradient_is_found_where_the_layer_stands_first(kind: type[Layer], sample: Sample) -> None:
    model = Sequential(kind(), Linear(3, 3), rng=0)
    before = picture(model)
    with pytest.raises(ContractError, match=rf"layer 0, {kind.__name__}\(\)"):
        train(model, *sample)
    assert picture(model) == before


@pytest.mark.parametrize(("kind", "error", "message"), VIOLATIONS, ids=[case[0].__name__ for case in VIOLATIONS])
def test_strict_finds_it_in_code_of_the_users_own(
    kind: type[Layer], error: type[Exception], message: str, sample: Sample
) -> None:
    model = Sequential(Linear(3, 3), kind(), Linear(3, 3), rng=0)
    before = picture(model)

    def run() -> None:
        y, cache = model.forward(sample[0], training=True)
        model.backward(np.ones_like(y), cache)

    with np.errstate(all="ignore"), nanonet.strict(), pytest.raises(error, match=f"layer 1, .*{message}"):
        run()
    assert picture(model) == before


def test_a_gradient_that_is_not_summed_over_the_batch_is_named_with_its_parameter(sample: Sample) -> None:
    model = Sequential(Linear(3, 3), ForgetsToSum(), rng=0)
    before = picture(model)
    message = r"layer 1, ForgetsToSum\(\): .*gain\.grad: expected shape \(3,\), got \(12, 3\); sum it over the batch"
    with pytest.raises(ShapeError, match=message):
        train(model, *sample)
    assert picture(model) == before


@pytest.mark.parametrize("kind", [AddsToItsGradient, ForgetsItsGradient])
def test_a_frozen_layer_must_assign_its_gradient_too(kind: type[Gain], sample: Sample) -> None:
    layer = kind()
    layer.gain.trainable = False
    model = Sequential(Linear(3, 3), layer, rng=0)
    with pytest.raises(GradientError, match=rf"layer 1, {kind.__name__}"):
        train(model, *sample)


class SpoilingResidual(Residual):
    """y = x + child(x), written into what the child gave out."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        (child,) = self.inner
        y, cache = child.forward(x, training=training)
        y += x
        return y, [cache]


@pytest.mark.parametrize(
    "child", [lambda: Linear(3, 3), Tanh, Handing, lambda: Sequential(Linear(3, 3), Tanh(), rng=1)]
)
def test_a_residual_block_that_writes_into_the_result_of_its_child_is_found(
    child: Callable[[], Layer], sample: Sample
) -> None:
    model = Sequential(Linear(3, 3), SpoilingResidual(child()), Linear(3, 3), rng=0)
    before = picture(model)
    with pytest.raises(ContractError, match=r"layer 1, SpoilingResidual.*: forward writes .*returned before.*y \+= x"):
        train(model, *sample)
    with nanonet.strict(), pytest.raises(ContractError, match="layer 1, SpoilingResidual"):
        model(sample[0])
    assert picture(model) == before


class ForgetfulResidual(Residual):
    """y = x + f(x) whose backward forgets f."""

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.copy()


@pytest.mark.parametrize("place", [lambda layer: [layer], lambda layer: [Linear(3, 3), layer, Tanh()]])
def test_a_container_that_never_calls_the_backward_of_its_child_is_found(
    place: Callable[[Layer], list[Layer]], sample: Sample
) -> None:
    layers = place(ForgetfulResidual(Linear(3, 3), Tanh()))
    model = Sequential(*layers, rng=0)
    before = picture(model)
    name = rf"{0 if len(layers) == 1 else 1}\.inner\.0\.(weight|bias)"
    with pytest.raises(GradientError, match=rf"{name}\.grad was never assigned: the backward method .* not called"):
        train(model, *sample)
    assert picture(model) == before


# ---- in inference


class DrawsAlways(Copy):
    def __init__(self) -> None:
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x + self.random.generator.normal(size=x.shape).astype(x.dtype), None


class AveragesAlways(Copy):
    def __init__(self) -> None:
        self.mean = Buffer(FEATURES, Zeros())

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        self.mean.value = 0.9 * self.mean.value + 0.1 * x.mean(axis=0)
        return x - self.mean.value, None


INFERENCE = [(DrawsAlways, "forward draws from its generator although training is False"), (AveragesAlways, "forward")]


@pytest.mark.parametrize("put", [lambda layer: [layer], lambda layer: [Linear(3, 3), Residual(layer)]])
@pytest.mark.parametrize(("kind", "message"), INFERENCE)
def test_a_layer_that_changes_its_state_in_inference_is_found_by_strict(
    kind: type[Layer], message: str, put: Callable[[Layer], list[Layer]], sample: Sample
) -> None:
    model = Sequential(*put(kind()), rng=0)
    before = picture(model)
    for run in (model, model.predict, lambda x: model.forward(x, training=False)):
        with (
            nanonet.strict(),
            pytest.raises(ContractError, match=rf"layer .*, {kind.__name__}\(\): {message}"),
        ):
            run(sample[0])
    if kind is AveragesAlways:
        assert picture(model) == before


@pytest.mark.parametrize(("kind", "message"), INFERENCE)
def test_a_layer_that_changes_its_state_in_inference_is_found_by_fit(
    kind: type[Layer], message: str, sample: Sample
) -> None:
    model = Sequential(Linear(3, 3), kind(), rng=0)
    before = picture(model)
    with pytest.raises(ContractError, match=rf"layer 1, {kind.__name__}\(\): {message}"):
        train(model, *sample)
    assert picture(model) == before


def test_in_training_buffers_and_generators_may_change() -> None:
    model = Sequential(DrawsAlways(), AveragesAlways(), Centred(3), Noise(), rng=0)
    before = picture(model)
    with nanonet.strict():
        model.forward(data()[0], training=True)
    assert len([name for name in before if picture(model)[name] != before[name]]) == 5


# ---- losses and optimizers


class Absolute(Loss):
    """Keeps the contract: the base of losses that break one rule."""

    def function(self, prediction: Array, target: Array) -> Array:
        each: Array = np.abs(prediction - target).sum(axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        return np.sign(prediction - target)


class WritesToPrediction(Absolute):
    def function(self, prediction: Array, target: Array) -> Array:
        prediction -= target
        return super().function(prediction, target)


class WritesToTarget(Absolute):
    def function(self, prediction: Array, target: Array) -> Array:
        np.clip(target, 0, 1, out=target)
        return super().function(prediction, target)


class WritesToPredictionBackward(Absolute):
    def derivative(self, prediction: Array, target: Array) -> Array:
        prediction -= target
        return np.sign(prediction, out=prediction)


class WritesToTargetBackward(Absolute):
    def derivative(self, prediction: Array, target: Array) -> Array:
        target *= -1
        return np.sign(prediction + target)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (WritesToPrediction, "forward"),
        (WritesToTarget, "forward"),
        (WritesToPredictionBackward, "backward"),
        (WritesToTargetBackward, "backward"),
    ],
)
def test_a_loss_that_writes_to_its_arguments_is_found_by_name(kind: type[Loss], method: str, sample: Sample) -> None:
    model = Sequential(Linear(3, 3), Noise(), Centred(3), rng=0)
    before, loss = picture(model), kind()
    with pytest.raises(ContractError, match=rf"{kind.__name__}\(\): {method} writes to its argument"):
        train(model, *sample, loss=loss)
    assert picture(model) == before
    assert not patched(loss)


class GivesOneNumber(Absolute):
    def function(self, prediction: Array, target: Array) -> Array:
        return np.asarray(np.abs(prediction - target).sum())


class KeepsTheOutputAxis(Absolute):
    def function(self, prediction: Array, target: Array) -> Array:
        return np.abs(prediction - target)


class SumsItsDerivative(Absolute):
    def derivative(self, prediction: Array, target: Array) -> Array:
        signs: Array = np.sign(prediction - target).sum(axis=1)
        return signs


@pytest.mark.parametrize("kind", [GivesOneNumber, KeepsTheOutputAxis, SumsItsDerivative])
def test_a_loss_of_a_wrong_shape_is_found_by_name(kind: type[Loss], sample: Sample) -> None:
    model = Sequential(Linear(3, 3), Noise(), rng=0)
    before = picture(model)
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: (function|derivative) must return"):
        train(model, *sample, loss=kind())
    assert picture(model) == before


class WritesToGradient(SGD):
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        grad *= step.learning_rate
        value -= grad


class ReturnsAnArray(SGD):
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> Any:
        return value - step.learning_rate * grad


class RebindsValue(SGD):
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value = value - step.learning_rate * grad


class RebindsState(Momentum):
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        (velocity,) = state
        velocity = 0.9 * velocity + grad
        value -= step.learning_rate * velocity


class TakesNoState(Momentum):
    def update(self, value: Array, grad: Array, step: Step) -> None:
        value -= step.learning_rate * grad


class ReturnsAfterChanging(Momentum):
    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> Any:
        super().update(value, grad, step, *state)
        return value


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WritesToGradient, r"WritesToGradient\(0\.1\): update writes to its argument"),
        (ReturnsAnArray, r"ReturnsAnArray\(0\.1\): update .*in place"),
        (RebindsValue, r"RebindsValue\(0\.1\): update leaves value unchanged; change it in place"),
        (RebindsState, r"RebindsState\(0\.1\): update leaves its state velocity unchanged; change it in place"),
        (TakesNoState, r"TakesNoState\(0\.1\): update must take the state vectors that states names, velocity"),
        (ReturnsAfterChanging, r"ReturnsAfterChanging\(0\.1\): update must change value in place and return nothing"),
    ],
)
def test_an_optimizer_that_breaks_its_contract_is_found_by_name(
    kind: type[Optimizer], message: str, sample: Sample
) -> None:
    model = Sequential(Linear(3, 3), Noise(), Centred(3), rng=0)
    before, optimizer = picture(model), kind(0.1)
    trainer = Trainer(model, loss=SquaredError(), optimizer=optimizer)
    for _ in range(2):
        with pytest.raises(ContractError, match=message):
            trainer.fit(*sample, epochs=1)
        assert picture(model) == before
    assert not patched(optimizer)


# ---- NaN and infinity


class Root(Activation):
    """y = sqrt(a): NaN below 0, and an infinite derivative at 0."""

    def function(self, a: Array) -> Array:
        return np.sqrt(a)

    def derivative(self, a: Array, y: Array) -> Array:
        return 0.5 / y


@pytest.mark.parametrize(("start", "found"), [(-1.0, "its output is the first"), (0.0, "its dE/dx is the first")])
def test_the_first_number_that_is_not_finite_is_traced_to_its_layer(start: float, found: str, sample: Sample) -> None:
    model = Sequential(Tanh(), Linear(3, 3, weight=Zeros(), bias=Constant(start)), Root(), Tanh(), Noise(), rng=0)
    before = picture(model)
    with pytest.raises(NonFiniteError, match=rf"epoch 1, batch 1, .*layer 2, Root\(\): {found}.* not finite"):
        train(model, *sample)
    assert picture(model) == before


def test_a_layer_that_passes_on_what_came_in_is_not_blamed() -> None:
    model = Sequential(Linear(3, 3), Tanh(), rng=0)
    with nanonet.strict(), np.errstate(all="ignore"):
        assert np.isnan(model(np.full((2, 3), np.nan))).all()


# ---- with strict():


def test_strict_changes_no_result() -> None:
    x, target = data()
    plain, checked = everything(), everything()
    y = plain(x)
    history = train(plain, x, target, optimizer=Momentum(0.1), epochs=3, batch_size=5)
    with nanonet.strict():
        assert checked(x).tobytes() == y.tobytes()
        same = train(checked, x, target, optimizer=Momentum(0.1), epochs=3, batch_size=5)
    assert history["loss"] == same["loss"]
    assert picture(plain) == picture(checked)


def test_strict_covers_models_built_before_and_inside_it(sample: Sample) -> None:
    before = Sequential(Linear(3, 3), WritesToX())
    with nanonet.strict():
        inside = Sequential(Linear(3, 3), WritesToX())
        wrapped = Sequential(Sequential(Tanh(), WritesToX()), Tanh())
        outer = Sequential(before, Tanh())
        for model in (before, inside, wrapped, outer, before[:], inside[1:], copy.deepcopy(before)):
            with pytest.raises(ContractError, match=r"layer [\d.]+, WritesToX\(\): forward"):
                model(sample[0])
    for model in (before, inside, outer):
        model(sample[0].copy())


def test_strict_covers_a_layer_that_is_put_into_a_model_of_its_own(sample: Sample) -> None:
    model = Sequential(Residual(WritesToX()))
    inner = model[0]
    assert isinstance(inner, Residual)
    with nanonet.strict(), pytest.raises(ContractError, match="layer 0, WritesToX"):
        Sequential(copy.deepcopy(inner.inner[0])).forward(sample[0])


def test_strict_covers_a_model_whose_wrapper_is_gone(sample: Sample) -> None:
    model = Sequential(WritesToX())
    Sequential(model, Tanh())
    gc.collect()
    with nanonet.strict(), pytest.raises(ContractError, match="layer 0, WritesToX"):
        model(sample[0])


def test_strict_covers_loss_and_grad_and_steps(sample: Sample) -> None:
    model = Sequential(Linear(3, 3), WritesToGrad(), rng=0)
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.1))
    trainer.step(*sample)
    before = picture(model)
    with nanonet.strict():
        with pytest.raises(ContractError, match="layer 1, WritesToGrad"):
            trainer.step(*sample)
        with pytest.raises(ContractError, match="layer 1, WritesToGrad"):
            model.loss_and_grad(*sample, SquaredError())
    assert picture(model) == before


def test_under_strict_what_is_handed_out_is_read_only(sample: Sample) -> None:
    model = Sequential(Linear(3, 3), Tanh(), rng=0)
    with nanonet.strict():
        y, cache = model.forward(sample[0])
        dx = model.backward(np.ones_like(y), cache)
        for array in (y, dx):
            with pytest.raises(ValueError, match="read-only"):
                array += 1


def test_after_strict_all_is_as_it_was() -> None:
    model = everything()
    other = Sequential(Linear(2, 2))
    with nanonet.strict():
        train(model, *data(features=3))
        inside = Sequential(Linear(3, 1))
        assert not patched(model, other, inside)  # the checks are on views
    assert not patched(model, other, inside)
    assert all(parameter.value.flags.writeable for parameter in model.parameters().values())
    train(model, *data())


@pytest.mark.parametrize("name", ["forward", "backward", "backward_parameters", "output_shape", "owned_parts"])
def test_a_method_of_the_contract_cannot_be_hidden_by_an_attribute(name: str) -> None:
    layer = Copy()
    with pytest.raises(TypeError, match=rf"Copy: self\.{name} = \.\.\. would hide the method {name}"):
        setattr(layer, name, lambda x: x)
    assert not vars(layer)


def test_after_an_exception_all_is_as_it_was(sample: Sample) -> None:
    model = Sequential(Linear(3, 3), WritesToX(), rng=0)
    with pytest.raises(KeyError, match="mine"), nanonet.strict():
        raise KeyError("mine")
    with pytest.raises(ContractError, match="WritesToX"), nanonet.strict():
        model(sample[0])
    assert not patched(model)
    model(sample[0].copy())


def test_strict_inside_strict_ends_with_the_outer_one(sample: Sample) -> None:
    model = Sequential(Linear(3, 3), WritesToX(), rng=0)
    with nanonet.strict():
        with nanonet.strict():
            new = Sequential(Linear(3, 3), WritesToX(), rng=0)
            with pytest.raises(ContractError, match="layer 1, WritesToX"):
                model(sample[0])
        with pytest.raises(ContractError, match="layer 1, WritesToX"):
            model(sample[0])
    model(sample[0].copy())
    new(sample[0].copy())


def in_another_thread(call: Callable[[], Any]) -> Any:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_other_threads_are_not_checked(sample: Sample) -> None:
    model, x = Sequential(Linear(3, 3), WritesToX(), rng=0), sample[0]
    y = model(x)
    with nanonet.strict():
        result = in_another_thread(lambda: model(x))
        assert isinstance(result, np.ndarray)
        assert result.tobytes() == y.tobytes()
        assert in_another_thread(lambda: model.forward(x)[0].flags.writeable) is True
        with pytest.raises(ContractError):
            model(x)


def test_models_that_another_thread_builds_meanwhile_are_not_checked_there(sample: Sample) -> None:
    def build_and_run() -> Array:
        return Sequential(WritesToX())(sample[0].copy())

    with nanonet.strict():
        assert isinstance(in_another_thread(build_and_run), np.ndarray)


def test_a_fit_checks_its_own_model_alone(sample: Sample) -> None:
    class Watcher(Copy):
        def backward(self, grad: Array, cache: Any) -> Array:
            seen.append(other.forward(sample[0].copy())[0].flags.writeable)
            return grad.copy()

    seen: list[bool] = []
    other = Sequential(WritesToX(), Tanh(), rng=0)
    train(Sequential(Linear(3, 3), Watcher(), rng=0), *sample)
    assert seen
    assert all(seen)


def test_only_the_first_batch_of_a_fit_is_checked() -> None:
    class Late(Copy):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            if training:
                writeable.append(x.flags.writeable)
            return x.copy(), None

    writeable: list[bool] = []
    model = Sequential(Linear(3, 3), Late(), rng=0)
    for _ in range(2):
        writeable.clear()
        train(model, *data(outputs=3), epochs=2, batch_size=4)
        assert writeable == [False, True, True, True, True, True]
