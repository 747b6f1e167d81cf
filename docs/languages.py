"""The two languages of the site: each is built on its own, and this file holds what ties them together.

docs/ is built in English without docs/ja/, and docs/ja/ in Japanese, with a sidebar, labels and a search of its own;
the second site is put into the folder ja/ of the first. A link from one to the other is written as a link to the file,
and becomes the address of the page that the other build makes of it.
"""

from __future__ import annotations

import gettext
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes, search
from sphinx.application import Sphinx
from sphinx.search.ja import SearchJapanese
from sphinx.transforms import SphinxTransform

DOCS = Path(__file__).resolve().parent
JAPANESE = DOCS / "ja"
WIDE = r"[\u3005\u3007\u3040-\u30ff\u3400-\u9fff]"  # Japanese letters, without punctuation

WORDS = {  # of the theme; Sphinx has its own in Japanese
    "Back to top": "先頭へ戻る",
    "Home": "最初のページ",
    "Link to this heading": "この見出しへのリンク",
    "Next": "次へ",
    "On this page": "このページの内容",
    "Please activate JavaScript to enable the search functionality.": "検索するには JavaScript を有効にしてください。",
    "Previous": "前へ",
    "Skip to content": "本文へ移動",
}
LABELS = {  # of buttons and pictures, which the theme cannot translate
    "Auto light/dark, in dark mode": "自動 (現在は暗い配色)",
    "Auto light/dark, in light mode": "自動 (現在は明るい配色)",
    "Contents": "目次",
    "Dark mode": "暗い配色",
    "Expand": "開く",
    "Light mode": "明るい配色",
    "Menu": "メニュー",
    "Toggle Light / Dark / Auto color theme": "配色の切り替え (明るい、暗い、自動)",
    "Toggle site navigation sidebar": "全体の目次の表示を切り替える",
    "Toggle table of contents sidebar": "ページの目次の表示を切り替える",
}
COPY_BUTTON = "'ja': {'copy': 'コピー', 'copy_to_clipboard': 'クリップボードにコピー', "
COPY_BUTTON += "'copy_success': 'コピーしました', 'copy_failure': 'コピーできませんでした'},"


def is_japanese(app: Sphinx) -> bool:
    """Tell which of the two sites is built."""
    return Path(app.srcdir) == JAPANESE


def belongs(page: Path, app: Sphinx) -> bool:
    """Tell whether a page is one of the site that is built."""
    return page.is_relative_to(JAPANESE) == is_japanese(app)


class OtherLanguage(SphinxTransform):
    """Lets a link to a page of the other language, such as ../index.md in docs/ja/, lead to where that is published."""

    default_priority = 90

    def apply(self, **keywords: Any) -> None:
        """Change what MyST takes for a page that does not exist."""
        here = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(self.document.findall(addnodes.pending_xref)):
            page = Path(self.env.srcdir, link["reftarget"].lstrip("/") + ".md")
            if not page.is_file():
                page = Path(link["reftarget"] + ".md")
            if link["refdomain"] == "doc" and page.is_relative_to(DOCS) and not belongs(page, self.app):
                address = Path(os.path.relpath(page.with_suffix(".html"), here)).as_posix()
                anchor = link.get("reftargetid")
                link.replace_self(
                    nodes.reference("", "", *link.children, refuri=f"{address}#{anchor}" if anchor else address)
                )


class JapaneseLines(SphinxTransform):
    """Joins the lines of Japanese text: a browser would set a space where a line of the source ends."""

    default_priority = 100
    wide = re.compile(r"[\u3000-\u9fff\uff00-\uffef]")

    def apply(self, **keywords: Any) -> None:
        """Take the ends of lines out of a Japanese page where they lie between two Japanese letters."""
        if is_japanese(self.app):
            for block in self.document.findall(nodes.TextElement):
                texts = ["", *(child.astext() for child in block.children), ""]
                kept = [
                    child
                    for before, child, after in zip(texts, block.children, texts[2:], strict=False)
                    if not (child.astext() == "\n" and self.wide.match(before[-1:]) and self.wide.match(after[:1]))
                ]
                if len(kept) < len(block.children):
                    block.children = kept


class PairsOfLetters(SearchJapanese):
    """Searches Japanese by pairs of letters, 誤差信号 as 誤差, 差信 and 信号.

    Sphinx divides the pages into words, but not what a reader types, so that it never finds two words typed as one.
    """

    js_splitter_code = r"""
var splitQuery = (query) => query.split(/[^\p{Letter}\p{Number}_]+/gu).flatMap((text) =>
  text.match(/WIDE+|[^WIDE]+/gu) || []).flatMap((part) => !/WIDE/u.test(part) || part.length < 3 ? [part]
  : [...part].slice(1).map((letter, i) => part[i] + letter));
""".replace("[^WIDE]", WIDE.replace("[", "[^", 1)).replace("WIDE", WIDE)

    def split(self, input: str) -> list[str]:
        """Return the pairs of Japanese letters, and the words of what is not Japanese."""
        found = re.findall(rf"{WIDE}+|(?:(?!{WIDE})\w)+", input)
        return [pair for part in found for pair in (_pairs(part) if re.match(WIDE, part) else [part])]


def _pairs(text: str) -> list[str]:
    return [text[i : i + 2] for i in range(len(text) - 1)] if len(text) > 1 else [text]


class ThemeWords(gettext.NullTranslations):
    """Asked for what Sphinx has no translation of."""

    def gettext(self, message: str) -> str:
        """Return the Japanese of a label of the theme."""
        return WORDS.get(message, message)


def labelled(html: str) -> str:
    """Return the body of a page with Japanese labels."""
    every = "|".join(map(re.escape, LABELS))
    return re.sub(rf'(<title>|aria-label=")({every})(?=[<"])', lambda match: match[1] + LABELS[match[2]], html)


def offer_other_language(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Give the template the address of the same page in the other language, or of its first page."""
    from_japanese = is_japanese(app)
    other = DOCS if from_japanese else JAPANESE
    name = pagename if (other / f"{pagename}.md").is_file() else "index"
    up = "../" * (pagename.count("/") + from_japanese)
    context["labelled"] = labelled if from_japanese else str
    context["other_language"] = {
        "code": "en" if from_japanese else "ja",
        "name": "English" if from_japanese else "日本語",
        "address": f"{up}{'' if from_japanese else 'ja/'}{name}.html",
        "same": name == pagename,
    }


def label_copy_buttons(app: Sphinx, exception: Exception | None) -> None:
    """Give the copy buttons, whose package knows other languages, Japanese labels."""
    script = Path(app.outdir, "_static", "copybutton.js")
    if exception is None and app.builder.format == "html" and is_japanese(app):
        text = script.read_text(encoding="utf-8")
        begin = "const messages = {\n"
        if begin not in text:
            raise ValueError(f"{script.name}: expected {begin!r}, where its words begin; sphinx-copybutton has changed")
        script.write_text(text.replace(begin, f"{begin}  {COPY_BUTTON}\n"), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above."""
    if is_japanese(app):
        app.translator.add_fallback(ThemeWords())
        search.languages["ja"] = PairsOfLetters
    app.connect("html-page-context", offer_other_language)
    app.connect("build-finished", label_copy_buttons)
    for transform in (OtherLanguage, JapaneseLines):
        app.add_transform(transform)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
