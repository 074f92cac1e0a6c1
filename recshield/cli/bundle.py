"""`recshield bundle` and `recshield verify`: a run as one archive, and its check on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recshield.cli import options


def bundle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `recshield matrix` wrote.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Archive to write. [default: RUN.bundle.zip]")
    ] = None,
    data_dir: options.DataDir = None,
) -> None:
    """Write a run, its perturbations and its models as one archive, and print its SHA-256."""
    from rich.console import Console

    from recshield import bundles
    from recshield.report.text import safe

    file = out or run.absolute().with_name(f"{run.absolute().name}.bundle.zip")
    digest = bundles.write(run, file, data_dir)
    Console().print(safe(f"wrote {file}, {file.stat().st_size} bytes"), soft_wrap=True)
    typer.echo(f"sha256 {digest}")


def verify(
    archive: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What `recshield bundle` wrote.")],
    data_dir: options.DataDir = None,
    dataset: Annotated[str, typer.Option(metavar="NAME|PATH", help="The data, where the run was made on a path.")] = "",
    images: Annotated[str, typer.Option(metavar="DIR", help="The images, where the run named a folder.")] = "",
    categories: Annotated[str, typer.Option(metavar="FILE", help="The categories, where the run named a file.")] = "",
    digest: Annotated[str, typer.Option(metavar="HEX", help="SHA-256 that the archive must have.")] = "",
    device: Annotated[str, typer.Option(help="[default: the run's, or cpu where that is not here]")] = "",
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Largest relative difference of a figure; 0: to the last digit.")
    ] = 0.0,
    replay: Annotated[bool, typer.Option("--replay", help="Compute every perturbation again from its seed.")] = False,
    json_: options.Json = False,
) -> None:
    """Check a bundle: hashes, data, budgets, and every figure measured again; exit code 1 where something differs."""
    from rich.console import Console

    from recshield import bundles
    from recshield.report.text import safe

    made = bundles.verify(
        archive, data_dir=data_dir, dataset=dataset, images=images, categories=categories, digest=digest,
        device=device, tolerance=tolerance, is_replayed=replay,
    )  # fmt: skip
    if json_:
        import json

        found = [{"is_sound": one.is_sound, "sentence": one.sentence} for one in made.findings]
        typer.echo(json.dumps({"digest": made.digest, "is_sound": made.is_sound, "findings": found}, indent=1))
    else:
        for one in made.findings:
            style = "green" if one.is_sound else "bold red"
            text = safe("ok      " if one.is_sound else "DIFFERS ", style).append_text(safe(one.sentence))
            Console().print(text, soft_wrap=True)
        word = "verified" if made.is_sound else "not verified"
        Console().print(safe(f"{word}: sha256 {made.digest}", "bold"), soft_wrap=True)
    if not made.is_sound:
        raise typer.Exit(1)
