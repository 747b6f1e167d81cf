"""Whole steps of small dense chains in one compiled call, with numba, of the extra ``fast``.

What is here is left out of a training that is not ``fast``, and computes nothing that the readable step would not. Read
chain first (which chains these are), then plan (the arrays that the kernels work on), kernels (the loops that numba
compiles, with products, exponential and the codes for what they are told), step (a stepper that takes such steps) and
epoch (many of them in one call).
"""
