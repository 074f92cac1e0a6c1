"""Combinations that cannot be, and why; decided before anything trains."""

from __future__ import annotations

from collections.abc import Iterator

from recshield.core.interfaces import Defense
from recshield.core.registry import registry
from recshield.core.surfaces import covers
from recshield.data.catalogue import DataSource
from recshield.data.visual import FEATURES, IMAGES
from recshield.matrix.request import Request
from recshield.matrix.systems import Part, ResolvedSystem, is_fitted


def why_impossible(system: ResolvedSystem) -> str:
    """Return why a system cannot be, or ""."""
    exposed = (*system.recommender().exposes, *system.recommender().exposes_in_training)
    for defense in system.defenses:
        needs_surface = defense.plugin().default_target or defense.option("eps") is not None
        if needs_surface and not any(covers(defense.target, surface) for surface in exposed):
            have = ", ".join(exposed) or "none"
            wanted = f"'{defense.target}'" if defense.target else "any"
            model = system.model.name
            return f"defense '{defense.name}' needs a surface and model '{model}' has not {wanted} (it has: {have})"
    return ""


def why_untouchable(system: ResolvedSystem, target: str) -> str:
    """Return why a system cannot be attacked on a target, or ""."""
    exposed = system.recommender().exposes
    if not exposed:
        return f"model '{system.model.name}' has no surface that can be touched"
    if not any(covers(target, surface) for surface in exposed):
        if any(covers(target, surface) for surface in system.recommender().exposes_in_training):
            return f"'{target}' of model '{system.model.name}' exists in training only; attack: {', '.join(exposed)}"
        return f"model '{system.model.name}' has no surface '{target}'; it has: {', '.join(exposed)}"
    return ""


def with_stages(request: Request) -> Iterator[tuple[Part, str]]:
    """Yield each attack with each stage at which it acts."""
    for attack in request.attacks:
        for stage in (attack.stage,) if attack.stage else request.stages:
            yield attack, stage


def why_not_at(stage: str, system: ResolvedSystem, target: str) -> str:
    """Return why a system cannot be attacked on a target at a stage, or ""."""
    if stage == "serve":
        return ""
    if target != IMAGES:
        return f"'{target}' cannot be touched before training; at stage fit an attack acts on {IMAGES}"
    if any(not is_fitted(defense) and defense.plugin().serve is not Defense.serve for defense in system.defenses):
        return "a defense that filters at serving is not attacked before training yet"
    return ""


def why_not_from(source: ResolvedSystem | None, stage: str, system: ResolvedSystem, target: str) -> str:
    """Return why an attack made on another system cannot be carried over to a system, or ""."""
    if source is None:
        return ""
    if stage == "serve" and source == system:
        return "it is the source itself: leave source= out, and the attack has all it can have"
    reason = why_impossible(source) or why_untouchable(source, target)
    return f"source '{source.name}': {reason}" if reason else ""


def is_visual(system: ResolvedSystem) -> bool:
    """Return whether a system's model reads image features."""
    return FEATURES in system.recommender().exposes


def dataset_extractor(source: DataSource) -> str:
    """Return the extractor that a named data set brings, "" for another."""
    named = registry().found["dataset"].get(source.name)
    return str(named.extractor) if named else ""


def why_blind(system: ResolvedSystem, request: Request) -> str:
    """Return why a visual model cannot be trained on a data set, or ""."""
    if is_visual(system) and request.source.images is None:
        return f"model '{system.model.name}' needs images and data set '{request.source.name}' has none; add --images"
    return ""
