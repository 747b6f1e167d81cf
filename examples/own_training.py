"""A custom callback and training loop; custom_layer.py has a custom layer, activation, loss and optimizer."""

import numpy as np

from nanonet import Adam, Array, Callback, Linear, MeanSquaredError, Sequential, Tanh, Trainer, batches


class StopWhenGoodEnough(Callback):
    """Ends a fit as soon as the mean loss of an epoch is below a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def epoch_end(self, trainer: Trainer) -> None:
        if trainer.history["loss"][-1] < self.limit:
            trainer.stop(f"the loss is below {self.limit}")


def train(trainer: Trainer, x: Array, target: Array, epochs: int) -> None:
    """Train step by step, as fit does, with a learning rate that decays linearly to 0."""
    for epoch in range(1, epochs + 1):
        trainer.rate_factor = 1 - epoch / (epochs + 1)
        losses = [trainer.step(*batch[:2]) for batch in batches(x, target, 20, rng=trainer.rng)]
        if epoch % 40 == 0:
            print(f"epoch {epoch:3d}  loss {np.mean(losses):.5f}  learning rate {trainer.learning_rate:.5f}")


def main() -> None:
    x = np.linspace(-3, 3, 200).reshape(-1, 1)
    target = np.sin(x)

    model = Sequential(Linear(1, 32), Tanh(), Linear(32, 32), Tanh(), Linear(32, 1), rng=0)
    history = model.fit(
        x, target, loss=MeanSquaredError(), optimizer=Adam(0.01), epochs=1000, callbacks=[StopWhenGoodEnough(0.01)]
    )
    print(history)

    print("\nby hand:")
    model = Sequential(Linear(1, 32), Tanh(), Linear(32, 32), Tanh(), Linear(32, 1), rng=0)
    train(Trainer(model, loss=MeanSquaredError(), optimizer=Adam(0.02)), x, target, epochs=200)


if __name__ == "__main__":
    main()
