"""Forecasting a series from windows of its past: by the last value, by a plain Linear and by an LSTM, on two series.

One is chaotic (Mackey and Glass 1977), the other a pendulum that noise keeps going. An LSTM is worth its while on the
first alone, which only a comparison with Linear shows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import LSTM, Adam, CosineRate, Flatten, Linear, MeanSquaredError, Sequential

Numbers = npt.NDArray[Any]
LENGTH, WINDOW, AHEAD = 3000, 24, 6
EPOCHS, BATCH = 12, 32


def chaos(rng: np.random.Generator) -> Numbers:
    """Return x with dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)¹⁰) - 0.1 x, each third of the values."""
    past = list(1.2 + 0.2 * rng.uniform(-1, 1, 18))
    for _ in range(3 * LENGTH + 300):
        past.append(past[-1] + 0.2 * past[-18] / (1 + past[-18] ** 10) - 0.1 * past[-1])
    return np.array(past[-3 * LENGTH :: 3])


def kicked(rng: np.random.Generator) -> Numbers:
    """Return a pendulum with friction that noise keeps going: no forecast is better than a linear one."""
    series = [0.0, 0.0]
    for kick in rng.normal(size=LENGTH - 2):
        series.append(1.8 * series[-1] - 0.9 * series[-2] + kick)
    return np.array(series)


def windows(series: Numbers) -> tuple[Numbers, Numbers]:
    """Return windows (N, WINDOW, 1) of a series, and for each the value that follows AHEAD steps after its last."""
    x = np.lib.stride_tricks.sliding_window_view(series[:-AHEAD], WINDOW)
    return x[..., np.newaxis], series[WINDOW + AHEAD - 1 :, np.newaxis]


def split(series: Numbers) -> tuple[Numbers, Numbers]:
    """Return the past and the future, in units of the past: what is shuffled first leaks the future into the past."""
    cut = int(0.8 * len(series))
    mean, deviation = series[:cut].mean(), series[:cut].std()
    scaled = (series - mean) / deviation
    return scaled[:cut], scaled[cut:]


def linear(x: Numbers, target: Numbers) -> Sequential:
    """Return the best linear forecast of windows, found by least squares."""
    rows = np.concatenate([x[..., 0], np.ones((len(x), 1))], axis=1)
    (*weight, bias), *_ = np.linalg.lstsq(rows, target[:, 0], rcond=None)
    return Sequential(Flatten(), Linear(WINDOW, 1, weight=[weight], bias=[bias]))


def recurrent(x: Numbers, target: Numbers) -> Sequential:
    """Return an LSTM that has learned to forecast windows."""
    model = Sequential(LSTM(1, 32, output="last"), Linear(32, 1), rng=0)
    optimizer = Adam(CosineRate(3e-3, steps=EPOCHS * -(-len(x) // BATCH)), clip_norm=1.0)
    model.fit(x, target, loss=MeanSquaredError(), optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    return model


def main() -> None:
    print(f"{WINDOW} values, to forecast the one {AHEAD} steps on; root mean squared error in standard deviations")
    print(f"{'':18} {'last value':>10} {'Linear':>8} {'LSTM':>8}")
    for name, make in (("Mackey and Glass", chaos), ("kicked pendulum", kicked)):
        past, future = split(make(np.random.default_rng(0)))
        (x, target), (new, wanted) = windows(past), windows(future)
        forecasts = new[:, -1], linear(x, target)(new), recurrent(x, target)(new)
        errors = [float(np.sqrt(np.mean((forecast - wanted) ** 2))) for forecast in forecasts]
        print(f"{name:18} {errors[0]:10.3f} {errors[1]:8.3f} {errors[2]:8.3f}")


if __name__ == "__main__":
    main()
