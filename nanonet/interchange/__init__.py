"""Interchange with other libraries.

One module or package per library, imported by nothing else in nanonet: torch, onnx, keras, sklearn, scipy and c. What
several of them need: layer_by_layer writes a model by the functions that are registered for its layers' classes, and
overridden says whether such a function holds for a subclass.
"""
