"""The evaluator on real files: popularity is deterministic, so published and counted figures hold to the digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recshield.data.catalogue import resolve
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import rank


def figures(train: Interactions, test: HeldOut, *metrics: str) -> list[float]:
    """Return the mean of each metric over users where items are scored by their training rows."""
    counts = torch.from_numpy(train.popularity()).float()
    ranks = rank(lambda users: counts.expand(len(users), -1), train, test)
    return [float(MetricAtK.parse(metric).per_user(ranks).mean()) for metric in metrics]


def real_figures(name: str, folder: Path, *metrics: str) -> list[float]:
    """Return the figures of a named data set."""
    split = resolve(name, str(folder)).split()
    return figures(split.dataset.train, split.test, *metrics)


def slow_figures(train: list[tuple[int, int]], test: list[tuple[int, int]], k: int) -> tuple[float, float]:
    """Return HR@k and NDCG@k of popularity, counted with dictionaries as the papers' code does."""
    counts: dict[int, int] = {}
    seen: dict[int, set[int]] = {}
    for user, item in train:
        counts[item] = counts.get(item, 0) + 1
        seen.setdefault(user, set()).add(item)
    catalogue = {item for _, item in (*train, *test)}
    hits, gain = 0, 0.0
    for user, item in test:
        own = counts.get(item, 0)
        above = sum(counts.get(other, 0) >= own for other in catalogue - seen.get(user, set()) - {item})
        hits += above < k
        gain += np.log(2) / np.log(above + 2) if above < k else 0.0
    return hits / len(test), gain / len(test)


def rows_of(file: Path) -> list[tuple[int, int]]:
    return [(int(line.split()[0]), int(line.split()[1])) for line in file.read_text().splitlines()]


def test_popularity_on_drawn_rows_is_that_of_a_slow_count():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 20, 150), rng.integers(0, 15, 150)
    train = Interactions.from_rows(users, items, 20, 15)
    test = HeldOut.from_rows(np.arange(20), rng.integers(0, 15, 20))
    # Every item of the catalogue occurs, so both sides know the same candidates.
    assert set(items.tolist()) == set(range(15))
    expected = slow_figures(
        list(zip(users.tolist(), items.tolist(), strict=True)),
        list(zip(test.row_users.tolist(), test.items.tolist(), strict=True)),
        5,
    )
    assert tuple(figures(train, test, "hr@5", "ndcg@5")) == pytest.approx(expected, rel=1e-12)


@pytest.mark.real
def test_amazon_video_gives_the_published_figures_of_most_popular(real_data):
    # SAO paper (SIGIR 2020), Table 2, MostPop: 0.0879 and 0.0248; five digits counted on the files (data README).
    found = real_figures("amazon-video", real_data, "hr@100", "ndcg@100", "hr@10", "hr@50")
    assert found == pytest.approx([0.08790, 0.02480, 0.02141, 0.05520], abs=5e-6)


@pytest.mark.real
@pytest.mark.parametrize(("name", "hr", "ndcg"), [("ml-100k", 0.3171, 0.0874), ("movielens-500", 0.2500, 0.0602)])
def test_movielens_gives_the_counted_figures_of_most_popular(real_data, name, hr, ndcg):
    assert real_figures(name, real_data, "hr@100", "ndcg@100") == pytest.approx([hr, ndcg], abs=5e-5)


@pytest.mark.real
def test_movielens_500_gives_the_figures_of_a_slow_count_on_the_raw_files(real_data):
    folder = real_data / "movielens-500"
    expected = slow_figures(rows_of(folder / "trainingset.tsv"), rows_of(folder / "testset.tsv"), 100)
    found = real_figures("movielens-500", real_data, "hr@100", "ndcg@100")
    assert tuple(found) == pytest.approx(expected, rel=1e-12)
