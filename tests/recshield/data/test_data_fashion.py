"""The generated shop: the same everywhere, drawn in seconds, and its images say what its users like."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from recshield.data.catalogue import resolve
from recshield.data.fabrics import COLOURS, PATTERNS, accent, bend, both, box, grown, less, mix, weave
from recshield.data.fashion import SyntheticFashion, shop
from recshield.data.garments import GARMENTS
from recshield.data.image_store import build, load
from recshield.data.splits import Split
from recshield.data.table import Table


@pytest.fixture(scope="module")
def table() -> Table:
    return SyntheticFashion().generate()


@pytest.fixture(scope="module")
def cold() -> Split:
    return resolve("synthetic-fashion", scheme="cold:0.2").split()


@pytest.fixture(scope="module")
def pixels(tmp_path_factory) -> np.ndarray:
    """Build the store of all images, within the seconds that are promised."""
    folder = tmp_path_factory.mktemp("fashion")
    (folder / "store").mkdir()
    start = time.process_time()
    facts = build(resolve("synthetic-fashion").images, np.arange(800), folder / "store", folder / "partial")
    assert time.process_time() - start < 10  # about 2 where nothing else runs
    assert (facts["n_images"], facts["n_missing"]) == (800, 0)
    return load(folder / "store").pixels


def test_the_shop_has_as_many_garments_as_it_says():
    kinds = Counter(garment.category for garment in shop())
    assert len(shop()) == 800
    assert set(kinds) == set(GARMENTS)
    assert len(kinds) == 12
    assert max(kinds.values()) - min(kinds.values()) <= 1
    assert {garment.colour for garment in shop()} == set(COLOURS)
    assert Counter(garment.pattern for garment in shop()).most_common(1)[0][0] == "plain"
    assert {garment.pattern for garment in shop()} == set(PATTERNS)
    assert "1200 users" in SyntheticFashion.description
    assert "800 drawn garments in 12 categories" in SyntheticFashion.description


def test_categories_stand_in_three_groups_and_every_item_is_in_each(cold):
    found = cold.dataset.categories
    groups = [name.partition(":")[0] for name in found.names]
    assert Counter(groups) == {"category": 12, "colour": 10, "pattern": 5}
    for group in ("category", "colour", "pattern"):
        columns = [place for place, one in enumerate(groups) if one == group]
        assert found.labels[:, columns].sum(axis=1).tolist() == [1] * 800


def test_users_have_enough_rows_and_no_item_twice(table):
    users, counts = np.unique(table.users, return_counts=True)
    assert len(users) == 1_200
    assert (counts.min(), counts.max()) == (10, 32)
    assert len(np.unique(table.users * 800 + table.items)) == len(table)
    assert table.items.max() < 800


def test_another_process_gives_the_same_rows_and_bytes(table):
    code = (
        "import hashlib; from recshield.data.fashion import SyntheticFashion as F; t = hashlib.sha256()\n"
        "[t.update(F().draw(item).tobytes()) for item in range(795, 760, -1)]\n"
        "print(t.hexdigest(), hashlib.sha256(F().generate().items.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    drawn = hashlib.sha256()
    for item in range(795, 760, -1):
        drawn.update(SyntheticFashion().draw(item).tobytes())
    assert done.stdout.split() == [drawn.hexdigest(), hashlib.sha256(table.items.tobytes()).hexdigest()]


def test_the_global_generator_plays_no_part_and_is_left_alone(table):
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(SyntheticFashion().generate().items, table.items)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_no_two_garments_look_the_same_and_all_keep_off_the_edge(pixels):
    assert len({image.tobytes() for image in pixels}) == 800
    assert pixels.shape == (800, 64, 64, 3)
    for edge in (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]):
        assert edge.min() > 200, "a garment reaches the edge"


def test_a_garment_has_its_colour(pixels):
    seen = 0
    for item, garment in enumerate(shop()):
        if garment.pattern == "plain" and garment.category in ("t-shirt", "skirt", "bag"):
            middle = pixels[item, 28:36, 28:36].reshape(-1, 3).astype(int)
            away = {name: np.abs(np.median(middle, axis=0) - colour).sum() for name, colour in COLOURS.items()}
            assert min(away, key=away.get) == garment.colour, item
            seen += 1
    assert seen > 30


def ranked(scores: np.ndarray, split: Split) -> float:
    """Return NDCG@100 of the test rows among all items that the user has no training row of."""
    gains = []
    for place, user in enumerate(split.test.users):
        own = scores[user].copy()
        own[split.dataset.train.of(user)] = -np.inf
        for item in split.test.items[split.test.indptr[place] : split.test.indptr[place + 1]]:
            rank = (own >= own[item]).sum() - 1
            gains.append(np.log(2) / np.log(rank + 2) if rank < 100 else 0)
    return float(np.mean(gains))


def liked(features: np.ndarray, split: Split) -> np.ndarray:
    """Return (n_users, n_items) scores of a ridge regression of each user's rows on features of the warm items."""
    train = split.dataset.train
    held = np.zeros((train.n_users, train.n_items))
    held[train.users, train.items] = 1
    is_warm = train.popularity() > 0
    warm = features[is_warm]
    weights = np.linalg.solve(warm.T @ warm + 5 * np.eye(features.shape[1]), warm.T @ held[:, is_warm].T)
    return (features @ weights).T


def test_what_can_be_seen_recommends_cold_items(cold):
    labels = cold.dataset.categories.labels.astype(float)
    rng = np.random.default_rng(0)
    random = ranked(rng.random((1_200, 800)), cold)
    assert ranked(liked(labels, cold), cold) > 5 * random
    assert ranked(liked(labels[rng.permutation(800)], cold), cold) < 1.5 * random


def test_the_plain_pixels_recommend_cold_items_too(cold, pixels):
    small = pixels.reshape(800, 8, 8, 8, 8, 3).mean(axis=(2, 4)).reshape(800, -1)
    centred = (small - small.mean(axis=0)) / 100
    features = np.linalg.svd(centred, full_matrices=False)[0][:, :40] * 20
    random = ranked(np.random.default_rng(0).random((1_200, 800)), cold)
    assert ranked(liked(features, cold), cold) > 3 * random


def test_whole_numbers_of_the_drawing_are_as_computed_by_hand():
    assert mix((0, 100, 200), (100, 100, 0), 25) == (25, 100, 150)
    assert accent((0, 0, 0)) == (199, 197, 190)  # 78 % of (255, 252, 244)
    assert accent((255, 255, 255))[0] < 128
    assert bend((0, 0), (10, 0), (10, 10), 2) == [(0, 0), (8, 3), (10, 10)]  # (7.5, 2.5), half rounded up
    assert both([(10, 1), (20, 2)]) == [(138, 1), (148, 2), (108, 2), (118, 1)]
    square = box(100, 100, 109, 109)
    assert np.count_nonzero(np.asarray(square)) == 100
    assert np.asarray(grown(square, 4))[104, 96:114].tolist() == [255] * 18
    assert np.count_nonzero(np.asarray(less(square, box(100, 100, 109, 104)))) == 50


def test_patterns_repeat_in_their_unit():
    assert weave("plain", 8).max() == 0
    assert weave("stripes", 8)[:32:8, 5].tolist() == [0, 2, 0, 2]
    assert weave("checks", 8)[:16:8, :16:8].tolist() == [[0, 1], [1, 2]]
    assert weave("dots", 10)[10, 10] == 2
    assert weave("dots", 10)[0, 0] == 0
    np.testing.assert_array_equal(weave("zigzag", 8)[:, 32:], weave("zigzag", 8)[:, :-32])
