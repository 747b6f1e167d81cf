"""Sweep: an optimizer's rule for one entry, compiled with numba into one pass over a block of the vector."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import optional
from nanonet.core.errors import ContractError
from nanonet.core.version import __version__
from nanonet.optimizers.optimizer import Optimizer, Step

REHEARSED = 5  # steps by which a rule is compared with update
LEAST = 1000  # entries of a vector whose rule is compiled; with fewer, NumPy's SGD is as quick

Kernel = Callable[..., None]
OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy"}

PLAIN = """def {name}(w, g, {states}factors):
    for i in range(w.size):
        {new} = rule(w[i], g[i], {entries}*factors)
"""
FULL = """def {name}(w, g, {states}scale, limit, decay, shrink, decays, factors):
    for i in range(w.size):
        clipped = min(max(scale * g[i], -limit), limit)
        {new} = rule(w[i] - shrink * {decays} * w[i], clipped + decay * {decays} * w[i], {entries}*factors)
"""


class Sweep:
    """``Optimizer.apply`` in one pass: clipping, weight decay and the rule, entry by entry."""

    __slots__ = ("optimizer",)

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def __call__(
        self, value: Array, grad: Array, step: Step, state: list[Array], scale: float, decays: float | Array
    ) -> None:
        """Update a block, as ``Optimizer.apply`` does."""
        optimizer, number = self.optimizer, value.dtype.type
        rule, limit, decay = type(optimizer).rule, optimizer.clip_value, optimizer.weight_decay
        factors = tuple([number(factor) for factor in optimizer.factors(step)])
        if scale == 1.0 and optimizer.clip_norm is None and limit is None and not decay:
            kernel(rule, len(state), PLAIN)(value, grad, *state, factors)
            return
        coupled, decoupled = (0.0, step.learning_rate * decay) if optimizer.decay_is_decoupled else (decay, 0.0)
        settings = [number(each) for each in (scale, np.inf if limit is None else limit, coupled, decoupled)]
        by_entry = isinstance(decays, np.ndarray)
        run = kernel(rule, len(state), FULL, "decays[i]" if by_entry else "decays")
        run(value, grad, *state, *settings, decays if by_entry else number(decays), factors)


def why_not(optimizer: Optimizer, size: int) -> str:
    """Return why the update of a vector of that size is not compiled; "" if it is."""
    name = type(optimizer).__name__
    if not optimizer.states_rule():
        return f"{name} states no rule for one entry"
    if type(optimizer).apply is not Optimizer.apply:
        return f"{name} overrides apply"
    return "" if size >= LEAST else f"{size} parameters are too few to gain by it"


def prepare(optimizer: Optimizer, dtype: np.dtype[Any]) -> None:
    """Compile the rule of an optimizer for its present settings, and compare a few steps with those of ``update``.

    Raises
    ------
    ContractError
        If numba cannot compile it, or the results differ.
    """
    numba, optimizer = optional("fast=True", "numba", "fast", "numba"), copy.deepcopy(optimizer)
    sweep = Sweep(optimizer)
    starts = [0.0, *map(float, optimizer.states().values())]
    ours, theirs = ([np.full(4, start, dtype) for start in starts] for _ in range(2))
    for number in range(1, REHEARSED + 1):
        grad, step = np.array([1.0, -2.0, 0.5, 4.0], dtype) / dtype.type(number), Step(number, 0.125)
        with np.errstate(all="ignore"):
            optimizer.by_rule(ours[0][0], grad[0], step, [state[0] for state in ours[1:]])  # refuses what is no tuple
            optimizer.apply(theirs[0], grad, step, theirs[1:], 1.0, 1.0)
            try:
                sweep(ours[0], grad, step, ours[1:], 1.0, 1.0)
            except numba.core.errors.NumbaError as error:
                raise ContractError(f"{optimizer}: numba cannot compile its rule; {_cause(error)}") from None
    for name, one, other in zip(("w", *optimizer.states()), ours, theirs, strict=True):
        if not np.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ContractError(
                f"{optimizer}: rule and update disagree on {name}: after {REHEARSED} steps from 0, rule gives "
                f"{one[0]:g}, and update {other[0]:g}"
            )


def _cause(error: Exception) -> str:
    """Return the line of a long message that says what numba does not understand."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Failed in", "During", "File", "[1]"))]
    return (told or lines or [type(error).__name__])[0]


@lru_cache(maxsize=256)
def kernel(rule: Any, states: int, text: str, decays: str = "") -> Kernel:
    """Return the loop of a rule over arrays; it is compiled when it is first called with arrays of a dtype.

    The text of the loop passes for a part of the file of the rule, by whose time numba tells whether what it has cached
    on disk is still valid.
    """
    numba = optional("fast=True", "numba", "fast", "numba")
    names = [f"s{k}" for k in range(states)]
    entries = [f"{name}[i]" for name in names]
    name = f"sweep_of_{rule.__qualname__}_{__version__}".translate({ord(c): "_" for c in ".<>"})
    filled = text.format(
        name=name,
        states="".join(f"{name}, " for name in names),
        entries="".join(f"{entry}, " for entry in entries),
        new=", ".join(["w[i]", *entries]) + ("" if states else ","),
        decays=decays,
    )
    code = rule.__code__
    space = {"__name__": rule.__module__, "rule": numba.njit(rule, **OPTIONS)}
    exec(compile("\n" * (code.co_firstlineno - 1) + filled, code.co_filename, "exec"), space)
    compiles = partial(numba.njit, nogil=True, **OPTIONS)
    try:
        made: Kernel = compiles(cache=is_cacheable(rule))(space[name])
    except RuntimeError:  # no folder to write to
        made = compiles()(space[name])
    return made


def is_cacheable(rule: FunctionType) -> bool:
    """Return whether the file of a rule says all of it, so that it is neither typed at a prompt nor reads variables.

    Numba takes their values as constants, and does not see when they differ in the next process.
    """
    uses = inspect.getclosurevars(rule)
    read = [*uses.nonlocals.values(), *uses.globals.values(), *(rule.__defaults__ or ())]
    return os.path.isfile(rule.__code__.co_filename) and all(isinstance(each, ModuleType) for each in read)
