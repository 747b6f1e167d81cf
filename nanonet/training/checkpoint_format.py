"""Format: the contents of a training checkpoint, each entry with its check, and the consistency between entries."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.training.feed import generator_at

KIND, FORMAT = "training", 2

Numbers = Mapping[str, npt.NDArray[Any]]

# ---- checks of plain data

Check = Callable[[Any, str], Any]
"""Takes a value from a file and its place; returns it for use, or raises ValueError saying what was expected."""

LARGEST = 2**53
"""The largest integer allowed: up to here every integer is exact as a float."""


def misfit(place: str, expected: str, got: Any) -> ValueError:
    """Return the error for an unexpected value at a place."""
    shown = f"{type(got).__name__} of {len(got)}" if isinstance(got, (list, dict)) else f"{got!r:.60}"
    return ValueError(f"{place}: expected {expected}, got {shown}")


def text(value: Any, place: str) -> str:
    """Take a string."""
    if not isinstance(value, str):
        raise misfit(place, "a string", value)
    return value


def flag(value: Any, place: str) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise misfit(place, "true or false", value)
    return value


def nothing(value: Any, place: str) -> None:
    """Take null."""
    if value is not None:
        raise misfit(place, "null", value)


def anything(value: Any, place: str) -> Any:
    """Take anything; it is checked elsewhere."""
    return value


def whole(low: int = 0, high: int = LARGEST) -> Check:
    """Take an integer from low to high."""

    def check(value: Any, place: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise misfit(place, f"an integer from {low} to {high}", value)
        return value

    return check


def finite(low: float = -math.inf, high: float = math.inf) -> Check:
    """Take a finite number strictly between low and high."""
    expected = "a finite number" if math.isinf(low) else f"a number between {low:g} and {high:g}"

    def check(value: Any, place: str) -> float:
        if type(value) is not float or not math.isfinite(value) or not low < value < high:
            raise misfit(place, expected, value)
        return value

    return check


def one_of(*names: str) -> Check:
    """Take one of the given strings."""
    known = frozenset(names)
    listed = ", ".join(names) if len(names) < 10 else f"{names[0]}, {names[1]}, ... {len(names) - 2} more"

    def check(value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise misfit(place, f"one of {listed}", value)
        return value

    return check


def maybe(check: Check) -> Check:
    """Take null, or a value that passes check."""
    return lambda value, place: None if value is None else check(value, place)


def each(check: Check, *, alike: bool = True) -> Check:
    """Take a list whose entries pass check; they must be distinct unless alike."""

    def check_list(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise misfit(place, "a list", value)
        entries = [check(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if not alike and len(set(entries)) < len(entries):
            raise ValueError(f"{place}: expected distinct entries")
        return entries

    return check_list


def row(*checks: Check) -> Check:
    """Take a list of fixed length, each entry with its own check."""

    def check_row(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(checks):
            raise misfit(place, f"a list of {len(checks)}", value)
        return tuple(check(entry, f"{place}[{i}]") for i, (check, entry) in enumerate(zip(checks, value, strict=True)))

    return check_row


def table(entries: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Take a table with exactly these entries, and perhaps the optional ones."""
    known = {**entries, **(optional or {})}

    def check_table(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise misfit(place, "a table", value)
        inside = f"{place}." if place else ""
        for name in value:
            if name not in known:
                raise ValueError(f"{inside}{name:.60}: not known")
        for name in entries:
            if name not in value:
                raise ValueError(f"{inside}{name}: missing")
        return {name: known[name](entry, f"{inside}{name}") for name, entry in value.items()}

    return check_table


def named(check: Check, name_check: Check = text) -> Check:
    """Take a table whose names and entries pass their checks."""

    def check_named(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise misfit(place, "a table", value)
        return {name_check(name, place): check(entry, f"{place}.{name:.60}") for name, entry in value.items()}

    return check_named


def either(first: Check, second: Check) -> Check:
    """Take what passes either check; otherwise the error is the second's."""

    def check(value: Any, place: str) -> Any:
        try:
            return first(value, place)
        except ValueError:
            return second(value, place)

    return check


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
        got = value.get("bit_generator") if isinstance(value, dict) else value
        if not isinstance(value, dict) or got != kind:
            raise misfit(place, f"a generator of the kind {kind}", got)
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


FLOATS = ("batch_loss", "learning_rate", "rate_factor")
"""Numbers of the stepper, under "trainer/"."""

CHANGING = ("parameter/", "buffer/", "state/")
"""What training changes: it must match the trainer in name, shape and dtype."""

NUMBERS: dict[str, Check] = {
    "trainer/batch_loss": floats(),  # NaN before the first step
    "trainer/learning_rate": floats(),
    "trainer/rate_factor": floats(only_finite=True),
    "history/": floats(None),  # by name, one number per epoch
    "underway/": floats(2),  # by name, the sum of weight times value, and the sum of the weights
    "callback/": anything,  # by index, the result of its state_dict
    "metric/": anything,  # of an unfinished epoch, by index, the result of its state_dict
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
        yield from _epoch_contradictions(page["underway"], sums, page["format"])
    measured = page["underway"]["data"]["metrics"] if page["underway"] else ()
    for kind, count in (
        ("callback", 0 if page.get("completed") else len(page["callbacks"])),
        ("metric", len(measured)),
    ):
        places = {str(i) for i in range(count)}
        for name in under(f"{kind}/", numbers):
            if name.partition("/")[0] not in places:
                yield f"{kind}/{name}: there is no such {kind}"
    if page["format"] == 1 and measured:
        yield (
            "underway: nanonet 0.1.0 took the mean of a metric's values on batches, not its value on the whole epoch; "
            "resume from the end of an epoch"
        )


def _epoch_contradictions(epoch: Mapping[str, Any], sums: Numbers, version: int) -> Iterator[str]:
    data = epoch["data"]
    if "shuffle" in data and data["shuffle"] != (epoch["begun"] is not None):
        yield "underway.begun: expected the generator's state with shuffling, and null without"
    if data["samples"] is not None and epoch["done"] > -(-data["samples"] // data["batch_size"]):
        yield f"underway.done: {epoch['done']} batches are more than {data['samples']} samples make"
    expected = {"loss", *data["metrics"]} if version == 1 else {"loss"}
    for name in itertools.chain(expected - sums.keys(), sums.keys() - expected):
        yield f"underway/{name}: {'missing' if name in expected else 'not known'}"
    for name, (_, weights) in sums.items():
        if not 0 < weights < np.inf:
            yield f"underway/{name}: expected weights above 0, got {weights}"
