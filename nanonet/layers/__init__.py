"""The layers.

One file a family: linear, activations (with erf, which the exact GELU needs), softmax, dropout, flatten, residual.
Each stands alone and knows no other.
"""
