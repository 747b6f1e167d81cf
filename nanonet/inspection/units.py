"""Units: the output of every hidden unit of a net with two inputs, as a picture of the plane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.chain import Chain
from nanonet.core.checks import positive_int
from nanonet.inspection.plots import axes_for, grid_around, samples_in_plane
from nanonet.inspection.record import LayerTrace
from nanonet.inspection.table import one_line
from nanonet.inspection.trace import trace_of

UNITS = "plot_units"
GAP = 0.12  # between two pictures, each of which is 1 wide and high


def plot_units(model: Chain, x: npt.ArrayLike, *, units: int = 12, resolution: int = 60, ax: Any = None) -> Any:
    """Draw the output of every unit over the plane of a net's two inputs; return the matplotlib Axes.

    One row for each layer, from the first to the last; a Linear is left out where a layer follows it. Blue is positive,
    red is negative and white is 0, on one scale per row, which stands on its left. Each picture shows the same part of
    the plane.

    Parameters
    ----------
    model : Chain
        Takes two inputs; not changed.
    x : array
        Samples, shape (batch, 2). The pictures extend slightly beyond them.
    units : int
        Maximum number of units to draw of each layer.
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
        If the net does not take two inputs, or x is not of shape (batch, 2).
    TypeError
        If model is not a Sequential.
    ValueError
        If x is empty or not finite, or no layer has an output of shape (batch, units).

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Tanh
    >>> model = Sequential(Linear(2, 8), Tanh(), Linear(8, 1), rng=0)
    >>> ax = plot_units(model, [[0, 0], [0, 1], [1, 0], [1, 1]])  # doctest: +SKIP
    >>> ax.figure.savefig("units.png")  # doctest: +SKIP
    """
    points = samples_in_plane(model, x, UNITS)
    most, places = positive_int(units, UNITS, "units"), positive_int(resolution, UNITS, "resolution")
    *_, grid = grid_around(points, places)
    rows = list(_rows(model, grid.reshape(-1, 2)))
    if not rows:
        raise ValueError(f"{UNITS}: expected a layer whose output has the shape (batch, units), and this net has none")
    columns = min(most, max(row.output.shape[1] for row in rows))
    step = 1 + GAP
    ax = axes_for(ax, UNITS, figsize=(2.2 + 0.8 * columns, 0.3 + 0.9 * len(rows)))
    for i, row in enumerate(rows):
        _draw_row(ax, row.output[:, :most].T.reshape(-1, places, places), i * step)
    labels = [_label(row, most) for row in rows]
    ax.set(xlim=(-GAP, columns * step), ylim=(len(rows) * step, -GAP), xticks=[], aspect="equal")
    ax.set_yticks([i * step + 0.5 for i in range(len(rows))], labels)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _rows(model: Chain, points: Array) -> Iterator[LayerTrace]:
    """Yield the layers that are drawn, with their outputs at the points."""
    layers = trace_of(model, points).leaves("", "forward")
    for record in layers:
        shown = record is layers[-1] or not record.is_dense
        if shown and isinstance(record.output, np.ndarray) and record.output.ndim == 2:
            yield record


def _label(row: LayerTrace, most: int) -> str:
    count = row.output.shape[1]
    some = f"\n{most} of {count} units" if most < count else ""
    return f"{row.name} {one_line(repr(row.layer), 24)}{some}\n±{_largest(row.output[:, :most]):.3g}"


def _largest(numbers: Array) -> float:
    return float(np.abs(numbers[np.isfinite(numbers)]).max(initial=0)) or 1.0


def _draw_row(ax: Any, images: Array, top: float) -> None:
    largest = _largest(images)
    style = {"cmap": "RdBu", "vmin": -largest, "vmax": largest, "interpolation": "nearest", "origin": "lower"}
    for k, image in enumerate(images):
        left, bottom = k * (1 + GAP), top + 1
        ax.imshow(image, extent=(left, left + 1, bottom, top), **style)
        corners = [left, left + 1, left + 1, left], [top, top, bottom, bottom]
        ax.fill(*corners, fill=False, edgecolor="0.6", linewidth=0.6)
