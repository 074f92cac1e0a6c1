"""`recshield show RUN`: print a saved run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    run: Annotated[Path, typer.Argument(help="Folder that `recshield matrix` wrote.")],
    each: Annotated[bool, typer.Option("--each", help="Print every seed and fold by itself, not their mean.")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Print seconds and memory per step.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="Print the learning curves.")] = False,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="FILE.png", help="Save a sheet of attacked images.")
    ] = None,
    effects: Annotated[
        bool, typer.Option("--effects", help="Print who falls how far, who is harmed, and which groups lose what.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures and verdicts as JSON.")] = False,
) -> None:
    """Print a saved run."""
    from rich.console import Console

    from recshield.report import terminal
    from recshield.report.tables import as_json
    from recshield.run import MatrixRun

    made = MatrixRun.load(run)
    if images is not None:
        from recshield.report.sheets import save_sheet

        typer.echo(f"{save_sheet(made.results, images)} attacked images in {images}")
        return
    if json_:
        typer.echo(as_json(made.table, made.verdicts, made.manifest))
        return
    console = Console()
    terminal.show(console, made.table, made.verdicts, made.manifest, is_split=each)
    if effects:
        from recshield.matrix.effects import effects as found
        from recshield.matrix.effects import metric_changes
        from recshield.report.effects import show_effects

        show_effects(console, found(made.results), metric_changes(made.results))
    if timings:
        terminal.show_timings(console, made.timings)
    if curves:
        terminal.show_curves(console, made.results.curves)
