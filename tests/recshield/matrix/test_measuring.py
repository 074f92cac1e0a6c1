"""What a measure step keeps, what stands in the tables, and what a saved run can be held to."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import recshield
from recshield.core.errors import BadData, BadValue
from recshield.evaluation.metrics import Metric, Values
from recshield.evaluation.ranking import Ranks
from recshield.matrix.results import COLUMNS
from recshield.matrix.user_columns import USER_COLUMNS
from recshield.report.terminal import show
from recshield.run import MatrixRun, Prepared, prepare

SHORT = ("mf.epochs=12", "mf.dims=8")
METRICS = "ndcg@10,coverage@10,gini@5,aplt@10,hr@10/users:active,hr@10/items:tail,ndcg@10/sampled:99"


def planned(metrics: str, **changes: object) -> Prepared:
    asked: dict[str, object] = {"models": ["mf"], "attacks": ["fgsm"], "metrics": metrics.split(",")}
    return prepare(**(asked | changes))  # type: ignore[arg-type]


def measures(prepared: Prepared) -> dict[str, dict]:
    return {key: step.spec for key, step in prepared.plan.steps.items() if step.kind == "measure"}


@pytest.fixture(scope="module")
def run() -> MatrixRun:
    return recshield.run_matrix("popular,random,mf", "noise,fgsm", metrics=METRICS, overrides=SHORT)


@pytest.fixture
def saved(run: MatrixRun, tmp_path: Path) -> Path:
    return run.save(tmp_path / "run")


def test_metrics_that_need_ranks_alone_share_their_measure_steps() -> None:
    one = measures(planned("ndcg@100,hr@100"))
    assert one == measures(planned("ndcg@10,recall@20,map@5,efd@10,auc,hr@5/users:active,hr@5/items:tail"))
    assert all(spec["extras"] == {} for spec in one.values())
    assert {frozenset(spec) for spec in one.values()} == {
        frozenset({"system", "data", "attack", "hash", "stage", "extras"})
    }


def test_lists_and_draws_are_part_of_the_measure_steps_key_and_of_no_other() -> None:
    plain, listed = planned("ndcg@10"), planned("ndcg@10,coverage@10,gini@20,aplt@5")
    assert {json.dumps(spec["extras"]) for spec in measures(listed).values()} == {'{"lists": 20}'}
    assert not set(measures(plain)) & set(measures(listed))
    others = [
        {key for key, step in made.plan.steps.items() if step.kind != "measure"} for made in (plain, listed)
    ]  # fmt: skip
    assert others[0] == others[1]
    drawn = measures(planned("ndcg@10,hr@1/sampled:99,ndcg@5/sampled:9", data_seed=3))
    assert [spec["extras"] for spec in drawn.values()] == [{"samples": [9, 99], "data_seed": 3}] * len(drawn)


def test_what_else_is_asked_for_changes_no_figure(run: MatrixRun) -> None:
    alone = recshield.run_matrix("popular,random,mf", "noise,fgsm", metrics="ndcg@10", overrides=SHORT)
    ours = run.table[(run.table["metric"] == "ndcg")].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, alone.table, check_exact=True)


def test_the_tables_name_metrics_by_column_and_k(run: MatrixRun) -> None:
    assert tuple(run.table.columns) == COLUMNS
    named = dict.fromkeys(zip(run.table["metric"], run.table["k"], strict=True))
    assert list(named) == [
        ("ndcg", 10), ("coverage", 10), ("gini", 5), ("aplt", 10), ("hr/users:active", 10), ("hr/items:tail", 10),
        ("ndcg/sampled:99", 10),
    ]  # fmt: skip
    values = set(run.per_user.columns) - {"cell", "user", "rank", *USER_COLUMNS}
    assert values == {"ndcg@10", "aplt@10", "hr@10/users:active", "hr@10/items:tail", "ndcg@10/sampled:99"}


def test_figures_are_means_over_the_users_that_count(run: MatrixRun) -> None:
    grouped = run.per_user.groupby("cell", observed=True)
    for row in run.table[run.table["metric"].isin(["hr/users:active", "hr/items:tail"])].to_dict("records"):
        held = grouped.get_group(row["cell"])[row["metric"].replace("/", "@10/")].dropna()
        assert row["n_users"] == len(held) < 1200
        shown = row["clean"] if row["attack"] == "none" else row["attacked"]
        assert shown == pytest.approx(held.mean(), rel=1e-12)
    full = run.table[~run.table["metric"].isin(["hr/users:active", "hr/items:tail"])]
    assert (full["n_users"] == 1200).all()
    assert set(run.table[run.table["metric"] == "hr/users:active"]["n_users"]) == {400}


@pytest.mark.parametrize("column", ["hr@10/users:active", "hr@10/items:tail"])
def test_a_group_is_the_same_in_every_cell(run: MatrixRun, column: str) -> None:
    counted = {tuple(held[column].notna()) for _, held in run.per_user.groupby("cell", observed=True)}
    assert len(counted) == 1
    assert len(run.table["cell"].unique()) > 5


def test_popularity_and_chance_are_the_two_ends_of_exposure(run: MatrixRun) -> None:
    clean = run.table[run.table["attack"] == "none"].set_index(["system", "metric"])["clean"]
    assert clean["popular", "coverage"] < 0.1 < 0.99 < clean["random", "coverage"]
    assert clean["random", "gini"] < 0.4 < 0.9 < clean["popular", "gini"]
    assert clean["popular", "aplt"] < 0.01 < 0.3 < clean["random", "aplt"]


def test_only_sampled_figures_are_labelled_as_sampled(run: MatrixRun) -> None:
    sampled = run.table["metric"] == "ndcg/sampled:99"
    label = "sampled: each test row among 99 drawn candidates, not comparable with full ranking"
    assert run.table[sampled]["labels"].str.endswith(label).all()
    assert not run.table[~sampled]["labels"].str.contains("sampled").any()
    assert (run.table[sampled & (run.table["attack"] != "none")]["labels"].str.count("; ") == 1).all()


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("coverage@10", "it does not measure how high the test items rank; put ndcg@10 first"),
        ("arp@10", "it does not measure how high the test items rank; put ndcg@10 first"),
        ("efd@10", "it does not measure how high the test items rank; put ndcg@10 first"),
        ("hr@5/users:active", "it does not count all users; put hr@5 first"),
        ("auc/items:tail", "it does not count all users; put auc first"),
    ],
)
def test_what_cannot_decide_verdicts_cannot_be_the_first_metric(metric: str, sentence: str) -> None:
    with pytest.raises(BadValue) as caught:
        planned(f"{metric},ndcg@100")
    assert str(caught.value) == f"{metric} cannot be the first metric, by which verdicts are judged: {sentence}"
    planned(f"ndcg@100,{metric}")


def test_a_sampled_metric_may_be_the_first_and_its_verdicts_are_over_all_users() -> None:
    run = recshield.run_matrix("mf", "fgsm", metrics="ndcg@10/sampled:99", overrides=SHORT, budget="l2:1")
    assert np.isfinite(run.results.values(run.table["cell"].iloc[0])).all()
    judged = run.table[(run.table["attack"] == "fgsm") & ~run.table["is_control"]]
    assert set(judged["verdict"]) <= {"pass", "warn"}
    assert judged["attacked"].iloc[0] < judged["clean"].iloc[0]


def test_a_saved_run_comes_back_with_aggregates_and_groups(run: MatrixRun, saved: Path) -> None:
    again = MatrixRun.load(saved)
    assert again.results.aggregates == run.results.aggregates == ("coverage@10", "gini@5")
    pd.testing.assert_frame_equal(again.table, run.table)
    again.audit()
    assert again.table["verdict"].tolist() == run.table["verdict"].tolist()


def spoil(saved: Path, metric: str, column: str, value: float) -> None:
    table = pd.read_parquet(saved / "results.parquet")
    place = table.index[(table["metric"] == metric) & (table["attack"] == "none")][0]
    table[column] = table[column].astype(float) if column != "n_users" else table[column]
    table.loc[place, column] = value
    table.to_parquet(saved / "results.parquet", index=False)


@pytest.mark.parametrize(
    ("metric", "name"),
    [("ndcg", "ndcg@10"), ("hr/users:active", "hr@10/users:active"), ("hr/items:tail", "hr@10/items:tail"),
     ("ndcg/sampled:99", "ndcg@10/sampled:99"), ("aplt", "aplt@10")],
)  # fmt: skip
def test_a_changed_figure_is_found(saved: Path, metric: str, name: str) -> None:
    spoil(saved, metric, "clean", 0.9)
    with pytest.raises(BadData, match=rf"{name} of cell \w+ is not the mean of its users' values; the run was changed"):
        MatrixRun.load(saved)


def test_a_figure_over_other_users_than_it_says_is_found(saved: Path) -> None:
    spoil(saved, "hr/users:active", "n_users", 1200)
    with pytest.raises(BadData, match=r"hr@10/users:active of cell \w+ is not over as many users as it says"):
        MatrixRun.load(saved)


def test_an_aggregate_cannot_be_verified_and_nothing_else_can_pass_for_one(saved: Path) -> None:
    spoil(saved, "coverage", "clean", 0.9)
    MatrixRun.load(saved)
    manifest = json.loads((saved / "manifest.json").read_text())
    for aggregates in ([], ["ndcg@10", "coverage@10", "gini@5"], "coverage@10"):
        (saved / "manifest.json").write_text(json.dumps(manifest | {"aggregates": aggregates}))
        with pytest.raises(BadData, match="its metrics are not those of the tables; run the matrix again"):
            MatrixRun.load(saved)


class Nobody(Metric):
    """Counts no user."""

    name, description = "nobody", "no user counts"

    def per_user(self, ranks: Ranks, k: int) -> Values:
        return np.full(len(ranks.users), math.nan)


class Middle(Metric):
    """The middle of the first ranks: a value per user, but no mean."""

    name, description, is_higher_better = "middle", "median place of the first test item", False
    is_cut = False

    def per_user(self, ranks: Ranks, k: int) -> Values:
        return np.minimum.reduceat(ranks.ranks, ranks.indptr[:-1]).astype(np.float64)

    def overall(self, ranks: Ranks, k: int) -> float:
        return float(np.median(self.per_user(ranks, k)))


def test_a_third_partys_metric_may_count_nobody_or_be_no_mean(
    plant: Callable[[str, type], None], tmp_path: Path
) -> None:
    plant("metric", Nobody)
    plant("metric", Middle)
    made = recshield.run_matrix("popular", metrics="hr@10,nobody@5,middle", out=tmp_path / "run")
    figures = made.table.set_index("metric")
    assert math.isnan(figures.loc["nobody", "clean"])
    assert figures.loc["nobody", "n_users"] == 0
    assert figures.loc["middle", "clean"] == made.per_user["rank"].median()
    again = MatrixRun.load(tmp_path / "run")
    assert again.results.aggregates == ("middle",)
    assert "middle" in again.per_user.columns
    with pytest.raises(BadValue, match=r"middle cannot be the first metric.*: it is no mean of a value per user"):
        planned("middle")


def printed(run: MatrixRun, table: pd.DataFrame) -> str:
    console = Console(width=100, file=io.StringIO())
    show(console, table, run.verdicts, run.manifest)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_many_metrics_are_printed_in_a_table_of_their_own(run: MatrixRun) -> None:
    text = printed(run, run.table)
    clean = run.table[(run.table["attack"] == "none") & (run.table["system"] == "mf")]
    for row in clean.to_dict("records"):
        name, slash, suffix = row["metric"].partition("/")
        line = next(
            line for line in text.splitlines() if line.split()[:1] == [f"{name.upper()}@{row['k']}{slash}{suffix}"]
        )
        assert line.split()[-1] == f"{row['clean']:.4f}"
    assert "relative change of NDCG@10 under attack" in text


def test_few_metrics_stand_beside_the_attacks(run: MatrixRun) -> None:
    kept = run.table[run.table["metric"].isin(["ndcg", "ndcg/sampled:99"])]
    text = printed(run, kept)
    head = next(line for line in text.splitlines() if "system" in line)
    assert head.split()[:3] == ["system", "NDCG@10", "NDCG@10/sampled:99"]
