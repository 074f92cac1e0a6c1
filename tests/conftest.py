"""What every test shares: the folder of real data, and a step store of its own."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from recshield.core.registry import Source, registry
from recshield.core.settings import CACHE_VARIABLE, DATA_VARIABLE

# One thread for what tests compute themselves, as steps have it: on small tensors several spend their time waiting for
# each other (trainings of 0.7 CPU seconds took 32), and the workers of a test run share the cores anyway. Read when
# PyTorch and NumPy are loaded, and inherited by processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Without a GPU, Triton's kernels run in its interpreter, on tensors of the CPU. Read when a kernel is defined.
if not importlib.import_module("torch").cuda.is_available():  # loads PyTorch, so behind what it reads
    os.environ.setdefault("TRITON_INTERPRET", "1")
# How long an example takes says how busy the machine is, and nothing about what is tested.
hypothesis.settings.register_profile(
    "unhurried",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep steps and compiled kernels of a test run apart from the user's."""
    os.environ[CACHE_VARIABLE] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real data sets; skip where the variable is unset."""
    named = os.environ.get(DATA_VARIABLE)
    if not named:
        pytest.skip(f"needs the real data sets; set {DATA_VARIABLE} to their folder")
    folder = Path(named)
    assert folder.is_dir(), f"{DATA_VARIABLE} is {named}, which is no folder"
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See that the marker `real` and the fixture `real_data` go together."""
    for item in items:
        uses = "real_data" in getattr(item, "fixturenames", ())
        if uses != (item.get_closest_marker("real") is not None):
            raise pytest.UsageError(
                f"{item.nodeid}: a test on real data carries the marker `real` and uses `real_data`"
            )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """With CI=true and the data there, a skipped test on real data fails."""
    outcome = yield
    report = outcome.get_result()
    is_ci = os.environ.get("CI") == "true" and os.environ.get(DATA_VARIABLE)
    if report.skipped and is_ci and item.get_closest_marker("real") is not None and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped although CI=true and {DATA_VARIABLE} is set: {report.longrepr}"


@pytest.fixture
def plant() -> Iterator[Callable[[str, type], None]]:
    """Return a function that installs a plugin class for one test: `plant("attack", Broken)`."""
    held, planted = registry(), []

    def install(kind: str, made: type) -> None:
        held.found[kind][made.name] = made
        held.sources[kind, made.name] = Source("planted", made.__module__, "tests", "0")
        planted.append((kind, made.name))

    yield install
    for kind, name in planted:
        del held.found[kind][name]
        del held.sources[kind, name]
