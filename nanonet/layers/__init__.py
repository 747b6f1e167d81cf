"""The layers.

One file per family: linear, activations, gelu (with erf for the exact form), softmax, dropout, flatten, residual. Each
is independent of the others. initializers has the starting values of their parameters.
"""
