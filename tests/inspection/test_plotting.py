"""Pictures: what is drawn are the net's own decisions and weights, and what cannot be drawn is refused at once."""

from __future__ import annotations

import copy
import io
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    Array,
    Constant,
    Conv1d,
    Conv2d,
    Flatten,
    History,
    Layer,
    Linear,
    Parameter,
    ReLU,
    Sequential,
    ShapeError,
    Sigmoid,
    Tanh,
    plot_decision_boundary,
    plot_units,
    plot_weights,
)
from tests.helpers import Copy, Scale, picture


class Squares(Copy):
    """y = x xᵀ for each sample, of two axes."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x[:, None] * x[..., None], x


X = np.random.default_rng(0).normal(size=(30, 2))
LABELS = np.arange(30) % 3


def net(outputs: int, *last: Layer) -> Sequential:
    return Sequential(Linear(2, 8), Tanh(), Linear(8, outputs), *last, rng=0)


def line(*last: Layer, bias: float = 0.0) -> Sequential:
    """Return a net whose one output is x_0 + bias before the last layers."""
    return Sequential(Linear(2, 1, weight=[[1.0, 0.0]], bias=[bias]), *last, rng=0)


def regions(axes: Any) -> Any:
    """Return the class that is drawn at each pixel, from the bottom up, masked where there is none."""
    (image,) = axes.images
    assert image.origin == "lower"
    return image.get_array()


def pixels(axes: Any) -> npt.NDArray[Any]:
    """Return the middle of each pixel, shape (height, width, 2)."""
    left, right, bottom, top = axes.images[0].get_extent()
    height, width = regions(axes).shape
    across = left + (np.arange(width) + 0.5) * (right - left) / width
    up = bottom + (np.arange(height) + 0.5) * (top - bottom) / height
    return np.stack(np.meshgrid(across, up), axis=-1)


def boundaries(axes: Any) -> npt.NDArray[Any]:
    """Return the points of all boundaries, shape (points, 2)."""
    paths = [path.vertices for each in axes.collections if hasattr(each, "levels") for path in each.get_paths()]
    return np.concatenate(paths) if paths else np.empty((0, 2))


def samples(axes: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the samples that are drawn, by the name that the legend gives them."""
    drawn = [each for each in axes.collections if not hasattr(each, "levels")]
    return {each.get_label(): np.asarray(each.get_offsets()) for each in drawn}


# ---- what a net decides


@pytest.mark.parametrize("outputs", [2, 3, 12])
def test_each_pixel_has_the_class_with_the_largest_output(plt: Any, outputs: int) -> None:
    model = net(outputs)
    axes = plot_decision_boundary(model, X, LABELS % outputs, resolution=40)
    wanted = model(pixels(axes).reshape(-1, 2)).argmax(axis=1).reshape(40, 40)
    np.testing.assert_array_equal(regions(axes), wanted)
    assert len(np.unique(wanted)) > 1
    axes.figure.savefig(io.BytesIO())


@pytest.mark.parametrize(
    ("model", "threshold", "place"),
    [
        (line(), None, 0.0),
        (line(bias=0.5), None, -0.5),
        (line(Sigmoid()), None, 0.0),
        (line(Sequential(ReLU(), Sequential(Sigmoid())), bias=-0.25), 0.6, 0.25 + np.log(0.6 / 0.4)),
        (Sequential(line(Sigmoid())), None, 0.0),
        (line(), 0.5, 0.5),
        (line(Tanh()), None, 0.0),
        (Sequential(Linear(2, 2), Tanh(), Flatten(), line(), rng=0)[3:], 0.25, 0.25),
    ],
    ids=["logits", "bias", "sigmoid", "nested and 0.6", "sigmoid in a chain", "0.5", "tanh", "a slice"],
)
def test_one_output_is_compared_with_the_threshold(
    plt: Any, model: Sequential, threshold: float | None, place: float
) -> None:
    axes = plot_decision_boundary(model, X, X[:, 0] > 0, threshold=threshold)
    np.testing.assert_array_equal(regions(axes), pixels(axes)[..., 0] > place)
    found = boundaries(axes)
    assert len(found) > 100
    np.testing.assert_allclose(found[:, 0], place, atol=1e-5)


@pytest.mark.parametrize("resolution", [1, 2, 7])
def test_a_picture_has_as_many_pixels_as_asked(plt: Any, resolution: int) -> None:
    axes = plot_decision_boundary(net(3), X, LABELS, resolution=resolution)
    assert regions(axes).shape == (resolution, resolution)
    axes.figure.savefig(io.BytesIO())


def test_the_boundary_runs_where_the_two_largest_outputs_are_equal(plt: Any) -> None:
    model = net(3)
    found = boundaries(plot_decision_boundary(model, X, LABELS))
    best = np.sort(model(found), axis=1)
    assert len(found) > 100
    np.testing.assert_allclose(best[:, -1], best[:, -2], atol=1e-2)


def test_every_pair_of_neighbouring_regions_has_a_boundary(plt: Any) -> None:
    """Three sectors meet at the origin; each of the three rays between them is drawn."""
    angles = np.arange(3) * 2 * np.pi / 3
    model = Sequential(Linear(2, 3, weight=np.stack([np.cos(angles), np.sin(angles)], axis=1), bias=False))
    found = boundaries(plot_decision_boundary(model, X, LABELS))
    far = found[np.hypot(*found.T) > 0.5]
    turns = np.unique(np.round(np.arctan2(far[:, 1], far[:, 0]) / (np.pi / 3)))
    assert {int(turn) % 6 for turn in turns} == {1, 3, 5}


@pytest.mark.parametrize(
    ("outputs", "target", "names"),
    [
        (3, LABELS, ["class 0", "class 1", "class 2"]),
        (3, np.eye(3)[LABELS], ["class 0", "class 1", "class 2"]),
        (3, LABELS.astype(float), ["class 0", "class 1", "class 2"]),
        (4, LABELS, ["class 0", "class 1", "class 2", "class 3"]),
        (2, np.eye(2)[LABELS % 2], ["class 0", "class 1"]),
        (1, LABELS % 2, ["class 0", "class 1"]),
        (1, LABELS[:, None] % 2, ["class 0", "class 1"]),
        (1, LABELS % 2 == 1, ["class 0", "class 1"]),
        (1, 2 * (LABELS % 2) - 1, ["class -1", "class 1"]),
        (1, 2.0 * (LABELS[:, None] % 2) - 1, ["class -1", "class 1"]),
    ],
)
def test_samples_stand_under_the_name_of_their_class(plt: Any, outputs: int, target: Any, names: list[str]) -> None:
    axes = plot_decision_boundary(net(outputs), X, target)
    found = samples(axes)
    assert list(found) == names
    truth = LABELS if outputs > 2 else LABELS % 2
    for k, points in enumerate(found.values()):
        np.testing.assert_array_equal(points, X[truth == k])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x_0$", "$x_1$")


def test_each_class_has_a_look_of_its_own_and_its_region_the_same_colour(plt: Any) -> None:
    axes = plot_decision_boundary(net(12), X, LABELS)
    drawn = [each for each in axes.collections if not hasattr(each, "levels")]
    colours = [tuple(each.get_facecolor()[0]) for each in drawn[:3]]
    looks = {(each.get_paths()[0].vertices.tobytes(), tuple(each.get_facecolor().ravel()[:3])) for each in drawn}
    assert len(set(colours)) == 3
    assert len(looks) == 12
    (image,) = axes.images
    for k, colour in enumerate(colours):
        np.testing.assert_allclose(image.cmap(image.norm(k))[:3], colour[:3])


def test_the_picture_holds_every_sample(plt: Any) -> None:
    axes = plot_decision_boundary(net(3), X, LABELS)
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    assert (low < X.min(axis=0)).all()
    assert (high > X.max(axis=0)).all()
    for one in (X[:1], np.repeat(X[:1], 3, axis=0)):
        plot_decision_boundary(net(3), one, LABELS[: len(one)]).figure.savefig(io.BytesIO())


def test_where_a_prediction_is_nan_the_picture_is_empty(plt: Any) -> None:
    class Holes(Copy):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return np.where(x[:, :1] > 0, x, np.nan).astype(x.dtype), x

    class Nothing(Copy):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return np.full_like(x, np.nan), x

    axes = plot_decision_boundary(Sequential(Holes(), Linear(2, 3), rng=0), X, LABELS)
    np.testing.assert_array_equal(np.ma.getmaskarray(regions(axes)), pixels(axes)[..., 0] <= 0)
    axes.figure.savefig(io.BytesIO())
    for outputs in (1, 3):
        model = Sequential(Nothing(), Linear(2, outputs), rng=0)
        axes = plot_decision_boundary(model, X, LABELS % (outputs + 1) // outputs if outputs == 1 else LABELS)
        assert np.ma.getmaskarray(regions(axes)).all()
        assert len(boundaries(axes)) == 0
        axes.figure.savefig(io.BytesIO())


def test_infinite_outputs_have_a_class_all_the_same(plt: Any) -> None:
    class Infinite(Copy):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return np.where(x > 0, np.inf, -np.inf).astype(x.dtype), x

    axes = plot_decision_boundary(Sequential(Infinite()), X, LABELS % 2)
    np.testing.assert_array_equal(regions(axes), (pixels(axes)[..., 0] <= 0) & (pixels(axes)[..., 1] > 0))
    axes.figure.savefig(io.BytesIO())


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_net_that_always_says_the_same_has_one_region_and_no_boundary(plt: Any, outputs: int) -> None:
    model = Sequential(Linear(2, outputs, weight=Constant(0.0)))
    axes = plot_decision_boundary(model, X, LABELS % 2)
    assert (regions(axes) == 0).all()
    assert len(boundaries(axes)) == 0


def test_drawing_changes_neither_the_model_nor_the_data(plt: Any) -> None:
    model, x, target = net(3), X.copy(), LABELS.copy()
    before = picture(model)
    plot_decision_boundary(model, x, target)
    plot_weights(model[0], shape=(1, 2))
    assert picture(model) == before
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(target, LABELS)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            (Linear(2, 1), X, LABELS),
            TypeError,
            "to be a Sequential, got Linear(2, 1); write Sequential(",
        ),
        ((None, X, LABELS), TypeError, "expected model to be a Sequential, got None"),
        (
            (Sequential(Linear(3, 1)), X, LABELS),
            ShapeError,
            "expected a net of two inputs, (batch, 2), got one that takes (batch, 3)",
        ),
        ((net(3), np.zeros((5, 3)), LABELS[:5]), ShapeError, "expected x of shape (batch, 2), got (5, 3)"),
        ((net(3), X[0], LABELS[0]), ShapeError, "expected x of shape (batch, 2), got (2,)"),
        ((net(3), X[:0], LABELS[:0]), ValueError, "expected x of one sample or more, all of it finite, got none"),
        ((net(3), X * np.nan, LABELS), ValueError, "all of it finite, got NaN or infinity"),
        ((net(3), "x", LABELS), TypeError, "x: expected numbers, got text"),
        ((net(3), X, LABELS[:4]), ShapeError, "expected target of shape (30,) or (30, 3), for 30 samples, got (4,)"),
        ((net(1), X, np.eye(2)[LABELS % 2]), ShapeError, "expected target of shape (30,) or (30, 1), for 30 samples"),
        ((net(3), X, LABELS + 1), ValueError, "expected labels 0 to 2 for a net of 3 outputs, got array([1, 2, 3,"),
        (
            (net(1), X, LABELS),
            ValueError,
            "expected labels 0 and 1, or -1 and 1, for a net of one output, got array([0, 1",
        ),
        ((net(1), X, LABELS - 1), ValueError, "expected labels 0 and 1, or -1 and 1, for a net of one output, got"),
        (
            (net(1), X, LABELS * np.nan),
            ValueError,
            "expected labels 0 and 1, or -1 and 1, for a net of one output, got",
        ),
        (
            (Sequential(Squares()), X, LABELS),
            ShapeError,
            "expected a net whose output is (batch, classes), got one that gives (batch, 2, 2)",
        ),
    ],
)
def test_what_has_no_decision_to_draw_is_refused(plt: Any, arguments: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)) as caught:
        plot_decision_boundary(*arguments)
    assert str(caught.value).startswith("plot_decision_boundary: ")
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"threshold": 0.5}, ValueError, "a threshold is for one output, and this net has 3; leave it out"),
        ({"resolution": 0}, ValueError, "expected resolution of 1 or more, got 0"),
        ({"resolution": 20.0}, TypeError, "expected resolution as an int, got 20.0"),
        ({"ax": 3}, TypeError, "expected ax as a matplotlib Axes, got int"),
        ({"ax": np.array([None])}, TypeError, "got ndarray; give one of them, such as ax[0]"),
    ],
)
def test_settings_of_a_boundary_that_mean_nothing_are_refused(
    plt: Any, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match="^plot_decision_boundary: .*" + re.escape(message)):
        plot_decision_boundary(net(3), X, LABELS, **settings)
    with pytest.raises(ValueError, match=r"^plot_decision_boundary: expected a finite threshold, got nan"):
        plot_decision_boundary(net(1), X, LABELS % 2, threshold=np.nan)


# ---- what its weights look like


def images(axes: Any) -> npt.NDArray[Any]:
    return np.array([image.get_array() for image in axes.images])


def test_each_unit_is_an_image_of_its_row_of_the_weight(plt: Any) -> None:
    model = Sequential(Linear(12, 7), rng=0)
    axes = plot_weights(model[0], shape=(3, 4))
    np.testing.assert_array_equal(images(axes), model.parameters()["0.weight"].value.reshape(7, 3, 4))
    assert axes.get_title() == "7 units"
    axes.figure.savefig(io.BytesIO())


def test_images_of_a_square_number_of_inputs_are_squares_and_25_at_most(plt: Any) -> None:
    model = Sequential(Linear(9, 40), rng=0)
    axes = plot_weights(model[0])
    weight = model.parameters()["0.weight"].value
    np.testing.assert_array_equal(images(axes), weight[:25].reshape(25, 3, 3))
    assert axes.get_title() == "25 of 40 units"
    assert len(images(plot_weights(model[0], units=99))) == 40
    assert plot_weights(model[0], units=3).get_title() == "3 of 40 units"


def test_all_images_have_one_scale_with_0_in_its_middle(plt: Any) -> None:
    weight = np.array([[0.5, 0.0], [-2.0, 0.25], [9.0, 0.0]])
    axes = plot_weights(Sequential(Linear(2, 3, weight=weight))[0], shape=(2, 1), units=2)
    assert {image.get_clim() for image in axes.images} == {(-2.0, 2.0)}
    (cmap,) = {image.cmap.name for image in axes.images}
    low, middle, high = plt.get_cmap(cmap)([0.0, 0.5, 1.0])[:, :3]
    assert low[0] > low[2]  # red
    assert high[2] > high[0]  # blue
    assert middle.min() > 0.95  # white
    assert [each.get_ylabel() for each in axes.child_axes] == ["weight"]


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
def test_weights_without_a_largest_one_are_drawn(plt: Any, number: float) -> None:
    layer = Linear(4, 3)
    Sequential(layer, rng=0)
    layer.weight.value[:] = number
    axes = plot_weights(layer)
    assert {image.get_clim() for image in axes.images} == {(-1.0, 1.0)}
    layer.weight.value[0, 0] = -0.5
    assert plot_weights(layer).images[0].get_clim() == (-0.5, 0.5)
    axes.figure.savefig(io.BytesIO())


@pytest.mark.parametrize(("shape", "count"), [((2, 2), 1), ((2, 2), 10), ((1, 16), 25), ((16, 1), 7), ((3, 5), 6)])
def test_images_stand_in_reading_order_and_apart_and_each_row_names_its_first(
    plt: Any, shape: tuple[int, int], count: int
) -> None:
    model = Sequential(Linear(shape[0] * shape[1], count), rng=0)
    axes = plot_weights(model[0], shape=shape)
    boxes = [image.get_extent() for image in axes.images]  # left, right, bottom, top, from the top down
    for (_, end, floor, ceiling), (start, _, _, next_ceiling) in itertools.pairwise(boxes):
        assert (start > end and next_ceiling == ceiling) or (start == 0 and next_ceiling > floor)
    left, right, bottom, top = np.transpose(boxes)
    np.testing.assert_allclose(right - left, shape[1])
    np.testing.assert_allclose(bottom - top, shape[0])
    firsts = [str(i) for i, box in enumerate(boxes) if box[0] == 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == firsts
    for place, first in zip(axes.get_yticks(), firsts, strict=True):
        assert boxes[int(first)][3] < place < boxes[int(first)][2]
    assert axes.get_xlim()[0] < 0 < right.max() < axes.get_xlim()[1]
    assert axes.get_ylim()[1] < 0 < bottom.max() < axes.get_ylim()[0]


@pytest.mark.parametrize(
    ("layer", "settings", "kind", "message"),
    [
        (Linear(9, 2), {}, RuntimeError, "Linear.weight is used before it is built; put its layer into a model first"),
        (net(1)[1], {}, TypeError, "as Linear has; Tanh() has none"),
        (net(1), {}, TypeError, "Sequential has none; give one of its layers, such as model[0]"),
        (Sequential(Scale(3))[0], {}, TypeError, "as Linear has; Scale(3) has none"),
        (None, {}, TypeError, "as Linear has; None has none"),
        (net(1)[0], {}, ShapeError, "the 2 inputs of Linear(2, 8) make no square; give shape=(height, width)"),
        (
            net(1)[0],
            {"shape": (2, 2)},
            ShapeError,
            "expected shape=(height, width) with height * width = 2, the inputs of Linear(2, 8), got (2, 2)",
        ),
        (net(1)[0], {"shape": (2,)}, ShapeError, "expected shape=(height, width)"),
        (net(1)[0], {"shape": 2}, ShapeError, "expected shape=(height, width)"),
        (net(1)[0], {"shape": (-1, 2)}, ValueError, "plot_weights: shape: expected each size of 1 or more, got -1"),
        (net(1)[0], {"shape": (1, 2), "units": 0}, ValueError, "plot_weights: expected units of 1 or more, got 0"),
        (net(1)[0], {"shape": (1, 2), "ax": "x"}, TypeError, "plot_weights: expected ax as a matplotlib Axes, got str"),
    ],
)
def test_what_has_no_weights_to_draw_is_refused(
    plt: Any, layer: Any, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        plot_weights(layer, **settings)
    assert plt.get_fignums() == []


def test_a_picture_stays_as_it_was_drawn_when_training_goes_on(plt: Any) -> None:
    model = Sequential(Linear(4, 3), rng=0)
    axes, before = plot_weights(model[0]), model.vector.value.copy()
    model.vector.value[:] = 9
    np.testing.assert_array_equal(images(axes).ravel(), before[:12])


def test_a_weight_of_three_axes_is_refused_with_its_shape(plt: Any) -> None:
    class Deep(Scale):
        def __init__(self) -> None:
            self.weight = Parameter((2, 3, 4), Constant(0.0))

    with pytest.raises(TypeError, match=re.escape("Deep() has one of shape (2, 3, 4)")):
        plot_weights(Deep())


# ---- kernels


def test_the_kernels_of_an_output_channel_stand_in_one_row(plt: Any) -> None:
    model = Sequential(Conv2d(3, 5, (2, 2)), rng=0)  # in a square there would be 4 in a row
    axes = plot_weights(model[0], units=4)
    np.testing.assert_array_equal(images(axes), model.parameters()["0.weight"].value[:4].reshape(12, 2, 2))
    lefts = [image.get_extent()[0] for image in axes.images]
    assert lefts[:3] == lefts[3:6]
    assert len(set(lefts)) == 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2", "3"]
    assert (axes.get_title(), axes.get_ylabel()) == ("4 of 5 output channels", "output channel")
    axes.figure.savefig(io.BytesIO())


def test_of_many_kernels_8_are_drawn(plt: Any) -> None:
    model = Sequential(Conv2d(11, 2, 3), rng=0)
    axes = plot_weights(model[0])
    np.testing.assert_array_equal(images(axes), model.parameters()["0.weight"].value[:, :8].reshape(16, 3, 3))
    assert axes.get_title() == "2 output channels, 8 of 11 kernels each"


@pytest.mark.parametrize(("layer", "shape"), [(Conv2d(1, 6, 5), (6, 5, 5)), (Conv1d(3, 6, 5), (6, 3, 5))])
def test_single_kernels_stand_in_a_square(plt: Any, layer: Layer, shape: tuple[int, ...]) -> None:
    model = Sequential(copy.deepcopy(layer), rng=0)
    axes = plot_weights(model[0])
    np.testing.assert_array_equal(images(axes), model.parameters()["0.weight"].value.reshape(shape))
    assert len({image.get_extent()[2] for image in axes.images}) > 1


def test_kernels_have_their_own_shape(plt: Any) -> None:
    with pytest.raises(ShapeError, match=re.escape("Conv2d(1, 2, 3) have a shape, (1, 3, 3); leave shape out")):
        plot_weights(Sequential(Conv2d(1, 2, 3), rng=0)[0], shape=(3, 3))


# ---- all of them


def drawings(ax: Any = None) -> Iterator[Any]:
    """Draw each picture there is."""
    history = History()
    history.append({"loss": 1.0})
    yield history.plot(ax)
    yield plot_decision_boundary(net(3), X, LABELS, ax=ax)
    yield plot_weights(net(3)[0], shape=(1, 2), ax=ax)
    yield plot_units(net(3), X, resolution=9, ax=ax)


def test_a_picture_is_drawn_on_the_axes_that_it_is_given_or_on_a_figure_of_its_own(plt: Any) -> None:
    _, ax = plt.subplots()
    assert all(drawn is ax for drawn in drawings(ax))
    assert len(plt.get_fignums()) == 1
    assert len({drawn.figure.number for drawn in drawings()}) == 4
    assert len(plt.get_fignums()) == 5


def test_all_that_is_drawn_lies_within_a_figure_of_its_own(plt: Any) -> None:
    many = Sequential(Linear(2, 30), Tanh(), Linear(30, 12), rng=0)
    wide = Sequential(Conv2d(20, 3, 5), rng=0)
    for axes in (
        *drawings(),
        plot_decision_boundary(many, X, LABELS),
        plot_units(many, X, resolution=9),
        plot_units(many, X, units=40, resolution=9),
        plot_units(many, X, units=1, resolution=9),
        plot_weights(many[0], shape=(1, 2)),
        plot_weights(wide[0]),
    ):
        canvas = axes.figure.canvas
        canvas.draw()
        width, height = canvas.get_width_height()
        for each in axes.figure.axes:
            box = each.get_tightbbox(canvas.get_renderer())
            assert min(box.x0, box.y0) >= -1
            assert box.x1 <= width + 1
            assert box.y1 <= height + 1


def test_without_matplotlib_each_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.axes"):
        monkeypatch.setitem(sys.modules, name, None)
    named: dict[str, Callable[[], Any]] = {
        "History.plot": History().plot,
        "plot_decision_boundary": partial(plot_decision_boundary, net(3), X, LABELS),
        "plot_weights": partial(plot_weights, net(3)[0], shape=(1, 2)),
        "plot_units": partial(plot_units, net(3), X),
    }
    for name, draw in named.items():
        with pytest.raises(ImportError, match=re.escape(f"{name} needs matplotlib: pip install 'nanonet[plot]'")):
            draw()


@pytest.mark.parametrize("losses", [[1.0, 0.1, 0.01], [1.0, 0.0, np.nan], [0.0, 0.0], [-1.0, -2.0], [np.nan], []])
def test_a_history_is_drawn_on_a_logarithmic_axis_too(plt: Any, losses: list[float]) -> None:
    history = History()
    for loss in losses:
        history.append({"loss": loss, "accuracy": 0.5})
    for log, scale in ((True, "log" if max(losses, default=0) > 0 else "linear"), (False, "linear")):
        axes = history.plot(log=log)
        assert [each.get_yscale() for each in axes.figure.axes] == [scale, "linear"][: len(axes.figure.axes)]
        axes.figure.savefig(io.BytesIO())
