"""Requests as YAML files: the same bytes as the typed request, a round trip, and what a wrong file is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from recshield.cli import main
from recshield.config import MatrixConfig, merged, read
from recshield.core.errors import BadData, BadValue
from recshield.run import prepare

TYPED = [
    "--models", "mf,mf+advreg:eps=0.25:0.5,weight=1", "--attacks", "noise,fgsm", "--budget", "l2:0.5,1",
    "--filter", "kcore-user:12", "--split", "leave-out:2", "--metrics", "ndcg@20,coverage@5", "--seeds", "3",
    "--set", "mf.epochs=4", "--set", "mf.dims=8", "--set", "advreg.epochs=2",
]  # fmt: skip
FILE = """
models: mf,mf+advreg:eps=0.25:0.5,weight=1
attacks: [noise, fgsm]
budget: l2:0.5,1
filter: kcore-user:12
split: leave-out:2
metrics: ndcg@20,coverage@5
seeds: 3
set: [mf.epochs=4, mf.dims=8, advreg.epochs=2]
"""


def recshield(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Return the exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
    try:
        main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_a_file_gives_the_bytes_of_the_typed_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "request.yaml"
    path.write_text(FILE, encoding="utf-8")
    assert recshield(monkeypatch, "matrix", *TYPED, "--out", str(tmp_path / "typed"), "--quiet") == 0
    # From an empty store, so that nothing is merely found again.
    monkeypatch.setenv("RECSHIELD_CACHE", str(tmp_path / "cache"))
    assert recshield(monkeypatch, "matrix", "--config", str(path), "--out", str(tmp_path / "file"), "--quiet") == 0
    for name in ("results.parquet", "per_user.parquet", "verdicts.parquet"):
        assert (tmp_path / "typed" / name).read_bytes() == (tmp_path / "file" / name).read_bytes()


def test_a_printed_request_reads_back_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recshield(monkeypatch, "matrix", *TYPED, "--print-config") == 0
    printed = capsys.readouterr().out
    path = tmp_path / "printed.yaml"
    path.write_text(printed, encoding="utf-8")
    assert recshield(monkeypatch, "matrix", "--config", str(path), "--print-config") == 0
    assert capsys.readouterr().out == printed
    held = yaml.safe_load(printed)
    assert held["models"] == ["mf", "mf+advreg:eps=0.25:0.5,weight=1"]
    assert (held["seeds"], held["filter"], held["split"]) == ([3], ["kcore-user:12"], "leave-out:2")
    assert list(held) == [spot.alias or name for name, spot in MatrixConfig.model_fields.items()]


def test_typed_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "request.yaml"
    path.write_text(FILE, encoding="utf-8")
    made = merged(path, {"models": "popular", "threads": 2})
    assert (made.models, made.threads, made.attacks, made.seeds) == (["popular"], 2, ["noise", "fgsm"], [3])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("models: mf\natacks: fgsm\n", 2, "no option 'atacks' (did you mean 'attacks'?); allowed: models, attacks"),
        ("models: mf\n\nthreads: two\n", 3, "threads is 'two': input should be a valid integer"),
        ("models: [mf\nthreads: 2\n", 2, "no YAML (expected ',' or ']'"),
        ("- mf\n", 1, "it holds no options; write OPTION: VALUE"),
        ("models: !!python/object/apply:os.system ['true']\n", 1, "no YAML (could not determine a constructor"),
        ("models: mf\nmodels: amf\n", 2, "option 'models' stands in line 1, too; give it once"),
        ("seeds: true\n", 1, "seeds 'true' cannot be read; write whole numbers, comma separated"),
        ("seeds: [0, x]\n", 1, "seeds is 'x': input should be a valid integer"),
    ],
)
def test_a_wrong_file_is_told_where(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadData) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line {line}: {said}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"nowhere.yaml: cannot be read"):
        read(tmp_path / "nowhere.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"models: \xff\n")
    with pytest.raises(BadData, match="it is not UTF-8"):
        read(tmp_path / "bytes.yaml")
    (tmp_path / "large.yaml").write_text("# " + "x" * 2**20, encoding="utf-8")
    with pytest.raises(BadData, match="the file is too large; at most 1048576 bytes"):
        read(tmp_path / "large.yaml")


def test_a_wrong_typed_option_is_named() -> None:
    with pytest.raises(BadValue, match="seeds '0,x' cannot be read; write whole numbers, comma separated"):
        merged(None, {"models": "mf", "seeds": "0,x"})


def test_scalars_are_texts_as_typed_on_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("models: mf\nbudget: 1:30\ndata_dir: null\nthreads: 2\n", encoding="utf-8")
    made = merged(tmp_path / "odd.yaml", {})
    assert (made.budget, made.data_dir, made.threads) == (["1:30"], None, 2)


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n", encoding="utf-8")
    assert merged(tmp_path / "empty.yaml", {}) == MatrixConfig()


def test_queries_reach_every_attack_that_asks_and_a_typed_option_wins() -> None:
    asked = MatrixConfig.model_validate({"models": "mf", "attacks": "fgsm,nes,search-list:shown=10", "queries": 40})
    assert asked.request()["overrides"] == ["nes.queries=40", "search-list.queries=40"]
    set_too = merged(None, {"models": "mf", "attacks": "nes,nes:steps=2", "queries": 40, "set": ["nes.queries=60"]})
    assert set_too.request()["overrides"] == ["nes.queries=40", "nes.queries=60"]
    options = prepare(**set_too.request()).plan.main()[1].attack
    assert options is not None
    assert options.option("queries") == 60
    assert MatrixConfig.model_validate({"models": "mf", "attacks": "fgsm"}).request()["overrides"] == []
    with pytest.raises(BadValue, match="none of the attacks asks; add one of nes, nes-list, search, search-list"):
        MatrixConfig.model_validate({"models": "mf", "attacks": "fgsm", "queries": 40}).request()
