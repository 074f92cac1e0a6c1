"""`recshield audit RUN`: judge a saved run again, from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def audit(
    run: Annotated[Path, typer.Argument(help="Folder that `recshield matrix` wrote.")],
    json_: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Run every check on a saved run again, and print what each one finds."""
    from rich.console import Console

    from recshield.report import terminal
    from recshield.report.tables import as_json
    from recshield.run import MatrixRun

    made = MatrixRun.load(run)
    made.audit()
    if json_:
        typer.echo(as_json(made.table, made.verdicts, made.manifest))
        return
    terminal.show_verdicts(Console(), made.table, made.verdicts)
