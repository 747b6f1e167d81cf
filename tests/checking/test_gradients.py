"""check_gradients passes every layer and loss of the package, and finds and names what can be wrong with yours."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import nanonet
from nanonet import (
    Activation,
    Array,
    Buffer,
    Constant,
    GradientError,
    Identity,
    Initializer,
    Layer,
    Linear,
    Loss,
    Normal,
    Optimizer,
    Parameter,
    Random,
    ReLU,
    Sequential,
    Shape,
    Sigmoid,
    SquaredError,
    Tanh,
    check_gradients,
)
from nanonet.core.checks import is_several
from tests.helpers import Quartic, Residual, Scale
from tests.registry import LAYERS, LOSSES, SEVERAL_LOSSES, LayerCase, LossCase, normal, params, unregistered
from tests.right_layers import RIGHT
from tests.wrong_layers import WRONG, BatchNorm, Entrywise, FewOfMany, Gain

in_both_modes = pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])


def report_of(layer_or_loss: Layer | Loss, **keywords: Any) -> dict[str, Any]:
    """Return what check_gradients compared, by name."""
    report = check_gradients(layer_or_loss, **keywords)
    return {comparison.name: comparison for comparison in report.comparisons}


def parameter_arrays(layer: Layer) -> list[str]:
    """Return what check_gradients must call the parameters below a layer."""
    return ["dE/d" + name.removeprefix("0.") for name in Sequential(copy.deepcopy(layer)).parameters()]


def error_of(layer_or_loss: Layer | Loss, **keywords: Any) -> str:
    """Return what check_gradients finds to be wrong."""
    with pytest.raises(GradientError) as caught:
        check_gradients(layer_or_loss, **keywords)
    return str(caught.value)


# ---- what is right passes


@pytest.mark.parametrize("base", [Layer, Loss, Optimizer, Initializer])
def test_every_class_of_the_package_stands_in_the_registry(base: type[Any]) -> None:
    forgotten = unregistered(base)
    assert not forgotten, f"enter {', '.join(forgotten)} in tests/registry.py: how it is made, and for which shapes"


def input_arrays(layer: Layer, case: LayerCase) -> list[str]:
    if is_several(case.shape):
        whole = layer.integer_input if isinstance(layer.integer_input, tuple) else (False,) * len(case.shape)
        return [f"dE/dx[{i}]" for i in range(len(case.shape)) if not whole[i]]
    return [] if layer.integer_input else ["dE/dx"]


@in_both_modes
@pytest.mark.parametrize("case", params(LAYERS))
def test_every_layer_has_the_gradients_of_its_forward_pass(case: LayerCase, training: bool) -> None:
    layer = case.make()
    found = report_of(layer, x=case.x(), training=training)
    assert list(found) == [*input_arrays(layer, case), *parameter_arrays(layer)]
    assert all(comparison.complete for comparison in found.values())


@pytest.mark.parametrize("case", params({cls: [c for c in cases if c.draw is normal] for cls, cases in LAYERS.items()}))
def test_every_layer_can_be_checked_on_what_is_drawn_for_it(case: LayerCase) -> None:
    found = report_of(case.make(), input_shape=case.shape)
    shapes = case.shape if is_several(case.shape) else (case.shape,)
    for name, shape in zip(input_arrays(case.make(), case), shapes, strict=True):
        assert found[name].analytic.shape[1:] == shape
        assert len(found[name].analytic) > 1


NO_SHAPE = {
    "Embedding(": "takes integers, whose range no shape tells",
    "Reparametrised(Embedding(": "takes integers",
    "Reshape(": "determines the product of all lengths, and none of them",
    "Concatenate(": "takes any number of inputs",
    "Add(": "takes any number of inputs",
    "Wired(": "takes what whoever wires it says",
    "Sequential()": "has no layer",
    "Sequential( 0: Sigmoid()": "takes any shape, as far as its first layer says",
}
"""Why there is no pattern to make a shape from, by the beginning of the layer as text."""


@pytest.mark.slow
@pytest.mark.parametrize("case", params(LAYERS))
def test_every_layer_that_says_what_it_takes_can_be_checked_without_a_shape(case: LayerCase) -> None:
    layer = case.make()
    masked = isinstance(layer.integer_input, tuple) and any(layer.integer_input)
    if masked or " ".join(repr(layer).split()).startswith(tuple(NO_SHAPE)):
        with pytest.raises(ValueError, match=r"check_gradients: .* (has no input_shape|takes integers); pass"):
            check_gradients(layer)
    else:
        assert check_gradients(layer).comparisons


@pytest.mark.parametrize("case", params(LOSSES | SEVERAL_LOSSES))
def test_every_loss_has_the_gradient_of_its_value(case: LossCase) -> None:
    found = report_of(case.make(), x=case.prediction(), target=case.target())
    several = range(len(case.shape)) if is_several(case.shape) else None
    names = ["dE/dprediction"] if several is None else [f"dE/dprediction[{i}]" for i in several]
    assert list(found) == [*names, *(f"{name}, weighted" for name in names)]
    assert all(comparison.complete for comparison in found.values())


class Affine(Layer):
    """y = x Wᵀ + b with a square W: what the broken layers below are made from."""

    def __init__(self, features: int) -> None:
        self.input_shape = (features,)
        self.weight = Parameter((features, features), Normal(1.0))
        self.bias = Parameter((features,), Normal(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x @ self.weight.value.T + self.bias.value, x

    def backward(self, grad: Array, cache: Any) -> Array:
        self.weight.grad = grad.T @ cache
        self.bias.grad = grad.sum(axis=0)
        return grad @ self.weight.value


class Dropout(Layer):
    """A user's dropout, with a generator of its own."""

    def __init__(self) -> None:
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        kept = np.ones_like(x)
        if training:
            kept = 2 * (self.random.generator.random(x.shape) < 0.5).astype(x.dtype)
        return x * kept, kept

    def backward(self, grad: Array, cache: Array) -> Array:
        return grad * cache


class Centred(Layer):
    """x minus a running mean, kept in a Buffer, in inference; minus the batch's own mean in training."""

    def __init__(self, features: int) -> None:
        self.input_shape = (features,)
        self.mean = Buffer((features,), Constant(0.3))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if not training:
            return x - self.mean.value, False
        self.mean.value = 0.9 * self.mean.value + 0.1 * x.mean(axis=0)
        return x - x.mean(axis=0), True

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad - grad.mean(axis=0) if cache else grad


def chains() -> list[Any]:
    """Return nets that hold each other in every way, each with the shape that it takes."""
    cases: dict[str, Layer] = {
        "a chain in a chain in a chain": Sequential(
            Linear(3, 2), Sequential(Tanh(), Sequential(Linear(2, 4), Sigmoid())), Linear(4, 1), rng=0
        ),
        "layers of a user between ours": Sequential(Linear(3, 2), Affine(2), ReLU(), Affine(2), rng=1),
        "a residual block": Residual(Linear(3, 4), Tanh(), Linear(4, 3)),
        "residual blocks within residual blocks": Sequential(
            Residual(Residual(Affine(3)), Sequential(Affine(3), Tanh())), Residual(), Linear(3, 2)
        ),
        "a dropout between layers": Sequential(Linear(3, 8), Dropout(), Tanh(), Dropout(), Linear(8, 2), rng=2),
        "a buffer that training moves": Sequential(Affine(3), Centred(3), Tanh(), rng=3),
    }
    return [pytest.param(layer, id=name) for name, layer in cases.items()]


@in_both_modes
@pytest.mark.parametrize("layer", chains())
def test_nets_of_nets_pass(layer: Layer, training: bool) -> None:
    found = report_of(layer, input_shape=3, training=training)
    assert list(found) == ["dE/dx", *parameter_arrays(layer)]
    assert all(comparison.complete for comparison in found.values())


def test_the_report_lists_every_array_and_says_that_float64_was_used() -> None:
    text = str(check_gradients(Sequential(Linear(2, 3), Residual(Affine(3)), rng=0)))
    arrays = ["dE/dx", "dE/d0.weight", "dE/d0.bias", "dE/d1.inner.0.weight", "dE/d1.inner.0.bias"]
    assert [line.split()[0] for line in text.splitlines()[1:]] == arrays
    assert "float64" in text.splitlines()[0]
    assert "(3, 3)  9 of 9 entries" in text


def test_of_a_large_array_some_hundred_entries_are_compared() -> None:
    weight = report_of(Linear(50, 40))["dE/dweight"]
    assert 100 <= np.count_nonzero(weight.known) < 2000


def test_a_gradient_that_is_truly_0_is_right() -> None:
    class Unused(Affine):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return np.ones_like(x), x

        def backward(self, grad: Array, cache: Any) -> Array:
            self.weight.grad, self.bias.grad = np.zeros(self.weight.shape), np.zeros(self.bias.shape)
            return np.zeros_like(grad)

    assert {name: c.largest for name, c in report_of(Unused(3)).items()} == {
        "dE/dx": 0,
        "dE/dweight": 0,
        "dE/dbias": 0,
    }


def test_a_layer_may_hand_its_argument_on() -> None:
    class Nothing(Layer):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return x, None

        def backward(self, grad: Array, cache: Any) -> Array:
            return grad

    assert report_of(Nothing(), input_shape=2)["dE/dx"].complete


# ---- kinks


class TestKinks:
    ZEROS = np.array([[0.0, -1.0, 0.0], [2.0, 0.0, 0.0]])

    def test_relu_at_0_is_no_error(self) -> None:
        dx = report_of(ReLU(), x=self.ZEROS)["dE/dx"]
        assert dx.kinks == 4

    def test_relu_next_to_0_is_no_error(self) -> None:
        near = np.array([[1e-6, -1e-6, 3e-6], [1e-7, -1e-7, 1e-5]])
        report_of(ReLU(), x=near)

    @pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
    def test_any_slope_between_those_of_the_two_sides_counts_as_right(self, slope: float) -> None:
        class Hinge(ReLU):
            def derivative(self, a: Array, y: Array) -> Array:
                return np.where(a == 0, slope, a > 0)

        report_of(Hinge(), x=self.ZEROS)

    @pytest.mark.parametrize("slope", [-0.5, 1.5])
    def test_a_slope_outside_is_an_error(self, slope: float) -> None:
        class Hinge(ReLU):
            def derivative(self, a: Array, y: Array) -> Array:
                return np.where(a == 0, slope, a > 0)

        assert "Hinge(): dE/dx[" in error_of(Hinge(), x=self.ZEROS)

    def test_a_wrong_gradient_beside_a_kink_is_found(self) -> None:
        class Doubled(ReLU):
            def derivative(self, a: Array, y: Array) -> Array:
                return 2.0 * (a > 0)

        assert re.search(r"^Doubled\(\): dE/dx\[1, 0\]", error_of(Doubled(), x=self.ZEROS))

    @pytest.mark.parametrize("rng", range(4))
    def test_a_net_whose_relus_all_sit_at_0_is_no_error(self, rng: int) -> None:
        # x = 0 and bias = 0, where a net starts: one entry of x moves several units off their kinks at once
        report_of(Sequential(Linear(2, 3), ReLU(), rng=rng), x=np.zeros((3, 2)))


# ---- what is wrong is found, named and explained


class Transposed(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        super().backward(grad, cache)
        return grad @ self.weight.value.T


class TransposedParameter(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad = self.weight.grad.T.copy()
        return dx


class Scaled(Affine):
    """A right layer whose gradients come out multiplied."""

    def __init__(self, features: int, *, dx: float = 1.0, weight: float = 1.0, bias: float = 1.0) -> None:
        super().__init__(features)
        self.factors = dx, weight, bias

    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad = self.factors[1] * self.weight.grad
        self.bias.grad = self.factors[2] * self.bias.grad
        return self.factors[0] * dx


class AveragedOverTheBatch(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad = self.weight.grad / len(grad)
        return dx


class NotSummed(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.bias.grad = grad
        return dx


class WeightNotSummed(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad = grad[:, :, np.newaxis] * cache[:, np.newaxis, :]
        return dx


class FirstSampleAlone(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.bias.grad = grad[0]
        return dx


class LastSampleAlone(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad = np.outer(grad[-1], cache[-1])
        return dx


class NeverAssigned(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        self.weight.grad = grad.T @ cache
        return grad @ self.weight.value


class Added(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        self.weight.grad += grad.T @ cache
        self.bias.grad = grad.sum(axis=0)
        return grad @ self.weight.value


class AddedThroughAView(Affine):
    """Right in backward; adds in the method that training asks the lowest layer for."""

    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache)

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        self.weight.grad = grad.T @ cache
        for g in grad:
            np.add(self.bias.grad, g, out=self.bias.grad)


class WritesToX(Affine):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        x -= x.mean()
        return super().forward(x, training=training)


class WritesToGrad(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        grad *= 1.0
        return super().backward(grad, cache)


class WritesToCache(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        cache[:] = 0
        return dx


class Kept(NamedTuple):
    x: Array


class WritesIntoCache(Affine):
    """What it keeps lies in a container, which it writes into when it has no more need of it."""

    def __init__(self, features: int, *, container: str) -> None:
        super().__init__(features)
        self.container = container

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        kept = x.copy()
        caches = {"tuple": (kept,), "list": [kept], "nested": [({0: [kept]},)], "dict": {0: kept}, "named": Kept(kept)}
        return super().forward(x, training=training)[0], caches[self.container]

    def backward(self, grad: Array, cache: Any) -> Array:
        kept = cache[0][0][0][0] if self.container == "nested" else cache[0]
        dx = super().backward(grad, kept)
        kept[:] = 0
        return dx


class WritesToParameter(Affine):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        self.weight.value *= 0.5
        return super().forward(x, training=training)


class WritesToItsChildsResult(Residual):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = self.inner[0].forward(x, training=training)
        y += x
        return y, [cache]


class WrongShape(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = super().backward(grad, cache).sum(axis=0, keepdims=True)
        return dx


class Chance(Affine):
    """Throws dice in inference, and not with the package's own Random."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.dice = np.random.default_rng(0)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = super().forward(x, training=training)
        return y + self.dice.normal(), cache


class RandomInInference(Dropout):
    input_shape = (3,)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return super().forward(x, training=True)


class MovesBufferInInference(Centred):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        self.mean.value = 0.5 * self.mean.value
        return super().forward(x, training=training)


class ReusedOutput(Layer):
    input_shape = (3,)

    def __init__(self) -> None:
        self.kept: list[Array] = []

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if not self.kept:
            self.kept.append(np.empty_like(x))
        return np.multiply(x, 2.0, out=self.kept[0]), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return 2.0 * grad


class ReusedDx(ReusedOutput):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return 2.0 * x, None

    def backward(self, grad: Array, cache: Any) -> Array:
        return ReusedOutput.forward(self, grad)[0]


class Disagreeing(Affine):
    def backward_parameters(self, grad: Array, cache: Any) -> None:
        self.backward(grad, cache)
        self.bias.grad = 2 * self.bias.grad


class WrongDerivative(Activation):
    def function(self, a: Array) -> Array:
        return np.exp(-a * a)

    def derivative(self, a: Array, y: Array) -> Array:
        return -a * y


class ForgottenChild(Residual):
    def backward(self, grad: Array, cache: Any) -> Array:
        return grad


class ZeroDx(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        return np.zeros_like(super().backward(grad, cache))


class Unlike(Affine):
    """Wrong in no way that has a name."""

    def backward(self, grad: Array, cache: Array) -> Array:
        return super().backward(grad, cache) + np.sin(cache)


class Defect(NamedTuple):
    """A broken layer, the array that its error must name, and the diagnosis that it must give."""

    make: Callable[[], Layer]
    array: str
    diagnosis: str


DEFECTS = [
    Defect(lambda: Transposed(3), "dE/dx", "transposed"),
    Defect(lambda: Transposed(2), "dE/dx", "weight is transposed"),
    Defect(lambda: TransposedParameter(3), "dE/dweight", "transposed"),
    Defect(lambda: Scaled(3, dx=-1), "dE/dx", "sign flipped"),
    Defect(lambda: Scaled(3, weight=-1), "dE/dweight", "sign flipped"),
    Defect(lambda: Scaled(3, bias=-1), "dE/dbias", "sign flipped"),
    Defect(lambda: Scaled(4, dx=2), "dE/dx", "a constant factor of 2"),
    Defect(lambda: Scaled(4, weight=2), "dE/dweight", "a constant factor of 2"),
    Defect(lambda: Scaled(4, bias=0.5), "dE/dbias", "a constant factor of 0.5, that is 1/2"),
    Defect(lambda: Scaled(3, weight=0.7), "dE/dweight", "a constant factor of 0.7"),
    Defect(lambda: Scaled(3, weight=-2), "dE/dweight", "a constant factor of -2"),
    Defect(lambda: AveragedOverTheBatch(3), "dE/dweight", "1/batch"),
    Defect(lambda: NotSummed(3), "bias.grad", "not summed over the batch"),
    Defect(lambda: WeightNotSummed(3), "weight.grad", "not summed over the batch"),
    Defect(lambda: FirstSampleAlone(3), "dE/dbias", "not summed over the batch"),
    Defect(lambda: LastSampleAlone(3), "dE/dweight", "not summed over the batch"),
    Defect(lambda: NeverAssigned(3), "bias.grad", "never assigned"),
    Defect(lambda: Added(3), "weight.grad", "added instead of assigned"),
    Defect(lambda: AddedThroughAView(3), "bias.grad", "added instead of assigned"),
    Defect(lambda: WritesToX(3), "forward", "argument modified"),
    Defect(lambda: WritesToGrad(3), "backward", "argument modified"),
    Defect(lambda: WritesToCache(3), "backward", "argument modified"),
    Defect(lambda: WritesIntoCache(3, container="tuple"), "backward", "argument modified"),
    Defect(lambda: WritesIntoCache(3, container="list"), "backward", "argument modified"),
    Defect(lambda: WritesIntoCache(3, container="dict"), "backward", "argument modified"),
    Defect(lambda: WritesIntoCache(3, container="nested"), "backward", "argument modified"),
    Defect(lambda: WritesIntoCache(3, container="named"), "backward", "argument modified"),
    Defect(lambda: WritesToParameter(3), "forward", "its parameters"),
    Defect(lambda: WritesToItsChildsResult(Linear(3, 3)), "forward", "argument modified"),
    Defect(lambda: WrongShape(3), "dE/dx", "(5, 3), got (1, 3)"),
    Defect(lambda: Chance(3), "forward", "two results for one input"),
    Defect(RandomInInference, "forward", "draws from its generator although training is False"),
    Defect(lambda: MovesBufferInInference(3), "forward", "writes to"),
    Defect(ReusedOutput, "output", "copy it"),
    Defect(ReusedDx, "dE/dx", "copy it"),
    Defect(lambda: Disagreeing(3), "Disagreeing.bias", "backward and backward_parameters assign different gradients"),
    Defect(WrongDerivative, "dE/dx", "a constant factor of 0.5, that is 1/2"),
    Defect(lambda: ForgottenChild(Linear(3, 3)), "inner.0.weight.grad", "never assigned"),
    Defect(lambda: ZeroDx(3), "dE/dx", "0 everywhere"),
]


def label(defect: Defect) -> str:
    return f"{defect.make()!r}: {defect.diagnosis}"


@in_both_modes
@pytest.mark.parametrize("defect", DEFECTS, ids=label)
def test_a_broken_layer_is_named_with_its_array_and_a_diagnosis(defect: Defect, training: bool) -> None:
    layer = defect.make()
    message = error_of(layer, input_shape=layer.input_shape or 3, training=training)
    assert message.startswith(f"{layer!r}: ")
    assert defect.array in message
    assert defect.diagnosis in message


NUMBER = r"-?\d[\d.e+-]*"


@pytest.mark.parametrize(
    ("layer", "array"),
    [(Scaled(3, weight=2), r"dE/dweight\[\d, \d\]"), (Scaled(3, dx=2), r"dE/dx\[\d, \d\]")],
    ids=repr,
)
def test_the_message_has_the_entry_both_numbers_and_the_relative_error(layer: Layer, array: str) -> None:
    message = error_of(layer)
    pattern = rf"{array} is ({NUMBER}), but the numerical derivative is ({NUMBER}) \(relative error ({NUMBER});"
    found = re.search(pattern, message)
    assert found, message
    given, true, relative = map(float, found.groups())
    assert given == pytest.approx(2 * true, rel=1e-6)
    assert relative == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("slope", [1e-3, 1.0, 1e3])
def test_one_percent_too_much_is_found_however_small_the_gradient_is(slope: float) -> None:
    class Slope(Activation):
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def function(self, a: Array) -> Array:
            return slope * a

        def derivative(self, a: Array, y: Array) -> Array:
            return np.full_like(a, self.factor * slope)

    report_of(Slope(1.0))
    assert "a constant factor of 1.0" in error_of(Slope(1.01))


def test_what_has_no_known_pattern_gets_no_diagnosis() -> None:
    message = error_of(Unlike(3))
    assert message.startswith("Unlike(3): dE/dx[")
    assert "diagnosis" not in message


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_a_factor_of_2_is_not_taken_for_the_number_of_features(features: int) -> None:
    message = error_of(Scaled(features, weight=2))
    assert message.endswith("off by a constant factor of 2") or "2 or" in message


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_a_second_mean_over_the_batch_is_not_taken_for_one_over_the_features(features: int) -> None:
    assert "1/batch" in error_of(AveragedOverTheBatch(features))


def test_a_transposed_gradient_of_a_matrix_that_is_not_square_is_a_wrong_shape() -> None:
    class Outer(Linear):
        def backward(self, grad: Array, cache: Array) -> Array:
            dx = super().backward(grad, cache)
            self.weight.grad = cache.T @ grad
            return dx

    message = error_of(Outer(2, 3))
    assert message.startswith("Outer(2, 3)")
    assert "weight.grad: expected shape (3, 2), got (2, 3)" in message


def test_a_function_that_gives_nan_beside_the_sample_does_not_pass_unchecked() -> None:
    class Root(Activation):
        def function(self, a: Array) -> Array:
            with np.errstate(invalid="ignore"):
                return np.sqrt(a)

        def derivative(self, a: Array, y: Array) -> Array:
            return np.full_like(a, 7.0)

    assert error_of(Root(), x=np.zeros((2, 2))).startswith("Root(): ")


def test_a_dropout_that_forgets_its_mask_is_wrong_in_training_alone() -> None:
    class Forgetful(Dropout):
        def backward(self, grad: Array, cache: Any) -> Array:
            return grad

    report_of(Forgetful(), input_shape=3, training=False)
    assert error_of(Forgetful(), input_shape=3, training=True).startswith("Forgetful(): dE/dx[")
    assert re.match(r"Forgetful\(\): dE/dx\[.*\), in training$", error_of(Forgetful(), input_shape=3))


# ---- where a broken layer stands


@pytest.mark.parametrize(
    "broken", [Transposed(2), Scaled(2, weight=3), NeverAssigned(2), WritesToGrad(2), WrongShape(2)], ids=repr
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_broken_layer_in_a_chain_is_named_by_its_position(broken: Layer, place: int) -> None:
    layers: list[Layer] = [Affine(2), Tanh(), Linear(2, 2)]
    layers.insert(place, copy.deepcopy(broken))
    assert error_of(Sequential(*layers, rng=0)).startswith(f"layer {place}, {broken!r}: ")


@pytest.mark.parametrize("broken", [Transposed(2), NeverAssigned(2), WritesToGrad(2)], ids=repr)
def test_a_broken_layer_in_a_chain_in_a_chain_is_named_by_both_positions(broken: Layer) -> None:
    inner = Sequential(Tanh(), Sequential(copy.deepcopy(broken), Linear(2, 1)))
    message = error_of(Sequential(Linear(3, 2), Tanh(), inner, rng=0))
    assert re.match(rf"layer 2(\.|, layer )1(\.|, layer )0, {re.escape(repr(broken))}: ", message), message


def test_the_lowest_of_two_broken_layers_is_named() -> None:
    model = Sequential(Affine(2), Scaled(2, dx=2), Transposed(2), rng=0)
    assert error_of(model).startswith(f"layer 1, {model[1]!r}: dE/dx")


def test_a_broken_layer_in_a_users_container_is_named() -> None:
    message = error_of(Sequential(Linear(3, 2), Residual(Tanh(), NeverAssigned(2)), rng=0))
    assert message.startswith("layer 1")
    assert "inner.1, NeverAssigned(2): " in message


def test_a_broken_parameter_in_a_users_container_is_named_by_its_path() -> None:
    message = error_of(Sequential(Linear(3, 2), Residual(Tanh(), Scaled(2, bias=-1)), rng=0))
    assert message.startswith("layer 1, Residual(")
    assert "dE/dinner.1.bias[" in message
    assert "sign flipped" in message


def test_a_chain_that_is_wrong_though_its_layers_are_right_is_named_itself() -> None:
    class Halved(Sequential):
        def backward(self, grad: Array, cache: list[Any]) -> Array:
            return 0.5 * super().backward(grad, cache)

    message = error_of(Halved(Linear(3, 4), Tanh(), rng=0))
    assert message.startswith("Halved: dE/dx[")
    assert "1/2" in message


# ---- losses


class WrongPower(Quartic):
    def derivative(self, prediction: Array, target: Array) -> Array:
        return 4 * (prediction - target) ** 2


class WrongSign(Quartic):
    def derivative(self, prediction: Array, target: Array) -> Array:
        return 4 * (target - prediction) ** 3


class WrongFactor(Quartic):
    def derivative(self, prediction: Array, target: Array) -> Array:
        return 8 * (prediction - target) ** 3


class MeanTwice(Quartic):
    def derivative(self, prediction: Array, target: Array) -> Array:
        return super().derivative(prediction, target) / len(prediction)


class WritesToPrediction(Quartic):
    def function(self, prediction: Array, target: Array) -> Array:
        prediction -= target
        return super().function(prediction, 0 * target)


class WritesToTarget(Quartic):
    def derivative(self, prediction: Array, target: Array) -> Array:
        target -= prediction
        return -4 * target**3


class OneNumber(Quartic):
    def function(self, prediction: Array, target: Array) -> Array:
        return np.asarray(super().function(prediction, target).sum())


class WrongDerivativeShape(Quartic):
    def derivative(self, prediction: Array, target: Array) -> Array:
        grad: Array = super().derivative(prediction, target).sum(axis=1)
        return grad


class IgnoresWeights(Quartic):
    """Right as long as all samples weigh the same."""

    def backward(self, cache: Any) -> Array:
        prediction, target, _ = cache
        return self.derivative(prediction, target) / len(prediction)


def test_the_loss_that_the_broken_ones_are_made_from_is_right() -> None:
    assert len(report_of(Quartic())) == 2


@pytest.mark.parametrize(
    ("loss", "part", "diagnosis"),
    [
        (WrongPower(), "dE/dprediction[", ""),
        (WrongSign(), "dE/dprediction[", "sign flipped"),
        (WrongFactor(), "dE/dprediction[", "a constant factor of 2"),
        (MeanTwice(), "dE/dprediction[", "1/batch"),
        (WritesToPrediction(), "forward", "argument modified"),
        (WritesToTarget(), "backward", "argument modified"),
        (OneNumber(), "function must return one number per sample, shape (5,), got ()", ""),
        (WrongDerivativeShape(), "(5, 3), got (5,)", ""),
        (IgnoresWeights(), "dE/dprediction, weighted[", ""),
    ],
    ids=lambda value: repr(value) if isinstance(value, Loss) else None,
)
def test_a_broken_loss_is_named_with_a_diagnosis(loss: Loss, part: str, diagnosis: str) -> None:
    message = error_of(loss)
    assert message.startswith(f"{loss!r}: ")
    assert part in message
    assert diagnosis in message
    assert ("diagnosis" in message) or not diagnosis


# ---- what the check leaves alone


def busy_model() -> Sequential:
    """Return a float32 model with parameters, a buffer and a generator, all of them used."""
    model = Sequential(Linear(3, 4), Dropout(), Centred(4), Residual(Affine(4)), Linear(4, 2), rng=5)
    model.forward(np.ones((2, 3), np.float32), training=True)
    model.loss_and_grad(np.ones((2, 3)), np.ones((2, 2)), SquaredError(), training=True)
    return model


def everything(model: Sequential) -> dict[str, Any]:
    """Return copies of all that a model holds."""
    dropout = model[1]
    assert isinstance(dropout, Dropout)
    return {
        "dtype": model.dtype,
        "value": model.vector.value.tobytes(),
        "grad": model.vector.grad.tobytes(),
        "state": {name: array.tobytes() for name, array in model.state_dict().items()},
        "own generator": model.rng.bit_generator.state,
        "dropout's generator": dropout.random.generator.bit_generator.state,
        "parameters": {name: id(p) for name, p in model.parameters().items()},
    }


@in_both_modes
def test_the_callers_model_stands_as_before(training: bool) -> None:
    model = busy_model()
    before = everything(model)
    assert np.frombuffer(before["grad"], np.float32).any()
    report_of(model, training=training)
    assert everything(model) == before


def test_the_callers_model_stands_as_before_when_it_is_found_to_be_wrong() -> None:
    model = Sequential(Linear(3, 2), Dropout(), WritesToParameter(2), rng=5)
    before = everything(model)
    error_of(model)
    assert everything(model) == before


def test_a_layer_that_was_not_built_is_not_built_afterwards() -> None:
    layer = Residual(Linear(2, 2), Dropout())
    report_of(layer, input_shape=2)
    with pytest.raises(RuntimeError, match="before it is built"):
        _ = layer.inner[0].weight.value  # type: ignore[attr-defined]  # a list of any layers; this one is a Linear
    assert Sequential(layer, rng=0)(np.ones((1, 2))).shape == (1, 2)


def test_x_and_target_are_left_alone() -> None:
    x, target = np.ones((2, 3)), np.zeros((2, 3))
    report_of(Affine(3), x=x)
    report_of(SquaredError(), x=x, target=target)
    assert (x == 1).all()
    assert (target == 0).all()


def test_numpys_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002  # the very state that must not move
    report_of(busy_model(), training=True)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002  # as above


def test_the_same_rng_gives_the_same_report() -> None:
    first, second, other = (str(check_gradients(Linear(3, 2), rng=rng)) for rng in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_is_checked_on_a_float64_copy_that_has_its_numbers(dtype: npt.DTypeLike) -> None:
    seen: list[tuple[Any, Array]] = []

    class Spy(Identity):
        def function(self, a: Array) -> Array:
            seen.append((a.dtype, a.copy()))
            return super().function(a)

    model = Sequential(Linear(2, 2, bias=Normal(1.0)), Spy(), dtype=dtype, rng=3)
    x = np.array([[1.0, 2.0], [-1.0, 0.5]])
    report_of(model, x=x)
    assert {given for given, _ in seen} == {np.dtype(np.float64)}
    weight, bias = (model.parameters()[name].value.astype(np.float64) for name in ("0.weight", "0.bias"))
    np.testing.assert_array_equal(seen[0][1], np.dot(x, weight.T) + bias)
    assert model.dtype == dtype


# ---- how it is called


@pytest.mark.parametrize(
    ("arguments", "keywords", "kind", "text"),
    [
        ((Linear,), {}, TypeError, "to be a Layer or a Loss"),
        (("Linear",), {}, TypeError, "to be a Layer or a Loss"),
        ((Dropout(),), {}, ValueError, r"Dropout\(\) has no input_shape; pass one, such as input_shape="),
        ((Linear(2, 3),), {"target": [[1.0]]}, TypeError, "target goes with a Loss"),
        ((Linear(2, 3), (0,)), {}, ValueError, "check_gradients: input_shape"),
        ((Linear(2, 3),), {"rng": "today"}, TypeError, "check_gradients: expected rng"),
        ((SquaredError(),), {"x": [[1.0]], "target": [1.0]}, ValueError, r"try target.reshape\(-1, 1\)"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(
    arguments: tuple[Any, ...], keywords: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        check_gradients(*arguments, **keywords)


@pytest.mark.parametrize("shape", [3, (3,), [3]])
def test_the_input_shape_may_be_a_number_or_a_tuple(shape: Any) -> None:
    assert report_of(Residual(), input_shape=shape)["dE/dx"].analytic.shape[1:] == (3,)


def test_the_pinned_shape_is_not_asked_for_again_but_another_may_be_given() -> None:
    wide: Shape = (4, 3)
    assert report_of(Linear(3, 2))["dE/dx"].analytic.shape[1:] == (3,)
    assert report_of(Linear(3, 2), input_shape=wide)["dE/dx"].analytic.shape[1:] == wide


# ---- a start at 1 or 0 hides nothing


class ForgottenGain(Scale):
    """Scale whose backward leaves the gain out, which is right as long as it is 1."""

    def __init__(self, start: float) -> None:
        self.input_shape = (3,)
        self.gain = Parameter(3, Constant(start))

    def backward(self, grad: Array, cache: Any) -> Array:
        super().backward(grad, cache)
        return grad.copy()


class ForgottenTerm(ForgottenGain):
    """y = x (1 + gain), whose backward leaves the gain out, which is right as long as it is 0."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * (1 + self.gain.value), x


@pytest.mark.parametrize("layer", [ForgottenGain(1.0), ForgottenTerm(0.0)], ids=["1", "0"])
def test_a_factor_that_is_forgotten_shows_also_where_the_parameter_starts_at_1_or_0(layer: Layer) -> None:
    with pytest.raises(GradientError, match="dE/dx"):
        check_gradients(layer)


def test_frozen_parameters_and_other_numbers_stay_where_they_are() -> None:
    seen: list[Array] = []

    class Watched(Scale):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            seen.append(self.gain.value.copy())
            return super().forward(x, training=training)

    for start, trainable in ((np.ones(3), False), (np.array([1.0, 1.5, 0.0]), True)):
        layer = Watched(3)
        layer.gain = Parameter(3, start, trainable=trainable)
        seen.clear()
        check_gradients(layer)
        np.testing.assert_array_equal(seen[0], start)


# ---- many that are wrong, many that are right: see wrong_layers.py and right_layers.py


@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_layer_is_found_without_being_asked_for_in_particular(name: str) -> None:
    make, keywords = WRONG[name]
    with pytest.raises(GradientError):
        check_gradients(make(), **keywords)


@pytest.mark.parametrize("fast", [False, True], ids=["by entries", "by directions"])
@pytest.mark.parametrize("name", RIGHT)
def test_no_right_layer_is_refused_however_unusual_it_is(name: str, fast: bool) -> None:
    make, keywords = RIGHT[name]
    check_gradients(make(), fast=fast, **keywords)


@pytest.mark.parametrize("name", [name for name in WRONG if name != "0.003 % too much"])
def test_the_fast_check_finds_them_too_but_for_what_weighs_little(name: str) -> None:
    make, keywords = WRONG[name]
    with pytest.raises(GradientError):
        check_gradients(make(), fast=True, **keywords)


def clip(low: float, high: float) -> Entrywise:
    return Entrywise(lambda a: np.clip(a, low, high), lambda a, y: (a > low) & (a < high))


def half_clip(low: float, high: float) -> Entrywise:
    return Entrywise(lambda a: np.clip(a, low, high), lambda a, y: a > low)


@pytest.mark.parametrize("bound", [0.05, 0.3, 1, 3, 6, 12, 20, 30])
@pytest.mark.parametrize("features", [1, 3, 70])
def test_a_forgotten_bound_up_to_30_is_found_however_many_features_there_are(bound: float, features: int) -> None:
    check_gradients(clip(-bound, bound), features)
    with pytest.raises(GradientError):
        check_gradients(half_clip(-bound, bound), features)


# ---- what it is tried on


class Modes(Gain):
    """Notes every batch that it sees, and the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        Modes.noted.add((training, len(x)))
        return super().forward(x)

    noted: ClassVar[set[tuple[bool, int]]] = set()


@pytest.mark.parametrize(
    ("training", "modes"), [(None, {False, True}), (True, {False, True}), (False, {False})], ids=repr
)
def test_both_modes_are_tried_where_a_layer_has_state_and_several_sizes_of_batch(
    training: bool | None, modes: set[bool]
) -> None:
    Modes.noted = set()
    check_gradients(Modes(), 3, training=training)
    assert {mode for mode, _ in Modes.noted} == modes
    assert {size for _, size in Modes.noted} > {1, 5}


def test_a_layer_that_is_the_same_in_training_is_reported_once_and_another_twice() -> None:
    assert [c.name for c in check_gradients(Linear(3, 2)).comparisons] == ["dE/dx", "dE/dweight", "dE/dbias"]
    names = [c.name for c in check_gradients(Dropout(), 3).comparisons]
    assert names == ["dE/dx", "dE/dx, training"]


def test_what_is_given_as_x_is_kept_to() -> None:
    class Logarithm(Activation):
        def function(self, a: Array) -> Array:
            assert (a > 0).all()
            return np.log(a)

        def derivative(self, a: Array, y: Array) -> Array:
            return 1 / a

    check_gradients(Logarithm(), x=[[1.0, 2.0], [0.5, 3.0]])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("finite near 0 alone", "skipped on x from 0.03 to 33 on both sides of 0: its output is not finite there"),
        ("a domain with a wall", "skipped on x from 0.03 .* ValueError: Walled: expected numbers up to 20"),
        (
            "a norm over the batch that refuses to train on one sample",
            "skipped in training, on a batch of 1: ValueErr",
        ),
        ("a deviation of the batch that one sample does not have", "skipped in training, on a batch of 1: its output"),
    ],
)
def test_the_report_says_what_was_left_out_and_why(name: str, note: str) -> None:
    make, keywords = RIGHT[name]
    assert re.search(note, str(check_gradients(make(), **keywords)).splitlines()[-1])


def test_a_layer_may_refuse_a_batch_of_one_in_inference_too_but_not_give_nan_for_it() -> None:
    report = check_gradients(nanonet.BatchNorm(3, track_running_stats=False), 3)
    assert re.search(r"skipped on a batch of 1: ValueError: .*more than one number", str(report))

    class NaNForOne(Activation):
        def function(self, a: Array) -> Array:
            return a * 2 if len(a) > 1 else a * np.nan

        def derivative(self, a: Array, y: Array) -> Array:
            return np.full_like(a, 2)

    assert "its output is the first that is not finite" in error_of(NaNForOne())


def test_the_message_says_on_what_a_layer_was_wrong() -> None:
    for name, words in (
        ("dE/dx twice as large for a batch of one", r", on a batch of 1\n"),
        ("a factor in training alone", r", in training\n"),
        ("a lower bound forgotten", r", on x from 0\.03 to 33 on both sides of 0$"),
        ("backward_parameters alone is wrong for a batch of one", r", on a batch of 1$"),
    ):
        make, keywords = WRONG[name]
        assert re.search(words, error_of(make(), **keywords)), name


def test_a_layer_of_a_chain_that_is_wrong_in_training_is_named_by_its_position() -> None:
    chain = Sequential(Linear(3, 3), WRONG["a factor in training alone"].make(), Dropout(), rng=0)
    assert error_of(chain).startswith("layer 1, FactorInTraining(): dE/dx[")


def test_a_buffer_has_left_its_start_before_inference_is_checked() -> None:
    class Spy(BatchNorm):
        variances: ClassVar[list[Array]] = []

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            if not training:
                self.variances.append(self.variance.value.copy())
            return super().forward(x, training=training)

    check_gradients(Spy(), 3)
    assert all((variance != 1).all() for variance in Spy.variances)


# ---- how precise it is


@pytest.mark.parametrize("factor", [1.0005, 0.99991, 1.00003])
@pytest.mark.parametrize("layer", [Gain(), Linear(3, 2), Sequential(Linear(3, 4), Tanh(), Linear(4, 2), rng=0)])
@pytest.mark.parametrize("rng", range(3))
def test_a_gradient_a_little_off_is_found(layer: Layer, factor: float, rng: int) -> None:
    class Off(Layer):
        def __init__(self) -> None:
            self.inner = copy.deepcopy(layer)

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return self.inner.forward(x, training=training)

        def backward(self, grad: Array, cache: Any) -> Array:
            return factor * self.inner.backward(grad, cache)

    check_gradients(layer, 3, rng=rng)
    with pytest.raises(GradientError, match=r"dE/dx\["):
        check_gradients(Off(), 3, rng=rng)


# ---- along random directions


def test_the_fast_report_says_that_it_is_one_and_looks_at_no_entry() -> None:
    calls: list[int] = []

    class Counted(Linear):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            calls.append(len(x))
            return super().forward(x, training=training)

    text = str(check_gradients(Counted(300, 200), fast=True))
    assert "along random directions, in float64" in text.splitlines()[0]
    assert "dE/dweight  (200, 300)  3 directions over 60000 entries" in text
    assert len(calls) < 200


def test_of_a_large_array_what_is_wrong_in_a_few_entries_is_found_all_the_same() -> None:
    message = error_of(FewOfMany())
    assert message.startswith("FewOfMany(): dE/dweight, along a random direction over all its entries, is ")


def test_a_loss_has_no_modes() -> None:
    for keywords in ({"training": True}, {"fast": True}):
        with pytest.raises(TypeError, match="training and fast go with a Layer"):
            check_gradients(SquaredError(), **keywords)


class ForgottenTail(Quartic):
    """Right within ±10."""

    def derivative(self, prediction: Array, target: Array) -> Array:
        return super().derivative(prediction, target) * (np.abs(prediction - target) < 10)


class WrongForOne(Quartic):
    """Right for more than one sample."""

    def derivative(self, prediction: Array, target: Array) -> Array:
        return super().derivative(prediction, target) * (2 if len(prediction) == 1 else 1)


@pytest.mark.parametrize("loss", [ForgottenTail(), WrongForOne()], ids=repr)
def test_a_loss_too_is_tried_far_out_and_on_one_sample(loss: Loss) -> None:
    assert "dE/dprediction[" in error_of(loss)
