"""Ranking, metrics and effects."""

from recshield.evaluation.effect import Effect, difference, relative_change
from recshield.evaluation.metrics import Metric, MetricAtK
from recshield.evaluation.ranking import Ranks, rank

__all__ = ["Effect", "Metric", "MetricAtK", "Ranks", "difference", "rank", "relative_change"]
