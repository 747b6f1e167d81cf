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
from nanonet.layers.softmax import LogSoftmax, Softmax

NAMED: dict[str, Callable[[], Layer]] = {
    "elu": act.ELU,
    "gelu": GELU,
    "hard_tanh": lambda: Hardtanh(-1, 1),
    "leaky_relu": lambda: act.LeakyReLU(0.2),
    "relu": act.ReLU,
    "relu6": ReLU6,
    "selu": act.SELU,
    "sigmoid": act.Sigmoid,
    "silu": act.SiLU,
    "softplus": act.Softplus,
    "softsign": act.Softsign,
    "swish": act.SiLU,
    "tanh": act.Tanh,
}
"""The activations that one layer computes, by Keras's names."""

ALONG_LAST = {"softmax": Softmax, "log_softmax": LogSoftmax}
HARD_SIGMOID = "hard_sigmoid"  # the clipped line from 0 at -3 to 1 at 3
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
    elif value == HARD_SIGMOID:
        scaled(reached, mean=-3.0, scale=6.0)
        reached.add(Clip(0, 1))
    else:
        known = sorted([*NAMED, *ALONG_LAST, HARD_SIGMOID, "linear"])
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
    scale, offset = (_numbers(reached, name, default) for name, default in (("scale", None), ("offset", 0.0)))
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


def _numbers(reached: Reached, name: str, default: Any) -> Any:
    value = reached.setting(name) if default is None else reached.setting(name, default)
    try:
        found = np.array(value, np.float64)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if not np.isfinite(found).all() or found.ndim > len(reached.shape):
        raise ValueError(f"expected numbers as {name}, got {value!r:.60}")
    return found
