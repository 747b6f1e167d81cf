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
from nanonet.core.layer import Layer
from nanonet.core.objects import is_own
from nanonet.core.version import __version__
from nanonet.storage.archive import open_archive, write_archive
from nanonet.storage.disk import npz_path
from nanonet.storage.stored_array import Stored
from nanonet.training.checkpoint_format import (
    CHANGING,
    FLOATS,
    FORMAT,
    KIND,
    Numbers,
    contradictions,
    numbers_of,
    one_of,
    page_table,
    plain,
    state_of,
    table,
    under,
)
from nanonet.training.feed import Epoch, Splits
from nanonet.training.history import History
from nanonet.training.reducer import Reducer
from nanonet.training.resuming import Adjustable, Kept, Resumed, described
from nanonet.training.step import Stepper

# ---- from a trainer to a file


class TrainingState(NamedTuple):
    """What a checkpoint holds of a trainer, beside the model and the state of its stepper."""

    rng: np.random.Generator
    splits: Splits
    history: History
    epoch: int
    underway: Epoch | None
    resumed: Resumed


def store(path: str | os.PathLike[str], stepper: Stepper, state: TrainingState) -> None:
    """Write a trainer's state; see :meth:`nanonet.Trainer.save`."""
    place = npz_path(path, "Trainer.save")
    write_archive(place, _page(stepper, state), dict(_arrays(stepper, state)))


def kept(callback: Any, undone: Adjustable, *, completed: bool) -> Kept:
    """Return a callback of the last fit, with its state, as arrays, unless the fit ran to completion."""
    state = {}
    for name, value in {} if completed else callback.state_dict().items():
        try:
            state[name] = as_numbers(value, callback, f"state_dict()[{name!r}]")
        except ShapeError as error:
            raise TypeError(str(error)) from None
    return Kept(*described(callback), undone, None if completed else state)


def _page(stepper: Stepper, state: TrainingState) -> dict[str, Any]:
    """Return what is not an array, following :func:`nanonet.training.checkpoint_format.page_table`."""
    rng, splits, history, number, epoch, resumed = state
    page: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "nanonet": __version__,
        "numpy": np.__version__,
        "optimizer": described(stepper.optimizer),
        "loss": described(stepper.loss),
        "layers": _classes(stepper),
        "frozen": [name for name, parameter in stepper.tree.parameters.items() if not parameter.trainable],
        "steps": int(stepper.steps),
        "epoch": int(number),
        "interrupted": bool(history.interrupted),
        "stopped": str(history.stopped or ""),
        "completed": resumed.completed,
        "generators": {name: plain(one.bit_generator.state) for name, one in _generators(stepper, rng)},
        "splits": [[*key, plain(drawn)] for key, drawn in splits.items()],
        "callbacks": [{"class": one.name, "call": one.call, "undone": _plain(one.undone)} for one in resumed.kept],
        "underway": None,
    }
    if epoch is not None and epoch.done:
        page["underway"] = {"data": epoch.data, "begun": plain(epoch.begun), "done": epoch.done}
    elif epoch is not None and epoch.begun is not None:  # its order will be drawn again
        page["generators"]["trainer"] = plain(epoch.begun)
    return page


def _classes(stepper: Stepper) -> dict[str, str]:
    """Return the class of every layer by its path."""
    return {path: class_name(type(layer)) for path, layer in stepper.tree.layers.items()}


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


def _arrays(stepper: Stepper, state: TrainingState) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield all arrays and floats, as arrays by name."""
    yield from _changing(stepper)
    for name in FLOATS:
        yield f"trainer/{name}", np.asarray(getattr(stepper, name), float)
    for name, numbers in state.history.items():
        yield f"history/{name}", np.asarray(numbers, float)
    if state.underway is not None and state.underway.done:
        for name, sums in state.underway.means.sums.items():
            yield f"underway/{name}", np.asarray(sums, float)
        for i, measured in enumerate(_measured(state.underway)):
            for name, value in measured.items():
                yield f"metric/{i}/{name}", np.asarray(value)
    for i, one in enumerate(state.resumed.kept):
        for name, value in (one.state or {}).items():
            yield f"callback/{i}/{name}", value


def _measured(epoch: Epoch) -> list[Mapping[str, Any]]:
    """Return the state of each metric of an unfinished epoch: after a resume without a fit, as it was saved."""
    return [metric.state_dict() for metric in epoch.metrics.values()] or epoch.saved


def _changing(stepper: Stepper) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the arrays that training changes, by name, from the model and the optimizer's state."""
    for name, parameter in stepper.tree.parameters.items():
        yield f"parameter/{name}", parameter.value
    for name, buffer in stepper.tree.buffers.items():
        yield f"buffer/{name}", buffer.value
    for name, state in stepper.state_arrays():
        yield f"state/{name}", state


def _generators(stepper: Stepper, rng: np.random.Generator) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield every generator by name; the trainer's, which may be the model's, is restored after it."""
    yield "model", stepper.model.rng
    yield "trainer", rng
    for name, random in stepper.tree.randoms.items():
        yield f"layer/{name}", random.generator


def start_alike(stepper: Stepper, rng: np.random.Generator, reducer: Reducer) -> None:
    """Give all ranks the numbers of rank 0: of the model, of the optimizer, and of all generators."""
    arrays = {name: np.array(target) for name, target in _changing(stepper)}
    states = {name: generator.bit_generator.state for name, generator in _generators(stepper, rng)}
    first, drawn = reducer.broadcast((arrays, states) if reducer.rank == 0 else None)
    forms, expected = ([(name, each.dtype, each.shape) for name, each in some.items()] for some in (arrays, first))
    if forms != expected or states.keys() != drawn.keys():
        raise ValueError(f"Trainer: rank {reducer.rank} has another model or optimizer than rank 0")
    for name, target in _changing(stepper):
        target[...] = first[name]
    for name, generator in _generators(stepper, rng):
        generator.bit_generator.state = drawn[name]
    stepper.bounds.forget()


# ---- from a file to a trainer


@contextmanager
def restored(path: str | os.PathLike[str], stepper: Stepper, rng: np.random.Generator) -> Iterator[TrainingState]:
    """Restore a stepper and a trainer's generator from a file, and yield the rest; see :meth:`nanonet.Trainer.resume`.

    Signals are deferred in the block, so that only a change of the file can interrupt it.
    """
    place = npz_path(path, "Trainer.resume")
    with open_archive(place) as (raw, stored):
        page, frozen, numbers, state = _checked(place, raw, stored, stepper, rng)
        with stepper.shield:
            stepper.torn = f"{place} was changed while it was read"
            for name, target in _changing(stepper):
                stored.copy_into(target, name)
            for name, generator in _generators(stepper, rng):
                generator.bit_generator.state = page["generators"][name]
            for name, parameter in stepper.tree.parameters.items():
                parameter.trainable = name not in frozen
            for name in FLOATS:
                setattr(stepper, name, float(numbers[f"trainer/{name}"]))
            stepper.steps = page["steps"]
            stepper.bounds.forget()
            yield state
            stepper.torn = ""


def _checked(
    path: Path, raw: Mapping[str, Any], stored: Stored, stepper: Stepper, rng: np.random.Generator
) -> tuple[Mapping[str, Any], frozenset[str], Numbers, TrainingState]:
    """Return the contents of a file, or raise ValueError if any entry is invalid; nothing is changed."""
    _check_format(path, raw)
    version, generators = raw["format"], dict(_generators(stepper, rng))
    with _refusal(path):
        page, numbers = page_table(version)(raw, ""), numbers_of(stored)
        for contradiction in contradictions(page, numbers):
            raise ValueError(contradiction)
    _check_classes(path, page, stepper)
    _check_forms(path, page, stored, stepper)
    _check_generators(path, page, generators)
    states = table({name: state_of(one) for name, one in generators.items()})
    with _refusal(path):
        page = page_table(version, states, state_of(rng), one_of(*stepper.tree.parameters))(raw, "")
        here = (name for name, parameter in stepper.tree.parameters.items() if not parameter.trainable)
        frozen = frozenset(page.get("frozen", here))  # a file of format 1 leaves them as they are
        _check_finite(stored, frozen, stepper)
    splits = {(samples, fraction): drawn for samples, fraction, drawn in page["splits"]}
    epoch = _epoch(page["underway"], under("underway/", numbers), under("metric/", numbers))
    resumed = Resumed(epoch, _kept_in(page, numbers), page.get("completed", False))
    history = _history(page, under("history/", numbers))
    return page, frozen, numbers, TrainingState(rng, splits, history, page["epoch"], epoch, resumed)


def _check_format(path: Path, page: Mapping[str, Any]) -> None:
    version = page.get("format")
    if page.get("kind") != KIND or type(version) is not int or version < 1:
        raise ValueError(f"{path}: not a training checkpoint; a model is read by nanonet.load")
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


def _check_classes(path: Path, page: Mapping[str, Any], stepper: Stepper) -> None:
    for kind, here in (("loss", stepper.loss), ("optimizer", stepper.optimizer)):
        name, call = page[kind]
        if name != type(here).__name__:
            raise ValueError(f"{path}: its {kind} was {call}, that of this trainer is {here!r}; nothing was changed")


def _check_forms(path: Path, page: Mapping[str, Any], stored: Stored, stepper: Stepper) -> None:
    """Raise ValueError listing every difference in a layer's class or an array's name, shape or dtype."""
    here, saved = (
        {f"layer {layer or '(the model)'}": name for layer, name in classes.items()}
        for classes in (_classes(stepper) if "layers" in page else {}, page.get("layers", {}))
    )
    here |= {name: f"{target.dtype} {target.shape}" for name, target in _changing(stepper)}
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


def _check_finite(stored: Stored, frozen: frozenset[str], stepper: Stepper) -> None:
    """Raise ValueError if a trainable parameter or its optimizer state is not finite."""
    starts = [f"state/{name}" for name, start in stepper.optimizer.states().items() if math.isfinite(start)]
    for kind in ("parameter", *starts):
        for name in stepper.tree.parameters:
            if name not in frozen and not is_finite(stored[f"{kind}/{name}"]):
                raise ValueError(f"{kind}/{name}: expected finite numbers")


def _history(page: Mapping[str, Any], numbers: Numbers) -> History:
    history = History()
    for epoch in range(len(next(iter(numbers.values()), ()))):
        history.append({name: float(values[epoch]) for name, values in numbers.items()})
    history.interrupted, history.stopped = page["interrupted"], page["stopped"]
    return history


def _epoch(underway: Mapping[str, Any] | None, sums: Numbers, measured: Numbers) -> Epoch | None:
    if underway is None:
        return None
    epoch = Epoch(underway["data"], underway["begun"])
    epoch.done = underway["done"]
    epoch.means.sums = {name: (float(pair[0]), float(pair[1])) for name, pair in sums.items()}
    epoch.saved = _by_place(measured, len(epoch.data["metrics"]))
    return epoch


def _by_place(numbers: Numbers, count: int) -> list[Mapping[str, Any]]:
    """Return arrays named "0/...", "1/..." in a table for each place."""
    return [under(f"{place}/", numbers) for place in range(count)]


def _kept_in(page: Mapping[str, Any], numbers: Numbers) -> Iterator[Kept]:
    """Yield the saved state of each callback; format 1 has only their classes."""
    states = _by_place(under("callback/", numbers), len(page["callbacks"]))
    for callback, kept in zip(page["callbacks"], states, strict=True):
        state = None if page.get("completed") else kept
        if page["format"] == 1:
            yield Kept(callback, None, Adjustable({}, None), state)
        else:
            yield Kept(callback["class"], callback["call"], Adjustable(**callback["undone"]), state)
