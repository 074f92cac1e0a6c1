"""`recshield plugin new` and `recshield plugin check`: for authors of plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recshield.cli import options

app = typer.Typer(help="Start a plugin of your own, and check one that is installed.", no_args_is_help=True)


@app.command("new")
def new(
    package: Annotated[str, typer.Argument(metavar="recshield-NAME", help="Name of the package.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="attack, defense, recommender, metric, dataset, reader, extractor, executor, check or report.",
        ),
    ],
    dir_: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder to write the package's folder into.")
    ] = Path(),
) -> None:
    """Write a small package with a plugin that runs, its test, and what publishes it."""
    from recshield.authoring.scaffold import write
    from recshield.report.text import plain

    for path in write(package, kind, dir_):
        typer.echo(plain(path))
    typer.echo(f'go on: cd {plain(dir_ / package)} && pip install -e ".[test]" && recshield plugin check {package}')


@app.command("check")
def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE|ENTRY_POINT|NAME", help="An installed package, an entry point, or a plugin: pgd:steps=3."
        ),
    ],
    json_: options.Json = False,
) -> None:
    """Hold an installed plugin to the guarantees of recshield.testing; exit code 1 where one is broken."""
    from rich.console import Console

    from recshield.authoring import checking, showing

    subjects = checking.find(what)
    if json_:
        found = [checking.run(subject) for subject in subjects]
        typer.echo(showing.as_json(found))
    else:
        found = showing.show_while_checking(Console(), subjects)
    if any(not one.passed for one in found):
        raise typer.Exit(1)
