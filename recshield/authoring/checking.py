"""Find what an installed package, entry point or name offers, and run the conformance kit on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recshield.authoring import records
from recshield.core import specs
from recshield.core.errors import BadSpec, PluginFailed, UnknownName, UnknownOption
from recshield.core.interfaces import System
from recshield.core.registry import HOOKS, Source, registry
from recshield.testing import CheckOutcome, reference_system
from recshield.testing.kit import CHECKS, each_outcome

#: Kind in the registry -> kind of the kit, where the two differ.
KIT_KINDS = {"model": "recommender"}


@dataclass(frozen=True)
class Subject:
    """One plugin to be checked, or the module behind an entry point.

    Attributes:
        kind: of the kit.
        name: of the plugin; of a module its own.
        source: where it comes from.
        options: as written: `(("steps", "3"),)`; empty = the defaults.
    """

    kind: str
    name: str
    source: Source
    options: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """How it is printed."""
        return f"{self.kind} {specs.Spec(self.name, '', self.options)}"


@dataclass(frozen=True)
class Conformance:
    """What the kit found on one subject."""

    subject: Subject
    outcomes: tuple[CheckOutcome, ...]

    @property
    def passed(self) -> bool:
        """Whether no guarantee is broken."""
        return all(one.passed for one in self.outcomes)


def find(what: str) -> list[Subject]:
    """Return what a package, an entry point or a name offers: of the first two the module and everything in it.

    Raises:
        PluginFailed: it is installed and could not be loaded.
        UnknownName: nothing is called so.
    """
    held = registry()
    named = [source for source in held.sources.values() if what in (source.distribution, source.entry_point)]
    if named:
        modules = dict.fromkeys(Subject("module", one.module, one) for one in named)
        things = [
            Subject(KIT_KINDS.get(kind, kind), name, source)
            for (kind, name), source in held.sources.items()
            if source in named and kind in HOOKS
        ]
        return [*modules, *things]
    for point, reason in held.failed.items():
        if what in (point, held.owners.get(point)):
            raise PluginFailed(f"plugin '{point}' could not be loaded, so it cannot be checked: {reason}")
    for point, source in held.empty.items():
        if what in (point, source.distribution):
            raise PluginFailed(
                f"plugin '{point}' of {source.distribution} is installed and offers nothing; put @hookimpl above each "
                f"hook in {source.module}"
            )
    try:
        spec = specs.parse(what)
    except BadSpec:
        spec = specs.Spec(what)
    true_names = {kind: held.aliases[kind].get(spec.name, spec.name) for kind in HOOKS}
    kinds = [kind for kind, name in true_names.items() if name in held.found[kind]]
    if not kinds:
        offered = {name for kind in HOOKS for name in held.names(kind)}
        known = offered | {name for one in held.sources.values() for name in (one.distribution, one.entry_point)}
        advice = "`recshield plugin check` takes an installed package, an entry point or a plugin's name"
        close = UnknownName.among("plugin", what, known, "").args[0].split(" installed:")[0]
        raise UnknownName(f"{close} {advice}; see `recshield plugins`")
    return [
        Subject(KIT_KINDS.get(kind, kind), true_names[kind], held.sources[kind, true_names[kind]], spec.options)
        for kind in kinds
    ]


def _made(subject: Subject) -> tuple[Any, Any]:
    """Return what the kit is given: the thing itself, and its configuration.

    A field of type System is filled with the kit's reference system.
    """
    if subject.kind == "module":
        return subject.name, None
    registered = {kit: kind for kind, kit in KIT_KINDS.items()}.get(subject.kind, subject.kind)
    kind = registry().get(registered, subject.name)
    if subject.kind in ("attack", "defense"):
        return _instance(kind, subject), None
    if subject.kind in ("recommender", "extractor"):
        return kind, _instance(kind.config_type, subject)
    if subject.options:
        raise UnknownOption.among(f"{subject.kind} '{subject.name}'", subject.options[0][0], {})
    return kind, None


def _instance(kind: type[Any], subject: Subject) -> Any:
    owner = f"{subject.kind} '{subject.name}'"
    try:
        wanted = [name for name, held in specs.option_types(kind).items() if held is System]
    except TypeError:
        return kind()  # no dataclass: the kit says so
    given = tuple((name, value) for name, value in subject.options if name not in wanted)
    systems = dict.fromkeys(wanted, "two-tables")
    texts = specs.build(kind, owner, given, systems)
    loaded = {name: reference_system() for name in wanted}
    return kind(**{name: getattr(texts, name) for name in specs.option_types(kind)} | loaded)


def each(subject: Subject) -> Iterator[CheckOutcome]:
    """Yield what each check finds as soon as it is known."""
    made, config = _made(subject)
    yield from each_outcome(subject.kind, made, config)


def n_checks(subject: Subject) -> int:
    """Return how many checks there are for a subject."""
    return len(CHECKS[subject.kind])


def concluded(subject: Subject, outcomes: list[CheckOutcome]) -> Conformance:
    """Return what was found, and note it for `recshield plugins --verbose` where the defaults were checked."""
    found = Conformance(subject, tuple(outcomes))
    if not subject.options:
        n_applied = sum(one.applies for one in outcomes)
        n_passed = sum(one.applies and one.passed for one in outcomes)
        records.note(subject.kind, subject.name, subject.source.module, n_passed, n_applied, len(outcomes) - n_applied)
    return found


def run(subject: Subject) -> Conformance:
    """Return what the kit finds on a subject."""
    return concluded(subject, list(each(subject)))
