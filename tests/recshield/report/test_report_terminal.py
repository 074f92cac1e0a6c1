"""Whatever names a run holds, a terminal shows them as text."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from planting import planted, reading, sound
from rich.console import Console
from test_report_untrusted import EVIL

from recshield.evaluation.background import ACTIVITY
from recshield.matrix.results import Results
from recshield.report.effects import show_effects
from recshield.report.terminal import show, show_curves, show_timings, show_verdicts


def squeezed(text: str) -> str:
    """Return text without the blanks and line breaks that fold a cell."""
    return re.sub(r"\s", "", text)


def shown_as(name: str) -> str:
    return squeezed(re.sub(r"[\x00-\x1f\u202e]", "\N{REPLACEMENT CHARACTER}", name))


def evil(name: str) -> tuple[Results, pd.DataFrame]:
    """Return a run whose system, attack, check and steps carry this name."""
    cells = []
    for one in sound():
        one.system = name if one.system == "shield" else one.system
        one.attack = name if one.attack == "pgd" else one.attack
        one.findings = [(99, name, True, "fail", name)]
        one.verdict = "fail"
        cells.append(one)
    held = reading(cells, dataset=name)
    held.results.timings["label"] = name
    curves = {"step": "s", "label": name, "rows": 10, "epoch": 1, "quantity": name, "value": 0.5}
    held.results.curves = pd.DataFrame([curves])
    return held.results, held.verdicts


@pytest.mark.parametrize("name", EVIL)
def test_a_terminal_shows_names_as_text(name: str) -> None:
    results, verdicts = evil(name)
    manifest = {"failed": [name], "skipped": [{"system": name, "attack": name, "reason": name}],
                "plugins_not_loaded": {name: name}, "data": {"name": name}, "split": {"split": name}}  # fmt: skip
    printed = []
    for draw in (
        lambda console: show(console, results.table, verdicts, manifest),
        lambda console: show_verdicts(console, results.table, verdicts),
        lambda console: show_timings(console, results.timings),
        lambda console: show_curves(console, results.curves),
    ):
        console = Console(file=io.StringIO(), width=600, force_terminal=False)
        draw(console)
        printed.append(console.file.getvalue())  # type: ignore[attr-defined]
    for text in printed:
        assert shown_as(name) in squeezed(text)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    assert squeezed(printed[3]).count(shown_as(name)) == 2


@pytest.mark.parametrize("name", EVIL)
def test_effects_show_names_as_text(name: str) -> None:
    figures = ("relative_change", "low", "high", "worst_case", "rank_median", "rank_q25", "rank_q75", "down_10", "down_100",
               "harmed", "helped", "activity_gap", "change_head", "change_tail", "score_shift_scaled", "overlap",
               *(f"change_{group}" for group in ACTIVITY))  # fmt: skip
    named = dict.fromkeys(("metric", "system", "attack", "norm", "eps_text"), name)
    effects = pd.DataFrame([named | dict.fromkeys(figures, 0.1)])
    changes = pd.DataFrame([named | {"is_accuracy": False, "clean": 0.2, "attacked": 0.1, "relative_change": -0.5}])
    console = Console(file=io.StringIO(), width=600, force_terminal=False)
    show_effects(console, effects, changes)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown_as(name.upper()) in squeezed(text)
    assert shown_as(name) in squeezed(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


def test_the_planted_run_is_shown_whole() -> None:
    console = Console(file=io.StringIO(), width=200)
    held = planted(sound())
    show(
        console, held.table, pd.DataFrame(columns=["cell", "number", "check", "is_required", "verdict", "sentence"]), {}
    )
    assert "shield" in console.file.getvalue()  # type: ignore[attr-defined]
