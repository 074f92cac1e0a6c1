"""What a step does, in terms that a figure of another plan can be found by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recshield.core.registry import registry
from recshield.matrix.plan import Step

Held = Mapping[str, Any]
Steps = Mapping[str, Step]


@dataclass(frozen=True)
class StepWork:
    """A step as calls of one kind of timed work.

    Attributes:
        kind: `train`, `attack`, `rank` or `extract`.
        parts: model, defenses that act in its training, then the attack; or the extractor alone.
        calls: how often the timed call is made: epochs, or 1.
    """

    kind: str
    parts: tuple[Held, ...]
    calls: int = 1


def acting(steps: Steps, key: str) -> list[Held]:
    """Return the model and the defenses that act in a training step, the first of what is chosen from."""
    spec = steps[key].spec
    if "parts" not in spec:  # imported weights
        held: list[Held] = spec["facts"]["acting"]
        return held
    own = list(spec["parts"][0]) if steps[key].kind == "train" else list(spec["parts"])
    before = spec["base"] if steps[key].kind == "train" else next(iter(spec["bases"]), None)
    return [*acting(steps, before), *own] if before else own


def works(steps: Steps, key: str) -> list[StepWork]:
    """Return what a step does; empty where nothing of it is timed: reading data and images, imports."""
    step = steps[key]
    spec = step.spec
    if step.kind in ("train", "select"):
        parts = tuple(acting(steps, key))
        found = [StepWork("train", parts, _epochs(parts))]
        looked = spec["selection"]["every"] if step.kind == "select" else spec.get("curve", {}).get("every", 0)
        if looked:
            found.append(StepWork("rank", parts, max(_epochs(parts) // looked, 1)))
        return found
    if step.kind == "attack":
        attack = {**spec["attack"], "target": spec["target"]}
        return [StepWork("attack", (*acting(steps, spec.get("source", spec["system"])["train"]), attack))]
    if step.kind == "measure":
        return [StepWork("rank", tuple(acting(steps, spec["system"]["train"])))]
    return [StepWork("extract", (spec["extractor"],))] if step.kind == "features" else []


def _epochs(parts: tuple[Held, ...]) -> int:
    """Return how many epochs a training has: a warm-started defense's own, else the model's; 1 where it has none."""
    model, *defenses = parts
    for held in defenses:
        if registry().get("defense", held["name"]).warm_start and "epochs" in held["options"]:
            return int(held["options"]["epochs"])
    return int(model["options"].get("epochs", 1))
