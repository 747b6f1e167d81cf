"""Rounding: numbers as text with a given number of significant digits."""

from __future__ import annotations

import math
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

LOWEST = -4  # the power of ten below which a number is written with an exponent
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN)


def written(value: float, digits: int = 5) -> str:
    """Return value with the given number of significant digits, rounded from its exact value.

    Examples
    --------
    >>> written(0.6004113), written(12.0), written(-3e-9), written(123456.7), written(float("nan"))
    ('0.60041', '12.000', '-3.0000e-9', '1.2346e5', 'NaN')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    return decimal_text(Decimal(float(value)), digits)


def printed(value: Any, digits: int = 4) -> str:
    """Return a number with a typographic minus sign; an integer keeps all of its digits."""
    text = str(value) if isinstance(value, (int, np.integer)) else written(float(value), digits)
    return text.replace("-", "−")


def rounded(number: Decimal, digits: int) -> Decimal:
    """Return number rounded half to even to the given number of significant digits."""
    if number == 0:
        return Decimal(0)
    return Context(prec=digits, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN).plus(number)


def decimal_text(number: Decimal, digits: int) -> str:
    """Return number with the given number of significant digits, in e-notation if that is shorter."""
    short = rounded(number, digits)
    if short == 0:
        return "0"
    power = short.adjusted()
    if LOWEST <= power < digits:
        return f"{short:.{max(digits - 1 - power, 0)}f}"
    mantissa = short.scaleb(-power, EXACT)
    return f"{mantissa:.{digits - 1}f}e{power}"


def shortest(value: npt.ArrayLike | Decimal, digits: int) -> str:
    """Return value with all of its digits if there are at most ``digits`` of them, else rounded.

    A float's digits are the fewest that identify it uniquely in its dtype.

    Examples
    --------
    >>> shortest(np.float32(0.4), 5), shortest(1.0, 5), shortest(1 / 3, 5), shortest(Decimal("0.25"), 5)
    ('0.4', '1', '0.33333', '0.25')
    """
    if isinstance(value, Decimal):
        own = value.normalize(Context(prec=max(len(value.as_tuple().digits), 1), Emax=MAX_EMAX, Emin=MIN_EMIN))
        if not own.is_finite():
            return written(float(own), digits)
        exact = own
    else:
        number: Any = np.asarray(value)[()]
        if not np.isfinite(number):
            return written(float(number), digits)
        own = Decimal(np.format_float_scientific(number, unique=True, trim="-"))
        exact = Decimal(float(number))
    count = len(own.as_tuple().digits)
    if count > digits:
        return decimal_text(exact, digits)
    return decimal_text(own, count if own.adjusted() >= digits else max(count, own.adjusted() + 1))
