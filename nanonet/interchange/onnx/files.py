"""onnx: a chain as an ONNX file, which other runtimes run, and a chain from the ONNX files of other libraries."""

from __future__ import annotations

import os
from typing import Any

from nanonet.core.arrays import Shape
from nanonet.core.chain import Chain
from nanonet.core.checks import as_shape
from nanonet.core.repr import called
from nanonet.core.shapes import axes, known
from nanonet.models.sequential import Sequential
from nanonet.storage.archive import path_to
from nanonet.storage.disk import read_whole, write_whole


def export(model: Chain, path: str | os.PathLike[str], *, input_shape: Shape | None = None) -> None:
    """Write a model as an ONNX file (opset 17, IR version 8) that takes "x", shape (batch, ...), and gives "y".

    Weights keep their names, such as "0.weight". What is in the file takes its place only when all of it is on the
    disk.

    Parameters
    ----------
    model : Sequential
        Of nanonet's own layers.
    path : str or Path
        Ends in .onnx.
    input_shape : tuple of int, optional
        Without the batch axis; needed where the first layer does not pin it, and for sequences.

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
    from nanonet.interchange.onnx.writing import graph_of

    shape = _pinned(model) if input_shape is None else as_shape(input_shape, "export")
    if shape is None:
        raise ValueError(
            "export: the first layer does not pin what it takes; write export(model, path, input_shape=(3,)) for rows "
            "of 3 numbers, say"
        )
    made = package.helper.make_model(
        graph_of(package, model, shape),
        opset_imports=[package.helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="nanonet",
    )
    try:
        whole = made.SerializeToString()
    except Exception as error:  # protobuf has a class of its own for it in each of its implementations
        raise ValueError(f"{place}: not written; an ONNX file of one piece holds at most 2 GB: {error}") from None
    write_whole(place, lambda file: file.write(whole))


def load(path: str | os.PathLike[str], *, output: str | None = None) -> Sequential:
    """Return the chain that an ONNX file holds, as PyTorch's, scikit-learn's and our own exporter write it.

    Taken are Gemm, MatMul and Add with constants, the activations, Clip, Min, Max and Where among them, also where they
    are spelled out in smaller operators, Softmax and LogSoftmax along the last axis, Flatten, Dropout, Identity, and
    Cast and Reshape that change nothing. Operators are read as ONNX defines them in the file's opset, and become a
    layer only where the two are proven to be the same function, but for the rounding of constants. Layers within layers
    come out as one chain.

    Parameters
    ----------
    path : str or Path
        Weights beside it, in files of their own, are read from its folder alone.
    output : str, optional
        The value to stop at, where the file has several outputs, or goes on with what is no layer: scikit-learn's
        classifiers end in labels, and their chain in ``output="probabilities"`` or ``"out_activations_result"``.

    Raises
    ------
    ValueError
        If the file is damaged, holds what is not such a chain: the operator is named, or has more than 20,000
        operators, more than 40 residual blocks within one another, or constants that would take more than 100 times
        its bytes.
    ImportError
        If onnx is not installed.
    """
    package = _package("load")
    place = path_to(path, "load", ".onnx")
    from nanonet.interchange.onnx.reading import chain_of

    data = read_whole(place)
    try:
        proto = package.load_model_from_string(data)
    except Exception as error:  # as above
        raise ValueError(f"{place}: damaged, or no ONNX file: {error}") from None
    try:
        return chain_of(package, proto, place.parent, len(data), output)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{place}: {error}") from error


def _package(owner: str) -> Any:
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise ImportError(f"{owner} needs onnx: pip install 'nanonet[onnx]'") from None
    return onnx


def _pinned(model: Sequential) -> Shape | None:
    """Return the shape that the first layer pins: for a Linear, rows; None where a length is open."""
    pattern = model.input_shape
    return None if pattern is None else known(axes(pattern))
