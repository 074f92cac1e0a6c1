"""The registry: names, aliases, plugins that fail, and two plugins with one name."""

from __future__ import annotations

import itertools
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from recshield.core import registry as registry_module
from recshield.core.errors import PluginFailed, UnknownName
from recshield.core.registry import Registry, Source, load, registry
from recshield.core.settings import PLUGIN_GROUP

_numbers = itertools.count()
TOYS = """
from recshield.core.hookspecs import hookimpl
class Named:
    def __init_subclass__(cls, name, aliases=()):
        cls.name, cls.aliases = name, aliases
"""
GRADIENT = (
    TOYS
    + """
class Bim(Named, name="bim"): pass
class Fgm(Named, name="fgm", aliases=("fgsm",)): pass
class Pgd(Named, name="pgd"): pass
class Noise(Named, name="noise"): pass
@hookimpl
def recshield_attacks(): return [Bim, Fgm, Pgd, Noise]
@hookimpl
def recshield_presets(): return {"amf": "mf+advreg:eps=0.5"}
"""
)
MODEL = (
    TOYS
    + """
class Mf(Named, name="mf"): pass
@hookimpl
def recshield_recommenders(): return [Mf]
"""
)


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that writes a module and makes an entry point of it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, source: str) -> EntryPoint:
        module = f"toy_plugin_{next(_numbers)}"
        (tmp_path / f"{module}.py").write_text(source)
        return EntryPoint(name, module, PLUGIN_GROUP)

    return make


def offering(**classes: str) -> str:
    """Return the source of a plugin that offers attacks: class name -> keywords of Named."""
    made = "".join(f"class {name}(Named, {keywords}): pass\n" for name, keywords in classes.items())
    return f"{TOYS}{made}@hookimpl\ndef recshield_attacks(): return [{', '.join(classes)}]\n"


def test_a_name_and_its_alias_give_the_same_class(point):
    found = load([point("gradient", GRADIENT)])
    assert found.get("attack", "fgsm") is found.get("attack", "fgm")
    assert found.get("attack", "fgm").name == "fgm"
    assert found.names("attack") == ["bim", "fgm", "fgsm", "noise", "pgd"]
    assert found.failed == {}


def test_an_unknown_name_is_an_error_with_the_nearest_and_all_installed_ones(point):
    with pytest.raises(UnknownName) as caught:
        load([point("gradient", GRADIENT)]).get("attack", "pdg")
    assert str(caught.value) == (
        "no attack 'pdg'; did you mean 'pgd'? installed: bim, fgm, fgsm, noise, pgd. see `recshield plugins`"
    )


def test_an_unknown_name_that_is_near_to_none_gets_no_guess():
    with pytest.raises(UnknownName) as caught:
        Registry().get("attack", "pgd")
    assert str(caught.value) == "no attack 'pgd'; installed: none. see `recshield plugins`"


def test_presets_stand_among_the_models_that_are_suggested(point):
    with pytest.raises(UnknownName) as caught:
        load([point("gradient", GRADIENT), point("factor", MODEL)]).get("model", "anf")
    assert str(caught.value) == "no model 'anf'; did you mean 'amf'? installed: amf, mf. see `recshield plugins`"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise RuntimeError('no driver')", "RuntimeError: no driver"),
        ("def broken(:", "SyntaxError: "),
        (
            TOYS + "@hookimpl\ndef recshield_atacks(): return []",
            "PluginFailed: recshield has no hook recshield_atacks(); did you mean recshield_attacks()?",
        ),
        (TOYS + "@hookimpl\ndef recshield_attacks(): return [object]", "AttributeError: "),
        (
            TOYS + "@hookimpl\ndef recshield_attacks(): return 3",
            "PluginFailed: recshield_attacks() returns 3; it returns a list of classes",
        ),
        (TOYS + "@hookimpl\ndef recshield_attacks(): raise KeyError('x')", "KeyError: 'x'"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_reason_and_the_rest_works(point, source, why):
    broken = point("broken", source)
    found = load([broken, point("gradient", GRADIENT)])
    assert list(found.failed) == ["broken"]
    assert found.failed["broken"].startswith(f"{broken.value}: {why}")
    assert found.get("attack", "pgd").name == "pgd"


def test_a_plugin_that_exits_at_import_does_not_end_recshield(point):
    found = load([point("broken", "import sys; sys.exit(3)"), point("gradient", GRADIENT)])
    assert list(found.failed) == ["broken"]


def test_an_unknown_name_mentions_the_plugins_that_were_not_loaded(point):
    found = load([point("broken", "import no_such_library"), point("gradient", GRADIENT)])
    with pytest.raises(UnknownName) as caught:
        found.get("attack", "deepfool")
    assert str(caught.value).endswith("see `recshield plugins`; not loaded: broken")


@pytest.mark.parametrize(
    ("keywords", "taken"),
    [("name='pgd'", "pgd"), ("name='fgsm'", "fgsm"), ("name='mine', aliases=('pgd',)", "pgd"),
     ("name='mine', aliases=('fgsm',)", "fgsm")],
)  # fmt: skip
def test_of_two_plugins_with_one_name_the_first_stays_and_the_second_fails_whole(point, keywords, taken):
    second = point("second", offering(Other="name='other'", Clash=keywords))
    found = load([point("first", GRADIENT), second])
    assert found.failed == {
        "second": f"{second.value}: PluginFailed: attack '{taken}' is offered by both 'first' and 'second'; "
        "uninstall one of them, or name those to load in RECSHIELD_PLUGINS"
    }
    assert found.names("attack") == ["bim", "fgm", "fgsm", "noise", "pgd"]
    assert found.sources["attack", "pgd"].entry_point == "first"


def test_adding_a_taken_name_raises(point):
    found = load([point("first", GRADIENT)])
    with pytest.raises(PluginFailed, match="attack 'bim' is offered by both 'first' and 'again'"):
        found.add(point("again", offering(Bim="name='bim'")).load(), Source("again", "again", "?", "?"))


def test_two_kinds_may_share_a_name(point):
    model = TOYS + "class Noise(Named, name='noise'): pass\n@hookimpl\ndef recshield_recommenders(): return [Noise]"
    found = load([point("gradient", GRADIENT), point("model", model)])
    assert found.failed == {}
    assert found.get("model", "noise") is not found.get("attack", "noise")


@pytest.mark.parametrize("keywords", ["name='pgd'", "name='mine', aliases=('pgd',)"])
def test_one_plugin_that_offers_a_name_twice_fails(point, keywords):
    assert list(load([point("double", offering(One="name='pgd'", Two=keywords))]).failed) == ["double"]


def preset(name: str) -> str:
    """Return the source of a plugin with one preset."""
    return f"{TOYS}@hookimpl\ndef recshield_presets(): return {{{name!r}: 'other'}}\n"


@pytest.mark.parametrize("name", ["amf", "mf"])
def test_a_preset_that_is_a_preset_or_a_model_already_fails(point, name):
    second = point("second", preset(name))
    found = load([point("first", GRADIENT), point("factor", MODEL), second])
    holder = {"amf": "first", "mf": "factor"}[name]
    why = f"preset '{name}' of 'second' is already a preset or a model of '{holder}'; rename it"
    assert found.failed == {"second": f"{second.value}: PluginFailed: {why}"}
    assert found.presets == {"amf": "mf+advreg:eps=0.5"}


@pytest.mark.parametrize("sources", [(preset("mf"), MODEL), (preset("mf") + MODEL,)], ids=["later", "same"])
def test_a_model_with_the_name_of_a_preset_fails(point, sources):
    points = [point(f"plugin{place}", source) for place, source in enumerate(sources)]
    assert list(load(points).failed) == [points[-1].name]


def test_a_plugin_whose_presets_fail_is_not_half_loaded(point):
    source = offering(Half="name='half'") + "@hookimpl\ndef recshield_presets(): raise RuntimeError('no file')"
    found = load([point("broken", source)])
    assert list(found.failed) == ["broken"]
    assert found.names("attack") == []


def test_a_plugin_without_hooks_offers_nothing_and_does_not_fail(point):
    found = load([point("empty", "")])
    assert (found.failed, found.presets, found.sources) == ({}, {}, {})
    assert list(found.empty) == ["empty"]


def test_presets_and_sources_are_kept(point):
    plugin = point("gradient", GRADIENT)
    found = load([plugin])
    assert found.presets == {"amf": "mf+advreg:eps=0.5"}
    assert found.sources["attack", "fgm"] == Source("gradient", plugin.value, "?", "?")


def test_every_installed_plugin_of_recshield_loads():
    own = {point.name for point in entry_points(group=PLUGIN_GROUP) if point.dist and point.dist.name == "recshield"}
    assert own
    assert own & set(registry().failed) == set()


def test_the_registry_is_loaded_once():
    assert registry() is registry()


def test_a_stranger_that_sorts_first_does_not_displace_a_first_party_name(point, monkeypatch):
    stranger = point("aaa", offering(Pgd="name='pgd'"))
    installed = list(entry_points(group=PLUGIN_GROUP))
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [stranger, *installed])
    found = registry.__wrapped__()
    assert found.get("attack", "pgd").__module__.startswith("recshield_gradient")
    assert "attack 'pgd' is offered by both 'gradient' and 'aaa'" in found.failed["aaa"]
