"""`recshield cache`: size, prune and verify, with their exit codes and sentences."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recshield.cli import main
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE
from recshield.matrix.store import Store
from recshield.report.upkeep import age_text, size_text

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recshield", "cache", *arguments])
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, " ".join(said.err.split())

    return call


def put(key: str, size: int, days: float = 0) -> Path:
    """Write a step into the default store."""

    def compute(folder: Path):
        (folder / "rows").write_bytes(b"x" * size)
        return {}, {"kind": "train"}

    folder = Store.default().put(key, compute).folder
    then = time.time() - days * 86_400
    os.utime(folder / "meta.json", (then, then))
    return folder


def test_size_counts_by_kind(cli: Cli, tmp_path: Path) -> None:
    put("aa1", 3 * 2**20, days=2)
    code, out, _ = cli("size")
    assert code == 0
    assert [" ".join(line.split()) for line in out.splitlines() if "steps" in line] == ["steps: train 1 3.0 MB 2 d"]
    assert f"3.0 MB in {tmp_path}" in out
    (row,) = json.loads(cli("size", "--json")[1])
    assert (row["what"], row["number"], row["bytes"] > 3 * 2**20) == ("steps: train", 1, True)


def test_an_empty_cache_is_no_error(cli: Cli) -> None:
    assert cli("size")[0] == 0
    assert cli("verify")[:2] == (0, "0 of 0 steps match their recorded hashes\n")
    assert cli("prune", "--all")[:2] == (0, "removed 0 steps, 0 B\n")


def test_prune_removes_what_is_old_and_says_so(cli: Cli) -> None:
    old, new = put("aa1", 10, days=31), put("aa2", 10, days=29)
    code, out, _ = cli("prune", "--older-than", "30d", "--dry-run")
    assert (code, out.startswith("would remove 1 step, ")) == (0, True)
    assert old.is_dir()
    assert cli("prune", "--older-than", "30d")[1].startswith("removed 1 step, ")
    assert not old.exists()
    assert new.is_dir()
    assert cli("prune", "--keep", "1GB")[1] == "removed 0 steps, 0 B\n"
    assert cli("prune", "--keep", "0")[1].startswith("removed 1 step, ")


def test_what_a_running_process_holds_is_left(cli: Cli) -> None:
    folder = put("aa1", 10)
    with Store.default().lock("aa1"):
        code, out, _ = cli("prune", "--all")
    assert (code, out) == (0, "removed 0 steps, 0 B\nleft 1 step that a running process holds\n")
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["prune"], "nothing is named that may go; write --older-than 30d, --keep 10GB or --all"),
        (["prune", "--older-than", "soon"], "age 'soon' cannot be read; write a number and s, m, h, d or w"),
        (["prune", "--keep", "little"], "size 'little' cannot be read; write a number and B, KB, MB, GB or TB"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(cli: Cli, arguments: list[str], sentence: str) -> None:
    folder = put("aa1", 10, days=900)
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert folder.is_dir()


def test_verify_exits_with_1_until_repaired(cli: Cli) -> None:
    put("aa2", 10)
    folder = put("aa1", 10)
    assert cli("verify")[:2] == (0, "2 of 2 steps match their recorded hashes\n")
    (folder / "rows").write_bytes(b"other")
    code, out, _ = cli("verify")
    assert code == 1
    assert out.splitlines()[:2] == [
        "damaged: step aa1 does not match its recorded hashes",
        "1 of 2 steps match their recorded hashes",
    ]
    assert "remove them with `recshield cache verify --repair`" in " ".join(out.split())
    assert cli("verify", "--repair")[:2] == (
        0,
        "removed: step aa1 does not match its recorded hashes\n1 of 2 steps match their recorded hashes\n",
    )
    assert not folder.exists()
    assert cli("verify")[0] == 0


def test_sizes_and_ages_are_written_for_people() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 1536 * 1024, 5 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.0 KB",
        "1.5 MB",
        "5.0 TB",
    ]
    assert [age_text(n) for n in (None, 5, 120, 7200, 86_400 * 3)] == ["", "5 s", "2 min", "2 h", "3 d"]
