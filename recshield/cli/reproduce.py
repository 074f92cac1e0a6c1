"""`recshield reproduce NAME`: a published table beside what recshield measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recshield.cli import options

if TYPE_CHECKING:
    from recshield.papers.reproducing import Perform


def reproduce(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A published table, or a .yaml file; none: list them.")
    ] = None,
    data_dir: options.DataDir = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small share of the epochs, one seed; figures are not comparable.")
    ] = False,
    seeds: Annotated[str | None, typer.Option(metavar="SEED,...", help="In place of the paper's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the runs, one folder each.")] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write a page of documentation.")] = None,
    device: options.Device = None,
    threads: options.Threads = None,
    jobs: Annotated[int, typer.Option(help="Processes; results do not depend on it.", min=1)] = 1,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the requests behind a published table, and print published against measured."""
    from rich.console import Console

    from recshield import papers
    from recshield.config import merged
    from recshield.core.interrupts import interruptible
    from recshield.papers import page as pages
    from recshield.papers import terminal

    if name is None:
        terminal.show_papers(Console(), papers.listed())
        return
    stem, paper = papers.find(name)
    drawn = merged(None, {"seeds": seeds}).seeds if seeds is not None else None
    common = options.typed({"device": device, "threads": threads})
    if page is not None:
        _check_page(page)
    try:
        with interruptible():
            made = papers.reproduce(
                stem, paper, data_dir=data_dir, is_quick=quick, seeds=drawn, out=out, common=common,
                perform=_performer(jobs, quiet or json_),
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo("interrupted; finished steps are kept: run the same command again to go on", err=True)
        raise typer.Exit(130) from None
    if page is not None:
        typed = [
            f"recshield reproduce {name}",
            *(["--quick"] if quick else []),
            *([f"--seeds {seeds}"] if seeds else []),
        ]
        page.write_text(pages.markdown(made, " ".join(typed)), encoding="utf-8")
    if json_:
        typer.echo(pages.as_json(made))
    elif not quiet:
        terminal.show(Console(), made)
    if made.failed:
        raise typer.Exit(1)


def _check_page(page: Path) -> None:
    from recshield.core.errors import OutputRefused

    if page.is_dir() or not page.absolute().parent.is_dir():
        raise OutputRefused(f"{page} cannot be written; name a file in a folder that is there with --page")


def _performer(jobs: int, is_quiet: bool) -> Perform:
    from rich.console import Console

    from recshield import run
    from recshield.report.progress import Bar

    def perform(prepared: run.Prepared) -> run.MatrixRun:
        if is_quiet:
            return run.execute(prepared, jobs)
        with Bar(Console(stderr=True), list(prepared.plan.steps.values())) as bar:
            return run.execute(prepared, jobs, listener=bar)

    return perform
