"""The optimizers: update rules for the parameters.

Read in this order: optimizer (Optimizer, the base class, and Step), then one file per family: sgd, adaptive, adam,
adam_variants, lion, rprop; schedules has the learning rates as functions of the step; factors has settings that differ
by parameter; settings has what several rules check; compiled has numba make one loop of a rule.
"""
