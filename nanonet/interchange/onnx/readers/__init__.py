"""The readers of ONNX's operators, each registered as a user's would be.

basic has products, activations and what changes axes; images has convolution and pooling; norms has what normalizes, in
one operator or several; attention has attention, however it is written out,
and recurrent what reads a sequence step by step.
"""

from nanonet.interchange.onnx.readers import attention as attention
from nanonet.interchange.onnx.readers import basic as basic
from nanonet.interchange.onnx.readers import images as images
from nanonet.interchange.onnx.readers import norms as norms
from nanonet.interchange.onnx.readers import recurrent as recurrent
