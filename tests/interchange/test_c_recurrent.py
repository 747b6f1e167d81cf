"""RNN, LSTM and GRU in C: each option computes what it does in Python, as int8 too; what C cannot say is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import GRU, LSTM, RNN, Array, Layer, Linear, Parameter, Sequential
from nanonet.interchange import c
from nanonet.interchange.c.program import WRITERS
from tests.interchange.test_c import RNG, called, library, shaken

pytestmark = pytest.mark.peer


def test_every_option_computes_in_c_what_it_does_in_python(tmp_path: Path) -> None:
    nets: dict[str, tuple[Sequential, Array]] = {}
    kinds: tuple[Any, ...] = (RNN, LSTM, GRU)
    for kind in kinds:
        for layers, both, output, times in ((1, False, "sequence", 5), (2, True, "last", 4), (2, True, "sequence", 1)):
            for hidden, bias in ((4, True), (1, False)):
                made = kind(3, hidden, layers, bidirectional=both, output=output, bias=bias)
                nets[f"net{len(nets)}"] = shaken(Sequential(made, rng=0)), RNG.normal(size=(3, times, 3))
    nets["relu"] = shaken(Sequential(RNN(3, 4, nonlinearity="relu"), rng=0)), RNG.normal(size=(3, 5, 3))
    nets["carried"] = Sequential(LSTM(3, 4, carry=3), rng=0), RNG.normal(size=(3, 5, 3))
    for name, (model, x) in nets.items():
        c.export(model, tmp_path / f"{name}.c", function=name, input_shape=x.shape[1:])
    functions = library(tmp_path, list(nets))
    for name, (model, x) in nets.items():
        expected = model.predict(x)
        found = called(functions[name], x, expected.shape[1:])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6, err_msg=repr(model))


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_int8_rounds_both_matrices(tmp_path: Path, kind: Any) -> None:
    model, x = shaken(Sequential(kind(5, 6, output="last"), Linear(6, 2), rng=0)), RNG.normal(size=(8, 4, 5))
    made = c.export(model, tmp_path / "net.c", weights="int8", input_shape=(4, 5), x=x)
    exact = model.predict(x)
    found = called(library(tmp_path, ["net"])["net"], x, (2,))
    assert 0 < made.error < 0.05
    assert np.abs(found - exact).max() / np.abs(exact).max() == pytest.approx(made.error, rel=1e-3)


class Scaled(Layer):
    """y = W x, by a user."""

    mixes_samples = False
    input_shape = (3,)

    def __init__(self) -> None:
        self.factors = Parameter((2, 3), RNG.normal(size=(2, 3)))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x @ self.factors.value.T, x

    def backward(self, grad: Array, cache: Array) -> Array:
        self.factors.grad = grad.T @ cache
        return grad @ self.factors.value


def test_int8_rounds_what_a_users_writer_gives_to_matrix(tmp_path: Path) -> None:
    model = Sequential(Scaled(), rng=0)
    try:

        @c.writes(Scaled)
        def write(program: c.Program, layer: Scaled, x: str, shape: tuple[int, ...]) -> str:
            factors, y = program.matrix("factors", layer.factors), program.array(2)
            for row in range(2):
                total = " + ".join(f"{factors.entry(str(3 * row + i))} * {x}[{i}]" for i in range(3))
                program.add(f"{y}[{row}] = {factors.scaled(f'({total})', str(row))};")
            return y

        x = RNG.normal(size=(4, 3))
        made = c.export(model, tmp_path / "net.c", weights="int8", x=x)
    finally:
        WRITERS.pop(Scaled, None)
    exact = model.predict(x)
    found = called(library(tmp_path, ["net"])["net"], x, (2,))
    assert made.error > 0
    assert np.abs(found - exact).max() / np.abs(exact).max() == pytest.approx(made.error, rel=1e-2)


def test_matrix_takes_the_parameter_itself() -> None:
    with pytest.raises(TypeError, match=r"matrix: expected a Parameter, such as layer\.weight, got ndarray"):
        c.Program().matrix("weight", np.ones((2, 2)))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"output": "all"}, "one output, got one with 3"),
        ({"lengths": True}, "one input, got one with several"),
        ({"initial_state": True}, "one input, got one with several"),
    ],
)
def test_what_c_cannot_say_is_refused(tmp_path: Path, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        c.export(Sequential(LSTM(3, 2, **settings)), tmp_path / "net.c", input_shape=(4, 3))
    assert list(tmp_path.iterdir()) == []
