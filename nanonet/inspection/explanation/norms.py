"""How the norms are explained: their gain multiplies x, normalized, and their bias is added to that."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.inspection.explanation.terms import Factor, Terms, explains
from nanonet.inspection.record import LayerTrace
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.group_norm import GroupNorm, InstanceNorm
from nanonet.layers.norm import LayerNorm, RMSNorm

Places = npt.NDArray[np.intp]
LETTERS = "ijk"
CENTRED, NOT_CENTRED = "(x - μ) / sqrt(σ**2 + eps)", "x / sqrt(q + eps)"

NORMALIZED = {
    "en": "`{factor}` is `{x}` normalized by {which}. ",
    "ja": "`{factor}` は、{which}で正規化した `{x}` です。",
}
MULTIPLIES = {
    "en": "`{z}` multiplies {count} of its entries, and the gradient is a sum over these:",
    "ja": "`{z}` はその {count} 個の成分に掛けられ、勾配はそれらについての和です。",
}
MULTIPLIES_ONE = {
    "en": "`{z}` multiplies one of its entries:",
    "ja": "`{z}` はその 1 つの成分に掛けられます。",
}
ADDED = {
    "en": "`{z}` is added to {count} entries of `{y}`:",
    "ja": "`{z}` は、`{y}` の {count} 個の成分に加えられます。",
}
ADDED_TO_ONE = {
    "en": "`{z}` is added to one entry of `{y}`:",
    "ja": "`{z}` は、`{y}` の 1 つの成分に加えられます。",
}
SCALED = {
    "en": "Each entry of `{x}` is multiplied by the scale `{factor}` of its channel. The running standard deviation "
    "`σ` in it does not depend on `{x}`:",
    "ja": "`{x}` の各成分には、そのチャネルの倍率 `{factor}` が掛けられます。倍率に含まれる移動標準偏差 `σ` は、"
    "`{x}` に依存しません。",
}
WHICH = {
    "channel": {
        "en": "the mean `μ` and the standard deviation `σ` of each channel",
        "ja": "各チャネルの平均 `μ` と標準偏差 `σ` ",
    },
    "running": {
        "en": "the running mean `μ` and the running standard deviation `σ` of each channel",
        "ja": "各チャネルの移動平均 `μ` と移動標準偏差 `σ` ",
    },
    "group": {
        "en": "the mean `μ` and the standard deviation `σ` of the group that a channel is in",
        "ja": "各チャネルが属するグループの平均 `μ` と標準偏差 `σ` ",
    },
    "row": {
        "en": "the mean `μ` and the standard deviation `σ` over its last axes",
        "ja": "最後の軸についての平均 `μ` と標準偏差 `σ` ",
    },
    "square": {"en": "the mean `q` of its squares over the last axes", "ja": "最後の軸についての二乗の平均 `q` "},
}


@explains(LayerNorm, RMSNorm)
def _of_last_axes(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    if name == "x":
        return None  # every entry goes into the mean of all
    layer, x = record.layer, record.input[0]
    outer = x.shape[: x.ndim - len(place)]
    places = np.array([(*before, *place) for before in np.ndindex(outer)])
    index = [*LETTERS[: len(outer)], *map(str, place)]
    axes = tuple(range(len(outer), x.ndim))
    if isinstance(layer, LayerNorm):
        known = {"μ": np.asarray(x.mean(axis=axes)), "σ": np.asarray(x.std(axis=axes)), "eps": layer.eps}
        return _terms(x, name, places, index, known, "row")
    assert isinstance(layer, RMSNorm)
    eps = float(np.finfo(x.dtype).eps) if layer.eps is None else layer.eps
    return _terms(x, name, places, index, {"q": np.asarray((x * x).mean(axis=axes)), "eps": eps}, "square")


@explains(GroupNorm, InstanceNorm)
def _of_groups(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    if name == "x":
        return None
    layer: Any = record.layer
    x = record.input[0]
    groups, which = (layer.num_groups, "group") if isinstance(layer, GroupNorm) else (len(x), "channel")
    rows = x.reshape(groups, -1)
    each = len(x) // groups  # channels
    known = {"μ": rows.mean(axis=1).repeat(each), "σ": rows.std(axis=1).repeat(each), "eps": layer.eps}
    return _of_channel(x, name, place, known, which)


@explains(BatchNorm)
def _of_batch(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    layer: Any = record.layer
    x, running = record.input[0], layer.running_mean is not None
    if running:
        mean, deviation = layer.running_mean.value, np.sqrt(layer.running_var.value)
    else:
        rows = x.reshape(len(x), -1)
        mean, deviation = rows.mean(axis=1), rows.std(axis=1)
    if name != "x":
        known = {"μ": mean, "σ": deviation, "eps": layer.eps}
        return _of_channel(x, name, place, known, "running" if running else "channel")
    if not running:
        return None
    weight = record.parameters.get("weight", np.ones_like(mean))
    known = {"W": weight} if "weight" in record.parameters else {}
    known |= {"σ": deviation, "eps": layer.eps}
    scale = (weight / np.sqrt(deviation**2 + layer.eps))[place[0]]
    factor = Factor("s", [scale], f"{'W' if 'W' in known else 1} / sqrt(σ**2 + eps)", known)
    return Terms([place], factor, [place[:1]], SCALED)


def _of_channel(x: Array, name: str, place: tuple[int, ...], known: dict[str, Any], which: str) -> Terms:
    """Return the terms of a gain or a bias of one channel."""
    places = np.array([(*place, *at) for at in np.ndindex(x.shape[1:])])
    return _terms(x, name, places, [str(place[0]), *LETTERS[: x.ndim - 1]], known, which)


def _terms(x: Array, name: str, places: Places, index: list[str], known: dict[str, Any], which: str) -> Terms:
    """Return the terms of a gain or a bias that these entries of x share; index has their indices in letters."""
    letters, listed = "".join(filter(str.isalpha, index)), ", ".join(index)
    summed = len(index) == x.ndim and letters  # there are enough letters, and some are needed
    if name == "bias":
        words = _counted(ADDED if len(places) > 1 else ADDED_TO_ONE, len(places))
        return Terms(places, words=words, general=(letters, listed, "") if summed else ())
    multiplies = _counted(MULTIPLIES if len(places) > 1 else MULTIPLIES_ONE, len(places))
    words = {lang: text.replace("{which}", WHICH[which][lang]) + multiplies[lang] for lang, text in NORMALIZED.items()}
    z = Factor("z", _normalized(x, places, known), NOT_CENTRED if "q" in known else CENTRED, known)
    return Terms(places, z, places, words, (letters, listed, listed) if summed else ())


def _counted(words: dict[str, str], count: int) -> dict[str, str]:
    return {lang: text.replace("{count}", str(count)) for lang, text in words.items()}


def _normalized(x: Array, places: Places, known: dict[str, Any]) -> Array:
    """Return entries of x, normalized, in float64."""
    entries = x[tuple(places.T)].astype(np.float64)
    at = {name: array[tuple(places.T[: np.ndim(array)])] for name, array in known.items() if name != "eps"}
    if "q" in at:
        z: Array = entries / np.sqrt(at["q"] + known["eps"])
    else:
        z = (entries - at["μ"]) / np.sqrt(at["σ"].astype(np.float64) ** 2 + known["eps"])
    return z
