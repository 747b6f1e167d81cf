"""A model as one C99 file, for where there is no Python.

export has the public function, program the file that is being written: its constants, its memory, its statements.
expressions has the activations; writers, windows, norms, places and recurrent have the other layers. All are registered
by writes, as a layer of yours can be.
"""

from nanonet.interchange.c import expressions as expressions
from nanonet.interchange.c import norms as norms
from nanonet.interchange.c import places as places
from nanonet.interchange.c import recurrent as recurrent
from nanonet.interchange.c import windows as windows
from nanonet.interchange.c import writers as writers
from nanonet.interchange.c.export import Exported as Exported
from nanonet.interchange.c.export import export as export
from nanonet.interchange.c.program import Matrix as Matrix
from nanonet.interchange.c.program import Program as Program
from nanonet.interchange.c.program import writes as writes
