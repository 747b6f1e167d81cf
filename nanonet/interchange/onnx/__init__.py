"""ONNX files.

files has the public functions export and load; writing makes a graph from a chain; graph, node and operators interpret
a file, reading converts it to a chain, and expression, pieces and elementwise recognise activations algebraically.
"""

from nanonet.interchange.onnx.files import export as export
from nanonet.interchange.onnx.files import load as load
