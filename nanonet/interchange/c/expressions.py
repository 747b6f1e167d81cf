"""Expressions: each activation as a C expression of its input a."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nanonet.core.arrays import Shape
from nanonet.core.layer import Layer
from nanonet.interchange.c.loops import per_channel
from nanonet.interchange.c.numbers import number
from nanonet.interchange.c.program import Program, writes
from nanonet.layers.activations import ELU, SELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Softsign, Tanh
from nanonet.layers.clip import Clip
from nanonet.layers.gelu import GELU
from nanonet.layers.hard import Hardshrink, Hardsigmoid, Hardswish, Softshrink
from nanonet.layers.prelu import PReLU
from nanonet.layers.smooth import CELU, LogSigmoid, Mish

SIGMOID = "(0.5f + 0.5f * tanhf(0.5f * a))"
GATE = "(fminf(fmaxf(a, -3.0f), 3.0f) / 6.0f + 0.5f)"


def _softplus(layer: Any) -> str:
    z = "a" if layer.beta == 1 else f"{number(layer.beta)} * a"
    curve = f"fmaxf({z}, 0.0f) + log1pf(expf(-fabsf({z})))"
    curve = curve if layer.beta == 1 else f"({curve}) / {number(layer.beta)}"
    return curve if layer.threshold == math.inf else f"{z} > {number(layer.threshold)} ? a : {curve}"


def _clip(layer: Any) -> str:
    inner = "a" if layer.low == -math.inf else f"fmaxf(a, {number(layer.low)})"
    return inner if layer.high == math.inf else f"fminf({inner}, {number(layer.high)})"


def _gelu(layer: Any) -> str:
    if layer.approximate:
        return "0.5f * a * (1.0f + tanhf(0.7978845608f * (a + 0.044715f * a * a * a)))"
    return "0.5f * a * erfcf(-0.7071067812f * a)"


EXPRESSIONS: dict[type[Layer], Callable[[Any], str]] = {
    Sigmoid: lambda layer: SIGMOID,
    Tanh: lambda layer: "tanhf(a)",
    ReLU: lambda layer: "a > 0.0f ? a : 0.0f",
    LeakyReLU: lambda layer: f"a > 0.0f ? a : {number(layer.slope)} * a",
    ELU: lambda layer: f"a > 0.0f ? a : {number(layer.alpha)} * expm1f(a)",
    SELU: lambda layer: f"a > 0.0f ? {number(layer.scale)} * a : {number(layer.scale * layer.alpha)} * expm1f(a)",
    SiLU: lambda layer: f"a * {SIGMOID}",
    Softplus: _softplus,
    Softsign: lambda layer: "a / (1.0f + fabsf(a))",
    Clip: _clip,
    GELU: _gelu,
    CELU: lambda layer: f"a > 0.0f ? a : {number(layer.alpha)} * expm1f(a / {number(layer.alpha)})",
    Hardshrink: lambda layer: f"fabsf(a) <= {number(layer.threshold)} ? 0.0f : a",
    Hardsigmoid: lambda layer: GATE[1:-1],
    Hardswish: lambda layer: f"a * {GATE}",
    LogSigmoid: lambda layer: "fminf(a, 0.0f) - log1pf(expf(-fabsf(a)))",
    Mish: lambda layer: "a * tanhf(fmaxf(a, 0.0f) + log1pf(expf(-fabsf(a))))",
    Softshrink: lambda layer: f"a - fminf(fmaxf(a, {number(-layer.threshold)}), {number(layer.threshold)})",
}


def activation(cls: type[Layer], expression: Callable[[Any], str]) -> None:
    """Register an expression as the writer of an activation."""

    @writes(cls)
    def write(program: Program, layer: Any, x: str, shape: Shape) -> str:
        program.comment(layer)
        return program.each(expression(layer), x, shape)


for _cls, _expression in EXPRESSIONS.items():
    activation(_cls, _expression)


@writes(PReLU)
def _prelu(program: Program, layer: Any, x: str, shape: Shape) -> str:
    program.comment(layer)
    slope = program.constant("weight", layer.weight.value)
    channel = "0" if layer.num_parameters == 1 else per_channel("i", shape)
    return program.each(f"a > 0.0f ? a : {slope}[{channel}] * a", x, shape)
