"""Checkpoint files: all that a training needs to go on in another process as if it had never stopped."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet._version import __version__
from nanonet.core.arrays import as_numbers, is_finite
from nanonet.core.errors import ShapeError
from nanonet.core.layer import Layer, is_own
from nanonet.storage.archive import npz_path, open_archive, write_archive
from nanonet.storage.stored import Stored
from nanonet.training.checkpoint_format import (
    CHANGING,
    FORMAT,
    KIND,
    Numbers,
    discords,
    numbers_of,
    page_table,
    plain,
    stands,
    under,
)
from nanonet.training.epoch import Epoch
from nanonet.training.history import History
from nanonet.training.resumed import Kept, Resumed, Standing, named
from nanonet.training.schema import one_of, table
from nanonet.training.subject import Remembering, Subject

# ---- from a trainer to a file


def store(trainer: Subject, path: str | os.PathLike[str]) -> None:
    """Write a trainer's state; see :meth:`nanonet.Trainer.save`."""
    place = npz_path(path, "Trainer.save")
    left = trainer.resumed or Resumed(kept=_kept(trainer), completed=trainer.completed)
    write_archive(place, _page(trainer, left), dict(_arrays(trainer, left)))


def _kept(trainer: Subject) -> Iterator[Kept]:
    """Yield what is kept of the callbacks of the last fit, and, unless it came to its end, what they remember."""
    given = set(map(id, trainer.callbacks))
    for member in trainer.members:
        if id(member.callback) in given:
            state = None if trainer.completed else _state(member.callback)
            yield Kept(*named(member.callback), member.undone, state)


def _state(callback: Remembering) -> Numbers:
    """Return a callback's state as arrays, or say which entry is none."""
    state = {}
    for name, value in callback.state_dict().items():
        try:
            state[name] = as_numbers(value, callback, f"state_dict()[{name!r}]")
        except ShapeError as error:
            raise TypeError(str(error)) from None
    return state


def _page(trainer: Subject, left: Resumed) -> dict[str, Any]:
    """Return what is no array, as :func:`nanonet.training.checkpoint_format.page_table` has it."""
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
        "callbacks": [{"class": one.name, "call": one.call, "undone": _told(one.undone)} for one in left.kept],
        "underway": None,
    }
    if epoch is not None and epoch.done:
        page["underway"] = {"data": epoch.data, "begun": plain(epoch.begun), "done": epoch.done}
    elif epoch is not None and epoch.begun is not None:  # its order is drawn once more
        page["generators"]["trainer"] = plain(epoch.begun)
    return page


def _classes(trainer: Subject) -> dict[str, str]:
    """Return the class of every layer by its path."""
    return {path: class_name(type(layer)) for path, layer in trainer.tree.layers.items()}


def class_name(cls: type[Layer]) -> str:
    """Return what a file calls a class: ours by the name that nanonet exports, yours by its own, without the module.

    A script has another module when it is imported, and a class another place when it moves into a function.
    """
    name = cls.__qualname__.rpartition("<locals>.")[2]
    return f"nanonet.{name}" if is_own(cls) else name


def _told(standing: Standing) -> dict[str, Any]:
    factor = None if standing.rate_factor is None else float(standing.rate_factor)
    told = factor is not None and math.isfinite(factor)
    return {"trainable": dict(standing.trainable), "rate_factor": factor if told else None}


def _arrays(trainer: Subject, left: Resumed) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield every number that is not whole, in an array by its name."""
    yield from _places(trainer)
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


def _places(trainer: Subject) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the arrays that a training changes, by name, as they stand in the model and the optimizer's state."""
    for name, parameter in trainer.tree.parameters.items():
        yield f"parameter/{name}", parameter.value
    for name, buffer in trainer.tree.buffers.items():
        yield f"buffer/{name}", buffer.value
    for name, state in trainer.state_arrays():
        yield f"state/{name}", state


def _generators(trainer: Subject) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield every generator by name; the trainer's, which may be the model's too, is put back after it."""
    yield "model", trainer.model.rng
    yield "trainer", trainer.rng
    for name, random in trainer.tree.randoms.items():
        yield f"layer/{name}", random.generator


# ---- from a file to a trainer


def restore(trainer: Subject, path: str | os.PathLike[str]) -> Resumed:
    """Give a trainer the state that a file holds, all of it or nothing; see :meth:`nanonet.Trainer.resume`."""
    place = npz_path(path, "Trainer.resume")
    with open_archive(place) as (told, stored):
        contents = _checked(place, told, stored, trainer)
        with trainer.shield:  # signals wait, so that nothing but a change of the file can break it off
            trainer.torn = f"{place} was changed while it was read"
            resumed = _take_over(trainer, contents, stored)
            trainer.torn = ""
        return resumed


class Contents(NamedTuple):
    """What a checkpoint holds beside the arrays that a training changes, known to fit a trainer."""

    page: Mapping[str, Any]
    numbers: Numbers
    frozen: frozenset[str]
    history: History
    resumed: Resumed


def _checked(path: Path, told: Mapping[str, Any], stored: Stored, trainer: Subject) -> Contents:
    """Return what a file holds, or raise ValueError where any entry is not what it has to be; nothing is changed."""
    _check_format(path, told)
    version, generators = told["format"], dict(_generators(trainer))
    with _refusal(path):
        page, numbers = page_table(version)(told, ""), numbers_of(stored)
        for discord in discords(page, numbers):
            raise ValueError(discord)
    _check_classes(path, page, trainer)
    _check_forms(path, page, stored, trainer)
    _check_generators(path, page, generators)
    states = table({name: stands(rng) for name, rng in generators.items()})
    with _refusal(path):
        page = page_table(version, states, stands(trainer.rng), one_of(*trainer.tree.parameters))(told, "")
        frozen = _frozen(page, trainer)
        _check_finite(stored, frozen, trainer)
    epoch = _epoch(page["underway"], under("underway/", numbers))
    resumed = Resumed(epoch, _kept_in(page, numbers), page.get("completed", False))
    return Contents(page, numbers, frozen, _history(page, under("history/", numbers)), resumed)


def _take_over(trainer: Subject, contents: Contents, stored: Stored) -> Resumed:
    """Set all that a training goes on with; everything was checked before."""
    page, numbers, frozen, history, resumed = contents
    epoch = resumed.epoch
    for name, target in _places(trainer):
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
        raise ValueError(f"{path}: holds no checkpoint of a training")
    if version > FORMAT:
        raise ValueError(
            f"{path}: written by nanonet {page.get('nanonet')} in format {version}; this is nanonet "
            f"{__version__}, which reads formats up to {FORMAT}: install a newer one"
        )


@contextmanager
def _refusal(path: Path) -> Iterator[None]:
    """Let what is wrong with a file name it."""
    try:
        yield
    except ValueError as error:
        whose = "" if str(error).startswith(f"{path}: ") else f"{path}: "  # where it cannot be read, it is named
        raise ValueError(f"{whose}{error}; nothing was changed") from None


def _check_classes(path: Path, page: Mapping[str, Any], trainer: Subject) -> None:
    for kind, here in (("loss", trainer.loss), ("optimizer", trainer.optimizer)):
        name, call = page[kind]
        if name != type(here).__name__:
            raise ValueError(f"{path}: its {kind} was {call}, that of this trainer is {here!r}; nothing was changed")


def _check_forms(path: Path, page: Mapping[str, Any], stored: Stored, trainer: Subject) -> None:
    """Raise ValueError with every layer's class, and every array's name, shape or dtype, in which a file differs."""
    here, saved = (
        {f"layer {layer or '(the model)'}": name for layer, name in classes.items()}
        for classes in (_classes(trainer) if "layers" in page else {}, page.get("layers", {}))
    )
    here |= {name: f"{target.dtype} {target.shape}" for name, target in _places(trainer)}
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
    """Return what is frozen; a file of format 1 leaves it as it is."""
    here = (name for name, parameter in trainer.tree.parameters.items() if not parameter.trainable)
    return frozenset(page.get("frozen", here))


def _check_finite(stored: Stored, frozen: frozenset[str], trainer: Subject) -> None:
    """Raise ValueError where no step could be taken with the numbers of what is trained."""
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
    """Yield what a file keeps of each callback; format 1 has their classes alone."""
    states: list[dict[str, Any]] = [{} for _ in page["callbacks"]]
    for name, array in under("callback/", numbers).items():
        place, _, inner = name.partition("/")
        states[int(place)][inner] = array
    for callback, kept in zip(page["callbacks"], states, strict=True):
        state = None if page.get("completed") else kept
        if page["format"] == 1:
            yield Kept(callback, None, Standing({}, None), state)
        else:
            yield Kept(callback["class"], callback["call"], Standing(**callback["undone"]), state)
