"""ONNX files.

files has the public functions export and load, registration the decorators writes and reads, by which a layer of anyone
becomes operators and an operator a layer; nanonet's own are registered in writers and readers. draft is a graph that is
being written, graph one that is read from a file. elementwise has ONNX's operators and the activations as NumPy
functions: writing applies them to values of the graph, and recognition to pieces, functions in a normal form made of
expressions, to find the activation that several operators compute. reading converts a graph to a chain, and wiring what
is no chain.
"""

from nanonet.interchange.onnx import readers as readers
from nanonet.interchange.onnx import writers as writers
from nanonet.interchange.onnx.draft import Draft as Draft
from nanonet.interchange.onnx.files import export as export
from nanonet.interchange.onnx.files import load as load
from nanonet.interchange.onnx.graph import Node as Node
from nanonet.interchange.onnx.reached import Reached as Reached
from nanonet.interchange.onnx.registration import reads as reads
from nanonet.interchange.onnx.registration import writes as writes
