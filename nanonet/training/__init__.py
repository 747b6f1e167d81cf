"""What a fit is.

Read step first (one step, whole or not taken), with blocks and interrupts; then trainer (Trainer, and the Callback
whose hooks it calls). data, intake and epoch bring the batches; metrics, history and progress keep and show the
numbers; callbacks has those that come with nanonet; checkpoint, checkpoint_format, schema and resumed write a
training down and go on with it; subject says what they may see of a trainer.
"""
