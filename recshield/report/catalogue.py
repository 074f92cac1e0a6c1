"""What is installed and which data sets are here, as rows and as a terminal shows them."""

from __future__ import annotations

import inspect
from typing import Any

from rich.console import Console
from rich.text import Text

from recshield.core.errors import UnknownName
from recshield.core.registry import HOOKS, registry
from recshield.core.settings import DATA_VARIABLE
from recshield.core.specs import option_defaults
from recshield.data.places import find_folder, user_folder
from recshield.data.table import NamedData
from recshield.report.text import safe


def plugin_rows() -> tuple[list[dict[str, Any]], dict[str, str], dict[str, str]]:
    """Return everything installed, the presets, and the plugins that could not be loaded."""
    held = registry()
    rows = []
    for kind in HOOKS:
        for name, made in sorted(held.found[kind].items()):
            source = held.sources[kind, name]
            rows.append(
                {
                    "kind": kind,
                    "name": name,
                    "aliases": list(getattr(made, "aliases", ())),
                    "options": _options(kind, made),
                    "description": _description(made) + _direction(kind, made),
                    "source": f"{source.distribution} {source.version}",
                }
            )
    return rows, dict(held.presets), dict(held.failed)


def _options(kind: str, made: type[Any]) -> dict[str, str]:
    if kind in ("model", "extractor"):
        return option_defaults(made.config_type)
    return option_defaults(made) if kind in ("attack", "defense") else {}


def _description(made: type[Any]) -> str:
    said = getattr(made, "description", "") or (inspect.getdoc(made) or "").split("\n\n")[0].replace("\n", " ")
    return str(said)


def _direction(kind: str, made: type[Any]) -> str:
    if kind != "metric":
        return ""
    return f" ({'higher' if getattr(made, 'is_higher_better', True) else 'lower'} is better)"


def show_plugins(console: Console, rows: list[dict[str, Any]], presets: dict[str, str], failed: dict[str, str]) -> None:
    """Print what is installed, by kind: name, what it is, its options with defaults."""
    width = max((len(", ".join([row["name"], *row["aliases"]])) for row in rows), default=0)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        console.print(safe(f"{kind}s", "bold"))
        for row in (one for one in rows if one["kind"] == kind):
            name = ", ".join([row["name"], *row["aliases"]])
            line = Text("  ").append_text(safe(f"{name:<{width}}  ", "cyan")).append_text(safe(row["description"]))
            if not row["source"].startswith("recshield "):
                line.append_text(safe(f"  [{row['source']}]", "dim"))
            console.print(line, soft_wrap=True)
            options = ", ".join(f"{key}={value}" for key, value in row["options"].items())
            if options:
                console.print(safe(f"  {'':<{width}}  {options}", "dim"), soft_wrap=True)
    console.print(safe("presets", "bold"))
    for name, spec in sorted(presets.items()):
        line = Text("  ").append_text(safe(f"{name:<{width}}  ", "cyan")).append_text(safe(spec))
        console.print(line, soft_wrap=True)
    for name, reason in sorted(failed.items()):
        console.print(safe(f"plugin '{name}' could not be loaded: {reason}", "yellow"), soft_wrap=True)


def dataset_rows(data_dir: str | None) -> list[dict[str, Any]]:
    """Return the named data sets and where they are."""
    rows = []
    for name, made in sorted(registry().found["dataset"].items()):
        place = "generated"
        if made.folder:
            folder = find_folder(made.folder, data_dir)
            place = str(folder) if folder else "not here"
        rows.append(
            {
                "name": name,
                "description": made.description,
                "licence": made.licence,
                "place": place,
                "publisher": made.publisher,
                "files": _files_state(made),
            }
        )
    return rows


def _files_state(made: type[NamedData]) -> str:
    """Return whether the files can be fetched, and whether they are held to a known hash."""
    if not made.folder:
        return "none"
    if not made.downloads:
        return "not fetched by recshield"
    return "verified" if all(download.is_verified for download in made.downloads) else "unverified"


def show_datasets(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the named data sets."""
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        drawn = safe(f"{row['name']:<{width}}  ", "cyan").append_text(safe(row["description"]))
        state = row["place"] if row["place"] != "not here" else f"not here, {row['files']}"
        console.print(drawn.append_text(safe(f"  [{state}]", "dim")), soft_wrap=True)
    console.print()
    for line in (
        "`recshield datasets info NAME` says who publishes one, `recshield datasets fetch NAME` fetches it",
        f"folders are looked for below --data-dir, else {DATA_VARIABLE}, else {user_folder()}",
        "a path to a folder or file works too",
    ):
        console.print(safe(line), soft_wrap=True)


def dataset_facts(name: str, data_dir: str | None) -> dict[str, Any]:
    """Return what is known of one named data set.

    Raises:
        UnknownName: there is none of this name.
    """
    made = named_data(name)
    row = next(row for row in dataset_rows(data_dir) if row["name"] == name)
    downloads = [
        {
            "address": download.address,
            "sha256": download.sha256,
            "recorded_by": download.recorded_by,
            "files": [{"name": file.name, "sha256": list(file.sha256)} for file in download.files],
        }
        for download in made.downloads
    ]
    return row | {"licence_address": made.licence_address, "folder": made.folder, "downloads": downloads}


def named_data(name: str) -> type[NamedData]:
    """Return the class of a named data set, or raise UnknownName with a suggestion."""
    known = registry().found["dataset"]
    if name not in known:
        raise UnknownName.among("dataset", name, known, "see `recshield datasets`")
    made: type[NamedData] = known[name]
    return made


def show_dataset(console: Console, facts: dict[str, Any]) -> None:
    """Print what is known of one named data set."""
    rows = [
        (key, facts[key])
        for key in ("name", "description", "licence", "licence_address", "publisher", "files", "place")
    ]
    for key, value in rows:
        if value:
            console.print(safe(f"{key.replace('_', ' '):<16} {value}"), soft_wrap=True)
    for download in facts["downloads"]:
        console.print(
            safe(f"{'from':<16} {download['address'] or 'no address is known; use --from FILE'}"), soft_wrap=True
        )
        if download["sha256"]:
            source = f", as recorded by {download['recorded_by']}" if download["recorded_by"] else ""
            console.print(safe(f"  SHA-256 {download['sha256']}{source}", "dim"), soft_wrap=True)
        for file in download["files"]:
            digests = " or ".join(file["sha256"]) or ("that of the download" if download["sha256"] else "not known")
            console.print(safe(f"  {file['name']}: SHA-256 {digests}", "dim"), soft_wrap=True)
