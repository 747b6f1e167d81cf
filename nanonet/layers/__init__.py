"""The layers.

One file a family: linear, activations, gelu (with erf, which the exact one needs), softmax, dropout, flatten, residual.
Each stands alone and knows no other.
"""
