"""Each check of metrics, data sets, readers, extractors, executors, audit checks, formats and imports catches its bug."""

from __future__ import annotations

import random
from pathlib import Path

import broken_data
import broken_extractors
import broken_runs
import pytest
import torch

from recshield.testing import CHECKS, run_checks, small_runs
from recshield.testing.kit import name_of

BUGS = broken_data.BUGS | broken_extractors.BUGS | broken_runs.BUGS
ROWS = [(kind, *row) for kind, (_, rows) in BUGS.items() for row in rows]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Return a file of twelve lines that `Lines` reads."""
    path = tmp_path / "some.pairs"
    path.write_text("".join(f"{row // 3} {row % 3}\n" for row in range(12)))
    return path


@pytest.fixture
def same_threads():
    """Put back the number of threads, which one of the broken plugins changes for good."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def _changed_runs():
    """Forget the small run that a broken plugin writes into."""
    yield
    small_runs.small_run.cache_clear()
    small_runs.judged_run.cache_clear()
    small_runs.small_report.cache_clear()


@pytest.mark.usefixtures("same_threads")
@pytest.mark.parametrize(
    ("kind", "broken", "check", "words", "others"), ROWS, ids=[f"{row[0]}-{row[2]}-{row[1].__name__}" for row in ROWS]
)
def test_a_check_catches_its_planted_bug_and_what_else_fires_is_known(
    kind, broken, check, words, others, sample, request
):
    if broken.__name__ in ("WritesTheVerdict", "Renames"):
        request.getfixturevalue("_changed_runs")
    outcomes = {one.name: one for one in run_checks(kind, broken, sample if kind == "reader" else None)}
    assert not outcomes[check].passed
    assert words in outcomes[check].message
    assert {name for name, one in outcomes.items() if not one.passed} == {check, *others}


@pytest.mark.parametrize("kind", BUGS)
def test_a_sound_plugin_passes_every_check(kind, sample):
    outcomes = run_checks(kind, BUGS[kind][0], sample if kind == "reader" else None)
    assert [one for one in outcomes if not one.passed] == []


@pytest.mark.parametrize("kind", BUGS)
def test_every_check_has_a_planted_bug(kind):
    assert {row[1] for row in BUGS[kind][1]} == {name_of(check) for check in CHECKS[kind]}


MODULES = {
    "opens .*mine.txt for writing": "open('mine.txt', 'w').write('x')",
    "calls os.mkdir on mine": "import os; os.mkdir('mine')",
    "calls subprocess.Popen": "import subprocess; subprocess.run(['true'])",
    "changes torch's generator": "import torch; torch.manual_seed(1)",
    "changes numpy's generator": "import numpy; numpy.random.seed(1)",
    "changes random's generator": "import random; random.seed(1)",
    "changes torch's default dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "changes the environment": "import os; os.environ['MINE'] = '1'",
    "prints 'hello": "print('hello')",
}


def test_an_import_that_does_work_is_named_with_what_it_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("busy_plugin.py").write_text("\n".join(random.Random(0).sample(list(MODULES.values()), len(MODULES))))
    (found,) = run_checks("module", "busy_plugin")
    assert not found.passed
    assert found.message.startswith("importing 'busy_plugin' ")
    assert found.message.endswith("move that into the function that needs it")
    for words in ("for writing", "calls os.mkdir on mine", "calls subprocess.Popen"):
        assert words in found.message


@pytest.mark.parametrize("words", ["changes torch's generator", "prints 'hello"])
def test_work_of_one_kind_is_seen_alone(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("busy_plugin.py").write_text(MODULES[words])
    (found,) = run_checks("module", "busy_plugin")
    assert words in found.message


def test_a_module_that_is_not_there_is_named(tmp_path):
    (found,) = run_checks("module", "no_such_plugin")
    assert (
        found.message
        == "module 'no_such_plugin' cannot be imported on its own: ModuleNotFoundError: No module named 'no_such_plugin'"
    )
