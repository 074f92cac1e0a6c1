"""docs/plugins.md: its first plugin is short, runs and keeps the kit's guarantees; its table is that of the scaffold."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

import recshield
import recshield.testing
from recshield.authoring.scaffold import KINDS
from recshield.core import registry
from recshield.testing import run_checks

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")


@pytest.fixture
def first_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return the class that the first block of the page offers, as its hook returns it."""
    block = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "page_plugin.py").write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "page_plugin", raising=False)
    (attack,) = importlib.import_module("page_plugin").recshield_attacks()
    return block, attack


def test_the_first_plugin_has_less_than_20_lines_and_opens_the_page(first_plugin):
    assert len(first_plugin[0].splitlines()) < 20
    assert PAGE.index("```python") < PAGE.index("## ")


def test_the_first_plugin_keeps_every_guarantee(first_plugin):
    assert [one for one in run_checks("attack", first_plugin[1]()) if not one.passed] == []


def test_the_first_plugin_runs_in_a_matrix_and_harms(first_plugin, plant):
    plant("attack", first_plugin[1])
    run = recshield.run_matrix("mf", "onestep", dataset="synthetic", budget="l2:0.5", overrides=["mf.epochs=20"])
    figure = run.table.query("attack == 'onestep' and metric == 'ndcg'").iloc[0]
    assert figure["attacked"] < figure["clean"]


def test_the_table_of_kinds_is_that_of_the_scaffold():
    assert re.findall(r"^\| `(\w+)` \| `recshield\.", PAGE, re.MULTILINE) == list(KINDS)


def test_every_base_class_of_the_kit_is_named():
    suites = [name for name in recshield.testing.__all__ if name.endswith("Tests")]
    assert len(suites) == len(KINDS)
    assert all(f"`{name}`" in PAGE for name in suites)


def test_the_variable_is_that_of_the_registry():
    assert registry.PLUGINS_VARIABLE in PAGE
