"""What is installed and which data sets are here, as rows and as a terminal shows them."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recshield.core.registry import HOOKS, registry
from recshield.core.settings import DATA_VARIABLE
from recshield.core.specs import option_defaults
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
    if kind == "model":
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
    width = max(len(name) for row in rows for name in [", ".join([row["name"], *row["aliases"]])])
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
    top = data_dir or os.environ.get(DATA_VARIABLE)
    rows = []
    for name, made in sorted(registry().found["dataset"].items()):
        place = "generated"
        if made.folder:
            folder = Path(top).expanduser() / made.folder if top else None
            place = str(folder) if folder and folder.is_dir() else "not here"
        rows.append(
            {
                "name": name,
                "description": made.description,
                "licence": made.licence,
                "place": place,
                "publisher": made.publisher,
            }
        )
    return rows


def show_datasets(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print the named data sets."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("name", "what", "licence", "where", "publisher"):
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(safe(row[key]) for key in ("name", "description", "licence", "place", "publisher")))
    console.print(drawn)
    console.print(
        safe(f"a path to a folder or file works too; folders are looked for below --data-dir or {DATA_VARIABLE}")
    )
