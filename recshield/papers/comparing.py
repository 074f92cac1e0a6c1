"""Published against measured: matched, missed by how much, or data not available; and the shape of a table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recshield.papers.reproducing import Claimed, Figure, Reproduction

MATCHED, MISSED, ABSENT, UNMEASURED, QUICK = (
    "matched", "missed", "data not available", "not measured", "quick: not comparable",
)  # fmt: skip
WORDS = (MATCHED, MISSED, ABSENT, UNMEASURED, QUICK)


def outcome(figure: Figure, is_quick: bool) -> str:
    """Return one of `WORDS` for a figure."""
    if figure.is_instead:
        return ABSENT
    if not figure.answer.values:
        return UNMEASURED
    if is_quick:
        return QUICK
    tolerance = figure.row.tolerance_of(figure.metric)
    is_near = abs(difference(figure)) <= tolerance * (1 + 1e-9)
    return MATCHED if is_near or (figure.row.or_above and difference(figure) > 0) else MISSED


def difference(figure: Figure) -> float:
    """Return measured minus published."""
    return figure.answer.value - figure.published


def said(figure: Figure, is_quick: bool) -> str:
    """Return the outcome as a sentence: with the difference where there is one, or the reason."""
    word = outcome(figure, is_quick)
    if word == UNMEASURED:
        return f"{UNMEASURED}: {figure.answer.reason}"
    if word != MISSED:
        return word
    tolerance = figure.row.tolerance_of(figure.metric)
    if figure.row.change:
        return f"missed by {100 * difference(figure):+.1f} points (tolerance {100 * tolerance:g})"
    return f"missed by {difference(figure):+.4f} (tolerance {tolerance:g})"


def holds(claimed: Claimed, is_quick: bool) -> str:
    """Return whether a claim holds, as a sentence with both figures."""
    if not claimed.lower.values or not claimed.higher.values:
        return f"{UNMEASURED}: {claimed.lower.reason or claimed.higher.reason}"
    lower = written_of(claimed.lower.value, claimed.claim.lower.change)
    higher = written_of(claimed.higher.value, claimed.claim.higher.change)
    is_lower = claimed.lower.value < claimed.higher.value
    word = "holds" if is_lower else "does not hold"
    word = QUICK if is_quick else word
    return f"{word}: {lower} {'<' if is_lower else '>='} {higher}"


def written_of(value: float, is_change: bool) -> str:
    """Return a figure as a person reads it."""
    if math.isnan(value):
        return "-"
    return f"{100 * value:+.1f} %" if is_change else f"{value:.4f}"


def counts(made: Reproduction) -> dict[str, int]:
    """Return how many figures have each outcome."""
    found = [outcome(figure, made.is_quick) for figure in made.figures]
    return {word: found.count(word) for word in WORDS if word in found}


@dataclass(frozen=True)
class Shape:
    """How far a table keeps its order on another data set.

    Attributes:
        data: of the paper.
        dataset: where it was measured.
        selection: how epochs were chosen.
        what: the metric, or its change.
        n_same: pairs of figures in the published order.
        n_pairs: pairs whose published figures differ by more than the tolerance.
        turned: pairs in the other order, as text.
    """

    data: str
    dataset: str
    selection: str
    what: str
    n_same: int
    n_pairs: int
    turned: tuple[str, ...]


def shapes(made: Reproduction) -> list[Shape]:
    """Return how every table that was measured on other data than the paper's keeps its order."""
    groups: dict[tuple[str, str, str, str], list[Figure]] = {}
    for figure in made.figures:
        if figure.is_instead and figure.answer.values:
            what = f"change of {figure.metric}" if figure.row.change else figure.metric
            groups.setdefault((figure.row.data, figure.dataset, figure.selection, what), []).append(figure)
    return [_shape(key, held) for key, held in groups.items() if len(held) > 1]


def _shape(key: tuple[str, str, str, str], figures: Sequence[Figure]) -> Shape:
    n_same, n_pairs, turned = 0, 0, []
    for one, other in itertools.combinations(figures, 2):
        slack = max(one.row.tolerance_of(one.metric), other.row.tolerance_of(other.metric))
        gap = one.published - other.published
        if abs(gap) <= slack:
            continue
        n_pairs += 1
        if gap * (one.answer.value - other.answer.value) > 0:
            n_same += 1
        else:
            turned.append(f"{named(one)} and {named(other)}")
    return Shape(*key, n_same, n_pairs, tuple(turned))


def named(figure: Figure) -> str:
    """Return what a figure is of: the paper's name of the system, its attack and budget."""
    label = figure.row.label or figure.row.system
    return f"{label} under {figure.row.attack} at {figure.row.budget}" if figure.row.attack else label


def by_data(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    """Return the figures by the paper's data set."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        found.setdefault(figure.row.data, []).append(figure)
    return found
