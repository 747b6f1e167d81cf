"""Sequential: a chain that is indexed, sliced, nested, printed, saved and run to any depth."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Array,
    Constant,
    Identity,
    Layer,
    Linear,
    Parameter,
    ReLU,
    Sequential,
    Shape,
    ShapeError,
    Sigmoid,
    SquaredError,
    Tanh,
    Zeros,
)
from nanonet.models.seeding import seeded
from tests.helpers import (
    Branches,
    Centred,
    Copy,
    Counting,
    Doubled,
    Flipped,
    Handing,
    Noise,
    Residual,
    Scale,
    assert_one_vector,
    data,
    everything,
    generator_state,
    picture,
    same_memory,
    train,
)


def small() -> Sequential:
    """Return a net 2 -> 3 -> 1."""
    return Sequential(Linear(2, 3), Sigmoid(), Linear(3, 1), rng=0)


# ---- what it consists of


def test_a_chain_has_the_length_and_the_order_of_its_layers() -> None:
    layers = [Linear(2, 3), Sigmoid(), Linear(3, 1)]
    model = Sequential(*layers)
    assert len(model) == 3
    assert all(a is b for a, b in zip(model, layers, strict=True))
    assert [model[i] is layers[i] for i in (0, 1, 2, -1, -2, -3)] == [True] * 6


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_beyond_the_chain_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError):
        small()[index]


def test_a_chain_of_no_layers_gives_its_input() -> None:
    model = Sequential()
    x, _ = data()
    assert len(model) == 0
    assert model.parameters() == {}
    np.testing.assert_array_equal(model(x), x)
    assert repr(model) == "Sequential()"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (Sigmoid, "write Sigmoid"),
        ([Linear(2, 3)], r"write Sequential\(\*layers\)"),
        (np.tanh, "ufunc 'tanh'"),
        (3, "3"),
    ],
)
def test_what_is_no_layer_is_refused_by_its_position(wrong: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=rf"Sequential: expected layer 1 to be a Layer, got .*{hint}"):
        Sequential(Linear(2, 2), wrong)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, "complex64", None, "no dtype"])
def test_a_dtype_other_than_float32_and_float64_is_refused(dtype: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="Sequential: expected dtype float32 or float64, got"):
        Sequential(Linear(2, 2), dtype=dtype)


def test_within_seeded_a_chain_without_rng_draws_from_there_and_one_with_rng_does_not() -> None:
    def weights(rng: int | None = None, seed: int = 5) -> list[float]:
        with seeded(np.random.default_rng(seed)):
            nested = Sequential(Sequential(Linear(2, 2), rng=rng), Linear(2, 1))
        return [float(number) for number in nested.vector.value]

    assert weights() == weights() != weights(seed=6)
    assert weights(3)[:6] == weights(3, seed=6)[:6] == Sequential(Linear(2, 2), rng=3).vector.value.tolist()
    assert weights(3)[6:] != weights(3, seed=6)[6:]


def test_seeded_ends_with_its_block_and_is_of_its_thread_alone() -> None:
    elsewhere: list[Sequential] = []
    rng = np.random.default_rng(0)
    with contextlib.suppress(ZeroDivisionError), seeded(rng):
        with seeded(np.random.default_rng(1)):
            inner = Sequential()
        thread = threading.Thread(target=lambda: elsewhere.append(Sequential()))
        thread.start()
        thread.join()
        assert Sequential().rng is rng is not inner.rng
        raise ZeroDivisionError
    assert elsewhere[0].rng is not rng
    assert Sequential().rng is not rng


@pytest.mark.parametrize("rng", [-1, "0", 1.5, True])
def test_what_starts_no_generator_is_refused(rng: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="Sequential: expected rng"):
        Sequential(Linear(2, 2), rng=rng)


# ---- slices


@pytest.mark.parametrize(
    "part", [slice(None), slice(1), slice(1, None), slice(1, 2), slice(-1, None), slice(0, -1), slice(9), slice(-9, 2)]
)
def test_a_slice_has_the_same_layers_and_their_part_of_the_vector(part: slice) -> None:
    model = Sequential(Linear(3, 4), Linear(4, 2, bias=False), Linear(2, 2))
    chosen = model[part]
    assert isinstance(chosen, Sequential)
    expected = list(model)[part]
    assert len(chosen) == len(expected)
    assert all(a is b for a, b in zip(chosen, expected, strict=True))
    assert_one_vector(chosen)
    assert np.shares_memory(chosen.vector.value, model.vector.value)
    assert np.shares_memory(chosen.vector.grad, model.vector.grad)


@pytest.mark.parametrize("part", [slice(2, 1), slice(1, 1), slice(5, 9), slice(3, None)])
def test_an_empty_slice_is_a_chain_of_no_layers(part: slice) -> None:
    chosen = small()[part]
    assert len(chosen) == 0
    assert chosen.vector.value.size == 0


@pytest.mark.parametrize("step", [2, -1])
def test_a_slice_with_a_step_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match=f"slice of neighbouring layers, got step {step}"):
        small()[::step]


def test_a_slice_takes_nothing_away() -> None:
    model, x = everything(), data()[0]
    before, y = picture(model), model(x)
    parts = [model[1:3], model[:2], model[1:3][1:]]
    assert picture(model) == before
    assert model(x).tobytes() == y.tobytes()
    assert_one_vector(model)
    train(model, *data())
    assert picture(model) != before
    for part in parts:
        assert_one_vector(part)
        assert np.shares_memory(part.vector.value, model.vector.value)


def test_slices_one_after_the_other_are_the_chain() -> None:
    model, x = everything(), data()[0]
    for cut in range(len(model) + 1):
        np.testing.assert_array_equal(model[cut:](model[:cut](x)), model(x))


def test_a_slice_of_a_slice_is_the_slice_of_the_chain() -> None:
    model = Sequential(*[Linear(2, 2) for _ in range(6)])
    inner = model[1:5][1:3]
    assert [inner[0], inner[1]] == [model[2], model[3]]
    assert same_memory(inner.vector.value, model[2:4].vector.value)
    assert same_memory(inner.vector.grad, model[2:4].vector.grad)


def test_a_slice_keeps_its_model_alive() -> None:
    model = small()
    gone = weakref.ref(model)
    x = np.ones((3, 2), np.float32)
    y = model[:2](x)
    part = model[:2][:1]
    del model
    gc.collect()
    assert gone() is not None
    with pytest.raises(ValueError, match="belongs to another model"):
        Sequential(part[0])
    np.testing.assert_array_equal(Sigmoid().function(part(x)), y)
    del part
    gc.collect()
    assert gone() is None


def test_a_slice_follows_when_its_model_is_put_into_another() -> None:
    model = Sequential(Linear(2, 3), Sigmoid(), Linear(3, 1), rng=0)
    head, middle = model[2:], model[1:][1:]
    outer = Sequential(Linear(2, 2), model, rng=1)
    for part in (head, middle):
        assert same_memory(part.vector.value, outer.vector.value[-4:])
        assert same_memory(part.vector.grad, outer.vector.grad[-4:])
        assert_one_vector(part)


def test_training_a_slice_moves_its_layers_alone() -> None:
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), Linear(2, 2), rng=0)
    before = model.state_dict()
    x, target = data(features=4)
    train(model[2:3], x, target)
    moved = {name for name, value in model.state_dict().items() if not np.array_equal(value, before[name])}
    assert moved == {"2.weight", "2.bias"}


# ---- names and nesting


def test_parameters_are_named_by_position_and_stand_in_order() -> None:
    model = Sequential(Sequential(Linear(2, 3), Sigmoid()), Linear(3, 1, bias=False), Sequential(Sequential(Scale(1))))
    assert list(model.parameters()) == ["0.0.weight", "0.0.bias", "1.weight", "2.0.0.gain"]
    assert_one_vector(model)


def test_a_container_of_a_user_adds_the_names_of_its_attributes() -> None:
    model = Sequential(Residual(Linear(2, 2), Tanh(), Sequential(Linear(2, 2, bias=False))), Centred(2), Noise())
    assert list(model.parameters()) == ["0.inner.0.weight", "0.inner.0.bias", "0.inner.2.0.weight"]
    assert list(model.state_dict()) == [*model.parameters(), "1.mean", "1.batches"]


def test_parameters_of_tuples_and_dicts_are_found_in_the_order_in_which_they_were_set() -> None:
    model = Sequential(Branches([Scale(2), Linear(2, 2, bias=False)], b=Scale(2), a=Scale(2)))
    names = ["0.branches.0.gain", "0.branches.1.weight", "0.named.b.gain", "0.named.a.gain"]
    assert list(model.parameters()) == names
    assert_one_vector(model)


def test_a_nested_chain_computes_what_the_flat_one_does() -> None:
    x, target = data()
    flat = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), rng=0)
    nested = Sequential(Sequential(Linear(3, 4), Sequential(Tanh())), Linear(4, 2), rng=1)
    nested.vector.value = flat.vector.value
    assert nested(x).tobytes() == flat(x).tobytes()
    value, grad = nested.loss_and_grad(x, target, SquaredError())
    flat_value, flat_grad = flat.loss_and_grad(x, target, SquaredError())
    assert value == flat_value
    assert grad.tobytes() == flat_grad.tobytes()


# ---- repr and summary


def test_repr_shows_one_layer_a_line_and_nested_ones_indented() -> None:
    model = Sequential(Linear(2, 3), Sequential(Tanh(), Linear(3, 3, bias=False)), Residual(Linear(3, 3)))
    assert repr(model) == (
        "Sequential(\n"
        "  0: Linear(2, 3)\n"
        "  1: Sequential(\n"
        "    0: Tanh()\n"
        "    1: Linear(3, 3, bias=False)\n"
        "  )\n"
        "  2: Residual(Linear(3, 3))\n"
        ")"
    )


def test_repr_of_thousands_of_layers_shows_both_ends_and_says_how_many_more() -> None:
    text = repr(Sequential(*[Linear(1, 1) for _ in range(DEEP)]))
    lines = text.splitlines()
    assert len(lines) < 60
    assert lines[:2] == ["Sequential(", "  0: Linear(1, 1)"]
    assert lines[-2:] == [f"  {DEEP - 1}: Linear(1, 1)", ")"]
    (left_out,) = [line for line in lines if "more" in line]
    assert str(DEEP - (len(lines) - 3)) in left_out


def test_summary_of_a_small_net() -> None:
    assert small().summary() == (
        "Sequential: 3 layers, 13 parameters, float32\n"
        "   layer         input       output      parameters                numbers\n"
        "0  Linear(2, 3)  (batch, 2)  (batch, 3)  weight (3, 2), bias (3,)        9\n"
        "1  Sigmoid()     (batch, 3)  (batch, 3)  -                               0\n"
        "2  Linear(3, 1)  (batch, 3)  (batch, 1)  weight (1, 3), bias (1,)        4"
    )


def test_summary_of_a_nested_net_with_a_frozen_parameter_and_an_unknown_shape() -> None:
    model = Sequential(Sequential(Scale(2, trainable=False), Tanh()), Doubled(), Linear(4, 1, bias=False), dtype="f8")
    assert model.summary() == (
        "Sequential: 4 layers, 6 parameters, float64, 2 of them frozen\n"
        "     layer                      input       output      parameters        numbers\n"
        "0.0  Scale(2, trainable=False)  (batch, 2)  (batch, 2)  gain (2,) frozen        2\n"
        "0.1  Tanh()                     (batch, 2)  (batch, 2)  -                       0\n"
        "1    Doubled()                  (batch, 2)  ?           -                       0\n"
        "2    Linear(4, 1, bias=False)   (batch, 4)  (batch, 1)  weight (1, 4)           4"
    )


def test_summary_takes_the_input_shape_where_no_layer_pins_it() -> None:
    model = Sequential(Tanh(), ReLU())
    assert model.summary().count("?") == 4
    assert model.summary((5,)).count("(batch, 5)") == 4


# ---- inference


@pytest.mark.parametrize("batch_size", [1, 2, 5, 11, 12, 13, 1000, np.int64(3)])
def test_predicting_in_pieces_gives_every_sample_its_prediction(batch_size: int) -> None:
    model, (x, _) = everything(np.float64), data()
    y = model.predict(x, batch_size=batch_size)
    assert y.shape == (12, 2)
    np.testing.assert_allclose(y, model(x), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("batch_size", "kind"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_a_batch_size_that_is_none_is_refused(batch_size: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"Sequential: expected batch_size .*, got"):
        small().predict(np.ones((3, 2)), batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_an_empty_batch_gives_an_empty_prediction(batch_size: int | None) -> None:
    y = everything().predict(np.ones((0, 3)), batch_size)
    assert y.shape == (0, 2)
    assert y.dtype == np.float32


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([], id="no layers"),
        pytest.param([Handing()], id="the very array"),
        pytest.param([Flipped()], id="a view"),
        pytest.param([Flipped(), Handing(), Flipped()], id="a view of a view"),
        pytest.param([Sequential(Handing())], id="nested"),
        pytest.param([Identity()], id="Identity"),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 2, 4])
@pytest.mark.parametrize("part", [slice(None), slice(4), slice(None, None, 2)], ids=["whole", "head", "every other"])
def test_a_prediction_never_shares_memory_with_x(layers: list[Layer], batch_size: int | None, part: slice) -> None:
    x = np.ones((8, 3), np.float32)
    model = Sequential(*copy.deepcopy(layers))
    assert not np.shares_memory(model.predict(x[part], batch_size), x)


def test_a_prediction_never_shares_memory_with_the_next_one() -> None:
    model, x = small(), np.ones((3, 2), np.float32)
    assert not np.shares_memory(model(x), model(x))


def test_inference_changes_nothing_and_draws_nothing() -> None:
    model, x = everything(), data()[0]
    before, state = picture(model), generator_state(model.rng)
    model(x)
    model.predict(x, 5)
    model.forward(x)
    assert picture(model) == before
    assert generator_state(model.rng) == state


def test_x_is_cast_to_the_dtype_of_the_model_and_stays_as_it_was() -> None:
    for dtype in (np.float32, np.float64):
        model = everything(dtype)
        rows: list[list[float]] = [[1, 2, 3], [4, 0, 2]]
        assert model(rows).dtype == dtype
        for given in (np.float16, np.float32, np.float64, np.int64):
            x = np.array(rows, given)
            assert model(x).dtype == dtype
            np.testing.assert_array_equal(x, np.array(rows, given))


BAD_X: list[tuple[Any, type[Exception], str]] = [
    (np.ones((4, 5)), ShapeError, r"Linear\(2, 3\): expected input of shape \(batch, 2\), got \(4, 5\)"),
    (
        np.ones(2),
        ShapeError,
        r"expected input of shape \(batch, 2\), got \(2,\); for one sample try x.reshape\(1, -1\)",
    ),
    (np.ones(7), ShapeError, r"expected input of shape \(batch, 2\), got \(7,\)"),
    (5.0, ShapeError, "got a single number"),
    ("text", TypeError, "x: expected numbers, got text"),
    (np.array([], dtype=str), TypeError, "x: expected numbers, got ndarray of dtype <U1"),
    ([["a", "b"]], TypeError, "x: expected numbers, got text"),
    ([[1, 2], [3]], ShapeError, "x: expected rows of equal length"),
    ([[1, None]], TypeError, "x: expected numbers, got list of dtype object"),
    (np.array([[1, "a"]], object), TypeError, "x: expected numbers, got ndarray of dtype object"),
    (np.ones((4, 2)) * 1j, TypeError, "x: expected numbers, got ndarray of dtype complex128"),
    (np.ma.masked_array(np.ones((4, 2))), TypeError, "x: expected plain numbers, got a masked array"),
    (None, TypeError, "x: expected numbers, got NoneType"),
]


@pytest.mark.parametrize(("x", "kind", "message"), BAD_X)
def test_an_x_that_does_not_fit_is_refused_at_every_door(x: Any, kind: type[Exception], message: str) -> None:
    model = small()
    for door in (model, model.predict, lambda x: model.loss_and_grad(x, np.ones((4, 1)), SquaredError())):
        with pytest.raises(kind, match=message):
            door(x)


# ---- loss_and_grad


def test_loss_and_grad_returns_a_copy_and_takes_no_step() -> None:
    model, (x, target) = everything(), data()
    before, state = picture(model), generator_state(model.rng)
    value, grad = model.loss_and_grad(x, target, SquaredError())
    assert value == pytest.approx(SquaredError()(model(x), target))
    assert grad.tobytes() == model.vector.grad.tobytes()
    assert not np.shares_memory(grad, model.vector.grad)
    assert grad.any()
    assert picture(model) == before
    assert generator_state(model.rng) == state


def test_loss_and_grad_in_training_moves_buffers_and_generators_alone() -> None:
    model, (x, target) = everything(), data()
    before = picture(model)
    model.loss_and_grad(x, target, SquaredError(), training=True)
    changed = {name for name, numbers in picture(model).items() if numbers != before[name]}
    assert changed == {
        "1.1.inner.1.random",
        "2.branches.1.mean",
        "2.branches.1.batches",
        "3.random",
    }


def test_loss_and_grad_of_the_articles_numbers() -> None:
    model = Sequential(Linear(2, 1, weight=np.array([[1.0, -2.0]]), bias=np.array([0.5])), dtype=np.float64)
    value, grad = model.loss_and_grad([[1, 2], [3, 4]], [[1], [1]], SquaredError())
    # a = -2.5 and -4.5, y - t = -3.5 and -5.5, E = (12.25 + 30.25) / 2 / 2
    assert value == 10.625
    np.testing.assert_array_equal(grad, [-3.5 / 2 - 3 * 5.5 / 2, -3.5 - 2 * 5.5, -4.5])


def test_backward_returns_the_gradient_of_x_whatever_is_frozen() -> None:
    weight = np.array([[1.0, 2.0], [3.0, 4.0]])
    model = Sequential(Linear(2, 2, weight=weight), Linear(2, 1, weight=np.array([[1.0, -1.0]])), dtype=np.float64)
    model.parameters()["0.weight"].trainable = False
    model.parameters()["0.bias"].trainable = False
    x = np.ones((3, 2))
    _, cache = model.forward(x)
    dx = model.backward(np.ones((3, 1)), cache)
    np.testing.assert_array_equal(dx, [[-2.0, -2.0]] * 3)


# ---- state_dict


def test_state_dict_brings_a_model_of_the_same_form_to_the_same_numbers() -> None:
    first, second = everything(rng=0), everything(rng=5)
    train(first, *data())
    x = data()[0]
    assert not np.array_equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert first(x).tobytes() == second(x).tobytes()
    assert_one_vector(second)
    for name, value in second.state_dict().items():
        np.testing.assert_array_equal(value, first.state_dict()[name])


def test_state_dict_holds_parameters_and_buffers_as_copies() -> None:
    model = everything()
    state = model.state_dict()
    assert set(state) == {*model.parameters(), "2.branches.1.mean", "2.branches.1.batches"}
    before = picture(model)
    for value in state.values():
        assert not np.shares_memory(value, model.vector.value)
        value[...] = 7
    assert picture(model) == before


def test_a_loaded_state_is_copied_in() -> None:
    model = everything()
    state = model.state_dict()
    model.load_state_dict(state)
    before = picture(model)
    for value in state.values():
        value[...] = 7
    assert picture(model) == before


def test_a_state_of_another_dtype_and_of_lists_is_cast() -> None:
    model = Sequential(Linear(2, 1))
    model.load_state_dict({"0.bias": [3], "0.weight": np.array([[1.0, 2.0]])})
    assert model.vector.value.tolist() == [1, 2, 3]
    assert model.vector.value.dtype == np.float32


def test_a_state_whose_cast_raises_changes_nothing() -> None:
    model = Sequential(Linear(2, 2), Linear(2, 1), rng=0)
    before = model.state_dict()
    state = {name: np.full(array.shape, 0.5) for name, array in before.items()}
    state["1.weight"][...] = 1e300  # beyond float32
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        model.load_state_dict(state)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_state_that_does_not_fit_is_refused_with_all_that_is_wrong_and_nothing_is_loaded() -> None:
    model = everything()
    state = {name: value + 1 for name, value in model.state_dict().items()}
    del state["0.weight"], state["2.branches.1.mean"]
    state["9.weight"] = np.ones((2, 2))
    state["weight"] = np.ones(3)
    state["4.weight"] = state["4.weight"].T
    state["4.bias"] = np.ones((1, 2))
    state["2.branches.1.batches"] = np.ones(1)
    before = picture(model)
    with pytest.raises(ValueError, match="nothing was loaded") as refused:
        model.load_state_dict(state)
    lines = [line.strip() for line in str(refused.value).splitlines()[1:]]
    assert sorted(lines) == [
        "2.branches.1.batches: expected shape (), got (1,)",
        "4.bias: expected shape (2,), got (1, 2)",
        "4.weight: expected shape (2, 4), got (4, 2)",
        "missing: 0.weight, shape (4, 3)",
        "missing: 2.branches.1.mean, shape (4,)",
        "unexpected: 9.weight, shape (2, 2)",
        "unexpected: weight, shape (3,)",
    ]
    assert picture(model) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("4.bias"), r"missing: 4\.bias, shape \(2,\)"),
        (lambda state: state.update(new=np.ones(3)), r"unexpected: new, shape \(3,\)"),
        (lambda state: state.update({"4.bias": np.ones(3)}), r"4\.bias: expected shape \(2,\), got \(3,\)"),
        (lambda state: state.update({"4.bias": 1.0}), r"4\.bias: expected shape \(2,\), got \(\)"),
    ],
)
def test_one_entry_that_does_not_fit_is_enough(change: Callable[[dict[str, Any]], object], message: str) -> None:
    model = everything()
    before = picture(model)
    state = {name: value + 1 for name, value in model.state_dict().items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    assert picture(model) == before


@pytest.mark.parametrize("value", ["text", [[1, None, 3]] * 4, np.ones((4, 3)) * 1j])
def test_a_state_that_holds_no_numbers_is_refused_by_name_and_nothing_is_loaded(value: Any) -> None:
    model = everything()
    before = picture(model)
    state = {name: number + 1 for name, number in model.state_dict().items()}
    with pytest.raises(TypeError, match=r"4\.weight"):
        model.load_state_dict(state | {"4.weight": value})
    assert picture(model) == before


# ---- subclasses


class Biased(Sequential):
    """A chain with a bias of its own behind it, a layer beside it, and a setting."""

    def __init__(self, *layers: Layer, features: int, rng: int | None = None) -> None:
        self.setting = {"features": features}
        self.shift = Parameter(features, Constant(2.0))
        self.beside = Scale(features)
        super().__init__(*layers, rng=rng)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, caches = super().forward(x, training=training)
        y, cache = self.beside.forward(y, training=training)
        return y + self.shift.value, [cache, caches]

    def backward(self, grad: Array, cache: Any) -> Array:
        self.shift.grad = grad.sum(axis=0)
        return super().backward(self.beside.backward(grad, cache[0]), cache[1])


class Skip(Sequential):
    """y = x + what the chain gives, as a subclass with no attributes of its own."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = super().forward(x, training=training)
        return x + y, cache

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad + super().backward(grad, cache)


class Padded(Sequential):
    """(x, y) side by side, which its own output_shape says."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = super().forward(x, training=training)
        return np.concatenate([x, y], axis=1), cache

    def backward(self, grad: Array, cache: Any) -> Array:
        y = super().backward(grad[:, 2:].copy(), cache)
        return grad[:, :2] + y

    def output_shape(self, input_shape: Shape) -> Shape | None:
        inner = super().output_shape(input_shape)
        return None if inner is None else (input_shape[-1] + inner[-1],)


def test_a_subclass_may_own_parameters_and_layers_beside_its_chain() -> None:
    model = Biased(Linear(3, 2), Tanh(), features=2, rng=0)
    assert list(model.parameters()) == ["0.weight", "0.bias", "shift", "beside.gain"]
    assert_one_vector(model)
    assert_one_vector(model[:1])
    before, (x, target) = model.state_dict(), data()
    train(model, x, target)
    assert all(not np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    copied = copy.deepcopy(model)
    assert isinstance(copied, Biased)
    assert copied.setting == {"features": 2}
    assert_one_vector(copied)
    assert copied(x).tobytes() == model(x).tobytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Skip(Linear(3, 3), Tanh(), rng=0),
        lambda: Biased(Linear(3, 3), Tanh(), features=3, rng=0),
        lambda: Sequential(Scale(3), Skip(Linear(3, 3), Tanh(), rng=0), rng=1),
        lambda: Sequential(Skip(Skip(Linear(3, 3))), Linear(3, 2), rng=0),
        lambda: Sequential(Residual(Skip(Linear(3, 3))), Linear(3, 2), rng=0),
    ],
)
def test_a_subclass_that_overrides_forward_is_obeyed_in_inference_too(make: Callable[[], Sequential]) -> None:
    model, x = make(), data()[0]
    y = model.forward(x)[0]
    np.testing.assert_array_equal(model(x), y)
    np.testing.assert_allclose(model.predict(x, 5), y, rtol=1e-5)


def test_a_subclass_that_overrides_backward_is_obeyed_in_training() -> None:
    x, target = data(outputs=3)
    model = Sequential(Linear(3, 3), Skip(Linear(3, 3, weight=Zeros())), rng=0)
    _, grad = model.loss_and_grad(x, target, SquaredError())
    plain = Sequential(Linear(3, 3, weight=model.parameters()["0.weight"].value), rng=0)
    _, expected = plain.loss_and_grad(x, target, SquaredError())
    np.testing.assert_allclose(grad[: len(expected)], expected, rtol=1e-6)


def test_a_subclass_that_overrides_output_shape_is_asked_for_it() -> None:
    model = Sequential(Padded(Linear(2, 3)), Linear(5, 1), rng=0)
    assert model.output_shape((2,)) == (1,)
    assert model(np.ones((4, 2))).shape == (4, 1)
    assert "(batch, 5)" in model.summary()
    with pytest.raises(
        ShapeError, match=r"layer 1, Linear\(3, 1\), expects \(batch, 3\), but layer 0, Padded, gives \(batch, 5\)"
    ):
        Sequential(Padded(Linear(2, 3)), Linear(3, 1))


def test_a_subclass_is_shown_by_its_own_name() -> None:
    assert repr(Skip(Tanh())) == "Skip(\n  0: Tanh()\n)"
    with pytest.raises(ShapeError, match="Skip: layer 1, "):
        Skip(Linear(2, 3), Linear(2, 3))


# ---- depth: further than Python's calls may stand within each other

DEEP = 2_000


@pytest.fixture(scope="module")
def deep() -> Sequential:
    return Sequential(*[Linear(1, 1, weight=Constant(1.0)) for _ in range(DEEP)], rng=0)


def test_thousands_of_layers_run_forward_and_backward(deep: Sequential) -> None:
    x = np.array([[1.0], [2.0]], np.float32)
    y, cache = deep.forward(x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(deep(x), x)
    np.testing.assert_array_equal(deep.backward(np.ones_like(x), cache), [[1.0], [1.0]])
    np.testing.assert_array_equal(deep.vector.grad.reshape(-1, 2), [[3.0, 2.0]] * DEEP)


def test_thousands_of_layers_train() -> None:
    model = Sequential(*[Linear(1, 1, weight=Constant(1.0)) for _ in range(DEEP)], rng=0)
    history = train(model, [[1.0], [2.0]], [[0.0], [1.0]], optimizer=SGD(1e-5), epochs=2, verbose=0)
    assert history["loss"][1] < history["loss"][0] == 0.5


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_thousands_of_layers_are_copied_and_pickled(
    deep: Sequential, duplicate: Callable[[Sequential], Sequential]
) -> None:
    copied = duplicate(deep)
    assert copied.vector.value.tobytes() == deep.vector.value.tobytes()
    assert not np.shares_memory(copied.vector.value, deep.vector.value)
    assert_one_vector(copied)


def test_each_layer_is_asked_and_run_once_however_deep_the_chain_is() -> None:
    for depth in (10, 200):
        layers = [Counting() for _ in range(depth)]
        model = Sequential(Linear(1, 1), *layers)
        assert {layer.shapes_asked for layer in layers} == {1}
        _, cache = model.forward(np.ones((2, 1), np.float32))
        model.backward(np.ones((2, 1), np.float32), cache)
        assert {(layer.forwards, layer.backwards) for layer in layers} == {(1, 1)}


def test_a_layer_of_unknown_shape_does_not_hide_what_follows() -> None:
    model = Sequential(Linear(2, 3), Copy(), Linear(3, 1), rng=0)
    assert model(np.ones((4, 2))).shape == (4, 1)
    assert model.follow((2,)) == (..., 1)


def test_the_input_shape_that_a_layer_of_ones_own_pins_is_kept() -> None:
    class Plain(Copy):
        def __init__(self) -> None:
            self.input_shape = (3,)

    with pytest.raises(ShapeError, match=r"layer 1, Plain\(\), expects \(batch, 3\), but layer 0"):
        Sequential(Linear(2, 4), Plain())
    with pytest.raises(ShapeError, match=r"Plain\(\): expected input of shape \(batch, 3\), got \(4, 1\)"):
        Sequential(Plain())(np.ones((4, 1)))
    with pytest.raises(ShapeError, match=r"for one sample try x.reshape\(1, -1\)"):
        Sequential(Plain())(np.ones(3))
    assert Sequential(Plain())(np.ones((4, 3))).shape == (4, 3)
