"""Published against measured: matched, missed by how much, not available; interrupted and continued."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import recshield
from recshield import run
from recshield.cli import main
from recshield.core.settings import QUICK_PERCENT
from recshield.papers import find, reproduce
from recshield.papers.comparing import counts, holds, outcome, said, shapes
from recshield.papers.page import markdown
from recshield.papers.reproducing import Reproduction

SHORT = ["mf.epochs=4", "mf.dims=4", "advreg.epochs=2"]
HEAD = """\
title: A toy | table
source: nobody
read_from: nowhere
options: {set: [mf.epochs=4, mf.dims=4, advreg.epochs=2], every: 2}
selections: [fixed]
data:
  toy: {dataset: synthetic, about: generated}
  lost: {about: the rows are not published, instead: synthetic}
  gone: {about: nobody has the rows}
figures:
"""


@pytest.fixture(scope="module")
def truth() -> dict[str, float]:
    """Return the figures that a plain matrix gives for the same request."""
    made = recshield.run_matrix("mf", "fgsm", dataset="synthetic", overrides=SHORT, budget="l2:2")
    table = made.table[(made.table["metric"] == "ndcg") & ~made.table["is_control"]].set_index("attack")
    return {"clean": float(table["clean"]["none"]), "change": float(table["relative_change"]["fgsm"])}


def row(published: float, more: str = "", data: str = "toy", system: str = "mf") -> str:
    text = f"system: '{system}', data: {data}, where: Table 1, published: {{ndcg@100: {published!r}}}"
    return f"  - {{{text}, tolerance: 0.001{more}}}\n"


def made_of(tmp_path: Path, text: str, **more) -> Reproduction:
    (tmp_path / "toy.yaml").write_text(HEAD + text)
    return reproduce(*find(str(tmp_path / "toy.yaml")), **more)


def test_an_exact_figure_is_matched_and_a_wrong_one_missed_by_how_much(tmp_path: Path, truth: dict[str, float]) -> None:
    fgsm = ", attack: fgsm, budget: 'l2:2', change: true"
    text = row(truth["clean"]) + row(truth["clean"] - 0.01) + row(truth["change"], fgsm)
    text += row(truth["change"] + 0.05, fgsm) + row(truth["clean"] - 0.01, ", or_above: true")
    text += row(truth["clean"] + 0.01, ", or_above: true")
    made = made_of(tmp_path, text)
    assert [said(one, False) for one in made.figures] == [
        "matched",
        "missed by +0.0100 (tolerance 0.001)",
        "matched",
        "missed by -5.0 points (tolerance 0.1)",
        "matched",
        "missed by -0.0100 (tolerance 0.001)",
    ]
    assert counts(made) == {"matched": 3, "missed": 3}
    assert made.figures[0].answer.value == truth["clean"]
    assert made.figures[2].answer.value == truth["change"]
    assert made.figures[0].answer.seconds > 0
    assert made.figures[2].answer.seconds > made.figures[0].answer.seconds


def test_missing_data_are_said_and_the_shape_is_shown_on_others(tmp_path: Path) -> None:
    text = row(0.9, data="lost") + row(0.1, data="lost", system="random") + row(0.1, data="lost", system="popular")
    text += row(0.5, data="gone")
    made = made_of(tmp_path, text)
    assert counts(made) == {"data not available": 4}
    assert made.figures[0].answer.values
    assert made.figures[0].dataset == "synthetic"
    assert made.figures[3].answer.reason == "no data set stands in for it"
    assert made.missing == {"lost": "the rows are not published", "gone": "nobody has the rows"}
    (shape,) = shapes(made)
    # 0.9 against 0.1 twice; 0.1 against 0.1 is no order. Four epochs of mf beat random, not popularity.
    assert shape.n_pairs == 2
    values = [one.answer.value for one in made.figures[:3]]
    assert shape.n_same == (values[0] > values[1]) + (values[0] > values[2])


def test_what_is_not_installed_is_said_and_the_rest_runs(tmp_path: Path, truth: dict[str, float]) -> None:
    made = made_of(tmp_path, row(0.1, system="nosuch") + row(truth["clean"]))
    assert said(made.figures[0], False) == "not measured: no model 'nosuch'"
    assert said(made.figures[1], False) == "matched"
    untouchable = row(0.1, ", attack: fgsm, budget: 'l2:1'", system="popular")
    made = made_of(tmp_path, untouchable)
    assert said(made.figures[0], False) == "not measured: model 'popular' has no surface that can be touched"


def test_selection_on_test_rows_is_labelled_leakage(tmp_path: Path) -> None:
    fgsm = ", attack: fgsm, budget: 'l2:2', selections: [test]"
    made = made_of(tmp_path, row(0.1, ", selections: [validation, test]") + row(0.1, fgsm))
    assert [(one.selection, one.answer.verdict) for one in made.figures[:2]] == [
        ("validation", ""),
        ("test", "LEAKAGE"),
    ]
    word, _, checks = made.figures[2].answer.verdict.partition(": ")
    assert word == "fail"
    assert "LEAKAGE" in checks.split(", ")


def test_seeds_are_averaged(tmp_path: Path) -> None:
    both = made_of(tmp_path, row(0.1, ", seeds: [0, 1]")).figures[0].answer
    alone = [made_of(tmp_path, row(0.1), seeds=[seed]).figures[0].answer.value for seed in (0, 1)]
    assert alone[0] != alone[1]
    assert both.values == tuple(alone)
    assert both.value == pytest.approx(sum(alone) / 2, abs=1e-15)


def test_claims_name_both_figures(tmp_path: Path) -> None:
    sides = "lower: {system: LOW, metric: ndcg@100}, higher: {system: HIGH, metric: ndcg@100}"
    text = f"claims:\n  - {{says: order, where: here, data: toy, {sides}}}\n"
    rows = row(0.1, system="random")
    good = made_of(tmp_path, rows + text.replace("LOW", "random").replace("HIGH", "mf")).claims[0]
    bad = made_of(tmp_path, rows + text.replace("LOW", "mf").replace("HIGH", "random")).claims[0]
    low, high = f"{good.lower.value:.4f}", f"{good.higher.value:.4f}"
    assert holds(good, False) == f"holds: {low} < {high}"
    assert holds(bad, False) == f"does not hold: {high} >= {low}"


def test_quick_trains_a_stated_share_and_is_not_comparable(tmp_path: Path, truth: dict[str, float]) -> None:
    made = made_of(tmp_path, row(truth["clean"], ", seeds: [0, 1], selections: [test]"), is_quick=True)
    assert [outcome(one, True) for one in made.figures] == ["quick: not comparable"]
    assert len(made.figures[0].answer.values) == 1
    (manifest,) = made.manifests.values()
    assert "mf.epochs=1" in manifest["request"]["set"]  # 2 % of 4, at least 1
    assert manifest["request"]["select"] == ""
    assert f"trained for {QUICK_PERCENT} % of its epochs" in markdown(made, "recshield reproduce toy --quick")


def test_an_interrupted_reproduction_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSHIELD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "toy.yaml").write_text(HEAD + row(0.1) + row(0.2, system="amf"))
    paper = find(str(tmp_path / "toy.yaml"))

    class Stops(run.Silent):
        def started(self, step) -> None:
            if "advreg" in step.label:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(*paper, perform=lambda prepared: run.execute(prepared, listener=Stops()))
    seen: list[tuple[str, bool]] = []

    class Hears(run.Silent):
        def finished(self, step, is_reused: bool) -> None:
            seen.append((step.label, is_reused))

    reproduce(*paper, perform=lambda prepared: run.execute(prepared, listener=Hears()))
    trained = {label: is_reused for label, is_reused in seen if label.startswith("train")}
    assert len(trained) == 2
    assert all(is_reused != ("advreg" in label) for label, is_reused in trained.items())


def test_the_page_holds_every_figure_and_says_how_it_was_made(tmp_path: Path, truth: dict[str, float]) -> None:
    made = made_of(tmp_path, row(truth["clean"] + 0.02) + row(0.5, data="lost"))
    page = markdown(made, "recshield reproduce toy")
    assert page.startswith("# Reproduction: A toy \\| table\n")
    assert "```sh\nrecshield reproduce toy\n```" in page
    assert "**2 figures: 1 missed, 1 data not available.**" in page
    missed = (
        f"{truth['clean'] + 0.02:.4f} (Table 1) | {truth['clean']:.4f} | fixed | missed by -0.0200 (tolerance 0.001)"
    )
    assert missed in page
    assert "The paper's data are not here: the rows are not published. Measured on `synthetic` instead" in page
    assert "torch 2" in page


def test_the_command_prints_saves_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], truth: dict[str, float]
) -> None:
    (tmp_path / "toy.yaml").write_text(HEAD + row(truth["clean"]) + row(truth["clean"] + 0.5))
    monkeypatch.chdir(tmp_path)

    def command(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["recshield", "reproduce", *more])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        return capsys.readouterr().out

    shown = command("toy.yaml", "--out", "runs", "--page", "toy.md", "--threads", "1")
    assert "matched" in shown
    assert "2 figures: 1 matched, 1 missed" in shown
    assert "missed by -0.5000" in (tmp_path / "toy.md").read_text()
    (folder,) = (tmp_path / "runs").iterdir()
    assert recshield.MatrixRun.load(folder).manifest["request"]["models"] == ["mf"]
    held = json.loads(command("toy.yaml", "--json"))
    assert held["summary"] == {"matched": 1, "missed": 1}
    assert held["figures"][0]["measured"] == truth["clean"]
    listed = command()
    assert all(name in listed for name in ("amr", "apr", "msap", "sao"))
