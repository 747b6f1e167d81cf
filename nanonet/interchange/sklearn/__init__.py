"""Estimators for scikit-learn.

estimators has the classes, samples the distinct samples that they train on, absent what stands in for scikit-learn
where it is not installed.
"""

from nanonet.interchange.sklearn.estimators import NanonetClassifier as NanonetClassifier
from nanonet.interchange.sklearn.estimators import NanonetRegressor as NanonetRegressor
