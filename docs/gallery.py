"""The pictures of gallery.md: each is drawn from what an example has computed, most of them after a shorter training.

pages.py runs this file in the folder of the page's pictures. Its functions are named as the examples; each saves the
picture of its example, as autoencoder.svg.
"""

from __future__ import annotations

import ast
import contextlib
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np

from nanonet import Linear, ReLU, Sequential, SquaredError, Together, plot_decision_boundary, plot_weights
from nanonet.interchange.sklearn import NanonetClassifier

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIZE = (4.5, 3.0)

Names = Mapping[str, Any]


def names_of(example: str, run: tuple[str, ...] | None = None, **settings: Any) -> Names:
    """Return the names of an example; if it is run, with these arguments, those in its main at the end of that too.

    Settings replace constants of the example before main is called.
    """
    tree = ast.parse((EXAMPLES / f"{example}.py").read_text(encoding="utf-8"))
    (main,) = (part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name == "main")
    main.body += ast.parse("return locals()").body
    module = type(sys)(example)
    with mock.patch.dict(sys.modules, {example: module}):
        exec(compile(tree, f"{example}.py", "exec"), vars(module))
        if unknown := set(settings) - set(vars(module)):
            raise ValueError(f"{example}.py has no constant {', '.join(sorted(unknown))}")
        vars(module).update(settings)
        if run is None:
            return vars(module)
        with mock.patch.object(sys, "argv", [example, *run]), contextlib.redirect_stdout(io.StringIO()):
            return {**vars(module), **module.main()}


def axes(**options: Any) -> Any:
    return plt.subplots(figsize=SIZE, layout="constrained", **options)[1]


def images(rows: Mapping[str, Any], columns: int, **style: Any) -> None:
    """Draw rows of images, each with its name on the left."""
    every = plt.subplots(len(rows), columns, figsize=SIZE, layout="constrained")[1]
    for line, (name, pictures) in zip(every, rows.items(), strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(picture, **style)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(name)


# ---- one for each example


def two_two_two() -> None:
    seen = names_of("two_two_two")
    ax = axes()
    for name, linear, style in (("the article's index", seen["ArticleLinear"], "--"), ("the right one", Linear, "-")):
        settings = {"loss": SquaredError(), "optimizer": seen["SGD"](1.0), "epochs": seen["PASSES"], "verbose": 0}
        ax.plot(seen["build"](linear).fit(seen["X"], seen["TARGET"], **settings)["loss"], style, label=name)
    ax.set(xlabel="passes", ylabel="loss")
    ax.legend()


def custom_layer() -> None:
    seen = names_of("custom_layer", ())
    ax = plot_decision_boundary(seen["model"], seen["x"], seen["target"] > 0, threshold=0.0, ax=axes())
    ax.get_legend().remove()
    ax.set_aspect("equal")


def own_training() -> None:
    seen = names_of("own_training", ())
    ax = axes()
    ax.plot(seen["x"][::8], seen["target"][::8], "o", label="sine")
    ax.plot(seen["x"], seen["model"](seen["x"]), label="the net")
    ax.legend()


def digits() -> None:
    names_of("digits", ())["history"].plot(ax=axes())


def lenet() -> None:
    seen = names_of("lenet", ("--epochs", "3"))
    plot_weights(seen["model"][1], ax=axes())


def mnist() -> None:
    seen, small = names_of("mnist"), names_of("lenet")["small_digits"]()
    digit = np.pad(np.kron(small[0][3, 0], np.ones((3, 3))), 2).reshape(1, 784)
    model = Sequential(*seen["lenet5"](), rng=0)
    model.trace(digit, [small[1][3]], seen["CrossEntropy"]()).draw().save("mnist.svg")


def two_inputs() -> None:
    seen = names_of("two_inputs")
    x, labels = seen["load_digits"](return_X_y=True)
    pair, target = seen["drawn"](x[:1] / 16, labels[:1], np.random.default_rng(0))
    loss = Together(seen["CrossEntropy"](), seen["MeanSquaredError"]())
    seen["net"]().trace(pair, target, loss).draw().save("two_inputs.svg")


def siamese() -> None:
    seen = names_of("siamese")
    x, labels = seen["load_digits"](return_X_y=True)
    (one, other), same = seen["pairs"](x / 16, labels, 6, np.random.default_rng(0))
    rows = {"one": one.reshape(-1, 8, 8), "other": other.reshape(-1, 8, 8)}
    images(rows, 6, cmap="gray", vmin=0, vmax=1)
    for ax, answer in zip(plt.gcf().axes[6:], same.ravel(), strict=True):
        ax.set_xlabel("same" if answer else "not")


def autoencoder() -> None:
    seen = names_of("autoencoder", (), EPOCHS=60)
    rows = {"digit": seen["test"], "PCA": seen["projected"], "net": seen["restored"]}
    images({name: some[:6].reshape(-1, 8, 8) for name, some in rows.items()}, 6, cmap="gray", vmin=0, vmax=1)


def unet() -> None:
    seen = names_of("unet", (), TRAINING=300, EPOCHS=7)
    pictures = seen["new"][:3, 0]
    colours = np.array([[0.16, 0.56, 0.82], [0.87, 0.42, 0.07]])  # of disks and squares
    shapes = [np.tensordot(masks, colours, (0, 0)).clip(0, 1) for masks in seen["found"][:3]]
    images({"seen": pictures, "found": shapes}, 3, cmap="gray")


def gan() -> None:
    seen = names_of("gan", (), STEPS=1500)
    ax = axes()
    ax.plot(*seen["real"](400, np.random.default_rng(2)).T, ".", ms=3, label="real")
    ax.plot(*seen["generator"](np.random.default_rng(1).normal(size=(400, seen["NOISE"]))).T, ".", ms=3, label="made")
    ax.set_aspect("equal")
    ax.figure.legend(loc="outside right upper")


def lbfgs() -> None:
    seen = names_of("lbfgs", ())
    ax = axes()
    for (name, losses), style in zip(seen["curves"].items(), ("-", "--", ":"), strict=True):
        ax.plot(range(1, len(losses) + 1), losses, style, label=name)
    ax.set(xlabel="passes of all samples", ylabel="loss", yscale="log")
    ax.legend()


def least_squares() -> None:
    seen = names_of("least_squares")
    x = np.linspace(-1, 1, 200).reshape(-1, 1)
    target = np.sin(5 * x) * np.exp(x)
    losses: list[float] = []
    fitted = seen["least_squares"](seen["net"](1, 10, 1), x, target, iterations=300)
    limits = {"maxiter": 300, "maxfun": 600}
    seen["minimize"](
        seen["net"](1, 10, 1), x, target, SquaredError(), callback=lambda r: losses.append(r.fun), options=limits
    )
    ax = axes()
    ax.plot(fitted["loss"], label="Levenberg-Marquardt")
    ax.plot(losses, "--", label="L-BFGS")
    ax.set(xlabel="iterations", ylabel="loss", yscale="log")
    ax.legend()


def pinn() -> None:
    seen = names_of("pinn", ())
    ax = axes()
    ax.plot(seen["fine"], seen["solved"](seen["fine"]), label="u of the net")
    ax.plot(seen["fine"], seen["solved"].jacobian(seen["fine"])[:, 0] / np.pi, "--", label="its u' / pi")
    ax.legend()


def forecasting() -> None:
    seen = names_of("forecasting", EPOCHS=2)
    past, future = seen["split"](seen["chaos"](np.random.default_rng(0)))
    new, wanted = (part[:100] for part in seen["windows"](future))
    ax = axes()
    ax.plot(wanted, label="the series")
    ax.plot(seen["linear"](*seen["windows"](past))(new), "--", label="forecast by Linear")
    ax.plot(seen["recurrent"](*seen["windows"](past))(new), ":", label="by an LSTM")
    ax.figure.legend(loc="outside upper center", ncols=3)


def gpt() -> None:
    seen = names_of("gpt")
    text = "attention"
    weights = seen["gpt"](26)[2].self_attn
    x = np.random.default_rng(0).normal(size=(1, len(text), seen["FEATURES"])).astype(np.float32)
    ax = axes()
    ax.imshow(weights.weights(x)[0].mean(axis=0), cmap="viridis")
    ax.set(xticks=range(len(text)), yticks=range(len(text)), xlabel="looks at", ylabel="letter")
    ax.set_xticklabels(text), ax.set_yticklabels(text)


def bars(scores: Mapping[str, float], label: str) -> None:
    ax = axes()
    ax.barh(list(scores), list(scores.values()))
    ax.invert_yaxis()
    ax.set(xlabel=label, xlim=(0.9, 1.0))


def sklearn_pipeline() -> None:
    seen = names_of("sklearn_pipeline")
    scores = {}
    for name, classifier in seen["WAYS"].items():
        pipeline = seen["make_pipeline"](seen["MinMaxScaler"](), classifier.set_params(epochs=10))
        scores[name] = pipeline.fit(seen["X_train"], seen["y_train"]).score(seen["X_test"], seen["y_test"])
    bars(scores, "right on the digits held out")


def sklearn_comparison() -> None:
    seen = names_of("sklearn_comparison")
    ours, theirs = NanonetClassifier(epochs=15), seen["MLPClassifier"](**{**seen["LIKEWISE"], "max_iter": 15})
    ax = axes()
    with seen["warnings"].catch_warnings():
        seen["warnings"].simplefilter("ignore", seen["ConvergenceWarning"])
        for name, estimator, mark in (("nanonet", ours, "o-"), ("scikit-learn's MLP", theirs, "s--")):
            scores = seen["digits"](estimator.set_params(random_state=0), 0)["test_score"]
            ax.plot(range(1, 6), scores, mark, label=f"{name}, mean {np.mean(scores):.3f}")
    ax.set(xlabel="fold", ylabel="right", xticks=range(1, 6), ylim=(0.9, 1.0))
    ax.legend()


def serve() -> None:
    seen = names_of("serve")
    layers = [Linear(seen["INPUTS"], 128), ReLU(), Linear(128, seen["OUTPUTS"])]
    request = np.arange(seen["INPUTS"])[None] / seen["INPUTS"]
    Sequential(*layers, rng=0).trace(request).draw().save("serve.svg")


def ucr() -> None:
    seen = names_of("ucr")
    model = seen["resnet"](24, 2, np.random.default_rng(0))
    model.trace(np.sin(np.arange(24.0))[None]).draw().save("ucr.svg")


def char_lstm() -> None:
    losses, ax = names_of("char_lstm", ("--steps", "150"))["losses"], axes()
    ax.plot(range(1, len(losses) + 1), losses)
    ax.set(xlabel="steps", ylabel="nats a letter")


def sequences() -> None:
    x, target = names_of("sequences")["marked"](1, np.random.default_rng(4))
    ax = axes()
    ax.plot(x[0, :, 0], ".", color="lightgray")
    for time in np.flatnonzero(x[0, :, 1]):
        ax.plot(time, x[0, time, 0], "o", color="C0")
        ax.annotate(f"{x[0, time, 0]:.2f}", (time, x[0, time, 0]), (6, 6), textcoords="offset points")
    ax.set(
        xlabel="time", ylabel="number", title=f"wanted: the sum of the marked ones, {target[0, 0]:.2f}", ylim=(0, 1.1)
    )


def draw(picture: Callable[[], None]) -> None:
    """Let a function draw, and save what it has drawn unless it has done so."""
    picture()
    if plt.get_fignums():
        plt.savefig(f"{picture.__name__}.svg")
        plt.close("all")


PICTURES = (autoencoder, char_lstm, custom_layer, digits, forecasting, gan, gpt, lbfgs, least_squares, lenet, mnist)
PICTURES += (
    own_training,
    pinn,
    sequences,
    serve,
    siamese,
    sklearn_comparison,
    sklearn_pipeline,
    two_inputs,
    two_two_two,
)
PICTURES += (ucr, unet)

if __name__ != "gallery":  # which it is for a test that asks which pictures there are
    for each in PICTURES:
        draw(each)
