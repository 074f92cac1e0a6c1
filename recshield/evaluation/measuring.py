"""From a scoring function to the figures of several metrics, in one pass over the scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recshield.core.settings import DATA_SEED
from recshield.data.interactions import HeldOut, Interactions
from recshield.evaluation.background import Background
from recshield.evaluation.metrics import Figure, MetricAtK, extras_for
from recshield.evaluation.ranking import rank


def measure_all(
    score: Callable[[Tensor], Tensor],
    train: Interactions,
    test: HeldOut,
    metrics: Sequence[MetricAtK],
    device: torch.device,
    data_seed: int = DATA_SEED,
) -> dict[str, Figure]:
    """Return the figure of every metric, by its name.

    Args:
        score: (B,) int64 users -> (B, n_items) float32 scores.
        train: rows to mask.
        test: rows to rank.
        metrics: what to measure.
        device: where `score` wants its users.
        data_seed: of the candidates of sampled metrics.

    Raises:
        NonFiniteScores: a score is NaN or infinite.
    """
    ranks = rank(score, train, test, device=device, extras=extras_for(metrics, data_seed))
    ranks = dataclasses.replace(ranks, background=Background(train, test))
    return {str(metric): metric.measure(ranks) for metric in metrics}
