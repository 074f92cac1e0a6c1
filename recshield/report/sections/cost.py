"""Section: what the run cost, and all that is needed to compute it again."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from recshield.report.content import Block, Definitions, Listing, Name, Phrase, Prose, Section, Table
from recshield.report.reading import Reading
from recshield.report.reproduction import command
from recshield.report.words import count, number_word, plain_number

_MIB = 2**20
#: Most steps that are listed; the longest are.
_LISTED = 200


def build(reading: Reading) -> Section:
    """Return the section."""
    timings = reading.results.timings
    blocks: list[Block] = [Prose(_total(timings)), _by_kind(timings)]
    again = Prose(("The command that computes this run again:",))
    blocks += [_steps(timings), again, Listing(command(reading.request))]
    blocks += [_machine(reading), _configuration(reading)]
    lead = "Seconds are of this machine as it was; steps that were already there show what they took when they ran."
    return Section("cost", "Cost and reproduction", lead, tuple(blocks))


def _total(timings: pd.DataFrame) -> Phrase:
    reused = int(timings["is_reused"].sum())
    peak = float(timings["peak_host_bytes"].max()) / _MIB if len(timings) else math.nan
    text = f"{number_word(len(timings), 'step')}, {timings['seconds'].sum():,.1f} s in all"
    text += f" ({reused} of them were there before)" if reused else ""
    return (f"{text}; at most {peak:,.0f} MiB of host memory in the process of a step.",)


def _memory(value: Any) -> Phrase:
    return (count(round(float(value) / _MIB)),) if value and not pd.isna(value) else ("\N{EN DASH}",)


def _milliseconds(value: Any) -> Phrase:
    held = math.nan if value is None else float(value)
    return ("\N{EN DASH}",) if math.isnan(held) else (plain_number(held),)


def _by_kind(timings: pd.DataFrame) -> Table:
    rows = []
    has_kind = "kind" in timings.columns
    for kind, held in timings.groupby("kind" if has_kind else "is_reused", sort=False):
        gpu = pd.to_numeric(held["cuda_ms"], errors="coerce").sum(min_count=1) if "cuda_ms" in held else None
        row: tuple[Phrase, ...] = (
            (str(kind) if has_kind else "step",),
            (count(len(held)),),
            (plain_number(float(held["seconds"].sum())),),
            (plain_number(float(held["seconds"].max())),),
            _milliseconds(gpu),
            _memory(held["peak_host_bytes"].max()),
            _memory(held["peak_device_bytes"].max()),
        )
        rows.append(row)
    columns = ("kind of step", "number", "seconds", "longest", "GPU ms", "peak host MiB", "peak GPU MiB")
    numeric = (False, True, True, True, True, True, True)
    return Table("kinds", "Time and memory by kind of step.", columns, numeric, tuple(rows))


def _steps(timings: pd.DataFrame) -> Table:
    longest = timings.sort_values("seconds", ascending=False, kind="stable").head(_LISTED)
    rows = []
    for row in longest.to_dict("records"):
        shown: tuple[Phrase, ...] = (
            (Name(str(row["label"])),),
            (plain_number(float(row["seconds"])),),
            _milliseconds(row.get("cuda_ms")),
            _memory(row["peak_host_bytes"]),
            _memory(row["peak_device_bytes"]),
            ("yes" if row["is_reused"] else "no",),
        )
        rows.append(shown)
    which = "Every step" if len(timings) <= _LISTED else f"The {_LISTED} longest of {len(timings)} steps"
    columns = ("step", "seconds", "GPU ms", "peak host MiB", "peak GPU MiB", "reused")
    numeric = (False, True, True, True, True, False)
    return Table("steps", f"{which}, the longest first.", columns, numeric, tuple(rows), is_folded=True)


def _machine(reading: Reading) -> Definitions:
    manifest, timings = reading.manifest, reading.results.timings
    data, machine = manifest.get("data", {}), manifest.get("machine", {})
    populations = sorted({str(facts["population"]) for facts in reading.facts})
    versions = manifest.get("versions", {})
    devices = sorted({str(one) for one in timings["device"]}) if "device" in timings else []
    threads = sorted({str(one) for one in timings["threads"]}) if "threads" in timings else []
    pairs: list[tuple[str, Phrase]] = [
        ("data", (Name(str(data.get("name", reading.dataset))),)),
        ("data fingerprint", (Name(str(data.get("fingerprint", "unknown"))),)),
        ("users and test items (hash)", _names(populations)),
        ("seeds", (", ".join(str(seed) for seed in reading.seeds),)),
        ("data seed", (str(reading.request.get("data_seed", "unknown")),)),
        ("device, threads", (f"{', '.join(devices) or 'unknown'}; {', '.join(threads) or 'unknown'}",)),
        ("machine", (Name(", ".join(str(one) for one in machine.values())),)),
        ("versions", (", ".join(f"{name} {version}" for name, version in versions.items()),)),
    ]
    for name, text in manifest.get("split", {}).items():
        pairs.append((f"{name}", (str(text),)))
    return Definitions(tuple(pairs))


def _names(texts: list[str]) -> Phrase:
    said: list[Any] = []
    for text in texts:
        said += [Name(text), ", "]
    return tuple(said[:-1])


def _configuration(reading: Reading) -> Table:
    rows = []
    for key, value in sorted(reading.request.items()):
        text = value if isinstance(value, str) else json.dumps(value)
        rows.append(((Name(str(key)),), (Name(text) if text else "(none)",)))
    return Table(
        "configuration", "What was asked for.", ("option", "value"), (False, False), tuple(rows), is_folded=True
    )
