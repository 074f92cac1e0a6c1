"""Write `docs/conformance.md`: every check of the kit, the bug planted for it, and what else that bug sets off.

`python tests/recshield/testing/planted.py` runs the whole kit on every planted bug: ten minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

import broken_data
import broken_extractors
import broken_runs
import test_kit_attacks
import test_kit_defenses
import test_kit_limits
import test_kit_recommenders
import test_kit_spending
import test_kit_views

from recshield.core.interfaces import Attack, Defense
from recshield.testing import CHECKS, run_checks, small_runs
from recshield.testing.kit import name_of

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"
LISTS = (test_kit_attacks, test_kit_spending, test_kit_limits, test_kit_defenses, test_kit_recommenders, test_kit_views)
KINDS = broken_data.BUGS | broken_extractors.BUGS | broken_runs.BUGS
#: Bugs that are planted in a class without words of its own set these off, too; it is said once, above the tables.
WORDS = {"docstring_is_complete", "docstring_names_its_source"}
HEAD = """# What the conformance kit catches

`recshield plugin check` holds a plugin to small named checks. Each of them is itself tested: a plugin with one bug is planted,
and the check has to name it. The tables list the bugs, by the class in `tests/recshield/testing` that has them, and what else
each sets off. What the checks mean stands in [the reference](reference.md#conformance-checks). Bugs planted in classes without
a docstring of their own set off `docstring_is_complete` and `docstring_names_its_source` besides. Checks of CUDA need a device,
and `module` checks watch what an import does, with a bug for each thing that they watch.
"""


def planted() -> Iterator[tuple[str, str, Any]]:
    """Yield the kind, the name of the check and the bug, in the order of the kit."""
    found: dict[str, list[tuple[str, Any]]] = {kind: [] for kind in CHECKS}
    for module in LISTS:
        for check, bug, _ in module.BUGS:
            kind = "attack" if isinstance(bug, Attack) else "defense" if isinstance(bug, Defense) else "recommender"
            found[kind].append((name_of(check), bug))
    for kind, (_, rows) in KINDS.items():
        found[kind] += [(row[1], row[0]) for row in rows]
    for kind, checks in CHECKS.items():
        order = [name_of(check) for check in checks]
        for check, bug in sorted(found[kind], key=lambda row: order.index(row[0])):
            yield kind, check, bug


def label(bug: Any) -> str:
    """Return how a bug is called."""
    return str(getattr(bug, "__name__", type(bug).__name__))


def _others(kind: str, check: str, bug: Any, sample: Path) -> list[str]:
    outcomes = run_checks(kind, bug, sample if kind == "reader" else None)
    for cached in (small_runs.small_run, small_runs.small_report, small_runs.judged_run):
        if kind in ("check", "report") and label(bug) in ("WritesTheVerdict", "Renames"):
            cached.cache_clear()
    return [one.name for one in outcomes if not one.passed and one.name != check and one.name not in WORDS]


def main() -> None:
    """Write the page."""
    lines, last = [HEAD], ""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "some.pairs"
        sample.write_text("".join(f"{row // 3} {row % 3}\n" for row in range(12)))
        for kind, check, bug in planted():
            if kind != last:
                lines += [f"## {kind}\n", "| check | planted bug | what else fires |", "|---|---|---|"]
                lines[-3] = ("" if not last else "\n") + lines[-3]
                last = kind
            others = ", ".join(f"`{one}`" for one in _others(kind, check, bug, sample))
            lines.append(f"| `{check}` | `{label(bug)}` | {others or 'nothing'} |")
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
