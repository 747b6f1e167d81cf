"""ONNX files.

files has the public functions export and load. elementwise has ONNX's operators and the activations as NumPy functions:
writing, which makes a graph from a chain, applies them to values of the graph, and recognition to pieces, functions in
a normal form made of expressions, to find the activation that several operators compute. graph interprets a file,
operators has the operators that are one layer, reading converts a graph to a chain.
"""

from nanonet.interchange.onnx.files import export as export
from nanonet.interchange.onnx.files import load as load
