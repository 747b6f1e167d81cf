"""The layers.

One file per family: linear, embedding, activations, gelu (with erf for the exact form), softmax, norm, group_norm,
batch_norm, standardize, dropout, flatten, reshape, residual, branches (several inputs or outputs) and composite (any
wiring). initializers has the starting values of their parameters.
"""
