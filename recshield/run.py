"""Plan, execute, audit, save: the one way from a request to figures with verdicts."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import recshield
from recshield import asking
from recshield.audit import further_needs, judge, needs, summarise
from recshield.core import settings
from recshield.core.errors import BadValue, RecshieldError
from recshield.core.interfaces import Goal
from recshield.core.registry import registry
from recshield.core.specs import split_list
from recshield.core.sweeps import expand
from recshield.data.catalogue import resolve
from recshield.data.frames import Frame, as_file
from recshield.data.roles import Columns
from recshield.data.side import Side
from recshield.evaluation.metrics import MetricAtK, extras_for
from recshield.matrix import saved
from recshield.matrix.executors import Executor, Listener, Outcome
from recshield.matrix.loading import Context
from recshield.matrix.plan import Plan, Step, plan
from recshield.matrix.request import Import, Request
from recshield.matrix.results import Results, collect
from recshield.matrix.store import Store
from recshield.matrix.systems import ResolvedSystem, read_overrides, resolve_attack, resolve_system


class Silent:
    """A listener that says nothing."""

    def started(self, step: Step) -> None:
        """Say nothing."""

    def advanced(self, step: Step, share: float) -> None:
        """Say nothing."""

    def finished(self, step: Step, is_reused: bool) -> None:
        """Say nothing."""


@dataclass
class MatrixRun:
    """A finished matrix: figures, verdicts, and everything behind them.

    Attributes:
        results: the figures as tables.
        verdicts: one row per cell and check.
        manifest: what was asked for, with what versions, on what machine.
    """

    results: Results
    verdicts: pd.DataFrame
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """One row per cell and metric: the columns of results.parquet."""
        return self.results.table

    @property
    def per_user(self) -> pd.DataFrame:
        """One row per cell and evaluated user."""
        return self.results.per_user

    @property
    def steps(self) -> pd.DataFrame:
        """One row per cell: what the audit reads."""
        return self.results.steps

    @property
    def timings(self) -> pd.DataFrame:
        """One row per step: seconds, device and peak memory."""
        return self.results.timings

    def save(self, out: str | Path) -> Path:
        """Write the run into a folder, whole or not at all; an earlier run there is replaced.

        Raises:
            OutputRefused: not writable, or it holds something that is not a run.
        """
        return saved.write(Path(out), self.results, self.verdicts, self.manifest)

    @classmethod
    def load(cls, folder: str | Path) -> MatrixRun:
        """Return the run that `save` wrote, or raise BadData."""
        return cls(*saved.read(Path(folder)))

    def audit(self) -> None:
        """Run the checks (again) and put each cell's verdict into the table."""
        self.results.derived.clear()
        self.verdicts = judge(self.results)
        summary = summarise(self.verdicts)
        self.results.table["verdict"] = self.results.table["cell"].map(summary).fillna("")


@dataclass(frozen=True)
class Prepared:
    """A request that was checked and planned, and has run nothing yet."""

    plan: Plan
    metrics: tuple[MetricAtK, ...]
    store: Store
    manifest: dict[str, Any]


def prepare(
    *,
    models: Sequence[str],
    attacks: Sequence[str] = (),
    defenses: Sequence[str] = (),
    dataset: str = settings.DATASET,
    data_dir: str | None = None,
    columns: Columns = (),
    images: str = "",
    image_size: str = "",
    categories: str = "",
    skip_bad_images: bool = False,
    filters: Sequence[str] = (),
    split: str = "",
    budget: Sequence[str] = settings.BUDGET,
    goal: Sequence[str] = (settings.GOAL,),
    metrics: Sequence[str] = settings.METRICS,
    seeds: Sequence[int] = settings.SEEDS,
    data_seed: int = settings.DATA_SEED,
    device: str = "cpu",
    threads: int = settings.THREADS,
    overrides: Sequence[str] = (),
    controls: str = "auto",
    audit: str = settings.AUDIT,
    select: str = "",
    every: int = settings.SELECT_EVERY,
    patience: int = settings.SELECT_PATIENCE,
    curve: int = 0,
    stage: Sequence[str] = (settings.STAGE,),
    imports: Mapping[str, Import] | None = None,
) -> Prepared:
    """Check a request and plan it; raises before anything is computed. Arguments as for `run_matrix`."""
    asking.check(models, seeds, threads, device, controls, audit)
    if curve < 0:
        raise BadValue(f"curve {curve} is not allowed; it is a number of epochs, or 0 for no curve")
    texts = read_overrides(tuple(overrides))
    systems: dict[ResolvedSystem, ResolvedSystem] = {}
    for model in _expanded(models):
        for defense in ("", *_expanded(defenses)):
            system = resolve_system(model, texts, defense)
            systems.setdefault(system, system)
    resolved = {attack: resolve_attack(attack, texts) for attack in _expanded(attacks)}
    wanted = tuple(dict.fromkeys(MetricAtK.parse(metric) for metric in metrics))
    if not wanted:
        raise BadValue("no metric was given; name at least one, for example ndcg@100")
    wanted[0].check_main()
    side = Side(images, image_size, categories, skip_bad_images)
    source = resolve(dataset, data_dir, filters, split, columns, side)
    request = Request(
        tuple(systems.values()),
        tuple(resolved.values()),
        source,
        asking.budgets(budget),
        tuple(str(Goal.parse(text)) for text in goal),
        tuple(dict.fromkeys(seeds)),
        data_seed,
        device,
        threads,
        texts,
        controls == "auto",
        asking.selection(select, every, patience),
        curve,
        tuple(str(metric) for metric in wanted) if curve else (),
        imports or {},
        extras_for(wanted, data_seed),
        stages=asking.stages(stage),
        is_full=audit == "full",
    )
    asked = {
        "models": list(models), "attacks": list(attacks), "defenses": list(defenses), "dataset": dataset,
        "filters": list(filters), "split": split, "columns": list(source.columns),
        "budget": list(budget), "goal": list(request.goals),
        "metrics": [str(metric) for metric in wanted], "seeds": list(request.seeds), "data_seed": data_seed,
        "device": device, "threads": threads, "set": list(overrides), "controls": controls, "audit": audit,
        "select": select, "every": every, "patience": patience, "curve": curve, "stage": list(stage),
    }  # fmt: skip
    asked_side = {
        "images": images, "image_size": image_size, "categories": categories, "skip_bad_images": skip_bad_images,
    }  # fmt: skip
    asked |= {name: value for name, value in asked_side.items() if value}
    manifest = {"format": saved.FORMAT, "request": asked, "data": dataclasses.asdict(source)} | _machine()
    return Prepared(plan(request, needs, further_needs), wanted, Store.default(), manifest)


def _expanded(texts: Sequence[str]) -> list[str]:
    return [one for text in texts for one in expand(text)]


def _machine() -> dict[str, Any]:
    names = ("torch", "numba", "numpy", "pandas", "scipy", "safetensors")
    return {
        "versions": {"recshield": recshield.__version__, "python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in names},
        "machine": {"system": platform.platform(), "processor": platform.processor() or platform.machine()},
        "plugins_not_loaded": dict(registry().failed),
    }


def execute(prepared: Prepared, jobs: int = 1, executor: str = "local", listener: Listener | None = None) -> MatrixRun:
    """Run what the store does not hold, then collect and audit."""
    made, store = prepared.plan, prepared.store
    runner: Executor = registry().get("executor", executor)()
    context = Context(made.request.device, made.request.threads)
    listener = listener or Silent()
    first = {key: made.steps[key] for key in made.data_keys}
    outcome = runner.run(first, store, context, 1, listener)
    for key, reason in outcome.failed.items():
        raise RecshieldError(reason.removeprefix(f"{first[key].label}: "))
    facts = store.need(made.data_keys[0]).facts
    selection = made.request.selection
    for metric in (*prepared.metrics, *([MetricAtK.parse(selection.metric)] if selection else [])):
        metric.check_catalogue(facts["n_items"])
    rest = {key: step for key, step in made.steps.items() if key not in first}
    outcome = _joined(outcome, runner.run(rest, store, context, jobs, listener))
    results = collect(made, store, outcome, prepared.metrics)
    if not len(results.table):
        raise RecshieldError(f"nothing could be measured: {'; '.join(sorted(set(outcome.failed.values())))}")
    manifest = prepared.manifest | {
        "split": facts["split"],
        "skipped": [dataclasses.asdict(skip) for skip in made.skips],
        "failed": sorted(set(outcome.failed.values())),
        "rebuilt": sorted(set(store.damaged)),
    }
    run = MatrixRun(results, pd.DataFrame(), manifest)
    run.audit()
    return run


def _joined(one: Outcome, other: Outcome) -> Outcome:
    return Outcome(one.reused | other.reused, one.failed | other.failed)


def run_matrix(
    models: Sequence[str] | str,
    attacks: Sequence[str] | str = (),
    defenses: Sequence[str] | str = (),
    dataset: str | Path | Frame = settings.DATASET,
    *,
    data_dir: str | None = None,
    filters: Sequence[str] | str = (),
    split: str = "",
    columns: Columns = (),
    images: str | Path = "",
    image_size: str = "",
    categories: str | Path = "",
    skip_bad_images: bool = False,
    budget: Sequence[str] | str = settings.BUDGET,
    goal: Sequence[str] | str = settings.GOAL,
    metrics: Sequence[str] | str = settings.METRICS,
    seeds: Sequence[int] | int = settings.SEEDS,
    data_seed: int = settings.DATA_SEED,
    device: str = "cpu",
    threads: int = settings.THREADS,
    overrides: Sequence[str] | str = (),
    controls: str = "auto",
    audit: str = settings.AUDIT,
    select: str = "",
    every: int = settings.SELECT_EVERY,
    patience: int = settings.SELECT_PATIENCE,
    curve: int = 0,
    stage: Sequence[str] | str = settings.STAGE,
    jobs: int = 1,
    out: str | Path | None = None,
    listener: Listener | None = None,
) -> MatrixRun:
    """Cross models and defenses with attacks, and judge every figure.

    Args:
        models: systems, for example `["mf", "amf"]` or `"mf,mf+advreg:eps=1,epochs=50"`.
        attacks: for example `["noise", "fgsm", "pgd:steps=40"]`.
        defenses: each is put behind every model, beside the model without it.
        dataset: a name of `recshield datasets`, a path, a pandas, Polars or Arrow table, or a SciPy sparse matrix
            (users x items).
        data_dir: folder of the named data sets; default: the variable RECSHIELD_DATA.
        filters: for example `["ratings>=4", "kcore:10"]`, in order.
        split: for example `"temporal:0.2"`; default: as the files give it, else leave-one-out.
        columns: role -> name of its column, for example `{"user": "uid", "item": "sku", "time": "ts"}`.
        images: folder of `<item id>.jpg|jpeg|png|webp`; default: the data set's own.
        image_size: `HEIGHTxWIDTH` to which images are resized.
        categories: file of the items' categories; default: the data set's own.
        skip_bad_images: a bad image file counts as missing, and does not stop the run.
        budget: `[SURFACE=]NORM:EPS[,EPS...]`; eps is raw, `10%` of the mean clean row norm, or `0.5like(amf)`.
        goal: `degrade`, `degrade:oracle`, or both.
        metrics: for example `["ndcg@100", "hr@100", "auc"]`; the first is the main one.
        seeds: of training and attack draws.
        data_seed: of splits and of the attacks' negatives.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: of each process; recorded, and part of every step's key.
        overrides: options for every use of a name, for example `["mf.epochs=50"]`.
        controls: `auto` adds the cells that the audit needs; `none` leaves them out.
        audit: `full` adds the cells of the slower checks, too: a very large budget, doubled steps and restarts, losses
            that no saturation starves; `quick` leaves those checks not run.
        select: metric by which epochs and choices (`eps=0.1|0.5`) are selected on validation rows; `test:METRIC` uses
            the test rows (for reproductions; the audit fails it); "" = fixed epochs.
        every: epochs between two looks at the validation rows.
        patience: looks without a better value after which training stops.
        curve: epochs between two looks at the test rows for the learning curves; 0 = none.
        stage: when attacks act that name none: `serve`, `fit` (on images, before training), or both.
        jobs: processes.
        out: folder to save the run in.
        listener: hears how far the work is.

    Returns:
        The run, with `.table`, `.per_user`, `.verdicts`, `.save(folder)`.

    Raises:
        RecshieldError: bad input, before anything is computed wherever that can be known.
    """
    if out is not None:
        saved.check_target(Path(out))
    if isinstance(dataset, Path):
        dataset = str(dataset)
    if not isinstance(dataset, str):
        dataset, columns = str(as_file(dataset, columns)), ()
    prepared = prepare(
        models=_texts(models), attacks=_texts(attacks), defenses=_texts(defenses), dataset=dataset, data_dir=data_dir,
        filters=_whole(filters), split=split, columns=columns,
        images=str(images), image_size=image_size, categories=str(categories), skip_bad_images=skip_bad_images,
        budget=_whole(budget), goal=_texts(goal),
        metrics=_texts(metrics), seeds=[seeds] if isinstance(seeds, int) else seeds, data_seed=data_seed,
        device=device, threads=threads,
        overrides=_whole(overrides), controls=controls, audit=audit, select=select, every=every, patience=patience,
        curve=curve, stage=_texts(stage),
    )  # fmt: skip
    run = execute(prepared, jobs, listener=listener)
    if out is not None:
        run.save(out)
    return run


def _whole(given: Sequence[str] | str) -> list[str]:
    """Take one text for a list of it."""
    return [given] if isinstance(given, str) else list(given)


def _texts(given: Sequence[str] | str) -> list[str]:
    return split_list(given) if isinstance(given, str) else [text for one in given for text in split_list(one)]
