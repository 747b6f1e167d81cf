"""How recurrent layers are explained: a weight takes part at every time, and its gradient is the sum over these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from nanonet.inspection.explanation.formulas import shown
from nanonet.inspection.explanation.terms import Entry, Factor, Signal, Terms, Worked, explains
from nanonet.inspection.explanation.unrolled import (
    Pass,
    Step,
    gru,
    gru_back,
    lstm,
    lstm_back,
    rnn,
    rnn_back,
    unrolled,
)
from nanonet.inspection.record import LayerTrace
from nanonet.layers.recurrent.gru import GRU
from nanonet.layers.recurrent.lstm import LSTM
from nanonet.layers.recurrent.rnn import RNN

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

MULTIPLIES = {
    "en": "At each of the {count} times `{z}` multiplies {what}, and their product is a term of the sum `{a}` of that "
    "time. ",
    "ja": "`{z}` は、{count} 個の各時刻で{what}に掛けられ、その積はその時刻の和 `{a}` の項になります。",
}
ADDED = {
    "en": "`{z}` is added to the sum `{a}` at each of the {count} times. ",
    "ja": "`{z}` は、{count} 個の各時刻で和 `{a}` に加えられます。",
}
STATE = {"en": "an entry of the state before, `{h}`", "ja": "直前の状態 `{h}` の成分"}
INPUT = {"en": "an entry of the input, `{h}`", "ja": "入力 `{h}` の成分"}
SIGNALS = {
    "en": "The error signal `{g}` of a time comes from the output `h` of that time and, through `U`, "
    "which is `{U}`, from the next time. ",
    "ja": "各時刻の誤差信号 `{g}` は、その時刻の出力 `h` と、`{U}` である `U` を通して次の時刻から逆伝播します。",
}
GATES = {
    "en": {
        "RNN": "",
        "LSTM": "`i`, `f` and `o` are the gates, `n` the new content, `c` the second state, and `m` = tanh(`c`). ",
        "GRU": "`r` and `z` are the gates, `n` the new content, in which `r` multiplies the sum `m` of the state; `e` "
        "is the error signal of the sums of the state, `g` times `r` in the rows of `n` and `g` in the others. ",
    },
    "ja": {
        "RNN": "",
        "LSTM": "`i`、`f`、`o` はゲート、`n` は新しい内容、`c` は第 2 の状態、`m` は tanh(`c`) です。",
        "GRU": "`r` と `z` はゲート、`n` は新しい内容で、その中で `r` は状態の和 `m` に掛けられます。`e` は状態の和の"
        "誤差信号で、`n` の行では `g` に `r` を掛けたもの、ほかの行では `g` です。",
    },
}
ABOVE = {
    "en": "`u` is what the layer above passes back. ",
    "ja": "`u` は、上の層から逆伝播する値です。",
}
SUMMED = {"en": "The gradient is the sum over the times:", "ja": "勾配は、各時刻についての和です。"}

FORMULAS = {
    "i": "p * n * i * (1 - i)",
    "f": "p * c * f * (1 - f)",
    "n of LSTM": "p * i * (1 - n**2)",
    "o": "d * m * o * (1 - o)",
    "r": "q * m * r * (1 - r)",
    "z": "d * (h - n) * z * (1 - z)",
    "n of GRU": "d * (1 - z) * (1 - n**2)",
}
"""The error signal of a row of each gate, where d is dE/dh, p is dE/dc, q that of n, and c and h the states before."""


class _Kind(NamedTuple):
    """A kind of layer: its gates, in the order of their rows, and its two steps."""

    name: str
    gates: str
    steps: tuple[Step, Step]


KINDS: dict[type[Any], _Kind] = {
    RNN: _Kind("RNN", "h", (rnn, rnn_back)),
    LSTM: _Kind("LSTM", "ifno", (lstm, lstm_back)),
    GRU: _Kind("GRU", "rzn", (gru, gru_back)),
}


@explains(RNN, LSTM, GRU)
def _recurrent(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    layer: Any = record.layer
    if name == "x":
        return None  # every entry goes into all later times
    kind = next(kind for cls, kind in KINDS.items() if isinstance(layer, cls))
    own, _, at = name.rpartition("_l")
    level, _, turned = at.partition("_")
    settings = {"nonlinearity": layer.nonlinearity} if kind.name == "RNN" else {}
    passes = unrolled(layer, record.input[0], record.grad_output[0], kind.steps, **settings)
    lines = _Lines(layer, kind, passes[int(level)][bool(turned)], int(level), bool(turned))
    return lines.terms(own, place)


class _Lines:
    """The lines of one layer in one direction; s counts its times as it reads, t those of the sequence."""

    def __init__(self, layer: Any, kind: _Kind, run: Pass, level: int, turned: bool) -> None:
        self.layer, self.kind, self.run, self.turned, self.level = layer, kind, run, turned, level
        self.times, self.size = len(run.x), layer.hidden_size
        self.is_top = level == layer.num_layers - 1
        self.mark = self._marked(level)
        self.recurrent = f"weight_hh_l{level}{'_reverse' * turned}"

    def _marked(self, level: int) -> str:
        """Return what a letter of a level is marked with, if there are several levels or directions."""
        many = str(level).translate(SUPERSCRIPTS) if self.layer.num_layers > 1 else ""
        return many + ("←" if self.turned else "→" if self.layer.bidirectional else "")

    def t(self, s: int) -> int:
        """Return a time of the sequence."""
        return self.times - 1 - s if self.turned else s

    def terms(self, own: str, place: tuple[int, ...]) -> Terms:
        """Return the terms of an entry."""
        row, *column = place
        differs = own.endswith("hh") and self.kind.name == "GRU" and row >= 2 * self.size
        signal = "e" if differs else "g"
        times = sorted(range(self.times), key=self.t)
        outputs = [(self.t(s), row) for s in times]
        numbers = (self.run.e if signal == "e" else self.run.g)[times, row]
        worked = [line for s in reversed(sorted(times[i] for i in shown(self.times))) for line in self._signal(s, row)]
        if differs:
            worked = [line for s in worked for line in self._with_e(s, row)]
        stated = Signal(signal + self.mark, numbers, tuple(worked), self._needs(row % self.size))
        words = self._words(own, signal)
        if not column:
            return Terms(outputs, words=words, general=("t", f"t, {row}", ""), signal=stated)
        if own == "weight_hh":
            before = "t + 1" if self.turned else "t − 1"
            places = [(self.t(s - 1), column[0]) for s in times]
            factor: Any = Factor("h" + self.mark, self.run.h[times, column[0]])
        else:
            before, places = "t", [(self.t(s), column[0]) for s in times]
            factor = "x"
            if self.level:
                factor = Factor(f"h{str(self.level - 1).translate(SUPERSCRIPTS)}", self.run.x[times, column[0]])
        general = ("t", f"t, {row}", f"{before}, {column[0]}")
        return Terms(outputs, factor, places, words, general, stated)

    def _needs(self, unit: int) -> list[tuple[int, ...]]:
        """Return the entries of y whose gradients are used."""
        column = unit + self.size * self.turned
        if not self.is_top:
            return []
        if self.layer.output == "last":
            return [(column,)]
        return [(self.t(s), column) for s in sorted(shown(self.times))]

    # ---- numbers with their symbols

    def _at(self, letter: str, s: int, unit: int, numbers: Any) -> Entry:
        by = "dE/d" * letter.startswith("dE/d")
        return Entry(by + letter[len(by) :] + self.mark, f"{self.t(s)}, {unit}", float(numbers[s, unit]))

    def _column(self, letter: str, s: int, numbers: Any) -> Entry:
        return Entry(letter + self.mark, f"{self.t(s)}, #", numbers[s])

    def _from_above(self, s: int, unit: int) -> Entry | None:
        """Return what comes from the output of a time, or from the layer above; None if nothing does."""
        number = float(self.run.above[s, unit])
        column = unit + self.size * self.turned
        if not self.is_top:
            return Entry("u" + self.mark, f"{self.t(s)}, {unit}", number)
        if self.layer.output == "sequence":
            return Entry("dE/dy", f"{self.t(s)}, {column}", number)
        return Entry("dE/dy", str(column), number) if s == self.times - 1 else None

    # ---- lines

    def _signal(self, s: int, row: int) -> Iterator[Worked]:
        """Yield how the error signal of a row follows at a time."""
        gate, unit = self.kind.gates[row // self.size], row % self.size
        yield self._of_state(s, unit)
        run = self.run
        known: dict[str, Entry | float] = {"d": self._at("dE/dh", s, unit, run.dh)}
        if gate == "h":
            known["h"] = Entry("h" + self.mark, f"{self.t(s)}, {unit}", float(run.h[s + 1, unit]))
            tanh = self.layer.nonlinearity == "tanh"
            formula = "d * (1 - h**2)" if tanh else "d if h > 0 else 0"
        else:
            known |= {name: self._at(name, s, unit, values) for name, values in run.gates.items()}
            known |= {name: self._before(name, s, unit) for name in "hc"}
            formula = FORMULAS[f"n of {self.kind.name}" if gate == "n" else gate]
        if self.kind.name == "LSTM" and gate != "o":
            yield self._of_second_state(s, unit)
            known["p"] = self._at("dE/dc", s, unit, run.dc)
        if gate == "r":
            inner = self._at("g", s, 2 * self.size + unit, run.g)
            known["q"] = inner
            yield Worked(inner, FORMULAS["n of GRU"], known)
        yield Worked(self._at("g", s, row, run.g), formula, known)

    def _with_e(self, line: Worked, row: int) -> Iterator[Worked]:
        """Yield a line, and after an error signal of the new content that of the sum of the state in it."""
        yield line
        if line.result.letter == "g" + self.mark:
            t = int(line.result.index.split(",")[0])
            s, unit = self.t(t), row % self.size
            known = {"g": line.result, "r": self._at("r", s, unit, self.run.gates["r"])}
            yield Worked(self._at("e", s, row, self.run.e), "g * r", known)

    def _before(self, name: str, s: int, unit: int) -> Entry:
        """Return a state before a time."""
        states = self.run.h if name == "h" else self.run.c
        return Entry(name + self.mark, f"{self.t(s - 1)}, {unit}", float(states[s, unit]))

    def _of_state(self, s: int, unit: int) -> Worked:
        """Return how dE/dh follows from above and from the next time."""
        run, above = self.run, self._from_above(s, unit)
        known: dict[str, Entry | float] = {} if above is None else {"y": above}
        parts = ["y"] * (above is not None)
        if s + 1 < self.times:
            if "z" in run.gates:
                known |= {"d": self._at("dE/dh", s + 1, unit, run.dh), "z": self._at("z", s + 1, unit, run.gates["z"])}
                parts.append("d * z")
            letter = "e" if "z" in run.gates else "g"
            known |= {"g": self._column(letter, s + 1, run.e), "U": self._weights(unit)}
            parts.append("sum(g * U)")
        return Worked(self._at("dE/dh", s, unit, run.dh), " + ".join(parts), known)

    def _weights(self, unit: int) -> Entry:
        return Entry("U" + self.mark, f"#, {unit}", self.run.weight_hh[:, unit])

    def _of_second_state(self, s: int, unit: int) -> Worked:
        """Return how dE/dc follows from dE/dh and from the next time."""
        run = self.run
        known: dict[str, Entry | float] = {
            "d": self._at("dE/dh", s, unit, run.dh),
            "o": self._at("o", s, unit, run.gates["o"]),
            "m": self._at("m", s, unit, run.gates["m"]),
        }
        formula = "d * o * (1 - m**2)"
        if s + 1 < self.times:
            known |= {"p": self._at("dE/dc", s + 1, unit, run.dc), "f": self._at("f", s + 1, unit, run.gates["f"])}
            formula += " + p * f"
        return Worked(self._at("dE/dc", s, unit, run.dc), formula, known)

    # ---- words

    def _words(self, own: str, signal: str) -> dict[str, str]:
        found = {}
        for lang in ("en", "ja"):
            state = own == "weight_hh"
            letter = "h" + self.mark if state else "{x}" if self.level == 0 else "h"
            if own.startswith("bias"):
                text = ADDED[lang]
            else:
                text = MULTIPLIES[lang].replace("{what}", (STATE if state else INPUT)[lang].replace("{h}", letter))
            text += (
                SIGNALS[lang].replace("{g}", signal + self.mark).replace("{U}", self.recurrent)
                + GATES[lang][self.kind.name]
            )
            text += ("" if self.is_top else ABOVE[lang]) + SUMMED[lang]
            found[lang] = text.replace("{count}", str(self.times)).replace("{a}", "a" + self.mark)
        return found
