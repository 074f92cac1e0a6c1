"""All checks by kind, and the function that runs them and returns what they found."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from recshield.core.errors import UnknownName
from recshield.testing.attacks import ATTACK_CHECKS
from recshield.testing.defenses import DEFENSE_CHECKS
from recshield.testing.failures import CheckOutcome, outcome
from recshield.testing.recommenders import RECOMMENDER_CHECKS

#: Kind of plugin -> its checks, in the order in which they run.
CHECKS: dict[str, tuple[Callable[..., None], ...]] = {
    "recommender": RECOMMENDER_CHECKS,
    "attack": ATTACK_CHECKS,
    "defense": DEFENSE_CHECKS,
}


def name_of(check: Callable[..., None]) -> str:
    """Return the name of a check, as printed."""
    return check.__name__.removeprefix("check_")


def run_checks(kind: str, subject: Any, config: Any = None) -> list[CheckOutcome]:
    """Run every check of a kind and return what each found; a failing check does not stop the rest.

    Args:
        kind: `recommender`, `attack` or `defense`.
        subject: the Recommender class; an Attack or a Defense, with the options to check it at.
        config: of a recommender; None = its defaults.

    Raises:
        UnknownName: no such kind.
    """
    if kind not in CHECKS:
        raise UnknownName.among("kind of plugin", kind, CHECKS, "the kit checks these")
    given = (subject, config) if kind == "recommender" else (subject,)
    return [outcome(name_of(check), functools.partial(check, *given)) for check in CHECKS[kind]]
