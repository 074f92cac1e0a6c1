"""What benchmarks say of their figures; that they run is seen where they are run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    """Return a script of the folder as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_recshield_is_there(path: Path) -> None:
    """Also where a script needs another tool's library, or is run by hand only."""
    taken = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    for node in taken:
        module = node.module or ""
        if module.split(".")[0].startswith("recshield"):
            found = importlib.import_module(module)
            missing = [a.name for a in node.names if not hasattr(found, a.name) and not submodule(module, a.name)]
            assert not missing, f"{path.name}, line {node.lineno}: {module} has no {', '.join(missing)}"


def submodule(package: str, name: str) -> bool:
    """Whether a package holds a module of this name."""
    found = importlib.import_module(package)
    return hasattr(found, "__path__") and importlib.util.find_spec(f"{package}.{name}") is not None


def test_ratios_are_held_against_the_committed_ones(tmp_path: Path) -> None:
    guard = script("guard")
    (tmp_path / "now.json").write_text(json.dumps({"ratios": {"a": 2.0, "b": 1.2, "new": 3.0, "c": 0.5}}))
    before = {"ratios": {"a": {"ratio": 1.0, "wanted": "at most 2"}, "b": 1.0, "gone": 1.0, "c": 1.0}}
    (tmp_path / "before.json").write_text(json.dumps(before))
    lines = guard.drifts(guard.ratios(tmp_path / "now.json"), guard.ratios(tmp_path / "before.json"))
    said = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert said["a"].endswith("drift")
    assert said["b"].endswith("tie")
    assert said["c"].endswith("drift"), "faster by a factor of two is no tie either"
    assert (said["new"], said["gone"]) == ("only now", "only committed")


def test_the_committed_ratios_can_be_read() -> None:
    guard = script("guard")
    assert set(guard.ratios(guard.COMMITTED)) >= {"APR epoch / BPR epoch", "full ranking / bare product"}


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3])
def test_an_exponent_is_that_of_the_law_behind_the_figures(power: float) -> None:
    scaling = script("scaling")
    sizes = [1000, 2000, 4000, 8000]
    assert scaling.exponent(sizes, list(3.0 * np.array(sizes) ** power)) == pytest.approx(power)


def test_one_small_point_is_measured_within_its_bound_of_time_and_says_its_memory() -> None:
    scaling = script("scaling")
    found = scaling.in_process(scaling.Point(users=200, items=100, rows=4000, dims=4, batch=64), 1, 1)
    assert set(found) == {"train_s", "attack_s", "train_peak", "attack_peak"}
    assert found["attack_peak"] >= found["train_peak"] > 2**20
    assert found["attack_s"] > 0


def test_the_bound_of_memory_is_the_stated_one() -> None:
    scaling = script("scaling")
    point = scaling.Point(users=10, items=20, rows=1000, dims=8)
    assert scaling.bound(point) == 4 * (4 * 8 * 30) + 32 * 1000 + 700_000_000
