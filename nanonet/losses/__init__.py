"""The losses.

Read in this order: loss (Loss, the base class), regression (for numeric targets), classification (for classes and
probabilities), together (the weighted sum of several); outputs has the means that they use, labels a loss of the
scikit-learn estimators.
"""
