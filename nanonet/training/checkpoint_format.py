"""Format: what stands in the checkpoint of a training, entry by entry, and what of it goes together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.training.epoch import generator_at
from nanonet.training.schema import (
    Check,
    anything,
    each,
    either,
    finite,
    flag,
    maybe,
    misfit,
    named,
    nothing,
    one_of,
    row,
    table,
    text,
    whole,
)

KIND, FORMAT = "training", 2

Numbers = Mapping[str, npt.NDArray[Any]]

# ---- the page


def page_table(
    version: int, generators: Check = named(named(anything)), state: Check = named(anything), parameter: Check = text
) -> Check:
    """Return what the page of a checkpoint holds.

    Parameters
    ----------
    version : int
        The format: 1, which nanonet 0.1.0 wrote, or 2.
    generators, state, parameter : callable
        What checks the states of all generators by their names, a state of the trainer's own, and the name of a
        parameter; by default those of any training.
    """
    metrics = each(text, alike=False)
    stream = table({"samples": nothing, "metrics": metrics})
    arrays = table({"samples": whole(1), "batch_size": whole(1), "shuffle": flag, "metrics": metrics})
    epoch = table({"data": either(stream, arrays), "begun": maybe(state), "done": whole(1)})
    standing = table({"trainable": named(flag, parameter), "rate_factor": maybe(finite())})
    callback = table({"class": text, "call": maybe(text), "undone": standing})
    entries = {
        "kind": one_of(KIND),
        "format": whole(version, version),
        "nanonet": text,  # the version that wrote it
        "numpy": text,
        "optimizer": row(text, text),  # its class, and the call that made it
        "loss": row(text, text),
        "steps": whole(),
        "epoch": whole(),
        "interrupted": flag,
        "stopped": text,
        "generators": generators,
        "splits": each(row(whole(2), finite(0, 1), state)),  # samples, the fraction of them, and what drew it
        "callbacks": each(text),  # their classes
        "underway": maybe(epoch),
    }
    if version > 1:
        entries |= {
            "layers": named(text),  # the class of each, by its path
            "frozen": each(parameter, alike=False),
            "callbacks": each(callback),
            "completed": flag,  # whether the fit came to its end
        }
    return table(entries)


POSITIONS: dict[str, tuple[tuple[str, ...], range]] = {
    "MT19937": (("state", "pos"), range(625)),
    "Philox": (("buffer_pos",), range(5)),
    "PCG64": (("state", "inc"), range(1, 1 << 128, 2)),
    "PCG64DXSM": (("state", "inc"), range(1, 1 << 128, 2)),
}
"""What NumPy takes as it comes: it would read beyond its arrays, or draw one number for ever."""


def stands(rng: np.random.Generator) -> Check:
    """Take a state of a generator of rng's kind, as NumPy itself takes it and gives it back."""
    kind = type(rng.bit_generator).__name__

    def check(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict) or value.get("bit_generator") != kind:
            raise misfit(place, f"a generator of the kind {kind}", _kind(value))
        try:
            state = generator_at(rng, value).bit_generator.state
        except Exception as error:  # whatever NumPy's own check raises
            raise ValueError(f"{place}: expected a state of {kind}: {error}") from None
        found = plain(state)
        if found != value:
            raise ValueError(f"{place}: expected a state of {kind}, got one that NumPy reads otherwise")
        path, positions = POSITIONS.get(kind, ((), range(0)))
        for name in path:
            found = found[name]
        if path and found not in positions:
            raise misfit(f"{place}.{'.'.join(path)}", f"one of {positions}", found)
        return dict(state)

    return check


def _kind(state: Any) -> Any:
    return state.get("bit_generator") if isinstance(state, dict) else state


def plain(state: Any) -> Any:
    """Return a generator's state in plain lists and numbers."""
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state


# ---- the arrays


def floats(*shape: int | None, only_finite: bool = False) -> Check:
    """Take an array of float64; None stands for an axis of any length but 0."""

    def check(value: Any, place: str) -> npt.NDArray[Any]:
        fits = len(value.shape) == len(shape) and all(
            wanted in (size, None) and size for size, wanted in zip(value.shape, shape, strict=True)
        )
        if value.dtype != np.float64 or not fits:
            told = str(shape).replace("None", "epochs")
            raise ValueError(f"{place}: expected float64 of shape {told}, got {value.dtype} {value.shape}")
        if only_finite and not np.isfinite(value).all():
            raise misfit(place, "finite numbers", value)
        array: npt.NDArray[Any] = value
        return array

    return check


CHANGING = ("parameter/", "buffer/", "state/")
"""What a training changes: it is as it is in the trainer, by name, shape and dtype."""

NUMBERS: dict[str, Check] = {
    "trainer/batch_loss": floats(),  # NaN before the first step
    "trainer/learning_rate": floats(),
    "trainer/rate_factor": floats(only_finite=True),
    "history/": floats(None),  # by name, one number an epoch
    "underway/": floats(2),  # by name, the sum of weight times value, and that of the weights
    "callback/": anything,  # by its place in the list, what its state_dict gave
}
"""What else there is, by its whole name, or by how that begins."""


def numbers_of(arrays: Numbers) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that are no part of the model and the optimizer's state, each of them checked."""
    found = {}
    for name in arrays:
        if not name.startswith(CHANGING):
            check = NUMBERS.get(name) or NUMBERS.get(name.partition("/")[0] + "/")
            if check is None:
                raise ValueError(f"{name}: not known")
            found[name] = check(arrays[name], name)
    for name in NUMBERS:
        if not name.endswith("/") and name not in found:
            raise ValueError(f"{name}: missing")
    return found


def under(prefix: str, arrays: Numbers) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


# ---- what goes together


def discords(page: Mapping[str, Any], numbers: Numbers) -> Iterator[str]:
    """Yield where two entries, each of which may stand for itself, do not go together."""
    if len({len(values) for values in under("history/", numbers).values()}) > 1:
        yield "history: expected as many epochs under each name"
    for samples, fraction, _ in page["splits"]:
        if not 0 < round(fraction * samples) < samples:
            yield f"splits: a fraction of {fraction} of {samples} samples leaves none on one side"
    if len({split[:2] for split in page["splits"]}) < len(page["splits"]):
        yield "splits: expected one for each number of samples and fraction"
    sums = under("underway/", numbers)
    if page["underway"] is None:
        if sums:
            yield f"underway/{next(iter(sums))}: there is no epoch under way"
    else:
        yield from _epoch_discords(page["underway"], sums)
    places = {str(i) for i in range(0 if page.get("completed") else len(page["callbacks"]))}
    for name in under("callback/", numbers):
        if name.partition("/")[0] not in places:
            yield f"callback/{name}: there is no such callback"


def _epoch_discords(epoch: Mapping[str, Any], sums: Numbers) -> Iterator[str]:
    data = epoch["data"]
    if "shuffle" in data and data["shuffle"] != (epoch["begun"] is not None):
        yield "underway.begun: expected the generator's state where there is shuffling, and null elsewhere"
    if data["samples"] is not None and epoch["done"] > -(-data["samples"] // data["batch_size"]):
        yield f"underway.done: {epoch['done']} batches are more than {data['samples']} samples make"
    expected = {"loss", *data["metrics"]}
    for name in itertools.chain(expected - sums.keys(), sums.keys() - expected):
        yield f"underway/{name}: {'missing' if name in expected else 'not known'}"
    for name, (_, weights) in sums.items():
        if not 0 < weights < np.inf:
            yield f"underway/{name}: expected weights above 0, got {weights}"
