"""Grow users, items, interactions, dimensions and batch, one at a time; fit exponents, plot, hold memory to a bound.

    python benchmarks/scaling.py [--threads 2] [--repeats 3] [--largest 20000000] [--json FILE] [--plot FILE.svg]

Every point is a process of its own, so that its peak memory is its own: generated rows, MF, one epoch of BPR with its
sampling, and one gradient of the attacked loss, three negatives to a row. Items are drawn with a long tail (Zipf).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

#: Bound of the peak: so many times the parameters, bytes an interaction, and bytes besides.
PARAMETERS, INTERACTION, BESIDES = 4, 32, 700 * 10**6


@dataclass(frozen=True)
class Point:
    """A size; what does not grow stays at these values."""

    users: int = 50_000
    items: int = 50_000
    rows: int = 1_000_000
    dims: int = 64
    batch: int = 512


GROWN: dict[str, tuple[int, ...]] = {
    "rows": (500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000),
    "users": (25_000, 50_000, 100_000, 200_000, 400_000),
    "items": (25_000, 50_000, 100_000, 200_000, 400_000),
    "dims": (16, 32, 64, 128, 256),
    "batch": (128, 256, 512, 1024, 2048),
}
LARGEST = Point(users=1_000_000, items=1_000_000)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of a call, after one to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measured(point: Point, threads: int, repeats: int) -> dict[str, float]:
    """Return the seconds of an epoch and of an attack's gradient, and the peak memory after each."""
    import torch

    from recshield.core.interfaces import Access, Goal
    from recshield.core.seeds import generator
    from recshield.data.interactions import DataInfo, Dataset, Interactions
    from recshield.matrix.victims import TrainedVictim, degrade_pairs
    from recshield.training import ModelLoss
    from recshield_factor import MF, MFConfig

    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    counts = np.bincount(rng.integers(0, point.users, point.rows, dtype=np.int32), minlength=point.users)
    # An item of rank r with a chance like 1 / r, by the inverse of the logarithm.
    items = (np.exp(rng.random(point.rows, dtype=np.float32) * np.log(point.items)) - 1).astype(np.int32)
    train = Interactions(np.concatenate([[0], np.cumsum(counts)]), items, point.items)
    del counts
    info = DataInfo("grown", point.users, point.items, point.rows)
    data = Dataset(info, train, np.arange(point.users), np.arange(point.items))
    model = MF(info, MFConfig(dims=point.dims, batch=point.batch), generator(0, "start"))
    epochs = iter(range(10**9))

    def fit(count: int) -> float:
        start = time.perf_counter()
        model.fit(data, ModelLoss(), generator(next(epochs), "fit"), count)
        return time.perf_counter() - start

    fit(1)
    # Two fits that differ by one epoch: what a fit sets up and writes back is no part of an epoch.
    training = statistics.median([(fit(3) - fit(1)) / 2 for _ in range(repeats)])
    after_training = peak()
    model.eval().requires_grad_(False)
    access = Access.DATA | Access.GRADIENTS
    victim = TrainedVictim(model, train, degrade_pairs(train, 0), Goal(), "factors", access)
    delta = {name: torch.full_like(held, 1e-3) for name, held in victim.zeros().items()}
    attack = seconds(lambda: victim.ascend(delta), repeats)
    return {"train_s": training, "attack_s": attack, "train_peak": after_training, "attack_peak": peak()}


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def bound(point: Point) -> int:
    """Return the bytes that the peak has to stay within."""
    return PARAMETERS * 4 * point.dims * (point.users + point.items) + INTERACTION * point.rows + BESIDES


def in_process(point: Point, threads: int, repeats: int) -> dict[str, float]:
    """Measure one point in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--repeats", str(repeats)]
    done = subprocess.run([*command, "--point", json.dumps(asdict(point))], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{point}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def exponent(sizes: list[int], values: list[float]) -> float:
    """Return the slope of a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def plot(rows: list[dict[str, float | str]], path: Path) -> None:
    """Draw cost against size, a panel for what grows, on logarithmic axes."""
    import altair as alt

    long = [
        {"grown": row["grown"], "size": row["size"], "work": name, "seconds": row[key]}
        for row in rows
        for name, key in (("epoch", "train_s"), ("attack gradient", "attack_s"))
    ]
    chart = (
        alt.Chart(alt.Data(values=long))
        .mark_line(point=True)
        .encode(
            x=alt.X("size:Q", scale=alt.Scale(type="log"), title=None),
            y=alt.Y("seconds:Q", scale=alt.Scale(type="log"), title="seconds"),
            color=alt.Color("work:N", title=None),
        )
        .properties(width=170, height=170)
        .facet(facet=alt.Facet("grown:N", title=None, sort=list(GROWN)), columns=3)
        .resolve_scale(x="independent")
    )
    chart.save(str(path))


def main() -> None:
    """Run every point and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--largest", type=int, default=20_000_000, help="interactions of the largest point; 0 = none")
    parser.add_argument("--grown", default=",".join(GROWN))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--point", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        print(json.dumps(measured(Point(**json.loads(asked.point)), asked.threads, asked.repeats)))
        return
    rows: list[dict[str, float | str]] = []
    exponents: dict[str, dict[str, float]] = {}
    for grown in asked.grown.split(","):
        own = []
        for size in GROWN[grown]:
            point = replace(Point(), **{grown: size})
            own.append(in_process(point, asked.threads, asked.repeats))
            share = max(own[-1]["train_peak"], own[-1]["attack_peak"]) / bound(point)
            rows.append({"grown": grown, "size": size, **own[-1], "bound_share": share})
            print(
                f"{grown:6} {size:>11,}  epoch {own[-1]['train_s']:8.4f} s  attack {own[-1]['attack_s']:8.4f} s"
                f"  memory {share:.2f} of its bound", flush=True
            )  # fmt: skip
        exponents[grown] = {
            key: exponent(list(GROWN[grown]), [one[f"{key}_s"] for one in own]) for key in ("train", "attack")
        }
        print(f"{grown:6} exponent: epoch {exponents[grown]['train']:.2f}, attack {exponents[grown]['attack']:.2f}")
    told: dict[str, object] = {"threads": asked.threads, "points": rows, "exponents": exponents}
    if asked.largest:
        point = replace(LARGEST, rows=asked.largest)
        found = in_process(point, asked.threads, 1)
        told["largest"] = {**asdict(point), **found, "bound": bound(point)}
        for name in ("train", "attack"):
            print(
                f"{point.rows:,} rows, {point.users:,} users, {point.items:,} items: {name} {found[f'{name}_s']:.2f} s,"
                f" peak {found[f'{name}_peak'] / 1e9:.2f} GB of {bound(point) / 1e9:.2f} GB"
            )
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1) + "\n")
    if asked.plot:
        plot(rows, asked.plot)


if __name__ == "__main__":
    main()
