"""Compiled kernels: lazy, once, cached in a folder that is the user's alone."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import stat
import sys
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest

from recshield.core import compiled
from recshield.core.compiled import cache_folder, kernel, private_folder
from recshield.core.settings import CACHE_VARIABLE

SOURCE = """
import numpy as np
from recshield.core.compiled import kernel

@kernel(reorder=True)
def total(values):
    \"\"\"Sum.\"\"\"
    found = 0.0
    for value in values:
        found += value
    return found

@kernel(reorder=True)
def count_nan(values):
    found = 0
    for value in values:
        found += value != value
    return found

def add(values):
    found = np.float32(0.0)
    for place in range(len(values)):
        found += values[place]
    return found
"""
not_windows = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are those of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list:
    """Return the list that every compiled function is added to."""
    made: list = []
    true = compiled._compile

    def counted(function, options):
        made.append(true(function, options))
        return made[-1]

    monkeypatch.setattr(compiled, "_compile", counted)
    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)
    return made


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that imports a file with one kernel, afresh each time, with a cache of the test's own."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "toy_kernels.py").write_text(SOURCE)

    def load():
        spec = importlib.util.spec_from_file_location("toy_kernels", tmp_path / "toy_kernels.py")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    return load


def test_the_cache_folder_is_the_variable_and_else_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name == "recshield"


@not_windows
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_private_folder_is_made_with_mode_0700_under_any_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        assert private_folder(tmp_path / "deep" / "numba")
    finally:
        os.umask(before)
    assert mode(tmp_path / "deep" / "numba") == 0o700


@not_windows
@pytest.mark.parametrize("loose", [0o777, 0o770, 0o722])
def test_a_folder_that_others_could_write_to_is_not_trusted(tmp_path, loose):
    folder = tmp_path / "numba"
    folder.mkdir()
    folder.chmod(loose)
    assert not private_folder(folder)


@not_windows
@pytest.mark.parametrize("loose", [0o755, 0o750])
def test_a_folder_of_ours_that_others_can_enter_is_closed(tmp_path, loose):
    folder = tmp_path / "numba"
    folder.mkdir()
    folder.chmod(loose)
    assert private_folder(folder)
    assert mode(folder) == 0o700


def test_a_private_folder_can_be_asked_for_again(tmp_path):
    assert private_folder(tmp_path / "numba")
    (tmp_path / "numba" / "kept").write_text("x")
    assert private_folder(tmp_path / "numba")
    assert (tmp_path / "numba" / "kept").exists()


@not_windows
def test_a_symlink_is_refused_and_its_goal_left_alone(tmp_path):
    goal = tmp_path / "goal"
    goal.mkdir()
    goal.chmod(0o755)
    (tmp_path / "numba").symlink_to(goal)
    assert not private_folder(tmp_path / "numba")
    assert mode(goal) == 0o755


@not_windows
def test_a_symlink_to_nowhere_is_refused(tmp_path):
    (tmp_path / "numba").symlink_to(tmp_path / "nowhere")
    assert not private_folder(tmp_path / "numba")


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "numba").write_text("x")
    assert not private_folder(tmp_path / "numba")
    assert not private_folder(tmp_path / "numba" / "below")
    assert (tmp_path / "numba").read_text() == "x"


@not_windows
def test_a_folder_of_another_user_is_refused_and_left_alone(tmp_path, monkeypatch):
    folder = tmp_path / "numba"
    folder.mkdir()
    folder.chmod(0o755)
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    assert not private_folder(folder)
    assert mode(folder) == 0o755


def test_a_kernel_compiles_when_it_is_first_called_and_only_then(module, compilations, tmp_path):
    total = module().total
    assert compilations == []
    assert not (tmp_path / "cache").exists()
    assert total(np.array([1.0, 2.0, 3.5])) == 6.5
    assert total(np.array([4.0])) == 4.0
    assert len(compilations) == 1
    assert len(compilations[0].signatures) == 1


def test_a_kernel_is_cached_in_our_folder_and_loaded_from_there(module, compilations, tmp_path):
    assert module().total(np.array([1.0, 2.0])) == 3.0
    cached = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "numba").rglob("*.nb*")}
    assert sorted({path.suffix for path in cached}) == [".nbc", ".nbi"]
    assert module().total(np.array([1.0, 2.0])) == 3.0
    first, second = compilations
    assert sum(first.stats.cache_hits.values()) == 0
    assert sum(second.stats.cache_hits.values()) == 1
    assert {path: path.stat().st_mtime_ns for path in cached} == cached


INNER = """
import numba
from toy_constants import FACTOR

SHIFT = {shift}

@numba.njit
def step(value):
    return value * FACTOR + SHIFT
"""
OUTER = """
from recshield.core.compiled import kernel
{how}

@kernel(reorder=False)
def stepped(value):
    return {call}(value)
"""
WAYS = {"module": ("import toy_inner", "toy_inner.step"), "name": ("from toy_inner import step", "step")}


@pytest.mark.parametrize("way", WAYS)
def test_a_cached_kernel_is_that_of_the_sources_it_was_made_of(way, compilations, tmp_path, monkeypatch):
    """Its own file stays the same, to the second; what is compiled into it changes."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    how, call = WAYS[way]
    (tmp_path / "toy_outer.py").write_text(OUTER.format(how=how, call=call))
    found, hits = [], []
    for factor, shift in ((2, 1), (2, 3), (5, 3), (2, 1)):
        (tmp_path / "toy_constants.py").write_text(f"FACTOR = {factor}\n")
        (tmp_path / "toy_inner.py").write_text(INNER.format(shift=shift))
        for name in ("toy_outer", "toy_inner", "toy_constants"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        found.append(importlib.import_module("toy_outer").stepped(10))
        hits.append(sum(compilations[-1].stats.cache_hits.values()))
    assert found == [21, 23, 53, 21]
    assert hits == [0, 0, 0, 1], "what was compiled from the same sources is loaded"


@not_windows
def test_without_a_private_folder_a_kernel_works_and_caches_nothing(module, compilations, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "numba").symlink_to(tmp_path / "elsewhere")
    assert module().total(np.array([1.0, 2.0])) == 3.0
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert list(tmp_path.rglob("*.nb*")) == []


def test_threads_that_call_a_kernel_at_once_compile_it_once(module, compilations, monkeypatch):
    total, found, counted = module().total, [], compiled._compile

    def slow(function, options):
        time.sleep(0.1)  # long enough for every thread to find the kernel missing
        return counted(function, options)

    monkeypatch.setattr(compiled, "_compile", slow)
    threads = [threading.Thread(target=lambda: found.append(total(np.ones(3)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3.0] * 4
    assert len(compilations) == 1


def test_reordering_keeps_nan_and_infinity_what_they_are(module, compilations):
    total = module().total
    assert math.isnan(total(np.array([1.0, math.nan])))
    assert total(np.array([1.0, math.inf])) == math.inf
    assert math.isnan(total(np.array([-math.inf, math.inf])))
    assert module().count_nan(np.array([math.nan, 1.0, math.nan, math.inf])) == 2


def test_a_kernel_keeps_the_name_and_docstring_of_its_function(module):
    assert module().total.__name__ == "total"
    assert module().total.__doc__ == "Sum."


def in_order(values: np.ndarray) -> np.float32:
    """Return the sum in the order of the source, in single precision."""
    found = np.float32(0.0)
    for value in values:
        found += value
    return found


@pytest.fixture
def rounded() -> np.ndarray:
    """Return numbers whose sum depends on the order they are added in."""
    return np.random.default_rng(0).normal(size=1001).astype(np.float32) * np.float32(1e4)


def test_an_exact_kernel_adds_in_the_order_of_the_source(module, compilations, rounded):
    assert np.float32(kernel(reorder=False)(module().add)(rounded)) == in_order(rounded)


def test_a_cached_kernel_of_other_options_is_not_taken_for_this_one(module, compilations, rounded):
    kernel(reorder=True)(module().add)(rounded)
    assert np.float32(kernel(reorder=False)(module().add)(rounded)) == in_order(rounded)
    # Whether a compiler does reorder is its own affair; that the two never share a folder is ours.
    top = cache_folder() / "numba"
    assert len({path.relative_to(top).parts[0] for path in top.rglob("*.add-*.nbi")}) == 2


def test_the_cache_folder_of_other_libraries_stays_where_it_was(module, compilations):
    before = numba.config.CACHE_DIR
    module().total(np.ones(2))
    assert before == numba.config.CACHE_DIR
