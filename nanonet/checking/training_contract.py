"""Checks before and in the first step of a fit: the parts of the model, a few samples, the loss and the rule."""

from __future__ import annotations

import copy
import dis
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from nanonet.checking.layer_contract import checked, guarded
from nanonet.checking.view import locked
from nanonet.core.arrays import Array, Arrays, each, read_only
from nanonet.core.chain import Chain
from nanonet.core.errors import ContractError
from nanonet.core.layer import Layer, found
from nanonet.core.objects import attributes, called, entries, is_own, twin_of
from nanonet.core.parameter import Parameter, State
from nanonet.core.tree import Tree
from nanonet.core.vector import home_of
from nanonet.layers.activations import Sigmoid
from nanonet.layers.softmax import Softmax
from nanonet.layers.standardize import Standardize
from nanonet.losses.binary import BinaryCrossEntropy
from nanonet.losses.classification import CrossEntropy
from nanonet.losses.loss import Loss
from nanonet.optimizers.optimizer import Optimizer, Step

FURTHEST = 6  # maximum depth of the search
CHANGED = (
    "since the model was built: a list, tuple or dict of layers was changed; after such a change rebuild the model, "
    "Sequential(...)"
)
OPAQUE = (str, bytes, int, float, complex, type, ModuleType)  # not searched, nor are NumPy's objects
PATIENT = 400  # number of steps if it has not done so by then
PROBES = 20  # number of steps within which an optimizer must change its state


def refuse_overlooked(model: Layer) -> Tree:
    """Return all parts of a model, checking that every layer and parameter it computes with is one of them.

    Raises
    ------
    ContractError
        If a layer refers to a trainable layer or parameter that is not part of the model, or if the model's lists of
        layers have changed since it was built.
    """
    tree = Tree(model)
    _refuse_changed(tree)
    known = {id(layer) for layer in tree.layers.values()} | set(tree.parents)
    for path, layer in _of_users(tree):
        for place, hidden in _hidden(layer, known):
            what = called(hidden) if isinstance(hidden, Layer) else repr(hidden)
            raise ContractError(
                f"{_named(path, layer)}: {what}, which it reaches through {place}, is not part of the model and would "
                "never be trained or saved; keep it as an attribute of the layer, or in a list, tuple, deque, dict or "
                "dataclass that is one; if this is intended, freeze its parameters"
            )
    return tree


def _refuse_changed(tree: Tree) -> None:
    """Raise ContractError if the parts of the model have changed since it was built."""
    home = home_of(tree.root)
    place, name = home.offset if home is not None else 0, type(tree.root).__name__
    for path, state in (*tree.parameters.items(), *tree.buffers.items(), *tree.randoms.items()):
        if not state.is_built or (isinstance(state, Parameter) and state.offset != place):
            raise ContractError(f"{name}: {path} has moved {CHANGED}")
        place += state.size if isinstance(state, Parameter) else 0
    if home is not None and place != home.offset + home.size:
        raise ContractError(f"{name}: {home.offset + home.size - place} parameters were removed {CHANGED}")


def warn_of_plain_arrays(tree: Tree) -> None:
    """Warn about attributes that look like weights but would not be trained."""
    for path, layer in _of_users(tree):
        for name in _plain_arrays(layer):
            warnings.warn(
                f"{_named(path, layer)}: self.{name} is a plain array, which is neither trained nor saved; write "
                f"self.{name} = Parameter(...) to train it, or Buffer(...) for a constant; no warning is given "
                "for a read-only array",
                stacklevel=2,
            )


def warn_of_outputs(model: Layer, loss: Loss) -> None:
    """Warn about a loss that takes logits at the end of a model that outputs probabilities."""
    last = model
    while isinstance(last, Chain) and last.layers:
        last = last.layers[-1]
    if isinstance(loss, (CrossEntropy, BinaryCrossEntropy)) and isinstance(last, (Softmax, Sigmoid)):
        warnings.warn(
            f"{loss} takes logits, from which it computes the probabilities itself, but the model ends in "
            f"{called(last)}: leave that out in training, and apply it to predictions",
            stacklevel=2,
        )


def warn_of_frozen(tree: Tree) -> None:
    """Warn about a fit that changes nothing: all parameters are frozen, and there is no buffer."""
    states = tree.states.values()
    if states and all(isinstance(state, Parameter) and not state.trainable for state in states):
        warnings.warn("fit: all parameters are frozen, so nothing is trained; write model.unfreeze()", stacklevel=2)


def warn_of_unscaled(model: Layer, x: Arrays) -> None:
    """Warn about a sample with numbers beyond ±10 that a Standardize leaves as they are, since it was not adapted."""
    first, place = model, "model"
    while isinstance(first, Chain) and first.layers:
        first, place = first.layers[0], f"{place}[0]"
    is_idle = isinstance(first, Standardize) and not first.mean.value.any() and (first.scale.value == 1).all()
    if is_idle and (np.abs(x) > 10).any():
        warnings.warn(
            f"{called(first)} leaves x, which holds numbers beyond ±10, as it is: until it is adapted to data its mean "
            f"is 0 and its scale 1; before fit write {place}.adapt(x)",
            stacklevel=2,
        )


def _of_users(tree: Tree) -> list[tuple[str, Layer]]:
    """Return the layers of user-defined classes, by path."""
    return [(path, layer) for path, layer in tree.layers.items() if not is_own(type(layer))]


def _named(path: str, layer: Layer) -> str:
    return f"layer {path}, {called(layer)}" if path else called(layer)


def _plain_arrays(layer: Layer) -> Iterator[str]:
    """Yield the names of attributes that are writable float arrays."""
    for name, value in attributes(layer):
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size and value.flags.writeable:
            yield name


def _hidden(layer: Layer, known: set[int]) -> Iterator[tuple[str, Layer | State]]:
    """Yield the trainable layers and parameters that are reachable from a layer but not found by Tree."""
    seen = set(known)
    waiting = [(f"self.{name}", value, 0) for name, value in attributes(layer)]
    for cls in type(layer).__mro__:
        if not is_own(cls):
            label = f"{cls.__name__}."
            waiting += [(f"{label}{name}", value, 0) for name, value in vars(cls).items() if name != "__dict__"]
    while waiting:
        place, value, depth = waiting.pop()
        if id(value) in seen or isinstance(value, OPAQUE) or _is_numpys(value) or depth > FURTHEST:
            continue
        seen.add(id(value))
        if isinstance(value, (Layer, State)):
            if _has_trainable(value):
                yield place, value
        else:
            waiting += [(f"{place}{step}", inner, depth + 1) for step, inner in _reached(value)]


def _is_numpys(value: object) -> bool:
    holds_objects = isinstance(value, np.ndarray) and value.dtype.hasobject
    return type(value).__module__.partition(".")[0] == "numpy" and not holds_objects


def _has_trainable(thing: Layer | State) -> bool:
    parameters = Tree(thing).parameters.values() if isinstance(thing, Layer) else [thing]
    return any(isinstance(parameter, Parameter) and parameter.trainable for parameter in parameters)


def _reached(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the objects that an object refers to: entries, attributes, and a function's closure and globals."""
    if isinstance(value, FunctionType):
        yield from _reached_by_function(value)
    elif isinstance(value, MethodType):
        yield ".__self__", value.__self__
        yield "", value.__func__
    elif isinstance(value, functools.partial):
        yield from ((" (partial)", part) for part in (value.func, *value.args, *value.keywords.values()))
    elif isinstance(value, (set, frozenset)):
        yield from ((" (a set, which has no order)", entry) for entry in value)
    elif isinstance(value, Mapping) or any(True for _ in entries(value)):
        pairs = value.items() if isinstance(value, Mapping) else entries(value)
        yield from ((f"[{key!r:.20}]", entry) for key, entry in pairs)
    elif isinstance(value, np.ndarray):
        yield from ((" (an array of objects)", entry) for entry in (value.ravel() if value.dtype.hasobject else ()))
    else:
        yield from ((f".{name}", inner) for name, inner in attributes(value))


def _reached_by_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    cells: tuple[CellType, ...] = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            yield f" (closure over {name})", cell.cell_contents
        except ValueError:  # empty: not assigned yet
            continue
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield " (default argument)", value
    for name in _globals_of(function):
        inner = function.__globals__.get(name)
        if next(found("", inner), None) is not None:
            yield f" (global {name})", inner


def _globals_of(function: FunctionType) -> set[str]:
    """Return the global names that a function uses; co_names would also contain attribute names."""
    return {str(step.argval) for step in dis.get_instructions(function) if step.opname == "LOAD_GLOBAL"}


def preflight(model: Layer, x: Arrays) -> Array:
    """Return the prediction for a few samples, checked against the contract, before training changes anything."""
    with np.errstate(all="ignore"):
        prediction = checked(model, masks=True).forward(x)[0]
    warn_of_unscaled(model, x)
    return prediction


def checked_loss(loss: Loss) -> Loss:
    """Return a twin of a loss that checks that it does not write to its arguments."""
    name = repr(loss)

    def forward(prediction: Arrays, target: Arrays, weight: Array | None = None) -> tuple[float, Any]:
        with guarded(name, "forward"):
            value, cache = loss.forward(each(read_only, prediction), each(read_only, target), weight)
        return value, locked(cache)

    def backward(cache: Any) -> Array:
        with guarded(name, "backward"):
            return loss.backward(cache)

    return twin_of(loss, {"forward": forward, "backward": backward})


def checked_optimizer(optimizer: Optimizer, starts: Mapping[str, float], dtype: np.dtype[Any]) -> Optimizer:
    """Return a twin of an optimizer that checks that value and state change in place and the gradient does not."""
    name = repr(optimizer)
    _probe(optimizer, name, starts, dtype)

    @functools.wraps(optimizer.update)
    def update(value: Array, grad: Array, step: Step, *state: Array) -> None:
        with guarded(name, "update"):
            optimizer.update(value, read_only(grad), step, *state)

    return twin_of(optimizer, {"update": update, "scale": optimizer.scale, "rate": optimizer.rate})


def _probe(optimizer: Optimizer, name: str, starts: Mapping[str, float], dtype: np.dtype[Any]) -> None:
    """Check on a few test steps of a copy of the rule that it changes value and state in place.

    This is repeated in two pieces: the vector is passed in blocks, which must not change the result.
    """
    steps = PROBES
    whole, state = _rehearse(optimizer, name, starts, dtype, [slice(None)], steps)
    if not whole.any() or any((state[key] == dtype.type(start)).all() for key, start in starts.items()):
        steps = PATIENT  # a rule may change value or a state only occasionally
        whole, state = _rehearse(optimizer, name, starts, dtype, [slice(None)], steps)
    if not whole.any():
        raise ContractError(
            f"{name}: update leaves value unchanged; change it in place: value -= ..., or value[:] = ..."
        )
    for key, start in starts.items():
        if (state[key] == dtype.type(start)).all():
            raise ContractError(
                f"{name}: update leaves its state {key} unchanged; change it in place: {key} *= ..., or {key}[:] = ..."
            )
    pieces, _ = _rehearse(optimizer, name, starts, dtype, [slice(0, 2), slice(2, None)], steps)
    if not np.allclose(whole, pieces, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ContractError(
            f"{name}: update is not elementwise: the vector is passed in blocks, and the result for two blocks differs "
            "from that for one; for the norm of all gradients use clip_norm"
        )


def _rehearse(
    optimizer: Optimizer, name: str, starts: Mapping[str, float], dtype: np.dtype[Any], pieces: list[slice], steps: int
) -> tuple[Array, dict[str, Array]]:
    """Return four test values and their states after some steps of a copy of the rule, each in the given pieces."""
    rule = copy.deepcopy(optimizer)
    value = np.zeros(4, dtype)
    state = {key: np.full(4, float(start), dtype) for key, start in starts.items()}
    for number in range(1, steps + 1):
        grad = np.array([1.0, -2.0, 0.5, 4.0], dtype) / number
        for piece in pieces:
            arrays = {key: array[piece] for key, array in state.items()}
            _rehearse_update(rule, name, value[piece], grad[piece], number, arrays)
    return value, state


def _rehearse_update(
    optimizer: Optimizer, name: str, value: Array, grad: Array, number: int, state: Mapping[str, Array]
) -> None:
    try:
        with np.errstate(all="ignore"):
            update: Callable[..., object] = optimizer.update
            returned = update(value, grad, Step(number, 1.0), *state.values())
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        names = ", ".join(state) or "none"
        raise ContractError(f"{name}: update must take the state vectors that states names, {names}; {error}") from None
    if returned is not None:
        raise ContractError(f"{name}: update must change value in place and return nothing; write value[:] = ...")
