"""How attention is explained: one score, one weight and one output, and how an error goes back through them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.inspection.explanation.formulas import shown
from nanonet.inspection.explanation.terms import Entry, Signal, Terms, Worked, explains
from nanonet.inspection.record import LayerTrace
from nanonet.layers.attention import MultiHeadAttention
from nanonet.layers.positional_encoding import PositionalEncoding

Known = dict[str, Entry | float]

ROLES = "qkv"

BELONGS = {
    "en": "`{z}` belongs to the {role} of head {head}, feature {feature}: {product} at each of the {count} places. ",
    "ja": "`{z}` は、ヘッド {head} の{role} の特徴 {feature} に属し、{count} 個の各位置で{product}。",
}
NAMES = {
    "en": {"q": "queries `q`", "k": "keys `k`", "v": "values `v`"},
    "ja": {"q": "クエリ `q`", "k": "キー `k`", "v": "値 `v`"},
}
PRODUCT = {
    "weight": {"en": "it multiplies an entry of `{x}`", "ja": " `{x}` の成分に掛けられます"},
    "bias": {"en": "it is added", "ja": "加えられます"},
}
FORTH = {
    "en": "In this head each place scores all keys, `s = c q·k` with `c = 1/√d`; the softmax of the scores, less their "
    "maximum `m`, gives the weights `w`; and the output `z` of the head is the sum of the values with these weights. "
    "One of each is worked out below, for place {t}. ",
    "ja": "このヘッドでは、各位置がすべてのキーに対するスコア `s = c q·k` を計算します。ここで `c = 1/√d` です。"
    "スコアから最大値 `m` を引いてソフトマックスを適用すると、重み `w` になります。"
    "ヘッドの出力 `z` は、重み `w` による値の和です。以下では、位置 {t} について 1 つずつ計算します。",
}
BACK = {
    "en": "Then the error goes back from `{y}`, through `O`, which is `out_proj.weight`, to `z`; `p` is `dE/dw`, and "
    "the softmax passes `w (p − Σ w p)` back to each score. The gradient is the sum over the places:",
    "ja": "続いて、誤差は `{y}` から `out_proj.weight` である `O` を通して `z` に逆伝播します。`p` は `dE/dw` で、"
    "ソフトマックスは各スコアに `w (p − Σ w p)` を逆伝播します。勾配は、各位置についての和です。",
}
FIRST_PLACES = {
    "en": "`{z}` is added to place {t} of the sequence:",
    "ja": "`{z}` は、系列の位置 {t} に加えられます。",
}


@explains(PositionalEncoding)
def _positions(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    times = record.output.shape[1]
    words = {lang: text.replace("{t}", str(place[0])) for lang, text in FIRST_PLACES.items()}
    return Terms([place] if place[0] < times else [], words=words if name != "x" else {})


@explains(MultiHeadAttention)
def _attention(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    if name not in ("in_proj_weight", "in_proj_bias"):
        return None  # every entry of x goes into all scores
    layer: Any = record.layer
    role, row = divmod(place[0], layer.embed_dim)
    lines = _Lines(layer, record, ROLES[role], *divmod(row, layer.embed_dim // layer.num_heads))
    return lines.terms(place[1:])


class _Lines:
    """The numbers of one head, in float64, and the lines for one feature of its queries, keys or values."""

    def __init__(self, layer: Any, record: LayerTrace, role: str, head: int, feature: int) -> None:
        self.layer, self.record, self.role, self.head, self.feature = layer, record, role, head, feature
        size = layer.embed_dim // layer.num_heads
        self.size, self.first = size, head * size
        x = record.input[0].astype(np.float64)
        whole = x @ layer.in_proj_weight.value.T.astype(np.float64)
        if layer.in_proj_bias is not None:
            whole += layer.in_proj_bias.value
        self.q, self.k, self.v = (part[:, self.first : self.first + size] for part in np.split(whole, 3, axis=1))
        self.count = len(x)
        self.c = 1 / math.sqrt(size)
        self.s = self.c * self.q @ self.k.T
        seen = np.tri(self.count, dtype=bool) if layer.causal else np.ones((self.count, self.count), bool)
        highest = np.where(seen, self.s, -np.inf).max(axis=1, keepdims=True)
        powers = np.where(seen, np.exp(np.minimum(self.s - highest, 0)), 0)
        self.m, self.w = highest[:, 0], powers / powers.sum(axis=1, keepdims=True)
        self.z = self.w @ self.v
        self.out = layer.out_proj.weight.value[:, self.first : self.first + size].astype(np.float64)
        self.dy = record.grad_output[0].astype(np.float64)
        self.dz = self.dy @ self.out
        self.p = self.dz @ self.v.T
        self.ds = self.w * (self.p - (self.w * self.p).sum(axis=1, keepdims=True))
        self.back = {"q": self.c * self.ds @ self.k, "k": self.c * self.ds.T @ self.q, "v": self.w.T @ self.dz}

    def terms(self, column: tuple[int, ...]) -> Terms:
        """Return the terms of an entry: one for each place of the sequence."""
        places = range(self.count)
        outputs, row = [(t, self.feature) for t in places], self.feature
        numbers = self.back[self.role][:, self.feature]
        signal = Signal(f"dE/d{self.role}", numbers, (*self._forth(), *self._backwards()), self._needs())
        words = self._words("weight" if column else "bias")
        if not column:
            return Terms(outputs, words=words, general=("t", f"t, {row}", ""), signal=signal)
        at = [(t, *column) for t in places]
        return Terms(outputs, "x", at, words, ("t", f"t, {row}", f"t, {column[0]}"), signal)

    # ---- the one place that is worked out

    @property
    def t(self) -> int:
        """The last place, which sees all keys."""
        return self.count - 1

    def _needs(self) -> list[tuple[int, ...]]:
        """Return the entries of y whose gradients are shown: some of those of the place."""
        return [(self.t, o) for o in shown(self.layer.embed_dim)]

    def _entry(self, letter: str, t: int, i: int, array: Array) -> Entry:
        return Entry(letter, f"{t}, {i}", float(array[t, i]))

    def _row(self, letter: str, t: int, array: Array) -> Entry:
        """Return the features of the head at a place, or what a place has for each key."""
        return Entry(letter, f"{t}, #", array[t])

    def _column(self, letter: str, i: int, array: Array) -> Entry:
        """Return one feature of all places, or what all places have for one key."""
        return Entry(letter, f"#, {i}", array[:, i])

    def _forth(self) -> Iterator[Worked]:
        """Yield one score, its weight, and one entry of the output of the head."""
        t, j = self.t, self.feature
        score = self._entry("s", t, 0, self.s)
        known: Known = {"c": self.c, "q": self._row("q", t, self.q), "k": self._row("k", 0, self.k)}
        yield Worked(score, "c * sum(q * k)", known)
        known = {"s": score, "m": Entry("m", str(t), float(self.m[t])), "r": self._row("s", t, self.s)}
        yield Worked(self._entry("w", t, 0, self.w), "exp(s - m) / sum(exp(r - m))", known)
        known = {"w": self._row("w", t, self.w), "v": self._column("v", j, self.v)}
        yield Worked(self._entry("z", t, j, self.z), "sum(w * v)", known)

    def _backwards(self) -> Iterator[Worked]:
        """Yield how the derivative of one query, key or value of the place follows."""
        t, j = self.t, self.feature
        known: Known = {"g": self._row("dE/dy", t, self.dy), "O": Entry("O", f"#, {self.first + j}", self.out[:, j])}
        yield Worked(self._entry("dE/dz", t, j, self.dz), "sum(g * O)", known)
        if self.role == "v":
            known = {"w": self._column("w", t, self.w), "d": self._column("dE/dz", j, self.dz)}
            yield Worked(self._entry("dE/dv", t, j, self.back["v"]), "sum(w * d)", known)
            return
        u = 0 if self.role == "q" else t
        p = self._entry("p", t, u, self.p)
        yield Worked(p, "sum(d * v)", {"d": self._row("dE/dz", t, self.dz), "v": self._row("v", u, self.v)})
        known = {"w": self._entry("w", t, u, self.w), "p": p}
        known |= {"v": self._row("w", t, self.w), "r": self._row("p", t, self.p)}
        yield Worked(self._entry("dE/ds", t, u, self.ds), "w * (p - sum(v * r))", known)
        known = {"c": self.c, "s": self._row("dE/ds", t, self.ds), "k": self._column("k", j, self.k)}
        if self.role == "k":
            known |= {"s": self._column("dE/ds", t, self.ds), "k": self._column("q", j, self.q)}
        yield Worked(self._entry(f"dE/d{self.role}", t, j, self.back[self.role]), "c * sum(s * k)", known)

    def _words(self, kind: str) -> dict[str, str]:
        found = {}
        for lang in ("en", "ja"):
            text = BELONGS[lang] + FORTH[lang] + BACK[lang]
            settings = {"role": NAMES[lang][self.role], "product": PRODUCT[kind][lang], "head": self.head}
            settings |= {"feature": self.feature, "count": self.count, "t": self.t}
            for name, value in settings.items():
                text = text.replace(f"{{{name}}}", str(value))
            found[lang] = text
        return found
