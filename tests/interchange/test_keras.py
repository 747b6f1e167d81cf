"""What is loaded from a file of Keras computes what Keras does; Keras itself, on PyTorch, is the judge."""

import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import Adam, BatchNorm, Sequential, SquaredError, Wired, load, save
from nanonet.interchange import keras as ours

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("KERAS_HOME", str(Path(tempfile.gettempdir()) / "nanonet-keras"))
keras = pytest.importorskip("keras")
pytest.importorskip("h5py")
torch = pytest.importorskip("torch")

L = keras.layers
FORMATS = ("keras", "h5")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning"),
]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    """Keep Keras from an accelerator, whose rounding is another, and from warning that .h5 is an older format."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    with keras.device("cpu"):
        yield


def shaken(model: Any, rng: np.random.Generator) -> Any:
    """Give all weights drawn numbers, so that none is 0 or 1 by default; variances stay above 0."""
    for variable in model.variables:
        value = variable.numpy()
        if value.dtype.kind == "f":
            moved = value + 0.3 * rng.normal(size=value.shape)
            variable.assign((np.abs(moved) + 0.1 if "variance" in variable.path else moved).astype(value.dtype))
    return model


def inputs_of(model: Any, rng: np.random.Generator, count: int = 3) -> list[Any]:
    """Return drawn inputs, integers below 7 where the model takes integers."""
    found = []
    for tensor in model.inputs:
        shape = (count, *(9 if n is None else n for n in tensor.shape[1:]))
        whole = "int" in str(tensor.dtype)
        found.append(rng.integers(0, 7, shape) if whole else rng.normal(size=shape).astype(str(tensor.dtype)))
    return found


def check(
    model: Any,
    folder: Path,
    rng: np.random.Generator,
    formats: Sequence[str] = FORMATS,
    *,
    names: Sequence[str] = (),
    tolerance: float = 1e-6,
) -> Sequential:
    """Compare Keras's outputs, which may have names, with those of the loaded model, and return the model."""
    shaken(model, rng)
    x = inputs_of(model, rng)
    with torch.no_grad():
        found = model(x[0] if len(x) == 1 else x, training=False)
    wanted = [each.numpy() for each in (found if isinstance(found, (list, tuple)) else [found])]
    for suffix in formats:
        place = folder / f"model.{suffix}"
        model.save(place)
        loaded = ours.load(place)
        y = loaded(x[0] if len(x) == 1 else tuple(x))
        several = y if isinstance(y, tuple) else (y,)
        for name, one, other in zip(names or [str(loaded)] * len(wanted), wanted, several, strict=True):
            assert one.shape == other.shape, name
            assert one.dtype == other.dtype == loaded.dtype
            np.testing.assert_allclose(other, one, rtol=0, atol=tolerance * max(1, np.abs(one).max()), err_msg=name)
    return loaded


def chain(shape: tuple[int | None, ...], *layers: Any, dtype: str | None = None) -> Any:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def adapted(axis: Any, shape: tuple[int, ...]) -> Any:
    layer = L.Normalization(axis=axis)
    layer.adapt(np.random.default_rng(1).normal(2.0, 3.0, (20, *shape)).astype(np.float32))
    return layer


ROWS: dict[str, Callable[[], Any]] = {
    "Dense": lambda: L.Dense(3),
    "Dense without bias": lambda: L.Dense(3, use_bias=False),
    "Dense with a layer": lambda: L.Dense(3, activation=L.LeakyReLU(negative_slope=0.1)),
    "ReLU with a bound": lambda: L.ReLU(max_value=0.5),
    "ReLU with a slope": lambda: L.ReLU(negative_slope=0.1),
    "ReLU with both": lambda: L.ReLU(max_value=0.5, negative_slope=0.1),
    "LeakyReLU": lambda: L.LeakyReLU(negative_slope=0.2),
    "ELU": lambda: L.ELU(alpha=0.5),
    "PReLU": lambda: L.PReLU(),
    "PReLU with one slope": lambda: L.PReLU(shared_axes=[1]),
    "Softmax": lambda: L.Softmax(),
    "Dropout": lambda: L.Dropout(0.5),
    "GaussianNoise": lambda: L.GaussianNoise(0.5),
    "ActivityRegularization": lambda: L.ActivityRegularization(l2=0.1),
    "Rescaling": lambda: L.Rescaling(1 / 127.5, offset=-1),
    "Rescaling by features": lambda: L.Rescaling([1.0, 2.0, 3.0, 4.0], offset=[4.0, 3.0, 2.0, 1.0]),
    "BatchNormalization": lambda: L.BatchNormalization(),
    "BatchNormalization without gamma": lambda: L.BatchNormalization(scale=False, epsilon=1e-2),
    "BatchNormalization without beta": lambda: L.BatchNormalization(center=False),
    "BatchNormalization without both": lambda: L.BatchNormalization(center=False, scale=False),
    "LayerNormalization": lambda: L.LayerNormalization(),
    "LayerNormalization without gamma": lambda: L.LayerNormalization(scale=False),
    "LayerNormalization without beta": lambda: L.LayerNormalization(center=False, epsilon=1e-2),
    "LayerNormalization without both": lambda: L.LayerNormalization(center=False, scale=False),
    "RMSNormalization": lambda: L.RMSNormalization(),
    "Normalization": lambda: adapted(-1, (4,)),
    "Normalization of all": lambda: adapted(None, (4,)),
    "Normalization given": lambda: L.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 2.0, 3.0, 4.0]),
    "Normalization inverted": lambda: L.Normalization(mean=1.0, variance=2.0, invert=True),
    "RepeatVector": lambda: L.RepeatVector(3),
    "Reshape": lambda: L.Reshape((-1, 2)),
    **{f"Activation {name}": lambda name=name: L.Activation(name) for name in (  # type: ignore[misc]
        "celu", "hard_shrink", "hard_silu", "log_sigmoid", "mish", "soft_shrink",
        "elu", "gelu", "hard_sigmoid", "hard_tanh", "leaky_relu", "linear", "log_softmax", "relu", "relu6", "selu",
        "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
    )},
}  # fmt: skip

RECURRENT = (L.SimpleRNN, L.LSTM, L.GRU)

SEQUENCES: dict[str, Callable[[], Any]] = {
    "Dense": lambda: L.Dense(3, activation="relu"),
    "Conv1D": lambda: L.Conv1D(4, 3),
    "Conv1D dilated": lambda: L.Conv1D(4, 2, padding="same", dilation_rate=2),
    "Conv1D with strides": lambda: L.Conv1D(4, 4, strides=2, padding="same"),
    "Conv1D causal": lambda: L.Conv1D(4, 3, padding="causal", dilation_rate=2),
    "Conv1D causal with strides": lambda: L.Conv1D(4, 3, padding="causal", strides=2),
    "MaxPooling1D": lambda: L.MaxPooling1D(2),
    "MaxPooling1D at 1": lambda: L.MaxPooling1D(2, strides=1, padding="same"),
    "AveragePooling1D": lambda: L.AveragePooling1D(3, strides=2, padding="same"),
    "GlobalAveragePooling1D": lambda: L.GlobalAveragePooling1D(),
    "GlobalMaxPooling1D": lambda: L.GlobalMaxPooling1D(),
    "SpatialDropout1D": lambda: L.SpatialDropout1D(0.5),
    "UpSampling1D": lambda: L.UpSampling1D(2),
    "ZeroPadding1D": lambda: L.ZeroPadding1D((1, 2)),
    "TimeDistributed": lambda: L.TimeDistributed(L.Dense(3, activation="tanh")),
    "BatchNormalization": lambda: L.BatchNormalization(),
    "GroupNormalization": lambda: L.GroupNormalization(2),
    "LayerNormalization of two axes": lambda: L.LayerNormalization(axis=(1, 2)),
    "Normalization along the first": lambda: adapted(1, (7, 4)),
    "Flatten": lambda: L.Flatten(),
    "Softmax": lambda: L.Activation("softmax"),
    "SimpleRNN": lambda: L.SimpleRNN(3),
    "SimpleRNN with ReLU": lambda: L.SimpleRNN(3, activation="relu", return_sequences=True),
    "LSTM": lambda: L.LSTM(3, return_sequences=True),
    "LSTM without biases": lambda: L.LSTM(3, use_bias=False),
    "GRU": lambda: L.GRU(3),
    "GRU of all times": lambda: L.GRU(3, return_sequences=True),
    "GRU without biases": lambda: L.GRU(3, use_bias=False),
    **{f"Bidirectional {cls.__name__}": lambda cls=cls: L.Bidirectional(cls(3)) for cls in RECURRENT},  # type: ignore[misc]
    "Bidirectional of all times": lambda: L.Bidirectional(L.GRU(3, return_sequences=True)),
}

IMAGES: dict[str, Callable[[], Any]] = {
    "Conv2D": lambda: L.Conv2D(4, 3, activation="softmax"),
    "Conv2D in groups": lambda: L.Conv2D(6, 3, groups=2, padding="same", use_bias=False),
    "Conv2D dilated": lambda: L.Conv2D(5, (2, 3), dilation_rate=2, padding="same"),
    "DepthwiseConv2D": lambda: L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, activation="relu6"),
    "SeparableConv2D": lambda: L.SeparableConv2D(5, 3, depth_multiplier=2, padding="same", activation="relu"),
    "Conv2DTranspose": lambda: L.Conv2DTranspose(3, 2, strides=2, use_bias=False),
    "Conv2DTranspose with more": lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1),
    "Conv2DTranspose with less": lambda: L.Conv2DTranspose(3, 4, strides=2, padding="same", output_padding=0),
    "MaxPooling2D": lambda: L.MaxPooling2D(),
    "AveragePooling2D": lambda: L.AveragePooling2D((3, 2), strides=(1, 2)),
    "AveragePooling2D padded": lambda: L.AveragePooling2D(3, strides=1, padding="same"),
    "GlobalAveragePooling2D": lambda: L.GlobalAveragePooling2D(),
    "GlobalAveragePooling2D of an image": lambda: L.GlobalAveragePooling2D(keepdims=True),
    "GlobalMaxPooling2D": lambda: L.GlobalMaxPooling2D(keepdims=True),
    "SpatialDropout2D": lambda: L.SpatialDropout2D(0.5),
    "UpSampling2D": lambda: L.UpSampling2D((2, 3)),
    "UpSampling2D bilinear": lambda: L.UpSampling2D(2, interpolation="bilinear"),
    "ZeroPadding2D": lambda: L.ZeroPadding2D(((1, 2), (0, 3))),
    "PReLU": lambda: L.PReLU(shared_axes=[1, 2]),
    "Flatten": lambda: L.Flatten(),
    "Reshape": lambda: L.Reshape((12, -1)),
    "Permute": lambda: L.Permute((3, 1, 2)),
    "Dense": lambda: L.Dense(3),
    "BatchNormalization": lambda: L.BatchNormalization(),
    "BatchNormalization of rows": lambda: L.BatchNormalization(axis=1),
    "LayerNormalization": lambda: L.LayerNormalization(axis=(1, 2, 3)),
    "GroupNormalization": lambda: L.GroupNormalization(-1),
    "Rescaling by channels": lambda: L.Rescaling([1.0, 2.0, 3.0, 4.0]),
    "Softmax": lambda: L.Softmax(),
    "channels first: Conv2D": lambda: L.Conv2D(3, 2, data_format="channels_first"),
    "channels first: Conv2DTranspose": lambda: L.Conv2DTranspose(3, 3, 2, "same", data_format="channels_first"),
    "channels first: MaxPooling2D": lambda: L.MaxPooling2D(2, data_format="channels_first"),
    "channels first: GlobalAveragePooling2D": lambda: L.GlobalAveragePooling2D(data_format="channels_first"),
    "channels first: Flatten": lambda: L.Flatten(data_format="channels_first"),
    "channels first: ZeroPadding2D": lambda: L.ZeroPadding2D(1, data_format="channels_first"),
}


TABLES: dict[str, tuple[tuple[int, ...], dict[str, Callable[[], Any]], Callable[[], Any]]] = {
    "rows": ((4,), ROWS, lambda: L.Dense(4)),
    "sequences": ((7, 4), SEQUENCES, lambda: L.Conv1D(4, 1)),
    "images": ((6, 5, 4), IMAGES, lambda: L.Conv2D(4, 1)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_each_layer_computes_what_it_does_in_keras(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    shape, table, _ = TABLES[kind]
    x = keras.Input(shape)
    check(keras.Model(x, [make()(x) for make in table.values()]), tmp_path, rng, names=list(table))


@pytest.mark.slow
@pytest.mark.parametrize("kind", TABLES)
def test_each_layer_does_so_behind_one_that_moves_the_channels(
    kind: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    shape, table, first = TABLES[kind]
    x = keras.Input(shape)
    y = first()(x)
    model = keras.Model(x, [L.ReLU()(make()(y)) for make in table.values()])
    check(model, tmp_path, rng, ("keras",), names=list(table))


@pytest.mark.slow
def test_padding_is_that_of_keras_for_each_kernel_stride_and_size(tmp_path: Path, rng: np.random.Generator) -> None:
    for size in ((7, 8), (6, 9)):
        image, row = keras.Input((*size, 2)), keras.Input((size[0], 2))
        found = {}
        for kernel, stride, padding in itertools.product((1, 2, 3, 4, (2, 5)), (1, 2, 3), ("same", "valid")):
            options: Any = {"strides": stride, "padding": padding}
            for cls, more in ((L.Conv2D, (3,)), (L.Conv2DTranspose, (3,)), (L.MaxPooling2D, ())):
                found[f"{cls.__name__} {kernel} {options}"] = cls(*more, kernel, **options)(image)
            for cls, more in ((L.Conv1D, (3,)), (L.MaxPooling1D, ())) if isinstance(kernel, int) else ():
                found[f"{cls.__name__} {kernel} {options}"] = cls(*more, kernel, **options)(row)
        check(keras.Model([image, row], list(found.values())), tmp_path, rng, ("keras",), names=list(found))


def test_an_open_length_stays_open(tmp_path: Path, rng: np.random.Generator) -> None:
    model = chain((None, 4), L.Conv1D(3, 2), L.MaxPooling1D(2), L.GlobalAveragePooling1D())
    check(model, tmp_path, rng)


def test_an_embedding_takes_integers(tmp_path: Path, rng: np.random.Generator) -> None:
    check(chain((6,), L.Embedding(10, 4), L.Conv1D(3, 2), L.Flatten(), L.Dense(2), dtype="int32"), tmp_path, rng)


def test_a_residual_net_has_its_branches_in_a_wired(tmp_path: Path, rng: np.random.Generator) -> None:
    x = keras.Input((6, 6, 3))
    a = L.Conv2D(4, 3, padding="same")(x)
    b = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(a)))
    c = L.Average()([L.Add()([a, b]), L.Multiply()([a, b]), a + b])
    y = L.Dense(2)(L.GlobalAveragePooling2D()(L.Concatenate()([c, x])))
    model = check(keras.Model(x, y), tmp_path, rng)
    assert isinstance(model[0], Wired)
    check(keras.Model(x, L.Concatenate(axis=1)([a, b])), tmp_path, rng)


def test_several_inputs_and_outputs_and_layers_that_are_called_twice(tmp_path: Path, rng: np.random.Generator) -> None:
    x, words = keras.Input((4,)), keras.Input((3,), dtype="int32")
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4), L.BatchNormalization()], name="inner")
    outer = keras.Sequential([keras.Input((4,)), inner, L.Dense(4, activation="tanh")])
    read = L.Flatten()(L.Embedding(7, 2)(words))
    y = L.Concatenate()([outer(x), outer(L.ReLU()(x)), read])
    model = check(keras.Model([x, words], [L.Dense(2)(y), y]), tmp_path, rng)
    first: Any = model[0]
    assert sum(isinstance(layer, BatchNorm) for layer in first.layers) == 1


def test_a_chain_of_models_is_one_chain(tmp_path: Path, rng: np.random.Generator) -> None:
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4), L.Dropout(0.5)], name="inner")
    model = check(chain((4,), L.Dense(4), inner, L.Dense(2)), tmp_path, rng)
    assert [type(layer).__name__ for layer in model] == ["Linear", "Linear", "Dropout", "Linear"]


def test_what_was_not_trainable_is_frozen(tmp_path: Path, rng: np.random.Generator) -> None:
    frozen = L.Dense(4)
    frozen.trainable = False
    model = check(chain((4,), frozen, L.BatchNormalization(scale=False), L.Dense(2)), tmp_path, rng)
    assert {name for name, parameter in model.parameters().items() if parameter.trainable} == {
        "1.bias",
        "2.weight",
        "2.bias",
    }


def test_doubles_stay_doubles(tmp_path: Path, rng: np.random.Generator) -> None:
    model = keras.Sequential([keras.Input((4,), dtype="float64"), L.Dense(3, dtype="float64", activation="tanh")])
    assert check(model, tmp_path, rng).dtype == np.float64


def test_a_loaded_model_trains_and_is_saved_like_any_other(tmp_path: Path, rng: np.random.Generator) -> None:
    x = keras.Input((6, 6, 1))
    a = L.Conv2D(2, 3, strides=2, padding="same")(x)
    y = L.Dense(1)(L.Flatten()(L.Add()([a, L.Conv2DTranspose(2, 3, padding="same")(a)])))
    model = check(keras.Model(x, y), tmp_path, rng)
    data = rng.normal(size=(8, 6, 6, 1)).astype(np.float32)
    history = model.fit(data, data.mean(axis=(1, 2)), loss=SquaredError(), optimizer=Adam(1e-3), epochs=3, rng=0)
    assert history["loss"][-1] < history["loss"][0]
    save(model, tmp_path / "model.npz")
    assert np.array_equal(load(tmp_path / "model.npz")(data), model(data))


# ---- drawn nets

UNDRAWN = ("AveragePooling1D", "GroupNormalization", "Normalization along the first")  # they need certain sizes
STEPS: dict[int, list[Callable[[], Any]]] = {
    1: [make for name, make in ROWS.items() if "by features" not in name and "Normalization" not in name],
    2: [make for name, make in SEQUENCES.items() if name not in UNDRAWN],
    3: [make for name, make in IMAGES.items() if "channels" not in name and "groups" not in name],
}


def drawn(rng: np.random.Generator) -> Any:
    """Return a net of drawn layers, some of them beside one another."""
    count = int(rng.integers(1, 4))  # rows, sequences or images
    shape = (4,) if count == 1 else (int(rng.integers(7, 12)),) * (count - 1) + (4,)
    x = value = keras.Input(shape)
    for _ in range(int(rng.integers(1, 6))):
        steps = STEPS.get(len(value.shape) - 1)
        if steps is None:
            break
        try:
            found = steps[rng.integers(len(steps))]()(value)
        except ValueError:  # it is too large for what has become of the image
            continue
        if rng.random() < 0.3:
            other = L.Activation("tanh")(found)
            found = L.Concatenate()([found, other]) if rng.random() < 0.5 else L.Add()([found, other])
        if 0 < np.prod(found.shape[1:]) < 2000:
            value = found
    return keras.Model(x, L.Dense(2)(value))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_drawn_nets(part: int, tmp_path: Path) -> None:
    """Ten layers may round by more than the 1e-6 of each; Keras on PyTorch rounds to float32 even in float64."""
    rng = np.random.default_rng(part)
    for i in range(50):
        check(drawn(rng), tmp_path, rng, (FORMATS[i % 2],), tolerance=1e-5)


def test_names_are_as_keras_makes_them() -> None:
    from keras.src.utils.naming import to_snake_case

    from nanonet.interchange.keras.weights import snake_case

    for name in (*(each for each in dir(L) if each[0].isupper()), "Functional", "Sequential", "MyLSTM2Layer"):
        assert snake_case(name) == to_snake_case(name)


def test_weights_alone_and_other_models_are_refused(tmp_path: Path) -> None:
    model = chain((4,), L.Dense(3))
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="weights alone"):
        ours.load(tmp_path / "model.weights.h5")


REFUSED: dict[str, tuple[tuple[int | None, ...], Callable[[], Any], str]] = {
    "activation": ((4,), lambda: L.Dense(3, activation="tanh_shrink"), "no such activation"),
    "threshold": ((4,), lambda: L.ReLU(threshold=1.0), "corner at 0"),
    "average": ((5, 4), lambda: L.AveragePooling1D(2, padding="same"), "the two ends differently"),
    "axis": ((5, 4), lambda: L.Softmax(axis=1), "along the last axis"),
    "noise_shape": ((5, 4), lambda: L.Dropout(0.5, noise_shape=(None, 1, 4)), "noise_shape"),
    "mask": ((5,), lambda: L.Embedding(7, 3, mask_zero=True), "takes no masks|take no masks"),
    "mode": ((5, 4, 1), lambda: L.UpSampling2D(2, interpolation="bicubic"), "interpolation='bicubic'"),
    "open": ((None, 4), lambda: L.Conv1D(3, 3, strides=2, padding="same"), "depends on the size of the input"),
    "inner": ((5, 4), lambda: L.TimeDistributed(L.LayerNormalization()), "not of 'LayerNormalization'"),
    "reset_before": ((5, 4), lambda: L.GRU(3, reset_after=False), "reset gate after"),
    "gates": ((5, 4), lambda: L.LSTM(3, recurrent_activation="hard_sigmoid"), "gates are sigmoids"),
    "dropout": ((5, 4), lambda: L.LSTM(3, recurrent_dropout=0.5), "recurrent_dropout=0.5"),
    "backwards": ((5, 4), lambda: L.LSTM(3, go_backwards=True), "both ways"),
    "merged": ((5, 4), lambda: L.Bidirectional(L.LSTM(3), merge_mode="sum"), "side by side"),
    "class": ((4,), lambda: L.GaussianDropout(0.5), "no reader"),
    "half": ((4,), lambda: L.Dense(3, dtype="bfloat16"), "load takes float32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_expressed_is_refused_by_name(name: str, tmp_path: Path) -> None:
    shape, make, why = REFUSED[name]
    model = chain(shape, make())
    model.save(tmp_path / "model.keras")
    with pytest.raises((ValueError, TypeError), match=why) as caught:
        ours.load(tmp_path / "model.keras")
    assert str(caught.value).startswith(str(tmp_path / "model.keras"))
    assert name == "half" or model.layers[-1].name in str(caught.value)
