"""Attacks that are made on one system and carried over to another: `source=SYSTEM`."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import recshield
from recshield.core.errors import BadValue
from recshield.run import MatrixRun, prepare

SHORT = ("mf.epochs=12", "advreg.epochs=6", "mf.dims=16")
DATA = "synthetic"


def run(attacks: str, **changes: object) -> MatrixRun:
    asked: dict[str, object] = {"models": "mf,amf", "dataset": DATA, "overrides": SHORT, "budget": "l2:0.5"}
    return recshield.run_matrix(attacks=attacks, **(asked | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def crossed() -> MatrixRun:
    return run("fgsm,fgsm:source=mf,fgsm:source=amf")


def cell(made: MatrixRun, system: str, attack: str) -> pd.Series:
    held = made.steps[(made.steps["system"] == system) & (made.steps["attack"] == attack)]
    held = held[held["eps_text"] == "0.5"]
    assert len(held) == 1
    return held.iloc[0]


def found(made: MatrixRun, check: str, system: str, attack: str) -> pd.Series:
    rows = made.verdicts[made.verdicts["cell"] == cell(made, system, attack)["cell"]]
    return rows[rows["check"] == check].iloc[0]


def test_the_perturbation_is_that_of_the_source(crossed: MatrixRun) -> None:
    for system, source in (("mf", "amf"), ("amf", "mf")):
        carried = load_file(crossed.results.perturbations[cell(crossed, system, f"fgsm:source={source}")["cell"]])
        own = load_file(crossed.results.perturbations[cell(crossed, source, "fgsm")["cell"]])
        assert set(carried) == {"factors.user", "factors.item"}
        for name, held in carried.items():
            assert torch.equal(held, own[name])


def test_a_source_is_not_carried_over_to_itself(crossed: MatrixRun) -> None:
    skipped = {(skip["system"], skip["attack"]): skip["reason"] for skip in crossed.manifest["skipped"]}
    assert set(skipped) == {("mf", "fgsm:source=mf"), ("amf", "fgsm:source=amf")}
    assert "it is the source itself" in skipped["mf", "fgsm:source=mf"]


def test_a_transfer_is_labelled_and_held_against_the_white_box(crossed: MatrixRun) -> None:
    table = crossed.table[~crossed.table["is_control"]].set_index(["system", "attack"])
    assert table.loc[("amf", "fgsm:source=mf"), "labels"].str.startswith("transfer: made on mf; ").all()
    assert not table.loc[("amf", "fgsm"), "labels"].str.contains("transfer").any()
    adaptive = found(crossed, "ADAPTIVE", "amf", "fgsm:source=mf")
    assert (adaptive["verdict"], adaptive["sentence"]) == ("warn", "transfer only: the gradient is that of mf")
    change = table["relative_change"].groupby(level=[0, 1]).first()
    assert change["amf", "fgsm"] < change["amf", "fgsm:source=mf"] < 0
    assert found(crossed, "BLACK<=WHITE", "amf", "fgsm")["verdict"] == "pass"
    # After so few epochs the gradient of mf is the poorer one, for mf itself, too: the check must see that.
    assert change["mf", "fgsm:source=amf"] < change["mf", "fgsm"] < 0
    below = found(crossed, "BLACK<=WHITE", "mf", "fgsm")
    assert below["verdict"] == "warn"
    assert "by fgsm:source=amf, which has none" in below["sentence"]
    assert "overstates robustness" in below["sentence"]


def test_the_undefended_twin_of_a_transfer_is_attacked_directly(crossed: MatrixRun) -> None:
    """On the source itself there is nothing to carry over: the control is the white-box cell that the run has."""
    needs = json.loads(cell(crossed, "amf", "fgsm:source=mf")["needs"])
    assert needs["CONTROL.twin"] == cell(crossed, "mf", "fgsm")["cell"]


def test_the_loss_of_a_transfer_is_that_of_its_source(crossed: MatrixRun) -> None:
    carried, own = cell(crossed, "amf", "fgsm:source=mf"), cell(crossed, "mf", "fgsm")
    assert carried["goal_value"] == own["goal_value"]
    assert carried["mean_clean_norm"] != own["mean_clean_norm"], "a share of the norm is that of what is attacked"


def test_an_ensemble_is_carried_over_member_by_member() -> None:
    made = run("auto:source=mf", models="amf", controls="none")
    whole = cell(made, "amf", "auto:source=mf")
    assert whole["other_systems"] == "mf"
    held = made.steps[made.steps["cell"].isin(json.loads(whole["members"]))]
    assert len(held) == 7
    assert set(held["other_systems"]) == {"mf"}


def test_a_source_of_another_size_is_refused_for_its_cells_alone() -> None:
    made = run("fgsm,fgsm:source=(mf:dims=8)", models="mf", controls="none")
    assert cell(made, "mf", "fgsm")["eps"] == 0.5
    (failure,) = made.manifest["failed"]
    assert "'factors.user' has the shape (1200, 16), and in the source it is of shape (1200, 8)" in failure


def test_a_source_without_the_surface_is_skipped_and_an_unknown_one_refused() -> None:
    made = prepare(models=["mf"], attacks=["fgsm", "fgsm:source=itemknn"], dataset=DATA)
    assert [skip.reason for skip in made.plan.skips] == [
        "source 'itemknn': model 'itemknn' has no surface that can be touched"
    ]
    with pytest.raises(BadValue, match="stage 'late' is not known"):
        prepare(models=["mf"], attacks=["fgsm:source=mf,stage=late"], dataset=DATA)
