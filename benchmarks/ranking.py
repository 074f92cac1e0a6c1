"""Time full rankings and top-100 lists beside the bare chunked matrix product, on real rows and on many items.

    python benchmarks/ranking.py --data-dir DIR [--datasets amazon-video,gowalla] [--many-items] [--json FILE]

What a ratio is taken of is interleaved. `--many-items` adds generated rows with 200,000 items. Memory (Linux) is read
in processes of their own, with users in the ratio of 1 to 4.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import torch
from spine import interleaved

from recshield.core.seeds import generator
from recshield.data.catalogue import resolve
from recshield.data.interactions import DataInfo, HeldOut, Interactions
from recshield.evaluation.ranking import Extras, rank
from recshield_factor import MF, MFConfig

CHUNK, LIST_LENGTH, MANY_ITEMS, SOME_USERS = 128, 100, 200_000, 4_000


def grown(n_users: int, n_items: int) -> tuple[Interactions, HeldOut]:
    """Return ten random training rows and one test row for every user."""
    rng = np.random.default_rng(0)
    items = rng.integers(0, n_items, 10 * n_users, dtype=np.int32)
    train = Interactions(np.arange(n_users + 1) * 10, items, n_items)
    return train, HeldOut.from_rows(np.arange(n_users), rng.integers(0, n_items, n_users))


def model_of(train: Interactions) -> MF:
    """Return a model with drawn tables of 64 dimensions."""
    info = DataInfo("ranked", train.n_users, train.n_items, len(train))
    return MF(info, MFConfig(std=1.0), generator(0, "start")).requires_grad_(False)


def measured(train: Interactions, test: HeldOut, repeats: int) -> dict[str, float]:
    """Return seconds of the bare product, of ranks and of ranks with lists, for the users that have test rows."""
    model = model_of(train)
    users, items = model.user.detach()[torch.from_numpy(test.users.astype(np.int64))], model.item.detach()

    def bare() -> None:
        for part in users.split(CHUNK):
            part @ items.T

    return interleaved(
        repeats,
        bare=bare,
        ranks=lambda: rank(model.scoring(), train, test),
        lists=lambda: rank(model.scoring(), train, test, extras=Extras(list_length=LIST_LENGTH)),
    )


def _resident() -> int:
    """Return the bytes of this process that no file holds."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def peak(n_users: int) -> int:
    """Return how many bytes a ranking of generated users holds at most, beyond what was there before it."""
    train, test = grown(n_users, 23_715)
    model = model_of(train)
    rank(model.scoring(), train, HeldOut.from_rows(np.arange(CHUNK), np.arange(CHUNK)))  # compiles
    most, is_done = _resident(), threading.Event()
    before = most

    def look() -> None:
        nonlocal most
        while not is_done.wait(0.005):
            most = max(most, _resident())

    watching = threading.Thread(target=look)
    watching.start()
    rank(model.scoring(), train, test, extras=Extras(list_length=LIST_LENGTH))
    is_done.set()
    watching.join()
    return most - before


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--datasets", default="amazon-video,gowalla", help="comma-separated, or none")
    parser.add_argument("--many-items", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.peak:
        print(peak(asked.peak))
        return
    splits = {}
    for name in asked.datasets.split(",") if asked.datasets != "none" else []:
        split = resolve(name, asked.data_dir).split()
        splits[name] = (split.dataset.train, split.test)
    if asked.many_items:
        splits[f"{MANY_ITEMS:,} generated items"] = grown(SOME_USERS, MANY_ITEMS)
    seconds, ratios = {}, {}
    for name, (train, test) in splits.items():
        seconds[name] = measured(train, test, asked.repeats)
        for work in ("ranks", "lists"):
            ratios[f"{name}: {work} / bare product"] = seconds[name][work] / seconds[name]["bare"]
        told = "  ".join(f"{work} {taken:.3f} s" for work, taken in seconds[name].items())
        print(f"{name}, {len(test.users):,} users, {train.n_items:,} items: {told}")
    peaks = {
        str(count): int(subprocess.run([sys.executable, __file__, "--peak", str(count)], check=True, text=True,
                                       stdout=subprocess.PIPE).stdout)
        for count in (10_000, 40_000)
    }  # fmt: skip
    for name, ratio in ratios.items():
        print(f"{name:52} {ratio:6.2f}")
    for count, held in peaks.items():
        print(f"ranks and lists of {int(count):,} users hold {held / 2**20:.0f} MiB at most")
    if asked.json:
        told_too = {"machine": platform.platform(), "threads": asked.threads, "seconds": seconds, "ratios": ratios}
        asked.json.write_text(json.dumps({**told_too, "peaks": peaks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
