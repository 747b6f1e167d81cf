"""The foundation of every network; read this package first.

Read in this order: arrays (the types Array, Shape and Pattern), errors, objects (what an object holds and how it is
named), checks (what a user passes in), vector (the flat array of all parameters), parameter (Parameter, Buffer,
Random), layer (the contract, and Activation), loss and optimizer (the other base classes to subclass), stable
(functions that never overflow), tree (how the parts of a model are found and initialized), chain (forward, backward,
predict, state_dict). Core imports nothing else from nanonet.
"""
