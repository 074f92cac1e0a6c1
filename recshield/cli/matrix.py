"""`recshield matrix`: plan, run, judge, save, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recshield.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from recshield.run import MatrixRun, Prepared


def matrix(
    models: Annotated[
        str | None, typer.Option(metavar="SYSTEM,...", help="Systems: popular,mf,amf,mf+advreg:eps=0.1:0.5:1,epochs=50")
    ] = None,
    attacks: Annotated[
        str | None, typer.Option(metavar="ATTACK,...", help="Attacks: noise,fgsm,pgd@factors.item:steps=40,auto")
    ] = None,
    defenses: Annotated[
        str | None, typer.Option(metavar="DEFENSE,...", help="Put each behind every model: advreg:eps=1,continue")
    ] = None,
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    columns: options.Columns = None,
    images: options.Images = None,
    image_size: options.ImageSize = None,
    categories: options.Categories = None,
    skip_bad_images: options.SkipBadImages = None,
    filter_: options.Filter = None,
    split: options.Split = None,
    budget: options.Budget = None,
    goal: options.Goal = None,
    metrics: options.Metrics = None,
    seeds: options.Seeds = None,
    data_seed: options.DataSeed = None,
    device: options.Device = None,
    threads: options.Threads = None,
    set_: options.Set = None,
    controls: Annotated[
        str | None,
        typer.Option(help="auto: add the cells that the audit needs; none: leave them out. [default: auto]"),
    ] = None,
    audit: Annotated[
        str | None,
        typer.Option(help="quick or full: full adds the cells of the slower checks, too. [default: quick]"),
    ] = None,
    select: options.Select = None,
    every: options.Every = None,
    patience: options.Patience = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="When attacks act: serve (after training) or fit (on images, before it). [default: serve]"),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            help="Answers that each user gives to an attack that asks (nes, search). [default: its own]", min=1
        ),
    ] = None,
    curve: Annotated[
        int | None,
        typer.Option(help="Record a learning curve on the test rows every so many epochs. [default: 0, none]"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Options from a file; typed ones win.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the request as such a file; compute nothing.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes; results do not depend on it.", min=1)] = 1,
    executor: Annotated[str, typer.Option(metavar="NAME", help="What runs the steps; results do not depend on it.")] = (
        "local"
    ),
    out: Annotated[Path | None, typer.Option(help="Folder for the run [default: runs/DATASET-HASH]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print cells, steps, skips and an estimate of time; compute nothing.")
    ] = False,
    bench: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="With --dry-run: estimate by this file of `recshield bench`."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Afterwards trace an epoch, ranking and attack each, into OUT-profile.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures and verdicts as JSON.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Cross models and defenses with attacks, and judge every figure."""
    from rich.console import Console

    from recshield import run
    from recshield.config import merged
    from recshield.core.errors import BadValue
    from recshield.core.interrupts import interruptible
    from recshield.matrix import saved
    from recshield.report.text import plain

    given = {
        "models": models, "attacks": attacks, "defenses": defenses, "dataset": dataset, "data_dir": data_dir,
        "columns": columns, "filter": filter_, "split": split, "budget": budget, "goal": goal, "metrics": metrics,
        "seeds": seeds, "data_seed": data_seed, "device": device, "threads": threads, "set": set_,
        "controls": controls, "audit": audit, "select": select, "every": every, "patience": patience, "curve": curve,
        "stage": stage, "images": images, "image_size": image_size, "categories": categories,
        "skip_bad_images": skip_bad_images, "queries": queries,
    }  # fmt: skip
    if bench is not None and not dry_run:
        raise BadValue("--bench says what an estimate goes by; give --dry-run with it")
    asked = merged(config, options.typed(given))
    prepared = run.prepare(**asked.request())
    if print_config:
        typer.echo(asked.text(), nl=False)
        return
    folder = out or Path("runs") / _folder_name(prepared)
    saved.check_target(folder)
    console = Console()
    if dry_run:
        _print_plan(console, prepared, json_, bench, jobs)
        return
    traces = _traces(folder) if profile else None
    try:
        with interruptible():
            made = _execute(prepared, jobs, executor, quiet or json_)
            made.save(folder)
    except KeyboardInterrupt:
        from recshield.report.text import safe

        advice = "interrupted; finished steps are kept: run the same command again to go on"
        Console(stderr=True).print(safe(advice), soft_wrap=True)
        raise typer.Exit(130) from None
    _print(console, made, folder, json_, quiet)
    if traces is not None:
        _profile(console, prepared, traces, quiet or json_)
    if made.manifest["failed"]:
        for text in made.manifest["failed"] if quiet or json_ else ():
            typer.echo(f"failed: {plain(text)}", err=True)
        raise typer.Exit(1)


def _folder_name(prepared: Prepared) -> str:
    import hashlib
    import json
    import re

    text = json.dumps(prepared.manifest["request"] | {"fingerprint": prepared.manifest["data"]["fingerprint"]})
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return re.sub(r"[^\w.-]+", "_", prepared.plan.request.source.name)[:60] + f"-{digest}"


def _execute(prepared: Prepared, jobs: int, executor: str, is_quiet: bool) -> MatrixRun:
    from rich.console import Console

    from recshield import run
    from recshield.report.progress import Bar

    if is_quiet:
        return run.execute(prepared, jobs, executor)
    with Bar(Console(stderr=True), list(prepared.plan.steps.values())) as bar:
        return run.execute(prepared, jobs, executor, bar)


def _print(console: Console, made: MatrixRun, folder: Path, is_json: bool, is_quiet: bool) -> None:
    from recshield.report import terminal
    from recshield.report.tables import as_json
    from recshield.report.text import safe

    if is_json:
        typer.echo(as_json(made.table, made.verdicts, made.manifest))
    elif not is_quiet:
        terminal.show(console, made.table, made.verdicts, made.manifest)
        done = made.timings[~made.timings["is_reused"]]["seconds"]
        n_steps = len(made.timings)
        console.print()
        summary = f"{len(done)} of {n_steps} steps run in {done.sum():.1f} s, the rest reused; saved in {folder}"
        console.print(safe(summary, "dim"), soft_wrap=True)


def _print_plan(console: Console, prepared: Prepared, is_json: bool, bench: Path | None, jobs: int) -> None:
    from recshield.bench import kept, planned, read
    from recshield.bench.showing import show_estimate
    from recshield.report import tables

    asked = prepared.plan.request
    timed = [read(bench)] if bench else kept(asked.device, asked.threads)
    known = planned(prepared, timed, jobs)
    rows, steps, skips = tables.plan_rows(prepared.plan, prepared.store, known.seconds if known else {})
    if is_json:
        typer.echo(tables.plan_json(rows, steps, skips, known.total if known else None))
    else:
        tables.show_plan(console, rows, steps, skips)
        show_estimate(console, prepared.plan, known, timed)


def _traces(out: Path) -> Path:
    """Return the folder of traces beside a run's, which may be written to."""
    from recshield.bench.profiling import check_folder

    folder = out.with_name(f"{out.name}-profile")
    check_folder(folder)
    return folder


def _profile(console: Console, prepared: Prepared, folder: Path, is_quiet: bool) -> None:
    from recshield.bench import write_profiles
    from recshield.bench.showing import show_profile
    from recshield.report.text import safe

    _, skipped = write_profiles(prepared, folder, None if is_quiet else lambda held: show_profile(console, held))
    if not is_quiet:
        for text in skipped:
            console.print(safe(f"not profiled: {text}"), soft_wrap=True)
        console.print(safe(f"traces and operations in {folder}; open a trace in Perfetto"), soft_wrap=True)
