"""What a random ranking reaches: the level that no attack on accuracy needs to go below."""

from __future__ import annotations

import dataclasses

import numpy as np

from recshield.core.seeds import number
from recshield.core.settings import CHANCE_DRAWS
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.ranking import Ranks


def chance_level(ranks: Ranks, metric: MetricAtK) -> float:
    """Return the mean figure of rankings that are drawn at random, the same draws for every system.

    Args:
        ranks: of any system on the data; its test rows and candidates are used.
        metric: one that reads no lists.
    """
    figures = []
    for draw in range(CHANCE_DRAWS):
        rng = np.random.default_rng(number(0, "chance", draw))
        places = (rng.random(len(ranks.ranks)) * ranks.candidates).astype(np.int32)
        among = {n: rng.integers(0, n + 1, len(held)).astype(np.int32) for n, held in ranks.sampled.items()}
        figures.append(metric.measure(dataclasses.replace(ranks, ranks=places, sampled=among)).value)
    return float(np.mean(figures))
