"""The steps that train: selection of epochs and choices on validation rows, and training itself."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from recshield.core.errors import BadData, PluginFailed
from recshield.core.interfaces import Objective, Recommender, System
from recshield.core.registry import registry
from recshield.core.seeds import generator
from recshield.data.interactions import DataInfo, Dataset, HeldOut
from recshield.data.validation import cut_validation
from recshield.evaluation.metrics import MetricAtK
from recshield.matrix.loading import Context, load_data
from recshield.matrix.store import Entry, Store
from recshield.matrix.systems import Part, make
from recshield.matrix.visuals import with_visual
from recshield.matrix.watching import Curve
from recshield.training.objectives import ModelLoss
from recshield.training.progress import watching

Facts = dict[str, Any]
Held = Mapping[str, Any]
_STATE = "model.safetensors"


def part_of(held: Held) -> Part:
    """Return a part from what a step holds of it."""
    return Part(held["kind"], held["name"], held["target"], tuple(held["options"].items()))


def select(spec: Held, store: Store, context: Context, folder: Path) -> Facts:
    """Train one candidate on the rows left by the cut; note its best value and epoch, keep its state there."""
    entry = store.need(spec["data"])
    data, held_out = load_data(entry)
    data = with_visual(data, spec["visual"], store, context)
    selection = spec["selection"]
    if selection["rows"] == "validation":
        data, held_out = _cut(data, spec["data_seed"], entry)
    base = _best([store.need(key) for key in spec["bases"]])
    metric = MetricAtK.parse(selection["metric"])
    metric.check_catalogue(data.info.n_items)
    looked = (data.train, held_out, (metric,), selection["every"], context.device, spec["data_seed"])
    curve = Curve(*looked, selection["patience"], keeps_best=True)
    parts, acting = _parts(spec["parts"], base)
    model = _fit(parts, base, data, spec, context, curve)
    told = curve.best_epoch
    if told is None:  # the model tells nothing of its epochs: it is what it is at the end
        curve.look(model, 0)
    save_file(curve.best_state, folder / _STATE)
    return {"value": curve.best_value, "epoch": told, "curve": curve.rows, "acting": acting, "parts": parts}


def train(spec: Held, store: Store, context: Context, folder: Path) -> Facts:
    """Train on all training rows, with the epochs and choices that were selected where something was."""
    data, test = load_data(store.need(spec["data"]))
    data = with_visual(data, spec["visual"], store, context)
    base = store.need(spec["base"]) if spec["base"] else None
    selects = [store.need(key) for key in spec["selects"]]
    chosen = _best(selects)
    place = selects.index(chosen) if chosen else 0
    parts, acting = _parts(spec["parts"][place], base)
    epochs = chosen.facts["epoch"] if chosen else None
    metrics = tuple(MetricAtK.parse(text) for text in spec.get("curve", {}).get("metrics", ()))
    for metric in metrics:
        metric.check_catalogue(data.info.n_items)
    wanted = spec.get("curve")
    looked = (data.train, test, metrics)
    curve = Curve(*looked, wanted["every"], context.device, wanted["data_seed"]) if wanted else None
    model = _fit(parts, base, data, spec, context, curve, epochs)
    save_file(_state(model), folder / _STATE)
    named = [",".join(_chosen(spec["parts"], one)) for one in range(len(spec["parts"]))]
    rows = [
        row | {"rows": spec["selected_on"], "candidate": name}
        for entry, name in zip(selects, named if selects else [], strict=True)
        for row in entry.facts["curve"]
    ]
    rows += [row | {"rows": "test", "candidate": named[place]} for row in curve.rows] if curve else []
    found = [f"epochs={epochs}"] if epochs is not None else []
    own = ",".join([*found, *([named[place]] if named[place] else [])])
    before = str(base.facts["selected"]) if base else ""
    return {
        "selection": spec["selected_on"] or "fixed epochs",
        "selected": "; ".join(text for text in (before, own) if text),
        "curve": rows,
        "acting": acting,
        "chosen": [*(base.facts["chosen"] if base else []), *spec["parts"][place]],
        "state": state_hash(model),
    }


def take_over(spec: Held, store: Store, context: Context, folder: Path) -> Facts:  # noqa: ARG001
    """Take over weights that were saved before, in place of a training."""
    shutil.copyfile(spec["file"], folder / _STATE)
    with (folder / _STATE).open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != spec["digest"]:
            raise BadData.at(spec["file"], None, "the weights do not match their recorded hash", "train again")
    return dict(spec["facts"])


def _cut(data: Dataset, data_seed: int, entry: Entry) -> tuple[Dataset, HeldOut]:
    train_rows, held_out = cut_validation(data.train, data_seed, is_ordered=entry.facts["is_ordered"])
    info = dataclasses.replace(data.info, n_interactions=len(train_rows))
    return dataclasses.replace(data, info=info, train=train_rows), held_out


def _best(entries: Sequence[Entry]) -> Entry | None:
    """Return the selection with the highest value, the first of equal ones; None where there is none."""
    return max(entries, key=lambda entry: float(entry.facts["value"])) if entries else None


def _chosen(candidates: Sequence[Sequence[Held]], place: int) -> list[str]:
    """Return the options in which candidates differ, as the chosen one has them."""
    found = []
    for number, part in enumerate(candidates[place]):
        for key, value in part["options"].items():
            if any(other[number]["options"][key] != value for other in candidates):
                found.append(f"{part['name']}.{key}={value}")
    return found


def _parts(own: list[Held], base: Entry | None) -> tuple[list[Held], list[Held]]:
    """Return the parts to train with, the model first, and those that act from the start of training."""
    if base is None:
        return own, own
    acting: list[Held] = base.facts["acting"]
    return [*acting, *own], acting


@dataclasses.dataclass(frozen=True)
class Training:
    """A model before a training, and what it is trained with.

    Attributes:
        model: at its start values, or at those of the training before.
        data: what defenses leave of the training rows.
        objective: what is minimised.
        epochs: those of a defense that goes on from a trained model; None = the model's own.
    """

    model: Recommender
    data: Dataset
    objective: Objective
    epochs: int | None


def training(parts: Sequence[Held], state: Mapping[str, torch.Tensor] | None, data: Dataset, seed: int) -> Training:
    """Return what a training step trains: `parts` is the model and the defenses that act, `state` the start values."""
    model = _build(parts[0], data.info, seed)
    objective: Objective = ModelLoss()
    epochs = None
    for held in parts[1:]:
        part = part_of(held)
        defense = make(part, {})
        data = prepared(part.name, defense.prepare(data, generator(seed, "prepare", part.name)), data)
        objective = defense.objective(objective, part.target)
        if defense.warm_start and epochs is None:
            epochs = part.option("epochs")
    if state is not None:
        model.load_state_dict(dict(state))
    return Training(model, data, objective, epochs)


def prepared(name: str, made: object, data: Dataset) -> Dataset:
    """Return what a defense leaves of the data, with the number of rows that it has.

    Raises:
        PluginFailed: that is no data set of the same users and items, or holds no row.
    """
    if not isinstance(made, Dataset):
        raise PluginFailed(f"defense '{name}': prepare() returns {type(made).__name__}; it returns a Dataset")
    train = made.train
    if (train.n_users, train.n_items) != (data.train.n_users, data.train.n_items):
        raise PluginFailed(
            f"defense '{name}': prepare() returns rows of {train.n_users} users and {train.n_items} items, and the "
            f"data has {data.train.n_users} and {data.train.n_items}; leave out rows, not users or items"
        )
    if not len(train):
        raise PluginFailed(f"defense '{name}' left no training row; look at its options")
    return dataclasses.replace(made, info=dataclasses.replace(data.info, n_interactions=len(train)))


def _fit(
    parts: Sequence[Held],
    base: Entry | None,
    data: Dataset,
    spec: Held,
    context: Context,
    curve: Curve | None,
    epochs: int | None = None,
) -> Recommender:
    """Return the trained model of a step."""
    made = training(parts, load_file(base.file(_STATE)) if base is not None else None, data, spec["seed"])
    made.model.to(context.device)
    rng = generator(spec["seed"], "fit", spec["depth"])
    with _watched(curve):
        made.model.fit(made.data, made.objective, rng, made.epochs if epochs is None else epochs)
    return made.model


@contextlib.contextmanager
def _watched(curve: Curve | None) -> Iterator[None]:
    if curve is None:
        yield
        return
    with watching(curve):
        yield


def _build(held: Held, info: DataInfo, seed: int) -> Recommender:
    plugin = registry().get("model", held["name"])
    made: Recommender = plugin(info, plugin.config_type(**held["options"]), generator(seed, "start"))
    return made


def _state(model: Recommender) -> dict[str, torch.Tensor]:
    return {name: held.detach().cpu().contiguous() for name, held in model.state_dict().items()}


def state_hash(model: Recommender) -> str:
    """Return a hash of every parameter and buffer, names included."""
    total = hashlib.blake2b(digest_size=16)
    for name, held in sorted(_state(model).items()):
        total.update(f"{name}{tuple(held.shape)}{held.dtype}".encode())
        total.update(held.view(torch.uint8).numpy().tobytes() if held.ndim else str(held.item()).encode())
    return total.hexdigest()


def hash_all(models: Sequence[Recommender]) -> str:
    """Return one hash of the states of several models, and of whether they are in training mode."""
    text = ";".join(f"{state_hash(model)},{model.training}" for model in models)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def load_system(ref: Held, store: Store, data: Dataset, context: Context) -> Recommender:
    """Return a trained system, ready to serve, its defenses' `serve` applied in order."""
    entry = store.need(ref["train"])
    data = with_visual(data, ref["visual"], store, context)
    model = _build(entry.facts["acting"][0], data.info, ref["seed"])
    model.load_state_dict(load_file(entry.file(_STATE)))
    model.to(context.device)
    model.eval()
    model.requires_grad_(False)
    chosen = {part["name"]: part for part in entry.facts["chosen"] if part["kind"] == "defense"}
    for held in ref["serve"]:
        others = load_systems(held["systems"], store, data, context)
        part = chosen.get(held["part"]["name"], held["part"])
        model = make(part_of(part), others).serve(model)
    return model.eval()


def load_systems(refs: Mapping[str, Held], store: Store, data: Dataset, context: Context) -> dict[str, System]:
    """Return the systems that a part names, loaded."""
    return {key: System(ref["name"], load_system(ref, store, data, context)) for key, ref in refs.items()}
