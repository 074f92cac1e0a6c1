"""`recshield compare RUN A B`: two systems, or two attacks on one system, user by user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recshield.cli import options


def compare(
    run: Annotated[Path, typer.Argument(help="Folder that `recshield matrix` wrote.")],
    a: Annotated[
        str, typer.Argument(metavar="A", help="A system of the run, or an attack; `none` is the clean figure.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one; figures are B minus A.")],
    metric: Annotated[str, typer.Option(metavar="METRIC", help="For example ndcg@100. [default: the main one]")] = "",
    system: Annotated[str, typer.Option(help="Whom two attacks are compared on.")] = "",
    attack: Annotated[str, typer.Option(help="Under which two systems are compared. [default: none, clean]")] = "",
    eps: Annotated[str, typer.Option(metavar="EPS", help="Of the budget as asked for: 0.5 or 10%.")] = "",
    norm: Annotated[str, typer.Option(help="Of the budget.")] = "",
    surface: Annotated[str, typer.Option(help="That is attacked.")] = "",
    goal: Annotated[str, typer.Option(help="Of the attack.")] = "",
    fold: Annotated[int | None, typer.Option(help="Of the split.")] = None,
    change: Annotated[
        bool,
        typer.Option("--change", help="Compare what the attack changes, not what it leaves: attacked minus clean."),
    ] = False,
    json_: options.Json = False,
) -> None:
    """Compare two systems, or two attacks on one system, with paired tests over users."""
    from rich.console import Console

    from recshield.matrix.comparing import Asked
    from recshield.matrix.comparing import compare as compared
    from recshield.report.comparison import comparison_json, show_comparison
    from recshield.run import MatrixRun

    asked = Asked(a, b, metric, system, attack, norm, eps, surface, goal, fold, is_change=change)
    found = compared(MatrixRun.load(run).results, asked)
    if json_:
        typer.echo(comparison_json(found))
        return
    show_comparison(Console(), found)
