"""Examples as pages: a link to a file of examples/ leads to a page with its code, rather than to a download."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from languages import DOCS, is_japanese
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

EXAMPLES = DOCS.parent / "examples"


def page_of(example: Path) -> str:
    """Return what Sphinx calls the page of an example, such as "examples/digits"."""
    return example.relative_to(EXAMPLES.parent).with_suffix("").as_posix()


class ExampleLinks(SphinxTransform):
    """Lets a link to an example lead to its page, which is on the English site."""

    default_priority = 95

    def apply(self, **keywords: Any) -> None:
        """Change what MyST takes for a file to download."""
        here = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(self.document.findall(addnodes.download_reference)):
            example = Path(os.path.normpath(here / link["reftarget"].lstrip("/")))
            if not example.is_file():
                example = Path(os.path.normpath(Path(self.env.srcdir, link["reftarget"].lstrip("/"))))
            if example.suffix == ".py" and example.is_relative_to(EXAMPLES):
                address = Path(os.path.relpath(DOCS / f"{page_of(example)}.html", here)).as_posix()
                link.replace_self(nodes.reference("", "", *link.children, refuri=address))


def example_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page for each example."""
    if app.builder.format == "html" and not is_japanese(app):
        for example in sorted(EXAMPLES.rglob("*.py")):
            code = app.builder.highlighter.highlight_block(example.read_text(encoding="utf-8"), "python")
            title = escape(example.relative_to(EXAMPLES.parent).as_posix())
            yield page_of(example), {"title": title, "body": f"<h1>{title}</h1>{code}"}, "page.html"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above."""
    app.connect("html-collect-pages", example_pages)
    app.add_transform(ExampleLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
