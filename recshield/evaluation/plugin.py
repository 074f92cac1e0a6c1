"""Registers recshield's own metrics, exactly as a third party would."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.evaluation.metrics import Auc, HitRatio, Metric, Mrr, Ndcg


@hookimpl
def recshield_metrics() -> list[type[Metric]]:
    """Return the metrics."""
    return [HitRatio, Ndcg, Mrr, Auc]
