"""Training a model.

Read step first (one atomic step), with atomic (what undoes a step and delays signals); then data
(arrays and iterables of batches) and feed (the data of one fit, and an epoch trained on it); then by_hand and trainer
(Trainer, first its steps by hand, and the Callback whose hooks it calls). history records the numbers, metrics has the
measures beside the loss and evaluates held-out data, progress displays them, and divergence says where a step went
wrong. callbacks has the built-in callbacks; layer_monitor, replay and tensorboard are those that look into a training.
checkpoint, checkpoint_format and resuming save and resume training; allocator keeps the memory of large arrays.
"""
