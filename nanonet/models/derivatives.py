"""Derivatives: the chain's Jacobians and their products, exact by backward passes, and Hessian-vector products."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, each, parts_of
from nanonet.core.chain import Chain
from nanonet.core.checks import as_floats, expect, stranger
from nanonet.core.errors import ShapeError
from nanonet.losses.loss import Loss
from nanonet.losses.weights import nothing_counts
from nanonet.models.per_sample import Passes, Twins
from nanonet.training.step import gradients

if TYPE_CHECKING:
    Mixed = Chain
else:
    Mixed = object

STEP = float(np.finfo(np.float64).eps) ** (1 / 3)  # of a central difference: its error and rounding are alike there


class Derivatives(Mixed):
    """The part of :class:`nanonet.Sequential` that derives its prediction, of each sample alone, in inference mode.

    All are exact but :meth:`hvp`. They are computed on a copy of what a pass changes, so that the model's gradients and
    buffers stay as they are, and in the model's dtype: build it with ``dtype=np.float64`` for 16 digits.
    """

    def jacobian(self, x: Any) -> Any:
        """Return dy/dx of each sample, by a backward pass for each number of its prediction.

        Parameters
        ----------
        x : array, or tuple of arrays
            Shape ``(batch, *inputs)``, of floats.

        Returns
        -------
        array
            Shape ``(batch, *outputs, *inputs)``. For several inputs a tuple, with None for one that holds integers; for
            several outputs a tuple of these.

        Raises
        ------
        ShapeError
            If x does not fit the model.
        TypeError
            If x holds integers alone, which have no derivative.

        Examples
        --------
        >>> from nanonet import Linear, Sequential
        >>> model = Sequential(Linear(2, 3, weight=[[1, 2], [3, 4], [5, 6]]))
        >>> model.jacobian([[0.0, 0.0], [1.0, 1.0]])[1]
        array([[1., 2.],
               [3., 4.],
               [5., 6.]], dtype=float32)
        """
        entered = self._floats(x, "jacobian")
        passes = Passes(Twins(self), entered)
        found = [
            each(lambda inner, part=part: np.empty((len(part), *part.shape[1:], *inner.shape[1:]), part.dtype), entered)
            for part in passes.parts
        ]
        missing = [True] * len(parts_of(entered))
        for number, place, unit in passes.units():
            dx = parts_of(passes.backward(unit))
            missing = [part is None for part in dx]
            for into, part in zip(parts_of(found[number]), dx, strict=True):
                if part is not None:
                    into[place] = part
        kept = [_without(arrays, missing) for arrays in found]
        return tuple(kept) if isinstance(passes.y, tuple) else kept[0]

    def vjp(self, x: Any, grad: Any) -> Any:
        """Return grad times the Jacobian, Σ grad[n, ...] dy[n, ...]/dx[n]: what ``backward`` makes of dE/dy.

        Parameters
        ----------
        x : array, or tuple of arrays
            Shape ``(batch, *inputs)``.
        grad : array, or tuple of arrays
            Shape ``(batch, *outputs)``, of the prediction.

        Returns
        -------
        array
            The shape of x; for several inputs a tuple, with None for one that holds integers.

        Raises
        ------
        ShapeError
            If x does not fit the model, or grad the prediction.
        TypeError
            If x holds integers alone.

        Examples
        --------
        >>> from nanonet import Linear, Sequential
        >>> model = Sequential(Linear(2, 3, weight=[[1, 2], [3, 4], [5, 6]]))
        >>> model.vjp([[0.0, 0.0]], [[1.0, 0.0, -1.0]])
        array([[-4., -4.]], dtype=float32)
        """
        passes = Passes(Twins(self), self._floats(x, "vjp"))
        return passes.backward(self._like(passes.y, grad, "vjp", "grad", "the prediction"))

    def jvp(self, x: Any, tangent: Any) -> Any:
        """Return the Jacobian times tangent, the change of y along it, by a backward pass for each number of y.

        Parameters
        ----------
        x, tangent : array, or tuple of arrays
            Shape ``(batch, *inputs)``, of floats; None for an input of integers, which does not change.

        Returns
        -------
        array
            The shape of the prediction.

        Raises
        ------
        ShapeError
            If x does not fit the model, or tangent has another shape.
        TypeError
            If x holds integers alone.

        Examples
        --------
        >>> from nanonet import Linear, Sequential
        >>> model = Sequential(Linear(2, 3, weight=[[1, 2], [3, 4], [5, 6]]))
        >>> model.jvp([[0.0, 0.0]], [[1.0, -1.0]])
        array([[-1., -1., -1.]], dtype=float32)
        """
        entered = self._floats(x, "jvp")
        passes, along = Passes(Twins(self), entered), parts_of(self._like(entered, tangent, "jvp", "tangent", "x"))
        found = [np.zeros_like(part) for part in passes.parts]
        for number, place, unit in passes.units():
            for dx, direction in zip(parts_of(passes.backward(unit)), along, strict=True):
                if dx is not None and direction is not None:
                    found[number][place] += (dx * direction).sum(axis=tuple(range(1, dx.ndim)))
        return tuple(found) if isinstance(passes.y, tuple) else found[0]

    def jacobian_parameters(self, x: Any) -> Any:
        """Return dy/dw of each sample for all parameters: its own gradients, in the order of ``model.vector``.

        A Linear, an activation and a convolution have a formula for all samples at once; any other layer with
        parameters takes a backward pass for each sample. A class of yours gets a formula by ``per_sample`` of
        ``nanonet.models.per_sample``.

        Parameters
        ----------
        x : array, or tuple of arrays
            Shape ``(batch, *inputs)``.

        Returns
        -------
        array
            Shape ``(batch, *outputs, size)``, with 0 for frozen parameters; for several outputs a tuple.

        Raises
        ------
        ShapeError
            If x does not fit the model.

        Examples
        --------
        >>> from nanonet import Linear, Sequential
        >>> model = Sequential(Linear(2, 1))  # w_0, w_1, b
        >>> model.jacobian_parameters([[3, 4], [5, 6]])[:, 0]
        array([[3., 4., 1.],
               [5., 6., 1.]], dtype=float32)
        """
        passes = Passes(Twins(self), self.enter(x))
        found = [np.zeros((*part.shape, self.vector.size), part.dtype) for part in passes.parts]
        for number, place, unit in passes.units():
            found[number][place] = passes.parameters(unit)
        return tuple(found) if isinstance(passes.y, tuple) else found[0]

    def hvp(
        self, x: Any, target: Any, loss: Loss, direction: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
    ) -> Array:
        """Return the Hessian of the loss for the parameters times a direction, by a central difference of the gradient.

        ::

            H v ≈ (∇E(w + h v) - ∇E(w - h v)) / 2h,   h = ε^(1/3) max(1, |w|) / |v|

        The gradients are exact and computed in float64, on a copy of the model, whatever its dtype. The difference has
        an error of about h² times the third derivative, and as much by rounding, ε |∇E| / h: about 10 correct digits
        for a smooth net. At a kink, such as ReLU's at 0, the Hessian does not exist.

        Parameters
        ----------
        x, target : array
            As ``loss_and_grad`` takes them.
        loss : Loss
        direction : array
            v, shape (size,), in the order of ``model.vector``; entries of frozen parameters are ignored.
        sample_weight : array, optional
            Shape (samples,).

        Returns
        -------
        array
            Shape (size,), float64, with 0 for frozen parameters.

        Raises
        ------
        ShapeError
            If a shape does not fit.

        Examples
        --------
        >>> from nanonet import Linear, Sequential, SquaredError
        >>> model = Sequential(Linear(2, 1, bias=False))
        >>> model.hvp([[3, 4]], [[0]], SquaredError(), [1, 0]).round(6)  # the Hessian is x xᵀ
        array([ 9., 12.])
        """
        name = type(self).__name__
        expect(loss, Loss, f"{name}.hvp: expected loss")
        along = as_floats(direction, np.dtype(np.float64), self, "direction")
        if along.shape != (self.vector.size,):
            raise ShapeError(
                f"{name}.hvp: expected direction of shape ({self.vector.size},), as model.vector.value, "
                f"got {along.shape}"
            )
        if not np.isfinite(along).all():
            raise ValueError(f"{name}.hvp: expected a finite direction, got {stranger(along, ~np.isfinite(along))}")
        twin = copy.deepcopy(self)
        Chain(twin, dtype=np.float64)
        moving = [np.full(parameter.size, parameter.trainable) for parameter in self.parameters().values()]
        along = along * np.concatenate([np.zeros(0, bool), *moving])
        length = float(np.linalg.norm(along))
        w = twin.vector.value.copy()
        h = STEP * max(1.0, float(np.linalg.norm(w))) / (length or 1.0)
        entered, slopes = twin.enter(x), []
        for sign in (1, -1):
            twin.vector.value[:] = w + sign * h * along
            if gradients(twin, loss, entered, target, sample_weight, training=False).divisor == 0:
                raise nothing_counts(f"{loss}: no sample counts")
            slopes.append(twin.vector.grad.copy())
        hessian: Array = (slopes[0] - slopes[1]) / (2 * h)
        return hessian

    def _floats(self, x: Any, method: str) -> Arrays:
        """Return x as the first layer takes it, or raise if it holds no floats."""
        entered = self.enter(x)
        if all(part.dtype.kind != "f" for part in parts_of(entered)):
            raise TypeError(f"{type(self).__name__}.{method}: x holds integers, which have no derivative")
        return entered

    def _like(self, like: Arrays, given: Any, method: str, name: str, what: str) -> Arrays:
        """Return an argument in the dtype of other arrays, or raise ShapeError if it has not their shape."""
        label = f"{type(self).__name__}.{method}"
        if isinstance(like, tuple) and not (isinstance(given, tuple) and len(given) == len(like)):
            raise TypeError(f"{label}: expected {name} as a tuple of {len(like)} arrays, like {what}")

        def one(part: Array, array: Any) -> Array | None:
            if array is None and part.dtype.kind != "f":
                return None
            found = as_floats(array, self.dtype, label, name)
            if found.shape != part.shape:
                raise ShapeError(f"{label}: expected {name} of the shape of {what}, {part.shape}, got {found.shape}")
            return found

        converted: Arrays = each(one, like, given)
        return converted


def _without(arrays: Arrays, missing: list[bool]) -> Arrays:
    """Return arrays with None for those that are missing."""
    if not isinstance(arrays, tuple):
        return arrays
    return tuple(None if gone else array for array, gone in zip(arrays, missing, strict=True))
