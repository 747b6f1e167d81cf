"""Estimators for scikit-learn.

estimators has the classes, samples the distinct samples that they train on, absent the placeholders for
scikit-learn's base classes if it is not installed.
"""

from nanonet.interchange.sklearn.estimators import NanonetClassifier as NanonetClassifier
from nanonet.interchange.sklearn.estimators import NanonetRegressor as NanonetRegressor
