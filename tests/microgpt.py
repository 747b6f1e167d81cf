"""A small GPT whose losses are published, as a net of nanonet: microgpt, which learns names letter by letter.

`python -m tests.microgpt names.txt` trains it on the 32,033 names of karpathy/makemore, one a step, and prints the
losses. The first steps need no file: which names they see follows from the number of names alone.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nanonet import (
    Adam,
    Array,
    CrossEntropy,
    Embedding,
    Linear,
    MultiHeadAttention,
    PositionalEncoding,
    ReLU,
    Residual,
    RMSNorm,
    Sequential,
    Trainer,
)

NAMES = 32_033  # in the file
FIRST = ("yuheng", "diondre", "xavien", "jori", "juanluis")  # what its first five steps see
PUBLISHED = (3.3659669474848504, 3.4242727838717717, 3.177802125458052, 3.066355684224198, 3.220883089750623)
LATER = {20: 2.74528539365564, 1000: 2.6497}
"""Published losses of single steps, counted from 1."""

ENDS = 26  # the token before and after a name
PLACES, FEATURES, HEADS = 16, 16, 4
STEPS = 1000


def shuffled(count: int) -> tuple[list[int], random.Random]:
    """Return the order of so many names, and the stream of random numbers that it came from, as it goes on."""
    stream = random.Random(42)
    order = list(range(count))
    stream.shuffle(order)
    return order, stream


def net(stream: random.Random) -> Sequential:
    """Return the net, with weights drawn from the stream in microgpt's order."""

    def drawn(rows: int, columns: int) -> Array:
        return np.array([[stream.gauss(0, 0.08) for _ in range(columns)] for _ in range(rows)])

    tokens, places, out = drawn(ENDS + 1, FEATURES), drawn(PLACES, FEATURES), drawn(ENDS + 1, FEATURES)
    query, key, value, mixed = (drawn(FEATURES, FEATURES) for _ in range(4))
    wide, narrow = drawn(4 * FEATURES, FEATURES), drawn(FEATURES, 4 * FEATURES)
    attention = MultiHeadAttention(FEATURES, HEADS, bias=False, causal=True)
    model = Sequential(
        Embedding(ENDS + 1, FEATURES, weight=tokens),
        PositionalEncoding(FEATURES, PLACES, learned=places),
        normed(),
        Residual(Sequential(normed(), attention, dtype=np.float64)),
        Residual(
            Sequential(
                normed(),
                Linear(FEATURES, 4 * FEATURES, weight=wide, bias=False),
                ReLU(),
                Linear(4 * FEATURES, FEATURES, weight=narrow, bias=False),
                dtype=np.float64,
            )
        ),
        Linear(FEATURES, ENDS + 1, weight=out, bias=False),
        dtype=np.float64,
    )
    attention.in_proj_weight.value = np.concatenate([query, key, value])
    attention.out_proj.weight.value = mixed
    return model


def normed() -> RMSNorm:
    """Return microgpt's norm, which has no gain."""
    return RMSNorm(FEATURES, 1e-5, elementwise_affine=False)


def losses(model: Sequential, names: Sequence[str]) -> Iterator[float]:
    """Train on one name a step, and yield the loss of each."""
    rule = Adam(lambda step: 0.01 * (1 - step / STEPS), betas=(0.85, 0.99))
    trainer = Trainer(model, loss=CrossEntropy(), optimizer=rule)
    for name in names:
        tokens = [ENDS, *(ord(letter) - ord("a") for letter in name), ENDS][: PLACES + 1]
        yield trainer.step([tokens[:-1]], [tokens[1:]])


if __name__ == "__main__":
    given = [line.strip() for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line.strip()]
    order, stream = shuffled(len(given))
    published = dict(enumerate(PUBLISHED, start=1)) | LATER
    for step, loss in enumerate(losses(net(stream), [given[i] for i in order[:STEPS]]), start=1):
        if step in published:
            print(f"step {step:4}  {loss:.13f}  published {published[step]}")
