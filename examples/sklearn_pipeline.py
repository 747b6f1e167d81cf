"""Nets as scikit-learn estimators: a pipeline, a search, and features requested for its own MLP that it lacks.

Needs scikit-learn: pip install 'nanonet[sklearn]'
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from nanonet import Activation, Adam, Array, Dropout, Layer, Linear, Loss, ReLU, Tanh
from nanonet.interchange.sklearn import NanonetClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)


# A custom net: any function of the numbers of features and outputs that returns layers, or a Sequential.
def with_dropout(features: int, outputs: int) -> list[Layer]:
    return [Linear(features, 100), ReLU(), Dropout(0.3), Linear(100, outputs)]


# A custom activation: f(a) and f'(a).
class Gaussian(Activation):
    """y = exp(-a^2)."""

    def function(self, a: Array) -> Array:
        return np.exp(-a * a)

    def derivative(self, a: Array, y: Array) -> Array:
        return -2 * a * y


# A custom loss gets one-hot rows. With `probabilities` the estimator has predict_proba, otherwise not.
class Brier(Loss):
    """Sum of (softmax(prediction) - target)^2 over the outputs, mean over the batch."""

    def probabilities(self, prediction: Array) -> Array:
        powers = np.exp(prediction - prediction.max(axis=1, keepdims=True))
        rows: Array = powers / powers.sum(axis=1, keepdims=True)
        return rows

    def function(self, prediction: Array, target: Array) -> Array:
        each: Array = ((self.probabilities(prediction) - target) ** 2).sum(axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        p = self.probabilities(prediction)
        slope = 2 * (p - target)
        grad: Array = p * (slope - (p * slope).sum(axis=1, keepdims=True))
        return grad


WAYS = {
    "dropout": NanonetClassifier(model=with_dropout, epochs=30, random_state=0),
    "an activation of one's own": NanonetClassifier(activation=Gaussian(), epochs=30, random_state=0),
    "an activation for each layer": NanonetClassifier((64, 32), [Tanh(), ReLU()], epochs=30, random_state=0),
    "a loss of one's own": NanonetClassifier(loss=Brier(), epochs=30, random_state=0),
    "early stopping": NanonetClassifier(early_stopping=True, random_state=0),
    "class weights": NanonetClassifier(class_weight="balanced", epochs=30, random_state=0),
}


def main() -> None:
    print(f"{'right on the 360 digits held out':32}")
    for name, classifier in WAYS.items():
        pipeline = make_pipeline(MinMaxScaler(), classifier).fit(X_train, y_train)
        print(f"  {name:30}{pipeline.score(X_test, y_test):6.1%}  after {classifier.n_iter_} epochs")

    learned = NanonetClassifier(16, epochs=30, random_state=0)
    features = make_pipeline(MinMaxScaler(), learned, LogisticRegression(max_iter=1000))
    score = features.fit(X_train, y_train).score(X_test, y_test)
    print(f"  {'16 hidden outputs as features':30}{score:6.1%}  by logistic regression")
    hidden = learned.transform(features[0].transform(X_test))
    print(f"\nhidden outputs {hidden.shape}: {', '.join(learned.get_feature_names_out()[:3])}, ...")

    plain = make_pipeline(MinMaxScaler(), NanonetClassifier(32, epochs=15, random_state=0))
    print(f"5-fold cross-validation: {cross_val_score(plain, X_train, y_train, cv=5).mean():.1%}")
    settings = {"nanonetclassifier__hidden": [16, (32, 32)], "nanonetclassifier__optimizer": [Adam(0.001), Adam(0.01)]}
    best = GridSearchCV(plain, settings, cv=3).fit(X_train, y_train)
    chosen = ", ".join(f"{name.split('__')[1]}={value!r}" for name, value in best.best_params_.items())
    print(f"best of {len(best.cv_results_['params'])} settings: {chosen}, {best.score(X_test, y_test):.1%}")

    classes, classifier = np.unique(y), NanonetClassifier(32, random_state=0)
    for part in np.array_split(np.random.default_rng(0).permutation(len(X_train)), 4) * 10:
        classifier.partial_fit(X_train[part] / 16, y_train[part], classes)
    print(f"by 40 calls of partial_fit: {classifier.score(X_test / 16, y_test):.1%}")


if __name__ == "__main__":
    main()
