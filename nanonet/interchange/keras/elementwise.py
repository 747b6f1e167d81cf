"""elementwise: registers activations, by name and as layers, and what else changes each number on its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.interchange.keras.reached import Reached, scaling
from nanonet.interchange.keras.registration import READERS, reads
from nanonet.layers import activations as act
from nanonet.layers.clip import Clip, Hardtanh, ReLU6
from nanonet.layers.dropout import Dropout, GaussianNoise
from nanonet.layers.gelu import GELU
from nanonet.layers.hard import Hardshrink, Hardsigmoid, Hardswish, Softshrink
from nanonet.layers.prelu import PReLU
from nanonet.layers.smooth import CELU, LogSigmoid, Mish
from nanonet.layers.softmax import LogSoftmax, Softmax

NAMED: dict[str, Callable[[], Layer]] = {
    "celu": CELU,
    "elu": act.ELU,
    "gelu": GELU,
    "hard_shrink": Hardshrink,
    "hard_sigmoid": Hardsigmoid,
    "hard_silu": Hardswish,
    "hard_swish": Hardswish,
    "hard_tanh": lambda: Hardtanh(-1, 1),
    "leaky_relu": lambda: act.LeakyReLU(0.2),
    "log_sigmoid": LogSigmoid,
    "mish": Mish,
    "relu": act.ReLU,
    "relu6": ReLU6,
    "selu": act.SELU,
    "sigmoid": act.Sigmoid,
    "silu": act.SiLU,
    "soft_shrink": Softshrink,
    "softplus": act.Softplus,
    "softsign": act.Softsign,
    "swish": act.SiLU,
    "tanh": act.Tanh,
}
"""The activations that one layer computes, by Keras's names."""

ALONG_LAST = {"softmax": Softmax, "log_softmax": LogSoftmax}
AS_LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax")  # layers that may be given as an activation


def activate(reached: Reached, name: str = "activation") -> None:
    """Add the layer of an activation, by its name or as a layer; none for a linear one."""
    value: Any = reached.setting(name, None)
    if isinstance(value, dict) and value.get("class_name") in AS_LAYERS and isinstance(value.get("config"), dict):
        if str(value.get("module", "keras")).split(".")[0] == "keras":
            before, reached.config = reached.config, value["config"]
            READERS[value["class_name"]](reached)
            reached.config = before
            return
    if value is None or value == "linear":
        return
    if isinstance(value, str) and value in NAMED:
        reached.add(NAMED[value]())
    elif isinstance(value, str) and value in ALONG_LAST:
        reached.here(moved=False)
        reached.add(ALONG_LAST[value]())
    else:
        known = sorted([*NAMED, *ALONG_LAST, "linear"])
        reached.refuse(f"{name}={value!r:.80}: nanonet has no such activation; it has {', '.join(known)}")


@reads("Activation")
def activation(reached: Reached) -> None:
    """Read an activation by its name."""
    activate(reached)


@reads("ReLU")
def relu(reached: Reached) -> None:
    """Read max(x, 0), with a slope below 0, or a bound."""
    slope, bound = reached.number("negative_slope", 0.0), reached.config.get("max_value")
    reached.only("threshold", 0, None, why="nanonet's ReLU has its corner at 0")
    if slope:
        reached.add(act.LeakyReLU(slope))
        if bound is not None:
            if slope < 0:
                reached.refuse("nanonet has no ReLU of a negative slope and a bound")
            reached.add(Clip(None, reached.number("max_value")))
    else:
        reached.add(act.ReLU() if bound is None else Clip(0, reached.number("max_value")))


@reads("LeakyReLU")
def leaky_relu(reached: Reached) -> None:
    """Read the slope, called alpha before Keras 3."""
    name = "negative_slope" if "negative_slope" in reached.config else "alpha"
    reached.add(act.LeakyReLU(reached.number(name)))


@reads("ELU")
def elu(reached: Reached) -> None:
    """Read alpha."""
    reached.add(act.ELU(reached.number("alpha", 1.0)))


@reads("PReLU")
def prelu(reached: Reached) -> None:
    """Read alpha, one for each channel or one for all; the other axes must be shared."""
    shared = reached.setting("shared_axes", None) or []
    if not isinstance(shared, list):
        raise ValueError(f"expected shared_axes as a list, got {shared!r:.60}")
    wanted = [1 if axis in shared else n for axis, n in enumerate(reached.shape, 1)]
    alpha = reached.array(0, "alpha", *wanted)
    if any(n != 1 for n in alpha.shape[:-1]):
        reached.refuse(f"shared_axes={shared}: nanonet's PReLU has one slope for each channel; share all other axes")
    reached.here(moved=len(reached.shape) > 1)
    layer = reached.add(PReLU(alpha.size) if alpha.size > 1 else PReLU())
    reached.fill(layer, weight=alpha.ravel())


@reads("Softmax")
def softmax(reached: Reached) -> None:
    """Read a softmax along the last axis."""
    if reached.axis("axis") != len(reached.shape):
        reached.refuse(f"axis={reached.config['axis']}: nanonet's Softmax goes along the last axis")
    reached.here(moved=False)
    reached.add(Softmax())


@reads("Dropout")
def dropout(reached: Reached) -> None:
    """Read a dropout of single numbers."""
    reached.only("noise_shape", None)
    reached.add(Dropout(reached.number("rate")))


@reads("GaussianNoise")
def noise(reached: Reached) -> None:
    """Read noise in training."""
    reached.add(GaussianNoise(reached.number("stddev")))


@reads("Identity", "ActivityRegularization")
def nothing(reached: Reached) -> None:
    """Read what has no effect on its input."""


@reads("Rescaling")
def rescaling(reached: Reached) -> None:
    """Scale x + offset = (x - mean) / s, with mean = -offset / scale and s = 1 / scale."""
    scale, offset = (numbers_of(reached, name, default) for name, default in (("scale", None), ("offset", 0.0)))
    if not scale.all():
        reached.refuse("scale=0: nanonet has no layer that forgets its input")
    scaled(reached, mean=-offset / scale, scale=1 / scale)


def scaled(reached: Reached, *, mean: Any, scale: Any) -> None:
    """Add (x - mean) / scale; arrays lie on the last axes in Keras's order."""
    layer, fills = scaling(mean, scale)
    if layer.shape:
        reached.here(moved=False)
    reached.add(layer)
    reached.fills += fills


def numbers_of(reached: Reached, name: str, default: Any = None) -> Any:
    """Return a setting that is a number, or an array of numbers of the last axes."""
    value = reached.setting(name) if default is None else reached.setting(name, default)
    try:
        found = np.array(value, np.float64)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if not np.isfinite(found).all() or found.ndim > len(reached.shape):
        raise ValueError(f"expected numbers as {name}, got {value!r:.60}")
    return found
