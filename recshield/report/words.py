"""Figures and names as a reader sees them: percentages, intervals, lists, sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recshield.report.content import Estimate, Inline, Name, Number, Phrase

_THOUSAND, _LARGE = 1e3, 1e15
MINUS, SPACE = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"


def signed(value: float) -> str:
    """Return a relative change as `+1.2 %`, with a true minus sign."""
    if math.isnan(value):
        return "n/a"
    shown = f"{100 * abs(value):.1f}"
    sign = "" if float(shown) == 0 else "+" if value > 0 else MINUS
    return f"{sign}{shown}{SPACE}%"


def share(value: float) -> Number:
    """Return a share as `12.3 %`."""
    shown = f"{100 * value:.1f}"
    shown = "0.0" if float(shown) == 0 else shown.replace("-", MINUS)
    return Number(value, "n/a" if math.isnan(value) else f"{shown}{SPACE}%")


def change(value: float) -> Number:
    """Return a relative change."""
    return Number(value, signed(value))


def figure(value: float) -> Number:
    """Return a metric's value with four decimals."""
    return Number(value, "n/a" if math.isnan(value) else f"{value:.4f}".replace("-", MINUS))


def plain_number(value: float, digits: int = 4) -> Number:
    """Return a number with so many significant digits; from a thousand on whole, with thousands apart."""
    if math.isnan(value):
        return Number(value, "n/a")
    is_whole = _THOUSAND <= abs(value) < _LARGE
    return Number(value, (f"{value:,.0f}" if is_whole else f"{value:.{digits}g}").replace("-", MINUS))


def count(value: int) -> Number:
    """Return a whole number with thousands apart."""
    return Number(value, f"{value:,}")


def p_value(value: float) -> Number:
    """Return a p value."""
    return Number(value, f"<{SPACE}0.0001" if value < 1e-4 else f"{value:.4f}")


def between(low: float, high: float) -> str:
    """Return an interval of relative changes, `[-13.0, -11.2]`, or "" where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    ends = (f"{100 * end:+.1f}".replace("-", MINUS) for end in (low, high))
    return f"[{', '.join(ends)}]"


def moved(estimate: Estimate) -> Phrase:
    """Return a relative change with its interval."""
    ends = between(estimate.low, estimate.high)
    return (change(estimate.change), f" {ends}") if ends else (change(estimate.change),)


def listed(names: Sequence[str], most: int = 4) -> Phrase:
    """Return names as `a, b and c`; beyond `most` the rest is counted."""
    shown: list[Inline] = []
    held = list(dict.fromkeys(names))
    kept, rest = held[:most], len(held) - most
    for place, name in enumerate(kept):
        if place:
            shown.append(" and " if place == len(kept) - 1 and rest <= 0 else ", ")
        shown.append(Name(name))
    return (*shown, f" and {rest} more") if rest > 0 else tuple(shown)


def number_word(value: int, one: str, many: str = "") -> str:
    """Return `1 cell`, `3 cells`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"
