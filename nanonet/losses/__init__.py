"""The losses.

Regression for targets that are numbers, classification for classes and probabilities.
"""
