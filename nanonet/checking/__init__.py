"""Checks that layers, losses and optimizers keep their contract.

Read view first (a private twin of a model, on which all checks run), then layer_contract (the checks of each layer),
strict (a block in which they run), training_contract (the same for losses and optimizers, and a search for parts that
would never be trained). gradients has ``check_gradients``, which is built on layer_check, situations,
finite_differences, slopes and diagnosis.
"""
