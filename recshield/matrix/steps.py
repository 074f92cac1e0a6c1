"""What each kind of step does: read and split, train, attack, measure; everything goes through the store."""

from __future__ import annotations

import functools
import hashlib
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

from recshield.core.errors import StoreDamaged
from recshield.core.interfaces import Recommender
from recshield.core.surfaces import View
from recshield.data.catalogue import DataSource
from recshield.data.ids import pack
from recshield.data.interactions import HeldOut
from recshield.data.visual import FEATURES, visual_share
from recshield.evaluation.background import Background
from recshield.evaluation.ranking import Extras, Ranks, rank
from recshield.matrix import attacking, fitting, visuals
from recshield.matrix.fitting import load_system
from recshield.matrix.loading import Context, load_data
from recshield.matrix.plan import Step
from recshield.matrix.scoring import Watched, first_scores
from recshield.matrix.store import Entry, Store

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
        "attack": attacking.attack,
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
        scoring, watched = functools.partial(model.scoring, view), Watched(test)
        is_hashed = spec["hash"] and not name
        before = first_scores(scoring(), test, device)
        ranks = rank(scoring(), data.train, test, device=device, is_hashed=is_hashed, extras=extras, watch=watched)
        arrays |= {f"{name}ranks": ranks.ranks, f"{name}candidates": ranks.candidates}
        arrays |= {f"{name}sampled/{n}": held for n, held in ranks.sampled.items()}
        kept = {"lists": ranks.lists, "within": ranks.within}
        arrays |= {f"{name}{key}": held for key, held in kept.items() if held is not None}
        repeats = {"is_repeatable": torch.equal(before, first_scores(scoring(), test, device))}
        facts = facts or {"score_hash": ranks.score_hash} | repeats | watched.facts()
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
