"""Ranking, metrics and effects."""

from recshield.evaluation.background import Background
from recshield.evaluation.effect import Interval, difference, relative_change
from recshield.evaluation.metrics import Metric, MetricAtK
from recshield.evaluation.ranking import Extras, Ranks, rank

__all__ = [
    "Background",
    "Extras",
    "Interval",
    "Metric",
    "MetricAtK",
    "Ranks",
    "difference",
    "rank",
    "relative_change",
]
