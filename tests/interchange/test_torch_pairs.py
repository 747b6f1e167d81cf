"""Pairs: every layer goes to PyTorch and back or is refused by name, and a class of yours is entered like ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nanonet import (
    Add,
    Array,
    BatchNorm,
    Buffer,
    Composite,
    Concatenate,
    Constant,
    Conv1d,
    Conv2d,
    Embedding,
    Flatten,
    Fork,
    GaussianNoise,
    GlobalAvgPool,
    InstanceNorm,
    Layer,
    Linear,
    Monotone,
    Normal,
    Parallel,
    Parameter,
    Permute,
    PositionalEncoding,
    Reparametrised,
    Reshape,
    Residual,
    Sequential,
    ShapeError,
    SpectralNorm,
    Standardize,
    Tanh,
    WeightNorm,
    Wired,
    Zeros,
)
from nanonet.core.arrays import each, parts_of
from nanonet.core.chain import Chain
from nanonet.interchange import torch_pairs
from nanonet.interchange.torch import Only, from_torch, pair, to_torch
from tests.helpers import picture
from tests.registry import LAYERS, LayerCase, params

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.peer
nn: Any = torch.nn

COMPUTED = (Reparametrised, WeightNorm, SpectralNorm, Monotone, Wired)  # PyTorch parametrizes a module in place
NOT_THERE = (
    *(Standardize, Permute, GaussianNoise, PositionalEncoding, Residual, Fork, Parallel, Concatenate, Add, Chain),
    *COMPUTED,
)
"""Layers without a module."""


@pytest.fixture(autouse=True)
def _nothing_stays_entered() -> Iterator[None]:
    tables: list[dict[Any, Any]] = [torch_pairs.LAYERS, torch_pairs.MODULES]
    before = [table.copy() for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


def shaken(model: Sequential) -> Sequential:
    """Return the model with other numbers in all parameters and buffers, but 0 where an Embedding is padded."""
    rng = np.random.default_rng(3)
    model.load_state_dict(
        {
            name: rng.uniform(0.5, 2, value.shape) if value.dtype.kind == "f" else value + 3
            for name, value in model.state_dict().items()
        }
    )
    for layer in model:
        if isinstance(layer, Embedding) and layer.padding_idx is not None:
            layer.weight.value[layer.padding_idx] = 0
    return model


def assert_equal(model: Any, module: Any, x: Any, training: bool = False) -> None:
    """See that both give the same, and have the same buffers afterwards."""
    y, _ = model.forward(x, training=training)
    with torch.no_grad():
        y_there = module.train(training)(each(torch.tensor, x))
    for part, part_there in zip(parts_of(y), parts_of(y_there), strict=True):
        np.testing.assert_allclose(part, part_there.numpy(), rtol=1e-12, atol=1e-12)


# ---- ours


def goes_there(case: LayerCase) -> bool:
    """Return whether PyTorch has a module for a layer: for none that carries its state; test_recurrent.py has why."""
    return not getattr(case.make(), "carry", None)


@pytest.mark.parametrize(
    "case", params({cls: list(filter(goes_there, cases)) for cls, cases in LAYERS.items() if cls not in NOT_THERE})
)
def test_every_layer_goes_to_pytorch_and_back_with_its_numbers(case: LayerCase) -> None:
    model = shaken(Sequential(case.make(), dtype=np.float64, rng=0))
    module = to_torch(model, input_shape=case.shape)
    assert list(module.state_dict()) == list(model.state_dict())
    again = from_torch(module)
    x = case.x()
    assert_equal(model, module, x)
    again = Sequential(again, dtype=np.float64)  # without numbers nothing tells a module's dtype
    for part, same in zip(parts_of(again(x)), parts_of(model(x)), strict=True):
        np.testing.assert_array_equal(part, same)
    state = model.state_dict()
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, state[name.removeprefix("0.")])


@pytest.mark.parametrize("case", params({cls: LAYERS[cls] for cls in NOT_THERE}))
def test_what_pytorch_has_no_module_for_is_refused_by_name(case: LayerCase) -> None:
    layer = case.make()
    with pytest.raises(TypeError, match=rf"^to_torch: layer 0, {type(layer).__name__}.*: torch\.nn has no such module"):
        to_torch(Sequential(layer), input_shape=case.shape)


def test_running_statistics_move_in_the_same_way_in_both() -> None:
    model = Sequential(Conv2d(1, 3, 3), BatchNorm(3, momentum=None), GlobalAvgPool(), dtype=np.float64, rng=0)
    module = to_torch(model)
    for seed in range(3):
        assert_equal(model, module, np.random.default_rng(seed).normal(2, 3, (4, 1, 6, 5)), training=True)
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, module.state_dict()[name].numpy(), rtol=1e-12, atol=1e-12)
    again = from_torch(module)
    assert again.state_dict()["1.num_batches_tracked"] == 3
    assert_equal(again, module, np.ones((2, 1, 3, 4)), training=True)
    np.testing.assert_allclose(again.state_dict()["1.running_var"], module[1].running_var.numpy(), rtol=1e-12)


def test_converting_leaves_the_random_state_of_pytorch_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    from_torch(to_torch(Sequential(Linear(3, 4), Tanh())))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_for_one_number_of_axes_is_chosen_by_the_layers_before() -> None:
    images = to_torch(Sequential(Conv2d(1, 2, 3), BatchNorm(2), InstanceNorm(2), Sequential(BatchNorm(2))))
    assert [type(part).__name__ for part in images] == ["Conv2d", "BatchNorm2d", "InstanceNorm2d", "Sequential"]
    assert type(images[3][0]) is nn.BatchNorm2d
    sequences = to_torch(Sequential(Conv1d(1, 2, 3), BatchNorm(2), InstanceNorm(2)))
    assert [type(part).__name__ for part in sequences] == ["Conv1d", "BatchNorm1d", "InstanceNorm1d"]
    assert type(to_torch(Sequential(Linear(3, 4), BatchNorm(4)))[1]) is nn.BatchNorm1d


def test_where_they_do_not_tell_it_is_asked_for() -> None:
    for layer in (BatchNorm(2), InstanceNorm(2), GlobalAvgPool()):
        with pytest.raises(
            TypeError, match=r"layer 0, .*: PyTorch has a module for each .*to_torch\(model, input_shape="
        ):
            to_torch(Sequential(layer))
        to_torch(Sequential(copy.deepcopy(layer)), input_shape=(2, 5))
    with pytest.raises(ShapeError, match=r"Conv2d.*expected input of shape"):
        to_torch(Sequential(Conv2d(1, 2, 3)), input_shape=(2, 5, 5))
    with pytest.raises(TypeError, match=r"layer 0, BatchNorm\(2\): torch\.nn has only .*d and BatchNorm3d"):
        to_torch(Sequential(BatchNorm(2)), input_shape=(2, 3, 4, 5, 6))


def test_a_reshape_of_vectors_is_an_unflatten_and_any_other_two_modules() -> None:
    assert type(to_torch(Sequential(Linear(2, 6), Reshape(2, -1)), input_shape=(2,))[1]) is nn.Unflatten
    module = to_torch(Sequential(Conv1d(1, 2, 3), Reshape(-1, 2)))
    assert [type(part).__name__ for part in module[1]] == ["Flatten", "Unflatten"]
    assert_equal(Sequential(Reshape(3, -1), dtype=np.float64), to_torch(Sequential(Reshape(3, -1))), np.ones((2, 6, 2)))


def test_a_padded_row_that_is_not_0_is_refused_both_ways() -> None:
    table = np.ones((3, 2))
    message = r"expected row padding_idx=1 of weight to be 0, .* try {}.*\[1\] = 0"
    with pytest.raises(TypeError, match=message.format("layer.weight.value")):
        to_torch(Sequential(Embedding(3, 2, 1, weight=table)))
    with pytest.raises(ValueError, match=message.format("module.weight.data")):
        from_torch(nn.Sequential(nn.Embedding.from_pretrained(torch.ones(3, 2), padding_idx=1)))
    frozen = from_torch(nn.Sequential(nn.Embedding.from_pretrained(torch.ones(3, 2))))
    assert not frozen.parameters()["0.weight"].trainable


def test_a_size_that_was_set_afterwards_is_that_of_the_numbers_or_refused() -> None:
    norm, conv = nn.BatchNorm1d(3), nn.Conv1d(2, 4, 3)
    norm.num_features = 4
    with pytest.raises(TypeError, match=r"module 0, BatchNorm1d: expected its weight to have shape \(4,\), got \(3,\)"):
        from_torch(nn.Sequential(norm))
    conv.in_channels = conv.out_channels = 7  # of which PyTorch computes nothing
    assert repr(from_torch(nn.Sequential(conv))[0]) == "Conv1d(2, 4, 3)"


def test_buffers_have_hooks_shares_and_dtypes_like_parameters() -> None:
    norm = nn.BatchNorm1d(3, affine=False).double()
    assert from_torch(nn.Sequential(norm)).dtype == np.float64
    with pytest.raises(ValueError, match=r"0\.running_mean and 1\.running_mean are one"):
        from_torch(nn.Sequential(norm, norm))
    with pytest.raises(ValueError, match=r"got float16; try module\.float\(\)"):
        from_torch(nn.Sequential(nn.BatchNorm1d(3, affine=False).half()))


# ---- yours


class Recurrent(Layer):
    """The last of h_t = tanh(A x_t + B h_(t-1) + a + b)."""

    def __init__(self, features: int, hidden: int) -> None:
        self.input_shape = (None, features)
        self.features, self.hidden = features, hidden
        self.weight_x = Parameter((hidden, features), Normal(0.5))
        self.weight_h = Parameter((hidden, hidden), Normal(0.5))
        self.bias_x, self.bias_h = Parameter((hidden,), Normal(0.5)), Parameter((hidden,), Normal(0.5))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        states = [np.zeros((len(x), self.hidden), x.dtype)]
        for t in range(x.shape[1]):
            a = x[:, t] @ self.weight_x.value.T + states[-1] @ self.weight_h.value.T
            states.append(np.tanh(a + self.bias_x.value + self.bias_h.value))
        return np.stack(states[1:], axis=1), None

    def backward(self, grad: Array, cache: Any) -> Array:
        raise NotImplementedError

    def output_shape(self, input_shape: Any) -> Any:
        return *input_shape[:-1], self.hidden


NAMES = {"weight_x": "weight_ih_l0", "weight_h": "weight_hh_l0", "bias_x": "bias_ih_l0", "bias_h": "bias_hh_l0"}


def enter_recurrent(**others: Any) -> None:
    settings: dict[str, Any] = {
        "there": lambda nn, layer, shape: nn.RNN(layer.features, layer.hidden, batch_first=True),
        "here": lambda module: Recurrent(module.input_size, module.hidden_size),
        "options": {
            "batch_first": Only(True, "sequences are (batch, length, features)"),
            "mode": Only("RNN_TANH", "its tanh is fixed"),  # where PyTorch keeps the argument nonlinearity
        },
        "names": NAMES,
    }
    pair(Recurrent, "RNN", **(settings | others))


def test_a_layer_of_yours_goes_both_ways_with_names_of_its_own() -> None:
    enter_recurrent()
    model = Sequential(Linear(3, 4), Recurrent(4, 2), dtype=np.float64, rng=0)
    model.parameters()["1.weight_h"].trainable = False
    module = to_torch(model)
    assert list(module[1].state_dict()) == list(NAMES.values())
    x = np.random.default_rng(0).normal(size=(5, 6, 3))
    with torch.no_grad():
        y, _ = module(torch.tensor(x))
    np.testing.assert_allclose(model(x), y.numpy(), rtol=1e-12, atol=1e-12)
    again = from_torch(module)
    assert picture(again) == picture(model)
    assert [name for name, p in again.parameters().items() if not p.trainable] == ["1.weight_h"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected batch_first=True, got False; sequences are"),
        ({"batch_first": True, "bidirectional": True}, "expected bidirectional=False, got True; nanonet does not know"),
        ({"batch_first": True, "num_layers": 2}, "expected num_layers=1, got 2"),
        ({"batch_first": True, "bias": False}, "expected bias=True, got False"),
        ({"batch_first": True, "nonlinearity": "relu"}, "expected mode='RNN_TANH', got 'RNN_RELU'; its tanh"),
    ],
)
def test_an_option_that_was_not_named_must_have_its_default(options: dict[str, Any], message: str) -> None:
    enter_recurrent()
    with pytest.raises(TypeError, match=rf"from_torch: module 0, RNN: {message}"):
        from_torch(nn.Sequential(nn.RNN(3, 2, **options)))


def test_names_and_shapes_that_differ_are_told() -> None:
    enter_recurrent(names={"weight_x": "weight_ih_l0"})
    held = (
        "expected weight_ih_l0 and weight_h and bias_x and bias_h registered in it, got weight_ih_l0 and weight_hh_l0"
    )
    with pytest.raises(TypeError, match=rf"to_torch: layer 0, Recurrent\(3, 2\): its module, RNN: {held}"):
        to_torch(Sequential(Recurrent(3, 2)))
    with pytest.raises(TypeError, match=rf"from_torch: module 0, RNN: {held}"):
        from_torch(nn.Sequential(nn.RNN(3, 2, batch_first=True)))
    enter_recurrent(there=lambda nn, layer, shape: nn.RNN(layer.hidden, layer.features))
    with pytest.raises(TypeError, match=r"RNN: expected its weight_ih_l0 to have shape \(2, 3\), got \(3, 2\)"):
        to_torch(Sequential(Recurrent(3, 2)))


class Scaled(Layer):
    """y = x * gain + shift, of which shift is a buffer."""

    def __init__(self, features: int, sign: float = 1.0) -> None:
        self.input_shape = (..., features)
        self.features, self.sign = features, sign
        self.gain, self.shift = Parameter((features,), Constant(2.0)), Buffer((features,), Zeros())

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * (self.sign * self.gain.value) + self.shift.value, x

    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = self.sign * (grad * cache).sum(axis=0)
        return grad * (self.sign * self.gain.value)

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape


class ScaledModule(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """The same in PyTorch, with modules within it, and a buffer that no state dict has."""

    def __init__(self, features: int, sign: float = 1.0, order: int = 1) -> None:
        super().__init__()
        self.features, self.sign, self.order = features, sign, order
        self.inner = nn.Module()
        self.inner.scale = nn.Parameter(torch.ones(features))
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("one", torch.ones(1), persistent=False)
        self.last = nn.Identity()

    def forward(self, x: Any) -> Any:
        return self.last(x * (self.sign * self.one * self.inner.scale) + self.shift)


def enter_scaled(**others: Any) -> None:
    settings: dict[str, Any] = {
        "there": lambda nn, layer, shape: ScaledModule(layer.features, layer.sign),
        "here": lambda module: Scaled(module.features, module.sign),
        "options": {"sign": "taken"},
        "names": {"gain": "inner.scale"},
    }
    pair(Scaled, ScaledModule, **(settings | others))


def scaled_net() -> Sequential:
    return shaken(Sequential(Linear(2, 3), Sequential(Scaled(3, -1.0)), dtype=np.float64, rng=0))


def test_a_module_class_of_yours_goes_both_ways_with_its_buffers() -> None:
    enter_scaled()
    model = scaled_net()
    module = to_torch(model)
    assert type(module[1][0]) is ScaledModule
    assert_equal(model, module, np.random.default_rng(0).normal(size=(4, 2)))
    assert picture(from_torch(module)) == picture(model)


def hooked(module: Any) -> None:
    module.last.register_forward_hook(lambda *arguments: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (hooked, r"module 1\.0, ScaledModule\.last: it has hooks"),
        (lambda module: setattr(module.inner, "forward", abs), r"ScaledModule\.inner: its forward is overridden"),
        (lambda module: setattr(module, "last", nn.Tanh()), "expected inner.scale and shift registered .* and last$"),
        (lambda module: module.add_module("more", nn.ReLU()), "got inner.scale and shift and more"),
        (lambda module: module.register_buffer("two", torch.ones(1), persistent=False), "and shift and two"),
        (lambda module: module.inner.register_buffer("two", torch.ones(1)), "got inner.scale and shift and inner.two"),
        (lambda module: setattr(module, "order", 2), "expected order=1, got 2; nanonet does not know this option"),
    ],
)
def test_a_module_of_yours_that_was_changed_is_refused(change: Any, message: str) -> None:
    enter_scaled()
    module = to_torch(scaled_net())
    change(module[1][0])
    with pytest.raises(TypeError, match=message):
        from_torch(module)


def test_one_direction_is_enough() -> None:
    enter_scaled(there=None)
    with pytest.raises(
        TypeError, match=r"to_torch: layer 1\.0, Scaled\(3, -1\.0\): torch\.nn has no such module; enter"
    ):
        to_torch(scaled_net())
    plain = ScaledModule(2)
    del plain.last, plain.one
    from_torch(nn.Sequential(plain))
    with pytest.raises(TypeError, match=r"got inner\.scale and shift and one and last"):
        from_torch(nn.Sequential(ScaledModule(2)))


def test_a_subclass_is_converted_like_its_parent_unless_it_computes_something_else() -> None:
    class Sized(Scaled):
        """Made in another way."""

        def __init__(self) -> None:
            super().__init__(3, -1.0)
            self.note = "mine"

        def output_shape(self, input_shape: Any) -> Any:
            return input_shape

    class Halved(Sized):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return super().forward(x / 2, training=training)

    class Quiet(Sized):
        def backward(self, grad: Array, cache: Any) -> Array:
            return 0 * super().backward(grad, cache)

    class Tall(Linear):
        def __init__(self) -> None:
            super().__init__(2, 9)

    enter_scaled()
    assert type(to_torch(Sequential(Sized()))[0]) is ScaledModule
    assert repr(from_torch(to_torch(Sequential(Tall())))[0]) == "Linear(2, 9)"
    for layer, name in ((Halved(), "forward"), (Quiet(), "backward")):
        with pytest.raises(TypeError, match=rf"torch\.nn has no such module, since it overrides {name}; enter"):
            to_torch(Sequential(layer))
        pair(type(layer), ScaledModule, there=lambda nn, layer, shape: ScaledModule(3), names={"gain": "inner.scale"})
        assert type(to_torch(Sequential(layer))[0]) is ScaledModule


def test_a_container_of_yours_goes_as_a_whole() -> None:
    class Twice(Composite):
        def __init__(self, features: int) -> None:
            self.input_shape = (features,)
            self.features, self.inner = features, Linear(features, features)

        def wire(self, call: Any, x: Any) -> Any:
            return call.add(call(self.inner, call(self.inner, x)), x)

    class TwiceModule(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
        def __init__(self, features: int) -> None:
            super().__init__()
            self.features, self.inner = features, nn.Linear(features, features)

        def forward(self, x: Any) -> Any:
            return self.inner(self.inner(x)) + x

    pair(
        Twice,
        TwiceModule,
        there=lambda nn, layer, shape: TwiceModule(layer.features),
        here=lambda module: Twice(module.features),
    )
    model = Sequential(Twice(3), Flatten(), dtype=np.float64, rng=0)
    module = to_torch(model)
    assert list(module.state_dict()) == ["0.inner.weight", "0.inner.bias"]
    assert_equal(model, module, np.random.default_rng(0).normal(size=(4, 3)))
    assert picture(from_torch(module)) == picture(model)


def test_a_later_pair_replaces_an_earlier_one_and_a_built_in_one() -> None:
    pair(Tanh, "Tanh", there=lambda nn, layer, shape: nn.Sequential(nn.Tanh()), here=lambda module: Sequential(Tanh()))
    assert type(to_torch(Sequential(Tanh()))[0]) is nn.Sequential
    assert isinstance(from_torch(nn.Sequential(nn.Tanh()))[0], Sequential)


def test_there_gets_the_shape_that_is_known() -> None:
    seen = []

    def there(nn: Any, layer: Any, shape: Any) -> Any:
        seen.append(shape)
        return ScaledModule(layer.features, layer.sign)

    enter_scaled(there=there)
    to_torch(Sequential(Scaled(3)))
    to_torch(Sequential(Scaled(3)), input_shape=(4, 3))
    to_torch(Sequential(Linear(2, 3), Scaled(3)))
    assert seen == [(..., 3), (4, 3), (..., 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": nn.Linear}, r"pair: expected layer as a subclass of Layer, got <class 'torch"),
        ({"layer": Scaled(2)}, r"pair: expected layer as a subclass of Layer, got Scaled\(2\)"),
        ({"module": 3}, "pair: expected module as the name of a class in torch.nn, or a class, got 3"),
        ({"there": None, "here": None}, "pair: expected there, here or both, to convert Scaled"),
        ({"options": {"sign": "used"}}, r"the meaning of option sign as \"taken\", .*, got 'used'"),
        ({"names": {"gain": "a", "shift": "a"}}, "pair: expected a name of its own for each state of Scaled"),
    ],
)
def test_arguments_that_make_no_pair_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"layer": Scaled, "module": ScaledModule, "there": lambda *_: None}
    with pytest.raises((TypeError, ValueError), match=message):
        pair(**(good | arguments))


def test_what_there_and_here_return_is_checked() -> None:
    enter_scaled(there=lambda nn, layer, shape: None, here=lambda module: None)
    with pytest.raises(
        TypeError, match=r"layer 0, Scaled\(2\): expected there\(.*\) to return a torch.nn.Module, got N"
    ):
        to_torch(Sequential(Scaled(2)))
    with pytest.raises(TypeError, match=r"module 0, ScaledModule: expected here\(module\) to return a Layer, got None"):
        from_torch(nn.Sequential(ScaledModule(2)))


def test_a_chain_with_more_than_its_layers_is_refused() -> None:
    class Noted(Sequential):
        def __init__(self) -> None:
            self.mean = Buffer((2,), Zeros())
            super().__init__(Linear(2, 2))

    with pytest.raises(TypeError, match=r"to_torch: layer 0, Noted: torch\.nn\.Sequential has no mean"):
        to_torch(Sequential(Noted()))
