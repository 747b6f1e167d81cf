"""The layers.

One file per family: linear, embedding, activations, gelu (with erf for the exact form), softmax, norm, group_norm,
batch_norm, standardize, dropout, flatten, reshape, residual. Each is independent of the others, except that the norms
share the end of norm. initializers has the starting values of their parameters.
"""
