"""What docs/reference shows says of each parameter what it is, what is returned, and what is raised."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, get_type_hints

import pytest

import nanonet
from nanonet import Layer, Loss, Sequential, Trainer
from nanonet.training.described import described_by, entries, names_of, sections
from tests import ROOT

REFERENCE = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs" / "reference").glob("*.md")))
SHOWN = re.compile(r"^\.\. auto(?:class|function|decorator):: ([\w.]+)\n((?:   .*\n)*)", re.MULTILINE)
MEMBERS = re.compile(r":(?:special-)?members:((?:.*\n)(?:      .*\n)*)")
EVERY = "Parameters of each method"  # a section of a class whose methods all take the same


def found(name: str) -> Any:
    """Return the object that a page of the reference names."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module or "nanonet"), attribute)


def shown() -> Iterator[tuple[str, Callable[..., Any], list[str]]]:
    """Yield each function, class and method of the reference by name, with the docstrings that may describe it."""
    for name, options in SHOWN.findall(REFERENCE):
        thing = found(name)
        if not inspect.isclass(thing):
            yield name, thing, [thing.__doc__ or ""]
            continue
        yield name, thing, [cls.__doc__ or "" for cls in (thing, *named_in(thing))]
        for member in re.findall(r"\w+", " ".join(MEMBERS.findall(options))):
            owners = [vars(owner)[member] for owner in thing.__mro__ if member in vars(owner)]
            methods = [getattr(method, "__func__", getattr(method, "fn", method)) for method in owners]
            if inspect.isfunction(methods[0]):
                shared = sections(thing.__doc__ or "").get(EVERY, "")
                yield (
                    f"{name}.{member}",
                    methods[0],
                    [f"Parameters\n---\n{shared}", *(m.__doc__ or "" for m in methods)],
                )


def named_in(cls: type) -> list[type]:
    """Return the classes that a docstring names: those that take the rest of its parameters."""
    names = [name.rpartition(".")[2] for name in re.findall(r":class:`([\w.]+)`", cls.__doc__ or "")]
    known = {base.__name__: base for base in cls.__mro__} | vars(nanonet) | vars(import_module(cls.__module__))
    return [known[name] for name in names if inspect.isclass(known.get(name))]


def parameters(thing: Callable[..., Any]) -> set[str]:
    """Return the names of what it takes; those of a TypedDict in the place of ``**settings: Unpack[Settings]``."""
    function = thing.__init__ if inspect.isclass(thing) else thing
    if not inspect.isfunction(function) or function.__module__ == "typing":  # of object, or of a Protocol
        return set()
    names = set(inspect.signature(function).parameters) - {"self", "nothing"}
    hint = str(getattr(function, "__annotations__", {}).get("settings", ""))
    if hint.startswith("Unpack["):
        names = names - {"settings"} | set(get_type_hints(vars(inspect.getmodule(function))[hint[7:-1]]))
    return names


def raises(function: Callable[..., Any]) -> bool:
    """Tell whether a function has a statement that raises: a new error, and not one that it was given."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    return any(isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) for node in ast.walk(tree))


@pytest.mark.parametrize(("thing", "docstrings"), [pytest.param(*rest, id=name) for name, *rest in shown()])
def test_what_the_reference_shows_describes_all_that_it_takes_returns_and_raises(
    thing: Callable[..., Any], docstrings: list[str]
) -> None:
    described = [sections(docstring) for docstring in docstrings]
    told = [each.get(title, "") for each in described for title in ("Parameters", "Attributes")]
    names = {name for section in told for entry in entries(section) for name in names_of(entry)}
    assert parameters(thing) - names == set()
    if not inspect.isclass(thing):
        titles = {title for each in described for title in each}
        returned = inspect.signature(thing).return_annotation
        nothing = returned in (None, "None", "NoReturn")
        assert nothing or not titles.isdisjoint({"Returns", "Yields"}), "has no section Returns"
        assert "Raises" in titles or not raises(thing), "has no section Raises"


def test_no_property_begins_with_what_sphinx_takes_for_its_type() -> None:
    """Of "Whether it runs: by default" it would make a type "Whether it runs"."""
    first = {
        f"{cls}.{name}": (value.__doc__ or "").partition("\n")[0]
        for cls, _ in SHOWN.findall(REFERENCE)
        if inspect.isclass(found(cls))
        for name, value in vars(found(cls)).items()
        if isinstance(value, property) and not name.startswith("_")
    }
    assert [name for name, line in first.items() if re.search(r":\s", line)] == []


def test_the_reference_shows_much() -> None:
    names = [name for name, *_ in shown()]
    assert len(names) > 200
    assert {"Sequential", "Sequential.fit", "Call.__call__", "Loss.function"} <= {
        name.removeprefix("nanonet.layers.composite.") for name in names
    }


def test_fit_of_a_model_describes_what_it_hands_to_a_trainer_in_the_same_words() -> None:
    own, theirs = (sections(method.__doc__ or "") for method in (Sequential.fit, Trainer.fit))
    described = [name for entry in entries(own["Parameters"]) for name in names_of(entry)]
    assert described == list(inspect.signature(Sequential.fit).parameters)[1:]
    differing = set(entries(theirs["Parameters"])) - set(entries(own["Parameters"]))
    assert {name for entry in differing for name in names_of(entry)} == {"epochs", "until_epoch"}
    assert own["Returns"] == theirs["Returns"]
    assert [names_of(entry) for entry in entries(own["Raises"])] == [
        ["TypeError"],
        ["ShapeError"],
        ["ValueError"],
        ["NonFiniteError"],
    ]


def test_a_docstring_is_completed_in_the_order_of_the_arguments_and_its_own_words_count() -> None:
    def given(b: int, a: int, c: int) -> int:
        """Return the sum.

        Parameters
        ----------
        b, a : int
            Two of them.
        c : int

        Returns
        -------
        int

        Examples
        --------
        >>> 1 + 1
        2
        """
        return a + b + c

    @described_by(given)
    def handing_on(c: int, a: int, b: int, *, more: int = 0) -> int:
        """Return the sum and more.

        Parameters
        ----------
        more : int
            What is added.
        c : int
            Its own.

        Notes
        -----
        None.
        """
        return given(b, a, c) + more

    assert sections(handing_on.__doc__ or "") == {
        "": "Return the sum and more.",
        "Parameters": "c : int\n    Its own.\nb, a : int\n    Two of them.\nmore : int\n    What is added.",
        "Returns": "int",
        "Notes": "None.",
    }
    assert handing_on(1, 2, 3) == 6


def test_without_docstrings_there_is_nothing_to_complete() -> None:
    def bare(x: int) -> int:
        return x

    assert described_by(Layer, Loss)(bare).__doc__ is None
