"""`recshield audit RUN`: judge a saved run again, from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def audit(
    run: Annotated[Path, typer.Argument(help="Folder that `recshield matrix` wrote.")],
    fail_on: Annotated[
        str,
        typer.Option("--fail-on", metavar="VERDICT", help="Exit with 1 from this verdict on: warn, unproven or fail."),
    ] = "",
    json_: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Run every check on a saved run again, and print what each one finds."""
    from rich.console import Console

    from recshield.audit import RUN, WORDS, reached
    from recshield.core.errors import BadValue
    from recshield.report import terminal
    from recshield.report.tables import as_json
    from recshield.run import MatrixRun

    if fail_on and fail_on not in WORDS[1:]:
        raise BadValue(f"--fail-on '{fail_on}' is not known; allowed: {', '.join(WORDS[1:])}")
    made = MatrixRun.load(run)
    made.audit()
    if json_:
        typer.echo(as_json(made.table, made.verdicts, made.manifest))
    else:
        terminal.show_verdicts(Console(), made.table, made.verdicts)
    bad = reached(made.verdicts, fail_on) if fail_on else []
    if bad:
        cells = [cell for cell in bad if cell != RUN]
        whole = " and the run as a whole" if RUN in bad else ""
        typer.echo(f"the gate is closed: {len(cells)} cells{whole} reach '{fail_on}'", err=True)
        raise typer.Exit(1)
