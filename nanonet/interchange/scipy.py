"""minimize: SciPy's optimizers on a net's parameter vector, for small nets and full-batch gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.checking.layer_contract import checked
from nanonet.core.arrays import is_finite
from nanonet.core.checks import finite_number, optional
from nanonet.core.errors import NonFiniteError
from nanonet.losses.loss import Loss
from nanonet.models.sequential import Sequential
from nanonet.optimizers.factors import Factors, expect_factors, factors_of

Floats = npt.NDArray[np.float64]


def minimize(
    model: Sequential,
    x: npt.ArrayLike,
    target: npt.ArrayLike,
    loss: Loss,
    method: str = "L-BFGS-B",
    *,
    sample_weight: npt.ArrayLike | None = None,
    weight_decay: float = 0.0,
    decays: Factors | None = None,
    tol: float | None = None,
    callback: Callable[[Any], object] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Minimize the loss on all samples at once with :func:`scipy.optimize.minimize`, and return its OptimizeResult.

    The model is set to the best point found, even if an exception or Ctrl-C ends the search; the result's ``x``,
    ``fun`` and ``jac`` belong to that point. Where the loss or a gradient is not finite, SciPy gets a higher loss, so
    that the search backtracks. All passes are in inference mode: Dropout is inactive. Frozen parameters are excluded:
    ``x`` holds the others in the order of ``model.vector``. SciPy computes in float64, so a float64 model converges
    further.

    Parameters
    ----------
    model : Sequential
    x, target : array
        Shape (samples, ...), as the model and the loss take them.
    loss : Loss
    method : str
        A method without second derivatives, such as "L-BFGS-B", "CG", "BFGS", "TNC" or "SLSQP".
    sample_weight : array, optional
        Shape (samples,).
    weight_decay : float
        Adds weight_decay / 2 times the sum of w^2 to the loss, whose gradient is that of an optimizer's weight_decay.
    decays : mapping or callable, optional
        Factors on weight_decay by parameter, as for :class:`nanonet.Optimizer`. Default: 1.
    tol, options
        As for SciPy: ``options={"maxiter": 100}``.
    callback : callable, optional
        Called after each iteration with an OptimizeResult with ``x`` and ``fun``, with the model set to that point;
        StopIteration ends the search.

    Returns
    -------
    scipy.optimize.OptimizeResult

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ValueError
        If every parameter is frozen, or x or target do not fit.
    NonFiniteError
        If the loss or a gradient is not finite at the initial point; it names the layer.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, SquaredError, Tanh
    >>> from nanonet.interchange.scipy import minimize
    >>> model = Sequential(Linear(2, 4), Tanh(), Linear(4, 1), dtype=np.float64, rng=0)
    >>> x, target = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    >>> minimize(model, x, target, SquaredError()).fun < 1e-6  # doctest: +SKIP
    True
    """
    optimize = optional("minimize", "SciPy", "scipy", "scipy.optimize")
    decay = finite_number(weight_decay, "minimize", "weight_decay", low=0)
    objective = Objective(model, x, target, loss, sample_weight, decay, decays)

    def report(intermediate_result: Any) -> None:  # SciPy inspects the argument's name; TNC passes only x
        assert callback is not None
        point = getattr(intermediate_result, "x", intermediate_result)
        objective.move_to(point)
        known = getattr(intermediate_result, "fun", None)
        value = objective(point)[0] if known is None else float(known)
        callback(optimize.OptimizeResult(x=point.copy(), fun=value))

    try:
        after = None if callback is None else report
        result = optimize.minimize(
            objective, objective.x, jac=True, method=method, tol=tol, callback=after, options=options
        )
    finally:
        objective.move_to(objective.x)
    result.x, result.fun, result.jac = objective.x, objective.fun, objective.jac
    return result


class Objective:
    """The loss, with the penalty, as a function of a model's trainable parameters, which records the best point.

    Attributes
    ----------
    x, fun, jac
        The best point so far, its loss and its gradient.
    """

    def __init__(
        self,
        model: Sequential,
        x: npt.ArrayLike,
        target: npt.ArrayLike,
        loss: Loss,
        weight: npt.ArrayLike | None = None,
        decay: float = 0.0,
        decays: Factors | None = None,
    ) -> None:
        self.model, self.loss = model, loss
        self._data = model.enter(x), target, weight
        parts = [np.full(parameter.size, parameter.trainable) for parameter in model.parameters().values()]
        self._moves = np.concatenate([np.zeros(0, bool), *parts])
        parameters = model.parameters()
        factors = factors_of(expect_factors(decays or {}, "minimize", "decays"), parameters, "minimize", "decays")
        shares = [np.full(each.size, decay * factor) for each, factor in zip(parameters.values(), factors, strict=True)]
        self._decay = np.concatenate([np.zeros(0), *shares])[self._moves]
        if not self._moves.any():
            raise ValueError("minimize: expected a model with trainable parameters, got one that is all frozen")
        self.x = model.vector.value[self._moves].astype(np.float64)
        with np.errstate(all="ignore"):  # the contract names the layer with a non-finite number
            self.fun, self.jac = self._passes(checked(model, live=True))
        if not (math.isfinite(self.fun) and is_finite(self.jac)):
            raise NonFiniteError(f"minimize: at the initial point {loss} or its gradient is not finite")

    def __call__(self, point: Floats) -> tuple[float, Floats]:
        """Set the model to a point, and return the loss and gradient there, as SciPy expects them."""
        with np.errstate(all="ignore"):
            self.move_to(point)
            value, grad = self._passes(self.model)
            if not (math.isfinite(value) and is_finite(grad)):
                return self._wall(point)
        if value < self.fun:
            self.x, self.fun, self.jac = point.copy(), value, grad
        return value, grad

    def _wall(self, point: Floats) -> tuple[float, Floats]:
        """Return a substitute loss and gradient that make a search backtrack: a parabola from the best point.

        Its minimum is a tenth of the way to the given point. Infinity would not work: line searches interpolate.
        """
        way = point - self.x
        slope = max(abs(float(self.jac @ way)), np.finfo(np.float64).tiny)
        return self.fun + 4 * slope, np.nan_to_num(9 * slope * way / (way @ way))

    def move_to(self, point: Floats) -> None:
        """Set the model's trainable parameters."""
        self.model.vector.value[self._moves] = point

    def _passes(self, model: Sequential) -> tuple[float, Floats]:
        x, target, weight = self._data
        prediction, cache = model.forward(x)
        value, loss_cache = self.loss.forward(prediction, *self.loss.check(prediction, target, weight))
        model.backward_parameters(self.loss.backward(loss_cache), cache)
        grad = self.model.vector.grad[self._moves].astype(np.float64)
        if self._decay.any():
            w = self.model.vector.value[self._moves].astype(np.float64)
            value, grad = value + float(self._decay @ w**2) / 2, grad + self._decay * w
        return value, grad
