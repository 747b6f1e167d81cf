"""The layers.

One file per family: linear, activations, gelu (with erf for the exact form), softmax, dropout, flatten, residual; and
for images and sequences conv (with columns, its matrix products), pool and resize, all three on windows, which knows
where a kernel lies. Otherwise each is independent of the others. initializers has the starting values of their
parameters.
"""
