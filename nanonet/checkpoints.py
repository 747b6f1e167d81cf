"""Checkpoint files: all that a training needs to go on in another process as if it had never stopped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import nanonet
from nanonet.archive import npz_path, read_archive, write_archive
from nanonet.arrays import as_numbers
from nanonet.callbacks import Callback
from nanonet.epoch import Epoch, generator_at
from nanonet.errors import ShapeError
from nanonet.history import History

if TYPE_CHECKING:
    from nanonet.training import Trainer

KIND, FORMAT = "training", 1

Numbers = Mapping[str, npt.NDArray[Any]]


class Resumed:
    """What the next fit of a resumed trainer goes on with: an epoch under way, and what callbacks have kept."""

    def __init__(self, epoch: Epoch | None = None, kept: Iterable[tuple[str, Numbers]] = ()) -> None:
        self.epoch, self.kept = epoch, list(kept)

    def match(self, callbacks: list[Callback]) -> Iterator[tuple[Callback, Numbers]]:
        """Yield each callback whose state was kept, with that state: the first of a class gets the first's."""
        left = list(self.kept)
        for callback in callbacks:
            for name, state in left:
                if name == type(callback).__name__:
                    left.remove((name, state))
                    yield callback, state
                    break


# ---- from a trainer to a file


def store(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write a trainer's state; see :meth:`nanonet.Trainer.save`."""
    place = npz_path(path, "Trainer.save")
    kept = list(_kept(trainer))
    write_archive(place, _page(trainer, [name for name, _ in kept]), dict(_arrays(trainer, kept)))


def _kept(trainer: Trainer) -> Iterable[tuple[str, Numbers]]:
    """Return what the callbacks of a fit remember that is not over: by themselves, or from the file it goes on with."""
    if trainer._resumed is not None:
        return trainer._resumed.kept
    return [] if trainer.completed else [(type(callback).__name__, _state(callback)) for callback in trainer.callbacks]


def _state(callback: Callback) -> Numbers:
    """Return a callback's state as arrays, or say which entry is none."""
    state = {}
    for name, value in callback.state_dict().items():
        try:
            state[name] = as_numbers(value, callback, f"state_dict()[{name!r}]")
        except ShapeError as error:
            raise TypeError(str(error)) from None
    return state


def _page(trainer: Trainer, callbacks: list[str]) -> dict[str, Any]:
    """Return what is no array: whole numbers, names, and the generators."""
    epoch = trainer._underway
    page: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "nanonet": nanonet.__version__,
        "numpy": np.__version__,
        "optimizer": _name(trainer.optimizer),
        "loss": _name(trainer.loss),
        "steps": trainer.steps,
        "epoch": trainer.epoch,
        "interrupted": trainer.history.interrupted,
        "stopped": trainer.history.stopped,
        "generators": {name: _plain(rng.bit_generator.state) for name, rng in _generators(trainer)},
        "splits": [[*key, _plain(state)] for key, state in trainer._intake.splits.items()],
        "callbacks": callbacks,
        "underway": None,
    }
    if epoch is not None and epoch.done:
        page["underway"] = {"data": epoch.data, "begun": _plain(epoch.begun), "done": epoch.done}
    elif epoch is not None and epoch.begun is not None:  # its order is drawn once more
        page["generators"]["trainer"] = _plain(epoch.begun)
    return page


def _name(thing: object) -> list[str]:
    """Return the class of an optimizer or a loss, and its text, free of addresses."""
    return [type(thing).__name__, re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))]


def _arrays(trainer: Trainer, kept: list[tuple[str, Numbers]]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield every number that is not whole, in an array by its name."""
    for name, place in _places(trainer):
        yield name, place
    for name in ("batch_loss", "learning_rate", "rate_factor"):
        yield f"trainer/{name}", np.asarray(getattr(trainer, name), float)
    for name, numbers in trainer.history.items():
        yield f"history/{name}", np.asarray(numbers, float)
    if trainer._underway is not None and trainer._underway.done:
        for name, sums in trainer._underway.means.sums.items():
            yield f"underway/{name}", np.asarray(sums, float)
    for i, (_, state) in enumerate(kept):
        for name, value in state.items():
            yield f"callback/{i}/{name}", value


def _places(trainer: Trainer) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the arrays that a training changes, by name, as they stand in the model and the optimizer's state."""
    trainer._bind()
    for name, parameter in trainer._tree.parameters.items():
        yield f"parameter/{name}", parameter.value
    for name, buffer in trainer._tree.buffers.items():
        yield f"buffer/{name}", buffer.value
    for name, state in trainer._state_arrays():
        yield f"state/{name}", state


def _generators(trainer: Trainer) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield every generator by name; the trainer's, which may be the model's too, is put back after it."""
    yield "model", trainer.model.rng
    yield "trainer", trainer.rng
    for name, random in trainer._tree.randoms.items():
        yield f"layer/{name}", random.generator


def _plain(state: Any) -> Any:
    """Return a generator's state in plain lists and numbers."""
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state


# ---- from a file to a trainer


def restore(trainer: Trainer, path: str | os.PathLike[str]) -> Resumed:
    """Give a trainer the state that a file holds, all of it or nothing; see :meth:`nanonet.Trainer.resume`."""
    place = npz_path(path, "Trainer.resume")
    page, arrays = read_archive(place)
    _check_format(place, page)
    targets, generators = dict(_places(trainer)), dict(_generators(trainer))
    try:
        _check_classes(place, page, trainer)
        _check_arrays(place, page, targets, arrays)
        _check_generators(place, page["generators"], generators)
        numbers = {name: float(array) for name, array in _under("trainer/", arrays).items()}
        numbers |= {name: int(page[name]) for name in ("steps", "epoch")}
        history = _history(page, _under("history/", arrays))
        epoch = _epoch(page["underway"], _under("underway/", arrays))
        splits = {(samples, fraction): state for samples, fraction, state in page["splits"]}
        kept = [(name, _under(f"callback/{i}/", arrays)) for i, name in enumerate(page["callbacks"])]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{place}: incomplete, nothing was changed: {error!r}") from None

    for name, target in targets.items():  # from here on nothing fails
        target[...] = arrays[name]
    for name, rng in generators.items():
        rng.bit_generator.state = page["generators"][name]
    vars(trainer).update(numbers, history=history, batch=epoch.done if epoch else 0, completed=False, callbacks=[])
    trainer._intake.splits, trainer._underway, trainer._bounds = splits, epoch, None
    return Resumed(epoch, kept)


def _check_classes(path: Path, page: Mapping[str, Any], trainer: Trainer) -> None:
    for kind, here in (("loss", trainer.loss), ("optimizer", trainer.optimizer)):
        name, text = page[kind]
        if name != type(here).__name__:
            raise ValueError(f"{path}: its {kind} was {text}, that of this trainer is {here!r}; nothing was changed")


def _check_format(path: Path, page: Mapping[str, Any]) -> None:
    version = page.get("format")
    if page.get("kind") != KIND or not isinstance(version, int):
        raise ValueError(f"{path}: holds no checkpoint of a training")
    if version > FORMAT:
        raise ValueError(
            f"{path}: written by nanonet {page.get('nanonet')} in format {version}; this is nanonet "
            f"{nanonet.__version__}, which reads formats up to {FORMAT}: install a newer one"
        )


def _check_arrays(path: Path, page: Mapping[str, Any], targets: Numbers, arrays: Numbers) -> None:
    """Raise ValueError with every name, shape or dtype in which a file differs from a trainer."""
    kinds = ("parameter/", "buffer/", "state/")
    saved = {name: array for name, array in arrays.items() if name.startswith(kinds)}
    lines = [f"  {name}: only in the file" for name in saved if name not in targets]
    lines += [f"  {name}: not in the file" for name in targets if name not in saved]
    for name, target in targets.items():
        if name in saved and _form(saved[name]) != _form(target):
            lines.append(f"  {name}: {_form(saved[name])} in the file, {_form(target)} here")
    if lines:
        shown = [*lines[:20], f"  and {len(lines) - 20} more"] if len(lines) > 20 else lines
        what = f"{path}: does not fit this trainer, and nothing was changed; its optimizer was {page['optimizer'][1]}"
        raise ValueError("\n".join([what, *shown]))


def _form(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"


def _check_generators(path: Path, saved: Mapping[str, Any], generators: Mapping[str, np.random.Generator]) -> None:
    if saved.keys() != generators.keys():
        other = ", ".join(sorted(saved.keys() ^ generators.keys()))
        raise ValueError(f"{path}: saved from a model with other generators; nothing was changed: {other}")
    for name, rng in generators.items():
        try:
            generator_at(rng, saved[name])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: generator {name} is of another kind here: {error}") from None


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


def _under(prefix: str, arrays: Numbers) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
