"""ONNX files.

files has export and load, which are what users import; writing makes a graph of a chain; graph, node and operators
say what a file holds, reading follows it, and expression, pieces and elementwise recognise activations by their
algebra.
"""

from nanonet.interchange.onnx.files import export as export
from nanonet.interchange.onnx.files import load as load
