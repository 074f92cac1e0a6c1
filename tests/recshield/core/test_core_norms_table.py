"""The norm `l2-table`, which spans a whole table, against numpy; and what the matrix makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recshield.core.norms import measure, project, random_direction, random_inside, steepest
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Surface
from recshield.run import execute, prepare

SHAPE = (7, 3, 2)
SURFACE = Surface("pixels", SHAPE, Budget("l2", 0.5), norm_dims=(-2, -1))
TABLE = "l2-table"


def table(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(SHAPE, generator=generator(0, "table"))


def test_one_value_is_measured_for_the_whole_table() -> None:
    found = measure(table(), SURFACE, TABLE)
    assert found.shape == (1,)
    assert float(found) == pytest.approx(np.linalg.norm(table().numpy().ravel()), rel=1e-6)
    assert float(measure(table(1e-30), SURFACE, TABLE)) == pytest.approx(1e-30 * float(found), rel=1e-5)


def test_projection_scales_the_whole_table_and_leaves_what_is_inside() -> None:
    length = np.linalg.norm(table().numpy())
    found = project(table(), SURFACE, Budget(TABLE, 0.5))
    assert found.numpy() == pytest.approx(table().numpy() * 0.5 / length, abs=1e-6)
    assert torch.equal(project(table(0.01), SURFACE, Budget(TABLE, 0.5)), table(0.01))


def test_the_steepest_step_is_the_gradient_over_its_whole_length() -> None:
    found = steepest(table(), SURFACE, TABLE)
    assert found.numpy() == pytest.approx(table().numpy() / np.linalg.norm(table().numpy()), abs=1e-6)
    assert bool((steepest(torch.zeros(SHAPE), SURFACE, TABLE) == 0).all())
    # No other direction of norm 1 raises a linear function more (Cauchy and Schwarz), one per row least of all.
    per_row = steepest(table(), SURFACE, "l2") / np.sqrt(SHAPE[0])
    assert float((table() * found).sum()) > float((table() * per_row).sum()) > 0


def test_random_directions_lie_on_the_sphere_and_draws_inside_fill_the_ball() -> None:
    small = torch.zeros(2, 1)
    surface = Surface("t", (2, 1), Budget("l2", 1.0))
    ons = torch.stack([random_direction(small, surface, TABLE, generator(n, "on")) for n in range(2000)])
    ins = torch.stack([random_inside(small, surface, TABLE, generator(n, "in")) for n in range(2000)])
    assert ons.flatten(1).norm(dim=1).numpy() == pytest.approx(1.0, abs=1e-5)
    radius = ins.flatten(1).norm(dim=1).numpy()
    assert radius.max() <= 1 + 1e-6
    # In the plane the share of the ball below radius r is r squared: 1/4 below 1/2 (sd 0.0097).
    assert (radius < 0.5).mean() == pytest.approx(0.25, abs=0.04)
    for found in (ons, ins):
        assert found.mean(dim=0).abs().max() < 0.08
    # Both rows share one norm: where the first is long, the second is short.
    assert np.corrcoef(ons[:, 0, 0].square(), ons[:, 1, 0].square())[0, 1] == pytest.approx(-1, abs=1e-4)


def test_in_a_matrix_the_table_norm_is_kept_spent_and_the_measure_of_percent() -> None:
    prepared = prepare(
        models=["mf"], attacks=["fgm", "pgd:steps=3", "noise"], budget=["l2-table:10%"],
        overrides=["mf.epochs=3", "mf.dims=8"],
    )  # fmt: skip
    run = execute(prepared)
    found = run.verdicts.set_index(["cell", "check"])["verdict"]
    asked = run.table[~run.table["is_control"] & (run.table["attack"] != "none")].drop_duplicates("cell")
    assert sorted(asked["attack"]) == ["fgm", "noise", "pgd:steps=3"]
    for cell in asked["cell"]:
        assert found[cell, "BUDGET"] == found[cell, "EQUAL-BUDGET"] == found[cell, "EPS0"] == "pass"
    threats = run.verdicts[run.verdicts["check"] == "THREAT"]["sentence"]
    assert set(threats) == {"degrade through factors, l2-table, serve"}
    behind = prepared.plan.steps_of[asked["cell"].iloc[0]]
    tables = load_file(prepared.store.need(behind.train).file("model.safetensors"))
    clean = np.mean([np.linalg.norm(held.double().numpy()) for held in tables.values()])
    facts = run.steps.set_index("cell").loc[asked["cell"]]
    assert (facts["n_goal_rows"] == sum(len(held) for held in tables.values())).all(), "else the norm is of some rows"
    assert facts["mean_clean_norm"].to_numpy() == pytest.approx(clean, rel=1e-5)
    assert facts["eps"].to_numpy() == pytest.approx(0.1 * clean, rel=1e-5)
    assert facts["relative_eps"].to_numpy() == pytest.approx(0.1, rel=1e-6)
    for cell in asked["cell"]:
        for held in load_file(run.results.perturbations[cell]).values():
            assert float(held.norm()) <= 0.1 * clean * (1 + 1e-4)
