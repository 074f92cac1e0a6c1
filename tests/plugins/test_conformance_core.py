"""What recshield itself brings of the other kinds passes the kit: metrics, data sets, readers, checks, formats."""

from __future__ import annotations

import pytest

from recshield.core.registry import registry
from recshield.testing import CHECKS, run_checks

KINDS = ("metric", "dataset", "reader", "executor", "check", "report")
PLUGINS = [(kind, name) for kind in KINDS for name in registry().names(kind)]


def test_every_kind_has_plugins_of_our_own():
    assert {kind for kind, _ in PLUGINS} == set(KINDS)


@pytest.mark.parametrize(("kind", "name"), PLUGINS, ids=[f"{kind}-{name}" for kind, name in PLUGINS])
def test_a_plugin_of_our_own_passes_the_kit(kind, name):
    outcomes = run_checks(kind, registry().get(kind, name))
    assert [one for one in outcomes if not one.passed] == []
    assert len(outcomes) == len(CHECKS[kind])
    assert any(one.applies for one in outcomes)
