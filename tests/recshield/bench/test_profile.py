"""Traces of the pieces of a run, and what they leave alone."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pandas as pd
import pytest

import recshield
from recshield.bench import write_profiles
from recshield.cli import main
from recshield.core.compiled import kernel, observed
from recshield.core.errors import OutputRefused
from recshield.run import prepare

ASKED = ["--models", "mf,neumf", "--attacks", "fgsm", "--controls", "none"]
SHORT = ["mf.epochs=2", "neumf.epochs=1", "neumf.dims=8"]


def run(monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    given = [*ASKED, *(part for text in SHORT for part in ("--set", text)), *more]
    monkeypatch.setattr(sys, "argv", ["recshield", "matrix", *given])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_command_writes_traces_and_operations_beside_the_run_and_changes_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, traced = tmp_path / "plain", tmp_path / "traced"
    assert run(monkeypatch, "--out", str(plain), "--quiet") == 0
    capfd.readouterr()
    assert run(monkeypatch, "--out", str(traced), "--profile") == 0
    heard = capfd.readouterr()
    assert (plain / "results.parquet").read_bytes() == (traced / "results.parquet").read_bytes()
    folder = tmp_path / "traced-profile"
    assert "train mf:" in heard.out
    assert "_epoch" in heard.out, "compiled kernels are named"
    assert "profiler_start" not in heard.err
    table = pd.read_csv(folder / "operations.csv")
    assert set(table["work"]) == {
        "train mf", "rank mf", "train neumf", "rank neumf", "attack mf fgsm on factors at l2:0.5",
        "attack neumf fgsm on factors at l2:0.5",
    }  # fmt: skip
    epoch = table[(table["work"] == "train mf") & (table["operation"] == "_epoch")].iloc[0]
    assert epoch["calls"] == 1
    assert epoch["cpu_ms"] > 0
    for _, held in table.groupby("work"):
        assert held["cpu_ms"].is_monotonic_decreasing
        trace = json.loads(gzip.decompress((folder / held["trace"].iloc[0]).read_bytes()))
        names = {event.get("name") for event in trace["traceEvents"]}
        assert held["operation"].iloc[0] in names
    assert run(monkeypatch, "--out", str(traced), "--profile", "--quiet") == 0, "a profile may be replaced"


def test_a_folder_that_is_no_profile_is_left_alone_and_nothing_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run-profile").mkdir()
    (tmp_path / "run-profile" / "mine.txt").write_text("mine")
    assert run(monkeypatch, "--out", str(tmp_path / "run"), "--profile") == 2
    assert "is there and holds no profile" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
    with pytest.raises(OutputRefused):
        write_profiles(prepare(models=["popular"]), tmp_path / "run-profile")
    assert (tmp_path / "run-profile" / "mine.txt").read_text() == "mine"


def test_what_cannot_be_profiled_is_named(tmp_path: Path) -> None:
    asked = {"models": ["mf:epochs=1", "mf:epochs=1,dims=4|8"], "attacks": [], "controls": "none"}
    recshield.run_matrix(**asked, select="ndcg@100")
    found, skipped = write_profiles(prepare(**asked, select="ndcg@100"), tmp_path / "profile")
    assert [one.name for one in found] == ["train mf:epochs=1", "rank mf:epochs=1"]
    assert skipped == ["mf:epochs=1,dims=4|8: a benchmark times one value of each option; name one in place of several"]


def test_kernels_run_inside_the_observer_only_while_there_is_one() -> None:
    from contextlib import contextmanager

    seen = []

    @kernel(reorder=False)
    def twice(value: float) -> float:
        return 2 * value

    @contextmanager
    def around(name):
        seen.append(name)
        yield

    assert twice(2.0) == 4.0
    with observed(around):
        assert twice(3.0) == 6.0
    assert twice(4.0) == 8.0
    assert seen == ["twice"]
