"""Building and owning: one vector for each model, whole models kept, borrowed layers refused, and nothing half done."""

from __future__ import annotations

import copy
import gc
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    Array,
    Buffer,
    Constant,
    GlorotUniform,
    Layer,
    Linear,
    Normal,
    Parameter,
    Random,
    ReLU,
    Sequential,
    Shape,
    ShapeError,
    Sigmoid,
    SquaredError,
    Tanh,
    Trainer,
    Uniform,
    Zeros,
)
from tests.helpers import (
    Branches,
    Centred,
    Copy,
    Doubled,
    Momentum,
    Noise,
    Residual,
    Scale,
    assert_one_vector,
    data,
    everything,
    generator_state,
    picture,
    train,
)


def trained(dtype: npt.DTypeLike = np.float32) -> Sequential:
    """Return a trained net 3 -> 3."""
    model = Sequential(Linear(3, 4), Tanh(), Centred(4), Noise(), Linear(4, 3), dtype=dtype, rng=0)
    train(model, *data(outputs=3), epochs=2)
    return model


# ---- one vector


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_parameters_of_a_model_are_one_vector(dtype: npt.DTypeLike) -> None:
    model = everything(dtype)
    assert model.dtype == model.vector.value.dtype == model.vector.grad.dtype == dtype
    assert_one_vector(model)
    train(model, *data(), epochs=2)
    assert_one_vector(model)


def test_what_is_written_to_the_vector_is_what_the_layers_use() -> None:
    model = Sequential(Linear(2, 1), rng=0)
    model.vector.value = [1, 2, 3]
    assert model([[10.0, 100.0]]).item() == 213
    model.vector.value *= 2
    assert model([[10.0, 100.0]]).item() == 426
    model.parameters()["0.bias"].value = [0]
    assert model.vector.value.tolist() == [2, 4, 0]


def test_assigning_to_value_or_grad_copies_in() -> None:
    model = Sequential(Linear(2, 1), rng=0)
    parameter = model.parameters()["0.weight"]
    for name in ("value", "grad"):
        numbers = np.array([[5.0, 6.0]], np.float32)
        setattr(parameter, name, numbers)
        numbers[...] = 0
        assert getattr(model.vector, name)[:2].tolist() == [5, 6]
        assert_one_vector(model)
    parameter.value += 1
    assert model.vector.value[:2].tolist() == [6, 7]
    assert_one_vector(model)


@pytest.mark.parametrize("numbers", [5.0, [5.0, 6.0], [[5.0], [6.0]], [[5.0, 6.0]] * 2, np.ones((1, 1, 2)), []])
@pytest.mark.parametrize("name", ["value", "grad"])
def test_assigning_another_shape_is_an_error_and_no_broadcast(name: str, numbers: Any) -> None:
    model = Sequential(Linear(2, 1), rng=0)
    before = model.vector.value.copy(), model.vector.grad.copy()
    with pytest.raises(ShapeError, match=rf"Linear.weight.{name}: expected shape \(1, 2\), got") as refused:
        setattr(model.parameters()["0.weight"], name, numbers)
    assert str(np.shape(numbers)) in str(refused.value)
    with pytest.raises(ShapeError, match=rf"vector.{name}: expected shape \(3,\), got \(2,\)"):
        setattr(model.vector, name, [1.0, 2.0])
    assert np.array_equal([model.vector.value, model.vector.grad], before)


def test_a_gradient_that_still_has_its_batch_axis_is_refused_with_a_hint() -> None:
    model = Sequential(Linear(2, 1), rng=0)
    with pytest.raises(ShapeError, match=r"got \(7, 1, 2\); sum it over the batch axis\?"):
        model.parameters()["0.weight"].grad = np.ones((7, 1, 2))


def test_a_buffer_is_assigned_by_copy_and_never_broadcast() -> None:
    layer = Centred(2)
    Sequential(layer, rng=0)
    numbers = np.array([3.0, 4.0])
    layer.mean.value = numbers
    numbers[...] = 0
    assert layer.mean.value.tolist() == [3, 4]
    with pytest.raises(ShapeError, match=r"Centred.mean.value: expected shape \(2,\), got \(\)"):
        layer.mean.value = 1.0
    assert layer.mean.value.tolist() == [3, 4]


def test_a_buffer_has_the_dtype_of_the_model_or_its_own() -> None:
    layer = Centred(2)
    Sequential(layer)
    assert layer.mean.value.dtype == np.float32
    assert layer.batches.value.dtype == np.int64
    Sequential(layer, dtype=np.float64)
    assert layer.mean.value.dtype == np.float64
    assert layer.batches.value.dtype == np.int64


# ---- whole models are kept

WRAPPINGS: dict[str, Callable[[Sequential], list[Layer]]] = {
    "alone": lambda model: [model],
    "first": lambda model: [model, Linear(3, 1)],
    "last": lambda model: [Linear(2, 3), model],
    "nested twice": lambda model: [Scale(3), Sequential(Sequential(model), rng=5)],
    "in a list": lambda model: [Scale(3), Residual(Tanh(), model)],
    "in a tuple": lambda model: [Scale(3), Branches([Scale(3), model])],
    "in a dict": lambda model: [Scale(3), Branches([Scale(3)], named=model, other=Tanh())],
    "in a list in a dict": lambda model: [Linear(2, 3), Branches([], a=Residual(Branches([model])))],
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrapping_a_trained_chain_keeps_its_outputs_and_its_vector_becomes_a_slice(wrapping: str) -> None:
    model = trained()
    x = data()[0]
    y, before, numbers = model(x), picture(model), model.vector.value.copy()
    outer = Sequential(*WRAPPINGS[wrapping](model), rng=3)
    assert model(x).tobytes() == y.tobytes()
    assert picture(model) == before
    assert model.vector.value.tobytes() == numbers.tobytes()
    assert np.shares_memory(model.vector.value, outer.vector.value)
    assert np.shares_memory(model.vector.grad, outer.vector.grad)
    assert_one_vector(model)
    assert_one_vector(outer)
    outer.vector.value += 1
    np.testing.assert_array_equal(model.vector.value, numbers + np.float32(1))


def test_a_wrapped_chain_goes_on_drawing_where_it_was() -> None:
    alone, wrapped = trained(), trained()
    Sequential(Linear(2, 3), wrapped, rng=3)
    x = data()[0]
    assert alone.forward(x, training=True)[0].tobytes() == wrapped.forward(x, training=True)[0].tobytes()


def test_training_the_outer_model_trains_the_inner_one() -> None:
    model = trained()
    outer = Sequential(model, Linear(3, 2), rng=1)
    before = model.state_dict()
    train(outer, *data())
    assert all(not np.array_equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kept_numbers_are_cast_to_the_dtype_of_the_new_model(dtype: npt.DTypeLike) -> None:
    model = trained(np.float64 if dtype == np.float32 else np.float32)
    before = model.state_dict()
    outer = Sequential(model, dtype=dtype)
    assert outer.dtype == model.dtype == dtype
    assert model(data()[0]).dtype == dtype
    for name, value in model.state_dict().items():
        wanted = before[name] if before[name].dtype == np.int64 else before[name].astype(dtype)
        assert value.dtype == wanted.dtype
        assert value.tobytes() == wanted.tobytes()


def test_wrapping_in_the_middle_of_a_training_changes_nothing_of_it() -> None:
    x, target = data(outputs=3)
    plain, wrapped = trained(), trained()
    trainers = [Trainer(model, loss=SquaredError(), optimizer=Momentum(0.1)) for model in (plain, wrapped)]
    for step in range(6):
        if step == 3:
            Sequential(Linear(2, 3), wrapped, rng=9)
        assert trainers[0].step(x, target) == trainers[1].step(x, target)
    assert plain.vector.value.tobytes() == wrapped.vector.value.tobytes()


def test_a_model_that_was_wrapped_for_a_moment_still_is_whole() -> None:
    model, x = trained(), data()[0]
    y = model(x)
    Sequential(model, Tanh())(x)
    gc.collect()
    assert_one_vector(model)
    assert model(x).tobytes() == y.tobytes()
    with pytest.raises(ValueError, match=r"belongs to another model.*copy\.deepcopy\(layer\)"):
        Sequential(model[0])
    assert_one_vector(model)


def test_a_layer_whose_model_is_gone_is_free_and_keeps_its_numbers() -> None:
    layer = Linear(2, 2)
    Sequential(layer, rng=0)
    gc.collect()
    numbers = layer.weight.value.copy()
    model = Sequential(layer, rng=1)
    np.testing.assert_array_equal(layer.weight.value, numbers)
    assert_one_vector(model)


# ---- what is refused


def tied() -> Layer:
    """Return a container whose two layers share one parameter."""
    first, second = Linear(2, 2), Linear(2, 2)
    second.weight = first.weight
    return Residual(first, second)


def looped() -> Layer:
    """Return a layer that holds itself."""
    layer = Residual()
    layer.inner.append(layer)
    return layer


def twice(layer: Layer) -> dict[str, Callable[[], list[Layer]]]:
    return {
        "side by side": lambda: [layer, layer],
        "in a nested chain": lambda: [layer, Sequential(layer)],
        "in a list": lambda: [Residual(layer), layer],
        "twice in one list": lambda: [Residual(layer, layer)],
        "in a tuple and in a dict": lambda: [Branches([layer], named=layer)],
        "at two depths": lambda: [Sequential(Tanh()), Residual(Branches([Residual(layer)]), Residual(Tanh(), layer))],
    }


@pytest.mark.parametrize("kind", [lambda: Linear(2, 2), Sigmoid, lambda: Residual(Linear(2, 2))])
@pytest.mark.parametrize("place", list(twice(Sigmoid())))
def test_the_same_layer_twice_is_refused_at_any_depths(kind: Callable[[], Layer], place: str) -> None:
    layer = kind()
    with pytest.raises(ValueError, match=r"copy\.deepcopy\(layer\)"):
        Sequential(*twice(layer)[place](), rng=0)


def test_the_message_about_a_layer_that_stands_twice_says_where() -> None:
    layer = Linear(2, 2)
    with pytest.raises(ValueError, match=re.escape("Linear(2, 2), is used at 0 and at 1.inner.1")):
        Sequential(layer, Residual(Tanh(), layer))


def test_the_same_parameter_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the same parameter.* at 0\.inner\.0\.weight and at 0\.inner\.1\.weight"):
        Sequential(tied())


def test_a_layer_that_holds_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="the same layer"):
        Sequential(looped())


@pytest.mark.parametrize(
    "take",
    [
        pytest.param(lambda model: model[0], id="Linear"),
        pytest.param(lambda model: model[1], id="Sigmoid"),
        pytest.param(lambda model: model[2], id="nested chain"),
        pytest.param(lambda model: model[2][0], id="layer of a nested chain"),
        pytest.param(lambda model: model[3], id="container"),
        pytest.param(lambda model: model[3].inner[1], id="layer of a container"),
        pytest.param(lambda model: model[4], id="layer with a generator"),
        pytest.param(lambda model: model[:2], id="slice"),
        pytest.param(lambda model: model[:], id="slice of all"),
        pytest.param(lambda model: Residual(model[1], model[0]), id="in a container"),
        pytest.param(copy.copy, id="shallow copy"),
    ],
)
def test_a_layer_taken_out_of_another_model_is_refused_and_nothing_changes(take: Callable[[Any], Layer]) -> None:
    model = Sequential(
        Linear(2, 2), Sigmoid(), Sequential(Scale(2), rng=1), Residual(Tanh(), Linear(2, 2)), Noise(), rng=0
    )
    train(model, *data(features=2))
    before = picture(model)
    fresh, generator = Linear(2, 2), np.random.default_rng(0)
    state = generator_state(generator)
    with pytest.raises(ValueError, match=r"belongs to another model.*copy\.deepcopy\(layer\)"):
        Sequential(fresh, take(model), rng=generator)
    assert picture(model) == before
    assert_one_vector(model)
    assert generator_state(generator) == state
    assert not fresh.weight.is_built
    Sequential(fresh)


def test_a_layer_that_comes_beside_its_whole_model_is_refused_too() -> None:
    model = trained()
    with pytest.raises(ValueError, match="the same layer"):
        Sequential(model, model[0])


def test_a_parameter_of_another_model_is_refused() -> None:
    model, borrower = trained(), Scale(4)
    layer = model[0]
    assert isinstance(layer, Linear)
    assert layer.bias is not None
    borrower.gain = layer.bias
    with pytest.raises(ValueError, match=r"parameter 0\.gain, .* belongs to another model"):
        Sequential(borrower)
    assert_one_vector(model)


def test_a_deep_copy_is_taken_where_the_layer_itself_is_refused() -> None:
    model = trained()
    other = Sequential(copy.deepcopy(model[0]), Tanh(), rng=3)
    assert other.vector.value.tobytes() == model[:1].vector.value.tobytes()
    assert not np.shares_memory(other.vector.value, model.vector.value)


def test_a_layer_refused_once_is_free_afterwards() -> None:
    owned, free = trained(), Linear(3, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="belongs to another model"):
            Sequential(free, owned[0])
    assert_one_vector(Sequential(free, owned))


# ---- neighbours that do not fit


class Nowhere(Copy):
    """Takes no input at all, as its output_shape says."""

    def output_shape(self, input_shape: Shape) -> Shape:
        raise ShapeError(f"Nowhere: no input fits, not even {input_shape[-1:]}")


MISFITS: dict[str, tuple[Callable[[], list[Layer]], tuple[str, ...]]] = {
    "two layers": (
        lambda: [Linear(2, 3), Linear(4, 1)],
        ("Sequential: ", "layer 0, Linear(2, 3), gives (batch, 3)", "layer 1, Linear(4, 1), expects (batch, 4)"),
    ),
    "an activation between": (
        lambda: [Linear(2, 3), ReLU(), Linear(4, 1)],
        ("layer 1, ReLU(), gives (batch, 3)", "layer 2, Linear(4, 1), expects (batch, 4)"),
    ),
    "a Sigmoid first": (
        lambda: [Sigmoid(), Linear(2, 3), Linear(4, 1)],
        ("layer 1, Linear(2, 3), gives (batch, 3)", "layer 2, Linear(4, 1), expects (batch, 4)"),
    ),
    "a nested chain second": (
        lambda: [Linear(2, 3), Sequential(Linear(4, 1))],
        ("layer 0, Linear(2, 3), gives (batch, 3)", "layer 1, Sequential, expects (batch, 4)"),
    ),
    "deep in a nested chain": (
        lambda: [Linear(2, 3), Sequential(Tanh(), Linear(4, 1))],
        ("layer 0, Linear(2, 3), gives (batch, 3)", "layer 1: ", "layer 1, Linear(4, 1), expects (batch, 4)"),
    ),
    "a nested chain first": (
        lambda: [Sequential(Linear(2, 3), Tanh()), Linear(4, 1)],
        ("layer 0, Sequential, gives (batch, 3)", "layer 1, Linear(4, 1), expects (batch, 4)"),
    ),
    "a nested chain that starts with a Sigmoid": (
        lambda: [Sigmoid(), Sequential(Sigmoid(), Linear(2, 3)), Linear(4, 1)],
        ("layer 1, Sequential, gives (batch, 3)", "layer 2, Linear(4, 1), expects (batch, 4)"),
    ),
    "behind a layer of unknown shape": (
        lambda: [Linear(2, 3), Copy(), Linear(9, 3), Linear(4, 1)],
        ("layer 2, Linear(9, 3), gives (batch, 3)", "layer 3, Linear(4, 1), expects (batch, 4)"),
    ),
    "a layer that takes nothing": (
        lambda: [Linear(2, 3), Nowhere()],
        ("layer 0, Linear(2, 3), gives (batch, 3)", "layer 1: Nowhere: no input fits, not even (3,)"),
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_neighbours_that_do_not_fit_are_both_named_by_position_and_nothing_changes(case: str) -> None:
    make, parts = MISFITS[case]
    layers, generator = make(), np.random.default_rng(0)
    state = generator_state(generator)
    with pytest.raises(ShapeError) as refused:
        Sequential(*layers, rng=generator)
    assert [part for part in parts if part not in str(refused.value)] == [], str(refused.value)
    assert generator_state(generator) == state
    assert not any(layer.weight.is_built for layer in layers if isinstance(layer, Linear))


def test_a_trained_chain_that_does_not_fit_stays_as_it_was() -> None:
    model = trained()
    before = picture(model)
    with pytest.raises(ShapeError, match=r"layer 0, Linear\(2, 2\), gives \(batch, 2\)"):
        Sequential(Linear(2, 2), model)
    assert picture(model) == before
    assert_one_vector(model)
    assert_one_vector(Sequential(Linear(2, 3), model))


@pytest.mark.parametrize("wrap", [lambda *layers: layers, lambda *layers: (Sequential(*layers, rng=1),)])
def test_a_misfit_behind_a_layer_of_unknown_shape_is_found_by_name_with_the_first_data(
    wrap: Callable[..., tuple[Layer, ...]],
) -> None:
    x, target = data(outputs=1)
    model = Sequential(*wrap(Linear(3, 3), Doubled(), Linear(4, 1)), rng=0)
    before = picture(model)
    message = r"layer (0\.)?2, Linear\(4, 1\): expected input of shape \(batch, 4\), got \({}, 6\)"
    with pytest.raises(ShapeError, match=message.format(12)):
        model(x)
    with pytest.raises(ShapeError, match=message.format(r"\d+")):
        train(model, x, target)
    with pytest.raises(ShapeError, match=message.format(12)):
        Trainer(model, loss=SquaredError(), optimizer=Momentum(0.1)).step(x, target)
    with pytest.raises(ShapeError, match=message.format(12)):
        model.loss_and_grad(x, target, SquaredError())
    assert picture(model) == before


def test_a_misfit_inside_a_container_is_found_by_name_with_the_first_data() -> None:
    model = Sequential(Linear(3, 3), Residual(Tanh(), Linear(4, 4)), rng=0)
    with pytest.raises(ShapeError, match=r"layer 1\.inner\.1, Linear\(4, 4\): expected input of shape \(batch, 4\)"):
        model(data()[0])


# ---- starting numbers


def test_a_starting_array_is_what_the_parameter_starts_from() -> None:
    weight = np.arange(6.0).reshape(3, 2)
    layer = Linear(2, 3, weight=weight, bias=[1, 2, 3])
    weight[...] = 0
    Sequential(layer)
    assert layer.weight.value.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert layer.bias is not None
    assert layer.bias.value.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(2, 3, weight=np.ones((2, 3))), r"weight.*\(3, 2\), got \(2, 3\)"),
        (lambda: Linear(2, 3, weight=np.ones(6)), r"weight.*\(3, 2\), got \(6,\)"),
        (lambda: Linear(2, 3, bias=np.ones((3, 1))), r"bias.*\(3,\), got \(3, 1\)"),
        (lambda: Linear(2, 3, weight=1.5), r"weight.*\(3, 2\), got \(\); .*Constant\(1\.5\)"),
        (lambda: Parameter((3, 2), np.ones((2, 3))), r"Parameter: expected a starting array of shape \(3, 2\)"),
        (lambda: Buffer(3, np.ones(2)), r"Buffer: expected a starting array of shape \(3,\), got \(2,\)"),
    ],
)
def test_a_starting_array_of_another_shape_is_refused_in_the_constructor(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        make()


@pytest.mark.parametrize(
    ("start", "kind"), [(np.array([[1, np.nan]]), ValueError), ([["a", "b"]], TypeError), ([[1, 2], [3]], ShapeError)]
)
def test_a_starting_array_without_finite_numbers_is_refused_in_the_constructor(
    start: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"Linear\(2, 1\)\.weight: expected"):
        Linear(2, 1, weight=start)


@pytest.mark.parametrize("shape", [-1, 0, (2, 0), (2, -3), 2.5, "3", True, None])
def test_a_size_that_is_no_positive_int_is_refused(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="Parameter: expected each size"):
        Parameter(shape, Zeros())


def broken(shape: Shape, rng: np.random.Generator) -> Array:
    raise RuntimeError("no numbers today")


def misshapen(shape: Shape, rng: np.random.Generator) -> Array:
    return rng.normal(size=(*shape, 1))


def infinite(shape: Shape, rng: np.random.Generator) -> Array:
    return np.full(shape, np.inf)


def too_large(shape: Shape, rng: np.random.Generator) -> Array:
    return np.full(shape, 1e300)


@pytest.mark.parametrize(
    ("start", "kind", "message"),
    [
        (broken, RuntimeError, "no numbers today"),
        (misshapen, ShapeError, r"Linear\.bias: its initializer gave shape \(3, 1\), expected \(3,\)"),
        (infinite, ValueError, r"Linear\.bias: its initializer gave numbers that are not finite"),
        (too_large, ValueError, r"Linear\.bias: its initializer gave numbers that are not finite in float32"),
    ],
)
def test_an_initializer_that_fails_changes_no_layer(start: Any, kind: type[Exception], message: str) -> None:
    model, first, noise = trained(), Linear(3, 3), Noise()
    before = picture(model)
    with pytest.raises(kind, match=message):
        Sequential(first, noise, model, Linear(3, 3, bias=start), rng=0)
    assert picture(model) == before
    assert_one_vector(model)
    assert not first.weight.is_built
    assert not noise.random.is_built
    assert_one_vector(Sequential(first, noise, model))


# ---- states are not replaced


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("value", [np.ones((3, 2)), 1.0, [[1.0, 2.0]] * 3, Linear(2, 3)])
def test_an_array_in_place_of_a_parameter_is_refused_with_what_to_write(built: bool, value: Any) -> None:
    layer = Linear(2, 3)
    if built:
        Sequential(layer)
    before = layer.weight
    with pytest.raises(TypeError, match=r"Linear\.weight is a Parameter; .* write layer\.weight\.value = \.\.\."):
        layer.weight = value
    assert layer.weight is before


def test_before_a_layer_is_built_its_states_may_be_replaced() -> None:
    layer = Linear(2, 3)
    layer.weight = Parameter((3, 2), Constant(2.0))
    layer.bias = None
    model = Sequential(layer)
    assert model.vector.value.tolist() == [2.0] * 6


class Holder(Copy):
    """Has everything that can be replaced."""

    def __init__(self) -> None:
        self.setting = 1
        self.nothing: Any = None
        self.parameter: Any = Parameter(2, Zeros())
        self.buffer: Any = Buffer(2, Zeros())
        self.random: Any = Random()
        self.child: Any = Tanh()
        self.children: Any = [Tanh(), Linear(2, 2)]
        self.named: Any = {"a": Linear(2, 2)}


REPLACEMENTS: list[Callable[[], Any]] = [
    lambda: None,
    lambda: Parameter(2, Zeros()),
    lambda: Buffer(2, Zeros()),
    Random,
    Tanh,
    lambda: [Linear(2, 2)],
    lambda: {"a": Linear(2, 2)},
]


@pytest.mark.parametrize("value", REPLACEMENTS, ids=["None", "Parameter", "Buffer", "Random", "Layer", "list", "dict"])
@pytest.mark.parametrize("name", ["parameter", "buffer", "random", "child", "children", "named", "nothing", "new"])
def test_what_a_built_layer_owns_cannot_be_replaced(name: str, value: Callable[[], Any]) -> None:
    holder, replacement = Holder(), value()
    model = Sequential(holder)
    if name in ("nothing", "new") and replacement is None:
        setattr(holder, name, None)
    else:
        before = dict(vars(holder))
        with pytest.raises(TypeError, match=rf"Holder\.{name}"):
            setattr(holder, name, replacement)
        assert vars(holder) == before
    assert_one_vector(model)


@pytest.mark.parametrize("name", ["parameter", "buffer", "random", "child", "children", "named"])
def test_what_a_built_layer_owns_cannot_be_deleted(name: str) -> None:
    holder = Holder()
    model = Sequential(holder)
    with pytest.raises(TypeError, match=rf"Holder\.{name} cannot be deleted"):
        delattr(holder, name)
    assert hasattr(holder, name)
    assert_one_vector(model)


def test_the_layers_of_a_chain_cannot_be_replaced() -> None:
    model = Sequential(Linear(2, 2))
    with pytest.raises(TypeError, match="layers"):
        model.layers = (Linear(2, 2),)
    assert_one_vector(model)


def test_settings_of_a_built_layer_may_be_changed() -> None:
    holder = Holder()
    Sequential(holder)
    holder.setting = 2
    holder.extra = [1, 2]
    del holder.setting
    assert not hasattr(holder, "setting")


def test_a_state_set_to_itself_is_no_change() -> None:
    layer = Linear(2, 2)
    model = Sequential(layer, rng=0)
    before = model.vector.value.copy()
    layer.weight = layer.weight
    np.testing.assert_array_equal(model.vector.value, before)
    assert_one_vector(model)


# ---- before it is built


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda: Linear(2, 3).weight.value, "Linear.weight"),
        (lambda: Linear(2, 3).weight.grad, "Linear.weight"),
        (lambda: setattr(Linear(2, 3).bias, "value", [1, 2, 3]), "Linear.bias"),
        (lambda: setattr(Linear(2, 3).bias, "grad", [1, 2, 3]), "Linear.bias"),
        (lambda: Linear(2, 3).forward(np.ones((1, 2))), "Linear.weight"),
        (lambda: Centred(2).mean.value, "Centred.mean"),
        (lambda: Noise().random.generator, "Noise.random"),
        (lambda: Noise().forward(np.ones((1, 2)), training=True), "Noise.random"),
        (lambda: Parameter(2, Zeros()).value, "Parameter"),
    ],
)
def test_a_state_used_before_it_is_built_says_so_by_name(use: Callable[[], object], name: str) -> None:
    with pytest.raises(RuntimeError, match=rf"{name} is used before it is built; .*Sequential\(layer\)"):
        use()


def test_a_parameter_in_arithmetic_is_a_type_error_and_no_array_of_objects() -> None:
    layer = Linear(2, 2)
    Sequential(layer)
    with pytest.raises(TypeError):
        np.ones((2, 2)) * layer.weight
    with pytest.raises(AttributeError, match=r"Parameter has no attribute 'T'; its numbers are in \.value"):
        layer.weight.T  # noqa: B018  # this is the mistake


def test_states_are_shown_with_their_shape_and_dtype() -> None:
    layer, noise = Centred(2), Noise()
    parameter = Parameter((3, 2), Zeros(), trainable=False)
    shown = [repr(parameter), repr(layer.mean), repr(noise.random)]
    assert shown == ["Parameter((3, 2), not built, trainable=False)", "Buffer((2,), not built)", "Random(not built)"]
    scale = Scale(2)
    model = Sequential(scale, layer, noise)
    shown = [repr(scale.gain), repr(layer.mean), repr(layer.batches), repr(noise.random), repr(model.vector)]
    assert shown == [
        "Parameter((2,), float32)",
        "Buffer((2,), float32)",
        "Buffer((), int64)",
        "Random()",
        "Vector(2 parameters, float32)",
    ]


# ---- chance


def test_one_number_fixes_all_that_is_drawn() -> None:
    assert picture(everything(rng=4)) == picture(everything(rng=4))
    assert picture(everything(rng=4)) != picture(everything(rng=5))


def test_a_number_and_its_generator_are_the_same_rng() -> None:
    first = Sequential(Linear(3, 2), rng=7)
    second = Sequential(Linear(3, 2), rng=np.random.default_rng(7))
    assert picture(first) == picture(second)


def test_a_generator_that_is_given_is_used_and_goes_on() -> None:
    generator = np.random.default_rng(7)
    first, second = (Sequential(Linear(3, 2), rng=generator) for _ in range(2))
    assert first.rng is second.rng is generator
    assert picture(first) != picture(second)


def test_two_models_without_rng_differ() -> None:
    assert picture(Sequential(Linear(3, 2))) != picture(Sequential(Linear(3, 2)))


def test_weights_are_drawn_in_order_with_the_initializers_alone() -> None:
    rng = np.random.default_rng(3)
    model = Sequential(
        Linear(3, 4), Residual(Linear(4, 4, weight=Uniform(-1, 1), bias=Normal(2.0))), dtype=np.float64, rng=3
    )
    drawn = [GlorotUniform()((4, 3), rng), np.zeros(4), Uniform(-1, 1)((4, 4), rng), Normal(2.0)((4,), rng)]
    assert model.vector.value.tobytes() == np.concatenate([part.ravel() for part in drawn]).tobytes()


def test_layers_with_generators_of_their_own_leave_the_first_weights_as_they_were() -> None:
    plain = Sequential(Linear(3, 4), Linear(4, 2), rng=0)
    noisy = Sequential(Noise(), Linear(3, 4), Noise(), Residual(Noise()), Linear(4, 2), Noise(), rng=0)
    assert plain.vector.value.tobytes() == noisy.vector.value.tobytes()
    assert generator_state(plain.rng) == generator_state(noisy.rng)


def test_every_layer_has_a_generator_of_its_own() -> None:
    first, second = Noise(), Noise()
    Sequential(first, second, rng=0)
    assert first.random.generator is not second.random.generator
    assert first.random.generator.normal() != second.random.generator.normal()


def test_numpys_global_random_state_is_neither_used_nor_changed() -> None:
    def run() -> dict[str, bytes]:
        model = everything()
        train(model, *data(), epochs=2)
        return picture(model)

    pictures = []
    for start in (0, 1):
        np.random.seed(start)  # noqa: NPY002  # this very state is looked at
        before = repr(np.random.get_state())  # noqa: NPY002
        pictures.append(run())
        assert repr(np.random.get_state()) == before  # noqa: NPY002
    assert pictures[0] == pictures[1]
