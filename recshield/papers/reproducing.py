"""Run the requests behind a published table and put what was measured beside what was published."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recshield import run
from recshield.core.errors import RecshieldError
from recshield.data.catalogue import resolve
from recshield.evaluation.metrics import MetricAtK
from recshield.matrix.plan import Plan
from recshield.matrix.systems import read_overrides
from recshield.papers.asking import Ask, Batch, batches, why_not
from recshield.papers.tables import Claim, Paper, Row
from recshield.run import MatrixRun, Prepared

Perform = Callable[[Prepared], MatrixRun]


@dataclass(frozen=True)
class Answer:
    """What became of one figure.

    Attributes:
        values: one per seed; empty where it was not measured.
        seconds: of all steps behind it, those included that other figures share.
        verdict: of the audit, with the checks that failed; "" where nothing was judged.
        reason: why it was not measured.
    """

    values: tuple[float, ...] = ()
    seconds: float = 0.0
    verdict: str = ""
    reason: str = ""

    @property
    def value(self) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.values)) if self.values else math.nan


@dataclass(frozen=True)
class Figure:
    """A published figure and what was measured for it.

    Attributes:
        row: of the table.
        metric: which of its figures.
        selection: how epochs were chosen.
        dataset: where it was measured; another one than the paper's where `is_instead`.
        is_instead: the paper's data are not here; only the shape of the table can be compared.
        missing: why they are not here.
        answer: what was measured.
    """

    row: Row
    metric: str
    selection: str
    dataset: str
    is_instead: bool
    missing: str
    answer: Answer

    @property
    def published(self) -> float:
        """The published figure."""
        return self.row.published[self.metric]


@dataclass(frozen=True)
class Claimed:
    """A claim and the two figures behind it."""

    claim: Claim
    selection: str
    dataset: str
    is_instead: bool
    lower: Answer
    higher: Answer


@dataclass
class Reproduction:
    """A paper beside what was measured.

    Attributes:
        name: of the paper's file.
        paper: what was published.
        is_quick: trained for a small share of the epochs; nothing is comparable.
        figures: one per row, metric and selection.
        claims: one per claim and selection.
        failed: steps that failed.
        manifests: of the runs behind it, by name.
        missing: data set of the paper -> why it is not here.
    """

    name: str
    paper: Paper
    is_quick: bool
    figures: list[Figure] = field(default_factory=list)
    claims: list[Claimed] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def reproduce(
    name: str,
    paper: Paper,
    *,
    data_dir: str | None = None,
    is_quick: bool = False,
    seeds: Sequence[int] | None = None,
    out: Path | None = None,
    common: Mapping[str, Any] | None = None,
    perform: Perform = run.execute,
) -> Reproduction:
    """Run a paper's requests and return published beside measured; finished steps are taken from the store.

    Args:
        name: of the paper's file.
        paper: from `find`.
        data_dir: folder of the named data sets; default: the variable RECSHIELD_DATA.
        is_quick: few epochs, one seed, no selection: shows that it runs, and nothing more.
        seeds: in place of the paper's.
        out: folder to save the runs in, one folder each.
        common: more options of `recshield matrix` for all requests, for example `device`.
        perform: runs a prepared request.

    Raises:
        RecshieldError: the output cannot be written.
    """
    made = Reproduction(name, paper, is_quick)
    places = {key: _place(paper, key, data_dir) for key in paper.data}
    made.missing = {key: missing for key, (_, _, missing) in places.items() if missing}
    asked = list(_asked(paper, places, is_quick, seeds))
    overrides = read_overrides(paper.options.get("set", []))
    answers: dict[Ask, Answer] = {}
    for ask in dict.fromkeys(ask for _, _, _, asks in asked for ask in asks):
        reason = why_not(ask, overrides) if ask.dataset else "no data set stands in for it"
        if reason:
            answers[ask] = Answer(reason=reason)
    wanted = [ask for _, _, _, asks in asked for ask in asks if ask not in answers]
    options = {"data_dir": data_dir, **(common or {})}
    options = {key: value for key, value in options.items() if value is not None}
    for place, batch in enumerate(batches(wanted, paper, options, is_quick=is_quick)):
        answers |= _answers(batch, made, perform, None if out is None else out / f"{place}-{batch.name}")
    for one, metric, selection, asks in asked:
        dataset, is_instead, missing = places[one.data]
        if isinstance(one, Row):
            made.figures.append(Figure(one, metric, selection, dataset, is_instead, missing, answers[asks[0]]))
        else:
            made.claims.append(Claimed(one, selection, dataset, is_instead, answers[asks[0]], answers[asks[1]]))
    return made


def _place(paper: Paper, key: str, data_dir: str | None) -> tuple[str, bool, str]:
    """Return the data set to measure on, whether it only stands in, and why the paper's is not here."""
    data = paper.data[key]
    missing = data.about
    if data.dataset:
        try:
            resolve(data.dataset, data_dir)
            return data.dataset, False, ""
        except RecshieldError as error:
            missing = str(error)
    if data.instead:
        try:
            resolve(data.instead, data_dir)
        except RecshieldError as error:
            return "", True, f"{missing}; and in its place: {error}"
    return data.instead, True, missing


_Asked = tuple[Row | Claim, str, str, tuple[Ask, ...]]


def _asked(
    paper: Paper, places: Mapping[str, tuple[str, bool, str]], is_quick: bool, seeds: Sequence[int] | None
) -> Iterable[_Asked]:
    rows: list[Row | Claim] = [*paper.figures, *paper.claims]
    for one in rows:
        drawn = list(seeds or one.seeds or paper.seeds)
        drawn = drawn[:1] if is_quick else drawn
        dataset, is_instead, _ = places[one.data]
        wanted = ["fixed"] if is_quick else list(one.selections or paper.selections)
        if is_instead:  # figures that cannot be compared need no choice on test rows
            wanted = [selection for selection in wanted if selection != "test"] or ["validation"]
        for selection in wanted:
            if isinstance(one, Claim):
                sides = tuple(Ask.of(side, side.metric, dataset, selection, drawn) for side in (one.lower, one.higher))
                yield one, "", selection, sides
                continue
            for metric in one.published:
                yield one, metric, selection, (Ask.of(one, metric, dataset, selection, drawn),)


def _answers(batch: Batch, made: Reproduction, perform: Perform, out: Path | None) -> dict[Ask, Answer]:
    try:
        prepared = run.prepare(**batch.request.request())
        done = perform(prepared)
    except RecshieldError as error:
        return dict.fromkeys(batch.asks, Answer(reason=str(error)))
    if out is not None:
        done.save(out)
    made.failed += [text for text in done.manifest["failed"] if text not in made.failed]
    made.manifests[f"{len(made.manifests)}-{batch.name}"] = done.manifest
    overrides = read_overrides(batch.request.overrides)
    return {ask: _answer(ask, prepared.plan, done, overrides) for ask in batch.asks}


def _answer(ask: Ask, plan: Plan, done: MatrixRun, overrides: Mapping[str, Mapping[str, str]]) -> Answer:
    metric = MetricAtK.parse(ask.metric)
    table = done.table[(done.table["metric"] == metric.column) & (done.table["k"] == metric.k)].set_index("cell")
    values, seconds, verdicts = [], 0.0, []
    for seed in ask.seeds:
        cell = ask.cell(seed, overrides)
        if cell.id not in table.index:
            return Answer(reason=_why_not_there(ask, done))
        column = "relative_change" if ask.is_change else "attacked" if ask.attack else "clean"
        values.append(float(table[column][cell.id]))
        seconds += _seconds(plan, done, (cell.id, cell.clean().id))
        verdicts.append(_verdict(cell.id, done))
    return Answer(tuple(values), seconds, "; ".join(dict.fromkeys(filter(None, verdicts))))


def _why_not_there(ask: Ask, done: MatrixRun) -> str:
    skips = done.manifest["skipped"]
    found = [one["reason"] for one in skips if one["system"] == ask.system and one["attack"] in ("", ask.attack)]
    return "; ".join(found) or "; ".join(done.manifest["failed"]) or "its cell is not in the run"


def _verdict(cell: str, done: MatrixRun) -> str:
    """Return the audit's verdict with the checks that failed; a clean cell is judged on how it was selected alone."""
    facts = done.results.facts(cell)
    if facts is not None and facts["attack"] == "none":
        return "LEAKAGE" if facts["selection"] == "test" else ""
    found = done.verdicts[done.verdicts["cell"] == cell]
    word = str(done.table[done.table["cell"] == cell]["verdict"].iloc[0])
    failed = list(found[found["verdict"] == "fail"]["check"])
    return f"{word}: {', '.join(failed)}" if failed else word


def _seconds(plan: Plan, done: MatrixRun, cells: Iterable[str]) -> float:
    """Return the seconds of the steps behind cells, without reading the data."""
    seconds = dict(zip(done.timings["step"], done.timings["seconds"], strict=True))
    waiting = [key for cell in cells for key in _keys(plan, cell)]
    seen: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key and key not in seen:
            seen.add(key)
            waiting += plan.steps[key].parents
    return math.fsum(seconds.get(key, 0.0) for key in seen if plan.steps[key].kind != "data")


def _keys(plan: Plan, cell: str) -> list[str]:
    held = [plan.steps_of[one] for one in (cell, *plan.members.get(cell, []))]
    return [key for steps in held for key in (steps.train, steps.attack, steps.measure)]
