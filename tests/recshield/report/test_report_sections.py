"""Sections against hand calculations: fronts, tests, intervals, what changed, seeds that disagree, commands."""

from __future__ import annotations

import shlex
import time

import numpy as np
import planting
import pytest
from planting import N_USERS, Planted, reading, sound
from scipy import stats

from recshield.evaluation.stats import holm, relative_interval
from recshield.report.content import Bullets, Matrix, Name, Number, Section, Table
from recshield.report.reproduction import command
from recshield.report.sections import changes, credibility, matrix, significance, threat
from recshield.report.sections.tradeoff import fronts
from recshield.report.writing import compose


def table(section: Section | None, key: str) -> Table:
    assert section
    return next(block for block in section.blocks if isinstance(block, Table) and block.key == key)


def plain(cell: object) -> str:
    assert isinstance(cell, tuple)
    return "".join(one if isinstance(one, str) else getattr(one, "text", getattr(one, "word", "")) for one in cell)


def test_a_system_is_on_the_front_unless_another_is_better_in_both() -> None:
    points = [(0.2, 0.1), (0.1, 0.2), (0.1, 0.1), (0.2, 0.1)]
    assert fronts(points) == [True, True, False, True]
    assert fronts(points, -1) == [False, False, True, False]


def test_figures_of_the_report_have_the_bootstrap_interval_whatever_stands_beside_them() -> None:
    cells = [
        Planted("mf", "none", [0.2, 0.21, 0.19]),
        *(Planted("mf", "pgd", [0.1, 0.12, 0.11], eps) for eps in (1, 2, 3)),
    ]
    held = reading(cells)
    asked = held.asked[1]
    clean, attacked = (held.values(asked.cells, held.main, key) for key in ("clean_cell", "cell"))
    own, whole = held.estimate(asked.cells), relative_interval(clean, attacked)
    assert (own.change, own.low, own.high) == pytest.approx((whole.mean, whole.low, whole.high), rel=1e-12)
    assert (own.n_users, own.n_seeds) == (N_USERS, 3)
    alone = reading(cells[:2])
    first = held.estimate(held.asked[0].cells)
    assert alone.estimate(alone.asked[0].cells) == first


def test_a_difference_whose_interval_over_seeds_holds_zero_does_not_hold() -> None:
    """Every user gains in two seeds and loses in the third: the tests see the mean of each user alone."""
    cells = [Planted("mf", "none", [0.2, 0.2, 0.2]), Planted("mf", "pgd", [0.25, 0.25, 0.14])]
    (row,) = table(significance.build(reading(cells)), "tests").rows
    assert isinstance(row[8][0], Number)
    assert row[8][0].value < 0.001
    assert plain(row[10]) == "no"


def test_holm_takes_back_what_a_test_alone_would_claim() -> None:
    rng = np.random.default_rng(0)
    cells = [Planted("mf", "none", [0.2])]
    cells += [Planted("mf", f"a{place}", [0.2], norm=f"l{place}") for place in range(12)]
    held = reading(cells)
    for asked in held.asked:  # differences of about two standard errors: p of a few per cent
        rows = held.results.per_user["cell"] == asked.first["cell"]
        noise = rng.normal(0, 1, N_USERS)
        noise = (noise - noise.mean()) / noise.std(ddof=1)
        held.results.per_user.loc[rows, "ndcg@100"] += 0.01 * (noise - 2.3 / np.sqrt(N_USERS))
    section = significance.build(held)
    assert section
    assert plain(section.blocks[0].phrase) == (  # type: ignore[union-attr]
        "0 of 12 differences hold at 5 % after correction; 12 would have held without it."
    )
    (p_value, corrected) = (table(section, "tests").rows[0][place][0] for place in (6, 8))
    assert isinstance(p_value, Number)
    assert isinstance(corrected, Number)
    assert p_value.value == pytest.approx(2 * stats.t.sf(2.3, N_USERS - 1), rel=1e-6)
    assert corrected.value == pytest.approx(12 * p_value.value, rel=1e-6)


def test_a_matrix_of_150_cells_is_composed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planting, "N_USERS", 2000)
    cells = []
    for place in range(5):
        name, defense = ("mf", "none") if not place else (f"shield{place}", "advreg")
        cells.append(Planted(name, "none", [0.2, 0.21], defense=defense))
        cells += [
            Planted(name, f"a{i}", [0.1, 0.11], eps, defense=defense) for i in range(10) for eps in (0.5, 1.0, 2.0)
        ]
    held = reading(cells)
    assert len(held.asked) == 150
    begun = time.process_time()
    compose([held])
    assert time.process_time() - begun < 20


def test_every_question_of_the_matrix_is_asked_once_and_corrected_together() -> None:
    held = table(significance.build(reading(sound())), "tests")
    # 1 clean defense; per cell: against clean (12), against noise (8 aimed), defense against its twin (6).
    assert len(held.rows) == 1 + 12 + 8 + 6
    corrected = [row[8][0].value for row in held.rows if isinstance(row[8][0], Number)]
    raw = [row[6][0].value for row in held.rows if isinstance(row[6][0], Number)]
    assert corrected == pytest.approx(holm(raw))


def test_seeds_that_disagree_are_flagged_and_the_worst_verdict_counts() -> None:
    cells = [Planted("mf", "none", [0.2, 0.2]), Planted("mf", "pgd", [0.1, 0.1], verdicts=["pass", "fail"])]
    held = reading(cells)
    drawn = matrix.build(held).blocks[0]
    assert isinstance(drawn, Matrix)
    cell = drawn.rows[0].cells[0]
    assert cell
    assert (cell.verdict, cell.is_flipping, cell.estimates[0].n_seeds) == ("fail", True, 2)
    assert "The verdict differs between seeds in 1 cell" in plain(credibility.build(held).blocks[0].phrase)  # type: ignore[union-attr]


def test_parameters_have_no_counterpart_outside() -> None:
    section = threat.build(reading(sound()))
    rows = table(section, "threats").rows
    assert {plain(row[7]) for row in rows} == {"\N{EN DASH}"}
    assert {plain(row[0]).split()[0]: plain(row[3]).split(" (")[0] for row in rows} == {
        "noise": "no knowledge of the model", "fgsm": "white-box", "pgd": "white-box",
    }  # fmt: skip
    assert section
    notes = next(block for block in section.blocks if isinstance(block, Bullets))
    assert plain(notes.items[0]).startswith("factors: nobody outside can perturb what lies inside the model.")


def test_what_changed_is_said_cell_by_cell() -> None:
    before = sound()
    after = [one for one in sound() if one.attack != "fgsm"]
    for one in after:
        if (one.system, one.attack, one.eps) == ("mf", "pgd", 1.0):
            one.values, one.verdict = [0.08], "warn"
    section = changes.build(reading(after), reading(before))
    said = next(block for block in section.blocks if isinstance(block, Bullets))
    assert [plain(item) for item in said.items] == ["No longer there, attacks: fgsm."]
    rows = {tuple(plain(part) for part in row[:3]): row for row in table(section, "cells").rows}
    row = rows["mf", "pgd", "l2 1"]
    values = [part[0].value for part in row[3:6] if isinstance(part[0], Number)]
    assert values == pytest.approx([-0.5, -0.6, -0.1])
    assert [plain(part) for part in row[6:]] == ["pass", "warn", "yes"]
    assert len(rows) == 8


def test_a_command_is_quoted_and_leaves_out_what_is_usual() -> None:
    request = {"models": ["mf", "a b"], "dataset": "x; rm -rf", "budget": ["l2:1"], "seeds": [0, 1], "threads": 1,
               "filters": ["ratings>=4"], "every": 10, "select": ""}  # fmt: skip
    assert shlex.split(command(request)) == [
        "recshield", "matrix", "--dataset", "x; rm -rf", "--models", "mf,a b", "--filter", "ratings>=4", "--budget",
        "l2:1", "--seeds", "0,1",
    ]  # fmt: skip
    assert Name("x") == Name("x")
