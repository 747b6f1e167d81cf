"""The losses.

Read in this order: loss (Loss, the base class); for numeric targets regression, quantile and gaussian; for classes and
probabilities classification (of which each sample has one, or each time or pixel), binary and divergence; distances for
outputs that are compared with each other; together, the weighted sum of several. predictions and weights are what Loss
takes apart and checks for all of them, outputs the means that they use, settings the checks of their arguments, labels
a loss of the scikit-learn estimators.
"""
