"""docs/tutorial: its pages run and print what they show, and they answer the questions that were asked beforehand."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import nanonet.core.chain
from tests import ROOT

TUTORIAL = ROOT / "docs" / "tutorial"
NAMES = [path.stem for path in sorted(TUTORIAL.glob("*.md"))]
QUESTIONS = (Path(__file__).parent / "tutorial_questions.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (.+\?) \| (\w+) \| (.+) \|$", re.MULTILINE)
PICTURE = re.compile(r"!\[(?P<alternative>[^\]]+)\]\((?P<address>[^)\s]+)\)")
EXTRAS = {"matplotlib": "7_real_data", "sklearn": "7_real_data"}


def page(name: str) -> str:
    return (TUTORIAL / f"{name}.md").read_text(encoding="utf-8")


def prose(name: str) -> str:
    """Return a page without its fences."""
    return re.sub(r"^```.*?^```$", "", page(name), flags=re.MULTILINE | re.DOTALL)


def headings(name: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE)


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """Return docs/pages.py, which runs the pages of the documentation."""
    spec = importlib.util.spec_from_file_location("nanonet_docs_pages", ROOT / "docs" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_seven_and_each_leads_to_the_next() -> None:
    assert [name[0] for name in NAMES] == list("1234567")
    for name, following in zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True):
        assert f"]({following}.md)" in page(name).strip().splitlines()[-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_runs_and_prints_what_it_shows(
    name: str, pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, needed in EXTRAS.items():
        if name == needed:
            pytest.importorskip(module, reason=f"{module} is not installed")
    monkeypatch.setenv("MPLBACKEND", "agg")
    pages.run(TUTORIAL / f"{name}.md", tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    shown = {Path(match["address"]).name for match in PICTURE.finditer(prose(name))}
    assert made == shown  # each picture that a page makes is shown, and the other way round
    assert made


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_short_begins_with_its_aim_and_ends_with_questions(name: str) -> None:
    lines = page(name).splitlines()
    assert 80 <= len(lines) <= 210  # the longest shows a whole explanation, which is not ours to shorten
    assert lines[0] == f"# {name[0]}. {headings(name)[0][3:]}"
    assert lines[2].startswith("At the end of this page you ")
    assert headings(name)[-1].startswith("Questions")
    assert 2 <= len(re.findall(r"^\d\. ", page(name).rpartition("\n## Questions")[2], re.MULTILINE)) <= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_wrapped_and_calls_nothing_easy(name: str) -> None:
    assert [line for line in prose(name).splitlines() if len(line) > 120] == []
    assert re.findall(r"\b(?:simply|just|easy|easily|obviously|of course)\b", prose(name), re.IGNORECASE) == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name: str) -> None:
    for address in re.findall(r"(?<!!)\[[^\]]+\]\(([^)#]+)\)", PICTURE.sub("", prose(name))):
        assert (TUTORIAL / address).is_file(), address


def test_the_ten_questions_have_their_sections() -> None:
    rows = ROW.findall(QUESTIONS)
    assert [int(number) for number, *_ in rows] == list(range(1, 11))
    for _, question, name, sections in rows:
        assert set(sections.split("; ")) <= set(headings(name)), question
    assert {name for _, _, name, _ in rows} == set(NAMES)


def test_the_lines_of_sequential_are_shown_as_they_stand() -> None:
    (shown,) = re.findall(r"^```py\n(.*?)^```$", page("6_any_depth"), re.MULTILINE | re.DOTALL)
    source = Path(nanonet.core.chain.__file__).read_text(encoding="utf-8")
    assert "".join(f"        {line}\n" for line in shown.splitlines()) in source


def test_the_numbers_of_the_article_are_on_the_pages() -> None:
    assert "0.60041131 0.79248709" in page("3_forward")
    for numbers in ("0.91175343 0.08878309", "0.94191174 0.06357643"):
        assert numbers in page("5_the_mistake")
    assert page("6_any_depth").count("0.94191174 0.06357643") == 2  # the own loop and fit
