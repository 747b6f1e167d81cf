"""A small GPT writes what might stand in Python's documentation, letter by letter (Radford et al. 2018).

It is trained to guess the next letter from those before it, on the texts that Python brings along for its `help`. Then
it writes on from a beginning: it draws a letter from its guess, appends it, and guesses again.
"""

import argparse
import contextlib
import math
import textwrap
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from nanonet import (
    GELU,
    AdamW,
    CrossEntropy,
    Embedding,
    LayerNorm,
    Linear,
    OneCycleRate,
    PositionalEncoding,
    Sequential,
    Trainer,
    TransformerBlock,
    tune_allocator,
)
from nanonet.core.stable import softmax

LENGTH, FEATURES, HEADS, BLOCKS = 64, 64, 4, 2
BATCH = 32


def gpt(letters: int) -> Sequential:
    """Return a net from letters (N, T), as numbers, to a guess of the next one at each place (N, T, letters)."""
    settings: dict[str, Any] = {"dropout": 0.0, "norm_first": True, "causal": True}
    return Sequential(
        Embedding(letters, FEATURES),
        PositionalEncoding(FEATURES, LENGTH, learned=True),
        *[TransformerBlock(FEATURES, HEADS, 4 * FEATURES, activation=GELU(), **settings) for _ in range(BLOCKS)],
        LayerNorm(FEATURES),
        Linear(FEATURES, letters),
        rng=0,
    )


def write(model: Sequential, text: list[int], count: int, rng: np.random.Generator, sharpness: float = 1.4) -> None:
    """Append letters to a text, each drawn from what the model guesses from the last ones; likely ones more often."""
    for _ in range(count):
        p = softmax(sharpness * model([text[-LENGTH:]])[0, -1].astype(float))
        text.append(int(rng.choice(len(p), p=p)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    steps = parser.parse_args().steps
    text = "".join(letter for letter in "\n".join(topics.values()) if letter.isascii())
    alphabet = sorted(set(text))
    numbers = np.searchsorted(alphabet, list(text))
    model, rng = gpt(len(alphabet)), np.random.default_rng(0)
    rule = AdamW(OneCycleRate(8e-3, steps), weight_decay=0.1, clip_norm=1.0)
    with contextlib.suppress(OSError):  # a quarter faster where the C library is glibc
        tune_allocator()
    trainer = Trainer(model, loss=CrossEntropy(), optimizer=rule)
    print(f"{len(text)} letters; were all {len(alphabet)} as likely: {math.log(len(alphabet)):.2f} nats a letter")
    for step in range(1, steps + 1):
        windows = rng.integers(len(text) - LENGTH, size=(BATCH, 1)) + np.arange(LENGTH + 1)
        loss = trainer.step(numbers[windows[:, :-1]], numbers[windows[:, 1:]])
        if step % max(1, steps // 5) == 0:
            print(f"step {step:5}  {loss:.2f} nats a letter")
    written = np.searchsorted(alphabet, list("The statement ")).tolist()
    write(model, written, 500, rng)
    for line in "".join(alphabet[number] for number in written).splitlines():
        print(textwrap.fill(line, 100))


if __name__ == "__main__":
    main()
