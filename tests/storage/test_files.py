"""Model files: a model comes back as it was, and what is no such file is refused by name, unexecuted and in bounds."""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import itertools
import json
import math
import os
import pickle
import re
import struct
import sys
import tempfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nanonet
from nanonet import (
    ELU,
    GELU,
    SELU,
    Activation,
    Adam,
    Array,
    Buffer,
    Clip,
    Constant,
    Dropout,
    Flatten,
    HeNormal,
    Identity,
    Layer,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Normal,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    ShapeError,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    SquaredError,
    Tanh,
    Trainer,
    load,
    read_arrays,
    save,
)
from nanonet.interchange.onnx import files as onnx
from nanonet.storage import disk
from nanonet.storage.archive import UNFOLDED
from nanonet.storage.stored_array import Stored
from tests import helpers as own
from tests.helpers import Copy, Scale, everything, picture
from tests.training.test_checkpoint_files import EVERY, Opens, entries_of, hostile, npy, packed, sealed, small

OWN: dict[str, type[Layer]] = {
    cls.__name__: cls for cls in (own.Scale, own.Noise, own.Branches, own.Centred, own.Residual)
}

PLAIN: list[Callable[[], Layer]] = [
    *(Sigmoid, Tanh, ReLU, Identity, SELU, SiLU, GELU, Softplus, Softsign, Softmax, LogSoftmax),
    lambda: LeakyReLU(0.2),
    lambda: ELU(0.7),
    *(lambda: Dropout(0.3), lambda: GELU(approximate=True), lambda: Clip(-1.0, 0.5), lambda: Clip(-math.inf, 1.5)),
]


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return where a file may stand, in each format."""
    return tmp_path / f"net{request.param}"


# ---- nets, drawn


@st.composite
def nets(draw: st.DrawFn, *, residual: bool = True) -> tuple[Sequential, Array]:
    """Draw a net of all kinds of layers, chains within chains, some of it frozen, and an input."""
    shape: tuple[int, ...] = (draw(st.integers(1, 4)),)
    if draw(st.booleans()):
        shape = (draw(st.integers(1, 3)), *shape)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    layers, _ = draw(chains(shape, 2, residual))
    model = Sequential(*layers, dtype=dtype, rng=draw(st.integers(0, 99)))
    for parameter in model.parameters().values():
        parameter.trainable = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return model, rng.normal(size=(draw(st.integers(1, 4)), *shape)).astype(dtype)


@st.composite
def chains(draw: st.DrawFn, shape: tuple[int, ...], depth: int, residual: bool) -> tuple[list[Layer], tuple[int, ...]]:
    """Draw layers, and return the shape that they give for a shape."""
    layers: list[Layer] = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["linear", "linear", "plain", "plain", "flatten", "chain", "residual"]))
        if kind == "flatten" and len(shape) > 1 and (layers or depth < 2):
            continue  # a Linear before it pins one axis, and then Flatten on two is refused
        if kind == "linear":
            out = draw(st.integers(1, 4))
            bias: Any = draw(st.sampled_from([True, False, Normal(1.0)]))
            layers.append(Linear(shape[-1], out) if bias is True else Linear(shape[-1], out, bias=bias))
            shape = *shape[:-1], out
        elif kind == "plain":
            layers.append(draw(st.sampled_from(PLAIN))())
        elif kind == "flatten":
            layers.append(Flatten())
            shape = (int(np.prod(shape)),)
        elif depth:
            inner, after = draw(chains(shape, depth - 1, residual))
            chain = Sequential(*inner, rng=draw(st.integers(0, 99)))
            if kind == "chain":
                layers.append(chain)
                shape = after
            elif residual and after == shape:
                layers.append(Residual(chain))
    return layers, shape


@given(nets())
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_drawn_net_comes_back_as_it_was(suffix: str, net: tuple[Sequential, Array]) -> None:
    model, x = net
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / f"net{suffix}")
        again = load(Path(folder) / f"net{suffix}")
        arrays = read_arrays(Path(folder) / f"net{suffix}")
    assert_same(again, model)
    np.testing.assert_array_equal(again(x), model(x))
    assert {name: array.shape for name, array in arrays.items()} == {
        name: parameter.shape for name, parameter in model.parameters().items()
    }


def assert_same(again: Sequential, model: Sequential) -> None:
    """See that a model has all that another has, its generators aside."""
    assert " ".join(repr(again).split()) == re.sub(r", bias=Normal\([^)]*\)", "", " ".join(repr(model).split()))
    assert again.dtype == model.dtype
    state, here = again.state_dict(), model.state_dict()
    assert list(state) == list(here)
    for name, array in here.items():
        assert state[name].dtype == array.dtype
        np.testing.assert_array_equal(state[name], array)
    frozen = {name: parameter.trainable for name, parameter in model.parameters().items()}
    assert {name: parameter.trainable for name, parameter in again.parameters().items()} == frozen


# ---- what comes back


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_own_layers_buffers_and_what_is_frozen_come_back(dtype: npt.DTypeLike, path: Path) -> None:
    model, x = everything(dtype), np.ones((2, 3))
    own.train(model, *own.data())
    save(model, path)
    again = load(path, layers=OWN)
    assert_same(again, model)
    np.testing.assert_array_equal(again(x), model(x))
    assert again.state_dict()["2.branches.1.batches"] == 1
    assert [name for name, part in again.parameters().items() if not part.trainable] == ["1.1.inner.0.weight"]


@pytest.mark.peer
def test_numpy_and_the_package_safetensors_read_the_weights_under_pytorchs_names(path: Path) -> None:
    model = Sequential(Linear(2, 3), Tanh(), Linear(3, 1), rng=0)
    save(model, path)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name != "nanonet.json"}
    else:
        load_file = package_safetensors().load_file
        arrays = load_file(path)
    assert sorted(arrays) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(arrays[name], array)


class Settings(Copy):
    """Takes all kinds of arguments, in all kinds of places."""

    def __init__(self, first: Any, /, *rest: Any, named: Any = None, **more: Any) -> None:
        self.seen = [first, rest, named, more]


@pytest.mark.parametrize(
    "value",
    [0, -3, 2**70, 0.1, np.inf, -np.inf, True, None, "text", [], [1, [2.5, "x"]], (1, (2,)), {"a": [1], "b": ()}],
    ids=repr,
)
def test_an_argument_comes_back_as_it_was(value: Any, path: Path) -> None:
    save(Sequential(Settings(value, 1, value, named=value, more=value)), path)
    (again,) = load(path, layers={"Settings": Settings})
    assert isinstance(again, Settings)
    assert again.seen == [value, (1, value), value, {"more": value}]
    assert type(again.seen[0]) is type(value)


def test_numpys_numbers_and_dtypes_come_back(path: Path) -> None:
    save(Sequential(Settings(np.float32(0.1), np.int64(3), np.bool_(True), np.nan, np.float32, np.dtype(">i2"))), path)
    (again,) = load(path, layers={"Settings": Settings})
    assert isinstance(again, Settings)
    first, (whole, true, nan, *dtypes) = again.seen[:2]
    assert (first, whole, true, str(nan)) == (float(np.float32(0.1)), 3, True, "nan")
    assert dtypes == [np.dtype(np.float32), np.dtype(">i2")]


def test_layers_and_activations_as_arguments_come_back(path: Path) -> None:
    save(Sequential(Settings(LeakyReLU(0.3), [Linear(1, 1), Tanh()], named={"x": Residual(Dropout(0.1))})), path)
    (again,) = load(path, layers={"Settings": Settings})
    assert repr(again) == "Settings(LeakyReLU(0.3), [Linear(1, 1), Tanh()], named={'x': Residual(Dropout(0.1))})"


def test_a_list_is_kept_as_it_was_when_the_layer_was_made(path: Path) -> None:
    branches: list[Layer] = [Linear(2, 2)]
    model = Sequential(own.Branches(branches), Settings([[Tanh()], [ReLU()]]))
    branches.append(Tanh())
    save(model, path)
    again = load(path, layers={"Branches": own.Branches, "Settings": Settings})
    assert [repr(layer) for layer in again] == [
        "Branches([Linear(2, 2)])",
        "Settings([[Tanh()], [ReLU()]], named=None)",
    ]


def test_starting_arrays_initializers_and_generators_are_left_out(path: Path) -> None:
    model = Sequential(
        Linear(2, 2, weight=np.eye(2), bias=Constant(3.0)),
        Linear(2, 2, weight=[[1, 2], [3, 4]], bias=False),
        Linear(2, 2, weight=HeNormal()),
        rng=np.random.default_rng(0),
    )
    save(model, path)
    again = load(path)
    np.testing.assert_array_equal(again(np.eye(2)), model(np.eye(2)))
    assert [repr(layer) for layer in again] == ["Linear(2, 2)", "Linear(2, 2, bias=False)", "Linear(2, 2)"]


def test_a_layer_of_yours_with_a_name_of_ours_is_not_taken_for_ours(path: Path) -> None:
    save(Sequential(own.Residual(Linear(2, 2), Tanh())), path)
    with pytest.raises(ValueError, match=re.escape('write load(path, layers={"Residual": Residual})')):
        load(path)
    assert type(load(path, layers={"Residual": own.Residual})[0]) is own.Residual
    save(Sequential(Residual(Linear(2, 2))), path)
    assert type(load(path, layers={"Residual": own.Residual})[0]) is Residual


class Net(Sequential):
    """A chain with a constructor of its own."""

    def __init__(self, sizes: list[int], activation: Layer | None = None, dtype: npt.DTypeLike = np.float32) -> None:
        self.sizes = sizes
        pairs = itertools.pairwise(sizes)
        super().__init__(*(Linear(i, o) for i, o in pairs), activation or Tanh(), dtype=dtype)


def test_a_chain_with_a_constructor_of_its_own_comes_back_by_its_arguments(path: Path) -> None:
    model = Net([2, 3, 1], GELU(), np.float64)
    save(model, path)
    again = load(path, layers={"Net": Net})
    assert type(again) is Net
    assert_same(again, model)


def test_slices_and_chains_within_a_model_are_models_of_their_own(path: Path) -> None:
    model = Sequential(Linear(2, 3), Sequential(Tanh(), Linear(3, 2)), Dropout(0.2), dtype=np.float64, rng=0)
    for part in (model[:2], model[1], model[2:], model[:0]):
        assert isinstance(part, Sequential)
        save(part, path)
        assert_same(load(path), part)
    assert len(load(path)) == 0


def test_a_loaded_model_trains_and_is_saved_again_as_the_same_bytes(path: Path) -> None:
    model = Sequential(Linear(3, 2), rng=0)
    save(model, path)
    before = path.read_bytes()
    again = load(path)
    save(again, path)
    assert path.read_bytes() == before
    own.train(again, *own.data())
    save(again, path)
    assert path.read_bytes() != before


def test_weights_that_are_not_finite_come_back(path: Path) -> None:
    model = Sequential(Linear(2, 2), rng=0)
    model.vector.value[:] = [np.nan, np.inf, -np.inf, -0.0, 0, 1]
    save(model, path)
    assert load(path).vector.value.tobytes() == model.vector.value.tobytes()


def test_a_save_changes_nothing_and_leaves_nothing_but_the_file(path: Path) -> None:
    model = everything()
    before = picture(model)
    save(model, path)
    save(model, path)
    assert picture(model) == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("place", ["os.fsync", "os.replace"])
def test_on_a_full_disk_the_file_of_before_stands(place: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save(Sequential(Linear(1, 1), rng=0), path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(place, no_room)
        with pytest.raises(OSError, match="not written, an existing file is left untouched"):
            save(Sequential(Linear(1, 1), rng=1), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# ---- what save refuses


def assert_not_saved(model: Any, path: Path, message: str, error: type[Exception] = TypeError) -> None:
    with pytest.raises(error, match=message):
        save(model, path)
    assert not path.exists()


@pytest.mark.parametrize("value", [np.sin, {1, 2}, 3j, b"x", object(), {1: 2}, [np.eye(2)], Trainer])
def test_an_argument_that_a_file_does_not_keep_is_named_with_what_to_do(value: Any, path: Path) -> None:
    inner = Sequential(Tanh(), Residual(Settings(1, named=value)))
    message = r"(?s)save: layer 0\.1, Residual.*: inner, Settings.*: named is .*, which cannot be saved; a file stores"
    assert_not_saved(Sequential(inner), path, message)


class Table(Copy):
    """Cannot be made without an array."""

    def __init__(self, rows: Any) -> None:
        self.rows = Buffer(np.shape(rows), rows)


def test_what_is_left_out_must_have_a_default(path: Path) -> None:
    message = r"save: layer 1, Table\(\.\.\.\): a file omits rows, .*; give it a default, such as rows=None"
    assert_not_saved(Sequential(Tanh(), Table(np.eye(2))), path, message)


class Gain(Scale):
    """Has another shape without its array than with it."""

    def __init__(self, start: Any = None) -> None:
        super().__init__(1 if start is None else len(start))


def test_a_model_that_would_come_back_as_another_one_is_refused(path: Path) -> None:
    message = r"save: this model: its state is .*\(3,\).*, but rebuilt from the same arguments it is .*\(1,\)"
    assert_not_saved(Sequential(Gain(np.ones(3))), path, message, ValueError)


def test_a_setting_that_was_changed_since_is_named(path: Path) -> None:
    dropout = Dropout(0.5)
    model = Sequential(Sequential(Tanh(), dropout))
    dropout.rate = 0.25
    message = r"save: layer 0\.1, Dropout\(0\.5\): its rate is 0\.25, but rebuilt .* it is 0\.5; a file stores"
    assert_not_saved(model, path, message, ValueError)


class Times(Activation):
    """Keeps its argument under another name, and has all kinds of other settings."""

    mode = "plain"

    def __init__(self, factor: float = 1.0) -> None:
        self.f = factor
        self.steps, self.table, self.dtype = [1, (2.0, None)], {"a": [True]}, np.dtype(np.float32)
        self.start, self.call, self.names = np.float64(0.5), np.sin, {"x", "y"}
        self.scaled = lambda a: a * factor
        self.nested = [np.arange(3.0), {"b": np.eye(2)}]

    def function(self, a: Array) -> Array:
        return a * self.f

    def derivative(self, a: Array, y: Array) -> Array:
        return np.full_like(a, self.f)


CHANGES: list[tuple[str, Any]] = [
    *[("f", 5.0), ("f", 2), ("f", np.nan), ("f", "2.0"), ("f", None), ("mode", "other"), ("new", 1), ("start", 0.25)],
    *[("steps", [1, (2.0, 0)]), ("steps", [1, [2.0, None]]), ("steps", (1, (2.0, None))), ("table", {"a": [1]})],
    *[("table", {}), ("dtype", np.dtype(np.float64)), ("call", np.cos), ("names", {"x"}), ("scaled", lambda a: a)],
    *[("nested", [np.arange(3.0), {"b": np.eye(3)}]), ("nested", [np.arange(3), {"b": np.eye(2)}])],
]


@pytest.mark.parametrize(("name", "value"), CHANGES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_any_setting_that_was_changed_since_is_named(name: str, value: Any, path: Path) -> None:
    model = Sequential(Tanh(), Times(2.0))
    setattr(model[1], name, value)
    message = rf"(?s)save: layer 1, Times\(2\.0\): its {name} is .*, but rebuilt from the same arguments it is "
    assert_not_saved(model, path, message, ValueError)


def test_a_setting_of_a_built_in_class_that_was_changed_since_is_named(path: Path) -> None:
    model = Sequential(Linear(3, 2), SELU(), rng=0)
    model[1].scale = 3.0
    assert_not_saved(model, path, r"save: layer 1, SELU\(\): its scale is 3\.0, but rebuilt .* it is 1\.05", ValueError)
    model = Sequential(Linear(3, 2))
    model[0].out_features = 3
    assert_not_saved(model, path, r"layer 0, Linear\(3, 2\): its out_features is 3", ValueError)


def test_settings_that_are_as_they_were_made_are_saved(path: Path) -> None:
    """Set anew to equal values, from NumPy's numbers, or compared with themselves: none is refused."""
    number: Any = np.float32(0.1)
    model = Sequential(Times(number), Times(2.0), Times(np.nan), rng=0)
    layer: Any = model[1]
    layer.f, layer.start, layer.steps, layer.nested = np.float64(2.0), 0.5, [1, (2.0, None)], list(layer.nested)
    layer.mode = "plain"
    layer.steps.append(layer.steps)
    layer.steps.pop()
    save(model, path)
    again = load(path, layers={"Times": Times})
    np.testing.assert_array_equal(again(np.ones((1, 2))), model(np.ones((1, 2))))


class Unequal:
    """Compares entry by entry, as a table does."""

    def __eq__(self, other: object) -> Any:
        return [True, False]

    __hash__ = None  # type: ignore[assignment]  # as where __eq__ stands alone


class Opaque(Copy):
    """Holds what nobody can compare, and what refers to itself."""

    def __init__(self) -> None:
        def halved(number: float) -> float:
            return halved(number / 2) if number > 1 else number

        self.lock, self.call, self.frame = threading.Lock(), halved, Unequal()
        self.rng, self.start = np.random.default_rng(), Normal(1.0)


def test_what_cannot_be_compared_stands_in_the_way_of_no_save(path: Path) -> None:
    save(Sequential(Opaque()), path)
    load(path, layers={"Opaque": Opaque})


class Drawn(Copy):
    """Draws a constant that no file keeps."""

    def __init__(self) -> None:
        self.shift = np.random.default_rng().normal(size=3)


def test_a_constant_that_is_drawn_at_random_is_named_with_what_to_do(path: Path) -> None:
    message = r"save: layer 0, Drawn\(\): its shift is array.* or declare it as a Buffer"
    assert_not_saved(Sequential(Drawn()), path, message, ValueError)


class Masked(Copy):
    """Holds a constant that no file keeps."""

    def __init__(self, mask: Any = None, steps: Any = (1, 2)) -> None:
        self._mask, self.steps = np.asarray(mask if mask is not None else [0.0]), steps


def test_constants_that_a_file_would_lose_are_named(path: Path) -> None:
    save(Sequential(Masked()), path)
    path.unlink()
    for layer in (Masked(np.ones(1)), Masked([[1], [2]]), Masked(np.zeros(2000))):
        message = r"save: layer 0, Masked\(\.\.\.\): its _mask is array\(.*, but rebuilt .* it is array\(\[0\.\]\)"
        assert_not_saved(Sequential(layer), path, f"(?s){message}", ValueError)
    assert_not_saved(
        Sequential(Masked(steps=[[1, 1]])), path, r"its steps is \[\[1, 1\]\], but .* it is \(1, 2\)", ValueError
    )


def test_an_array_among_more_arguments_is_named(path: Path) -> None:
    assert_not_saved(Sequential(Settings(1, np.eye(2))), path, "rest is an array, which cannot be saved")


def test_two_classes_of_one_name_are_refused(path: Path) -> None:
    Other = type("Scale", (Scale,), {})
    message = "two classes of this model are called Scale; rename one"
    assert_not_saved(Sequential(Scale(2), Other(2)), path, message, ValueError)


def test_what_is_no_model_is_refused(path: Path) -> None:
    assert_not_saved(Linear(2, 3), path, re.escape("save: expected a Sequential, got Linear(2, 3); write Sequential("))
    assert_not_saved({"0.weight": 1}, path, "save: expected a Sequential, got")


class Complex(Copy):
    """Owns numbers that no such file holds."""

    def __init__(self) -> None:
        self.phase = Buffer((), 0, dtype=complex)


def test_a_buffer_that_no_file_holds_is_named(path: Path) -> None:
    assert_not_saved(Sequential(Complex()), path, r"save: 0\.phase is of dtype complex128")


@pytest.mark.parametrize("call", [lambda path: save(Sequential(), path), load, read_arrays])
def test_a_path_of_another_kind_is_refused(call: Callable[[Any], Any]) -> None:
    for name in ("net", "net.npy", "net.NPZ", ".npz", ""):
        with pytest.raises(ValueError, match=rf"ends in \.npz or \.safetensors, got {re.escape(repr(name))}$"):
            call(name)
    with pytest.raises(ValueError, match="a pickle could run anything: write it with safetensors"):
        call("net.pth")
    with pytest.raises(ValueError, match=r"got 'net\.onnx'; for ONNX write from nanonet\.interchange import onnx$"):
        call("net.onnx")
    with pytest.raises(TypeError, match="expected path as a str or Path, got 3"):
        call(3)


def test_a_missing_file_is_an_error_of_the_system(path: Path) -> None:
    for call in (load, read_arrays):
        with pytest.raises(FileNotFoundError, match=re.escape(path.name)):
            call(path)


def test_the_package_safetensors_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    save(Sequential(Linear(2, 1)), tmp_path / "net.safetensors")
    assert list(read_arrays(tmp_path / "net.safetensors")) == ["0.weight", "0.bias"]
    load(tmp_path / "net.safetensors")


# ---- files of another kind


def with_page(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the page of a file, and see that nothing but that makes it another one."""
    if path.suffix == ".npz":
        entries = entries_of(path)
        page = json.loads(entries["nanonet.json"])
        change(page)
        path.write_bytes(sealed(packed(entries | {"nanonet.json": json.dumps(page).encode()})))
    else:
        header, data = taken_apart(path)
        page = json.loads(header["__metadata__"]["nanonet"])
        change(page)
        header["__metadata__"]["nanonet"] = json.dumps(page)
        path.write_bytes(digested(header, data))


def digested(header: dict[str, Any], data: bytes) -> bytes:
    """Return a safetensors file with the digest that nanonet looks for: that of the file with 64 zeros in its place."""
    header["__metadata__"]["nanonet.sha256"] = "0" * 64  # which stands first, as nanonet wrote it
    whole = put_together(header, data)
    return whole.replace(b"0" * 64, hashlib.sha256(whole).hexdigest().encode(), 1)


def taken_apart(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the header and the bytes behind it of a safetensors file."""
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    return json.loads(whole[8:end]), whole[end:]


def put_together(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def assert_refused(path: Path, message: str, call: Callable[[Path], Any] = load) -> None:
    """See that a file is refused with its name and a reason."""
    with pytest.raises(ValueError, match=message) as refusal:
        call(path)
    assert str(path) in str(refusal.value)


def test_a_newer_format_is_refused_with_what_to_do(path: Path) -> None:
    save(Sequential(Linear(1, 1)), path)
    with_page(path, lambda page: None)
    load(path)
    with_page(path, lambda page: page.update(format=3, nanonet="9.0"))
    assert_refused(path, r"written by nanonet 9\.0 in format 3; .* which reads formats up to 2: install a newer one")
    assert list(read_arrays(path)) == ["0.weight", "0.bias"]


def test_a_checkpoint_of_a_training_is_no_model(tmp_path: Path) -> None:
    small().save(tmp_path / "run.npz")
    assert_refused(tmp_path / "run.npz", "it is a checkpoint, which Trainer.resume reads")
    assert "parameter/0.weight" in read_arrays(tmp_path / "run.npz")


def test_arrays_alone_are_no_model_but_say_how_they_are_read(path: Path) -> None:
    write_arrays(path, {"0.weight": np.ones((1, 2)), "0.bias": np.zeros(1)})
    assert_refused(path, r"holds no architecture; .* model\.load_state_dict\(nanonet\.read_arrays\(path\)\)")
    model = Sequential(Linear(2, 1))
    model.load_state_dict(read_arrays(path))
    assert model([[3, 4]]) == 7


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a file as others do."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]  # allow_pickle might be a name
    else:
        package_safetensors().save_file(dict(arrays), path)


def package_safetensors() -> Any:
    """Return the package, which tests compare with."""
    return pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f4", ">f8", "i1", "i2", "i4", "i8", ">i4", "u1", "u2", "u4", "u8", "?"]
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3), (2, 1, 2)], ids=str)
def test_arrays_of_all_number_types_are_read(shape: tuple[int, ...], dtype: str, path: Path) -> None:
    array = np.array(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2, dtype)
    if path.suffix == ".safetensors" and dtype.startswith(">"):
        array = np.array(array, dtype[1:])  # the package does not write others
    write_arrays(path, {"a": array, "b.c": array})
    found = read_arrays(path)
    assert sorted(found) == ["a", "b.c"]
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].dtype == array.dtype.newbyteorder("=")
    assert found["a"].dtype.isnative
    assert found["a"].flags.writeable
    assert found["a"].flags.aligned


def test_compressed_and_column_major_arrays_are_read(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez_compressed(tmp_path / "a.npz", array, zeros=np.zeros((1000, 1000)))
    found = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["arr_0"], array)
    assert found["zeros"].shape == (1000, 1000)


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    numbers = np.array([1.5, -2.0, 3e38, np.inf], np.float32)
    data = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    (tmp_path / "a.safetensors").write_bytes(put_together(header, data))
    found = read_arrays(tmp_path / "a.safetensors")["a"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), numbers, rtol=0.01)


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array(["x"]), "expected numbers, got dtype <U1"),
        (np.array([1j]), "expected numbers, got dtype complex128"),
        (np.zeros(2, "f4,i4"), r"expected numbers, got dtype \["),
        (np.zeros(2, "M8[s]"), "expected numbers, got dtype datetime64"),
        (np.zeros(2, "V2"), "expected numbers, got dtype .V2"),  # as ml_dtypes writes bfloat16
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_arrays_of_anything_but_numbers_are_refused(array: npt.NDArray[Any], what: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", good=np.ones(2), bad=array)
    assert_refused(tmp_path / "a.npz", rf"nothing was loaded: bad\.npy: {what}", read_arrays)


def test_a_dtype_that_numpy_does_not_have_is_refused(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    (tmp_path / "a.safetensors").write_bytes(put_together(header, b"xx"))
    assert_refused(tmp_path / "a.safetensors", "a is of dtype F8_E4M3, which NumPy does not have", read_arrays)


def test_names_that_are_missing_or_too_many_are_listed_and_the_model_stands(path: Path) -> None:
    model = Sequential(Linear(2, 1), rng=0)
    before = picture(model)
    write_arrays(path, {"0.weight": np.ones((2, 1)), "1.weight": np.ones(2)})
    with pytest.raises(ShapeError) as refusal:
        model.load_state_dict(read_arrays(path))
    lines = sorted(line.strip() for line in str(refusal.value).splitlines()[1:])
    assert lines == [
        "0.weight: expected shape (1, 2), got (2, 1)",
        "missing: 0.bias, shape (1,)",
        "unexpected: 1.weight, shape (2,)",
    ]
    assert picture(model) == before


def test_a_file_whose_architecture_and_arrays_differ_is_refused(path: Path) -> None:
    save(Sequential(Linear(1, 1)), path)
    with_page(path, lambda page: page["model"]["arguments"]["layers"]["tuple"].clear())
    assert_refused(
        path, r"its architecture and its arrays do not fit, nothing was loaded:\n  unexpected: 0\.weight, float32"
    )
    save(Sequential(Linear(1, 1)), path)
    with_page(path, lambda page: page.update(frozen=["7.weight"]))
    assert_refused(path, r"no parameters to freeze: 7\.weight")


@pytest.mark.parametrize("layers", [[Scale], {"Scale": Scale(2)}, {"Scale": int}, {3: Scale}, "Scale"], ids=repr)
def test_classes_that_are_none_are_refused(layers: Any, path: Path) -> None:
    save(Sequential(Scale(2)), path)
    with pytest.raises(TypeError, match="load: expected layers"):
        load(path, layers=layers)


# ---- damage


@EVERY
def test_a_file_that_is_cut_off_at_any_byte_is_refused(path: Path, every: int) -> None:
    save(Sequential(Linear(1, 1), Tanh(), rng=0), path)
    good = path.read_bytes()
    for length in range(0, len(good), every):
        path.write_bytes(good[:length])
        assert_refused(path, ".")
        assert_refused(path, ".", read_arrays)
    path.write_bytes(good)
    load(path)


@EVERY
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_of_numpy_that_is_cut_off_at_any_byte_is_refused(compressed: bool, every: int, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, a=np.arange(5.0), b=np.eye(2))
    good = path.read_bytes()
    for length in range(0, len(good), every):
        path.write_bytes(good[:length])
        assert_refused(path, "not a complete .npz file of numbers, nothing was loaded", read_arrays)


def other_bytes(good: bytes, every: int) -> Iterator[bytes]:
    for i in range(0, len(good), every):
        for change in (1 << i % 8, 255):
            yield good[:i] + bytes([good[i] ^ change]) + good[i + 1 :]


@EVERY
def test_a_file_of_ours_with_a_byte_of_another_value_is_refused_by_name(path: Path, every: int) -> None:
    save(Sequential(Linear(1, 1), rng=0), path)
    for each in other_bytes(path.read_bytes(), every):
        path.write_bytes(each)
        assert_refused(path, "damaged|not a complete|holds no architecture")
        if path.suffix == ".safetensors":
            assert_refused(path, "not a complete", read_arrays)
        else:
            read_or_refused(path, read_arrays)  # a page of another name, which makes it a file of others


def test_a_safetensors_file_that_nanonet_0_1_wrote_without_a_digest_is_read(tmp_path: Path) -> None:
    path, model = tmp_path / "net.safetensors", Sequential(Linear(2, 1), rng=0)
    save(model, path)
    header, data = taken_apart(path)
    page = json.loads(header["__metadata__"]["nanonet"])
    del page["sealed"]
    header["__metadata__"] = {"nanonet": json.dumps(page)}
    path.write_bytes(put_together(header, data))
    assert_same(load(path), model)


def test_a_digest_that_is_gone_or_moved_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(Sequential(Linear(2, 1), rng=0), path)
    header, data = taken_apart(path)
    told = header["__metadata__"].pop("nanonet.sha256")
    path.write_bytes(put_together(header, data))
    assert_refused(path, "it was written with a digest, which is missing")
    for digest in ("", "x" * 64, told.upper(), told + told):
        header["__metadata__"]["nanonet.sha256"] = digest
        path.write_bytes(put_together(header, data))
        assert_refused(path, "its nanonet.sha256 is invalid|damaged: its SHA-256 does not match")


@EVERY
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_of_numpy_with_a_byte_of_another_value_is_read_as_it_was_or_refused(
    compressed: bool, every: int, tmp_path: Path
) -> None:
    path, array = tmp_path / "a.npz", np.arange(5.0)
    (np.savez_compressed if compressed else np.savez)(path, a=array)
    for each in other_bytes(path.read_bytes(), every):
        path.write_bytes(each)
        found = read_or_refused(path, read_arrays)
        if found is not None:
            (only,) = found.values()
            np.testing.assert_array_equal(only, array)


def read_or_refused(path: Path, call: Callable[[Path], Any]) -> Any:
    """Return what a call reads, or None where it refuses the file by its name."""
    try:
        return call(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
    return None


@given(st.data())
def test_a_file_with_any_damage_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    suffix = draw.draw(st.sampled_from([".npz", ".safetensors"]))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    write_arrays(path, {"a": np.arange(5.0), "b": np.eye(2)})
    damaged = bytearray(path.read_bytes())
    for _ in range(draw.draw(st.integers(1, 4))):
        start = draw.draw(st.integers(0, len(damaged)))
        end = draw.draw(st.integers(start, min(start + 9, len(damaged))))
        damaged[start:end] = draw.draw(st.binary(max_size=9))
    path.write_bytes(damaged)
    read_or_refused(path, read_arrays)
    read_or_refused(path, load)


# ---- hostile files


@pytest.mark.parametrize("call", [load, read_arrays])
def test_a_pickle_is_refused_and_never_opened(call: Callable[[Path], Any], tmp_path: Path) -> None:
    path, trace = tmp_path / "a.npz", tmp_path / "trace"
    save(Sequential(Linear(1, 1)), path)
    good, array = entries_of(path), npy(hostile(trace), allow_pickle=True)
    for entries in (
        good | {"0.bias.npy": array},
        good | {"0.bias.npy": pickle.dumps(Opens(trace))},
        good | {"more.pkl": pickle.dumps(Opens(trace))},
        good | {"nanonet.json": pickle.dumps(Opens(trace))},
    ):
        path.write_bytes(sealed(packed(entries)))
        assert_refused(path, "nothing (of it )?was loaded", call)
    path.write_bytes(pickle.dumps(Opens(trace)))
    assert_refused(path, ".", call)
    np.savez(path, a=hostile(trace), allow_pickle=True)
    assert_refused(path, ".", call)
    assert not trace.exists()


class Peak:
    """The most memory that Python and NumPy take within a block, in bytes, beyond what they have before."""

    def __enter__(self) -> Peak:
        tracemalloc.start()
        self.bytes = 0
        return self

    def __exit__(self, *error: object) -> None:
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def npy_header(shape: str, version: int = 1, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


@pytest.mark.parametrize(
    "header",
    [
        npy_header("(1000000000,)"),
        npy_header("(1000000000, 1000000000)"),
        npy_header("(3, 99999999999999999999)", version=2),
        npy_header("(-1, 8)"),
        npy_header("(-2, -4)"),
        npy_header("(0,)"),
        npy_header("(9,)"),
        npy_header("(8,)", descr="'<f16'"),
        npy_header("(8,)", descr="'|O'"),
        npy_header("(8,)", descr="[('a', '<f8', (100000000,))]"),
        npy_header("(8,)", version=3),
        npy_header("(8,)", version=7),
        npy_header("(8"),
        npy_header("(8,), 'more': 1"),
        npy_header("[" * 5000 + "]" * 5000),
        npy_header("-" * 9000 + "1"),
        npy_header("__import__('os').getcwd()"),
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"",
    ],
    ids=lambda header: repr(header[10:60]),
)
def test_a_header_that_promises_what_is_not_there_is_refused_within_bounds(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for entry in (header + bytes(64), header + bytes(1)):
        path.write_bytes(packed({"a.npy": entry}))
        with Peak() as peak:
            assert_refused(path, "not a complete .npz file of numbers, nothing was loaded", read_arrays)
        assert peak.bytes < 4 << 20


def test_the_headers_in_these_tests_are_read_where_they_are_true(tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / "a.npz").write_bytes(packed({"a.npy": npy_header("(8,)", version) + bytes(64)}))
        np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["a"], np.zeros(8))


@functools.cache
def bomb(size: int, method: int = zipfile.ZIP_DEFLATED, parts: int = 1) -> bytes:
    """Return a zip file that unfolds to zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for part in range(parts):
            with archive.open(f"{part}.npy", "w") as member:
                member.write(npy_header(f"({size // 8},)"))
                for _ in range(size >> 20):
                    member.write(bytes(1 << 20))
    return file.getvalue()


@pytest.mark.parametrize("parts", [1, 8])
def test_a_zip_bomb_is_refused_before_it_unfolds(parts: int, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(bomb((96 << 20) // parts, parts=parts))
    assert path.stat().st_size < 1 << 20
    for contents in (path.read_bytes(), sealed(path.read_bytes())):
        path.write_bytes(contents)
        for call in (load, read_arrays):
            with Peak() as peak:
                assert_refused(path, f"would decompress to .* more than {UNFOLDED} times|holds no architecture", call)
            assert peak.bytes < 4 << 20


def test_a_zip_bomb_that_hides_its_size_unfolds_to_no_more_than_it_says(tmp_path: Path) -> None:
    path, size = tmp_path / "a.npz", 96 << 20
    whole = bomb(size)
    told = len(npy_header(f"({size // 8},)")) + size
    path.write_bytes(whole.replace(struct.pack("<I", told), struct.pack("<I", 1000)))
    with Peak() as peak:
        assert_refused(path, "nothing was loaded", read_arrays)
    assert peak.bytes < 8 << 20


@pytest.mark.parametrize("contents", [npy_header("(1000000000,)") + bytes(64), None], ids=["header", "bomb"])
def test_a_sealed_checkpoint_that_promises_what_is_not_there_is_refused_within_bounds(
    contents: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "run.npz"
    small().save(path)
    if contents is not None:
        path.write_bytes(sealed(packed(entries_of(path) | {"parameter/0.weight.npy": contents})))
    else:
        whole = io.BytesIO(bomb(256 << 20))
        with zipfile.ZipFile(whole, "a") as archive:
            archive.writestr("nanonet.json", entries_of(path)["nanonet.json"])
        path.write_bytes(sealed(whole.getvalue()))
    with Peak() as peak:
        assert_refused(path, "not written by nanonet, nothing of it was loaded", small(1).resume)
    assert peak.bytes < 4 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_does_not_use_is_refused(method: int, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(bomb(16 << 20, method))
    with Peak() as peak:
        assert_refused(path, "compressed in a way that NumPy does not use", read_arrays)
    assert peak.bytes < 4 << 20


def test_parts_that_lie_one_over_another_are_refused(tmp_path: Path) -> None:
    path, array = tmp_path / "a.npz", np.zeros(100_000)
    np.savez(path, a=array)
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    entry = whole[start:end]
    entries = b"".join(entry.replace(b"a.npy", f"{i}.npy".encode()) for i in range(10))
    path.write_bytes(whole[:start] + entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 10, 10, len(entries), start, 0))
    with Peak() as peak:
        assert_refused(path, "its parts are longer than the file, or overlap", read_arrays)
    assert peak.bytes < 1 << 20


def test_an_encrypted_part_and_a_name_that_stands_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones(3))
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    path.write_bytes(whole[: start + 8] + b"\x01\x00" + whole[start + 10 :])
    assert_refused(path, "encrypted", read_arrays)
    path.write_bytes(packed({"a.npy": npy(np.ones(3)), "a": npy(np.ones(3))}))
    assert_refused(path, "it holds a twice", read_arrays)


def directory(names: list[str]) -> bytes:
    """Return a zip file's directory alone, which is the shortest way to many names."""
    entries = b"".join(
        struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0)
        + name.encode()
        for name in names
    )
    return entries + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(names), len(names), len(entries), 0, 0)


def test_of_very_many_names_one_that_stands_twice_is_found(tmp_path: Path) -> None:
    """In time that grows with their number: with its square it would be minutes."""
    path = tmp_path / "a.npz"
    path.write_bytes(directory([f"{min(i, 19_998)}.npy" for i in range(20_000)]))
    for call in (load, read_arrays):
        assert_refused(path, "it holds 19998 twice", call)


def test_a_page_that_is_compressed_or_very_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What describes a model takes many times its length in memory, and lists of nothing fold well."""
    path = tmp_path / "net.npz"
    save(Sequential(), path)
    entries = entries_of(path)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as folded:
        folded.writestr("nanonet.json", b"[" + b"[]," * 5_000_000 + b"[]]")
    path.write_bytes(sealed(file.getvalue()))
    with Peak() as peak:
        assert_refused(path, "nanonet.json is compressed, or longer than")
    assert peak.bytes < 4 << 20
    path.write_bytes(sealed(packed(entries)))
    load(path)
    monkeypatch.setattr("nanonet.storage.archive.LONGEST_PAGE", 100)
    assert_refused(path, "nanonet.json is compressed, or longer than 100 bytes")
    for name in ("net.npz", "net.safetensors"):
        with pytest.raises(ValueError, match="bytes long; a file takes 100"):
            save(Sequential(), tmp_path / name)


@pytest.mark.parametrize(
    ("shape", "message"), [([0, 10**400], "."), ([2**62] * 5000, "an invalid shape"), ([0] * 65, "an invalid shape")]
)
def test_a_shape_that_no_array_has_is_refused(shape: list[int], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(put_together({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}))
    assert_refused(path, message, read_arrays)


def test_a_name_that_stands_twice_in_a_safetensors_file_is_refused(tmp_path: Path) -> None:
    path, entry = tmp_path / "a.safetensors", json.dumps(F4)
    path.write_bytes(put_together(f'{{"a": {entry}, "a": {entry}}}'.encode(), bytes(4)))
    assert_refused(path, "its header has a duplicate name", read_arrays)


@pytest.mark.peer
@given(st.data())
def test_what_the_package_safetensors_refuses_is_refused_and_what_it_reads_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    package = package_safetensors()
    whole = bytearray(package.save({"a": np.arange(3, dtype="f4"), "b": np.ones((2, 1)), "c": np.zeros((0, 2), "i1")}))
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(whole) - 1))
        whole[place] = draw.draw(st.sampled_from(b'0123456789,:{}[]"FI \x00') | st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "compared.safetensors"
    path.write_bytes(whole)
    found = read_or_refused(path, read_arrays)
    if found is not None:
        theirs = package.load_file(path)
        assert found.keys() == theirs.keys()
        for name, array in theirs.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert found[name].tobytes() == array.tobytes()


F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "contents",
    [
        put_together({"a": F4 | {"data_offsets": [0, 8]}}, bytes(8)),
        put_together({"a": F4 | {"data_offsets": [4, 8]}}, bytes(8)),
        put_together({"a": F4 | {"data_offsets": [4, 0]}}, bytes(4)),
        put_together({"a": F4 | {"data_offsets": [-4, 0]}}, bytes(4)),
        put_together({"a": F4 | {"data_offsets": [0, 1 << 62]}}, bytes(4)),
        put_together({"a": F4, "b": F4}, bytes(4)),
        put_together({"a": F4}, bytes(3)),
        put_together({"a": F4}, bytes(5)),
        put_together({"a": F4 | {"shape": [1 << 40, 1 << 40]}}, bytes(4)),
        put_together({"a": F4 | {"shape": [1000000000]}}, bytes(4)),
        put_together({"a": F4 | {"shape": [-1]}}, bytes(4)),
        put_together({"a": F4 | {"dtype": "O"}}, bytes(4)),
        put_together({"a": 3}, bytes(4)),
        put_together([], bytes(4)),
        put_together(b"{" * 100_000),
        put_together(b'{"a":' * 100_000),
        put_together(b"\xff\xfe"),
        put_together({"__metadata__": {"nanonet": "[" * 100_000}}),
        put_together({"__metadata__": {"nanonet": "[1]"}}),
        put_together({"__metadata__": {"nanonet": "no json"}}),
        (1 << 62).to_bytes(8, "little") + b"{}",
        (1 << 30).to_bytes(8, "little") + b"{}" + bytes(1 << 20),
        b"",
        bytes(8),
        bytes(100),
    ],
    ids=lambda contents: repr(contents[8:70]),
)
def test_a_safetensors_file_whose_header_is_not_true_is_refused_within_bounds(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(contents)
    with Peak() as peak:
        assert_refused(path, r"not a complete \.safetensors file of numbers, nothing was loaded", read_arrays)
        assert_refused(path, "not a complete|holds no architecture")
    assert peak.bytes < (4 << 20) + 8 * len(contents)


# ---- hostile architectures


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class": name, "arguments": arguments}


def chain(*layers: Any, **arguments: Any) -> dict[str, Any]:
    return call("nanonet.Sequential", layers={"tuple": list(layers)}, **arguments)


HUGE = call("nanonet.Linear", in_features=10**6, out_features=10**6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (chain(HUGE), "its layers need 1000001000000 numbers, but it holds 2"),
        (chain(call("nanonet.Residual", inner=chain(HUGE))), "its layers need"),
        (chain(call("nanonet.Linear", in_features=10**400, out_features=1)), "its layers need"),
        (chain(*[chain(call("nanonet.Linear", in_features=1, out_features=1))] * 9), "its layers need 4 numbers"),
        (chain(call("Scale", features=1)), re.escape('layers of your own; write load(path, layers={"Scale": Scale})')),
        (chain(call("nanonet.Attention", heads=2)), r"does not have: \['nanonet\.Attention'\]"),
        (chain(call("nanonet.Trainer")), r"does not have: \['nanonet\.Trainer'\]"),
        (chain(call("nanonet.CSVLog", path="x.csv")), r"does not have: \['nanonet\.CSVLog'\]"),
        (chain(call("nanonet.__builtins__")), "does not have"),
        (chain(call("nanonet.os.system")), "does not have"),
        (chain(call("nanonet.Layer")), "expected the call of a layer"),
        (chain(call("nanonet.Activation")), "expected the call of a layer"),
        (call("nanonet.Tanh"), "expected a Sequential, got Tanh"),
        (chain(call("nanonet.Dropout", rate=2)), "Dropout: expected a finite rate"),
        (chain(call("nanonet.Dropout", rate={"float": "nan"})), "Dropout: expected a finite rate"),
        (chain(call("nanonet.Dropout", speed=2)), "Dropout takes no argument speed"),
        (chain(call("nanonet.Dropout", self=2)), "Dropout takes no argument self"),
        (chain(call("nanonet.Tanh", slope=2)), "Tanh takes no argument slope"),
        (chain(call("nanonet.Linear", in_features=2)), "Linear.*out_features"),
        (chain(call("nanonet.Linear", in_features="2", out_features=1)), "expected in_features as an int"),
        (chain(dtype="float16"), "expected dtype float32 or float64"),
        (chain(rng=-1), "expected rng of 0 or more"),
        (chain(dtype={"dtype": "no such"}), "."),
        (chain(3), "expected layer 0 to be a Layer"),
        (call("nanonet.Sequential", layers=3), "."),
        (chain({"class": "nanonet.Tanh"}), "expected the call of a layer"),
        (chain({"class": ["nanonet.Tanh"], "arguments": {}}), "expected the call of a layer"),
        (chain({"pickle": "x"}), "expected the value of an argument"),
        ([], "expected the call of a layer"),
        (None, "expected the call of a layer"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_architecture_that_is_none_is_refused_within_bounds(model: Any, message: str, path: Path) -> None:
    save(Sequential(Linear(1, 1)), path)
    with_page(path, lambda page: page.update(model=model))
    with Peak() as peak:
        assert_refused(path, message)
    assert peak.bytes < 32 << 20


@pytest.mark.parametrize("depth", [3, 100, 200, 400, 1000, 100_000])
def test_an_architecture_that_is_nested_deeply_is_built_or_refused(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save(Sequential(), path)
    page = entries_of(path)["nanonet.json"].decode()
    before, after = json.dumps(chain(0)).split("0")
    text = re.sub(
        r'"model": \{.*\},', f'"model": {before * depth}{json.dumps(chain())}{after * depth},', page, flags=re.S
    )
    path.write_bytes(sealed(packed({"nanonet.json": text.encode()})))
    model = read_or_refused(path, load)
    assert (model is None) == (depth > 100) or depth in (100, 200, 400)


# ---- models that are deep, and long


@pytest.mark.parametrize("depth", [40, pytest.param(190, marks=pytest.mark.slow)])
def test_chains_that_stand_deep_within_each_other_come_back(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    model = Sequential(Linear(2, 2), rng=0)
    for i in range(depth):
        model = Sequential(model if i % 3 else Residual(model), Tanh())
    save(model, path)
    again = load(path)
    assert list(again.parameters()) == list(model.parameters())
    np.testing.assert_array_equal(again.vector.value, model.vector.value)


def test_what_stands_deep_is_kept_beside_it_and_named_where_it_is_refused(path: Path) -> None:
    model, inner = Sequential(Settings(np.sin)), Sequential(Linear(2, 2), rng=0)
    for _ in range(40):
        model, inner = Sequential(model), Sequential(inner)
    place = ".".join(["0"] * 41)
    assert_not_saved(model, path, rf"save: layer {place}, Settings\(<ufunc 'sin'>.*\): first is .*, which cannot")
    inner[0][0].note = "set since"  # type: ignore[index]  # chains
    assert_not_saved(inner, path, r"layer 0\.0, Sequential: its note is 'set since', but .* it is missing", ValueError)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([chain({"part": 0})], "part 0 is missing, is used twice, or contains itself"),
        ([chain({"part": 1}), chain({"part": 0})], "part 0 is missing"),
        ([chain()], r"."),
        ({}, "expected its parts as a list, got {}"),
        ([3], "expected the call of a layer, got 3"),
        ([call("Scale", features=1)], "layers of your own"),
    ],
    ids=str,
)
def test_parts_that_are_none_are_refused(parts: Any, message: str, path: Path) -> None:
    save(Sequential(), path)
    with_page(path, lambda page: page.update(format=2, parts=parts, model=chain({"part": 0}, {"part": 0})))
    assert_refused(path, message)


@pytest.mark.slow
def test_a_file_of_a_model_that_is_nested_without_end_is_refused(path: Path) -> None:
    parts = [*(chain({"part": i}) for i in range(1, 400)), chain()]
    save(Sequential(), path)
    with_page(path, lambda page: page.update(format=2, parts=parts, model=chain({"part": 0})))
    assert_refused(path, "nested")


def test_a_long_chain_takes_as_many_calls_as_it_has_layers(path: Path) -> None:
    """A chain of 100,000 layers is saved in seconds; what grew with the square would take hours."""
    with Calls() as few:
        save(Sequential(*(Tanh() for _ in range(50))), path)
        load(path)
    with Calls() as many:
        save(Sequential(*(Tanh() for _ in range(150))), path)
        load(path)
    assert many.count < 3.2 * few.count


class Calls:
    """Counts the calls of functions, Python's and C's, within a block."""

    def __enter__(self) -> Calls:
        self.count = 0
        sys.setprofile(self._called)
        return self

    def _called(self, frame: Any, event: str, argument: Any) -> None:
        self.count += event in ("call", "c_call")

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)


def test_many_layers_within_many_chains_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to build them is that of their number times that of the chains."""
    model = Sequential(*(Tanh() for _ in range(20)))
    for _ in range(5):
        model = Sequential(model)
    save(model, path)
    monkeypatch.setattr("nanonet.models.architecture.VISITS", 100)
    message = "it has more than 100 layers, counting each once per chain around it"
    assert_refused(path, message)
    path.unlink()
    assert_not_saved(model, path, message, ValueError)


# ---- what is no file, or keeps not still


@pytest.mark.peer
@pytest.mark.skipif(os.name != "posix", reason="Windows has neither pipes nor devices in folders")
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx"])
def test_what_is_no_regular_file_is_refused_at_once(suffix: str, tmp_path: Path) -> None:
    """A pipe into which nobody writes, and a device without an end."""
    pipe, zero = tmp_path / f"pipe{suffix}", tmp_path / f"zero{suffix}"
    os.mkfifo(pipe)
    zero.symlink_to("/dev/zero")
    calls: list[Callable[[Path], Any]] = [load, read_arrays]
    if suffix == ".onnx":
        pytest.importorskip("onnx", reason="onnx is not installed")
        calls = [onnx.load]
    for path, call in itertools.product([pipe, zero], calls):
        assert_refused(path, "expected a regular file, got a device or a pipe", call)


@pytest.mark.parametrize("call", [load, read_arrays])
def test_a_file_that_is_cut_off_while_it_is_read_is_refused(
    call: Callable[[Path], Any], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Sequential(Linear(1000, 1000), rng=0), path)
    real = disk.pieces

    def pieces(file: Any, size: int) -> Iterator[bytes]:
        for piece in real(file, size):
            yield piece
            os.truncate(path, 100_000)

    monkeypatch.setattr("nanonet.storage.disk.pieces", pieces)
    assert_refused(path, "it changed while it was read", call)


@pytest.mark.parametrize("call", [load, read_arrays])
def test_a_file_that_changes_after_its_digest_was_checked_is_refused(
    call: Callable[[Path], Any], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Sequential(Linear(1000, 1000), Linear(1000, 2), rng=0), path)
    real = Stored.copy_into

    def copy_into(self: Stored, place: Any, name: str) -> None:
        if name == "1.weight":
            with open(path, "r+b") as file:
                file.seek(-100_000, os.SEEK_END)
                file.write(b"x" * 100)
        real(self, place, name)

    monkeypatch.setattr(Stored, "copy_into", copy_into)
    assert_refused(path, "it changed while it was read", call)


@pytest.mark.parametrize("page", [{}, {"kind": "model"}, {"kind": "model", "format": 1}], ids=str)
def test_a_page_that_lacks_something_is_refused(page: dict[str, Any], path: Path) -> None:
    save(Sequential(Linear(1, 1)), path)

    def change(old: dict[str, Any]) -> None:
        old.clear()
        old.update(page)

    with_page(path, change)
    assert_refused(path, "holds no architecture|it has no 'model'")


SCRAPS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["nanonet.Linear", "nanonet.Tanh", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class", "arguments", "tuple", "dict", "float", "dtype", "layers", "rate", "in_features"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(SCRAPS, SCRAPS)
def test_any_architecture_is_built_or_refused_by_the_name_of_its_file(model: Any, frozen: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        save(Sequential(Tanh()), path)
        for each in (model, chain(model), call("nanonet.Residual", inner=model)):
            with_page(path, lambda page, each=each: page.update(model=each, frozen=frozen))  # type: ignore[misc]
            read_or_refused(path, load)


class Broken(Activation):
    """Cannot be made: its constructor fails when the file is loaded."""

    ready = True

    def __init__(self) -> None:
        if not self.ready:
            raise TypeError("not today")

    def function(self, a: Array) -> Array:
        return a

    def derivative(self, a: Array, y: Array) -> Array:
        return np.ones_like(a)


def test_a_constructor_that_fails_is_named_with_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Sequential(Broken()), path)
    monkeypatch.setattr(Broken, "ready", False)
    with pytest.raises(ValueError, match="Broken: not today") as refusal:
        load(path, layers={"Broken": Broken})
    assert str(path) in str(refusal.value)


class Holds(Copy):
    """Has a parameter of any kind."""

    def __init__(self) -> None:
        self.part = Parameter((2000, 2000), Constant(1.0))


def test_memory_for_a_large_file_is_that_of_what_it_makes(path: Path) -> None:
    """A model holds its values and their gradients; ``python -m tests.memory`` measures larger ones."""
    model = Sequential(Linear(2000, 2000), Sequential(Sequential(Linear(2000, 10))), Holds(), rng=0)
    with Peak() as peak:
        save(model, path)
    size = path.stat().st_size
    assert size > 32_000_000
    assert peak.bytes < 0.2 * size
    with Peak() as peak:
        read_arrays(path)
    assert peak.bytes < 1.2 * size
    with Peak() as peak:
        load(path, layers={"Holds": Holds})
    assert peak.bytes < 2.4 * size


def test_memory_for_a_checkpoint_is_that_of_what_stands_in_the_trainer(tmp_path: Path) -> None:
    trainer = Trainer(Sequential(Linear(2000, 1000), rng=0), loss=SquaredError(), optimizer=Adam())
    with Peak() as peak:
        trainer.save(tmp_path / "run.npz")
    assert peak.bytes < 0.2 * trainer.model.vector.value.nbytes + (2 << 20)
    with Peak() as peak:
        trainer.resume(tmp_path / "run.npz")
    assert peak.bytes < 1.2 * trainer.model.vector.value.nbytes + (2 << 20)


def test_saving_is_left_out_of_what_an_import_takes() -> None:
    from tests.system.test_import import modules_after

    later = {"nanonet.interchange", "nanonet.models.architecture", "nanonet.storage.safetensors"}
    assert not later & modules_after("import nanonet; nanonet.save, nanonet.load, nanonet.read_arrays")
    assert nanonet.save is save
