"""Section: how a metric falls as the budget grows, against noise, on absolute and on relative budgets."""

from __future__ import annotations

import math
from typing import Any

from recshield.report import charts
from recshield.report.content import Chart, Panel, Section
from recshield.report.figures_of import interval
from recshield.report.reading import Asked, Reading

Rows = list[dict[str, Any]]


def build(reading: Reading) -> Section | None:
    """Return the section, None where no attack has two budgets."""
    if not reading.has_values(reading.main):
        return None
    blocks = [chart for chart in (_absolute(reading), _relative(reading)) if chart is not None]
    lead = (
        "A steep fall at small budgets is weakness; an attack no lower than the grey line of random noise finds "
        "nothing. Bands are the intervals."
    )
    return Section("curves", "Security curves", lead, tuple(blocks)) if blocks else None


def _groups(reading: Reading) -> dict[tuple[str, str, str, str], dict[str, dict[str, list[Asked]]]]:
    """Return surface, goal, stage and norm -> system -> attack -> its cells by growing eps, those of two or more."""
    found: dict[tuple[str, str, str, str], dict[str, dict[str, list[Asked]]]] = {}
    for asked in reading.asked:
        by_system = found.setdefault(asked.at[:4], {})
        by_system.setdefault(asked.system, {}).setdefault(asked.attack, []).append(asked)
    kept: dict[tuple[str, str, str, str], dict[str, dict[str, list[Asked]]]] = {}
    for key, systems in found.items():
        for system, attacks in systems.items():
            long = {name: sorted(held, key=lambda one: one.size) for name, held in attacks.items() if len(held) > 1}
            if long:
                kept.setdefault(key, {})[system] = long
    return kept


def _references(reading: Reading) -> list[str]:
    return list(dict.fromkeys(asked.attack for asked in reading.asked if asked.is_noise))


def _absolute(reading: Reading) -> Chart | None:
    panels = []
    groups = _groups(reading)
    for (surface, goal, _, norm), systems in groups.items():
        for system, attacks in systems.items():
            rows: Rows = []
            for attack, held in attacks.items():
                rows += _points(reading, attack, held)
            title = reading.main.upper()
            spec = charts.lines(rows, reading.attacks, _references(reading), f"eps ({norm})", title, is_share=False)
            named = system if len(groups) == 1 else f"{system}, {surface}, {goal}"
            ends = "; ".join(f"{name} {_last(rows, name):.4f}" for name in attacks)
            panels.append(Panel(named, f"{title} of {system} as eps grows; at the largest: {ends}", spec))
    caption = (
        f"{reading.main.upper()} against the budget, one picture per system; the leftmost point is the clean system."
    )
    return Chart("absolute", caption, tuple(panels)) if panels else None


def _last(rows: Rows, name: str) -> float:
    return float([row["y"] for row in rows if row["name"] == name][-1])


def _points(reading: Reading, attack: str, held: list[Asked]) -> Rows:
    """Return a curve of the metric's values, the clean system at 0."""
    clean = interval(reading.values(held[0].cells, reading.main, "clean_cell"))
    rows: Rows = [{"name": attack, "x": 0.0, "y": clean.mean, "low": clean.low, "high": clean.high}]
    for asked in held:
        own = interval(reading.values(asked.cells, reading.main))
        rows.append({"name": attack, "x": asked.size, "y": own.mean, "low": own.low, "high": own.high})
    return rows


def _relative(reading: Reading) -> Chart | None:
    """Return the relative change against eps over the mean clean norm: what scale alone cannot move."""
    by_attack: dict[str, Rows] = {}
    for systems in _groups(reading).values():
        for system, attacks in systems.items():
            for attack, held in attacks.items():
                rows = _changes(reading, system, held)
                by_attack.setdefault(attack, []).extend(rows)
    by_attack = {name: rows for name, rows in by_attack.items() if rows}
    panels = []
    axis = "eps, % of the mean clean norm"
    for attack, rows in by_attack.items():
        spec = charts.lines(rows, reading.systems, (), axis, f"change of {reading.main.upper()}", is_share=True)
        named = sorted({row["name"] for row in rows})
        panels.append(
            Panel(attack, f"relative change under {attack} against relative eps, for {', '.join(named)}", spec)
        )
    caption = (
        "Relative change against the budget as a share of the mean clean norm of the perturbed rows, one picture per "
        "attack: larger embeddings alone gain nothing here."
    )
    return Chart("relative", caption, tuple(panels)) if panels else None


def _changes(reading: Reading, system: str, held: list[Asked]) -> Rows:
    rows: Rows = [{"name": system, "x": 0.0, "y": 0.0, "low": 0.0, "high": 0.0}]
    for asked in held:
        own = reading.estimate(asked.cells)
        if math.isfinite(asked.relative_size) and math.isfinite(own.change):
            x = 100 * asked.relative_size
            rows.append({"name": system, "x": x, "y": own.change, "low": own.low, "high": own.high})
    return rows if len(rows) > 1 else []
