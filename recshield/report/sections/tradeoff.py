"""Section: what robustness costs without an attack: one point per system, and those that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recshield.report import charts
from recshield.report.asked import Asked, Place
from recshield.report.content import Chart, Name, Panel, Phrase, Section, Table, Verdict
from recshield.report.reading import Reading
from recshield.report.standing import largest, place_text, placed, places, standings
from recshield.report.words import figure, moved

#: Budgets that are drawn, where there are not more that stand for the run.
_DRAWN = 4


def fronts(points: Sequence[tuple[float, float]], sign: int = 1) -> list[bool]:
    """Return for each point whether no other is at least as good in both and better in one.

    Args:
        points: clean and attacked figure of each system.
        sign: -1 where lower figures are better.
    """
    held = [(sign * one, sign * other) for one, other in points]
    return [not any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in held) for p in held]


def build(reading: Reading) -> Section | None:
    """Return the section, None where fewer than two systems were attacked alike."""
    panels: list[Panel] = []
    rows: list[tuple[Phrase, ...]] = []
    for at in places(reading)[: max(_DRAWN, len(largest(reading)))]:
        held = [(one.system, one.overall) for one in standings(reading, at) if one.overall]
        if len(held) > 1:
            panels.append(_panel(reading, held, at))
            rows += _rows(reading, held)
    if not panels:
        return None
    lead = (
        "To the right is better without an attack, upwards is better under the worst one that was tried at that budget."
    )
    caption = "Each system under its worst attack; the dashed line joins those that no other system beats in both."
    columns = ("budget", "system", "clean", "under attack", "worst attack", "change", "verdict")
    numeric = (False, False, True, True, False, True, False)
    table = Table("tradeoff", "The figures of the pictures.", columns, numeric, tuple(rows), is_folded=True)
    return Section("tradeoff", "Clean cost against robustness", lead, (Chart("front", caption, tuple(panels)), table))


def _points(reading: Reading, held: list[tuple[str, Asked]]) -> list[tuple[float, float]]:
    estimates = [reading.estimate(asked.cells) for _, asked in held]
    return [(one.clean, one.attacked) for one in estimates]


def _panel(reading: Reading, held: list[tuple[str, Asked]], at: Place) -> Panel:
    points = _points(reading, held)
    on = fronts(points, -1 if reading.main in reading.lower_is_better else 1)
    rows: list[dict[str, Any]] = [
        {"system": system, "clean": point[0], "attacked": point[1], "is_front": is_front}
        for (system, _), point, is_front in zip(held, points, on, strict=True)
    ]
    title = reading.main.upper()
    spec = charts.front(rows, title, f"{title} under the worst attack")
    said = "; ".join(f"{row['system']} {row['clean']:.4f} clean, {row['attacked']:.4f} attacked" for row in rows)
    return Panel(place_text(reading, at), said, spec)


def _rows(reading: Reading, held: list[tuple[str, Asked]]) -> list[tuple[Phrase, ...]]:
    found: list[tuple[Phrase, ...]] = []
    for system, asked in held:
        own = reading.estimate(asked.cells)
        head: tuple[Phrase, ...] = (
            placed(reading, asked.at),
            (Name(system),),
            (figure(own.clean),),
            (figure(own.attacked),),
        )
        found.append((*head, (Name(asked.attack),), moved(own), (Verdict(reading.verdict(asked)),)))
    return found
