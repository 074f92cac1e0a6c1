"""What each kind of step does: read and split, train, attack, measure; everything goes through the store."""

from __future__ import annotations

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

from recshield.core.errors import StoreDamaged
from recshield.core.interfaces import LOSSES, Goal
from recshield.core.norms import measure, project
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Delta, View
from recshield.data.catalogue import DataSource
from recshield.data.ids import pack
from recshield.data.interactions import HeldOut
from recshield.evaluation.background import Background
from recshield.evaluation.ranking import Extras, Ranks, rank
from recshield.matrix import fitting
from recshield.matrix.budgets import Eps
from recshield.matrix.fitting import hash_all, load_system, load_systems, part_of
from recshield.matrix.loading import Context, load_data
from recshield.matrix.pipeline import path_facts
from recshield.matrix.plan import Step
from recshield.matrix.scoring import Watched
from recshield.matrix.store import Entry, Store
from recshield.matrix.systems import make
from recshield.matrix.victims import TrainedVictim, degrade_pairs, oracle_pairs

Facts = dict[str, Any]


def compute(step: Step, store: Store, context: Context, folder: Path) -> Facts:
    """Do a step: write its files into `folder`, return its facts (JSON)."""
    work = {
        "data": _data,
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
    spanned = {one.name: json.dumps(one.norm_dims) for one in victim.surfaces}
    held = {name: value.cpu().contiguous() for name, value in delta.items()}
    save_tensors(held, folder / "delta.safetensors", metadata=spanned)
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
        is_finite = held.isfinite()
        n_bad += int((~is_finite).sum())
        held = torch.where(is_finite, held, torch.zeros_like(held))
        raw = max(raw, float(measure(held, one, budget.norm).max()))
        delta[one.name] = project(held, one, budget) if is_projected else held
        lengths = measure(delta[one.name], one, budget.norm)
        spent = max(spent, float(lengths.max()))
        mean += float(lengths[lengths > 0].double().sum())
        n_slices += int((lengths > 0).sum())
        n_touched += int((delta[one.name].flatten(1) != 0).any(dim=1).sum())
    return delta, {
        "raw_norm": math.nan if n_bad else raw,
        "measured_norm": spent,
        "mean_norm": mean / n_slices if n_slices else 0.0,
        "n_touched_rows": n_touched,
        "n_bad_values": n_bad,
        "unknown_surfaces": unknown,
    }


# measure


def _measure(spec: Mapping[str, Any], store: Store, context: Context, folder: Path) -> Facts:
    data, test = load_data(store.need(spec["data"]))
    model = load_system(spec["system"], store, data, context)
    view = View()
    if spec["attack"]:
        delta = load_tensors(store.need(spec["attack"]).file("delta.safetensors"))
        view = View({name: held.to(context.device) for name, held in delta.items()})
    view = model.lower(view)
    device = torch.device(context.device)
    extras = Extras.of(spec["extras"])
    watched = Watched(lambda users: model.score(users, view), test)
    ranks = rank(watched, data.train, test, device=device, is_hashed=spec["hash"], extras=extras)
    arrays = {"ranks": ranks.ranks, "candidates": ranks.candidates}
    arrays |= {f"sampled/{n}": held for n, held in ranks.sampled.items()}
    arrays |= {} if ranks.lists is None else {"lists": ranks.lists}
    save_arrays(arrays, folder / "ranks.safetensors")
    population = hashlib.blake2b(test.users.tobytes() + test.indptr.tobytes() + test.items.tobytes(), digest_size=16)
    return {"score_hash": ranks.score_hash, "population": population.hexdigest()} | watched.facts()


def load_ranks(entry: Entry, test: HeldOut, background: Background | None = None) -> Ranks:
    """Return the ranks of a measure step, with the lists and sampled ranks that it kept."""
    held = load_arrays(entry.file("ranks.safetensors"))
    if held["ranks"].shape != test.items.shape:
        raise StoreDamaged(f"{entry.folder} ranks {held['ranks'].shape} rows, the data has {test.items.shape}")
    sampled = {int(name.removeprefix("sampled/")): one for name, one in held.items() if name.startswith("sampled/")}
    full = (test.users, test.indptr, test.items, held["ranks"], held["candidates"])
    return Ranks(*full, entry.facts["score_hash"], held.get("lists"), sampled, background)


def load_lists(entry: Entry) -> NDArray[np.int32] | None:
    """Return the lists that a measure step kept, (n_evaluated, K); None where it kept none."""
    return load_arrays(entry.file("ranks.safetensors")).get("lists")
