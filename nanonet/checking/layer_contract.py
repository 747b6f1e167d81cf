"""The contract of layers: a view of a model that detects a violation and names the layer immediately."""

from __future__ import annotations

import functools
import inspect
import linecache
import pickle
import traceback
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nanonet.checking.view import View, locked, locked_buffer
from nanonet.core.arrays import Array, Arrays, Shape, batch_size_of, each, is_finite, parts_of, read_only, shape_of
from nanonet.core.chain import Chain
from nanonet.core.checks import agreed
from nanonet.core.errors import ContractError, GradientError, NonFiniteError, ShapeError, batch_shape_text
from nanonet.core.layer import Layer
from nanonet.core.objects import called, is_own
from nanonet.core.parameter import Parameter, Random
from nanonet.core.tree import Tree

PACKAGE = Path(__file__).parent.parent
METHODS = ("forward", "backward", "backward_parameters")
PIECE = 256  # numbers of a gradient that one number of its fingerprint stands for; more might hide one wrong entry

L = TypeVar("L", bound=Layer)

Seen = defaultdict[int, deque[tuple[Any, list[tuple[Shape, str]], Any]]]
"""For each layer, by id: the caches of its last calls, with shape and kind of each part of x, and the shape of y."""


def nothing_seen() -> Seen:
    """Return an empty record of calls."""
    return defaultdict(lambda: deque(maxlen=64))


def checked(model: L, *, live: bool = False, masks: bool = False, seen: Seen | None = None) -> L:
    """Return a view of a model whose layers check their contract; the model itself is unchanged.

    Parameters
    ----------
    model : Layer
    live : bool
        As for :class:`nanonet.checking.view.View`.
    masks : bool
        Whether a layer may output -inf, like one that masks the logits for a CrossEntropy.
    seen : optional
        The calls recorded by earlier views of the model.
    """
    view = View(model, live=live)
    guard = _Guard(view, nothing_seen() if seen is None else seen, masks)
    for path, layer in view.tree.layers.items():
        _CheckedLayer(layer, view.twins[path], path, guard).put_on()
    return view.root


def recheck(model: Layer, x: Arrays, training: bool = False, *, backward: bool = True) -> None:
    """Repeat a failed pass on a checked view, which raises what it finds wrong; otherwise return."""
    try:
        with np.errstate(all="ignore"):
            view = checked(model)
            y, cache = view.forward(x, training=training)
            if backward:
                view.backward(each(lambda part: np.ones_like(part) if part.dtype.kind == "f" else None, y), cache)
    except (ContractError, ShapeError):
        raise
    except Exception:  # most likely the failure itself, which the caller raises
        return


@contextmanager
def guarded(name: str, method: str) -> Iterator[None]:
    """Name the layer, and the line, of a write to a read-only array; add the method as a note to other errors."""
    try:
        yield
    except ShapeError as error:
        text = str(error)
        if text.startswith(("layer ", name.removesuffix("()"))):
            raise
        raise ShapeError(f"{name}: {text}") from error
    except Exception as error:
        if isinstance(error, RecursionError) and method.startswith("backward"):
            raise ContractError(
                f"{name}: {method} calls itself without end; backward must not call self.backward_parameters, whose "
                "default calls backward"
            ) from None
        if isinstance(error, ValueError) and "read-only" in str(error):
            raise ContractError(
                f"{name}: {method} writes to its argument, its parameters or buffers, or an array that was "
                f"returned before{_place(error)}; make a new array instead, such as y = y + x in place of y += x"
            ) from error
        if not isinstance(error, (ContractError, NonFiniteError)) and not hasattr(error, "__notes__"):
            error.add_note(f"in {name}, {method}")
        raise


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not Path(frame.filename).is_relative_to(PACKAGE)]
    frame = (outside or frames)[-1]
    source = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return f" (line {frame.lineno}: {source})" if source else ""


class _Guard:
    """State shared by the checked layers of one view: the call depth and the locks on buffers."""

    def __init__(self, view: View[Any], seen: Seen, masks: bool) -> None:
        self.seen, self.masks, self.comparing = seen, masks, False
        self.runs: dict[_CheckedLayer, _Runs] = {}
        self._buffers = view.buffers
        self._depth = 0

    @contextmanager
    def call(self, *, bufferslocked: bool, wanted: Mapping[str, Parameter]) -> Iterator[None]:
        """Lock the buffers, if asked, during the outermost call.

        On return the gradients of the wanted parameters must have been assigned.
        """
        if self._depth:
            yield
            return
        trainable = {name: p for name, p in wanted.items() if p.trainable}
        self.runs = {}
        for parameter in trainable.values():
            parameter.grad[...] = np.nan
        with ExitStack() as locks:
            for buffer in self._buffers if bufferslocked else []:
                locks.enter_context(locked_buffer(buffer))
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
        missed = [name for name, parameter in trainable.items() if np.isnan(parameter.grad).any()]
        if missed:
            raise GradientError(
                f"{missed[0]}.grad was never assigned: the backward method of its layer was not called"
                + (f" (nor {', '.join(missed[1:])})" if missed[1:] else "")
            )
        for layer, runs in self.runs.items():
            if runs.earlier and runs.last == layer.fingerprints():
                raise GradientError(
                    f"{layer.name}: its backward ran twice in this pass, and the second gradient replaced the first; "
                    "call layer.backward_again(grad, cache) the second time"
                )


class _Runs(NamedTuple):
    """The backward calls of a layer in one pass: did one but the last give a gradient; the last, as fingerprints."""

    earlier: bool = False
    nonzero: bool = False
    last: list[bytes] | None = None


class _CheckedLayer:
    """The methods of one layer's twin, wrapped in checks of the contract."""

    def __init__(self, layer: Layer, twin: Layer, path: str, guard: _Guard) -> None:
        self.layer, self.guard = twin, guard
        self.name = f"layer {path}, {called(layer)}" if path else called(layer)
        own = dict(twin.owned_parts())
        self.parameters = {name: part for name, part in own.items() if isinstance(part, Parameter)}
        self.randoms = [part for part in own.values() if isinstance(part, Random)]
        deep = any(isinstance(part, Layer) for part in own.values())
        self.below = Tree(twin).parameters if deep else self.parameters
        self.seen = guard.seen[id(layer)]
        self.original = {name: getattr(twin, name) for name in METHODS}

    def put_on(self) -> None:
        """Give the twin the checked methods."""
        vars(self.layer).update({name: getattr(self, name) for name in METHODS})

    # ---- the three methods

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Any, Any]:
        """Call forward on a read-only x; check what it returns."""
        promised, attributes = self._promised(x), dict(vars(self.layer))
        drawn = [_state(random) for random in self.randoms]
        with self.guard.call(bufferslocked=not training, wanted={}), guarded(self.name, "forward"):
            result = self.original["forward"](each(read_only, x), training=training)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ContractError(f"{self.name}: forward must return (output, cache), got {type(result).__name__}")
        y, cache, batch = result[0], locked(result[1]), batch_size_of(x)
        for part in parts_of(y):
            self._check_array(part, "forward", like=_first_float(x))
            if part.shape[:1] != (batch,):
                raise ShapeError(
                    f"{self.name}: forward must keep the batch as axis 0, of length {batch} here, but gave shape "
                    f"{part.shape}"
                )
        self._check_attributes(attributes)
        if promised is not None and agreed(promised, shape_of(y)) is None:
            gave, says, got = (batch_shape_text(shape, batch) for shape in (shape_of(y), promised, shape_of(x)))
            raise ShapeError(f"{self.name}: forward gave shape {gave}, but output_shape says {says} for {got}")
        if not training and drawn != [_state(random) for random in self.randoms]:
            raise ContractError(f"{self.name}: forward draws from its generator although training is False")
        computes = is_own(type(self.layer)) and not isinstance(self.layer, Chain)  # nanonet's own layers do not mask
        masks = self.guard.masks and not computes and all(map(_is_masked, parts_of(y)))
        if not masks and not _finite(y) and _finite(x):
            raise NonFiniteError(f"{self.name}: its output is the first that is not finite")
        self.seen.append((cache, [(part.shape, part.dtype.kind) for part in parts_of(x)], shape_of(y)))
        return each(read_only, y), cache

    def backward(self, grad: Arrays, cache: Any) -> Any:
        """Call backward on a read-only grad; check what it returns and what it assigned."""
        with self.guard.call(bufferslocked=True, wanted=self.below):
            self._fill(np.nan)
            with guarded(self.name, "backward"):
                dx: Arrays = self.original["backward"](each(read_only, grad), cache)
            self._check_assigned("backward", grad, cache)
            self._note_run()
        self._check_dx(dx, grad, cache)
        if not _finite(dx) and _finite(grad):
            raise NonFiniteError(f"{self.name}: its dE/dx is the first gradient that is not finite")
        self._compare("backward", "backward_parameters", grad, cache)
        return dx if dx is None else each(read_only, dx)

    def backward_parameters(self, grad: Arrays, cache: Any) -> None:
        """Call backward_parameters on a read-only grad; check what it assigned."""
        before = self.guard.runs.get(self)
        with self.guard.call(bufferslocked=True, wanted=self.below):
            self._fill(np.nan)
            with guarded(self.name, "backward_parameters"):
                self.original["backward_parameters"](each(read_only, grad), cache)
            self._check_assigned("backward_parameters", grad, cache)
            if self.guard.runs.get(self) is before:  # the default calls backward, which has noted it
                self._note_run()
        self._compare("backward_parameters", "backward", grad, cache)

    # ---- checks

    def _promised(self, x: Arrays) -> Shape | None:
        try:
            return self.layer.output_shape(shape_of(x))
        except ShapeError as error:
            if error.expected is None or error.got is None:
                raise ShapeError(f"{self.name}: {str(error).removeprefix(f'{called(self.layer)}: ')}") from None
            raise ShapeError.misfit(self.name, expected=error.expected, got=error.got, batch=batch_size_of(x)) from None

    def _check_attributes(self, before: dict[str, Any]) -> None:
        """Check that forward set no attribute, which the next call or another thread would overwrite."""
        for name, value in vars(self.layer).items():
            if (name not in before or before[name] is not value) and not _is_cached_property(self.layer, name):
                raise ContractError(f"{self.name}: forward sets self.{name}; return what backward needs as the cache")

    def _check_dx(self, dx: Arrays, grad: Arrays, cache: Any) -> None:
        """Check that each part of dE/dx has the form of that part of x; it may be None where x holds no floats."""
        given = parts_of(dx)
        forms = [before for seen, before, after in self.seen if seen is cache and after == _grad_shape(grad, after)]
        if forms and len(forms[-1]) != len(given):
            raise ContractError(
                f"{self.name}: backward must return dE/dx as a tuple of {len(forms[-1])} arrays, got {len(given)}"
            )
        kinds = [kind for _, kind in forms[-1]] if forms else "f" * len(given)
        for part, kind in zip(given, kinds, strict=True):
            if part is not None or kind == "f":
                self._check_array(part, "backward", like=_first_float(grad))
        got = [None if part is None else part.shape for part in given]
        if forms and not any(all(n in (None, m) for n, (m, _) in zip(got, form, strict=True)) for form in forms):
            wanted, found = " and ".join(str(shape) for shape, _ in forms[-1]), " and ".join(map(str, got))
            raise ShapeError(f"{self.name}: backward must return dE/dx of the shape of x, {wanted}, got {found}")

    def _check_array(self, array: object, method: str, like: Array) -> None:
        if not isinstance(array, np.ndarray):
            raise ContractError(f"{self.name}: {method} must return an array, got {type(array).__name__}")
        if like.dtype.kind == "f" and array.dtype != like.dtype:
            raise ContractError(
                f"{self.name}: {method} returned {array.dtype} for {like.dtype}; a NumPy scalar such as np.sqrt(2), or "
                "a float64 array on the layer, upcasts: write float(np.sqrt(2)), or return result.astype(x.dtype)"
            )

    def _fill(self, number: float) -> None:
        for parameter in self.parameters.values():
            parameter.grad[...] = number

    def _check_assigned(self, method: str, grad: Arrays, cache: Any) -> None:
        """Check that no gradient still holds a NaN that it was filled with."""
        for name, parameter in self.parameters.items():
            if not is_finite(parameter.grad):
                self._blame(name, parameter, method, grad, cache)

    def fingerprints(self) -> list[bytes]:
        """Return the fingerprints of the layer's own gradients."""
        return [_fingerprint(parameter.grad) for parameter in self.parameters.values() if parameter.trainable]

    def _note_run(self) -> None:
        """Record that the gradients were assigned; a second time in one pass must not lose the first."""
        if self.parameters and not self.guard.comparing:
            before = self.guard.runs.get(self)
            nonzero = any(parameter.grad.any() for parameter in self.parameters.values() if parameter.trainable)
            lost = before is not None and (before.earlier or before.nonzero)
            self.guard.runs[self] = _Runs(lost, nonzero, self.fingerprints() if before else None)

    def _blame(self, name: str, parameter: Parameter, method: str, grad: Arrays, cache: Any) -> None:
        """Raise the reason why a gradient holds a NaN: never assigned, added to, or computed as NaN."""
        left = []
        for fill in (0.0, 1.0):
            self._fill(fill)
            self.original[method](each(read_only, grad), cache)
            left.append(parameter.grad.copy())
        zero, one = left
        if np.array_equal(zero, one, equal_nan=True):
            raise NonFiniteError(f"{self.name}: the gradient of {name} is the first that is not finite")
        where = f"{self.name}: {method}"
        if not zero.any() and (one == 1).all():
            raise GradientError(f"{where} never assigns {name}.grad; write self.{name}.grad = ...")
        with np.errstate(invalid="ignore"):
            added = np.allclose(one - zero, 1, rtol=1e-3, atol=1e-3)
        if added:
            raise GradientError(f"{where} adds to {name}.grad; gradients are assigned: self.{name}.grad = ..., not +=")
        raise GradientError(f"{where} leaves a part of {name}.grad unassigned, or makes it depend on its old value")

    def _compare(self, method: str, other: str, grad: Arrays, cache: Any) -> None:
        """Check that the other backward method assigns the same gradients."""
        default = type(self.layer).backward_parameters is Layer.backward_parameters
        if self.guard.comparing or default or _is_a_chains_own(self.layer) or not self.below:
            return
        wanted = [p for p in self.below.values() if p.trainable]
        self.guard.comparing = True
        try:
            # Copies of the gradients of a large layer would not fit in memory.
            first = [_fingerprint(parameter.grad) for parameter in wanted]
            getattr(self, other)(grad, cache)
            if [_fingerprint(parameter.grad) for parameter in wanted] != first:
                self._refuse_unlike(method, other, wanted, grad, cache)
        finally:
            self.guard.comparing = False

    def _refuse_unlike(self, method: str, other: str, wanted: list[Parameter], grad: Arrays, cache: Any) -> None:
        """Raise GradientError if the gradients of two methods differ by more than rounding."""
        seconds = [parameter.grad.copy() for parameter in wanted]
        getattr(self, method)(grad, cache)
        for parameter, second in zip(wanted, seconds, strict=True):
            tolerance = 1e3 * np.finfo(second.dtype).eps * (float(np.abs(parameter.grad).max(initial=0)) or 1.0)
            if not np.allclose(parameter.grad, second, rtol=0, atol=tolerance):
                raise GradientError(
                    f"{self.name}: backward and backward_parameters assign different gradients to {parameter.label}"
                )


def _is_a_chains_own(layer: Layer) -> bool:
    """Return whether both backward methods are Chain's own loops, over layers that are compared one by one."""
    return isinstance(layer, Chain) and all(
        getattr(type(layer), name) is getattr(Chain, name) for name in ("backward", "backward_parameters")
    )


def _fingerprint(array: Array) -> bytes:
    """Return products of an array's pieces with fixed random numbers, which take a tenth of the time of a hash.

    Equal arrays have equal ones; those of arrays that differ by more than rounding differ.
    """
    numbers = array.ravel(order="K")
    whole = numbers.size - numbers.size % PIECE
    weights = _weights(array.dtype)
    pieces = numbers[:whole].reshape(-1, PIECE).dot(weights), numbers[whole:].dot(weights[: numbers.size - whole])
    return b"".join(piece.tobytes() for piece in pieces)


@functools.cache
def _weights(dtype: np.dtype[Any]) -> Array:
    weights: Array = np.random.default_rng(0).uniform(1, 2, PIECE).astype(dtype) / PIECE  # no sum overflows
    return weights


def _is_cached_property(layer: Layer, name: str) -> bool:
    return isinstance(inspect.getattr_static(type(layer), name, None), functools.cached_property)


def _is_masked(y: Array) -> bool:
    return bool((np.isfinite(y) | np.isneginf(y)).all())


def _finite(arrays: Arrays) -> bool:
    return all(part is None or part.dtype.kind != "f" or is_finite(part) for part in parts_of(arrays))


def _first_float(arrays: Arrays) -> Array:
    """Return the first array of floats, whose dtype results must have; the first array if there is none."""
    given = [part for part in parts_of(arrays) if part is not None]
    return next((part for part in given if part.dtype.kind == "f"), given[0])


def _grad_shape(grad: Arrays, y_shape: Any) -> Any:
    """Return the shape of grad without the batch axis; where a part is None, that of y."""
    if not isinstance(grad, tuple):
        return grad.shape[1:]
    return tuple(y if part is None else part.shape[1:] for part, y in zip(grad, y_shape, strict=False))


def _state(random: Random) -> bytes:
    return pickle.dumps(random.generator.bit_generator.state)
