"""docs/ja and README.ja.md: a Japanese page says what its English pair says, with the same code, in the fixed words."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from nanonet.inspection.explanation.phrases import JAPANESE
from tests import ROOT

DOCS = ROOT / "docs"
ENGLISH = [
    *sorted((DOCS / "tutorial").glob("*.md")),
    DOCS / "how-to" / "layer.md",
    DOCS / "glossary.md",
    DOCS / "index.md",
    ROOT / "README.md",
]

BLOCK = re.compile(r"^(?:<!-- [^\n]* -->\n\n?)?```.*?^```$", re.MULTILINE | re.DOTALL)  # with what it allows
FENCE = re.compile(r"^```.*?^```$|^<!-- [^\n]* -->$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[[^]]*\]\(([^)\s]+)\)")
BOLD = re.compile(r"(.?)\*\*(\S|\S[^*]*\S)\*\*(.?)", re.DOTALL)
WIDE = "[\u3000-\u30ff\u3400-\u9fff]"  # Japanese letters and their punctuation

FIXED = {  # what must not be said, and what is said instead
    "フォワードパス|フォワード・パス|順方向伝播|順伝搬": "順伝播",
    "バックプロップ|バックプロパゲーション|バックワードパス|逆方向伝播|逆伝搬": "逆伝播",
    "グラディエント|グラジエント": "勾配",
    "エラー信号|エラーシグナル|誤差シグナル": "誤差信号",
    "アクティベーション|活性関数|活性化函数": "活性化関数",
    "ロス(?!アンゼルス)": "損失",
    "ラーニングレート|学習係数": "学習率",
    "ウェイト|ウエイト": "重み",
    "偏り項|閾値項": "バイアス",
    "レイヤー?": "層",
    "シェイプ|シェープ": "形状",
}


def japanese(page: Path) -> Path:
    """Return the Japanese pair of an English page."""
    return DOCS / "ja" / page.relative_to(DOCS) if page.is_relative_to(DOCS) else page.with_suffix(".ja.md")


def english(page: Path) -> Path:
    """Return the English pair of a Japanese page, and any other file as it is."""
    if page.is_relative_to(DOCS / "ja"):
        return DOCS / page.relative_to(DOCS / "ja")
    return page.with_name(page.name.replace(".ja.md", ".md"))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


def every(pages: Sequence[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=name_of)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[str]:
    """Return the blocks of a page, code and outputs, other than its tables of contents."""
    return [block for block in BLOCK.findall(text_of(page)) if not block.startswith("```{")]


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return FENCE.sub("", text_of(page))


def words(text: str) -> str:
    """Return what is read aloud: no code, no formulas, no addresses."""
    text = FORMULA.sub("", CODE.sub("", text))
    return re.sub(r"\]\([^)\s]+\)", "]", text)


def formulas(page: Path) -> list[str]:
    """Return the formulas of a page; the words within one and the point at its end are the language's."""
    found = [" ".join(each.split()) for each in FORMULA.findall(CODE.sub("", prose(page)))]
    return [re.sub(r"\\text\{[^}]*\}", r"\\text{}", re.sub(r" [.,:] \$\$$", " $$", each)) for each in found]


def links(page: Path) -> list[Path]:
    """Return the files that a page links to, other than its own pair."""
    addresses = [address.partition("#")[0] for address in LINK.findall(prose(page)) if "://" not in address]
    files = [(page.parent / address).resolve() for address in addresses if address]
    return [file for file in files if english(file) != english(page)]


def kana(text: str) -> float:
    """Return which share of the letters of a text is kana."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum("ぁ" <= letter <= "ヶ" for letter in letters) / len(letters)


def forbidden(text: str) -> list[tuple[str, str]]:
    """Return the words that should be others, each with that other; within a longer word in katakana they are fine."""
    return [(found, term) for word, term in FIXED.items() for found in re.findall(f"(?<![ァ-ヶー])(?:{word})", text)]


def broken_bold(text: str) -> list[str]:
    """Return what stands between ** that Markdown leaves there: punctuation inside, and a letter right outside."""
    return [
        inside
        for before, inside, after in BOLD.findall(text)
        if (before.isalnum() and not inside[0].isalnum()) or (after.isalnum() and not inside[-1].isalnum())
    ]


def rows(page: Path) -> list[list[str]]:
    """Return the rows of a page's tables, without the rows that name the columns."""
    lines = [line for line in prose(page).splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row, below in zip(split, [*split[1:], ["-"]], strict=True) if "---" not in (row[0], below[0])]


PAGES = [*sorted((DOCS / "ja").rglob("*.md")), *ROOT.glob("README.ja.md")]


# ---- the pairs


@every(ENGLISH)
def test_an_english_page_has_its_japanese_pair(page: Path) -> None:
    assert japanese(page).is_file()


@every(PAGES)
def test_a_japanese_page_has_its_english_pair(page: Path) -> None:
    assert english(page) in ENGLISH


@every([page for page in ENGLISH if page != DOCS / "index.md"])
def test_a_pair_has_the_same_blocks_byte_for_byte(page: Path) -> None:
    assert blocks(japanese(page)) == blocks(page)


def test_the_first_page_has_the_blocks_of_its_pair_and_an_explanation_in_japanese() -> None:
    here, there = blocks(japanese(DOCS / "index.md")), blocks(DOCS / "index.md")
    assert [block for block in here if block in there] == there
    assert any('lang="ja"' in block for block in here)


@every(ENGLISH)
def test_a_pair_has_the_same_headings(page: Path) -> None:
    here, there = (re.findall(r"^(#+) ", prose(each), re.MULTILINE) for each in (japanese(page), page))
    assert here == there


@every(ENGLISH)
def test_a_pair_has_the_same_formulas(page: Path) -> None:
    here, there = formulas(japanese(page)), formulas(page)
    assert set(here) == set(there)  # how often one stands in a sentence, and in which order, is the language's
    assert [each for each in here if each.startswith("$$")] == [each for each in there if each.startswith("$$")]


@every(ENGLISH)
def test_a_pair_has_the_same_pictures(page: Path) -> None:
    here, there = ([Path(each).name for each in PICTURE.findall(prose(one))] for one in (japanese(page), page))
    assert here == there


@every(ENGLISH)
def test_a_pair_has_the_same_number_of_points_and_rows(page: Path) -> None:
    here, there = (re.findall(r"^(?:- |\d\. |\|)", prose(each), re.MULTILINE) for each in (japanese(page), page))
    assert here == there


@every(ENGLISH)
def test_a_japanese_page_leads_to_every_file_that_its_pair_leads_to(page: Path) -> None:
    assert {english(file) for file in links(page)} - {english(file) for file in links(japanese(page))} == set()


def test_the_glossaries_pair_the_same_words() -> None:
    here, there = rows(japanese(DOCS / "glossary.md")), rows(DOCS / "glossary.md")
    letters = [row for row in there if row[0].startswith("$")]
    assert [row[:2] for row in here[-len(letters) :]] == [row[:2] for row in letters]
    assert [row[0] for row in here[: -len(letters)]] == [row[1] for row in there[: -len(letters)]]
    for row, pair in zip(here, there, strict=True):
        assert "`" not in pair[0] or row[1] == pair[0]


# ---- the Japanese


@every(PAGES)
def test_a_japanese_page_is_japanese(page: Path) -> None:
    assert kana(words(prose(page))) > 0.4


@every(ENGLISH)
def test_an_english_page_is_not(page: Path) -> None:
    assert kana(words(prose(page))) < 0.1


@every(PAGES)
def test_a_japanese_page_links_to_japanese_pages_where_there_are_some(page: Path) -> None:
    files = [file for file in links(page) if file in ENGLISH]
    assert [name_of(file) for file in files if japanese(file).is_file()] == []


@every(PAGES)
def test_a_japanese_page_has_the_fixed_word_for_each_thing(page: Path) -> None:
    assert forbidden(words(prose(page))) == []


@pytest.mark.parametrize("key", JAPANESE)
def test_an_explanation_has_the_fixed_word_for_each_thing(key: str) -> None:
    assert forbidden(JAPANESE[key]) == []


@every(PAGES)
def test_a_japanese_page_has_no_half_width_kana_and_no_full_width_latin(page: Path) -> None:
    assert re.findall(r"[\uff61-\uff9f]|[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]", text_of(page)) == []


@every(PAGES)
def test_no_space_stands_between_japanese_letters(page: Path) -> None:
    assert re.findall(rf".?{WIDE} +{WIDE}.?", CODE.sub("``", prose(page))) == []


@every(PAGES)
def test_a_japanese_page_speaks_in_desu_and_masu(page: Path) -> None:
    read = re.sub(r"^\|.*$|!\[[^]]*\]", "", words(prose(page)), flags=re.MULTILINE)  # a table or a picture may be terse
    sentences = re.findall(r"[^。\n]+。", re.sub(r"\n(?!\n)", "", read))
    assert [each for each in sentences if re.search(r"(?:だ|る|ない|(?<!まし)(?<!でし)た)。$", each)] == []


@every(PAGES)
def test_what_should_be_bold_is_bold(page: Path) -> None:
    assert broken_bold(CODE.sub("x", prose(page))) == []


# ---- what these tests notice


def test_a_forbidden_word_is_told_from_a_longer_one() -> None:
    assert forbidden("レイヤーのロスとシェイプ") == [("ロス", "損失"), ("レイヤー", "層"), ("シェイプ", "形状")]
    assert forbidden("クロスエントロピー、プレイヤー、プロセス、損失、層") == []


def test_bold_that_markdown_leaves_as_it_is_is_noticed() -> None:
    assert broken_bold("これは**「層」**です") == ["「層」"]
    assert broken_bold("これは**層**です。**「層」** です。") == []
