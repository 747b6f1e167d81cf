"""What a chain of layers is made of; read this package first.

Read in this order: arrays (the types Array, Shape and Pattern), errors, objects (what an object holds and how it is
named), checks (what a user passes in), vector (the flat array of all parameters), parameter (Parameter, Buffer,
Random), layer (the contract), tree (how the parts of a model are found and initialized), rows (into which blocks a
large batch is cut), chain (forward, backward, predict, state_dict); stable has exponentials and logarithms that never
overflow, for layers and losses. Core imports nothing else from nanonet.
"""
