"""Draw ONNX graphs, load them, and see that none is loaded with another result than onnxruntime's.

    python -m tests.onnx_graphs [--count 10000] [--seed 0]

Bounds, comparisons, slopes, spelled-out activations and norms whose numbers are sometimes not quite theirs, inputs that
are left out, attributes of other opsets, residual blocks and other branches, convolutions and pooling: whatever `load`
might take for something else. Inputs stand at, beside and between a graph's constants, at tiny numbers, and far
outside. What onnxruntime does not run is drawn anew.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool,
    InstanceNorm,
    LayerNorm,
    Linear,
    LogSoftmax,
    Residual,
    RMSNorm,
    Sequential,
    Softmax,
    Upsample,
    Wired,
)
from nanonet.core.layer import below
from nanonet.interchange.onnx import load
from tests.onnx_pieces import PARTS, Graph, image

Numbers = npt.NDArray[Any]
SUMS = (Linear, LogSoftmax, Residual, Softmax, Conv2d, ConvTranspose2d, AvgPool2d, AdaptiveAvgPool2d, GlobalAvgPool)
"""Layers whose rounding goes by the largest number that goes in."""
BLOWN_UP = (LayerNorm, RMSNorm, InstanceNorm, BatchNorm, Upsample, Wired)
"""Layers that blow rounding up: divisions by what is nearly 0, products."""


def spoiled(g: Graph) -> None:
    """Give a node what its operator may not have in this opset."""
    node = g.rng.choice(g.nodes)
    match g.rng.randrange(4):
        case 0:
            name, value = g.rng.choice(
                [("alpha", 0.5), ("min", 0.0), ("max", 6.0), ("axis", 1), ("ratio", 0.5), ("odd", 1)]
            )
            if all(attribute.name != name for attribute in node.attribute):
                node.attribute.append(g.onnx.helper.make_attribute(name, value))
        case 1 if node.input:
            del node.input[-1]
        case 2 if node.input:
            node.input[g.rng.randrange(len(node.input))] = ""
        case 3:
            node.input.append(g.number())


def drawn(onnx: Any, rng: random.Random) -> tuple[Any, Numbers]:
    """Return a model, and an input for it."""
    g, value = Graph(onnx, rng), "x"
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        value = image(g, value) if g.images and rng.random() < 0.5 else rng.choice(PARTS)(g, value)
    if rng.random() < 0.08:
        spoiled(g)
    points = np.array(list(_points(g, rng)), g.dtype)
    points = points[np.abs(points) < 1e37]  # a bound near the largest number of all counts as none
    sample = [size for size in g.shape if size != "batch"]
    return g.proto(value), np.resize(points, (-(-len(points) // np.prod(sample)), *sample))


def _points(g: Graph, rng: random.Random) -> Iterator[Any]:
    numbers = [*g.numbers, *(a.f for node in g.nodes for a in node.attribute if a.type == a.FLOAT)]
    with np.errstate(all="ignore"):
        for each in numbers:
            c = g.dtype(each)
            for at in (c, -c):
                yield from (at, np.nextafter(at, g.dtype(-np.inf)), np.nextafter(at, g.dtype(np.inf)), at + at, at / 2)
                yield from (at * g.dtype(1.001), at * g.dtype(0.999), at + g.dtype(1e-3), at - g.dtype(1e-3))
    for size in (0.0, 1e-30, 1e-6, 0.05, 0.3, 0.7, 1.3, 2.1, 5.0, 11.0, 17.0, 30.0, 59.0, 61.0, 90.0, 1e3, 1e6, 1e30):
        yield from (size, -size)
    for _ in range(30):
        yield rng.gauss(0, 3)


# ---- one graph


def outcome(onnx: Any, runtime: Any, proto: Any, x: Numbers, path: Path) -> str:
    """Return "loaded", "refused", or "not run" where onnxruntime refuses it; anything else is what went wrong."""
    path.write_bytes(proto.SerializeToString())
    try:
        model: Sequential | None = load(path)
    except ValueError as error:
        model = None
        if str(path) not in str(error):
            return f"the error does not name the file: {error!r}"
    except Exception as error:
        return f"{error!r}"
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        _check(onnx, proto)
        shown = _with_powers_shown(onnx, proto)
        session = runtime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
        wanted, *powers = session.run(None, {"x": x})
    except Exception:  # each has classes of its own for many mistakes
        return "not run"
    return "refused" if model is None else _compared(model, x, wanted, powers)


def _check(onnx: Any, proto: Any) -> None:
    """Have onnx refuse what is against its rules, on which onnxruntime may crash."""
    shaped = onnx.ModelProto()
    shaped.CopyFrom(proto)
    shaped.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "any"  # a check that it must have a shape
    onnx.checker.check_model(shaped)
    for node in proto.graph.node:  # which onnx allows
        if node.op_type in ("Min", "Max") and not all(node.input):
            raise ValueError(f"{node.op_type} without an input")


def _with_powers_shown(onnx: Any, proto: Any) -> Any:
    """Return a model that gives the results of Exp too, where Log follows: log(1 + exp(a)) overflows, Softplus not."""
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    if any(node.op_type == "Log" for node in proto.graph.node):
        names = [node.output[0] for node in proto.graph.node if node.op_type == "Exp"]
        kind = proto.graph.input[0].type.tensor_type.elem_type
        shown.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, None) for name in names)
    return shown


class _Shaken:
    """A pass whose numbers are changed in their last digits on the way; it is also what ``wire`` is given."""

    def __init__(self, dtype: npt.DTypeLike, seed: int) -> None:
        self.dtype, self.rng, self.last = dtype, np.random.default_rng(seed), 4 * float(np.finfo(dtype).eps)

    def shaken(self, x: Numbers) -> Numbers:
        size = np.maximum(1, np.abs(x).max(axis=tuple(range(1, x.ndim)), keepdims=True, initial=0))
        moved: Numbers = (x + self.last * size * self.rng.normal(size=x.shape)).astype(self.dtype)
        return moved

    def __call__(self, layer: Any, x: Numbers) -> Numbers:
        if isinstance(layer, Sequential):
            for part in layer:
                x = self(part, x)
            return x
        if isinstance(layer, Residual):
            return self.add(x, self(layer.inner, x))
        y: Numbers = layer.wire(self, x) if isinstance(layer, Wired) else layer.forward(self.shaken(x))[0]
        return self.shaken(y)

    def add(self, *values: Numbers) -> Numbers:
        return self.shaken(np.asarray(np.sum(values, axis=0)))

    def multiply(self, *values: Numbers) -> Numbers:
        return self.shaken(np.prod(values, axis=0))

    def concatenate(self, *values: Numbers, axis: int) -> Numbers:
        joined: Numbers = np.concatenate(values, axis=axis)
        return joined

    def split(self, value: Numbers, *sizes: int, axis: int) -> list[Numbers]:
        return np.split(value, np.cumsum(sizes)[:-1], axis=axis)


def _blown_up(model: Sequential, x: Numbers, found: Numbers) -> Numbers:
    """Return by how much the result changes with the last digits on the way; infinity where squares are too large."""
    room = np.zeros(found.shape)
    for seed in range(6):
        room = np.maximum(room, np.abs(_Shaken(model.dtype, seed)(model, x) - found))
    room[(np.abs(x) > 1e12).any(axis=tuple(range(1, x.ndim)))] = np.inf
    return 4 * np.nan_to_num(room, nan=np.inf)


def _compared(model: Sequential, x: Numbers, wanted: Numbers, powers: list[Numbers]) -> str:
    found, size = x, np.abs(x).max(axis=tuple(range(1, x.ndim)), initial=0.0)
    with np.errstate(all="ignore"):
        for layer in model:
            found = layer.forward(found.astype(model.dtype))[0]
            size = np.maximum(size, np.abs(found).max(axis=tuple(range(1, found.ndim)), initial=0.0))
        if found.shape != wanted.shape:
            return f"{model!r} gives shape {found.shape}, not {wanted.shape}"
        sums = any(isinstance(layer, SUMS) for layer in below(model))
        room = (
            1e-5 * np.abs(wanted)
            + 1e-5
            + (1e-5 * np.nan_to_num(size, nan=np.inf) if sums else np.zeros_like(size)).reshape(
                -1, *[1] * (wanted.ndim - 1)
            )
        )
        if any(isinstance(layer, BLOWN_UP) for layer in below(model)):
            room = room + _blown_up(model, x, found)
        right = (np.abs(found - wanted) <= room) | (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        right |= ~np.isfinite(wanted) & (room > 1e32)
    for each in powers:
        if each.shape[:1] == x.shape[:1]:
            right[np.isinf(each).any(axis=tuple(range(1, each.ndim)))] = True
    if right.all():
        return "loaded"
    place = tuple(np.argwhere(~right)[0])
    return f"{model!r} gives {found[place]} at {x[place[0]]}, onnxruntime gives {wanted[place]}"


def run(count: int, seed: str) -> tuple[Counter[str], list[str]]:
    """Draw graphs until count of them were run; return how many were loaded and refused, and what went wrong."""
    import onnx
    import onnxruntime

    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        while counts["loaded"] + counts["refused"] + len(wrong) < count:
            rng = random.Random(f"{seed} {number}")
            proto, x = drawn(onnx, rng)
            result = outcome(onnx, onnxruntime, proto, x, Path(folder) / "drawn.onnx")
            if result in ("loaded", "refused", "not run"):
                counts[result] += 1
            else:
                wrong.append(f"seed {seed!r}, graph {number}: {result}\n{onnx.printer.to_text(proto)}")
            number += 1
            if counts["not run"] > max(100, 2 * number // 3):
                raise AssertionError(f"seed {seed!r}: onnxruntime runs too few of these graphs: {dict(counts)}")
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    options = parser.parse_args()
    counts, wrong = run(options.count, options.seed)
    for each in wrong[:20]:
        print(each, end="\n\n")
    print(f"seed {options.seed}: {counts['loaded']} loaded, {counts['refused']} refused, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
