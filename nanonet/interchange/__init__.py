"""Living with other libraries.

Each in a module or package of its own and imported by none of the rest: torch, onnx, sklearn and scipy.
"""
