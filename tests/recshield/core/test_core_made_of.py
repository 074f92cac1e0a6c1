"""What a compiled function is made of is told apart, and told the same in every process."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recshield.core.compiled import kernel
from recshield.core.made_of import parts_of
from recshield.core.settings import CACHE_VARIABLE

#: way -> (the outer module's imports, its expression, the inner module), 1 in the inner module being what is changed.
WAYS = {
    "constant": ("from made_inner import FACTOR", "x * FACTOR", "FACTOR = 1"),
    "constant of a module": ("import made_inner", "x * made_inner.FACTOR", "FACTOR = 1"),
    "tuple": ("from made_inner import PAIR", "x * PAIR[0]", "PAIR = (1, 2)"),
    "array": (
        "from made_inner import TABLE",
        "x * TABLE[0]",
        "import numpy as np\nTABLE = np.array([1, 2], np.int64)",
    ),
    "enumeration": (
        "from made_inner import Kind",
        "x * Kind.A.value",
        "import enum\nclass Kind(enum.IntEnum):\n    A = 1",
    ),
    "compiled": (
        "from made_inner import step",
        "step(x)",
        "import numba\n@numba.njit\ndef step(x):\n    return x * 1",
    ),
    "compiled, of a module": (
        "import made_inner",
        "made_inner.step(x)",
        "import numba\n@numba.njit\ndef step(x):\n    return x * 1",
    ),
    "constant of what is compiled": (
        "from made_inner import step",
        "step(x)",
        "import numba\nF = 1\n@numba.njit\ndef step(x):\n    return x * F",
    ),
    "closure": (
        "from made_inner import step",
        "step(x)",
        "import numba\n@numba.njit\ndef first(x):\n    return x * 1\n"
        "def make():\n    inner = first\n    return numba.njit(lambda x: inner(x))\nstep = make()",
    ),
    "plain": (
        "from made_inner import step",
        "step(x)",
        "from numba.extending import register_jitable\n@register_jitable\ndef step(x):\n    return x * 1",
    ),
    "intrinsic": (
        "from made_inner import one",
        "x * one()",
        "from numba import types\nfrom numba.extending import intrinsic\n@intrinsic\ndef one(typing):\n"
        "    def made(context, builder, signature, arguments):\n"
        "        return context.get_constant(types.int64, 1)\n    return types.int64(), made",
    ),
    "inner function": (
        "",
        "inner(x)",
        "",
    ),
}
OUTER = """
import numba
from recshield.core.compiled import kernel
{imports}

@kernel(reorder=False)
def outer(x):
    inner = lambda x: x * 1
    return {call}
"""


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Callable[[int], int]]:
    """Return a function that writes both modules, loads them afresh and returns the kernel."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(way: str, value: int) -> Callable[[int], int]:
        imports, call, inner = WAYS[way]
        outer = OUTER.format(imports=imports, call=call)
        if way == "inner function":
            outer = outer.replace("x * 1", f"x * {value}")
        (tmp_path / "made_inner.py").write_text(inner.replace("1", str(value), 1))
        (tmp_path / "made_outer.py").write_text(outer)
        for name in ("made_outer", "made_inner"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("made_outer").outer

    return load


def told(function: Callable[[int], int]) -> bytes:
    return b"".join(parts_of(function.__wrapped__))  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", WAYS)
def test_a_change_in_what_is_compiled_in_is_told(way, loaded):
    first, again = told(loaded(way, 1)), told(loaded(way, 1))
    assert first == again
    assert told(loaded(way, 3)) != first


@pytest.mark.parametrize("way", ["constant of a module", "closure", "plain", "intrinsic", "array"])
def test_a_kernel_computes_with_what_it_was_loaded_with(way, loaded):
    assert [loaded(way, value)(10) for value in (1, 3, 1)] == [10, 30, 10]


def test_what_a_kernel_does_not_name_is_no_part_of_it(loaded, tmp_path):
    before = told(loaded("constant", 1))
    outer = (tmp_path / "made_outer.py").read_text()
    for more in ("START = 1.5", "START = 2.5", "def other(x):\n    return START"):
        (tmp_path / "made_outer.py").write_text(outer + more + "\n")
        sys.modules.pop("made_outer")
        importlib.invalidate_caches()
        assert told(importlib.import_module("made_outer").outer) == before


def test_what_is_told_is_what_was_loaded_and_not_what_lies_on_the_disk_since(loaded, tmp_path):
    function = loaded("compiled", 1)
    before = told(function)
    inner = tmp_path / "made_inner.py"
    inner.write_text(inner.read_text().replace("x * 1", "x * 3"))
    assert told(function) == before
    assert function(10) == 10, "the old code, cached as the old code"
    assert loaded("compiled", 3)(10) == 30


def test_own_kernels_are_told_the_same_in_every_process():
    program = (
        "import hashlib\nfrom recshield.core.made_of import parts_of\nfrom recshield.training import draws, kernels\n"
        "def one_of(word):\n    return word in {'alpha', 'beta', 'gamma', 'delta'}\n"
        "for one in (kernels._epoch.__wrapped__, draws._draw_negatives.__wrapped__, one_of):\n"
        "    print(hashlib.sha256(b''.join(parts_of(one))).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(found) == 1
    assert len(set(found.pop().split())) == 3


def test_the_passes_of_an_epoch_are_parts_of_its_kernel(monkeypatch):
    from recshield.training import kernels, passes

    before = told(kernels._epoch)
    for name, value in (("_LINE", 8), ("STEP", np.uint64(1)), ("near", passes.scale)):
        with monkeypatch.context() as changed:
            changed.setattr(passes, name, value)
            assert told(kernels._epoch) != before
    assert told(kernels._epoch) == before


SOURCE = "from recshield.core.compiled import kernel\n@kernel(reorder=False)\ndef twice(x):\n    return 2 * x\n"


def test_kernels_without_a_file_are_compiled_and_not_cached(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    for names in ({"__name__": "made_nowhere"}, {"__name__": "made_nowhere", "__file__": "/no/such/file.py"}):
        exec(compile(SOURCE, names.get("__file__", "<cell>"), "exec"), names)
        assert names["twice"](21) == 42
    assert not list((tmp_path / "cache").rglob("*.nbc"))


def test_kernels_of_a_zip_file_work(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with zipfile.ZipFile(tmp_path / "held.zip", "w") as held:
        held.writestr("made_zipped.py", SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path / "held.zip"))
    assert importlib.import_module("made_zipped").twice(21) == 42
    sys.modules.pop("made_zipped")


def test_what_a_kernel_does_not_name_is_not_looked_at(tmp_path, monkeypatch):
    class Unbound:
        @property
        def __class__(self):
            raise RuntimeError("not bound to anything")

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))

    @kernel(reorder=False)
    def twice(x):
        return 2 * x

    twice.__wrapped__.__globals__["x_unbound"] = Unbound()
    try:
        assert twice(21) == 42
    finally:
        del twice.__wrapped__.__globals__["x_unbound"]
