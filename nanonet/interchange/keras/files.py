"""files: loads models from Keras files."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import Any

from nanonet.core.checks import optional
from nanonet.core.errors import ShapeError
from nanonet.interchange.keras.chain import chained
from nanonet.interchange.keras.container import opened
from nanonet.interchange.keras.nodes import Graph, Shape, graph_of, sample
from nanonet.interchange.keras.weights import Weights
from nanonet.interchange.keras.wiring import Wiring, dtype_of, places_of
from nanonet.models.sequential import Sequential
from nanonet.storage.archive import Page
from nanonet.storage.disk import path_to


def load(path: str | os.PathLike[str]) -> Sequential:
    """Load a model from a Keras file, without Keras: its architecture and its weights.

    ``model(x)`` takes what Keras's model takes, with the channels last, and returns the same numbers. It is a chain,
    without the nesting that it may have had; where a functional model branches, its branches become a
    :class:`nanonet.Wired`, and so does one of several inputs or outputs. Layers that were not trainable are frozen, and
    the dtype is that of the file; weights of mixed precision are computed with in float32.

    Supported are Dense, Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D and Conv2DTranspose; Embedding; SimpleRNN,
    LSTM and GRU, and Bidirectional of them; the normalizations, Normalization and Rescaling; the poolings, UpSampling,
    ZeroPadding, Flatten, Reshape, Permute, RepeatVector, Dropout and noise; activations by name and as layers; Add,
    Average, Multiply, Concatenate; and what is registered with :func:`reads`. What nanonet has no layer for is refused;
    nothing in the file is run.

    Parameters
    ----------
    path : str or Path
        Ends in .keras, .h5 or .hdf5: saved by ``model.save(path)``, of Keras 3, or of Keras 2 as .h5.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError
        If nanonet has no such layer; it is named.
    ValueError
        If the file is damaged, or lacks an array, or if a layer has an option that nanonet's has not.
    ImportError
        If h5py is not installed.

    Examples
    --------
    >>> from nanonet.interchange import keras
    >>> model = keras.load("model.keras")  # doctest: +SKIP
    """
    package = optional("load", "h5py", "keras", "h5py")
    place = path_to(path, "load", ".keras", ".h5", ".hdf5")
    try:
        with opened(package, place) as (page, weights):
            return _model(page, weights)
    except TypeError as error:
        raise TypeError(f"{place}: {error}") from error
    except (OSError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise  # it cannot be opened
        raise ValueError(f"{place}: damaged, or not a file of Keras: {error}") from error
    except (ValueError, OverflowError) as error:
        text = str(error)
        raise ValueError(text if text.startswith(str(place)) else f"{place}: {text}") from error


def _model(page: Page, weights: Weights) -> Sequential:
    """Return the model of a description."""
    graph = graph_of(page)
    wiring = Wiring()
    inlets = [wiring.steps.value(shape) for shape in _shapes(graph)]
    outlets = wiring.run(graph, places_of(graph, weights), inlets)
    outlets = [wiring.steps.aligned(value, moved=False) for value in outlets]
    try:
        model = chained(wiring.steps.made, inlets, outlets, dtype_of(wiring.policies))
    except ShapeError as error:
        raise ValueError(f"its layers do not fit: {error}") from error
    for state, array in wiring.steps.fills:
        state.value = array
    for state in wiring.held:
        if hasattr(state, "trainable"):
            state.trainable = False
    return model


def _shapes(graph: Graph) -> list[Shape]:
    """Return the shape of each input, without the batch axis."""
    by_name: dict[str, Any] = {one.name: one.config for one in graph.layers if one.kind == "InputLayer"}
    found = []
    for name, *_ in graph.inputs:
        config = by_name.get(name)
        shape = None if config is None else config.get("batch_shape", config.get("batch_input_shape"))
        if shape is None and graph.shape is None:
            raise ValueError(
                "the file does not say the shape of its input; begin with keras.Input((3,)), for example, for rows of "
                "3 numbers"
            )
        found.append(graph.shape if shape is None else sample(shape, f"layer {name!r}"))
    return [shape for shape in found if shape is not None]
