"""Find plugins through entry points, and look names up."""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import pluggy

from recshield.core import hookspecs
from recshield.core.errors import PluginFailed, UnknownName, raised
from recshield.core.settings import PLUGIN_GROUP

#: Environment variable: entry points or distributions, separated by commas; only these are loaded.
PLUGINS_VARIABLE = "RECSHIELD_PLUGINS"

#: Kind of thing -> the hook that returns it.
HOOKS = {
    "model": "recshield_recommenders",
    "attack": "recshield_attacks",
    "defense": "recshield_defenses",
    "metric": "recshield_metrics",
    "dataset": "recshield_datasets",
    "reader": "recshield_readers",
    "extractor": "recshield_extractors",
    "executor": "recshield_executors",
    "check": "recshield_checks",
    "report": "recshield_reports",
}


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from."""

    entry_point: str
    module: str
    distribution: str
    version: str


@dataclass
class Registry:
    """Everything the installed plugins offer, by kind and name.

    Attributes:
        found: kind -> name -> class.
        presets: preset name -> system specification.
        sources: (kind, name) -> plugin; the kind of a preset is `preset`.
        failed: entry point -> why it could not be loaded; the rest works.
        owners: entry point that could not be loaded -> its distribution.
        empty: entry point -> plugin that offers nothing.
        contested: (kind, name) -> which two third parties offer it; asking for it is an error.
    """

    found: dict[str, dict[str, type[Any]]] = field(default_factory=lambda: {kind: {} for kind in HOOKS})
    aliases: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in HOOKS})
    presets: dict[str, str] = field(default_factory=dict)
    sources: dict[tuple[str, str], Source] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    empty: dict[str, Source] = field(default_factory=dict)
    contested: dict[tuple[str, str], str] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, aliases included, sorted."""
        return sorted([*self.found[kind], *self.aliases[kind]])

    def get(self, kind: str, name: str) -> type[Any]:
        """Return the class called `name`.

        Raises:
            UnknownName: no plugin offers it; with a suggestion.
            PluginFailed: two third parties offer it.
        """
        if (kind, name) in self.contested:
            raise PluginFailed(self.contested[kind, name])
        true_name = self.aliases[kind].get(name, name)
        if true_name not in self.found[kind]:
            advice = "see `recshield plugins`"
            if self.failed:
                advice += "; not loaded: " + ", ".join(sorted(self.failed))
            known = self.names(kind) + (sorted(self.presets) if kind == "model" else [])
            raise UnknownName.among(kind, name, known, advice)
        return self.found[kind][true_name]

    def add(self, plugin: object, source: Source) -> None:
        """Take over what one plugin's hooks return, all of it or nothing.

        Raises:
            PluginFailed: a name is already taken.
        """
        manager = pluggy.PluginManager(PLUGIN_GROUP)
        manager.add_hookspecs(hookspecs)
        manager.register(plugin)
        try:
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginFailed(_misspelt(str(error))) from None
        offered = [(kind, made) for kind, hook in HOOKS.items() for made in _returned(manager, hook)]
        named = {name: spec for held in manager.hook.recshield_presets() for name, spec in held.items()}
        if not offered and not named:
            self.empty[source.entry_point] = source
        taken = sorted(name for name in named if name in self.presets or name in self.names("model"))
        if taken:
            is_preset, true_name = taken[0] in self.presets, self.aliases["model"].get(taken[0], taken[0])
            held = self.sources["preset" if is_preset else "model", true_name].entry_point
            raise PluginFailed(
                f"preset '{taken[0]}' of '{source.entry_point}' is already a preset or a model of '{held}'; rename it"
            )
        own: set[tuple[str, str]] = set()
        for kind, made in offered:
            for name in (made.name, *getattr(made, "aliases", ())):
                if (kind, name) in own or (kind == "model" and (name in self.presets or name in named)):
                    raise PluginFailed(
                        f"'{source.entry_point}' offers {kind} '{name}' twice, or it is a preset; rename it"
                    )
                own.add((kind, name))
                if name in self.names(kind):
                    raise PluginFailed(self._contest(kind, name, source))
        for kind, made in offered:
            self.found[kind][made.name] = made
            self.sources[kind, made.name] = source
            for alias in getattr(made, "aliases", ()):
                self.aliases[kind][alias] = made.name
        for name, spec in named.items():
            self.presets[name] = spec
            self.sources["preset", name] = source

    def _contest(self, kind: str, name: str, source: Source) -> str:
        """Say who offers a name twice; what recshield brings itself keeps its name, a third party's is refused."""
        holder = self.sources[kind, self.aliases[kind].get(name, name)]
        sentence = (
            f"{kind} '{name}' is offered by both '{holder.entry_point}' and '{source.entry_point}'; "
            f"uninstall one of them, or name those to load in {PLUGINS_VARIABLE}"
        )
        if holder.distribution != _OWN:
            self.contested[kind, name] = sentence
        return sentence


def _returned(manager: pluggy.PluginManager, hook: str) -> list[Any]:
    """Return the classes that a plugin's hook returns."""
    found: list[Any] = []
    for returned in getattr(manager.hook, hook)():
        if not isinstance(returned, list | tuple):
            raise PluginFailed(f"{hook}() returns {returned!r}; it returns a list of classes")
        found += returned
    return found


def _misspelt(said: str) -> str:
    """Return what is wrong with a hook that recshield does not know."""
    name = re.search(r"'(\w+)'", said)
    close = difflib.get_close_matches(name[1], [*HOOKS.values(), "recshield_presets"], n=1) if name else []
    guess = f"; did you mean {close[0]}()?" if close else ""
    return f"recshield has no hook {name[1] if name else said}(){guess}"


#: The distribution whose plugins are recshield's own.
_OWN = "recshield"


def _source(point: EntryPoint) -> Source:
    made = point.dist
    return Source(point.name, point.value, made.name if made else "?", made.version if made else "?")


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


def unmet(requirements: Iterable[str], present: str) -> str:
    """Return the requirement of recshield that a version does not meet, "" where it meets all.

    Args:
        requirements: as distributions declare them (`Requires-Dist`): `recshield>=0.1,<1`.
        present: the version of recshield.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue  # of another distribution's making; pip has the say on it
        is_asked = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if wanted.name.lower() == _OWN and is_asked and not wanted.specifier.contains(present, prereleases=True):
            return f"{_OWN}{wanted.specifier}"
    return ""


def _refuse_other_versions(point: EntryPoint) -> None:
    """Raise PluginFailed, before anything is imported, where a plugin was made for another recshield."""
    if point.dist is None or point.dist.name == _OWN:
        return
    present = version(_OWN)
    wanted = unmet(point.dist.requires or (), present)
    if wanted:
        raise PluginFailed(
            f"{point.dist.name} {point.dist.version} was made for {wanted}, and this is recshield {present}; "
            f"install a version of recshield that it allows, or another version of {point.dist.name}"
        )


def load(points: list[EntryPoint]) -> Registry:
    """Return a registry of the given entry points; one that fails is named in `failed`, the rest works."""
    registry = Registry()
    seen: dict[str, EntryPoint] = {}
    for point in points:
        label = point.name if point.name not in seen else f"{point.name} of {_distribution(point)}"
        try:
            if point.name in seen:
                held = _distribution(seen[point.name])
                raise PluginFailed(
                    f"entry point '{point.name}' is offered by both {held} and {_distribution(point)}; uninstall one "
                    "of them"
                )
            seen[point.name] = point
            _refuse_other_versions(point)
            registry.add(point.load(), _source(point))
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything at import
            registry.owners[label] = _distribution(point)
            registry.failed[label] = f"{point.value}: {raised(error)}"
    return registry


def chosen(points: list[EntryPoint]) -> list[EntryPoint]:
    """Return the entry points that RECSHIELD_PLUGINS names; all of them where it is unset or empty.

    Raises:
        UnknownName: it names none that is installed.
    """
    names = {name.strip() for name in os.environ.get(PLUGINS_VARIABLE, "").split(",")} - {""}
    known = {name for point in points for name in (point.name, _distribution(point))} - {"?"}
    for name in sorted(names - known):
        advice = f"{PLUGINS_VARIABLE} takes entry points or distributions, separated by commas"
        raise UnknownName.among("plugin", name, known, advice)
    return [point for point in points if not names or names & {point.name, _distribution(point)}]


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    # First-party plugins load first, so that a name clash is reported against the stranger.
    return (_distribution(point) != _OWN, point.name, point.value)


@functools.cache
def registry() -> Registry:
    """Return the registry of everything installed that RECSHIELD_PLUGINS allows; loaded once per process."""
    return load(chosen(sorted(entry_points(group=PLUGIN_GROUP), key=_order)))
