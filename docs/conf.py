"""Sphinx: how the documentation is built. Every page is run first, and its pictures are made by that: see pages.py."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.ext import autosummary
from sphinx.transforms import SphinxTransform

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

import languages  # noqa: E402  # it lies beside this file, in the folder that was just entered
import pages  # noqa: E402  # likewise

import nanonet  # noqa: E402  # which an import sorter wants last
from nanonet.core.objects import Recorded  # noqa: E402  # likewise

project = "nanonet"
author = "The nanonet developers"
copyright = "the nanonet developers"
release = version = nanonet.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "languages",
    "sources",
]
exclude_patterns = ["_*", "ja/*"]  # the Japanese site is built from ja/ itself: languages.py
templates_path = ["_templates"]
source_suffix = {".md": "markdown"}
root_doc = "index"
nitpicky = False

copybutton_selector = "div.highlight-python pre, div.highlight-bash pre, div.doctest pre"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# ---- Markdown

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# ---- the reference

autodoc_typehints = "none"  # the docstrings name the types
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_google_docstring = False
napoleon_custom_sections = [
    ("Attributes", "params_style"),  # "width, height : float" stays one entry
    ("Parameters of each method", "params_style"),
]
napoleon_use_rtype = False
napoleon_preprocess_types = False
add_module_names = False
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# ---- HTML

html_theme = "furo"
html_title = f"nanonet {release}"
html_static_path = ["_static"]
html_css_files = ["nanonet.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
pygments_style = "default"
pygments_dark_style = "github-dark"

# Formulas are set by MathJax from a package, so that they are set without a network too.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {
    "options": {"enableMenu": False},
    "loader": {"load": ["a11y/assistive-mml"]},
    "chtml": {"matchFontHeight": True},
}


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy what mathjax_path needs, out of the 17 MB that the package holds."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if exception is not None or app.builder.format != "html" or found is None or found.origin is None:
        return
    source, target = Path(found.origin).parent / "static" / "mathjax", Path(app.outdir) / "_static" / "mathjax"
    for name in (mathjax_path.rpartition("/")[2], "a11y/assistive-mml.js", "output/chtml/fonts/woff-v2"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / name, target / name)


# ---- pages that run


def made(app: Sphinx) -> Path:
    """Return the folder in which the pages that are built make their pictures."""
    return Path(app.doctreedir) / "made" / Path(app.srcdir).relative_to(DOCS)


class PageFailed(SphinxError):
    """Ends the build."""

    category = "Pages that do not do what they show"


def run_pages(app: Sphinx) -> None:
    """Run every page, which makes its pictures; end the build if one does not print what it shows."""
    shutil.rmtree(made(app), ignore_errors=True)
    folder = Path(app.doctreedir) / "made"
    wrong = list(pages.run_all(folder, [page for page in pages.pages() if languages.belongs(page, app)]))
    if wrong:
        raise PageFailed("\n\n" + "\n\n".join(wrong))


class MadePictures(SphinxTransform):
    """Lets ``![...](forward.svg)`` be the picture that a block of the same page has saved; marks a net's figure."""

    default_priority = 100

    def apply(self, **keywords: Any) -> None:
        """Change the addresses of the pictures that were made."""
        for image in self.document.findall(nodes.image):
            picture = made(self.app) / self.env.docname / image["uri"]
            if picture.is_file():
                if picture.suffix == ".svg" and 'class="nanonet"' in picture.read_text(encoding="utf-8")[:200]:
                    image["classes"].append("net")
                image["uri"] = "/" + Path(os.path.relpath(picture, self.env.srcdir)).as_posix()


def copy_made_pages(app: Sphinx, exception: Exception | None) -> None:
    """Copy what pages have made as HTML, for their frames: how-to/seeing/article.html beside how-to/seeing.html."""
    if exception is None and app.builder.format == "html":
        for page in made(app).rglob("*.html"):
            target = Path(app.outdir) / page.relative_to(made(app))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, target)


class FilesOutside(SphinxTransform):
    """Lets a link to a Markdown file beside docs/, such as ../CHANGELOG.md, lead to a copy of it."""

    default_priority = 100

    def apply(self, **keywords: Any) -> None:
        """Change what MyST takes for a page that does not exist."""
        for link in list(self.document.findall(addnodes.pending_xref)):
            path = Path(link["reftarget"] + ".md")
            if link["refdomain"] == "doc" and path.is_absolute() and path.is_file():
                target = "/" + Path(os.path.relpath(path, self.env.srcdir)).as_posix()
                copy = addnodes.download_reference("", "", *link.children, reftarget=target, refdoc=link["refdoc"])
                link.replace_self(copy)


def keep_bars(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let |a| in a docstring be an absolute value: in reStructuredText it would be a substitution."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else line.replace("|", r"\|") for line in lines]


def show_constructor(
    app: Sphinx, what: str, name: str, obj: Any, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Show a class with the arguments of its ``__init__``: its ``__new__``, from Recorded, takes any."""
    if what != "class" or not issubclass(obj, Recorded):
        return signature, returned
    if obj.__init__ is object.__init__:
        return "", returned
    _, *arguments = inspect.signature(obj.__init__).parameters.values()
    bare = [argument.replace(annotation=inspect.Parameter.empty) for argument in arguments]
    return re.sub(r"<class 'numpy\.(\w+)'>", r"np.\1", str(inspect.Signature(bare))), returned


def first_line(lines: list[str], document: object) -> str:
    """Return what a table of names says of each: the first line of its docstring, formula and all."""
    return next((line for line in lines if line.strip()), "")


autosummary.extract_summary = first_line  # which would end at the first full stop, as in "alg. 1"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above."""
    app.connect("builder-inited", run_pages)
    app.connect("autodoc-process-docstring", keep_bars, priority=700)  # after the formulas, which have bars too
    app.connect("autodoc-process-signature", show_constructor)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", copy_made_pages)
    for transform in (MadePictures, FilesOutside):
        app.add_transform(transform)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
