"""Norms as loops: over the numbers of each row, a row being what is normalized together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.interchange.c.loops import index, loop, per_channel, text
from nanonet.interchange.c.numbers import number
from nanonet.interchange.c.program import Program, writes
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.group_norm import GroupNorm, InstanceNorm
from nanonet.layers.norm import LayerNorm, RMSNorm
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.layers.standardize import Standardize


@writes(Standardize)
def _standardize(program: Program, layer: Any, x: str, shape: Shape) -> str:
    whole = [np.broadcast_to(part.value, shape) for part in (layer.mean, layer.scale)]
    program.comment(layer)
    mean, scale = program.constant("mean", whole[0]), program.constant("scale", whole[1])
    return program.each(f"(a - {mean}[i]) / {scale}[i]", x, shape)


@writes(BatchNorm)
def _batch_norm(program: Program, layer: Any, x: str, shape: Shape) -> str:
    """Write y = rate x + shift, with the running statistics in both."""
    if layer.running_mean is None:
        raise TypeError(f"export: {layer}: it takes the statistics of the batch, and in C there is none")
    rate = 1 / np.sqrt(layer.running_var.value.astype(np.float64) + layer.eps)
    rate = rate if layer.weight is None else rate * layer.weight.value
    shift = -rate * layer.running_mean.value + (0 if layer.bias is None else layer.bias.value)
    program.comment(layer)
    rates, shifts = program.constant("rate", rate), program.constant("shift", shift)
    feature = per_channel("i", shape)
    return program.each(f"{rates}[{feature}] * a + {shifts}[{feature}]", x, shape)


@writes(LayerNorm)
def _layer_norm(program: Program, layer: Any, x: str, shape: Shape) -> str:
    size = math.prod(layer.normalized_shape)
    return _normalized(program, layer, x, shape, size, layer.eps, index(("i", size)), layer.bias)


@writes(RMSNorm)
def _rms_norm(program: Program, layer: Any, x: str, shape: Shape) -> str:
    size = math.prod(layer.normalized_shape)
    eps = float(np.finfo(np.float32).eps) if layer.eps is None else layer.eps
    return _normalized(program, layer, x, shape, size, eps, index(("i", size)), None)


@writes(GroupNorm, InstanceNorm)
def _group_norm(program: Program, layer: Any, x: str, shape: Shape) -> str:
    groups = layer.num_groups if isinstance(layer, GroupNorm) else layer.num_features
    size = math.prod(shape) // groups
    channel = per_channel(index(("n", groups), ("i", size)), shape)
    return _normalized(program, layer, x, shape, size, layer.eps, channel, layer.bias)


def _normalized(
    program: Program, layer: Any, x: str, shape: Shape, size: int, eps: float, feature: str, bias: Any
) -> str:
    """Write (x - mean) / sqrt(variance + eps) times a weight, plus a bias; for an RMSNorm the mean is 0."""
    rows, y = math.prod(shape) // size, program.array(math.prod(shape))
    program.comment(layer)
    at = index(("n", rows), ("i", size))
    centred = f"{x}[{at}]" if isinstance(layer, RMSNorm) else f"({x}[{at}] - mean)"
    scaled = f"{centred} * rate"
    if layer.weight is not None:
        scaled += f" * {program.constant('weight', layer.weight.value)}[{feature}]"
    if bias is not None:
        scaled += f" + {program.constant('bias', bias.value)}[{feature}]"
    mean = ["float mean = 0.0f;", *loop("i", size, [f"mean += {x}[{at}];"]), f"mean /= {number(size)};"]
    lines = [
        *([] if isinstance(layer, RMSNorm) else mean),
        "float square = 0.0f;",
        *loop("i", size, [f"square += {centred} * {centred};"]),
        f"const float rate = 1.0f / sqrtf(square / {number(size)} + {number(eps)});",
        *loop("i", size, [f"{y}[{at}] = {scaled};"]),
    ]
    program.add(text(loop("n", rows, lines)))
    return y


@writes(Softmax, LogSoftmax)
def _softmax(program: Program, layer: Any, x: str, shape: Shape) -> str:
    rows, size, y = math.prod(shape[:-1]), shape[-1], program.array(math.prod(shape))
    program.comment(layer)
    at = index(("n", rows), ("i", size))
    logs = f"{x}[{at}] - most - logf(sum)"
    lines = [
        "float most = -INFINITY, sum = 0.0f;",
        *loop("i", size, [f"most = fmaxf(most, {x}[{at}]);"]),
        *loop("i", size, [f"sum += expf({x}[{at}] - most);"]),
        *loop(
            "i", size, [f"{y}[{at}] = {logs if isinstance(layer, LogSoftmax) else f'expf({x}[{at}] - most) / sum'};"]
        ),
    ]
    program.add(text(loop("n", rows, lines)))
    return y
