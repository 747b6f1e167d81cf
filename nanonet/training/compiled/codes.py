"""Codes: the numbers by which the kernels are told what to compute.

numba keeps compiled kernels while kernels.py is as old as it was: whoever changes a code saves that file too.
"""

from __future__ import annotations

# Activations, losses, rules, weight decays, and halves of a step:
NONE, SIGMOID, TANH, RELU = range(4)
SQUARED_ERROR, CROSS_ENTROPY = range(2)
GRADIENT, MOMENTUM, NESTEROV, ADAM = range(4)
COUPLED, DECOUPLED = 1, 2
BOTH, PASSES, UPDATE = range(3)

# Entries of an array of ints, after which come inputs, outputs, activation and bias of each layer.
LOSS, RULE, DECAYS, WIDEST, BATCH, HALF, ENTRIES = range(7)

# Entries of an array of float64: the settings, where b1 is also the momentum, and the steps taken, which the kernels
# count on; of the last step its batch, counted in the call, its loss and its rate; and over all steps the sums of the
# loss times its divisor, and of the divisors.
B1, B2, EPSILON, CLIP_NORM, CLIP_VALUE, STEPS = range(6)
LAST_BATCH, LAST_LOSS, LAST_RATE, LOSSES, DIVISORS, NUMBERS = range(6, 12)
