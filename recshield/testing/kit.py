"""All checks by kind, and the function that runs them and returns what they found."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from recshield.core.errors import UnknownName
from recshield.core.threads import threads
from recshield.testing.attacks import ATTACK_CHECKS
from recshield.testing.audit_checks import AUDIT_CHECKS
from recshield.testing.defenses import DEFENSE_CHECKS
from recshield.testing.executors import EXECUTOR_CHECKS
from recshield.testing.extractors import EXTRACTOR_CHECKS
from recshield.testing.failures import CheckOutcome, outcome
from recshield.testing.importing import MODULE_CHECKS
from recshield.testing.metrics import METRIC_CHECKS
from recshield.testing.named_data import DATASET_CHECKS
from recshield.testing.readers import READER_CHECKS
from recshield.testing.recommenders import RECOMMENDER_CHECKS
from recshield.testing.reports import REPORT_CHECKS

#: Kind of plugin -> its checks, in the order in which they run.
CHECKS: dict[str, tuple[Callable[..., None], ...]] = {
    "recommender": RECOMMENDER_CHECKS,
    "attack": ATTACK_CHECKS,
    "defense": DEFENSE_CHECKS,
    "metric": METRIC_CHECKS,
    "dataset": DATASET_CHECKS,
    "reader": READER_CHECKS,
    "extractor": EXTRACTOR_CHECKS,
    "executor": EXECUTOR_CHECKS,
    "check": AUDIT_CHECKS,
    "report": REPORT_CHECKS,
    "module": MODULE_CHECKS,
}


def name_of(check: Callable[..., None]) -> str:
    """Return the name of a check, as printed."""
    return check.__name__.removeprefix("check_")


def apply(check: Callable[..., None], subject: Any, config: Any = None) -> None:
    """Call a check with what it takes: the subject, and the configuration or sample where it has room for one.

    It runs on one thread, as every step of a matrix does unless `--threads` says otherwise: sums over several threads
    may end in another order, and with it in other last bits, which is no fault of a plugin.
    """
    given = (subject, config)[: len(inspect.signature(check).parameters)]
    with threads(1):
        check(*given)


def each_outcome(kind: str, subject: Any, config: Any = None) -> Iterator[CheckOutcome]:
    """Yield what each check of a kind finds as soon as it is known; arguments as for `run_checks`."""
    if kind not in CHECKS:
        raise UnknownName.among("kind of plugin", kind, CHECKS, "the kit checks these")
    for check in CHECKS[kind]:
        yield outcome(name_of(check), functools.partial(apply, check, subject, config))


def run_checks(kind: str, subject: Any, config: Any = None) -> list[CheckOutcome]:
    """Run every check of a kind and return what each found; a failing check does not stop the rest.

    Args:
        kind: `recommender`, `attack`, `defense`, `metric`, `dataset`, `reader`, `extractor`, `executor`, `check`,
            `report`, or `module`: what an entry point names.
        subject: an Attack or a Defense, with the options to check it at; of the other kinds the class; the name of a
            module.
        config: of a recommender or an extractor, None = its defaults; of a reader the path of a sample, without which
            only what needs none is checked.

    Raises:
        UnknownName: no such kind.
    """
    return list(each_outcome(kind, subject, config))
