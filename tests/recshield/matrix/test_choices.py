"""Choices and sweeps in systems, attacks, presets and --set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from recshield.core.errors import BadSpec, BadValue, RecshieldError
from recshield.core.interfaces import Defense
from recshield.matrix.plan import Plan
from recshield.matrix.systems import Part, read_overrides, resolve_attack, resolve_system, variants
from recshield.run import prepare


def plan(models: list[str], attacks: tuple[str, ...] = (), **changes: object) -> Plan:
    return prepare(models=models, attacks=attacks, **changes).plan  # type: ignore[arg-type]


def options(part: Part, *keys: str) -> list[tuple[object, ...]]:
    return [tuple(one.option(key) for key in keys) for one in part.choices]


def labels(made: Plan, kind: str) -> list[str]:
    return [step.label for step in made.steps.values() if step.kind == kind]


def test_choices_are_crossed_in_the_order_in_which_they_are_written() -> None:
    advreg = resolve_system("mf+advreg:eps=0.1|0.5,weight=1|2", {}).defenses[0]
    assert options(advreg, "eps", "weight") == [(0.1, 1.0), (0.1, 2.0), (0.5, 1.0), (0.5, 2.0)]
    assert (advreg.option("eps"), advreg.option("weight")) == (0.1, 1.0), "where one is needed, the first"
    assert [one.target for one in advreg.choices] == ["factors"] * 4
    assert resolve_system("mf+advreg:eps=0.5", {}).defenses[0].choices == ()


def test_typed_choices_win_over_set_and_set_over_a_preset() -> None:
    held = read_overrides(("advreg.eps=3|4", "advreg.weight=7", "mf.dims=8"))
    assert options(resolve_system("amf", held).defenses[0], "eps", "weight") == [(3.0, 7.0), (4.0, 7.0)]
    assert options(resolve_system("amf:eps=1|2", held).defenses[0], "eps", "weight") == [(1.0, 7.0), (2.0, 7.0)]
    assert resolve_system("amf:eps=9", held).defenses[0].choices == ()
    assert options(resolve_system("amf:eps=1|2", {}).defenses[0], "eps", "epochs") == [(1.0, 200), (2.0, 200)]
    assert resolve_system("amf:eps=1|2", held).model.option("dims") == 8


def test_each_choice_of_set_is_checked() -> None:
    with pytest.raises(BadValue, match=r"model 'mf', option 'epochs': '2\.5' is not a whole number"):
        read_overrides(("mf.epochs=3|2.5",))
    with pytest.raises(BadSpec, match=r"'3\|\|4' has an empty choice; write A\|B\|C"):
        read_overrides(("mf.epochs=3||4",))


@pytest.mark.parametrize(
    ("text", "overrides"),
    [("pgd:steps=5|10", ()), ("pgd", ("pgd.steps=5|10",))],
)
def test_the_options_of_an_attack_are_swept_and_not_chosen(text: str, overrides: tuple[str, ...]) -> None:
    with pytest.raises(BadSpec) as caught:
        resolve_attack(text, read_overrides(overrides))
    assert str(caught.value) == f"'{text}': an attack's options are not chosen; write A:B:C to sweep over them"


def test_set_does_not_reach_the_members_of_an_ensemble() -> None:
    """An ensemble without parameters means the same in every run."""
    held = read_overrides(("apgd.steps=1", "apgd.loss=top", "noise.draw=7"))
    assert resolve_attack("auto", held) == resolve_attack("auto", {})
    assert [part.text for part in resolve_attack("auto", held).members] == [
        "fgm", "fgm:loss=top", "apgd", "apgd:loss=top", "noise", "noise:draw=1", "noise:draw=2",
    ]  # fmt: skip


@dataclass(frozen=True)
class Rounding(Defense):
    """A third party's defense that serves and does not train."""

    digits: int = 3

    name = "rounding"


def test_options_that_do_not_train_cannot_be_chosen(plant: Callable[[str, type], None]) -> None:
    plant("defense", Rounding)
    with pytest.raises(BadSpec) as caught:
        resolve_system("mf+rounding:digits=2|3", {})
    assert str(caught.value) == (
        "'mf+rounding:digits=2|3': defense 'rounding' does not train, so nothing can choose its options"
    )


@pytest.mark.parametrize("text", ["mf:epochs=2|4", "mf+advreg:eps=0.1|0.5", "amf:eps=0.1|0.5"])
def test_an_open_choice_without_select_is_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(RecshieldError, match=r"leaves a choice open; --select METRIC says what it is chosen by"):
        plan([text])


def test_a_sweep_makes_as_many_systems_as_it_has_values_and_a_choice_one() -> None:
    swept = plan(["mf:epochs=3+advreg:eps=0.1:0.5:1,epochs=2"])
    assert len(labels(swept, "train")) == 1 + 3
    assert len({cell.system.name for cell in swept.main()}) == 3
    chosen = plan(["mf:epochs=3+advreg:eps=0.1|0.5|1,epochs=2"], select="ndcg@10")
    assert len(chosen.main()) == 1
    assert len(labels(chosen, "select")) == 1 + 3
    assert len(labels(chosen, "train")) == 1 + 1


def test_choices_of_the_model_and_of_its_defense_are_selected_one_after_the_other() -> None:
    made = plan(["mf:dims=4|8+advreg:eps=0.1|0.5|1"], select="ndcg@10")
    selects = [step for step in made.steps.values() if step.kind == "select"]
    first = [step.key for step in selects if not step.spec["bases"]]
    later = [step for step in selects if step.spec["bases"]]
    assert (len(first), len(later)) == (2, 3), "2 + 3 trainings, not 2 x 3"
    assert all(step.spec["bases"] == first for step in later)


def test_swept_attacks_make_one_cell_each() -> None:
    made = plan(["mf"], ("pgd:steps=2:3", "noise:draw=0:1:2"), controls="none")
    assert [cell.attack.text for cell in made.main() if cell.attack] == [
        "pgd:steps=2", "pgd:steps=3", "noise:draw=0", "noise:draw=1", "noise:draw=2",
    ]  # fmt: skip


def test_every_part_without_choices_has_one_variant() -> None:
    system = resolve_system("mf:dims=4|8+continue", {})
    parts = (system.model, *system.defenses)
    assert [made[0].option("dims") for made in variants(parts)] == [4, 8]
    assert all(len(made) == 2 for made in variants(parts))
