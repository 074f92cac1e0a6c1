"""What each kind of step does: read and split, train, attack, measure; everything goes through the store."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from recshield.core import settings
from recshield.core.errors import StoreDamaged
from recshield.core.interfaces import LOSSES, Goal, Recommender
from recshield.core.norms import measure, project
from recshield.core.seeds import generator
from recshield.core.storage import by_rows, chunks
from recshield.core.surfaces import Budget, Delta, View
from recshield.data.catalogue import DataSource
from recshield.data.ids import pack
from recshield.data.interactions import HeldOut
from recshield.data.visual import FEATURES, IMAGES, visual_share
from recshield.evaluation.background import Background
from recshield.evaluation.ranking import Extras, Ranks, rank
from recshield.matrix import fitting, visuals
from recshield.matrix.budgets import Eps
from recshield.matrix.fitting import hash_all, load_system, load_systems, part_of
from recshield.matrix.loading import Context, load_data
from recshield.matrix.pipeline import path_facts
from recshield.matrix.plan import Step
from recshield.matrix.realised import realise
from recshield.matrix.sampling import write_sample
from recshield.matrix.scoring import Watched
from recshield.matrix.store import Entry, Store
from recshield.matrix.systems import make
from recshield.matrix.victims import TrainedVictim, degrade_pairs, oracle_pairs

Facts = dict[str, Any]
#: Before the name of an array of ranks: of attacked images rounded to 8 bits, saved and read again.
BITS = "8bit/"


def compute(step: Step, store: Store, context: Context, folder: Path) -> Facts:
    """Do a step: write its files into `folder`, return its facts (JSON)."""
    work = {
        "data": _data,
        "images": visuals.images,
        "features": visuals.features,
        "select": fitting.select,
        "train": fitting.train,
        "import": fitting.take_over,
        "attack": _attack,
        "measure": _measure,
    }[step.kind]
    return work(step.spec, store, context, folder)


# data


def _data(spec: Mapping[str, Any], store: Store, context: Context, folder: Path) -> Facts:  # noqa: ARG001
    source = DataSource.from_json(spec["source"])
    split = source.split(spec["data_seed"], spec.get("fold", 0))
    source.check_unchanged()
    data, test = split.dataset, split.test
    arrays: dict[str, NDArray[Any]] = {
        "indptr": data.train.indptr,
        "items": data.train.items,
        **_ids("user_ids", data.user_ids),
        **_ids("item_ids", data.item_ids),
        "test_users": test.users,
        "test_indptr": test.indptr,
        "test_items": test.items,
    }
    if data.train.negatives is not None:
        arrays["negatives"] = data.train.negatives
    if data.categories is not None:
        arrays["categories"] = data.categories.labels.astype(np.uint8)
    save_arrays(arrays, folder / "data.safetensors")
    digest = hashlib.blake2b(digest_size=16)
    for name, held in sorted(arrays.items()):
        digest.update(f"{name}{held.shape}{held.dtype}".encode() + np.ascontiguousarray(held).tobytes())
    return {
        "name": data.info.name,
        "n_items": data.info.n_items,
        "split": split.facts,
        "is_ordered": split.is_ordered,
        "rows": digest.hexdigest(),
        "categories": list(data.categories.names) if data.categories else [],
    }


def _ids(name: str, ids: NDArray[np.generic]) -> dict[str, NDArray[Any]]:
    if ids.dtype.kind not in "iuU":
        raise StoreDamaged(f"ids of type {ids.dtype} cannot be stored; readers return whole numbers or text")
    return pack(name, ids)


# attack


def _attack(spec: Mapping[str, Any], store: Store, context: Context, folder: Path) -> Facts:
    data, test = load_data(store.need(spec["data"]))
    model = load_system(spec["system"], store, data, context)
    others = load_systems(spec["systems"], store, data, context)
    like = others.pop("like", None) if spec["eps"][1] == "like" else None
    goal = Goal.parse(spec["goal"])
    pairs = degrade_pairs(data.train, spec["data_seed"])
    if goal.oracle:
        pairs = oracle_pairs(data.train, test, spec["data_seed"])
    attack = make(part_of(spec["attack"]), others)
    victim = TrainedVictim(model, data.train, pairs, goal, spec["target"], type(attack).access, spec["data_seed"])
    own_norm = victim.mean_norm(spec["norm"])
    other_norm = None
    if like is not None:
        reference = TrainedVictim(like.model, data.train, pairs, goal, spec["target"], type(attack).access)
        other_norm = reference.mean_norm(spec["norm"])
    eps = Eps(spec["eps"][0], spec["eps"][1], like.spec if like else "").resolve(own_norm, other_norm)
    budget = Budget(spec["norm"], eps)
    touchable = [model, *(other.model for other in others.values())]
    before = hash_all(touchable)
    with torch.no_grad():
        returned = attack.perturb(victim, budget, generator(spec["seed"], "attack"))
    notes, after = victim.notes, hash_all(touchable)
    # Whatever the attack left behind must not reach the figures below: they come from a model it never held.
    model = load_system(spec["system"], store, data, context)
    victim = TrainedVictim(model, data.train, pairs, goal, spec["target"], type(attack).access, spec["data_seed"])
    delta, facts = _spend(victim, returned, budget, type(attack).projected)
    _keep(victim, delta, spec["norm"], folder)
    if IMAGES in delta:
        facts |= realise(model, delta[IMAGES], folder)
    named = getattr(attack, "loss", "")
    loss = named if named in LOSSES else ""
    facts |= path_facts(model, pairs, delta, loss, victim.device)
    return facts | {
        "eps": eps,
        "mean_clean_norm": own_norm,
        "relative_eps": eps / own_norm if own_norm else None,
        "goal_clean": victim.value(victim.zeros(), loss),
        "goal_value": victim.value(delta, loss),
        "goal_values": notes.values,
        "zero_gradients": notes.zero_share,
        "n_queries": notes.n_queries,
        "n_goal_rows": sum(len(rows) for rows in victim.rows.values()),
        "state_before": before,
        "state_after": after,
        "is_projected": bool(type(attack).projected),
        "access": [one.name for one in type(attack).access],
    }


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


# measure


def _measure(spec: Mapping[str, Any], store: Store, context: Context, folder: Path) -> Facts:
    data, test = load_data(store.need(spec["data"]))
    model = load_system(spec["system"], store, data, context)
    device = torch.device(context.device)
    extras = Extras.of(spec["extras"])
    arrays: dict[str, NDArray[Any]] = {}
    facts: Facts = {}
    with torch.no_grad():
        views = _views(spec, model, store, device)
    for name, view in views.items():
        watched = Watched(functools.partial(model.score, view=view), test)
        ranks = rank(watched, data.train, test, device=device, is_hashed=spec["hash"] and not name, extras=extras)
        arrays |= {f"{name}ranks": ranks.ranks, f"{name}candidates": ranks.candidates}
        arrays |= {f"{name}sampled/{n}": held for n, held in ranks.sampled.items()}
        kept = {"lists": ranks.lists, "within": ranks.within}
        arrays |= {f"{name}{key}": held for key, held in kept.items() if held is not None}
        facts = facts or {"score_hash": ranks.score_hash} | watched.facts()
    save_arrays(arrays, folder / "ranks.safetensors")
    population = hashlib.blake2b(test.users.tobytes() + test.indptr.tobytes() + test.items.tobytes(), digest_size=16)
    return facts | {
        "population": population.hexdigest(),
        "is_realised": BITS in views,
        "visual_share": visual_share(model, test.users, device) if not spec["attack"] else math.nan,
    }


def _views(spec: Mapping[str, Any], model: Recommender, store: Store, device: torch.device) -> dict[str, View]:
    """Return the views to rank by: "" for the figures, and `8bit/` where images were attacked and saved."""
    if not spec["attack"] or spec["stage"] == "fit":  # what was attacked before training is in the model already
        return {"": model.lower(View())}
    entry = store.need(spec["attack"])
    if (entry.folder / visuals.LOWERED).exists():
        held = load_tensors(entry.file(visuals.LOWERED))
        names = {"": visuals.FLOATS, BITS: visuals.EIGHT_BITS}
        return {name: View({FEATURES: held[one].to(device)}) for name, one in names.items()}
    delta = load_tensors(entry.file("delta.safetensors"))
    return {"": model.lower(View({name: one.to(device) for name, one in delta.items()}))}


def load_ranks(entry: Entry, test: HeldOut, background: Background | None = None, prefix: str = "") -> Ranks:
    """Return the ranks of a measure step (`prefix` `BITS`: of saved 8-bit images), with what else it kept."""
    everything = load_arrays(entry.file("ranks.safetensors"))
    held = {name.removeprefix(prefix): one for name, one in everything.items() if name.startswith(prefix)}
    if held["ranks"].shape != test.items.shape:
        raise StoreDamaged(f"{entry.folder} ranks {held['ranks'].shape} rows, the data has {test.items.shape}")
    sampled = {int(name.removeprefix("sampled/")): one for name, one in held.items() if name.startswith("sampled/")}
    full = (test.users, test.indptr, test.items, held["ranks"], held["candidates"])
    return Ranks(*full, entry.facts["score_hash"], held.get("lists"), sampled, background, held.get("within"))


def load_lists(entry: Entry) -> NDArray[np.int32] | None:
    """Return the lists that a measure step kept, (n_evaluated, K); None where it kept none."""
    return load_arrays(entry.file("ranks.safetensors")).get("lists")
