"""Train, attack and evaluate one system at a time; what one stage saves, the next one reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from recshield import folders, run
from recshield.config import MatrixConfig
from recshield.core.errors import BadData, BadValue, RecshieldError
from recshield.core.interfaces import Recommender
from recshield.core.registry import registry
from recshield.core.surfaces import View
from recshield.data.interactions import Dataset
from recshield.evaluation.measuring import measure_all
from recshield.folders import SavedPerturbation, SavedSystem
from recshield.matrix.executors import Executor, Listener
from recshield.matrix.fitting import load_system
from recshield.matrix.loading import Context, load_data
from recshield.matrix.plan import Step

#: What may be another in a later stage than it was when the system was trained.
_FREE = ("data_dir", "device", "budget", "goal", "metrics", "attacks")


def _perform(prepared: run.Prepared, kinds: Sequence[str], listener: Listener | None) -> None:
    """Run the steps of some kinds; raise the first failure."""
    made = prepared.plan
    wanted = {key: step for key, step in made.steps.items() if step.kind in kinds}
    runner: Executor = registry().get("executor", "local")()
    outcome = runner.run(wanted, prepared.store, _context(prepared), 1, listener or run.Silent())
    for reason in outcome.failed.values():
        raise RecshieldError(reason)


def _context(prepared: run.Prepared) -> Context:
    return Context(prepared.plan.request.device, prepared.plan.request.threads)


def _rows(prepared: run.Prepared) -> str:
    return str(prepared.store.need(prepared.plan.data_keys[0]).facts["rows"])


def _of_kind(prepared: run.Prepared, kind: str) -> list[Step]:
    return [step for step in prepared.plan.steps.values() if step.kind == kind]


def train(system: str, out: Path, request: Mapping[str, Any], listener: Listener | None = None) -> SavedSystem:
    """Train one system and save it.

    Args:
        system: for example `mf+advreg:eps=0.5`.
        out: folder to write; an earlier system there is replaced.
        request: arguments of `run.prepare` but models, attacks, defenses, budget, goal and controls; one seed.
        listener: hears how far the work is.

    Raises:
        RecshieldError: bad input, a failed training, or a folder that cannot be written.
    """
    folders.check_target(out, folders.SYSTEM)
    asked = MatrixConfig.model_validate({**request, "models": [system], "controls": "none"})
    prepared = run.prepare(**asked.request())
    if len(prepared.plan.main()) != 1:
        raise BadValue("one stage handles one system, one seed and a split with one fold; `recshield matrix` crosses")
    _perform(prepared, ("data", "select", "train"), listener)
    with folders.whole_folder(out, folders.SYSTEM) as draft:
        trained: list[folders.Weights] = []
        for step in _of_kind(prepared, "train"):
            entry = prepared.store.need(step.key)
            file = draft / f"weights-{len(trained)}.safetensors"
            shutil.copyfile(entry.file("model.safetensors"), file)
            facts = folders.TrainFacts.model_validate(entry.facts)
            held = {"identity": step.spec["identity"], "file": file.name, "digest": folders.digest_of(file)}
            trained.append(folders.Weights(**held, facts=facts))
        about = folders.SystemAbout(
            format=folders.SYSTEM,
            system=system,
            request=asked,
            trained=trained,
            rows=_rows(prepared),
            versions=prepared.manifest["versions"],
        )
        folders.describe(about, draft)
    return folders.load_system(out)


def _prepared(saved: SavedSystem, **more: Any) -> run.Prepared:
    """Return the plan of a saved system, its rows read: they must be those that it was trained on."""
    others = sorted(set(more) - set(_FREE))
    if others:
        raise BadValue(f"'{others[0]}' belongs to the saved system; another may be only {', '.join(_FREE)}")
    held = saved.about.request.model_copy(update={**more, "models": [saved.about.system], "controls": "none"})
    prepared = run.prepare(**held.request(), imports=saved.imports())
    if _of_kind(prepared, "train"):
        raise BadData.at(saved.folder, None, "it does not hold every training of its system", "train again")
    _perform(prepared, ("data",), None)
    if _rows(prepared) != saved.about.rows:
        wrong = "the training and test rows are not those that it was trained on"
        raise BadData.at(saved.folder, None, wrong, "name the same data with --data-dir, or train again")
    facts = prepared.store.need(prepared.plan.data_keys[0]).facts
    for metric in prepared.metrics:
        metric.check_catalogue(facts["n_items"])
    return prepared


def _made_for(saved: SavedSystem, prepared: run.Prepared) -> str:
    """Return a hash of the system, its weights and its rows."""
    cell = prepared.plan.main()[0]
    weights = [held.digest for held in saved.about.trained]
    text = json.dumps([cell.system.content(), cell.seed, weights, saved.about.rows], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def attack(
    folder: Path, attack: str, out: Path, request: Mapping[str, Any], listener: Listener | None = None
) -> SavedPerturbation:
    """Attack a saved system and save the perturbation.

    Args:
        folder: a saved system.
        attack: for example `pgd:steps=40`.
        out: folder to write; an earlier perturbation there is replaced.
        request: `budget` (one size), `goal`, and `data_dir` or `device` where they are others than in training.
        listener: hears how far the work is.

    Raises:
        RecshieldError: bad input, an attack that cannot be, or a folder that cannot be written.
    """
    folders.check_target(out, folders.PERTURBATION)
    saved = folders.load_system(folder)
    prepared = _prepared(saved, attacks=[attack], **request)
    cells = [cell for cell in prepared.plan.main() if cell.attack]
    if not cells:
        raise BadValue("; ".join(skip.reason for skip in prepared.plan.skips))
    if len(cells) > 1:
        raise BadValue("one attack at one size makes one perturbation; `recshield matrix` crosses several")
    cell, part = cells[0], cells[0].attack
    assert part is not None
    if part.members:
        names = ", ".join(member.text for member in part.members)
        raise BadValue(f"attack '{attack}' has no perturbation of its own; name one of {names}")
    _perform(prepared, ("import", "attack"), listener)
    entry = prepared.store.need(prepared.plan.steps_of[cell.id].attack)
    with folders.whole_folder(out, folders.PERTURBATION) as draft:
        shutil.copyfile(entry.file("delta.safetensors"), draft / folders.DELTA)
        about = folders.PerturbationAbout(
            format=folders.PERTURBATION,
            system=saved.about.system,
            attack=part.text,
            norm=cell.norm,
            goal=cell.goal,
            surface=cell.target,
            facts=entry.facts,
            digest=folders.digest_of(draft / folders.DELTA),
            made_for=_made_for(saved, prepared),
        )
        folders.describe(about, draft)
    return folders.load_perturbation(out)


def evaluate(
    folder: Path, perturbation: Path | None, metrics: Sequence[str], request: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return clean and attacked figures of a saved system, one row per metric; they carry no verdict.

    Args:
        folder: a saved system.
        perturbation: a saved perturbation of this very system; None = clean figures alone.
        metrics: for example `["ndcg@100"]`.
        request: `data_dir` or `device` where they are others than in training.

    Returns:
        Rows of `metric`, `clean`, perhaps `attacked`, and `label`: what a reader must know, or "".

    Raises:
        RecshieldError: bad input, or a perturbation of another system.
    """
    saved = folders.load_system(folder)
    prepared = _prepared(saved, metrics=list(metrics), **request)
    held = folders.load_perturbation(perturbation) if perturbation is not None else None
    if held is not None and held.about.made_for != _made_for(saved, prepared):
        raise BadData.at(held.folder, None, f"it was made for another system than {folder}", "attack it again")
    _perform(prepared, ("import",), None)
    made, context = prepared.plan, _context(prepared)
    data, test = load_data(prepared.store.need(made.data_keys[0]))
    model = _loaded(prepared, data, saved)
    views = {"clean": View()}
    if held is not None:
        views["attacked"] = model.lower(View(_delta(held, model, context)))
    device, data_seed = torch.device(context.device), made.request.data_seed
    figures = {
        name: measure_all(_scorer(model, view), data.train, test, prepared.metrics, device, data_seed)
        for name, view in views.items()
    }
    rows = []
    for metric in prepared.metrics:
        values = {kind: found[str(metric)].value for kind, found in figures.items()}
        rows.append({"metric": str(metric), **values, "label": metric.label})
    return rows


def _loaded(prepared: run.Prepared, data: Dataset, saved: SavedSystem) -> Recommender:
    measured = _of_kind(prepared, "measure")[0]
    try:
        return load_system(measured.spec["system"], prepared.store, data, _context(prepared))
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise BadData.at(saved.folder, None, f"its weights do not fit its system ({reason})", "train again") from None


def _scorer(model: Recommender, view: View) -> Callable[[Tensor], Tensor]:
    return model.scoring(view)


def _delta(held: SavedPerturbation, model: Recommender, context: Context) -> dict[str, Tensor]:
    path = held.file()
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadData.at(path, None, f"cannot be read ({error})", "attack again") from None
    shapes = {one.name: tuple(one.shape) for one in model.surfaces}
    for name, value in found.items():
        if shapes.get(name) != tuple(value.shape) or not bool(value.isfinite().all()):
            wrong = f"'{name}' with shape {tuple(value.shape)} is no finite perturbation of this model"
            raise BadData.at(path, None, wrong, "attack again")
    return {name: value.to(context.device) for name, value in found.items()}
