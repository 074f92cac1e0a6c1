"""`recshield plugins`: what is installed."""

from __future__ import annotations

from typing import Annotated

import typer


def plugins(json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List models, attacks, defenses, metrics, readers and checks, and what could not be loaded."""
    from rich.console import Console

    from recshield.report.catalogue import plugin_rows, show_plugins

    rows, presets, failed = plugin_rows()
    if json_:
        import json

        typer.echo(json.dumps({"plugins": rows, "presets": presets, "failed": failed}, indent=1))
        return
    show_plugins(Console(), rows, presets, failed)
