"""The losses.

regression has those for numeric targets, classification those for classes and probabilities, together the weighted sum
of several; outputs has the means that they use.
"""
