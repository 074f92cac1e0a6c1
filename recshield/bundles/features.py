"""Stored weights of extractors in place of their training; features are extracted again from the images here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from recshield.bundles.about import About, extraction_of
from recshield.bundles.comparing import Finding
from recshield.core.errors import BadData, BadValue
from recshield.matrix.loading import Context
from recshield.matrix.plan import Step
from recshield.matrix.visuals import features_of_weights
from recshield.run import Prepared


def take_over_features(prepared: Prepared, about: About, folder: Path) -> list[Finding]:
    """Put features into the store in place of the steps that train an extractor; return what was found on the way."""
    held = {one.identity: one for one in about.extracted}
    found = []
    for step in [step for step in prepared.plan.steps.values() if step.kind == "features"]:
        one = held.get(extraction_of(prepared.plan, step))
        if one is None:
            return [Finding(False, f"the weights of '{step.label}' are not in the bundle")]
        if prepared.store.need(step.spec["images"]).facts["hash"] != one.images:
            return [Finding(False, "the images here are not those of the run")]
        facts = _put(prepared, step, folder / one.file, one.facts)
        if facts["hash"] != one.pipeline:
            return [Finding(False, f"{one.file}: the extractor's pipeline is not the one that the run used")]
        found.append(Finding(True, f"features: extracted again from the same images with {one.file}"))
    return found


def _put(prepared: Prepared, step: Step, weights: Path, told: dict[str, Any]) -> dict[str, Any]:
    request = prepared.plan.request
    context = Context(request.device, request.threads)

    def compute(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            state = load_file(weights)
            found = features_of_weights(step.spec, state, told, prepared.store, context, folder)
        except (OSError, SafetensorError, BadValue) as error:
            raise BadData.at(weights.name, None, str(error), "bundle the run again") from None
        return found, {"kind": "features", "seconds": 0.0}

    prepared.store.put(step.key, compute)
    return prepared.store.need(step.key).facts
