"""The conformance kit that plugin authors run: `run_checks`, and a pytest base class for each kind of plugin.

Every guarantee is a named check, a function `check_*` of a module of this package. Names load when they are first used,
so that only the base classes need pytest and only `datasets` needs hypothesis.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recshield.testing.attacks import ATTACK_CHECKS
    from recshield.testing.data import one_item_dataset, one_user_dataset, small_dataset
    from recshield.testing.defenses import DEFENSE_CHECKS
    from recshield.testing.failures import CheckFailed, CheckOutcome, LeakFound, NotApplicable
    from recshield.testing.kit import CHECKS, run_checks
    from recshield.testing.recommenders import RECOMMENDER_CHECKS
    from recshield.testing.reference import TwoTables, TwoTablesConfig, reference_system, trained_tables
    from recshield.testing.strategies import datasets
    from recshield.testing.suites import (
        AttackTests,
        AuditCheckTests,
        DefenseTests,
        ExecutorTests,
        ExtractorTests,
        MetricTests,
        NamedDataTests,
        ReaderTests,
        RecommenderTests,
        ReportTests,
    )

_HOMES = {
    "attacks": ("ATTACK_CHECKS",),
    "data": ("one_item_dataset", "one_user_dataset", "small_dataset"),
    "defenses": ("DEFENSE_CHECKS",),
    "failures": ("CheckFailed", "CheckOutcome", "LeakFound", "NotApplicable"),
    "kit": ("CHECKS", "run_checks"),
    "recommenders": ("RECOMMENDER_CHECKS",),
    "reference": ("TwoTables", "TwoTablesConfig", "reference_system", "trained_tables"),
    "strategies": ("datasets",),
    "suites": (
        "AttackTests",
        "AuditCheckTests",
        "DefenseTests",
        "ExecutorTests",
        "ExtractorTests",
        "MetricTests",
        "NamedDataTests",
        "ReaderTests",
        "RecommenderTests",
        "ReportTests",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ATTACK_CHECKS",
    "CHECKS",
    "DEFENSE_CHECKS",
    "RECOMMENDER_CHECKS",
    "AttackTests",
    "AuditCheckTests",
    "CheckFailed",
    "CheckOutcome",
    "DefenseTests",
    "ExecutorTests",
    "ExtractorTests",
    "LeakFound",
    "MetricTests",
    "NamedDataTests",
    "NotApplicable",
    "ReaderTests",
    "RecommenderTests",
    "ReportTests",
    "TwoTables",
    "TwoTablesConfig",
    "datasets",
    "one_item_dataset",
    "one_user_dataset",
    "reference_system",
    "run_checks",
    "small_dataset",
    "trained_tables",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'recshield.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"recshield.testing.{_HOME_OF[name]}"), name)
