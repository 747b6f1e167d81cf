"""What makes a step atomic: Blocks, which can be restored; Bounds, by which they need not be; Shield, for signals.

``on_all_ranks`` is the same for a fit in several processes: it ends in all of them, or is interrupted in all.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import wraps
from types import FrameType
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from nanonet.core.arrays import Array, is_finite
from nanonet.core.parameter import Parameter
from nanonet.core.vector import Vector
from nanonet.optimizers.compiled import Sweep, prepare, why_not
from nanonet.optimizers.factors import factors_of
from nanonet.optimizers.optimizer import Optimizer, Step

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

BLOCK = 32768  # entries of the vector that stay in the CPU cache during an update
SHARED = 2**18  # entries of a block that a compiled rule passes over, where threads share them
REMEMBERED = 8  # sets of trainable parameters whose blocks are kept: training often alternates between two


class Blocks:
    """The vector of a model, its gradients and the optimizer's states, cut into blocks.

    Parameters
    ----------
    value, grad : array
    states : list of array
    parameters : mapping
        All parameters of the vector by name, in order.
    optimizer : Optimizer
        Says which parameters decay, and by which rates they learn.
    fast : bool
        Whether to compile the optimizer's rule if that pays.
    shared : bool
        Whether threads share the blocks, so that there have to be several.

    Attributes
    ----------
    sweep : class, optional
        What applies the optimizer to a block where its rule is compiled.
    fastest, most_decay : float
        The largest factors on the learning rate and on weight decay.
    """

    def __init__(
        self,
        value: Array,
        grad: Array,
        states: list[Array],
        parameters: Mapping[str, Parameter],
        optimizer: Optimizer,
        fast: bool,
        shared: bool,
    ) -> None:
        self.sweep = Sweep if fast and not why_not(optimizer, value.size) else None
        if self.sweep:
            prepare(optimizer, value.dtype)
        self._most = BLOCK if not self.sweep else SHARED if shared else max(value.size, 1)
        self._value, self._grad, self._states = value, grad, states
        self._parameters, self._optimizer = dict(parameters), optimizer
        self.fastest = self.most_decay = 1.0
        self._known: dict[tuple[bool, ...], list[Block]] = {}  # by which parameters are trainable, the latest last
        self._copies: list[Array] = []  # shared by all blocks, made when first needed

    def trainable(self) -> list[Block]:
        """Return the blocks of the parameters that are trainable now; whoever freezes back and forth gets them again.

        They end at frozen parameters, where the factor on the learning rate changes and, unless a compiled rule reads
        each number but once, where a piece would not fit the cache.
        """
        key = tuple([parameter.trainable for parameter in self._parameters.values()])
        blocks = self._known.pop(key, None)
        if blocks is None:
            blocks = self._cut()
        self._known[key] = blocks
        if len(self._known) > REMEMBERED:
            self._known.pop(next(iter(self._known)))
        return blocks

    def clear_frozen(self) -> None:
        """Set the gradients of frozen parameters in the vector to 0, as a backward pass leaves them."""
        start = 0
        for parameter in self._parameters.values():
            if not parameter.trainable:
                self._grad[start : start + parameter.size] = 0
            start += parameter.size

    def _cut(self) -> list[Block]:
        optimizer, parameters = self._optimizer, self._parameters
        rates, shares = (
            factors_of(given, parameters, type(optimizer).__name__, setting) if given else [1.0] * len(parameters)
            for setting, given in (("rates", optimizer.rates), ("decays", optimizer.decays))
        )
        self.fastest, self.most_decay = max(rates, default=1.0), max(shares, default=1.0)
        decays = _spread(shares, self._value, parameters)
        return [
            Block(
                self._value[span],
                self._grad[span],
                [state[span] for state in self._states],
                decays[span] if isinstance(decays, np.ndarray) else decays,
                lambda span=span: [copy[span] for copy in self._room()],  # type: ignore[misc]  # bound to this span
                None if rate == 1 else rate,
            )
            for span, rate in _runs(list(parameters.values()), rates, self._most)
        ]

    def _room(self) -> list[Array]:
        """Return arrays for the copies of what a step changes."""
        if not self._copies:
            self._copies = [np.empty_like(array) for array in (self._value, *self._states)]
        return self._copies


class Block:
    """A piece of the vector, its gradient and optimizer state, and a backup of what a step changes.

    Attributes
    ----------
    decays : float or array
        The factor on weight decay, for the whole block or entry by entry.
    rate : float, optional
        The factor on the learning rate.
    """

    __slots__ = ("_room", "changing", "decays", "grad", "kept", "rate", "state", "value")

    def __init__(
        self,
        value: Array,
        grad: Array,
        state: list[Array],
        decays: float | Array,
        room: Callable[[], list[Array]],
        rate: float | None,
    ) -> None:
        self.value, self.grad, self.state, self.decays, self._room = value, grad, state, decays, room
        self.rate = rate
        self.changing = (value, *state)
        self.kept: list[tuple[Array, Array]] = []  # each array that changes, and its backup; made when first needed

    def save(self) -> None:
        """Back up the current numbers."""
        if not self.kept:
            self.kept = list(zip(self.changing, self._room(), strict=True))
        for array, copy in self.kept:
            copy[:] = array

    def change(self, apply: Callable[..., None], step: Step, scale: float) -> None:
        """Take a step with the numbers of this block; apply is that of an optimizer."""
        apply(self.value, self.grad, self.own(step), self.state, scale, self.decays)

    def own(self, step: Step) -> Step:
        """Return the step with the learning rate of this block."""
        return step if self.rate is None else Step(step.number, step.learning_rate * self.rate)

    def is_finite(self) -> bool:
        """Tell whether no number that a step changes is NaN or infinite."""
        for array in self.changing:  # a loop: all() with a generator would add 1 us to the step of a small net
            if not is_finite(array):
                return False
        return True

    def restore(self) -> None:
        """Restore the backup."""
        for array, copy in self.kept:
            array[:] = copy


def _spread(factors: list[float], value: Array, parameters: Mapping[str, Parameter]) -> float | Array:
    """Return the factor of each entry, or one number if it is the same everywhere."""
    if len(set(factors)) <= 1:
        return factors[0] if factors else 0.0
    return np.repeat(np.array(factors, value.dtype), [parameter.size for parameter in parameters.values()])


def _runs(parameters: list[Parameter], rates: list[float], block: int) -> Iterator[tuple[slice, float]]:
    """Yield the spans of the blocks, each with its factor on the learning rate."""
    start = stop = 0
    before = 1.0
    for parameter, rate in zip(parameters, rates, strict=True):
        if not parameter.trainable or rate != before:
            yield from _pieces(start, stop, before, block)
            start, before = stop, rate
        stop += parameter.size
        if not parameter.trainable:
            start = stop
    yield from _pieces(start, stop, before, block)


def _pieces(start: int, stop: int, rate: float, block: int) -> Iterator[tuple[slice, float]]:
    return ((slice(a, min(a + block, stop)), rate) for a in range(start, stop, block))


class Bounds:
    """Upper bounds on absolute values in the vector and in each state, by which many a step cannot overflow.

    A rule says by :meth:`nanonet.Optimizer.bounds` how far one step may move them.
    """

    def __init__(self, vector: Vector, states: list[Array], optimizer: Optimizer) -> None:
        limits = np.finfo(vector.dtype)
        self._most, self._least = float(limits.max) / 16, math.sqrt(vector.size * limits.tiny)  # squares vanish
        self._arrays, self._memory = (vector.value, *states), vector.memory
        self.are_stated = type(optimizer).bounds is not Optimizer.bounds
        self._version = -1  # of the numbers whose bounds are known
        self.forget()

    def forget(self) -> None:
        """Discard the bounds, because the numbers were changed elsewhere."""
        self.known: list[float] | None = None

    def follow(self) -> None:
        """Hold from now on for the numbers after the step that was admitted last."""
        self._version += 1

    def admit(self, optimizer: Optimizer, largest: float, step: Step, cut: Blocks) -> bool:
        """Tell whether no number can overflow in a step; largest is an upper bound on the absolute gradients."""
        if not self.are_stated:
            return False
        if self.known is None or self._version != self._memory.version:
            self._version = self._memory.version
            self.known = [norm_of(array) + self._least for array in self._arrays]
        if cut.fastest != 1:
            step = Step(step.number, step.learning_rate * cut.fastest)
        value, states = optimizer.reach(self.known[0], self.known[1:], largest + self._least, step, cut.most_decay)
        self.known = [value, *states]
        for bound in (1e9 * step.learning_rate, *self.known):
            if not bound < self._most:  # NaN is not either
                self.forget()  # to be measured again
                return False
        return True


def norm_of(array: Array) -> float:
    """Return the root of the sum of squares, one BLAS call; infinity where that is not finite, or overflows."""
    squares = float(np.vdot(array, array))
    return math.sqrt(squares) if squares < math.inf else math.inf  # NaN is below nothing


SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
)
"""Signals whose Python handlers may raise: Ctrl-C, termination by a batch system, a time limit."""


# The module below signal, without the conversion to and from enums, which costs 2 us per call.
_raw: Any = importlib.import_module("_signal" if importlib.util.find_spec("_signal") else "signal")


class Shield:
    """Catches signals within a ``with`` block; while ``closed``, as initially, they are deferred until :meth:`open`.

    Only the main thread receives signals; in any other thread it does nothing.

    Attributes
    ----------
    up : bool
        Whether it catches signals: within the ``with`` block.
    closed : bool
        Whether signals are deferred.
    """

    def __init__(self) -> None:
        self.up = self.closed = False
        self._waiting: list[tuple[int, FrameType | None]] = []
        self._before: dict[int, Any] = {}
        self._taken: list[int] = []

    def __enter__(self) -> None:
        self.closed = self.up = True
        self._before = {}
        try:
            self.cover()
        except BaseException:  # from a signal that was not yet covered
            self.__exit__()
            raise

    def __exit__(self, *raised: object) -> None:
        self.closed = True
        try:
            self._give_back()
        finally:
            self._give_back()  # the rest, if a signal reached a handler that had already been restored
            self.up = False
            self.open()

    def _give_back(self) -> None:
        while self._taken:
            number = self._taken[-1]
            now = _raw.signal(number, self._before[number])
            if now != self._take:  # another handler has been set since
                _raw.signal(number, now)
            self._taken.pop()

    def cover(self) -> None:
        """Catch the signals that have Python handlers, including handlers set since; the shield must be closed."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            handler = _raw.getsignal(number)
            if callable(handler) and handler != self._take:
                self._before[number] = handler  # first, so that it is always restored
                self._taken.append(number)
                _raw.signal(number, self._take)

    def open(self) -> None:
        """Let signals through again, deferred ones first."""
        self.closed = False
        while self._waiting:
            number, frame = self._waiting.pop(0)
            if number in self._before:
                self._before[number](number, frame)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append((number, frame))
        if not (self.closed or _is_in_shield(frame)):
            self.open()


def _is_in_shield(frame: FrameType | None) -> bool:
    """Tell whether a signal arrived in the code above or in a function called by it; it is deferred there too."""
    return frame is not None and any(
        each is not None and each.f_code.co_filename == __file__ for each in (frame, frame.f_back)
    )


def on_all_ranks(fit: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """Let a fit of a trainer begin and end on all ranks, if there are several, and end its threads."""

    @wraps(fit)
    def together(trainer: Any, /, *arguments: P.args, **keywords: P.kwargs) -> R:
        ranks, workers = trainer.stepper.ranks, trainer.stepper.workers
        try:
            with nullcontext() if ranks is None else ranks.together(until_done=True):
                return fit(trainer, *arguments, **keywords)
        finally:
            if workers is not None:
                workers.rest()

    return together
