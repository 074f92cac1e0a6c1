"""The ensemble `auto`: each user's worst over its members, and verdicts from theirs; on the embedded data."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import recshield
from recshield.cli.app import app
from recshield.evaluation.metrics import Figure, MetricAtK
from recshield.matrix.ensembles import joined, worst
from recshield.run import MatrixRun, prepare

SHORT = ("mf.epochs=25", "mf.dims=8")
BUDGET, METRICS = "l2:40%", ("ndcg@100", "hr@100")
MEMBERS = ("fgm", "fgm:loss=top", "apgd", "apgd:loss=top", "noise", "noise:draw=1", "noise:draw=2")
ORDER = ("pass", "warn", "not run", "fail")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of `auto` beside `noise`, which is one of its members."""
    folder = tmp_path_factory.mktemp("ensembles") / "auto"
    recshield.run_matrix("mf,popular", "auto,noise", budget=BUDGET, overrides=SHORT, out=folder)
    return folder


@pytest.fixture
def run(saved: Path) -> MatrixRun:
    return MatrixRun.load(saved)


def cell_of(run: MatrixRun, attack: str = "auto") -> str:
    """Return the cell of an attack on the undefended model at the budget asked for."""
    held = run.steps[(run.steps["attack"] == attack) & (run.steps["eps_text"] == "40%")]
    assert len(held) == 1
    return str(held["cell"].iloc[0])


def members_of(run: MatrixRun) -> dict[str, str]:
    facts = run.results.facts(cell_of(run))
    assert facts is not None
    return {str(run.results.facts(cell)["attack"]): cell for cell in facts["members"]}  # type: ignore[index]


def finding(run: MatrixRun, cell: str, check: str) -> dict[str, Any]:
    (found,) = run.verdicts[(run.verdicts["cell"] == cell) & (run.verdicts["check"] == check)].to_dict("records")
    return found


def test_the_worst_of_a_user_is_the_lowest_value_of_every_accuracy_metric() -> None:
    metrics = [MetricAtK.parse(text) for text in ("ndcg@5", "arp@5", "gini@5", "hr@5/users:active")]
    held = (
        {"ndcg@5": [0.5, 0.1, 0.3], "arp@5": [7.0, 8.0, 9.0], "hr@5/users:active": [1.0, np.nan, 0.0]},
        {"ndcg@5": [0.2, 0.6, 0.3], "arp@5": [1.0, 2.0, 3.0], "hr@5/users:active": [0.0, np.nan, 1.0]},
    )
    members = [
        {name: Figure(0.0, 3, np.array(values)) for name, values in one.items()} | {"gini@5": Figure(0.9, 3, None)}
        for one in held
    ]
    found = worst(members, metrics)
    lowest = found["ndcg@5"].per_user
    assert lowest is not None
    assert lowest.tolist() == [0.2, 0.1, 0.3]
    assert found["ndcg@5"].value == pytest.approx(0.2)
    # What is no accuracy has no worst case per user; who is not counted stays so.
    assert math.isnan(found["arp@5"].value)
    assert (math.isnan(found["gini@5"].value), found["gini@5"].per_user) == (True, None)
    assert (found["hr@5/users:active"].value, found["hr@5/users:active"].n_users) == (0.0, 2)


def test_facts_of_an_ensemble_are_the_largest_norms_and_the_sums_of_counts() -> None:
    held = {
        "raw_norm": 1.0, "measured_norm": 0.5, "mean_norm": 0.4, "zero_gradients": math.nan, "n_bad_values": 0,
        "n_queries": 3, "n_touched_rows": 7, "unknown_surfaces": "", "access": "data", "is_projected": True,
        "state_before": "a", "state_after": "a", "score_hash": "x", "goal_clean": 0.1, "goal_value": 0.2,
    }  # fmt: skip
    other = held | {
        "raw_norm": 0.5, "measured_norm": 0.7, "zero_gradients": 0.25, "n_bad_values": 2, "n_queries": 4,
        "n_touched_rows": 5, "unknown_surfaces": "z", "access": "data+gradients", "is_projected": False,
        "state_after": "b",
    }  # fmt: skip
    found = joined([held, other])
    wanted = {
        "raw_norm": 1.0, "measured_norm": 0.7, "mean_norm": 0.4, "zero_gradients": 0.25, "n_bad_values": 2,
        "n_queries": 7, "n_touched_rows": 7, "unknown_surfaces": "z", "access": "data+gradients",
        "is_projected": False, "state_before": "a;a", "state_after": "a;b", "score_hash": "", "goal_values": "[]",
    }  # fmt: skip
    assert {key: found[key] for key in wanted} == wanted
    assert math.isnan(found["goal_clean"])
    assert math.isnan(found["goal_value"])


def test_each_users_value_under_auto_is_the_worst_over_the_members(run: MatrixRun) -> None:
    members = members_of(run)
    assert tuple(members) == MEMBERS
    columns = ["rank", *METRICS]
    held = {
        name: run.per_user[run.per_user["cell"] == cell].set_index("user")[columns] for name, cell in members.items()
    }
    auto = run.per_user[run.per_user["cell"] == cell_of(run)].set_index("user")[columns]
    for user in auto.index:
        rows = pd.DataFrame([one.loc[user] for one in held.values()])
        assert auto.loc[user, "rank"] == rows["rank"].max()
        for metric in METRICS:
            assert auto.loc[user, metric] == rows[metric].min()
    best_of = sum((auto["rank"] == one["rank"]).all() for one in held.values())
    assert best_of == 0, "no single member is every user's worst, else this says little"


def test_no_member_lowers_the_mean_more_than_auto(run: MatrixRun) -> None:
    means = run.table.groupby(["cell", "metric"])["attacked"].first()
    for metric in ("ndcg", "hr"):
        auto = means[cell_of(run), metric]
        members = [means[cell, metric] for cell in members_of(run).values()]
        assert 0 < auto < min(members)


def test_auto_is_labelled_as_a_worst_case_and_not_one_perturbation(run: MatrixRun) -> None:
    labels = run.table.set_index("cell")["labels"]
    said = "each user's worst over several attacks: not one realisable perturbation"
    assert said in labels[cell_of(run)].iloc[0]
    assert said not in labels[cell_of(run, "noise")].iloc[0]
    assert cell_of(run) not in run.results.perturbations


def test_the_findings_of_auto_are_the_worst_or_the_best_of_its_members(run: MatrixRun) -> None:
    alone = recshield.run_matrix("mf", list(MEMBERS), budget=BUDGET, overrides=SHORT)
    for check, pick in (("BUDGET", max), ("EQUAL-BUDGET", max), ("EPS0", max), ("NOISE", min), ("ITER>=SINGLE", min)):
        found = alone.verdicts[(alone.verdicts["check"] == check)].set_index("cell")["verdict"]
        verdicts = [found[cell] for cell in members_of(run).values() if cell in found]
        assert len(verdicts) == (4 if pick is min else 7), check
        assert finding(run, cell_of(run), check)["verdict"] == pick(verdicts, key=ORDER.index), check


def doctored(saved: Path, changes: dict[str, dict[str, object]]) -> MatrixRun:
    """Return the run judged again after facts of members were changed."""
    run = MatrixRun.load(saved)
    for attack, facts in changes.items():
        for name, value in facts.items():
            run.steps.loc[run.steps["cell"] == members_of(run)[attack], name] = value
    run.results._facts.clear()
    run.audit()
    return run


def test_one_member_over_the_budget_fails_auto(saved: Path) -> None:
    run = doctored(saved, {"noise:draw=1": {"raw_norm": 99.0}})
    found = finding(run, cell_of(run), "BUDGET")
    assert found["verdict"] == "fail"
    assert found["sentence"].startswith("noise:draw=1: the attack returned a norm of 99")
    assert set(run.table[run.table["cell"] == cell_of(run)]["verdict"]) == {"fail"}


@pytest.mark.parametrize("member", ["apgd", "apgd:loss=top"])
def test_a_member_that_lowers_its_own_loss_is_not_excused_by_another(saved: Path, member: str) -> None:
    assert finding(MatrixRun.load(saved), cell_of(MatrixRun.load(saved)), "NOISE")["verdict"] == "pass"
    run = doctored(saved, {member: {"goal_value": -1e9}})
    found = finding(run, cell_of(run), "NOISE")
    assert found["verdict"] == "fail"
    assert found["sentence"].startswith(f"{member}: the attacked loss goes from")
    assert finding(run, cell_of(run), "ITER>=SINGLE")["verdict"] == "fail"


def test_a_member_that_was_asked_for_stands_in_the_main_table_once(run: MatrixRun) -> None:
    held = run.steps.set_index("cell")
    assert not held.loc[cell_of(run, "noise"), "is_control"]
    assert held.loc[cell_of(run, "noise:draw=1"), "is_control"]
    assert members_of(run)["noise"] == cell_of(run, "noise")
    assert not run.steps["cell"].duplicated().any()
    assert finding(run, cell_of(run, "noise"), "BUDGET")["verdict"] == "pass"
    judged = set(run.verdicts["cell"]) - {""}  # the run as a whole
    assert judged == {cell_of(run), cell_of(run, "noise")}, "members that nobody asked for have no verdict of their own"


def test_without_controls_the_members_are_there_and_what_cannot_be_judged_is_unproven(run: MatrixRun) -> None:
    bare = recshield.run_matrix("mf", "auto", budget=BUDGET, overrides=SHORT, controls="none")
    assert sorted(bare.steps["attack"]) == sorted(["none", "auto", *MEMBERS])
    assert finding(bare, cell_of(bare), "BUDGET")["verdict"] == "pass"
    assert finding(bare, cell_of(bare), "EPS0")["verdict"] == "not run"
    assert set(bare.table[bare.table["attack"] == "auto"]["verdict"]) == {"unproven"}
    assert np.array_equal(bare.results.values(cell_of(bare)), run.results.values(cell_of(run)))


def test_auto_on_a_model_without_surfaces_is_a_skip_with_its_reason(run: MatrixRun) -> None:
    reason = "model 'popular' has no surface that can be touched"
    assert {"system": "popular", "attack": "auto", "reason": reason} in run.manifest["skipped"]
    assert set(run.table[run.table["system"] == "popular"]["attack"]) == {"none"}


def test_a_loaded_run_is_judged_as_it_was_before(saved: Path) -> None:
    run = MatrixRun.load(saved)
    before, table = run.verdicts.copy(), run.table.copy()
    run.audit()
    pd.testing.assert_frame_equal(run.verdicts, before)
    pd.testing.assert_frame_equal(run.table, table)
    assert len(before[before["cell"] == cell_of(run)]) >= 8


def test_the_json_of_a_run_is_valid_and_show_prints_it(saved: Path, tmp_path: Path) -> None:
    options = [part for text in SHORT for part in ("--set", text)]
    asked = ["matrix", "--models", "mf,popular", "--attacks", "auto,noise", "--budget", BUDGET, *options]
    said = CliRunner().invoke(app, [*asked, "--json", "--out", str(tmp_path / "run")])
    assert said.exit_code == 0, said.output

    def refuse(text: str) -> float:
        raise AssertionError(f"{text} is no JSON")

    held = json.loads(said.stdout, parse_constant=refuse)
    rows = [row for row in held["results"] if row["attack"] == "auto" and row["metric"] == "ndcg"]
    assert [row["system"] for row in rows if not row["is_control"]] == ["mf"]
    shown = CliRunner().invoke(app, ["show", str(saved)])
    assert shown.exit_code == 0, shown.output
    for text in ("auto", "noise", "mf", "popular"):
        assert text in shown.output


def test_the_ensemble_at_eps_0_is_the_clean_system() -> None:
    run = recshield.run_matrix("mf", "auto", budget="l2:0", overrides=SHORT)
    assert (run.table[run.table["attack"] == "auto"]["change"] == 0).all()


def test_an_ensemble_on_a_model_without_surfaces_alone_leaves_only_the_clean_cell() -> None:
    made = prepare(models=["popular"], attacks=["auto"]).plan
    assert [str(cell) for cell in made.cells] == ["popular, clean, seed 0"]
