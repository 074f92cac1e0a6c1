"""The neighbourhood and factor models on MovieLens: each ranks better than popularity, and attacks bite."""

from __future__ import annotations

from pathlib import Path

import pytest

import recshield

pytestmark = pytest.mark.real


def test_each_model_beats_popularity_and_fgm_beats_noise(real_data: Path) -> None:
    """Short trainings; the figures of full ones stand in docs/models.md."""
    run = recshield.run_matrix(
        "popular,itemknn,userknn,puresvd,neumf,lightgcn",
        "noise,fgsm",
        dataset="ml-100k",
        data_dir=str(real_data),
        budget="l2:0.5",
        overrides=["neumf.epochs=20", "lightgcn.epochs=20", "lightgcn.lr=0.005"],
        controls="none",
    )
    clean = run.table.query("attack == 'none' and metric == 'ndcg'").set_index("system")["clean"]
    assert clean["popular"] == pytest.approx(0.0874, abs=5e-5)
    for name in ("itemknn", "userknn", "puresvd", "neumf", "lightgcn"):
        assert clean[name] > 1.25 * clean["popular"], name
    attacked = run.table.query("attack != 'none' and metric == 'ndcg'")
    change = attacked.pivot_table(index="system", columns="attack", values="relative_change")
    assert sorted(change.index) == ["lightgcn", "neumf", "puresvd"]
    assert (change["fgsm"] < change["noise"]).all()
    assert (change["fgsm"] < -0.02).all()
