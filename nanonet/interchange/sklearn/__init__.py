"""Estimators for scikit-learn.

classifier and regressor have the two classes, base_estimator what they share, fitted what they show after a fit,
settings what their parameters mean, convergence the callbacks that some of these ask for, samples the distinct samples
that they train on, bases what is imported from scikit-learn, or the placeholders if it is not installed.
"""

from nanonet.core.objects import hinting
from nanonet.interchange.sklearn.classifier import NanonetClassifier as NanonetClassifier
from nanonet.interchange.sklearn.regressor import NanonetRegressor as NanonetRegressor
from nanonet.interchange.sklearn.settings import WORDS

for _estimator in (NanonetClassifier, NanonetRegressor):
    setattr(_estimator, "__init__", hinting(_estimator.__init__, WORDS))  # noqa: B010
