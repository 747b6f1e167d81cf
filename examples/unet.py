"""A small U-net that finds disks and squares, pixel by pixel, in noisy images of both.

A pixel inside a disk looks like one inside a square: the answer needs the surroundings, which the lower level of the
U sees, and the exact edge, which the connection across it keeps.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import (
    Adam,
    Array,
    BinaryCrossEntropy,
    Composite,
    Conv2d,
    CosineRate,
    MaxPool2d,
    ReLU,
    Sequential,
    Upsample,
)

SIZE, SHAPES = 32, ("disk", "square")
TRAINING, EPOCHS, BATCH = 1000, 12, 10


def block(inputs: int, outputs: int) -> Sequential:
    return Sequential(Conv2d(inputs, outputs, 3, 1, 1), ReLU(), Conv2d(outputs, outputs, 3, 1, 1), ReLU(), rng=inputs)


class UNet(Composite):
    """Down twice, up twice; what was seen on the way down is joined to what comes up (Ronneberger et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, width: int = 8) -> None:
        self.input_shape = (inputs, SIZE, SIZE)
        self.down = [block(inputs, width), block(width, 2 * width)]
        self.bottom = block(2 * width, 4 * width)
        self.up = [block(3 * width, width), block(6 * width, 2 * width)]
        self.pool, self.enlarge, self.head = MaxPool2d(2), Upsample(2), Conv2d(width, outputs, 1)

    def wire(self, call: Any, x: Any) -> Any:
        seen = []
        for layer in self.down:
            seen.append(call(layer, x))
            x = call(self.pool, seen[-1])
        x = call(self.bottom, x)
        for layer in reversed(self.up):
            x = call(layer, call.concatenate(seen.pop(), call(self.enlarge, x), axis=1))
        return call(self.head, x)


def drawn(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return images (count, 1, SIZE, SIZE) of two disks and two squares, and a mask for each kind of shape."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    masks = np.zeros((count, len(SHAPES), SIZE, SIZE))
    for mask in masks:
        for kind in (0, 1, 0, 1):
            row, column, radius = *rng.uniform(5, SIZE - 5, 2), rng.uniform(4, 7)
            down, across = np.abs(rows - row), np.abs(columns - column)
            inside = np.hypot(down, across) < radius if kind == 0 else np.maximum(down, across) < 0.886 * radius
            mask[:, inside] = 0  # the later shape covers the earlier one
            mask[kind, inside] = 1
    x = masks.sum(axis=1, keepdims=True) + rng.normal(0, 0.2, (count, 1, SIZE, SIZE))
    return x, masks


def overlap(found: npt.NDArray[np.bool_], target: npt.NDArray[np.bool_]) -> Array:
    """Return intersection over union for each kind of shape."""
    axes = (0, 2, 3)
    both: Array = (found & target).sum(axes) / (found | target).sum(axes)
    return both


def main() -> None:
    rng = np.random.default_rng(0)
    x, target = drawn(TRAINING, rng)
    new, new_target = drawn(200, rng)
    model = Sequential(UNet(1, len(SHAPES)), rng=0)
    rate = CosineRate(2e-3, steps=EPOCHS * TRAINING // BATCH)
    history = model.fit(
        x, target, loss=BinaryCrossEntropy(), optimizer=Adam(rate), epochs=EPOCHS, batch_size=BATCH, verbose=0
    )
    print(f"a U-net of {model.vector.size} parameters, {TRAINING} images of {SIZE} x {SIZE}, {EPOCHS} epochs")
    print(f"loss {history['loss'][0]:.4f} in the first epoch, {history['loss'][-1]:.4f} in the last")
    found, truth = model.predict(new, batch_size=50) > 0, new_target > 0
    bright = np.repeat(new > 0.5, len(SHAPES), axis=1)
    print(f"\nintersection over union on 200 new images   {'   '.join(SHAPES)}")
    for name, masks in (("U-net", found), ("every bright pixel is both", bright)):
        print(f"  {name:40} " + "   ".join(f"{part:6.3f}" for part in overlap(masks, truth)))
    print("\na new image: what is there, and what was found; o is a disk, # a square\n")
    for there, seen in zip(new_target[0].transpose(1, 2, 0), found[0].transpose(1, 2, 0), strict=True):
        sides = ["".join("o" if a else "#" if b else " " for a, b in pixels) for pixels in (there, seen)]
        print("|" + "|   |".join(sides) + "|")


if __name__ == "__main__":
    main()
