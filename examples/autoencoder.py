"""An autoencoder: digits of 64 pixels through 8 numbers and back, compared with the 8 best directions (PCA).

Needs scikit-learn for its data: pip install 'nanonet[examples]'
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from nanonet import Adam, CosineRate, Linear, MeanSquaredError, ReLU, Sequential, Sigmoid

Numbers = npt.NDArray[Any]
CODE = 8
EPOCHS, BATCH = 200, 32


def net() -> tuple[Sequential, Sequential, Sequential]:
    """Return the encoder, the decoder, and both as one model, whose vector holds theirs."""
    encoder = Sequential(Linear(64, 128), ReLU(), Linear(128, CODE), rng=0)
    decoder = Sequential(Linear(CODE, 128), ReLU(), Linear(128, 64), Sigmoid(), rng=1)
    return encoder, decoder, Sequential(encoder, decoder)


def best_directions(x: Numbers, new: Numbers) -> Numbers:
    """Return new images projected on the directions in which x varies most."""
    mean = x.mean(axis=0)
    directions = np.linalg.svd(x - mean, full_matrices=False)[2][:CODE]
    projected: Numbers = (new - mean) @ directions.T @ directions + mean
    return projected


def picture(image: Numbers) -> list[str]:
    """Return an image as eight lines of characters, the brighter the denser."""
    levels = np.clip(image.reshape(8, 8) * 4.99, 0, 4).astype(int)
    return ["".join(" .:+#"[level] * 2 for level in row) for row in levels]


def main() -> None:
    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = x[order[360:]] / 16, x[order[:360]] / 16

    encoder, decoder, model = net()
    rate = CosineRate(2e-3, steps=EPOCHS * -(-len(train) // BATCH))
    model.fit(train, train, loss=MeanSquaredError(), optimizer=Adam(rate), epochs=EPOCHS, batch_size=BATCH, verbose=0)

    codes = encoder.predict(test)
    restored, projected = decoder.predict(codes), best_directions(train, test)
    print(f"a digit of {test.shape[1]} pixels as {codes.shape[1]} numbers; mean squared error of a pixel")
    print(f"on the {len(test)} digits held out, pixels from 0 to 1:")
    for name, images in (("the mean digit", train.mean(axis=0)), ("PCA", projected), ("autoencoder", restored)):
        print(f"  {name:15} {np.mean((images - test) ** 2):.4f}")
    print("\nthe first 2, 5 and 8 of them; PCA; autoencoder\n")
    for i in (labels[order].tolist().index(digit) for digit in (2, 5, 8)):
        for lines in zip(picture(test[i]), picture(projected[i]), picture(restored[i]), strict=True):
            print("   ".join(f"|{line}|" for line in lines))
        print()


if __name__ == "__main__":
    main()
