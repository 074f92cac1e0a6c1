"""pytest base classes: an author's test file is a class line that inherits one and names the plugin.

class TestMyAttack(AttackTests):
    attack = MyAttack(steps=3)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from recshield.core.errors import UnknownName
from recshield.core.interfaces import Attack, Defense, Recommender
from recshield.testing.attacks import ATTACK_CHECKS
from recshield.testing.audit_checks import AUDIT_CHECKS
from recshield.testing.defenses import DEFENSE_CHECKS
from recshield.testing.executors import EXECUTOR_CHECKS
from recshield.testing.extractors import EXTRACTOR_CHECKS
from recshield.testing.failures import NotApplicable
from recshield.testing.kit import CHECKS, apply, name_of
from recshield.testing.metrics import METRIC_CHECKS
from recshield.testing.named_data import DATASET_CHECKS
from recshield.testing.readers import READER_CHECKS
from recshield.testing.recommenders import RECOMMENDER_CHECKS
from recshield.testing.reports import REPORT_CHECKS

if TYPE_CHECKING:
    from recshield.audit import Check
    from recshield.core.extractors import Extractor
    from recshield.data import NamedData, Reader
    from recshield.evaluation import Metric
    from recshield.matrix import Executor
    from recshield.report import ReportFormat


def _run(kind: str, check: Callable[..., None], excused: Mapping[str, str], *subject: Any) -> None:
    name = name_of(check)
    unknown = sorted(set(excused) - {name_of(one) for one in CHECKS[kind]})
    if unknown:
        raise UnknownName.among("check", unknown[0], map(name_of, CHECKS[kind]), "look at `excused`")
    if name in excused:
        pytest.skip(f"excused: {excused[name]}")
    try:
        apply(check, *subject)
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")


class RecommenderTests:
    """Every check of a recommender as a test.

    Attributes:
        recommender: the class.
        config: an instance of its `config_type`; None = its defaults.
        excused: name of a check -> why this model need not pass it.
    """

    recommender: ClassVar[type[Recommender]]
    config: ClassVar[Any] = None
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", RECOMMENDER_CHECKS, ids=name_of)
    def test_recommender(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("recommender", check, self.excused, self.recommender, self.config)


class AttackTests:
    """Every check of an attack as a test.

    Attributes:
        attack: with the options to check it at; a property where it needs `reference_system()`.
        excused: name of a check -> why this attack need not pass it.
    """

    attack: Attack
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", ATTACK_CHECKS, ids=name_of)
    def test_attack(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("attack", check, self.excused, self.attack)


class DefenseTests:
    """Every check of a defense as a test.

    Attributes:
        defense: with the options to check it at; a property where it needs `reference_system()`.
        excused: name of a check -> why this defense need not pass it.
    """

    defense: Defense
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", DEFENSE_CHECKS, ids=name_of)
    def test_defense(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("defense", check, self.excused, self.defense)


class MetricTests:
    """Every check of a metric as a test.

    Attributes:
        metric: the class.
        excused: name of a check -> why it need not pass it.
    """

    metric: ClassVar[type[Metric]]
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", METRIC_CHECKS, ids=name_of)
    def test_metric(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("metric", check, self.excused, self.metric)


class NamedDataTests:
    """Every check of a named data set as a test.

    Attributes:
        dataset: the class.
        excused: name of a check -> why it need not pass it.
    """

    dataset: ClassVar[type[NamedData]]
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", DATASET_CHECKS, ids=name_of)
    def test_dataset(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("dataset", check, self.excused, self.dataset)


class ReaderTests:
    """Every check of a reader as a test.

    Attributes:
        reader: the class.
        sample: a file or folder in its format; without one, what reads is skipped.
        excused: name of a check -> why it need not pass it.
    """

    reader: ClassVar[type[Reader]]
    sample: ClassVar[Path | None] = None
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", READER_CHECKS, ids=name_of)
    def test_reader(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("reader", check, self.excused, self.reader, self.sample)


class ExtractorTests:
    """Every check of an extractor as a test.

    Attributes:
        extractor: the class.
        config: an instance of its `config_type`; None = its defaults.
        excused: name of a check -> why it need not pass it.
    """

    extractor: ClassVar[type[Extractor]]
    config: ClassVar[Any] = None
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", EXTRACTOR_CHECKS, ids=name_of)
    def test_extractor(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("extractor", check, self.excused, self.extractor, self.config)


class ExecutorTests:
    """Every check of an executor as a test.

    Attributes:
        executor: the class.
        excused: name of a check -> why it need not pass it.
    """

    executor: ClassVar[type[Executor]]
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", EXECUTOR_CHECKS, ids=name_of)
    def test_executor(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("executor", check, self.excused, self.executor)


class AuditCheckTests:
    """Every check of an audit check as a test.

    Attributes:
        audit_check: the class.
        excused: name of a check -> why it need not pass it.
    """

    audit_check: ClassVar[type[Check]]
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", AUDIT_CHECKS, ids=name_of)
    def test_check(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("check", check, self.excused, self.audit_check)


class ReportTests:
    """Every check of a report format as a test.

    Attributes:
        report: the class.
        excused: name of a check -> why it need not pass it.
    """

    report: ClassVar[type[ReportFormat]]
    excused: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", REPORT_CHECKS, ids=name_of)
    def test_report(self, check: Callable[..., None]) -> None:
        """Run one check."""
        _run("report", check, self.excused, self.report)
