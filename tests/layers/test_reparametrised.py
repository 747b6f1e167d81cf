"""Reparametrised: a rule's weight in the place of a layer's own, in training and for any number of threads."""

import copy
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nanonet
from nanonet import (
    Array,
    Constant,
    ContractError,
    Conv1d,
    Conv2d,
    Layer,
    Linear,
    Monotone,
    Normal,
    Parameter,
    Reparametrised,
    Rule,
    Sequential,
    Shape,
    ShapeError,
    Softplus,
    SpectralNorm,
    Tanh,
    WeightNorm,
    check_gradients,
    load,
    save,
)
from tests.helpers import Scale, data, picture, train, trainer_of
from tests.layers.beside_pytorch import close

RULES: list[Callable[[], Layer]] = [WeightNorm, SpectralNorm, Monotone, Softplus]


class Symmetric(Rule):
    """(W + Wᵀ) / 2"""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        return (x + x.swapaxes(1, 2)) / 2, None

    def backward(self, grad: Array, cache: None) -> Array:
        return (grad + grad.swapaxes(1, 2)) / 2


def model_of(*layers: Layer, dtype: npt.DTypeLike = np.float64) -> Sequential:
    return Sequential(*layers, dtype=dtype, rng=0)


def weight_of(layer: Any) -> Array:
    weight: Array = layer.plain().weight.value
    return weight


# ---- what it computes


@pytest.mark.parametrize("rule", [*RULES, Symmetric])
@pytest.mark.parametrize("training", [False, True])
def test_it_computes_what_the_layer_does_with_the_rules_weight(rule: Callable[[], Layer], training: bool) -> None:
    layer = Reparametrised(Linear(3, 3), rule())
    model, x = model_of(layer), np.random.default_rng(0).normal(size=(5, 3))
    y, _ = model.forward(x, training=training)
    plain = layer.plain()
    np.testing.assert_allclose(y, x @ plain.weight.value.T + plain.bias.value, rtol=1e-12)
    np.testing.assert_array_equal(model_of(plain)(x), model(x))


def test_an_activation_will_do_as_a_rule_and_any_parameter_has_a_name() -> None:
    layer = Reparametrised(Scale(3), Softplus(), "gain")
    model = model_of(layer)
    assert list(model.parameters()) == ["0.inner.gain"]
    np.testing.assert_allclose(model([[1.0, 2, 3]]), np.log1p(np.exp(1.5)) * np.array([[1, 2, 3]]))
    check_gradients(Reparametrised(Scale(3), Softplus(), "gain"))


def test_two_weights_of_a_layer_have_a_rule_each() -> None:
    once = Reparametrised(Linear(3, 2, bias=Normal(1.0)), WeightNorm())
    twice = Reparametrised(once, Monotone(), "inner.bias")
    model = model_of(twice)
    assert set(model.parameters()) == {"0.inner.inner.weight", "0.inner.inner.bias", "0.inner.rule.g"}
    plain = twice.plain().plain()
    assert (plain.bias.value > 0).all()
    np.testing.assert_allclose(model(np.eye(3)), plain.weight.value.T + plain.bias.value, rtol=1e-12)
    check_gradients(Reparametrised(Reparametrised(Linear(3, 2), WeightNorm()), Monotone(), "inner.bias"))


@pytest.mark.parametrize("training", [False, True])
def test_a_rule_of_ones_own_passes_the_checks_and_keeps_what_it_promises(training: bool) -> None:
    layer = Reparametrised(Linear(3, 3), Symmetric())
    check_gradients(copy.deepcopy(layer), training=training)
    model = model_of(Linear(3, 3), layer, Linear(3, 2))
    before = model.vector.value.copy()
    train(model, *data(), epochs=3)
    weight = weight_of(layer)
    np.testing.assert_array_equal(weight, weight.T)
    assert (model.vector.value != before).all()


def test_monotone_outputs_grow_with_each_input_whatever_is_learned() -> None:
    layers = [Reparametrised(Linear(2, 8), Monotone()), Tanh(), Reparametrised(Linear(8, 1), Monotone(2.0))]
    model, x = model_of(*layers), np.random.default_rng(0).normal(size=(50, 2))
    model.fit(x, -x.sum(axis=1, keepdims=True), loss=nanonet.SquaredError(), optimizer=nanonet.SGD(0.1), epochs=5)
    assert (model(x + np.array([0.1, 0.0])) > model(x)).all()
    assert (model(x + np.array([0.0, 0.1])) > model(x)).all()


# ---- where it starts


@pytest.mark.parametrize("make", [lambda: Linear(3, 40), lambda: Conv2d(2, 3, 2), lambda: Conv1d(3, 2, 2)])
def test_weight_norm_starts_from_the_weight_that_the_layer_would_have(make: Callable[[], Any]) -> None:
    layer, alone = Reparametrised(make(), WeightNorm()), make()
    model_of(layer)
    model_of(alone)
    np.testing.assert_allclose(weight_of(layer), alone.weight.value, rtol=1e-12)


def test_a_layer_with_numbers_keeps_them() -> None:
    trained = Linear(2, 2, weight=[[3.0, 4.0], [0.0, 2.0]], bias=Constant(1.0))
    model_of(trained)
    layer = Reparametrised(copy.deepcopy(trained), WeightNorm())
    model = model_of(layer)
    assert model.parameters()["0.rule.g"].value.tolist() == [5, 2]
    np.testing.assert_allclose(model([[1.0, 1.0]]), np.array([[8.0, 3.0]]))


def test_monotone_starts_from_the_absolute_value() -> None:
    layer = Reparametrised(Linear(2, 2, weight=[[3.0, -4.0], [0.0, 1e-3]]), Monotone())
    model_of(layer)
    np.testing.assert_allclose(weight_of(layer), np.array([[3, 4], [1e-6, 1e-3]]), rtol=1e-9)


def test_spectral_norm_starts_with_the_largest_singular_value_divided_out() -> None:
    layer = Reparametrised(Conv2d(2, 3, 2), SpectralNorm())
    model = model_of(layer)
    for _ in range(200):
        model.forward(np.zeros((1, 2, 4, 4)), training=True)
    values = np.linalg.svd(weight_of(layer).reshape(3, -1), compute_uv=False)
    np.testing.assert_allclose(values[0], 1, rtol=1e-12)


def test_only_training_moves_the_vectors_of_spectral_norm() -> None:
    model = model_of(Reparametrised(Linear(3, 40), SpectralNorm()))
    x, before = np.ones((2, 3)), picture(model)
    model(x)
    model.forward(x)
    assert picture(model) == before
    model.vector.value *= np.linspace(1, 2, model.vector.size)
    vectors = {name: value for name, value in model.state_dict().items() if name in ("0.rule.u", "0.rule.v")}
    model.forward(x, training=True)
    assert all((model.state_dict()[name] != value).any() for name, value in vectors.items())


@pytest.mark.parametrize("rule", RULES)
def test_copies_made_before_it_is_built_are_drawn_on_their_own(rule: Callable[[], Layer]) -> None:
    layer = Reparametrised(Linear(3, 2), rule())
    copied = copy.deepcopy(layer)
    first, second = model_of(layer), Sequential(copied, dtype=np.float64, rng=1)
    assert not np.array_equal(weight_of(layer), weight_of(copied))
    again = Sequential(Reparametrised(Linear(3, 2), rule()), dtype=np.float64, rng=1)
    assert picture(again) == picture(second)
    assert picture(copy.deepcopy(first)) == picture(first)


# ---- in use


@pytest.mark.parametrize("rule", RULES)
def test_it_is_saved_loaded_and_trained_on(rule: Callable[[], Layer], tmp_path: Path) -> None:
    model = Sequential(Reparametrised(Linear(3, 4), rule()), Tanh(), Linear(4, 2), rng=0)
    train(model, *data(), epochs=2)
    save(model, tmp_path / "net.npz")
    loaded = load(tmp_path / "net.npz")
    assert picture(loaded) == picture(model)
    for one in (model, loaded):
        trainer_of(one).step(*data())
    assert loaded.vector.value.tobytes() == model.vector.value.tobytes()


@pytest.mark.parametrize("rule", RULES)
def test_many_threads_predict_with_one_model_and_nothing_of_the_layer_changes(rule: Callable[[], Layer]) -> None:
    layer = Reparametrised(Linear(3, 4), rule())
    model, x = model_of(layer), np.random.default_rng(0).normal(size=(50, 20, 3))
    expected, before = [model(part) for part in x], dict(vars(layer.inner))
    found: dict[int, list[Array]] = {}

    def predict(number: int) -> None:
        found[number] = [model(part) for part in x]

    threads = [threading.Thread(target=predict, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[number], expected) for number in range(4))
    assert all(vars(layer.inner)[name] is value for name, value in before.items())


def test_a_frozen_weight_stands_still_while_its_length_is_trained() -> None:
    layer = Reparametrised(Linear(3, 2), WeightNorm())
    model = model_of(layer)
    weight = model.parameters()["0.inner.weight"]
    weight.trainable = False
    before, length = weight.value.copy(), layer.rule.g.value.copy()  # type: ignore[attr-defined]
    train(model, *data(), epochs=2)
    np.testing.assert_array_equal(weight.value, before)
    assert (layer.rule.g.value != length).all()  # type: ignore[attr-defined]


def test_backward_again_adds_for_the_rule_as_well() -> None:
    layer = Reparametrised(Linear(3, 2), WeightNorm())
    model, x = model_of(layer), np.random.default_rng(0).normal(size=(5, 3))
    (y, first), (_, second) = layer.forward(x), layer.forward(2 * x)
    grad, grads = np.ones_like(y), []
    for cache in (first, second):
        layer.backward(grad, cache)
        grads.append(model.vector.grad.copy())
    layer.backward(grad, first)
    layer.backward_again(grad, second)
    np.testing.assert_allclose(model.vector.grad, grads[0] + grads[1], rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_strict_computes_the_same(rule: Callable[[], Layer]) -> None:
    model = model_of(Linear(3, 3), Reparametrised(Linear(3, 2), rule()))
    (x, target), found = data(), []
    contexts: list[AbstractContextManager[Any]] = [nullcontext(), nanonet.strict()]
    for checks in contexts:
        with checks:
            found.append(model.loss_and_grad(x, target, nanonet.SquaredError()))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_strict_names_a_rule_that_breaks_the_contract() -> None:
    class Spoils(Rule):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
            x *= 2
            return x, None

        def backward(self, grad: Array, cache: None) -> Array:
            return 2 * grad

    model = model_of(Reparametrised(Linear(3, 2), Spoils()))
    with nanonet.strict(), pytest.raises(ContractError, match=r"layer 0\.rule, Spoils\(\): forward writes to"):
        model.forward(np.ones((2, 3)))


# ---- what is refused


class Turns(Rule):
    """Wᵀ, which is of another shape."""

    told = False

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        return x.swapaxes(1, 2), None

    def backward(self, grad: Array, cache: None) -> Array:
        return grad.swapaxes(1, 2)

    def output_shape(self, input_shape: Shape) -> Shape | None:
        return input_shape[::-1] if self.told else None


class TurnsAndSays(Turns):
    told = True


def test_a_rule_keeps_the_shape() -> None:
    wrong = re.escape("must keep the shape of Linear.weight, (2, 3), got (3, 2)")
    with pytest.raises(ShapeError, match=wrong):
        Reparametrised(Linear(3, 2), TurnsAndSays())
    with pytest.raises(ShapeError, match=wrong):
        model_of(Reparametrised(Linear(3, 2), Turns())).forward(np.ones((1, 3)))


def test_what_cannot_be_reparametrised_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"Linear\(3, 2\) has no parameter 'w'; try name='weight' or name='bias'"):
        Reparametrised(Linear(3, 2), WeightNorm(), "w")
    with pytest.raises(ValueError, match=r"Tanh\(\) has no parameter 'a\.b'; try a layer with parameters"):
        Reparametrised(Tanh(), WeightNorm(), "a.b")
    with pytest.raises(TypeError, match=r"expected rule.*write WeightNorm\(\.\.\.\)"):
        Reparametrised(Linear(3, 2), WeightNorm)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"is part of a model; write copy\.deepcopy\(layer\)"):
        Reparametrised(model_of(Linear(3, 2))[0], WeightNorm())
    with pytest.raises(RuntimeError, match=r"is a rule; write Reparametrised\(layer, SpectralNorm\(\)\)"):
        model_of(SpectralNorm()).forward(np.ones((1, 2, 2)))


def test_a_rule_that_asks_for_the_weight_too_early_is_told_so() -> None:
    class Early(WeightNorm):
        def start(self, shape: Shape, weight: Callable[[], Array]) -> None:
            self.g = Parameter(shape[0], np.linalg.norm(weight(), axis=1))

    with pytest.raises(RuntimeError, match=r"Early\(\): the weight has no numbers yet; call it in an initializer"):
        Reparametrised(Linear(3, 2), Early())


# ---- beside PyTorch


def assert_as_there(
    model: Sequential, module: Any, names: dict[str, str], shape: Shape, *, training: bool, passes: int, gradients: bool
) -> None:
    """Give both the same state and input, and compare; names are ours by theirs, shapes there may have axes of 1."""
    import torch

    module, rng = module.double().train(training), np.random.default_rng(0)
    given = {name: torch.tensor(model.state_dict()[own]) for name, own in names.items()}
    module.load_state_dict({name: given[name].reshape(value.shape) for name, value in module.state_dict().items()})
    for _ in range(passes):
        x = rng.normal(size=shape)
        y, cache = model.forward(x, training=training)
        x_there = torch.tensor(x, requires_grad=True)
        y_there = module(x_there)
        close(y, y_there, 1e-12)
        grad = rng.normal(size=y.shape)
        dx = model.backward(grad, cache)
        module.zero_grad()
        y_there.backward(torch.tensor(grad))
        close(dx, x_there.grad, 1e-10)
        for name, parameter in module.named_parameters() if gradients else ():
            own = model.parameters()[names[name]]
            close(own.grad, parameter.grad.reshape(own.shape), 1e-10)
    for name, value in module.state_dict().items():
        own_value = model.state_dict()[names[name]]
        close(own_value, value.reshape(own_value.shape), 1e-12)


LAYERS: list[Any] = [
    (lambda: Linear(3, 4), lambda nn: nn.Linear(3, 4), (5, 3)),
    (lambda: Linear(5, 40), lambda nn: nn.Linear(5, 40), (5, 5)),
    (lambda: Conv1d(2, 3, 2), lambda nn: nn.Conv1d(2, 3, 2), (5, 2, 6)),
    (lambda: Conv2d(2, 4, (2, 3), groups=2), lambda nn: nn.Conv2d(2, 4, (2, 3), groups=2), (3, 2, 4, 5)),
]


@pytest.mark.peer
@pytest.mark.parametrize(("here", "there", "shape"), LAYERS)
def test_weight_norm_is_pytorchs(here: Any, there: Any, shape: Shape) -> None:
    nn = pytest.importorskip("torch.nn")
    names = {
        "bias": "0.inner.bias",
        "parametrizations.weight.original0": "0.rule.g",
        "parametrizations.weight.original1": "0.inner.weight",
    }
    model = model_of(Reparametrised(here(), WeightNorm()))
    g = model.parameters()["0.rule.g"]
    g.value = np.random.default_rng(1).normal(size=g.shape)
    module = nn.utils.parametrizations.weight_norm(there(nn))
    assert_as_there(model, module, names, shape, training=True, passes=2, gradients=True)


@pytest.mark.peer
@pytest.mark.parametrize(("training", "converged"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(("here", "there", "shape"), LAYERS)
def test_spectral_norm_is_pytorchs(here: Any, there: Any, shape: Shape, training: bool, converged: bool) -> None:
    """PyTorch takes the vectors as constants, so that its gradients in training are right once they have converged."""
    nn = pytest.importorskip("torch.nn")
    names = {
        "bias": "0.inner.bias",
        "parametrizations.weight.original": "0.inner.weight",
        "parametrizations.weight.0._u": "0.rule.u",
        "parametrizations.weight.0._v": "0.rule.v",
    }
    model = model_of(Reparametrised(here(), SpectralNorm()))
    for _ in range(1000 if converged else 0):
        model.forward(np.ones(shape), training=True)
    if not converged:
        model.load_state_dict({name: value + (name == "0.inner.weight") for name, value in model.state_dict().items()})
    module = nn.utils.parametrizations.spectral_norm(there(nn))
    gradients = converged or not training
    assert_as_there(model, module, names, shape, training=training, passes=3, gradients=gradients)
