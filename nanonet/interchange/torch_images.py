"""torch_images: registers convolution, pooling and resizing with the modules of torch.nn that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nanonet.core.layer import Layer
from nanonet.interchange.torch_pairs import HARMLESS, Only, pair
from nanonet.interchange.torch_settings import made, of_axes, one, taken
from nanonet.layers.conv import Conv1d, Conv2d, ConvTranspose2d
from nanonet.layers.pad import Pad
from nanonet.layers.pool import AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.reshape import Reshape
from nanonet.layers.resize import Upsample, ZeroPad2d
from nanonet.models.sequential import Sequential

# ---- convolution


def _convolution(cls: type[Layer]) -> Callable[[Any], Layer]:
    def here(module: Any) -> Layer:
        out_channels, in_channels, *kernel = module.weight.shape  # of each group
        settings = {name: getattr(module, name) for name in ("stride", "padding", "dilation", "groups")}
        bias = module.bias is not None
        return made(cls, in_channels * module.groups, out_channels, one(kernel), **settings, bias=bias)

    return here


def _transposed(module: Any) -> Layer:
    in_channels, out_channels, *kernel = module.weight.shape  # out_channels of each group
    settings = {name: getattr(module, name) for name in ("stride", "padding", "output_padding", "groups", "dilation")}
    bias = module.bias is not None
    return made(ConvTranspose2d, in_channels, out_channels * module.groups, one(kernel), **settings, bias=bias)


def _convolved(name: str) -> Callable[[Any, Any, Any], Any]:
    def there(nn: Any, layer: Any, shape: Any) -> Any:
        settings = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "groups")}
        if isinstance(layer, ConvTranspose2d):
            settings["output_padding"] = layer.output_padding
        return getattr(nn, name)(layer.in_channels, layer.out_channels, bias=layer.bias is not None, **settings)

    return there


KERNEL = taken("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias") | {
    "padding_mode": Only("zeros", "nanonet pads with zeros alone")
}
pair(Conv1d, "Conv1d", there=_convolved("Conv1d"), here=_convolution(Conv1d), options=KERNEL)
pair(Conv2d, "Conv2d", there=_convolved("Conv2d"), here=_convolution(Conv2d), options=KERNEL)
pair(
    ConvTranspose2d,
    "ConvTranspose2d",
    there=_convolved("ConvTranspose2d"),
    here=_transposed,
    options=KERNEL | taken("output_padding"),
)


# ---- pooling and resizing


def _pair_pool(cls: type[Layer], *settings: str, **others: Only) -> None:
    """Register a pooling whose class and options have the same names in PyTorch."""
    name = cls.__name__

    def there(nn: Any, layer: Any, shape: Any) -> Any:
        window = {"dilation": layer.window.dilation, "ceil_mode": layer.window.ceil}
        window["dilation"] = window["dilation"] if layer.axes == 2 else window["dilation"][1:]
        found = {each: window[each] if each in window else getattr(layer, each) for each in settings}
        return getattr(nn, name)(layer.kernel_size, layer.stride, layer.padding, **found)

    def here(module: Any) -> Layer:
        stride = None if one(module.stride) == one(module.kernel_size) else module.stride
        found = {each: getattr(module, each) for each in ("padding", *settings)}
        return made(cls, one(module.kernel_size), stride=stride, **found)

    pair(
        cls,
        name,
        there=there,
        here=here,
        options={**taken("kernel_size", "stride", "padding", *settings), **others},
    )


ONE_RESULT = Only(False, "nanonet returns the maxima alone")
ROUNDED_DOWN = Only(False, "nanonet rounds the output's length down")
_pair_pool(MaxPool1d, "dilation", "ceil_mode", return_indices=ONE_RESULT)
_pair_pool(MaxPool2d, "dilation", "ceil_mode", return_indices=ONE_RESULT)
_pair_pool(AvgPool1d, "count_include_pad", ceil_mode=ROUNDED_DOWN)
_pair_pool(
    AvgPool2d,
    "count_include_pad",
    ceil_mode=ROUNDED_DOWN,
    divisor_override=Only(None, "nanonet divides by the number of entries"),
)


def _whole(module: Any) -> Layer:
    if one(module.output_size) != 1:
        raise ValueError(f"AdaptiveAvgPool1d: expected output_size=1, got {module.output_size!r}; nanonet has no other")
    return Sequential(GlobalAvgPool(), Reshape(-1, 1))


def _upsample(module: Any) -> Layer:
    if module.align_corners:
        raise ValueError("Upsample: expected align_corners=False, got True, which nanonet does not compute")
    factors = module.scale_factor if isinstance(module.scale_factor, (tuple, list)) else (module.scale_factor,)
    if None in factors or any(factor != int(factor) for factor in factors):
        raise ValueError(f"Upsample: expected scale_factor as whole numbers, got {module.scale_factor!r}")
    return made(Upsample, one(tuple(map(int, factors))), mode=module.mode)


pair(
    GlobalAvgPool,
    "Sequential",
    there=lambda nn, layer, shape: nn.Sequential(
        of_axes(nn, shape, "AdaptiveAvgPool1d", "AdaptiveAvgPool2d")(1), nn.Flatten()
    ),
)
pair(GlobalAvgPool, "AdaptiveAvgPool1d", here=_whole, options=taken("output_size"))
pair(
    AdaptiveAvgPool2d,
    "AdaptiveAvgPool2d",
    there=lambda nn, layer, shape: nn.AdaptiveAvgPool2d(layer.output_size),
    here=lambda module: AdaptiveAvgPool2d(one(module.output_size)),
    options=taken("output_size"),
)
pair(
    Upsample,
    "Upsample",
    there=lambda nn, layer, shape: nn.Upsample(scale_factor=layer.scale_factor, mode=layer.mode),
    here=_upsample,
    options={
        **taken("scale_factor", "mode", "align_corners"),
        "size": Only(None, "nanonet enlarges by a factor"),
        "recompute_scale_factor": HARMLESS,  # by whole factors
    },
)
pair(
    ZeroPad2d,
    "ZeroPad2d",
    there=lambda nn, layer, shape: nn.ZeroPad2d(layer.padding),
    here=lambda module: ZeroPad2d(one(module.padding)),
    options=taken("padding"),
)


# ---- padding

PADS = {"constant": "ConstantPad", "reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}
"""The beginnings of PyTorch's names, by mode."""


def _padded(nn: Any, layer: Any, shape: Any) -> Any:
    cls = getattr(nn, f"{PADS[layer.mode]}{len(layer.ends)}d")
    return cls(layer.padding, layer.value) if layer.mode == "constant" else cls(layer.padding)


def _pad(module: Any) -> Layer:
    kind = type(module).__name__[:-2]
    mode: Any = next((mode for mode, name in PADS.items() if name == kind), "constant")  # ZeroPad1d, ZeroPad3d
    return made(Pad, module.padding, mode=mode, value=float(getattr(module, "value", 0)))


for _axes in "123":
    pair(
        Pad, tuple(f"{PADS[mode]}{_axes}d" for mode in PADS if mode != "constant"), here=_pad, options=taken("padding")
    )
pair(Pad, ("ZeroPad1d", "ZeroPad3d"), here=_pad, options=taken("padding"))
pair(Pad, "ConstantPad1d", there=_padded, here=_pad, options=taken("padding", "value"))
pair(Pad, ("ConstantPad2d", "ConstantPad3d"), here=_pad, options=taken("padding", "value"))
