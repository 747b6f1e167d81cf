"""Formulas of docstrings, typeset: there they are plain text, since that is what help() shows.

    y = (x - μ) / √(σ² + eps) · weight + bias

becomes the same in TeX. What is a formula is decided by a grammar: a run of text that can be read as sums, products and
relations of numbers, single letters and known names, and that holds more than one letter among prose. All else stays as
it is: text that this file does not understand is left in plain letters, never changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

GREEK = {
    "Σ": r"\sum", "Φ": r"\Phi", "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon",
    "η": r"\eta", "θ": r"\theta", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau",
    "φ": r"\varphi", "ω": r"\omega", "∂": r"\partial",
}  # fmt: skip
NAMES = {"alpha": r"\alpha", "beta": r"\beta", "gamma": r"\gamma", "eps": r"\varepsilon", "epsilon": r"\varepsilon"}
FUNCTIONS = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "sin": r"\sin", "cos": r"\cos", "max": r"\max"}
FUNCTIONS |= {"min": r"\min"}
FUNCTIONS |= {name: rf"\operatorname{{{name}}}" for name in ("erf", "sigmoid", "softmax", "mean", "abs", "sign", "ELU")}
WORDS = set("bias divide end every factor gain high inner low momentum most padding rate running scale".split())
WORDS |= set("slope statistic std step stride dilation weight prediction target outputs classes FN FP TN TP".split())
NEED_ARGUMENT = {"abs", "mean", "sign"}  # in prose they are words
SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ₊₋", "0123456789aehijklmnoprstuvx+-", strict=True))
SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ᵀᵗ⁻", ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", r"\top", "t", "-"], strict=True))
RELATIONS = {"=": "=", "<": "<", ">": ">", "<=": r"\le", ">=": r"\ge", "<-": r"\leftarrow", "←": r"\leftarrow"}
SUMS = {"+": "+", "-": "-", "±": r"\pm", "−": "-"}
PRODUCTS = {"*": r"\cdot", "·": r"\cdot", "⋆": r"\star", "×": r"\times", "//": r"\mathbin{//}"}

TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<kept>``.+?``|:[\w:+-]+:`[^`]+`|`[^`]+`_?|\*\*.+?\*\*|https?://\S+|\w+'s\b|\w+-[A-Za-z]\w+|\.\.\s)
    |(?P<slope>d[A-Za-z]/d[A-Za-z]+)
    |(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.]*[A-Za-z]))
    |(?P<dots>\.\.\.)
    |(?P<relation><=|>=|<-|←|=|<|>)
    |(?P<product>//|[*·⋆×])
    |(?P<sum>[+\-±−])
    |(?P<name>[A-Za-z](?:_\{{[^}}]*\}})?[A-Za-z0-9_]*|[{"".join(GREEK)}](?:_\{{[^}}]*\}}|_[A-Za-z0-9])?|√)
    |(?P<sub>[{"".join(SUB)}]+)
    |(?P<super>[{"".join(SUPER)}]+)
    |(?P<mark>['^()\[\],/|;])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A piece of the text: its kind, its letters, where they begin, and whether a space stands before them."""

    kind: str
    text: str
    begin: int
    spaced: bool

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.begin + len(self.text)


def tokens(text: str) -> list[Token]:
    """Return the pieces of a text, without its spaces."""
    found, spaced = [], True
    for match in TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind != "space":
            found.append(Token(kind, match[0], match.start(), spaced))
        spaced = kind == "space"
    return [*found, Token("end", "", len(text), True)]


class NoFormula(Exception):
    """What stands here cannot be read as a formula."""


@dataclass(frozen=True)
class Part:
    """Part of a formula in TeX; whether it is a sum in parentheses, whose parentheses a fraction can do without."""

    tex: str
    inside: str | None = None


class Reader:
    """Reads one formula, from a token on, as far as it goes."""

    def __init__(self, all_tokens: list[Token], place: int) -> None:
        self.tokens, self.place = all_tokens, place
        self.telling = 0  # what only a formula has: relations, operations, roots, indices
        self.depth = 0  # of the brackets that are open

    @property
    def now(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.place]

    def take(self) -> Token:
        """Return it, and go on."""
        self.place += 1
        return self.tokens[self.place - 1]

    def try_to(self, read: Callable[[], Part]) -> Part | None:
        """Return what a method reads, or None, having read nothing."""
        before = self.place, self.telling
        try:
            return read()
        except NoFormula:
            self.place, self.telling = before
            return None

    def has(self, mark: str) -> bool:
        """Tell whether a mark stands here, and go past it."""
        if self.now.kind == "mark" and self.now.text == mark:
            self.place += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        """Go past a mark."""
        if not self.has(mark):
            raise NoFormula

    # ---- from relations down to numbers

    def operations(
        self, part: Part, read: Callable[[], Part], stands: Callable[[], bool], tex: Callable[[str, Part, Part], str]
    ) -> Part:
        """Read operations from left to right while their sign stands here, each with an operand after it."""
        while stands():
            before = self.place, self.telling
            sign = self.take().text
            right = self.try_to(read)
            if right is None:
                self.place, self.telling = before
                break
            self.telling += 1
            part = Part(tex(sign, part, right))
        return part

    def relation(self) -> Part:
        """Read sums with relations between them."""

        def stands() -> bool:
            return self.now.kind == "relation" and self.now.spaced and self.tokens[self.place + 1].spaced

        return self.operations(self.sum(), self.sum, stands, lambda sign, a, b: f"{a.tex} {RELATIONS[sign]} {b.tex}")

    def sum(self) -> Part:
        """Read products, added or subtracted."""
        sign = ""
        if self.now.kind == "sum" and not self.tokens[self.place + 1].spaced:
            sign = SUMS[self.take().text] + " "
        first = self.product()
        part = Part(sign + first.tex) if sign else first

        def stands() -> bool:
            return self.now.kind == "sum" and self.now.spaced == self.tokens[self.place + 1].spaced

        return self.operations(part, self.product, stands, lambda sign, a, b: f"{a.tex} {SUMS[sign]} {b.tex}")

    def product(self) -> Part:
        """Read quotients, multiplied."""

        def stands() -> bool:
            return self.now.kind == "product"

        return self.operations(
            self.quotient(), self.quotient, stands, lambda sign, a, b: f"{a.tex} {PRODUCTS[sign]} {b.tex}"
        )

    def quotient(self) -> Part:
        """Read what stands side by side, divided by the like: in "w e / w c" the stroke divides all four."""

        def stands() -> bool:
            return self.now.text == "/" and self.now.spaced

        def fraction(_: str, a: Part, b: Part) -> str:
            return rf"\frac{{{a.inside or a.tex}}}{{{b.inside or b.tex}}}"

        return self.operations(self.side_by_side(), self.side_by_side, stands, fraction)

    def side_by_side(self) -> Part:
        """Read factors without a sign between them."""
        part = self.ratio()
        while self.now.kind in ("name", "slope", "mark", "dots") and self.now.text not in ("|", "[", "/"):
            if not self.now.spaced and not (self.tokens[self.place - 1].kind == "number" and self.now.text in GREEK):
                break
            before = self.place, self.telling
            right = self.try_to(self.ratio)
            if right is None:
                self.place, self.telling = before
                break
            part = Part(rf"{part.tex} \, {right.tex}")
        return part

    def ratio(self) -> Part:
        """Read a factor, or two with a stroke and no space between them, as in 1/2."""
        part = self.factor()
        while self.now.text == "/" and not self.now.spaced and not self.tokens[self.place + 1].spaced:
            self.take()
            right = self.factor()
            self.telling += 1
            short = re.fullmatch(r"\w+", part.tex) and re.fullmatch(r"\w+", right.tex)
            part = Part(rf"\tfrac{{{part.tex}}}{{{right.tex}}}" if short else f"{part.tex} / {right.tex}")
        return part

    def factor(self) -> Part:
        """Read a number, a name, a function of something, or what stands in brackets, and what is written above it."""
        part = self.base()
        while True:
            if self.now.spaced:
                return part
            if self.now.kind == "super":
                part = Part(f"{part.tex}^{{{''.join(SUPER[letter] for letter in self.take().text)}}}")
                self.telling += 1
            elif self.now.kind == "mark" and self.now.text == "^":
                self.take()
                power = self.factor()
                part = Part(f"{part.tex}^{{{power.inside or power.tex}}}")
                self.telling += 1
            else:
                return part

    def base(self) -> Part:
        """Read a factor without what is written above it."""
        token = self.take()
        if token.kind == "number":
            return Part(token.text)
        if token.kind == "dots":
            return Part(r"\dots")
        if token.kind == "slope":
            self.telling += 1
            above, below = token.text.split("/")
            name = below[1:] if len(below) == 2 else rf"\mathrm{{{below[1:]}}}"
            return Part(rf"\mathrm{{d}}{above[1]} / \mathrm{{d}}{name}{self.index()}")
        if token.kind == "name":
            return self.named(token)
        if token.kind == "mark" and token.text in "([":
            return self.brackets(token.text)
        if token.kind == "mark" and token.text == "|":
            inside = self.sum()
            self.expect("|")
            self.telling += 1
            return Part(rf"\lvert {inside.tex} \rvert")
        raise NoFormula

    def brackets(self, opening: str) -> Part:
        """Read what stands between brackets, up to the closing one."""
        closing = {"(": ")", "[": "]"}[opening]
        self.depth += 1
        try:
            parts = [self.relation()]
            while self.has(","):
                parts.append(self.relation())
        finally:
            self.depth -= 1
        self.expect(closing)
        inside = ", ".join(part.tex for part in parts)
        return Part(f"{opening}{inside}{closing}", inside if len(parts) == 1 and opening == "(" else None)

    def index(self) -> str:
        """Read small letters below the line, if there are any."""
        if self.now.spaced or self.now.kind != "sub":
            return ""
        self.telling += 1
        return f"_{{{''.join(SUB[letter] for letter in self.take().text)}}}"

    def named(self, token: Token) -> Part:
        """Read a letter or a known name with its index, prime and argument."""
        if token.text == "a" and self.now.spaced and self.now.text in WORDS:
            raise NoFormula  # the article
        if token.text in ("√", "sqrt"):
            self.telling += 1
            if self.now.kind == "mark" and self.now.text == "(":
                self.take()
                inside = self.brackets("(")
                return Part(rf"\sqrt{{{inside.inside or inside.tex}}}")
            if token.text == "√":
                return Part(rf"\sqrt{{{self.base().tex}}}")
            raise NoFormula
        name, is_function = self.tex_of(token.text)
        name += self.index()
        while not self.now.spaced and self.now.text == "'":
            self.take()
            name += "'"
            self.telling += 1
        if token.text[0] == "Σ":
            self.telling += 1
            return Part(rf"{name} {self.side_by_side().tex}")
        if not self.now.spaced and self.now.kind == "mark" and self.now.text in "([":
            self.telling += is_function or self.now.text == "["
            return Part(name + self.brackets(self.take().text).tex)
        if is_function:
            if token.text in NEED_ARGUMENT and not self.depth:
                raise NoFormula
            self.telling += 1
            argument = self.try_to(self.factor)
            if argument is None and not self.depth:
                raise NoFormula
            return Part(rf"{name} {argument.tex}" if argument else name)
        return Part(name)

    def tex_of(self, name: str) -> tuple[str, bool]:
        """Return a name in TeX, and whether it is a function's."""
        head, _, index = name.partition("_")
        if name in FUNCTIONS:
            return FUNCTIONS[name], True
        if name in NAMES or name in GREEK:
            return NAMES.get(name) or GREEK[name], False
        if head in GREEK or (len(head) == 1 and (len(index) == 1 or index.startswith("{"))):
            self.telling += bool(index)
            return f"{GREEK.get(head, head)}_{{{index.strip('{}')}}}", False
        if len(name) == 1:
            return name, False
        if re.fullmatch(r"[A-Za-z]\d", name):
            return f"{name[0]}_{name[1]}", False
        if name in WORDS or re.fullmatch(r"[a-z]+_[a-z_]+", name):
            return r"\mathrm{" + name.replace("_", r"\_") + "}", False
        raise NoFormula


def whole(text: str) -> str | None:
    """Return a text that is nothing but a formula in TeX, and None for any other."""
    reader = Reader(tokens(text), 0)
    part = reader.try_to(reader.relation)
    return part.tex if part is not None and reader.now.kind == "end" else None


def typeset(text: str) -> str:
    """Return a text with its formulas as ``:math:``."""
    all_tokens, done, place, result = tokens(text), 0, 0, []
    while all_tokens[place].kind != "end":
        token, reader = all_tokens[place], Reader(all_tokens, place)
        begins = token.spaced or all_tokens[place - 1].text in ("(", "[")
        if token.text in WORDS and re.fullmatch("[a-z]", all_tokens[place + 1].text):
            begins = False  # "without momentum w <- ..."
        part = reader.try_to(reader.relation) if begins else None
        after = reader.now
        if part is not None and reader.telling and (after.spaced or after.text in ",.;:)"):
            result += [text[done : token.begin], f":math:`{part.tex}`"]
            place, done = reader.place, all_tokens[reader.place - 1].end
        else:
            place += 1
    return "".join([*result, text[done:]])
