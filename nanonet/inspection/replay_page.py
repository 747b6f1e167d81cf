"""Replay page: a training as one HTML file: curves, heat maps and a figure of the net, under a slider over its epochs.

The file needs no network and no other file: pictures are data in it, and its script is a few lines.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.inspection.drawing.picture import Scale, png

Numbers = Mapping[str, Sequence[float]]
WIDTH, HEIGHT, LEFT, EDGE = 640, 170, 64, 10  # of a curve, in pixels
PIXELS = 24, 160  # how wide an entry of a weight is drawn at most, and a whole weight


def replay_page(
    title: str, history: Numbers, epochs: Sequence[int], weights: Mapping[str, npt.NDArray[Any]], figures: Sequence[str]
) -> str:
    """Return the page.

    Parameters
    ----------
    title : str
    history : mapping
        By name, one number per epoch.
    epochs : sequence of int
        The epochs after which the frames were recorded, ascending.
    weights : mapping
        By name, the numbers in every frame, shape (frames, ...).
    figures : sequence of str
        SVG of the net in every frame; or none.
    """
    losses = {name: values for name, values in history.items() if name.endswith("loss")}
    others = {name: values for name, values in history.items() if name not in losses}
    curves = "".join(_curves(numbers, epochs) for numbers in (losses, others) if numbers)
    maps = {name: heat_maps(frames) for name, frames in weights.items()}
    data = {
        "epochs": list(epochs),
        "labels": [_numbers_at(epoch, history) for epoch in epochs],
        "maps": {name: images for name, (images, _) in maps.items()},
        "figures": list(figures),
    }
    shown = "".join(_map(name, frames, maps[name][1]) for name, frames in weights.items())
    parts = {
        "TITLE": escape(title),
        "CURVES": curves,
        "LAST": str(len(epochs) - 1),
        "FIGURE": '<div id="figure"></div>' if figures else "",
        "MAPS": f'<div id="maps">{shown}</div>' if shown else "",
        "DATA": json.dumps(data).replace("<", "\\u003c"),  # so that no text in it can end the script
    }
    return re.sub(r"\[([A-Z]+)\]", lambda match: parts[match[1]], PAGE)


# ---- weights


def heat_maps(frames: npt.NDArray[Any]) -> tuple[list[str], float]:
    """Return a weight in every frame as the base64 of a PNG, all on one scale, and the end of that scale."""
    finite = np.abs(frames[np.isfinite(frames)])
    scale = Scale(-float(finite.max(initial=0)), float(finite.max(initial=0)))
    if scale.high == 0:
        scale = Scale(-1.0, 1.0)
    images = [png(scale.pixels(image), scale.palette) for image in map(as_matrix, frames)]
    return [base64.b64encode(image).decode() for image in images], scale.high


def as_matrix(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a weight as one image: a row per output, and kernels side by side.

    Examples
    --------
    >>> as_matrix(np.ones(3)).shape, as_matrix(np.ones((2, 3))).shape, as_matrix(np.ones((4, 2, 3, 3))).shape
    ((3, 1), (2, 3), (12, 6))
    """
    if weight.ndim < 2:
        return weight.reshape(-1, 1)
    if weight.ndim == 4:  # shape (out_channels, in_channels, height, width)
        weight = weight.transpose(0, 2, 1, 3)
        return weight.reshape(weight.shape[0] * weight.shape[1], -1)
    return weight.reshape(len(weight), -1)


def _map(name: str, frames: npt.NDArray[Any], largest: float) -> str:
    height, width = as_matrix(frames[0]).shape
    pixel = min(PIXELS[0], PIXELS[1] / max(height, width))
    size = f"width:{max(1, round(width * pixel))}px;height:{max(1, round(height * pixel))}px"
    shape = " × ".join(map(str, frames.shape[1:]))
    caption = f"<figcaption>{escape(name)}<br><small>{shape}, ±{largest:.3g}</small></figcaption>"
    return (
        f'<figure><img data-name="{escape(name)}" alt="{escape(name)} as a heat map" style="{size}">{caption}</figure>'
    )


# ---- curves


def _curves(numbers: Numbers, epochs: Sequence[int]) -> str:
    """Return curves over all epochs as SVG, with a line at the current one."""
    count = max(map(len, numbers.values()))
    finite = [value for values in numbers.values() for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    span, last = (high / 2 - low / 2) or 0.5, max(count, epochs[-1], 1)  # halves, whose difference cannot overflow

    def place(epoch: float, value: float) -> str:
        across = LEFT + (WIDTH - LEFT - EDGE) * epoch / last
        return f"{across:.1f} {EDGE + (HEIGHT - 3 * EDGE) * (high / 2 - value / 2) / span:.1f}"

    lines, names = [], []
    for k, (name, values) in enumerate(numbers.items()):
        points = [place(epoch, value) if math.isfinite(value) else None for epoch, value in enumerate(values, 1)]
        lines.append(f'<path class="c{k % 6}" d="{_path(points)}"/>')
        names.append(f'<span class="c{k % 6}">{escape(name)}</span>')
    ends = [
        f'<text x="{LEFT - 6}" y="{EDGE + 4}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{LEFT - 6}" y="{HEIGHT - 2 * EDGE + 4}" text-anchor="end">{low:.3g}</text>',
        f'<text x="{WIDTH - EDGE}" y="{HEIGHT - 4}" text-anchor="end">epoch {last}</text>',
    ]
    ruler = f'x1="{LEFT}" x2="{LEFT}" y1="{EDGE}" y2="{HEIGHT - 2 * EDGE}"'
    shift = f'data-step="{(WIDTH - LEFT - EDGE) / last:.6g}"'
    head = f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(", ".join(numbers))}">'
    content = "".join([*lines, *ends, f'<line class="now" {ruler} {shift}/>'])
    return f"<p>{' '.join(names)}</p>{head}{content}</svg>"


def _path(points: Iterable[str | None]) -> str:
    """Return the strokes through points; None leaves a gap, and a point alone is a dot."""
    path, pen = "", "M"
    for point in points:
        path += "" if point is None else f"M{point}h0" * (pen == "M") + f"{pen}{point}"
        pen = "M" if point is None else "L"
    return path


def _numbers_at(epoch: int, history: Numbers) -> str:
    if epoch == 0:
        return "before training"
    numbers = [f"{name}\u00a0{values[epoch - 1]:.4g}" for name, values in history.items() if len(values) >= epoch]
    return "   ".join([f"epoch {epoch}", *numbers])


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>[TITLE]</title>
<style>
:root { color-scheme: light dark; --ink: #1b1b1b; --muted: #666; --paper: #fff;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #a8508a; --c4: #8a6d00; --c5: #3b7ea1; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --muted: #a3a3a3; --paper: #15171b;
    --c0: #56b4e9; --c1: #f28c45; --c2: #3fc7a0; --c3: #e2a0c6; --c4: #e6c200; --c5: #9fd3ea; }
}
body { font: 15px/1.4 "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; color: var(--ink);
  background: var(--paper); max-width: 60rem; margin: 0 auto; padding: 0.5rem 1rem 2rem; }
h1 { font-size: 1.2rem; }
nav { display: flex; gap: 0.75rem; align-items: center; position: sticky; top: 0; background: var(--paper);
  padding: 0.5rem 0; z-index: 1; }
nav input { flex: 1; min-width: 0; accent-color: var(--c0); }
nav button { font: inherit; width: 5em; }
output { display: block; white-space: pre-wrap; font-variant-numeric: tabular-nums; min-height: 1.4em; }
p { margin: 0.75rem 0 0; }
p span { margin-right: 1.5em; }
p span::before { content: "\\2014\\00a0"; color: var(--c); }
.curve { display: block; width: 100%; max-width: 640px; height: auto; }
.curve path { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.curve text { font-size: 12px; fill: var(--muted); }
.curve .now { stroke: var(--ink); stroke-dasharray: 3 3; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
.c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
#maps { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: flex-end; margin-top: 1rem; }
#figure { margin-top: 1rem; }
figure { margin: 0; max-width: 100%; }
figure img { image-rendering: pixelated; border: 1px solid var(--muted); max-width: 100%; }
small { color: var(--muted); }
</style>
</head>
<body>
<h1>[TITLE]</h1>
<nav><button id="play" type="button">play</button>
<input id="frame" type="range" min="0" max="[LAST]" value="[LAST]" aria-label="epoch"></nav>
<output id="numbers" for="frame"></output>
[CURVES]
[FIGURE]
[MAPS]
<script id="run" type="application/json">[DATA]</script>
<script>
"use strict";
const run = JSON.parse(document.getElementById("run").textContent);
const slider = document.getElementById("frame"), button = document.getElementById("play");
const figure = document.getElementById("figure"), images = document.querySelectorAll("#maps img");
let timer = null;

function show() {
  const k = Number(slider.value);
  document.getElementById("numbers").textContent = run.labels[k];
  slider.setAttribute("aria-valuetext", run.labels[k]);
  for (const line of document.querySelectorAll(".now")) {
    line.setAttribute("transform", `translate(${run.epochs[k] * Number(line.dataset.step)} 0)`);
  }
  for (const image of images) image.src = "data:image/png;base64," + run.maps[image.dataset.name][k];
  if (figure) figure.innerHTML = run.figures[k];
}
function stop() {
  clearInterval(timer);
  timer = null;
  button.textContent = "play";
}
function next() {
  if (Number(slider.value) >= Number(slider.max)) return stop();
  slider.value = Number(slider.value) + 1;
  show();
}
button.addEventListener("click", () => {
  if (timer !== null) return stop();
  if (slider.value === slider.max) slider.value = 0;
  show();
  button.textContent = "pause";
  timer = setInterval(next, Math.max(40, Math.min(500, 8000 / run.epochs.length)));
});
slider.addEventListener("input", show);
show();
</script>
</body>
</html>
"""
