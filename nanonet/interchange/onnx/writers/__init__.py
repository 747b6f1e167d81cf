"""The writers of nanonet's own layers, each registered as a user's would be.

basic has Linear, the activations, and what changes axes; images has convolution and pooling; norms normalizes;
sequences has attention and what is recurrent; wiring has the layers that consist of layers.
"""

from nanonet.interchange.onnx.writers import basic as basic
from nanonet.interchange.onnx.writers import images as images
from nanonet.interchange.onnx.writers import norms as norms
from nanonet.interchange.onnx.writers import sequences as sequences
from nanonet.interchange.onnx.writers import wiring as wiring
