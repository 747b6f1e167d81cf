"""Interchange with other libraries.

One module or package per library, imported by nothing else in nanonet: torch, onnx, sklearn and scipy.
"""
