"""Write a million rows in every format, read each, and print rows per second and peak memory.

    python benchmarks/readers.py [--rows 1000000] [--repeats 3] [--folder DIR] [--json FILE]

Every format must give the same training rows: this fails where one does not. Rows per second count a reader from the
opened file to its table, with a warm file cache; the peak is the highest memory of a process of its own that reads the
file once, less what that process had before. The rate of the whole data step stands beside: read, split and count.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from recshield.core.registry import registry
from recshield.data import Interactions, Table
from recshield.data.catalogue import DataSource, resolve
from recshield.data.ids import encode

USERS, ITEMS = 50_000, 20_000


def rows(n_rows: int) -> pa.Table:
    """Return rows sorted by user and time, so that formats without times mean the same."""
    rng = np.random.default_rng(7)
    users = np.sort(rng.integers(1, USERS + 1, size=n_rows))
    items = rng.zipf(1.3, size=n_rows) % ITEMS + 1
    ratings = rng.integers(1, 11, size=n_rows) / 2
    times = 1_000_000_000 + np.arange(n_rows) * 60
    return pa.table({"user": users, "item": items, "rating": ratings, "timestamp": times})


def write(folder: Path, held: pa.Table) -> dict[str, Path]:
    """Write the rows in every format; return format -> path."""
    columns = [held[name].to_pylist() for name in held.column_names]
    lines = list(zip(*columns, strict=True))
    texts = {
        "movielens u.data": ("u.data", "", "\t"),
        "movielens ratings.dat": ("ratings.dat", "", "::"),
        "movielens ratings.csv": ("ratings.csv", "userId,movieId,rating,timestamp\n", ","),
        "recbole .inter": ("a.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n", "\t"),
    }
    made: dict[str, Path] = {}
    for form, (name, header, separator) in texts.items():
        made[form] = folder / name
        made[form].write_text(header + "".join(separator.join(map(str, line)) + "\n" for line in lines))
    made["sequence text"] = folder / "sequences.txt"
    made["sequence text"].write_text("".join(f"{line[0]} {line[1]}\n" for line in lines))
    made["adjacency"] = folder / "train.txt"
    users = np.asarray(columns[0])
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    groups = np.split(np.asarray(columns[1]), starts[1:])
    with made["adjacency"].open("w") as out:
        for user, items in zip(users[starts], groups, strict=True):
            out.write(f"{user} {' '.join(map(str, items))}\n")
    made["csv"] = folder / "table.csv"
    csv.write_csv(held, made["csv"])
    made["csv, ids are text"] = folder / "text.csv"
    named = {name: pa.array([f"{name}-{value:06d}" for value in held[name].to_pylist()]) for name in ("user", "item")}
    csv.write_csv(held.set_column(0, "user", named["user"]).set_column(1, "item", named["item"]), folder / "text.csv")
    made["csv, quoted"] = folder / "quoted.csv"
    dates = pa.array(np.asarray(columns[3]).astype("datetime64[s]")).cast(pa.string())
    csv.write_csv(
        held.set_column(3, "timestamp", dates), folder / "quoted.csv", csv.WriteOptions(quoting_style="all_valid")
    )
    made["csv.gz"] = folder / "packed.csv.gz"
    with made["csv"].open("rb") as source, gzip.open(made["csv.gz"], "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    made["parquet"] = folder / "table.parquet"
    parquet.write_table(held, made["parquet"])
    return made


def interactions(table: Table) -> Interactions:
    """Return all rows as interactions, whatever their split."""
    users, items = encode(table.users, table.user_ids), encode(table.items, table.item_ids)
    order = np.arange(len(table)) if table.times is None else np.argsort(table.times, kind="stable")
    return Interactions.from_rows(users[1][order], items[1][order], len(users[0]), len(items[0]))


def peak(path: Path) -> float:
    """Return the MiB that reading a file adds to the peak of a fresh process."""
    done = subprocess.run([sys.executable, __file__, "--peak", str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak(path: Path) -> None:
    """Read a file once and print by how much the peak grew."""
    source = resolve(str(path))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far came with the parent's fork
    before = highest()
    source.read()
    print(highest() - before)


def highest() -> float:
    """Return this process's peak memory in MiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def measure(form: str, path: Path, repeats: int) -> tuple[dict[str, object], Interactions]:
    """Return rates and peak of a format, and what it read."""
    source: DataSource = resolve(str(path), scheme="leave-out:1,random")
    reader = registry().get("reader", source.reader)
    taken, whole = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        table = reader().read((path,))
        taken.append(time.perf_counter() - start)
        start = time.perf_counter()
        source.split(0)
        whole.append(time.perf_counter() - start)
    facts = {
        "format": form,
        "reader": source.reader,
        "rows": len(table),
        "MiB": path.stat().st_size / 2**20,
        "rows_per_second": len(table) / statistics.median(taken),
        "rows_per_second_with_split": len(table) / statistics.median(whole),
        "peak_mib": peak(path),
    }
    return facts, interactions(table)


def main() -> None:
    """Write, read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the files here")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        print_peak(asked.peak)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found, first = [], None
        for form, path in write(folder, rows(asked.rows)).items():
            facts, held = measure(form, path, asked.repeats)
            first = first or held
            if not (np.array_equal(first.indptr, held.indptr) and np.array_equal(first.items, held.items)):
                raise SystemExit(f"{form} gives other interactions than {found[0]['format']}")
            found.append(facts)
            print(
                f"{form:<24}{facts['rows_per_second'] / 1e6:7.2f} M rows/s, with split "
                f"{facts['rows_per_second_with_split'] / 1e6:5.2f} M, peak {facts['peak_mib']:6.0f} MiB, "
                f"file {facts['MiB']:5.1f} MiB"
            )
    print(f"all {len(found)} formats give the same interactions")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
