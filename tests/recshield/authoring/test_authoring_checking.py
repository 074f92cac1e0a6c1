"""`recshield plugin check`: what it finds by package, entry point and name, what it prints, and its exit code."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest
from rich.console import Console

from recshield.authoring import checking, records, showing
from recshield.cli import main
from recshield.core.errors import PluginFailed, UnknownName, UnknownOption
from recshield.core.interfaces import Access, Attack, Defense, System
from recshield.core.norms import steepest
from recshield.core.registry import Source, registry
from recshield.testing import CheckOutcome


@dataclass(frozen=True)
class Halved(Attack):
    """One step of steepest ascent.

    Attributes:
        factor: of the budget.

    Source: own.
    """

    factor: float = 1.0

    name = "halved"
    access = Access.GRADIENTS

    def perturb(self, victim, budget, rng):
        _, gradient = victim.ascend(victim.zeros())
        size = self.factor * budget.eps
        return {one.name: size * steepest(gradient[one.name], one, budget.norm) for one in victim.surfaces}


@dataclass(frozen=True)
class Twice(Halved):
    """Twice the budget.

    Source: own.
    """

    factor: float = 2.0

    name = "twice"


@dataclass(frozen=True)
class Likened(Defense):
    """Serve the model as it is; names another system.

    Attributes:
        like: another system.

    Source: own.
    """

    like: System

    name = "likened"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Return a function that runs a command: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recshield", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        shown = capsys.readouterr()
        return left.value.code or 0, shown.out, " ".join(shown.err.split())

    return call


def labels(what: str) -> list[str]:
    return [one.label for one in checking.find(what)]


def test_an_entry_point_stands_for_its_module_and_everything_in_it():
    assert labels("neighbours") == ["module recshield_neighbours", "recommender itemknn", "recommender userknn"]


def test_a_distribution_stands_for_all_of_its_entry_points():
    found = labels("recshield")
    assert {"module recshield_factor", "module recshield.audit.plugin", "attack pgd", "recommender mf"} <= set(found)
    assert len(set(found)) == len(found)
    assert not any("preset" in one for one in found)


def test_a_name_an_alias_and_a_specification_stand_for_one_plugin():
    assert labels("pgd") == labels("pgd") == ["attack pgd"]
    assert labels("fgsm") == ["attack fgm"]
    assert labels("pgd:steps=3") == ["attack pgd:steps=3"]
    assert labels("ITER>=SINGLE") == ["check ITER>=SINGLE"]


def test_an_unknown_name_is_one_sentence():
    with pytest.raises(UnknownName) as caught:
        checking.find("recsheild")
    assert str(caught.value) == (
        "no plugin 'recsheild'; did you mean 'recshield'? `recshield plugin check` takes an installed package, an entry "
        "point or a plugin's name; see `recshield plugins`"
    )


def test_a_plugin_that_could_not_be_loaded_says_why(monkeypatch):
    monkeypatch.setitem(registry().failed, "ill", "recshield_ill: ModuleNotFoundError: No module named 'tensorflow'")
    monkeypatch.setitem(registry().owners, "ill", "recshield-ill")
    for what in ("ill", "recshield-ill"):
        with pytest.raises(
            PluginFailed, match="plugin 'ill' could not be loaded, so it cannot be checked: recshield_ill"
        ):
            checking.find(what)


def test_a_plugin_that_offers_nothing_says_so(monkeypatch):
    monkeypatch.setitem(registry().empty, "bare", Source("bare", "recshield_bare", "recshield-bare", "1.0"))
    for what in ("bare", "recshield-bare"):
        with pytest.raises(PluginFailed, match="offers nothing; put @hookimpl above each hook in recshield_bare"):
            checking.find(what)


def test_options_reach_what_is_checked_and_a_wrong_one_is_an_error(plant):
    plant("attack", Halved)
    (subject,) = checking.find("halved:factor=2")
    failed = [one.name for one in checking.run(subject).outcomes if not one.passed]
    assert failed == ["norm_stays_within_eps", "norm_stays_within_eps_on_larger_tables"]
    (subject,) = checking.find("halved:faktor=2")
    with pytest.raises(UnknownOption, match="attack 'halved' has no option 'faktor'; did you mean 'factor'"):
        checking.run(subject)
    (subject,) = checking.find("hr:k=2")
    with pytest.raises(UnknownOption, match="metric 'hr' has no option 'k'"):
        checking.run(subject)


def test_a_field_that_names_a_system_is_given_one(plant):
    plant("defense", Likened)
    (subject,) = checking.find("likened")
    outcomes = {one.name: one for one in checking.run(subject).outcomes}
    assert outcomes["serve_leaves_the_model_alone"].passed
    assert outcomes["options_reprint"].passed


def test_the_command_prints_every_check_and_leaves_with_1_where_one_fails(command, plant):
    plant("attack", Halved)
    plant("attack", Twice)
    code, shown, _ = command("plugin", "check", "halved")
    assert code == 0, shown
    n_checks = len(checking.CHECKS["attack"])
    skipped = shown.count(" skip ")
    assert f"attack halved: {n_checks - skipped} pass, 0 fail, {skipped} skip" in shown
    code, shown, _ = command("plugin", "check", "twice")
    assert code == 1
    assert "norm_stays_within_eps" in shown
    assert "the budget is" in shown
    assert f"attack twice: {n_checks - 2 - skipped} pass, 2 fail, {skipped} skip" in shown


def test_json_holds_the_same(command, plant):
    plant("attack", Twice)
    code, shown, _ = command("plugin", "check", "twice", "--json")
    assert code == 1
    (row,) = json.loads(shown)
    assert (row["kind"], row["name"], row["passed"], row["source"]) == ("attack", "twice", False, "tests 0")
    outcomes = {one["name"]: one["outcome"] for one in row["checks"]}
    assert [name for name, word in outcomes.items() if word == "fail"] == [
        "norm_stays_within_eps",
        "norm_stays_within_eps_on_larger_tables",
    ]
    assert len(outcomes) == len(checking.CHECKS["attack"])


def test_an_unknown_plugin_leaves_with_2(command):
    code, shown, said = command("plugin", "check", "qqqq")
    assert (code, shown) == (2, "")
    assert said.startswith("error: no plugin 'qqqq'; `recshield plugin check` takes")


def test_a_record_counts_for_the_sources_it_was_made_with(monkeypatch, plant):
    assert records.recorded("metric", "hr", "recshield_gradient") is None
    records.note("metric", "hr", "recshield_gradient", 3, 4, 2)
    assert records.recorded("metric", "hr", "recshield_gradient") == records.Record(3, 4, 2)
    assert records.recorded("metric", "hr", "recshield_factor") is None
    monkeypatch.setattr(records, "code_hash", lambda modules: "another source")
    assert records.recorded("metric", "hr", "recshield_gradient") is None


def test_verbose_plugins_show_options_docs_source_and_conformance(command):
    (subject,) = checking.find("hr")
    records.note("metric", "hr", subject.source.module, 13, 13, 2)
    code, shown, _ = command("plugins", "--verbose")
    assert code == 0
    blocks = {block.split("\n")[0]: block for block in shown.split("\n\n")}
    pgd = blocks["attack pgd"]
    for words in ("recshield_attacks", "recshield_gradient", "gradient", "recshield 0.1.0", "steps", "10", "source "):
        assert words in pgd, words
    assert "not checked yet; `recshield plugin check pgd`" in pgd
    assert "13 of 13 checks passed, 2 do not apply" in blocks["metric hr"]
    assert "higher is better" in blocks["metric hr"]
    mf = blocks["model mf"]
    assert "epochs" in mf
    assert "factors" in mf


def test_what_a_plugin_says_of_itself_is_printed_without_control_characters():
    subject = checking.Subject("attack", "bad", registry().sources["attack", "pgd"])
    console = Console(width=200, force_terminal=False)
    with console.capture() as held:
        console.print(showing._table(subject, [CheckOutcome("one", False, "\x1b[31mred[bold]")]))
    assert "\x1b" not in held.get()
    assert "[bold]" in held.get()
