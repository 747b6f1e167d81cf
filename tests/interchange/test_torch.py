"""PyTorch: weights go to it and come from it by name, whole chains by conversion, and what cannot go is named."""

from __future__ import annotations

import importlib
import inspect
import math
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from nanonet import (
    SELU,
    Array,
    Clip,
    Dropout,
    Flatten,
    Linear,
    Residual,
    Sequential,
    Softplus,
    Tanh,
    load,
    read_arrays,
    save,
)
from nanonet.interchange.torch import from_torch, to_torch
from nanonet.interchange.torch_pairs import MODULES, options_of
from tests.helpers import Scale, picture
from tests.storage.test_files import PLAIN, assert_same, nets

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.peer
nn: Any = torch.nn


def assert_close(ours: Array, theirs: Any) -> None:
    assert ours.dtype == theirs.numpy().dtype
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-6)


def output(module: Any, x: Array) -> Any:
    with torch.no_grad():
        y = module(torch.from_numpy(x.copy()))
    return y[0] if isinstance(y, tuple) else y  # a recurrent module adds its last state


# ---- whole chains


@given(nets(residual=False))
def test_a_drawn_net_goes_to_pytorch_and_back(net: tuple[Sequential, Array]) -> None:
    model, x = net
    before = picture(model)
    module = to_torch(model)
    assert {name: tuple(array.shape) for name, array in module.state_dict().items()} == {
        name: array.shape for name, array in model.state_dict().items()
    }
    assert list(module.state_dict()) == list(model.state_dict())
    assert_close(model(x), output(module, x))
    assert {name: part.requires_grad for name, part in module.named_parameters()} == {
        name: part.trainable for name, part in model.parameters().items()
    }
    again = from_torch(module)
    if model.parameters():  # without them nothing tells a module's dtype
        assert_same(again, model)
        np.testing.assert_array_equal(again(x), model(x))
    for parameter in module.parameters():
        parameter.data.fill_(7)
    assert picture(model) == before


@given(nets(residual=False))
@pytest.mark.slow
def test_files_of_either_are_read_by_the_other(net: tuple[Sequential, Array]) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.torch import load_file, save_file

    model, x = net
    module, again = to_torch(model), load_copy(model)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.safetensors", Path(folder) / "theirs.safetensors"
        save(model, ours)
        for parameter in module.parameters():
            parameter.data.zero_()
        module.load_state_dict(load_file(ours), strict=True)
        assert_close(model(x), output(module, x))
        save_file(module.state_dict(), theirs)
        again.vector.value[:] = 0
        again.load_state_dict(read_arrays(theirs))
    np.testing.assert_array_equal(again(x), model(x))


def load_copy(model: Sequential) -> Sequential:
    """Return the same model from a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "net.npz")
        return load(Path(folder) / "net.npz")


@pytest.mark.parametrize(
    "make", [*PLAIN, lambda: Softplus(2.0), lambda: Softplus(1.0, 1.5)], ids=lambda make: repr(make())
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_without_parameters_goes_there_and_back_with_its_settings(
    make: Callable[[], Any], dtype: Any
) -> None:
    model = Sequential(Linear(3, 4), make(), dtype=dtype, rng=0)
    module = to_torch(model)
    assert repr(from_torch(module)) == repr(model)
    x = np.random.default_rng(0).normal(0, 3, size=(50, 3)).astype(dtype)
    assert_close(model(x), output(module, x))


def test_a_module_in_training_drops_and_a_converted_one_starts_in_evaluation() -> None:
    module = to_torch(Sequential(Dropout(0.5)))
    assert not module.training
    ones = np.ones((1, 100), np.float32)
    assert_close(ones, output(module, ones))
    assert set(output(module.train(), ones).numpy().ravel().tolist()) == {0.0, 2.0}
    np.testing.assert_array_equal(from_torch(module)(ones), ones)


def test_pytorchs_own_names_of_modules_do_not_matter() -> None:
    from collections import OrderedDict

    module = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), act=nn.Tanh(), out=nn.Linear(3, 1, bias=False)))
    module.hidden.weight.requires_grad_(False)
    model = from_torch(module)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    assert_close(model(x), output(module, x))
    assert {name: part.trainable for name, part in model.parameters().items()} == {
        **{"0.weight": False, "0.bias": True},
        "2.weight": True,
    }


def test_one_activation_may_stand_in_two_places() -> None:
    relu = nn.ReLU()
    assert len(from_torch(nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu))) == 4


def test_a_chain_of_a_class_of_yours_is_a_chain() -> None:
    class Net(Sequential):
        def __init__(self) -> None:
            super().__init__(Linear(2, 2), Flatten())

    assert len(to_torch(Sequential(Net()))[0]) == 2


# ---- what cannot go


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: nn.Conv3d(1, 2, 3), r"module 0, Conv3d\(.*: nanonet has no such layer; it has AdaptiveAvgPool1d, "),
        (lambda: nn.Conv2d(1, 2, 3, padding_mode="circular"), "Conv2d: expected padding_mode='zeros', got 'circular'"),
        (lambda: nn.MaxPool2d(2, return_indices=True), "MaxPool2d: expected return_indices=False, got True"),
        (lambda: nn.InstanceNorm2d(2, track_running_stats=True), "InstanceNorm2d: expected track_running_stats=False"),
        (lambda: nn.Embedding(3, 2, scale_grad_by_freq=True), "Embedding: expected scale_grad_by_freq=False, got True"),
        (lambda: nn.Embedding(3, 2, max_norm=1.0), r"Embedding: expected max_norm=None, got 1\.0"),
        (lambda: nn.Softmax(dim=1), r"module 0, Softmax: expected dim=-1, got 1; for rows dim=1 is the same"),
        (lambda: nn.LogSoftmax(dim=0), r"LogSoftmax: expected dim=-1, got 0"),
        (lambda: nn.Flatten(2), r"Flatten: expected start_dim=1, got 2"),
        (
            lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.RReLU())),
            r"module 0\.1\.0, RReLU\(.*: nanonet has no such",
        ),
        (lambda: nn.LazyLinear(3), "nanonet has no such layer"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "ParametrizedLinear"),
        (lambda: type("Linear", (nn.Linear,), {})(2, 2), "nanonet has no such layer"),
    ],
)
def test_a_module_that_nanonet_has_not_is_named(module: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=rf"(?s)^from_torch: .*{message}"):
        from_torch(nn.Sequential(module()))


# ---- each option of each module

PLAIN_WEIGHT: dict[str, list[Any]] = {"bias": [True, False], "device": ["cpu"], "dtype": []}
PADDING: dict[str, list[Any]] = {"padding_mode": ["zeros", "reflect", "circular"]}
PADS = ("Reflection", "Replication", "Circular")
NORMS = [f"{kind}Norm{axes}d" for kind in ("Batch", "Instance") for axes in (1, 2, 3)]
RUNNING: dict[str, list[Any]] = {"momentum": [0.3, None, 1.5], "track_running_stats": [True, False]}

VALUES: dict[str, dict[str, list[Any]]] = {
    "Linear": {"in_features": [3, 5], "out_features": [1, 4], **PLAIN_WEIGHT},
    **{name: {} for name in ("Sigmoid", "Tanh", "Identity", "Softsign", "LogSigmoid")},
    **{
        name: {"inplace": [False, True]}
        for name in ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardsigmoid", "Hardswish")
    },
    "CELU": {"alpha": [0.5, 2.0], "inplace": [False, True]},
    **{name: {"lambd": [0, 0.3, 2.0]} for name in ("Hardshrink", "Softshrink")},
    "PReLU": {"num_parameters": [1, 2], "init": [0.1], "device": ["cpu"], "dtype": []},
    "Hardtanh": {
        **{"min_val": [-2.5, 0, -math.inf], "max_val": [0.3, 1e30, math.inf], "inplace": [False, True]},
        **{"min_value": [-3.0], "max_value": [2.0]},
    },
    "LeakyReLU": {"negative_slope": [0.3, 0, -1.0], "inplace": [False, True]},
    "ELU": {"alpha": [0.5, 2.0], "inplace": [False, True]},
    "GELU": {"approximate": ["none", "tanh"]},
    "Softplus": {"beta": [0.25, 2.0, 50], "threshold": [-1.0, 1.0, 14, 20.0, 35.0, 50.0]},
    "Softmax": {"dim": [-1, 0, 1, None]},
    "LogSoftmax": {"dim": [-1, 0, 1, None]},
    "Dropout": {"p": [0.0, 0.7, 1.0], "inplace": [False, True]},
    "Dropout2d": {"p": [0.0, 0.7, 1.0], "inplace": [False, True]},
    "Flatten": {"start_dim": [1, 0, 2, -1], "end_dim": [-1, 1, 2]},
    "Unflatten": {"dim": [1, -1, "f"], "unflattened_size": [(2, 3), (6, -1), (6,), [3, 2]]},
    "Conv1d": {
        **{"in_channels": [2, 4], "out_channels": [2, 6], "kernel_size": [1, 3, (2,)], "stride": [2, (3,)]},
        **{"padding": [0, 2, (1,), "same", "valid"], "dilation": [2, (3,)], "groups": [2], **PADDING, **PLAIN_WEIGHT},
    },
    "Conv2d": {
        **{"in_channels": [2, 4], "out_channels": [2, 6], "kernel_size": [1, (3, 2)], "stride": [2, (1, 3)]},
        **{"padding": [2, (0, 1), "same", "valid"], "dilation": [2, (1, 2)], "groups": [2], **PADDING, **PLAIN_WEIGHT},
    },
    "ConvTranspose2d": {
        **{"in_channels": [2, 4], "out_channels": [2, 6], "kernel_size": [1, (3, 2)], "stride": [2, (1, 3)]},
        **{"padding": [1, (0, 1)], "output_padding": [0, (0, 1)], "dilation": [2, (1, 2)], "groups": [2]},
        **{"padding_mode": ["zeros"], **PLAIN_WEIGHT},
    },
    "MaxPool1d": {
        **{"kernel_size": [2, (3,)], "stride": [None, 1, (2,)], "padding": [0, 1], "dilation": [2, (2,)]},
        **{"return_indices": [False, True], "ceil_mode": [False, True]},
    },
    "MaxPool2d": {
        **{"kernel_size": [2, (3, 2)], "stride": [None, 1, (2, 3)], "padding": [0, 1, (1, 0)], "dilation": [(2, 1)]},
        **{"return_indices": [False, True], "ceil_mode": [False, True]},
    },
    "AvgPool1d": {
        **{"kernel_size": [2, (3,)], "stride": [None, 1, (2,)], "padding": [0, 1]},
        **{"ceil_mode": [False, True], "count_include_pad": [True, False]},
    },
    "AvgPool2d": {
        **{"kernel_size": [2, (3, 2)], "stride": [None, 1, (2, 3)], "padding": [0, 1, (1, 0)]},
        **{"ceil_mode": [False, True], "count_include_pad": [True, False], "divisor_override": [None, 2]},
    },
    "AdaptiveAvgPool1d": {"output_size": [1, (1,), 2]},
    "AdaptiveAvgPool2d": {"output_size": [1, 3, (2, 5), (None, 4), (None, None)]},
    "Upsample": {
        **{"size": [None, 4], "scale_factor": [2, (1, 3), 1.5, None], "mode": ["nearest", "bilinear", "bicubic"]},
        **{"align_corners": [None, False, True], "recompute_scale_factor": [None, True]},
    },
    "ZeroPad2d": {"padding": [1, (1, 2, 0, 3), (-1, 0, 0, 1)]},
    **{f"{kind}Pad1d": {"padding": [1, (1, 2), (-1, 0)]} for kind in ("Zero", *PADS)},
    **{f"{kind}Pad2d": {"padding": [1, (1, 2, 0, 1), (-1, 0, 0, 1)]} for kind in PADS},
    **{f"{kind}Pad3d": {"padding": [1, (1, 2, 0, 1, 1, 0), (-1, 0, 0, 1, 0, 0)]} for kind in ("Zero", *PADS)},
    **{f"ConstantPad{axes}d": {"padding": [1, 2 * axes * (1,)], "value": [-1.5, 0, math.inf]} for axes in (1, 2, 3)},
    **{
        name: {"num_features": [3], "eps": [1e-3], "affine": [True, False], **RUNNING, **PLAIN_WEIGHT} for name in NORMS
    },
    "GroupNorm": {"num_groups": [1, 4], "num_channels": [6], "eps": [1e-3], "affine": [False], **PLAIN_WEIGHT},
    "LayerNorm": {
        **{"normalized_shape": [4, (4,), (3, 4)], "eps": [1e-3], "elementwise_affine": [True, False], **PLAIN_WEIGHT}
    },
    "RMSNorm": {
        **{"normalized_shape": [4, (3, 4), (4, 4)], "eps": [1e-3, None], "elementwise_affine": [True, False]},
        **{"device": ["cpu"], "dtype": []},
    },
    "Embedding": {
        **{"num_embeddings": [9], "embedding_dim": [3], "padding_idx": [None, 2, -1], "max_norm": [None, 1.0]},
        **{"norm_type": [1.0], "scale_grad_by_freq": [False, True], "sparse": [False, True], "_weight": []},
        **{"_freeze": [True], "device": ["cpu"], "dtype": []},
    },
    **{
        name: {
            **{"mode": [], "input_size": [1, 3], "hidden_size": [1, 4], "num_layers": [1, 2], "dropout": [0.0, 0.3]},
            **{"bidirectional": [False, True], "proj_size": [0, 1] if name == "LSTM" else []},
            **{"batch_first": [True, False], **PLAIN_WEIGHT},
        }
        for name in ("RNN", "LSTM", "GRU")
    },
    "MultiheadAttention": {
        **{"embed_dim": [2, 8], "num_heads": [1, 4], "dropout": [0.3], "kdim": [None, 3], "vdim": [4, 5]},
        **{"add_bias_kv": [False, True], "add_zero_attn": [False, True], "batch_first": [True, False], **PLAIN_WEIGHT},
    },
    "TransformerEncoderLayer": {
        **{"d_model": [2, 8], "nhead": [1, 4], "dim_feedforward": [3], "dropout": [0.3], "layer_norm_eps": [1e-3]},
        **{"activation": ["relu", "gelu", nn.SiLU(), nn.CELU()], "norm_first": [False, True]},
        **{"batch_first": [True, False], **PLAIN_WEIGHT},
    },
}
"""For each option of each module that is known here, values to try."""

NEEDED: dict[str, dict[str, Any]] = {
    "Linear": {"in_features": 3, "out_features": 3},
    **{name: {"dim": -1} for name in ("Softmax", "LogSoftmax")},
    "Unflatten": {"dim": 1, "unflattened_size": (2, 3)},
    **{name: {"in_channels": 2, "out_channels": 4, "kernel_size": 3} for name in ("Conv1d", "Conv2d")},
    "ConvTranspose2d": {"in_channels": 2, "out_channels": 4, "kernel_size": 3, "stride": 2},
    **{name: {"kernel_size": 3} for name in ("MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d")},
    **{name: {"output_size": 1} for name in ("AdaptiveAvgPool1d", "AdaptiveAvgPool2d")},
    "ZeroPad2d": {"padding": 1},
    **{f"{kind}Pad{axes}d": {"padding": 1} for kind in ("Zero", *PADS) for axes in (1, 2, 3)},
    **{f"ConstantPad{axes}d": {"padding": 1, "value": 0.5} for axes in (1, 2, 3)},
    **{name: {"num_features": 3} for name in NORMS},
    "GroupNorm": {"num_groups": 2, "num_channels": 4},
    **{name: {"normalized_shape": 4} for name in ("LayerNorm", "RMSNorm")},
    "Embedding": {"num_embeddings": 5, "embedding_dim": 2},
    **{
        name: {"input_size": 2, "hidden_size": 3, "num_layers": 2, "batch_first": True}
        for name in ("RNN", "LSTM", "GRU")
    },
    "MultiheadAttention": {"embed_dim": 4, "num_heads": 2, "batch_first": True},
    "TransformerEncoderLayer": {"d_model": 4, "nhead": 2, "dim_feedforward": 6, "batch_first": True},
}
"""What a module cannot do without."""


def arguments_for(name: str, keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module with one of its options."""
    arguments = {**NEEDED.get(name, {}), **keywords}
    if name == "Upsample":
        arguments |= {} if keywords.get("size") or "scale_factor" in keywords else {"scale_factor": 2}
        arguments |= {"mode": "bilinear"} if "align_corners" in keywords else {}
    if keywords.get("output_padding") and name == "ConvTranspose2d":
        arguments["stride"] = 2
    return arguments


def drawn_input(name: str, arguments: dict[str, Any], dtype: Any) -> Any:
    """Return what such a module takes: rows from far below 0 to far above, or random sequences, images or indices."""
    rng = np.random.default_rng(0)
    channels = arguments.get("in_channels", arguments.get("num_features", arguments.get("num_channels", 2)))
    images = {"Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "Upsample", "ZeroPad2d"}
    if name in images | {"BatchNorm2d", "InstanceNorm2d", "GroupNorm", "Dropout2d"}:
        return rng.normal(size=(3, channels, 8, 9)).astype(dtype)
    if name in {"Conv1d", "MaxPool1d", "AvgPool1d", "AdaptiveAvgPool1d", "BatchNorm1d", "InstanceNorm1d"}:
        return rng.normal(size=(3, channels, 9)).astype(dtype)
    if name in {"BatchNorm3d", "InstanceNorm3d"} or "Pad" in name:
        size = {"1": (9,), "2": (8, 9), "3": (2, 4, 3)}[name[-2]]
        return rng.normal(size=(3, channels, *size)).astype(dtype)
    if name in {"LayerNorm", "RMSNorm"}:
        return rng.normal(size=(5, 4, 4) if arguments["normalized_shape"] == (4, 4) else (5, 3, 4)).astype(dtype)
    if name == "Embedding":
        return rng.integers(arguments["num_embeddings"], size=(4, 3))
    if name in ("RNN", "LSTM", "GRU"):
        return rng.normal(size=(4, 5, arguments["input_size"])).astype(dtype)
    if name == "MultiheadAttention":
        sizes = arguments["embed_dim"], arguments.get("kdim"), arguments.get("vdim")
        shapes = [(3, 4 if i else 5, size or sizes[0]) for i, size in enumerate(sizes)]
        return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)
    if name == "TransformerEncoderLayer":
        return rng.normal(size=(3, 5, arguments["d_model"])).astype(dtype)
    features = arguments.get("in_features", {"Unflatten": 6, "PReLU": 2}.get(name, 3))
    x = np.concatenate([np.linspace(-60, 60, 40 * features), np.linspace(-3, 3, 40 * features)]).astype(dtype)
    return x.reshape((-1, 2, features) if name in ("Flatten", "Softmax", "LogSoftmax") else (-1, features))


def told(name: str) -> list[str]:
    """Return the options that a module's constructor has."""
    return sorted(option for option, _ in options_of(getattr(nn, name)))


def test_every_option_of_every_module_is_in_the_table_and_tried() -> None:
    for name in BUILT_IN:
        defaults = dict(options_of(getattr(nn, name)))
        known = {option for option, default in defaults.items() if default is inspect.Parameter.empty}
        known |= {*MODULES[name].options, "device", "dtype"}
        assert {*defaults} <= known, name
        assert sorted({*VALUES[name]} & {*defaults}) == told(name), name


def test_the_options_of_a_module_are_those_of_its_signature_and_of_what_that_passes_on() -> None:
    for name in ("Conv2d", "BatchNorm2d", "Embedding"):
        assert told(name) == sorted(list(inspect.signature(getattr(nn, name).__init__).parameters)[1:])
    assert {"mode", "hidden_size", "batch_first", "bidirectional"} <= {*told("LSTM")}
    assert told("Sigmoid") == []


BUILT_IN = [name for name in MODULES if isinstance(name, str)]

TRIED = [
    pytest.param(name, {option: value}, id=f"{name} {option}={value}")
    for name, options in VALUES.items()
    for option, values in options.items()
    for value in values
]


def converted(module: Any) -> tuple[Sequential | None, str]:
    """Return what a module becomes, or None and why it is refused."""
    try:
        return from_torch(module), ""
    except (TypeError, ValueError) as error:
        return None, str(error)


@pytest.mark.filterwarnings("ignore:keyword argument")  # Hardtanh's older names
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "keywords"), TRIED)
def test_a_module_with_an_option_computes_the_same_here_or_is_refused_for_it(
    name: str, keywords: dict[str, Any], dtype: Any
) -> None:
    (option,) = keywords
    if option not in told(name):
        pytest.skip(f"this PyTorch has no option {option}")
    arguments = arguments_for(name, keywords)
    part = randomized(getattr(nn, name)(**arguments))
    module = nn.Sequential(part).eval().to(getattr(torch, np.dtype(dtype).name))
    model, message = converted(module)
    if model is None:
        known = "Pad" if "Pad" in name else name.rstrip("123d")
        assert re.search(rf"module 0.*{known}.*({option}|rate)", message), message
        return
    model = Sequential(model, dtype=dtype)  # without parameters nothing tells a module's dtype
    x = drawn_input(name, arguments, dtype)
    there = (part(*map(torch.tensor, x))[0].detach() if isinstance(x, tuple) else output(module, x)).numpy()
    rounding = float(np.finfo(dtype).eps)
    cancelled = {"GELU": 8, "Linear": 60, "Hardtanh": 1, "MultiheadAttention": 300, "TransformerEncoderLayer": 300}.get(
        name, 8 if part.state_dict() else 1
    )  # in sums; by 1 + erf
    np.testing.assert_allclose(model(x), there, rtol=16 * rounding, atol=4 * rounding * cancelled)


def randomized(module: Any) -> Any:
    """Return a module with random numbers, positive where they are variances, 0 where an embedding is padded."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if name == "running_var" else torch.randn_like(tensor))
        if getattr(module, "padding_idx", None) is not None:
            module.weight[module.padding_idx] = 0
    return module


def test_an_option_of_a_newer_pytorch_may_stand_at_its_default_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"inplace": MODULES["ELU"].options["inplace"]}
    monkeypatch.setitem(MODULES, "ELU", MODULES["ELU"]._replace(options=options))
    assert repr(from_torch(nn.Sequential(nn.ELU()))[0]) == "ELU(1.0)"
    with pytest.raises(TypeError, match=r"module 0, ELU: expected alpha=1\.0, got 2\.0; nanonet does not know this"):
        from_torch(nn.Sequential(nn.ELU(2.0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_goes_to_pytorch_where_it_is_the_same_but_for_rounding(dtype: Any) -> None:
    model = Sequential(Softplus(), dtype=dtype)
    module = to_torch(model)
    a = np.linspace(10, 60, 1001).astype(dtype)[:, None]
    np.testing.assert_allclose(model(a), output(module, a).numpy(), rtol=float(np.finfo(dtype).eps))
    assert repr(from_torch(module)) == repr(model)
    assert repr(from_torch(nn.Sequential(nn.Softplus()))[0]) == "Softplus(1.0, 20.0)"


# ---- a module in which something else than its class has a say


def own_forward(module: Any) -> None:
    module.forward = lambda x: 0 * x


def other_parameter(module: Any) -> None:
    module.register_parameter("gain", nn.Parameter(torch.ones(2)))


def hidden_weight(module: Any) -> None:
    vars(module)["weight"] = torch.zeros(2, 2)


def pruned(module: Any) -> None:
    prune: Any = importlib.import_module("torch.nn.utils.prune")
    prune.l1_unstructured(module, "weight", 1)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (own_forward, "its forward is overridden on the instance"),
        (lambda module: setattr(module, "_call_impl", lambda x: x), "its _call_impl is overridden on the instance"),
        (hidden_weight, "its weight is overridden on the instance"),
        (lambda module: module.register_forward_hook(lambda *arguments: None), "it has hooks"),
        (lambda module: module.register_forward_pre_hook(lambda *arguments: None), "it has hooks"),
        (lambda module: module.register_full_backward_hook(lambda *arguments: None), "it has hooks"),
        (lambda module: module.register_full_backward_pre_hook(lambda *arguments: None), "it has hooks"),
        (lambda module: module.weight.register_hook(lambda grad: 2 * grad), "it has hooks"),
        (pruned, "it has hooks"),
        (lambda module: nn.utils.weight_norm(module), "it has hooks"),
        (other_parameter, "expected weight and bias registered in it, got weight and bias and gain"),
        (lambda module: module.register_buffer("mask", torch.ones(2)), "got weight and bias and mask"),
        (lambda module: module.add_module("more", nn.ReLU()), "got weight and bias and more"),
        (lambda module: delattr(module, "weight"), "expected weight registered in it, got bias"),
        (lambda module: delattr(module, "bias"), "expected bias registered in it, got weight"),
    ],
)
def test_a_module_that_is_not_what_its_class_says_is_refused(change: Callable[[Any], Any], message: str) -> None:
    linear = nn.Linear(2, 2)
    module = nn.Sequential(nn.Tanh(), nn.Sequential(linear))
    from_torch(module)
    change(linear)
    with pytest.raises(TypeError, match=rf"from_torch: module 1\.0, Linear: .*{message}"):
        from_torch(module)


def test_so_is_a_chain_that_is_not_what_its_class_says() -> None:
    for change in (own_forward, other_parameter, lambda module: module.register_forward_hook(lambda *arguments: None)):
        outer, inner = nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU())
        change(outer)
        with pytest.raises(TypeError, match="from_torch: the module: "):
            from_torch(outer)
        change(inner)
        with pytest.raises(TypeError, match="from_torch: module 0, Sequential: "):
            from_torch(nn.Sequential(inner))


def test_so_are_all_modules_while_hooks_for_all_are_registered() -> None:
    everywhere = torch.nn.modules.module
    for register in (
        everywhere.register_module_forward_hook,
        everywhere.register_module_forward_pre_hook,
        everywhere.register_module_full_backward_hook,
    ):
        handle = register(lambda *arguments: None)
        try:
            with pytest.raises(TypeError, match="hooks for all modules are registered"):
                from_torch(nn.Sequential(nn.ReLU()))
        finally:
            handle.remove()
    from_torch(nn.Sequential(nn.ReLU()))


def test_what_changes_no_number_is_taken() -> None:
    linear = nn.Linear(2, 2)
    linear.note = "the first"
    linear.register_state_dict_pre_hook(lambda *arguments: None)
    module = nn.Sequential(linear)
    module._compiled_call_impl = module._call_impl  # module.compile() leaves this
    linear.in_features = 7  # of which PyTorch computes nothing
    assert repr(from_torch(module)[0]) == "Linear(2, 2)"


def test_an_option_that_was_set_afterwards_counts() -> None:
    leaky, gelu = nn.LeakyReLU(), nn.GELU()
    leaky.negative_slope = 0.5
    assert repr(from_torch(nn.Sequential(leaky))[0]) == "LeakyReLU(0.5)"
    gelu.approximate = "erf"
    with pytest.raises(ValueError, match=r"module 0: GELU: expected approximate='none' or 'tanh', got 'erf'"):
        from_torch(nn.Sequential(gelu))


def test_a_module_without_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"from_torch: 0\.weight is on PyTorch's meta device"):
        from_torch(nn.Sequential(nn.Linear(2, 2, device="meta")))


def test_a_layer_with_something_of_its_own_does_not_go_to_pytorch() -> None:
    scaled, silent = SELU(), Tanh()
    scaled.scale = 3.0
    vars(silent)["function"] = lambda a: 0 * a  # past the refusal of `silent.function = ...`
    for layer, name in ((scaled, "scale"), (silent, "function")):
        with pytest.raises(TypeError, match=rf"to_torch: layer 0\.0, .*: its {name} is overridden on the instance"):
            to_torch(Sequential(Sequential(layer)))


def test_a_clip_that_pytorch_refuses_is_named() -> None:
    with pytest.raises(TypeError, match=r"to_torch: layer 0, Clip\(1\.0, 1\.0\): torch\.nn refuses it: max_val"):
        to_torch(Sequential(Clip(1.0, 1.0)))


def test_what_pytorch_has_not_is_named() -> None:
    own_function = type("Tanh", (Tanh,), {"function": lambda self, a: 0 * a})()
    for layer in (Residual(Linear(2, 2)), Scale(2), own_function):
        with pytest.raises(TypeError, match=r"to_torch: layer 1\.0, .*: torch.nn has no such module"):
            to_torch(Sequential(Tanh(), Sequential(layer)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_dtypes_are_refused_with_what_to_type(dtype: str) -> None:
    module = nn.Sequential(nn.Linear(2, 2)).to(getattr(torch, dtype))
    with pytest.raises(ValueError, match=rf"float32, or of float64, got {dtype}; try module\.float\(\)"):
        from_torch(module)
    with pytest.raises(ValueError, match="got float32 and float64"):
        from_torch(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))


def test_shared_weights_are_refused() -> None:
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"0\.weight and 2\.weight are one parameter"):
        from_torch(nn.Sequential(linear, nn.Tanh(), linear))


def test_a_rate_that_dropout_does_not_take_is_named() -> None:
    with pytest.raises(ValueError, match=r"from_torch: module 0: Dropout: expected a finite rate"):
        from_torch(nn.Sequential(nn.Dropout(1.0)))


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(TypeError, match=r"from_torch: expected a torch\.nn\.Sequential, got Linear"):
        from_torch(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"to_torch: expected a Sequential, got Linear\(2, 2\)"):
        to_torch(Linear(2, 2))  # type: ignore[arg-type]  # that is the mistake


def test_a_state_dict_of_other_shapes_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.torch import save_file

    model = Sequential(Linear(2, 3), Tanh(), Linear(3, 1), rng=0)
    before = picture(model)
    save_file(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"(?s)missing: 2\.weight.*unexpected: 1\."):
        model.load_state_dict(read_arrays(tmp_path / "a.safetensors"))
    assert picture(model) == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_state_dict_of_another_dtype_is_cast(dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.torch import save_file

    module, model = nn.Sequential(nn.Linear(2, 3)).to(getattr(torch, dtype)), Sequential(Linear(2, 3))
    save_file(module.state_dict(), tmp_path / "a.safetensors")
    model.load_state_dict(read_arrays(tmp_path / "a.safetensors"))
    np.testing.assert_array_equal(model.state_dict()["0.weight"], module[0].weight.detach().float().numpy())
    assert model.dtype == np.float32


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"to_torch needs PyTorch: pip install 'nanonet\[torch\]'"):
        to_torch(Sequential())
    with pytest.raises(ImportError, match=r"from_torch needs PyTorch: pip install 'nanonet\[torch\]'"):
        from_torch(None)
