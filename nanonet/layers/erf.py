"""erf: the complementary error function as the tail of the normal distribution, Φ(-z), which NumPy lacks."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Array

# Φ(-z) = exp(-z²/2) P(z) / Q(z) with polynomials whose coefficients are all positive, so there is no cancellation. The
# coefficients, highest power first, interpolate at as many points of [0, END] as there are coefficients, Chebyshev
# points in t = (z - k)/(z + k): test_erf.py recomputes them. The error of P/Q is 8e-9 in float32, 1e-16 in float64.
P: dict[np.dtype[Any], tuple[float, ...]] = {
    np.dtype(np.float32): (0.0041225282, 0.0407000615, 0.183471861, 0.438674257, 0.500000002),
    np.dtype(np.float64): (
        *(1.3993048118643565e-06, 3.757916535870989e-05, 0.0004941506706428816, 0.004115983017212425),
        *(0.023751350888201746, 0.0981308959658345, 0.29031329314335413, 0.5954446719693803, 0.7758577209030002, 0.5),
    ),
}
Q: dict[np.dtype[Any], tuple[float, ...]] = {
    np.dtype(np.float32): (0.0103335341, 0.102026065, 0.470084305, 1.20358243, 1.67523342, 1.0),
    np.dtype(np.float64): (
        *(3.5075370062550256e-06, 9.419699842335464e-05, 0.0012421595801411335, 0.010411436397331717),
        *(0.06076744505109421, 0.2561065130662715, 0.7848013162542371, 1.718839864814702, 2.5655989100829704),
        *(2.349600002608859, 1.0),
    ),
}

END: dict[np.dtype[Any], float] = {np.dtype(np.float32): 15.0, np.dtype(np.float64): 39.0}
"""From here on Φ(-z) underflows to 0 in the dtype."""


def normal_tail(z: Array) -> Array:
    """Return Φ(-z) = erfc(z/√2) / 2 for z from 0 to END.

    Its relative error is a few roundings plus z²/2 roundings, which a single rounding of z causes.

    Examples
    --------
    >>> normal_tail(np.array([0.0, 1.0, 39.0])).round(6)
    array([0.5     , 0.158655, 0.      ])
    """
    return tail_and_peak(z)[0]


def tail_and_peak(z: Array) -> tuple[Array, Array]:
    """Return Φ(-z), and exp(-z²/2), which it computes on the way."""
    tail = _polynomial(P[z.dtype], z)
    tail /= _polynomial(Q[z.dtype], z)
    peak = z * z
    peak *= -0.5
    with np.errstate(under="ignore"):  # at the end of the tail
        np.exp(peak, out=peak)
        tail *= peak
    return tail, peak


def _polynomial(coefficients: tuple[float, ...], z: Array) -> Array:
    first, second, *rest = coefficients
    y: Array = first * z
    y += second
    for coefficient in rest:
        y *= z
        y += coefficient
    return y
