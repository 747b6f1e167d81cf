"""Recurrent: the base of RNN, LSTM and GRU: layers on each other, both directions, the parts of x and of y."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import numpy as np

from nanonet.core.arrays import Array, Arrays, Numbers, Patterns, parts_of
from nanonet.core.checks import finite_number, positive_int, true_or_false
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Buffer, Parameter, Random
from nanonet.layers.initializers import Uniform, Zeros
from nanonet.layers.recurrent.cell import Cell, Tape
from nanonet.layers.recurrent.passes import run, run_back
from nanonet.layers.recurrent.product import Weights
from nanonet.layers.recurrent.span import Span, checked_lengths, samples_first

Output = Literal["sequence", "last", "all"]
OUTPUTS = ("sequence", "last", "all")


class Recurrent(Layer):
    """Base of the recurrent layers; see :class:`LSTM` for the arguments."""

    mixes_samples: bool | Literal["training"] = False
    weight_ih_l0: Parameter
    weight_hh_l0: Parameter
    bias_ih_l0: Parameter
    bias_hh_l0: Parameter
    random: Random
    carried_h: Buffer
    carried_c: Buffer

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        output: Output = "sequence",
        initial_state: bool = False,
        lengths: bool = False,
        carry: int | None = None,
    ) -> None:
        name = type(self).__name__
        self.input_size = positive_int(input_size, name, "input_size")
        self.hidden_size = positive_int(hidden_size, name, "hidden_size")
        self.num_layers = positive_int(num_layers, name, "num_layers")
        self.bias = true_or_false(bias, name, "bias")
        self.dropout = finite_number(dropout, name, "dropout", low=0, high=1, open_high=True)
        self.bidirectional = true_or_false(bidirectional, name, "bidirectional")
        self.output = output
        self.initial_state = true_or_false(initial_state, name, "initial_state")
        self.lengths = true_or_false(lengths, name, "lengths")
        self.carry = None if carry is None else positive_int(carry, name, "carry")
        self._refuse()
        self._declare()

    def _refuse(self) -> None:
        """Raise ValueError for arguments that do not go together."""
        name = type(self).__name__
        if self.output not in OUTPUTS:
            raise ValueError(f"{name}: expected output 'sequence', 'last' or 'all', got {self.output!r:.60}")
        if self.dropout and self.num_layers == 1:
            raise ValueError(
                f"{name}: dropout lies between two layers, and num_layers is 1; put Dropout({self.dropout:g}) after it"
            )
        if self.carry and self.bidirectional:
            raise ValueError(f"{name}: carry goes forward from batch to batch, which bidirectional=True cannot")
        if self.carry and self.initial_state:
            raise ValueError(f"{name}: expected either carry or initial_state=True, got both first states")

    def _declare(self) -> None:
        """Set the shapes of the parts of x, the parameters, the carried state and the generator of the dropout."""
        count, size = self.num_layers * self.directions, self.hidden_size
        states = self.state_names if self.initial_state else ()
        parts = [(None, self.input_size), *((count, size) for _ in states), *([()] if self.lengths else [])]
        self.input_shape = tuple(parts) if len(parts) > 1 else parts[0]
        if self.lengths:
            self.integer_input = (*(False for _ in parts[1:]), True)
        init = Uniform(-(size**-0.5), size**-0.5)
        for layer in range(self.num_layers):
            for direction in range(self.directions):
                for name, shape in self._shapes(layer).items():
                    setattr(self, name + _suffix(layer, direction), Parameter(shape, init))
        if self.carry:
            self.mixes_samples = True  # a batch in parts, as ranks take it, would have the states of one part alone
            for name in self.state_names:
                setattr(self, f"carried_{name}", Buffer((self.carry, count, size), Zeros()))
        if self.dropout:
            self.random = Random()

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters of a layer, by the beginning of their names."""
        rows, below = self.cell.gates * self.hidden_size, self.directions * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, below if layer else self.input_size),
            "weight_hh": (rows, self.hidden_size),
        }
        return shapes | ({"bias_ih": (rows,), "bias_hh": (rows,)} if self.bias else {})

    @property
    @abstractmethod
    def cell(self) -> Cell:
        """What is computed at one time."""

    @property
    def directions(self) -> int:
        """D: 2 if bidirectional, else 1."""
        return 1 + self.bidirectional

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the states: ("h", "c") of an LSTM, else ("h",)."""
        return ("h", "c") if self.cell.has_c else ("h",)

    def parameters_of(self, layer: int, direction: int = 0) -> dict[str, Parameter]:
        """Return the parameters of one layer in one direction.

        Parameters
        ----------
        layer : int
            From 0, the lowest.
        direction : int
            0, or 1 for the layer that reads from the end.

        Returns
        -------
        dict of Parameter
            "weight_ih", "weight_hh" and, with biases, "bias_ih" and "bias_hh".
        """
        suffix = _suffix(layer, direction)
        return {name: getattr(self, name + suffix) for name in self._shapes(layer)}

    def reset_state(self) -> None:
        """Set the carried state to 0, as at the beginning of a text.

        Raises
        ------
        ValueError
            If nothing is carried.
        """
        if self.carry is None:
            raise ValueError(f"{self}: it carries no state; write {type(self).__name__}(..., carry=batch_size)")
        for name in self.state_names:
            buffer = getattr(self, f"carried_{name}")
            buffer.value = np.zeros(buffer.shape)

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return (T, D · H), (D · H,), or these of the sequence and the last states."""
        both: Any = input_pattern(self, input_shape)
        times = both[0][0] if isinstance(both[0], tuple) else both[0]
        width, count = self.directions * self.hidden_size, self.directions * self.num_layers
        if self.output == "last":
            return (width,)
        states = [(count, self.hidden_size) for _ in self.state_names]
        return ((times, width), *states) if self.output == "all" else (times, width)

    # ---- passes

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Arrays, _Cache]:
        """Return y, and what each layer keeps of its pass."""
        sequence, *others = parts_of(x)
        lengths = checked_lengths(others[-1], sequence.shape[1], self) if self.lengths else None
        span = Span(sequence.shape[1], lengths)
        first = self._first_states(sequence, others, training=training)
        steps, tapes, masks = sequence.transpose(1, 2, 0), list[tuple[Tape, ...]](), list[Array | None]()
        for layer in range(self.num_layers):
            mask = self._mask(steps) if layer and training and self.dropout else None
            steps = steps if mask is None else steps * mask
            tapes.append(self._run(layer, steps, first, span))
            masks.append(mask)
            steps = _outputs(tapes[-1], span)
        last = [
            np.stack([tape.state(name)[-1].T for pair in tapes for tape in pair], axis=1) for name in self.state_names
        ]
        if training and self.carry:
            for name, state in zip(self.state_names, last, strict=True):
                getattr(self, f"carried_{name}").value = state
        cache = _Cache(span, tapes, masks, None if lengths is None else others[-1])
        if self.output == "last":
            return last[0][:, -self.directions :].reshape(len(sequence), self.directions * self.hidden_size), cache
        y = span.samples_first(steps)
        return (y, *last) if self.output == "all" else y, cache

    def _run(self, layer: int, steps: Array, first: list[Array], span: Span) -> tuple[Tape, ...]:
        """Return the passes of one layer in each direction."""
        tapes = []
        for direction in range(self.directions):
            start = [state[layer * self.directions + direction] for state in first]
            read = span.turned(steps) if direction else steps
            tapes.append(run(self.cell, self._weights(layer, direction), read, (start[0], start[1]), span.ended))
        return tuple(tapes)

    def _weights(self, layer: int, direction: int) -> Weights:
        return Weights(*(parameter.value for parameter in self.parameters_of(layer, direction).values()))

    def _first_states(self, sequence: Array, others: list[Any], *, training: bool) -> list[Array]:
        """Return the first h and c, (L · D, H, N) each; for a cell without c that is (L · D, 0, N)."""
        samples = len(sequence)
        if self.carry and training and samples != self.carry:
            raise ValueError(
                f"{self}: expected a batch of {self.carry} in training, as carry says, got {samples}; leave out a last "
                "batch that is shorter"
            )
        first = [self._zeros(name, samples, sequence.dtype) for name in ("h", "c")]
        for i, name in enumerate(self.state_names):
            if self.initial_state:
                first[i] = others[i].transpose(1, 2, 0)
            elif self.carry and training:
                first[i] = getattr(self, f"carried_{name}").value.transpose(1, 2, 0)
        return first

    def _zeros(self, name: str, samples: int, dtype: np.dtype[Any]) -> Array:
        size = self.hidden_size if name in self.state_names else 0
        return np.zeros((self.num_layers * self.directions, size, samples), dtype)

    def _mask(self, steps: Array) -> Array:
        """Return what to multiply the input of a layer by, drawn anew, one sample after the other."""
        times, features, samples = steps.shape
        kept = self.random.generator.random((samples, times, features), dtype=steps.dtype) >= self.dropout
        mask: Array = kept.transpose(1, 2, 0) / steps.dtype.type(1 - self.dropout)
        return mask

    def backward(self, grad: Arrays, cache: _Cache) -> Arrays:
        """Assign all gradients, the sums over all times; return dE/dx, with a tuple of parts as x has."""
        steps, first = self._back(grad, cache, inputs_too=True)
        assert steps is not None
        dx = samples_first(steps)
        if not (self.initial_state or self.lengths):
            return dx
        states = [state.transpose(2, 0, 1) for state in first[: len(self.state_names)]] if self.initial_state else []
        lengths = [] if cache.lengths is None else [_nothing(cache.lengths)]
        return dx, *states, *lengths

    def backward_parameters(self, grad: Arrays, cache: _Cache) -> None:
        """Assign all gradients, without dE/dx."""
        self._back(grad, cache, inputs_too=False)

    def _back(self, grad: Arrays, cache: _Cache, *, inputs_too: bool) -> tuple[Array | None, list[Array]]:
        """Return dE/dx of the sequence, (T, F, N), and the gradients of the first states, (L · D, H, N) each."""
        steps, last = self._entered(grad, cache)
        for layer in reversed(range(self.num_layers)):
            below: Array | None = None
            for direction, tape in enumerate(cache.tapes[layer]):
                i = layer * self.directions + direction
                part = steps[:, direction * self.hidden_size : (direction + 1) * self.hidden_size]
                gradients, dx, (last[0][i], last[1][i]) = run_back(
                    self.cell,
                    self._weights(layer, direction),
                    tape,
                    cache.span.turned(part) if direction else part,
                    (last[0][i], last[1][i]),
                    cache.span.ended,
                    inputs_too=inputs_too or layer > 0,
                )
                self._assign(layer, direction, gradients)
                if dx is not None:
                    dx = cache.span.turned(dx) if direction else dx
                    below = dx if below is None else below + dx
            mask = cache.masks[layer]
            if below is not None:
                steps = below if mask is None else below * mask
        return (steps if inputs_too else None), last

    def _entered(self, grad: Arrays, cache: _Cache) -> tuple[Array, list[Array]]:
        """Return dE/dy of the sequence, (T, D · H, N), and of the last states, (L · D, H, N) each."""
        top, count = cache.tapes[-1], self.directions
        times, size, samples = top[0].h.shape
        like = parts_of(grad)[0].dtype
        last = [self._zeros(name, samples, like) for name in ("h", "c")]
        if self.output == "last":
            last[0][-count:] = grad.reshape(samples, count, size).transpose(1, 2, 0)
            return np.zeros((times - 1, count * size, samples), like), last
        for state, given in zip(last, parts_of(grad)[1:], strict=False):
            state[...] = given.transpose(1, 2, 0)
        return cache.span.times_first(parts_of(grad)[0]), last

    def _assign(self, layer: int, direction: int, gradients: Weights) -> None:
        for name, parameter in self.parameters_of(layer, direction).items():
            parameter.grad = getattr(gradients, name)


class _Cache(NamedTuple):
    """What a pass keeps: for each layer the tapes of its directions and the mask of its input."""

    span: Span
    tapes: list[tuple[Tape, ...]]
    masks: list[Array | None]
    lengths: Numbers | None


def _suffix(layer: int, direction: int) -> str:
    return f"_l{layer}{'_reverse' if direction else ''}"


def _outputs(tapes: tuple[Tape, ...], span: Span) -> Array:
    """Return h of all times, (T, D · H, N), that of the other direction turned back."""
    forth, *back = tapes
    if not back:
        return forth.h[1:]
    return np.concatenate([forth.h[1:], span.turned(back[0].h[1:])], axis=1)


def _nothing(lengths: Numbers) -> Numbers | None:
    """Return dE/dlengths: none for integers, 0 for the floats that Parallel passes on."""
    return np.zeros_like(lengths) if lengths.dtype.kind == "f" else None
