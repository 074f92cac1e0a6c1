"""The attack step: make a perturbation, spend the budget on it, and note what the audit asks about it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file as save_tensors

from recshield.core import settings
from recshield.core.errors import BadValue
from recshield.core.interfaces import LOSSES, Access, Attack, Goal, Recommender, System
from recshield.core.norms import measure, project
from recshield.core.seeds import generator
from recshield.core.storage import by_rows, chunks
from recshield.core.surfaces import Budget, Delta
from recshield.data.interactions import Dataset
from recshield.data.visual import IMAGES
from recshield.matrix.budgets import Eps
from recshield.matrix.fitting import hash_all, load_system, load_systems, part_of
from recshield.matrix.loading import Context, load_data
from recshield.matrix.pipeline import path_facts
from recshield.matrix.realised import realise
from recshield.matrix.sampling import write_sample
from recshield.matrix.store import Store
from recshield.matrix.systems import make
from recshield.matrix.victims import GoalPairs, TrainedVictim, degrade_pairs, oracle_pairs

Facts = dict[str, Any]


@dataclass(frozen=True)
class _Scene:
    """What an attack step reads: data, goal, and systems, which are loaded anew where nothing may have touched them."""

    spec: Mapping[str, Any]
    store: Store
    context: Context
    data: Dataset
    pairs: GoalPairs
    access: Access

    def system(self) -> Recommender:
        """Load the system that is attacked."""
        return load_system(self.spec["system"], self.store, self.data, self.context)

    def source(self, attacked: Recommender) -> Recommender:
        """Load the system that the attack is made on, or return the one attacked."""
        if "source" not in self.spec:
            return attacked
        return load_system(self.spec["source"], self.store, self.data, self.context)

    def victim(self, model: Recommender) -> TrainedVictim:
        """Return a system as the attack sees it."""
        spec = self.spec
        goal = Goal.parse(spec["goal"])
        return TrainedVictim(model, self.data.train, self.pairs, goal, spec["target"], self.access, spec["data_seed"])


def attack(spec: Mapping[str, Any], store: Store, context: Context, folder: Path) -> Facts:
    """Do an attack step: write the perturbation into `folder`, return what was noted."""
    data, test = load_data(store.need(spec["data"]))
    others = load_systems(spec["systems"], store, data, context)
    like = others.pop("like", None) if spec["eps"][1] == "like" else None
    pairs = degrade_pairs(data.train, spec["data_seed"])
    if Goal.parse(spec["goal"]).oracle:
        pairs = oracle_pairs(data.train, test, spec["data_seed"])
    made = make(part_of(spec["attack"]), others)
    scene = _Scene(spec, store, context, data, pairs, type(made).access)
    model = scene.system()
    victim = scene.victim(model)
    norm = victim.mean_norm(spec["norm"])
    budget = Budget(spec["norm"], _eps(scene, norm, like))
    delta, facts = _made(scene, made, model, victim, budget, [other.model for other in others.values()])
    # Whatever the attack left behind must not reach the figures below: they come from a model it never held.
    model = scene.system()
    victim = scene.victim(model)
    delta, spent = _spend(victim, delta, budget, type(made).projected)
    _keep(victim, delta, spec["norm"], folder)
    if IMAGES in delta:
        facts |= realise(model, delta[IMAGES], folder)
    named = getattr(made, "loss", "")
    loss = named if named in LOSSES else ""
    # The loss that was raised is that of the system which the attack was made on.
    aimed = scene.victim(scene.source(model)) if "source" in spec else victim
    return (
        facts
        | spent
        | path_facts(model, pairs, delta, loss, victim.device)
        | {
            "eps": budget.eps,
            "mean_clean_norm": norm,
            "relative_eps": budget.eps / norm if norm else None,
            "goal_clean": aimed.value(victim.zeros(), loss),
            "goal_value": aimed.value(delta, loss),
            "n_goal_rows": sum(len(rows) for rows in victim.rows.values()),
            "is_projected": bool(type(made).projected),
            "access": [one.name for one in type(made).access],
        }
    )


def _eps(scene: _Scene, norm: float, like: System | None) -> float:
    """Return the size of the budget in raw units."""
    other = scene.victim(like.model).mean_norm(scene.spec["norm"]) if like is not None else None
    value, unit = scene.spec["eps"]
    return Eps(value, unit, like.spec if like else "").resolve(norm, other)


def _made(
    scene: _Scene,
    made: Attack,
    model: Recommender,
    victim: TrainedVictim,
    budget: Budget,
    others: list[Recommender],
) -> tuple[Delta, Facts]:
    """Let the attack perturb; return what it gives, what was seen on the way, and whether it changed a model."""
    source = scene.source(model)
    if source is not model:
        victim = _in_place_of(victim, scene.victim(source))
    touchable = [model, *([source] if source is not model else []), *others]
    before = hash_all(touchable)
    with torch.no_grad():
        delta = made.perturb(victim, budget, generator(scene.spec["seed"], "attack"))
    return delta, {
        "goal_values": victim.notes.values,
        "zero_gradients": victim.notes.zero_share,
        "n_queries": victim.notes.n_queries,
        # What the attack says it asks for: an option `queries`, answers of each user.
        "allowed_queries": int(getattr(made, "queries", 0)) * scene.data.train.n_users,
        "state_before": before,
        "state_after": hash_all(touchable),
    }


def _in_place_of(victim: TrainedVictim, source: TrainedVictim) -> TrainedVictim:
    """Return the source, cut to the surfaces of the victim that it stands for, or raise BadValue."""
    held = {one.name: one for one in source.surfaces}
    for one in victim.surfaces:
        if one.name not in held or held[one.name].shape != one.shape:
            has = f"of shape {held[one.name].shape}" if one.name in held else "not there"
            raise BadValue(
                f"'{one.name}' has the shape {one.shape}, and in the source it is {has}; name a source of the same size"
            )
    source.surfaces = tuple(held[one.name] for one in victim.surfaces)
    return source


def _spend(
    victim: TrainedVictim, returned: Delta, budget: Budget, is_projected: bool
) -> tuple[dict[str, torch.Tensor], Facts]:
    """Measure what an attack returned, project it, measure again."""
    unknown = sorted(set(returned) - {one.name for one in victim.surfaces})
    delta, raw, spent, mean = {}, 0.0, 0.0, 0.0
    n_bad = n_touched = n_slices = 0
    for one in victim.surfaces:
        held = returned.get(one.name)
        if held is None or tuple(held.shape) != one.shape:
            n_bad += 0 if held is None else held.numel()
            held = torch.zeros(one.shape)
        held = held.detach().float().to(victim.device)
        n_bad += sum(int((~held[part].isfinite()).sum()) for part in chunks(held))
        if n_bad:
            held = by_rows(lambda some: torch.where(some.isfinite(), some, torch.zeros_like(some)), held)
        raw = max(raw, float(measure(held, one, budget.norm).max()))
        kept = project(held, one, budget) if is_projected else held
        delta[one.name] = victim.legal({one.name: kept})[one.name]
        lengths = measure(delta[one.name], one, budget.norm)
        spent = max(spent, float(lengths.max()))
        mean += float(lengths[lengths > 0].double().sum())
        n_slices += int((lengths > 0).sum())
        n_touched += sum(int((delta[one.name][part].flatten(1) != 0).any(dim=1).sum()) for part in chunks(held))
    return delta, {
        "raw_norm": math.nan if n_bad else raw,
        "measured_norm": spent,
        "mean_norm": mean / n_slices if n_slices else 0.0,
        "n_touched_rows": n_touched,
        "n_bad_values": n_bad,
        "unknown_surfaces": unknown,
    }


def _keep(victim: TrainedVictim, delta: Mapping[str, torch.Tensor], norm: str, folder: Path) -> None:
    """Write a perturbation, whole or as a sample of its rows."""
    spanned = {one.name: one.norm_dims for one in victim.surfaces}
    metadata = {name: json.dumps(dims) for name, dims in spanned.items()}
    path = folder / "delta.safetensors"
    # Measuring images needs their features alone; every other perturbation is read again whole.
    n_bytes = sum(held.numel() * held.element_size() for held in delta.values())
    if IMAGES in delta and n_bytes > settings.PERTURBATION_CELL_BYTES:
        write_sample(delta, spanned, norm, path, metadata)
        return
    save_tensors({name: held.cpu().contiguous() for name, held in delta.items()}, path, metadata=metadata)
