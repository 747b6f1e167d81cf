"""recurrent: registers SimpleRNN, LSTM and GRU, in one direction or in both."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.interchange.keras.reached import Reached
from nanonet.interchange.keras.registration import reads
from nanonet.interchange.keras.weights import Numbers
from nanonet.layers.recurrent.gru import GRU
from nanonet.layers.recurrent.lstm import LSTM
from nanonet.layers.recurrent.recurrent import Recurrent
from nanonet.layers.recurrent.rnn import RNN

ORDER = {"SimpleRNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2)}
"""Where Keras has the gates: of a GRU z, r and the new state, in nanonet r, z and that."""

UNUSED = "set it to 0 on the layer's cell before saving, if the model is to be used and not trained on"


@reads("SimpleRNN", "LSTM", "GRU")
def recurrent(reached: Reached) -> None:
    """Read a layer in one direction."""
    kind = reached.described.kind
    reached.only("go_backwards", False, why="nanonet reads from the end only in a layer that reads both ways")
    layer = _made(reached, kind, both=False)
    _fill(reached, kind, layer, "")


@reads("Bidirectional")
def bidirectional(reached: Reached) -> None:
    """Read a layer in both directions, whose outputs stand side by side."""
    reached.only("merge_mode", "concat", why="nanonet has the outputs of both directions side by side")
    whole, place = reached.config, reached.weights
    inner = [_inner(reached, name) for name in ("layer", "backward_layer")]
    (kind, forward), (other, backward) = inner
    differing = [name for name in {*forward, *backward} - {"name", "go_backwards"} if _differs(name, forward, backward)]
    if kind != other or differing or backward.get("go_backwards") is not True or forward.get("go_backwards") is True:
        reached.refuse(f"its two layers differ in {', '.join(sorted(differing)) or 'their class or direction'}")
    reached.config = forward
    layer = _made(reached, kind, both=True)
    for attribute, config, suffix in (("forward_layer", forward, ""), ("backward_layer", backward, "_reverse")):
        reached.config, reached.weights = config, place.part(attribute, str(config.get("name")))
        _fill(reached, kind, layer, suffix)
    reached.config, reached.weights = whole, place


def _inner(reached: Reached, name: str) -> tuple[str, dict[str, Any]]:
    value: Any = reached.setting(name)
    kind = value.get("class_name") if isinstance(value, dict) else None
    if kind not in ORDER or not isinstance(value.get("config"), dict):
        reached.refuse(f"load takes Bidirectional of {', '.join(ORDER)}, not of {kind!r:.60}")
    return kind, value["config"]


def _differs(name: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether the two directions differ in a setting on which the output depends."""
    return name in SETTINGS and one.get(name) != other.get(name)


SETTINGS = ("units", "activation", "recurrent_activation", "use_bias", "reset_after", "return_sequences", "trainable")


def _made(reached: Reached, kind: str, *, both: bool) -> Recurrent:
    """Add the layer that a description is of; raise ValueError if nanonet has none such."""
    reached.ranked(2)
    for name, usual in (("return_state", False), ("stateful", False), ("time_major", False)):
        reached.only(name, usual)
    for name in ("dropout", "recurrent_dropout"):
        reached.only(name, 0, None, why=UNUSED)
    if kind == "GRU":
        reached.only("reset_after", True, why="nanonet's GRU applies the reset gate after the product")
    reached.only("activation", "tanh", *(["relu"] if kind == "SimpleRNN" else []))
    if kind != "SimpleRNN":
        reached.only("recurrent_activation", "sigmoid", why="nanonet's gates are sigmoids")
    units, times, features = reached.size("units"), reached.shape[0], reached.features
    sequences = reached.flag("return_sequences", False)
    options: dict[str, Any] = {} if sequences else {"output": "last"}
    options |= {} if reached.flag("use_bias", True) else {"bias": False}
    options |= {"bidirectional": True} if both else {}
    options |= {"nonlinearity": "relu"} if reached.setting("activation", "tanh") == "relu" else {}
    reached.here(moved=False)
    width = units * (2 if both else 1)
    made: dict[str, type[Recurrent]] = {"SimpleRNN": RNN, "LSTM": LSTM, "GRU": GRU}
    layer = made[kind](features, units, **options)
    reached.add(layer, (times, width) if sequences else (width,))
    return layer


def _fill(reached: Reached, kind: str, layer: Recurrent, suffix: str) -> None:
    """Fill one direction; where Keras has one bias, the second is 0 and stays so."""
    units, columns = layer.hidden_size, layer.hidden_size * len(ORDER[kind])
    whole = reached.weights
    reached.weights = whole.part("cell", None)
    arrays = {
        "weight_ih": reached.array(0, "kernel", layer.input_size, columns).T,
        "weight_hh": reached.array(1, "recurrent_kernel", units, columns).T,
    }
    if layer.bias:
        if kind == "GRU":
            arrays["bias_ih"], arrays["bias_hh"] = reached.array(2, "bias", 2, columns)
        else:
            arrays["bias_ih"] = reached.array(2, "bias", columns)
            arrays["bias_hh"] = np.zeros(columns)
            reached.held.append(getattr(layer, f"bias_hh_l0{suffix}"))
    reached.weights = whole
    ordered = {f"{name}_l0{suffix}": _ordered(array, ORDER[kind]) for name, array in arrays.items()}
    reached.fill(layer, **ordered)


def _ordered(rows: Numbers, order: tuple[int, ...]) -> Numbers:
    """Return blocks of rows in another order."""
    blocks = np.split(rows, len(order))
    return np.concatenate([blocks[i] for i in order])
