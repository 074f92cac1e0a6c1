"""Real posters: what is there, features of a short training, what they are worth, and an attack on pixels."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from recshield.data import image_store
from recshield.matrix.loading import load_data
from recshield.matrix.store import Entry
from recshield.run import MatrixRun, Prepared, execute, prepare

pytestmark = pytest.mark.real

ASKED: dict[str, Any] = {
    "dataset": "ml-latest-small-2016", "filters": ["images", "kcore-user:5"], "skip_bad_images": True,
    "metrics": ["ndcg@100"], "controls": "none",
    "overrides": ["smallcnn.epochs=2", "smallcnn.width=0.5", "vbpr.epochs=6", "vbpr.dims=16", "vbpr.std=0.1"],
}  # fmt: skip
EPS, N_FEW = 4 / 255, 200


def entry(prepared: Prepared, kind: str) -> Entry:
    """Return the one step of a kind."""
    (step,) = (step for step in prepared.plan.steps.values() if step.kind == kind)
    return prepared.store.need(step.key)


@pytest.fixture(scope="module")
def posters(real_data: Path) -> tuple[Prepared, MatrixRun]:
    """Return a short run on all posters: two epochs on genres, a few of the recommender."""
    prepared = prepare(models=["random", "vbpr"], data_dir=str(real_data), **ASKED)
    return prepared, execute(prepared)


def test_every_poster_is_read_and_films_and_users_are_those_of_a_count_by_hand(posters, real_data: Path) -> None:
    folder = real_data / "ml-latest-small"
    films = {path.stem for path in (folder / "posters").glob("*.jpg")}
    rated: dict[str, set[str]] = {}
    with (folder / "ratings.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["movieId"] in films:
                rated.setdefault(row["userId"], set()).add(row["movieId"])
    assert (len(films), len(set.union(*rated.values()))) == (3160, 3160), "as published"
    kept = [held for held in rated.values() if len(held) >= 5]
    n_items = len(set.union(*kept))
    prepared, _ = posters
    data, test = load_data(entry(prepared, "data"))
    assert (data.info.n_users, data.info.n_items, len(test.items)) == (666, n_items, 666)
    assert len(data.train.items) == sum(map(len, kept)) - 666
    facts = entry(prepared, "images").facts
    assert (facts["n_images"], facts["n_missing"], facts["n_bad"]) == (n_items - 1, 1, 1)
    assert "3575.jpg: the file is called .jpg but holds a PNG image" in facts["bad"][0]
    images = image_store.load(entry(prepared, "images").folder)
    assert images.pixels.shape == (n_items, 96, 64, 3)
    # Real pictures: none is of one colour, and hardly two are the same.
    assert ((images.pixels.reshape(n_items, -1).std(axis=1) > 1) == images.is_there).all()
    assert len({one.tobytes() for one in images.pixels}) > 3100


def test_two_epochs_on_genres_give_finite_features_that_tell_genres_apart(posters) -> None:
    held = entry(posters[0], "features")
    features = load_file(held.file("features.safetensors"))["features"]
    assert features.shape[1] == 128
    assert features.isfinite().all()
    assert float(features.abs().max()) == pytest.approx(1)
    assert int((features.std(dim=0) > 1e-4).sum()) > 64
    assert held.facts["facts"]["auc"] > 0.55


def test_a_few_epochs_of_vbpr_rank_better_than_chance(posters) -> None:
    clean = posters[1].table.set_index("system")["clean"]
    assert clean["vbpr"] > 3 * clean["random"] > 0


@pytest.fixture(scope="module")
def few(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the posters of the 200 films that most users rated."""
    folder, source = tmp_path_factory.mktemp("posters"), real_data / "ml-latest-small"
    with (source / "ratings.csv").open(newline="") as stream:
        counts = Counter(row["movieId"] for row in csv.DictReader(stream))
    there = [film for film, _ in counts.most_common() if (source / "posters" / f"{film}.jpg").is_file()]
    for film in there[:N_FEW]:
        shutil.copy(source / "posters" / f"{film}.jpg", folder)
    return folder


def test_fgsm_on_posters_stays_inside_4_levels_and_its_8_bit_figure_stands_beside(real_data: Path, few: Path) -> None:
    prepared = prepare(
        models=["vbpr"], attacks=["fgsm"], budget=["item_images=linf:4/255"], data_dir=str(real_data),
        images=str(few), **ASKED,
    )  # fmt: skip
    run = execute(prepared)
    row = run.table.set_index("attack").loc["fgsm"]
    (delta,) = load_file(run.results.perturbations[row["cell"]]).values()
    clean = image_store.load(entry(prepared, "images").folder).pixels.transpose(0, 3, 1, 2) / 255
    moved = delta.numpy().astype(np.float64)
    assert moved.shape[0] == N_FEW
    assert np.allclose(np.abs(moved).reshape(N_FEW, -1).max(axis=1), EPS, rtol=1e-6, atol=0)
    assert -1e-7 <= float((clean + moved).min()) <= float((clean + moved).max()) <= 1 + 1e-7
    assert (row["surface"], row["n_users"]) == ("item_images", run.table["n_users"].iloc[0])
    assert row["attacked"] < row["clean"]
    # Four levels are whole levels, so that 8 bits keep nearly all of it; but the picture on disk has a figure of its own.
    assert row["attacked_8bit"] == pytest.approx(row["attacked"], rel=0.02)
    assert row["attacked_8bit"] < row["clean"]
    assert 20 * np.log10(255 / 4) - 1e-3 <= row["psnr"] < 20 * np.log10(255 / 4) + 1
    assert 0.5 < row["ssim"] < 1
    facts = run.steps.set_index("attack").loc["fgsm"]
    assert facts["goal_value"] > facts["goal_clean"]
