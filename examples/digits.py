"""Train a small net on scikit-learn's handwritten digits: validation, early stopping, accuracy.

Needs scikit-learn for its data: pip install 'nanonet[examples]'
"""

import numpy as np
from sklearn.datasets import load_digits

from nanonet import Adam, CrossEntropy, EarlyStopping, Linear, ReLU, Sequential, accuracy


def main() -> None:
    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[360:], order[:360]  # a fifth is held out, and used once, at the end

    model = Sequential(Linear(64, 64), ReLU(), Linear(64, 10), rng=0)
    history = model.fit(
        x[train] / 16,
        labels[train],
        loss=CrossEntropy(),
        optimizer=Adam(),
        epochs=100,
        validation=0.1,
        metrics=[accuracy],
        callbacks=[EarlyStopping(patience=10)],
        verbose=0,
    )
    print(model.summary())
    print(f"\n{'epoch':>5}" + "".join(f"{name:>21}" for name in history))
    for epoch in range(0, history.epochs, 10):
        print(f"{epoch + 1:5d}" + "".join(f"{values[epoch]:21.4f}" for values in history.values()))
    print(f"\nstopped: {history.stopped}")
    print(f"accuracy on the {len(test)} digits held out: {accuracy(model(x[test] / 16), labels[test]):.1%}")


if __name__ == "__main__":
    main()
