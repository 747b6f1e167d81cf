"""torch_recurrent: registers RNN, LSTM and GRU with modules of PyTorch that can stand in a torch.nn.Sequential.

Those of torch.nn return (y, (h, c)), which no other module takes, and have no room for lengths. A layer therefore
becomes a subclass, such as ChainedLSTM of torch.nn.LSTM, with the same state names, which takes and returns what the
layer does. From torch.nn.LSTM itself comes the layer that passes on y.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from nanonet.interchange.torch_pairs import Only, pair
from nanonet.interchange.torch_settings import made, taken
from nanonet.layers.recurrent.gru import GRU
from nanonet.layers.recurrent.lstm import LSTM
from nanonet.layers.recurrent.recurrent import Recurrent
from nanonet.layers.recurrent.rnn import RNN

KINDS: dict[str, type[Recurrent]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
PARTS = ("output", "initial_state", "lengths")
OPTIONS = {
    **taken("mode", "input_size", "hidden_size", "num_layers", "bias", "dropout", "bidirectional", *PARTS),
    "batch_first": Only(
        True,
        "nanonet's sequences are (batch, time, features); make another module with batch_first=True and load the state "
        "dict of this one",
    ),
    "proj_size": Only(0, "nanonet does not project the state"),
}


class _Chained:
    """A mixin before torch.nn.RNN, LSTM or GRU: batch first throughout, and one value in, one out."""

    def __init__(
        self,
        *arguments: Any,
        output: str = "sequence",
        initial_state: bool = False,
        lengths: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(*arguments, **others)
        self.output, self.initial_state, self.lengths = output, initial_state, lengths

    def forward(self, x: Any) -> Any:
        """Return the sequence, the last state, or the tuple of the sequence and the last states."""
        rnn = importlib.import_module("torch.nn.utils.rnn")
        whole: Any = super()
        sequence, *others = x if isinstance(x, tuple) else (x,)
        total = sequence.shape[1]
        if self.lengths:
            lengths = others.pop().cpu()
            sequence = rnn.pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
        first = [state.transpose(0, 1).contiguous() for state in others]
        y, last = whole.forward(sequence, None if not first else first[0] if len(first) == 1 else tuple(first))
        if self.lengths:
            y, _ = rnn.pad_packed_sequence(y, batch_first=True, total_length=total)
        states = [state.transpose(0, 1) for state in (last if isinstance(last, tuple) else (last,))]
        if self.output == "last":
            directions = y.shape[-1] // states[0].shape[-1]
            return states[0][:, -directions:].flatten(1)
        return (y, *states) if self.output == "all" else y


@cache
def _class(name: str) -> Any:
    nn = importlib.import_module("torch.nn")
    return type(f"Chained{name}", (_Chained, getattr(nn, name)), {"__module__": __name__, "__doc__": _Chained.__doc__})


def chained(name: str) -> Any:
    """Return the subclass of torch.nn.RNN, LSTM or GRU, registered as a module that becomes a layer."""
    cls = _class(name)
    pair(KINDS[name], cls, here=_here, options=OPTIONS)
    return cls


def __getattr__(name: str) -> Any:
    """Return ChainedRNN, ChainedLSTM or ChainedGRU, as when one of them is unpickled."""
    kind = name.removeprefix("Chained")
    if kind == name or kind not in KINDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return chained(kind)


def _there(nn: Any, layer: Any, shape: Any) -> Any:
    kind = next(name for name, cls in KINDS.items() if isinstance(layer, cls))
    if layer.carry:
        raise TypeError(
            "PyTorch's module carries no state; make the layer without carry, give it the state dict without the "
            "carried state, and convert that"
        )
    settings = {"nonlinearity": layer.nonlinearity} if isinstance(layer, RNN) else {}
    settings |= {name: getattr(layer, name) for name in ("num_layers", "bias", "dropout", "bidirectional", *PARTS)}
    return chained(kind)(layer.input_size, layer.hidden_size, batch_first=True, **settings)


def _here(module: Any) -> Recurrent:
    kind, _, nonlinearity = module.mode.partition("_")
    settings = {name: getattr(module, name) for name in ("num_layers", "bias", "bidirectional")}
    settings |= {name: getattr(module, name) for name in PARTS if hasattr(module, name)}
    if nonlinearity:
        settings["nonlinearity"] = nonlinearity.lower()
    if module.num_layers > 1:
        settings["dropout"] = module.dropout  # which lies between layers
    layer = made(KINDS[kind], module.input_size, module.hidden_size, **settings)
    assert isinstance(layer, Recurrent)
    return layer


for _name, _layer in KINDS.items():
    pair(_layer, _name, there=_there, here=_here, options=OPTIONS)
