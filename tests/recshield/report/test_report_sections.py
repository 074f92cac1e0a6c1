"""Sections against hand calculations: fronts, tests, intervals, what changed, seeds that disagree, commands."""

from __future__ import annotations

import shlex

import pytest
from planting import Planted, reading, sound

from recshield.evaluation.stats import holm
from recshield.report.content import Bullets, Matrix, Name, Number, Section, Table
from recshield.report.reproduction import command
from recshield.report.sections import changes, credibility, matrix, significance, threat
from recshield.report.sections.tradeoff import fronts


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
