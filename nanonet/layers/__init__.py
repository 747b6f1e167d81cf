"""The layers.

One file per family: linear, activations, gelu (with erf for the exact form), softmax, dropout, flatten, residual,
branches (several inputs or outputs) and composite (any wiring). initializers has the starting values of their
parameters.
"""
