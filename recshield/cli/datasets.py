"""`recshield datasets`: which data sets have a name, and whether they are here."""

from __future__ import annotations

from typing import Annotated

import typer


def datasets(
    data_dir: Annotated[
        str | None, typer.Option(help="Folder of the named data sets [default: RECSHIELD_DATA]")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the named data sets, where they come from, and whether they are here."""
    from rich.console import Console

    from recshield.report.catalogue import dataset_rows, show_datasets

    rows = dataset_rows(data_dir)
    if json_:
        import json

        typer.echo(json.dumps(rows, indent=1))
        return
    show_datasets(Console(), rows)
