"""export: a model as one C99 file with one function, which needs nothing but the standard library's mathematics."""

from __future__ import annotations

import copy
import math
import os
import textwrap
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.chain import Chain
from nanonet.core.checks import as_shape, is_several, known
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.core.tree import Tree
from nanonet.core.version import __version__
from nanonet.interchange.c.loops import LINE, folded
from nanonet.interchange.c.names import checked_name, refuse_used
from nanonet.interchange.c.numbers import number, quantized
from nanonet.interchange.c.program import Program
from nanonet.models.sequential import Sequential
from nanonet.storage.disk import path_to, write_whole

TOLERANCE = 1e-5  # of the self-test, relative to the largest number that is expected


class Exported(NamedTuple):
    """What was written.

    Attributes
    ----------
    weight_bytes, memory_bytes : int
        Of the constants, and of the memory between the layers.
    error : float
        How far int8 weights move the prediction for the samples of the self-test, at most, relative to its largest
        number; 0 for floats.
    """

    weight_bytes: int
    memory_bytes: int
    error: float


def export(
    model: Chain,
    path: str | os.PathLike[str],
    *,
    function: str = "net",
    weights: Literal["float32", "int8"] = "float32",
    input_shape: Shape | None = None,
    x: npt.ArrayLike | None = None,
) -> Exported:
    """Export a model to a C99 file with a function ``void net(const float *x, float *y)`` for one sample.

    x and y hold a sample and its prediction in C order, and must not overlap. The weights are constants; what lies
    between the layers is static memory, so that two threads must not call it at once. Nothing is allocated. The numbers
    are float32, for finite x equal to the model's but for rounding: ``gcc -std=c99 net.c -lm``.

    Compiled with ``-DNANONET_TEST``, the file is a program that runs some samples, compares the results with the
    model's, and returns 0 if they agree to 1e-5 of the largest. The write is atomic.

    Parameters
    ----------
    model : Sequential
        With one input and one output; in inference mode, so that Dropout does nothing and BatchNorm has its running
        statistics. Linear, the activations, Softmax, LogSoftmax, Standardize, norms, convolutions, pooling, Upsample to
        the nearest, Pad, ZeroPad2d, Flatten, Reshape, Permute, Residual, chains within the chain, RNN, LSTM and GRU
        from a state of 0, and layers registered with :func:`writes`.
    path : str or Path
        Ends in .c.
    function : str
        Its name; also the prefix of nothing else: all other names are static or local.
    weights : {"float32", "int8"}
        With "int8" the matrices of Linear, convolutions and recurrent layers take a quarter of the space: each number
        is the nearest of 255 multiples of its row's largest, divided by 127. They are multiplied as floats.
    input_shape : tuple of int, optional
        Without the batch axis; needed if the first layer does not determine it, and for sequences and images.
    x : array, optional
        Shape (samples, ...): what the self-test runs, and int8 is judged by; default: 4 samples from N(0, 1).

    Returns
    -------
    Exported

    Raises
    ------
    TypeError
        If no C form is known for a layer; it is named.
    ValueError
        If input_shape is needed, a weight is not finite, or the name is none in C, or one that C or the file has.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Tanh
    >>> from nanonet.interchange import c
    >>> model = Sequential(Linear(2, 3), Tanh(), Linear(3, 1), rng=0)
    >>> c.export(model, "net.c")  # doctest: +SKIP
    Exported(weight_bytes=52, memory_bytes=24, error=0.0)
    """
    place = path_to(path, "export", ".c")
    if not isinstance(model, Sequential):
        raise TypeError(f"export: expected a Sequential, got {called(model)}")
    checked_name(function)
    if weights not in ("float32", "int8"):
        raise ValueError(f"export: expected weights 'float32' or 'int8', got {weights!r:.60}")
    shape = _shape_of(model, input_shape)
    samples = _samples(model, shape, x)
    exact = _finite(model, samples)
    program = Program(int8=weights == "int8")
    result = program.write(model, "x", shape, "")
    out = tuple(exact.shape[1:])
    body, floats = program.body(result, math.prod(out))
    held = _rounded(model, program.matrices).predict(samples) if program.int8 else exact
    memory = [f"static float memory[{floats}];"] if floats else []
    body = folded(textwrap.indent(body, "    "))
    refuse_used(function, "\n".join([*program.constants, *memory, body, _self_test("", samples[:0], held[:0])]))
    whole = "\n\n".join(
        [
            folded(_heading(model, function, shape, out, floats)),
            "#include <math.h>",
            *program.constants,
            *memory,
            f"void {function}(const float *x, float *y);",
            f"void {function}(const float *x, float *y)\n{{\n{body}\n}}",
            _self_test(function, samples, held),
        ]
    )
    write_whole(place, lambda file: file.write((whole + "\n").encode("ascii", "replace")))
    scale = max(float(np.abs(exact).max(initial=0)), 1e-30)
    return Exported(program.weight_bytes, 4 * floats, float(np.abs(held - exact).max(initial=0)) / scale)


def _shape_of(model: Sequential, given: Shape | None) -> Shape:
    """Return the shape of a sample, in full."""
    if is_several(model.input_shape) or model.several_inputs:
        raise TypeError("export: expected a model with one input, got one with several")
    if model.integer_input:
        raise TypeError("export: expected a model whose input holds floats, got one that takes integers")
    if given is not None:
        return as_shape(given, "export")
    pattern = model.input_shape
    rows = pattern[1:] if pattern is not None and pattern[:1] == (...,) and len(pattern) > 1 else pattern
    shape = None if rows is None else known(rows)
    if shape is None:
        raise ValueError(
            "export: the first layer does not determine its input shape; write export(model, path, input_shape=(3,)), "
            "for example, for rows of 3 numbers"
        )
    return tuple(shape)


def _samples(model: Sequential, shape: Shape, x: npt.ArrayLike | None) -> Array:
    """Return the samples of the self-test, checked."""
    drawn = np.random.default_rng(0).normal(size=(4, *shape)) if x is None else np.asarray(x)
    entered: Array = model.enter(drawn)
    if not len(entered) or entered.shape[1:] != shape:
        raise ValueError(f"export: expected x of shape (samples, {', '.join(map(str, shape))}), got {entered.shape}")
    return entered


def _finite(model: Sequential, samples: Array) -> Array:
    """Return the prediction, or raise if a number of the model or of its prediction is not finite."""
    for name, state in Tree(model).states.items():
        if not np.isfinite(state.value).all():
            raise ValueError(f"export: {name} holds NaN or infinity")
    prediction = model.predict(samples)
    if isinstance(prediction, tuple):
        raise TypeError(f"export: expected a model with one output, got one with {len(prediction)}")
    if not np.isfinite(prediction).all():
        raise ValueError("export: the prediction for the samples of the self-test is not finite; pass others as x")
    return prediction


def _rounded(model: Sequential, matrices: list[Parameter]) -> Sequential:
    """Return a copy of a model whose matrices have the numbers that int8 holds."""
    copies: dict[int, Any] = {}
    twin = copy.deepcopy(model, copies)
    for parameter in dict.fromkeys(matrices):
        whole, scales = quantized(parameter.value)
        copies[id(parameter)].value = whole * scales.reshape(-1, *[1] * (whole.ndim - 1))
    return twin


def _heading(model: Sequential, function: str, shape: Shape, out: Shape, floats: int) -> str:
    """Return the comment at the beginning: what the file holds, and how it is used."""
    layers = [f"     {line}" for line in repr(model).replace("*/", "* /").replace("/*", "/ *").splitlines()]
    return "\n".join(
        [
            f"/* Made by nanonet {__version__} from a trained model:",
            "",
            *layers,
            "",
            f"   void {function}(const float *x, float *y) computes y, {_text(out)}, of one sample x, {_text(shape)}, "
            "in C order.",
            f"   It uses {4 * floats} bytes of static memory, so that two threads must not call it at once.",
            "   Self-test: cc -std=c99 -DNANONET_TEST FILE.c -lm && ./a.out */",
        ]
    )


def _text(shape: Shape) -> str:
    return f"{' x '.join(map(str, shape)) or '1'} float{'s' * (math.prod(shape) != 1)}"


def _self_test(function: str, samples: Array, expected: Array) -> str:
    """Return a main program that compares the function's results with the model's."""
    count, taken, given = len(samples), math.prod(samples.shape[1:]), math.prod(expected.shape[1:])
    limit = TOLERANCE * max(float(np.abs(expected).max(initial=0)), 1e-30)
    return f"""#ifdef NANONET_TEST
#include <stdio.h>

static const float test_x[{count * taken}] = {{
{_numbers(samples)}
}};

static const float test_y[{count * given}] = {{
{_numbers(expected)}
}};

int main(void)
{{
    static float y[{given}];
    float largest = 0.0f;
    for (int n = 0; n < {count}; n++) {{
        {function}(test_x + n * {taken}, y);
        for (int i = 0; i < {given}; i++) {{
            const float off = fabsf(y[i] - test_y[n * {given} + i]);
            if (!(off <= largest)) largest = off;
        }}
    }}
    printf("largest difference %g, at most {limit:.3g} allowed\\n", largest);
    return largest <= {number(limit)} ? 0 : 1;
}}
#endif"""


def _numbers(array: Array) -> str:
    words = ", ".join(number(value) for value in array.ravel())
    return textwrap.fill(words, LINE, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
