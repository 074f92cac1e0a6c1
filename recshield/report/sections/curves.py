"""Section: how a metric falls as the budget grows, against noise, on absolute and on relative budgets."""

from __future__ import annotations

import math
from typing import Any

from recshield.evaluation.stats import Interval, intervals
from recshield.report import charts
from recshield.report.asked import Asked
from recshield.report.content import Chart, Panel, Section
from recshield.report.reading import Reading

Rows = list[dict[str, Any]]
#: Surface, goal, stage and norm -> system -> attack -> its cells by growing eps.
Groups = dict[tuple[str, str, str, str], dict[str, dict[str, list[Asked]]]]


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


def _groups(reading: Reading) -> Groups:
    """Return surface, goal, stage and norm -> system -> attack -> its cells by growing eps, those of two or more."""
    found: Groups = {}
    for asked in reading.asked:
        by_system = found.setdefault(asked.at[:4], {})
        by_system.setdefault(asked.system, {}).setdefault(asked.attack, []).append(asked)
    kept: Groups = {}
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
    spans = _spans(reading, groups)
    title = reading.main.upper()
    for (*_, norm), systems in groups.items():
        for system, attacks in systems.items():
            rows: Rows = []
            for attack, held in attacks.items():
                rows += _points(attack, held, spans)
            spec = charts.lines(rows, reading.attacks, _references(reading), f"eps ({norm})", title, is_share=False)
            named = f"{system}{_suffix(groups, held[0])}"
            ends = "; ".join(f"{name} {_last(rows, name):.4f}" for name in attacks)
            panels.append(Panel(named, f"{title} of {named} as eps grows; at the largest: {ends}", spec))
    caption = (
        f"{reading.main.upper()} against the budget, one picture per system; the leftmost point is the clean system."
    )
    return Chart("absolute", caption, tuple(panels)) if panels else None


def _suffix(groups: Groups, asked: Asked) -> str:
    """Return what sets one group apart from the others: `, factors, l2`; "" where there is one."""
    kinds = zip(asked.at[:4], zip(*groups, strict=True), strict=True)
    return "".join(f", {part}" for part, held in kinds if len(set(held)) > 1)


def _last(rows: Rows, name: str) -> float:
    return float([row["y"] for row in rows if row["name"] == name][-1])


def _spans(reading: Reading, groups: Groups) -> dict[tuple[str, Asked], Interval]:
    """Return the intervals of all points at once: `clean` and `attacked` of every cell."""
    held = [
        asked
        for systems in groups.values()
        for attacks in systems.values()
        for one in attacks.values()
        for asked in one
    ]
    keys = [(name, asked) for asked in held for name in ("clean", "attacked")]
    columns = {"clean": "clean_cell", "attacked": "cell"}
    tables = [reading.values(asked.cells, reading.main, columns[name]) for name, asked in keys]
    return dict(zip(keys, intervals(tables), strict=True))


def _points(attack: str, held: list[Asked], spans: dict[tuple[str, Asked], Interval]) -> Rows:
    """Return a curve of the metric's values, the clean system at 0."""
    places = [(0.0, spans["clean", held[0]]), *((asked.size, spans["attacked", asked]) for asked in held)]
    return [{"name": attack, "x": x, "y": own.mean, "low": own.low, "high": own.high} for x, own in places]


def _relative(reading: Reading) -> Chart | None:
    """Return the relative change against eps over the mean clean norm: what scale alone cannot move."""
    groups = _groups(reading)
    drawn: dict[str, Rows] = {}
    for systems in groups.values():
        for system, attacks in systems.items():
            for attack, held in attacks.items():
                name = f"{attack}{_suffix(groups, held[0])}"
                drawn.setdefault(name, []).extend(_changes(reading, system, held))
    panels = []
    axis = "eps, % of the mean clean norm"
    for name, rows in drawn.items():
        if rows:
            spec = charts.lines(rows, reading.systems, (), axis, f"change of {reading.main.upper()}", is_share=True)
            systems_ = ", ".join(sorted({row["name"] for row in rows}))
            panels.append(Panel(name, f"relative change under {name} against relative eps, for {systems_}", spec))
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
