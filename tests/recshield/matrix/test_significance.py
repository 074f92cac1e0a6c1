"""The table of tests, comparisons and effects of a run, on figures that are made up and worked by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recshield.core.errors import BadValue, UnknownName
from recshield.evaluation.stats import paired
from recshield.matrix.comparing import Asked, compare
from recshield.matrix.effects import EFFECT_COLUMNS, effects, metric_changes
from recshield.matrix.results import COLUMNS, Results
from recshield.matrix.significance import TEST_COLUMNS, matrix_tests
from recshield.matrix.user_columns import overlap

N_USERS = 100
Cell = tuple[str, str, str, int]  # system, attack, eps, seed


def made(values: Mapping[Cell, np.ndarray], ranks: Mapping[Cell, np.ndarray] | None = None) -> Results:
    """Return results whose figures are the given values per user; systems are `base` and `base+DEFENSE`."""
    keys = {key: f"{place:012x}" for place, key in enumerate(values)}
    steps, users, table = [], [], []
    for (system, attack, eps, seed), held in values.items():
        cell, clean = keys[system, attack, eps, seed], keys[system, "none", "", seed]
        model, _, defense = system.partition("+")
        facts = {
            "cell": cell, "clean_cell": clean, "dataset": "made up", "system": system, "model": model,
            "defense": defense or "none", "attack": attack, "surface": "factors" if attack != "none" else "",
            "goal": "degrade", "stage": "serve", "norm": "l2" if attack != "none" else "", "eps_text": eps,
            "eps": float(eps or 0), "seed": seed, "fold": 0, "is_control": False, "n_users": len(held),
            "needs": "{}", "members": "[]", "goal_values": "[]", "mean_score": float(held.mean()), "score_spread": 0.5,
        }  # fmt: skip
        steps.append(facts)
        rank = ranks[system, attack, eps, seed] if ranks else np.zeros(len(held))
        frame = pd.DataFrame({"cell": cell, "user": range(len(held)), "rank": rank, "ndcg@10": held})
        frame["activity"] = np.where(np.arange(len(held)) < len(held) // 2, "inactive", "active")
        frame["head_share"] = (np.arange(len(held)) % 2).astype(float)
        users.append(frame.assign(overlap=np.nan))
        before = values[system, "none", "", seed].mean()
        row = dict.fromkeys(COLUMNS, "") | {key: facts[key] for key in COLUMNS if key in facts}
        table.append(
            row | {"metric": "ndcg", "k": 10, "clean": before, "attacked": held.mean(), "change": held.mean() - before}
        )
    return Results(pd.DataFrame(table), pd.concat(users), pd.DataFrame(steps), pd.DataFrame(), ("ndcg@10",))


def lowered(clean: np.ndarray, by: float, noise: float, seed: int) -> np.ndarray:
    """Return values that fall by exactly `by` on average, with differences of standard deviation `noise`."""
    moved = np.random.default_rng(seed).normal(size=len(clean))
    return clean - by + noise * (moved - moved.mean()) / moved.std(ddof=1)


@pytest.fixture
def clean() -> np.ndarray:
    return np.random.default_rng(0).random(N_USERS)


def test_holm_changes_a_verdict_that_a_single_test_would_give(clean: np.ndarray) -> None:
    """One attack with p near 0.02 among five that do nothing: alone it is a finding, among six tests it is none."""
    values = {("base", "none", "", 0): clean}
    for place in range(5):
        values["base", f"idle{place}", "1", 0] = lowered(clean, 0.001, 0.1, place)
    values["base", "weak", "1", 0] = lowered(clean, 0.024, 0.1, 9)
    found = matrix_tests(made(values)).set_index("attack")
    weak = found.loc["weak"]
    assert 0.01 < weak["p_t"] < 0.05
    assert weak["p_holm"] == pytest.approx(6 * weak["p_t"])
    assert weak["p_bh"] == pytest.approx(6 * weak["p_t"])
    assert (weak["verdict_uncorrected"], weak["verdict"], weak["verdict_bh"]) == (
        "lower",
        "no difference",
        "no difference",
    )


def test_benjamini_hochberg_keeps_what_holm_drops(clean: np.ndarray) -> None:
    values = {("base", "none", "", 0): clean}
    for place in range(6):
        values["base", f"weak{place}", "1", 0] = lowered(clean, 0.024, 0.1, place)
    found = matrix_tests(made(values))
    assert set(found["verdict_bh"]) == {"lower"}
    assert set(found["verdict"]) == {"no difference"}


def test_the_pairs_are_attacked_and_clean_defended_and_not_and_systems_clean(clean: np.ndarray) -> None:
    systems = ("base", "base+guard", "other")
    values = {(system, "none", "", 0): clean + place / 10 for place, system in enumerate(systems)}
    values |= {(system, "push", "1", 0): lowered(clean, 0.1, 0.1, place) for place, system in enumerate(systems)}
    found = matrix_tests(made(values))
    assert tuple(found.columns) == TEST_COLUMNS
    assert found[found["kind"] == "attack"]["b"].tolist() == [f"{system} under push at l2 1" for system in systems]
    defended = found[found["kind"] == "defense"]
    assert defended[["a", "b"]].to_numpy().tolist() == [["base under push at l2 1", "base+guard under push at l2 1"]]
    assert found[found["kind"] == "systems"]["a"].tolist() == ["base clean", "base clean", "base+guard clean"]
    assert found[found["kind"] == "systems"]["verdict"].tolist() == ["higher"] * 3


def test_a_row_is_the_paired_test_of_the_users_means_over_seeds(clean: np.ndarray) -> None:
    values = {("base", "none", "", seed): clean for seed in range(3)}
    values |= {("base", "push", "1", seed): lowered(clean, 0.02, 0.2, seed) for seed in range(3)}
    row = matrix_tests(made(values)).iloc[0]
    mean = np.mean([values["base", "push", "1", seed] for seed in range(3)], axis=0)
    assert row["p_t"] == pytest.approx(stats.ttest_rel(mean, clean).pvalue)
    assert row["p_w"] == pytest.approx(stats.wilcoxon(mean, clean).pvalue)
    assert (row["n_seeds"], row["n_users"]) == (3, N_USERS)
    assert row["difference"] == pytest.approx(-0.02)
    assert row["low"] < -0.02 < row["high"]


def test_a_verdict_that_differs_between_seeds_flips(clean: np.ndarray) -> None:
    values = {("base", "none", "", seed): clean for seed in range(2)}
    values |= {("base", "steady", "1", seed): lowered(clean, 0.1, 0.1, seed) for seed in range(2)}
    values |= {("base", "fickle", "1", seed): lowered(clean, 0.1 * seed, 0.1, seed) for seed in range(2)}
    found = matrix_tests(made(values)).set_index("attack")
    assert json.loads(found.loc["fickle", "seed_verdicts"]) == {"0": "no difference", "1": "lower"}
    assert found["flips"].to_dict() == {"steady": False, "fickle": True}


def test_seeds_that_disagree_leave_no_verdict_however_small_the_p(clean: np.ndarray) -> None:
    """Users are many and alike, so p is tiny; two seeds of three say otherwise, which the interval knows."""
    values = {("base", "none", "", seed): clean for seed in range(3)}
    values |= {
        ("base", "push", "1", seed): lowered(clean, by, 0.01, seed) for seed, by in enumerate((0.3, -0.05, -0.05))
    }
    row = matrix_tests(made(values)).iloc[0]
    assert row["p_holm"] < 1e-6
    assert row["low"] < 0 < row["high"]
    assert row["verdict"] == "no difference"


def test_a_comparison_has_a_row_per_seed_and_a_pooled_one(clean: np.ndarray) -> None:
    values = {("base", "none", "", seed): clean for seed in range(2)}
    values |= {("other", "none", "", seed): clean + 0.1 + 0.01 * seed * clean for seed in range(2)}
    found = compare(made(values), Asked("base", "other"))
    assert found.rows["seed"].tolist() == ["0", "1", "pooled"]
    assert (found.verdict, found.flips, found.metric) == ("higher", False, "ndcg@10")
    pooled = found.rows.iloc[-1]
    assert pooled["difference"] == pytest.approx(0.1 + 0.005 * clean.mean())
    assert pooled["relative"] == pytest.approx(pooled["difference"] / clean.mean())
    alone = paired(clean, clean + 0.1 + 0.01 * clean)
    assert found.rows.iloc[1]["d_z"] == pytest.approx(alone.d_z)


@pytest.fixture
def several(clean: np.ndarray) -> Results:
    systems, attacks = ("base", "other"), (("push", "1"), ("push", "2"), ("pull", "1"))
    values = {(system, "none", "", 0): clean for system in systems}
    values |= {(s, attack, eps, 0): lowered(clean, 0.1, 0.1, 1) for s in systems for attack, eps in attacks}
    return made(values)


def test_two_attacks_are_compared_on_one_system(several: Results) -> None:
    found = compare(several, Asked("push", "pull", system="other", eps="1"))
    assert (found.a, found.b) == ("other under push at l2 1", "other under pull at l2 1")
    assert found.verdict == "no difference"
    clean = compare(several, Asked("none", "pull", system="base"))
    assert (clean.a, clean.verdict) == ("base clean", "lower")


def test_what_an_attack_takes_is_compared_apart_from_where_it_started(clean: np.ndarray) -> None:
    values = {("base", "none", "", 0): clean, ("base", "push", "1", 0): lowered(clean, 0.3, 0.1, 1)}
    values |= {("other", "none", "", 0): clean - 0.2, ("other", "push", "1", 0): lowered(clean, 0.3, 0.1, 1)}
    results = made(values)
    assert compare(results, Asked("base", "other", attack="push")).verdict == "no difference"
    taken = compare(results, Asked("base", "other", attack="push", is_change=True))
    assert (taken.verdict, taken.is_change) == ("higher", True)
    row = taken.rows.iloc[0]
    assert (row["a"], row["b"], row["difference"]) == pytest.approx((-0.3, -0.1, 0.2))
    with pytest.raises(BadValue, match="--change compares what an attack changes, and nothing attacks 'base clean'"):
        compare(results, Asked("base", "other", is_change=True))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked("base", "base"), "'base' is given twice; name two systems, or two attacks"),
        (Asked("base", "othr"), "the run has no system or attack 'othr'; did you mean 'other'? it has: base, other, push, pull"),
        (Asked("base", "push"), "'base' and 'push' are a system and an attack; name two systems, or two attacks"),
        (Asked("base", "other", attack="push"), "several figures of base fit: 1, 2; choose with --eps"),
        (Asked("base", "other", attack="push", eps="3"), "--eps '3': the run has it not for base under push at l2 1; it has: 1, 2"),
        (Asked("base", "other", attack="shove"), "the run has no attack 'shove'; it has: push, pull"),
        (Asked("push", "pull"), "the run attacks several systems: base, other; choose one with --system"),
        (Asked("push", "pull", system="them"), "the run has no system 'them'; did you mean 'other'? it has: base, other"),
        (Asked("base", "other", metric="auc"), "the run has no metric with values per user 'auc'; it has: ndcg@10"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_with_what_can(several: Results, asked: Asked, message: str) -> None:
    with pytest.raises((BadValue, UnknownName)) as raised:
        compare(several, asked)
    assert str(raised.value) == message


def test_effects_are_those_worked_by_hand() -> None:
    """Four users, K 10: one leaves the top, one enters it, one falls by 20 below it, one by 200."""
    clean, hit = np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 0.5, 0.0, 0.0])
    other = np.array([0.5, 0.0, 0.0, 0.0])
    cells = {("base", "none", "", 0): clean, ("base", "push", "1", 0): hit, ("base", "pull", "1", 0): other}
    ranks = {
        ("base", "none", "", 0): np.array([0, 10, 100, 300]),
        ("base", "push", "1", 0): np.array([10, 2, 120, 500]),
        ("base", "pull", "1", 0): np.array([2, 10, 100, 300]),
    }
    found = effects(made(cells, ranks)).set_index("attack")
    push = found.loc["push"]
    assert (push["clean"], push["attacked"], push["relative_change"]) == (0.25, 0.125, -0.5)
    assert (push["rank_q25"], push["rank_median"], push["rank_q75"]) == (5.5, 15.0, 65.0)  # falls: 10, -8, 20, 200
    assert (push["down_10"], push["down_100"]) == (0.5, 0.25)
    assert (push["harmed"], push["helped"], push["harmed_of_hits"]) == (0.25, 0.25, 1.0)
    assert (found.loc["pull", "harmed"], found.loc["pull", "down_10"]) == (0.0, 0.0)
    assert found["worst_case"].tolist() == [-1.0, -1.0]  # lowest of push and pull per user: 0, 0, 0, 0
    assert found["n_attacks"].tolist() == [2, 2]
    assert push["score_shift"] == pytest.approx(0.125 - 0.25)
    assert push["score_shift_scaled"] == pytest.approx(-0.125 / 0.5)
    assert (push["change_inactive"], found.loc["pull", "change_inactive"]) == (-0.5, -0.5)
    assert math.isnan(push["change_active"])  # they had nothing to lose
    assert math.isnan(push["overlap"])
    assert set(EFFECT_COLUMNS) == {"attack", *found.columns}


def test_effects_pool_the_seeds_and_show_their_spread(clean: np.ndarray) -> None:
    values = {("base", "none", "", seed): clean for seed in range(2)}
    values |= {("base", "push", "1", seed): clean * (0.8 if seed else 0.6) for seed in range(2)}
    row = effects(made(values)).iloc[0]
    assert row["relative_change"] == pytest.approx(-0.3)
    assert row["seed_std"] == pytest.approx(math.sqrt(0.02))
    assert row["n_seeds"] == 2
    assert row["low"] < -0.4 < -0.2 < row["high"], "two seeds that differ say little"
    changes = metric_changes(made(values)).iloc[0]
    assert changes["relative_change"] == pytest.approx(-0.3)
    assert changes["seed_std"] == pytest.approx(clean.mean() * math.sqrt(0.02))


def test_the_overlap_of_lists_is_the_share_of_the_clean_one_that_stays() -> None:
    clean = np.array([[1, 2, 3], [4, 5, -1], [-1, -1, -1]], np.int32)
    attacked = np.array([[3, 9, 1], [6, 7, -1], [-1, -1, -1]], np.int32)
    np.testing.assert_allclose(overlap(clean, attacked), [2 / 3, 0.0, np.nan], rtol=1e-6)
