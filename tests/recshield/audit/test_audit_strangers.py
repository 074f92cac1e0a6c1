"""A stranger's check or metric that raises is named, and takes no run with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

import recshield
from recshield.audit import Check, Finding
from recshield.audit.check import Facts
from recshield.core.errors import PluginFailed
from recshield.evaluation import Metric
from recshield.evaluation.ranking import Ranks
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results
from recshield.run import MatrixRun

Plant = Callable[[str, type], None]


class Careless(Check):
    """Reads what is not there."""

    number, name, description = 101, "CARELESS", "is careless"

    def judge(self, facts: Facts, results: Results) -> Finding:
        return Finding("pass", str(facts["no such fact"]))

    def judge_run(self, results: Results, by_cell: Mapping[str, str]) -> Finding | None:
        raise ValueError("of two\nlines")


class Greedy(Careless):
    """Fails when asked for the cells it needs."""

    name = "GREEDY"

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        raise IndexError("no cell")


class Broken(Metric):
    """Raises."""

    name, description = "broken", "raises"

    def per_user(self, ranks: Ranks, k: int) -> None:  # type: ignore[override]
        raise AttributeError("no such column")


def run(metrics: str = "ndcg@100") -> MatrixRun:
    return recshield.run_matrix(
        "mf", "fgsm", dataset="synthetic", metrics=metrics, overrides=("mf.epochs=60", "mf.dims=16")
    )


def test_a_check_that_raises_is_named_and_the_run_goes_on(plant: Plant) -> None:
    plant("check", Careless)
    made = run()
    of_cell, of_run = made.verdicts[made.verdicts["check"] == "CARELESS"].to_dict("records")
    assert of_cell["verdict"] == of_run["verdict"] == "not run"
    assert of_cell["sentence"] == "not run: check 'CARELESS' of tests raised KeyError: 'no such fact'"
    assert of_run["sentence"] == "not run: check 'CARELESS' of tests raised ValueError: of two lines"
    assert set(made.table[(made.table["attack"] == "fgsm") & ~made.table["is_control"]]["verdict"]) == {"pass"}


def test_a_check_that_cannot_say_what_it_needs_is_named_before_anything_is_computed(plant: Plant) -> None:
    plant("check", Greedy)
    with pytest.raises(PluginFailed, match="check 'GREEDY' of tests raised IndexError: no cell when asked"):
        run()


def test_a_metric_that_raises_is_named(plant: Plant) -> None:
    plant("metric", Broken)
    with pytest.raises(PluginFailed, match="metric 'broken' raised AttributeError: no such column; leave it out"):
        run("ndcg@100,broken@10")
