"""A reproduction as a page of the documentation, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from recshield.core.settings import QUICK_PERCENT
from recshield.papers import comparing
from recshield.papers.comparing import by_data, counts, holds, named, said, shapes, written_of
from recshield.papers.reproducing import Answer, Figure, Reproduction
from recshield.report.text import plain

_QUICK = (
    f"**quick: not comparable.** Every model was trained for {QUICK_PERCENT} % of its epochs, with one seed and no "
    "selection: the page shows that the requests run, and nothing more."
)


def markdown(made: Reproduction, command: str) -> str:
    """Return the page; `command` is what makes it again."""
    paper = made.paper
    lines = [f"# Reproduction: {_safe(paper.title)}", "", f"{_safe(paper.source)}.", ""]
    lines += [f"Published figures read from: {_safe(paper.read_from)}.", "", "```sh", plain(command), "```", ""]
    lines += [_QUICK, ""] if made.is_quick else []
    lines += [f"**{summary(made)}.**", ""]
    lines += [*(f"- {_safe(note)}" for note in paper.notes), ""] if paper.notes else []
    for data, figures in by_data(made.figures).items():
        lines += [f"## {_safe(data)}", "", _about(made, data, figures), "", *_table(figures, made), ""]
        for text in shape_sentences(made, data) if data in made.missing else ():
            lines += [_safe(text), ""]
    if made.claims:
        lines += ["## What the text claims", "", "| claim | where | measured on | epochs | result |"]
        lines += ["|---|---|---|---|---|"]
        for one in made.claims:
            cells = (one.claim.says, one.claim.where, one.dataset, one.selection, holds(one, made.is_quick))
            lines.append(_row(cells))
        lines.append("")
    lines += [*_versions(made)]
    return "\n".join(lines).rstrip() + "\n"


def summary(made: Reproduction) -> str:
    """Return how many figures matched, missed, and could not be compared."""
    found = counts(made)
    n_figures = len(made.figures)
    return f"{n_figures} figures: " + (", ".join(f"{number} {word}" for word, number in found.items()) or "none")


def _about(made: Reproduction, data: str, figures: Sequence[Figure]) -> str:
    dataset = figures[0].dataset
    if data not in made.missing:
        return f"Measured on `{_safe(dataset)}`."
    text = f"The paper's data are not here: {_safe(made.missing[data])}."
    if dataset:
        text += f" Measured on `{_safe(dataset)}` instead: the figures differ, only the shape of the table compares."
    return text


def _table(figures: Sequence[Figure], made: Reproduction) -> list[str]:
    head = ("system", "as recshield writes it", "metric", "published", "measured", "epochs", "outcome", "seconds")
    lines = [_row(head), "|" + "---|" * len(head)]
    for one in figures:
        metric = f"change of {one.metric}" if one.row.change else one.metric
        published = f"{written_of(one.published, one.row.change)} ({one.row.where})"
        epochs = _epochs(one)
        result = said(one, made.is_quick)
        measured = spread(one.answer, one.row.change)
        seconds = f"{one.answer.seconds:.0f}" if one.answer.values else "-"
        spec = f"`{one.row.system}`"
        lines.append(_row((named(one), spec, metric, published, measured, epochs, result, seconds)))
    return lines


def spread(answer: Answer, is_change: bool) -> str:
    """Return the mean over seeds, with the range where there are several."""
    mean = written_of(answer.value, is_change)
    if len(answer.values) < 2:
        return mean
    low, high = written_of(min(answer.values), is_change), written_of(max(answer.values), is_change)
    return f"{mean} ({low} to {high}, {len(answer.values)} seeds)"


def _epochs(figure: Figure) -> str:
    """Return how epochs were chosen, with the verdict."""
    verdict = figure.answer.verdict
    return f"{figure.selection} ({verdict})" if verdict else figure.selection


def shape_sentences(made: Reproduction, data: str) -> list[str]:
    """Return in words how far a table keeps its shape on other data."""
    lines = []
    for one in shapes(made):
        if one.data != data or not one.n_pairs:
            continue
        text = (
            f"Shape, {one.what}, epochs {one.selection}: {one.n_same} of {one.n_pairs} pairs of figures stand in the "
            f"published order on {one.dataset}"
        )
        if one.turned:
            text += f"; the other way round: {', '.join(one.turned[:3])}"
            text += f" and {len(one.turned) - 3} more" if len(one.turned) > 3 else ""
        lines.append(text + ("; quick: not comparable." if made.is_quick else "."))
    return lines


def _versions(made: Reproduction) -> list[str]:
    if not made.manifests:
        return []
    held = next(iter(made.manifests.values()))
    named_versions = ", ".join(f"{name} {version}" for name, version in sorted(held["versions"].items()))
    asked = held["request"]
    text = f"Device {asked['device']}, {asked['threads']} thread(s), seed of the data {asked['data_seed']}; "
    return ["## Made with", "", text + named_versions + ".", ""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_safe(cell) for cell in cells) + " |"


def _safe(text: str) -> str:
    return plain(text).replace("|", "\\|").replace("<", "&lt;")


def as_json(made: Reproduction) -> str:
    """Return figures, claims and summary as one JSON object."""
    figures = [
        {
            "data": one.row.data, "dataset": one.dataset, "is_instead": one.is_instead, "label": one.row.label,
            "system": one.row.system, "attack": one.row.attack, "budget": one.row.budget, "metric": one.metric,
            "is_change": one.row.change, "where": one.row.where, "selection": one.selection,
            "published": one.published, "tolerance": one.row.tolerance_of(one.metric),
            "measured": None if math.isnan(one.answer.value) else one.answer.value,
            "values": list(one.answer.values), "outcome": comparing.outcome(one, made.is_quick),
            "said": said(one, made.is_quick), "verdict": one.answer.verdict, "seconds": one.answer.seconds,
        }
        for one in made.figures
    ]  # fmt: skip
    claims = [
        {
            "says": one.claim.says,
            "dataset": one.dataset,
            "selection": one.selection,
            "result": holds(one, made.is_quick),
        }
        for one in made.claims
    ]
    held = {"paper": made.name, "is_quick": made.is_quick, "summary": counts(made), "figures": figures}
    held |= {"claims": claims, "missing": made.missing, "failed": made.failed}
    return json.dumps(held, indent=1, allow_nan=False)
