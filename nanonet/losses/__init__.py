"""The losses.

Regression for targets that are numbers, classification for classes and probabilities; outputs has the means that
both take.
"""
