"""Wiring: runs through the layers of a model, reads each, and collects the steps that take their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nanonet.interchange.keras.joins import JOINS
from nanonet.interchange.keras.nodes import Described, Graph, Reference, graph_of
from nanonet.interchange.keras.reached import Reached
from nanonet.interchange.keras.registration import READERS
from nanonet.interchange.keras.steps import Steps, Value
from nanonet.interchange.keras.weights import Weights

SINGLE = ("float32", "mixed_float16", "mixed_bfloat16")  # policies whose weights are float32
DOUBLE = "float64"
DEEPEST = 40  # models within models


class Wiring:
    """The steps so far, and the layers that have been read."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.held: list[Any] = []
        self.policies: set[str] = set()
        self._read: dict[int, tuple[Reached, Value]] = {}
        self._graphs: dict[int, tuple[Graph, list[Weights]]] = {}

    # ---- through a model

    def run(self, graph: Graph, places: Sequence[Weights], inlets: Sequence[Value], depth: int = 0) -> list[Value]:
        """Run through a model, and return its outputs."""
        if depth > DEEPEST:
            raise ValueError(f"it has more than {DEEPEST} models within one another")
        if len(inlets) != len(graph.inputs):
            raise ValueError(f"expected {len(graph.inputs)} inputs of a model within the model, got {len(inlets)}")
        values: dict[Reference, Value] = dict(zip(graph.inputs, inlets, strict=True))
        calls = [
            (one, place, i, taken)
            for one, place in zip(graph.layers, places, strict=True)
            for i, taken in enumerate(one.calls)
            if one.kind != "InputLayer"
        ]
        while calls:
            waiting = []
            for one, place, i, taken in calls:
                if all(reference in values for reference in taken):
                    given = [values[reference] for reference in taken]
                    for j, value in enumerate(self._called(one, place, given, depth)):
                        values[one.name, i, j] = value
                else:
                    waiting.append((one, place, i, taken))
            if len(waiting) == len(calls):
                raise ValueError(f"{waiting[0][0]}: takes a value of a layer that the file does not have")
            calls = waiting
        for name, call, output in graph.outputs:
            if (name, call, output) not in values:
                raise ValueError(
                    f"its output is number {output} of call {call} of {name!r}, which the file does not have"
                )
        return [values[reference] for reference in graph.outputs]

    def _called(self, one: Described, place: Weights, given: list[Value], depth: int) -> list[Value]:
        """Return the values that a layer makes of others."""
        if one.is_model:
            if id(one) not in self._graphs:
                inner = graph_of({"class_name": one.kind, "config": one.config}, str(one))
                self._graphs[id(one)] = inner, places_of(inner, place)
            inner, places = self._graphs[id(one)]
            return self.run(inner, places, given, depth + 1)
        try:
            if one.kind in JOINS and one.is_of_keras:
                return [JOINS[one.kind](self.steps, one, given)]
            if one.is_operation:
                raise TypeError(f"nanonet has no such function; load takes {', '.join(JOINS)} of two values")
            if len(given) != 1:
                raise ValueError(f"is called with {len(given)} values; load joins values by {', '.join(JOINS)}")
            return [self._layer(one, place, given[0])]
        except (ValueError, TypeError) as error:
            raise type(error)(f"{one}: {error}") from error

    # ---- one layer

    def _layer(self, one: Described, place: Weights, given: Value) -> Value:
        """Return the value behind a layer; one that is called again is not read again."""
        if id(one) not in self._read:
            self._read[id(one)] = self._reached(one, place, given), given
        reached, first = self._read[id(one)]
        if first.shape != given.shape:
            raise ValueError(f"is called with samples of {first.shape} and of {given.shape}; load takes one shape")
        value = self.steps.aligned(given, moved=first.moved)
        for layer in reached.layers:
            value = self.steps.step(layer, value.number, shape=reached.shape, moved=reached.moved)
        return value._replace(shape=reached.shape, moved=reached.moved)

    def _reached(self, one: Described, place: Weights, given: Value) -> Reached:
        reader = READERS.get(one.kind)
        own = "" if one.is_of_keras else ", a class of its author's own"
        if reader is None or (not one.is_of_keras and reader.__module__.startswith(__package__ or "nanonet.")):
            enter = "enter one by nanonet.interchange.keras.reads"
            if one.kind == "Lambda":
                raise TypeError("holds code, which load does not run")
            raise TypeError(f"load has no reader for it{own}; {enter}. It has {', '.join(sorted(READERS))}")
        self.policies.add(_policy(one.config.get("dtype")))
        reached = Reached(one, place, given.shape, given.moved)
        for name in ("quantization_config", "lora_rank"):
            reached.only(name, None, why="load takes weights that are not quantized and have no low-rank additions")
        reader(reached)
        self.steps.fills += reached.fills
        self.held += reached.held
        if one.config.get("trainable") is False:
            self.held += [state for state, _ in reached.fills]
        return reached


def places_of(graph: Graph, place: Weights) -> list[Weights]:
    """Return where the arrays of each layer of a model are."""
    return place.layers([(one.name, one.class_name) for one in graph.layers])


def _policy(value: Any) -> str:
    """Return the name of a dtype policy, by which Keras says in which precision a layer computes."""
    if isinstance(value, dict):
        inner = value.get("config")
        name = inner.get("name") if isinstance(inner, dict) else None
        if value.get("class_name") not in ("DTypePolicy", "Policy"):
            raise ValueError(
                f"its dtype is a {value.get('class_name')!r:.60}; load takes numbers that are not quantized"
            )
        value = name
    if value is None:
        return "float32"
    if value not in (*SINGLE, DOUBLE):
        raise ValueError(f"computes in {value!r:.60}; load takes float32, mixed precision and float64")
    return str(value)


def dtype_of(policies: set[str]) -> type[Any]:
    """Return the dtype of a model whose layers have such policies."""
    if DOUBLE not in policies:
        return np.float32
    if policies == {DOUBLE}:
        return np.float64
    raise ValueError(
        f"some of its layers compute in {' and '.join(sorted(policies))}; load takes one of the two for all"
    )
