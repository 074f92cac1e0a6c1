"""Time epochs of other libraries beside ours: each in its own environment, in turn, in one run.

    python benchmarks/peers/compare.py --data-dir DIR [--dataset amazon-video] [--threads 2] [--repeats 5]

The environments are made once (with uv, else venv and pip, from the network) under `--envs`, a folder beside the cache.
Every round asks each library for one epoch before the next round begins, so that a machine that slows down slows all of
them down. implicit and cornac do plain SGD, one row after another, without batches; RecBole and ours train in batches.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from recshield.bench.running import machine
from recshield.core.compiled import cache_folder
from recshield.data.catalogue import resolve

HERE = Path(__file__).parent
#: What each environment holds; RecBole's last release asks for older NumPy and setuptools than it says.
PEERS = {
    "implicit": ["implicit==0.7.3"],
    "cornac": ["cornac==3.0.1"],
    "recbole": ["recbole==1.2.1", "numpy<2", "setuptools<80"],
}
RECBOLE_BATCH = 2048
#: name -> (numerator, denominator), and what it should come to: at most, or at least.
RATIOS = {
    "recshield BPR / cornac BPR": ("bpr", "cornac", "at most 1.3"),
    "recshield BPR / implicit BPR": ("bpr", "implicit", "at most 2.2"),
    f"RecBole BPR, batch {RECBOLE_BATCH} / recshield BPR": ("recbole", "bpr", "at least 25"),
    "recshield APR / recshield BPR": ("apr", "bpr", "at most 2"),
    "SASRec padded to 50 / recshield SASRec": ("padded", "sasrec", "at least 4"),
    "recshield SAO / recshield SASRec": ("sao", "sasrec", "at most 3"),
}
#: Seconds before each piece of work: OpenMP's threads look out for more for a while, on the cores of whoever is next.
_PAUSE = 1.0
OURS = ("bpr", "apr", "sasrec", "sao", "padded")


def environment(name: str, folder: Path) -> Path:
    """Return the Python of a peer's environment, made if it is not there."""
    held = folder / name
    python = held / "bin" / "python"
    if (held / "complete").exists():
        return python
    print(f"installing {' '.join(PEERS[name])} in {held}", file=sys.stderr)
    uv = shutil.which("uv")
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(held)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *PEERS[name]], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(held)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS[name]], check=True)
    (held / "complete").touch()
    return python


class Worker:
    """A process that times what it is asked to."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,  # RecBole leaves logs where it runs
        )

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            said = self.process.communicate()[1]
            raise SystemExit(f"{self.name} stopped: {said[-2000:]}")
        return line

    def wait(self) -> None:
        """Wait until it has read its data."""
        if self._line() != "ready":
            raise SystemExit(f"{self.name} answered something else than ready")

    def ask(self, work: str) -> float:
        """Return the seconds of one piece of work, begun when the threads of the one before have gone to sleep."""
        time.sleep(_PAUSE)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{work}\n")
        self.process.stdin.flush()
        return float(self._line())


@contextlib.contextmanager
def workers(names: list[str], asked: argparse.Namespace, rows: Path) -> Iterator[dict[str, Worker]]:
    """Start ours and the peers, one after another, and stop them at the end."""
    common = [str(rows), str(asked.dims), str(asked.threads)]
    more = {"recbole": [str(rows.parent / "recbole"), str(RECBOLE_BATCH)]}
    held: dict[str, Worker] = {}
    try:
        for name in ("recshield", *names):
            python = sys.executable if name == "recshield" else str(environment(name, asked.envs))
            own = asked.works if name == "recshield" else more.get(name, [])
            held[name] = Worker(name, [python, str(HERE / f"{name}_worker.py"), *common, *own], rows.parent)
            held[name].wait()
        yield held
    finally:
        for worker in held.values():
            worker.process.kill()
            worker.process.communicate()


def timed(held: dict[str, Worker], own: list[str], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of every work, one round after another; the first round warms up."""
    works = [("recshield", name, name) for name in own] + [(name, "epoch", name) for name in held if name in PEERS]
    found: dict[str, list[float]] = {label: [] for _, _, label in works}
    for number in range(1 + repeats):
        for name, work, label in works:
            taken = held[name].ask(work)
            if number:
                found[label].append(taken)
                print(f"round {number}: {label} {taken:.4g} s", file=sys.stderr)
    return found


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--dataset", default="amazon-video")
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, or none")
    parser.add_argument("--works", default=",".join(OURS), help="comma-separated: which of ours")
    parser.add_argument("--envs", type=Path, default=cache_folder() / "peers")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    names = [name for name in asked.peers.split(",") if name and name != "none"]
    asked.works = asked.works.split(",")
    for given, known in ((names, PEERS), (asked.works, OURS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            parser.error(f"there is no '{unknown[0]}'; there are {', '.join(known)}")
    data = resolve(asked.dataset, asked.data_dir).split().dataset
    train = data.train
    users = np.repeat(np.arange(data.info.n_users, dtype=np.int32), np.diff(train.indptr))
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        np.savez(rows, users=users, items=train.items, n_users=data.info.n_users, n_items=data.info.n_items)
        with workers(names, asked, rows) as held:
            taken = timed(held, asked.works, asked.repeats)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratios = {
        name: {"ratio": medians[one] / medians[other], "wanted": wanted}
        for name, (one, other, wanted) in RATIOS.items()
        if one in medians and other in medians
    }
    print(f"{asked.dataset}, {asked.dims} dimensions, {asked.threads} threads, medians of {asked.repeats}")
    print(f"{', '.join(machine('cpu').values())}; torch {torch.__version__}, {platform.machine()}")
    for name, value in medians.items():
        print(f"{name:42} {value:9.4f} s")
    for name, one in ratios.items():
        print(f"{name:42} {one['ratio']:9.2f}   {one['wanted']}")
    if asked.json:
        told = {"machine": machine("cpu"), "dataset": asked.dataset, "threads": asked.threads, "dims": asked.dims}
        asked.json.write_text(json.dumps(told | {"seconds": taken, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
