"""Explanation: the chain rule for one entry of one parameter, line by line, with the numbers of a pass."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.core.checks import finite_number
from nanonet.core.tree import Tree
from nanonet.inspection.explanation import attention as attention
from nanonet.inspection.explanation import images as images  # it registers how layers for images are explained
from nanonet.inspection.explanation import norms as norms  # and this one the norms
from nanonet.inspection.explanation import recurrent as recurrent
from nanonet.inspection.explanation import rows as rows
from nanonet.inspection.explanation import slopes as slopes
from nanonet.inspection.explanation.derivation import Derivation, Section
from nanonet.inspection.explanation.equations import WorkedLine
from nanonet.inspection.explanation.phrases import LANGUAGES
from nanonet.inspection.record import Record, nearest

WIDTH = 100  # of a line of text that is not broken at its equals signs


# ---- the result


@dataclass(frozen=True)
class Explanation:
    """The derivation of the gradient of one entry of one parameter, with the numbers of a pass.

    ``print`` shows it as text, a notebook as Markdown with LaTeX, which is also in ``markdown``.

    Attributes
    ----------
    sections : list of Section
        From the loss to the parameter; each has a title and lines.
    gradient : float
        The gradient of the entry in the pass.
    phrases : mapping
        The words of its language.
    dtype : str
        Of the pass.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, SquaredError
    >>> trace = Sequential(Linear(1, 1, weight=[[2.0]], bias=False)).trace([[0.5]], [[3.0]], SquaredError())
    >>> explanation = trace.explain("0.weight", (0, 0), learning_rate=0.1)
    >>> explanation.gradient
    -1.0
    >>> [line.result for line in explanation.lines]
    ['2', '-2', '-1', '2.1']
    """

    sections: list[Section]
    gradient: float
    phrases: Mapping[str, str] = field(repr=False)
    dtype: str = field(repr=False)

    @property
    def lines(self) -> list[WorkedLine]:
        """Every equation, in order."""
        return [line for section in self.sections for line in section.lines]

    def __str__(self) -> str:
        paragraphs = []
        for section in self.sections:
            rule = [f"  {section.rule.text}"] if section.rule else []
            rows = [row for line in section.lines for row in self._text(line)]
            paragraphs.append("\n".join([*_wrapped(section.title), *rule, *rows]))
        return "\n\n".join(paragraphs)

    @property
    def markdown(self) -> str:
        """The explanation as Markdown, its equations in LaTeX."""
        paragraphs = []
        for section in self.sections:
            paragraphs.append(section.title)
            if section.rule:
                paragraphs.append(f"$$\n{section.rule.latex}\n$$")
            if section.lines:
                rows = " \\\\[4pt]\n".join(self._latex(line) for line in section.lines)
                paragraphs.append(f"$$\n\\begin{{aligned}}\n{rows}\n\\end{{aligned}}\n$$")
        return "\n\n".join(paragraphs) + "\n"

    def _repr_markdown_(self) -> str:
        return self.markdown

    def _text(self, line: WorkedLine) -> list[str]:
        sides = [*line.sides]
        if line.in_pass:
            sides[-1] += f"  ({self._pass(line)})"
        if _fits(line):
            return [f"  {line.left} {line.relation} {' = '.join(sides)}"]
        later = [f"{'':{len(line.left) + 2}} = {side}" for side in sides[1:]]
        return [f"  {line.left} {line.relation} {sides[0]}", *later]

    def _latex(self, line: WorkedLine) -> str:
        sides = [*line.latex_sides]
        if line.in_pass:
            sides[-1] += rf" \quad \text{{({self._pass(line)})}}"
        relation = "=" if line.relation == "=" else r"\leftarrow"
        return f"{line.latex_left} &{relation} " + (" = " if _fits(line) else " \\\\\n&= ").join(sides)

    def _pass(self, line: WorkedLine) -> str:
        kind = "pass" if line.is_rounding else "disagreement"
        return self.phrases[kind].format(dtype=self.dtype, number=line.in_pass)


def _fits(line: WorkedLine) -> bool:
    """Tell whether the equation fits into one line of text."""
    return len(" = ".join([line.left, *line.sides])) <= WIDTH


def _wrapped(title: str) -> list[str]:
    """Wrap a title without breaking code or formulas, or between a number and what Japanese counts with it."""
    kept = re.sub(r"`([^`]*)`", lambda code: code[1].replace(" ", "\u00a0"), title)
    kept = re.sub(r"(?<=\d) (?=[\u3040-\u9fff])", "\u00a0", kept)
    lines = [textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in kept.split("\n")]
    return [part.replace("\u00a0", " ") for line in lines for part in line]


# ---- entry point


def explain(
    trace: Record, name: str, entry: tuple[int, ...] | int, *, learning_rate: float | None = None, lang: str = "en"
) -> Explanation:
    """Derive the gradient of one entry from the pass of one sample; see :meth:`nanonet.Trace.explain`.

    Raises
    ------
    KeyError, IndexError
        If there is no such parameter or entry.
    TypeError
        If the entry is not made of ints.
    ValueError
        If there was no backward pass, lang is unknown, or a formula of a class is invalid.
    """
    if lang not in LANGUAGES:
        raise ValueError(f'explain: expected lang "en" or "ja", got {lang!r:.60}')
    rate = None if learning_rate is None else finite_number(learning_rate, "explain", "learning_rate", low=0)
    if not trace.has_gradients:
        raise ValueError(
            "explain: this trace has no backward pass; give it a target and a loss: "
            "model.trace(x, target, SquaredError())"
        )
    parameters = Tree(trace.model).parameters
    if name not in parameters:
        raise KeyError(f"explain: there is no parameter {name!r}{nearest(str(name), parameters)}")
    place = _place(entry, parameters[name].shape, name)
    derived = Derivation(trace, name, place, rate, LANGUAGES[lang])
    return Explanation(derived.sections, float(derived.gradient), LANGUAGES[lang], str(trace.model.dtype))


def _place(entry: object, shape: Shape, name: str) -> tuple[int, ...]:
    """Return the entry as a tuple of nonnegative indices, or raise an error."""
    given = entry if isinstance(entry, (tuple, list)) else (entry,)
    last = tuple(size - 1 for size in shape)
    typed = f"explain({name!r}, {last[0] if len(last) == 1 else last})"
    for index in given:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"explain: expected the entry as ints, got {entry!r:.60}; try {typed}")
    if len(given) != len(shape) or not all(-size <= i < size for i, size in zip(given, shape, strict=True)):
        raise IndexError(
            f"explain: {name} has shape {shape} and no entry {entry!r:.60}; its last one is {typed}, counted from 0"
        )
    return tuple(int(i) % size for i, size in zip(given, shape, strict=True))
