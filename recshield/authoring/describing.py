"""All that is known of an installed plugin: hook, options with defaults and docs, source, version, conformance."""

from __future__ import annotations

import dataclasses
import inspect
import re
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from recshield.authoring import records
from recshield.authoring.checking import KIT_KINDS
from recshield.core import specs
from recshield.core.registry import HOOKS, registry
from recshield.report.text import safe

#: What a class says of itself beside its options, by kind: attribute -> how it is called.
_CLAIMS = {
    "model": {"exposes": "surfaces", "exposes_in_training": "surfaces of training"},
    "attack": {"access": "access", "target": "target", "projected": "projected", "members": "members"},
    "defense": {"default_target": "target", "warm_start": "warm start"},
    "metric": {"is_cut": "has a K", "is_higher_better": "higher is better", "is_accuracy": "accuracy"},
    "dataset": {"licence": "licence", "folder": "folder", "publisher": "publisher"},
    "reader": {"priority": "priority", "takes_columns": "takes --columns"},
    "check": {"number": "number", "is_required": "required"},
    "report": {"suffix": "suffix"},
}


@dataclass(frozen=True)
class Option:
    """One option of a plugin."""

    name: str
    default: str
    doc: str


@dataclass(frozen=True)
class Description:
    """What is known of a plugin.

    Attributes:
        kind: as the registry calls it.
        name: as written in requests.
        aliases: other names.
        what: the opening of its docstring.
        reference: the source that its docstring names, "" where it names none.
        origin: distribution with version, entry point, module and hook.
        claims: what the class declares.
        options: in the order of their fields.
        conformance: what the kit found last, in words.
    """

    kind: str
    name: str
    aliases: tuple[str, ...]
    what: str
    reference: str
    origin: str
    claims: dict[str, str]
    options: tuple[Option, ...]
    conformance: str


def option_docs(kind: type[Any]) -> dict[str, str]:
    """Return option -> what stands behind it under `Attributes:` in the docstrings of a dataclass and its bases."""
    found: dict[str, str] = {}
    for one in reversed([base for base in kind.__mro__ if dataclasses.is_dataclass(base)]):
        text = inspect.cleandoc(one.__doc__ or "").partition("Attributes:")[2]
        for names, told in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {5,}.*)*)", text, re.MULTILINE):
            doc = " ".join(told.split())
            found |= dict.fromkeys(re.split(r",\s*|\s+and\s+", names.strip()), doc)
    return found


def _options(made: type[Any]) -> tuple[Option, ...]:
    owner = getattr(made, "config_type", made)
    if not dataclasses.is_dataclass(owner):
        return ()
    docs = option_docs(owner)
    return tuple(Option(name, default, docs.get(name, "")) for name, default in specs.option_defaults(owner).items())


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(getattr(value, "name", value) or "")


def _conformance(kind: str, name: str, module: str) -> str:
    kit = KIT_KINDS.get(kind, kind)
    held = records.recorded(kit, name, module)
    if held is None:
        return f"not checked yet; `recshield plugin check {name}`"
    skipped = f", {held.n_skipped} do not apply" if held.n_skipped else ""
    return f"{held.n_passed} of {held.n_applied} checks passed{skipped}"


def describe() -> list[Description]:
    """Return everything that is installed, by kind and name."""
    held, found = registry(), []
    for kind, hook in HOOKS.items():
        for name, made in sorted(held.found[kind].items()):
            source = held.sources[kind, name]
            text = inspect.cleandoc(made.__doc__ or "")
            reference = re.search(r"^Source: (.*(?:\n(?!\n).*)*)", text, re.MULTILINE)
            claims = {word: _shown(getattr(made, attribute, "")) for attribute, word in _CLAIMS.get(kind, {}).items()}
            origin = (
                f"{source.distribution} {source.version}, entry point {source.entry_point}, {source.module}, {hook}"
            )
            found.append(
                Description(
                    kind,
                    name,
                    tuple(getattr(made, "aliases", ())),
                    " ".join(text.split("\n\n")[0].split()),
                    " ".join(reference[1].split()) if reference else "",
                    origin,
                    {word: value for word, value in claims.items() if value},
                    _options(made),
                    _conformance(kind, name, source.module),
                )
            )
    return found


def show(console: Console, found: list[Description]) -> None:
    """Print everything about each plugin."""
    for one in found:
        console.print(safe(f"{one.kind} {one.name}", "bold cyan"))
        rows = {"what": one.what, "aliases": ", ".join(one.aliases), **one.claims, "source": one.reference}
        rows |= {"from": one.origin, "conformance": one.conformance}
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for key, value in rows.items():
            if value:
                table.add_row(safe(f"  {key}", "dim"), safe(value))
        console.print(table)
        if one.options:
            options = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
            for title in ("  option", "default", "meaning"):
                options.add_column(title, overflow="fold", header_style="dim")
            for option in one.options:
                options.add_row(safe(f"  {option.name}"), safe(option.default), safe(option.doc))
            console.print(options)
        console.print()


def as_rows(found: list[Description]) -> list[dict[str, Any]]:
    """Return the descriptions as JSON values."""
    return [dataclasses.asdict(one) for one in found]
