"""Section: paired tests over users, corrected over the whole matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recshield.core.settings import CONFIDENCE
from recshield.evaluation.stats import Interval, Paired, holm, intervals, paired
from recshield.report.asked import Asked
from recshield.report.content import Block, Name, Phrase, Prose, Section, Table
from recshield.report.reading import Reading, Values
from recshield.report.standing import placed
from recshield.report.words import MINUS, number_word, p_value, plain_number

_LEVEL = 1 - CONFIDENCE
#: Most rows that stand open.
_OPEN = 24


@dataclass(frozen=True)
class Hypothesis:
    """One thing that was tested: two sets of values of the same users, and what they are."""

    kind: str
    about: Phrase
    at: Phrase
    one: Values
    other: Values


def build(reading: Reading) -> Section | None:
    """Return the section, None where the main metric has no value per user or nothing can be compared."""
    held = [one for one in hypotheses(reading) if one.one.shape[1] > 1] if reading.has_values(reading.main) else []
    if not held:
        return None
    results = [paired(one.other.mean(axis=0), one.one.mean(axis=0)) for one in held]
    spans = intervals([one.one - one.other for one in held])
    t_holm, rank_holm = (holm([getattr(one, name) for one in results]) for name in ("p_t", "p_w"))
    holds = [_holds(*each) for each in zip(t_holm, spans, strict=True)]
    rows = [_row(*each) for each in zip(held, results, spans, t_holm, rank_holm, holds, strict=True)]
    lost = sum(_holds(one.p_t, span) and not hold for one, span, hold in zip(results, spans, holds, strict=True))
    said = f"{sum(holds)} of {number_word(len(rows), 'difference')} hold at {100 * _LEVEL:.0f} % after correction"
    said += f"; {lost} would have held without it." if lost else "; correction changes none of them."
    columns = ("question", "about", "at", "difference", "interval", "effect size", "t test", "Wilcoxon", "t, Holm",
               "Wilcoxon, Holm", "holds")  # fmt: skip
    numeric = (False, False, False, *(True,) * 7, False)
    caption = f"Paired tests of {reading.main} over users; p values after Holm over all {len(rows)} rows."
    table = Table("tests", caption, columns, numeric, tuple(rows), is_folded=len(rows) > _OPEN)
    lead = (
        "Differences are means over users. The tests are of every user's mean over seeds, the intervals over users and "
        "seeds. A difference holds where the corrected t test finds it and the interval leaves out zero. The effect "
        "size is the mean difference in standard deviations of the differences."
    )
    blocks: tuple[Block, ...] = (Prose((said,)), table)
    return Section("significance", "Significance", lead, blocks)


def _holds(p: float, span: Interval) -> bool:
    return bool(p < _LEVEL and (span.is_below_zero or span.is_above_zero))


def hypotheses(reading: Reading) -> Iterator[Hypothesis]:
    """Yield what is asked of the whole matrix: what attacks take, whether more than noise, what defenses change."""
    for system in reading.systems:
        base = reading.base(system)
        if base is not None:
            one, other = (_clean(reading, name) for name in (system, base))
            yield from _compared("defense, clean", (Name(system), " against ", Name(base)), ("no attack",), one, other)
    for asked in reading.asked:
        attacked = reading.values(asked.cells, reading.main)
        before = reading.values(asked.cells, reading.main, "clean_cell")
        at = placed(reading, asked.at)
        yield from _compared(
            "attack against clean", (Name(asked.attack), " on ", Name(asked.system)), at, attacked, before
        )
        reference = reading.noise(asked.system, asked.at)
        if reference is not None and not asked.is_noise:
            about: Phrase = (Name(asked.attack), " on ", Name(asked.system))
            other = reading.values(reference.cells, reading.main)
            yield from _compared("attack against noise", about, at, attacked, other)
        twin = reading.twin(asked)
        if twin is not None:
            about = (Name(asked.system), " against ", Name(twin.system), " under ", Name(asked.attack))
            yield from _compared("defense, attacked", about, at, attacked, _attacked(reading, twin))


def _clean(reading: Reading, system: str) -> Values:
    return reading.values(reading.clean_cells(system), reading.main)


def _attacked(reading: Reading, asked: Asked) -> Values:
    return reading.values(asked.cells, reading.main)


def _compared(kind: str, about: Phrase, at: Phrase, one: Values, other: Values) -> Iterator[Hypothesis]:
    if one.shape == other.shape:
        counts = ~(np.isnan(one).any(axis=0) | np.isnan(other).any(axis=0))
        yield Hypothesis(kind, about, at, one[:, counts], other[:, counts])


def _row(
    one: Hypothesis, result: Paired, span: Interval, t_holm: float, rank_holm: float, holds: bool
) -> tuple[Phrase, ...]:
    ends = f"[{span.low:+.4f}, {span.high:+.4f}]".replace("-", MINUS)
    return (
        (one.kind,),
        one.about,
        one.at,
        (plain_number(result.difference, 3),),
        (ends,),
        (plain_number(result.d_z, 2),),
        (p_value(result.p_t),),
        (p_value(result.p_w),),
        (p_value(float(t_holm)),),
        (p_value(float(rank_holm)),),
        ("yes" if holds else "no",),
    )
