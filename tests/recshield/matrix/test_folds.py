"""Splits with several folds: every fold has its own rows, trainings and cells."""

from __future__ import annotations

import numpy as np
import pytest

import recshield
from recshield.data.catalogue import resolve

SHORT = ["mf.epochs=4", "mf.dims=8"]


@pytest.fixture(scope="module")
def run() -> recshield.run.MatrixRun:
    """Return a run over three folds."""
    return recshield.run_matrix("mf", "noise,fgsm", split="kfold:3", overrides=SHORT, metrics="ndcg@20,hr@20")


def test_each_fold_has_a_cell_and_its_own_users(run: recshield.run.MatrixRun) -> None:
    table = run.table[~run.table["is_control"]]
    counts = table.groupby(["attack", "metric"], sort=False)["fold"].unique().map(sorted)
    assert all(folds == [0, 1, 2] for folds in counts)
    populations = run.steps.groupby("fold")["population"].nunique()
    assert list(populations) == [1, 1, 1]
    assert run.steps["population"].nunique() == 3
    source = resolve("synthetic", scheme="kfold:3")
    for fold in range(3):
        wanted = source.split(0, fold).test
        cell = table[(table["fold"] == fold) & (table["attack"] == "none")]["cell"].iloc[0]
        assert len(run.per_user[run.per_user["cell"] == cell]) == len(wanted.users)


def test_no_cell_is_compared_across_folds(run: recshield.run.MatrixRun) -> None:
    fold = dict(zip(run.steps["cell"], run.steps["fold"], strict=True))
    for row in run.steps.to_dict("records"):
        assert fold[row["clean_cell"]] == row["fold"]
        needs = recshield.run.MatrixRun(run.results, run.verdicts).results.facts(row["cell"])["needs"].values()
        held = [other for other in needs if other in fold]  # those of a full audit are not planned here
        assert all(fold[other] == row["fold"] for other in held)
        assert held or row["is_control"] or row["attack"] == "none"
    same = run.verdicts[run.verdicts["check"] == "SAME POPULATION"]
    assert set(same["verdict"]) == {"pass"}


def test_folds_partition_the_rows() -> None:
    source = resolve("synthetic", scheme="kfold:3")
    whole = resolve("synthetic").read()
    splits = [source.split(0, fold) for fold in range(3)]
    rows = [np.stack([one.test.row_users, one.test.items], axis=1) for one in splits]
    joined = np.concatenate(rows)
    assert len(joined) == len(whole)
    assert len(np.unique(joined, axis=0)) == len(whole)
