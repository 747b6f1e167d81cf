"""Training a model.

Read step first (one atomic step), with blocks and interrupts; then trainer (Trainer, and the Callback whose hooks it
calls). data, intake and epoch supply the batches; metrics, history and progress record and display the numbers,
evaluation measures held-out data; callbacks has the built-in callbacks; checkpoint, checkpoint_format, schema and
resumed save and resume training; subject is the protocol through which they access a trainer.
"""
