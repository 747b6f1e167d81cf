"""Saving: a model's architecture and weights in one file, from which alone it can be rebuilt."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nanonet.core.arrays import Numbers
from nanonet.core.chain import Chain
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.parameter import Buffer, Parameter
from nanonet.core.tree import Tree
from nanonet.core.version import __version__
from nanonet.models.sequential import Sequential
from nanonet.storage.archive import open_npz, write_archive
from nanonet.storage.disk import path_to
from nanonet.storage.stored_array import Form, Stored

KIND, FORMAT = "model", 2


def save(model: Chain, path: str | os.PathLike[str]) -> None:
    """Write a model, weights and architecture, to a file that :func:`load` reads.

    The weights have the names of ``state_dict``, as in PyTorch. The architecture consists of the constructor calls of
    all layers, including custom ones, without initial arrays, initializers and generators. The write is atomic.

    Parameters
    ----------
    model : Sequential
    path : str or Path
        Ends in .npz or .safetensors.

    Raises
    ------
    TypeError
        If an argument of a layer cannot be stored in a file; it is named.
    ValueError
        If a model rebuilt from these arguments would differ, for example because a setting was changed later or is
        random; the layer and the attribute are named.
    OSError
        If the file cannot be written; an existing file is left untouched.

    Examples
    --------
    >>> import tempfile
    >>> from nanonet import Linear, Sequential, Tanh, load, save
    >>> model = Sequential(Linear(2, 3), Tanh(), rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/net.npz")
    ...     load(f"{folder}/net.npz")
    Sequential(
      0: Linear(2, 3)
      1: Tanh()
    )
    """
    if not isinstance(model, Sequential):
        hint = f"; write Sequential({called(model)})" if isinstance(model, Layer) else ""
        raise TypeError(f"save: expected a Sequential, got {called(model)}{hint}")
    place = _path(path, "save")
    from nanonet.models.architecture import described

    arrays = {name: part.value for name, part in Tree(model).states.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise TypeError(f"save: {name} is of dtype {array.dtype}; a file stores integers, floats and booleans")
    call, parts = described(model)
    page = {
        "kind": KIND,
        "format": FORMAT if parts else 1,  # which nanonet 0.1 reads
        "nanonet": __version__,
        "model": call,
        **({"parts": parts} if parts else {}),
        "frozen": [name for name, parameter in model.parameters().items() if not parameter.trainable],
    }
    write, _ = _format_of(place)
    write(place, page, arrays)


def load(path: str | os.PathLike[str], layers: Mapping[str, type[Layer]] | None = None) -> Sequential:
    """Return the model that :func:`save` wrote, with its dtype, buffers and frozen parameters.

    Nothing in a file is executed: it refers to nanonet's classes, and to your own only if you pass them.

    Parameters
    ----------
    path : str or Path
        Ends in .npz or .safetensors.
    layers : mapping, optional
        Your own classes, by their names in the file: ``load(path, layers={"Scale": Scale})``.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If the file is damaged, was not written by :func:`save`, needs a newer nanonet or a missing class, or describes
        a model beyond the documented limits.
    """
    place = _path(path, "load")
    classes = _classes(layers)
    _, opened = _format_of(place)
    with opened(place) as (page, stored):
        _check_page(place, page)
        assert page is not None
        try:
            model = _model(page, stored, classes)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else error
            what = "its model is nested too deeply" if isinstance(error, RecursionError) else what
            raise ValueError(f"{place}: {what}") from error
        for name, part in Tree(model).states.items():
            stored.copy_into(part.value, name)
    return model


def _model(page: Mapping[str, Any], stored: Stored, classes: Mapping[str, type[Layer]]) -> Sequential:
    """Return the model that a page describes, with uninitialized parameters."""
    from nanonet.models.architecture import made

    model = made(page["model"], page.get("parts", []), classes, sum(form.size for form in stored.forms.values()))
    _check_forms(Tree(model).states, stored.forms)
    parameters, frozen = model.parameters(), set(page["frozen"])
    if frozen - parameters.keys():
        raise ValueError(f"no parameters to freeze: {', '.join(sorted(frozen - parameters.keys()))}")
    for name, parameter in parameters.items():
        parameter.trainable = name not in frozen
    return model


def _check_forms(parts: Mapping[str, Parameter | Buffer], forms: Mapping[str, Form]) -> None:
    """Raise ValueError listing all names, shapes and dtypes in which a file differs from the model it describes."""
    wanted = {name: Form(part.value.dtype, part.shape) for name, part in parts.items()}
    wrong = [f"missing: {name}, {form}" for name, form in wanted.items() if name not in forms]
    wrong += [f"unexpected: {name}, {form}" for name, form in forms.items() if name not in wanted]
    wrong += [
        f"{name}: expected {form}, got {forms[name]}"
        for name, form in wanted.items()
        if name in forms and form[:2] != forms[name][:2]
    ]
    if wrong:
        lines = "".join(f"\n  {line}" for line in wrong)
        raise ValueError(f"its architecture and its arrays do not fit, nothing was loaded:{lines}")


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Numbers]:
    """Return the arrays of a file by name, written by :func:`save`, ``np.savez`` or PyTorch's safetensors.

    Arrays are in native byte order, bfloat16 as float32. Declared sizes are checked against the size of the file before
    memory is allocated, and pickles are refused unread. A .safetensors file from other software has no digest, so
    corrupted numbers in it are not detected.

    Parameters
    ----------
    path : str or Path
        Ends in .npz or .safetensors.

    Returns
    -------
    dict of array

    Raises
    ------
    ValueError
        If the file is damaged, or holds anything but numbers.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from nanonet import Linear, Sequential, read_arrays
    >>> model = Sequential(Linear(1, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/weights.npz", **{"0.weight": [[1], [2]], "0.bias": [3, 4]})
    ...     model.load_state_dict(read_arrays(f"{folder}/weights.npz"))
    >>> model([[10]])
    array([[13., 24.]], dtype=float32)
    """
    place = _path(path, "read_arrays")
    _, opened = _format_of(place)
    with opened(place) as (_, stored):
        return dict(stored)


def _path(path: str | os.PathLike[str], owner: str) -> Path:
    hint = ""
    if str(path).endswith((".pt", ".pth", ".pkl")):
        hint = "; a pickle could run anything: write it with safetensors.torch.save_file(module.state_dict(), ...)"
    elif str(path).endswith(".onnx"):
        hint = "; for ONNX write from nanonet.interchange import onnx"
    return path_to(path, owner, ".npz", ".safetensors", hint=hint)


def _format_of(path: Path) -> tuple[Callable[..., None], Callable[[Path], Any]]:
    """Return the functions that write and open files of this format."""
    if path.suffix == ".npz":
        return write_archive, open_npz
    from nanonet.storage.safetensors import opened, write  # only if needed

    return write, opened


def _classes(layers: object) -> dict[str, type[Layer]]:
    given = {} if layers is None else layers
    if not isinstance(given, Mapping):
        raise TypeError(f'load: expected layers as classes by name, {{"Scale": Scale}}, got {given!r:.60}')
    for name, cls in given.items():
        if not (isinstance(name, str) and isinstance(cls, type) and issubclass(cls, Layer)):
            raise TypeError(f"load: expected layers[{name!r}] as a subclass of Layer, got {cls!r:.60}")
    return dict(given)


def _check_page(path: Path, page: Mapping[str, Any] | None) -> None:
    if page is None or page.get("kind") != KIND or type(page.get("format")) is not int:
        training = page is not None and page.get("kind") == "training"
        hint = "it is a checkpoint, which Trainer.resume reads" if training else "save writes one that does"
        raise ValueError(
            f"{path}: holds no architecture; {hint}. "
            "To load only arrays, build the model and write model.load_state_dict(nanonet.read_arrays(path))"
        )
    if page["format"] > FORMAT:
        raise ValueError(
            f"{path}: written by nanonet {page.get('nanonet')} in format {page['format']}; this is nanonet "
            f"{__version__}, which reads formats up to {FORMAT}: install a newer one"
        )
