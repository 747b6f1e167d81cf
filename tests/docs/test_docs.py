"""docs/: every block runs and prints what is shown, links and pictures lead somewhere, and Sphinx builds it."""

import importlib.util
import json
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nanonet
from nanonet.interchange import torch_pairs
from tests import ROOT

DOCS = ROOT / "docs"
sys.path.append(str(DOCS))  # where pages.py lies

pages: Any = import_module("pages")
PAGES: list[Path] = pages.pages()
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^]]*)\]\(([^)\s]+)\)")
WORDS = """
    Layer Linear Activation Sequential Loss Optimizer Parameter Buffer Trainer Trace forward backward cache grad
    in_features out_features prediction target learning_rate rng training
""".split()
LETTERS = "x a y t E L g_l".split()
JAPANESE = "順伝播 逆伝播 勾配 誤差信号 活性化関数 損失 学習率 重み バイアス 層 形状".split()


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def every_page(test: Any) -> Any:
    return pytest.mark.parametrize("page", PAGES, ids=pages.name_of)(test)


LONG = {"attention", "gan", "groups", "imbalance", "sequences", "siamese", "time_series", "uncertainty"}


def takes_seconds(page: Path) -> bool:
    """Return whether a page trains for long, or has the code of another page."""
    return page.stem in LONG or not {"ja", "tutorial"}.isdisjoint(page.relative_to(DOCS).parts)


# ---- pages


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * takes_seconds(page))
        for page in PAGES
        if page.name
        != "gallery.md"  # which has no blocks, and pictures that take long: Sphinx misses one that is not made
    ],
    ids=pages.name_of,
)  # the code of a Japanese page is that of its English pair, and test_tutorial.py runs the tutorial
def test_the_blocks_of_a_page_run_print_what_it_shows_and_make_its_pictures(page: Path, tmp_path: Path) -> None:
    """What a page registers with PyTorch's modules holds for the page alone."""
    import_module("nanonet.interchange.torch")  # which enters the built-in modules
    tables: list[dict[Any, Any]] = [torch_pairs.LAYERS, torch_pairs.MODULES]
    before = [dict(table) for table in tables]
    try:
        pages.run(page, tmp_path)
    except pages.NotInstalled as error:
        pytest.skip(str(error))
    finally:
        for table, entries in zip(tables, before, strict=True):
            table.clear()
            table.update(entries)
    for _, address in PICTURE.findall(prose(page)):
        assert (tmp_path / address).is_file() or (page.parent / address).is_file(), address


@every_page
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    addresses = [address.partition("#")[0] for address in LINK.findall(prose(page)) if "://" not in address]
    assert [address for address in addresses if not (page.parent / address).exists()] == []


@every_page
def test_every_picture_says_what_is_to_be_seen(page: Path) -> None:
    assert [address for text, address in PICTURE.findall(prose(page)) if len(text) < 12] == []


def test_every_page_can_be_reached_from_the_first_of_its_language() -> None:
    listed = {name_in_tree for page in PAGES for name_in_tree in tree_entries(page)}
    assert {pages.name_of(page) for page in PAGES} - listed == {"index", "ja/index"}


def tree_entries(page: Path) -> set[str]:
    """Return the names of the pages in the tables of contents of a page."""
    text = page.read_text(encoding="utf-8")
    found = set()
    for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for entry in (line for line in tree.splitlines() if line and not line.startswith(":")):
            found |= {
                pages.name_of(path.with_suffix(".md")) for path in page.parent.glob(f"{entry.replace('**', '**/*')}.md")
            }
    return found


# ---- what pages.py notices


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def test_a_wrong_number_is_noticed_and_the_message_says_where(tmp_path: Path) -> None:
    page = page_of(tmp_path, "# A page\n\n```python\nprint(0.25)\n```\n\n```text\n0.26\n```\n")
    with pytest.raises(pages.PageError, match=r"(?s)page\.md, the block from line 4 on.*0\.26.*got.*0\.25"):
        pages.run(page, tmp_path)


def test_an_error_is_noticed_with_its_own_line(tmp_path: Path) -> None:
    page = page_of(tmp_path, "# A page\n\n```python\nx = 1\n\nprint(x / 0)\n```\n")
    with pytest.raises(pages.PageError, match=r"line 4 on: line 6 raised ZeroDivisionError"):
        pages.run(page, tmp_path)


def test_output_that_is_not_shown_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(pages.PageError, match=r"\(nothing\)"):
        pages.run(page_of(tmp_path, "```python\nprint(1)\n```\n"), tmp_path)


def test_blocks_share_their_names_and_leave_no_module_behind(tmp_path: Path) -> None:
    before = set(sys.modules)
    pages.run(
        page_of(tmp_path, "```python\nx = 1\n```\n\nText.\n\n```python\nprint(x)\n```\n\n```text\n1\n```\n"), tmp_path
    )
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "text", ["  ```python\n  print(1)\n  ```\n", "```text\n1\n```\n", "~~~python\nprint(1)\n~~~\n"]
)
def test_a_block_that_would_not_be_run_or_compared_is_noticed(tmp_path: Path, text: str) -> None:
    with pytest.raises(pages.PageError, match="can be run and compared"):
        pages.blocks(page_of(tmp_path, text))


def test_numbers_may_be_off_by_what_the_page_allows(tmp_path: Path) -> None:
    shown = "<!-- numbers within 10 % -->\n\n```python\nprint('loss', {})\n```\n\n```text\nloss 1.00\n```\n"
    pages.run(page_of(tmp_path, shown.format(1.09)), tmp_path)
    for wrong in ("1.2", "-1.0", "1.0, 'or so'"):
        with pytest.raises(pages.PageError, match="within 10 %"):
            pages.run(page_of(tmp_path, shown.format(wrong)), tmp_path)


def test_rounding_errors_are_equal_and_larger_ones_are_not() -> None:
    assert pages.comparable("difference 3.6e-11") == pages.comparable("difference 1.2e-09")
    assert pages.comparable("difference 3.6e-11") != pages.comparable("difference 3.6e-05")


def test_a_module_that_is_missing_is_told_from_an_error(tmp_path: Path) -> None:
    for missing in ("import no_such_module", "raise ImportError(\"try pip install 'nanonet[plot]'\")"):
        with pytest.raises(pages.NotInstalled, match=r"\.\[docs\]"):
            pages.run(page_of(tmp_path, f"```python\n{missing}\n```\n"), tmp_path)
    for wrong in ("from nanonet import no_such_name", "import nanonet.no_such_module"):
        with pytest.raises(pages.PageError, match="Error") as caught:
            pages.run(page_of(tmp_path, f"```python\n{wrong}\n```\n"), tmp_path)
        assert not isinstance(caught.value, pages.NotInstalled)


def test_a_block_with_torch_runs_only_where_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_installed", lambda name: False)
    pages.run(page_of(tmp_path, "```python\nimport torch\nprint(1 / 0)\n```\n"), tmp_path)


def test_a_file_beside_a_page_makes_its_pictures_and_its_errors_name_it(tmp_path: Path) -> None:
    page = page_of(tmp_path, "# A page\n\n![A picture of something](a.svg)\n")
    maker = page.with_suffix(".py")
    maker.write_text("from pathlib import Path\n\nPath('a.svg').write_text(Path(__file__).name)\n")
    pages.run(page, tmp_path / "made")
    assert (tmp_path / "made" / "a.svg").read_text() == "page.py"
    maker.write_text("x = 1\n\nx / 0\n")
    with pytest.raises(pages.PageError, match=r"page\.py.*: line 3 raised ZeroDivisionError"):
        pages.run(page, tmp_path / "made")


# ---- the gallery


GALLERY = re.findall(
    r"^:::\{grid-item-card\} .+\n!\[[^]]{12,}\]\((\w+)\.svg\)\n\n(.+)\n\[Its code\]\(\.\./examples/(\w+)\.py\)\n\n"
    r"```bash\npython examples/(\w+)\.py.*\n```\n:::$",
    (DOCS / "gallery.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_every_example_has_a_card_with_a_picture_a_sentence_and_its_command() -> None:
    assert sorted(card[0] for card in GALLERY) == sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
    for picture, sentence, linked, command in GALLERY:
        assert picture == linked == command
        assert re.fullmatch(r"[A-Z`].*\.", sentence)


# ---- the reference, the architecture, the glossary


def test_every_public_name_is_in_the_reference_once() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    counts = Counter(re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)$", text, re.MULTILINE))
    assert counts == Counter(nanonet.__all__)


def test_every_public_name_has_an_example_in_its_docstring_or_on_its_page() -> None:
    texts = [page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")]
    shown = "\n".join(block for text in texts for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S))
    documented = [name for name in nanonet.__all__ if ">>>" in (getattr(nanonet, name).__doc__ or "")]
    assert [name for name in nanonet.__all__ if name not in documented and not re.search(rf"\b{name}\b", shown)] == []


def modules() -> list[ModuleType]:
    names = [
        info.name for info in pkgutil.walk_packages(nanonet.__path__, "nanonet.") if "interchange" not in info.name
    ]
    return [import_module(name) for name in names]


ARCHITECTURE = prose(DOCS / "architecture.md")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", ARCHITECTURE))))
def test_the_names_on_the_page_of_the_architecture_exist(name: str) -> None:
    first, _, second = name.partition(".")
    owners = [getattr(module, first) for module in modules() if hasattr(module, first)]
    assert owners
    assert not second or any(hasattr(owner, second) for owner in owners)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/]+\.py)`", ARCHITECTURE))))
def test_the_files_on_the_page_of_the_architecture_exist(name: str) -> None:
    assert (DOCS.parent / name).is_file()


@pytest.mark.parametrize("page", ["glossary.md", "ja/glossary.md"])
def test_the_glossary_has_every_word_in_both_languages(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [word for word in WORDS if f"`{word}`" not in text] == []
    assert [letter for letter in LETTERS if f"${letter}$" not in text] == []
    assert [word for word in JAPANESE if word not in text] == []


# ---- Sphinx


@pytest.mark.slow
def test_sphinx_builds_it_without_a_warning_and_without_a_network(tmp_path: Path) -> None:
    for name in ("sphinx", "myst_parser", "furo", "sphinx-mathjax-offline", "matplotlib", "sklearn"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    html = tmp_path / "html"
    for source, target in ((["docs"], html), (["-c", "docs", "-D", "language=ja", "docs/ja"], html / "ja")):
        command = [sys.executable, "-m", "sphinx", "-W", "-q", *source, str(target)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert (run.returncode, run.stdout) == (0, ""), run.stderr
    for page in PAGES:
        built = (html / pages.name_of(page)).with_suffix(".html")
        text = built.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//', text) == []
        for frame in re.findall(r'<iframe src="([^"]*)" title="[^"]+"', text):
            assert built.parent.joinpath(frame).is_file()
        assert [image for image in re.findall(r"<img\b[^>]*>", text) if not re.search(r'\balt="[^"]+"', image)] == []
        japanese = pages.name_of(page).startswith("ja/")
        assert re.findall(r'<html\b[^>]* lang="(\w+)"', text) == ["ja" if japanese else "en"]
        addresses = re.findall(r'<a\b[^>]* href="([^"#?:]+\.html)[^"]*"', text)
        assert [address for address in addresses if not built.parent.joinpath(address).is_file()] == []
        (switch,) = re.findall(r'<a class="other-language" lang="(?:ja|en)" hreflang="\w+" href="([^"]*)"', text)
        assert ("/ja/" in built.parent.joinpath(switch).resolve().as_posix()) is not japanese
        labels = "Back to top|On this page|Search|Next|Previous|Menu|Expand|Link to this heading|Toggle [a-zA-Z /]+"
        assert not japanese or re.findall(rf'[">]({labels})["<]', text) == []
    assert (html / "_static" / "mathjax" / "tex-chtml.js").is_file()
    assert "クリップボードにコピー" in (html / "ja" / "_static" / "copybutton.js").read_text(encoding="utf-8")
    found = (html / "ja" / "searchindex.js").read_text(encoding="utf-8")
    assert [pair for pair in ("誤差", "差信", "信号", "check_gradients") if f"{json.dumps(pair)}:" not in found] == []
