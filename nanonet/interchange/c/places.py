"""Layers that move numbers about: Permute, Pad, ZeroPad2d and Upsample."""

from __future__ import annotations

import math
from typing import Any

from nanonet.core.arrays import Shape
from nanonet.interchange.c.loops import Axis, index, loops, text
from nanonet.interchange.c.numbers import number
from nanonet.interchange.c.program import Program, writes
from nanonet.layers.pad import Pad
from nanonet.layers.reshape import Permute
from nanonet.layers.resize import Upsample, ZeroPad2d


@writes(Permute)
def _permute(program: Program, layer: Any, x: str, shape: Shape) -> str:
    wanted: list[Axis] = [(f"i{d}", shape[axis - 1]) for d, axis in enumerate(layer.axes)]
    place = {axis - 1: entry for axis, entry in zip(layer.axes, wanted, strict=True)}
    y = program.array(math.prod(shape))
    program.comment(layer)
    moved = f"{y}[{index(*wanted)}] = {x}[{index(*(place[d] for d in range(len(shape))))}];"
    program.add(text(loops(wanted, [moved])))
    return y


@writes(ZeroPad2d)
def _zero_pad(program: Program, layer: Any, x: str, shape: Shape) -> str:
    left, right, top, bottom = layer.padding
    return _padded(program, layer, x, shape, ((top, bottom), (left, right)), "constant", 0.0)


@writes(Pad)
def _pad(program: Program, layer: Any, x: str, shape: Shape) -> str:
    return _padded(program, layer, x, shape, layer.ends, layer.mode, layer.value)


def _padded(
    program: Program, layer: Any, x: str, shape: Shape, ends: tuple[tuple[int, int], ...], mode: str, value: float
) -> str:
    """Write y, of which each entry is that of x to which the mode leads, or a value beyond the ends."""
    longer = [n + sum(pair) for n, pair in zip(shape[1:], ends, strict=True)]
    y = program.array(shape[0] * math.prod(longer))
    program.comment(layer)
    to: list[Axis] = [("o", shape[0]), *((f"i{d}", n) for d, n in enumerate(longer))]
    come: list[Axis] = [("o", shape[0])]
    declared, inside = list[str](), list[str]()
    for (name, _), n, (before, after) in zip(to[1:], shape[1:], ends, strict=True):
        place = f"{name} - {before}" if before else name
        if mode == "constant":
            inside += [f"{name} >= {before}"] * bool(before) + [f"{name} < {before + n}"] * bool(after)
        elif n > 1 and (before or after):
            declared.append(f"const int p{name} = {_turned(mode, f'({place})' if before else name, n)};")
            place = f"p{name}"
        come.append((place, n))
    taken = f"{x}[{index(*come)}]"
    taken = f"{' && '.join(inside)} ? {taken} : {number(value)}" if inside else taken
    program.add(text(loops(to, [*declared, f"{y}[{index(*to)}] = {taken};"])))
    return y


def _turned(mode: str, place: str, n: int) -> str:
    """Return the entry of x, of n, to which a place leads that may lie beyond its ends."""
    if mode == "replicate":
        return f"{place} < 0 ? 0 : {place} < {n} ? {place} : {n - 1}"
    if mode == "circular":
        return f"({place} + {n}) % {n}"
    return f"{place} < 0 ? -{place} : {place} < {n} ? {place} : {2 * (n - 1)} - {place}"


@writes(Upsample)
def _upsample(program: Program, layer: Any, x: str, shape: Shape) -> str:
    if layer.mode != "nearest":
        raise TypeError(f"export: {layer}: expected mode 'nearest'; no C form is known for {layer.mode!r}")
    (channels, h, w), (rows, columns) = shape, layer.scale_factor
    y = program.array(math.prod(shape) * rows * columns)
    program.comment(layer)
    to: list[Axis] = [("o", channels), ("r", h * rows), ("c", w * columns)]
    come = index(("o", channels), (_over("r", rows), h), (_over("c", columns), w))
    program.add(text(loops(to, [f"{y}[{index(*to)}] = {x}[{come}];"])))
    return y


def _over(name: str, factor: int) -> str:
    return name if factor == 1 else f"{name} / {factor}"
