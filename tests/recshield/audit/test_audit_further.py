"""Checks that look closer, on cells that a full audit adds, on rivals, on the pipeline and on seeds: planted faults."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from torch import Generator, Tensor

import recshield
from recshield.audit import RUN, reached
from recshield.core.interfaces import Access, Attack, Defense, Recommender, Victim
from recshield.core.norms import steepest
from recshield.core.surfaces import CLEAN, Budget, Delta, View
from recshield.run import MatrixRun, prepare

SHORT = ("mf.epochs=60", "mf.dims=16", "advreg.epochs=20")
QUICK = ("mf.epochs=5", "mf.dims=8")
WHITE = Access.DATA | Access.GRADIENTS
Plant = Callable[[str, type], None]


def run(attacks: str, models: str = "mf", budget: str = "l2:1", **changes: object) -> MatrixRun:
    return recshield.run_matrix(
        models, attacks, budget=budget, **{"dataset": "synthetic", "overrides": SHORT, **changes}
    )  # type: ignore[arg-type]


def found(made: MatrixRun, check: str, attack: str, system: str = "mf", **facts: object) -> pd.Series:
    """Return the one finding of a check on a cell."""
    cells = made.steps[(made.steps["system"] == system) & (made.steps["attack"] == attack) & ~made.steps["is_control"]]
    for key, value in facts.items():
        cells = cells[cells[key] == value]
    rows = made.verdicts[made.verdicts["cell"].isin(cells["cell"]) & (made.verdicts["check"] == check)]
    assert len(rows) == 1, f"{check} on {attack}: {len(rows)} findings"
    return rows.iloc[0]


def judged_again(made: MatrixRun) -> MatrixRun:
    """Judge a run whose tables were changed, with nothing kept from before."""
    held = made.results
    fresh = MatrixRun(
        type(held)(held.table, held.per_user, held.steps, held.timings, held.metrics, held.curves, held.perturbations),
        made.verdicts,
        made.manifest,
    )
    fresh.audit()
    return fresh


def with_facts(made: MatrixRun, attack: str, **facts: object) -> MatrixRun:
    """Change facts of one attack's cells and judge again."""
    changed = copy.copy(made)
    changed.results = copy.copy(made.results)
    changed.results.steps = made.steps.copy()
    rows = (changed.steps["attack"] == attack) & ~changed.steps["is_control"]
    for key, value in facts.items():
        changed.results.steps.loc[rows, key] = value
    return judged_again(changed)


def with_values(made: MatrixRun, cell: str, change: Callable[[np.ndarray], np.ndarray]) -> MatrixRun:
    """Change the users' values of one cell and judge again."""
    changed = copy.copy(made)
    changed.results = copy.copy(made.results)
    held = made.per_user.copy()
    rows, metric = held["cell"] == cell, made.results.metrics[0]
    held.loc[rows, metric] = change(held.loc[rows, metric].to_numpy())
    changed.results.per_user = held
    return judged_again(changed)


def fgm(victim: Victim, eps: float, norm: str) -> dict[str, Tensor]:
    _, gradient = victim._ascend(victim.zeros(), "")  # type: ignore[attr-defined] # whatever the access
    return {one.name: eps * steepest(gradient[one.name], one, norm) for one in victim.surfaces}


@dataclass(frozen=True)
class Capped(Attack):
    """Never spends more than a little."""

    steps: int = 2
    name = "capped"
    access = WHITE

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        victim.ascend(victim.zeros())
        return fgm(victim, min(budget.eps, 0.5), budget.norm)


@dataclass(frozen=True)
class Slow(Attack):
    """Needs four times the steps it takes."""

    steps: int = 10
    name = "slow"
    access = WHITE

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        victim.ascend(victim.zeros())
        return fgm(victim, budget.eps * min(1.0, self.steps / 40), budget.norm)


@dataclass(frozen=True)
class Timid(Attack):
    """Sees the gradients, and makes little of them."""

    name = "timid"
    access = WHITE

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        victim.ascend(victim.zeros())
        return fgm(victim, 0.1 * budget.eps, budget.norm)


@dataclass(frozen=True)
class Query(Attack):
    """Sees scores alone, it says."""

    share: float = 1.0
    name = "query"
    access = Access.DATA | Access.SCORES

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        return fgm(victim, self.share * budget.eps, budget.norm)


@dataclass(frozen=True)
class Bypassed(Defense):
    """Scores otherwise than its loss says."""

    name = "bypassed"

    def serve(self, model: Recommender) -> Recommender:
        held, inner = copy.deepcopy(model), model.score

        def score(users: Tensor, view: View = CLEAN) -> Tensor:
            scores = inner(users, view)
            return scores - 0.5 * scores.mean(dim=0)

        held.score = score  # type: ignore[method-assign]
        return held


@pytest.fixture(scope="module")
def sound() -> MatrixRun:
    """Return a run with what a full audit asks for."""
    return run("fgsm,pgd,auto", models="mf,amf", budget="l2:0.5", audit="full")


def test_a_full_audit_of_sound_attacks_runs_every_check_and_raises_no_alarm(sound: MatrixRun) -> None:
    numbers = {6, 8, 11, 12, 13, 15, 17, 19}
    held = sound.verdicts[sound.verdicts["number"].isin(numbers)]
    assert set(held["number"]) == numbers
    wrong = held[held["verdict"] != "pass"]
    assert wrong.empty, wrong[["check", "sentence"]].to_string()
    power = sound.verdicts[sound.verdicts["check"] == "POWER"]
    assert power[power["cell"] != RUN]["verdict"].eq("pass").all()


def test_a_quick_audit_leaves_slower_checks_not_run_and_no_cell_unproven_for_it() -> None:
    made = run("pgd")
    for check in ("SATURATE", "CONVERGED"):
        finding = found(made, check, "pgd")
        assert finding["verdict"] == "not run"
        assert finding["sentence"].endswith("is missing; --audit full adds it")
    assert "was not looked at (--audit full)" in found(made, "ZERO-GRAD", "pgd")["sentence"]
    assert made.table.query("attack == 'pgd' and not is_control")["verdict"].eq("pass").all()


def test_a_full_audit_plans_the_cells_as_controls_like_any_other() -> None:
    asked = {"models": ["mf"], "attacks": ["pgd:restarts=3"], "budget": ["l2:0.5"]}
    quick, full = (prepare(**asked, audit=depth).plan for depth in ("quick", "full"))  # type: ignore[arg-type]
    added = {str(cell).removesuffix(", seed 0") for cell in full.cells} - {
        str(cell).removesuffix(", seed 0") for cell in quick.cells
    }
    assert added == {
        "mf under pgd:restarts=3 at l2:1000%",
        "mf under pgd:restarts=3,steps=20 at l2:0.5",
        "mf under pgd:restarts=6 at l2:0.5",
        "mf under pgd:restarts=3,loss=linear at l2:0.5",
        "mf under pgd:restarts=3,loss=margin at l2:0.5",
    }
    assert all(cell.is_control for cell in full.cells if str(cell).removesuffix(", seed 0") in added)
    assert set(quick.steps) <= set(full.steps)


def test_cells_that_were_asked_for_serve_a_check_without_a_full_audit() -> None:
    made = run("pgd,pgd:steps=20")
    assert found(made, "CONVERGED", "pgd")["verdict"] in ("pass", "warn", "fail")
    assert found(made, "CONVERGED", "pgd:steps=20")["verdict"] == "not run"


def test_an_attack_that_stays_weak_whatever_it_may_spend_fails(plant: Plant) -> None:
    plant("attack", Capped)
    finding = found(run("capped", audit="full"), "SATURATE", "capped")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].startswith("the attack stays weak whatever it may spend: ")
    figures = json.loads(finding["figures"])
    assert figures["chance"] < 0.1 * figures["clean"] < figures["left"]


def test_an_attack_that_needs_more_steps_than_it_takes_fails(plant: Plant) -> None:
    plant("attack", Slow)
    finding = found(run("slow", budget="l2:2", audit="full"), "CONVERGED", "slow")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].startswith("not converged: ")


def test_a_query_attack_that_beats_the_gradients_fails_the_white_box_cell(plant: Plant) -> None:
    plant("attack", Timid)
    plant("attack", Query)
    made = run("timid,query")
    finding = found(made, "BLACK<=WHITE", "timid")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].startswith("the white-box figure overstates robustness: ")
    assert made.verdicts[made.verdicts["check"] == "BLACK<=WHITE"]["cell"].nunique() == 1, "it is none of the query's"
    beside = run("fgsm,query:share=0.5")
    assert found(beside, "BLACK<=WHITE", "fgsm")["verdict"] == "pass"


def test_dead_rows_and_an_attack_without_any_gradient_fail(sound: MatrixRun) -> None:
    made = with_facts(sound, "fgsm", zero_gradients=0.02)
    assert found(made, "ZERO-GRAD", "fgsm")["sentence"].startswith(
        "2 % of the rows that the goal reads have no gradient"
    )
    assert found(made, "ZERO-GRAD", "fgsm")["verdict"] == "fail"
    silent = with_facts(sound, "fgsm", zero_gradients=np.nan)
    assert found(silent, "ZERO-GRAD", "fgsm")["sentence"].startswith("the attack never asked for a gradient")
    assert found(with_facts(sound, "fgsm", zero_gradients=0.009), "ZERO-GRAD", "fgsm")["verdict"] == "pass"


def test_a_loss_that_is_flat_where_it_matters_starves_the_gradient() -> None:
    """At a large eps most triplets are lost already: the logistic loss no longer tells them apart, the linear does."""
    finding = found(run("fgsm", budget="l2:2", audit="full"), "ZERO-GRAD", "fgsm")
    assert finding["verdict"] == "fail"
    assert "the gradient is starved: " in finding["sentence"]


def test_a_gradient_that_goes_around_the_defense_is_transfer_only(plant: Plant) -> None:
    plant("defense", Bypassed)
    made = run("fgsm", models="mf,mf+bypassed")
    finding = found(made, "ADAPTIVE", "fgsm", "mf+bypassed")
    assert finding["verdict"] == "warn"
    assert finding["sentence"].startswith("transfer only: the gradient goes around the defense, the loss is ")
    assert not len(made.verdicts[(made.verdicts["check"] == "ADAPTIVE") & (made.verdicts["cell"] != finding["cell"])])


def test_a_model_whose_loss_is_none_of_its_scores_raises_no_alarm(sound: MatrixRun) -> None:
    other = with_facts(sound, "fgsm", path_loss=0.9, path_score=0.5)
    finding = found(other, "ADAPTIVE", "fgsm", "amf")
    assert finding["verdict"] == "not run"
    assert "the model's loss is not one of its scores without a defense" in finding["sentence"]


def test_a_surrogate_s_gradient_is_labelled_transfer_only(sound: MatrixRun) -> None:
    finding = found(with_facts(sound, "fgsm", other_systems="puresvd"), "ADAPTIVE", "fgsm", "amf")
    assert (finding["verdict"], finding["sentence"]) == ("warn", "transfer only: the gradient is that of puresvd")


def test_an_ensemble_whose_figure_is_not_its_members_worst_fails(sound: MatrixRun) -> None:
    cell = found(sound, "WORST-CASE", "auto")["cell"]
    made = with_values(sound, cell, lambda held: held + 0.01)
    assert found(made, "WORST-CASE", "auto")["verdict"] == "fail"
    assert found(sound, "WORST-CASE", "auto")["verdict"] == "pass"


def test_a_single_attack_that_beats_the_ensemble_is_told(sound: MatrixRun) -> None:
    cell = found(sound, "WORST-CASE", "pgd")["cell"]
    finding = found(with_values(sound, cell, np.zeros_like), "WORST-CASE", "auto")
    assert finding["verdict"] == "warn"
    assert finding["sentence"].startswith("pgd alone takes more than the ensemble: ")


def test_an_attack_that_spends_more_than_the_row_is_no_rival_of_the_ensemble(sound: MatrixRun) -> None:
    cell = found(sound, "WORST-CASE", "pgd", "mf")["cell"]
    stronger = with_values(sound, cell, np.zeros_like)
    overspent = with_facts(stronger, "pgd", measured_norm=2.0)
    assert found(overspent, "WORST-CASE", "auto")["verdict"] == "pass"


def test_the_worst_case_stands_beside_the_strongest_single_attack(sound: MatrixRun) -> None:
    figures = json.loads(found(sound, "WORST-CASE", "fgsm")["figures"])
    assert figures["worst_case"] < figures["strongest"] < 0


def test_a_defense_that_meets_only_the_attack_it_trained_on_is_warned_of() -> None:
    alone = found(
        run("fgsm", models="amf", controls="none", overrides=(*QUICK, "advreg.epochs=2")), "HELD-OUT", "fgsm", "amf"
    )
    assert alone["verdict"] == "warn"
    assert alone["sentence"].startswith("every attack is of the kind that the defense trained on (one gradient step on")
    both = run("fgsm,pgd", models="amf", controls="none", overrides=(*QUICK, "advreg.epochs=2"))
    assert found(both, "HELD-OUT", "fgsm", "amf")["verdict"] == "pass"
    linf = run("fgsm", models="amf", budget="linf:0.1", controls="none", overrides=(*QUICK, "advreg.epochs=2"))
    assert found(linf, "HELD-OUT", "fgsm", "amf")["verdict"] == "pass", "another norm is another attack"


def test_a_parameter_attack_without_its_label_fails(sound: MatrixRun) -> None:
    changed = copy.copy(sound)
    changed.results = copy.copy(sound.results)
    changed.results.table = sound.table.assign(labels="")
    assert found(judged_again(changed), "REALISABLE", "fgsm")["verdict"] == "fail"
    assert found(sound, "REALISABLE", "fgsm")["sentence"] == "labelled: parameters: not realisable from outside"


@pytest.mark.parametrize(("left", "verdict"), [(0.0, "pass"), (0.3, "warn"), (0.6, "fail"), (None, "not run")])
def test_pixels_that_vanish_when_saved_fail(sound: MatrixRun, left: float | None, verdict: str) -> None:
    """`left`: the share of the effect that the saved 8-bit image loses."""
    facts: dict[str, object] = {"surface": "item_images"}
    if left is not None:
        clean = float(sound.table.query("system == 'mf' and attack == 'none' and metric == 'ndcg'")["clean"].iloc[0])
        facts |= {"float_value": 0.5 * clean, "bits_value": 0.5 * clean * (1 + left)}
    assert found(with_facts(sound, "fgsm", **facts), "REALISABLE", "fgsm")["verdict"] == verdict


def test_few_seeds_are_said_once_of_the_run_and_of_no_cell() -> None:
    made = run("noise,fgsm", overrides=QUICK, controls="none")
    rows = made.verdicts[made.verdicts["check"] == "POWER"]
    assert rows[rows["cell"] == RUN]["verdict"].tolist() == ["warn"]
    assert rows[rows["cell"] == RUN]["sentence"].iloc[0].startswith("1 seed, where a claim needs 5")
    assert rows[rows["cell"] != RUN]["verdict"].eq("pass").all()


def test_five_seeds_that_agree_pass_and_a_flip_between_them_is_flagged() -> None:
    made = run("noise", overrides=QUICK, controls="none", budget="l2:0.5", seeds=range(5))
    whole = made.verdicts[made.verdicts["cell"] == RUN].iloc[0]
    cells = made.steps.query("attack == 'noise'").set_index("seed")["cell"]
    raised = made
    for seed in (0, 1, 2):
        raised = with_values(raised, cells[seed], lambda held: held + 0.2)
    finding = found(raised, "POWER", "noise", seed=3)
    assert finding["verdict"] == "warn"
    assert finding["sentence"].startswith("against clean it flips between seeds: higher in seeds 0 1 2, ")
    assert (whole["verdict"], whole["sentence"]) == ("pass", "5 seeds")


def test_an_audit_verdict_that_differs_between_seeds_is_told_of_the_run() -> None:
    made = run("fgsm", overrides=QUICK, controls="none", seeds=[0, 1])
    steps = made.steps.copy()
    steps.loc[(steps["attack"] == "fgsm") & (steps["seed"] == 1), "zero_gradients"] = 0.5
    made.results.steps = steps
    whole = judged_again(made).verdicts.query("cell == ''").iloc[0]
    assert whole["verdict"] == "warn"
    assert (
        "the verdict of 1 of 1 figures flips between them (mf under fgsm at l2 1: fail and unproven)"
        in whole["sentence"]
    )


def test_a_gate_is_reached_from_its_level_on() -> None:
    rows = [
        ("a", "pass", False),
        ("b", "warn", False),
        ("c", "not run", True),
        ("d", "fail", False),
        (RUN, "warn", False),
    ]
    verdicts = pd.DataFrame(rows, columns=["cell", "verdict", "is_required"])
    assert reached(verdicts, "warn") == ["b", "c", "d", RUN]
    assert reached(verdicts, "unproven") == ["c", "d"]
    assert reached(verdicts, "fail") == ["d"]
