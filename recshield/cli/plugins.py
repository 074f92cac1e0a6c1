"""`recshield plugins`: what is installed."""

from __future__ import annotations

from typing import Annotated

import typer


def plugins(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print hooks, options with their meaning, sources and conformance.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List models, attacks, defenses, metrics, readers and checks, and what could not be loaded."""
    from rich.console import Console

    from recshield.report.catalogue import plugin_rows, show_plugins

    rows, presets, failed = plugin_rows()
    if verbose:
        from recshield.authoring.describing import as_rows, describe, show

        found = describe()
        if not json_:
            show(Console(), found)
            show_plugins(Console(), [], presets, failed)
            return
        rows = as_rows(found)
    if json_:
        import json

        typer.echo(json.dumps({"plugins": rows, "presets": presets, "failed": failed}, indent=1))
        return
    show_plugins(Console(), rows, presets, failed)
