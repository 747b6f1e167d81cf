"""Interchange with other libraries.

One module or package per library, imported by nothing else in nanonet: torch, onnx, keras, sklearn, scipy and c.
"""
