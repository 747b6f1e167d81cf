"""norms: registers normalizations, of a batch, of a sample, and by fixed statistics of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.interchange.keras.elementwise import numbers_of, scaled
from nanonet.interchange.keras.reached import Reached
from nanonet.interchange.keras.registration import reads
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.group_norm import GroupNorm
from nanonet.layers.norm import LayerNorm, RMSNorm

SMALLEST = 1e-7  # what Keras's Normalization divides by at least


def _affine(reached: Reached, layer: Layer, shape: tuple[int, ...]) -> int:
    """Fill weight and bias with gamma and beta, or with 1 and 0 where only one is there; return how many there were."""
    count = 0
    for flag, name, ours, without in (("scale", "gamma", "weight", 1.0), ("center", "beta", "bias", 0.0)):
        if getattr(layer, ours) is None:
            continue
        if reached.flag(flag, True):
            reached.fill(layer, **{ours: reached.array(count, name, *shape)})
            count += 1
        else:
            reached.fill(layer, **{ours: np.full(shape, without)})
            reached.held.append(getattr(layer, ours))
    return count


def _is_affine(reached: Reached) -> bool:
    return reached.flag("scale", True) or reached.flag("center", True)


@reads("BatchNormalization")
def batch_norm(reached: Reached) -> None:
    """Momentum is the share of the old statistic in Keras, of the new one in nanonet."""
    reached.only("renorm", False)
    _channels_first(reached)
    features = _features(reached, reached.axis("axis"))
    momentum = round(1 - reached.number("momentum", 0.99), 12)
    affine = {} if _is_affine(reached) else {"affine": False}
    layer = BatchNorm(features, reached.number("epsilon", 1e-3), momentum, **affine)
    reached.add(layer)
    count = _affine(reached, layer, (features,))
    reached.fill(
        layer,
        running_mean=reached.array(count, "moving_mean", features),
        running_var=reached.array(count + 1, "moving_variance", features),
    )


@reads("GroupNormalization")
def group_norm(reached: Reached) -> None:
    """Read groups of channels; -1 groups are as many as channels."""
    _channels_first(reached)
    features, groups = _features(reached, reached.axis("axis")), reached.setting("groups")
    layer = GroupNorm(
        features if groups == -1 else reached.size("groups"),
        features,
        reached.number("epsilon", 1e-3),
        **({} if _is_affine(reached) else {"affine": False}),
    )
    reached.add(layer)
    _affine(reached, layer, (features,))


def _channels_first(reached: Reached) -> None:
    """Put the axis first along which the statistics are not taken."""
    axis = reached.axis("axis")
    if axis not in (1, len(reached.shape)):
        reached.refuse(f"axis={axis}: nanonet takes the first axis after the batch, or the last")
    reached.here(moved=axis == len(reached.shape) and len(reached.shape) > 1)


def _features(reached: Reached, axis: int) -> int:
    found = reached.shape[axis - 1]
    if found is None:
        raise ValueError(f"its input has an open length along axis {axis}, {reached.shape}")
    return found


@reads("LayerNormalization")
def layer_norm(reached: Reached) -> None:
    """Read a norm over the last axes."""
    reached.only("rms_scaling", False, why="load takes RMSNormalization instead")
    shape = _last_axes(reached)
    options = {"elementwise_affine": False} if not _is_affine(reached) else {}
    options |= {"bias": False} if not reached.flag("center", True) and not options else {}
    layer = LayerNorm(shape if len(shape) > 1 else shape[0], reached.number("epsilon", 1e-3), **options)
    reached.add(layer)
    _affine(reached, layer, shape)


@reads("RMSNormalization")
def rms_norm(reached: Reached) -> None:
    """Read a norm over the last axes."""
    shape = _last_axes(reached)
    layer = RMSNorm(shape if len(shape) > 1 else shape[0], reached.number("epsilon", 1e-6))
    reached.add(layer)
    reached.fill(layer, weight=reached.array(0, "scale", *shape))


def _last_axes(reached: Reached) -> tuple[int, ...]:
    """Return the lengths of the axes that a norm goes over, which must be the last ones."""
    reached.here(moved=False)
    axes = _axes(reached, "axis")
    if axes != list(range(len(reached.shape) + 1 - len(axes), len(reached.shape) + 1)) or not axes:
        reached.refuse(f"axis={axes}: nanonet takes the last axes")
    return tuple(_features(reached, axis) for axis in axes)


def _axes(reached: Reached, name: str) -> list[int]:
    """Return a setting of axes, counted from the front, in order."""
    value: Any = reached.setting(name, -1)
    each = value if isinstance(value, list) else [] if value is None else [value]
    if any(type(axis) is not int for axis in each):
        raise ValueError(f"expected {name} as axes, got {value!r:.60}")
    found = sorted(axis + 1 + len(reached.shape) if axis < 0 else axis for axis in each)
    if found and not 1 <= found[0] <= found[-1] <= len(reached.shape):
        raise ValueError(f"{name}={value} are no axes of {reached.shape}")
    return found


@reads("Normalization")
def normalization(reached: Reached) -> None:
    """Read (x - mean) / max(√variance, 1e-7), with numbers that were adapted or given."""
    axes = _axes(reached, "axis")
    kept = tuple(_features(reached, axis) for axis in axes)
    if reached.setting("mean", None) is not None:
        mean, variance = (numbers_of(reached, name) for name in ("mean", "variance"))
        kept = mean.shape if mean.ndim == 0 or mean.size == 1 else kept
        mean, variance = mean.reshape(kept), variance.reshape(kept)
        broadcast = () if mean.ndim == 0 else _broadcast(reached, axes)
        broadcast = () if mean.size == 1 else broadcast
    else:
        mean = reached.array(0, "mean", *kept).astype(np.float64)
        variance = reached.array(1, "variance", *kept).astype(np.float64)
        broadcast = _broadcast(reached, axes)
    if not (variance >= 0).all():
        raise ValueError("expected a variance of 0 or more")
    mean, scale = mean.reshape(broadcast), np.maximum(np.sqrt(variance.reshape(broadcast)), SMALLEST)
    if reached.flag("invert", False):
        mean, scale = -mean / scale, 1 / scale
    scaled(reached, mean=mean, scale=scale)


def _broadcast(reached: Reached, axes: list[int]) -> tuple[int, ...]:
    """Return the shape of statistics along axes, from the first of these on."""
    first = min(axes, default=len(reached.shape) + 1)
    return tuple(_features(reached, axis) if axis in axes else 1 for axis in range(first, len(reached.shape) + 1))
