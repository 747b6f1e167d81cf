"""The layers.

One file per family: linear, embedding, activations, gelu (with erf for the exact form), softmax, norm, batch_norm,
standardize, dropout, flatten, reshape, residual. Each is independent of the others, except that batch_norm works in
blocks as norm does. initializers has the starting values of their parameters.
"""
