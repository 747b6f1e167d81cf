"""The optimizers: update rules for the parameters.

One file per family: sgd, adaptive, adam, rprop; and schedules, learning rates as functions of the step.
"""
