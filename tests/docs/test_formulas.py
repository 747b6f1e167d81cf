"""docs/formulas.py, docs/docstrings.py: a formula in a docstring is typeset in the reference, and all else stays."""

import inspect
import re
import sys
from importlib import import_module
from typing import Any

import pytest

import nanonet
from tests import ROOT

pytest.importorskip("sphinx", reason="Sphinx is not installed")
sys.path.append(str(ROOT / "docs"))  # where they lie

formulas: Any = import_module("formulas")
shown_docstrings: Any = import_module("docstrings")


def docstrings() -> dict[str, str]:
    """Return the docstrings of the public names and their methods."""
    found = {}
    for name in nanonet.__all__:
        public = getattr(nanonet, name)
        members = vars(public).items() if isinstance(public, type) else ()
        found[name] = inspect.getdoc(public) or ""
        found |= {f"{name}.{key}": inspect.getdoc(member) or "" for key, member in members if callable(member)}
    return found


DOCSTRINGS = docstrings()


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("y = x Wᵀ + b", r"y = x \, W^{\top} + b"),
        ("Σ wᵢ eᵢ / Σ wᵢ", r"\frac{\sum w_{i} \, e_{i}}{\sum w_{i}}"),
        ("(x - μ) / √(σ² + eps) · weight", r"\frac{x - \mu}{\sqrt{\sigma^{2} + \varepsilon}} \cdot \mathrm{weight}"),
        ("1/2 Σⱼ (yⱼ - tⱼ)^2", r"\tfrac{1}{2} \, \sum_{j} (y_{j} - t_{j})^{2}"),
        ("a / (1 + |a|)", r"\frac{a}{1 + \lvert a \rvert}"),
        ("dE/da = dE/dy * f'(a)", r"\mathrm{d}E / \mathrm{d}a = \mathrm{d}E / \mathrm{d}y \cdot f'(a)"),
        ("Σ_{c, k} W[o, c, k] x[n, c, i]", r"\sum_{c, k} W[o, c, k] \, x[n, c, i]"),
        ("-t log p - (1 - t) log(1 - p)", r"- t \, \log p - (1 - t) \, \log(1 - p)"),
        ("w <- (1 - learning_rate) w", r"w \leftarrow (1 - \mathrm{learning\_rate}) \, w"),
        ("exp(-a²/2) / √(2π)", r"\frac{\exp(- a^{2} / 2)}{\sqrt{2 \, \pi}}"),
        (
            "rate * factor^(step // every)",
            r"\mathrm{rate} \cdot \mathrm{factor}^{\mathrm{step} \mathbin{//} \mathrm{every}}",
        ),
        ("f_L(... f_2(f_1(x)))", r"f_{L}(\dots \, f_{2}(f_{1}(x)))"),
    ],
)
def test_a_formula_is_read_as_a_reader_does(text: str, tex: str) -> None:
    assert formulas.whole(text) == tex
    assert formulas.typeset(f"Here {text}, and so on.") == f"Here :math:`{tex}`, and so on."


@pytest.mark.parametrize(
    "text",
    [
        "A layer of shape (N, T, F), or of (batch, ...).",
        "The mean and scale of a step - a rate, say; and so on (Kingma and Ba 2015, eq. 4).",
        "SGD(0.5, momentum=0.9) in ``y = y + x``, and :class:`Layer` too",
        "an area of f x f, the learning rate a, and I alone",
        "y = the largest of them",
        "",
    ],
)
def test_prose_and_code_stay(text: str) -> None:
    assert formulas.typeset(text) == text


def test_words_beside_a_formula_stay_outside_of_it() -> None:
    assert formulas.typeset("y = a where a > 0, else b") == "y = a where a > 0, else b".replace(
        "y = a", ":math:`y = a`"
    ).replace("a > 0", ":math:`a > 0`")
    assert formulas.typeset("Without momentum w <- w - g.") == r"Without momentum :math:`w \leftarrow w - g`."


def test_lines_of_an_update_rule_become_a_block_and_code_stays_code() -> None:
    rule = ["A rule::", "", "    s <- s + g^2", "    w <- w - g      m <- b1 m", "", ">>> y = a + b", "3"]
    shown = shown_docstrings.typeset_lines(rule)
    assert shown[0] == "A rule:"
    assert ".. math::" in shown[2]
    assert [line.strip() for line in shown[5:7]] == [
        r"s &\leftarrow s + g^{2} \\",
        r"w &\leftarrow w - g & m &\leftarrow b_1 \, m \\",
    ]
    assert shown[-2:] == rule[-2:]
    code = ["As follows::", "", "    model.fit(x)", "", "y = a + b"]
    assert shown_docstrings.typeset_lines(code)[:4] == code[:4]


def test_nothing_but_formulas_changes_and_their_brackets_close() -> None:
    for name, before in DOCSTRINGS.items():
        after = "\n".join(shown_docstrings.typeset_lines(before.splitlines()))
        for tex in re.findall(r":math:`([^`]*)`", after):
            assert [tex.count(opening) for opening in "{[("] == [tex.count(closing) for closing in "}])"], tex
        rest = re.sub(r"\.\. math::.*?\\end\{alignedat\}|:math:`[^`]*`", " ", after, flags=re.DOTALL)
        words = iter(re.findall(r"[A-Za-z]+", before))
        assert all(word in words for word in re.findall(r"[A-Za-z]+", rest)), name  # in this order


def test_every_class_that_states_a_formula_first_has_it_typeset() -> None:
    firsts = {name: text.splitlines()[0] for name, text in DOCSTRINGS.items() if text and "." not in name}
    stated = {name: line for name, line in firsts.items() if re.match(r"[yE]('|\[[^]]*\])? = ", line)}
    assert len(stated) > 25
    left = {name: line for name, line in stated.items() if ":math:" not in formulas.typeset(line)}
    assert left == {}
