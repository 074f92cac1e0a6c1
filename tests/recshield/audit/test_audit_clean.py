"""What the audit says of a run as a whole whose figures are clean ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import recshield
from recshield.audit import RUN
from recshield.run import MatrixRun


def run(attacks: str = "", seeds: tuple[int, ...] = (0,), **changes: object) -> MatrixRun:
    quick = ("mf.epochs=1", "mf.dims=4")
    options = {"dataset": "synthetic", "overrides": quick, "seeds": seeds, **changes}
    return recshield.run_matrix("popular,mf", attacks, **options)  # type: ignore[arg-type]


def of_the_run(made: MatrixRun, check: str) -> pd.DataFrame:
    return made.verdicts[(made.verdicts["cell"] == RUN) & (made.verdicts["check"] == check)]


def test_a_run_without_attacks_says_how_many_seeds_it_has() -> None:
    (finding,) = of_the_run(run(), "POWER").to_dict("records")
    assert (finding["verdict"], finding["sentence"][:27]) == ("warn", "1 seed, where a claim needs")


def test_five_seeds_are_enough() -> None:
    (finding,) = of_the_run(run(seeds=(0, 1, 2, 3, 4)), "POWER").to_dict("records")
    assert (finding["verdict"], finding["sentence"]) == ("pass", "5 seeds")


@pytest.mark.parametrize("attacks", ["", "noise"])
def test_clean_figures_of_a_model_selected_on_test_rows_fail(attacks: str, tmp_path: Path) -> None:
    made = run(attacks)
    assert of_the_run(made, "LEAKAGE").empty
    is_clean = (made.steps["attack"] == "none") & (made.steps["system"] == "mf")
    made.steps.loc[is_clean, "selection"] = "test"
    made.save(tmp_path / "run")
    loaded = MatrixRun.load(tmp_path / "run")
    loaded.audit()
    (finding,) = of_the_run(loaded, "LEAKAGE").to_dict("records")
    assert finding["verdict"] == "fail"
    assert "selected by 'test' (mf)" in finding["sentence"]
