"""The foundation of every network; read this package first.

Read in this order: shapes, errors, arrays and checks (conversion and validation of user data), repr, vector (the flat
array of all parameters), parameter (Parameter, Buffer, Random), holding (attributes and containers), layer (the
contract), activation, loss and optimizer (the base classes to subclass), stable (functions that never overflow), tree
and build (how the parts of a model are found and initialized), chain (forward, backward, predict, state_dict). Core
imports nothing else from nanonet.
"""
