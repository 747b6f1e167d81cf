"""mark: runs check_gradients on a layer, and adds the appropriate hint."""

import copy
import inspect
import re
import sys
import textwrap
import traceback
from pathlib import Path

import numpy as np
from hints import HINTS, Attempt

from nanonet import GradientError, Layer, Sequential, Shape, check_gradients
from nanonet.checking.situations import example


def mark(layer: Layer) -> None:
    """Print whether backward is right; if not, print what is wrong, with a hint, and exit with status 1."""
    shape = example(layer.input_shape or (3,), 3)
    try:
        report = check_gradients(layer, shape)
    except GradientError as error:
        message = str(error).removeprefix(f"{layer}: ")
        show(f"{layer}: not right yet", message, place_of(layer, error.__context__), hint_for(layer, shape, message))
        sys.exit(1)
    show(f"{layer}: right", str(report))


def hint_for(layer: Layer, shape: Shape, message: str) -> str:
    """Return the hint for the wrong derivative; other errors are explained by the message itself."""
    found = re.match(r"(dE/d(\w+))\[", message)
    hint = HINTS.get(type(layer).__name__, {}).get(found[1]) if found else None
    return f"hint: {hint.due(attempt(layer, shape, found[2]))}" if found and hint else ""


def attempt(layer: Layer, shape: Shape, name: str) -> Attempt:
    """Return the result of backward on a random sample, in float64, for x or the named parameter."""
    layer = copy.deepcopy(layer)
    rng = np.random.default_rng(0)
    Sequential(layer, dtype=np.float64, rng=rng)
    x = rng.normal(size=(5, *shape))  # the shape that check_gradients used, so that no new exception arises
    y, cache = layer.forward(x)
    grad = rng.normal(size=y.shape)
    dx = layer.backward(grad, cache)
    return Attempt(x, grad, dx if name == "x" else getattr(layer, name).grad)


def place_of(layer: Layer, failure: BaseException | None) -> str:
    """Return the last line of the exercise's own file that an exception passed through, if there was one."""
    file = inspect.getfile(type(layer))
    frames = traceback.extract_tb(failure.__traceback__) if failure else []
    own = [frame for frame in frames if frame.filename == file]
    return f"at: {Path(file).name}, line {own[-1].lineno}: {own[-1].line}" if own else ""


def show(*paragraphs: str) -> None:
    """Print paragraphs in lines that fit on a screen."""
    print("\n\n".join("\n".join(map(wrapped, text.splitlines())) for text in paragraphs if text))


def wrapped(line: str) -> str:
    """Wrap a long line, but not within x[n, i], and indent the rest."""
    kept = re.sub(r"(\[\w+), ", "\\1,\N{NO-BREAK SPACE}", line)
    return textwrap.fill(kept, 100, subsequent_indent="    ").replace("\N{NO-BREAK SPACE}", " ")
