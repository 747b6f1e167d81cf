"""The worked calculation of one gradient.

formulas and class_formula read what a class says of its mathematics, equations and derivation write the chain rule
with its numbers, phrases has the words in two languages, explanation is the result.
"""
