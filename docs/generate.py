"""Write docs/reference.md from the code: `python docs/generate.py`; a test sees that it is up to date."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

from recshield.audit.judgement import checks
from recshield.core import hookspecs, settings
from recshield.core.registry import HOOKS
from recshield.matrix.effects import EFFECT_COLUMNS
from recshield.matrix.results import COLUMNS
from recshield.report.catalogue import plugin_rows
from recshield.testing.kit import CHECKS, name_of

COLUMN_MEANINGS = {
    "dataset": "name of the data",
    "system": "model and defenses as typed",
    "model": "model with the options that were given",
    "defense": "defenses with their options, or `none`",
    "attack": "attack as typed, or `none` for the clean cell",
    "surface": "surface or family that is perturbed",
    "goal": "what the attacker wants",
    "access": "what the attack may call",
    "stage": "when the attacker acts: `serve` is after training",
    "norm": "norm of the budget, one per row of the surface",
    "eps": "size of the budget in raw units",
    "relative_eps": "eps over the mean clean norm of the rows that the goal reads",
    "raw_norm": "largest row norm of what the attack returned",
    "measured_norm": "largest row norm of what was scored, after projection",
    "seed": "of training and attack draws",
    "fold": "of the split, from 0; most splits have one",
    "selected": "epochs and choices that validation rows selected, empty with fixed epochs",
    "metric": "name in lower case, with its suffix: `ndcg/sampled:999` and k 10 are `ndcg@10/sampled:999`",
    "k": "its K, 0 where it has none",
    "clean": "mean over the users that count, or the one number over all of them, without attack",
    "attacked": "the same under attack",
    "change": "attacked minus clean",
    "relative_change": "attacked over clean, minus 1",
    "attacked_8bit": "figure from attacked images that were rounded to 8 bits, saved as PNG and read again",
    "relative_change_8bit": "the same over clean, minus 1",
    "psnr": "peak signal-to-noise ratio in dB of the saved images, mean over the attacked ones that changed",
    "ssim": "structural similarity of the saved images, mean over all attacked ones",
    "n_users": "users that the figure is over: all evaluated users, or those of a group",
    "verdict": "of the audit, judged on the first metric: `pass`, `warn`, `unproven`, `fail`; empty where not judged",
    "is_control": "added for the audit, stands outside the main table",
    "eps_text": "eps as asked for: `0.5`, `10%`, `0.5like(amf)`",
    "labels": "what a reader must know before comparing",
    "cell": "key of the cell in the other tables",
}


def plugins() -> list[str]:
    """Return a table per kind of plugin."""
    rows, presets, _ = plugin_rows()
    lines = []
    for kind in HOOKS:
        held = [row for row in rows if row["kind"] == kind and row["source"].startswith("recshield ")]
        if not held or kind == "check":
            continue
        lines += [f"## {kind.capitalize()}s", "", "| name | what | options and defaults |", "|---|---|---|"]
        for row in held:
            names = ", ".join(f"`{name}`" for name in (row["name"], *row["aliases"]))
            options = ", ".join(f"`{key}={value}`" for key, value in row["options"].items())
            lines.append(f"| {names} | {row['description']} | {options} |")
        lines.append("")
    lines += ["## Presets", "", "| name | stands for |", "|---|---|"]
    return [*lines, *(f"| `{name}` | `{spec}` |" for name, spec in sorted(presets.items())), ""]


def audit() -> list[str]:
    """Return the table of checks."""
    lines = [
        "## Checks",
        "",
        "A cell where a required check applies and could not be run is `unproven`. See [checks](checks/README.md).",
        "",
    ]
    lines += ["| number | name | what must hold | required |", "|---|---|---|---|"]
    for check in checks():
        lines.append(
            f"| {check.number} | `{check.name}` | {check.description} | {'yes' if check.is_required else ''} |"
        )
    return [*lines, ""]


def columns() -> list[str]:
    """Return the columns of results.parquet."""
    lines = ["## Columns of results.parquet", "", "| column | meaning |", "|---|---|"]
    return [*lines, *(f"| `{name}` | {COLUMN_MEANINGS[name]} |" for name in COLUMNS), ""]


def effects() -> list[str]:
    """Return what `recshield show --effects` is made of."""
    lines = [
        "## Effects",
        "",
        "`recshield.matrix.effects.effects(run.results)`, one row per attacked figure, seeds pooled.",
        "",
    ]
    lines += ["| column | meaning |", "|---|---|"]
    return [*lines, *(f"| `{name}` | {meaning} |" for name, meaning in EFFECT_COLUMNS.items()), ""]


def hooks() -> list[str]:
    """Return the hooks with their docstrings."""
    lines = ["## Hooks", "", "| hook | returns |", "|---|---|"]
    for name in (*HOOKS.values(), "recshield_presets"):
        said = (inspect.getdoc(getattr(hookspecs, name)) or "").removeprefix("Return ").rstrip(".")
        lines.append(f"| `{name}` | {said} |")
    return [*lines, ""]


def kit() -> list[str]:
    """Return the table of the conformance kit's checks."""
    lines = [
        "## Conformance checks",
        "",
        "What `recshield plugin check` and the base classes of `recshield.testing` hold a plugin to.",
        "",
    ]
    lines += ["| kind | check | what must hold |", "|---|---|---|"]
    for kind, held in CHECKS.items():
        for check in held:
            said = " ".join((inspect.getdoc(check) or "").split("\n\n")[0].split())
            lines.append(f"| {kind} | `{name_of(check)}` | {said} |")
    return [*lines, ""]


def defaults() -> list[str]:
    """Return the settings with the comments above them."""
    source = inspect.getsource(settings).splitlines()
    lines = ["## Settings", "", "| name | value | meaning |", "|---|---|---|"]
    for node in ast.parse("\n".join(source)).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            said = source[node.lineno - 2].removeprefix("#: ").rstrip(".")
            lines.append(f"| `{name}` | `{getattr(settings, name)!r}` | {said} |")
    return [*lines, ""]


def page() -> str:
    """Return the whole page."""
    head = [
        "# Reference",
        "",
        "Generated from the code by `docs/generate.py`; `recshield plugins` prints the same.",
        "",
    ]
    return (
        "\n".join([*head, *plugins(), *audit(), *columns(), *effects(), *hooks(), *kit(), *defaults()]).rstrip() + "\n"
    )


if __name__ == "__main__":
    target = Path(__file__).with_name("reference.md")
    target.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {target}\n")
