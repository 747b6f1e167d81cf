"""Plots: decision boundaries, and weights as images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.chain import Chain
from nanonet.core.checks import agreed, as_numbers, as_shape, expect, finite_number, optional, positive_int
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.layers.activations import Sigmoid

Floats = npt.NDArray[np.float64]
CHANNELS = 8  # maximum number of kernels of one output channel that are drawn
BOUNDARY, WEIGHTS = "plot_decision_boundary", "plot_weights"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")  # of Okabe and Ito (2008)
MARKERS = "os^DvPX<>"  # with 7 colours, 63 pairs that differ


def axes_for(ax: Any, subject: str, **figure: Any) -> Any:
    """Return ax, or the Axes of a new figure if it is None; subject names the caller in error messages."""
    pyplot = optional(subject, "matplotlib", "plot", "matplotlib.pyplot")
    if ax is None:
        return pyplot.subplots(layout="constrained", **figure)[1]
    if not isinstance(ax, pyplot.Axes):
        hint = "; give one of them, such as ax[0]" if isinstance(ax, np.ndarray) else ""
        raise TypeError(f"{subject}: expected ax as a matplotlib Axes, got {type(ax).__name__}{hint}")
    return ax


# ---- decision boundary


def plot_decision_boundary(
    model: Chain,
    x: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    threshold: float | None = None,
    resolution: int = 200,
    ax: Any = None,
) -> Any:
    """Plot the regions in which a net with two inputs predicts each class, and the samples; return the matplotlib Axes.

    With several outputs the largest wins. With one output there are two classes, and the second is predicted where
    the output is above the threshold. Regions with NaN outputs stay empty.

    Parameters
    ----------
    model : Chain
        Takes two inputs; not changed.
    x : array
        Samples, shape (batch, 2). The plot extends slightly beyond them.
    target : array
        Labels, shape (batch,), or one row per sample, such as one-hot, shape (batch, classes). For a net with one
        output: 0 and 1, or -1 and 1, shape (batch,) or (batch, 1).
    threshold : float, optional
        For a net with one output; default: 0.5 if its last layer is a Sigmoid, else 0, as for logits.
    resolution : int
        Number of grid points along each axis.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; default: a new figure. Call ``plt.show()`` or save the figure to see it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ShapeError
        If the net does not take two inputs, or the shapes of x, target and the net's output do not match.
    TypeError
        If model is not a Sequential.
    ValueError
        If x is empty or not finite, target has invalid labels, or a threshold is given with several outputs.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Tanh
    >>> model = Sequential(Linear(2, 8), Tanh(), Linear(8, 1), rng=0)
    >>> ax = plot_decision_boundary(model, [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0])  # doctest: +SKIP
    >>> ax.figure.savefig("xor.svg")  # doctest: +SKIP
    """
    points = samples_in_plane(model, x, BOUNDARY)
    outputs = _outputs(model.predict(points[:1]))
    bar = _threshold(model, outputs, threshold)
    labels, names = _labels(target, len(points), outputs)
    places = positive_int(resolution, BOUNDARY, "resolution")
    across, up, grid = grid_around(points, places)
    scores = model.predict(grid.reshape(-1, 2), batch_size=4096).reshape(places, places, -1)
    if bar is not None:  # for a single output, the first class's score is the threshold
        scores = np.concatenate([np.full_like(scores, bar), scores], axis=-1)
    ax = axes_for(ax, BOUNDARY)
    _draw_regions(ax, across, up, scores)
    _draw_samples(ax, points, labels, names)
    ax.set(xlabel="$x_0$", ylabel="$x_1$", xlim=(across[0], across[-1]), ylim=(up[0], up[-1]))
    return ax


def samples_in_plane(model: Chain, x: npt.ArrayLike, subject: str) -> Floats:
    """Return the samples of a net with two inputs, shape (batch, 2), or raise an error that starts with subject."""
    hint = "; write Sequential(layer)" if isinstance(model, Layer) else ""
    expect(model, Chain, f"{subject}: expected model", called="Sequential", hint=hint)
    if model.input_shape is not None and agreed(model.input_shape, (2,)) is None:
        taken = shape_text(model.input_shape)
        raise ShapeError(f"{subject}: expected a net of two inputs, (batch, 2), got one that takes {taken}")
    points = as_numbers(x, subject, "x").astype(float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"{subject}: expected x of shape (batch, 2), got {points.shape}")
    if len(points) == 0 or not np.isfinite(points).all():
        came = "none" if len(points) == 0 else "NaN or infinity"
        raise ValueError(f"{subject}: expected x of one sample or more, all of it finite, got {came}")
    return points


def _outputs(prediction: Array) -> int:
    """Return how many outputs a net has."""
    if prediction.ndim > 2:
        came = shape_text(prediction.shape[1:])
        raise ShapeError(f"{BOUNDARY}: expected a net whose output is (batch, classes), got one that gives {came}")
    return int(np.prod(prediction.shape[1:]))


def _threshold(model: Chain, outputs: int, threshold: float | None) -> float | None:
    """Return the threshold for a single output, or None if there are several."""
    if outputs > 1 and threshold is not None:
        raise ValueError(f"{BOUNDARY}: a threshold is for one output, and this net has {outputs}; leave it out")
    if outputs > 1:
        return None
    if threshold is not None:
        return finite_number(threshold, BOUNDARY, "threshold")
    last: Layer = model
    while isinstance(last, Chain) and len(last) > 0:
        last = last[-1]
    return 0.5 if isinstance(last, Sigmoid) else 0.0


def _labels(target: npt.ArrayLike, samples: int, outputs: int) -> tuple[npt.NDArray[Any], Sequence[int]]:
    """Return the class index of each sample, and the names of the classes."""
    truth = as_numbers(target, BOUNDARY, "target")
    if truth.shape not in ((samples,), (samples, outputs)):
        wanted = f"({samples},) or ({samples}, {outputs})"
        raise ShapeError(f"{BOUNDARY}: expected target of shape {wanted}, for {samples} samples, got {truth.shape}")
    if truth.shape == (samples, outputs) and outputs > 1:
        return truth.argmax(axis=1), range(outputs)
    labels = truth.ravel()
    for names in [range(outputs)] if outputs > 1 else [(0, 1), (-1, 1)]:
        if np.isin(labels, names).all():
            return np.searchsorted(names, labels), names
    several = f"0 to {outputs - 1} for a net of {outputs} outputs"
    wanted = several if outputs > 1 else "0 and 1, or -1 and 1, for a net of one output"
    raise ValueError(f"{BOUNDARY}: expected labels {wanted}, got {labels!r:.60}")


def grid_around(points: Floats, places: int) -> tuple[Floats, Floats, Floats]:
    """Return the pixel edges along both axes, slightly beyond the points, and the centres, (places, places, 2)."""
    across, up = (_edges(column, places) for column in points.T)
    return across, up, np.stack(np.meshgrid(_centres(across), _centres(up)), axis=-1)


def _edges(column: Floats, places: int) -> Floats:
    """Return the pixel edges along one axis, from slightly below the samples to slightly above."""
    low, high = column.min(), column.max()
    beyond = (high - low) / 8 or 1.0
    return np.linspace(low - beyond, high + beyond, places + 1)


def _centres(edges: Floats) -> Floats:
    centres: Floats = (edges[1:] + edges[:-1]) / 2
    return centres


def _draw_regions(ax: Any, across: Floats, up: Floats, scores: Array) -> None:
    from matplotlib.colors import ListedColormap

    classes = scores.shape[-1]
    predicted = np.ma.masked_where(np.isnan(scores).any(axis=-1), scores.argmax(axis=-1))
    colours = ListedColormap([COLOURS[k % len(COLOURS)] for k in range(classes)])
    style = {"cmap": colours, "alpha": 0.25, "vmin": -0.5, "vmax": classes - 0.5, "interpolation": "nearest"}
    ax.imshow(predicted, extent=(across[0], across[-1], up[0], up[-1]), origin="lower", aspect="auto", **style)
    for k in range(classes - 1):  # the last class has its boundaries with those before it
        with np.errstate(invalid="ignore"):  # the margin of class k over the best other class
            lead = np.ma.masked_invalid(scores[..., k] - np.delete(scores, k, axis=-1).max(axis=-1))
        if lead.min() < 0 < lead.max():
            ax.contour(_centres(across), _centres(up), lead, levels=[0], colors=[ax.xaxis.label.get_color()])


def _draw_samples(ax: Any, points: Floats, labels: npt.NDArray[Any], names: Sequence[int]) -> None:
    edge = {"edgecolors": ax.xaxis.label.get_color(), "linewidths": 0.5}
    for k, name in enumerate(names):
        look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "label": f"class {name}"}
        ax.scatter(*points[labels == k].T, **look, **edge, s=36, zorder=3)
    place = {"loc": "best"} if len(names) < 5 else {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    ax.legend(**place)


# ---- weights


def plot_weights(layer: Layer, *, shape: Shape | None = None, units: int = 25, ax: Any = None) -> Any:
    """Draw the input weights of each unit, or the kernels of a convolution, as images; return the matplotlib Axes.

    Blue is positive, red is negative and white is 0, on one scale for all images. Units are ordered by rows. If there
    are several input channels, the kernels of one output channel stand in one row, at most 8 of them.

    Parameters
    ----------
    layer : Layer
        Has a weight of shape (out_features, in_features), as Linear does, usually the first layer; or (out_channels,
        in_channels, height, width), as Conv2d does, or (out_channels, in_channels, length) with a ``kernel_size`` of
        (length,), as Conv1d does.
    shape : tuple of int, optional
        (height, width) of an image, with height * width = in_features; default: a square. Not for a convolution.
    units : int
        Maximum number of units, or of output channels, to draw.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; default: a new figure. Call ``plt.show()`` or save the figure to see it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    RuntimeError
        If the layer is not built.
    ShapeError
        If shape does not match in_features, or is not given and in_features is not a square number.
    TypeError
        If the layer has no weight of two axes.

    Examples
    --------
    >>> from nanonet import Linear, Sequential
    >>> model = Sequential(Linear(784, 30), rng=0)
    >>> ax = plot_weights(model[0], units=16)  # doctest: +SKIP
    >>> ax.figure.savefig("weights.png")  # doctest: +SKIP
    """
    weight = _weight(layer)
    shown = weight[: positive_int(units, WEIGHTS, "units")]
    if weight.ndim == 2:
        height, width = _image_shape(layer, weight.shape[1], shape)
        images, beside, noun = shown.reshape(-1, height, width), None, "units"
    elif shape is not None:
        raise ShapeError(f"{WEIGHTS}: the kernels of {called(layer)} have a shape, {weight.shape[1:]}; leave shape out")
    else:
        several = weight.ndim == 4 and weight.shape[1] > 1
        images, beside, noun = _kernels(shown), min(weight.shape[1], CHANNELS) if several else None, "output channels"
    ax = axes_for(ax, WEIGHTS)
    _draw_images(ax, images, beside)
    title = f"{len(shown)} of {len(weight)} {noun}" if len(shown) < len(weight) else f"{len(weight)} {noun}"
    if beside is not None and beside < weight.shape[1]:
        title += f", {beside} of {weight.shape[1]} kernels each"
    ax.set(title=title)
    return ax


def _kernels(weight: Array) -> Array:
    """Return the kernels of a convolution as images, those of one output channel one after the other."""
    return weight if weight.ndim == 3 else weight[:, :CHANNELS].reshape(-1, *weight.shape[2:])


def _weight(layer: Layer) -> Array:
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, Layer) or not isinstance(weight, Parameter) or not _is_drawn(layer, weight.shape):
        came = f"one of shape {weight.shape}" if isinstance(weight, Parameter) else "none"
        hint = "; give one of its layers, such as model[0]" if isinstance(layer, Chain) else ""
        wanted = "a layer with kernels, or with a weight of shape (out_features, in_features), as Linear has"
        raise TypeError(f"{WEIGHTS}: expected {wanted}; {called(layer)} has {came}{hint}")
    return weight.value


def _is_drawn(layer: Layer, shape: Shape) -> bool:
    """Tell whether a weight is a matrix, or holds kernels: with one axis these are told by ``kernel_size``."""
    return len(shape) in (2, 4) or (len(shape) == 3 and getattr(layer, "kernel_size", None) == shape[2:])


def _image_shape(layer: Layer, inputs: int, shape: Shape | None) -> tuple[int, int]:
    side = math.isqrt(inputs)
    if shape is None and side * side != inputs:
        raise ShapeError(
            f"{WEIGHTS}: the {inputs} inputs of {called(layer)} make no square; give shape=(height, width)"
        )
    sizes = (side, side) if shape is None else as_shape(shape, f"{WEIGHTS}: shape")
    if len(sizes) != 2 or sizes[0] * sizes[1] != inputs:
        wanted = f"shape=(height, width) with height * width = {inputs}, the inputs of {called(layer)}"
        raise ShapeError(f"{WEIGHTS}: expected {wanted}, got {sizes}")
    return sizes[0], sizes[1]


def _draw_images(ax: Any, images: Array, beside: int | None) -> None:
    """Draw images in a roughly square grid, or so many in a row."""
    count, height, width = images.shape
    columns = beside or min(count, math.ceil(math.sqrt(count * height / width)))
    rows, gap = math.ceil(count / columns), 0.1 * min(height, width)
    largest = float(np.abs(images[np.isfinite(images)]).max(initial=0)) or 1.0
    style = {"cmap": "RdBu", "vmin": -largest, "vmax": largest, "interpolation": "nearest"}
    for i, image in enumerate(images):
        left, top = i % columns * (width + gap), i // columns * (height + gap)
        right, bottom = left + width, top + height
        drawn = ax.imshow(image, extent=(left, right, bottom, top), **style)
        ax.fill([left, right, right, left], [top, top, bottom, bottom], fill=False, edgecolor="0.6", linewidth=0.6)
    ax.set(xlim=(-gap, columns * (width + gap)), ylim=(rows * (height + gap), -gap), xticks=[])
    middles = [row * (height + gap) + height / 2 for row in range(rows)]
    ax.set_yticks(middles, [str(row if beside else row * columns) for row in range(rows)])
    ax.set_ylabel("output channel" if beside else "first unit of the row")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(drawn, cax=ax.inset_axes((1.03, 0, 0.05, 1)), label="weight")
