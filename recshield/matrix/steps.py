"""What each kind of step does: read and split, train, attack, measure; everything goes through the store."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from recshield.core.interfaces import Goal, Objective, Recommender, System
from recshield.core.norms import measure, project
from recshield.core.registry import registry
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Delta, View
from recshield.data.catalogue import DataSource
from recshield.data.ids import pack, unpack
from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.evaluation.ranking import Ranks, rank
from recshield.matrix.budgets import Eps
from recshield.matrix.plan import Step
from recshield.matrix.store import Entry, Store
from recshield.matrix.systems import Part, make
from recshield.matrix.victims import LOSSES, TrainedVictim, degrade_pairs, oracle_pairs
from recshield.training.objectives import ModelLoss

Facts = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """Where steps run."""

    device: str = "cpu"
    threads: int = 1


def compute(step: Step, store: Store, context: Context, folder: Path) -> Facts:
    """Do a step: write its files into `folder`, return its facts (JSON)."""
    work = {"data": _data, "train": _train, "attack": _attack, "measure": _measure}[step.kind]
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
    return {"name": data.info.name, "n_items": data.info.n_items, "split": split.facts}


def _ids(name: str, ids: NDArray[np.generic]) -> dict[str, NDArray[Any]]:
    if ids.dtype.kind not in "iuU":
        raise StoreDamaged(f"ids of type {ids.dtype} cannot be stored; readers return whole numbers or text")
    return pack(name, ids)


def load_data(entry: Entry) -> tuple[Dataset, HeldOut]:
    """Return the training rows and the test rows of a data step."""
    held = load_arrays(entry.file("data.safetensors"))
    train = Interactions(held["indptr"], held["items"], entry.facts["n_items"], held.get("negatives"))
    info = DataInfo(entry.facts["name"], train.n_users, train.n_items, len(train))
    test = HeldOut(held["test_users"], held["test_indptr"], held["test_items"])
    return Dataset(info, train, unpack("user_ids", held), unpack("item_ids", held)), test


# train


def _part(held: Mapping[str, Any]) -> Part:
    return Part(held["kind"], held["name"], held["target"], tuple(held["options"].items()))


def _build(held: Mapping[str, Any], info: DataInfo, seed: int) -> Recommender:
    plugin = registry().get("model", held["name"])
    made: Recommender = plugin(info, plugin.config_type(**held["options"]), generator(seed, "start"))
    return made


def _train(spec: Mapping[str, Any], store: Store, context: Context, folder: Path) -> Facts:
    data, _ = load_data(store.need(spec["data"]))
    model = _build(spec["model"], data.info, spec["seed"])
    objective: Objective = ModelLoss()
    epochs = None
    for held in spec["defenses"]:
        part = _part(held)
        defense = make(part, {})
        data = defense.prepare(data)
        objective = defense.objective(objective, part.target)
        if defense.warm_start:
            epochs = part.option("epochs")
    if spec["base"]:
        _load_state(model, store.need(spec["base"]))
    model.to(context.device)
    model.fit(data, objective, generator(spec["seed"], "fit", spec["depth"]), epochs)
    save_tensors(_state(model), folder / "model.safetensors")
    return {"selection": "fixed epochs", "state": state_hash(model)}


def _state(model: Recommender) -> dict[str, torch.Tensor]:
    return {name: held.detach().cpu().contiguous() for name, held in model.state_dict().items()}


def _load_state(model: Recommender, entry: Entry) -> None:
    model.load_state_dict(load_tensors(entry.file("model.safetensors")))


def state_hash(model: Recommender) -> str:
    """Return a hash of every parameter and buffer, names included."""
    total = hashlib.blake2b(digest_size=16)
    for name, held in sorted(_state(model).items()):
        total.update(f"{name}{tuple(held.shape)}{held.dtype}".encode())
        total.update(held.view(torch.uint8).numpy().tobytes() if held.ndim else str(held.item()).encode())
    return total.hexdigest()


def _hash_all(models: Sequence[Recommender]) -> str:
    """Return one hash of the states of several models, and of whether they are in training mode."""
    text = ";".join(f"{state_hash(model)},{model.training}" for model in models)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def load_system(ref: Mapping[str, Any], store: Store, data: Dataset, context: Context) -> Recommender:
    """Return a trained system, ready to serve, its defenses' `serve` applied in order."""
    model = _build(ref["model"], data.info, ref["seed"])
    _load_state(model, store.need(ref["train"]))
    model.to(context.device)
    model.eval()
    model.requires_grad_(False)
    for held in ref["serve"]:
        others = _systems(held["systems"], store, data, context)
        model = make(_part(held["part"]), others).serve(model)
    return model.eval()


def _systems(refs: Mapping[str, Any], store: Store, data: Dataset, context: Context) -> dict[str, System]:
    return {key: System(ref["name"], load_system(ref, store, data, context)) for key, ref in refs.items()}


# attack


def _attack(spec: Mapping[str, Any], store: Store, context: Context, folder: Path) -> Facts:
    data, test = load_data(store.need(spec["data"]))
    model = load_system(spec["system"], store, data, context)
    others = _systems(spec["systems"], store, data, context)
    like = others.pop("like", None) if spec["eps"][1] == "like" else None
    goal = Goal.parse(spec["goal"])
    pairs = degrade_pairs(data.train, spec["data_seed"])
    if goal.oracle:
        pairs = oracle_pairs(data.train, test, spec["data_seed"])
    attack = make(_part(spec["attack"]), others)
    victim = TrainedVictim(model, data.train, pairs, goal, spec["target"], type(attack).access)
    own_norm = victim.mean_norm(spec["norm"])
    other_norm = None
    if like is not None:
        reference = TrainedVictim(like.model, data.train, pairs, goal, spec["target"], type(attack).access)
        other_norm = reference.mean_norm(spec["norm"])
    eps = Eps(spec["eps"][0], spec["eps"][1], like.spec if like else "").resolve(own_norm, other_norm)
    budget = Budget(spec["norm"], eps)
    touchable = [model, *(other.model for other in others.values())]
    before = _hash_all(touchable)
    with torch.no_grad():
        returned = attack.perturb(victim, budget, generator(spec["seed"], "attack"))
    notes, after = victim.notes, _hash_all(touchable)
    # Whatever the attack left behind must not reach the figures below: they come from a model it never held.
    model = load_system(spec["system"], store, data, context)
    victim = TrainedVictim(model, data.train, pairs, goal, spec["target"], type(attack).access)
    delta, facts = _spend(victim, returned, budget, type(attack).projected)
    spanned = {one.name: json.dumps(one.norm_dims) for one in victim.surfaces}
    held = {name: value.cpu().contiguous() for name, value in delta.items()}
    save_tensors(held, folder / "delta.safetensors", metadata=spanned)
    named = getattr(attack, "loss", "")
    loss = named if named in LOSSES else ""
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
    delta, raw, spent, n_bad, n_touched, mean = {}, 0.0, 0.0, 0, 0, 0.0
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
        n_touched += int((lengths > 0).sum())
    return delta, {
        "raw_norm": math.nan if n_bad else raw,
        "measured_norm": spent,
        "mean_norm": mean / n_touched if n_touched else 0.0,
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
    ranks = rank(lambda users: model.score(users, view), data.train, test, device=device, is_hashed=spec["hash"])
    save_arrays({"ranks": ranks.ranks, "candidates": ranks.candidates}, folder / "ranks.safetensors")
    population = hashlib.blake2b(test.users.tobytes() + test.indptr.tobytes() + test.items.tobytes(), digest_size=16)
    return {"score_hash": ranks.score_hash, "population": population.hexdigest()}


def load_ranks(entry: Entry, test: HeldOut) -> Ranks:
    """Return the ranks of a measure step."""
    held = load_arrays(entry.file("ranks.safetensors"))
    if held["ranks"].shape != test.items.shape:
        raise StoreDamaged(f"{entry.folder} ranks {held['ranks'].shape} rows, the data has {test.items.shape}")
    return Ranks(test.users, test.indptr, test.items, held["ranks"], held["candidates"], entry.facts["score_hash"])
