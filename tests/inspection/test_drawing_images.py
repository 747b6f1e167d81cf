"""Feature maps, kernels and sequences are drawn as small images, whose pixels are the numbers of the pass."""

from __future__ import annotations

import base64
import io
import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    GELU,
    Array,
    AvgPool2d,
    Constant,
    Conv1d,
    Conv2d,
    CrossEntropy,
    Flatten,
    Identity,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    SquaredError,
    Tanh,
    Trace,
)
from nanonet.inspection.drawing.draws import DRAWN, draws
from nanonet.inspection.drawing.figure import Figure, Picture
from nanonet.inspection.drawing.picture import GREY, SIGNED, png, reduced, scale_of
from nanonet.inspection.rounding import printed
from tests.inspection.test_drawing import assert_nothing_overlaps, units


def pictures(figure: Figure) -> list[Picture]:
    return [shape for shape in figure.shapes if isinstance(shape, Picture)]


def words(figure: Figure) -> list[str]:
    return [words.text for words in figure.words]


def decoded(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the colours of a PNG file with a palette and lines without a filter, shape (height, width, 3)."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(name + body)
        chunks[name], place = body, place + 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert kind == [8, 3, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    colours: npt.NDArray[np.uint8] = palette[lines[:, 1:]]
    return colours


def net(*layers: Layer, shape: tuple[int, ...]) -> Trace:
    x = np.random.default_rng(0).random((1, *shape))
    model = Sequential(*layers, rng=0)
    return model.trace(x, np.zeros(model(x).shape), SquaredError())


# ---- one image


@settings(max_examples=50)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.sampled_from([0.0, -0.5, -1.0]))
def test_a_pixel_has_the_colour_of_its_number(height: int, width: int, seed: int, low: float) -> None:
    image = np.random.default_rng(seed).random((height, width)) + low
    scale = scale_of(image)
    colours = decoded(png(scale.pixels(image), scale.palette))
    largest = max(abs(image.min()), abs(image.max()))
    for number, colour in zip(image.ravel(), colours.reshape(-1, 3).astype(int), strict=True):
        if scale.low >= 0:
            share = (number - scale.low) / (scale.high - scale.low) if scale.high > scale.low else 1
            assert set(colour) == {colour[0]}
            assert abs(colour[0] - 255 * share) <= 255 / 62
        else:
            end = np.array([0, 114, 178] if number > 0 else [213, 94, 0])
            assert np.abs(colour - (255 + (end - 255) * abs(number) / largest)).max() <= 255 / 31


def test_0_is_white_among_numbers_with_a_sign_and_what_is_not_finite_has_a_colour_of_its_own() -> None:
    image = np.array([[0.0, np.nan, np.inf, -2.0, 1.0]])
    colours = SIGNED[scale_of(image).pixels(image)][0]
    assert colours[0].tolist() == [255, 255, 255]
    assert colours[1].tolist() == colours[2].tolist() == [139, 47, 143]
    assert colours[3].tolist() == [213, 94, 0]
    assert len(np.unique(np.vstack([GREY, SIGNED]), axis=0)) == len(GREY) + len(SIGNED) - 2


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2)), np.full((2, 2), 3.0), np.full((2, 2), np.nan), np.full((1, 1), -1.0)]
)
def test_an_image_of_one_number_can_be_drawn(image: npt.NDArray[np.float64]) -> None:
    assert decoded(png(scale_of(image).pixels(image), scale_of(image).palette)).shape == (*image.shape, 3)


def test_a_large_image_is_drawn_by_the_means_of_its_blocks() -> None:
    image = np.arange(230.0 * 5).reshape(230, 5)
    small = reduced(image)
    assert small.shape == (77, 5)
    np.testing.assert_allclose(small[0], image[:3].mean(axis=0))
    np.testing.assert_allclose(small[-1], image[228:].mean(axis=0))
    np.testing.assert_array_equal(reduced(image[:112]), image[:112])


@pytest.mark.peer
def test_another_program_reads_the_same_image() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from matplotlib import image as reader

    pixels = np.random.default_rng(0).integers(0, 64, (5, 7), dtype=np.uint8)
    found = reader.imread(io.BytesIO(png(pixels, SIGNED)), format="png")
    np.testing.assert_array_equal(np.round(found[..., :3] * 255), SIGNED[pixels])


# ---- a net


def lenet() -> Trace:
    layers = [Conv2d(1, 6, 5, padding=2), Tanh(), AvgPool2d(2), Conv2d(6, 16, 5), Tanh(), AvgPool2d(2)]
    model = Sequential(*layers, Flatten(), Linear(400, 12), Tanh(), Linear(12, 10), rng=0)
    return model.trace(np.random.default_rng(0).random((1, 1, 28, 28)), [3], CrossEntropy())


def test_feature_maps_and_kernels_are_images_at_most_8_channels_of_them() -> None:
    figure = lenet().draw()
    assert_nothing_overlaps(figure)
    rows = {0: 6 * (1 + 3), 2: 6, 3: 8 * (4 + 3), 5: 8}  # kernels, a, y and g; then y alone
    assert len(pictures(figure)) == 1 + sum(rows.values())
    assert words(figure).count("⋮ 8 more channels") == 2
    assert "2 more" in words(figure)  # kernels
    assert len(figure.svg.encode()) < 300_000
    root = ElementTree.fromstring(figure.svg)
    images = [node for node in root.iter() if node.tag.endswith("image")]
    assert len(images) == len(pictures(figure))
    prefix = "data:image/png;base64,"
    for node, shape in zip(images, pictures(figure), strict=True):
        assert node.attrib["style"] == "image-rendering:pixelated"
        colours = decoded(base64.b64decode(node.attrib["href"].removeprefix(prefix)))
        np.testing.assert_array_equal(colours, shape.palette[shape.pixels])


@pytest.mark.parametrize(("channels", "shown"), [(8, 8), (9, 8), (20, 8)])
def test_at_most_8_channels_are_shown(channels: int, shown: int) -> None:
    figure = Sequential(MaxPool2d(2)).trace(np.ones((1, channels, 4, 4))).draw()
    assert len(pictures(figure)) == 2 * shown
    assert words(figure).count(f"⋮ {channels - shown} more channels") == (2 if channels > shown else 0)


def test_the_images_of_a_symbol_have_one_scale_whose_ends_are_written() -> None:
    trace = lenet()
    figure = trace.draw()
    found = words(figure)
    weight, grad = trace["3"].parameters["weight"], trace["3"].grad_output
    for array in (trace.x, weight, trace["0"].output, trace["1"].output, trace["2"].output, grad):
        low = found.index(printed(float(array.min()), 3))
        assert found[low + 1] == f"to {printed(float(array.max()), 3)}"
    images = pictures(figure)[1 : 1 + 24]  # of layer 0: the kernel, a, y and g of each channel
    for c in range(6):
        for image, array in zip(
            images[4 * c : 4 * c + 4],
            (
                trace["0"].parameters["weight"][:, 0],
                trace["0"].output[0],
                trace["1"].output[0],
                trace["0"].grad_output[0],
            ),
            strict=True,
        ):
            np.testing.assert_array_equal(image.pixels, scale_of(array).pixels(array[c]))


def test_an_activation_stands_beside_the_sums_that_it_takes_and_a_second_one_apart() -> None:
    once, twice = (net(Conv2d(1, 2, 3), GELU(), *more, shape=(1, 6, 6)).draw() for more in ([], [ReLU()]))
    assert [len(pictures(figure)) for figure in (once, twice)] == [1 + 2 * 4, 1 + 2 * 4 + 2]
    assert {"1  GELU()", "2  ReLU()"} <= set(words(twice))


def test_without_a_backward_pass_there_is_no_error_signal() -> None:
    figure = Sequential(Conv2d(1, 2, 3), rng=0).trace(np.ones((1, 1, 4, 4))).draw()
    assert len(pictures(figure)) == 1 + 2 * 2
    assert "g" not in words(figure)


@pytest.mark.parametrize(("layer", "shape"), [(Conv1d(3, 5, 3), (3, 40)), (Linear(4, 6), (30, 4)), (Tanh(), (1, 500))])
def test_a_sequence_is_a_strip(layer: Layer, shape: tuple[int, int]) -> None:
    trace = net(layer, shape=shape)
    figure = trace.draw()
    assert_nothing_overlaps(figure)
    x = pictures(figure)[0]
    assert x.pixels.shape == (shape[0], min(shape[1], 100))
    assert x.width <= 200
    assert min(x.width, x.height) >= 24
    assert any(image.pixels.shape == reduced(trace.prediction[0]).shape for image in pictures(figure)[1:])


def test_the_legend_says_what_the_shades_mean() -> None:
    grey = words(Sequential(MaxPool2d(2)).trace(np.ones((1, 1, 4, 4))).draw())
    assert any("black" in text for text in grey)
    assert not any("orange" in text for text in grey)
    signed = words(Sequential(MaxPool2d(2)).trace(-np.ones((1, 1, 4, 4))).draw())
    assert any("blue above 0, orange below" in text for text in signed)
    assert not any("black" in text for text in signed)


def test_the_description_tells_the_range_of_images() -> None:
    trace = net(Conv2d(1, 2, 3, bias=Constant(1.0)), shape=(1, 4, 4))
    output = trace.prediction
    assert f"a, images from {printed(output.min())} to {printed(output.max())}" in trace.draw().description


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["conv", "pool", "tanh", "identity"]), max_size=5),
    st.integers(1, 10),
    st.integers(1, 9),
    st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_no_two_words_overlap(kinds: list[str], channels: int, side: int, size: float) -> None:
    made: dict[str, Any] = {"conv": lambda: Conv2d(channels, channels, 1), "pool": lambda: AvgPool2d(1), "tanh": Tanh}
    layers = [made.get(kind, Identity)() for kind in kinds]
    x = size * np.random.default_rng(0).normal(size=(1, channels, side, 2 * side))
    model = Sequential(*layers, Flatten(), Linear(2 * channels * side * side, 2), dtype=np.float64, rng=0)
    figure = model.trace(x, [[0, 1]], SquaredError()).draw()
    assert_nothing_overlaps(figure)
    ElementTree.fromstring(figure.svg)


@pytest.mark.peer
@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_images_are_in_other_formats_too(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    figure = net(Conv2d(1, 2, 3), shape=(1, 6, 9)).draw()
    (axes,) = figure._matplotlib().axes
    assert axes.get_xlim() == (0, figure.width)
    assert axes.get_ylim() == (figure.height, 0)
    for drawn, image in zip(axes.get_images(), pictures(figure), strict=True):
        assert drawn.get_interpolation() == "nearest"
        assert drawn.get_extent() == [image.x, image.x + image.width, image.y + image.height, image.y]
        np.testing.assert_array_equal(drawn.get_array(), image.palette[image.pixels])
    figure.save(tmp_path / f"net.{ending}")


# ---- a user's layer


class Template(Linear):
    """Compares images of 2 x 2 with a template for each output."""


@pytest.fixture
def registered() -> Iterator[None]:
    """Let what a test registers be gone after it."""
    kept = dict(DRAWN._functions)
    yield
    DRAWN._functions.clear()
    DRAWN._functions.update(kept)


@pytest.mark.usefixtures("registered")
def test_a_users_layer_is_drawn_with_the_pictures_that_it_states() -> None:
    class Named(Template):
        pass

    class Other(Template):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return super().forward(x, training=training)

    draws(Template)(lambda record: {"W": record.parameters["weight"].reshape(-1, 2, 2)})
    figure = net(Named(4, 3), Tanh(), shape=(4,)).draw()
    assert_nothing_overlaps(figure)
    assert len(pictures(figure)) == 3
    assert [sorted(column) for column in units(figure)] == [["x"], ["a", "g", "y"]]
    assert pictures(net(Other(4, 3), shape=(4,)).draw()) == []


@pytest.mark.usefixtures("registered")
def test_a_convolution_can_be_drawn_otherwise() -> None:
    class Mine(Conv2d):
        pass

    draws(Mine)(lambda record: {"first": np.ones((2, 3, 4, 4)), "second": np.zeros((2, 1, 1))})
    figure = net(Mine(1, 2, 3), shape=(1, 6, 6)).draw()
    assert len(pictures(figure)) == 1 + 2 * (3 + 1 + 2)
    assert {"first", "second", "a", "g"} <= set(words(figure))
    assert "W" not in words(figure)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"W": np.ones((2, 3))}, r"^draws\(Mine\): Mine\(1, 2, 3\): expected W as pictures .*, got shape \(2, 3\)"),
        ({"W": np.ones((2, 0, 3))}, r"got shape \(2, 0, 3\)"),
        ({"W": np.ones((5, 3, 3))}, r"one row for each channel of the output, or .*, but W has 5, a has 2"),
        ({"W": np.ones((2, 3, 3)), "V": np.ones((3, 3, 3))}, r"but W has 2, V has 3"),
    ],
)
@pytest.mark.usefixtures("registered")
def test_pictures_that_are_none_are_refused(stated: Any, message: str) -> None:
    class Mine(Conv2d):
        pass

    draws(Mine)(lambda record: stated)
    with pytest.raises(ValueError, match=message):
        net(Mine(1, 2, 3), shape=(1, 6, 6)).draw()


def test_the_svg_names_no_script() -> None:
    text = re.sub(r"base64,[^\"]*", "", net(Conv2d(1, 2, 3), shape=(1, 6, 6)).draw().svg)
    assert "script" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
