"""From readings to a report, and from a report to files."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from recshield.core.errors import BadValue, OutputRefused
from recshield.core.registry import registry
from recshield.report.content import Chapter, Definitions, Name, Phrase, Report, Section
from recshield.report.format import ReportFormat
from recshield.report.reading import Reading
from recshield.report.sections import (
    changes,
    cost,
    credibility,
    curves,
    harm,
    matrix,
    pictures,
    significance,
    summary,
    threat,
    tradeoff,
)
from recshield.report.words import count, listed

#: A function of a run; None where the run has nothing for it.
Builder = Callable[[Reading], Section | None]

#: The sections of a chapter, in order.
SECTIONS: tuple[Builder, ...] = (
    summary.build, threat.build, matrix.build, curves.build, tradeoff.build, harm.build, pictures.build,
    significance.build, credibility.build, cost.build,
)  # fmt: skip


def compose(readings: Sequence[Reading], title: str = "", other: Reading | None = None) -> Report:
    """Return the report of some runs, a chapter each, and what is different in the first one from `other`.

    `title` "" = named after the data.
    """
    chapters = tuple(_chapter(reading, f"r{place + 1}") for place, reading in enumerate(readings))
    names = ", ".join(dict.fromkeys(reading.dataset for reading in readings))
    different = changes.build(readings[0], other) if other is not None else None
    return Report(title or f"Security evaluation on {names}", version("recshield"), chapters, different)


def _chapter(reading: Reading, key: str) -> Chapter:
    made = (build(reading) for build in SECTIONS)
    clean = reading.estimate(reading.clean_cells(reading.systems[0]))
    pairs: list[tuple[str, Phrase]] = [
        ("run", (Name(reading.name),)),
        ("data", (Name(reading.dataset), ", ", count(clean.n_users), " evaluated users")),
        ("systems", listed(reading.systems, 6)),
        ("attacks", listed(reading.attacks, 10) if reading.attacks else ("none",)),
        ("budgets", listed([asked.budget for asked in reading.asked], 6) if reading.asked else ("none",)),
        ("metrics", listed(reading.metrics, 6)),
        ("seeds", (", ".join(str(seed) for seed in reading.seeds),)),
    ]
    return Chapter(key, reading.dataset, Definitions(tuple(pairs)), tuple(one for one in made if one is not None))


def formats(names: Sequence[str], templates: Path | None = None) -> list[ReportFormat]:
    """Return the formats of these names.

    Raises:
        UnknownName: no installed plugin offers one of them.
        BadValue: no name, a name twice, or `templates` is no folder.
    """
    if not names:
        raise BadValue(f"no format was given; allowed: {', '.join(registry().names('report'))}")
    if len(set(names)) < len(names):
        raise BadValue(f"format '{max(names, key=list(names).count)}' stands twice; give it once")
    if templates is not None and not templates.is_dir():
        raise BadValue(f"{templates} is not a folder; --template takes a folder with templates")
    return [registry().get("report", name)(templates) for name in names]


def targets(made: Sequence[ReportFormat], out: Path) -> dict[str, Path]:
    """Return format -> file: `out` itself where it has the suffix of the only format, else `report.*` in that folder.

    Raises:
        OutputRefused: a folder cannot be written there, or it belongs to a run.
    """
    is_file = len(made) == 1 and out.suffix == made[0].suffix and not out.is_dir()
    folder = out.parent if is_file else out
    if (folder / "manifest.json").exists() and (folder / "results.parquet").exists():
        raise OutputRefused(f"{folder} holds a run, which keeps only its own files; name another folder with --out")
    if folder.exists() and not folder.is_dir():
        raise OutputRefused(f"{folder} is a file; name a folder, or a file ending in {made[0].suffix}, with --out")
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not os.access(nearest, os.W_OK):
        raise OutputRefused(f"{folder} cannot be written (no permission for {nearest}); name another with --out")
    return {one.name: out if is_file else out / f"report{one.suffix}" for one in made}


def write(report: Report, made: Sequence[ReportFormat], out: Path) -> list[Path]:
    """Write a report in every format; each file is there whole or not at all.

    Raises:
        OutputRefused: it cannot be written.
    """
    files = targets(made, out)
    for one in made:
        target = files[one.name]
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(one.render(report, target.parent), encoding="utf-8")
            draft.replace(target)
        except OSError as error:
            raise OutputRefused(
                f"{target} cannot be written ({error.strerror or error}); name another with --out"
            ) from None
        finally:
            draft.unlink(missing_ok=True)
    return list(files.values())
