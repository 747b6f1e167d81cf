"""Writers: chains and Linear; each further family of layers has its own file."""

from __future__ import annotations

import math
from typing import Any

from nanonet.core.arrays import Shape
from nanonet.core.chain import Chain
from nanonet.interchange.c.loops import index, loop, text
from nanonet.interchange.c.program import Program, writes
from nanonet.layers.activations import Identity
from nanonet.layers.dropout import Dropout, Dropout2d, GaussianNoise
from nanonet.layers.flatten import Flatten
from nanonet.layers.linear import Linear
from nanonet.layers.reshape import Reshape
from nanonet.layers.residual import Residual


@writes(Chain)
def _chain(program: Program, chain: Any, x: str, shape: Shape) -> str:
    for i, layer in enumerate(chain.layers):
        x = program.write(layer, x, shape, str(i))
        shape = program.shape_after(layer, shape)
    return x


@writes(Residual)
def _residual(program: Program, layer: Any, x: str, shape: Shape) -> str:
    inner, size = program.write(layer.inner, x, shape, "inner"), math.prod(shape)
    y = program.array(size)
    at = index(("i", size))
    program.add(text(loop("i", size, [f"{y}[{at}] = {x}[{at}] + {inner}[{at}];"])))
    return y


@writes(Identity, Dropout, Dropout2d, GaussianNoise, Flatten, Reshape)
def _unchanged(program: Program, layer: Any, x: str, shape: Shape) -> str:
    """In inference these change no number, nor their order."""
    return x


@writes(Linear)
def _linear(program: Program, layer: Any, x: str, shape: Shape) -> str:
    rows, taken, given = math.prod(shape[:-1]), layer.in_features, layer.out_features
    y = program.array(rows * given)
    program.comment(layer)
    weight, o = program.matrix("weight", layer.weight), index(("o", given))
    total = weight.scaled("sum", o)
    if layer.bias is not None:
        total += f" + {program.constant('bias', layer.bias.value)}[{o}]"
    entry = f"{weight.entry(index(('o', given), ('i', taken)))} * {x}[{index(('n', rows), ('i', taken))}]"
    lines = [
        "float sum = 0.0f;",
        *loop("i", taken, [f"sum += {entry};"]),
        f"{y}[{index(('n', rows), ('o', given))}] = {total};",
    ]
    program.add(text(loop("n", rows, loop("o", given, lines))))
    return y
