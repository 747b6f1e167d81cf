"""Training a model.

Read step first (one atomic step), with atomic (what undoes a step and delays signals); then data
(arrays and iterables of batches) and feed (the data of one fit, and an epoch trained on it); then by_hand and trainer
(Trainer, first its steps by hand, and the Callback whose hooks it calls). history records the numbers, metrics has the
measures beside the loss and evaluates held-out data, progress displays them, callbacks has the built-in callbacks, and
divergence says where a step went wrong; checkpoint, checkpoint_format and resuming save and resume training; allocator
keeps the memory of large arrays, and compiled, of a training that is ``fast``, takes whole steps of small chains.
"""
