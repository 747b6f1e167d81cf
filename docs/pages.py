"""Pages: every Python block of the documentation is run, and what it prints is compared with what the page shows.

For writers
-----------
A page is a Markdown file under docs/. Its blocks look like those of README.md: a ``python`` fence, and below it a
``text`` fence with exactly what the block prints, if it prints. All blocks of a page run in order, in one namespace, in
an empty folder of the page's own.

- A picture is made by a block of the page that shows it: ``trace.draw().save("forward.svg")``, and then
  ``![The net, with ...](forward.svg)``. It is never committed. The text between the brackets is for those who cannot
  see the picture, and has to be there.
- matplotlib draws by docs/matplotlibrc, without a background and with grey axes, for light and dark pages.
- Where pictures need more code than a page is to show, a file of its name beside it makes them: gallery.py for
  gallery.md. It is run first, in the same folder, and prints nothing.
- An error is shown by ``try: ... except ShapeError as error: print(error)``.
- Digits that differ from machine to machine (rounding errors such as 3.6e-11) are treated as equal. Above a block whose
  other numbers depend on the machine too, such as a long training, an HTML comment allows for it:
  ``<!-- numbers within 10 % -->``. Words are compared all the same, spaces and rules of a table are not.
- A block that imports PyTorch, Keras, numba, mpi4py, Dask or onnxruntime runs only where that is installed; the blocks
  after it do not use its names. All else that a block imports is in the extra ``docs``.
- A formula stands between dollars, ``$g_l = W_{l+1}^T g_{l+1}$``, or between double dollars on lines of its own.
- A link to a page is a link to its file: ``[a new layer](../how-to/layer.md)``.
- A Japanese page lies under docs/ja/, at the same place below it, and belongs to a site of its own (languages.py). It
  links to an English page as to any file, ``[...](../results.md)``, but on a card by ``../results.html``. Its lines may
  be broken anywhere between two Japanese letters: no space appears there.

``python docs/pages.py`` runs all pages, ``python docs/pages.py docs/index.md`` one.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import os
import re
import signal
import sys
import tempfile
import types
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
if str(DOCS) not in sys.path:
    sys.path.append(str(DOCS))  # a block may import what lies beside this file
MAY_BE_MISSING = {
    "torch",
    "keras",
    "tensorflow",
    "numba",
    "mpi4py",
    "dask",
    "onnxruntime",
}  # shown, and run where they are installed

_BLOCK = re.compile(
    r"(?:^<!-- numbers within (?P<percent>\d+) % -->\n\n?)?"
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


class PageError(Exception):
    """A page whose blocks do not do what it says."""


class NotInstalled(PageError):
    """A page that needs more than is installed."""


@dataclass(frozen=True)
class Block:
    """A Python block of a page: its code, what is shown below it, and how far its numbers may be off."""

    line: int
    code: str
    shown: str
    percent: int = 0

    @property
    def modules(self) -> set[str]:
        """The top-level modules that it imports."""
        found: set[str] = set()
        for node in ast.walk(ast.parse(self.code)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
        return found

    def agrees(self, printed: str) -> bool:
        """Tell whether what was printed is what is shown."""
        if not self.percent:
            return comparable(printed) == comparable(self.shown)
        if _words(printed) != _words(self.shown):
            return False
        numbers = zip(_NUMBER.findall(printed), _NUMBER.findall(self.shown), strict=True)
        return all(_near(float(a), float(b), self.percent / 100) for a, b in numbers)


def comparable(text: str) -> str:
    """Return text with rounding errors, which differ from machine to machine, made equal; larger ones stay."""
    return re.sub(r"\d\.\de-(?:0[89]|1\d)", "(rounding)", text)


def _words(text: str) -> str:
    """Return text without its numbers, and without what their width decides: spaces and the rules of a table."""
    return re.sub(r"-{2,}|\s+", " ", _NUMBER.sub("#", text)).strip()


def _near(a: float, b: float, share: float) -> bool:
    return abs(a - b) <= share * max(abs(a), abs(b))


def pages() -> list[Path]:
    """Return every page of the documentation, in order."""
    return sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_"))


def name_of(page: Path) -> str:
    """Return what Sphinx calls a page, such as "how-to/layer"."""
    return (page.relative_to(DOCS) if page.is_relative_to(DOCS) else Path(page.name)).with_suffix("").as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page; one that would not be run or compared is an error."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(
            text.count("\n", 0, match.start("code")) + 1,
            match["code"],
            match["shown"] or "",
            int(match["percent"] or 0),
        )
        for match in _BLOCK.finditer(text)
    ]
    outputs = sum(match["shown"] is not None for match in _BLOCK.finditer(text))
    counts = {"python": len(found), "text": outputs}
    for kind, count in counts.items():
        written = len(re.findall(rf"^\s*(?:```|~~~)\s*{kind}", text, re.MULTILINE))
        if written != count:
            raise PageError(
                f"{_told(page)}: has {written} {kind} fences, but {count} can be run and compared: expected ```python "
                "at the start of a line, then ``` and, after one empty line, ```text"
            )
    return found


def run(page: Path, folder: Path) -> None:
    """Run a page's blocks in a folder, where they leave their pictures; raise PageError at the first that differs."""
    folder.mkdir(parents=True, exist_ok=True)
    module = types.ModuleType(f"page_{re.sub(r'[^0-9a-zA-Z]', '_', name_of(page))}")
    sys.modules[module.__name__] = module  # as for any class, so that a block's can be found by name
    maker = page.with_suffix(".py")
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start this with Ctrl-C ignored
    try:
        if maker.is_file():
            beside = {"__name__": module.__name__, "__file__": str(maker)}
            _compare(maker, Block(1, maker.read_text(encoding="utf-8"), ""), beside, folder)
        for block in blocks(page):
            if all(_installed(name) for name in block.modules & MAY_BE_MISSING):
                _compare(page, block, vars(module), folder)
    finally:
        signal.signal(signal.SIGINT, handler)
        del sys.modules[module.__name__]


def _compare(page: Path, block: Block, names: dict[str, object], folder: Path) -> None:
    where = f"{_told(page)}, the block from line {block.line} on"
    output = io.StringIO()
    code = compile("\n" * (block.line - 1) + block.code, _told(page), "exec", dont_inherit=True)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(output), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "__array__ implementation doesn't")  # of Keras's own variables
            exec(code, names)
    except Exception as error:
        if isinstance(error, ImportError) and _is_extra(error):
            raise NotInstalled(f"{where}: {error} (the extra docs has all: pip install -e '.[docs]')") from error
        line = _line(error, _told(page))
        raise PageError(f"{where}: line {line} raised {type(error).__name__}: {error}") from error
    printed = output.getvalue()
    if not block.agrees(printed):
        within = f" (numbers within {block.percent} %)" if block.percent else ""
        raise PageError(f"{where}{within}:\nexpected\n{_indented(block.shown)}\ngot\n{_indented(printed)}")


def _is_extra(error: ImportError) -> bool:
    """Tell whether something is not installed, rather than missing in nanonet."""
    absent = isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("nanonet")
    return absent or "pip install" in str(error)


def _line(error: BaseException, name: str) -> int:
    """Return the page's own line that an error came from."""
    line, frame = 0, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == name:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _installed(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _told(page: Path) -> str:
    return (page.relative_to(DOCS.parent) if page.is_relative_to(DOCS) else page).as_posix()


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)"


def run_all(folder: Path, chosen: Iterable[Path] | None = None) -> Iterator[str]:
    """Run pages, each in a folder of its own below the given one, and yield what is wrong with them."""
    os.environ.setdefault("MPLBACKEND", "agg")
    os.environ.setdefault("MATPLOTLIBRC", str(DOCS / "matplotlibrc"))
    for page in chosen or pages():
        try:
            run(page, folder / name_of(page))
        except PageError as error:
            yield str(error)


def main(arguments: list[str]) -> int:
    """Run the pages that are named, or all."""
    with tempfile.TemporaryDirectory() as folder:
        wrong = list(run_all(Path(folder), [Path(name).resolve() for name in arguments]))
    print(*wrong, sep="\n\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
