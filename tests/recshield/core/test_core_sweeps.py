"""Sweeps and choices as texts: what they stand for, and what is refused."""

from __future__ import annotations

import pytest

from recshield.core.errors import BadSpec
from recshield.core.sweeps import LIMIT, choices, expand


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mf", ["mf"]),
        ("mf:epochs=5", ["mf:epochs=5"]),
        ("mf+advreg:eps=0.1:0.5:1", ["mf+advreg:eps=0.1", "mf+advreg:eps=0.5", "mf+advreg:eps=1"]),
        ("mf:dims=8:16+advreg:eps=1:2,weight=3", [
            "mf:dims=8+advreg:eps=1,weight=3", "mf:dims=8+advreg:eps=2,weight=3",
            "mf:dims=16+advreg:eps=1,weight=3", "mf:dims=16+advreg:eps=2,weight=3",
        ]),
        ("pgd@factors.item:steps=5:10,ratio=1:2", [
            "pgd@factors.item:steps=5,ratio=1", "pgd@factors.item:steps=5,ratio=2",
            "pgd@factors.item:steps=10,ratio=1", "pgd@factors.item:steps=10,ratio=2",
        ]),
        ("mf:lr=1e+3:1e-3", ["mf:lr=1e+3", "mf:lr=1e-3"]),
        ("mf+advreg:eps=0.1|0.5,weight=1:2", ["mf+advreg:eps=0.1|0.5,weight=1", "mf+advreg:eps=0.1|0.5,weight=2"]),
    ],
)  # fmt: skip
def test_a_sweep_stands_for_every_combination_in_order(text: str, wanted: list[str]) -> None:
    assert expand(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "mf+rescaled:like=(mf+advreg:eps=0.5,weight=1)",
        "mf+rescaled:like=(mf:epochs=1:2)",
        "mf+rescaled:like=(mf+rescaled:like=(amf:eps=1:2))",
    ],
)
def test_what_stands_in_parentheses_is_not_swept(text: str) -> None:
    assert expand(text) == [text]


def test_a_sweep_may_stand_for_a_thousand_specifications_and_not_one_more() -> None:
    tens = ":".join(map(str, range(10)))
    assert len(expand(f"mf:a={tens},b={tens}+x:c={tens}")) == LIMIT == 1000
    with pytest.raises(BadSpec) as caught:
        expand(f"mf:a={tens},b={tens}+x:c={tens}:10")
    assert str(caught.value).endswith("stands for 1100 specifications; a sweep may stand for at most 1000")


@pytest.mark.parametrize("text", ["mf:eps=1::2", "mf:eps=:1", "mf:eps=1:", "mf:eps=1: :2"])
def test_an_empty_value_of_a_sweep_is_refused(text: str) -> None:
    with pytest.raises(BadSpec) as caught:
        expand(text)
    assert str(caught.value) == f"'{text.removeprefix('mf:')}' has an empty value; write KEY=A:B:C"


def test_unbalanced_parentheses_are_refused() -> None:
    with pytest.raises(BadSpec, match="unbalanced parentheses"):
        expand("mf+rescaled:like=(mf:eps=1")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("0.5", ["0.5"]), ("0.1|0.5 | 1", ["0.1", "0.5", "1"]), ("(a|b)", ["(a|b)"]), ("", [""])],
)
def test_choices_are_separated_by_bars_outside_parentheses(value: str, wanted: list[str]) -> None:
    assert choices(value) == wanted


@pytest.mark.parametrize("value", ["1||2", "|1", "1|"])
def test_an_empty_choice_is_refused(value: str) -> None:
    with pytest.raises(BadSpec) as caught:
        choices(value)
    assert str(caught.value) == f"'{value}' has an empty choice; write A|B|C"
