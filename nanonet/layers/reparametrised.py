"""Reparametrised: a layer with a weight that a rule computes from the numbers that are trained; and Rule, its base."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Arrays, Patterns, Shape
from nanonet.core.checks import agreed, expect
from nanonet.core.errors import ShapeError
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.objects import called, twin_of
from nanonet.core.parameter import Init, Parameter
from nanonet.core.vector import home_of, sketched


class Reparametrised(Layer):
    """y = inner(x), with rule(W) in the place of a parameter W of inner.

    Trained are W, which stays where it is, such as "inner.weight", and the rule's own parameters, such as "rule.g".
    The inner layer itself is never changed: each call runs a twin of it, so many threads may predict with one model.

    Parameters
    ----------
    inner : Layer
        Any layer with parameters, such as Linear or Conv2d, that is not part of a model yet.
    rule : Layer
        Maps W, as a batch of one, to the weight, of the same shape: a :class:`Rule`, or an activation.
    name : str
        The attribute of inner that is W; in a layer within inner with a dot, such as "inner.weight".

    Raises
    ------
    ValueError
        If inner has no such parameter, or is part of a model.
    ShapeError
        If the rule does not keep the shape.

    Examples
    --------
    >>> from nanonet import Linear, Reparametrised, Sequential, WeightNorm
    >>> layer = Reparametrised(Linear(2, 3), WeightNorm())
    >>> model = Sequential(layer)
    >>> list(model.parameters())
    ['0.inner.weight', '0.inner.bias', '0.rule.g']
    >>> layer.rule.g.value = [1, 2, 3]
    >>> np.linalg.norm(layer.plain().weight.value, axis=1).round(6)
    array([1., 2., 3.], dtype=float32)
    """

    mixes_samples = False

    def __init__(self, inner: Layer, rule: Layer, name: str = "weight") -> None:
        expect(inner, Layer, "Reparametrised: expected inner")
        expect(rule, Layer, "Reparametrised: expected rule")
        if home_of(inner) is not None:
            raise ValueError(f"Reparametrised: {called(inner)} is part of a model; write copy.deepcopy(layer)")
        self.inner, self.rule, self.name = inner, rule, name
        self.input_shape, self.integer_input = inner.input_shape, inner.integer_input
        self.several_inputs = inner.several_inputs
        parameter = self._parameter()
        kept = rule.output_shape(parameter.shape)
        if kept is not None and agreed(kept, parameter.shape) is None:
            raise self._misfit(parameter, kept)
        if isinstance(rule, Rule):
            first = _First(parameter, rule)
            rule.start(parameter.shape, first.weight)
            started = Parameter(parameter.shape, first, parameter.trainable)
            setattr(self._owner(), name.rpartition(".")[2], started)

    def _owner(self) -> Any:
        """Return the layer that W is an attribute of; None if there is none."""
        owner: Any = self.inner
        for step in self.name.split(".")[:-1]:
            owner = getattr(owner, step, None)
        return owner

    def _parameter(self) -> Parameter:
        found = getattr(self._owner(), self.name.rpartition(".")[2], None)
        if not isinstance(found, Parameter):
            names = " or ".join(f"name={name!r}" for name in self.inner.parameters()) or "a layer with parameters"
            raise ValueError(f"Reparametrised: {called(self.inner)} has no parameter {self.name!r}; try {names}")
        return found

    def _misfit(self, parameter: Parameter, got: Any) -> ShapeError:
        kept = f"{parameter.label}, {parameter.shape}"
        return ShapeError(f"Reparametrised: {called(self.rule)} must keep the shape of {kept}, got {got}")

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Array, Any]:
        """Return the output of inner with the computed weight."""
        parameter = self._parameter()
        weight, kept = self.rule.forward(parameter.value[np.newaxis], training=training)
        if weight.shape[1:] != parameter.shape:
            raise self._misfit(parameter, weight.shape[1:])
        y, inside = self._twin(weight[0])[0].forward(x, training=training)
        return y, (weight, kept, inside)

    def backward(self, grad: Arrays, cache: Any) -> Array:
        """Assign the gradients of inner, of W and of the rule; return dE/dx."""
        weight, kept, inside = cache
        twin, stand_in = self._twin(weight[0])
        dx = twin.backward(grad, inside)
        self._assign(stand_in, kept)
        return dx

    def backward_parameters(self, grad: Arrays, cache: Any) -> None:
        """Assign the gradients only."""
        weight, kept, inside = cache
        twin, stand_in = self._twin(weight[0])
        twin.backward_parameters(grad, inside)
        self._assign(stand_in, kept)

    def _twin(self, weight: Array) -> tuple[Layer, Any]:
        """Return a twin of inner for one call, and what stands in it for W: the weight, and room for its gradient."""
        parameter = self._parameter()
        stand_in = parameter.twin(_memory=None, _value=weight, _grad=np.empty_like(weight))
        return _with(self.inner, self.name, stand_in), stand_in

    def _assign(self, stand_in: Parameter, kept: Any) -> None:
        """Assign dE/dW and the gradients of the rule."""
        self._parameter().grad = self.rule.backward(stand_in.grad[np.newaxis], kept)[0]

    def output_shape(self, input_shape: Patterns) -> Shape | None:
        """Return the output shape of inner."""
        return self.inner.output_shape(input_shape)

    def plain(self) -> Any:
        """Return a copy of inner in which the weight as computed in inference stands for good, such as for an export.

        It belongs to no model.

        Returns
        -------
        Layer
        """
        weight, _ = self.rule.forward(self._parameter().value[np.newaxis])
        made: Any = _with(self.inner, self.name, self._parameter().twin(_memory=None, _value=weight[0]))
        return copy.deepcopy(made)


def _with(layer: Layer, path: str, stand_in: object) -> Layer:
    """Return a twin of a layer with another object as one of its attributes, or of those of a layer within it."""
    head, _, rest = path.partition(".")
    old = getattr(layer, head)
    new = _with(old, rest, stand_in) if rest else stand_in
    twin = twin_of(layer, {}, lambda value: new if value is old else value)
    for method in ("forward", "backward", "backward_parameters"):
        vars(twin).pop(method, None)  # under the strict contract that of another twin, which has the old one
    return twin


class Rule(Layer):
    """A layer that computes a weight from the numbers that are trained in its place, for :class:`Reparametrised`.

    Write ``forward`` and ``backward`` as for any layer: x is W as a batch of one, shape (1, ...), and y the weight, of
    the same shape. What the rule owns, such as a gain, it declares in ``start``. In which way the first W follows
    from the initial weight of the layer, ``inverse`` says.

    >>> from nanonet import Array, Linear, Reparametrised, Rule, Sequential
    >>> class Symmetric(Rule):
    ...     '''(W + Wᵀ) / 2'''
    ...
    ...     def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
    ...         return (x + x.swapaxes(1, 2)) / 2, None
    ...
    ...     def backward(self, grad: Array, cache: None) -> Array:
    ...         return (grad + grad.swapaxes(1, 2)) / 2
    >>> layer = Reparametrised(Linear(3, 3), Symmetric())
    >>> weight = Sequential(layer)[0].plain().weight.value
    >>> bool((weight == weight.T).all())
    True
    """

    output_shape = input_pattern

    def start(self, shape: Shape, weight: Callable[[], Array]) -> None:
        """Declare the rule's own parameters and buffers.

        Parameters
        ----------
        shape : tuple of int
            Of the weight.
        weight : callable
            Returns the initial weight of the layer, for initializers of these parameters and buffers to call.
        """

    def inverse(self, weight: Array) -> Array:
        """Return W for an initial weight, such that the rule gives it, or one near it. Default: the weight itself.

        Parameters
        ----------
        weight : array
            The initial weight of the layer.

        Returns
        -------
        array
            In the shape of weight.
        """
        return weight


class _First:
    """The initializer of W, which keeps the initial weight for what depends on it."""

    def __init__(self, parameter: Parameter, rule: Rule) -> None:
        init = parameter.value.copy() if parameter.is_built else parameter.init
        assert init is not None
        self.init: Init = init
        self.rule, self.shape = rule, parameter.shape
        self.drawn: Array | None = None

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Array:
        drawn = self.init(shape, rng) if callable(self.init) else self.init
        self.drawn = np.array(drawn, np.float64)
        return self.rule.inverse(self.drawn)

    def weight(self) -> Array:
        """Return the initial weight."""
        if self.drawn is None:
            if not sketched.get():
                raise RuntimeError(f"{called(self.rule)}: the weight has no numbers yet; call it in an initializer")
            return np.broadcast_to(1.0, self.shape)  # a sketch has shapes, but no numbers
        return self.drawn
