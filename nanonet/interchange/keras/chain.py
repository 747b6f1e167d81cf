"""chain: makes a Sequential of steps; what lies between two single values is one layer of it, perhaps a Wired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from nanonet.core.layer import Layer
from nanonet.interchange.keras.steps import Step, Value
from nanonet.layers.activations import Identity
from nanonet.layers.wired import Wired
from nanonet.models.sequential import Sequential


def chained(
    steps: Sequence[Step], inlets: Sequence[Value], outlets: Sequence[Value], dtype: npt.DTypeLike
) -> Sequential:
    """Return the model of some steps from the inlets to the outlets."""
    last = {number: i for i, step in enumerate(steps) for number in step.inputs}
    last |= {value.number: len(steps) for value in outlets}
    again = {id(step.what): i for i, step in enumerate(steps) if isinstance(step.what, Layer)}
    layers: list[Layer] = []
    entry, begun = [value.number for value in inlets], 0
    live, whole = set(entry), 0  # whole: up to where no layer may be cut off from a later call of itself
    for i, step in enumerate(steps):
        live |= {step.made}
        live = live - {number for number in (*step.inputs, step.made) if last.get(number, -1) <= i}
        ends = i + 1 == len(steps)
        whole = max(whole, again.get(id(step.what), 0))
        if ends or (len(live) == 1 and whole <= i):
            exits = [value.number for value in outlets] if ends else list(live)
            layers.append(_part(steps[begun : i + 1], entry, exits, () if layers else inlets))
            entry, begun = exits, i + 1
    return Sequential(*(layers or [Identity()]), dtype=dtype)


def _part(steps: Sequence[Step], entry: list[int], exits: list[int], inlets: Sequence[Value]) -> Layer:
    """Return one layer for some steps; inlets are the inputs of the model, for its first part."""
    first = steps[0]
    if len(steps) == 1 and isinstance(first.what, Layer) and exits == [first.made]:
        return first.what
    numbers = {number: i for i, number in enumerate(entry)}
    layers: list[Layer] = []
    wired: list[tuple[Any, ...]] = []
    for step in steps:
        what: Any = step.what
        if isinstance(what, Layer):
            if not any(what is layer for layer in layers):
                layers.append(what)
            what = next(i for i, layer in enumerate(layers) if layer is what)
        taken: Any = tuple(numbers[number] for number in step.inputs)
        wired.append((what, taken if isinstance(step.taken, tuple) else taken[0], *step.settings))
        numbers[step.made] = len(numbers)
    outputs = tuple(numbers[number] for number in exits)
    return Wired(layers, wired, outputs if len(outputs) > 1 else outputs[0], **_inputs(steps, entry, inlets))


def _inputs(steps: Sequence[Step], entry: list[int], inlets: Sequence[Value]) -> dict[str, Any]:
    """Return what a Wired has to know of its inputs."""
    found: dict[str, Any] = {} if len(entry) == 1 else {"inputs": len(entry)}
    whole = tuple(
        any(isinstance(step.what, Layer) and bool(step.what.integer_input) for step in steps if number in step.inputs)
        for number in entry
    )
    if inlets:
        shapes = tuple(value.shape for value in inlets)
        found["input_shape"] = shapes if len(shapes) > 1 else shapes[0]
    if any(whole):
        found["integer_input"] = whole if len(whole) > 1 else whole[0]
    return found
