"""Recurrent layers and attention run elsewhere as here, come back as what they were, and come from others' files."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    GELU,
    GRU,
    LSTM,
    RNN,
    Array,
    Composite,
    Embedding,
    Layer,
    Linear,
    MultiHeadAttention,
    PositionalEncoding,
    Sequential,
    TransformerBlock,
    Wired,
)
from nanonet.core.arrays import parts_of
from nanonet.interchange.onnx import export, load
from tests.interchange.test_onnx import assert_close, helper, node, numbers, onnx, run, write
from tests.interchange.test_onnx_layers import check
from tests.storage.test_files import assert_refused

runtime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

pytestmark = pytest.mark.peer


def layer_in(model: Sequential) -> Layer:
    """Return the only layer of a model; several inputs or outputs make it a Wired."""
    (layer,) = model
    if isinstance(layer, Wired):
        (layer,) = layer.layers
    return layer


def settings_of(layer: Layer) -> dict[str, Any]:
    plain = (int, float, str, bool, tuple, type(None))
    return {name: value for name, value in vars(layer).items() if isinstance(value, plain)}


def comes_back(layer: Layer, x: Any, path: Path) -> None:
    """Compare a layer with its file in onnxruntime, and with the same layer from the file, in float32."""
    model = Sequential(layer, rng=0)
    shape = tuple(part.shape[1:] for part in x) if isinstance(x, tuple) else x.shape[1:]
    again = layer_in(check(model, shape, x, path, 1e-5))
    dropped = {"dropout": 0.0}  # it is not in the file
    assert settings_of(again) | dropped == settings_of(layer) | dropped
    mine, its = model.state_dict(), again
    for name, array in mine.items():
        if not name.endswith("random"):
            value: Any = its
            for part in name.split(".")[1:]:
                value = getattr(value, part)
            np.testing.assert_allclose(value.value, array, rtol=1e-6)


# ---- recurrent layers


@st.composite
def recurrent_layers(draw: st.DrawFn) -> tuple[Layer, Any]:
    """Draw a recurrent layer with all its options, and its input."""
    kind: Any = draw(st.sampled_from([RNN, LSTM, GRU]))
    features, hidden, layers = (draw(st.integers(1, most)) for most in (3, 3, 3))
    options: dict[str, Any] = {name: draw(st.booleans()) for name in ("bias", "bidirectional")}
    options |= {name: draw(st.booleans()) for name in ("initial_state", "lengths")}
    options["output"] = draw(st.sampled_from(["sequence", "last", "all"]))
    if kind is RNN:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    layer = kind(features, hidden, layers, **options)
    samples, times = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x: list[Any] = [rng.normal(size=(samples, times, features)).astype(np.float32)]
    if options["initial_state"]:
        states = (samples, layers * (1 + options["bidirectional"]), hidden)
        x += [rng.normal(size=states).astype(np.float32) for _ in layer.state_names]
    if options["lengths"]:
        x.append(rng.integers(0, times + 1, size=samples))
    return layer, tuple(x) if len(x) > 1 else x[0]


@given(recurrent_layers())
def test_a_recurrent_layer_with_any_options_comes_back(drawn: tuple[Layer, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        comes_back(*drawn, Path(folder) / "net.onnx")


class Translation(Composite):
    """A second recurrent layer that goes on with the states of a first one."""

    def __init__(self, kind: Any) -> None:
        self.input_shape = ((None, 2), (None, 3))
        self.first, self.second = kind(2, 3, output="all"), kind(3, 3, initial_state=True)

    def wire(self, call: Any, x: Any) -> Any:
        _, *states = call(self.first, x[0])
        return call(self.second, (x[1], *states))


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_states_go_from_one_layer_to_another(kind: Any, tmp_path: Path) -> None:
    x = numbers(4, 5, 2), numbers(4, 3, 3)
    again = check(Sequential(Translation(kind), rng=0), ((5, 2), (3, 3)), x, tmp_path / "net.onnx", 1e-5)
    (wired,) = again
    assert isinstance(wired, Wired)
    first, second = wired.layers
    assert (first.output, second.initial_state) == ("all", True)  # type: ignore[attr-defined]


def test_layers_of_different_kinds_and_widths_come_back_one_by_one(tmp_path: Path) -> None:
    layers = [Embedding(7, 2), LSTM(2, 3, bidirectional=True), GRU(6, 2), RNN(2, 4, output="last"), Linear(4, 1)]
    x = np.random.default_rng(0).integers(7, size=(3, 5))
    again = check(Sequential(*layers, rng=0), (5,), x, tmp_path / "net.onnx", 1e-5)
    assert [type(layer) for layer in again] == [type(layer) for layer in layers]


def by_hand(operator: str, path: Path, **attributes: Any) -> Path:
    """Write one recurrent operator as it stands between two Transposes."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[operator]
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    w, r = numbers(directions, gates * 2, 3), numbers(directions, gates * 2, 2)
    nodes = [
        node("Transpose", "x", to="turned", perm=[1, 0, 2]),
        helper.make_node(operator, ["turned", "w", "r"], ["steps"], hidden_size=2, **attributes),
        node("Squeeze", "steps", "one", to="flat"),
        node("Transpose", "flat", perm=[1, 0, 2]),
    ]
    return write(path, nodes, ["batch", 4, 3], w=w, r=r, one=np.array([1]))


@pytest.mark.parametrize(
    ("operator", "attributes", "message"),
    [
        ("GRU", {}, "resets before the product, linear_before_reset=0"),
        ("LSTM", {"direction": "reverse"}, "reads in reverse alone"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "computes with Sigmoid, Tanh, Relu"),
        ("LSTM", {"clip": 1.0}, "clips, joins its input"),
        ("LSTM", {"input_forget": 1}, "clips, joins its input"),
        ("RNN", {"activations": ["Sigmoid"]}, "computes with Sigmoid"),
    ],
)
def test_what_no_recurrent_layer_computes_is_refused(
    operator: str, attributes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert_refused(by_hand(operator, tmp_path / "net.onnx", **attributes), message, load)


TURNED = node("Transpose", "x", to="turned", perm=[1, 0, 2])
LAYER = helper.make_node("RNN", ["turned", "w", "r"], ["steps", "h"], hidden_size=2)
FLAT = node("Squeeze", "steps", "one", to="flat")
BACK = node("Transpose", "flat", to="back", perm=[1, 0, 2])


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ([TURNED, LAYER, FLAT], ["flat"], "expected a sequence with the batch first"),
        ([TURNED, LAYER, node("Squeeze", "h", "zero")], ["y", "steps"], "expected a sequence with the batch first"),
        ([TURNED, LAYER, FLAT, BACK, node("Squeeze", "h", "zero")], ["back", "y"], "gives the sequence and the last"),
        ([node("Identity", "x", to="turned"), LAYER, FLAT], ["flat"], "expected a sequence with the batch first"),
        ([node("Transpose", "x", to="turned", perm=[0, 2, 1]), LAYER, FLAT], ["flat"], "operator RNN, steps, h"),
        (
            [
                TURNED,
                helper.make_node("RNN", ["turned", "w", "r", "", "", "ones"], ["steps"], hidden_size=2),
                FLAT,
                BACK,
            ],
            ["back"],
            "operator Transpose, turned",
        ),
    ],
)
def test_what_is_arranged_in_another_way_is_refused(
    nodes: list[Any], outputs: list[str], message: str, tmp_path: Path
) -> None:
    constants: dict[str, Any] = {
        "w": numbers(1, 2, 3),
        "r": numbers(1, 2, 2),
        "one": np.array([1]),
        "zero": np.array([0]),
    }
    constants["ones"] = np.ones((1, 4, 2), np.float32)
    path = write(tmp_path / "net.onnx", nodes, [4, 3, 3], outputs=outputs, **constants)
    assert_refused(path, message, load)


def test_an_operator_by_hand_is_read(tmp_path: Path) -> None:
    path = by_hand("RNN", tmp_path / "net.onnx", activations=["Relu"])
    assert repr(load(path)[0]) == "RNN(3, 2, nonlinearity='relu', bias=False)"
    assert_close(load(path)(numbers(5, 4, 3)), run(path, numbers(5, 4, 3)))


# ---- attention


@st.composite
def attentions(draw: st.DrawFn) -> tuple[Layer, Any]:
    """Draw an attention with all its options, and its input; some queries see no key."""
    heads, size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    inputs = draw(st.integers(1, 3))
    options: dict[str, Any] = {name: draw(st.booleans()) for name in ("bias", "causal", "padding_mask")}
    width = heads * size
    if inputs > 1 and draw(st.booleans()):
        options["kdim"] = draw(st.integers(1, 3))
        options["vdim"] = options["kdim"] if inputs == 2 else draw(st.integers(1, 3))
    layer = MultiHeadAttention(width, heads, inputs=inputs, **options)
    samples, queries = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    keys = queries if inputs == 1 else draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shapes = [(queries, width), (keys, layer.kdim), (keys, layer.vdim)][:inputs]
    x: list[Any] = [rng.normal(size=(samples, *shape)).astype(np.float32) for shape in shapes]
    if options["padding_mask"]:
        x.append(rng.uniform(size=(samples, keys)) < 0.5)
    return layer, tuple(x) if len(x) > 1 else x[0]


@given(attentions())
def test_an_attention_with_any_options_comes_back(drawn: tuple[Layer, Any]) -> None:
    layer, x = drawn
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        model = Sequential(layer, rng=0)
        shape = tuple(part.shape[1:] for part in x) if isinstance(x, tuple) else x.shape[1:]
        again = layer_in(check(model, shape, x, path, 1e-5))
    assert isinstance(again, MultiHeadAttention)
    assert isinstance(layer, MultiHeadAttention)
    assert (again.num_heads, again.causal, again.padding_mask) == (layer.num_heads, layer.causal, layer.padding_mask)


def test_a_language_model_comes_back_as_its_layers(tmp_path: Path) -> None:
    blocks = [TransformerBlock(4, 2, 8, causal=True, norm_first=first, activation=GELU()) for first in (True, False)]
    layers = [Embedding(9, 4), PositionalEncoding(4, 6, learned=True), PositionalEncoding(4), *blocks, Linear(4, 9)]
    x = np.random.default_rng(0).integers(9, size=(3, 6))
    again = check(Sequential(*layers, rng=0), (6,), x, tmp_path / "net.onnx", 1e-5)
    found = [type(part).__name__ for part in again]
    assert found[:3] == ["Embedding", "PositionalEncoding", "PositionalEncoding"]
    assert str(list(again)).count("MultiHeadAttention(4, 2, causal=True)") == 2
    assert str(again).count("Wired") == 0


class Decoder(Composite):
    """Attention to itself, and then to a memory, with a mask."""

    def __init__(self) -> None:
        self.input_shape = ((None, 4), (None, 4), (None,))
        self.integer_input = (False, False, True)
        self.inner = MultiHeadAttention(4, 2, causal=True)
        self.cross = MultiHeadAttention(4, 2, inputs=2, padding_mask=True)

    def wire(self, call: Any, x: Any) -> Any:
        value, memory, mask = x
        value = call.add(value, call(self.inner, value))
        return call.add(value, call(self.cross, (value, memory, mask)))


def test_a_decoder_comes_back_with_both_attentions(tmp_path: Path) -> None:
    x = numbers(3, 4, 4), numbers(3, 2, 4), np.array([[0, 1], [1, 1], [0, 0]])
    (wired,) = check(Sequential(Decoder(), rng=0), ((4, 4), (2, 4), (2,)), x, tmp_path / "net.onnx", 1e-5)
    assert isinstance(wired, Wired)
    assert [repr(layer) for layer in wired.layers] == [
        "MultiHeadAttention(4, 2, causal=True)",
        "MultiHeadAttention(4, 2, padding_mask=True, inputs=2)",
    ]


# ---- attention as others may write it


SPOILED = ("no product", "other heads", "mask", "finite mask", "softmax", "weights too", "no output product")


class Written:
    """A graph of an attention that is written in one of many ways, and sometimes not quite one."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.nodes, self.constants, self.count = draw, list[Any](), dict[str, Any](), 0
        self.heads, self.size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        self.times, self.width = draw(st.integers(1, 3)), self.heads * self.size
        self.rng = np.random.default_rng(draw(st.integers(0, 99)))
        self.time_first = draw(st.booleans())
        self.spoiled = draw(st.sampled_from([None, None, None, *SPOILED]))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        self.count += 1
        name = f"{operator}.{self.count}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def const(self, array: Any) -> str:
        self.count += 1
        self.constants[f"c{self.count}"] = np.asarray(array)
        return f"c{self.count}"

    def chance(self, of: int = 2) -> bool:
        return self.draw(st.integers(1, of)) == 1

    def floats(self, *shape: int) -> str:
        return self.const(self.rng.normal(size=shape).astype(np.float32))

    def projected(self, x: str) -> list[str]:
        """Return queries, keys and values, each (..., width)."""
        parts = []
        if self.chance():
            whole = self.add("MatMul", x, self.floats(self.width, 3 * self.width))
            whole = self.add("Add", whole, self.floats(3 * self.width)) if self.chance() else whole
            for i in range(3):
                bounds = [self.const([at * self.width]) for at in (i, i + 1)]
                parts.append(self.add("Slice", whole, *bounds, self.const([2])))
        else:
            for _ in range(3):
                part = self.add("MatMul", x, self.floats(self.width, self.width))
                parts.append(self.add("Add", self.floats(self.width), part) if self.chance() else part)
        if self.spoiled == "no product":
            parts[self.draw(st.integers(0, 2))] = x
        return parts

    def by_head(self, part: str, order: list[int]) -> str:
        """Return (batch, head, time, feature) in an order."""
        shape = (-1, self.times, self.heads, self.size)
        lead = [0, 2, 1, 3]
        if self.time_first:
            shape, lead = (self.times, -1, self.heads, self.size), [1, 2, 0, 3]
        if self.swapped:
            shape, lead = (*shape[:2], self.size, self.heads), [*lead[:1], 3, lead[2], 2]
        lead = [lead[i] for i in order]
        return self.add("Transpose", self.add("Reshape", part, self.const(shape)), perm=lead)

    def graph(self, path: Path) -> None:
        x = self.add("Transpose", "x", perm=[1, 0, 2]) if self.time_first else "x"
        parts = self.projected(x)
        self.swapped = self.chance(4)
        q, v = (self.by_head(parts[i], [0, 1, 2, 3]) for i in (0, 2))
        if self.spoiled == "other heads":
            self.swapped = not self.swapped
        k = self.by_head(parts[1], [0, 1, 3, 2])
        scale = self.const(np.float32(self.draw(st.sampled_from([self.size**-0.5, 1.0, 0.3]))))
        place = self.draw(st.integers(0, 2))
        q = self.add("Mul", q, scale) if place == 0 else q
        k = self.add("Mul", scale, k) if place == 1 else k
        if self.chance():  # batch and heads as one axis
            shapes = [(-1, self.times, self.size), (-1, self.size, self.times), (-1, self.times, self.size)]
            q, k, v = (self.add("Reshape", *each) for each in zip((q, k, v), map(self.const, shapes), strict=True))
        scores = self.add("MatMul", q, k)
        scores = self.add("Mul", scores, scale) if place == 2 else scores
        scores = self.masked(scores)
        weights = self.add("Softmax", scores, axis=-2 if self.spoiled == "softmax" else -1)
        mixed = self.add("MatMul", weights, v)
        mixed = self.add("Reshape", mixed, self.const((-1, self.heads, self.times, self.size)))
        order = [2, 0, 1, 3] if self.time_first else [0, 2, 1, 3]
        order = (
            [order[i] for i in (0, 1, 3, 2)] if self.chance(4) else order
        )  # the features of out_proj in another order
        mixed = self.add("Transpose", mixed, perm=order)
        shape = (self.times, -1, self.width) if self.time_first else (-1, self.times, self.width)
        mixed = self.add("Reshape", mixed, self.const(shape))
        if self.spoiled == "no output product":
            y = self.add("Tanh", mixed)
        else:
            y = self.add("MatMul", mixed, self.floats(self.width, self.width))
            y = self.add("Add", y, self.floats(self.width)) if self.chance() else y
        y = self.add("Transpose", y, perm=[1, 0, 2]) if self.time_first else y
        outputs = [y, weights] if self.spoiled == "weights too" else [y]
        write(path, self.nodes, ["batch", self.times, self.width], outputs=outputs, **self.constants)

    def masked(self, scores: str) -> str:
        later = ~np.tri(self.times, dtype=bool)
        if self.spoiled == "mask":
            later[-1, 0] = True
        kind = self.draw(st.integers(0, 2)) if self.spoiled not in ("mask", "finite mask") else 0
        if kind == 0:
            low = -1.0 if self.spoiled == "finite mask" else self.draw(st.sampled_from([-np.inf, -1e38]))
            return self.add("Add", scores, self.const(np.where(later, low, 0).astype(np.float32)))
        return self.add("Where", self.const(later), self.const(np.float32(-np.inf)), scores) if kind == 1 else scores


@given(st.composite(Written)())
def test_attention_is_found_in_any_arrangement_and_nothing_else_is_taken_for_it(drawn: Written) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        drawn.graph(path)
        x = np.random.default_rng(0).normal(size=(4, drawn.times, drawn.width)).astype(np.float32)
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        wanted = session.run(None, {"x": x})
        try:
            model = load(path)
        except ValueError:
            assert drawn.spoiled
            return
    assert drawn.spoiled or "MultiHeadAttention" in str(list(model))
    for y, its in zip(parts_of(model(x)), wanted, strict=True):
        np.testing.assert_allclose(y, its, rtol=1e-4, atol=1e-4)


# ---- PyTorch's files


def from_torch(path: Path, module: Any, shape: tuple[int, ...], dynamo: bool) -> None:
    """Write a module as one of PyTorch's exporters does."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    names = {"input_names": ["input"], "dynamic_axes": {"input": {0: "batch"}}}
    more: dict[str, Any] = {"dynamic_shapes": ({0: "batch"},), "verbose": False} if dynamo else names
    if dynamo:
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opset = 18 if dynamo else 17
        torch.onnx.export(
            module.eval(), (torch.zeros(5, *shape),), str(path), dynamo=dynamo, opset_version=opset, **more
        )


def modules() -> dict[str, Any]:
    """Return PyTorch's modules, with what nanonet's layer for each is."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    nn = torch.nn
    torch.manual_seed(0)

    class Of(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, pick: Any) -> None:
            super().__init__()
            self.inner, self.pick = inner, pick

        def forward(self, x: Any) -> Any:
            return self.pick(self.inner, x)

    def first(inner: Any, x: Any) -> Any:
        return inner(x)[0]

    def attended(inner: Any, x: Any) -> Any:
        return inner(x, x, x, need_weights=False)[0]

    def causally(inner: Any, x: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return inner(x, x, x, need_weights=False, is_causal=True, attn_mask=mask)[0]

    both = {"batch_first": True, "num_layers": 2, "bidirectional": True}
    encoder = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, norm_first=True, activation="gelu")
    return {
        "LSTM(4, 3)": Of(nn.LSTM(4, 3, batch_first=True), first),
        "LSTM(4, 3, num_layers=2, bidirectional=True)": Of(nn.LSTM(4, 3, **both), first),
        "GRU(4, 3, output='last')": Of(nn.GRU(4, 3, batch_first=True), lambda inner, x: inner(x)[0][:, -1]),
        "GRU(4, 3, num_layers=2, bidirectional=True)": Of(nn.GRU(4, 3, **both), first),
        "RNN(4, 3, nonlinearity='relu')": Of(nn.RNN(4, 3, batch_first=True, nonlinearity="relu"), first),
        "LSTM(4, 3, num_layers=2, output='last')": Of(
            nn.LSTM(4, 3, 2, batch_first=True), lambda inner, x: inner(x)[1][0][-1]
        ),
        "MultiHeadAttention(4, 2)": Of(nn.MultiheadAttention(4, 2, batch_first=True), attended),
        "MultiHeadAttention(4, 2, causal=True)": Of(nn.MultiheadAttention(4, 2, batch_first=True), causally),
        "encoder": encoder,
    }


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_sequences_come_from_pytorchs_exporters(dynamo: bool, tmp_path: Path) -> None:
    for i, (name, module) in enumerate(modules().items()):
        if name == ("encoder", "RNN(4, 3, nonlinearity='relu')")[dynamo]:
            continue  # which the one cannot write, and the other writes time by time
        path = tmp_path / f"{i}.onnx"
        from_torch(path, module, (3, 4), dynamo)
        model, x = load(path), numbers(6, 3, 4)
        assert_close(model(x), run(path, x))
        if name == "encoder":
            assert str(list(model)).count("MultiHeadAttention(4, 2)") == 1
            assert [type(layer).__name__ for layer in model] == ["Residual", "Residual"]
        else:
            assert [repr(layer) for layer in model] == [name]


def test_a_sequence_longer_than_that_of_the_file_is_a_matter_of_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model: Sequential = Sequential(LSTM(2, 3), MultiHeadAttention(3, 1), rng=0)
    export(model, path, input_shape=(4, 2))
    longer: Array = numbers(2, 9, 2)
    assert_close(load(path)(longer), model(longer))
    shown = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert [each.dim_value for each in shown][1:] == [4, 2]
