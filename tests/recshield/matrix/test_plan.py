"""Planning: shared steps, controls, skips, budgets, keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from torch import Generator

from recshield.core.errors import BadSpec, RecshieldError
from recshield.core.interfaces import Defense
from recshield.data.interactions import Dataset
from recshield.matrix.budgets import BudgetRequest, Eps, sizes_for
from recshield.matrix.plan import Plan
from recshield.matrix.systems import continued_rescaled_like, resolve_attack, resolve_system
from recshield.run import prepare


def plan(models: list[str], attacks: list[str], **changes: object) -> Plan:
    return prepare(models=models, attacks=attacks, **changes).plan  # type: ignore[arg-type]


def kinds(made: Plan, kind: str) -> list[str]:
    return [step.label for step in made.steps.values() if step.kind == kind]


def test_systems_share_their_undefended_train_step() -> None:
    made = plan(["mf", "amf", "mf+continue", "mf+rescaled:like=amf"], [])
    assert len(kinds(made, "train")) == 3, "mf, advreg and continue; rescaled trains nothing"
    assert len(kinds(made, "data")) == 1


def test_a_preset_and_what_it_stands_for_are_one_system() -> None:
    made = plan(["amf", "mf+advreg:eps=0.5,weight=1,epochs=200", "mf+advreg"], [])
    assert [cell.system.name for cell in made.main()] == ["amf"]


def test_controls_are_added_once_and_marked() -> None:
    made = plan(["amf"], ["fgsm"], budget=["l2:0.5"])
    main = [str(cell) for cell in made.main()]
    assert main == ["amf, clean, seed 0", "amf under fgsm at l2:0.5, seed 0"]
    controls = {str(cell).removesuffix(", seed 0") for cell in made.cells if cell.is_control}
    assert controls == {
        "amf under fgsm at l2:0",
        "amf under noise at l2:0.5",
        "amf under pgd at l2:0.5",
        "mf, clean",
        "mf under fgsm at l2:0.5",
        "mf under fgsm at l2:0.5like(amf)",
        "mf+rescaled:like=(amf), clean",
        "mf+rescaled:like=(amf) under fgsm at l2:0.5",
    }
    assert not [cell for cell in plan(["amf"], ["fgsm"], controls="none").cells if cell.is_control]


def test_a_control_that_was_asked_for_is_no_control() -> None:
    made = plan(["mf", "amf"], ["noise", "fgsm", "pgd"])
    controls = {str(cell).removesuffix(", seed 0") for cell in made.cells if cell.is_control}
    assert "amf under noise at l2:0.5" not in controls
    assert "mf, clean" not in controls


def test_clean_and_eps_0_cells_are_hashed_and_others_are_not() -> None:
    made = plan(["mf"], ["fgsm"], budget=["l2:0.5"])
    hashed = {str(cell): made.steps[made.steps_of[cell.id].measure].spec["hash"] for cell in made.cells}
    assert hashed["mf, clean, seed 0"]
    assert hashed["mf under fgsm at l2:0, seed 0"]
    assert not hashed["mf under fgsm at l2:0.5, seed 0"]


def test_parents_stand_before_their_children() -> None:
    made = plan(["mf", "amf", "mf+rescaled:like=amf"], ["noise", "pgd"], seeds=[0, 1])
    seen: set[str] = set()
    for step in made.steps.values():
        assert set(step.parents) <= seen
        seen.add(step.key)


@pytest.mark.parametrize(
    "change",
    [{"seeds": [1]}, {"data_seed": 1}, {"threads": 2}, {"overrides": ["mf.epochs=7"]}, {"filters": ["ratings>=1"]}],
)
def test_keys_change_with_what_they_hang_on(change: dict[str, object]) -> None:
    one, other = plan(["mf"], ["fgsm"]), plan(["mf"], ["fgsm"], **change)
    assert not {step.key for step in one.steps.values() if step.kind != "data"} & set(other.steps)


def test_metrics_and_controls_do_not_change_keys() -> None:
    one, other = plan(["mf"], ["fgsm"]), plan(["mf"], ["fgsm"], metrics=["auc"], controls="none")
    assert set(other.steps) < set(one.steps)


def test_keys_do_not_depend_on_where_the_files_lie(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("one", "two"):
        (tmp_path / name / "set").mkdir(parents=True)
        (tmp_path / name / "set" / "u.data").write_text("1\t2\t3\t4\n1\t3\t3\t5\n")
    one, two = (plan(["mf"], [], dataset=str(tmp_path / name / "set")) for name in ("one", "two"))
    assert set(one.steps) == set(two.steps)
    (tmp_path / "two" / "set" / "u.data").write_text("1\t2\t3\t4\n1\t4\t3\t5\n")
    assert set(plan(["mf"], [], dataset=str(tmp_path / "two" / "set")).steps) != set(one.steps)


def test_impossible_combinations_are_skipped_with_their_reason() -> None:
    made = plan(["popular", "mf", "popular+advreg"], ["fgsm", "fgsm@sequence"])
    reasons = {(skip.system, skip.attack): skip.reason for skip in made.skips}
    assert reasons["popular", "fgsm"] == "model 'popular' has no surface that can be touched"
    assert reasons["mf", "fgsm@sequence"] == "model 'mf' has no surface 'sequence'; it has: factors.user, factors.item"
    assert reasons["popular+advreg", ""].startswith("defense 'advreg' needs a surface and model 'popular' has not any")


def test_budgets_for_a_surface_win_over_those_for_all() -> None:
    requests = [BudgetRequest.parse(text) for text in ("l2:0.5,1", "factors.user=linf:4/255")]
    assert sizes_for(requests, "factors") == [("l2", Eps(0.5)), ("l2", Eps(1.0))], "a part says nothing of the whole"
    assert sizes_for([BudgetRequest.parse("factors=l2:3")], "factors.item") == [("l2", Eps(3.0))]
    assert sizes_for(requests[1:], "factors.item") == []
    assert sizes_for(requests, "factors.item") == [("l2", Eps(0.5)), ("l2", Eps(1.0))]
    assert sizes_for(requests, "factors.user") == [("linf", Eps(4 / 255))]


def test_sizes_are_raw_percent_or_like_another_system() -> None:
    held = BudgetRequest.parse("l2:0.5,10%,0.5like(mf+advreg:eps=1,weight=1)").sizes
    assert [str(size) for size in held] == ["0.5", "10%", "0.5like(mf+advreg:eps=1,weight=1)"]
    assert held[0].resolve(4.0, None) == 0.5
    assert held[1].resolve(4.0, None) == pytest.approx(0.4)
    assert held[2].resolve(4.0, 2.0) == pytest.approx(1.0), "0.5 of 2 is a quarter, a quarter of 4 is 1"


@pytest.mark.parametrize("text", ["", "l2", "l2:", "l2:x", "l2:-1", "l2:inf", "factors=:1"])
def test_unreadable_budgets_are_refused(text: str) -> None:
    with pytest.raises(RecshieldError):
        BudgetRequest.parse(text)


def test_typed_options_win_over_set_which_wins_over_a_preset() -> None:
    overrides = {"advreg": {"epochs": "7", "eps": "2"}}
    assert resolve_system("amf", overrides).defenses[0].option("epochs") == 7
    assert resolve_system("amf:epochs=9", overrides).defenses[0].option("epochs") == 9
    assert resolve_system("mf+advreg:epochs=9", overrides).defenses[0].option("eps") == 2
    assert resolve_system("amf", {}).defenses[0].option("epochs") == 200


def test_set_reaches_the_source_of_an_attack_and_the_control_of_a_defense() -> None:
    overrides = {"vbpr-amr": {"epochs": "7", "dims": "8"}, "advreg": {"epochs": "3"}}
    attack = resolve_attack("fgsm:stage=fit,source=(vbpr-amr:dims=4)", overrides)
    assert attack.source is not None
    assert attack.source.model == resolve_system("vbpr-amr:dims=4,epochs=7", {}).model
    defended = resolve_system("amr", overrides)
    control = continued_rescaled_like(defended)
    assert control is not None
    assert control.model == defended.model == resolve_system("vbpr-amr:dims=8,epochs=7", {}).model
    assert [part.name for part in control.defenses] == ["continue", "rescaled"]
    assert control.defenses[0].option("epochs") == 3


def test_defenses_are_put_behind_every_model_beside_the_model_alone() -> None:
    made = plan(["mf", "random"], [], defenses=["continue:epochs=3", "advreg"])
    names = [cell.system.name for cell in made.main()]
    assert names == ["mf", "mf+continue:epochs=3", "mf+advreg", "random", "random+continue:epochs=3"]
    with pytest.raises(BadSpec, match="the same defense twice"):
        plan(["amf"], [], defenses=["advreg"])


def test_a_surface_named_for_a_defense_that_changes_no_loss_is_refused() -> None:
    with pytest.raises(
        BadSpec, match=r"defense 'rescaled' changes no loss, so it has no surface.*leave '@factors' away"
    ):
        plan(["mf+rescaled@factors:like=amf"], [])


@dataclass(frozen=True)
class Sieve(Defense):
    """A defense that acts before training only."""

    name = "sieve"

    def prepare(self, data: Dataset, rng: Generator) -> Dataset:
        return data


def test_what_acts_from_the_start_goes_on_acting_in_a_warm_started_part(plant: Callable[[str, type], None]) -> None:
    plant("defense", Sieve)
    made = plan(["mf+sieve+advreg"], [])
    trained = [step.spec for step in made.steps.values() if step.kind == "train"]
    names = [[[part["name"] for part in one] for one in spec["parts"]] for spec in trained]
    # A warm-started part adds itself to what its base says acts from the start.
    assert names == [[["mf"]], [["mf", "sieve"]], [["advreg"]]]
    assert trained[2]["base"] == next(key for key, step in made.steps.items() if step.spec is trained[1])
    with pytest.raises(BadSpec, match="a defense that trains from scratch stands before"):
        plan(["mf+advreg+sieve"], [])


def test_shares_of_the_norm_are_their_own_relative_control() -> None:
    for size in ("10%", "0.5like(amf)"):
        made = plan(["mf+continue"], ["fgsm"], budget=[f"l2:{size}"])
        scale = {role: key for key, roles in made.needs.items() for role in roles if role.startswith("SCALE")}
        assert set(scale) == {"SCALE.relative"}
