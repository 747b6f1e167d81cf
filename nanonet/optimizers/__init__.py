"""The rules by which gradients move parameters.

One family a file: sgd, adaptive, adam, rprop; and schedules, the learning rates that follow the step;
settings has what several rules check.
"""
