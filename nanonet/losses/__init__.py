"""The losses.

regression has those for numeric targets, classification those for classes and probabilities; outputs has the
means that both use.
"""
