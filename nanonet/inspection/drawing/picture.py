"""Picture: an array as a small image, in grey or, where it has numbers below 0, from vermilion over white to blue."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
STEPS = 62  # the shades are 0 to 62, with 0 in the middle of those with a sign; 63 stands for NaN and infinity
MOST = 112  # pixels along an axis; a larger image is drawn by means of its blocks


def _ramp(*colours: tuple[int, int, int]) -> Pixels:
    """Return the shades from each colour to the next, and the colour of what is not finite."""
    places = np.linspace(0, 1, len(colours))
    shades = [np.interp(np.linspace(0, 1, STEPS + 1), places, channel) for channel in np.array(colours).T]
    return np.vstack([np.round(shades).T, [(139, 47, 143)]]).astype(np.uint8)


GREY = _ramp((0, 0, 0), (255, 255, 255))
SIGNED = _ramp((213, 94, 0), (255, 255, 255), (0, 114, 178))  # the colours of weights below and above 0


@dataclass(frozen=True)
class Scale:
    """One scale for several images: their smallest and largest number."""

    low: float
    high: float

    @property
    def palette(self) -> Pixels:
        """The colours, shape (64, 3)."""
        return SIGNED if self.low < 0 else GREY

    def pixels(self, image: npt.NDArray[np.floating]) -> Pixels:
        """Return the number of the colour of each pixel."""
        ends = (-max(-self.low, self.high), max(-self.low, self.high)) if self.low < 0 else (self.low, self.high)
        small = reduced(image)
        with np.errstate(all="ignore"):
            share = (small - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else np.ones_like(small)
            shades = np.round(np.clip(share, 0, 1) * STEPS)
        return np.where(np.isfinite(small), shades, STEPS + 1).astype(np.uint8)


def scale_of(images: npt.NDArray[np.floating]) -> Scale:
    """Return the scale of images, from what is finite in them.

    Examples
    --------
    >>> scale_of(np.array([0.5, np.nan, 2.0]))
    Scale(low=0.5, high=2.0)
    """
    finite = images[np.isfinite(images)]
    return Scale(float(finite.min()), float(finite.max())) if finite.size else Scale(0.0, 0.0)


def reduced(image: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return an image with at most 112 pixels along each axis, each the mean of a block.

    Examples
    --------
    >>> reduced(np.ones((300, 5))).shape
    (100, 5)
    """
    small = image.astype(np.float64)
    for axis, length in enumerate(image.shape):
        step = -(-length // MOST)
        if step > 1:
            starts = np.arange(0, length, step)
            counts = np.diff([*starts, length]).reshape([-1 if k == axis else 1 for k in range(2)])
            small = np.add.reduceat(small, starts, axis=axis) / counts
    return small


def png(pixels: Pixels, palette: Pixels) -> bytes:
    r"""Return an image as a PNG file.

    Examples
    --------
    >>> png(np.zeros((2, 2), np.uint8), GREY)[:4]
    b'\x89PNG'
    """
    height, width = pixels.shape
    lines = np.hstack([np.zeros((height, 1), np.uint8), pixels]).tobytes()  # each line with filter 0
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, a palette
    chunks = [(b"IHDR", head), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
