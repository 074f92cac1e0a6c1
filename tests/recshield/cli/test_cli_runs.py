"""The commands on the embedded data: saved files, show, audit, plugins, datasets, help."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from torch import Generator

import recshield
from recshield.cli import main
from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.surfaces import Budget, Delta
from recshield.matrix.results import COLUMNS
from recshield.run import MatrixRun

SHORT = ("mf.epochs=20", "mf.dims=8", "advreg.epochs=5")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small run."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    recshield.run_matrix("popular,mf,amf", "noise,fgsm", budget="l2:0.5,1", overrides=SHORT, out=folder)
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command in this process and gives what it prints; it must succeed."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert not left.value.code, said.err
        return said.out

    return run


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "recshield", *arguments], capture_output=True, text=True)


def test_a_run_holds_the_files_and_columns_it_promises(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names == {
        "results.parquet", "per_user.parquet", "steps.parquet", "timings.parquet", "curves.parquet", "verdicts.parquet",
        "pictures.parquet",
        "manifest.json", "perturbations",
    }  # fmt: skip
    table = pd.read_parquet(saved / "results.parquet")
    assert tuple(table.columns) == COLUMNS
    assert set(table["metric"]) == {"ndcg", "hr"}
    attacked = table[table["attack"] != "none"]
    assert (attacked["measured_norm"] <= attacked["eps"] * (1 + 1e-4)).all()
    assert (attacked["change"] - (attacked["attacked"] - attacked["clean"])).abs().max() < 1e-12
    timings = pd.read_parquet(saved / "timings.parquet")
    assert (timings["seconds"] > 0).all()
    assert (timings["peak_host_bytes"] > 10_000_000).all()
    assert set(timings["kind"]) == {"data", "train", "attack", "measure"}


def test_per_user_values_average_to_the_table(saved: Path) -> None:
    table, per_user = (pd.read_parquet(saved / f"{name}.parquet") for name in ("results", "per_user"))
    means = per_user.groupby("cell", observed=True)[["ndcg@100", "hr@100"]].mean()
    for row in table[table["attack"] != "none"].to_dict("records"):
        assert means.loc[row["cell"], f"{row['metric']}@{row['k']}"] == pytest.approx(row["attacked"], abs=1e-12)


def test_perturbations_are_saved_for_every_attacked_cell(saved: Path) -> None:
    table = pd.read_parquet(saved / "results.parquet")
    cells = set(table[table["attack"] != "none"]["cell"])
    assert {path.stem for path in (saved / "perturbations").iterdir()} == cells
    held = load_file(saved / "perturbations" / f"{sorted(cells)[0]}.safetensors")
    assert set(held) == {"factors.user", "factors.item"}


def test_two_aliases_of_one_attack_plan_the_same_steps() -> None:
    run = recshield.run_matrix("mf", "fgm,fgsm", overrides=SHORT, controls="none")
    rows = run.table.query("metric == 'ndcg' and attack != 'none'")
    assert len(run.timings.query("kind == 'attack'")) == 1
    assert len(rows) == 1


def test_show_prints_the_matrix_and_every_sentence_that_is_not_a_pass(saved: Path, command: Callable[..., str]) -> None:
    out = command("show", str(saved), "--timings")
    assert "relative change of NDCG@100 under attack" in out
    assert "skipped  popular x noise, fgsm: model 'popular' has no surface that can be touched" in out
    findings = MatrixRun.load(saved).verdicts
    for sentence in set(findings.query("verdict in ['warn', 'fail']")["sentence"]):
        assert sentence in out
    assert "train mf" in out


def test_audit_prints_every_check_of_every_cell(saved: Path, command: Callable[..., str]) -> None:
    out = command("audit", str(saved))
    for name in ("1 THREAT", "2 BUDGET", "3 EQUAL-BUDGET", "4 EPS0", "9 NOISE", "16 CLEAN-COST", "18 CONTROL",
                 "20 LEAKAGE", "22 SAME POPULATION", "23 SCALE", "5 MONOTONE", "7 ITER>=SINGLE"):  # fmt: skip
        assert name in out
    held = json.loads(command("audit", str(saved), "--json"))
    assert len(held["verdicts"]) == len(MatrixRun.load(saved).verdicts)


def test_plugins_lists_what_is_installed_with_options(command: Callable[..., str]) -> None:
    held = json.loads(command("plugins", "--json"))
    names = {(row["kind"], row["name"]) for row in held["plugins"]}
    assert names >= {
        ("model", "mf"),
        ("attack", "pgd"),
        ("defense", "advreg"),
        ("reader", "split-pair"),
        ("check", "SCALE"),
    }
    assert held["presets"]["amf"] == "mf+advreg:eps=0.5,weight=1,epochs=200"
    assert held["failed"] == {}
    assert "pgd" in command("plugins")


def test_datasets_says_what_is_here(tmp_path: Path, command: Callable[..., str]) -> None:
    (tmp_path / "ml-100k").mkdir()
    rows = {row["name"]: row for row in json.loads(command("datasets", "--data-dir", str(tmp_path), "--json"))}
    assert rows["ml-100k"]["place"] == str(tmp_path / "ml-100k")
    assert rows["amazon-video"]["place"] == "not here"
    assert rows["synthetic"]["place"] == "generated"
    assert "ml-100k" in command("datasets")


def test_help_and_version_load_nothing_heavy() -> None:
    code = "import sys; from recshield.cli.app import app; print([m for m in ('torch','numba','pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert "matrix" in process("--help").stdout
    assert process("--version").stdout == f"recshield {recshield.__version__}\n"


def test_a_process_leaves_with_the_code_of_its_command() -> None:
    assert process("--version").returncode == 0
    assert process("matrixx").returncode == 2


def test_a_run_can_be_replaced_and_loaded_from_python(saved: Path, tmp_path: Path) -> None:
    run = MatrixRun.load(saved)
    assert run.save(tmp_path / "copy") == tmp_path / "copy"
    run.save(tmp_path / "copy")
    again = MatrixRun.load(tmp_path / "copy")
    pd.testing.assert_frame_equal(again.table, run.table)
    pd.testing.assert_frame_equal(again.per_user, run.per_user)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"], "no draft is left behind"


@dataclass(frozen=True)
class Explodes(Attack):
    name = "explodes"
    access = Access.DATA

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        raise ZeroDivisionError("in a stranger's code")


def test_an_attack_that_raises_is_told_and_the_rest_of_the_matrix_is_measured(
    plant: Callable[[str, type], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant("attack", Explodes)
    monkeypatch.chdir(tmp_path)
    options = [part for text in SHORT for part in ("--set", text)]
    monkeypatch.setattr(sys, "argv", ["recshield", "matrix", "--models", "mf", "--attacks", "explodes,noise", *options])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "failed attack mf under explodes at l2:0.5, seed 0: ZeroDivisionError: in a stranger's code" in out
    run = MatrixRun.load(next((tmp_path / "runs").iterdir()))
    assert set(run.table["attack"]) == {"none", "noise"}
