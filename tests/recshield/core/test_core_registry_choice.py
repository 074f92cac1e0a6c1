"""Which plugins are loaded: RECSHIELD_PLUGINS, names that two plugins claim, plugins made for another recshield."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from recshield import __version__
from recshield.core import registry as registry_module
from recshield.core.errors import PluginFailed, UnknownName
from recshield.core.registry import PLUGINS_VARIABLE, chosen, load, registry, unmet
from recshield.core.settings import PLUGIN_GROUP

ATTACK = """
from recshield.core.hookspecs import hookimpl
class Mine:
    name, aliases = "{name}", {aliases}
@hookimpl
def recshield_attacks(): return [Mine]
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that installs a distribution with one attack in a folder, and returns its entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, attack: str, requires: str = "", point: str = "", aliases: tuple[str, ...] = ()):
        module = f"stranger_{name.replace('-', '_')}"
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(ATTACK.format(name=attack, aliases=aliases))
        folder = tmp_path / f"{module}-1.5.dist-info"
        folder.mkdir()
        wanted = f"Requires-Dist: {requires}\n" if requires else ""
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n{wanted}")
        (folder / "entry_points.txt").write_text(f"[{PLUGIN_GROUP}]\n{point or name} = {module}\n")
        (dist,) = (one for one in distributions(path=[str(tmp_path)]) if one.name == name)
        (made,) = dist.entry_points
        return made

    return install


def names(points: list[EntryPoint]) -> list[str]:
    return [point.name for point in points]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (None, ["alpha", "beta", "gamma"]),
        ("", ["alpha", "beta", "gamma"]),
        (" , ", ["alpha", "beta", "gamma"]),
        ("alpha", ["alpha"]),
        ("gamma, alpha", ["alpha", "gamma"]),
        ("dist-of-beta", ["beta"]),
    ],
)
def test_exactly_the_named_entry_points_are_kept(installed, monkeypatch, text, kept):
    points = [installed(f"dist-of-{name}", name, point=name) for name in ("alpha", "beta", "gamma")]
    monkeypatch.delenv(PLUGINS_VARIABLE, raising=False)
    if text is not None:
        monkeypatch.setenv(PLUGINS_VARIABLE, text)
    assert names(chosen(points)) == kept


def test_an_unknown_plugin_is_one_sentence_with_a_suggestion(installed, monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, "alpha,betta")
    with pytest.raises(UnknownName) as caught:
        chosen([installed("dist-a", "one", point="alpha"), installed("dist-b", "two", point="beta")])
    assert str(caught.value) == (
        "no plugin 'betta'; did you mean 'beta'? installed: alpha, beta, dist-a, dist-b. RECSHIELD_PLUGINS takes entry "
        "points or distributions, separated by commas"
    )


def test_the_distribution_recshield_stands_for_everything_first_party(monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, "recshield")
    assert "pgd" in registry.__wrapped__().names("attack")
    monkeypatch.setenv(PLUGINS_VARIABLE, "factor")
    found = registry.__wrapped__()
    assert "mf" in found.names("model")
    assert found.names("attack") == []


def test_a_name_that_two_strangers_offer_is_refused_when_asked_for_and_both_are_named(installed):
    found = load([installed("one", "clash"), installed("two", "clash")])
    sentence = (
        "attack 'clash' is offered by both 'one' and 'two'; uninstall one of them, or name those to load in "
        "RECSHIELD_PLUGINS"
    )
    assert found.failed == {"two": f"stranger_two: PluginFailed: {sentence}"}
    with pytest.raises(PluginFailed) as caught:
        found.get("attack", "clash")
    assert str(caught.value) == sentence


def test_an_alias_that_two_strangers_offer_is_refused_and_the_name_behind_it_is_not(installed):
    found = load([installed("one", "first", aliases=("short",)), installed("two", "second", aliases=("short",))])
    with pytest.raises(PluginFailed, match="attack 'short' is offered by both 'one' and 'two'"):
        found.get("attack", "short")
    assert found.get("attack", "first").name == "first"


def test_a_stranger_cannot_take_a_first_party_name_out_of_use(installed, monkeypatch):
    stranger = installed("aaa", "pgd")
    own = list(registry_module.entry_points(group=PLUGIN_GROUP))
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [stranger, *own])
    found = registry.__wrapped__()
    assert found.get("attack", "pgd").__module__.startswith("recshield_gradient")
    assert "attack 'pgd' is offered by both 'gradient' and 'aaa'" in found.failed["aaa"]


def test_two_distributions_with_one_entry_point_are_both_named(installed):
    found = load([installed("dist-a", "one", point="same"), installed("dist-b", "two", point="same")])
    assert found.names("attack") == ["one"]
    assert found.failed == {
        "same of dist-b": "stranger_dist_b: PluginFailed: entry point 'same' is offered by both dist-a and dist-b; "
        "uninstall one of them"
    }


@pytest.mark.parametrize(
    ("requires", "version", "missing"),
    [
        ("recshield>=0.1,<1", "0.1.0", ""),
        ("recshield", "0.1.0", ""),
        ("recshield>=0.2", "0.1.9", "recshield>=0.2"),
        ("recshield>=0.2", "0.2.0.dev1", "recshield>=0.2"),
        ("recshield>=0.2.dev0", "0.2.0.dev1", ""),
        ("RecShield (<0.1)", "0.1.0", "recshield<0.1"),
        ("recshield>=9; python_version < '3'", "0.1.0", ""),
        ("recshield>=9; extra == 'test'", "0.1.0", ""),
        ("recshield-other>=9", "0.1.0", ""),
        ("no requirement at all (", "0.1.0", ""),
    ],
)
def test_what_a_distribution_requires_is_held_against_the_version(requires, version, missing):
    assert unmet(["numpy>=1", requires], version) == missing


def test_a_plugin_made_for_a_newer_recshield_is_refused_before_it_is_imported(installed, tmp_path):
    point = installed("newer", "mine", "recshield>=99")
    (tmp_path / "stranger_newer.py").write_text("raise RuntimeError('imported')")
    found = load([point, installed("sound", "other", "recshield>=0.1")])
    assert found.failed == {
        "newer": "stranger_newer: PluginFailed: newer 1.5 was made for recshield>=99, and this is recshield "
        f"{__version__}; install a version of recshield that it allows, or another version of newer"
    }
    assert found.names("attack") == ["other"]
