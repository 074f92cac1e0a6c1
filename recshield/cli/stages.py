"""`recshield train`, `attack` and `evaluate`: one stage each, on saved systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recshield.cli import options

System = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `recshield train` wrote.")]


def train(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="For example mf, amf or mf+advreg:eps=1,epochs=50")],
    out: Annotated[Path, typer.Option(help="Folder for the system.")],
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    columns: options.Columns = None,
    images: options.Images = None,
    image_size: options.ImageSize = None,
    categories: options.Categories = None,
    skip_bad_images: options.SkipBadImages = None,
    filter_: options.Filter = None,
    split: options.Split = None,
    seed: Annotated[int, typer.Option(help="Of the training draws.")] = 0,
    data_seed: options.DataSeed = None,
    device: options.Device = None,
    threads: options.Threads = None,
    set_: options.Set = None,
    select: options.Select = None,
    every: options.Every = None,
    patience: options.Patience = None,
    quiet: options.Quiet = False,
) -> None:
    """Train one system and save it; nothing is measured."""
    from recshield import stages
    from recshield.config import merged

    given = {
        "models": system, "dataset": dataset, "data_dir": data_dir, "columns": columns, "filter": filter_,
        "split": split, "seeds": str(seed), "data_seed": data_seed, "device": device, "threads": threads,
        "set": set_, "select": select, "every": every, "patience": patience,
        "images": images, "image_size": image_size, "categories": categories, "skip_bad_images": skip_bad_images,
    }  # fmt: skip
    asked = merged(None, options.typed(given)).request()
    for name in ("attacks", "defenses", "budget", "goal", "metrics", "controls", "audit", "curve"):
        del asked[name]
    models = asked.pop("models")
    _only_one(models, "system")
    saved = stages.train(models[0], out, asked)
    if not quiet:
        last = saved.about.trained[-1].facts
        chosen = f", selected on {last.selection} rows: {last.selected}" if last.selected else ""
        typer.echo(f"trained {saved.about.system}{chosen}; saved in {out}")


def attack(
    folder: System,
    name: Annotated[str, typer.Argument(metavar="ATTACK", help="For example fgsm or pgd@factors.item:steps=40")],
    out: Annotated[Path, typer.Option(help="Folder for the perturbation.")],
    budget: options.Budget = None,
    goal: options.Goal = None,
    data_dir: options.DataDir = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Attack a saved system and save the perturbation; nothing is ranked."""
    from recshield import stages
    from recshield.core.settings import BUDGET, GOAL

    request = {"budget": budget or list(BUDGET), "goal": goal or [GOAL]}
    saved = stages.attack(folder, name, out, request | _moved(data_dir, device))
    if not quiet:
        about, facts = saved.about, saved.about.facts
        spent = f"norm {facts['measured_norm']:.4g} of eps {facts['eps']:.4g} ({about.norm})"
        warning = "" if facts["goal_value"] > facts["goal_clean"] or not facts["eps"] else ", which is not up"
        typer.echo(
            f"{about.attack} on {about.system}: {spent}, "
            f"loss {facts['goal_clean']:.4f} to {facts['goal_value']:.4f}{warning}; saved in {out}"
        )


def evaluate(
    folder: System,
    perturbation: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A folder that `recshield attack` wrote.")
    ] = None,
    metrics: options.Metrics = None,
    data_dir: options.DataDir = None,
    device: options.Device = None,
    json_: options.Json = False,
) -> None:
    """Measure a saved system, clean and under a saved perturbation; figures here carry no verdict."""
    from recshield import stages
    from recshield.core.settings import METRICS
    from recshield.core.specs import split_list

    wanted = split_list(metrics) if metrics else list(METRICS)
    rows = stages.evaluate(folder, perturbation, wanted, _moved(data_dir, device))
    if json_:
        import json

        typer.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["metric"]) for row in rows)
    for row in rows:
        line = f"{row['metric']:<{width}}  clean {row['clean']:.4f}"
        if "attacked" in row:
            change = 100 * (row["attacked"] / row["clean"] - 1) if row["clean"] else float("nan")
            line += f"  attacked {row['attacked']:.4f}  ({change:+.1f} %)"
        typer.echo(line + (f"  [{row['label']}]" if row["label"] else ""))
    typer.echo("no verdict: `recshield matrix` judges a figure beside its controls")


def _moved(data_dir: str | None, device: str | None) -> dict[str, Any]:
    return options.typed({"data_dir": data_dir, "device": device})


def _only_one(given: list[str], what: str) -> None:
    if len(given) != 1:
        from recshield.core.errors import BadValue

        raise BadValue(f"{len(given)} {what}s were given; one is trained at a time (`recshield matrix` takes several)")
