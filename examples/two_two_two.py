"""The article's 2-2-2 net, with the article's transposed index and with the right one.

A net of two sigmoid layers of two units, without biases, learns one pair: x = (1, 2), target = (1, 0). Its backward
pass needs W[i, j], the weight from unit j up to unit i. The article's code reads W[j, i] there: since every layer is
2x2 it runs, and it even learns. This script trains both ways and asks `check_gradients` which of them is a gradient.

With --draw DIR it also writes four figures: the net before and after training, with either index.
"""

import argparse
import textwrap
from collections.abc import Sequence as Arguments
from pathlib import Path

import numpy as np

from nanonet import SGD, Array, GradientError, Linear, Sequential, Sigmoid, SquaredError, check_gradients

X = [[1, 2]]
TARGET = [[1, 0]]
W1 = [[0.4, 0.3], [0.7, 0.6]]
W2 = [[0.2, 0.3], [1.0, 0.7]]
PASSES = 100

ARTICLE_BEFORE = (0.60041131, 0.79248709)  # as the article prints them
ARTICLE_AFTER = (0.91175343, 0.08878309)


class ArticleLinear(Linear):
    """A Linear that passes back g W.T instead of g W, as the chain rule requires: the article's index."""

    def backward(self, grad: Array, cache: Array) -> Array:
        super().backward(grad, cache)  # assigns dE/dW, which the article has right
        transposed: Array = grad @ self.weight.value.T
        return transposed


def build(linear: type[Linear]) -> Sequential:
    """Return the untrained net, in float64 to show 8 decimals."""
    return Sequential(
        linear(2, 2, weight=W1, bias=False),
        Sigmoid(),
        linear(2, 2, weight=W2, bias=False),
        Sigmoid(),
        dtype=np.float64,
    )


def train(linear: type[Linear]) -> Sequential:
    """Return the net after 100 passes; one pair of x and target makes each pass a single step."""
    model = build(linear)
    model.fit(X, TARGET, loss=SquaredError(), optimizer=SGD(1.0), epochs=PASSES, verbose=0)
    return model


def show_outputs(article: Sequential, right: Sequential) -> None:
    """Print y next to the article's numbers."""
    row("y", "nanonet", "the article prints")
    row("before training", pair(build(Linear)(X)[0]), pair(ARTICLE_BEFORE))
    row("after, article's index", pair(article(X)[0]), pair(ARTICLE_AFTER))
    row("after, right index", pair(right(X)[0]), "-")


def show_weights(article: Sequential, right: Sequential) -> None:
    """Print the trained weights; row j, column i holds the weight from unit i to unit j."""
    row("weights after training", "W1", "W2")
    for name, model in (("article's index", article), ("right index", right)):
        first, second = (parameter.value for parameter in model.parameters().values())
        row(name, pair(first[0], 11), pair(second[0], 11))
        row("", pair(first[1], 11), pair(second[1], 11))


def show_check(linear: type[Linear]) -> None:
    """Print the result of check_gradients for one kind of layer."""
    try:
        text = str(check_gradients(linear(2, 2, bias=False)))
    except GradientError as error:
        text = f"GradientError: {error}"
    for line in text.splitlines():
        print(textwrap.fill(line, 100, subsequent_indent="    "))


def draw(folder: Path) -> None:
    """Write the net with all of its numbers, before and after training, with the article's index and the right one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, linear in (("article", ArticleLinear), ("right", Linear)):
        for when, model in (("before", build(linear)), ("after", train(linear))):
            model.trace(X, TARGET, SquaredError()).draw().save(folder / f"{when}_{name}.svg")


def row(name: str, left: str, right: str) -> None:
    """Print one row of a table; numbers that may be negative include space for their sign."""
    print(f"{name:24}  {left:24}  {right}")


def pair(numbers: Array | tuple[float, float], width: int = 0) -> str:
    """Write two numbers to 8 decimals."""
    return " ".join(f"{number:{width}.8f}" for number in numbers)


def main(arguments: Arguments[str] | None = None) -> None:
    """Train the net both ways and print the results."""
    parser = argparse.ArgumentParser(description="The article's 2-2-2 net, with its index and with the right one.")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="write the net before and after training as figures")
    chosen = parser.parse_args(arguments)
    article, right = train(ArticleLinear), train(Linear)
    print(f"The article's 2-2-2 net: x = (1, 2), target = (1, 0), {PASSES} passes of {SGD(1.0)}.\n")
    show_outputs(article, right)
    print()
    show_weights(article, right)
    print("\nBoth learn. Which of the two follows a gradient? check_gradients on the right layer:\n")
    show_check(Linear)
    print("\nand on the article's:\n")
    show_check(ArticleLinear)
    if chosen.draw is not None:
        draw(chosen.draw)
        print(f"\nDrawn: {chosen.draw}, before and after training, with either index.")


if __name__ == "__main__":
    main()
