"""Training a model.

Read step first (one atomic step), with parts (of a batch) and atomic (what undoes a step and delays signals); then data
(batches of arrays), stream (batches of iterables) and feed (the data of one fit, and an epoch trained on it); then
by_hand, saved and trainer (Trainer, first its steps by hand, then what it saves, and the Callback whose hooks it
calls). tables turns frames and tensors into arrays, class_weight weighs classes. history records the numbers, metrics
has the measures beside the loss and evaluates held-out data, progress displays them, and divergence says where a step
went wrong. callbacks has the built-in callbacks; layer_monitor, replay and tensorboard are those that look into a
training. checkpoint, checkpoint_format and resuming save and resume training; allocator keeps the memory of large
arrays.

division shares the passes of a step, over workers (threads) and over the ranks of a reducer (processes), each with
twins of the layers; distributed has the reducer for MPI. compiled, of a training that is ``fast``, takes whole steps of
small chains.
"""
