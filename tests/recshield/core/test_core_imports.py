"""Importing costs nothing: no heavy library loads before it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import recshield
from recshield import core

HEAVY = ("torch", "numba", "pandas", "scipy", "numpy", "pyarrow")


def loaded(module: str, home: Path) -> set[str]:
    """Return the heavy libraries that a fresh interpreter holds after importing a module; it must write nothing."""
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    environment = {**os.environ, "HOME": str(home), "RECSHIELD_CACHE": str(home / "cache")}
    done = subprocess.run([sys.executable, "-B", "-c", code], env=environment, cwd=home, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(home.iterdir()) == []
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["recshield", "recshield.cli", "recshield.core", "recshield.core.registry"])
def test_importing_loads_nothing_heavy_and_writes_nothing(module, tmp_path):
    assert loaded(module, tmp_path) == set()


def test_the_compiler_and_the_table_library_load_on_use_only(tmp_path):
    assert loaded("recshield.evaluation.ranking", tmp_path) & {"numba", "pandas"} == set()


@pytest.mark.parametrize("name", core.__all__)
def test_every_public_name_of_the_core_loads_on_use(name):
    assert getattr(core, name) is not None


@pytest.mark.parametrize("module", [recshield, core])
def test_a_name_that_is_not_there_is_an_attribute_error(module):
    with pytest.raises(AttributeError) as caught:
        module.no_such_name  # noqa: B018
    assert str(caught.value) == f"module '{module.__name__}' has no attribute 'no_such_name'"
