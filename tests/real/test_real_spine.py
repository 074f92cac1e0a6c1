"""The spine on the real files, with short trainings: the directions and identities that must hold there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recshield
from recshield.run import MatrixRun

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def video(real_data: Path) -> MatrixRun:
    """Return a short run on amazon-video: 60 epochs of BPR, 30 more of APR or of nothing new."""
    return recshield.run_matrix(
        "popular,mf,amf,mf+continue,mf+rescaled:like=amf",
        "noise,fgsm",
        dataset="amazon-video",
        data_dir=str(real_data),
        budget="l2:0.5",
        overrides=["mf.epochs=60", "advreg.epochs=30", "continue.epochs=30"],
        controls="none",
        jobs=2,
    )


def change(run: MatrixRun, system: str, attack: str, eps: str) -> float:
    rows = run.table.query("metric == 'ndcg' and not is_control").set_index(["system", "attack", "eps_text"])
    return float(rows.loc[(system, attack, eps), "relative_change"])


def clean(run: MatrixRun, system: str, metric: str = "ndcg") -> float:
    rows = run.table[(run.table["attack"] == "none") & (run.table["metric"] == metric)]
    return float(rows.set_index("system")["clean"][system])


def test_popularity_is_the_published_figure(video: MatrixRun) -> None:
    assert clean(video, "popular") == pytest.approx(0.0248, abs=5e-5)
    assert clean(video, "popular", "hr") == pytest.approx(0.0879, abs=5e-5)


def test_the_order_of_the_systems_is_that_of_the_paper(video: MatrixRun) -> None:
    assert clean(video, "popular") < 0.5 * clean(video, "mf")
    assert clean(video, "mf") > 0.055
    assert clean(video, "amf") > 1.02 * clean(video, "mf+continue")


def test_fgm_takes_more_than_noise_and_the_defended_model_loses_less(video: MatrixRun) -> None:
    assert change(video, "mf", "fgsm", "0.5") < 2 * change(video, "mf", "noise", "0.5") < 0
    assert change(video, "amf", "fgsm", "0.5") > 0.6 * change(video, "mf", "fgsm", "0.5")


def test_the_rescaled_model_ranks_as_the_undefended_one(video: MatrixRun) -> None:
    cells = video.steps[video.steps["attack"] == "none"].set_index("system")["cell"]
    before, after = (video.results.values(cells[name], "rank") for name in ("mf", "mf+rescaled:like=amf"))
    moved = np.abs(before - after)
    assert (moved > 0).mean() <= 0.01
    assert moved.max() <= 2
    assert clean(video, "mf") == pytest.approx(clean(video, "mf+rescaled:like=amf"), abs=1e-4)
    assert clean(video, "mf", "hr") == pytest.approx(clean(video, "mf+rescaled:like=amf", "hr"), abs=1e-4)


def test_the_rescaled_model_lies_between(video: MatrixRun) -> None:
    scaled = change(video, "mf+rescaled:like=amf", "fgsm", "0.5")
    assert change(video, "mf", "fgsm", "0.5") < scaled < change(video, "amf", "fgsm", "0.5")


def test_without_controls_every_attacked_cell_is_unproven(video: MatrixRun) -> None:
    assert set(video.table.query("attack != 'none'")["verdict"]) == {"unproven"}


def test_sound_cells_pass_and_a_scaled_model_fails_on_movielens(real_data: Path) -> None:
    run = recshield.run_matrix(
        "mf,mf+rescaled:like=(mf:std=0.1,lr=0.2)",
        "fgsm",
        dataset="ml-100k",
        data_dir=str(real_data),
        budget="l2:1",
        overrides=["mf.epochs=60"],
    )
    verdicts = run.table.query("attack == 'fgsm' and not is_control").set_index("system")["verdict"]
    assert set(verdicts["mf"]) == {"pass"}
    scale = run.verdicts.query("check == 'SCALE'")
    assert scale["verdict"].tolist() == ["fail"]
    assert scale["sentence"].iloc[0].startswith("the whole gain is scale")


@pytest.mark.parametrize(
    ("dataset", "hit_ratio", "ndcg"), [("ml-100k", 0.3171, 0.0874), ("movielens-500", 0.2500, 0.0602)]
)
def test_mf_beats_popularity_on_movielens(real_data: Path, dataset: str, hit_ratio: float, ndcg: float) -> None:
    run = recshield.run_matrix(
        "popular,mf",
        "noise,fgsm,pgd",
        dataset=dataset,
        data_dir=str(real_data),
        budget="l2:1",
        overrides=["mf.epochs=60"],
    )
    assert clean(run, "popular", "hr") == pytest.approx(hit_ratio, abs=5e-5)
    assert clean(run, "popular") == pytest.approx(ndcg, abs=5e-5)
    assert clean(run, "mf") > 1.3 * clean(run, "popular")
    assert change(run, "mf", "fgsm", "1") < change(run, "mf", "noise", "1")
    loss = run.steps.query("not is_control and attack != 'none'").set_index("attack")["goal_value"]
    assert loss["noise"] < loss["fgsm"] <= loss["pgd"]


def test_two_readers_give_the_same_rows_of_movielens(real_data: Path, tmp_path: Path) -> None:
    """`u.data` rewritten as `ratings.csv` must be the same data set."""
    from recshield.data.catalogue import resolve

    rows = [line.split("\t") for line in (real_data / "ml-100k" / "u.data").read_text().splitlines()]
    text = "userId,movieId,rating,timestamp\n" + "".join(",".join(row) + "\n" for row in rows)
    (tmp_path / "ratings.csv").write_text(text)
    one, other = resolve("ml-100k", str(real_data)).split(), resolve(str(tmp_path)).split()
    assert np.array_equal(one.dataset.train.items, other.dataset.train.items)
    assert np.array_equal(one.test.items, other.test.items)
    assert np.array_equal(one.dataset.user_ids, other.dataset.user_ids)
