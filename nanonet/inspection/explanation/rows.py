"""How a Linear on sequences is explained: the same weight takes part in every row."""

from __future__ import annotations

import numpy as np

from nanonet.inspection.explanation.terms import Terms, explains
from nanonet.inspection.record import LayerTrace
from nanonet.layers.linear import Linear

LETTERS = "ijk"

MULTIPLIES = {
    "en": "In each of the {count} rows `{z}` multiplies an entry of `{x}`, and their product is a term of the sum "
    "`{y}` of that row; the gradient is a sum over the rows:",
    "ja": "`{z}` は、{count} 行のそれぞれで `{x}` の成分に掛けられ、その積はその行の和 `{y}` の項になります。"
    "勾配は、各行についての和です。",
}
ADDED = {
    "en": "`{z}` appears in a sum `{y}` of each of the {count} rows, as a separate term:",
    "ja": "`{z}` は、{count} 行のそれぞれの和 `{y}` に、単独の項として現れます。",
}
ENTERS = {
    "en": "Each entry of `{x}` goes into every sum `{y}` of its row, with a weight:",
    "ja": "`{x}` の各成分は、重みを掛けて、その行のすべての和 `{y}` に加えられます。",
}


@explains(Linear)
def _linear(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    outer = record.input.shape[1:-1]
    if not outer:
        return None  # a single row, which has lines of its own
    if name == "x":
        *row, i = place
        units = range(record.output.shape[-1])
        return Terms([(*row, o) for o in units], "weight", [(o, i) for o in units], ENTERS)
    rows, o = list(np.ndindex(outer)), place[0]
    outputs = [(*row, o) for row in rows]
    letters = LETTERS[: len(outer)] if len(outer) <= len(LETTERS) else ""
    listed = ", ".join(letters)
    if name == "bias":
        general = (letters, f"{listed}, {o}", "") if letters else ()
        return Terms(outputs, words=_counted(ADDED, len(rows)), general=general)
    general = (letters, f"{listed}, {o}", f"{listed}, {place[1]}") if letters else ()
    return Terms(outputs, "x", [(*row, place[1]) for row in rows], _counted(MULTIPLIES, len(rows)), general)


def _counted(words: dict[str, str], count: int) -> dict[str, str]:
    return {lang: text.replace("{count}", str(count)) for lang, text in words.items()}
