"""Nets drawn by Hypothesis: descriptions, from which the layers of nanonet and the modules of PyTorch are made.

A description names a class, its arguments, and the parts within it. Where nanonet has PyTorch's names, both are made by
the name alone; the modules below stand for what torch.nn has not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import assume
from hypothesis import strategies as st

import nanonet
from nanonet import Composite, Layer, Sequential

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
nn: Any = torch.nn

Shape = tuple[int, ...]
MOST = 64  # numbers to a channel; a larger image does not grow any more


class Part(NamedTuple):
    """A layer: the name of its class, its arguments, the parts within it, and PyTorch's name if another."""

    name: str
    arguments: tuple[Any, ...] = ()
    settings: Mapping[str, Any] = MappingProxyType({})
    parts: tuple[Part, ...] = ()
    there: str = ""

    def __repr__(self) -> str:
        named = [f"{name}={value!r}" for name, value in self.settings.items()]
        return f"{self.name}({', '.join([*map(repr, self.parts), *map(repr, self.arguments), *named])})"

    def layer(self) -> Layer:
        """Return the layer."""
        cls: Any = Wired if self.name == "Wired" else getattr(nanonet, self.name)
        made: Layer = cls(*(part.layer() for part in self.parts), *self.arguments, **self.settings)
        return made

    def module(self) -> Any:
        """Return the module."""
        inner = [part.module() for part in self.parts]
        if self.name in THERE:
            return THERE[self.name](*inner, *self.arguments, **self.settings)
        return getattr(nn, self.there or self.name)(*inner, *self.arguments, **self.settings)

    def all(self) -> Iterator[Part]:
        """Yield this and all parts within it."""
        yield self
        for part in self.parts:
            yield from part.all()


class Net(NamedTuple):
    """A whole net: its parts, what goes in and comes out, and how many rows its integers index, if it takes any."""

    parts: tuple[Part, ...]
    inputs: tuple[Shape, ...]
    rows: tuple[int | None, ...]
    outputs: int
    seed: int

    def model(self) -> Sequential:
        """Return the model, in float64."""
        return Sequential(*(part.layer() for part in self.parts), dtype=float, rng=self.seed)

    def module(self) -> Any:
        """Return the module, in float64, with other numbers."""
        return nn.Sequential(*(part.module() for part in self.parts)).double()


# ---- any wiring

Plan = tuple[tuple[Any, ...], ...]
"""Operations on values, numbered from the input on, each adding one value or, a split, several."""


class Wired(Composite):
    """Parts wired by a plan; the last value comes out."""

    def __init__(self, *parts: Layer, plan: Plan) -> None:
        self.parts, self.plan = parts, plan

    def wire(self, call: Any, x: Any) -> Any:
        values = [x]
        for operation, *arguments in self.plan:
            if operation == "call":
                values.append(call(self.parts[arguments[0]], values[arguments[1]]))
            elif operation == "split":
                values.extend(call.split(values[arguments[0]], *arguments[1], axis=1))
            else:
                settings = {"axis": 1} if operation == "concatenate" else {}
                values.append(getattr(call, operation)(*(values[i] for i in arguments), **settings))
        return values[-1]


class WiredModule(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """The same in PyTorch."""

    def __init__(self, *parts: Any, plan: Plan) -> None:
        super().__init__()
        self.parts, self.plan = nn.ModuleList(parts), plan

    def forward(self, x: Any) -> Any:
        values = [x]
        for operation, *arguments in self.plan:
            if operation == "call":
                values.append(self.parts[arguments[0]](values[arguments[1]]))
            elif operation == "split":
                values.extend(torch.split(values[arguments[0]], list(arguments[1]), dim=1))
            elif operation == "concatenate":
                values.append(torch.cat([values[i] for i in arguments], dim=1))
            else:
                one, other = (values[i] for i in arguments)
                values.append(one + other if operation == "add" else one * other)
        return values[-1]


# ---- what torch.nn has not


class Function(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """A function of x, which may be a tuple."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class Branches(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """Several modules: on one x, or on a tuple one each."""

    def __init__(self, *branches: Any) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Any) -> tuple[Any, ...]:
        parts = x if isinstance(x, tuple) else (x,) * len(self.branches)
        return tuple(branch(part) for branch, part in zip(self.branches, parts, strict=True))


class Skip(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """x + inner(x)."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


class Standardized(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """(x - mean) / scale."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, x: Any) -> Any:
        return (x - self.mean) / self.scale


class _Sequence:
    """Before a recurrent module: batch first, and the sequence alone."""

    def __init__(self, *sizes: int, **settings: Any) -> None:
        super().__init__(*sizes, batch_first=True, **settings)  # type: ignore[call-arg]

    def forward(self, x: Any) -> Any:
        return super().forward(x)[0]  # type: ignore[misc]


class RNN(_Sequence, nn.RNN):  # type: ignore[misc]  # PyTorch may be missing
    pass


class LSTM(_Sequence, nn.LSTM):  # type: ignore[misc]
    pass


class GRU(_Sequence, nn.GRU):  # type: ignore[misc]
    pass


class Attention(nn.MultiheadAttention):  # type: ignore[misc]  # PyTorch may be missing
    """Attention of x to itself."""

    def __init__(self, *sizes: int, causal: bool) -> None:
        super().__init__(*sizes, batch_first=True)
        self.causal = causal

    def forward(self, x: Any) -> Any:
        length = x.shape[1]
        mask = torch.ones(length, length).triu(1).bool() if self.causal else None
        return super().forward(x, x, x, attn_mask=mask)[0]


class Positions(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """x + weight, a row for each place of a sequence."""

    def __init__(self, features: int, most: int, *, learned: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(most, features))

    def forward(self, x: Any) -> Any:
        return x + self.weight[: x.shape[1]]


THERE: dict[str, Callable[..., Any]] = {
    "RNN": RNN,
    "LSTM": LSTM,
    "GRU": GRU,
    "MultiHeadAttention": Attention,
    "PositionalEncoding": Positions,
    "TransformerBlock": partial(nn.TransformerEncoderLayer, batch_first=True),
    "Wired": WiredModule,
    "Fork": Branches,
    "Parallel": Branches,
    "Concatenate": lambda: Function(lambda x: torch.cat(x, dim=-1)),
    "Add": lambda: Function(sum),
    "Residual": Skip,
    "Standardize": Standardized,
    "Permute": lambda *axes: Function(lambda x: x.permute(0, *axes)),
    "Reshape": lambda *shape: Function(lambda x: x.reshape(len(x), *shape)),
    "GlobalAvgPool": lambda: Function(lambda x: x.flatten(2).mean(2)),
    "GaussianNoise": lambda std: nn.Identity(),
    "Clip": nn.Hardtanh,
    "GELU": lambda approximate=False: nn.GELU("tanh" if approximate else "none"),
    "Hardsigmoid": lambda: Function(lambda x: nn.functional.relu6(x + 3) / 6),  # PyTorch's own slope is a float32
    "Pad": lambda padding, mode: nn.ReplicationPad2d(padding),
    "Softplus": lambda: nn.Softplus(threshold=40),
    "Softmax": lambda: nn.Softmax(dim=-1),
    "LogSoftmax": lambda: nn.LogSoftmax(dim=-1),
}
"""The module of a part whose class or arguments are not PyTorch's."""


# ---- drawing

ANYWHERE = [
    *(Part(name) for name in ("Sigmoid", "Tanh", "ReLU", "Identity", "SELU", "SiLU", "GELU", "Softplus", "Softsign")),
    *(Part(name) for name in ("Hardsigmoid", "Hardswish", "LogSigmoid", "Mish", "PReLU", "Hardshrink", "Softshrink")),
    *(
        Part("CELU", (0.5,)),  # PyTorch takes 1 / alpha in float32 on the way back
        Part("LeakyReLU", (0.2,)),
        Part("ELU", (0.7,)),
        Part("Clip", (-0.8, 1.5)),
        Part("GELU", (), {"approximate": True}),
    ),
    *(Part("Softmax"), Part("LogSoftmax"), Part("Dropout", (0.0,)), Part("GaussianNoise", (0.0,))),
]
"""Parts that take anything and keep its shape; what is random draws nothing."""


def drawn_part(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw a part that takes samples of a shape, and return the shape that it gives."""
    choices = [
        anywhere,
        anywhere,
        over_last_axes,
        over_last_axes,
        {1: on_vectors, 2: on_series, 3: on_images}[len(shape)],
    ]
    choices += [choices[-1]] * 5 + ([nested] * 3 if depth else [])
    found: tuple[Part, Shape] = draw(st.sampled_from(choices))(draw, shape, depth)
    return found


def anywhere(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw an elementwise part."""
    return draw(st.sampled_from(ANYWHERE)), shape


def over_last_axes(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw a part that works on the last axis or axes."""
    name = draw(st.sampled_from(["Linear", "Linear", "LayerNorm", "RMSNorm", "Standardize"]))
    if name == "Linear":
        out = draw(st.integers(1, 5))
        return Part(name, (shape[-1], out), {"bias": draw(st.booleans())}), (*shape[:-1], out)
    if name == "Standardize":
        return Part(name, (shape[-1],)), shape
    last = shape[-draw(st.integers(1, len(shape))) :]
    settings = {"eps": 1e-2, "elementwise_affine": draw(st.booleans())}
    return Part(name, (last,), settings), shape


def normed(draw: Any, shape: Shape) -> Part:
    """Draw a norm of the channels."""
    channels, axes, affine = shape[0], len(shape) - 1, {"eps": 1e-2, "affine": draw(st.booleans())}
    names = ["BatchNorm", "BatchNorm", "GroupNorm"] + ["InstanceNorm"] * (math.prod(shape[1:]) > 1)
    name = draw(st.sampled_from(names))
    if name == "GroupNorm":
        groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
        return Part(name, (groups, channels), affine)
    if name == "BatchNorm":
        affine |= {"momentum": draw(st.sampled_from([0.1, 0.5, None]))}
    return Part(name, (channels,), affine, there=f"{name}{max(axes, 1)}d")


def on_vectors(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw a part for vectors."""
    (size,) = shape
    kind = draw(st.sampled_from(["norm", "Reshape", "Linear", "Linear"]))
    if kind == "norm":
        return normed(draw, shape), shape
    if kind == "Reshape" and size % 2 == 0:
        after = draw(st.sampled_from([(2, size // 2), (size // 2, 2), (1, 2, size // 2)]))
        return Part(kind, after), after
    out = draw(st.integers(1, 6))
    return Part("Linear", (size, out)), (out,)


def on_series(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw a part for sequences of channels (C, L), or of C vectors of L features."""
    channels, length = shape
    kind = draw(
        st.sampled_from(["norm", "Conv1d", "Conv1d", "MaxPool1d", "AvgPool1d", "Permute", "recurrent", "attention"])
    )
    if kind == "recurrent":
        settings = {"bidirectional": draw(st.booleans()), "bias": draw(st.booleans())}
        sizes = length, draw(st.integers(1, 3)), draw(st.integers(1, 2))
        return sized(Part(draw(st.sampled_from(["RNN", "LSTM", "GRU"])), sizes, settings), shape)
    if kind == "attention":
        return attending(draw, shape), shape
    if kind == "norm":
        return normed(draw, shape), shape
    if kind == "Permute":
        return Part(kind, (2, 1)), (length, channels)
    kernel, stride = draw(st.integers(1, min(3, length))), draw(st.integers(1, 2))
    if kind == "Conv1d":
        settings = {"stride": stride, "padding": draw(st.integers(0, 1)), "dilation": 1 + (2 * kernel <= length)}
        return sized(Part(kind, (channels, draw(st.integers(1, 4)), kernel), settings), shape)
    return sized(Part(kind, (kernel, stride), {"padding": draw(st.integers(0, kernel // 2))}), shape)


def attending(draw: Any, shape: Shape) -> Part:
    """Draw a part for sequences of vectors (T, F)."""
    length, size = shape
    heads = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    kind = draw(st.sampled_from(["MultiHeadAttention", "PositionalEncoding", "TransformerBlock"]))
    if kind == "MultiHeadAttention":
        return Part(kind, (size, heads), {"causal": draw(st.booleans())})
    if kind == "PositionalEncoding":
        return Part(kind, (size, length + draw(st.integers(0, 2))), {"learned": True})
    settings = {"dropout": 0.0, "layer_norm_eps": 1e-2, "norm_first": draw(st.booleans())}
    return Part(kind, (size, heads, draw(st.integers(1, 5))), settings)


def on_images(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw a part for images (C, H, W)."""
    channels, *size = shape
    least, area = min(size), math.prod(size)
    kinds = ["norm", "norm", "Conv2d", "Conv2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "Permute", "Dropout2d"]
    kinds += (
        ["ConvTranspose2d", "Upsample", "ZeroPad2d", "Pad"] * (1 + (area <= MOST // 4)) if area <= MOST // 2 else []
    )
    kind = draw(st.sampled_from(kinds))
    if kind == "norm":
        return normed(draw, shape), shape
    kernel, stride, out = draw(st.integers(1, min(3, least))), draw(st.integers(1, 2)), draw(st.integers(1, 4))
    groups = channels if draw(st.booleans()) else 1
    if kind == "Conv2d":
        same = ["same"] * (stride == 1 and kernel % 2)  # of an even kernel PyTorch warns
        padding = draw(st.sampled_from([0, 1, (1, 0), *same]))
        settings = {"stride": stride, "padding": padding, "groups": groups, "bias": draw(st.booleans())}
        return sized(Part(kind, (channels, groups * out, kernel), settings), shape)
    if kind == "ConvTranspose2d":
        settings = {"stride": stride, "output_padding": stride - 1, "groups": groups}
        return sized(Part(kind, (channels, groups * out, kernel), settings), shape)
    arguments: dict[str, tuple[Any, ...]] = {
        "MaxPool2d": (kernel, stride, kernel // 2),
        "AvgPool2d": (kernel, stride, kernel // 2),
        "AdaptiveAvgPool2d": (draw(st.sampled_from([1, (2, None)])) if least > 1 else 1,),
        "Permute": draw(st.sampled_from([(2, 3, 1), (3, 1, 2), (1, 3, 2)])),
        "Dropout2d": (0.0,),
        "Upsample": (2,),
        "ZeroPad2d": ((1, 0, 0, 2),),
        "Pad": ((1, 0, 0, 2), "replicate"),
    }
    settings = {"scale_factor": 2, "mode": draw(st.sampled_from(["nearest", "bilinear"]))} if kind == "Upsample" else {}
    return sized(Part(kind, () if settings else arguments[kind], settings), shape)


def sized(part: Part, shape: Shape) -> tuple[Part, Shape]:
    """Return a part with the shape that it gives; tests/layers has whether that is right."""
    out = part.layer().output_shape(shape)
    assert out is not None
    return part, out


def nested(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw a part with parts in it."""
    kind = draw(st.sampled_from(["Sequential", "Residual", "Fork", "Wired", "Wired", "Wired"]))
    if kind == "Wired":
        return wired(draw, shape, depth - 1)
    if kind == "Sequential":
        parts, after = drawn_chain(draw, shape, depth - 1)
        return Part(kind, parts=parts), after
    inner = keeping(draw, shape, depth - 1)
    if kind == "Residual":
        return Part(kind, parts=(inner,)), shape
    fork = Part("Fork", parts=(inner, keeping(draw, shape, depth - 1), Part("Identity")))
    if draw(st.booleans()):
        return Part("Sequential", parts=(fork, Part("Add"))), shape
    return Part("Sequential", parts=(fork, Part("Concatenate"))), (*shape[:-1], 3 * shape[-1])


def keeping(draw: Any, shape: Shape, depth: int) -> Part:
    """Draw a part that keeps the shape."""
    for _ in range(4):
        part, after = drawn_part(draw, shape, depth)
        if after == shape:
            return part
    return Part("Linear", (shape[-1], shape[-1]))


def wired(draw: Any, shape: Shape, depth: int) -> tuple[Part, Shape]:
    """Draw a Composite of two to five operations: forks, joins, splits, and parts that are called again."""
    parts: list[tuple[Part, Shape, Shape]] = []
    plan: list[tuple[Any, ...]] = []
    shapes = [shape]
    for _ in range(draw(st.integers(2, 5))):
        i = draw(st.integers(max(0, len(shapes) - 3), len(shapes) - 1))
        alike = [j for j, other in enumerate(shapes) if other == shapes[i]]
        joined = [j for j, other in enumerate(shapes) if other[1:] == shapes[i][1:]]
        again = [k for k, (_, before, _) in enumerate(parts) if before == shapes[i]]
        kinds = ["call", "twice", "twice", "add", "multiply", "concatenate", "split"] + ["again"] * (2 if again else 0)
        kind = draw(st.sampled_from(kinds))
        if kind == "split" and shapes[i][0] > 1:
            first = draw(st.integers(1, shapes[i][0] - 1))
            plan.append((kind, i, (first, shapes[i][0] - first)))
            shapes += [(size, *shapes[i][1:]) for size in plan[-1][2]]
        elif kind in ("add", "multiply"):
            plan.append((kind, i, draw(st.sampled_from(alike))))
            shapes.append(shapes[i])
        elif kind == "concatenate":
            j = draw(st.sampled_from(joined))
            plan.append((kind, i, j))
            shapes.append((shapes[i][0] + shapes[j][0], *shapes[i][1:]))
        elif kind == "twice":  # on its own output
            size = shapes[i][-1]
            part = Part("Linear", (size, size)) if draw(st.booleans()) else keeping(draw, shapes[i], depth)
            plan += [("call", len(parts), i), ("call", len(parts), len(shapes))]
            parts.append((part, shapes[i], shapes[i]))
            shapes += [shapes[i]] * 2
        else:
            if kind != "again":
                part, after = drawn_part(draw, shapes[i], depth)
                again = [len(parts)]
                parts.append((part, shapes[i], after))
            k = draw(st.sampled_from(again))
            plan.append(("call", k, i))
            shapes.append(parts[k][2])
    return Part("Wired", (), {"plan": tuple(plan)}, tuple(part for part, _, _ in parts)), shapes[-1]


def drawn_chain(draw: Any, shape: Shape, depth: int, most: int = 4) -> tuple[tuple[Part, ...], Shape]:
    """Draw parts one after another."""
    parts = []
    for _ in range(draw(st.integers(1, most))):
        part, shape = drawn_part(draw, shape, depth)
        parts.append(part)
    return tuple(parts), shape


def to_vector(draw: Any, shape: Shape) -> tuple[tuple[Part, ...], Shape]:
    """Draw how samples of a shape become vectors."""
    if len(shape) == 1:
        return (), shape
    if draw(st.booleans()):
        return (Part("GlobalAvgPool"),), shape[:1]
    return (Part("Flatten"),), (math.prod(shape),)


def branch(draw: Any, depth: int) -> tuple[tuple[Part, ...], Shape, int | None, Shape]:
    """Draw a chain from an input to a vector: its parts, the input's shape, the rows it indexes, the vector's shape."""
    kind = draw(st.sampled_from(["images", "images", "images", "series", "vectors", "indices"]))
    small = st.integers(1, 4)
    if kind == "indices":
        shape: Shape = (draw(small), draw(small))
        rows, size = draw(st.integers(2, 6)), draw(small)
        settings = {"padding_idx": draw(st.sampled_from([None, 1]))}
        first: tuple[Part, ...] = (Part("Embedding", (rows, size), settings),)
        given, shape = shape[:1], (shape[0], size)
    else:
        sides = {"images": (3, 8), "series": (2, 8), "vectors": (1, 5)}[kind]
        sizes = [draw(st.integers(3, sides[1])) for _ in range(sides[0] - 1)]
        shape = given = (draw(small), *sizes)
        rows, first = None, ()
    parts, shape = drawn_chain(draw, shape, depth, most=5)
    last, shape = to_vector(draw, shape)
    return (*first, *parts, *last), given, rows, shape


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Draw a whole net: one chain or several inputs, then a dense part, then one output or two."""
    several = draw(st.booleans()) and draw(st.booleans())
    branches = [branch(draw, 1 if several else 2) for _ in range(2 if several else 1)]
    parts: tuple[Part, ...] = branches[0][0]
    (size,) = branches[0][3]
    if several:
        parts = (
            Part("Parallel", parts=tuple(Part("Sequential", parts=each[0]) for each in branches)),
            Part("Concatenate"),
        )
        size = sum(each[3][0] for each in branches)
    parts += (Part("Linear", (size, 4)),)
    if draw(st.booleans()):
        graph, shape = wired(draw, (4,), 0)
        last, (size,) = to_vector(draw, shape)
        parts += (graph, *last, Part("Linear", (size, 4)))
    parts += (draw(st.sampled_from(ANYWHERE)),)
    if draw(st.booleans()):
        parts += (Part("Linear", (4, draw(st.integers(1, 3)))),)
        outputs = 1
    else:
        parts += (Part("Fork", parts=(Part("Linear", (4, 2)), Part("Linear", (4, 1)))),)
        outputs = 2
    inputs, rows = tuple(each[1] for each in branches), tuple(each[2] for each in branches)
    return Net(parts, inputs, rows, outputs, draw(st.integers(0, 2**32 - 1)))


@st.composite
def chains(draw: st.DrawFn) -> Net:
    """Draw a chain of layers that torch.nn has."""
    parts, given, rows, _ = branch(draw, 0)
    kept = tuple(part for part in parts if part.name not in ("Standardize", "GaussianNoise"))
    assume(all(part.name not in ("Permute", "PositionalEncoding") for part in kept))
    return Net(kept, (given,), (rows,), 1, draw(st.integers(0, 2**32 - 1)))
