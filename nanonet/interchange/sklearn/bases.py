"""What the estimators need of scikit-learn, and placeholders for it where that is not installed."""

from __future__ import annotations

from typing import Any

from nanonet.core.checks import optional

try:
    from sklearn.base import BaseEstimator as BaseEstimator
    from sklearn.base import ClassifierMixin as ClassifierMixin
    from sklearn.base import ClassNamePrefixFeaturesOutMixin as ClassNamePrefixFeaturesOutMixin
    from sklearn.base import RegressorMixin as RegressorMixin
    from sklearn.base import TransformerMixin as TransformerMixin
    from sklearn.exceptions import ConvergenceWarning as ConvergenceWarning
    from sklearn.metrics import check_scoring as check_scoring
    from sklearn.utils import check_random_state as check_random_state
    from sklearn.utils.class_weight import compute_class_weight as compute_class_weight
    from sklearn.utils.metaestimators import available_if as available_if
    from sklearn.utils.multiclass import check_classification_targets as check_classification_targets
    from sklearn.utils.multiclass import type_of_target as type_of_target
    from sklearn.utils.multiclass import unique_labels as unique_labels
    from sklearn.utils.validation import _check_sample_weight
    from sklearn.utils.validation import check_is_fitted as check_is_fitted
    from sklearn.utils.validation import column_or_1d as column_or_1d
    from sklearn.utils.validation import validate_data as validate_data

    check_sample_weight = _check_sample_weight
except ModuleNotFoundError:  # only using an estimator fails

    class BaseEstimator:  # type: ignore[no-redef]
        """Refuses to be made."""

        def __new__(cls, *arguments: Any, **keywords: Any) -> BaseEstimator:
            """Raise the error that says what to install."""
            missing: BaseEstimator = optional(cls.__name__, "scikit-learn", "sklearn", "sklearn.base")
            return missing

    ClassifierMixin, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin = (
        type(name, (), {}) for name in ("Classifier", "Names", "Regressor", "Transformer")
    )
    check_random_state = compute_class_weight = check_classification_targets = unique_labels = type_of_target = None
    check_sample_weight = check_is_fitted = check_scoring = column_or_1d = validate_data = None
    ConvergenceWarning = UserWarning

    def available_if(check: Any) -> Any:
        """Return a decorator that changes nothing."""
        return lambda method: method
