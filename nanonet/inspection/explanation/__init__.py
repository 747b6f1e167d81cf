"""The worked calculation of one gradient.

formulas and stated_formula evaluate the formulas that classes state, terms holds the sums that layers state, as images,
norms, rows, recurrent (on unrolled, its numbers at all times) and attention do for theirs; writers typesets them,
equations, path, sums and derivation write the chain rule with its numbers, phrases has the text in two languages,
explanation is the result.
"""
