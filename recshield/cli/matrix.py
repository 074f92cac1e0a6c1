"""`recshield matrix`: plan, run, judge, save, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from recshield.run import MatrixRun, Prepared


def matrix(
    models: Annotated[
        str, typer.Option(metavar="SYSTEM,...", help="Systems: popular,mf,amf,mf+advreg:eps=1,epochs=50")
    ],
    attacks: Annotated[
        str, typer.Option(metavar="ATTACK,...", help="Attacks: noise,fgsm,pgd@factors.item:steps=40")
    ] = "",
    defenses: Annotated[
        str, typer.Option(metavar="DEFENSE,...", help="Put each behind every model: advreg:eps=1,continue")
    ] = "",
    dataset: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A name of `recshield datasets`, or a path.")
    ] = "synthetic",
    data_dir: Annotated[
        str | None, typer.Option(help="Folder of the named data sets [default: RECSHIELD_DATA]")
    ] = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="FILTER", help="Rows to keep: 'ratings>=4', kcore:10; repeatable, in order."),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT", help="leave-one-out, temporal:0.2, kfold:5 [default: as the files give it, else the first]"
        ),
    ] = "",
    columns: Annotated[
        str, typer.Option(metavar="ROLE=NAME,...", help="Columns of a table: user=uid,item=sku,time=ts,rating=stars")
    ] = "",
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUDGET",
            help="[SURFACE=]NORM:EPS[,EPS...]; eps: 0.5, 10% or 0.5like(amf); repeatable. [default: l2:0.5]",
        ),
    ] = None,
    goal: Annotated[
        list[str] | None, typer.Option(metavar="GOAL", help="degrade or degrade:oracle; repeatable. [default: degrade]")
    ] = None,
    metrics: Annotated[
        str, typer.Option(metavar="METRIC,...", help="The first is the main one: ndcg@K, hr@K, mrr@K, auc.")
    ] = "ndcg@100,hr@100",
    seeds: Annotated[str, typer.Option(metavar="SEED,...", help="Of training and attack draws.")] = "0",
    data_seed: Annotated[int, typer.Option(help="Of splits and of the attacks' negatives.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Of each process; part of the results' identity.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes; results do not depend on it.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for the run [default: runs/DATASET-HASH]")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION", help="NAME.KEY=VALUE, for example mf.epochs=300; repeatable."),
    ] = None,
    controls: Annotated[
        str, typer.Option(help="auto: add the cells that the audit needs; none: leave them out.")
    ] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print cells, steps and skips; compute nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures and verdicts as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress and no table.")] = False,
) -> None:
    """Cross models and defenses with attacks, and judge every figure."""
    from rich.console import Console

    from recshield import run
    from recshield.core import specs
    from recshield.core.settings import BUDGET, GOAL
    from recshield.matrix import saved
    from recshield.report.text import plain

    prepared = run.prepare(
        models=specs.split_list(models),
        attacks=specs.split_list(attacks),
        defenses=specs.split_list(defenses),
        dataset=dataset,
        data_dir=data_dir,
        filters=filter_ or (),
        split=split,
        columns=columns,
        budget=budget or BUDGET,
        goal=goal or (GOAL,),
        metrics=specs.split_list(metrics),
        seeds=_seeds(seeds),
        data_seed=data_seed,
        device=device,
        threads=threads,
        overrides=set_ or (),
        controls=controls,
    )
    folder = out or Path("runs") / _folder_name(prepared)
    saved.check_target(folder)
    console = Console()
    if dry_run:
        _print_plan(console, prepared, json_)
        return
    try:
        made = _execute(prepared, jobs, quiet or json_)
        made.save(folder)
    except KeyboardInterrupt:
        from recshield.report.text import safe

        advice = "interrupted; finished steps are kept: run the same command again to go on"
        Console(stderr=True).print(safe(advice), soft_wrap=True)
        raise typer.Exit(130) from None
    _print(console, made, folder, json_, quiet)
    if made.manifest["failed"]:
        for text in made.manifest["failed"] if quiet or json_ else ():
            typer.echo(f"failed: {plain(text)}", err=True)
        raise typer.Exit(1)


def _seeds(text: str) -> list[int]:
    from recshield.core.errors import BadValue

    try:
        return [int(piece) for piece in text.split(",") if piece.strip()]
    except ValueError:
        raise BadValue(f"seeds '{text}' cannot be read; write whole numbers, comma separated: 0,1,2") from None


def _folder_name(prepared: Prepared) -> str:
    import hashlib
    import json
    import re

    text = json.dumps(prepared.manifest["request"] | {"fingerprint": prepared.manifest["data"]["fingerprint"]})
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return re.sub(r"[^\w.-]+", "_", prepared.plan.request.source.name)[:60] + f"-{digest}"


def _execute(prepared: Prepared, jobs: int, is_quiet: bool) -> MatrixRun:
    from rich.console import Console

    from recshield import run
    from recshield.report.progress import Bar

    if is_quiet:
        return run.execute(prepared, jobs)
    with Bar(Console(stderr=True), list(prepared.plan.steps.values())) as bar:
        return run.execute(prepared, jobs, listener=bar)


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


def _print_plan(console: Console, prepared: Prepared, is_json: bool) -> None:
    from recshield.report import tables

    rows, steps, skips = tables.plan_rows(prepared.plan, prepared.store)
    if is_json:
        typer.echo(tables.plan_json(rows, steps, skips))
    else:
        tables.show_plan(console, rows, steps, skips)
