"""The examples print the article's numbers, and leave nothing behind."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nanonet.inspection.rounding import printed
from tests import oracle
from tests.examples import EXAMPLES, output_of
from tests.system.test_mnist import fake_digits, real_data

BEFORE = "0.60041131 0.79248709"
ARTICLE_INDEX = "0.91175343 0.08878309"
RIGHT_INDEX = "0.94191174 0.06357643"
WEIGHTS_ARTICLE_INDEX = """
    -0.03647703 -0.57295406   1.21847993  2.17830754
     0.87316002  0.94632004  -0.76738067 -2.28373760
"""
WEIGHTS_RIGHT_INDEX = """
     0.55708830  0.61417660   1.31963128  1.73698597
     0.92321105  1.04642211  -1.00521623 -1.91860033
"""


def numbers(text: str) -> list[str]:
    """Return every number that is written to 8 decimals, in order."""
    return re.findall(r"-?\d\.\d{8}\b", text)


def test_the_2_2_2_net_prints_the_articles_numbers_to_8_decimals() -> None:
    output = output_of("two_two_two.py")
    outputs, weights = output.split("weights after training")
    rows = {line.split("  ")[0]: numbers(line) for line in outputs.splitlines()}
    assert rows["before training"] == numbers(BEFORE) * 2  # nanonet's, then the article's
    assert rows["after, article's index"] == numbers(ARTICLE_INDEX) * 2
    assert rows["after, right index"] == numbers(RIGHT_INDEX)
    assert numbers(weights) == numbers(WEIGHTS_ARTICLE_INDEX + WEIGHTS_RIGHT_INDEX)


def test_check_gradients_finds_the_articles_layer_transposed_and_the_right_one_right() -> None:
    right, article = output_of("two_two_two.py").split("check_gradients on the right layer:")[1].split("and on")
    assert "Linear(2, 2, bias=False): backward is the derivative of forward" in right
    assert "GradientError" not in right
    assert "GradientError: ArticleLinear(2, 2, bias=False): dE/dx" in article
    assert "diagnosis: transposed" in article


def test_the_2_2_2_net_is_drawn_as_the_figures_in_docs_show_it(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "two_two_two.py"), "--draw", str(tmp_path / "new")]
    subprocess.run(command, check=True, capture_output=True)
    drawn = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new").iterdir()}
    there = (EXAMPLES.parent / "docs" / "two_two_two").iterdir()
    assert drawn == {path.name: path.read_text(encoding="utf-8") for path in there}


@pytest.mark.parametrize("name", ["article", "right"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_figures_have_the_numbers_of_the_recursion_with_either_index(name: str, when: str) -> None:
    svg = (EXAMPLES.parent / "docs" / "two_two_two" / f"{when}_{name}.svg").read_text(encoding="utf-8")
    x, target, transposed = [1.0, 2.0], [1.0, 0.0], name == "article"
    start = [oracle.Step([[0.4, 0.3], [0.7, 0.6]]), oracle.Step([[0.2, 0.3], [1.0, 0.7]])]
    net = oracle.trained(start, x, target, passes=100 if when == "after" else 0, transposed=transposed)
    found, (sums, inputs) = oracle.sample_gradients(net, x, target, transposed=transposed), oracle.outputs(net, x)
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for i, step in enumerate(net):
        for numbers in (step.weight, found.weights[i], sums[i], inputs[i], inputs[i + 1], found.biases[i]):
            for number in np.ravel(numbers):
                assert printed(number) in shown


def test_custom_layer_checks_all_three_gradients_and_learns() -> None:
    output = output_of("custom_layer.py")
    for name in ("SquaredDistance(2, 8)", "Gaussian()", "LogCosh()"):
        assert f"{name}: backward is the derivative of forward" in output
    losses = [tuple(map(float, row)) for row in re.findall(r"^ +\d+  (\d\.\d{4}) +(\d\.\d{4})$", output, re.MULTILINE)]
    assert len(losses) == 6
    assert losses[-1][0] < losses[0][0] / 4
    assert losses[-1][1] < losses[0][1] / 3
    after = re.search(r"before training, (\d+\.\d)% after", output)
    assert after is not None
    assert float(after[1]) > 98


WIRED = [
    "autoencoder.py",
    "char_lstm.py",
    "gan.py",
    "gpt.py",
    "lenet.py",
    "pinn.py",
    "siamese.py",
    "two_inputs.py",
    "unet.py",
]  # images, sequences, and any wiring
SLOW = {
    name: [pytest.mark.slow]
    for name in [
        "forecasting.py",
        "lbfgs.py",
        "least_squares.py",
        "sklearn_comparison.py",
        "sklearn_pipeline.py",
        *WIRED,
    ]
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=SLOW.get(path.name, []))
        for path in sorted(EXAMPLES.glob("*.py"))
        if path.name not in ("mnist.py", "sequences.py", "ucr.py")  # which need arguments
    ],
)
def test_the_output_is_plain_ascii_of_at_most_100_columns(name: str) -> None:
    lines = output_of(name).splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line.isascii() and line == line.rstrip() for line in lines)


def test_the_digits_are_learned_to_97_percent() -> None:
    output = output_of("digits.py")
    found = re.search(r"on the 360 digits held out: (\d+\.\d)%", output)
    assert found is not None
    assert float(found[1]) >= 97
    assert "stopped: validation_loss has not improved since epoch" in output


def test_the_callback_stops_the_fit_and_the_loop_by_hand_learns() -> None:
    fitted, by_hand = output_of("own_training.py").split("by hand:")
    assert "stopped: the loss is below 0.01" in fitted
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", by_hand)]
    assert len(losses) == 5
    assert losses[-1] < losses[0] / 10


def found(pattern: str, text: str) -> list[float]:
    """Return the numbers that the groups of a pattern match."""
    match = re.search(pattern, text)
    assert match is not None, text
    return [float(group) for group in match.groups()]


@pytest.mark.parametrize("name", [*WIRED, "forecasting.py"])
def test_an_example_has_fewer_than_100_lines(name: str) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.slow
def test_lenet_tells_the_small_digits_apart() -> None:
    (right,) = found(r"on the 360 digits held out: (\d+\.\d)%", output_of("lenet.py"))
    assert right > 97.5


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True])
def test_lenet_reads_the_files_of_mnist(tmp_path: Path, zipped: bool) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "lenet.py"), "--data", str(tmp_path), "--epochs", "30"]
    fake_digits(tmp_path, zipped=zipped)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (right,) = found(r"on the 40 digits held out: (\d+\.\d)%", output)
    assert right > 80
    assert output.startswith("ZeroPad2d(2)                 (1, 32, 32)\n")


@pytest.mark.slow
def test_lenet_learns_the_real_digits_in_one_epoch() -> None:
    command = [sys.executable, str(EXAMPLES / "lenet.py"), "--data", str(real_data()), "--epochs", "1"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (right,) = found(r"on the 10000 digits held out: (\d+\.\d)%", output)
    assert right > 97


@pytest.mark.slow
def test_the_autoencoder_keeps_more_of_a_digit_than_as_many_best_directions() -> None:
    lines = r"the mean digit +(\S+)\n +PCA +(\S+)\n +autoencoder +(\S+)\n"
    mean, directions, net = found(lines, output_of("autoencoder.py"))
    assert directions < mean / 2
    assert net < 0.6 * directions


@pytest.mark.slow
def test_the_generator_finds_every_cluster() -> None:
    *_, last, real = output_of("gan.py").splitlines()
    (share,) = found(r"^ 6000 .* (\d+\.\d)%", last)
    (possible,) = found(r"^real points +(\d+\.\d)%", real)
    assert 75 < share < possible
    assert min(map(int, last.split("%")[1].split())) > 40  # of 125


@pytest.mark.slow
def test_an_lstm_forecasts_chaos_far_better_than_the_best_linear_function_and_a_kicked_pendulum_no_better() -> None:
    output = output_of("forecasting.py")
    last, linear, recurrent = found(r"Glass +(\S+) +(\S+) +(\S+)", output)
    assert 4 * recurrent < linear < last / 2
    last, linear, recurrent = found(r"pendulum +(\S+) +(\S+) +(\S+)", output)
    assert 0.98 * linear < recurrent < 1.1 * linear < last


@pytest.mark.slow
def test_the_siamese_net_knows_pairs_of_the_digits_that_it_was_trained_on() -> None:
    output = output_of("siamese.py")
    assert "Siamese: backward is the derivative of forward" in output
    known, strange = found(r"new images of 0 to 7: (\S+)%\n.*never seen: (\S+)%", output)
    assert known > 95
    assert 45 < strange < known


@pytest.mark.slow
def test_the_equation_is_solved_to_six_digits() -> None:
    (residual,) = found(r"(\S+) at the end", output_of("pinn.py"))
    value, slope = found(r"u - sin\(pi x\)\|: (\S+); .*by jacobian: (\S+)", output_of("pinn.py"))
    assert residual < 1e-8
    assert value < 1e-5
    assert slope < 1e-4


@pytest.mark.slow
def test_two_inputs_lead_to_both_outputs() -> None:
    digits, off, guess = found(
        r"right: (\S+)%\n +products off by (\S+)[^\n]*\n.* off by (\S+) on average", output_of("two_inputs.py")
    )
    assert digits > 97
    assert off < guess / 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["char_lstm.py", "gpt.py"])
def test_the_small_gpt_and_the_lstm_learn_and_write(name: str) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), "--steps", "60"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    losses = [float(loss) for loss in re.findall(r"step +\d+  (\d\.\d\d) nats", output)]
    assert len(losses) == 5
    assert losses[-1] < 3.1
    assert losses[-1] < losses[0] < 4.6
    assert "\nThe statement " in output


@pytest.mark.slow
def test_the_unet_tells_disks_from_squares_pixel_by_pixel() -> None:
    output = output_of("unet.py")
    disk, square, _, _ = found(r"U-net +(\S+) +(\S+)\n.*both +(\S+) +(\S+)", output)
    assert min(disk, square) > 0.7
    rows = re.findall(r"^\|([ o#]{32})\|   \|([ o#]{32})\|$", output, re.MULTILINE)
    assert len(rows) == 32
    agree = [a == b for there, seen in rows for a, b in zip(there, seen, strict=True)]
    assert np.mean(agree) > 0.9
