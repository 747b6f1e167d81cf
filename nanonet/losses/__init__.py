"""The losses.

regression has those for numeric targets, classification those for classes and probabilities.
"""
