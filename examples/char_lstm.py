"""An LSTM writes what might stand in Python's documentation, letter by letter (Graves 2013).

The text, which Python brings along for its `help`, is cut into 32 parts that are read side by side, 50 letters a step.
Each step goes on with the states in which the last one ended, and its gradient goes back to its own first letter alone:
truncated backpropagation. Then the net writes on from a beginning, with the states as its only memory.
"""

import argparse
import contextlib
import math
import textwrap
from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import LSTM, Adam, CosineRate, CrossEntropy, Embedding, Linear, Sequential, Trainer, tune_allocator
from nanonet.core.stable import softmax

FEATURES, HIDDEN = 32, 160
PARTS, LENGTH = 32, 50

Numbers = npt.NDArray[Any]


def net(letters: int) -> tuple[Sequential, LSTM]:
    """Return a net from letters (N, T), as numbers, to a guess of each next one (N, T, letters), and its LSTM."""
    lstm = LSTM(FEATURES, HIDDEN, carry=PARTS)
    return Sequential(Embedding(letters, FEATURES), lstm, Linear(HIDDEN, letters), rng=0), lstm


def pieces(numbers: Numbers, lstm: LSTM) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield letters and those that follow them, again and again; the states begin where the text does."""
    count = (len(numbers) - 1) // (PARTS * LENGTH)
    x, following = (some[: PARTS * LENGTH * count].reshape(PARTS, -1) for some in (numbers[:-1], numbers[1:]))
    while True:
        lstm.reset_state()
        for start in range(0, x.shape[1], LENGTH):
            yield x[:, start : start + LENGTH], following[:, start : start + LENGTH]


def write(model: Sequential, text: list[int], count: int, rng: np.random.Generator, sharpness: float = 1.4) -> None:
    """Append letters to a text, each drawn from the guess after the last one; likely ones more often."""
    step = Sequential(LSTM(FEATURES, HIDDEN, output="all", initial_state=True))
    learned = model[1:2].state_dict()
    step.load_state_dict({name: value for name, value in learned.items() if "carried" not in name})
    h = c = np.zeros((1, 1, HIDDEN))
    new = text[:]  # letters that the states have not seen yet
    for _ in range(count):
        y, h, c = step((model[:1]([new]), h, c))
        p = softmax(sharpness * model[2:](y)[0, -1].astype(float))
        new = [int(rng.choice(len(p), p=p))]
        text += new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    steps = parser.parse_args().steps
    text = "".join(letter for letter in "\n".join(topics.values()) if letter.isascii())
    alphabet = sorted(set(text))
    model, lstm = net(len(alphabet))
    rule = Adam(CosineRate(5e-3, steps), clip_norm=1.0)
    with contextlib.suppress(OSError):  # faster where the C library is glibc
        tune_allocator()
    trainer = Trainer(model, loss=CrossEntropy(), optimizer=rule)
    print(f"{len(text)} letters; were all {len(alphabet)} as likely: {math.log(len(alphabet)):.2f} nats a letter")
    batches, losses = pieces(np.searchsorted(alphabet, list(text)), lstm), []
    for step in range(1, steps + 1):
        losses.append(trainer.step(*next(batches)))
        if step % max(1, steps // 5) == 0:
            print(f"step {step:5}  {np.mean(losses[-20:]):.2f} nats a letter")
    written = np.searchsorted(alphabet, list("The statement ")).tolist()
    write(model, written, 500, np.random.default_rng(0))
    for line in "".join(alphabet[number] for number in written).splitlines():
        print(textwrap.fill(line, 100))


if __name__ == "__main__":
    main()
