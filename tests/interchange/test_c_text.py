"""What the C file reads like, which names its function may have, and layers of the user's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    LSTM,
    Activation,
    Array,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GroupNorm,
    Linear,
    MaxPool1d,
    Permute,
    Sequential,
    Softmax,
    Tanh,
)
from nanonet.interchange import c
from nanonet.interchange.c.loops import LINE
from nanonet.interchange.c.names import KEYWORDS, LIBRARY
from nanonet.interchange.c.numbers import number
from nanonet.interchange.c.program import WRITERS
from tests.interchange.test_c import RNG, called, compiled, drawn, library

pytestmark = pytest.mark.peer


@pytest.mark.parametrize(
    "name",
    (
        "while register main memory x y sum i expf tanhf sin malloc printf remove bias_0 weight_0 test_x largest "
        "INFINITY NANONET_TEST string FP_NAN linux div"
    ).split(),
)
def test_a_function_cannot_have_a_name_that_c_or_the_file_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"another name for the function than '{name}'"):
        c.export(Sequential(Linear(3, 2), Tanh(), Linear(2, 2)), tmp_path / "net.c", function=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "2net", "a b", "net;", "nét", "_net", None, "net\n"])
def test_a_function_needs_a_name(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ValueError, match="expected function as a name in C"):
        c.export(Sequential(Linear(3, 2)), tmp_path / "net.c", function=name)


def test_other_names_compile_under_any_file_name(tmp_path: Path) -> None:
    for name in ("Net", "net_1", "model", "predict"):
        c.export(Sequential(Linear(3, 2)), tmp_path / f'a "* {name}.c', function=name)
        compiled(tmp_path, "-c", f'a "* {name}.c', "-o", "net.o")
    assert not KEYWORDS & LIBRARY


class Étage(Sequential):
    """Has marks in its text that end or begin a comment."""

    def __repr__(self) -> str:
        return "*/ int /* é"


def test_what_a_layer_is_called_cannot_end_a_comment(tmp_path: Path) -> None:
    c.export(Sequential(Étage(Linear(3, 2)), Linear(2, 2), rng=0), tmp_path / "net.c")
    compiled(tmp_path, "-c", "net.c", "-o", "net.o")


def test_nothing_is_multiplied_by_one_or_looped_over_one_and_no_line_is_long(tmp_path: Path) -> None:
    nets = [drawn(seed) for seed in range(30)]
    layers: list[Any] = [
        [Linear(3, 1), Tanh(), Linear(1, 2), Softmax()],
        [Conv1d(1, 1, 1), MaxPool1d(2), Permute(2, 1), LSTM(1, 1, output="last")],
        [Conv2d(1, 1, (1, 3)), AvgPool2d((1, 2)), ConvTranspose2d(1, 1, 1), GroupNorm(1, 1), Flatten()],
    ]
    shapes = [(3,), (1, 6), (1, 2, 6)]
    nets += [(Sequential(*made, rng=0), shape) for made, shape in zip(layers, shapes, strict=True)]
    for model, shape in nets:
        c.export(model, tmp_path / "net.c", input_shape=shape)
        code = (tmp_path / "net.c").read_text()
        body = re.sub(r"/\*.*?\*/", "", code[code.index("\n{") : code.index("#ifdef")], flags=re.DOTALL)
        assert not re.search(r"\* 1\b[^.]|/ 1\b[^.]|% 1\b| \+ 0\b[^.]|\b(\w+) < 1;|- 0\b[^.]", body), body
        assert max(map(len, code.splitlines())) <= LINE
        assert not re.search(r"[ \t]\n|\t", code)


class Cube(Activation):
    def function(self, a: Array) -> Array:
        return a**3

    def derivative(self, a: Array, y: Array) -> Array:
        return 3 * a**2


def test_a_layer_of_the_users_is_written_once_it_is_registered(tmp_path: Path) -> None:
    model = Sequential(Linear(3, 2), Cube(), rng=0)
    with pytest.raises(
        TypeError, match=r"layer 1, Cube\(\): no C form is known.*@nanonet.interchange.c.writes\(Cube\)"
    ):
        c.export(model, tmp_path / "net.c")
    assert not (tmp_path / "net.c").exists()
    try:

        @c.writes(Cube)
        def cube(program: c.Program, layer: Cube, x: str, shape: tuple[int, ...]) -> str:
            return program.each("a * a * a", x, shape)

        c.export(model, tmp_path / "net.c")
    finally:
        WRITERS.pop(Cube, None)
    x = RNG.normal(size=(4, 3))
    np.testing.assert_allclose(called(library(tmp_path, ["net"])["net"], x, (2,)), model(x), rtol=1e-5)


def test_a_path_ends_in_c(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.c"):
        c.export(Sequential(Linear(3, 2)), tmp_path / "net.txt")


@pytest.mark.parametrize("value", [0.0, 1.0, -1.5, 0.1, 1e-30, 3.4e38, 123456789.0, 2**-140, 1 / 3])
def test_a_float_is_written_so_that_it_is_read_as_the_same(value: float) -> None:
    text = number(value)
    assert text.endswith("f")
    assert np.float32(text[:-1]) == np.float32(value)
    assert "." in text or "e" in text
