"""Checks of what any plugin says about itself: its name, its docstring, the source it follows."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

from recshield.core import specs
from recshield.core.errors import RecshieldError
from recshield.testing.failures import need

#: What counts as a source: a line that says so, or a citation.
_SOURCE = re.compile(r"Source:\s*\S|arXiv|doi\.org|https?://|et al\.|\b(19|20)\d\d\b|\bpapers?\b")
#: Interface -> how a message names what implements it.
_KINDS = {
    "Recommender": "model",
    "Attack": "attack",
    "Defense": "defense",
    "Metric": "metric",
    "NamedData": "data set",
    "Reader": "reader",
    "Extractor": "extractor",
    "Executor": "executor",
    "Check": "check",
    "ReportFormat": "report format",
}


def subject_class(subject: Any) -> type[Any]:
    """Return the class of a plugin that is given as itself or as an instance."""
    return subject if isinstance(subject, type) else type(subject)


def said(subject: Any) -> str:
    """Return how a message names a plugin: the kind of its interface and its name."""
    kind = subject_class(subject)
    word = next((_KINDS[base.__name__] for base in kind.__mro__ if base.__name__ in _KINDS), "plugin")
    return f"{word} '{getattr(kind, 'name', kind.__name__)}'"


def _options(subject: Any) -> list[type[Any]]:
    """Return the dataclass that holds a plugin's options, and those it inherits from; empty without options."""
    kind = subject_class(subject)
    owner = getattr(kind, "config_type", kind)
    return [one for one in owner.__mro__ if dataclasses.is_dataclass(one)]


def check_name_can_be_written(subject: Any) -> None:
    """The name and the aliases stand in a specification as they are.

    Prevents: a plugin that is installed and listed, and that nobody can ask for.
    """
    kind = subject_class(subject)
    for name in (kind.name, *getattr(kind, "aliases", ())):
        try:
            reads_back = specs.parse(str(name)) == specs.Spec(name)
        except RecshieldError:
            reads_back = False
        need(
            reads_back and "+" not in str(name),
            f"{said(subject)}: the name {name!r} cannot be written in a request; use letters, digits, '-', '_' "
            "and '.', a letter first",
        )


def check_docstring_is_complete(subject: Any) -> None:
    """The class says in a sentence what it is, and every option stands under `Attributes:`.

    Prevents: an option whose unit or meaning has to be guessed.
    """
    kind = subject_class(subject)
    text = inspect.cleandoc(kind.__doc__ or "")
    is_made = text.startswith(f"{kind.__name__}(")  # what a dataclass writes where its author wrote nothing
    need(
        bool(text) and not is_made and text.split("\n\n")[0].endswith((".", "?", ":", ")")),
        f"{said(subject)}: {kind.__name__} has no docstring that opens with a sentence; say what it is",
    )
    owners = _options(subject)
    told = "\n".join(inspect.cleandoc(one.__doc__ or "") for one in owners)
    listed = set(re.findall(r"^\s+([\w, ]+):", told, re.MULTILINE))
    named = {word for line in listed for word in re.split(r",\s*|\s+and\s+", line.strip())}
    fields = [spot.name for spot in dataclasses.fields(owners[0]) if spot.init] if owners else []
    silent = [name for name in fields if name not in named]
    need(
        not silent,
        f"{said(subject)}: option {', '.join(map(repr, silent))} is not described; write 'NAME: what it is' "
        f"under 'Attributes:' in the docstring of {', '.join(one.__name__ for one in owners[:1])}",
    )


def check_docstring_names_its_source(subject: Any) -> None:
    """The docstring says where the method comes from: a paper with its equation, or `Source: own`.

    Prevents: a figure under a paper's name for something that the paper does not say.
    """
    kind = subject_class(subject)
    need(
        bool(_SOURCE.search(inspect.cleandoc(kind.__doc__ or ""))),
        f"{said(subject)}: the docstring of {kind.__name__} names no source; end it with a line 'Source: AUTHORS YEAR, "
        "arXiv:..., Eq. N', or 'Source: own'",
    )


def check_description_is_one_line(subject: Any) -> None:
    """`description` is one line of text, as tables and `recshield plugins` print it."""
    text = getattr(subject_class(subject), "description", None)
    need(
        isinstance(text, str) and bool(text.strip()) and "\n" not in text,
        f"{said(subject)}: description is {text!r}; write one line that says what it is",
    )


#: Checks of what a method says about itself: of models, attacks and defenses.
METHOD_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_name_can_be_written,
    check_docstring_is_complete,
    check_docstring_names_its_source,
)
