"""Section: systems x attacks, each cell with its interval, its verdict, its facts and its command."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from recshield.core.settings import CONFIDENCE, RESAMPLES
from recshield.core.surfaces import family
from recshield.report.asked import Asked
from recshield.report.content import (
    Block,
    Bullets,
    CellFinding,
    Definitions,
    Matrix,
    MatrixCell,
    MatrixRow,
    Name,
    Phrase,
    Section,
    Verdict,
)  # fmt: skip
from recshield.report.reading import Reading, badness
from recshield.report.reproduction import command
from recshield.report.standing import spot
from recshield.report.words import listed, number_word, plain_number, share

#: How intervals are made, in words that stand in the report.
METHOD = (
    f"{100 * CONFIDENCE:.0f} % intervals are made by bootstrap: {RESAMPLES:,} resamples of the users, which all seeds "
    "share, and, where there are several, of the seeds, percentiles widened for how few are drawn"
)


def build(reading: Reading) -> Section:
    """Return the section."""
    n_cells = len(reading.asked)
    lead = (
        f"Relative change of the metric from the clean system to the attacked one, {number_word(n_cells, 'cell')} over "
        f"{number_word(len(reading.seeds), 'seed')}; {METHOD}. The verdict is the audit's."
    )
    blocks: list[Block] = [_matrix(reading)]
    skipped = _skipped(reading)
    if skipped:
        blocks.append(Bullets(skipped))
    return Section("matrix", "The matrix", lead, tuple(blocks))


def _matrix(reading: Reading) -> Matrix:
    keys: dict[tuple[str, ...], None] = {}
    held: dict[tuple[tuple[str, ...], str], Asked] = {}
    for system in reading.systems:
        own = [asked for asked in reading.asked if asked.system == system]
        held |= {((system, *asked.at), asked.attack): asked for asked in own}
        keys |= dict.fromkeys((system, *asked.at) for asked in own) if own else {(system, "", "", "", "", ""): None}
    rows: list[MatrixRow] = []
    for key in keys:
        system, surface, goal, stage, norm, eps = key
        clean = tuple(reading.estimate(reading.clean_cells(system), metric) for metric in reading.metrics)
        cells: list[MatrixCell | None] = []
        for place, attack in enumerate(reading.attacks):
            found = held.get((key, attack))
            cells.append(_cell(reading, found, f"{len(rows)}-{place}") if found else None)
        rows.append(MatrixRow(system, surface, goal, stage, norm, eps, clean, tuple(cells)))
    notes = tuple(_note(reading, attack) for attack in reading.attacks)
    return Matrix(reading.metrics, reading.lower_is_better, reading.attacks, notes, tuple(rows))


def _note(reading: Reading, attack: str) -> str:
    """Return what a reader must know before comparing an attack with the others."""
    own = [asked for asked in reading.asked if asked.attack == attack]
    if own[0].is_ensemble:
        return "each user\N{RIGHT SINGLE QUOTATION MARK}s worst over several attacks"
    if own[0].is_noise:
        return "reference without aim"
    spent = max(asked.overspends for asked in own)
    return f"not held to its budget: spends {spent:.2f} times as much" if spent > 1 else ""


def _cell(reading: Reading, asked: Asked, key: str) -> MatrixCell:
    table = reading.results.table
    labels = table.loc[table["cell"] == asked.first["cell"], "labels"].iloc[0]
    return MatrixCell(
        key,
        spot(reading, asked),
        reading.verdict(asked),
        reading.is_flipping(asked),
        tuple(filter(None, str(labels).split("; "))),
        tuple(reading.estimate(asked.cells, metric) for metric in reading.metrics),
        _facts(asked),
        _findings(reading, asked),
        _command(reading, asked),
    )


def _command(reading: Reading, asked: Asked) -> str:
    """Return what computes a cell again."""
    only = {"models": [asked.system], "defenses": [], "attacks": [asked.attack], "goal": [asked.goal]}
    return command(reading.request, **only, budget=[f"{asked.norm}:{asked.eps}"])


def _mean(asked: Asked, name: str) -> float:
    values = [float(facts.get(name, math.nan)) for facts in asked.cells]
    return sum(values) / len(values)


def _facts(asked: Asked) -> Definitions:
    """Return what was attacked, with what power, means over seeds."""
    first = asked.first
    pairs: list[tuple[str, Phrase]] = [
        ("surface", (Name(asked.surface),)),
        ("goal", (Name(asked.goal),)),
        ("acts at", (asked.stage,)),
        ("may call", (str(first["access"]) or "nothing",)),
        ("budget", (Name(asked.budget), ", ", plain_number(asked.size), " in raw units per row")),
        ("of the mean clean norm", (share(asked.relative_size),)),
        ("largest norm spent", (plain_number(_mean(asked, "measured_norm"), 6),)),
    ]
    if int(first["attack_steps"]) > 0:
        pairs.append(("steps", (f"{first['attack_steps']}",)))
    zero = _mean(asked, "zero_gradients")
    if not math.isnan(zero):
        pairs.append(("zero gradients", (share(zero),)))
    if int(first.get("n_goal_rows", 0)):
        touched = f"{int(first.get('n_touched_rows', 0)):,} of {int(first['n_goal_rows']):,} that the goal reads"
        pairs.append(("rows perturbed", (touched,)))
    if int(first.get("n_queries", 0)):
        pairs.append(("queries", (f"{int(first['n_queries']):,}",)))
    pairs.append(("cells", listed([str(facts["cell"]) for facts in asked.cells], 8)))
    return Definitions(tuple(pairs))


def _findings(reading: Reading, asked: Asked) -> tuple[CellFinding, ...]:
    """Return what every check found, equal sentences of several seeds together, the worst first."""
    grouped: dict[tuple[int, str, str, str], list[str]] = {}
    for facts in asked.cells:
        for row in reading.found.get(str(facts["cell"]), []):
            key = (int(row["number"]), str(row["check"]), str(row["verdict"]), str(row["sentence"]))
            grouped.setdefault(key, []).append(f"{facts['seed']}" + (f"/{facts['fold']}" if facts["fold"] else ""))
    found = []
    for key, seeds in grouped.items():
        of = "" if len(seeds) == len(asked.cells) else ", ".join(dict.fromkeys(seeds))
        found.append(CellFinding(*key, of))
    return tuple(sorted(found, key=lambda one: (badness(one.verdict), one.number, one.seeds)))


def _skipped(reading: Reading) -> tuple[Phrase, ...]:
    """Return why combinations are not in the matrix."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    skips: Sequence[dict[str, Any]] = reading.manifest.get("skipped", [])
    for skip in skips:
        by_reason.setdefault((str(skip["system"]), str(skip["reason"])), []).append(str(skip["attack"]))
    said: list[Phrase] = []
    for (system, reason), attacks in by_reason.items():
        under: Phrase = (" under ", *listed([one for one in attacks if one], 12)) if any(attacks) else ()
        said.append(("Not attacked: ", Name(system), *under, f": {reason}."))
    said += [("Failed: ", str(text)) for text in reading.manifest.get("failed", [])]
    return tuple(said)


def verdict_phrase(reading: Reading, asked: Asked) -> Phrase:
    """Return a cell's verdict, and that seeds disagree where they do."""
    return (Verdict(reading.verdict(asked)), *([" (differs between seeds)"] if reading.is_flipping(asked) else []))


def is_parameters(asked: Asked) -> bool:
    """Return whether what is perturbed lies inside the model."""
    return family(asked.surface) == "factors"
