"""Registers recshield's own metrics, exactly as a third party would."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.evaluation.accuracy import F1, MeanAveragePrecision, Precision, Recall
from recshield.evaluation.exposure import (
    AveragePopularity,
    Coverage,
    Entropy,
    Gini,
    LongTailCoverage,
    LongTailShare,
    UserCoverage,
)
from recshield.evaluation.metrics import Auc, HitRatio, Metric, Mrr, Ndcg
from recshield.evaluation.novelty import FreeDiscovery, PopularityComplement
from recshield.evaluation.parity import PopREO, PopRSP


@hookimpl
def recshield_metrics() -> list[type[Metric]]:
    """Return the metrics."""
    accuracy: list[type[Metric]] = [HitRatio, Ndcg, Mrr, Auc, Recall, Precision, MeanAveragePrecision, F1]
    lists: list[type[Metric]] = [Coverage, UserCoverage, Gini, Entropy, AveragePopularity]
    return [*accuracy, *lists, LongTailShare, LongTailCoverage, FreeDiscovery, PopularityComplement, PopREO, PopRSP]
