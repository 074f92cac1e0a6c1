"""Find plugins through entry points, and look names up."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from recshield.core import hookspecs
from recshield.core.errors import PluginFailed, UnknownName
from recshield.core.settings import PLUGIN_GROUP

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
        sources: (kind, name) -> plugin.
        failed: entry point -> why it could not be loaded; the rest works.
    """

    found: dict[str, dict[str, type[Any]]] = field(default_factory=lambda: {kind: {} for kind in HOOKS})
    aliases: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in HOOKS})
    presets: dict[str, str] = field(default_factory=dict)
    sources: dict[tuple[str, str], Source] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, aliases included, sorted."""
        return sorted([*self.found[kind], *self.aliases[kind]])

    def get(self, kind: str, name: str) -> type[Any]:
        """Return the class called `name`, or raise UnknownName with a suggestion."""
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
        manager.check_pending()
        offered = [
            (kind, made)
            for kind, hook in HOOKS.items()
            for returned in getattr(manager.hook, hook)()
            for made in returned
        ]
        named = {name: spec for held in manager.hook.recshield_presets() for name, spec in held.items()}
        taken = sorted(name for name in named if name in self.presets or name in self.names("model"))
        if taken:
            raise PluginFailed(
                f"preset '{taken[0]}' of '{source.entry_point}' is already a preset or a model; rename it"
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
                    holder = self.sources[kind, self.aliases[kind].get(name, name)]
                    raise PluginFailed(
                        f"{kind} '{name}' is offered by both '{holder.entry_point}' and '{source.entry_point}'; "
                        "uninstall one of them"
                    )
        for kind, made in offered:
            self.found[kind][made.name] = made
            self.sources[kind, made.name] = source
            for alias in getattr(made, "aliases", ()):
                self.aliases[kind][alias] = made.name
        for name, spec in named.items():
            self.presets[name] = spec


def _source(point: EntryPoint) -> Source:
    made = point.dist
    return Source(point.name, point.value, made.name if made else "?", made.version if made else "?")


def load(points: list[EntryPoint]) -> Registry:
    """Return a registry of the given entry points; one that fails is named in `failed`, the rest works."""
    registry = Registry()
    for point in points:
        try:
            registry.add(point.load(), _source(point))
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything at import
            registry.failed[point.name] = f"{point.value}: {type(error).__name__}: {error}"
    return registry


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    # First-party plugins load first, so that a name clash is reported against the stranger.
    is_stranger = not (point.dist and point.dist.name == "recshield")
    return (is_stranger, point.name, point.value)


@functools.cache
def registry() -> Registry:
    """Return the registry of everything installed; loaded once per process."""
    return load(sorted(entry_points(group=PLUGIN_GROUP), key=_order))
