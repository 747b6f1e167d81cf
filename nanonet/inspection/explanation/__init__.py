"""The worked calculation of one gradient.

formulas and stated_formula evaluate the formulas that classes state, writers typesets them, equations and
derivation write the chain rule with its numbers, phrases has the text in two languages, explanation is the result.
"""
