"""The summary's sentences are true: planted results give the right ones."""

from __future__ import annotations

import dataclasses

import pytest
from planting import Planted, reading, sound

from recshield.report.content import Name, Number, Phrase, Verdict
from recshield.report.reading import Reading
from recshield.report.sections.summary import sentences
from recshield.report.words import plain_number


def text(phrase: Phrase) -> str:
    parts = (p.text if isinstance(p, Name | Number) else p.word if isinstance(p, Verdict) else p for p in phrase)
    return "".join(parts).replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def said(held: Reading) -> list[str]:
    return [text(phrase) for phrase in sentences(held)]


def with_cell(cells: list[Planted], system: str, attack: str, eps: float, **changes: object) -> list[Planted]:
    return [
        dataclasses.replace(one, **changes) if (one.system, one.attack, one.eps) == (system, attack, eps) else one  # type: ignore[arg-type]
        for one in cells
    ]


def test_it_names_the_best_and_the_worst_system_and_the_worst_attack_with_their_figures() -> None:
    first, second, third, *rest = said(reading(sound()))
    assert first.startswith("At l2 1, the largest budget, shield holds best, with a change of -19.0 % [")
    assert "of NDCG@100 under pgd, from 0.2100 to 0.1700; mf holds worst, with -50.0 % [" in first
    assert first.endswith("under pgd, from 0.2000 to 0.1000.")
    assert second == (
        "The worst single attack is pgd: it takes 50.0 % from mf and 19.0 % from shield; "
        "random noise of the same size takes 4.8 % from shield and 10.0 % from mf."
    )
    assert third.startswith("Without an attack shield gains against mf in NDCG@100 (+5.0 %")
    assert "under attack it is left with 0.1700 against 0.1000 under pgd at l2 1." in third
    assert rest == ["The audit fails no cell; differences between systems rest on 1 seed."]


def test_a_defense_that_only_scales_embeddings_is_not_to_be_believed() -> None:
    whole = (23, "SCALE", True, "fail", "the whole gain is scale: ...")
    cells = with_cell(sound(), "shield", "pgd", 1.0, verdict="fail", findings=[whole])
    assert said(reading(cells))[-1] == (
        "Do not believe the robustness of shield under pgd in 1 cell: the whole gain at equal eps is larger embeddings "
        "(check SCALE fails)."
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.103, "0.103"),
        (2.5, "2.5"),
        (630.0, "630"),
        (1320.4, "1,320"),
        (-7454.0, "\N{MINUS SIGN}7,454"),
        (1e16, "1e+16"),
    ],
)
def test_a_number_from_a_thousand_on_is_whole_with_thousands_apart(value: float, shown: str) -> None:
    assert plain_number(value, 3).text == shown


def test_an_attack_weaker_than_noise_is_no_worst_case() -> None:
    cells = with_cell(sound(), "mf", "fgsm", 0.5, values=[0.195])
    assert (
        "fgsm takes no more than random noise of the same size on mf at l2 0.5 (-2.5 % against -5.0 %): no worst case, "
        "and no proof of robustness."
    ) in said(reading(cells))
    assert not any("random noise of the same size on" in one for one in said(reading(sound())))


def test_a_defense_that_wins_clean_and_loses_under_attack_is_said_to_lose() -> None:
    cells = with_cell(sound(), "shield", "pgd", 1.0, values=[0.05])
    held = [one for one in said(reading(cells)) if one.startswith("Without an attack")]
    assert len(held) == 1
    assert held[0].startswith("Without an attack shield gains against mf in NDCG@100 (+5.0 %")
    assert held[0].endswith("but it loses under attack: it is left with 0.0500 against 0.1000 under pgd at l2 1.")


def test_a_defense_that_costs_clean_accuracy_is_said_to_cost() -> None:
    cells = with_cell(sound(), "shield", "none", 0.5, values=[0.18])
    assert any(
        one.startswith("Without an attack shield costs against mf in NDCG@100 (-10.0 %") for one in said(reading(cells))
    )


def test_a_cell_that_is_unproven_is_named_with_the_check_that_lacks() -> None:
    lacking = (9, "NOISE", True, "not run", "not run: the noise cell is missing")
    cells = with_cell(sound(), "mf", "pgd", 1.0, verdict="unproven", findings=[lacking])
    assert said(reading(cells))[-1] == (
        "mf under pgd at l2 1 is unproven: a check that decides (NOISE) could not be run."
    )


def test_an_attack_that_was_not_held_to_its_budget_is_never_the_worst() -> None:
    greedy = [Planted(system, "msap", [0.01], 1.0, is_projected=False, norms=6.0, defense=defense)
              for system, defense in (("mf", "none"), ("shield", "advreg"))]  # fmt: skip
    first, second, *_ = said(reading([*sound(), *greedy]))
    assert "msap" not in first
    assert second.startswith("The worst single attack is pgd")


def test_a_cell_that_fails_its_budget_ranks_nothing() -> None:
    spent = (2, "BUDGET", True, "fail", "norm 3 of eps 1")
    greedy = Planted("mf", "greedy", [0.001], 1.0, verdict="fail", findings=[spent])
    held = said(reading([*sound(), greedy]))
    assert "greedy" not in held[0] + held[1]
    assert held[-1] == "Do not believe 1 cell that the audit fails: BUDGET on mf under greedy."


def test_an_ensemble_is_not_called_a_single_attack() -> None:
    cells = [
        *sound(),
        Planted("mf", "auto", [0.04], 1.0, members=["x"]),
        Planted("shield", "auto", [0.09], 1.0, members=["x"]),
    ]
    first, second, *_ = said(reading(cells))
    assert "under auto" in first
    assert second.startswith("The worst single attack is pgd")
    assert (
        "auto, each user\N{RIGHT SINGLE QUOTATION MARK}s worst over several, takes 80.0 % from mf and 57.1 % from shield"
        in second
    )


def test_without_an_attack_it_says_nothing_about_robustness() -> None:
    held = said(reading([one for one in sound() if one.attack == "none"]))
    assert held[0] == "No attack with an aim was run: this report says nothing about robustness."
    assert held[1] == "Without an attack shield is best, with NDCG@100 of 0.2100."


@pytest.mark.parametrize("kept", [("none",), ("none", "noise"), ("none", "pgd"), ("none", "noise", "pgd", "fgsm")])
def test_it_has_three_to_six_sentences(kept: tuple[str, ...]) -> None:
    assert 3 <= len(said(reading([one for one in sound() if one.attack in kept]))) <= 6
