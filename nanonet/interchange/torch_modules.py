"""torch_modules: registers all layers but those for images with the modules of torch.nn that compute the same."""

from __future__ import annotations

from typing import Any

from nanonet.core.checks import known
from nanonet.core.layer import Layer
from nanonet.interchange.torch_pairs import HARMLESS, TAKEN, Only, pair
from nanonet.interchange.torch_settings import made, of_axes, spatial, taken
from nanonet.layers import activations as act
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.clip import Clip
from nanonet.layers.dropout import Dropout, Dropout2d
from nanonet.layers.embedding import Embedding
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.group_norm import GroupNorm, InstanceNorm
from nanonet.layers.hard import Hardshrink, Hardsigmoid, Hardswish, Softshrink
from nanonet.layers.linear import Linear
from nanonet.layers.norm import LayerNorm, RMSNorm
from nanonet.layers.prelu import PReLU
from nanonet.layers.reshape import Reshape
from nanonet.layers.smooth import CELU, LogSigmoid, Mish
from nanonet.layers.softmax import LogSoftmax, Softmax

INPLACE: dict[str, str | Only] = {"inplace": HARMLESS}
LAST_AXIS: dict[str, str | Only] = {"dim": Only(-1, "for rows dim=1 is the same")}
ENOUGH = 40.0  # log(1 + exp(a)) equals a from here on, in float64 too


# ---- Linear, activations, dropout


def _linear(module: Any) -> Layer:
    out_features, in_features = module.weight.shape
    return made(Linear, in_features, out_features, bias=module.bias is not None)


def _softplus(module: Any) -> Layer:
    if module.threshold < ENOUGH:
        return act.Softplus(module.beta, module.threshold)
    return act.Softplus() if module.beta == 1 else act.Softplus(module.beta)


def _gelu(module: Any) -> Layer:
    if module.approximate not in ("none", "tanh"):  # set after construction; PyTorch itself fails with it
        raise ValueError(f"GELU: expected approximate='none' or 'tanh', got {module.approximate!r}")
    return GELU(approximate=True) if module.approximate == "tanh" else GELU()


pair(
    Linear,
    "Linear",
    there=lambda nn, layer, shape: nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None),
    here=_linear,
    options=taken("in_features", "out_features", "bias"),
)
pair(act.Sigmoid, "Sigmoid", there=lambda nn, layer, shape: nn.Sigmoid(), here=lambda module: act.Sigmoid())
pair(act.Tanh, "Tanh", there=lambda nn, layer, shape: nn.Tanh(), here=lambda module: act.Tanh())
pair(act.Identity, "Identity", there=lambda nn, layer, shape: nn.Identity(), here=lambda module: act.Identity())
pair(act.Softsign, "Softsign", there=lambda nn, layer, shape: nn.Softsign(), here=lambda module: act.Softsign())
pair(act.ReLU, "ReLU", there=lambda nn, layer, shape: nn.ReLU(), here=lambda module: act.ReLU(), options=INPLACE)
pair(act.SELU, "SELU", there=lambda nn, layer, shape: nn.SELU(), here=lambda module: act.SELU(), options=INPLACE)
pair(act.SiLU, "SiLU", there=lambda nn, layer, shape: nn.SiLU(), here=lambda module: act.SiLU(), options=INPLACE)
pair(
    Clip,
    "Hardtanh",
    there=lambda nn, layer, shape: nn.Hardtanh(layer.low, layer.high),
    here=lambda module: Clip(module.min_val, module.max_val),
    options={
        **taken("min_val", "max_val"),
        **INPLACE,
        **{"min_value": HARMLESS, "max_value": HARMLESS},  # older names of the two, stored under the new ones
    },
)
pair(Clip, "ReLU6", here=lambda module: Clip(module.min_val, module.max_val), options=INPLACE)
pair(
    act.LeakyReLU,
    "LeakyReLU",
    there=lambda nn, layer, shape: nn.LeakyReLU(layer.slope),
    here=lambda module: act.LeakyReLU(module.negative_slope),
    options={"negative_slope": TAKEN, **INPLACE},
)
pair(
    act.ELU,
    "ELU",
    there=lambda nn, layer, shape: nn.ELU(layer.alpha),
    here=lambda module: act.ELU(module.alpha),
    options={"alpha": TAKEN, **INPLACE},
)
pair(
    GELU,
    "GELU",
    there=lambda nn, layer, shape: nn.GELU("tanh" if layer.approximate else "none"),
    here=_gelu,
    options=taken("approximate"),
)
pair(
    act.Softplus,
    "Softplus",
    there=lambda nn, layer, shape: nn.Softplus(layer.beta, min(layer.threshold, ENOUGH)),
    here=_softplus,
    options=taken("beta", "threshold"),
)
pair(Hardsigmoid, "Hardsigmoid", there=lambda nn, *_: nn.Hardsigmoid(), here=lambda _: Hardsigmoid(), options=INPLACE)
pair(Hardswish, "Hardswish", there=lambda nn, *_: nn.Hardswish(), here=lambda _: Hardswish(), options=INPLACE)
pair(LogSigmoid, "LogSigmoid", there=lambda nn, *_: nn.LogSigmoid(), here=lambda _: LogSigmoid())
pair(Mish, "Mish", there=lambda nn, *_: nn.Mish(), here=lambda _: Mish(), options=INPLACE)
pair(
    CELU,
    "CELU",
    there=lambda nn, layer, shape: nn.CELU(layer.alpha),
    here=lambda module: CELU(module.alpha),
    options={"alpha": TAKEN, **INPLACE},
)
pair(
    Hardshrink,
    "Hardshrink",
    there=lambda nn, layer, shape: nn.Hardshrink(layer.threshold),
    here=lambda module: Hardshrink(module.lambd),
    options=taken("lambd"),
)
pair(
    Softshrink,
    "Softshrink",
    there=lambda nn, layer, shape: nn.Softshrink(layer.threshold),
    here=lambda module: Softshrink(module.lambd),
    options=taken("lambd"),
)
pair(
    PReLU,
    "PReLU",
    there=lambda nn, layer, shape: nn.PReLU(layer.num_parameters),
    here=lambda module: made(PReLU, num_parameters=module.num_parameters),
    options=taken("num_parameters", "init"),
)
pair(Softmax, "Softmax", there=lambda nn, layer, shape: nn.Softmax(dim=-1), here=lambda _: Softmax(), options=LAST_AXIS)
pair(
    LogSoftmax,
    "LogSoftmax",
    there=lambda nn, layer, shape: nn.LogSoftmax(dim=-1),
    here=lambda module: LogSoftmax(),
    options=LAST_AXIS,
)
pair(
    Dropout,
    "Dropout",
    there=lambda nn, layer, shape: nn.Dropout(layer.rate),
    here=lambda module: Dropout(module.p),
    options={"p": TAKEN, **INPLACE},
)
pair(
    Dropout2d,
    "Dropout2d",
    there=lambda nn, layer, shape: nn.Dropout2d(layer.rate),
    here=lambda module: Dropout2d(module.p),
    options={"p": TAKEN, **INPLACE},
)


# ---- norms


def _last_axes(module: Any) -> Any:
    """Return normalized_shape, as a number if it is one axis."""
    first, *others = module.normalized_shape
    return (first, *others) if others else first


def _batch_norm(module: Any) -> Layer:
    return made(
        BatchNorm,
        module.num_features,
        eps=module.eps,
        momentum=module.momentum,
        affine=module.weight is not None,
        track_running_stats=module.running_mean is not None,
    )


BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
INSTANCE_NORMS = ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")


def _batch_normed(nn: Any, layer: Any, shape: Any) -> Any:
    count = spatial(shape) or 1  # where a Linear leaves it open, one takes rows and sequences, and refuses images
    settings = layer.num_features, layer.eps, layer.momentum, layer.weight is not None, layer.running_mean is not None
    return of_axes(nn, (None,) * (count + 1), *BATCH_NORMS)(*settings)


BATCH = taken("num_features", "eps", "momentum", "affine", "track_running_stats", "bias")
pair(BatchNorm, BATCH_NORMS, there=_batch_normed, here=_batch_norm, options=BATCH)
pair(
    InstanceNorm,
    INSTANCE_NORMS,
    there=lambda nn, layer, shape: of_axes(nn, shape, *INSTANCE_NORMS)(
        layer.num_features, layer.eps, affine=layer.weight is not None
    ),
    here=lambda module: made(InstanceNorm, module.num_features, eps=module.eps, affine=module.weight is not None),
    options={
        **taken("num_features", "eps", "affine", "bias"),
        "momentum": HARMLESS,  # of the running statistics
        "track_running_stats": Only(False, "nanonet's has no running statistics"),
    },
)
pair(
    GroupNorm,
    "GroupNorm",
    there=lambda nn, layer, shape: nn.GroupNorm(
        layer.num_groups, layer.num_channels, layer.eps, layer.weight is not None
    ),
    here=lambda module: made(
        GroupNorm, module.num_groups, module.num_channels, eps=module.eps, affine=module.weight is not None
    ),
    options=taken("num_groups", "num_channels", "eps", "affine", "bias"),
)
pair(
    LayerNorm,
    "LayerNorm",
    there=lambda nn, layer, shape: nn.LayerNorm(
        layer.normalized_shape, layer.eps, layer.weight is not None, layer.bias is not None
    ),
    here=lambda module: made(
        LayerNorm,
        _last_axes(module),
        eps=module.eps,
        elementwise_affine=module.weight is not None,
        bias=module.weight is None or module.bias is not None,
    ),
    options=taken("normalized_shape", "eps", "elementwise_affine", "bias"),
)
pair(
    RMSNorm,
    "RMSNorm",
    there=lambda nn, layer, shape: nn.RMSNorm(layer.normalized_shape, layer.eps, layer.weight is not None),
    here=lambda module: made(RMSNorm, _last_axes(module), eps=module.eps, elementwise_affine=module.weight is not None),
    options=taken("normalized_shape", "eps", "elementwise_affine"),
)


# ---- embeddings and axes


def _refuse_unread(weight: Any, row: int | None, hint: str) -> None:
    """Raise ValueError if a table holds other numbers than 0 in the row that nanonet reads as 0, and PyTorch as it is.

    PyTorch's own functions never change that row.
    """
    if row is not None and weight[row].any():
        raise ValueError(
            f"Embedding: expected row padding_idx={row} of weight to be 0, as nanonet takes it; PyTorch takes the row "
            f"as it is; try {hint} = 0"
        )


def _embedding(module: Any) -> Layer:
    _refuse_unread(module.weight.detach(), module.padding_idx, f"module.weight.data[{module.padding_idx}]")
    return made(Embedding, *module.weight.shape, padding_idx=module.padding_idx)


def _embedded(nn: Any, layer: Any, shape: Any) -> Any:
    _refuse_unread(layer.weight.value, layer.padding_idx, f"layer.weight.value[{layer.padding_idx}]")
    return nn.Embedding(layer.num_embeddings, layer.embedding_dim, layer.padding_idx)


def _unflatten(module: Any) -> Layer:
    sizes = tuple(module.unflattened_size)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"Unflatten: expected unflattened_size of 1 or more each, got {sizes}; nanonet fills in no -1")
    return Reshape(*sizes)


def _reshaped(nn: Any, layer: Any, shape: Any) -> Any:
    whole = None if shape is None else known(shape)
    sizes = layer.shape if whole is None else layer.output_shape(whole)
    unflatten = nn.Unflatten(1, sizes)
    return unflatten if whole is not None and len(whole) == 1 else nn.Sequential(nn.Flatten(), unflatten)


pair(
    Embedding,
    "Embedding",
    there=_embedded,
    here=_embedding,
    options={
        **taken("num_embeddings", "embedding_dim", "padding_idx", "_weight", "_freeze"),
        "max_norm": Only(None, "nanonet does not rescale rows"),
        "norm_type": HARMLESS,  # of max_norm
        "scale_grad_by_freq": Only(False, "nanonet's gradient is the exact derivative"),
        "sparse": HARMLESS,  # the same gradient, stored in another way
    },
)
pair(
    Flatten,
    "Flatten",
    there=lambda nn, layer, shape: nn.Flatten(),
    here=lambda module: Flatten(),
    options={"start_dim": Only(1, "nanonet supports no other"), "end_dim": Only(-1, "nanonet supports no other")},
)
pair(
    Reshape,
    "Unflatten",
    there=_reshaped,
    here=_unflatten,
    options={"dim": Only(1, "nanonet supports no other"), **taken("unflattened_size")},
)
