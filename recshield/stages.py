"""Train, attack and evaluate one system at a time; what one stage saves, the next one reads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from recshield import run
from recshield.core.errors import BadData, BadValue, OutputRefused, RecshieldError
from recshield.core.registry import registry
from recshield.core.surfaces import View
from recshield.evaluation.measuring import measure_all
from recshield.matrix.executors import Executor, Listener
from recshield.matrix.fitting import load_system
from recshield.matrix.loading import Context, load_data
from recshield.matrix.plan import Import, Step

SYSTEM, PERTURBATION = "recshield-system-1", "recshield-perturbation-1"
_ABOUT = "about.json"
#: Largest description that is read, in bytes.
_ABOUT_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Saved:
    """A folder that a stage wrote: `about` says what it holds."""

    folder: Path
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: Path, form: str) -> Saved:
        """Return what is in a folder, or raise BadData where it is not of the form."""
        path, what = folder / _ABOUT, form.split("-")[1]
        advice = "give a folder that `recshield train --out` or `recshield attack --out` wrote"
        try:
            if path.stat().st_size > _ABOUT_BYTES:
                raise BadData.at(path, None, "it is too large", advice)
            about = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise BadData.at(folder, None, f"this is no saved {what}", advice) from None
        if not isinstance(about, dict) or about.get("format") != form:
            raise BadData.at(folder, None, f"this is no saved {what}", advice)
        return cls(folder, about)

    def imports(self) -> dict[str, Import]:
        """Return the weights of a saved system by the identity of their training."""
        found = {}
        try:
            for held in self.about["trained"]:
                if Path(held["file"]).name != held["file"]:
                    raise BadData.at(self.folder / _ABOUT, None, f"'{held['file']}' is no file name", "train again")
                file = self.folder / held["file"]
                if not file.is_file() or _digest(file) != held["digest"]:
                    raise BadData.at(file, None, "the weights do not match their recorded hash", "train again")
                found[str(held["identity"])] = Import(str(file.resolve()), str(held["digest"]), held["facts"])
        except (KeyError, TypeError):
            raise BadData.at(self.folder / _ABOUT, None, "an entry is missing", "train again") from None
        return found


@contextmanager
def _whole_folder(out: Path, form: str) -> Iterator[Path]:
    """Yield a draft folder that replaces `out` at the end; nothing is left behind on failure."""
    check_target(out, form)
    out = out.absolute()
    draft, old = (out.with_name(f".{out.name}.{kind}-{uuid.uuid4().hex[:8]}") for kind in ("new", "old"))
    try:
        draft.mkdir(parents=True)
        yield draft
        if out.exists():
            out.rename(old)
        draft.rename(out)
    except OSError as error:
        if old.exists() and not out.exists():
            old.rename(out)
        raise OutputRefused(f"{out} cannot be written ({error.strerror or error}); name another with --out") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_target(out: Path, form: str) -> None:
    """Raise OutputRefused where `out` cannot be written, or holds something else."""
    if out.exists() and not out.is_dir():
        raise OutputRefused(f"{out} is a file; name a folder with --out")
    if out.is_dir() and any(out.iterdir()):
        try:
            Saved.load(out, form)
        except BadData:
            raise OutputRefused(f"{out} is not empty and holds something else; name another folder") from None
    nearest = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK):
        raise OutputRefused(f"{out} cannot be written (no permission for {nearest}); name another folder with --out")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _perform(prepared: run.Prepared, kinds: Sequence[str], listener: Listener | None) -> None:
    """Run the steps of some kinds; raise the first failure."""
    made = prepared.plan
    wanted = {key: step for key, step in made.steps.items() if step.kind in kinds}
    runner: Executor = registry().get("executor", "local")()
    context = Context(made.request.device, made.request.threads)
    outcome = runner.run(wanted, prepared.store, context, 1, listener or run.Silent())
    for reason in outcome.failed.values():
        raise RecshieldError(reason)


def _describe(about: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(about, indent=1, sort_keys=True, default=str)
    (folder / _ABOUT).write_text(text + "\n", encoding="utf-8")


def train(system: str, out: Path, request: Mapping[str, Any], listener: Listener | None = None) -> Saved:
    """Train one system and save it.

    Args:
        system: for example `mf+advreg:eps=0.5`.
        out: folder to write; an earlier system there is replaced.
        request: arguments of `run.prepare` but models, attacks, defenses, budget, goal and controls; one seed.
        listener: hears how far the work is.

    Raises:
        RecshieldError: bad input, a failed training, or a folder that cannot be written.
    """
    check_target(out, SYSTEM)
    prepared = run.prepare(models=[system], controls="none", **request)
    _one_of_each(prepared)
    _perform(prepared, ("data", "select", "train"), listener)
    store = prepared.store
    with _whole_folder(out, SYSTEM) as draft:
        trained: list[dict[str, Any]] = []
        for step in _of_kind(prepared, "train"):
            entry = store.need(step.key)
            name = f"weights-{len(trained)}.safetensors"
            shutil.copyfile(entry.file("model.safetensors"), draft / name)
            digest = _digest(draft / name)
            trained.append({"identity": step.spec["identity"], "file": name, "digest": digest, "facts": entry.facts})
        about = {"format": SYSTEM, "system": system, "request": dict(request), "trained": trained}
        about |= {"data": prepared.manifest["data"]["fingerprint"], "versions": prepared.manifest["versions"]}
        _describe(about, draft)
    return Saved.load(out, SYSTEM)


def _of_kind(prepared: run.Prepared, kind: str) -> list[Step]:
    return [step for step in prepared.plan.steps.values() if step.kind == kind]


def _one_of_each(prepared: run.Prepared) -> None:
    if len(prepared.plan.main()) != 1:
        raise BadValue("one stage handles one system, one seed and a split with one fold; `recshield matrix` crosses")


def _prepared(saved: Saved, **more: Any) -> run.Prepared:
    """Return the plan of a saved system; its data must be what it was trained on."""
    request = saved.about.get("request")
    if not isinstance(request, dict):
        raise BadData.at(saved.folder / _ABOUT, None, "the request is missing", "train again")
    arguments = {**request, **more}
    prepared = run.prepare(models=[str(saved.about["system"])], controls="none", imports=saved.imports(), **arguments)
    if prepared.manifest["data"]["fingerprint"] != saved.about["data"]:
        raise BadData(f"the data are not those that {saved.folder} was trained on; name the same with --data-dir")
    if _of_kind(prepared, "train"):
        raise BadData.at(saved.folder, None, "it does not hold every training of its system", "train again")
    return prepared


def attack(folder: Path, attack: str, out: Path, request: Mapping[str, Any], listener: Listener | None = None) -> Saved:
    """Attack a saved system and save the perturbation.

    Args:
        folder: a saved system.
        attack: for example `pgd:steps=40`.
        out: folder to write; an earlier perturbation there is replaced.
        request: `budget` (one size), `goal`, and what else of the system's request is to be another (data_dir, device).
        listener: hears how far the work is.

    Raises:
        RecshieldError: bad input, an attack that cannot be, or a folder that cannot be written.
    """
    check_target(out, PERTURBATION)
    saved = Saved.load(folder, SYSTEM)
    prepared = _prepared(saved, attacks=[attack], **request)
    cells = [cell for cell in prepared.plan.main() if cell.attack]
    if not cells:
        raise BadValue("; ".join(skip.reason for skip in prepared.plan.skips))
    if len(cells) > 1:
        raise BadValue("one attack at one size makes one perturbation; `recshield matrix` crosses several")
    members = [part.text for part in cells[0].attack.members] if cells[0].attack else []
    if members:
        raise BadValue(f"attack '{attack}' has no perturbation of its own; name one of {', '.join(members)}")
    _perform(prepared, ("data", "import", "attack"), listener)
    entry = prepared.store.need(prepared.plan.steps_of[cells[0].id].attack)
    with _whole_folder(out, PERTURBATION) as draft:
        shutil.copyfile(entry.file("delta.safetensors"), draft / "delta.safetensors")
        about = {"format": PERTURBATION, "system": saved.about["system"], "attack": cells[0].attack.text}  # type: ignore[union-attr]
        about |= {"norm": cells[0].norm, "goal": cells[0].goal, "surface": cells[0].target, "facts": entry.facts}
        about |= {"digest": _digest(draft / "delta.safetensors"), "state": _state(saved)}
        _describe(about, draft)
    return Saved.load(out, PERTURBATION)


def _state(saved: Saved) -> list[str]:
    return [str(held["digest"]) for held in saved.about["trained"]]


def evaluate(
    folder: Path, perturbation: Path | None, metrics: Sequence[str], request: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return clean and attacked figures of a saved system, one row per metric; they carry no verdict.

    Args:
        folder: a saved system.
        perturbation: a saved perturbation of this very system; None = clean figures alone.
        metrics: for example `["ndcg@100"]`.
        request: what of the system's request is to be another (data_dir, device).

    Raises:
        RecshieldError: bad input, or a perturbation of another system.
    """
    saved = Saved.load(folder, SYSTEM)
    prepared = _prepared(saved, metrics=list(metrics), **request)
    _perform(prepared, ("data", "import"), None)
    store, made = prepared.store, prepared.plan
    data, test = load_data(store.need(made.data_keys[0]))
    measured = next(step for step in made.steps.values() if step.kind == "measure")
    context = Context(made.request.device, made.request.threads)
    model = load_system(measured.spec["system"], store, data, context)
    views = {"clean": View()}
    if perturbation is not None:
        views["attacked"] = model.lower(View(_delta(Saved.load(perturbation, PERTURBATION), saved, context)))
    figures: dict[str, dict[str, float]] = {}
    for name, view in views.items():
        device, data_seed = torch.device(context.device), made.request.data_seed
        found = measure_all(_scorer(model, view), data.train, test, prepared.metrics, device, data_seed)
        figures[name] = {metric: figure.value for metric, figure in found.items()}
    return [
        {"metric": str(metric)} | {name: held[str(metric)] for name, held in figures.items()}
        for metric in prepared.metrics
    ]


def _scorer(model: Any, view: View) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda users: model.score(users, view)


def _delta(held: Saved, system: Saved, context: Context) -> dict[str, torch.Tensor]:
    if held.about.get("state") != _state(system):
        raise BadData.at(held.folder, None, f"it was made for other weights than {system.folder}", "attack it again")
    path = held.folder / "delta.safetensors"
    try:
        if _digest(path) != held.about.get("digest"):
            raise BadData.at(path, None, "it does not match its recorded hash", "attack again")
        return {name: value.to(context.device) for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise BadData.at(path, None, f"cannot be read ({error})", "attack again") from None
