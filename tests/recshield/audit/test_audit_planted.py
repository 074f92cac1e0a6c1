"""Every check sees the fault that it is there for, and a sound cell raises no alarm."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Generator

import recshield
from recshield.audit import RUN
from recshield.core.interfaces import Access, Attack, Defense, Recommender, Victim
from recshield.core.norms import steepest
from recshield.core.surfaces import Budget, Delta
from recshield.run import MatrixRun

SHORT = ("mf.epochs=60", "mf.dims=16", "advreg.epochs=20", "continue.epochs=20")
ANY = Access.DATA | Access.GRADIENTS
Plant = Callable[[str, type], None]


def run(attacks: str, models: str = "mf", budget: str = "l2:1", **changes: object) -> MatrixRun:
    return recshield.run_matrix(models, attacks, dataset="synthetic", budget=budget, overrides=SHORT, **changes)  # type: ignore[arg-type]


def found(made: MatrixRun, check: str, attack: str, system: str = "mf") -> pd.Series:
    """Return the one finding of a check on a cell."""
    cells = made.steps[(made.steps["system"] == system) & (made.steps["attack"] == attack) & ~made.steps["is_control"]]
    rows = made.verdicts[made.verdicts["cell"].isin(cells["cell"]) & (made.verdicts["check"] == check)]
    assert len(rows) == 1, f"{check} on {attack}: {len(rows)} findings"
    return rows.iloc[0]


def verdict(made: MatrixRun, attack: str, system: str = "mf") -> str:
    rows = made.table[(made.table["system"] == system) & (made.table["attack"] == attack) & ~made.table["is_control"]]
    return str(rows["verdict"].iloc[0])


def fgm(victim: Victim, budget: Budget, factor: float) -> Delta:
    """Return the fast gradient step, scaled."""
    _, gradient = victim.ascend(victim.zeros())
    return {one.name: factor * budget.eps * steepest(gradient[one.name], one, budget.norm) for one in victim.surfaces}


@dataclass(frozen=True)
class Leaky(Attack):
    name = "leaky"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        victim._model.user.data.add_(0.1)  # type: ignore[attr-defined] # the fault
        return fgm(victim, budget, 1.0)


@dataclass(frozen=True)
class Greedy(Attack):
    name = "greedy"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        return fgm(victim, budget, 3.0)


@dataclass(frozen=True)
class Unprojected(Attack):
    name = "unprojected"
    access = ANY
    projected = False

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        return fgm(victim, Budget(budget.norm, max(budget.eps, 0.5)), 3.0)


@dataclass(frozen=True)
class Broken(Attack):
    name = "broken"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        delta = {name: held.clone() for name, held in fgm(victim, budget, 1.0).items()}
        delta["factors.user"][3, 2] = torch.nan
        return delta


@dataclass(frozen=True)
class WrongSign(Attack):
    name = "wrong-sign"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        return fgm(victim, budget, -1.0)


@dataclass(frozen=True)
class Nothing(Attack):
    name = "nothing"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        victim.ascend(victim.zeros())
        return victim.zeros()


@dataclass(frozen=True)
class Little(Attack):
    name = "little"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        return fgm(victim, budget, 0.01)


@dataclass(frozen=True)
class Lazy(Attack):
    """Says it takes ten steps, and takes a small one."""

    steps: int = 10
    name = "lazy"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        return fgm(victim, budget, 0.1)


@dataclass(frozen=True)
class Shy(Attack):
    """Does less the more it may."""

    name = "shy"
    access = ANY

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        return fgm(victim, Budget(budget.norm, 1.0 if budget.eps < 1 else 0.05), min(budget.eps, 0.9))


@dataclass(frozen=True)
class OnlyScale(Defense):
    name = "only-scale"

    def serve(self, model: Recommender) -> Recommender:
        scaled = copy.deepcopy(model)
        with torch.no_grad():
            for surface in scaled.surfaces:
                scaled.values(surface.name).mul_(2.5)
        return scaled


@dataclass(frozen=True)
class Costly(Defense):
    name = "costly"

    def serve(self, model: Recommender) -> Recommender:
        noisy = copy.deepcopy(model)
        with torch.no_grad():
            held = noisy.values("factors.item")
            held.add_(0.6 * torch.randn(held.shape, generator=torch.Generator().manual_seed(0)))
        return noisy


def test_a_sound_attack_on_an_undefended_model_raises_no_alarm() -> None:
    made = run("noise,fgsm,pgd", budget="l2:0.5,1,2")
    held = made.verdicts[made.verdicts["cell"] != RUN]  # of the run it is said that one seed is few
    wrong = held[~held["verdict"].isin(["pass", "not run"])]
    assert wrong.empty, wrong[["check", "sentence"]].to_string()
    assert set(made.table[made.table["attack"] != "none"].query("~is_control")["verdict"]) == {"pass"}
    changes = made.table.query("metric == 'ndcg' and eps_text == '1' and not is_control").set_index("attack")
    assert changes["relative_change"]["fgsm"] < 2 * changes["relative_change"]["noise"] < 0


def test_an_attack_that_writes_into_the_model_fails_and_its_figures_are_those_of_the_clean_model(plant: Plant) -> None:
    plant("attack", Leaky)
    made = run("leaky,fgsm")
    finding = found(made, "EPS0", "leaky")
    assert finding["verdict"] == "fail"
    assert finding["sentence"] == "the attack changed the model itself; a perturbation must only be returned"
    assert found(made, "EPS0", "fgsm")["verdict"] == "pass"
    assert (
        made.table.query("attack == 'leaky'")["clean"].tolist()
        == made.table.query("attack == 'fgsm'")["clean"].tolist()
    )


def test_overspending_fails_although_the_figures_use_the_projected_perturbation(plant: Plant) -> None:
    plant("attack", Greedy)
    made = run("greedy,fgsm")
    finding = found(made, "BUDGET", "greedy")
    assert (finding["verdict"], finding["sentence"]) == ("fail", "the attack returned a norm of 3 for eps 1 (3.00 x)")
    assert verdict(made, "greedy") == "fail"
    row = made.steps.query("attack == 'greedy' and not is_control").iloc[0]
    assert row["raw_norm"] == pytest.approx(3, rel=1e-4)
    assert row["measured_norm"] == pytest.approx(1, rel=1e-4)


def test_a_variant_that_must_not_be_projected_is_labelled_and_not_comparable(plant: Plant) -> None:
    plant("attack", Unprojected)
    made = run("unprojected")
    finding = found(made, "EQUAL-BUDGET", "unprojected")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].startswith("spent 3.00 x the budget of its row")
    assert "not projected" in made.table.query("attack == 'unprojected'")["labels"].iloc[0]
    assert found(made, "EPS0", "unprojected")["sentence"] == "at eps 0 the scores differ from the clean ones"


def test_nan_in_a_perturbation_fails(plant: Plant) -> None:
    plant("attack", Broken)
    finding = found(run("broken"), "BUDGET", "broken")
    assert finding["verdict"] == "fail"
    assert finding["sentence"] == "the attack returned 1 values that are not finite or of the wrong shape"


def test_a_wrong_sign_lowers_the_loss_it_should_raise(plant: Plant) -> None:
    plant("attack", WrongSign)
    made = run("wrong-sign", models="mf,amf", budget="l2:0.2")
    finding = found(made, "NOISE", "wrong-sign")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].startswith("the attacked loss goes from ")
    assert finding["sentence"].endswith("the sign, the gradient or the goal is wrong")
    control = found(made, "CONTROL", "wrong-sign", "amf")
    assert control["verdict"] == "warn"
    assert control["sentence"].startswith(
        "the attack's effect on the undefended model is within chance over 1200 users"
    )


def test_an_attack_that_helps_the_undefended_model_fails(plant: Plant) -> None:
    plant("attack", WrongSign)
    made = run("wrong-sign", models="amf", goal="degrade:oracle")
    control = found(made, "CONTROL", "wrong-sign", "amf")
    assert control["verdict"] == "fail"
    assert control["sentence"].startswith("the attack helps the undefended model: ")


def test_an_attack_that_adds_nothing_or_little_is_weaker_than_noise(plant: Plant) -> None:
    plant("attack", Nothing)
    plant("attack", Little)
    made = run("nothing,little", budget="l2:2")
    assert found(made, "NOISE", "nothing")["verdict"] == "fail"
    finding = found(made, "NOISE", "little")
    assert (finding["verdict"], finding["sentence"][:17]) == ("fail", "weaker than noise")
    underspent = found(made, "EQUAL-BUDGET", "nothing")
    assert underspent["verdict"] == "warn"
    assert underspent["sentence"].startswith("spent only 0 % of its row's eps")


def test_many_steps_that_are_weaker_than_one_fail(plant: Plant) -> None:
    plant("attack", Lazy)
    finding = found(run("lazy,fgsm"), "ITER>=SINGLE", "lazy")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].endswith("the multi-step attack is the weaker one")


def test_an_effect_that_shrinks_as_eps_grows_fails(plant: Plant) -> None:
    plant("attack", Shy)
    made = run("shy", budget="l2:0.9,2")
    rows = made.verdicts.query("check == 'MONOTONE' and verdict == 'fail'")
    assert len(rows) == 1
    assert rows["sentence"].iloc[0].startswith("the effect shrinks as eps grows")


def test_a_defense_that_only_scales_the_embeddings_fails_whatever_its_gain(plant: Plant) -> None:
    plant("defense", OnlyScale)
    made = run("fgsm,pgd", models="mf,mf+only-scale")
    changes = made.table.query("metric == 'ndcg' and attack == 'fgsm' and not is_control").set_index("system")
    gained = changes["relative_change"]["mf+only-scale"] - changes["relative_change"]["mf"]
    assert gained > 0.05, "it must look robust for the check to have something to see"
    for attack in ("fgsm", "pgd"):
        finding = found(made, "SCALE", attack, "mf+only-scale")
        assert finding["verdict"] == "fail"
        assert finding["sentence"].startswith("the whole gain is scale")
    assert verdict(made, "fgsm", "mf+only-scale") == "fail"


def test_a_defense_that_costs_accuracy_is_told_with_both_figures(plant: Plant) -> None:
    plant("defense", Costly)
    finding = found(run("fgsm", models="mf+costly"), "CLEAN-COST", "fgsm", "mf+costly")
    assert finding["verdict"] == "warn"
    assert "before" in finding["sentence"]
    assert "after (-" in finding["sentence"]


def edited(made: MatrixRun, folder: Path, attack: str, **facts: object) -> MatrixRun:
    """Save a run, change facts of one attack's cells in its files, and judge what is loaded again."""
    made.steps.loc[(made.steps["attack"] == attack) & ~made.steps["is_control"], list(facts)] = list(facts.values())
    made.save(folder)
    loaded = MatrixRun.load(folder)
    loaded.audit()
    return loaded


def test_a_system_selected_on_test_rows_fails(tmp_path: Path) -> None:
    made = edited(run("fgsm"), tmp_path / "run", "fgsm", selection="best epoch on test rows")
    finding = found(made, "LEAKAGE", "fgsm")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].startswith("the model was selected by 'best epoch on test rows'")


def test_cells_with_different_populations_fail(tmp_path: Path) -> None:
    made = edited(run("fgsm,noise"), tmp_path / "run", "fgsm", population="0123")
    assert found(made, "SAME POPULATION", "fgsm")["verdict"] == "fail"
    assert "not comparable" in found(made, "SAME POPULATION", "noise")["sentence"]


def test_a_threat_model_with_a_gap_fails(tmp_path: Path) -> None:
    finding = found(edited(run("fgsm"), tmp_path / "run", "fgsm", access=""), "THREAT", "fgsm")
    assert (finding["verdict"], finding["sentence"]) == ("fail", "the threat model does not state access")


def test_a_stored_perturbation_that_was_changed_fails(tmp_path: Path) -> None:
    made = run("fgsm", out=tmp_path / "run")
    cell = made.steps.query("attack == 'fgsm' and not is_control")["cell"].iloc[0]
    path = tmp_path / "run" / "perturbations" / f"{cell}.safetensors"
    save_file({name: held * 1.5 for name, held in load_file(path).items()}, path)
    loaded = MatrixRun.load(tmp_path / "run")
    loaded.audit()
    finding = found(loaded, "BUDGET", "fgsm")
    assert (finding["verdict"], finding["sentence"]) == (
        "fail",
        "the stored perturbation has norm 1.5, the figures used 1",
    )


def test_without_controls_a_cell_is_unproven_and_says_what_to_add() -> None:
    made = run("fgsm", models="amf", controls="none")
    assert verdict(made, "fgsm", "amf") == "unproven"
    sentences = made.verdicts.query("verdict == 'not run' and is_required").set_index("check")["sentence"]
    assert set(sentences.index) == {"EPS0", "ITER>=SINGLE", "NOISE", "CLEAN-COST", "CONTROL", "SCALE"}
    assert sentences["NOISE"].startswith("not run: random noise at the same budget is missing; add it")


def test_cells_that_were_asked_for_serve_as_controls_too() -> None:
    made = run("noise,fgsm,pgd", budget="l2:0,1", controls="none")
    assert set(made.table.query("eps_text == '1'")["verdict"]) == {"pass"}


def test_an_oracle_is_labelled_and_not_failed() -> None:
    made = run("fgsm", goal=["degrade", "degrade:oracle"])
    rows = made.verdicts.query("check == 'LEAKAGE'")
    assert rows["verdict"].tolist() == ["pass", "pass"]
    assert sum(text.startswith("labelled: the attack uses the test pairs") for text in rows["sentence"]) == 1
    assert made.table.query("goal == 'degrade:oracle'")["labels"].str.contains("oracle").all()


def test_a_saved_run_is_judged_alike_from_its_files(tmp_path: Path) -> None:
    made = run("noise,fgsm,pgd", models="mf,amf", out=tmp_path / "run")
    loaded = MatrixRun.load(tmp_path / "run")
    before = loaded.verdicts.copy()
    loaded.audit()
    pd.testing.assert_frame_equal(loaded.verdicts, before)
    pd.testing.assert_frame_equal(loaded.table, made.table)
