"""What was attacked on different surfaces, in different norms, for different goals or at different stages stays apart."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from planting import Planted, reading, sound
from test_report_summary import said, text

from recshield.report.content import Chart, Matrix, Section, Table
from recshield.report.formats import flat
from recshield.report.sections import changes, credibility, curves, harm, matrix, significance, summary, tradeoff
from recshield.report.standing import largest, placed, places, standings

PIXELS: dict[str, Any] = {"surface": "item_images", "norm": "linf", "model": "vbpr"}


def mixed() -> list[Planted]:
    """Return the first command of the README: a system attacked in its factors, and one in its pixels."""
    return [
        Planted("amf", "none", [0.20]),
        Planted("amr", "none", [0.30], model="vbpr"),
        Planted("amf", "fgsm", [0.19], 0.5),
        Planted("amf", "pgd", [0.194], 0.5),
        Planted("amr", "fgsm", [0.27], 0.016, **PIXELS),
        Planted("amr", "pgd", [0.24], 0.016, **PIXELS),
    ]


def crowded() -> list[Planted]:
    """Return two systems on each of two surfaces; budgets on pixels are small numbers."""
    cells = [*sound(), Planted("a", "none", [0.30], model="vbpr"), Planted("b", "none", [0.30], model="vbpr")]
    for eps, least, most in ((0.01, 0.29, 0.25), (0.03, 0.27, 0.12)):
        cells += [Planted("a", "pgd", [least], eps, **PIXELS), Planted("b", "pgd", [most], eps, **PIXELS)]
        cells += [
            Planted("a", "fgsm", [least + 0.01], eps, **PIXELS),
            Planted("b", "fgsm", [most + 0.01], eps, **PIXELS),
        ]
    return cells


def chart(section: Section | None, key: str) -> Chart:
    assert section
    return next(block for block in section.blocks if isinstance(block, Chart) and block.key == key)


def table(section: Section | None, key: str) -> Table:
    assert section
    return next(block for block in section.blocks if isinstance(block, Table) and block.key == key)


def test_a_system_attacked_on_its_own_surface_is_reported_with_its_own_worst_attack() -> None:
    first, second, *_ = said(reading(mixed()))
    assert first.startswith("At l2 0.5 on factors, where only amf was attacked, it changes by -5.0 % [")
    assert first.endswith("of NDCG@100 under fgsm, from 0.2000 to 0.1900, the worst attack.")
    assert second.startswith("At linf 0.016 on item_images, where only amr was attacked, it changes by -20.0 % [")
    assert second.endswith("of NDCG@100 under pgd, from 0.3000 to 0.2400, the worst attack.")


def test_the_picture_shows_every_attacked_system_and_names_those_that_nobody_attacked() -> None:
    held = chart(summary.build(reading([*mixed(), Planted("popular", "none", [0.1], model="popular")])), "standing")
    assert [panel.title for panel in held.panels] == ["l2 0.5 on factors", "linf 0.016 on item_images"]
    for panel, system, worst in zip(held.panels, ("amf", "amr"), ("0.1900", "0.2400"), strict=True):
        assert f"{system}, worst single attack: {worst}" in panel.alt
    assert held.caption.endswith("Not attacked, and not drawn: popular.")
    assert "amr" not in held.caption


def test_each_surface_has_its_best_and_worst_system_at_its_own_largest_budget() -> None:
    held = [one for one in said(reading(crowded())) if " holds best" in one]
    assert len(held) == 2
    assert held[0].startswith("At l2 1 on factors, shield holds best, with a change of -19.0 % [")
    assert "mf holds worst, with -50.0 % [" in held[0]
    assert held[1].startswith("At linf 0.03 on item_images, a holds best, with a change of -10.0 % [")
    assert "b holds worst, with -60.0 % [" in held[1]
    assert held[1].endswith("; the worst single attack is pgd: it takes 10.0 % from a and 60.0 % from b.")


@pytest.mark.parametrize(("kind", "other"), [("goal", "degrade:oracle"), ("stage", "fit"), ("norm", "linf")])
def test_goals_stages_and_norms_are_places_of_their_own(kind: str, other: str) -> None:
    changed: dict[str, Any] = {kind: other}
    harder = [
        dataclasses.replace(one, values=[0.5 * one.values[0]], **changed) for one in sound() if one.attack != "none"
    ]
    held = reading([*sound(), *harder])
    assert len(largest(held)) == 2
    best = [one for one in said(held) if " holds best" in one]
    assert "from 0.2000 to 0.1000" in best[0]
    assert "from 0.2000 to 0.0500" in best[1]
    assert other in text(placed(held, largest(held)[1])).replace("\N{NO-BREAK SPACE}", " ")


def test_two_to_six_sentences_name_every_place_even_where_there_are_many() -> None:
    surfaces = ["factors", "items", "item_features", "item_images", "sequence"]
    cells = [Planted("mf", "none", [0.2])]
    cells += [Planted("mf", "pgd", [0.1 + 0.01 * place], surface=one) for place, one in enumerate(surfaces)]
    held = said(reading(cells))
    assert 3 <= len(held) <= 6
    for surface in surfaces:
        assert sum(f" on {surface}, where" in one for one in held) == 1


def test_no_more_places_are_named_than_a_reader_can_read() -> None:
    norms = [f"l{place}" for place in range(20)]
    cells = [Planted("mf", "none", [0.2]), *(Planted("mf", "pgd", [0.1], norm=one) for one in norms)]
    held = said(reading(cells))
    named = sum(one.lower().count("at l") for one in held)
    assert 3 <= len(held) <= 6
    assert f"; the matrix has {20 - named} more such comparisons." in held[2]


def test_a_budget_that_only_some_were_attacked_at_hides_nobody() -> None:
    cells = [one for one in sound() if (one.system, one.eps) != ("shield", 1.0)]
    held = reading(cells)
    assert [at[4] for at in largest(held)] == ["0.5"]
    assert said(held)[0].startswith(
        "At l2 0.5, the largest budget at which so many systems can be ranked, shield holds"
    )
    apart = [one for one in sound() if one.attack == "none" or one.eps == (0.5 if one.system == "mf" else 1.0)]
    held = reading(apart)
    assert {one.system for at in largest(held) for one in standings(held, at)} == {"mf", "shield"}


def test_a_system_whose_every_figure_is_spoiled_is_not_called_not_attacked() -> None:
    spent = [(2, "BUDGET", True, "fail", "norm 3 of eps 1")]
    cells = [Planted("mf", "none", [0.2]), Planted("amf", "none", [0.2]), Planted("mf", "pgd", [0.1])]
    cells.append(Planted("amf", "pgd", [0.1], verdict="fail", findings=spent))
    caption = chart(summary.build(reading(cells)), "standing").caption
    assert caption.endswith("No figure counts of attacked systems: amf.")
    assert "ot attacked" not in caption


def test_noise_and_the_undefended_twin_of_the_audit_are_held_beside() -> None:
    twin: dict[str, Any] = {"is_control": True}
    cells = [
        Planted("amf", "none", [0.21], defense="advreg"),
        Planted("amf", "pgd", [0.15], defense="advreg"),
        Planted("amf", "noise", [0.2], defense="advreg", **twin),
        Planted("mf", "none", [0.20], **twin),
        Planted("mf", "pgd", [0.10], **twin),
    ]
    held = said(reading(cells))
    assert "random noise of the same size takes 4.8 % from amf." in held[1]
    assert held[2].startswith("Without an attack amf gains against mf in NDCG@100 (+5.0 %")
    assert held[2].endswith("under attack it is left with 0.1500 against 0.1000 under pgd at l2 0.5.")
    rows = table(significance.build(reading(cells)), "tests").rows
    assert [row[0][0] for row in rows] == [
        "defense, clean", "attack against clean", "attack against noise", "defense, attacked",
    ]  # fmt: skip


def test_tables_and_pictures_say_where_a_cell_stands() -> None:
    held = reading(crowded())
    drawn = matrix.build(held).blocks[0]
    assert isinstance(drawn, Matrix)
    titles = {text(cell.title) for row in drawn.rows for cell in row.cells if cell}
    assert {"mf under pgd at l2 1 on factors", "b under pgd at linf 0.03 on item_images"} < titles
    assert {text(row[1]) for row in next(flat.tables(drawn)).rows} == {
        "l2 0.5 on factors", "l2 1 on factors", "linf 0.01 on item_images", "linf 0.03 on item_images",
    }  # fmt: skip
    assert {text(row[2]) for row in table(significance.build(held), "tests").rows} > {"linf 0.03 on item_images"}
    assert {text(row[1]) for row in table(harm.build(held), "harmed").rows} == {
        "l2 1 on factors", "linf 0.03 on item_images",
    }  # fmt: skip
    assert [panel.title for panel in chart(tradeoff.build(held), "front").panels][:2] == [
        "l2 1 on factors", "linf 0.03 on item_images",
    ]  # fmt: skip
    assert {panel.title for panel in chart(curves.build(held), "absolute").panels} == {
        "mf, factors, l2", "shield, factors, l2", "a, item_images, linf", "b, item_images, linf",
    }  # fmt: skip
    assert {text(row[2]) for row in table(changes.build(held, held), "cells").rows} > {"linf 0.01 on item_images"}


def test_curves_of_different_norms_are_never_joined() -> None:
    other = [dataclasses.replace(one, norm="linf", eps=one.eps / 10) for one in sound() if one.attack != "none"]
    panels = chart(curves.build(reading([*sound(), *other])), "relative").panels
    assert {panel.title for panel in panels} == {
        f"{attack}, {norm}" for attack in ("noise", "fgsm", "pgd") for norm in ("l2", "linf")
    }


def test_the_findings_name_the_surface() -> None:
    cells = mixed()
    cells[-1] = dataclasses.replace(cells[-1], verdict="fail", findings=[(23, "SCALE", True, "fail", "all scale")])
    held = reading(cells)
    row = table(credibility.build(held), "failed").rows[0]
    assert text(row[3]) == "amr under pgd at linf 0.016 on item_images"
    assert said(held)[-1] == (
        "Do not believe the robustness of amr under pgd in 1 cell: the whole gain at equal eps is a matter of scale "
        "(check SCALE fails)."
    )


def test_places_are_all_there_once_with_those_that_stand_for_the_run_first() -> None:
    held = reading(crowded())
    assert [at[4] for at in places(held)] == ["1", "0.03", "0.5", "0.01"]
