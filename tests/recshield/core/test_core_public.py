"""What plugins build on: names and signatures that change only with notice (docs/plugins.md)."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

import recshield.core

PAGE = (Path(__file__).resolve().parents[3] / "docs/plugins.md").read_text(encoding="utf-8")

#: Module -> name -> signature, or its methods' ones.
SIGNATURES = {
    "recshield.core": {
        "Attack.perturb": "(self, victim, budget, rng)",
        "BadData.at": "(path, line, wrong, allowed)",
        "Batch": "(users, positives, negatives)",
        "Batch.to": "(self, device)",
        "Budget": "(norm, eps)",
        "Defense.objective": "(self, base, target)",
        "Defense.prepare": "(self, data, rng)",
        "Defense.serve": "(self, model)",
        "Factored": "(data, config, rng)",
        "Factored.products": "(self, view=)",
        "Goal": "(kind=, oracle=)",
        "InnerProducts": "(vectors, items)",
        "Objective": "()",
        "Recommender": "(data, config, rng)",
        "Recommender.batches": "(self, data, rng)",
        "Recommender.blocks": "(self)",
        "Recommender.categories": "(self, items, view=)",
        "Recommender.fit": "(self, data, objective, rng, epochs=)",
        "Recommender.goal_batches": "(self, train, data_seed)",
        "Recommender.gradient": "(self, batch, view, loss)",
        "Recommender.add_gradient": "(self, batch, view, loss, into, scale)",
        "Recommender.loss": "(self, batch, view=)",
        "Recommender.lower": "(self, view)",
        "Recommender.margins": "(self, batch, view=)",
        "Recommender.penalty": "(self, batch)",
        "Recommender.rows": "(self, batch)",
        "Recommender.score": "(self, users, view=)",
        "Recommender.scoring": "(self, view=)",
        "Recommender.values": "(self, surface)",
        "Surface": "(name, shape, default, norm_dims=, bounds=, stages=)",
        "System": "(spec, model)",
        "UnknownName.among": "(kind, name, known, advice=)",
        "UnknownOption.among": "(owner, key, allowed)",
        "Victim.ascend": "(self, delta, loss=)",
        "Victim.legal": "(self, delta)",
        "Victim.rankings": "(self, users, k, delta)",
        "Victim.scores": "(self, users, delta, items=)",
        "Victim.zeros": "(self)",
        "View": "(delta=, rows=, filters=)",
        "View.read": "(self, surface, clean, rows=)",
    },
    "recshield.core.norms": {
        "ascended": "(delta, direction, size, surface, budget)",
        "fill_random": "(delta, rows, surface, budget, rng, draw)",
        "measure": "(delta, surface, norm)",
        "project": "(delta, surface, budget)",
        "random_direction": "(like, surface, norm, rng)",
        "random_inside": "(like, surface, norm, rng)",
        "steepest": "(gradient, surface, norm)",
    },
    "recshield.core.seeds": {
        "child": "(rng, *names)",
        "generator": "(seed, *names)",
        "number": "(seed, *names)",
    },
    "recshield.core.extractors": {
        "Extractor": "(size, n_categories, config, rng)",
        "Extractor.classes": "(self, pixels)",
        "Extractor.fit": "(self, images, categories, rng)",
        "Extractor.forward": "(self, pixels)",
        "Extractor.pipeline": "(self)",
    },
    "recshield.data": {
        "DataInfo": "(name, n_users, n_items, n_interactions, visual=)",
        "Dataset": "(info, train, user_ids, item_ids, categories=)",
        "HeldOut": "(users, indptr, items)",
        "Interactions": "(indptr, items, n_items, negatives=)",
        "Interactions.from_rows": "(users, items, n_users, n_items, negatives=)",
        "Interactions.of": "(self, user)",
        "Interactions.popularity": "(self)",
        "NamedData.draw": "(self, item)",
        "NamedData.generate": "(self)",
        "Reader": "(columns=)",
        "Reader.files": "(self, path)",
        "Reader.read": "(self, files)",
        "Table": "(users, items, ratings=, times=, is_test=, facts=, user_ids=, item_ids=, is_ordered=)",
    },
    "recshield.evaluation": {
        "Metric.overall": "(self, ranks, k)",
        "Metric.per_user": "(self, ranks, k)",
    },
    "recshield.training.objectives": {
        "Adversarial": "(base, target, budget, weight, steps=, is_random=, is_alone=, schedule=, epochs=)",
        "ModelLoss": "()",
    },
    "recshield.training.loop": {"train": "(model, data, objective, optimizer, rng, epochs)"},
    "recshield.training.draws": {"epoch_triplets": "(train, seed, epoch)"},
}
#: Names of `recshield.core` without a signature of interest: flags, errors, a marker, a value.
PLAIN = {
    "Access", "Attack", "BadData", "BadSpec", "BadValue", "CLEAN", "Defense", "Delta", "RecshieldError", "Stage",
    "UnknownName", "UnknownOption", "Victim", "hookimpl",
}  # fmt: skip
ROWS = [(module, name, wanted) for module, held in SIGNATURES.items() for name, wanted in held.items()]


def signature(module: str, name: str) -> str:
    """Return the names of the arguments, `=` behind those with a default."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    shown = []
    for one in inspect.signature(found).parameters.values():
        star = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        shown.append(f"{star}{one.name}{'' if one.default is one.empty else '='}")
    return f"({', '.join(shown)})"


@pytest.mark.parametrize(("module", "name", "wanted"), ROWS, ids=[f"{row[0]}.{row[1]}" for row in ROWS])
def test_a_public_signature_is_as_promised(module, name, wanted):
    assert signature(module, name) == wanted


def test_the_public_names_of_core_are_those_listed():
    assert set(recshield.core.__all__) == PLAIN | {name for name in SIGNATURES["recshield.core"] if "." not in name}
    assert all(getattr(recshield.core, name) is not None for name in recshield.core.__all__)


def test_every_method_of_an_interface_is_promised_or_has_an_underscore():
    from recshield.core import Attack, Defense, Recommender, Victim

    for made in (Attack, Defense, Recommender, Victim):
        own = {name for name, held in vars(made).items() if inspect.isfunction(held) and not name.startswith("_")}
        promised = {name.split(".")[1] for name in SIGNATURES["recshield.core"] if name.startswith(f"{made.__name__}.")}
        assert own == promised, made


def test_the_flags_of_access_and_stage_are_as_promised():
    from recshield.core import Access, Stage

    assert [one.name for one in Access] == ["DATA", "RANKINGS", "SCORES", "GRADIENTS"]
    assert {one.name: one.value for one in Stage} == {"FIT": "fit", "SERVE": "serve"}


def test_the_page_names_every_public_name():
    for module, held in SIGNATURES.items():
        for name in {one.split(".")[0] for one in held}:
            assert f"`{name}`" in PAGE or f".{name}`" in PAGE, f"{module}.{name} is not on docs/plugins.md"
    for name in recshield.core.__all__:
        assert f"`{name}`" in PAGE, name
