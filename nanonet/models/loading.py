"""Loading: the numbers of another model, by name, into a model: all of them, or those that fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy.typing as npt

from nanonet.core.checks import as_numbers
from nanonet.core.errors import ShapeError
from nanonet.core.tree import Tree


class Loaded(NamedTuple):
    """The names that :meth:`nanonet.Sequential.load_state_dict` has loaded, and those that it has not.

    Attributes
    ----------
    loaded : tuple of str
    missing : tuple of str
        Of the model alone; they keep their numbers.
    unexpected : tuple of str
        Of the state alone.
    misfits : tuple of str
        Of both, but of another shape; they keep their numbers.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misfits: tuple[str, ...]


def load_states(tree: Tree, state: Mapping[str, npt.ArrayLike], *, strict: bool) -> Loaded:
    """Copy arrays into the parameters and buffers of the same names; if strict, only if all of them fit."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"load_state_dict: expected arrays by name, got {state!r:.60}; for a file try nanonet.read_arrays(path)"
        )
    own = tree.states
    arrays = {name: as_numbers(value, "load_state_dict", name) for name, value in state.items()}
    missing = [name for name in own if name not in arrays]
    unexpected = [name for name in arrays if name not in own]
    misfits = [name for name, part in own.items() if name in arrays and arrays[name].shape != part.shape]
    if strict and (missing or unexpected or misfits):
        wrong = [f"missing: {name}, shape {own[name].shape}" for name in missing]
        wrong += [f"unexpected: {name}, shape {arrays[name].shape}" for name in unexpected]
        wrong += [f"{name}: expected shape {own[name].shape}, got {arrays[name].shape}" for name in misfits]
        lines = "".join(f"\n  {line}" for line in wrong)
        raise ShapeError(
            f"{type(tree.root).__name__}: this state does not fit, nothing was loaded; for what fits write "
            f"strict=False:{lines}"
        )
    fitting = [name for name in own if name in arrays and name not in misfits]
    cast = {name: arrays[name].astype(own[name].value.dtype) for name in fitting}  # which may warn, or raise
    for name, array in cast.items():
        own[name].value = array
    return Loaded(tuple(fitting), tuple(missing), tuple(unexpected), tuple(misfits))
