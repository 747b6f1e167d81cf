"""How code is held to the contract.

Read view first (a private twin of a model, on which all checks run), then contract (the checks of each layer),
strict (a block in which they run), training_contract (the same for losses and optimizers), overlooked (what would
never be trained) and snapshot. gradients is ``check_gradients``; below it stand layer_check, situations,
finite_differences, slopes and diagnosis.
"""
