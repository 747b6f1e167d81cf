"""What every net is made of, and what is read first.

Read in this order: errors, arrays and checks (a user's data, cast at the door), repr, vector (the one flat array),
parameter (Parameter, Buffer, Random), holding (where a layer keeps things), layer (the contract), activation, loss
and optimizer (the bases that people subclass), stable (functions that never overflow), tree and build (how a model's
parts are found and get their numbers), chain (forward, backward, predict, state_dict). Core imports nothing else of
nanonet.
"""
