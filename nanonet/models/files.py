"""Saving: a model in one file, its architecture beside its weights, and made anew from that file alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nanonet._version import __version__
from nanonet.core.chain import Chain
from nanonet.core.layer import Layer
from nanonet.core.parameter import Buffer, Parameter
from nanonet.core.repr import called
from nanonet.core.tree import Tree
from nanonet.models.sequential import Sequential
from nanonet.storage import npz
from nanonet.storage.archive import path_to
from nanonet.storage.stored import Form, Stored

KIND, FORMAT = "model", 2

Arrays = dict[str, npt.NDArray[Any]]


def save(model: Chain, path: str | os.PathLike[str]) -> None:
    """Write a model, weights and architecture, to a file that :func:`load` reads.

    The weights have the names of ``state_dict``, PyTorch's. The architecture is the constructor call of every layer,
    yours too; starting arrays, initializers and generators are left out of it. What is in the file takes its place
    only when all of it is on the disk.

    Parameters
    ----------
    model : Sequential
    path : str or Path
        Ends in .npz or .safetensors.

    Raises
    ------
    TypeError
        If an argument of a layer cannot be kept in a file; it is named.
    ValueError
        If a model made anew from these arguments would be another one, because a setting was changed since or is drawn
        at random, say; the layer and the attribute are named.
    OSError
        If the file cannot be written; what stood there stands there still.

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

    arrays = {name: part.value for name, part in Tree(model).states()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise TypeError(f"save: {name} is of dtype {array.dtype}; a file keeps integers, floats and booleans")
    call, parts = described(model)
    page = {
        "kind": KIND,
        "format": FORMAT if parts else 1,  # which nanonet 0.1 reads
        "nanonet": __version__,
        "model": call,
        **({"parts": parts} if parts else {}),
        "frozen": [name for name, parameter in model.parameters().items() if not parameter.trainable],
    }
    _room(place).write(place, page, arrays)


def load(path: str | os.PathLike[str], layers: Mapping[str, type[Layer]] | None = None) -> Sequential:
    """Return the model that :func:`save` wrote, with its dtype, its buffers, and what was frozen frozen.

    Nothing in a file is executed: it names nanonet's classes, and yours only if you hand them in.

    Parameters
    ----------
    path : str or Path
        Ends in .npz or .safetensors.
    layers : mapping, optional
        Classes of your own by the names that the file has for them: ``load(path, layers={"Scale": Scale})``.

    Raises
    ------
    ValueError
        If the file is damaged, was not written by :func:`save`, needs a newer nanonet or a class that is not there, or
        describes a model beyond the limits that the documentation states.
    """
    place = _path(path, "load")
    classes = _classes(layers)
    with _room(place).opened(place) as (page, stored):
        _check_page(place, page)
        assert page is not None
        try:
            model = _model(page, stored, classes)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else error
            what = "its model is nested too deeply" if isinstance(error, RecursionError) else what
            raise ValueError(f"{place}: {what}") from error
        for name, part in Tree(model).states():
            stored.copy_into(part.value, name)
    return model


def _model(page: Mapping[str, Any], stored: Stored, classes: Mapping[str, type[Layer]]) -> Sequential:
    """Return the model that a page describes, with room for the numbers that are stored beside it."""
    from nanonet.models.architecture import made

    model = made(page["model"], page.get("parts", []), classes, sum(form.size for form in stored.forms.values()))
    _check_forms(dict(Tree(model).states()), stored.forms)
    parameters, frozen = model.parameters(), set(page["frozen"])
    if frozen - parameters.keys():
        raise ValueError(f"no parameters to freeze: {', '.join(sorted(frozen - parameters.keys()))}")
    for name, parameter in parameters.items():
        parameter.trainable = name not in frozen
    return model


def _check_forms(parts: Mapping[str, Parameter | Buffer], forms: Mapping[str, Form]) -> None:
    """Raise ValueError with all names, shapes and dtypes in which a file differs from the model it describes."""
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


def read_arrays(path: str | os.PathLike[str]) -> Arrays:
    """Return the arrays of a file by name, whoever wrote it: :func:`save`, ``np.savez``, PyTorch's safetensors.

    Arrays come in this machine's byte order, bfloat16 as float32. What the file promises is compared with its size
    before memory is taken for it, and a pickle is refused unread. A .safetensors file of others has no digest: a wrong
    number in it is not seen.

    Parameters
    ----------
    path : str or Path
        Ends in .npz or .safetensors.

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
    with _room(place).opened(place) as (_, stored):
        return dict(stored)


def _path(path: str | os.PathLike[str], owner: str) -> Path:
    pickled = str(path).endswith((".pt", ".pth", ".pkl"))
    hint = "; a pickle could run anything: write it with safetensors.torch.save_file(module.state_dict(), ...)"
    return path_to(path, owner, ".npz", ".safetensors", hint=hint if pickled else "")


def _room(path: Path) -> Any:
    """Return the module that reads and writes such files."""
    if path.suffix == ".npz":
        return npz
    from nanonet.storage import safetensors  # only where there is such a file

    return safetensors


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
            "For arrays alone build the model and write model.load_state_dict(nanonet.read_arrays(path))"
        )
    if page["format"] > FORMAT:
        raise ValueError(
            f"{path}: written by nanonet {page.get('nanonet')} in format {page['format']}; this is nanonet "
            f"{__version__}, which reads formats up to {FORMAT}: install a newer one"
        )
