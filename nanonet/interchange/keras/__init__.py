"""Keras files, read without Keras.

files has the public function load; container opens the two formats, and weights finds the arrays of a layer in each.
nodes reads the description of a model, wiring runs through its layers and makes a chain of them. registration has the
decorator reads, by which a Keras layer becomes layers of nanonet, also one of yours; a reader is given a Reached. The
layers of Keras are read in basics, elementwise, norms, convolutions, images and recurrent.
"""

from nanonet.interchange.keras import basics as basics
from nanonet.interchange.keras import convolutions as convolutions
from nanonet.interchange.keras import elementwise as elementwise
from nanonet.interchange.keras import images as images
from nanonet.interchange.keras import norms as norms
from nanonet.interchange.keras import recurrent as recurrent
from nanonet.interchange.keras.files import load as load
from nanonet.interchange.keras.reached import Reached as Reached
from nanonet.interchange.keras.registration import reads as reads
