"""`recshield bench`: how long an epoch, an attack and a ranking take here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recshield.cli import options

if TYPE_CHECKING:
    from recshield.bench import Change


def bench(
    models: Annotated[str | None, typer.Option(metavar="SYSTEM,...", help="As for `recshield matrix`.")] = None,
    attacks: Annotated[str | None, typer.Option(metavar="ATTACK,...", help="As for `recshield matrix`.")] = None,
    defenses: Annotated[str | None, typer.Option(metavar="DEFENSE,...", help="Put behind every model.")] = None,
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    columns: options.Columns = None,
    filter_: options.Filter = None,
    split: options.Split = None,
    images: options.Images = None,
    image_size: options.ImageSize = None,
    categories: options.Categories = None,
    skip_bad_images: options.SkipBadImages = None,
    budget: options.Budget = None,
    goal: options.Goal = None,
    device: options.Device = None,
    threads: options.Threads = None,
    set_: options.Set = None,
    repeats: Annotated[int, typer.Option(help="After one call to warm up.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Also keep the figures.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A.json B.json", help="Time nothing: hold two such files against each other."),
    ] = None,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Time an epoch of training, attacks, a full ranking and features on this machine."""
    from rich.console import Console

    from recshield.bench import bench as timed
    from recshield.bench import compare as compared
    from recshield.bench import keep, read, write
    from recshield.bench.showing import show, show_changes
    from recshield.config import merged
    from recshield.core.errors import BadValue
    from recshield.report.text import plain

    console = Console()
    if compare is not None:
        changes, notes = compared(read(compare[0]), read(compare[1]))
        if json_:
            typer.echo(_changes_json(changes, notes))
            return
        show_changes(console, changes, notes)
        return
    if out is not None and out.is_dir():
        raise BadValue(f"--out {out} is a folder; name a file")
    given = {
        "models": models, "attacks": attacks, "defenses": defenses, "dataset": dataset, "data_dir": data_dir,
        "columns": columns, "filter": filter_, "split": split, "images": images, "image_size": image_size,
        "categories": categories, "skip_bad_images": skip_bad_images, "budget": budget, "goal": goal,
        "device": device, "threads": threads, "set": set_,
    }  # fmt: skip
    asked = merged(None, options.typed(given))
    is_silent = quiet or json_
    found = timed(
        asked.request(),
        repeats,
        heard=None
        if is_silent
        else lambda one: typer.echo(plain(f"{one.kind} {one.system} {one.attack}: {one.median:.4g} s"), err=True),
    )
    keep(found)
    if out is not None:
        write(found, out)
    if json_:
        import json

        typer.echo(json.dumps(found.model_dump(), indent=1))
    elif not quiet:
        show(console, found)


def _changes_json(changes: list[Change], notes: list[str]) -> str:
    import json

    rows = [
        dict(zip(("kind", "system", "attack"), one.before.name, strict=True))
        | {"before": one.before.median, "after": one.after.median, "ratio": one.ratio, "verdict": one.word}
        for one in changes
    ]
    return json.dumps({"changes": rows, "notes": notes}, indent=1)
