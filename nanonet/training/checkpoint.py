"""Checkpoint files: all that is needed to resume training in another process as if it had not stopped."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import is_finite
from nanonet.core.checks import as_numbers
from nanonet.core.errors import ShapeError
from nanonet.core.layer import Layer, is_own
from nanonet.core.version import __version__
from nanonet.storage.archive import open_archive, write_archive
from nanonet.storage.disk import npz_path
from nanonet.storage.stored import Stored
from nanonet.training.checkpoint_format import (
    CHANGING,
    FORMAT,
    KIND,
    Numbers,
    contradictions,
    numbers_of,
    page_table,
    plain,
    state_of,
    under,
)
from nanonet.training.epoch import Epoch
from nanonet.training.history import History
from nanonet.training.resumed import Adjustable, Kept, Resumed, named
from nanonet.training.schema import one_of, table
from nanonet.training.subject import Remembering, Subject

# ---- from a trainer to a file


def store(trainer: Subject, path: str | os.PathLike[str]) -> None:
    """Write a trainer's state; see :meth:`nanonet.Trainer.save`."""
    place = npz_path(path, "Trainer.save")
    left = trainer.resumed or Resumed(kept=_kept(trainer), completed=trainer.completed)
    write_archive(place, _page(trainer, left), dict(_arrays(trainer, left)))


def _kept(trainer: Subject) -> Iterator[Kept]:
    """Yield the callbacks of the last fit, with their state unless the fit ran to completion."""
    given = set(map(id, trainer.callbacks))
    for member in trainer.members:
        if id(member.callback) in given:
            state = None if trainer.completed else _state(member.callback)
            yield Kept(*named(member.callback), member.undone, state)


def _state(callback: Remembering) -> Numbers:
    """Return a callback's state as arrays, or raise for the entry that is not one."""
    state = {}
    for name, value in callback.state_dict().items():
        try:
            state[name] = as_numbers(value, callback, f"state_dict()[{name!r}]")
        except ShapeError as error:
            raise TypeError(str(error)) from None
    return state


def _page(trainer: Subject, left: Resumed) -> dict[str, Any]:
    """Return what is not an array, following :func:`nanonet.training.checkpoint_format.page_table`."""
    epoch, history = trainer.underway, trainer.history
    page: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "nanonet": __version__,
        "numpy": np.__version__,
        "optimizer": named(trainer.optimizer),
        "loss": named(trainer.loss),
        "layers": _classes(trainer),
        "frozen": [name for name, parameter in trainer.tree.parameters.items() if not parameter.trainable],
        "steps": int(trainer.steps),
        "epoch": int(trainer.epoch),
        "interrupted": bool(history.interrupted),
        "stopped": str(history.stopped or ""),
        "completed": left.completed,
        "generators": {name: plain(rng.bit_generator.state) for name, rng in _generators(trainer)},
        "splits": [[*key, plain(state)] for key, state in trainer.intake.splits.items()],
        "callbacks": [{"class": one.name, "call": one.call, "undone": _plain(one.undone)} for one in left.kept],
        "underway": None,
    }
    if epoch is not None and epoch.done:
        page["underway"] = {"data": epoch.data, "begun": plain(epoch.begun), "done": epoch.done}
    elif epoch is not None and epoch.begun is not None:  # its order will be drawn again
        page["generators"]["trainer"] = plain(epoch.begun)
    return page


def _classes(trainer: Subject) -> dict[str, str]:
    """Return the class of every layer by its path."""
    return {path: class_name(type(layer)) for path, layer in trainer.tree.layers.items()}


def class_name(cls: type[Layer]) -> str:
    """Return the name of a class in a file: nanonet's own as exported, others by name without the module.

    A script's module name depends on whether it is imported, and a class's qualified name on where it is defined.
    """
    name = cls.__qualname__.rpartition("<locals>.")[2]
    return f"nanonet.{name}" if is_own(cls) else name


def _plain(adjustable: Adjustable) -> dict[str, Any]:
    factor = None if adjustable.rate_factor is None else float(adjustable.rate_factor)
    known = factor is not None and math.isfinite(factor)
    return {"trainable": dict(adjustable.trainable), "rate_factor": factor if known else None}


def _arrays(trainer: Subject, left: Resumed) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield all arrays and floats, as arrays by name."""
    yield from _changing(trainer)
    for name in ("batch_loss", "learning_rate", "rate_factor"):
        yield f"trainer/{name}", np.asarray(getattr(trainer, name), float)
    for name, numbers in trainer.history.items():
        yield f"history/{name}", np.asarray(numbers, float)
    if trainer.underway is not None and trainer.underway.done:
        for name, sums in trainer.underway.means.sums.items():
            yield f"underway/{name}", np.asarray(sums, float)
    for i, one in enumerate(left.kept):
        for name, value in (one.state or {}).items():
            yield f"callback/{i}/{name}", value


def _changing(trainer: Subject) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the arrays that training changes, by name, from the model and the optimizer's state."""
    for name, parameter in trainer.tree.parameters.items():
        yield f"parameter/{name}", parameter.value
    for name, buffer in trainer.tree.buffers.items():
        yield f"buffer/{name}", buffer.value
    for name, state in trainer.state_arrays():
        yield f"state/{name}", state


def _generators(trainer: Subject) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield every generator by name; the trainer's, which may be the model's, is restored after it."""
    yield "model", trainer.model.rng
    yield "trainer", trainer.rng
    for name, random in trainer.tree.randoms.items():
        yield f"layer/{name}", random.generator


# ---- from a file to a trainer


def restore(trainer: Subject, path: str | os.PathLike[str]) -> Resumed:
    """Restore a trainer's state from a file, atomically; see :meth:`nanonet.Trainer.resume`."""
    place = npz_path(path, "Trainer.resume")
    with open_archive(place) as (page, stored):
        contents = _checked(place, page, stored, trainer)
        with trainer.shield:  # signals are deferred, so that only a change of the file can interrupt it
            trainer.torn = f"{place} was changed while it was read"
            resumed = _take_over(trainer, contents, stored)
            trainer.torn = ""
        return resumed


class Contents(NamedTuple):
    """The contents of a checkpoint beside the arrays that training changes, known to fit a trainer."""

    page: Mapping[str, Any]
    numbers: Numbers
    frozen: frozenset[str]
    history: History
    resumed: Resumed


def _checked(path: Path, raw: Mapping[str, Any], stored: Stored, trainer: Subject) -> Contents:
    """Return the contents of a file, or raise ValueError if any entry is invalid; nothing is changed."""
    _check_format(path, raw)
    version, generators = raw["format"], dict(_generators(trainer))
    with _refusal(path):
        page, numbers = page_table(version)(raw, ""), numbers_of(stored)
        for contradiction in contradictions(page, numbers):
            raise ValueError(contradiction)
    _check_classes(path, page, trainer)
    _check_forms(path, page, stored, trainer)
    _check_generators(path, page, generators)
    states = table({name: state_of(rng) for name, rng in generators.items()})
    with _refusal(path):
        page = page_table(version, states, state_of(trainer.rng), one_of(*trainer.tree.parameters))(raw, "")
        frozen = _frozen(page, trainer)
        _check_finite(stored, frozen, trainer)
    epoch = _epoch(page["underway"], under("underway/", numbers))
    resumed = Resumed(epoch, _kept_in(page, numbers), page.get("completed", False))
    return Contents(page, numbers, frozen, _history(page, under("history/", numbers)), resumed)


def _take_over(trainer: Subject, contents: Contents, stored: Stored) -> Resumed:
    """Set the trainer's state; everything has been checked."""
    page, numbers, frozen, history, resumed = contents
    epoch = resumed.epoch
    for name, target in _changing(trainer):
        stored.copy_into(target, name)
    for name, rng in _generators(trainer):
        rng.bit_generator.state = page["generators"][name]
    for name, parameter in trainer.tree.parameters.items():
        parameter.trainable = name not in frozen
    trainer.steps, trainer.epoch, trainer.batch = page["steps"], page["epoch"], epoch.done if epoch else 0
    trainer.batch_loss = float(numbers["trainer/batch_loss"])
    trainer.learning_rate = float(numbers["trainer/learning_rate"])
    trainer.rate_factor = float(numbers["trainer/rate_factor"])
    trainer.intake.splits = {(samples, fraction): state for samples, fraction, state in page["splits"]}
    trainer.history, trainer.underway = history, epoch
    trainer.forget_bounds()
    trainer.completed, trainer.callbacks, trainer.members = False, [], []
    return resumed


def _check_format(path: Path, page: Mapping[str, Any]) -> None:
    version = page.get("format")
    if page.get("kind") != KIND or type(version) is not int or version < 1:
        raise ValueError(f"{path}: not a training checkpoint")
    if version > FORMAT:
        raise ValueError(
            f"{path}: written by nanonet {page.get('nanonet')} in format {version}; this is nanonet "
            f"{__version__}, which reads formats up to {FORMAT}: install a newer one"
        )


@contextmanager
def _refusal(path: Path) -> Iterator[None]:
    """Put the path in front of errors about a file's contents."""
    try:
        yield
    except ValueError as error:
        whose = "" if str(error).startswith(f"{path}: ") else f"{path}: "  # read errors name it already
        raise ValueError(f"{whose}{error}; nothing was changed") from None


def _check_classes(path: Path, page: Mapping[str, Any], trainer: Subject) -> None:
    for kind, here in (("loss", trainer.loss), ("optimizer", trainer.optimizer)):
        name, call = page[kind]
        if name != type(here).__name__:
            raise ValueError(f"{path}: its {kind} was {call}, that of this trainer is {here!r}; nothing was changed")


def _check_forms(path: Path, page: Mapping[str, Any], stored: Stored, trainer: Subject) -> None:
    """Raise ValueError listing every difference in a layer's class or an array's name, shape or dtype."""
    here, saved = (
        {f"layer {layer or '(the model)'}": name for layer, name in classes.items()}
        for classes in (_classes(trainer) if "layers" in page else {}, page.get("layers", {}))
    )
    here |= {name: f"{target.dtype} {target.shape}" for name, target in _changing(trainer)}
    saved |= {name: str(form) for name, form in stored.forms.items() if name.startswith(CHANGING)}
    lines = [f"  {name}: only in the file" for name in saved if name not in here]
    lines += [f"  {name}: not in the file" for name in here if name not in saved]
    lines += [
        f"  {name}: {saved[name]} in the file, {form} here"
        for name, form in here.items()
        if saved.get(name, form) != form
    ]
    if lines:
        shown = [*lines[:20], f"  and {len(lines) - 20} more"] if len(lines) > 20 else lines
        what = f"{path}: does not fit this trainer, and nothing was changed; its optimizer was {page['optimizer'][1]}"
        raise ValueError("\n".join([what, *shown]))


def _check_generators(path: Path, page: Mapping[str, Any], generators: Mapping[str, np.random.Generator]) -> None:
    if page["generators"].keys() != generators.keys():
        other = ", ".join(sorted(page["generators"].keys() ^ generators.keys()))
        raise ValueError(f"{path}: saved from a model with other generators; nothing was changed: {other}")


def _frozen(page: Mapping[str, Any], trainer: Subject) -> frozenset[str]:
    """Return the frozen parameters; a file of format 1 leaves them as they are."""
    here = (name for name, parameter in trainer.tree.parameters.items() if not parameter.trainable)
    return frozenset(page.get("frozen", here))


def _check_finite(stored: Stored, frozen: frozenset[str], trainer: Subject) -> None:
    """Raise ValueError if a trainable parameter or its optimizer state is not finite."""
    starts = [f"state/{name}" for name, start in trainer.optimizer.states().items() if math.isfinite(start)]
    for kind in ("parameter", *starts):
        for name in trainer.tree.parameters:
            if name not in frozen and not is_finite(stored[f"{kind}/{name}"]):
                raise ValueError(f"{kind}/{name}: expected finite numbers")


def _history(page: Mapping[str, Any], numbers: Numbers) -> History:
    history = History()
    for epoch in range(len(next(iter(numbers.values()), ()))):
        history.append({name: float(values[epoch]) for name, values in numbers.items()})
    history.interrupted, history.stopped = page["interrupted"], page["stopped"]
    return history


def _epoch(underway: Mapping[str, Any] | None, sums: Numbers) -> Epoch | None:
    if underway is None:
        return None
    epoch = Epoch(underway["data"], underway["begun"])
    epoch.done = underway["done"]
    epoch.means.sums = {name: (float(pair[0]), float(pair[1])) for name, pair in sums.items()}
    return epoch


def _kept_in(page: Mapping[str, Any], numbers: Numbers) -> Iterator[Kept]:
    """Yield the saved state of each callback; format 1 has only their classes."""
    states: list[dict[str, Any]] = [{} for _ in page["callbacks"]]
    for name, array in under("callback/", numbers).items():
        place, _, inner = name.partition("/")
        states[int(place)][inner] = array
    for callback, kept in zip(page["callbacks"], states, strict=True):
        state = None if page.get("completed") else kept
        if page["format"] == 1:
            yield Kept(callback, None, Adjustable({}, None), state)
        else:
            yield Kept(callback["class"], callback["call"], Adjustable(**callback["undone"]), state)
