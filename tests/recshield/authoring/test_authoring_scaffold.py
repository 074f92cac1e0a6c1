"""A new package of every kind: what is written, that it keeps the kit's guarantees, and that a command can use it."""

from __future__ import annotations

import ast
import importlib
import json
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from recshield.authoring.scaffold import KINDS, kind_of, names_of, write
from recshield.cli import main
from recshield.core.errors import BadValue, OutputRefused, UnknownName
from recshield.core.registry import Registry, Source, registry
from recshield.testing.kit import run_checks

#: Kind -> (arguments of a quick command that uses the plugin, what its output must hold).
SHORT = ["--dataset", "synthetic", "--set", "mf.epochs=1", "--controls", "none", "--budget", "l2:0.5"]
COMMANDS = {
    "attack": (["matrix", "--models", "mf", "--attacks", "brandnew", *SHORT], "brandnew"),
    "defense": (["matrix", "--models", "mf", "--defenses", "brandnew", "--attacks", "fgm", *SHORT], "mf+brandnew"),
    "recommender": (
        ["matrix", "--models", "brandnew", "--attacks", "fgm", *SHORT[:2], "--set", "brandnew.epochs=1", "--controls", "none"],
        "brandnew",
    ),
    "metric": (["matrix", "--models", "popular", "--metrics", "ndcg@100,brandnew", "--json", *SHORT[:2]], "brandnew"),
    "dataset": (["matrix", "--models", "popular", "--dataset", "brandnew"], "brandnew"),
    "reader": (["matrix", "--models", "popular", "--dataset", "{folder}/tests/sample.jsonl", "--metrics", "ndcg@5"], "NDCG@5"),
    "extractor": (["matrix", "--models", "vbpr:extractor=brandnew", "--set", "vbpr.epochs=1"], "vbpr"),
    "executor": (["matrix", "--models", "popular", "--executor", "brandnew", *SHORT[:2]], "popular"),
    "check": (["matrix", "--models", "mf", "--attacks", "noise", "--json", *SHORT], "BRANDNEW"),
    "report": (["matrix", "--models", "popular", "--out", "run", *SHORT[:2]], "popular"),
}  # fmt: skip


@pytest.fixture
def scaffolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that writes a package of a kind and installs it in the one registry for the test."""
    held = registry()
    before = [{key: dict(one) for key, one in held.found.items()}, dict(held.sources)]
    monkeypatch.delitem(sys.modules, "recshield_brandnew", raising=False)

    def make(flag: str) -> Path:
        write("recshield-brandnew", flag, tmp_path)
        folder = tmp_path / "recshield-brandnew"
        monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        made = importlib.import_module("recshield_brandnew")
        held.add(made, Source("brandnew", "recshield_brandnew", "recshield-brandnew", "0.1.0"))
        return folder

    yield make
    for key, one in before[0].items():
        held.found[key].clear()
        held.found[key].update(one)
    held.sources.clear()
    held.sources.update(before[1])
    sys.modules.pop("recshield_brandnew", None)


def command(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output of a command."""
    monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        main()
    shown = capsys.readouterr()
    return left.value.code or 0, shown.out + shown.err


@pytest.mark.parametrize("flag", KINDS)
def test_the_test_of_a_new_package_passes(flag, scaffolded):
    folder = scaffolded(flag)
    test = str(folder / "tests/test_recshield_brandnew.py")
    # What the import does is looked at in a process of its own, once, where the package is really installed.
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-c",
        str(folder / "pyproject.toml"),
        "-k",
        "not importing",
    ]
    sys.modules.pop("test_recshield_brandnew", None)
    assert pytest.main([*arguments, test]) == 0


@pytest.mark.parametrize("flag", KINDS)
def test_a_new_plugin_can_be_used_in_a_command(flag, scaffolded, tmp_path, monkeypatch, capsys):
    folder = scaffolded(flag)
    arguments, words = COMMANDS[flag]
    monkeypatch.chdir(tmp_path)
    code, shown = command(monkeypatch, capsys, *(one.format(folder=folder) for one in arguments))
    assert code == 0, shown
    assert words in shown
    if flag == "report":
        code, shown = command(monkeypatch, capsys, "report", "run", "--format", "brandnew", "--out", "text")
        assert code == 0, shown
        assert Path("text/report.txt").read_text().startswith("Security evaluation on synthetic")


def test_every_kind_of_plugin_has_a_scaffold():
    assert {one.registered for one in KINDS.values()} == set(Registry().found)


@pytest.mark.parametrize("flag", KINDS)
def test_the_files_of_a_new_package(flag, tmp_path):
    files = {
        str(path.relative_to(tmp_path / "recshield-my-first")) for path in write("recshield-my-first", flag, tmp_path)
    }
    folder = tmp_path / "recshield-my-first"
    expected = {
        "pyproject.toml", "README.md", ".github/workflows/test.yml", "recshield_my_first.py",
        "tests/test_recshield_my_first.py",
    }  # fmt: skip
    assert files == expected | ({"tests/sample.jsonl"} if flag == "reader" else set())
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "recshield-my-first"
    assert project["project"]["entry-points"] == {"recshield": {"my-first": "recshield_my_first"}}
    bound = ",<0.2" if flag in ("check", "report", "executor") else ""
    assert project["project"]["dependencies"] == [f"recshield>=0.1{bound}"]
    steps = yaml.safe_load((folder / ".github/workflows/test.yml").read_text())["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": "recshield plugin check recshield-my-first"}
    assert steps[1]["with"] == {"python-version": "${{ matrix.python }}"}
    for path in folder.rglob("*.py"):
        text = path.read_text()
        ast.parse(text)
        assert max(map(len, text.splitlines())) <= 120
        assert "{{" not in text
        assert "{%" not in text


def test_the_sample_of_a_reader_has_a_row_per_line(tmp_path):
    write("recshield-brandnew", "reader", tmp_path)
    lines = (tmp_path / "recshield-brandnew/tests/sample.jsonl").read_text().splitlines()
    assert [json.loads(line)["user"] for line in lines] == [f"u{user}" for user in range(12) for _ in range(6)]


@pytest.mark.parametrize(
    "package",
    ["", "mine", "recshield", "recshield-", "recshield-My", "recshield-a--b", "recshield-1a", "recshield-a_b", "recshield-a/b",
     "recshield-a\n", "../recshield-a", "recshield-" + "a" * 60],
)  # fmt: skip
def test_a_package_that_cannot_be_called_so_is_refused(package, tmp_path):
    with pytest.raises(BadValue, match="cannot be the name of a plugin package; write recshield-NAME"):
        write(package, "attack", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("package", "flag", "words"),
    [
        ("recshield-fgsm", "attack", "attack 'fgsm' is installed already; choose another name"),
        ("recshield-amf", "recommender", "model 'amf' is installed already"),
        ("recshield-eps0", "check", "audit check 'EPS0' is installed already"),
        ("recshield-gradient", "metric", "a module 'recshield_gradient' is installed already"),
        ("recshield-none", "attack", "'none' means something else in requests"),
    ],
)
def test_a_name_that_is_taken_is_refused(package, flag, words):
    with pytest.raises(BadValue, match=words):
        names_of(package, kind_of(flag))


def test_an_unknown_kind_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(UnknownName, match="no kind of plugin 'defence'; did you mean 'defense'"):
        write("recshield-brandnew", "defence", tmp_path)


def test_nothing_is_overwritten(tmp_path):
    folder = tmp_path / "recshield-brandnew"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputRefused) as caught:
        write("recshield-brandnew", "attack", tmp_path)
    assert str(caught.value) == f"{folder} exists already, and nothing is overwritten; remove it or name another --dir"
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputRefused, match=r"cannot be written .*; name another folder with --dir"):
        write("recshield-brandnew", "attack", tmp_path / "file")


def test_a_fault_put_into_a_new_attack_is_caught(scaffolded):
    made = scaffolded("attack") / "recshield_brandnew.py"
    made.write_text(made.read_text().replace("victim.legal(delta)", "{name: 2 * held for name, held in delta.items()}"))
    attack = importlib.reload(sys.modules["recshield_brandnew"]).BrandnewAttack()
    failed = {one.name for one in run_checks("attack", attack) if not one.passed}
    assert failed == {"norm_stays_within_eps", "norm_stays_within_eps_on_larger_tables"}
