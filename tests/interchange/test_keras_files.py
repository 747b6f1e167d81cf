"""Files of Keras, written by hand: older ones are read, damaged ones are refused by name, and nothing is run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import Activation, Array
from nanonet.interchange import keras

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.peer

Page = dict[str, Any]
Arrays = Mapping[str, Any]


def layer(kind: str, name: str, **config: Any) -> Page:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": name, **config}, "registered_name": None}


def sequential(*layers: Page, shape: Any = (None, 4)) -> Page:
    first = layer("InputLayer", "in", batch_shape=shape)
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": [first, *layers]}}


DENSE = sequential(layer("Dense", "one", units=3, activation="relu"))
KERNEL, BIAS = np.arange(12.0, dtype=np.float32).reshape(4, 3) - 6, np.array([1.0, 2.0, 3.0], np.float32)
ARRAYS = {"layers/dense/vars/0": KERNEL, "layers/dense/vars/1": BIAS}
X = np.array([[1.0, -1.0, 0.5, 2.0]], np.float32)
Y = np.maximum(X @ KERNEL + BIAS, 0)


def weights(arrays: Arrays) -> bytes:
    whole = io.BytesIO()
    with h5py.File(whole, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return whole.getvalue()


def write(folder: Path, page: Any = DENSE, arrays: Arrays = ARRAYS, **more: Any) -> Path:
    """Write a .keras file; more are further members, or others in the place of those that it has."""
    place = folder / "net.keras"
    text = page if isinstance(page, (str, bytes)) else json.dumps(page)
    members = {"metadata.json": "{}", "config.json": text, "model.weights.h5": weights(arrays)}
    with zipfile.ZipFile(place, "w") as archive:
        for name, data in (members | {each.replace("__", "."): data for each, data in more.items()}).items():
            if data is not None:
                archive.writestr(name, data)
    return place


def refused(place: Path, *words: str) -> str:
    """Return the error of load, which names the file and says some words."""
    with pytest.raises((ValueError, TypeError)) as caught:
        keras.load(place)
    text = str(caught.value)
    assert text.startswith(str(place)), text
    assert all(word in text for word in words), text
    return text


def test_a_file_is_read_without_keras(tmp_path: Path) -> None:
    np.testing.assert_allclose(keras.load(write(tmp_path))(X), Y, rtol=1e-6)


def test_an_older_h5_file_is_read(tmp_path: Path) -> None:
    """As Keras 2 wrote a functional model: names end in :0, calls are lists, and a shape is a batch_input_shape."""
    page = {
        "class_name": "Functional",
        "config": {
            "name": "net",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "in"},
                    "name": "in",
                    "inbound_nodes": [],
                },
                {
                    "class_name": "Dense",
                    "config": {"name": "one", "dtype": "float32", "units": 3, "activation": "linear"},
                    "name": "one",
                    "inbound_nodes": [[["in", 0, 0, {}]]],
                },
                {
                    "class_name": "LeakyReLU",
                    "config": {"name": "two", "alpha": 0.5},
                    "name": "two",
                    "inbound_nodes": [[["one", 0, 0, {}]]],
                },
                {
                    "class_name": "Add",
                    "config": {"name": "sum"},
                    "name": "sum",
                    "inbound_nodes": [[["one", 0, 0, {}], ["two", 0, 0, {}]]],
                },
            ],
            "input_layers": [["in", 0, 0]],
            "output_layers": [["sum", 0, 0]],
        },
    }
    place = tmp_path / "net.h5"
    with h5py.File(place, "w") as file:
        file.attrs["model_config"] = json.dumps(page).encode()
        group = file.create_group("model_weights/one")
        group["one/kernel:0"], group["one/bias:0"] = KERNEL, BIAS
        group.attrs["weight_names"] = [b"one/kernel:0", b"one/bias:0"]
    a = X @ KERNEL + BIAS
    np.testing.assert_allclose(keras.load(place)(X), a + np.where(a > 0, a, 0.5 * a), rtol=1e-6)


def test_a_sequential_of_keras_2_begins_with_the_shape_in_its_first_layer(tmp_path: Path) -> None:
    first = {"class_name": "Dense", "config": {"name": "one", "units": 3, "batch_input_shape": [None, 4]}}
    place = tmp_path / "net.h5"
    with h5py.File(place, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [first]})
        group = file.create_group("model_weights/one")
        group["one/kernel:0"], group["one/bias:0"] = KERNEL, BIAS
        group.attrs["weight_names0"], group.attrs["weight_names1"] = [b"one/kernel:0"], [b"one/bias:0"]
    np.testing.assert_allclose(keras.load(place)(X), X @ KERNEL + BIAS, rtol=1e-6)


def test_a_class_of_a_users_own_is_read_once_it_is_registered(tmp_path: Path) -> None:
    class Cube(Activation):
        def function(self, a: Array) -> Array:
            return a**3

        def derivative(self, a: Array, y: Array) -> Array:
            return 3 * a**2

    cube = {**layer("Cube", "two"), "module": "__main__", "registered_name": "mine>Cube"}
    place = write(tmp_path, sequential(layer("Dense", "one", units=3, activation="relu"), cube))
    refused(place, "layer 'two' (mine>Cube)", "a class of its author's own", "keras.reads")

    @keras.reads("mine>Cube")
    def read(reached: keras.Reached) -> None:
        reached.add(Cube())

    np.testing.assert_allclose(keras.load(place)(X), Y**3, rtol=1e-6)


def test_a_class_that_only_has_the_name_of_one_of_keras_is_not_taken_for_it(tmp_path: Path) -> None:
    for module, registered in (("__main__", "Dense"), ("theirs.layers", None), (None, "theirs>Dense")):
        other = {**layer("Dense", "one", units=3), "module": module, "registered_name": registered}
        refused(write(tmp_path, sequential(other)), "layer 'one'", "a class of its author's own")


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a Lambda": (lambda: sequential(layer("Lambda", "one", function="...")), "holds code, which load does not run"),
    "an unknown layer": (
        lambda: sequential(layer("ConvLSTM2D", "one")),
        "layer 'one' (ConvLSTM2D): load has no reader",
    ),
    "a function": (
        lambda: sequential(layer("Dense", "one", units=3, activation={"class_name": "function", "config": "f"})),
        "no such activation",
    ),
    "other units": (lambda: sequential(layer("Dense", "one", units=2)), "its kernel of shape (4, 2), got (4, 3)"),
    "no units": (lambda: sequential(layer("Dense", "one")), "does not say its units"),
    "odd units": (lambda: sequential(layer("Dense", "one", units=True)), "expected units as 1 of 1 or more, got True"),
    "huge units": (lambda: sequential(layer("Dense", "one", units=10**30)), "its kernel"),
    "another input": (
        lambda: sequential(*DENSE["config"]["layers"][1:], shape=[None, 5]),
        "its kernel of shape (5, 3)",
    ),
    "no shape": (lambda: sequential(layer("Dense", "one", units=3), shape=None), "the shape of its input"),
    "a negative shape": (lambda: sequential(layer("Dense", "one", units=3), shape=[None, -4]), "the shape of a batch"),
    "no layers": (lambda: {"class_name": "Sequential", "config": {"layers": []}}, "expected a list of 1 to"),
    "another model": (lambda: {"class_name": "MyModel", "module": "mine", "config": {}}, "takes a Sequential or a"),
    "no table": (lambda: "[]", "not a table"),
    "no JSON": (lambda: "{", "Expecting"),
    "deep JSON": (lambda: "[" * 100_000, ""),
    "a reference into nowhere": (
        lambda: {
            "class_name": "Functional",
            "config": {
                "layers": [layer("Dense", "one", units=3) | {"inbound_nodes": [[["two", 0, 0, {}]]]}],
                "input_layers": [["in", 0, 0]],
                "output_layers": [["one", 0, 0]],
            },
        },
        "",
    ),
    "quantized": (
        lambda: sequential(layer("Dense", "one", units=3, dtype={"class_name": "QuantizedDTypePolicy", "config": {}})),
        "not quantized",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_description_cannot_say_is_refused(name: str, tmp_path: Path) -> None:
    make, words = WRONG[name]
    refused(write(tmp_path, make()), words)


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    refused(write(tmp_path, arrays={"layers/dense/vars/0": KERNEL}), "layer 'one' (Dense)", "holds no bias")
    refused(write(tmp_path, arrays={}), "layer 'one' (Dense)", "holds no kernel")
    refused(write(tmp_path, arrays={**ARRAYS, "layers/dense/vars/1": b"abc"}), "expected numbers")


def test_missing_members_are_named(tmp_path: Path) -> None:
    refused(write(tmp_path, config__json=None), "config.json")
    refused(write(tmp_path, model__weights__h5=None), "model.weights.h5")
    refused(write(tmp_path, model__weights__h5=b"nothing"), "damaged")


def test_an_h5_file_without_a_description_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "net.weights.h5"
    place.write_bytes(weights(ARRAYS))
    refused(place, "weights alone", 'model.save("model.keras")')


def test_nothing_outside_of_the_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(KERNEL.tobytes())
    (tmp_path / "other.h5").write_bytes(weights({"kernel": KERNEL}))
    links: list[Callable[[Any], None]] = [
        lambda group: group.create_dataset("0", (4, 3), "<f4", external=[(str(secret), 0, 48)]),
        lambda group: group.__setitem__("0", h5py.ExternalLink(str(tmp_path / "other.h5"), "kernel")),
        lambda group: group.__setitem__("0", h5py.SoftLink("/kernel")),
    ]
    for link in links:
        whole = io.BytesIO()
        with h5py.File(whole, "w") as file:
            file["kernel"] = KERNEL
            link(file.create_group("layers/dense/vars"))
        refused(write(tmp_path, model__weights__h5=whole.getvalue()), "layer 'one' (Dense)", "which load does not")


def test_what_would_take_too_much_memory_is_refused_before_it_does(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with h5py.File(whole, "w") as file:
        file.create_dataset("layers/dense/vars/0", (4, 3 * 10**9), "<f4", chunks=(4, 1000))
    refused(write(tmp_path, model__weights__h5=whole.getvalue()), "more than 100 times")
    place = tmp_path / "bomb.keras"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(DENSE))
        archive.writestr("model.weights.h5", bytes(1 << 26))
    refused(place, "would decompress to")


def test_a_file_that_is_cut_off_or_changed_is_loaded_right_or_refused(tmp_path: Path) -> None:
    whole = write(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    for i in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if i % 2 else whole)
        for place in rng.integers(len(damaged), size=4) if damaged and not i % 2 else ():
            damaged[place] ^= 1 << rng.integers(8)
        path = tmp_path / "damaged.keras"
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError, TypeError):
            keras.load(path)


def test_a_description_with_one_wrong_entry_is_loaded_or_refused_by_name(tmp_path: Path) -> None:
    layers = (
        layer("Normalization", "two", axis=[-1], mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 2.0, 3.0, 4.0]),
        layer("Reshape", "three", target_shape=[2, 2, 1]),
        layer("ZeroPadding2D", "four", padding=[[1, 0], [0, 1]]),
        layer("MaxPooling2D", "five", pool_size=[2, 2], padding="same", strides=None),
        layer("BatchNormalization", "six", axis=[3], center=False, scale=False),
        layer("Flatten", "seven"),
        layer("Dense", "one", units=3, activation="softmax", dtype="float32"),
    )
    arrays = {
        "layers/dense/vars/0": KERNEL,
        "layers/dense/vars/1": BIAS,
        "layers/batch_normalization/vars/0": np.zeros(1),
        "layers/batch_normalization/vars/1": np.ones(1),
    }
    page = sequential(*layers)
    assert keras.load(write(tmp_path, page, arrays))(X).shape == (1, 3)
    rng, outcomes = np.random.default_rng(0), set()
    others = [None, True, -1, 0, 2, 1e9, "x", [], [1], [None, 2], {}, {"a": 1}, [[1]], float("nan"), [2, 2], [-1, 3]]
    for _ in range(300):
        wrong = json.loads(json.dumps(page))
        place, key = _entry(wrong, rng)
        place[key] = others[rng.integers(len(others))]
        path = write(tmp_path, wrong, arrays)
        try:
            keras.load(path)
            outcomes.add("loaded")
        except (ValueError, TypeError) as error:
            outcomes.add("refused by name" if str(error).startswith(str(path)) else str(error))
    assert outcomes == {"loaded", "refused by name"}


def _entry(page: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return a drawn entry of a description, by what holds it and its key."""
    while True:
        keys = list(page) if isinstance(page, dict) else range(len(page))
        key = keys[rng.integers(len(keys))]
        if not page[key] or not isinstance(page[key], dict | list) or rng.random() < 0.1:
            return page, key
        page = page[key]


def test_paths_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.keras or \.h5 or \.hdf5"):
        keras.load(tmp_path / "net.onnx")
    with pytest.raises(FileNotFoundError):
        keras.load(tmp_path / "net.keras")
    with pytest.raises(ValueError, match="regular file"):
        keras.load(_pipe(tmp_path / "pipe.h5"))


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path
