"""`compare`, `show --effects` and the gate of `audit`, as a shell meets them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import recshield
from recshield.cli import main
from recshield.run import MatrixRun

SHORT = ("mf.epochs=20", "mf.dims=8", "advreg.epochs=5")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small run over two seeds with metrics beyond accuracy."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    recshield.run_matrix(
        "mf,amf", "noise,fgsm", budget="l2:0.5,1", overrides=SHORT, seeds=[0, 1], out=folder,
        metrics="ndcg@100,hr@100,aplt@10,popreo@10,poprsp@10",
    )  # fmt: skip
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line here and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_gate_stops_a_pipeline(saved: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """As in `recshield audit RUN --fail-on LEVEL && deploy`: fewer seeds than a claim needs warn."""
    assert call(monkeypatch, "audit", str(saved), "--fail-on", "warn") == 1
    said = capsys.readouterr()
    assert "and the run as a whole reach 'warn'" in said.err
    assert "21 POWER: 2 seeds, where a claim needs 5" in said.out


def test_the_gate_opens_where_nothing_is_as_bad(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path
) -> None:
    made = MatrixRun.load(saved)
    is_failed = "fail" in set(made.verdicts["verdict"])
    assert call(monkeypatch, "audit", str(saved), "--fail-on", "fail") == int(is_failed)
    sound = recshield.run_matrix("mf", "noise", overrides=SHORT, budget="l2:0.5", out=tmp_path / "sound")
    assert set(sound.table.query("attack == 'noise' and not is_control")["verdict"]) == {"pass"}
    assert call(monkeypatch, "audit", str(tmp_path / "sound"), "--fail-on", "unproven", "--json") == 0
    capsys.readouterr()


def test_a_level_that_does_not_exist_is_an_error(saved: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert call(monkeypatch, "audit", str(saved), "--fail-on", "pass") == 2
    assert "error: --fail-on 'pass' is not known; allowed: warn, unproven, fail" in capsys.readouterr().err


def test_compare_prints_seeds_and_pool_and_the_same_as_json(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    asked = ("compare", str(saved), "mf", "amf", "--attack", "fgsm", "--eps", "1")
    assert call(monkeypatch, *asked) == 0
    out = capsys.readouterr().out
    for text in ("b - a, over the same users", "mf under fgsm at l2 1", "pooled", "1200 users and 2 seeds"):
        assert text in out
    assert call(monkeypatch, *asked, "--json", "--metric", "HR@100") == 0
    held = json.loads(capsys.readouterr().out)
    assert [row["seed"] for row in held["rows"]] == ["0", "1", "pooled"]
    run = MatrixRun.load(saved)
    figures = run.table.query("attack == 'fgsm' and eps_text == '1' and metric == 'hr' and not is_control")
    means = figures.groupby("system")["attacked"].mean()
    assert held["rows"][-1]["difference"] == pytest.approx(means["amf"] - means["mf"])


def test_compare_refuses_with_one_sentence(saved: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert call(monkeypatch, "compare", str(saved), "mf", "amff") == 2
    assert capsys.readouterr().err.startswith("error: the run has no system or attack 'amff'; did you mean 'amf'?")


def test_effects_are_shown_with_groups_lists_and_fairness(saved: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert call(monkeypatch, "show", str(saved), "--effects") == 0
    out = capsys.readouterr().out
    for text in (
        "effect on NDCG@100",
        "places lost",
        "harmed",
        "inactive",
        "head",
        "popreo@10",
        "poprsp@10",
        "aplt@10",
    ):
        assert text in out


def test_per_user_columns_say_group_and_overlap(saved: Path) -> None:
    run = MatrixRun.load(saved)
    assert run.per_user["activity"].value_counts(normalize=True).round(3).eq(0.333).all()
    assert run.per_user["head_share"].isin([0.0, 1.0]).all()
    for cell, held in run.per_user.groupby("cell", observed=True):
        facts = run.results.facts(str(cell))
        assert facts
        if facts["attack"] == "none":
            assert held["overlap"].isna().all()
        elif facts["eps"] == 0:
            assert (held["overlap"] == 1).all()
        else:
            assert 0 < held["overlap"].mean() < 1
    assert np.isfinite(run.steps["mean_score"]).all()
    assert run.steps["is_repeatable"].all()
    chance = run.steps["chance"].iloc[0]
    assert run.steps["chance"].eq(chance).all()
    assert 0 < chance < 0.2 * run.table.query("attack == 'none' and metric == 'ndcg'")["clean"].min()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audit", "deep"], "audit 'deep' is not known; allowed: quick, full"),
        (["--audit", "full", "--controls", "none"], "audit 'full' adds cells and controls 'none' leaves them out; give one of the two"),
    ],
)  # fmt: skip
def test_an_audit_that_cannot_be_is_refused(arguments, message, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert call(monkeypatch, "matrix", "--models", "mf", *arguments) == 2
    assert message in capsys.readouterr().err
