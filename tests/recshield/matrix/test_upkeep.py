"""The cache: its size, what may go, what is damaged; beside running processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from recshield.core.errors import BadValue
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE
from recshield.matrix import upkeep
from recshield.matrix.store import Store

DAY = 86_400


def put(store: Store, key: str, size: int, kind: str = "train", days: float = 0) -> None:
    """Write a step of so many bytes, last used so many days ago."""

    def compute(folder: Path):
        (folder / "rows").write_bytes(b"x" * size)
        return {}, {"kind": kind}

    entry = store.put(key, compute)
    then = time.time() - days * DAY
    os.utime(entry.folder / "meta.json", (then, then))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return Store.default()


def keys(store: Store) -> set[str]:
    return {held.key for held in upkeep.entries(store)}


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * DAY), ("12h", 43_200), ("90s", 90), ("1.5w", 10.5 * DAY), ("2m", 120)]
)
def test_ages_are_read(text: str, seconds: float) -> None:
    assert upkeep.read_age(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10 * 2**30), ("500M", 500 * 2**20), ("1.5 kb", None), ("7", 7), ("2TiB", 2**41), ("0", 0)],
)
def test_sizes_are_read(text: str, size: int | None) -> None:
    if size is None:
        with pytest.raises(BadValue):
            upkeep.read_size(text)
    else:
        assert upkeep.read_size(text) == size


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "30 days", "nan"])
def test_an_age_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(BadValue, match="cannot be read; write a number and s, m, h, d or w: 30d, 12h"):
        upkeep.read_age(text)


def test_the_size_is_that_of_the_files_by_kind(store: Store, tmp_path: Path) -> None:
    put(store, "aa1", 1000)
    put(store, "aa2", 2000, days=3)
    put(store, "bb1", 500, "measure")
    (tmp_path / "numba" / "x").mkdir(parents=True)
    (tmp_path / "numba" / "x" / "kernel.nbc").write_bytes(b"k" * 77)
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "one").write_bytes(b"f" * 5)
    (tmp_path / "data" / "toy").mkdir(parents=True)
    (tmp_path / "data" / "toy" / "rows").write_bytes(b"d" * 11)
    rows = {row[0]: row[1:] for row in upkeep.sizes(store)}
    assert set(rows) == {"steps: train", "steps: measure", "kernels", "frames", "data sets"}
    meta = {
        held.key: (store.root / "steps" / held.key[:2] / held.key / "meta.json").stat().st_size
        for held in upkeep.entries(store)
    }
    assert rows["steps: train"][:2] == (2, 3000 + meta["aa1"] + meta["aa2"])
    assert rows["steps: train"][2] == pytest.approx(3 * DAY, abs=60)
    assert rows["steps: measure"][:2] == (1, 500 + meta["bb1"])
    assert rows["kernels"] == (1, 77, None)
    assert rows["frames"] == (1, 5, None)
    assert rows["data sets"] == (1, 11, None)


def test_a_step_of_an_older_version_has_no_kind(store: Store) -> None:
    store.put("cc1", lambda folder: ({}, {}))
    assert [held.kind for held in upkeep.entries(store)] == ["unknown"]


def test_old_steps_go_and_used_ones_stay(store: Store) -> None:
    put(store, "aa1", 10, days=40)
    put(store, "aa2", 10, days=20)
    put(store, "aa3", 10, days=40)
    assert Store(store.root).get("aa3") is not None  # used now
    going = upkeep.chosen(store, upkeep.read_age("30d"), None, everything=False)
    assert [held.key for held in going] == ["aa1"]
    assert [held.key for held in upkeep.prune(store, going).gone] == ["aa1"]
    assert keys(store) == {"aa2", "aa3"}
    assert store.get("aa1") is None
    assert not list((store.root / "unfinished").iterdir())


def test_keep_leaves_the_steps_used_last_up_to_a_size(store: Store) -> None:
    for number in range(4):
        put(store, f"aa{number}", 1000, days=number)
    each = upkeep.entries(store)[0].size
    for keep, left in ((each * 4, 4), (each * 4 - 1, 3), (each * 2, 2), (0, 0)):
        going = upkeep.chosen(store, None, keep, everything=False)
        assert [held.key for held in going] == [f"aa{number}" for number in (3, 2, 1, 0)[: 4 - left]]


def test_all_takes_the_kernels_too_and_a_dry_run_takes_nothing(store: Store, tmp_path: Path) -> None:
    put(store, "aa1", 10)
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "kernel").write_bytes(b"k" * 9)
    (tmp_path / "data").mkdir()
    going = upkeep.chosen(store, None, None, everything=True)
    told = upkeep.prune(store, going, kernels=True, is_dry=True)
    assert keys(store) == {"aa1"}
    assert (tmp_path / "numba" / "kernel").is_file()
    assert upkeep.prune(store, going, kernels=True) == told
    assert told.kernel_bytes == 9
    assert keys(store) == set()
    assert not list(tmp_path.glob("numba*"))
    assert (tmp_path / "data").is_dir()


def test_nothing_asked_for_is_an_error(store: Store) -> None:
    with pytest.raises(BadValue, match="nothing is named that may go; write --older-than 30d, --keep 10GB or --all"):
        upkeep.chosen(store, None, None, everything=False)


HOLDER = """
import sys
from pathlib import Path
from recshield.matrix.store import Store
with Store(Path(sys.argv[1])).lock("aa1"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_step_that_another_process_holds_stays(store: Store) -> None:
    put(store, "aa1", 10)
    put(store, "aa2", 10)
    (store.root / "steps" / "aa" / "aa1" / "rows").write_bytes(b"damaged")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    going = upkeep.chosen(store, None, None, everything=True)
    done = upkeep.prune(store, going)
    assert ([held.key for held in done.gone], [held.key for held in done.in_use]) == (["aa2"], ["aa1"])
    assert upkeep.verify(store, repairs=True) == (1, ["aa1"], [])
    holder.communicate("go\n", timeout=30)
    assert [held.key for held in upkeep.prune(store, going).gone] == ["aa1"]  # aa2 had gone before
    assert keys(store) == set()


def test_two_processes_prune_and_compute_at_once(store: Store) -> None:
    """While one thread prunes all and another computes, a reader finds a step whole or not at all."""
    stop, seen = threading.Event(), []

    def prune() -> None:
        mine = Store(store.root)
        while not stop.is_set():
            upkeep.prune(mine, upkeep.chosen(mine, None, None, everything=True))

    thread = threading.Thread(target=prune)
    thread.start()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        reader = Store(store.root)
        try:
            put(Store(store.root), "aa1", 1000)
        except Exception as error:
            seen.append(type(error).__name__)
        reader.get("aa1")
        assert reader.damaged == [] or not (store.root / "steps" / "aa" / "aa1").is_dir()
    stop.set()
    thread.join()
    assert set(seen) <= {"FileNotFoundError"}  # gone before the test could set its time; `put` itself never fails
    put(store, "aa1", 1000)
    assert upkeep.verify(store) == (1, [], [])


@pytest.mark.parametrize("fault", ["file", "meta", "missing", "no meta", "other key"])
def test_verify_names_what_is_damaged_and_repair_removes_it(store: Store, fault: str) -> None:
    put(store, "aa1", 10)
    put(store, "aa2", 10)
    folder = store.root / "steps" / "aa" / "aa1"
    if fault == "file":
        (folder / "rows").write_bytes(b"y" * 10)
    elif fault == "meta":
        (folder / "meta.json").write_text((folder / "meta.json").read_text().replace("train", "tram"))
    elif fault == "missing":
        (folder / "rows").unlink()
    elif fault == "no meta":
        (folder / "meta.json").unlink()
    else:
        (folder / "meta.json").write_text((folder.parent / "aa2" / "meta.json").read_text())
    assert upkeep.verify(store) == (2, ["aa1"], [])
    assert folder.is_dir()
    assert upkeep.verify(store, repairs=True) == (2, ["aa1"], ["aa1"])
    assert not folder.exists()
    assert upkeep.verify(store) == (1, [], [])


def test_a_step_that_was_sound_a_moment_ago_is_hashed_again(store: Store) -> None:
    put(store, "aa1", 10)
    assert store.get("aa1") is not None
    (store.root / "steps" / "aa" / "aa1" / "rows").write_bytes(b"y" * 10)
    assert store.is_damaged("aa1")
    assert upkeep.verify(store)[1] == ["aa1"]
