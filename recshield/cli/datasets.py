"""`recshield datasets`: list, describe, fetch, show and convert data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recshield.cli import options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recshield.data.categories import Categories
    from recshield.data.fetching import Fetched
    from recshield.data.image_store import ImageSource
    from recshield.data.side import Side
    from recshield.data.table import NamedData

app = typer.Typer(help="List, describe, fetch, show and convert data sets.", rich_markup_mode=None)

_DataDir = Annotated[
    str | None, typer.Option(help="Folder of the named data sets [default: RECSHIELD_DATA, then the user's own]")
]
_Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.callback(invoke_without_command=True)
def datasets(context: typer.Context, data_dir: _DataDir = None, json_: _Json = False) -> None:
    """List the named data sets; `fetch`, `info`, `show` and `convert` do more."""
    if context.invoked_subcommand is None:
        list_(data_dir, json_)
    elif data_dir is not None or json_:
        from recshield.core.errors import BadValue

        order = f"recshield datasets {context.invoked_subcommand}"
        raise BadValue(f"--data-dir and --json stand behind the command; write `{order} ... --data-dir DIR`")


@app.command("list")
def list_(data_dir: _DataDir = None, json_: _Json = False) -> None:
    """List the named data sets, where they come from, and whether they are here."""
    from rich.console import Console

    from recshield.report.catalogue import dataset_rows, show_datasets

    rows = dataset_rows(data_dir)
    if json_:
        import json

        typer.echo(json.dumps(rows, indent=1))
        return
    show_datasets(Console(), rows)


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name of a data set.")], data_dir: _DataDir = None, json_: _Json = False
) -> None:
    """Describe one data set: licence, addresses, expected files and their hashes."""
    from rich.console import Console

    from recshield.report.catalogue import dataset_facts, show_dataset

    facts = dataset_facts(name, data_dir)
    if json_:
        import json

        typer.echo(json.dumps(facts, indent=1))
        return
    show_dataset(Console(), facts)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a data set.")],
    data_dir: _DataDir = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the data set's licence; asked for once.")
    ] = False,
    accept_hash: Annotated[
        bool,
        typer.Option("--accept-hash", help="Take files of an unverified data set as found, and record their hash."),
    ] = False,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A local archive in place of the network.")
    ] = None,
) -> None:
    """Fetch a named data set, check its files against their hashes, and put it where it is found."""
    from rich.console import Console

    from recshield.core.interrupts import interruptible
    from recshield.data.fetching import Consent, look
    from recshield.data.fetching import fetch as fetch_data
    from recshield.report.catalogue import named_data
    from recshield.report.transfers import TransferBar

    named = named_data(name)
    here = look(named, data_dir)
    if here is not None:
        _print(name, here)
        return
    consent = Consent(_is_licence_accepted(named, data_dir, accept_licence), accept_hash)
    try:
        with interruptible(), TransferBar(Console(stderr=True)) as bar:
            done = fetch_data(named, data_dir, consent, from_, bar)
    except KeyboardInterrupt:
        typer.echo("interrupted; nothing of this download is kept", err=True)
        raise typer.Exit(130) from None
    _print(name, done)


def _is_licence_accepted(named: type[NamedData], data_dir: str | None, is_accepted_now: bool) -> bool:
    """Show a licence that was not accepted yet, and ask for it on a terminal."""
    import sys

    from rich.console import Console

    from recshield.data.fetching import is_accepted
    from recshield.report.text import safe

    if is_accepted(named, data_dir):
        return True
    said = f"licence of {named.name}: {named.licence} ({named.licence_address or named.publisher})"
    Console(stderr=True).print(safe(said), soft_wrap=True)
    return is_accepted_now or (sys.stdin.isatty() and typer.confirm("accept it?", err=True))


def _print(name: str, done: Fetched) -> None:
    from rich.console import Console

    from recshield.report.text import safe

    console = Console()
    said = f"fetched '{name}' into {done.folder}" if done.is_new else f"'{name}' is here already: {done.folder}"
    console.print(safe(said), soft_wrap=True)
    for file, digest in done.found.items():
        console.print(safe(f"unverified until now, recorded: {file} SHA-256 {digest}"), soft_wrap=True)
    for file in done.unchecked:
        console.print(safe(f"{file} was not checked: no hash of it is known"), soft_wrap=True)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A name of `recshield datasets`, or a path.")],
    target: Annotated[Path, typer.Argument(help="File to write; ends in .parquet, .csv or .inter (RecBole).")],
    data_dir: _DataDir = None,
    columns: options.Columns = None,
    filter_: options.Filter = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write the rows of a data set as one file: user, item, rating, time."""
    from rich.console import Console

    from recshield.data.catalogue import resolve
    from recshield.data.converting import check_target, write_rows
    from recshield.data.filters import filter_rows
    from recshield.report.text import safe

    check_target(target, overwrites=force)
    facts: dict[str, str] = {}
    found = resolve(source, data_dir, filter_ or (), columns=columns or ())
    are_there = found.images.are_there if found.images else None
    table = filter_rows(found.read(), found.filters, facts, are_there) if filter_ else found.read()
    write_rows(table, target, overwrites=force)
    for name, text in facts.items():
        Console().print(safe(f"{name}: {text}"), soft_wrap=True)
    Console().print(safe(f"wrote {len(table)} rows to {target}"), soft_wrap=True)


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(help="A name of `recshield datasets`, or a path; none: what lies in --images.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="File to write [default: NAME.png]")] = None,
    images: options.Images = None,
    image_size: options.ImageSize = None,
    categories: options.Categories = None,
    skip_bad_images: options.SkipBadImages = None,
    data_dir: _DataDir = None,
    columns: options.Columns = None,
    items: Annotated[int | None, typer.Option(help="Items on the sheet [default: 48]", min=1, max=1_000)] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Save a contact sheet: some images as a model sees them, with id and categories."""
    from rich.console import Console

    from recshield.core.settings import CONTACT_ITEMS
    from recshield.data.contact_sheets import check_sheet, save_sheet, some_pictures
    from recshield.data.side import Side
    from recshield.report.text import safe

    side = Side(images or "", image_size or "", categories or "", bool(skip_bad_images))
    label, source, ids, held = _pictured(name, data_dir, columns or "", side)
    target = out or Path(f"{label}.png")
    check_sheet(target, overwrites=force)
    pictures = some_pictures(source, ids, held, items or CONTACT_ITEMS)
    save_sheet(pictures, target, overwrites=force)
    n_there = int(source.are_there(ids).sum())
    size = f"{source.size[0]} x {source.size[1]}"
    said = f"wrote {len(pictures)} images of {size} to {target}; {n_there} of {len(ids)} items have one"
    Console().print(safe(said), soft_wrap=True)


def _pictured(
    name: str | None, data_dir: str | None, columns: str, side: Side
) -> tuple[str, ImageSource, NDArray[np.generic], Categories | None]:
    """Return a label, where images come from, the items and their categories."""
    from recshield.core.errors import BadValue
    from recshield.data.catalogue import resolve
    from recshield.data.category_files import align, read_categories
    from recshield.data.contact_sheets import ids_of
    from recshield.data.ids import encode

    if name is not None:
        found = resolve(name, data_dir, columns=columns, side=side)
        if found.images is None:
            raise BadValue(f"data set '{found.name}' has no images; name their folder with --images")
        table = found.read()
        ids = encode(table.items, table.item_ids)[0]
        return found.name, found.images, ids, found.categories_of(ids)
    if not side.images:
        raise BadValue("there is nothing to show; name a data set, or a folder with --images")
    source = side.find_images(None, None)
    assert source is not None
    ids, file = ids_of(source), side.find_categories(None, None)
    return Path(source.folder).name, source, ids, align(read_categories(Path(file)), ids, file) if file else None
