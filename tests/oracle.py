"""The article's recursion for nets of any depth and width: the reference that every gradient here is held against.

Plain Python on lists, one number at a time, sharing nothing with the package. Read it beside the formulas: layers l and
units j count as in the article, a_l are the sums of layer l, x_l is what goes into it, and

    g(L, j) = (y_j - t_j) f'(a_L[j])                            at the last layer L
    g(l, j) = Σ_i g(l+1, i) W_{l+1}[i, j] f'(a_l[j])            below it
    dE/dW_l[j, k] = g(l, j) x_l[k],   dE/db_l[j] = g(l, j),   dE/dx_1[k] = Σ_i g(1, i) W_1[i, k]

The article reads W_{l+1}[j, i] in the second line. That can be asked for, to have its printed numbers.
"""

# ruff: noqa: E741  # l is a layer, as in the article

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

Vector = list[float]
Matrix = list[list[float]]


def sigmoid(a: float) -> float:
    """Return 1 / (1 + exp(-a)); the second form is for a that is far below 0."""
    return 1 / (1 + math.exp(-a)) if a > -700 else math.exp(a)


FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "sigmoid": (sigmoid, lambda a: (1 - sigmoid(a)) * sigmoid(a)),
    "tanh": (math.tanh, lambda a: 1 - math.tanh(a) ** 2),
    "relu": (lambda a: max(a, 0.0), lambda a: 1.0 if a > 0 else 0.0),
    "identity": (lambda a: a, lambda a: 1.0),
}
"""Each activation f with its derivative f'."""


@dataclass
class Step:
    """One layer of the article: sums a = W x + b, then y = f(a)."""

    weight: Matrix  # weight[j][k] leads from unit k to unit j
    bias: Vector | None = None
    activation: str = "sigmoid"


@dataclass
class Gradients:
    """dE/dW and dE/db of each layer, in order, and dE/dx of each sample."""

    weights: list[Matrix]
    biases: list[Vector]
    inputs: list[Vector]


def outputs(net: list[Step], x: Vector) -> tuple[list[Vector], list[Vector]]:
    """Return the sums of each layer, and what goes into each layer; the last of these is y."""
    sums, inputs = [], [x]
    for step in net:
        bias = step.bias or [0.0] * len(step.weight)
        a = [
            sum(w * x_k for w, x_k in zip(row, inputs[-1], strict=True)) + b
            for row, b in zip(step.weight, bias, strict=True)
        ]
        sums.append(a)
        inputs.append([FUNCTIONS[step.activation][0](a_j) for a_j in a])
    return sums, inputs


def predict(net: list[Step], x: Vector) -> Vector:
    """Return y for one sample."""
    return outputs(net, x)[1][-1]


def loss(net: list[Step], xs: list[Vector], targets: list[Vector]) -> float:
    """Return E = 1/N Σ 1/2 Σ_j (y_j - t_j)^2 over N samples."""
    each = [
        sum((y_j - t_j) ** 2 for y_j, t_j in zip(predict(net, x), t, strict=True)) / 2
        for x, t in zip(xs, targets, strict=True)
    ]
    return sum(each) / len(each)


def sample_gradients(net: list[Step], x: Vector, target: Vector, *, transposed: bool = False) -> Gradients:
    """Return the gradients of one sample's 1/2 Σ_j (y_j - t_j)^2; transposed asks for the article's index."""
    sums, inputs = outputs(net, x)
    y, last = inputs[-1], len(net)

    @cache  # the value of each unit is asked for by every unit below it
    def g(l: int, j: int) -> float:
        slope = FUNCTIONS[net[l - 1].activation][1](sums[l - 1][j])
        if l == last:
            return (y[j] - target[j]) * slope
        above = net[l].weight  # W_{l+1}, for lists count from 0
        return sum(g(l + 1, i) * (above[j][i] if transposed else above[i][j]) for i in range(len(above))) * slope

    def diff(l: int, j: int, k: int) -> float:
        return g(l, j) * inputs[l - 1][k]

    units = [(l, range(len(step.weight)), range(len(step.weight[0]))) for l, step in enumerate(net, 1)]
    first = net[0].weight
    return Gradients(
        weights=[[[diff(l, j, k) for k in below] for j in here] for l, here, below in units],
        biases=[[g(l, j) for j in here] for l, here, _ in units],
        inputs=[[sum(g(1, i) * first[i][k] for i in range(len(first))) for k in range(len(x))]],
    )


def gradients(net: list[Step], xs: list[Vector], targets: list[Vector], *, transposed: bool = False) -> Gradients:
    """Return the gradients of E, the mean over the samples."""
    samples = [sample_gradients(net, x, t, transposed=transposed) for x, t in zip(xs, targets, strict=True)]
    count = len(samples)
    return Gradients(
        weights=[
            [
                [sum(s.weights[l][j][k] for s in samples) / count for k in range(len(row))]
                for j, row in enumerate(matrix)
            ]
            for l, matrix in enumerate(samples[0].weights)
        ],
        biases=[
            [sum(s.biases[l][j] for s in samples) / count for j in range(len(vector))]
            for l, vector in enumerate(samples[0].biases)
        ],
        inputs=[[number / count for number in s.inputs[0]] for s in samples],
    )


def trained(net: list[Step], x: Vector, target: Vector, *, passes: int, transposed: bool = False) -> list[Step]:
    """Return the net after passes over one sample without biases, learning rate 1, as the article trains it."""
    for _ in range(passes):
        found = gradients(net, [x], [target], transposed=transposed).weights
        net = [
            Step(
                [[w - d for w, d in zip(*rows, strict=True)] for rows in zip(step.weight, dw, strict=True)],
                activation=step.activation,
            )
            for step, dw in zip(net, found, strict=True)
        ]
    return net
