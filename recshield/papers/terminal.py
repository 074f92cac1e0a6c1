"""A reproduction as a terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recshield.core.settings import QUICK_PERCENT
from recshield.papers.comparing import ABSENT, MATCHED, MISSED, by_data, holds, named, outcome, said, written_of
from recshield.papers.page import shape_sentences, spread, summary
from recshield.papers.reproducing import Figure, Reproduction
from recshield.papers.tables import Paper
from recshield.report.text import safe

_STYLES = {MATCHED: "green", MISSED: "yellow", ABSENT: "magenta"}


def show(console: Console, made: Reproduction) -> None:
    """Print published beside measured, data set by data set."""
    console.print(safe(f"{made.paper.title} ({made.paper.source})", "bold"), soft_wrap=True)
    if made.is_quick:
        text = f"quick: not comparable. {QUICK_PERCENT} % of the epochs, one seed, nothing selected"
        console.print(safe(text, "bold yellow"), soft_wrap=True)
    for data, figures in by_data(made.figures).items():
        console.print()
        console.print(safe(_head(made, data, figures[0])), soft_wrap=True)
        _table(console, made, figures)
        for text in shape_sentences(made, data) if data in made.missing else ():
            console.print(safe(text), soft_wrap=True)
    if made.claims:
        console.print()
    for one in made.claims:
        where = f"{one.claim.where}; on {one.dataset or '-'}, epochs {one.selection}"
        console.print(safe(f"{holds(one, made.is_quick)}: {one.claim.says} ({where})"), soft_wrap=True)
    for text in made.failed:
        console.print(safe(f"failed   {text}", "bold red"), soft_wrap=True)
    console.print()
    console.print(safe(summary(made), "bold"), soft_wrap=True)


def _head(made: Reproduction, data: str, first: Figure) -> str:
    if data not in made.missing:
        return f"{data}: measured on {first.dataset}"
    text = f"{data}: data not available: {made.missing[data]}"
    return text + (f"; the shape on {first.dataset} instead" if first.dataset else "")


def _table(console: Console, made: Reproduction, figures: list[Figure]) -> None:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("system", "metric", "published", "measured", "epochs", "outcome", "s"):
        drawn.add_column(name, justify="right" if name in ("published", "measured", "s") else "left", overflow="fold")
    for one in figures:
        word = outcome(one, made.is_quick)
        metric = f"{one.metric} change" if one.row.change else one.metric
        cells = [
            safe(named(one)),
            safe(metric),
            safe(written_of(one.published, one.row.change)),
            safe(spread(one.answer, one.row.change)),
            _epochs(one),
            safe(said(one, made.is_quick), _STYLES.get(word, "")),
            safe(f"{one.answer.seconds:.0f}" if one.answer.values else "-"),
        ]
        drawn.add_row(*cells)
    console.print(drawn)


def _epochs(figure: Figure) -> Text:
    """Return how epochs were chosen, and the verdict below."""
    drawn = safe(figure.selection)
    return drawn.append("\n").append_text(safe(figure.answer.verdict)) if figure.answer.verdict else drawn


def show_papers(console: Console, papers: Mapping[str, Paper]) -> None:
    """Print which papers there are."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("name", "paper", "figures", "claims"):
        drawn.add_column(name, justify="right" if name in ("figures", "claims") else "left", overflow="fold")
    for name, paper in papers.items():
        n_figures = sum(len(row.published) for row in paper.figures)
        drawn.add_row(safe(name), safe(f"{paper.title}; {paper.source}"), str(n_figures), str(len(paper.claims)))
    console.print(drawn)
    console.print(safe("run one with `recshield reproduce NAME`, first with --quick"), soft_wrap=True)
