"""Layers and operators of anyone: writes and reads register them, as nanonet's own are registered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SELU,
    Activation,
    Array,
    Conv2d,
    Dropout,
    Embedding,
    Layer,
    Linear,
    Monotone,
    Normal,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    SpectralNorm,
    Tanh,
    WeightNorm,
)
from nanonet.interchange import onnx as interchange
from nanonet.interchange.onnx import registration
from nanonet.interchange.overridden import inherited
from tests.interchange.test_onnx import assert_close, helper, node, numbers, onnx, run, write
from tests.registry import concrete
from tests.storage.test_files import assert_refused

pytestmark = pytest.mark.peer


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Forget what a test registers."""
    writers, readers = dict(registration.WRITERS), dict(registration.READERS)
    yield
    tables: Any = ((registration.WRITERS, writers), (registration.READERS, readers))
    for table, before in tables:
        table.clear()
        table.update(before)


class Scale(Layer):
    """y = x gain + shift."""

    def __init__(self, features: int) -> None:
        self.input_shape = (features,)
        self.gain = Parameter((features,), Normal(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x * self.gain.value, x

    def backward(self, grad: Array, cache: Array) -> Array:
        self.gain.grad = (grad * cache).sum(axis=0)
        return grad * self.gain.value


class Around(Layer):
    """A container of one layer, which doubles its output; it does not know its shape."""

    def __init__(self, inner: Layer) -> None:
        self.inner = inner

    def forward(self, x: Any, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = self.inner.forward(x, training=training)
        return 2 * y, cache

    def backward(self, grad: Array, cache: Any) -> Array:
        return self.inner.backward(2 * grad, cache)


def test_a_layer_of_ones_own_is_written_and_read(tmp_path: Path) -> None:
    @interchange.writes(Scale)
    def write_scale(draft: interchange.Draft, layer: Scale, x: str, shape: tuple[int, ...]) -> str:
        assert shape == (3,)
        return draft.add("Mul", x, draft.constant("gain", layer.gain.value))

    earlier = registration.READERS["Mul"]

    @interchange.reads("Mul")
    def read_scale(reached: interchange.Reached, node: interchange.Node) -> Any:
        gain = reached.constant(node.inputs[1])
        if gain is None or reached.shape != gain.shape:
            return earlier(reached, node)
        return reached.fill(Scale(len(gain)), gain=gain)

    model = Sequential(Linear(2, 3), Residual(Scale(3)), rng=0)
    interchange.export(model, tmp_path / "net.onnx")
    again, x = interchange.load(tmp_path / "net.onnx"), numbers(4, 2)
    assert_close(run(tmp_path / "net.onnx", x), model(x))
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again(x), model(x))
    names = [tensor.name for tensor in onnx.load(tmp_path / "net.onnx").graph.initializer]
    assert names == ["0.weight", "0.bias", "1.inner.gain"]


def test_a_container_writes_what_is_in_it(tmp_path: Path) -> None:
    @interchange.writes(Around)
    def write_around(draft: interchange.Draft, layer: Around, x: Any, shape: Any) -> str:
        return draft.add("Mul", draft.write(layer.inner, x, shape, "inner"), draft.number(2.0))

    model = Sequential(Around(Sequential(Linear(3, 2), Tanh())), Linear(2, 2), rng=0)
    interchange.export(model, tmp_path / "net.onnx", input_shape=(3,))
    assert_close(run(tmp_path / "net.onnx", numbers(4, 3)), model(numbers(4, 3)))
    with pytest.raises(TypeError, match=r"export: layer 0\.inner, Scale\(2\): no ONNX form is known for it"):
        interchange.export(Sequential(Around(Scale(2))), tmp_path / "net.onnx", input_shape=(2,))


def test_integers_go_in_as_integers(tmp_path: Path) -> None:
    model = Sequential(Embedding(5, 3), Linear(3, 2), rng=0)
    interchange.export(model, tmp_path / "net.onnx", input_shape=(4,))
    (given,) = onnx.load(tmp_path / "net.onnx").graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.INT64
    x = np.array([[0, 1, 2, 4]])
    assert_close(run(tmp_path / "net.onnx", x), model(x))
    assert repr(interchange.load(tmp_path / "net.onnx")) == repr(model)


def test_every_layer_of_nanonet_is_registered() -> None:
    base: Any = Layer
    rules = {Monotone, SpectralNorm, WeightNorm}  # written within a Reparametrised
    assert {cls for cls in concrete(base) if inherited(cls, registration.WRITERS) is None} == rules


def test_a_subclass_is_written_as_its_parent_unless_it_may_compute_something_else(tmp_path: Path) -> None:
    class Named(Linear):
        """With other backward and printing, and a method of its own."""

        def __repr__(self) -> str:
            return "Named"

        def backward(self, grad: Array, cache: Any) -> Any:
            return 0 * super().backward(grad, cache)

        def size(self) -> int:
            return 3

    class Doubled(Linear):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            y, cache = super().forward(x, training=training)
            return 2 * y, cache

    class Leaking(ReLU):
        def function(self, a: Array) -> Array:
            leaking: Array = np.maximum(a, 0.1 * a)
            return leaking

    class Straight(ReLU):
        def derivative(self, a: Array, y: Array) -> Array:
            return np.ones_like(a)

    class Lower(SELU):
        scale = 0.5

    class Inside(Conv2d):
        def _matrix(self) -> Array:
            return -super()._matrix()

    class Mixed(Doubled, Named):
        pass

    class Chained(Sequential):
        def fit(self, *arguments: Any, **keywords: Any) -> Any:
            return super().fit(*arguments, **keywords)

    class Backwards(Sequential):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, list[Any]]:
            return super().forward(-x, training=training)

    path, x = tmp_path / "net.onnx", numbers(4, 2)
    for layer in (Named(2, 2), Straight(), Chained(Tanh(), Named(2, 3))):
        model = Sequential(layer, rng=0)
        interchange.export(model, path, input_shape=(2,))
        assert_close(run(path, x), model(x))
    for other in (Doubled(2, 2), Leaking(), Lower(), Inside(1, 1, 1), Mixed(2, 2), Backwards(Tanh())):
        with pytest.raises(TypeError, match=rf"no ONNX form is known for it; .*\({type(other).__name__}\)"):
            interchange.export(Sequential(other), path, input_shape=(1, 2, 2) if isinstance(other, Inside) else (2,))
    with pytest.raises(TypeError, match="export: Backwards: no ONNX form is known for it"):
        interchange.export(Backwards(Tanh()), path, input_shape=(2,))


def test_what_is_abstract_is_there_to_be_written(tmp_path: Path) -> None:
    class Powers(Activation):
        """a to the power of an exponent that a subclass has."""

        def derivative(self, a: Array, y: Array) -> Array:
            return self.exponent() * a ** (self.exponent() - 1)

        def function(self, a: Array) -> Array:
            return a ** self.exponent()

        def exponent(self) -> int:
            return 3

    class Square(Powers):
        def exponent(self) -> int:
            return 2

    class Any_(Activation):
        pass

    @interchange.writes(Powers)
    def write_powers(draft: Any, layer: Any, x: str, shape: Any) -> str:
        return str(draft.add("Pow", x, draft.number(3.0)))

    @interchange.writes(Any_)
    def write_any(draft: Any, layer: Any, x: str, shape: Any) -> str:
        return str(draft.add("Sin", x))

    class Sine(Any_):
        def function(self, a: Array) -> Array:
            return np.sin(a)

        def derivative(self, a: Array, y: Array) -> Array:
            return np.cos(a)

    path, x = tmp_path / "net.onnx", numbers(4, 2)
    for layer in (Powers(), Sine()):
        model = Sequential(layer)
        interchange.export(model, path, input_shape=(2,))
        np.testing.assert_allclose(run(path, x), model(x), rtol=1e-5)
    with pytest.raises(TypeError, match=r"Square.*no ONNX form is known for it"):
        interchange.export(Sequential(Square()), path, input_shape=(2,))


def test_an_operator_of_another_domain_is_read_by_its_whole_name(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", [helper.make_node("Cube", ["x"], ["y"], domain="com.example")])
    assert_refused(path, r"operator com\.example\.Cube, y: nanonet has no such layer", interchange.load)

    @interchange.reads("com.example.Cube")
    def read_cube(reached: interchange.Reached, node: interchange.Node) -> Layer:
        return Dropout(0.3)

    assert [repr(layer) for layer in interchange.load(path)] == ["Dropout(0.3)"]


def test_a_reader_that_takes_several_operators_stands_for_all_of_them(tmp_path: Path) -> None:
    @interchange.reads("Sin")
    def read_both(reached: interchange.Reached, node: interchange.Node) -> Any:
        cosine = reached.next(node.outputs[0], "Cos")
        if cosine is None:
            return NotImplemented
        reached.take(cosine)
        return Tanh()

    path = write(tmp_path / "net.onnx", [node("Sin", "x", to="s"), node("Cos", "s")])
    assert [repr(layer) for layer in interchange.load(path)] == ["Tanh()"]
    assert_refused(write(path, [node("Sin", "x")]), "operator Sin, y: nanonet has no such layer", interchange.load)


def test_what_is_registered_must_be_layers_and_names() -> None:
    with pytest.raises(TypeError, match=r"writes: expected the classes of layers; write @writes\(Conv2d\)"):
        interchange.writes()
    with pytest.raises(TypeError, match="writes: expected subclasses of Layer, got 'Conv'"):
        interchange.writes("Conv")  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(TypeError, match="writes: expected subclasses of Layer, got <function"):
        interchange.writes(lambda draft, layer, x, shape: x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'reads: expected names of operators, got .*; write @reads\("Conv"\)'):
        interchange.reads(Conv2d)  # type: ignore[arg-type]
