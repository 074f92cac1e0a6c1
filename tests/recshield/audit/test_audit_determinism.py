"""DETERMINISM sees scores that differ from call to call, at whatever call they do: planted faults."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import recshield
from recshield.core.interfaces import Defense, Recommender
from recshield.core.surfaces import CLEAN, View

Plant = Callable[[str, type], None]


@dataclass(frozen=True)
class Dropout(Defense):
    """Rolls dice at every question."""

    name = "dice"

    def serve(self, model: Recommender) -> Recommender:
        held, inner = copy.deepcopy(model), model.score
        held.score = lambda users, view=CLEAN: inner(users, view) + 0.01 * torch.rand(len(users), 1)  # type: ignore[method-assign]
        return held


@dataclass(frozen=True)
class Settles(Defense):
    """Answers its first question otherwise than all that follow."""

    name = "settles"

    def serve(self, model: Recommender) -> Recommender:
        held, inner, asked = copy.deepcopy(model), model.score, list[Tensor]()

        def score(users: Tensor, view: View = CLEAN) -> Tensor:
            asked.append(users)
            return inner(users, view) * (1 if len(asked) > 1 else -1)

        held.score = score  # type: ignore[method-assign]
        return held


@pytest.mark.parametrize("kind", [Dropout, Settles])
def test_scores_that_differ_from_call_to_call_fail(plant: Plant, kind: type[Defense]) -> None:
    plant("defense", kind)
    system = f"mf+{kind.name}"
    made = recshield.run_matrix(
        system, "noise", budget="l2:1", dataset="synthetic", controls="none", overrides=("mf.epochs=5", "mf.dims=8")
    )
    (cell,) = made.steps.query("attack == 'noise'")["cell"]
    rows = made.verdicts[(made.verdicts["cell"] == cell) & (made.verdicts["check"] == "DETERMINISM")]
    (finding,) = rows.to_dict("records")
    assert finding["verdict"] == "fail"
    assert finding["sentence"].startswith("scoring twice gives different scores (under attack): one draw is no figure")
