"""The optimizers: update rules for the parameters.

One file per family: sgd, adaptive, adam, rprop; schedules has the learning rates as functions of the step;
settings has what several rules check.
"""
