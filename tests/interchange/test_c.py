"""The C file computes what the model does, compiles without a warning, tests itself, and refuses what it cannot say."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    CELU,
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    SELU,
    Activation,
    AdaptiveAvgPool2d,
    Array,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Clip,
    Concatenate,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Identity,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSigmoid,
    LogSoftmax,
    MaxPool1d,
    MaxPool2d,
    Mish,
    MultiHeadAttention,
    Pad,
    Parallel,
    Permute,
    PReLU,
    ReLU,
    ReLU6,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softshrink,
    Softsign,
    Standardize,
    Tanh,
    Upsample,
    ZeroPad2d,
)
from nanonet.interchange import c
from nanonet.interchange.c.program import WRITERS
from tests.registry import concrete

pytestmark = pytest.mark.peer

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
RNG = np.random.default_rng(3)
MODES: Any = ("constant", "reflect", "replicate", "circular")


@functools.cache
def compiler() -> list[str]:
    """Return the command of a C compiler: the machine's own, or that of the package ziglang."""
    own = shutil.which("gcc") or shutil.which("cc")
    if own is None and importlib.util.find_spec("ziglang") is None:
        pytest.skip("there is no C compiler")
    return [own] if own else [sys.executable, "-m", "ziglang", "cc"]


def compiled(folder: Path, *arguments: str) -> None:
    """Compile in a folder, without a warning."""
    run = subprocess.run(
        [*compiler(), *FLAGS, *arguments, "-lm"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def library(folder: Path, names: list[str]) -> ctypes.CDLL:
    """Compile files into a library, and load it."""
    compiled(folder, "-O0", "-fPIC", "-shared", *(f"{name}.c" for name in names), "-o", "nets.so")
    return ctypes.CDLL(str(folder / "nets.so"))


def called(function: Any, x: Array, out: tuple[int, ...]) -> Array:
    """Call a net for each sample."""
    y = np.zeros((len(x), *out), np.float32)
    for given, result in zip(np.ascontiguousarray(x, np.float32), y, strict=True):
        function(given.ctypes.data_as(ctypes.c_void_p), result.ctypes.data_as(ctypes.c_void_p))
    return y


def shaken(model: Sequential) -> Sequential:
    """Give biases, norms and running statistics numbers of their own."""
    state = model.state_dict()
    for name, value in state.items():
        if value.ndim == 1:
            state[name] = value + RNG.uniform(0.1, 0.5, value.shape)
    model.load_state_dict(state)
    return model


ON_ANY: list[Callable[[], Layer]] = [
    Sigmoid,
    Tanh,
    ReLU,
    Identity,
    lambda: LeakyReLU(0.2),
    lambda: ELU(0.7),
    SELU,
    SiLU,
    GELU,
    lambda: GELU(approximate=True),
    Softplus,
    lambda: Softplus(2.0, 1.5),
    Softsign,
    lambda: Clip(-0.5, None),
    lambda: Clip(None, 0.3),
    ReLU6,
    lambda: Dropout(0.3),
    lambda: CELU(1.7),
    lambda: Hardshrink(0.3),
    Hardsigmoid,
    Hardswish,
    LogSigmoid,
    Mish,
    PReLU,
    lambda: Softshrink(0.2),
]


def of_vector(size: int, rng: np.random.Generator) -> tuple[list[Layer], int]:
    """Draw layers on a vector; return them and the size of their output."""
    out = int(rng.integers(1, 7))
    inner = [Linear(size, 3), Tanh(), Linear(3, size)]
    choices: list[tuple[list[Layer], int]] = [
        ([Linear(size, out), ON_ANY[rng.integers(len(ON_ANY))]()], out),
        ([Linear(size, out, bias=False)], out),
        ([Residual(Sequential(*inner, rng=0))], size),
        ([Sequential(Linear(size, out), Sigmoid(), rng=0)], out),
        ([BatchNorm(size)], size),
        ([BatchNorm(size, affine=False)], size),
        ([LayerNorm(size, 0.1), ON_ANY[rng.integers(len(ON_ANY))]()], size),
        ([Standardize(size)], size),
        ([RMSNorm(size, 0.1), PReLU(size)], size),
        ([Softmax()], size),
        ([Reshape(1, size), Linear(size, out), LayerNorm(out, 0.1, bias=False), Flatten()], out),
    ]
    return choices[rng.integers(len(choices))]


def of_image(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[list[Layer], tuple[int, ...]]:
    """Draw a layer on an image or a sequence of two channels or more."""
    flat, channels = len(shape) == 2, shape[0]
    stride, padding, dilation = int(rng.integers(1, 3)), int(rng.integers(0, 2)), int(rng.integers(1, 3))
    groups = int(rng.choice([1, 2])) if channels % 2 == 0 else 1
    conv, highest, mean = (Conv1d, MaxPool1d, AvgPool1d) if flat else (Conv2d, MaxPool2d, AvgPool2d)
    choices: list[Layer] = [
        conv(channels, 4, 2, stride, padding, dilation, groups),
        conv(channels, 2 * groups, 3, padding="same", groups=groups, bias=False),
        highest(2, stride, padding, ceil_mode=bool(rng.integers(2))),
        mean(2, stride, padding, count_include_pad=bool(rng.integers(2))),
        BatchNorm(channels),
        ON_ANY[rng.integers(len(ON_ANY))](),
        Permute(*(1 + rng.permutation(len(shape)))),
        Residual(conv(channels, channels, 3, padding=1)),
        GroupNorm(groups, channels, 0.1),
        InstanceNorm(channels, 0.1, affine=bool(rng.integers(2))),
        PReLU(channels),
        Pad((1, 2) * (len(shape) - 1), MODES[rng.integers(4)]),
    ]
    if not flat:
        choices += [
            Upsample((2, int(rng.integers(1, 3)))),
            ZeroPad2d((0, 1, 2, 0)),
            AdaptiveAvgPool2d((int(rng.integers(1, 4)), 2)),
            ConvTranspose2d(channels, 2 * groups, (3, 2), stride, padding, groups=groups, dilation=dilation),
        ]
    layer = choices[rng.integers(len(choices))]
    return [layer], Sequential(layer, rng=0)(np.zeros((1, *shape))).shape[1:]


def of_sequence(size: int, rng: np.random.Generator) -> tuple[Layer, int]:
    """Draw a recurrent layer that returns its last state, and the size of it."""
    kind = [RNN, LSTM, GRU][rng.integers(3)]
    hidden, both = int(rng.integers(1, 6)), bool(rng.integers(2))
    layer: Layer = kind(
        size, hidden, int(rng.integers(1, 3)), bias=bool(rng.integers(2)), bidirectional=both, output="last"
    )
    return layer, hidden * (1 + both)


def drawn(seed: int, dtype: Any = np.float32) -> tuple[Sequential, tuple[int, ...]]:
    """Draw a model of up to six layers and the shape of its input."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    if seed % 2:
        shape = first = (int(rng.integers(2, 5)), *(int(n) for n in rng.integers(5, 9, rng.integers(1, 3))))
        for _ in range(rng.integers(1, 4)):
            try:
                more, shape = of_image(shape, rng)
            except ValueError:  # the kernel is larger than what is left
                break
            layers += more
        layers += [GlobalAvgPool()] if rng.integers(3) == 0 else [Flatten()]
        size = Sequential(*layers, rng=0)(np.zeros((1, *first))).shape[1]
    elif seed % 4:
        size = int(rng.integers(1, 7))
        first = (size,)
    else:
        times, features = (int(n) for n in rng.integers(1, 7, 2))
        first = (times, features)
        layers += [LSTM(features, 3), RNN(3, 4, nonlinearity="relu")] if rng.integers(2) else []
        layer, size = of_sequence(4 if layers else features, rng)
        layers.append(layer)
    for _ in range(rng.integers(1, 4)):
        more, size = of_vector(size, rng)
        layers += more
    if rng.integers(4) == 0:
        layers.append(LogSoftmax())
    return Sequential(*layers, dtype=dtype, rng=seed), first


@pytest.mark.slow
def test_two_hundred_drawn_nets_compute_in_c_what_they_do_in_python(tmp_path: Path) -> None:
    nets = {}
    for seed in range(200):
        model, shape = drawn(seed)
        c.export(shaken(model), tmp_path / f"net{seed}.c", function=f"net{seed}", input_shape=shape)
        nets[f"net{seed}"] = model, shape
    functions = library(tmp_path, list(nets))
    for name, (model, shape) in nets.items():
        x = RNG.normal(size=(5, *shape)).astype(np.float32)
        exact, _ = drawn(int(name[3:]), np.float64)  # whose own rounding does not count
        exact.load_state_dict(model.state_dict())
        expected = exact.predict(x)
        found = called(functions[name], x, expected.shape[1:])
        atol = 1e-6 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=repr(model))


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_the_file_tests_itself(tmp_path: Path, weights: Any) -> None:
    layers = [Conv2d(1, 4, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(36, 5), Softmax()]
    model = shaken(Sequential(*layers, rng=0))
    c.export(model, tmp_path / "net.c", input_shape=(1, 8, 8), weights=weights)
    compiled(tmp_path, "-O2", "-DNANONET_TEST", "net.c", "-o", "test")
    run = subprocess.run([tmp_path / "test"], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert re.fullmatch(r"largest difference \S+, at most \S+ allowed\n", run.stdout)

    broken = (
        (tmp_path / "net.c")
        .read_text()
        .replace("static const float bias_4[5] = {\n    ", "static const float bias_4[5] = {\n    1")
    )
    (tmp_path / "broken.c").write_text(broken)
    compiled(tmp_path, "-DNANONET_TEST", "broken.c", "-o", "broken")
    assert subprocess.run([tmp_path / "broken"], capture_output=True, check=False).returncode == 1


def test_int8_takes_a_quarter_and_says_what_it_costs(tmp_path: Path) -> None:
    model = Sequential(Linear(20, 30), Tanh(), Linear(30, 4), rng=0)
    x = RNG.normal(size=(50, 20))
    whole = c.export(model, tmp_path / "whole.c", x=x)
    part = c.export(model, tmp_path / "part.c", function="part", weights="int8", x=x)
    assert whole.error == 0
    assert whole.weight_bytes == 4 * model.vector.size
    assert part.weight_bytes == 20 * 30 + 30 * 4 + 2 * 4 * (30 + 4)
    assert 0 < part.error < 0.02
    functions = library(tmp_path, ["whole", "part"])
    exact = model.predict(x)
    found = np.abs(called(functions["part"], x, (4,)) - exact).max() / np.abs(exact).max()
    assert found == pytest.approx(part.error, rel=1e-3)
    np.testing.assert_allclose(called(functions["net"], x, (4,)), exact, atol=1e-6)


def test_memory_is_used_again_by_later_layers(tmp_path: Path) -> None:
    deep = Sequential(*(layer for _ in range(20) for layer in (Linear(8, 8), Tanh())), rng=0)
    assert c.export(deep, tmp_path / "net.c").memory_bytes == 2 * 8 * 4


def test_a_model_that_changes_nothing_copies(tmp_path: Path) -> None:
    c.export(Sequential(Identity(), Dropout(0.5)), tmp_path / "net.c", input_shape=(3,))
    function = library(tmp_path, ["net"])["net"]
    np.testing.assert_array_equal(called(function, RNG.normal(size=(2, 3)), (3,)).shape, (2, 3))


def test_a_float64_model_is_written_in_float32(tmp_path: Path) -> None:
    model = Sequential(Linear(3, 2), Tanh(), dtype=np.float64, rng=0)
    c.export(model, tmp_path / "net.c")
    x = RNG.normal(size=(4, 3))
    np.testing.assert_allclose(called(library(tmp_path, ["net"])["net"], x, (2,)), model(x), atol=1e-6)


def test_every_activation_has_an_expression() -> None:
    missing = [cls.__name__ for cls in concrete(Activation) if cls not in WRITERS]  # type: ignore[type-abstract]  # the subclasses are concrete
    assert missing == []


class Halved(Linear):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return super().forward(x / 2, training=training)


def bad() -> Sequential:
    model = Sequential(Linear(3, 2), rng=0)
    model.vector.value[0] = np.nan
    return model


@pytest.mark.parametrize(
    ("model", "settings", "error", "text"),
    [
        (lambda: Linear(3, 2), {}, TypeError, "export: expected a Sequential, got Linear"),
        (lambda: Sequential(ReLU()), {}, ValueError, "the first layer does not determine its input shape"),
        (lambda: Sequential(Linear(3, 2)), {"function": "2net"}, ValueError, "expected function as a name in C"),
        (lambda: Sequential(Linear(3, 2)), {"weights": "int4"}, ValueError, "expected weights 'float32' or 'int8'"),
        (
            lambda: Sequential(Linear(3, 2)),
            {"x": np.zeros((2, 4))},
            ValueError,
            r"expected input of shape \(batch, 3\)",
        ),
        (lambda: Sequential(Linear(3, 2)), {"input_shape": (4,)}, ValueError, r"Linear\(3, 2\): expected input"),
        (lambda: Sequential(Halved(3, 2)), {}, TypeError, r"layer 0, Halved\(3, 2\): no C form is known"),
        (lambda: Sequential(Embedding(4, 2)), {"input_shape": (3,)}, TypeError, "got one that takes integers"),
        (
            lambda: Sequential(Parallel(Linear(2, 1), Linear(2, 1)), Concatenate()),
            {},
            TypeError,
            "got one with several",
        ),
        (lambda: Sequential(MultiHeadAttention(4, 2)), {"input_shape": (3, 4)}, TypeError, "no C form is known"),
        (lambda: Sequential(Upsample(2, "bilinear")), {"input_shape": (1, 4, 4)}, TypeError, "expected mode 'nearest'"),
        (
            lambda: Sequential(BatchNorm(3, track_running_stats=False)),
            {"input_shape": (3,), "x": np.ones((5, 3))},
            TypeError,
            "statistics of the batch",
        ),
        (bad, {}, ValueError, "export: 0.weight holds NaN or infinity"),
    ],
)
def test_what_cannot_be_written_is_named_and_leaves_no_file(
    tmp_path: Path, model: Any, settings: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        c.export(model(), tmp_path / "net.c", **settings)
    assert list(tmp_path.iterdir()) == []
