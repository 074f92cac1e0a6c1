"""`recshield matrix` on a file of the user's own: columns, filters and splits reach the figures and the manifest."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from recshield.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["recshield", "matrix", "--models", "popular", "--metrics", "ndcg@5", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


@pytest.fixture
def sales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a table of 300 rows with its own names, and go to its folder."""
    rng = np.random.default_rng(1)
    rows = [f"c{rng.integers(20)},P{rng.integers(15):02d},{rng.integers(9_999)}" for _ in range(300)]
    (tmp_path / "sales.csv").write_text("\n".join(["customer,code,bought", *rows]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_columns_filters_and_split_stand_in_the_manifest(sales, monkeypatch, capsys):
    asked = ["--dataset", "sales.csv", "--columns", "user=customer,item=code,time=bought", "--out", "run"]
    asked += ["--filter", "duplicates", "--filter", "kcore:3", "--split", "temporal:0.2"]
    assert run(monkeypatch, *asked) == 0, capsys.readouterr().err
    manifest = json.loads((sales / "run" / "manifest.json").read_text())
    request = manifest["request"]
    assert request["columns"] == ["user=customer", "item=code", "time=bought"]
    assert request["filters"] == ["duplicates", "kcore:3"]
    assert request["split"] == "temporal:0.2"
    assert manifest["split"]["split"] == "the latest 0.2 of each user's rows are test rows"
    assert manifest["data"]["scheme"] == "temporal:0.2"
    printed = " ".join(capsys.readouterr().out.split())
    assert "filter 1 duplicates: " in printed
    assert "columns: user=customer, item=code, time=bought; no rating" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--split", "kfolds:3"], "error: no split 'kfolds'; did you mean 'kfold'?"),
        (["--filter", "kcor:3"], "error: no filter 'kcor'; did you mean 'kcore'?"),
        (
            ["--columns", "user=customer"],
            "sales.csv, line 1: no column is known to be the item; name it with --columns item=",
        ),
        (["--columns", "item=a,item=b"], "error: columns: 'item' stands twice; name one column for it"),
        (
            ["--columns", "user=a", "--dataset", "synthetic"],
            "error: data set 'synthetic' has no columns to name; leave --columns",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, said, sales, monkeypatch, capsys):
    assert run(monkeypatch, "--dataset", "sales.csv", *arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
