"""The layers.

One file per family: linear, embedding, activations (with Activation, the base class), clip, gelu (with erf for the
exact form), softmax, norm, group_norm, batch_norm, standardize, dropout, flatten, reshape, residual; for images and
sequences conv (with columns, its matrix products), pool and resize, all on windows, which knows where a kernel lies;
attention (on heads, its mathematics), positional_encoding and transformer; branches (several inputs or outputs),
composite (any wiring) and wired (one that is data); reparametrised and its rules (a weight computed from what is
trained). initializers has the starting values of their parameters, arguments the checks of sizes. The package
recurrent has those that read sequences one time after the other.
"""
