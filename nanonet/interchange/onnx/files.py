"""onnx: export of models as ONNX files for other runtimes, and import of models from other libraries' ONNX files."""

from __future__ import annotations

import os
from typing import Any

from nanonet.core.arrays import Pattern, Patterns
from nanonet.core.chain import Chain
from nanonet.core.checks import as_shape, is_several, known, optional
from nanonet.core.objects import called
from nanonet.interchange.onnx.reading import model_of
from nanonet.interchange.onnx.writing import graph_of
from nanonet.models.sequential import Sequential
from nanonet.storage.disk import path_to, read_whole, write_whole


def export(model: Chain, path: str | os.PathLike[str], *, input_shape: Patterns | None = None) -> None:
    """Export a model to an ONNX file (opset 17, IR version 8) with input "x", shape (batch, ...), and output "y".

    Several inputs are "x0", "x1", ..., several outputs "y0", "y1", ...; integers are int64. Weights keep their names,
    such as "0.weight"; those of a recurrent layer are stacked by direction, with the gates in ONNX's order. The write
    is atomic. Attention is written as products and a Softmax, for sequences of the length in input_shape. Dropout
    within attention and between recurrent layers, and a carried state, are for training and are left out. In float64
    runtimes lack some operators: onnxruntime has no Conv, AveragePool, Resize, RNN, LSTM and GRU of doubles.

    Parameters
    ----------
    model : Sequential
        Built from nanonet's own layers, Composites, and layers registered with :func:`writes`.
    path : str or Path
        Ends in .onnx.
    input_shape : tuple of int, optional
        Without the batch axis; needed if the first layer does not determine it, and for sequences and images. For
        several inputs a tuple of shapes.

    Raises
    ------
    TypeError
        If ONNX has no operators for a layer; it is named.
    ValueError
        If input_shape is needed, or does not fit.
    ImportError
        If onnx is not installed.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Tanh
    >>> model = Sequential(Linear(2, 3), Tanh(), rng=0)
    >>> export(model, "net.onnx")  # doctest: +SKIP
    """
    package = _package("export")
    place = path_to(path, "export", ".onnx")
    if not isinstance(model, Sequential):
        raise TypeError(f"export: expected a Sequential, got {called(model)}")
    shape = _pinned(model) if input_shape is None else _given(model, input_shape)
    if shape is None:
        raise ValueError(
            "export: the first layer does not determine its input shape; write export(model, path, input_shape=(3,)) "
            "for rows of 3 numbers, or input_shape=(1, 28, 28) for images of one channel"
        )
    made = package.helper.make_model(
        graph_of(package, model, shape),
        opset_imports=[package.helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="nanonet",
    )
    try:
        whole = made.SerializeToString()
    except Exception as error:  # each implementation of protobuf has its own exception class
        raise ValueError(f"{place}: not written; a single ONNX file holds at most 2 GB: {error}") from None
    write_whole(place, lambda file: file.write(whole))


def load(path: str | os.PathLike[str], *, output: str | None = None) -> Sequential:
    """Load a model from an ONNX file, as written by PyTorch's, scikit-learn's and nanonet's exporters.

    Supported are Gemm, MatMul and Add with constants, Gather from a table; Conv, ConvTranspose, MaxPool, AveragePool,
    GlobalAveragePool, Resize and Pad; BatchNormalization, LayerNormalization, InstanceNormalization, and norms written
    out; RNN, LSTM and GRU with what turns their sequences and states, and attention, however it is written out; the
    activations, including Clip, Min, Max and Where, and also decomposed into simpler operators, Softmax and
    LogSoftmax along the last axis; Flatten, Reshape, Transpose, Dropout, Identity; Sub and Div by constants, Cast
    without effect; and those registered with :func:`reads`. Operators are read as ONNX defines them in the file's
    opset; they become a layer only if the two are proven to be the same function, up to the rounding of constants.

    A chain is loaded as one, without the nesting that it may have had, with its residual blocks. Other branches, which
    Add, Sum, Mul, Concat, Split and Slice join or cut, become a :class:`nanonet.Wired`, and so does a whole graph of
    several inputs or outputs.

    Parameters
    ----------
    path : str or Path
        External weight files are read only from its folder.
    output : str, optional
        The value to stop at, if not all outputs are wanted, or if the file ends in operators that are not layers:
        scikit-learn's classifiers end in labels, but their
        chain in ``output="probabilities"`` or ``"out_activations_result"``.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If the file is damaged or does not hold such a graph (the operator is named), or if it has more than 20,000
        operators, more than 40 nested residual blocks, or constants that would take more than 100 times its size.
    ImportError
        If onnx is not installed.
    """
    package = _package("load")
    place = path_to(path, "load", ".onnx")
    data = read_whole(place)
    try:
        proto = package.load_model_from_string(data)
    except Exception as error:  # as above
        raise ValueError(f"{place}: damaged, or not an ONNX file: {error}") from None
    try:
        return model_of(package, proto, place.parent, len(data), output)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{place}: {error}") from error


def _package(owner: str) -> Any:
    return optional(owner, "onnx", "onnx", "onnx", "onnx.helper", "onnx.numpy_helper")


def _pinned(model: Sequential) -> Patterns | None:
    """Return the shape that the first layer pins: for a Linear, rows; None where a length is open."""
    pattern = model.input_shape
    if pattern is None:
        return None
    return known(tuple(map(_rows, pattern)) if is_several(pattern) else _rows(pattern))


def _rows(pattern: Pattern) -> Pattern:
    """Return a pattern without the axes that may come before the last ones."""
    return pattern[1:] if pattern[:1] == (...,) and len(pattern) > 1 else pattern


def _given(model: Sequential, shape: Any) -> Patterns:
    """Return an input shape as a tuple of ints, or a tuple of such, and check that the model takes it."""
    several = isinstance(shape, tuple | list) and any(isinstance(part, tuple | list) for part in shape)
    if several != model.several_inputs:
        wanted = (
            "a tuple of shapes, ((3,), (5,)), since the model takes several inputs" if model.several_inputs else "one"
        )
        raise ValueError(f"export: expected input_shape as {wanted}, got {shape}")
    return tuple(as_shape(part, "export") for part in shape) if several else as_shape(shape, "export")
