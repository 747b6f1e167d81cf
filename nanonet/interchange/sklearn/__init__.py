"""Estimators for scikit-learn.

estimators has the two classes, base_estimator what they share, samples the distinct samples that they train on, bases
what is imported from scikit-learn, or the placeholders if it is not installed.
"""

from nanonet.interchange.sklearn.estimators import NanonetClassifier as NanonetClassifier
from nanonet.interchange.sklearn.estimators import NanonetRegressor as NanonetRegressor
