"""Norms: the writers of layers that normalize; in simpler operators where ONNX, or runtimes in float64, have no own."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.interchange.onnx.draft import Draft
from nanonet.interchange.onnx.registration import writes
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.group_norm import GroupNorm, InstanceNorm
from nanonet.layers.norm import LayerNorm, RMSNorm


def _affine(draft: Draft, layer: Any, shape: Shape) -> tuple[str, str]:
    """Add weight and bias; 1 and 0 for a layer without."""
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    return (
        draft.constant("weight", np.ones(shape, draft.dtype) if weight is None else weight.value),
        draft.constant("bias", np.zeros(shape, draft.dtype) if bias is None else bias.value),
    )


def _normalized(draft: Draft, x: str, axes: list[int], eps: float, *, centred: bool = True) -> str:
    """Add (x - μ) / √(σ² + eps) over some axes, or x / √(mean(x²) + eps) if not centred."""
    c = draft.add("Sub", x, draft.add("ReduceMean", x, axes=axes, keepdims=1)) if centred else x
    mean = draft.add("ReduceMean", draft.add("Mul", c, c), axes=axes, keepdims=1)
    return draft.add("Div", c, draft.add("Sqrt", draft.add("Add", mean, draft.number(eps))))


def _scaled(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add the multiplication by weight and the addition of bias, in a shape, as far as the layer has them."""
    if layer.weight is not None:
        x = draft.add("Mul", x, draft.constant("weight", layer.weight.value.reshape(shape)))
    if getattr(layer, "bias", None) is not None:
        x = draft.add("Add", x, draft.constant("bias", layer.bias.value.reshape(shape)))
    return x


@writes(BatchNorm)
def _batch_norm(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add the normalization by running statistics; by those of the batch if there are none."""
    if layer.running_mean is None:
        z = _normalized(draft, x, [0, *range(2, 1 + len(shape))], layer.eps)
        return _scaled(draft, layer, z, (-1, *[1] * (len(shape) - 1)))
    statistics = [draft.constant(name, getattr(layer, name).value) for name in ("running_mean", "running_var")]
    affine = _affine(draft, layer, (layer.num_features,))
    return draft.add("BatchNormalization", x, *affine, *statistics, epsilon=layer.eps)


@writes(LayerNorm)
def _layer_norm(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    count = len(layer.normalized_shape)
    affine = _affine(draft, layer, layer.normalized_shape)
    return draft.add("LayerNormalization", x, *affine, axis=-count, epsilon=layer.eps)


@writes(RMSNorm)
def _rms_norm(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    eps = float(np.finfo(draft.dtype).eps) if layer.eps is None else layer.eps
    z = _normalized(draft, x, list(range(-len(layer.normalized_shape), 0)), eps, centred=False)
    return _scaled(draft, layer, z, layer.normalized_shape)


@writes(InstanceNorm)
def _instance_norm(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    if draft.is_double:  # for which runtimes have no InstanceNormalization
        z = _normalized(draft, x, list(range(2, 1 + len(shape))), layer.eps)
        return _scaled(draft, layer, z, (-1, *[1] * (len(shape) - 1)))
    return draft.add("InstanceNormalization", x, *_affine(draft, layer, (layer.num_features,)), epsilon=layer.eps)


@writes(GroupNorm)
def _group_norm(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add a normalization of groups as rows."""
    z = draft.add("Reshape", x, draft.integers(0, layer.num_groups, -1))
    if draft.is_double:
        z = _normalized(draft, z, [2], layer.eps)
    else:
        ones = draft.constant("ones", np.ones(layer.num_groups, draft.dtype))
        zeros = draft.constant("zeros", np.zeros(layer.num_groups, draft.dtype))
        z = draft.add("InstanceNormalization", z, ones, zeros, epsilon=layer.eps)
    z = draft.add("Reshape", z, draft.integers(0, *shape))
    return _scaled(draft, layer, z, (-1, *[1] * (len(shape) - 1)))
