"""Format: the contents of a training checkpoint, entry by entry, and the consistency between entries."""

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
    """Return the schema of a checkpoint's page.

    Parameters
    ----------
    version : int
        The format: 1, which nanonet 0.1.0 wrote, or 2.
    generators, state, parameter : callable
        Checks of the states of all generators by name, of a state of the trainer's own generator, and of the name of
        a parameter; the defaults fit any trainer.
    """
    metrics = each(text, alike=False)
    stream = table({"samples": nothing, "metrics": metrics})
    arrays = table({"samples": whole(1), "batch_size": whole(1), "shuffle": flag, "metrics": metrics})
    epoch = table({"data": either(stream, arrays), "begun": maybe(state), "done": whole(1)})
    adjustable = table({"trainable": named(flag, parameter), "rate_factor": maybe(finite())})
    callback = table({"class": text, "call": maybe(text), "undone": adjustable})
    entries = {
        "kind": one_of(KIND),
        "format": whole(version, version),
        "nanonet": text,  # version that wrote the file
        "numpy": text,
        "optimizer": row(text, text),  # class name, and repr
        "loss": row(text, text),
        "steps": whole(),
        "epoch": whole(),
        "interrupted": flag,
        "stopped": text,
        "generators": generators,
        "splits": each(row(whole(2), finite(0, 1), state)),  # samples, fraction, and generator state
        "callbacks": each(text),  # class names
        "underway": maybe(epoch),
    }
    if version > 1:
        entries |= {
            "layers": named(text),  # class names by path
            "frozen": each(parameter, alike=False),
            "callbacks": each(callback),
            "completed": flag,  # whether the fit ran to completion
        }
    return table(entries)


POSITIONS: dict[str, tuple[tuple[str, ...], range]] = {
    "MT19937": (("state", "pos"), range(625)),
    "Philox": (("buffer_pos",), range(5)),
    "PCG64": (("state", "inc"), range(1, 1 << 128, 2)),
    "PCG64DXSM": (("state", "inc"), range(1, 1 << 128, 2)),
}
"""What NumPy does not validate: it would read out of bounds, or repeat one number forever."""


def state_of(rng: np.random.Generator) -> Check:
    """Take a state for a generator of rng's kind that NumPy accepts and returns unchanged."""
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
            raise ValueError(f"{place}: expected a state of {kind}, got one that NumPy changes")
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
    """Take an array of float64; None means an axis of any length but 0."""

    def check(value: Any, place: str) -> npt.NDArray[Any]:
        fits = len(value.shape) == len(shape) and all(
            wanted in (size, None) and size for size, wanted in zip(value.shape, shape, strict=True)
        )
        if value.dtype != np.float64 or not fits:
            expected = str(shape).replace("None", "epochs")
            raise ValueError(f"{place}: expected float64 of shape {expected}, got {value.dtype} {value.shape}")
        if only_finite and not np.isfinite(value).all():
            raise misfit(place, "finite numbers", value)
        array: npt.NDArray[Any] = value
        return array

    return check


CHANGING = ("parameter/", "buffer/", "state/")
"""What training changes: it must match the trainer in name, shape and dtype."""

NUMBERS: dict[str, Check] = {
    "trainer/batch_loss": floats(),  # NaN before the first step
    "trainer/learning_rate": floats(),
    "trainer/rate_factor": floats(only_finite=True),
    "history/": floats(None),  # by name, one number per epoch
    "underway/": floats(2),  # by name, the sum of weight times value, and the sum of the weights
    "callback/": anything,  # by index, the result of its state_dict
}
"""The other arrays, by full name or by prefix."""


def numbers_of(arrays: Numbers) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that are not part of the model or the optimizer's state, each checked."""
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
    """Return the arrays whose names start with prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


# ---- consistency


def contradictions(page: Mapping[str, Any], numbers: Numbers) -> Iterator[str]:
    """Yield a description of each pair of valid entries that contradict each other."""
    if len({len(values) for values in under("history/", numbers).values()}) > 1:
        yield "history: expected the same number of epochs under each name"
    for samples, fraction, _ in page["splits"]:
        if not 0 < round(fraction * samples) < samples:
            yield f"splits: a fraction of {fraction} of {samples} samples leaves none on one side"
    if len({split[:2] for split in page["splits"]}) < len(page["splits"]):
        yield "splits: expected one for each number of samples and fraction"
    sums = under("underway/", numbers)
    if page["underway"] is None:
        if sums:
            yield f"underway/{next(iter(sums))}: there is no unfinished epoch"
    else:
        yield from _epoch_contradictions(page["underway"], sums)
    places = {str(i) for i in range(0 if page.get("completed") else len(page["callbacks"]))}
    for name in under("callback/", numbers):
        if name.partition("/")[0] not in places:
            yield f"callback/{name}: there is no such callback"


def _epoch_contradictions(epoch: Mapping[str, Any], sums: Numbers) -> Iterator[str]:
    data = epoch["data"]
    if "shuffle" in data and data["shuffle"] != (epoch["begun"] is not None):
        yield "underway.begun: expected the generator's state with shuffling, and null without"
    if data["samples"] is not None and epoch["done"] > -(-data["samples"] // data["batch_size"]):
        yield f"underway.done: {epoch['done']} batches are more than {data['samples']} samples make"
    expected = {"loss", *data["metrics"]}
    for name in itertools.chain(expected - sums.keys(), sums.keys() - expected):
        yield f"underway/{name}: {'missing' if name in expected else 'not known'}"
    for name, (_, weights) in sums.items():
        if not 0 < weights < np.inf:
            yield f"underway/{name}: expected weights above 0, got {weights}"
