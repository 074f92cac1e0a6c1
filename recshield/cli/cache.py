"""`recshield cache`: how large the cache is, what may go, and whether it is sound."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Look after the cache of finished steps and compiled kernels.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def size(json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Print what the cache holds: number, size and age by kind."""
    from rich.console import Console

    from recshield.core.compiled import cache_folder
    from recshield.matrix import upkeep
    from recshield.matrix.store import Store
    from recshield.report.upkeep import show_sizes

    rows = upkeep.sizes(Store.default())
    if json_:
        import json

        names = ("what", "number", "bytes", "oldest_seconds")
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))
        return
    show_sizes(Console(), cache_folder(), rows)


@app.command()
def prune(
    older_than: Annotated[str | None, typer.Option(metavar="AGE", help="Steps not used since: 30d, 12h.")] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Keep the steps used last, up to: 10GB, 500MB.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="All steps, compiled kernels and tables given from Python.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> None:
    """Remove finished steps; they are computed again when they are needed. Data sets stay."""
    from rich.console import Console

    from recshield.matrix import upkeep
    from recshield.matrix.store import Store
    from recshield.report.upkeep import show_pruned

    store = Store.default()
    going = upkeep.chosen(
        store,
        None if older_than is None else upkeep.read_age(older_than),
        None if keep is None else upkeep.read_size(keep),
        everything=all_,
    )
    show_pruned(Console(), upkeep.prune(store, going, kernels=all_, is_dry=dry_run), is_dry=dry_run)


@app.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Remove damaged steps.")] = False,
) -> None:
    """Hash every step again and name the damaged ones; exit code 1 where some are left."""
    from rich.console import Console

    from recshield.matrix import upkeep
    from recshield.matrix.store import Store
    from recshield.report.upkeep import show_verified

    n_steps, damaged, removed = upkeep.verify(Store.default(), repairs=repair)
    show_verified(Console(), n_steps, damaged, removed)
    if len(damaged) > len(removed):
        raise typer.Exit(1)
