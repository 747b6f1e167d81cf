"""Solve a boundary value problem with a net: u'' = -pi^2 sin(pi x) on [0, 1], u(0) = u(1) = 0, so u = sin(pi x).

The residual of the equation is what is fitted. Its u'' is the difference quotient of three calls of one net, whose
gradients are exact: nanonet's passes have the first derivatives of a net by its input and by its parameters, but not
the mixed ones, d/dw of du/dx, that u'' itself would need. The quotient is off by h^2/12 u'''' in exact arithmetic.
"""

import copy
from typing import Any

import numpy as np

from nanonet import Array, Composite, Layer, Linear, Sequential, Tanh, least_squares

H = 1e-3  # between the three points


class Bump(Layer):
    """y = x (1 - x): 0 at both ends, so that the product with anything meets the boundary conditions."""

    input_shape = (1,)
    mixes_samples = False

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x * (1 - x), x

    def backward(self, grad: Array, cache: Array) -> Array:
        return grad * (1 - 2 * cache)

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape


class Shift(Bump):
    """y = x + by."""

    def __init__(self, by: float) -> None:
        self.by = by

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x + self.by, x

    def backward(self, grad: Array, cache: Array) -> Array:
        return grad.copy()


class Solution(Composite):
    """u(x) = x (1 - x) net(x)."""

    input_shape = (1,)
    mixes_samples = False

    def __init__(self, units: int) -> None:
        self.bump = Bump()
        self.net = Sequential(Linear(1, units), Tanh(), Linear(units, 1), dtype=np.float64, rng=0)

    def wire(self, call: Any, x: Any) -> Any:
        return call.multiply(call(self.bump, x), call(self.net, x))


class SecondDerivative(Composite):
    """(u(x + h) - 2 u(x) + u(x - h)) / h^2, of one u called at three places."""

    input_shape = (1,)
    mixes_samples = False

    def __init__(self, u: Layer) -> None:
        self.u, self.ahead, self.behind = u, Shift(H), Shift(-H)
        self.quotient = Linear(3, 1, weight=[[1 / H**2, -2 / H**2, 1 / H**2]], bias=False)
        self.quotient.freeze()

    def wire(self, call: Any, x: Any) -> Any:
        places = call(self.ahead, x), x, call(self.behind, x)
        return call(self.quotient, call.concatenate(*(call(self.u, place) for place in places)))


def main() -> None:
    u = Solution(units=8)
    equation = Sequential(SecondDerivative(u), dtype=np.float64)
    x = np.linspace(0, 1, 33).reshape(-1, 1)
    history = least_squares(equation, x, -(np.pi**2) * np.sin(np.pi * x), iterations=100)
    print(f"residual, 1/2 its square: {history['loss'][0]:.1e} after 1 iteration, {history['loss'][-1]:.1e} at the end")

    solved = Sequential(copy.deepcopy(u), dtype=np.float64)
    fine = np.linspace(0, 1, 1001).reshape(-1, 1)
    wrong = np.abs(solved(fine) - np.sin(np.pi * fine)).max()
    slope = np.abs(solved.jacobian(fine)[:, 0] - np.pi * np.cos(np.pi * fine)).max()
    print(f"largest |u - sin(pi x)|: {wrong:.1e}; largest |u' - pi cos(pi x)|, by jacobian: {slope:.1e}")


if __name__ == "__main__":
    main()
