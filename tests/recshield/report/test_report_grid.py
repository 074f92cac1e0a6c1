"""The matrix in a terminal: means over seeds, what fits its width, and few sentences alike."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from rich.console import Console

from recshield.report.terminal import show

SIZES = ("0.05", "0.1", "0.2", "0.5", "1")


def table(seeds: int, metrics: tuple[str, ...] = ("ndcg",)) -> pd.DataFrame:
    """Return a run of two systems under one attack with two goals; of seed s the attack takes 10 + s % of 0.5."""
    rows = []
    for seed in range(seeds):
        for system in ("mf", "amf"):
            for metric in metrics:
                base = {
                    "dataset": "made up", "system": system, "attack": "none", "surface": "", "goal": "", "norm": "",
                    "eps_text": "", "seed": seed, "fold": 0, "metric": metric, "k": 10, "clean": 0.5, "attacked": 0.5,
                    "relative_change": 0.0, "verdict": "", "is_control": False, "selected": "",
                    "cell": f"{system}-{seed}",
                }  # fmt: skip
                rows.append(base)
                for goal in ("degrade", "degrade:oracle"):
                    for size in SIZES:
                        left = 0.5 * (0.9 - seed / 100)
                        under = {
                            "attack": "fgsm", "surface": "factors", "goal": goal, "norm": "l2", "eps_text": size,
                            "attacked": left, "relative_change": left / 0.5 - 1,
                            "verdict": "fail" if seed == 1 else "pass", "cell": f"{system}-{goal}-{size}-{seed}",
                        }  # fmt: skip
                        rows.append(base | under)
    return pd.DataFrame(rows)


def printed(held: pd.DataFrame, verdicts: pd.DataFrame | None = None, width: int = 80, **asked: bool) -> str:
    is_terminal = asked.pop("is_terminal", False)
    console = Console(width=width, file=io.StringIO(), force_terminal=is_terminal, color_system=None)
    none = pd.DataFrame(columns=["cell", "number", "check", "verdict", "sentence", "is_required"])
    show(console, held, none if verdicts is None else verdicts, {}, **asked)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_several_seeds_are_one_table_of_means_with_their_spread() -> None:
    text = printed(table(3))
    assert text.count("fgsm, degrade:oracle") == 2, "once per system, not once per seed"
    assert "mean of 3 seeds" in text
    assert text.count("-11.0 ±1.0 %") == 2 * 2 * len(SIZES), "10, 11 and 12 %"
    assert text.count("fail 1 of 3") == 2 * 2 * len(SIZES), "the worst verdict, and how many seeds have it"
    assert "±0.0000" in text


def test_every_seed_by_itself_is_a_table_each() -> None:
    text = printed(table(3), is_split=True)
    assert re.findall(r"^seed \d$", text, re.MULTILINE) == ["seed 0", "seed 1", "seed 2"]
    assert "±" not in text
    assert text.count("-12.0 %") == 2 * 2 * len(SIZES)


def test_one_seed_has_no_spread() -> None:
    text = printed(table(1))
    assert "±" not in text
    assert "mean of" not in text


def test_what_is_not_a_terminal_gets_every_column_whole() -> None:
    text = printed(table(1, ("ndcg", "hr", "precision", "recall")), width=40)
    for word in ("NDCG@10", "RECALL@10", "l2 0.05", "l2 1", "fgsm, degrade:oracle"):
        assert word in text
    assert "…" not in text
    assert sum("l2 0.05" in line and "l2 1" in line for line in text.splitlines()) == 1, "one table"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_gets_several_tables_and_no_cut_figure(width: int) -> None:
    text = printed(table(3, ("ndcg", "hr", "precision", "recall")), width=width, is_terminal=True)
    assert max(len(line) for line in text.splitlines() if not line.startswith("relative change")) <= width
    assert text.count("-11.0 ±1.0 %") == 2 * 2 * len(SIZES)
    assert "…" not in text
    assert "RECALL@10" in text, "other metrics have a table of their own"


def test_sentences_alike_are_counted_and_cells_named_with_their_goal() -> None:
    held = table(1)
    cells = list(held.loc[held["goal"] == "degrade:oracle", "cell"])
    rows = [
        {"cell": cell, "number": 18, "check": "CONTROL", "verdict": "warn", "sentence": f"changes by {place} %",
         "is_required": False}
        for place, cell in enumerate(cells)
    ]  # fmt: skip
    text = printed(held, pd.DataFrame(rows))
    assert text.count("18 CONTROL: changes by") == 3
    assert "[mf under fgsm, degrade:oracle at l2 0.05]" in text
    assert f"more sentences alike: {len(cells) - 3} of CONTROL (warn); `recshield audit` prints all" in text
