"""`train`, `attack` and `evaluate`: each stage reads what the one before saved, and gives the matrix's figures."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import recshield
from recshield import stages
from recshield.cli import main
from recshield.core.errors import BadData, BadValue, OutputRefused
from recshield.folders import digest_of

SHORT = ["mf.epochs=6", "mf.dims=8", "advreg.epochs=3"]
REQUEST = {"dataset": "synthetic", "overrides": SHORT, "seeds": [1]}


@pytest.fixture(scope="module")
def amf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a saved system."""
    folder = tmp_path_factory.mktemp("saved") / "amf"
    stages.train("amf", folder, REQUEST)
    return folder


@pytest.fixture(scope="module")
def delta(amf: Path) -> Path:
    """Return the folder of a perturbation of it."""
    folder = amf.parent / "delta"
    stages.attack(amf, "pgd:steps=4", folder, {"budget": ["l2:0.5"]})
    return folder


def test_the_stages_give_the_figures_of_the_matrix(amf: Path, delta: Path) -> None:
    rows = {row["metric"]: row for row in stages.evaluate(amf, delta, ["ndcg@50", "auc", "gini@5"], {})}
    run = recshield.run_matrix(
        "amf",
        "pgd:steps=4",
        dataset="synthetic",
        overrides=SHORT,
        seeds=[1],
        metrics="ndcg@50,auc,gini@5",
        controls="none",
    )
    table = run.table[run.table["attack"] != "none"]
    for row in table.to_dict("records"):
        name = f"{row['metric']}@{row['k']}" if row["k"] else row["metric"]
        assert rows[name]["clean"] == row["clean"]
        assert rows[name]["attacked"] == row["attacked"]
    assert rows["ndcg@50"]["attacked"] < rows["ndcg@50"]["clean"]
    stored = load_file(run.results.perturbations[table["cell"].iloc[0]])
    for name, held in load_file(delta / "delta.safetensors").items():
        assert torch.equal(held, stored[name])


def test_saved_weights_are_used_and_nothing_is_trained_again(
    amf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSHIELD_CACHE", str(tmp_path / "empty"))

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("recshield.matrix.fitting.train", refuse)
    assert stages.evaluate(amf, None, ["ndcg@50"], {})[0]["clean"] > 0.05


def test_a_selected_system_carries_its_choice(tmp_path: Path) -> None:
    request = REQUEST | {"select": "ndcg@20", "every": 2}
    saved = stages.train("mf:dims=4|8", tmp_path / "mf", request)
    chosen = saved.about.trained[-1].facts.selected
    assert chosen.startswith("epochs=")
    assert "mf.dims=" in chosen
    assert stages.evaluate(tmp_path / "mf", None, ["hr@20"], {})[0]["clean"] > 0.1


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_changed_weights_are_refused(amf: Path, delta: Path, tmp_path: Path) -> None:
    other = copied(amf, tmp_path / "amf")
    path = sorted(other.glob("weights-*.safetensors"))[-1]
    held = load_file(path)
    save_file({name: value + 0.01 for name, value in held.items()}, path)
    with pytest.raises(BadData, match="the weights do not match their recorded hash; train again"):
        stages.evaluate(other, None, ["ndcg@50"], {})
    moved = copied(delta, tmp_path / "delta")
    path = moved / "delta.safetensors"
    save_file({name: value * 2 for name, value in load_file(path).items()}, path)
    with pytest.raises(BadData, match="it does not match its recorded hash; attack again"):
        stages.evaluate(amf, moved, ["ndcg@50"], {})


def test_a_perturbation_of_another_system_is_refused(delta: Path, tmp_path: Path) -> None:
    stages.train("mf", tmp_path / "mf", REQUEST | {"seeds": [2]})
    with pytest.raises(BadData, match="it was made for another system"):
        stages.evaluate(tmp_path / "mf", delta, ["ndcg@50"], {})


def test_other_rows_than_those_of_the_training_are_refused(amf: Path, tmp_path: Path) -> None:
    for change in ({"data_seed": 1}, {"split": "random:0.2"}, {"filters": ["kcore-user:12"]}):
        with pytest.raises(BadValue, match="belongs to the saved system; another may be only data_dir, device"):
            stages.evaluate(amf, None, ["ndcg@50"], change)
        other = copied(amf, tmp_path / next(iter(change)))
        about = json.loads((other / "about.json").read_text(encoding="utf-8"))
        about["request"] |= change
        (other / "about.json").write_text(json.dumps(about), encoding="utf-8")
        if "data_seed" in change:  # this split draws nothing
            continue
        with pytest.raises(BadData, match="the training and test rows are not those that it was trained on"):
            stages.evaluate(other, None, ["ndcg@50"], {})


def test_a_perturbation_of_a_system_with_the_same_weights_is_refused(tmp_path: Path) -> None:
    scaled = "mf+rescaled:like=(mf+advreg)"
    for name, system in (("amf", "mf+advreg"), ("scaled", scaled)):
        stages.train(system, tmp_path / name, REQUEST)
    stages.attack(tmp_path / "scaled", "fgm", tmp_path / "delta", {"budget": ["l2:0.5"]})
    with pytest.raises(BadData, match="it was made for another system than"):
        stages.evaluate(tmp_path / "amf", tmp_path / "delta", ["ndcg@50"], {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"system": None}, "system: input should be a valid string"),
        ({"trained": 5}, "trained: input should be a valid list"),
        ({"request": {"threads": "x"}}, "request.threads: input should be a valid integer"),
        ({"request": {"unknown": 1}}, "request.unknown: extra inputs are not permitted"),
        ({"more": 1}, "more: extra inputs are not permitted"),
    ],
)
def test_a_description_that_was_changed_is_told_where(amf: Path, tmp_path: Path, change: Any, said: str) -> None:
    other = copied(amf, tmp_path / "amf")
    about = json.loads((other / "about.json").read_text(encoding="utf-8"))
    (other / "about.json").write_text(json.dumps(about | change), encoding="utf-8")
    with pytest.raises(BadData, match=re.escape(f"about.json: {said}")):
        stages.evaluate(other, None, ["ndcg@50"], {})


def test_parts_and_shapes_of_another_model_are_refused(amf: Path, delta: Path, tmp_path: Path) -> None:
    other = copied(amf, tmp_path / "amf")
    about = json.loads((other / "about.json").read_text(encoding="utf-8"))
    about["trained"][0]["facts"]["acting"][0]["name"] = "popular"
    (other / "about.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(BadData, match="its description names other parts than its system; train again"):
        stages.evaluate(other, None, ["ndcg@50"], {})
    for values in (torch.zeros(3, 8), torch.full((800, 8), torch.nan)):
        moved = copied(delta, tmp_path / f"delta-{len(values)}")
        save_file({"factors.item": values}, moved / "delta.safetensors")
        about = json.loads((moved / "about.json").read_text(encoding="utf-8"))
        about["digest"] = digest_of(moved / "delta.safetensors")
        (moved / "about.json").write_text(json.dumps(about), encoding="utf-8")
        with pytest.raises(BadData, match="is no finite perturbation of this model; attack again"):
            stages.evaluate(amf, moved, ["ndcg@50"], {})


def test_weights_that_are_a_link_are_refused(amf: Path, tmp_path: Path) -> None:
    other = copied(amf, tmp_path / "amf")
    path = other / "weights-0.safetensors"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(BadData, match="the weights do not match their recorded hash"):
        stages.evaluate(other, None, ["ndcg@50"], {})


def test_what_lies_in_the_folder_is_not_lost(tmp_path: Path) -> None:
    stages.train("mf", tmp_path / "mf", REQUEST)
    stages.attack(tmp_path / "mf", "fgm", tmp_path / "mf/delta", {"budget": ["l2:0.5"]})
    with pytest.raises(OutputRefused, match="holds 'delta', too, which would be lost; name another folder"):
        stages.train("mf", tmp_path / "mf", REQUEST)
    assert (tmp_path / "mf/delta/about.json").is_file()


def test_a_k_beyond_the_catalogue_is_refused(amf: Path) -> None:
    with pytest.raises(BadValue, match="K is at most 800"):
        stages.evaluate(amf, None, ["ndcg@5000"], {})


def test_a_folder_from_a_stranger_cannot_name_files_elsewhere(amf: Path, tmp_path: Path) -> None:
    other = copied(amf, tmp_path / "amf")
    about = json.loads((other / "about.json").read_text(encoding="utf-8"))
    for name in ("../secret.safetensors", "/etc/passwd", "a/b"):
        about["trained"][0]["file"] = name
        (other / "about.json").write_text(json.dumps(about), encoding="utf-8")
        with pytest.raises(BadData, match=r"trained\.0\.file: string should match pattern"):
            stages.evaluate(other, None, ["ndcg@50"], {})


def test_what_is_wrong_is_said_before_anything_runs(amf: Path, delta: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="this is no saved system"):
        stages.evaluate(delta, None, ["ndcg@50"], {})
    with pytest.raises(BadValue, match="'auto' has no perturbation of its own; name one of fgm"):
        stages.attack(amf, "auto", tmp_path / "x", {"budget": ["l2:0.5"]})
    with pytest.raises(BadValue, match="one attack at one size"):
        stages.attack(amf, "fgsm", tmp_path / "x", {"budget": ["l2:0.5,1"]})
    with pytest.raises(OutputRefused, match="holds something else; name another folder"):
        stages.train("mf", delta, REQUEST)
    with pytest.raises(BadValue, match="one stage handles one system, one seed"):
        stages.train("mf", tmp_path / "x", REQUEST | {"seeds": [0, 1]})
    assert not (tmp_path / "x").exists()


def test_the_commands_print_what_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    system, delta = str(tmp_path / "s"), str(tmp_path / "d")
    assert "trained mf; saved in" in run("train", "mf", "--out", system, "--set", "mf.epochs=3", "--set", "mf.dims=4")
    assert "fgsm on mf: norm 0.5 of eps 0.5 (l2), loss" in run("attack", system, "fgsm", "--out", delta)
    printed = run("evaluate", system, "--perturbation", delta, "--metrics", "ndcg@20,gini@5")
    assert "ndcg@20" in printed
    assert "attacked" in printed
    assert "no verdict" in printed
    rows = json.loads(run("evaluate", system, "--json"))
    assert [row["metric"] for row in rows] == ["ndcg@100", "hr@100"]
