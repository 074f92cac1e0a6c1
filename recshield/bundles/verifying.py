"""Check a bundle on this machine: hashes, data, budgets, and every figure measured again; its code is never loaded."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from recshield import run
from recshield.bundles import opening
from recshield.bundles.about import ABOUT, About, keep_cells, read, request_of
from recshield.bundles.comparing import Finding, compare
from recshield.bundles.features import take_over_features
from recshield.bundles.taking import budgets, take_over, unlike_the_replayed
from recshield.core.errors import BadData, RecshieldError, in_one_line
from recshield.core.registry import registry
from recshield.core.threads import threads
from recshield.folders import digest_of
from recshield.matrix.executors import Executor, Listener
from recshield.matrix.loading import Context
from recshield.matrix.request import Import
from recshield.matrix.results import collect
from recshield.matrix.store import Store
from recshield.run import MatrixRun, Prepared


@dataclass
class Verified:
    """What was found, in order.

    Attributes:
        findings: one sentence each, and whether it is as it should be.
        digest: SHA-256 of the archive.
    """

    digest: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing differs."""
        return all(finding.is_sound for finding in self.findings)


def verify(
    archive: Path,
    *,
    data_dir: str | None = None,
    dataset: str = "",
    images: str = "",
    categories: str = "",
    digest: str = "",
    device: str = "",
    tolerance: float = 0.0,
    is_replayed: bool = False,
    listener: Listener | None = None,
) -> Verified:
    """Check a bundle, with nothing but its data: the cache is neither read nor written.

    Args:
        archive: what `recshield bundle` wrote.
        data_dir: folder of the named data sets; default: the variable RECSHIELD_DATA.
        dataset: the data, where the run was made on a path: a name or path here.
        images: folder of the images here, where the run named one.
        categories: file of the categories here, where the run named one.
        digest: SHA-256 that the archive must have.
        device: default: the run's, or the CPU where that device is not here.
        tolerance: largest relative difference of a figure; 0 = to the last digit.
        is_replayed: compute every perturbation again from its seed, not only where a sample was kept or eps hangs on
            the model.
        listener: hears how far the work is.

    Raises:
        BadData: no bundle, or one that recshield would never write.
        RecshieldError: its data, models or attacks are not here.
    """
    if not archive.is_file():
        raise BadData.at(archive, None, "no such file", "give what `recshield bundle` wrote")
    made = Verified(digest_of(archive))
    if digest and made.digest != digest.strip().lower():
        made.findings.append(Finding(False, f"the archive's digest is {made.digest}, not {digest.strip().lower()}"))
        return made
    with tempfile.TemporaryDirectory(prefix="recshield-bundle-") as name:
        folder, store = Path(name) / "run", Store(Path(name) / "store")
        folder.mkdir()
        damaged = opening.unpack(archive, folder)
        if not _match(made, folder, damaged, archive):
            return made
        about = read(folder / ABOUT, archive)
        held = _loaded(made, folder)
        if held is None:
            return made
        here = {"dataset": dataset, "images": images, "categories": categories, "device": device}
        prepared = _prepared(about, folder, store, data_dir, here)
        _check(made, about, held, prepared, folder, Check(tolerance, is_replayed, listener or run.Silent()))
    return made


@dataclass(frozen=True)
class Check:
    """How strictly to look, and who hears of it."""

    tolerance: float
    is_replayed: bool
    listener: Listener


def _match(made: Verified, folder: Path, damaged: list[str], archive: Path) -> bool:
    """Compare every file with its recorded hash; only a bundle whose files match is looked into."""
    for name in damaged:
        made.findings.append(Finding(False, f"{name} does not match its checksum: it was damaged or changed"))
    if ABOUT in damaged:
        return False
    about = read(folder / ABOUT, archive)
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {ABOUT}
    for name in sorted(here ^ set(about.files)):
        said = "is not in the bundle" if name in about.files else "is in the bundle and not in its list"
        made.findings.append(Finding(False, f"{name} {said}"))
    wrong = [name for name in sorted(here & set(about.files)) if digest_of(folder / name) != about.files[name].sha256]
    for name in wrong:
        if name not in damaged:
            made.findings.append(Finding(False, f"{name} does not match its recorded hash: it was changed"))
    if made.is_sound:
        made.findings.append(Finding(True, f"hashes: all {len(about.files)} files match"))
    return made.is_sound


def _loaded(made: Verified, folder: Path) -> MatrixRun | None:
    try:
        held = MatrixRun.load(folder)
        held.results.cells()
    except BadData as error:
        made.findings.append(Finding(False, str(error).replace(f"{folder}/", "").replace(f"{folder}: ", "")))
        return None
    except (KeyError, TypeError, ValueError) as error:
        made.findings.append(Finding(False, f"tables: they cannot be read ({in_one_line(error)})"))
        return None
    made.findings.append(Finding(True, "tables: every mean is that of its users' values"))
    return held


def _prepared(about: About, folder: Path, store: Store, data_dir: str | None, here: dict[str, str]) -> Prepared:
    """Return the plan of the request with the stored weights in place of trainings, in a store of its own.

    `here`: what the request names by a place that may be another one on this machine; empty = as the request has it.
    """
    if not here["dataset"] and about.request.dataset not in registry().found["dataset"]:
        named = about.request.dataset
        raise BadData(f"the run was made on '{named}', no named data set; name the same rows here with --dataset")
    is_here = about.request.device == "cpu" or torch.cuda.is_available()
    more: dict[str, Any] = {"data_dir": data_dir, "device": about.request.device if is_here else "cpu", "curve": 0}
    more |= {key: value for key, value in here.items() if value}
    imports = {
        held.identity: Import(str(folder / held.file), held.digest, held.facts.model_dump()) for held in about.trained
    }
    prepared = run.prepare(**about.request.model_copy(update=more).request(), imports=imports)
    return Prepared(prepared.plan, prepared.metrics, store, prepared.manifest)


def _check(made: Verified, about: About, held: MatrixRun, prepared: Prepared, folder: Path, check: Check) -> None:
    say = made.findings.append
    made.findings += _as_asked(about, held, prepared)
    if not made.is_sound:
        return
    cells, planned = set(held.results.steps["cell"]), {cell.id for cell in prepared.plan.cells}
    if cells - planned:
        say(Finding(False, f"{len(cells - planned)} cells of the tables are not what the request asks for"))
        return
    lacking, failed = planned - cells, held.manifest.get("failed")
    if lacking:
        said = f"{len(lacking)} cells that the request asks for are not in the tables"
        say(Finding(bool(failed), said + (": the run says that steps failed" if failed else "")))
    keep_cells(prepared.plan, cells)
    untrained = [step.label for step in prepared.plan.steps.values() if step.kind in ("train", "select")]
    if untrained:
        say(Finding(False, f"the weights of '{untrained[0]}' are not in the bundle"))
        return
    with threads(prepared.plan.request.threads):
        _perform(prepared, ("data",), check.listener)
        rows = [prepared.store.need(key).facts["rows"] for key in prepared.plan.data_keys]
        if rows != about.rows:
            say(Finding(False, "the training and test rows here are not those of the run"))
            return
        say(Finding(True, "data: the same training and test rows"))
        _perform(prepared, ("images",), check.listener)
        made.findings += take_over_features(prepared, about, folder)
        if not made.is_sound:
            return
        _perform(prepared, ("import",), check.listener)
        replayed = take_over(prepared, held, is_replayed=check.is_replayed)
        _perform(prepared, ("attack", "measure"), check.listener)
        made.findings += budgets(prepared)
        made.findings += unlike_the_replayed(prepared, held, replayed, check.tolerance)
        outcome = (
            registry()
            .get("executor", "local")()
            .run(prepared.plan.steps, prepared.store, _context(prepared), 1, run.Silent())
        )
        results = collect(prepared.plan, prepared.store, outcome, prepared.metrics)
    again = MatrixRun(results, held.verdicts.iloc[:0])
    again.audit()
    made.findings += compare(held, again, replayed, check.tolerance)
    n_taken = sum(bool(prepared.plan.steps_of[cell].attack) for cell in cells) - len(replayed)
    said = f"attacks: {len(replayed)} replayed from their seeds, {n_taken} taken as stored"
    rest = " (losses and norms before projection stand as recorded: --replay computes them again)"
    say(Finding(True, said + (rest if n_taken else "")))
    say(Finding(True, "as recorded, not computed again: how models were trained, learning curves, seconds and memory"))


def _as_asked(about: About, held: MatrixRun, prepared: Prepared) -> list[Finding]:
    """Return where manifest, request and trainings do not tell the same."""
    found = []
    if request_of(held.manifest, Path("manifest.json")) != about.request:
        found.append(Finding(False, "the manifest's request is not that of the bundle"))
    selection = prepared.plan.request.selection
    asked = selection.rows if selection else "fixed epochs"
    for one in about.trained:
        if one.facts.selection != asked:
            said = f"a model was selected by '{one.facts.selection}', the request says '{asked}'"
            found.append(Finding(False, said))
    return found


def _context(prepared: Prepared) -> Context:
    return Context(prepared.plan.request.device, prepared.plan.request.threads)


def _perform(prepared: Prepared, kinds: tuple[str, ...], listener: Listener) -> None:
    wanted = {key: step for key, step in prepared.plan.steps.items() if step.kind in kinds}
    runner: Executor = registry().get("executor", "local")()
    outcome = runner.run(wanted, prepared.store, _context(prepared), 1, listener)
    for reason in outcome.failed.values():
        raise RecshieldError(reason)
