"""The hints, kept apart from the exercises: each is shown when needed, so read on only after solving them all.

A flipped sign, a transposed matrix, a constant factor and a missing sum are found by `check_gradients` itself. Most of
the symptoms here are violated properties of every correct derivative, such as rows that sum to 0, and show which path
from x to E was forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nanonet import Array


@dataclass(frozen=True)
class Attempt:
    """The result of one backward pass for a sample x and grad = dE/dy."""

    x: Array
    grad: Array
    result: Array  # dE/dx, or the gradient of a parameter


Symptom = Callable[[Attempt], bool]


@dataclass(frozen=True)
class Hint:
    """The hints for one derivative: while it is 0, if a symptom applies, and otherwise."""

    begin: str
    otherwise: str
    symptoms: tuple[tuple[Symptom, str], ...] = ()

    def due(self, attempt: Attempt) -> str:
        """Return the hint for this attempt."""
        if not attempt.result.any():
            return self.begin
        return next((text for symptom, text in self.symptoms if symptom(attempt)), self.otherwise)


def rows_do_not_cancel(terms: Array) -> bool:
    """Tell whether the terms of some row do not sum to 0."""
    return bool((np.abs(terms.sum(axis=1)) > 1e-3 * np.abs(terms).sum(axis=1)).any())


BIAS = Hint(
    begin="nothing is there yet. Begin with one entry: by how much does y[n, j] grow when bias[j] grows by 1, and in "
    "which samples n does it do so?",
    otherwise="bias[j] is added to y[n, j] in every sample n, and to nothing else. Which entries of grad does it "
    "affect, and over which axis are they summed?",
)

HINTS = {
    "Scale": {
        "dE/dx": Hint(
            begin="nothing is there yet. Begin with one entry: move x[n, i] by a little. Which entries of y move, and "
            "how many times as far? The chain rule multiplies that by what grad has there.",
            symptoms=(
                (
                    lambda attempt: np.allclose(attempt.result, attempt.grad),
                    "you return grad as it came, which is right where y is x plus something. By how much does "
                    "y[n, i] grow here when x[n, i] grows by 1?",
                ),
                (
                    lambda attempt: np.allclose(attempt.result, attempt.grad * attempt.x),
                    "you multiply by x, which is how y changes when the gain changes. Here x changes, and the gain "
                    "is constant.",
                ),
            ),
            otherwise="x[n, i] reaches y[n, i] and nothing else. Which single number connects the two?",
        ),
        "dE/dgain": Hint(
            begin="nothing is there yet. Begin with one sample: by how much does y[n, i] grow when gain[i] grows by 1? "
            "Then think of the other samples, which have the same gain.",
            symptoms=(
                (
                    lambda attempt: np.allclose(attempt.result, attempt.grad.sum(axis=0)),
                    "you add up grad alone, which is right for a number that is added. What does gain[i] multiply?",
                ),
            ),
            otherwise="all samples share gain[i], and each of them contributes to dE/dgain[i]. What is the "
            "contribution of one sample, and how are they combined?",
        ),
    },
    "Tanh": {
        "dE/dx": Hint(
            begin="nothing is there yet. Begin with a single number: what is the slope of tanh? Look it up, or derive "
            "it from sinh / cosh, and write it with tanh(x), which the cache holds. Then comes the chain rule.",
            symptoms=(
                (
                    lambda attempt: bool((attempt.result * attempt.grad < 0).any()),
                    "tanh rises everywhere, so each entry of dE/dx has the sign of its entry of grad; some of yours "
                    "have not. Is grad a factor of what you return, and is the other factor never negative?",
                ),
                (
                    lambda attempt: bool((np.abs(attempt.result) > np.abs(attempt.grad)).any()),
                    "tanh is nowhere steeper than 1, so no entry of dE/dx is larger than its entry of grad; some of "
                    "yours are. Is your slope the same at y = -0.5 as at y = 0.5, as the curve is?",
                ),
            ),
            otherwise="the slope is 1 where y = 0, and falls to 0 as y nears 1 or -1, on both sides alike. Does what "
            "you multiply grad by do so?",
        ),
    },
    "Linear": {
        "dE/dx": Hint(
            begin="nothing is there yet. Begin with one entry: which outputs does x[n, i] reach, and through which "
            "weight each? Write the sum over these outputs with all its indices, and then as one product of matrices.",
            otherwise="write the sum for one entry x[n, i] with all its indices, and your product likewise. Is the "
            "index that is summed over the same, and is it in the same position in weight? In a square layer "
            "shapes do not object: only indices do.",
        ),
        "dE/dweight": Hint(
            begin="nothing is there yet. Begin with one entry: weight[j, i] leads from one input to one output. Which "
            "number comes in, and which comes back? Sum over the samples, and write that as one product of matrices.",
            otherwise="weight has a row for each output and a column for each input. Which factor of your product "
            "must give the rows, which the columns, and which index is left to be summed over?",
        ),
        "dE/dbias": BIAS,
    },
    "Softmax": {
        "dE/dx": Hint(
            begin="nothing is there yet. Begin with one row. In y[j], exp(x[j]) is in numerator and denominator, in "
            "the other y[k] only in the denominator. So there are two cases of dy[k]/dx[j]: write both in terms of "
            "y, and only then multiply by grad.",
            symptoms=(
                (
                    lambda attempt: rows_do_not_cancel(attempt.result),
                    "add one number to all scores of a row, and no probability changes: so each row of dE/dx sums to "
                    "0. Yours do not. A score moves its own probability and all others of its row, through the sum "
                    "in the denominator: are both there, and is the sum taken over the row?",
                ),
            ),
            otherwise="each row sums to 0, as it must, since one number added to all scores changes nothing. Now take "
            "a row of two scores, where the Jacobian has four entries: write them down, and compare.",
        ),
    },
    "LayerNorm": {
        "dE/dx": Hint(
            begin="nothing is there yet. Begin with dE/dz, which is one line. Then take the three paths from x[n, j] "
            "to z[n] one at a time: first as if mean and deviation were constants; then what the mean adds; then what "
            "the deviation adds.",
            symptoms=(
                (
                    lambda attempt: rows_do_not_cancel(attempt.result),
                    "add one number to a whole row of x, and y stays as it is: so each row of dE/dx sums to 0. Yours "
                    "do not. The mean moves with every x of its row: is that path there, and summed over the features?",
                ),
                (
                    lambda attempt: rows_do_not_cancel(
                        attempt.result * (attempt.x - attempt.x.mean(axis=1, keepdims=True))
                    ),
                    "stretch a row of x about its mean, and y stays as it is (but for EPSILON): so each row of "
                    "dE/dx * (x - mean) sums to 0. Yours do not. The deviation moves with every x of its row: is that "
                    "path there, with the right factor?",
                ),
            ),
            otherwise="the paths through the mean and through the deviation are right. What remains is what all three "
            "have in common: how dE/dz comes from grad, and the size of a step of x in units of z.",
        ),
        "dE/dgain": Hint(
            begin="nothing is there yet. Begin with one sample, as in the exercise Scale: what does gain[j] multiply?",
            otherwise="gain[j] multiplies z[n, j], and not x[n, j], in every sample n. What is the contribution of "
            "one sample, and how are they combined?",
        ),
        "dE/dbias": BIAS,
    },
}
