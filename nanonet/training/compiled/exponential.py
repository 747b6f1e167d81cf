"""Exponentials of whole arrays, several at a time in the registers, where a compiled np.exp takes one after the other.

numba keeps compiled kernels while kernels.py is as old as it was: whoever changes this file saves that one too.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from nanonet.core.arrays import Array

try:
    numba: Any = importlib.import_module("numba")
except ImportError:  # whoever reads the module may do without; a trainer that is fast has looked for it
    numba = None

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function, *, cache: bool = False, as_written: bool = False) -> Function:
    """Return a function compiled; unless it is as written, the order of sums and products is free, NaN is not."""
    if numba is None:
        return function
    free = set() if as_written else {"contract", "reassoc", "nsz"}
    settings = {"fastmath": free, "error_model": "numpy", "nogil": True}
    try:
        made: Function = numba.njit(cache=cache, **settings)(function)
    except RuntimeError:  # there is no folder to write to: it is compiled in each process
        made = numba.njit(**settings)(function)
    return made


# exp(x) = 2^n exp(r) with n the integer next to x / log 2, and r = x - n log 2, at most log 2 / 2, with log 2 in two
# parts, so that the product of n and the first is exact. Adding a number so large that its last digit is 1 rounds to n,
# and leaves n in the last bits, from where it is shifted into the exponent. exp(r) is Taylor's sum.
INVERSES = [1 / math.factorial(k) for k in range(14)]
(I0, I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13) = INVERSES
PER_LOG2, HIGH, LOW, ROUNDING = 1 / math.log(2), 0.693145751953125, 1.4286068203094172e-06, 1.5 * 2**52
(S0, S1, S2, S3, S4, S5, S6, S7) = [np.float32(number) for number in INVERSES[:8]]
PER_LOG2_S, HIGH_S, LOW_S = np.float32(PER_LOG2), np.float32(0.693359375), np.float32(-2.12194440e-4)
ROUNDING_S, LARGEST_S = np.float32(1.5 * 2**23), np.float32(87)


def exponential(x: Any) -> Any:
    """Return exp(x) in float64, for x from -700 to 700; beyond that, the value there."""
    x = min(max(x, -700.0), 700.0)
    t = x * PER_LOG2 + ROUNDING
    n = t - ROUNDING
    r = (x - n * HIGH) - n * LOW
    y = ((((((I13 * r + I12) * r + I11) * r + I10) * r + I9) * r + I8) * r + I7) * r + I6
    y = (((((y * r + I5) * r + I4) * r + I3) * r + I2) * r + I1) * r + I0
    return np.int64(np.float64(y).view(np.int64) + (np.float64(t).view(np.int64) << 52)).view(np.float64)


def single_exponential(x: Any) -> Any:
    """Return exp(x) in float32, for x from -87 to 87; beyond that, the value there."""
    x = min(max(x, -LARGEST_S), LARGEST_S)
    t = x * PER_LOG2_S + ROUNDING_S
    n = t - ROUNDING_S
    r = (x - n * HIGH_S) - n * LOW_S
    y = ((((((S7 * r + S6) * r + S5) * r + S4) * r + S3) * r + S2) * r + S1) * r + S0
    return np.int32(np.float32(y).view(np.int32) + (np.float32(t).view(np.int32) << np.int32(23))).view(np.float32)


_double, _single = compiled(exponential, as_written=True), compiled(single_exponential, as_written=True)


@compiled
def exponentials(x: Array) -> None:
    """Replace x by exp(x), NaN by NaN; no result is 0 or infinite."""
    if x.itemsize == 4:
        for k in range(x.size):
            y = _single(np.float32(x[k]))
            x[k] = y if x[k] == x[k] else x[k]
    else:
        for k in range(x.size):
            z = _double(np.float64(x[k]))
            x[k] = z if x[k] == x[k] else x[k]
