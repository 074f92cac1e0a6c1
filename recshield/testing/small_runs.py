"""A small real run, computed once per process, for the checks of audit checks, report formats and executors."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from recshield.matrix.store import Store
from recshield.report.content import Report
from recshield.report.reading import Reading
from recshield.report.writing import compose
from recshield.run import MatrixRun, Prepared, execute, prepare

#: Enough training to have figures, not enough to have good ones.
_SHORT = ("mf.epochs=2", "mf.dims=8")


def prepared(models: tuple[str, ...] = ("popular", "mf"), attacks: tuple[str, ...] = ("noise", "fgm")) -> Prepared:
    """Return a planned request on the data set `synthetic`."""
    return prepare(models=models, attacks=attacks, dataset="synthetic", budget=["l2:0.5"], overrides=_SHORT)


def stored_in(made: Prepared, folder: Path) -> Prepared:
    """Return a planned request whose steps are stored in a folder of their own."""
    return dataclasses.replace(made, store=Store(folder))


@functools.cache
def small_run() -> MatrixRun:
    """Return two systems under two attacks, judged; steps that are in the store already are reused."""
    return execute(prepared())


@functools.cache
def judged_run() -> tuple[Prepared, MatrixRun]:
    """Return a plan and its run with what audit checks look at: a defended twin, one step and several, questions."""
    made = prepare(
        models=("popular", "mf", "amf"),
        attacks=("noise", "fgsm", "pgd:steps=3", "search"),
        dataset="synthetic",
        budget=["l2:0.5,1"],
        overrides=(*_SHORT, "advreg.epochs=2"),
    )
    return made, execute(made)


@functools.cache
def clean_run() -> MatrixRun:
    """Return one system without an attack."""
    return execute(prepared(("popular",), ()))


def report_of(made: MatrixRun) -> Report:
    """Return the report of a run."""
    return compose([Reading("small", made.results, made.verdicts, made.manifest)], "A small run")


@functools.cache
def small_report() -> Report:
    """Return the report of the small run."""
    return report_of(small_run())
