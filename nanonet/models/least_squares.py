"""least_squares: Levenberg-Marquardt, which fits a small net by the Jacobian of its residuals, not by one gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.core.checks import expect, finite_number, positive_int
from nanonet.core.errors import NonFiniteError
from nanonet.models.residuals import Floats, Residuals
from nanonet.models.sequential import Sequential
from nanonet.training.history import History

LESS, MORE = 0.1, 10.0  # the damping is multiplied by these after a step that was taken, and after one that was not
MOST = 1e10  # damping from which on no step is worth trying
FIRST, LITTLE = 10, 1e-4  # iterations before α is chosen by the data, and α in these, of the mean curvature


def least_squares(
    model: Sequential,
    x: Any,
    target: Any,
    *,
    iterations: int = 1000,
    sample_weight: npt.ArrayLike | None = None,
    validation: tuple[Any, Any] | None = None,
    patience: int = 6,
    damping: float = 1e-3,
    goal: float = 0.0,
    tolerance: float = 1e-7,
    bayesian: bool = False,
    callback: Callable[[History], object] | None = None,
) -> History:
    """Fit a model to all samples at once by Levenberg-Marquardt, and return the losses of every iteration.

    With the residuals r = y - t of n samples, and their Jacobian J = dr/dw::

        E = Σ r² / 2n                          (SquaredError)
        w <- w - (JᵀJ / n + μ I)⁻¹ Jᵀr / n     if that lowers E; then μ <- μ / 10, else μ <- 10 μ, and again

    For nets of up to some thousand parameters: an iteration takes a backward pass for each output of the model, and
    solves as many equations as it has parameters. On smooth problems it ends at a minimum to all digits, in far fewer
    iterations than gradient descent: build the model with ``dtype=np.float64``. All passes are in inference mode:
    Dropout is inactive. Frozen parameters stay. The model is left at the best point found, also by an exception or
    Ctrl-C.

    Parameters
    ----------
    model : Sequential
        With one output array.
    x, target : array
        Shape (samples, ...), as the model and ``SquaredError`` take them.
    iterations : int
        At most so many.
    sample_weight : array, optional
        Shape (samples,).
    validation : (x, target), optional
        Data whose loss ends the fit once it has not improved for ``patience`` iterations; the model is then left at the
        best point for these data.
    patience : int
    damping : float
        The first μ, above 0. The fit ends where μ exceeds 1e10: no step helps any more.
    goal : float
        Loss at which the fit ends.
    tolerance : float
        Norm of the gradient at which the fit ends.
    bayesian : bool
        Whether to minimize β Σ r² + α Σ w² instead, where α and β are chosen anew at each iteration as the most
        probable ones given the data: it keeps a net with too many units smooth, without validation data.
    callback : callable, optional
        Called with the history after each iteration; StopIteration ends the fit.

    Returns
    -------
    History
        Whose epochs are the iterations: "loss", "gradient_norm" where the step began, "damping", with validation
        "validation_loss", and with ``bayesian`` "effective_parameters", the number of parameters that the data
        determine. ``stopped`` says why it ended early.

    Raises
    ------
    ShapeError
        If x does not fit the model, or target the prediction.
    NonFiniteError
        If the loss is not finite at the initial point.
    ValueError
        If every parameter is frozen, or no sample counts.

    References
    ----------
    D. W. Marquardt, *An algorithm for least-squares estimation of nonlinear parameters*, 1963. M. T. Hagan and M. B.
    Menhaj, *Training feedforward networks with the Marquardt algorithm*, 1994. F. D. Foresee and M. T. Hagan,
    *Gauss-Newton approximation to Bayesian learning*, 1997. The constants are MATLAB's.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Tanh
    >>> model = Sequential(Linear(1, 5), Tanh(), Linear(5, 1), dtype=np.float64, rng=0)
    >>> x = np.linspace(-1, 1, 21).reshape(-1, 1)
    >>> history = least_squares(model, x, np.sin(3 * x), iterations=50)
    >>> history["loss"][-1] < 1e-4
    True
    """
    expect(model, Sequential, "least_squares: expected model")
    ends = _Ends(
        positive_int(iterations, "least_squares", "iterations"),
        positive_int(patience, "least_squares", "patience"),
        finite_number(goal, "least_squares", "goal", low=0),
        finite_number(tolerance, "least_squares", "tolerance", low=0),
    )
    first = finite_number(damping, "least_squares", "damping", low=1e-20, high=MOST)
    residuals = Residuals(model, x, target, sample_weight)
    held_out = None if validation is None else Residuals(model, *_pair(validation))
    objective = _Evidence(residuals) if bayesian else _Objective(residuals)
    return _Search(residuals, objective, held_out, ends, first).run(callback)


def _pair(validation: object) -> tuple[Any, Any]:
    if not (isinstance(validation, tuple) and len(validation) == 2):
        raise TypeError(f"least_squares: expected validation as (x, target), got {validation!r:.60}")
    return validation


class _Ends(NamedTuple):
    """When a fit ends."""

    iterations: int
    patience: int
    goal: float
    tolerance: float


class _Objective:
    """What is minimized: the loss."""

    def __init__(self, residuals: Residuals) -> None:
        self.residuals = residuals

    def update(self, jtj: Floats, loss: float, w: Floats) -> dict[str, float]:
        """Choose what the objective weighs by, at a new point; return numbers for the history."""
        return {}

    def value(self, loss: float, w: Floats) -> float:
        """Return the objective at a point of this loss."""
        return loss

    def equations(self, jtj: Floats, jtr: Floats, w: Floats) -> tuple[Floats, Floats]:
        """Return its Hessian, as far as first derivatives give it, and its gradient."""
        return jtj, jtr


class _Evidence(_Objective):
    """β Σ r² / 2 + α Σ w² / 2, with the most probable α and β (MacKay 1992, Bayesian interpolation).

    The data are fitted first, with little α: of weights that do not fit yet, the most probable ones would be 0.
    """

    alpha, beta, before, iterations = 0.0, 1.0, math.inf, 0

    def update(self, jtj: Floats, loss: float, w: Floats) -> dict[str, float]:
        """Set α = γ / Σ w² and β = (residuals - γ) / Σ r², where γ = Σ βλ / (βλ + α) over the eigenvalues λ of JᵀJ."""
        curvature = self.residuals.samples * np.linalg.eigvalsh(jtj).clip(0)
        self.iterations += 1
        if self.iterations <= FIRST and loss < 0.9999 * self.before:
            self.alpha, self.before = LITTLE * float(curvature.mean()), loss
        else:
            self.iterations = FIRST
            gamma = self._determined(curvature)
            tiny = np.finfo(np.float64).tiny
            self.alpha = gamma / max(float(w @ w), tiny)
            self.beta = (self.residuals.count - gamma) / max(2 * self.residuals.samples * loss, tiny)
        return {"effective_parameters": self._determined(curvature)}

    def _determined(self, curvature: Floats) -> float:
        """Return γ, the number of parameters that the data determine."""
        return float((self.beta * curvature / (self.beta * curvature + self.alpha)).sum())

    def value(self, loss: float, w: Floats) -> float:
        """Return β Σ r² / 2 + α Σ w² / 2."""
        return self.beta * self.residuals.samples * loss + self.alpha * float(w @ w) / 2

    def equations(self, jtj: Floats, jtr: Floats, w: Floats) -> tuple[Floats, Floats]:
        """Return β JᵀJ + α I and β Jᵀr + α w."""
        scale = self.beta * self.residuals.samples
        return scale * jtj + self.alpha * np.eye(len(w)), scale * jtr + self.alpha * w


class _Search:
    """The iterations: each from the point that the model is at to the next one."""

    def __init__(
        self, residuals: Residuals, objective: _Objective, held_out: Residuals | None, ends: _Ends, damping: float
    ) -> None:
        self.residuals, self.objective, self.held_out, self.ends = residuals, objective, held_out, ends
        self.damping, self.history = damping, History()
        self.w, self.loss = residuals.point, _loss(residuals)
        if not math.isfinite(self.loss):
            raise NonFiniteError(f"least_squares: at the initial point the loss is {self.loss}")
        self.best, self.best_loss, self.worse = self.w, math.inf if held_out is None else _loss(held_out), 0

    def run(self, callback: Callable[[History], object] | None) -> History:
        """Iterate until an end is reached, and leave the model at the best point."""
        try:
            for _ in range(self.ends.iterations):
                if not self._iterate():
                    break
                if callback is not None:
                    callback(self.history)
        except StopIteration:
            self.history.stopped = "the callback raised StopIteration"
        except KeyboardInterrupt:
            self.history.interrupted = True
        finally:
            self.residuals.point = self.w if self.held_out is None else self.best
        return self.history

    def _iterate(self) -> bool:
        """Take a step and record it; return whether to go on."""
        with np.errstate(all="ignore"):
            jtj, jtr = self.residuals.normal()
            numbers = self.objective.update(jtj, self.loss, self.w)
            hessian, gradient = self.objective.equations(jtj, jtr, self.w)
            norm = float(np.linalg.norm(gradient))
            if norm <= self.ends.tolerance:
                return self._stop(f"the gradient has the norm {norm:.1e}")
            if not self._step(hessian, gradient):
                return self._stop("no step lowers the loss")
        self.history.append({"loss": self.loss, "gradient_norm": norm, "damping": self.damping} | numbers)
        if self.held_out is not None and not self._is_better(_loss(self.held_out)):
            return self._stop(f"validation_loss has not improved for {self.ends.patience} iterations")
        if self.loss <= self.ends.goal:
            return self._stop(f"the loss has reached the goal {self.ends.goal:g}")
        return True

    def _stop(self, why: str) -> bool:
        self.history.stopped = why
        return False

    def _step(self, hessian: Floats, gradient: Floats) -> bool:
        """Try steps with ever more damping until one lowers the objective; return whether one did."""
        before = self.objective.value(self.loss, self.w)
        while self.damping <= MOST:
            try:
                w = self.w - np.linalg.solve(hessian + self.damping * np.eye(len(gradient)), gradient)
            except np.linalg.LinAlgError:
                w = np.full_like(self.w, np.nan)
            if np.isfinite(w).all():
                self.residuals.point = w
                w = self.residuals.point  # as the model rounds it
                loss = _loss(self.residuals)
                if self.objective.value(loss, w) < before:
                    self.w, self.loss = w, loss
                    self.damping = max(self.damping * LESS, np.finfo(np.float64).tiny)
                    return True
            self.damping *= MORE
        return False

    def _is_better(self, loss: float) -> bool:
        """Record the loss on held-out data; return whether it may still improve."""
        self.history.record({"validation_loss": loss})
        if loss < self.best_loss:
            self.best, self.best_loss, self.worse = self.w, loss, 0
        else:
            self.worse += 1
        return self.worse < self.ends.patience


def _loss(residuals: Residuals) -> float:
    """Return the loss, which may be infinite: such a step is not taken."""
    with np.errstate(all="ignore"):
        return residuals.loss()
