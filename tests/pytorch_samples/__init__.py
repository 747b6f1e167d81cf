"""PyTorch's own samples, translated into nanonet and compared: ``python -m tests.pytorch_samples`` prints the table.

PyTorch tests its modules, functions and optimizers on samples that its package holds (torch.testing._internal): their
arguments and inputs were chosen by other people than those who wrote nanonet. Read databases.py, then layers.py,
losses.py and optimizers.py, which translate a sample and compare, and reasons.py: what nanonet does not have.
"""
