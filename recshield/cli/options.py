"""Options that several commands share, and which of them were typed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from recshield.core import settings

Dataset = Annotated[
    str | None,
    typer.Option(metavar="NAME|PATH", help=f"A name of `recshield datasets`, or a path. [default: {settings.DATASET}]"),
]
DataDir = Annotated[str | None, typer.Option(help="Folder of the named data sets [default: RECSHIELD_DATA]")]
Columns = Annotated[
    str | None, typer.Option(metavar="MEANING=NAME,...", help="Columns of the file: user=uid,item=sku,time=ts")
]
Images = Annotated[
    str | None, typer.Option(metavar="DIR", help="Images of the items: <item id>.jpg, .jpeg, .png or .webp.")
]
ImageSize = Annotated[
    str | None, typer.Option(metavar="HEIGHTxWIDTH", help="To which images are resized. [default: the data set's]")
]
Categories = Annotated[
    str | None, typer.Option(metavar="FILE", help="Categories of the items: a table of item,category.")
]
SkipBadImages = Annotated[
    bool | None, typer.Option("--skip-bad-images", help="Count a bad image file as missing; else it stops the run.")
]
Filter = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="FILTER", help="Rows to keep: 'ratings>=4', kcore:10, images, ...; repeatable."),
]
Split = Annotated[
    str | None, typer.Option(metavar="SPLIT", help="leave-one-out, temporal:0.2, random:0.2, kfold:5, cold:0.2, ...")
]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BUDGET",
        help="[SURFACE=]NORM:EPS[,EPS...]; eps: 0.5, 10% or 0.5like(amf); repeatable. [default: l2:0.5]",
    ),
]
Goal = Annotated[
    list[str] | None, typer.Option(metavar="GOAL", help="degrade or degrade:oracle; repeatable. [default: degrade]")
]
Metrics = Annotated[
    str | None,
    typer.Option(metavar="METRIC,...", help=f"The first is the main one. [default: {','.join(settings.METRICS)}]"),
]
Seeds = Annotated[str | None, typer.Option(metavar="SEED,...", help="Of training and attack draws. [default: 0]")]
DataSeed = Annotated[int | None, typer.Option(help="Of splits and of the attacks' negatives. [default: 0]")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N. [default: cpu]")]
Threads = Annotated[int | None, typer.Option(help="Of each process; part of the results' identity. [default: 1]")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION", help="NAME.KEY=VALUE, for example mf.epochs=300; repeatable."),
]
Select = Annotated[
    str | None,
    typer.Option(metavar="METRIC", help="Select epochs and choices (eps=0.1|0.5) on validation rows."),
]
Every = Annotated[
    int | None,
    typer.Option(help=f"Epochs between two looks at the validation rows. [default: {settings.SELECT_EVERY}]"),
]
Patience = Annotated[
    int | None,
    typer.Option(help=f"Looks without a better value before training stops. [default: {settings.SELECT_PATIENCE}]"),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no table.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def typed(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given a value."""
    return {name: value for name, value in options.items() if value is not None}
