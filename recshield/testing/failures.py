"""What a check says: that it failed, that it does not apply, and its outcome as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recshield.core.errors import PerturbationLeak, raised


class CheckFailed(AssertionError):
    """A plugin broke a guarantee; one sentence says what is wrong and what is expected."""


class LeakFound(CheckFailed, PerturbationLeak):
    """A model was changed by something that must only read it."""


class NotApplicable(Exception):
    """A check has nothing to say about this plugin; the text says why."""


@dataclass(frozen=True)
class CheckOutcome:
    """What one named check found.

    Attributes:
        name: of the check, without `check_`.
        passed: false = the guarantee is broken.
        message: one sentence where it failed or does not apply, else empty.
        applies: false = nothing was checked, and `message` says why.
    """

    name: str
    passed: bool
    message: str = ""
    applies: bool = True


def need(is_true: bool, sentence: str) -> None:
    """Raise CheckFailed with the sentence unless the claim holds."""
    if not is_true:
        raise CheckFailed(sentence)


def applies_if(is_true: bool, reason: str) -> None:
    """Raise NotApplicable with the reason unless the claim holds."""
    if not is_true:
        raise NotApplicable(reason)


def outcome(name: str, call: Callable[[], None]) -> CheckOutcome:
    """Run one check and return what it found; an exception of the plugin's own is a failure that names it."""
    try:
        call()
    except NotApplicable as reason:
        return CheckOutcome(name, passed=True, message=f"not applicable: {reason}", applies=False)
    except CheckFailed as failure:
        return CheckOutcome(name, passed=False, message=str(failure))
    except Exception as error:  # a stranger's plugin may raise anything
        return CheckOutcome(name, passed=False, message=f"raised {raised(error)}")
    return CheckOutcome(name, passed=True)
