"""Figure: a drawing of lines, circles, boxes and words, as SVG, or as PNG and PDF by matplotlib."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from nanonet.core.checks import optional
from nanonet.inspection.drawing.picture import Pixels, png

# Each colour for a white and for a dark page. Blue and vermilion are distinguishable for colour-blind readers (Okabe
# and Ito 2008), and negative weights are also dashed.
COLOURS = {
    "ink": ("#1b1b1b", "#ececec"),
    "muted": ("#666666", "#a3a3a3"),
    "paper": ("#ffffff", "#15171b"),
    "unit": ("#f2f5f8", "#242a33"),
    "plus": ("#0072b2", "#56b4e9"),
    "minus": ("#d55e00", "#f28c45"),
    "back": ("#8b2f8f", "#e2a0e6"),
}
SANS = "'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"
SERIF = "'STIX Two Text', 'Times New Roman', 'DejaVu Serif', serif"
PIXEL = 0.75  # points
BOLD = 1.12  # width of bold letters relative to regular ones


@dataclass(frozen=True)
class Stroke:
    """A straight line, in pixels; x to the right, y down."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str = "ink"
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Circle:
    """A circle around (x, y)."""

    x: float
    y: float
    radius: float
    colour: str = "ink"
    fill: str = "unit"


@dataclass(frozen=True)
class Box:
    """A rectangle by its upper left corner; without a colour it has no outline."""

    x: float
    y: float
    width: float
    height: float
    colour: str | None = None
    fill: str = "paper"
    radius: float = 0.0


@dataclass(frozen=True)
class Words:
    """A line of text; (x, y) is the start, middle or end of its base line."""

    x: float
    y: float
    text: str
    size: float = 11.0
    anchor: str = "start"
    colour: str = "ink"
    italic: bool = False
    bold: bool = False

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The bounding box (left, top, right, bottom) in the widest font."""
        width = text_width(self.text, self.size) * (BOLD if self.bold else 1)
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return left, self.y - 0.78 * self.size, left + width, self.y + 0.22 * self.size


@dataclass(frozen=True, eq=False)
class Picture:
    """An image by its upper left corner; each pixel is the number of a colour, shape (64, 3), of the palette."""

    x: float
    y: float
    width: float
    height: float
    pixels: Pixels
    palette: Pixels


Mark = Stroke | Circle | Box | Words | Picture


def text_width(text: str, size: float) -> float:
    """Return an upper bound on the width of a text in pixels: in DejaVu Sans, the widest of the fonts used here."""
    return size * sum(_WIDTHS.get(letter, 1000) for letter in text) / 1000


# In thousandths of the font size: from the space to the tilde, then the other characters used here.
_ASCII = """
    318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636 636 636 636 636
    337 337 838 838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656 557 863 748 787 603 787 695 635
    611 732 684 989 685 611 685 390 337 390 838 500 500 613 635 550 635 615 352 635 634 278 278 579 278 974
    634 612 635 635 411 521 392 634 592 818 592 592 525 636 337 636 838
"""
_WIDTHS = {chr(code): int(width) for code, width in enumerate(_ASCII.split(), 32)}
_WIDTHS |= dict.fromkeys("₀₁₂₃₄₅₆₇₈₉", 401) | {"−": 838, "…": 1000, "⋮": 1000, "∂": 517}


class Figure:
    """A drawing; notebooks display it, ``svg`` is its source, and ``save`` writes it to a file.

    Attributes
    ----------
    width, height : float
        In pixels.
    shapes : list
        Its shapes, from back to front.
    title, description : str
        Text alternatives for screen readers.
    """

    def __init__(self, width: float, height: float, shapes: list[Mark], title: str, description: str) -> None:
        self.width, self.height, self.shapes = width, height, shapes
        self.title, self.description = title, description

    def __repr__(self) -> str:
        return f"Figure({self.width:.0f} x {self.height:.0f})"

    def _repr_svg_(self) -> str:
        return self.svg

    @property
    def words(self) -> list[Words]:
        """The texts in it."""
        return [shape for shape in self.shapes if isinstance(shape, Words)]

    # ---- SVG

    @property
    def svg(self) -> str:
        """The figure as SVG, light or dark by the reader's colour scheme."""
        size = f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        size += ' style="max-width:100%;height:auto"'  # no wider than the page that it stands in
        head = f'<svg xmlns="http://www.w3.org/2000/svg" class="nanonet" {size} role="img" '
        label = escape(_printable(f"{self.title}. {self.description}"))
        lines = [f'{head}aria-label="{label}">', f"<title>{_escaped(self.title)}</title>"]
        lines += [f"<desc>{_escaped(self.description)}</desc>", f"<style>{_style()}</style>"]
        return "\n".join([*lines, *map(_svg, [self._page, *self.shapes]), "</svg>\n"])

    @property
    def _page(self) -> Box:
        return Box(0, 0, self.width, self.height)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save as .svg, or as .png or .pdf, which needs matplotlib.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        OSError
            If the file cannot be written.
        ValueError
            If path has another suffix.
        """
        kind = Path(path).suffix.lower()
        if kind == ".svg":
            Path(path).write_text(self.svg, encoding="utf-8")
        elif kind in (".png", ".pdf"):
            self._matplotlib().savefig(path, dpi=192)
        else:
            raise ValueError(f"Figure.save: expected a path that ends in .svg, .png or .pdf, got {os.fspath(path)!r}")

    # ---- matplotlib

    def _matplotlib(self) -> Any:
        """Return the same drawing as a matplotlib figure, on white."""
        matplotlib = optional("Figure.save", "matplotlib for .png and .pdf", "plot", "matplotlib.figure")
        canvas = matplotlib.Figure(figsize=(self.width / 96, self.height / 96))
        axes = canvas.add_axes((0, 0, 1, 1), xlim=(0, self.width), ylim=(self.height, 0))
        axes.axis("off")
        for layer, shape in enumerate([self._page, *self.shapes]):
            _place(axes, shape, layer)
        return canvas


# ---- one shape in SVG


def _style() -> str:
    """Return the fonts, and a fill class and a stroke class for each colour, on a white and on a dark page."""
    fonts = f".nanonet text{{font-family:{SANS}}}.nanonet .i{{font-family:{SERIF};font-style:italic}}"
    light, dark = ("".join(_colours(name, shades[i]) for name, shades in COLOURS.items()) for i in (0, 1))
    return f"{fonts}.nanonet .b{{font-weight:bold}}{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"


def _colours(name: str, shade: str) -> str:
    return f".nanonet .f-{name}{{fill:{shade}}}.nanonet .s-{name}{{stroke:{shade}}}"


def _svg(shape: Mark) -> str:
    match shape:
        case Stroke(x1, y1, x2, y2, colour, width, dashed):
            ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            dashes = ' stroke-dasharray="5 3"' if dashed else ""
            return f'<line {ends} class="s-{colour}" stroke-width="{width:.2f}"{dashes}/>'
        case Circle(x, y, radius, colour, fill):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="f-{fill} s-{colour}"/>'
        case Box(x, y, width, height, colour, fill, radius):
            outline = f" s-{colour}" if colour else ""
            place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}"'
            return f'<rect {place} class="f-{fill}{outline}"/>'
        case Picture(x, y, width, height, pixels, palette):
            place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none"'
            data = base64.b64encode(png(pixels, palette)).decode()
            return f'<image {place} style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        case Words(x, y, text, size, anchor, colour, italic, bold):
            kinds = f"f-{colour}{' i' * italic}{' b' * bold}"
            place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
            return f'<text {place} class="{kinds}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return escape(_printable(text), quote=False)


def _printable(text: str) -> str:
    """Return text without the characters that XML does not allow, such as terminal escape codes."""
    return re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


# ---- one shape in matplotlib


def _place(axes: Any, shape: Mark, layer: int) -> None:
    from matplotlib import patches

    light = {name: shades[0] for name, shades in COLOURS.items()} | {None: "none"}
    match shape:
        case Stroke(x1, y1, x2, y2, colour, width, dashed):
            dashes = (0, (5, 3)) if dashed else "-"
            axes.plot([x1, x2], [y1, y2], color=light[colour], lw=width * PIXEL, ls=dashes, zorder=layer)
        case Circle(x, y, radius, colour, fill):
            axes.add_patch(patches.Circle((x, y), radius, fc=light[fill], ec=light[colour], lw=PIXEL, zorder=layer))
        case Box(x, y, width, height, outline, fill, radius):
            corners = f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0"
            style: dict[str, Any] = {"fc": light[fill], "ec": light[outline], "lw": PIXEL, "zorder": layer}
            axes.add_patch(patches.FancyBboxPatch((x, y), width, height, corners, **style))
        case Picture(x, y, width, height, pixels, palette):
            ends = (x, x + width, y + height, y)
            axes.imshow(palette[pixels], extent=ends, aspect="auto", interpolation="nearest", zorder=layer)
        case Words(x, y, text, size, anchor, colour, italic, bold):
            place = {"start": "left", "middle": "center", "end": "right"}[anchor]
            axes.text(
                x, y, text, size=size * PIXEL, ha=place, va="baseline", color=light[colour], zorder=layer,
                family="DejaVu Serif" if italic else "DejaVu Sans", style="italic" if italic else "normal",
                weight="bold" if bold else "normal", parse_math=False,
            )  # fmt: skip
