"""`recshield report RUN...`: a security evaluation report from saved runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recshield.core import settings


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that `recshield matrix` wrote.")],
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT,...", help="html, markdown, latex, json, csv or a plugin's.")
    ] = ",".join(settings.REPORT_FORMATS),
    out: Annotated[
        Path | None, typer.Option(metavar="DIR|FILE", help="Where it goes [default: RUN-report beside the run]")
    ] = None,
    title: Annotated[str, typer.Option(help="Of the report [default: named after the data]")] = "",
    open_: Annotated[bool, typer.Option("--open", help="Open the first file when it is written.")] = False,
    compare: Annotated[
        Path | None, typer.Option(metavar="OTHER_RUN", help="Say what is different from this run.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with Jinja templates that win over recshield's.")
    ] = None,
) -> None:
    """Write a security evaluation report from saved runs; nothing is trained or attacked."""
    from recshield.report.reading import Reading
    from recshield.report.text import plain
    from recshield.report.writing import compose, formats, targets, write
    from recshield.run import MatrixRun

    made = formats([one.strip() for one in format_.split(",") if one.strip()], template)
    first = runs[0].absolute()
    folder = out or first.with_name(f"{first.name}-report")
    targets(made, folder)

    def read(path: Path) -> Reading:
        held = MatrixRun.load(path)
        return Reading(str(path), held.results, held.verdicts, held.manifest)

    content = compose([read(path) for path in runs], title, read(compare) if compare else None)
    files = write(content, made, folder)
    for path in files:
        typer.echo(plain(path))
    if open_:
        typer.launch(str(files[0].absolute()))
