"""The layers.

One file per family: linear, embedding, activations, gelu (with erf for the exact form), softmax, norm, batch_norm,
standardize, dropout, flatten, reshape, residual. Each is independent of the others, but batch_norm works in norm's blocks. initializers has the starting values of their parameters.
"""
